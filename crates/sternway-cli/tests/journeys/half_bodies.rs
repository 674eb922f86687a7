//! Bodies that came only half way, and how they are undone or finished.

use std::process::Stdio;

use crate::both::server::Kind;
use crate::both::{self, Pair, Place};
use crate::dialects::{FILES, until, waiting};
use crate::harbour::Harbour;

/// A body that fails half way is undone by that part of its other half that is about what took effect,
/// and what it took away is back; also where that is cut short as well.
pub fn half_way(kind: Kind, test: &str) {
    let Some(pair) = Pair::new(kind, test) else { return };
    let mut admin = pair.admin();
    let place = Place::new(&pair, &mut admin);
    let (index, on) = match kind {
        Kind::MariaDb => ("UNIQUE INDEX", " ON ship"),
        _ => ("UNIQUE INDEX CONCURRENTLY", ""),
    };
    let up =
        format!("ALTER TABLE ship DROP COLUMN flag;\nCREATE {index} ship_name ON ship (name);");
    let down = format!("DROP INDEX ship_name{on};\nALTER TABLE ship ADD COLUMN flag varchar(2);");
    let ship = "CREATE TABLE ship (id integer PRIMARY KEY, name varchar(80), flag varchar(2));";
    let files: [(&str, &[&str], &str); 4] = [
        ("1_ship.up.sql", &["1.0.0", "1.1.0"], ship),
        ("1_ship.down.sql", &["1.0.0", "1.1.0"], "DROP TABLE ship;"),
        ("2_name.up.sql", &["1.1.0"], &up),
        ("2_name.down.sql", &["1.1.0"], &down),
    ];
    let harbour = Harbour::on(&place, &files);
    harbour.run(&["upgrade", "--to", "1.0.0", "--yes"]).ended(0);
    let rows = "INSERT INTO ship VALUES (1, 'Anna', 'se'), (2, 'Anna', 'de'), (3, 'Ida', NULL)";
    place.execute(&mut admin, rows);
    let rows = "SELECT id, name, flag FROM ship ORDER BY id";
    let before = admin.rows(&place, rows);
    let is_back = |admin: &mut both::server::Admin| {
        assert_eq!(admin.rows(&place, rows), before);
        harbour.run(&["status"]).ended(0).says(&["schema: of 1.0.0", "drift: none"]);
    };
    let upgrade = ["upgrade", "--to", "1.1.0", "--yes"];
    harbour
        .run_before_rows(&upgrade)
        .ended(5)
        .explains(&["failed in statement 2", "`sternway abort`"]);
    harbour
        .run(&["abort", "--yes"])
        .ended(0)
        .says(&["put back column", "is taken back; the schema is what it was before the run"]);
    is_back(&mut admin);
    if kind == Kind::MariaDb {
        harbour.run_before_rows(&upgrade).ended(5);
        // Killed while the one statement that leads back waits for somebody who reads.
        place.execute(&mut admin, "START TRANSACTION; SELECT * FROM ship");
        let mut command = harbour.machine.command(&["abort", "--yes", "--lock-wait", "0"]);
        harbour.of(&mut command);
        let mut child = command.stdout(Stdio::null()).spawn().expect("an abort");
        let waits = waiting(&place, "ALTER TABLE ship ADD COLUMN flag");
        until(|| !admin.rows(&place, &waits).is_empty());
        child.kill().expect("a kill");
        child.wait().expect("an end");
        let orphan = admin.rows(&place, &waits).join("");
        place.execute(&mut admin, &format!("KILL CONNECTION {orphan}; COMMIT"));
        harbour.run(&["status"]).ended(5).says(&["being taken back, 1 steps are left"]);
        harbour.run(&["abort", "--yes"]).ended(0).says(&["put back column"]);
        is_back(&mut admin);
    }
    place.execute(&mut admin, "UPDATE ship SET name = 'Olga' WHERE id = 2");
    harbour.run_before_rows(&upgrade).ended(0);
    harbour.run(&["rollback", "--to", "1.0.0", "--yes"]).ended(0);
    let flags = admin.rows(&place, "SELECT id, flag FROM ship ORDER BY id");
    assert_eq!(flags, ["1|se", "2|de", "3|NULL"]);
}

#[test]
fn half_a_body_is_undone_on_mariadb() {
    half_way(Kind::MariaDb, "half a body on MariaDB");
}

