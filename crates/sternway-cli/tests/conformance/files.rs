//! The folder: which names are migrations, what two of them may not share, and where it is.

use super::case::{ALL, Case, NONE, SQLITE, case, exits, says};

const A: &str = "CREATE TABLE a (x int)";
const B: &str = "CREATE TABLE b (x int)";

pub fn cases() -> Vec<Case> {
    let mut cases = names();
    cases.extend(numbers());
    cases.extend(folders());
    cases.extend(paths());
    cases
}

fn on(name: &str) -> Case {
    case(name, SQLITE)
}

/// The grammar of names: each file alone, and whether `up` takes it.
fn names() -> Vec<Case> {
    let mut cases = Vec::new();
    for name in [
        "1_foobar.up.sql",
        "20170412214116_date_foobar.up.sql",
        "1_f-o_ob+ar.up.sql",
        "0_a.up.sql",
        "4_.up.sql",
        "3_y.up.",
        "5_a.up.b.down.sql",
        "11_x.up.sql.bak",
        "10_x y.up.sql",
        "12_é.up.sql",
        "-1_x.up.sql",
        "foobar.up.sql",
        "1.up.sql",
        "1_foobar.sql",
        "1_foobar.up",
        "1_A.UP.SQL",
        " 9_x.up.sql",
        "99999999999999999999_x.up.sql",
        "000001_a.up.sql",
        "1_a.up.json",
        "1_a.up.sql~",
        "+1_a.up.sql",
        "1-a.up.sql",
        "1__a.up.sql",
        "01_a.up.sql.up.sql",
        "1_a.down.up.sql",
        "1_up.up.sql",
        "1_.down.sql",
        "_1_a.up.sql",
        "1a_b.up.sql",
        ".1_a.up.sql",
        "1_a.Up.sql",
        "1_a..up.sql",
        "9223372036854775807_x.up.sql",
        "V1__a.sql",
        "1_a.up.sql ",
    ] {
        cases.push(on(&format!("the file `{name}`, up")).file(name, A).run("up"));
    }
    for name in ["0_a.up.sql", "4_.up.sql", "5_a.up.b.down.sql", "9223372036854775807_x.up.sql"] {
        cases.push(on(&format!("the file `{name}`, down")).file(name, A).after("up").run("down 1"));
        cases.push(
            on(&format!("the file `{name}`, version")).file(name, A).after("up").run("version"),
        );
    }
    cases.push(on("version 0, goto 0").file("0_a.up.sql", A).file("1_b.up.sql", B).run("goto 0"));
    for (name, first, second) in [
        ("with and without zeros", "001_b.up.sql", "1_a.up.sql"),
        ("of two extensions", "1_a.up.sql", "1_a.up.json"),
        ("with a backup", "1_a.up.sql", "1_a.up.sql~"),
        ("of two names", "1_a.up.sql", "1_b.up.sql"),
        ("down", "1_a.down.sql", "1_b.down.sql"),
        ("of one number with a name that is not", "1_a.up.sql", "1_a.sql"),
        ("up and down with two names", "1_a.up.sql", "1_b.down.sql"),
    ] {
        for command in ["up", "version", "drop -f", "force 3"] {
            let name = format!("two files {name}, {command}");
            let case = on(&name).file(first, A).file(second, B).run(command);
            let opens = name.contains("a name that is not") || name.contains("up and down");
            cases.push(if opens && command == "version" { case.only_looks() } else { case });
        }
    }
    cases
}

fn numbers() -> Vec<Case> {
    let mut cases = vec![
        case("numbers are not ordered as text", ALL)
            .file("9_a.up.sql", A)
            .file("10_b.up.sql", "INSERT INTO a VALUES (1)")
            .run("up"),
        case("numbers with zeros", ALL)
            .file("000002_b.up.sql", "INSERT INTO a VALUES (1)")
            .file("01_a.up.sql", A)
            .run("up"),
        case("numbers of time", ALL)
            .file("20240102030405_a.up.sql", A)
            .file("20240102030405_a.down.sql", "DROP TABLE a")
            .run("up"),
        case("the largest number", ALL).file("9223372036854775807_a.up.sql", A).run("up"),
        case("the largest number, goto", ALL)
            .file("9223372036854775807_a.up.sql", A)
            .run("goto 9223372036854775807"),
        on("the number after the largest").file("9223372036854775808_a.up.sql", A).differs(
            "D7",
            exits(2).says("panic").at("none"),
            exits(1).says("error: ").at("absent").tables(""),
        ),
        on("a folder with the number after the largest, version")
            .file("1_a.up.sql", A)
            .file("9223372036854775808_a.up.sql", A)
            .after("up 1")
            .run("up")
            .differs("D7", exits(2).says("panic").at("1"), exits(1).says("error: ").at("1")),
    ];
    for version in ["0", "00", "0000000000000000000000000000001"] {
        let name = format!("{version}_a.up.sql");
        cases.push(case(format!("the number {version}"), ALL).file(&name, A).run("up"));
    }
    cases
}

