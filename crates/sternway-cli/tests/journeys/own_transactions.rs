//! Bodies with transactions of their own on MariaDB: what is in one happens once, and together.

use crate::both::server::Kind;
use crate::harbour::{self, Harbour};
use crate::support::is_killed;

const BOTH: &[&str] = &["1.0.0", "1.1.0"];
const NEW: &[&str] = &["1.1.0"];

/// What a body does to money, in a transaction and after `SET autocommit = 0`; and the way back.
const FILES: [(&str, &[&str], &str); 4] = [
    (
        "1_acc.up.sql",
        BOTH,
        "CREATE TABLE acc (id INT PRIMARY KEY, n INT NOT NULL, CHECK (n < 5000));
         CREATE TABLE log (id INT AUTO_INCREMENT PRIMARY KEY, n INT)",
    ),
    ("1_acc.down.sql", BOTH, "DROP TABLE acc, log"),
    (
        "2_more.up.sql",
        NEW,
        "CREATE TABLE extra (id INT PRIMARY KEY); START TRANSACTION; INSERT INTO log (n) SELECT n FROM acc;
         SET @a = 10; UPDATE acc SET n = n + @a; COMMIT; SET autocommit = 0; UPDATE acc SET n = n + 100;
         INSERT INTO log (n) VALUES (7); ALTER TABLE extra ADD COLUMN more INT; UPDATE acc SET n = n + 1000;
         INSERT INTO log (n) VALUES (8)",
    ),
    (
        "2_more.down.sql",
        NEW,
        "BEGIN; UPDATE acc SET n = n - 110; DELETE FROM log; DROP TABLE extra; UPDATE acc SET n = n - 1000",
    ),
];

const WAYS: [[&str; 5]; 2] = [
    ["rollback", "--to", "1.0.0", "--yes", "--unproven"],
    ["upgrade", "--to", "1.1.0", "--yes", "--unproven"],
];

/// Runs the program, to be killed at its n-th point. Whether it was.
fn goes(harbour: &Harbour<'_>, arguments: &[&str], at: Option<usize>) -> bool {
    let mut command = harbour.machine.command(arguments);
    harbour.of(&mut command);
    is_killed(command, at)
}

#[test]
fn what_is_in_a_transaction_of_a_body_happens_once_wherever_the_program_is_killed() {
    harbour::with(Kind::MariaDb, "own transactions", &FILES, |harbour, sql| {
        goes(harbour, &WAYS[1], None);
        sql("INSERT INTO acc VALUES (1, 1115)");
        sql("DELETE FROM log");
        sql("INSERT INTO log (n) VALUES (5), (7), (8)");
        let (mut kills, mut at, mut next) = (0, 1, [Some(1), Some(1)]);
        while next.iter().any(Option::is_some) {
            let to = 1 - at;
            let killed = goes(harbour, &WAYS[to], next[at]);
            let what = format!("{:?} killed at {:?}", WAYS[to], next[at]);
            next[at] = next[at].filter(|_| killed).map(|it| it + 1);
            kills += usize::from(killed);
            let status = harbour.run(&["status", "--output", "json"]);
            if !status.json("sternway.status/1")["unfinished"].is_null() {
                let end: [&[&str]; 2] = [&["resume", "--yes", "--unproven"], &["abort", "--yes"]];
                goes(harbour, end[kills % 2], None);
            }
            at = usize::from(sql("SELECT version FROM schema_migrations WHERE NOT dirty") == ["2"]);
            let found =
                [sql("SELECT n FROM acc"), sql("SELECT GROUP_CONCAT(n ORDER BY n) FROM log")];
            let expected = [[["5"], ["NULL"]], [["1115"], ["5,7,8"]]];
            assert_eq!(found, expected[at], "{what}");
        }
        assert!(kills > 40, "only {kills} kills");
    });
}

#[test]
fn what_a_failed_transaction_took_back_is_done_by_resume() {
    harbour::with(Kind::MariaDb, "failed transactions", &FILES, |harbour, sql| {
        goes(harbour, &WAYS[0].map(|it| if it == "rollback" { "upgrade" } else { it }), None);
        for (n, since, log) in [(4995, "statement 2", "NULL"), (4895, "it", "4895")] {
            sql("DELETE FROM acc");
            sql("DELETE FROM log");
            sql(&format!("INSERT INTO acc VALUES (1, {n})"));
            let run = harbour.run_before_rows(&WAYS[1]).ended(5);
            run.explains(&[&format!("what came before {since} stays")]);
            assert_eq!(sql("SELECT GROUP_CONCAT(n ORDER BY n) FROM log"), [log]);
            let left = sql("SELECT n FROM acc");
            assert_eq!(left, [(if log == "NULL" { n } else { n + 10 }).to_string()]);
            sql("UPDATE acc SET n = n - 4000");
            harbour.run(&["resume", "--yes", "--unproven"]).ended(0);
            let n = n - 4000;
            assert_eq!(sql("SELECT n FROM acc"), [(n + 1110).to_string()]);
            let first = if log == "NULL" { n } else { n + 4000 };
            let log = sql(&format!(
                "SELECT GROUP_CONCAT(n ORDER BY n) FROM log WHERE n IN (7, 8, {first})"
            ));
            assert_eq!(log, [format!("7,8,{first}")]);
            harbour.run(&WAYS[0]).ended(0);
        }
    });
}

/// The way back deletes more than half a body has put there: rows from before are named, and come back by number.
#[test]
fn rows_that_go_with_half_a_body_may_be_older() {
    let files: [(&str, &[&str], &str); 4] = [
        (
            "1_acc.up.sql",
            BOTH,
            "CREATE TABLE acc (id INT PRIMARY KEY, e VARCHAR(9)); CREATE TABLE log (id INT PRIMARY KEY)",
        ),
        ("1_acc.down.sql", BOTH, "DROP TABLE acc, log"),
        (
            "2_more.up.sql",
            NEW,
            "INSERT INTO log SELECT id FROM acc; UPDATE acc SET e = CONCAT('mailto:', e)",
        ),
        ("2_more.down.sql", NEW, "DELETE FROM log; UPDATE acc SET e = SUBSTR(e, 8)"),
    ];
    harbour::with(Kind::MariaDb, "older rows", &files, |harbour, sql| {
        harbour.run(&["upgrade", "--to", "1.0.0", "--yes"]).ended(0);
        sql("INSERT INTO acc VALUES (1, 'a@b.c')");
        sql("INSERT INTO log VALUES (7)");
        harbour.run_before_rows(&["upgrade", "--to", "1.1.0", "--yes"]).ended(5);
        harbour.run(&["abort", "--yes"]).ended(0).says(&[
            "kept rows of log: 2 rows",
            "2 rows stay in the archive: what took back half a migration deleted or changed it; it may be older than that",
        ]);
        assert_eq!(sql("SELECT id FROM log"), [""; 0]);
        let list = harbour.run(&["archive", "list", "--output", "json"]).ended(0);
        let list = list.json("sternway.archive.list/1");
        let entry =
            list["entries"].as_array().and_then(|it| it.iter().find(|it| it["table"] == "log"));
        let id = entry.map(|it| it["id"].to_string()).unwrap_or_else(|| panic!("{list}"));
        harbour.run(&["archive", "restore", &id, "--yes"]).ended(0);
        assert_eq!(sql("SELECT id FROM log ORDER BY id"), ["1", "7"]);
    });
}
