//! `create`, which needs no database.

use super::case::{Case, NONE, SQLITE, at, case, exits};

pub fn cases() -> Vec<Case> {
    let mut cases = plain();
    cases.extend(refused());
    cases.extend(numbers());
    cases.extend(odd());
    cases
}

fn create(name: &str, arguments: &str) -> Case {
    case(format!("create: {name}"), NONE).arguments(&format!("create {arguments}"))
}

fn plain() -> Vec<Case> {
    vec![
        create("by time", "-ext sql -dir m a"),
        create("by time, in the current folder", "-ext sql a"),
        create("an extension with a point", "-ext .sql -dir m a"),
        create("an extension with two points", "-ext ..sql -dir m a"),
        create("an extension of two parts", "-ext a.sql -dir m a"),
        create("unix seconds", "-ext sql -dir m -format unix a"),
        create("unix nanoseconds", "-ext sql -dir m -format unixNano a"),
        create("minutes", "-ext sql -dir m -format 200601021504 a"),
        create("a year", "-ext sql -dir m -format 2006 a"),
        create("a layout of words", "-ext sql -dir m -format zz a"),
        create("a layout with hyphens", "-ext sql -dir m -format 2006-01-02 a"),
        create("a layout with names", "-ext sql -dir m -format 'Jan 2006' a"),
        create("a layout of a short year", "-ext sql -dir m -format 06 a"),
        create("a zone", "-ext sql -dir m -tz Europe/Berlin a"),
        create("the zone Local", "-ext sql -dir m -tz Local a"),
        create("two dashes", "--ext sql --dir m --seq a"),
        create("an equals sign", "-ext=sql -dir=m -seq=true a"),
        create("seq is false", "-ext sql -dir m -seq=false a"),
        create("numbers", "-ext sql -dir m -seq a"),
        create("two digits", "-ext sql -dir m -seq -digits 2 a"),
        create("one digit", "-ext sql -dir m -seq -digits 1 a"),
        create("digits without numbers", "-ext sql -dir m -digits 3 a"),
        create("a new folder", "-ext sql -dir new/er/ -seq a"),
        create("a folder with points", "-ext sql -dir ./m/../m/./x -seq a"),
        create("the folder above", "-ext sql -dir m/.. -seq a"),
        create("an absolute folder", "-ext sql -dir {dir}/m -seq a"),
        create("verbose", "-ext sql -dir m -seq a").arguments("-verbose create -ext sql -seq a"),
        create("help", "-help").usage(),
        create("h", "-h").usage(),
        create("more words", "-ext sql -dir m -seq a b c"),
        create("a path that does not matter", "")
            .arguments("-path nowhere create -ext sql -dir m -seq a"),
        create("a database that does not matter", "")
            .arguments("-path m -database nope://x create -ext sql -dir m -seq a"),
    ]
}

fn refused() -> Vec<Case> {
    vec![
        create("no name", "-ext sql -dir m"),
        create("no name and no extension", ""),
        create("no extension", "-dir m a"),
        create("an empty extension", "-ext '' -dir m a"),
        create("an extension of a point", "-ext . -dir m a"),
        create("options after the name", "-seq a -ext sql"),
        create("a bad zone", "-ext sql -dir m -tz Nowhere/Land a"),
        create("a bad zone with numbers", "-ext sql -dir m -seq -tz Nowhere a"),
        create("numbers and a format", "-ext sql -dir m -seq -format unix a"),
        create("numbers and the usual format", "-ext sql -dir m -seq -format 20060102150405 a"),
        create("an empty format", "-ext sql -dir m -format '' a"),
        create("no digits", "-ext sql -dir m -seq -digits 0 a"),
        create("negative digits", "-ext sql -dir m -seq -digits -1 a"),
        create("digits of letters", "-ext sql -dir m -seq -digits x a").usage(),
        create("an unknown option", "-ext sql -nope a").usage(),
        create("a folder that is a file", "-ext sql -dir file -seq a").beside("file", ""),
        create("a zone before numbers and a format", "-ext sql -seq -format unix -tz X a"),
        create("a slash in the name", "-ext sql -dir m -seq a/b"),
    ]
}