fn folders() -> Vec<Case> {
    let mut cases = vec![
        on("other files are nothing").reference().file("README.md", "words").folder("m/sub"),
        on("files below are not read").folder("m/2_x.up.sql").file("1_a.up.sql", A),
        on("a folder below with migrations").reference().beside("m/sub/9_x.up.sql", A),
        on("a link to a file").file("1_a.up.sql", A).beside("b", B).link("2_b.up.sql", "../b"),
        on("a link to nothing").file("1_a.up.sql", A).link("2_b.up.sql", "nowhere").differs(
            "D2",
            exits(0).at("2"),
            exits(1).says("error: ").lacks("/u").at("none").tables(""),
        ),
        on("a link to a folder")
            .file("1_a.up.sql", A)
            .folder("m/sub")
            .link("2_b.up.sql", "sub")
            .differs("D1", exits(0).at("2"), exits(1).says("error: ").at("none").tables("")),
    ];
    for command in
        ["up", "up 1", "up 0", "down 1", "down -all", "goto 1", "version", "force 3", "drop -f"]
    {
        let case = case(format!("an empty folder, {command}"), ALL).run(command);
        cases.push(match command {
            "goto 1" => super::travel::missing(case, 1),
            "version" => case.only_looks(),
            _ => case,
        });
        let case = on(&format!("a folder of down files, {command}")).file("1_a.down.sql", A);
        let case = case.file("2_b.down.sql", B).run(command);
        cases.push(if command == "version" { case.only_looks() } else { case });
        let name = format!("no folder, {command}");
        cases.push(on(&name).arguments(&format!("-path no -database {{url}} {command}")));
    }
    cases
}

/// Where the migrations are.
fn paths() -> Vec<Case> {
    let line = |name: &str, line: &str| case(name, NONE).arguments(line);
    let mut cases = vec![
        line("no path and no database", "up"),
        line("no path", "-database sqlite://db.sqlite up"),
        line("no database", "-path m up"),
        line("no database, version", "-path m version"),
        line("a source without a scheme", "-source m -database nope://x up"),
        line("a source of a colon", "-source :m -database nope://x up"),
        line("a source that nobody knows", "-source nope://q -database nope://x up"),
        line(
            "a source that nobody knows, with a secret",
            "-source nope://u:hush@q -database nope://x up",
        )
        .differs("D20", says("hush"), says("unknown driver 'nope'").lacks("hush")),
        line("a database without a scheme", "-path m -database db up"),
        line("a database of a colon", "-path m -database :db up"),
        line("a database that nobody knows", "-path m -database nope://q up"),
        line("a database that does not parse", "-path m -database 'postgres://u:p%ss@h/db' up")
            .differs("D20", says("p%ss"), exits(1).says("failed to open database: ").lacks("p%ss")),
        line("a folder that is a file", "-path file -database nope://x up").beside("file", ""),
        line("a folder that is not there, and a bad database", "-path no -database nope://x up"),
        line("a path with an address", "-path m@n -database nope://x up")
            .beside("m@n/1_a.up.sql", A)
            .differs("D12", says("open "), says("unknown driver nope").lacks("open .")),
    ];
    for (name, folder) in [
        ("a blank", "a b"),
        ("a hash", "a#b"),
        ("a percent sign", "a%20b"),
        ("a colon", "a:b"),
        ("a question mark", "a?b"),
    ] {
        let case = on(&format!("a path with {name}")).beside(&format!("{folder}/1_a.up.sql"), A);
        let case = case.arguments(&format!("-path '{folder}' -database {{url}} up"));
        let golang = exits(1).says("error: failed to open source, ").tables("");
        cases.push(case.differs("D12", golang, exits(0).says("1/u a").tables("a").at("1")));
    }
    cases.extend([
        on("a path that is a tilde")
            .beside("~/1_a.up.sql", A)
            .arguments("-path ~ -database {url} up"),
        on("the current folder").beside("1_a.up.sql", A).arguments("-path . -database {url} up"),
        on("a source of the current folder")
            .beside("1_a.up.sql", A)
            .arguments("-source file:// -database {url} up"),
        on("a source with an encoded blank")
            .beside("a b/1_a.up.sql", A)
            .arguments("-source 'file://{dir}/a%20b' -database {url} up"),
        on("a source with a fragment")
            .reference()
            .arguments("-source file://m#x -database {url} up"),
        on("a source with parameters")
            .reference()
            .arguments("-source file://m?x=y -database {url} up"),
        on("the version of no folder at all")
            .arguments("-source file://m -database {url} version")
            .differs("D3", exits(1).at("none"), exits(1).at("absent")),
    ]);
    cases
}