/// The statements of the other half that change rows, and those that take away what was there before, are
/// no part of the way back; but what the first half put into a table goes again.
pub fn half_way_with_rows(kind: Kind, test: &str) {
    const TRAP: &str = "INSERT INTO berth (id) SELECT id FROM berth";
    for (name, up, down, sets, fails) in [
        (
            "a column is filled again",
            &[
                "ALTER TABLE ship ADD COLUMN status varchar(9)",
                "UPDATE ship SET status = 'new'",
                "ALTER TABLE ship ADD COLUMN w integer",
            ][..],
            &["ALTER TABLE ship DROP COLUMN w", TRAP, "ALTER TABLE ship DROP COLUMN status"][..],
            "UPDATE ship SET status = concat('s', id), w = id",
            "rollback",
        ),
        (
            "rows are changed and deleted",
            &["UPDATE ship SET name = upper(name)", "DELETE FROM berth WHERE id = 7", TRAP],
            &["INSERT INTO berth (id) VALUES (7)", "UPDATE ship SET name = lower(name)"],
            "INSERT INTO berth (id, ship) VALUES (7, 2)",
            "upgrade",
        ),
        (
            "rows are put somewhere",
            &[
                "INSERT INTO ship (id, name) VALUES (100, 'seed')",
                "CREATE TABLE note (id integer PRIMARY KEY, name varchar(80))",
                "INSERT INTO note SELECT id, name FROM ship",
                TRAP,
                "ALTER TABLE ship DROP COLUMN flag",
            ],
            &[
                "ALTER TABLE ship ADD COLUMN flag varchar(2)",
                "UPDATE ship SET name = (SELECT n.name FROM note n WHERE n.id = ship.id AND n.id > 100)",
                "DROP TABLE note",
                "DELETE FROM ship WHERE id = 100",
            ],
            "UPDATE ship SET flag = 'se' WHERE id = 1",
            "upgrade",
        ),
        (
            "a name is given back",
            &[
                "ALTER TABLE ship RENAME COLUMN name TO title",
                TRAP,
                "ALTER TABLE ship DROP COLUMN flag",
                "ALTER TABLE ship ADD COLUMN flag varchar(9) DEFAULT 'none'",
            ],
            &[
                "ALTER TABLE ship DROP COLUMN flag",
                "ALTER TABLE ship ADD COLUMN flag varchar(2)",
                "ALTER TABLE ship RENAME COLUMN title TO name",
            ],
            "UPDATE ship SET flag = 'se' WHERE id = 1",
            "upgrade",
        ),
    ] {
        let Some(pair) = Pair::new(kind, test) else { return };
        let mut admin = pair.admin();
        let place = Place::new(&pair, &mut admin);
        let base = "CREATE TABLE ship (id integer PRIMARY KEY, name varchar(80), flag varchar(2));
                    CREATE TABLE berth (id integer PRIMARY KEY, ship integer);";
        // By itself it makes the body run statement by statement.
        let alone = if kind == Kind::PostgreSql {
            "DROP INDEX CONCURRENTLY IF EXISTS none_such;\n"
        } else {
            ""
        };
        let (up, down) =
            (format!("{alone}{};", up.join(";\n")), format!("{alone}{};", down.join(";\n")));
        let files: [(&str, &[&str], &str); 4] = [
            ("1_ship.up.sql", &["1.0.0", "1.1.0"], base),
            ("1_ship.down.sql", &["1.0.0", "1.1.0"], "DROP TABLE ship; DROP TABLE berth;"),
            (
                "2_half.up.sql",
                &["1.1.0"],
                &up.replace(TRAP, if fails == "upgrade" { TRAP } else { "SELECT 1" }),
            ),
            ("2_half.down.sql", &["1.1.0"], &down),
        ];
        let harbour = Harbour::on(&place, &files);
        harbour.run(&["upgrade", "--to", "1.0.0", "--yes"]).ended(0);
        let rows = "INSERT INTO ship (id, name) VALUES (1, 'Anna'), (2, 'iDa');
                    INSERT INTO berth (id) VALUES (5)";
        place.execute(&mut admin, rows);
        if fails == "rollback" {
            harbour.run(&["upgrade", "--to", "1.1.0", "--yes"]).ended(0);
        }
        place.execute(&mut admin, sets);
        let dump = |admin: &mut both::server::Admin| {
            ["ship", "berth"]
                .map(|table| admin.rows(&place, &format!("SELECT * FROM {table} ORDER BY id")))
        };
        let before = dump(&mut admin);
        let to = if fails == "rollback" { "1.0.0" } else { "1.1.0" };
        harbour.run(&[fails, "--to", to, "--yes"]).ended(5);
        harbour.run(&["abort", "--yes"]).ended(0);
        assert_eq!(dump(&mut admin), before, "{name}");
        harbour.run(&["status"]).ended(0).says(&["drift: none"]);
    }
}

#[test]
fn half_a_body_that_changes_rows_is_undone_on_mariadb() {
    half_way_with_rows(Kind::MariaDb, "half a body with rows on MariaDB");
}

/// A column that a body has made and not yet filled is nothing that its rest takes away.
#[test]
fn a_new_column_is_filled_after_all_on_mariadb() {
    let Some(pair) = Pair::new(Kind::MariaDb, "a new column on MariaDB") else { return };
    let mut admin = pair.admin();
    let place = Place::new(&pair, &mut admin);
    let mut files = FILES;
    files[4].2 = "ALTER TABLE ship ADD COLUMN flag varchar(2); UPDATE ship SET flag = name;";
    let harbour = Harbour::on(&place, &files);
    harbour.run(&["upgrade", "--to", "1.1.0", "--yes"]).ended(0);
    place.execute(&mut admin, "INSERT INTO ship (id, name) VALUES (1, 'Anna')");
    let run = harbour.run(&["upgrade", "--to", "1.2.0", "--yes"]).ended(5);
    run.explains(&["failed in statement 2", "too long"]);
    // The schema is that of the target, and the rows are not.
    let status = harbour.run(&["status"]).ended(5).says(&["unfinished: run ", "`sternway resume`"]);
    assert!(!status.stdout.contains("repair"), "{}", status.stdout);
    place.execute(&mut admin, "UPDATE ship SET name = 'se'");
    harbour.run(&["resume", "--yes"]).ended(0);
    assert_eq!(admin.rows(&place, "SELECT flag FROM ship"), ["se"]);
}
