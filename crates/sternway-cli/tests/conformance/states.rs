//! The states that a database may be in: dirty, at a version that the source lacks, tracked oddly.

use super::case::{ALL, Case, Claim, MARIADB, POSTGRESQL, SQLITE, at, case, exits, says};
use super::travel::missing;

/// What can be asked of a database whatever its state.
const COMMANDS: [&str; 12] = [
    "up",
    "up 1",
    "up 0",
    "down 1",
    "down 0",
    "down -all",
    "goto 4",
    "goto 7",
    "force 4",
    "force -- -1",
    "version",
    "drop -f",
];

pub fn cases() -> Vec<Case> {
    let mut cases = vec![];
    for command in COMMANDS {
        cases.push(dirty(command));
        cases.push(dirty_nothing(command));
        cases.push(strayed(2, command));
    }
    for version in [0, 6, 8] {
        cases.extend(["up", "down 1", "goto 1"].map(|it| strayed(version, it)));
    }
    cases.extend(failures());
    cases.extend(sources());
    cases.extend(tables());
    cases
}

fn dirty(command: &str) -> Case {
    case(format!("dirty at 4, {command}"), ALL)
        .reference()
        .after("goto 4")
        .sql("UPDATE schema_migrations SET dirty = true")
        .run(command)
}

fn dirty_nothing(command: &str) -> Case {
    let case = case(format!("dirty at nothing, {command}"), ALL)
        .reference()
        .after("goto 1")
        .sql("UPDATE schema_migrations SET version = -1, dirty = true")
        .run(command);
    if command != "version" {
        return case;
    }
    case.differs("D4", says("error: no migration").lacks("dirty"), exits(1).says("dirty"))
}

/// A version that the source does not have.
fn strayed(version: u64, command: &str) -> Case {
    let name = format!("at {version}, which is missing, {command}");
    let case = case(name, ALL).reference().after(&format!("force {version}")).run(command);
    let quiet = ["force", "version", "drop", "up 0", "down 0"];
    if quiet.iter().any(|it| command.starts_with(it)) { case } else { missing(case, version) }
}

/// What a failure leaves, and what is done about it.
fn failures() -> Vec<Case> {
    let bad = |name: &str| {
        case(name, ALL)
            .reference()
            .file("8_f.up.sql", "CREATE TABLE t8 (x int); SELECT * FROM nothing_there")
            .file("8_f.down.sql", "DROP TABLE nothing_there")
    };
    vec![
        bad("a failing migration stops the way up").run("up").taken_back("8 dirty", "7"),
        bad("what came before a failing one stays")
            .after("goto 4")
            .run("up 3")
            .taken_back("8 dirty", "7"),
        bad("after a failure, up").after_failed("up").run("up"),
        bad("after a failure, version").after_failed("up").run("version"),
        bad("after a failure, force back").after_failed("up").run("force 7"),
        bad("after a failure, force and down").after_failed("up").after("force 7").run("down 1"),
        bad("after a failure, repaired and up again")
            .after_failed("up")
            .after("force 7")
            .sql("DROP TABLE IF EXISTS t8")
            .file("8_f.up.sql", "CREATE TABLE t8 (x int)")
            .run("up"),
        bad("a failing way down leaves its target dirty")
            .after("force 8")
            .run("down 1")
            .taken_back("7 dirty", "8"),
        bad("after a failing way down, version")
            .after("force 8")
            .after_failed("down 1")
            .run("version"),
        case("a failing way down to nothing leaves nothing dirty", ALL)
            .file("1_a.up.sql", "CREATE TABLE a (x int)")
            .file("1_a.down.sql", "DROP TABLE b")
            .after("up")
            .run("down 1")
            .taken_back("-1 dirty", "1"),
        case("after a failing way down to nothing, up", ALL)
            .file("1_a.up.sql", "CREATE TABLE a (x int)")
            .file("1_a.down.sql", "DROP TABLE b")
            .after("up")
            .after_failed("down 1")
            .run("up"),
    ]
}

