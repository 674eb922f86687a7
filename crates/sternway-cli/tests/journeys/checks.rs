//! The checks of the settings: what they refuse, and what they tell.

use crate::support::{Machine, settings};

const CHECKS: &str = r#"
[[check]]
at = "before"
migration = "core 1"
sql = "select count(*) = 0 from letter where id = 13"
message = "letter 13 is not answered"

[[check]]
at = "after"
migration = "core 1"
sql = "select count(*) > 0 from letter;"
rows = "select 'no letter of ' || count(*) from letter  -- how many"
message = "there is no letter"
"#;

fn with_checks() -> String {
    format!("{}{CHECKS}", settings("letters", "migrations"))
}

/// Two releases: the first has a table, and the second a row in it.
fn letters() -> Machine {
    let machine = Machine::empty();
    machine.write("sternway.toml", &with_checks());
    for release in ["1.0.0", "1.1.0"] {
        let write = |name: &str, sql: &str| {
            machine.write(&format!("releases/{release}/migrations/{name}"), sql);
        };
        write("000001_letter.up.sql", "CREATE TABLE letter (id integer PRIMARY KEY)");
        write("000001_letter.down.sql", "DROP TABLE letter");
        if release == "1.1.0" {
            write("000002_first.up.sql", "INSERT INTO letter VALUES (13)");
            write("000002_first.down.sql", "DELETE FROM letter");
        }
    }
    machine
}

#[test]
fn a_check_refuses_a_journey_or_says_that_it_has_failed() {
    let machine = letters();
    let url = "sqlite://letters.db";
    let told = ["upgraded to 1.0.0", "check: there is no letter", "  no letter of 0"];
    // There is no table yet that could be asked before.
    machine.on(url, &["upgrade", "--to", "1.0.0", "--yes"]).ended(1).says(&told);
    let run = machine.on(url, &["upgrade", "--to", "1.1.0", "--yes"]).ended(0);
    assert!(!run.stdout.contains("check:"), "{}", run.stdout);
    let run = machine.on(url, &["rollback", "--to", "1.0.0", "--yes"]).ended(3);
    run.explains(&["letter 13 is not answered", "nothing was touched"]);
    machine.on(url, &["status"]).ended(0).says(&["core   schema_migrations  2   2       clean"]);
    let warned = machine.read("sternway.toml").replace("at = ", "severity = \"warn\"\nat = ");
    machine.write("sternway.toml", &warned);
    let run = machine.on(url, &["rollback", "--to", "1.0.0", "--yes"]).ended(0);
    run.explains(&["check: letter 13 is not answered"]).says(&["check: there is no letter"]);
}

#[test]
fn a_check_that_cannot_be_meant_is_an_error() {
    let machine = letters();
    for (from, to, why) in [
        ("\"core 1\"", "\"cores 1\"", "is of migration `cores 1`, which is none"),
        ("\"core 1\"", "\"core\"", "is of migration `core`, which is none"),
        ("at = \"before\"", "again = true\nat = \"before\"", "which runs nothing again"),
        ("migration = \"core 1\"", "again = true", "does not say which migration to run again"),
        ("at = \"before\"", "at = \"never\"", "never"),
    ] {
        machine.write("sternway.toml", &with_checks().replacen(from, to, 1));
        machine.run(&["releases"]).ended(2).explains(&[why]);
    }
    // What the server does not answer refuses the journey too.
    let wrong =
        with_checks().replacen("migration = \"core 1\"\nsql = \"select", "sql = \"selec", 1);
    machine.write("sternway.toml", &wrong);
    let upgrade = ["upgrade", "--to", "1.0.0", "--yes"];
    let run = machine.on("sqlite://letters.db", &upgrade).ended(1);
    run.explains(&["cannot check whether letter 13 is not answered"]);
}
