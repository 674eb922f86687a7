//! The command line: options, commands, numbers, and the answers to questions.

use super::case::{ALL, Case, NONE, SQLITE, case, exits, says};

pub fn cases() -> Vec<Case> {
    let mut cases = options();
    cases.extend(commands());
    cases.extend(helps());
    cases.extend(questions());
    cases.extend(telling());
    cases
}

fn line(name: &str, arguments: &str) -> Case {
    case(name, NONE).arguments(arguments)
}

fn ask(name: &str, command: &str) -> Case {
    case(name, SQLITE).reference().after("goto 4").run(command)
}

fn options() -> Vec<Case> {
    vec![
        line("no arguments", ""),
        line("an unknown option", "-nope up"),
        line("an unknown option with two dashes", "--nope"),
        line("a bad prefetch", "-prefetch x up"),
        line("a negative prefetch", "-prefetch -1 up"),
        line("a bad lock timeout", "-lock-timeout x up"),
        line("a negative lock timeout", "-lock-timeout=-1 up"),
        line("an option without its value", "-path"),
        line("a bad truth value", "-verbose=maybe up"),
        line("a value that is a word of its own", "-verbose true up"),
        line("an option in a bad form", "---path m up"),
        line("an option without a name", "-=x up"),
        line("a dash", "-"),
        line("version with other options", "-path nowhere -version").usage(),
        line("version", "-version").usage(),
        line("version with two dashes", "--version").usage(),
        line("version before help", "-help -version").usage(),
        line("help", "-help"),
        line("help with two dashes", "--help"),
        line("the short help", "-h"),
        line("help after a path", "-path m -help"),
        line("an unknown command", "-path m -database nope://x fly"),
        line("no command", "-path m -database nope://x"),
        line("the end of options", "-path m -database nope://x -- up"),
        line("an unknown command alone", "fly"),
        line("a command in capitals", "UP"),
        ask("two dashes", "").arguments("--path m --database {url} up"),
        ask("equals signs", "").arguments("-path=m -database={url} up"),
        ask("two dashes and equals signs", "").arguments("--path=m --database={url} goto 7"),
        ask("a source", "").arguments("-source file://m -database {url} up"),
        ask("a source in capitals", "").arguments("-source FILE://m -database {url} up"),
        ask("a source and a path", "").arguments("-source file://m -path no -database {url} up"),
        ask("an empty source and a path", "").arguments("-source '' -path m -database {url} up"),
        ask("the last of two paths", "").arguments("-path no -path m -database {url} up"),
        ask("a trailing slash", "").arguments("-path m/ -database {url} up"),
        ask("a path with a point", "").arguments("-path ./m -database {url} up"),
        ask("a path with two points", "").arguments("-path m/../m -database {url} up"),
        ask("an absolute path", "").arguments("-path {dir}/m -database {url} up"),
        ask("an absolute source", "").arguments("-source file://{dir}/m -database {url} up"),
        ask("an opaque source", "").arguments("-source file:m -database {url} up"),
        ask("options after the command", "up -path q").usage(),
        ask("a database in capitals", "").arguments("-path m -database SQLITE://db.sqlite up"),
        ask("an option after a global one's end", "").arguments("-path m -database {url} -- up 1"),
    ]
}

fn commands() -> Vec<Case> {
    let mut cases = Vec::new();
    for command in [
        "goto",
        "goto x",
        "goto -1",
        "goto 4.0",
        "goto ''",
        "goto +4",
        "goto 0x4",
        "goto 4 9",
        "goto 04",
        "goto 99999999999999999999",
        "goto ' 4'",
        "goto 1_0",
        "up x",
        "up -1",
        "up 1 2",
        "up ''",
        "up 1.5",
        "up +1",
        "up 99999999999999999999",
        "down x",
        "down -1",
        "down 1 2",
        "down -all 1",
        "down 1 -all",
        "down -all=false 1",
        "down --all",
        "down ''",
        "down -all=true",
        "down +1",
        "force",
        "force x",
        "force -1",
        "force -- -1",
        "force -- -2",
        "force 7 8",
        "force ''",
        "force 1.0",
        "force +7",
        "force 9223372036854775807",
        "force 9223372036854775808",
        "force -- -9223372036854775809",
        "force 0",
        "version 1",
        "version x",
        "version -help",
        "version -nope",
        "drop -f x",
        "drop -f -f",
        "drop -x",
        "drop -f=true",
        "drop --f",
        "up --",
        "up -- 1",
        "goto -- 4",
        "down -- 1",
    ] {
        let case = ask(&format!("at 4: {command}"), command);
        let usage = ["goto -1", "up -1", "down -1", "force -1", "drop -x"].contains(&command);
        cases.push(if usage { case.usage() } else { case });
    }
    cases
}