/// A source that changed since.
fn sources() -> Vec<Case> {
    let mut cases = vec![
        case("an older file is removed, up", ALL)
            .reference()
            .after("goto 5")
            .without("1_a.up.sql")
            .without("1_a.down.sql")
            .run("up"),
        case("an older file is removed, down", ALL)
            .reference()
            .after("goto 5")
            .without("1_a.up.sql")
            .without("1_a.down.sql")
            .run("down -all"),
        case("the down file alone is removed", ALL)
            .reference()
            .after("up")
            .without("7_e.down.sql")
            .run("down 1"),
        case("the up file alone is removed", ALL)
            .reference()
            .after("goto 4")
            .without("7_e.up.sql")
            .run("up"),
    ];
    for command in ["up", "up 1", "down 1", "goto 1"] {
        let name = format!("the current version's files are removed, {command}");
        let case = case(name, ALL).reference().after("up");
        cases.push(missing(case.without("7_e.up.sql").without("7_e.down.sql").run(command), 7));
    }
    cases
}

/// Tracking tables that hold what neither program writes, or that somebody else made.
fn tables() -> Vec<Case> {
    let made = |name: &str, kinds, columns: &str| {
        let case = case(name, kinds)
            .reference()
            .sql(&format!("CREATE TABLE schema_migrations ({columns})"));
        // SQLite has an index for the primary key.
        let own = usize::from(columns.contains("PRIMARY KEY"));
        let (golang, sternway) = (Claim::default().indexes(own + 1), Claim::default().indexes(own));
        if columns.contains("version") {
            case.differs_on(SQLITE, "D14", golang, sternway)
        } else {
            case
        }
    };
    let row = |case: Case, version: i64, dirty: bool| {
        case.sql(&format!(
            "INSERT INTO schema_migrations (version, dirty) VALUES ({version}, {dirty})"
        ))
    };
    let plain = "version bigint NOT NULL PRIMARY KEY, dirty boolean NOT NULL";
    let mut cases = vec![
        made("an empty table of its own, up", ALL, plain).run("up"),
        made("an empty table of its own, version", ALL, plain).run("version"),
        made("an empty table of its own, down 1", ALL, plain).run("down 1"),
        row(made("a table that others made, up", ALL, plain), 4, false).run("up"),
        row(made("a narrow table, up", ALL, "version int, dirty boolean"), 4, false).run("up"),
        row(made("a clean -1, version", ALL, plain), -1, false).run("version"),
        row(made("a clean -1, up 1", ALL, plain), -1, false).run("up 1"),
        row(made("a clean -1, force 3", ALL, plain), -1, false).run("force 3"),
        made("a table without the columns, up", ALL, "id int").table("none").run("up"),
    ];
    let several = |name: &str, kinds| {
        let table = "version bigint NOT NULL, dirty boolean NOT NULL";
        row(row(made(name, kinds, table), 4, false), 4, false).reference()
    };
    let refused = || exits(1).says("more than one row");
    let of_sqlite = |name: &str| {
        several(name, SQLITE).sql(
            "DROP INDEX IF EXISTS version_unique; DELETE FROM schema_migrations;
             INSERT INTO schema_migrations VALUES (4, false), (3, false)",
        )
    };
    cases.extend([
        several("two rows of one version, version", POSTGRESQL).run("version").differs(
            "D28",
            exits(0).says("4"),
            refused(),
        ),
        several("two rows of one version, up 1", POSTGRESQL).run("up 1").differs(
            "D28",
            exits(0).at("5"),
            refused().at("4, 4"),
        ),
        several("two rows of one version, force 5", POSTGRESQL).run("force 5"),
        of_sqlite("two rows in SQLite, up 1").run("up 1").differs(
            "D28",
            exits(0).indexes(1),
            refused().at("3, 4").indexes(0),
        ),
        of_sqlite("two rows in SQLite, force 5").run("force 5"),
        several("two rows in MariaDB, version", MARIADB).run("version").differs(
            "D28",
            exits(0).says("4"),
            refused(),
        ),
        several("two rows in MariaDB, force 5", MARIADB).run("force 5").differs(
            "D15",
            at("4, 5"),
            at("5"),
        ),
    ]);
    cases
}