fn numbers() -> Vec<Case> {
    let seq = |name: &str| create(name, "-ext sql -dir m -seq a");
    vec![
        seq("after two").file("000001_a.up.sql", "").file("000002_b.up.sql", ""),
        seq("after a gap").file("000007_a.up.sql", ""),
        seq("after one with a down file").file("000001_a.up.sql", "").file("000001_a.down.sql", ""),
        seq("other extensions do not count").file("000005_a.up.txt", ""),
        seq("after short numbers").file("1_a.up.sql", "").file("2_a.up.sql", ""),
        seq("after the widest").file("999999_a.up.sql", ""),
        seq("no underscore").file("schema.sql", ""),
        seq("an underscore first").file("_a.sql", ""),
        seq("no number").file("bad_a.up.sql", ""),
        seq("a negative number").file("-5_a.up.sql", ""),
        seq("a huge number").file("18446744073709551615_a.up.sql", "").differs(
            "D17",
            exits(0).says("000000_a.up.sql").files(&["m/000000_a.up.sql"]),
            exits(1).says("Next sequence number").says("too large").no_files(&["m/000000_a"]),
        ),
        seq("a number too huge").file("99999999999999999999_a.up.sql", ""),
        seq("a folder's name counts").folder("m/000004_x.sql"),
        create("one digit after nine", "-ext sql -dir m -seq -digits 1 a").file("9_a.up.sql", ""),
        create("one digit after three", "-ext sql -dir m -seq -digits 1 a")
            .file("3_a.up.sql", "")
            .file("4_a.up.sql", ""),
        create("a year that is there", "-ext sql -dir m -format 2006 a").file("2026_b.up.sql", ""),
        create("words that are there", "-ext sql -dir m -format zz a").file("zz_b.up.sql", ""),
        create("words that are there, of another extension", "-ext sql -dir m -format zz a")
            .file("zz_b.up.txt", ""),
        create("words that are there without a name", "-ext sql -dir m -format zz a")
            .file("zz_.sql", ""),
    ]
}

fn odd() -> Vec<Case> {
    vec![
        create("a blank in the name", "-ext sql -dir m -seq 'a b'"),
        create("an empty name", "-ext sql -dir m -seq ''"),
        create("a name with points", "-ext sql -dir m -seq a.up"),
        create("a name that is not ASCII", "-ext sql -dir m -seq é"),
        create("a folder in brackets", "-ext sql -dir 'c[1]' -seq a")
            .beside("c[1]/000001_a.up.sql", "")
            .differs(
                "D17",
                exits(1).says("error: open c[1]/000001_a.up.sql: file exists"),
                exits(0)
                    .says("000002_a.down.sql")
                    .files(&["c[1]/000002_a.up.sql", "c[1]/000002_a.down.sql"]),
            ),
        create("mixed widths", "-ext sql -dir m -seq -digits 2 a")
            .file("000001_a.up.sql", "")
            .file("002_a.up.sql", "")
            .file("000003_a.up.sql", "")
            .differs(
                "D17",
                exits(0).says("m/03_a.up.sql").files(&["m/03_a.up.sql"]),
                exits(0).says("m/04_a.up.sql").files(&["m/04_a.up.sql", "m/04_a.down.sql"]),
            ),
        create("the second name is too long", &format!("-ext sql -dir m -seq {}", "a".repeat(241)))
            .differs(
                "D17",
                exits(1).says("file name too long").files(&["m/000001_aaa"]),
                exits(1).says("file name too long").no_files(&["m/000001_aaa"]),
            ),
        case("create: a database that is given", SQLITE)
            .run("create -ext sql -dir m -seq a")
            .differs("D17", at("none"), at("absent")),
    ]
}