fn helps() -> Vec<Case> {
    let mut cases = Vec::new();
    for command in ["goto", "up", "down", "drop", "force", "create"] {
        for option in ["-help", "-h", "--help", "-nope"] {
            let name = format!("{command} {option}");
            let asked = line(&name, &format!("-path m -database nope://x {command} {option}"));
            cases.push(asked.usage());
        }
    }
    cases
}

/// The two commands that ask, and every answer.
fn questions() -> Vec<Case> {
    let mut cases = Vec::new();
    for command in ["down", "drop"] {
        for (name, answer) in [
            ("y", "y\n"),
            ("a capital Y", "Y\n"),
            ("y without the end of a line", "y"),
            ("blanks around y", "  y \n"),
            ("y and another word", "y z\n"),
            ("yes", "yes\n"),
            ("n", "n\n"),
            ("nothing", ""),
            ("an empty line", "\n"),
            ("an empty line before y", "\ny\n"),
            ("a tab before y", "\ty\n"),
            ("carriage return", "y\r\n"),
            ("another word before y", "x y\n"),
            ("bytes that are no text", "\u{feff}y\n"),
        ] {
            cases.push(ask(&format!("{command}, answered {name}"), command).input(answer));
        }
        cases.push(
            case(format!("{command} of nothing, y"), ALL).reference().run(command).input("y\n"),
        );
        let wrong = format!("-path m -database nope://x {command}");
        cases.push(line(&format!("{command} of no database, y"), &wrong).input("y\n"));
        cases.push(line(&format!("{command} of no database, n"), &wrong).input("n\n"));
    }
    cases
}

/// What `-verbose` and `-prefetch` change.
fn telling() -> Vec<Case> {
    let mut cases = Vec::new();
    for command in
        ["up", "up 2", "down 2", "goto 1", "down -all", "force 5", "version", "drop -f", "goto 4"]
    {
        let start =
            |name: &str| case(format!("{name} {command}"), SQLITE).reference().after("goto 4");
        let run = |options: &str| format!("{options} -path m -database {{url}} {command}");
        cases.push(start("verbose,").arguments(&run("-verbose")));
        cases.push(start("verbose and no prefetch,").arguments(&run("-verbose -prefetch 0")));
        cases.push(start("prefetch of one,").arguments(&run("-prefetch 1")));
    }
    let verbose = |name: &str| {
        case(name, SQLITE).reference().arguments("-verbose -path m -database {url} up")
    };
    cases.extend([
        verbose("verbose, from nothing"),
        verbose("verbose, nothing to do").after("up"),
        verbose("verbose, and dirty").after("up").sql("UPDATE schema_migrations SET dirty = true"),
        verbose("verbose, and failing")
            .file("8_f.up.sql", "SELECT nothing")
            .taken_back("8 dirty", "7"),
        verbose("not verbose after all").arguments("-verbose=false -path m -database {url} up"),
        verbose("a prefetch of nothing").arguments("-prefetch 0 -path m -database {url} up"),
        verbose("a lock timeout").arguments("-lock-timeout 1 -path m -database {url} up"),
        verbose("a lock timeout of nothing")
            .after("up")
            .arguments("-lock-timeout 0 -path m -database {url} version"),
    ]);
    for number in ["9223372036854775808", "18446744073709551615"] {
        for command in ["goto", "up", "down"] {
            let name = format!("{command} {number}");
            // golang-migrate takes them for negative ones.
            let golang = if number.starts_with('1') { exits(0) } else { says("") };
            let sternway = exits(1).says("error: ").at("4").tables("t1 t3 t4");
            cases.push(ask(&name, &name).differs("D7", golang, sternway));
        }
    }
    cases
}
