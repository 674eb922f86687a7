//! Bodies among rows: what a body asks of the rows that are there is foreseen before its first write, and rows that wait in the
//! archive get what they wait for.

use crate::both::server::Kind;
use crate::harbour::{ALL, LATER, alone, with};
use crate::support::Run;

/// A body makes a column that each row needs a value for, among rows: it has what the archive gives each, and is
/// refused before the first write where a row has none. What it makes in a table that it drops needs nothing.
fn needed_among_rows(kind: Kind, test: &str) {
    let files: [(&str, &[&str], &str); 4] = [
        (
            "1_ship.up.sql",
            ALL,
            "CREATE TABLE ship (id integer PRIMARY KEY, name varchar(20));\n\
             CREATE TABLE old (id integer PRIMARY KEY);",
        ),
        ("1_ship.down.sql", ALL, "DROP TABLE old;\nDROP TABLE ship;"),
        (
            "2_cargo.up.sql",
            LATER,
            "CREATE VIEW names AS SELECT name FROM ship;\n\
             ALTER TABLE old ADD COLUMN cargo varchar(20) NOT NULL;\nDROP TABLE old;\n\
             ALTER TABLE ship ADD COLUMN cargo varchar(20) NOT NULL;\n\
             CREATE INDEX ship_cargo ON ship (cargo);",
        ),
        (
            "2_cargo.down.sql",
            LATER,
            "DROP INDEX ship_cargo;\nALTER TABLE ship DROP COLUMN cargo;\nDROP VIEW names;\n\
             CREATE TABLE old (id integer PRIMARY KEY);",
        ),
    ];
    with(kind, test, &files, |harbour, sql| {
        harbour.run(&["upgrade", "--to", "1.1.0", "--yes"]).ended(0);
        sql("INSERT INTO ship VALUES (1, 'Anna', 'tea')");
        for id in 1..3 {
            harbour.run(&["rollback", "--to", "1.0.0", "--yes"]).ended(0);
            sql(&format!("INSERT INTO old VALUES ({id})"));
            harbour.run(&["upgrade", "--to", "1.1.0", "--yes"]).ended(0).says(&[
                "without its NOT NULL, for there are rows: ALTER TABLE ship ADD COLUMN cargo",
                "generated, once each row has its value: ",
                "upgraded to 1.1.0; the schema is that of a clean install of core 2",
            ]);
            assert_eq!(sql("SELECT cargo FROM ship"), ["tea"]);
            harbour.run(&["status"]).ended(0).says(&["schema: of 2 releases", "drift: none"]);
        }
        harbour.run(&["rollback", "--to", "1.0.0", "--yes"]).ended(0);
        sql("INSERT INTO ship VALUES (2, 'Berta')");
        let upgrade = ["upgrade", "--to", "1.1.0", "--yes"];
        harbour.run(&upgrade).ended(3).explains(&[
            "rows of `ship` have no value for column `cargo` of `ship`",
            "nothing was touched",
            "--accept-difference ship.cargo",
        ]);
        harbour.run(&["status"]).ended(0).says(&["schema: of 1.0.0", "drift: none"]);
        // So is a plan from before that row.
        sql("DELETE FROM ship WHERE id = 2");
        harbour.run(&["plan", "--to", "1.1.0", "--out", "plan.json"]).ended(0);
        sql("INSERT INTO ship VALUES (2, 'Berta')");
        harbour
            .run(&["apply", "plan.json", "--yes"])
            .ended(3)
            .explains(&["ship", "nothing was touched"]);
        let plan =
            ["plan", "--to", "1.1.0", "--accept-difference", "ship.cargo", "--out", "plan.json"];
        harbour.run(&plan).ended(0);
        harbour
            .run(&["apply", "plan.json", "--yes"])
            .ended(0)
            .says(&["accepted: column `cargo` of `ship`"]);
        assert_eq!(sql("SELECT cargo FROM ship WHERE id = 1"), ["tea"]);
    });
}

#[test]
fn a_needed_column_is_made_among_rows_on_sqlite() {
    needed_among_rows(Kind::Sqlite, "a needed column among rows on SQLite");
}

/// A body asks of rows what not all of them have: it is refused before its first write, with how many they are.
fn rows_that_do_not_fit(kind: Kind, test: &str, (up, down): (&str, &str), says: &[&str]) {
    let files: [(&str, &[&str], &str); 4] = [
        (
            "1_job.up.sql",
            ALL,
            "CREATE TABLE person (id integer PRIMARY KEY);\n\
             CREATE TABLE job (id integer PRIMARY KEY, name varchar(20) NOT NULL, state varchar(5), boss integer,
                               CONSTRAINT job_name UNIQUE (name), CONSTRAINT job_id CHECK (id > 0),
                               CONSTRAINT job_boss FOREIGN KEY (boss) REFERENCES person (id));",
        ),
        ("1_job.down.sql", ALL, "DROP TABLE job;\nDROP TABLE person;"),
        ("2_free.up.sql", LATER, up),
        ("2_free.down.sql", LATER, down),
    ];
    with(kind, test, &files, |harbour, sql| {
        harbour.run(&["upgrade", "--to", "1.1.0", "--yes"]).ended(0);
        harbour.run(&["plan", "--to", "1.0.0", "--out", "plan.json"]).ended(0);
        sql("INSERT INTO person VALUES (1)");
        sql(
            "INSERT INTO job VALUES (1, 'a', 'open', 1), (2, NULL, 'for ever', 7), (3, 'a', 'open', NULL)",
        );
        sql("INSERT INTO job VALUES (-4, NULL, 'done', 1)");
        harbour.refuses_back(says);
        harbour.refuses_back(&["nothing was touched"]);
        // A plan of before they came asks them again.
        let apply = ["apply", "plan.json", "--yes"];
        harbour.run(&apply).ended(3).explains(&[says[0], "nothing was touched"]);
        harbour.run(&["status"]).ended(0).says(&["schema: of 2 releases", "drift: none"]);
        sql("UPDATE job SET name = 'b', state = 'never', boss = 1 WHERE id = 2");
        sql("UPDATE job SET name = 'c' WHERE id = 3");
        sql("DELETE FROM job WHERE id = -4");
        harbour
            .run(&apply)
            .ended(0)
            .says(&["rolled back to 1.0.0; the schema is that of a clean install of core 1"]);
        assert_eq!(sql("SELECT name FROM job ORDER BY id"), ["a", "b", "c"]);
        harbour.run(&["upgrade", "--to", "1.1.0", "--yes"]).ended(0);
    });
}

const ON_JOB: [&str; 5] = [
    "rows of `job` have no value for column `name` of `job`, which each would need (2 of them)",
    "rows of `job` hold what column `state` of `job` cannot take as",
    "rows of `job` do not fit constraint `job_name` of `job`",
    "rows of `job` do not fit constraint `job_boss` of `job`",
    "--accept-difference job.name",
];

#[test]
fn rows_that_do_not_fit_a_body_are_foreseen_on_mariadb() {
    let halves = (
        "ALTER TABLE job MODIFY name varchar(20), MODIFY state varchar(20);\n\
         ALTER TABLE job DROP FOREIGN KEY job_boss;\nALTER TABLE job DROP INDEX job_name;\n\
         ALTER TABLE job DROP CONSTRAINT job_id;",
        "ALTER TABLE job MODIFY name varchar(20) NOT NULL, MODIFY state varchar(5);\n\
         ALTER TABLE job ADD CONSTRAINT job_name UNIQUE (name);\n\
         ALTER TABLE job ADD CONSTRAINT job_id CHECK (id > 0);\n\
         ALTER TABLE job ADD CONSTRAINT job_boss FOREIGN KEY (boss) REFERENCES person (id);",
    );
    rows_that_do_not_fit(Kind::MariaDb, "rows that do not fit on MariaDB", halves, &ON_JOB);
}

#[test]
fn rows_that_do_not_fit_a_body_are_foreseen_on_sqlite() {
    let halves = (
        "CREATE TABLE new (id integer PRIMARY KEY, name varchar(20), state varchar(5), boss integer);\n\
         INSERT INTO new SELECT * FROM job;\nDROP TABLE job;\nALTER TABLE new RENAME TO job;",
        "CREATE TABLE new (id integer PRIMARY KEY, name varchar(20) NOT NULL, state varchar(5), boss integer,
                           CONSTRAINT job_name UNIQUE (name), CONSTRAINT job_id CHECK (id > 0),
                           CONSTRAINT job_boss FOREIGN KEY (boss) REFERENCES person (id));\n\
         INSERT INTO new (id, name, state, boss) SELECT id, name, state, boss FROM job;\n\
         DROP TABLE job;\nALTER TABLE new RENAME TO job;",
    );
    let says = [
        "do not fit column `name` of `new`: varchar (20) not null (2 of them)",
        "do not fit constraint `unique (name)` of `new`",
        "do not fit constraint `check",
        "Put these rows right",
    ];
    rows_that_do_not_fit(Kind::Sqlite, "rows that do not fit on SQLite", halves, &says);
}

/// What refers to rows that the archive has runs behind their return.
fn behind_the_rows(kind: Kind, test: &str, drop: &str) {
    let up = format!("{drop};\nDROP TABLE person;");
    let files: [(&str, &[&str], &str); 4] = [
        (
            "1_job.up.sql",
            ALL,
            "CREATE TABLE person (id integer PRIMARY KEY);\n\
             CREATE TABLE job (id integer PRIMARY KEY, boss integer,
                               CONSTRAINT job_boss FOREIGN KEY (boss) REFERENCES person (id));",
        ),
        ("1_job.down.sql", ALL, "DROP TABLE job;\nDROP TABLE person;"),
        ("2_free.up.sql", LATER, &up),
        (
            "2_free.down.sql",
            LATER,
            "CREATE TABLE person (id integer PRIMARY KEY);\n\
             ALTER TABLE job ADD CONSTRAINT job_boss FOREIGN KEY (boss) REFERENCES person (id);",
        ),
    ];
    with(kind, test, &files, |harbour, sql| {
        harbour.run(&["upgrade", "--to", "1.0.0", "--yes"]).ended(0);
        sql("INSERT INTO person VALUES (1), (2)");
        sql("INSERT INTO job VALUES (1, 1), (2, 2)");
        for _ in 0..2 {
            harbour.run(&["upgrade", "--to", "1.1.0", "--yes"]).ended(0);
            harbour.run(&["plan", "--to", "1.0.0", "--out", "plan.json"]).ended(0);
            harbour.run(&["apply", "plan.json", "--yes"]).ended(0).says(&[
                "once the archive has restored what it keeps: ALTER TABLE job ADD CONSTRAINT job_boss",
                "ok 1.0.0: the schema is proved",
            ]);
            assert_eq!(sql("SELECT id FROM person ORDER BY id"), ["1", "2"]);
        }
    });
}

#[test]
fn a_constraint_comes_behind_the_rows_that_it_needs_on_mariadb() {
    let drop = "ALTER TABLE job DROP FOREIGN KEY job_boss";
    behind_the_rows(Kind::MariaDb, "behind the rows on MariaDB", drop);
}

/// A column that a body makes and renames has its values by its last name.
fn made_and_renamed(kind: Kind, test: &str) {
    let files: [(&str, &[&str], &str); 4] = [
        ("1_ship.up.sql", ALL, "CREATE TABLE ship (id integer PRIMARY KEY, name varchar(20));"),
        ("1_ship.down.sql", ALL, "DROP TABLE ship;"),
        (
            "2_cargo.up.sql",
            LATER,
            "ALTER TABLE ship ADD COLUMN cargo varchar(20) NOT NULL;\n\
             ALTER TABLE ship RENAME COLUMN cargo TO goods;",
        ),
        ("2_cargo.down.sql", LATER, "ALTER TABLE ship DROP COLUMN goods;"),
    ];
    with(kind, test, &files, |harbour, sql| {
        harbour.run(&["upgrade", "--to", "1.1.0", "--yes"]).ended(0);
        sql("INSERT INTO ship VALUES (1, 'Anna', 'tea')");
        harbour.run(&["rollback", "--to", "1.0.0", "--yes"]).ended(0);
        let upgrade = ["upgrade", "--to", "1.1.0", "--yes"];
        harbour
            .run(&upgrade)
            .ended(0)
            .says(&["upgraded to 1.1.0; the schema is that of a clean install of core 2"]);
        assert_eq!(sql("SELECT goods FROM ship"), ["tea"]);
        harbour.run(&["rollback", "--to", "1.0.0", "--yes"]).ended(0);
        sql("INSERT INTO ship VALUES (2, 'Berta')");
        harbour.run(&upgrade).ended(3).explains(&[
            "rows of `ship` have no value for column `goods` of `ship`",
            "(1 of them)",
            "--accept-difference ship.goods",
        ]);
        let accepted = [&upgrade[..], &["--accept-difference", "ship.goods"]].concat();
        harbour.run(&accepted).ended(0).says(&["accepted: column `goods` of `ship`"]);
        assert_eq!(sql("SELECT goods FROM ship WHERE id = 1"), ["tea"]);
    });
}

#[test]
fn a_column_that_is_made_and_renamed_has_its_values_on_sqlite() {
    made_and_renamed(Kind::Sqlite, "made and renamed on SQLite");
}

/// Rows without a key have their values by all else, as long as there are as many that look alike.
fn needed_without_a_key(kind: Kind, test: &str) {
    let files: [(&str, &[&str], &str); 4] = [
        ("1_line.up.sql", ALL, "CREATE TABLE line (text varchar(20));"),
        ("1_line.down.sql", ALL, "DROP TABLE line;"),
        ("2_n.up.sql", LATER, "ALTER TABLE line ADD COLUMN n integer NOT NULL;"),
        ("2_n.down.sql", LATER, "ALTER TABLE line DROP COLUMN n;"),
    ];
    with(kind, test, &files, |harbour, sql| {
        harbour.run(&["upgrade", "--to", "1.1.0", "--yes"]).ended(0);
        sql("INSERT INTO line VALUES ('a', 1), ('a', 2), ('b', 3), (NULL, 4)");
        harbour.run(&["rollback", "--to", "1.0.0", "--yes"]).ended(0);
        harbour.run(&["upgrade", "--to", "1.1.0", "--yes"]).ended(0);
        assert_eq!(sql("SELECT n FROM line ORDER BY n"), ["1", "2", "3", "4"]);
        harbour.run(&["rollback", "--to", "1.0.0", "--yes"]).ended(0);
        sql("INSERT INTO line VALUES ('b')");
        harbour
            .run(&["upgrade", "--to", "1.1.0", "--yes"])
            .ended(3)
            .explains(&["rows of `line` have no value for column `n` of `line`", "(2 of them)"]);
        harbour.run(&["status"]).ended(0).says(&["schema: of 1.0.0", "drift: none"]);
    });
}

/// A wider number takes nothing from a table without a key, a column that numbers itself gives each row a number, and
/// what cannot be kept is no matter where there are no rows.
#[test]
fn what_takes_nothing_needs_no_key_on_mariadb() {
    let up = "ALTER TABLE link MODIFY ship bigint, MODIFY port varchar(20);\n\
              ALTER TABLE tag DROP PRIMARY KEY, ADD id int AUTO_INCREMENT PRIMARY KEY FIRST, ADD UNIQUE KEY tag_code (code);";
    let down = "ALTER TABLE tag DROP COLUMN id, DROP KEY tag_code, ADD PRIMARY KEY (code);\n\
                ALTER TABLE link MODIFY ship int, MODIFY port int;";
    let files: [(&str, &[&str], &str); 4] = [
        (
            "1_link.up.sql",
            ALL,
            "CREATE TABLE link (ship int, port int);\nCREATE TABLE tag (code varchar(10) PRIMARY KEY, n int);",
        ),
        ("1_link.down.sql", ALL, "DROP TABLE tag;\nDROP TABLE link;"),
        ("2_big.up.sql", LATER, up),
        ("2_big.down.sql", LATER, down),
    ];
    with(Kind::MariaDb, "what takes nothing on MariaDB", &files, |harbour, sql| {
        // At once, and from the release before.
        harbour.run(&["upgrade", "--to", "1.1.0", "--yes"]).ended(0);
        harbour.run(&["rollback", "--to", "1.0.0", "--yes"]).ended(0);
        sql("INSERT INTO tag VALUES ('a', 1), ('b', 2)");
        harbour
            .run(&["upgrade", "--to", "1.1.0", "--yes"])
            .ended(0)
            .says(&["upgraded to 1.1.0; the schema is that of a clean install of core 2"]);
        assert_eq!(sql("SELECT id FROM tag ORDER BY code"), ["1", "2"]);
        sql("UPDATE tag SET id = 20 WHERE code = 'b'");
        harbour.run(&["rollback", "--to", "1.0.0", "--yes"]).ended(0);
        // What goes with a key is found again by another one.
        harbour.run(&["upgrade", "--to", "1.1.0", "--yes"]).ended(0);
        assert_eq!(sql("SELECT id FROM tag ORDER BY code"), ["1", "20"]);
        sql("INSERT INTO link VALUES (1, '1'), (1, 'one')");
        let back = harbour.run(&["rollback", "--to", "1.0.0", "--yes"]).ended(3);
        back.explains(&["rows of `link` have no key by which they could be found again"]);
    });
}

/// What refers to no row is no matter where nobody looks at foreign keys, as in a session of SQLite's unless it is told.
#[test]
fn orphans_are_asked_about_where_keys_are_checked_on_sqlite() {
    let made = |more: &str| {
        format!(
            "CREATE TABLE new (id INTEGER PRIMARY KEY, ship int REFERENCES ship (id){more});\n\
             INSERT INTO new (id, ship) SELECT id, ship FROM berth;\nDROP TABLE berth;\nALTER TABLE new RENAME TO berth;"
        )
    };
    let (up, down) =
        (made(" ON DELETE CASCADE"), format!("DELETE FROM ship WHERE id > 5;\n{}", made("")));
    let files: [(&str, &[&str], &str); 4] = [
        (
            "1_ship.up.sql",
            ALL,
            "CREATE TABLE ship (id INTEGER PRIMARY KEY);\n\
             CREATE TABLE berth (id INTEGER PRIMARY KEY, ship int REFERENCES ship (id));",
        ),
        ("1_ship.down.sql", ALL, "DROP TABLE berth;\nDROP TABLE ship;"),
        ("2_gone.up.sql", LATER, &up),
        ("2_gone.down.sql", LATER, &down),
    ];
    with(Kind::Sqlite, "orphans on SQLite", &files, |harbour, sql| {
        harbour.run(&["upgrade", "--to", "1.1.0", "--yes"]).ended(0);
        sql("INSERT INTO ship VALUES (1), (6)");
        sql("INSERT INTO berth VALUES (1, 1), (2, 6)");
        harbour.run(&["rollback", "--to", "1.0.0", "--yes"]).ended(0);
        let mut checking = harbour.machine.command(&["upgrade", "--to", "1.1.0", "--yes"]);
        checking.env("STERNWAY_DATABASE", format!("{}?_foreign_keys=1", harbour.url()));
        Run::of(checking).ended(3).explains(&["do not fit constraint", "nothing was touched"]);
        harbour.run(&["upgrade", "--to", "1.1.0", "--yes"]).ended(0);
        assert_eq!(sql("SELECT id FROM ship ORDER BY id"), ["1", "6"]);
        assert_eq!(sql("SELECT ship FROM berth ORDER BY id"), ["1", "6"]);
    });
}

/// A number of fewer digits takes what fits, and the server refuses what does not.
#[test]
fn a_smaller_number_needs_no_key_on_mariadb() {
    let files: [(&str, &[&str], &str); 4] = [
        ("1_link.up.sql", ALL, "CREATE TABLE link (ship int, port int);"),
        ("1_link.down.sql", ALL, "DROP TABLE link;"),
        ("2_big.up.sql", LATER, "ALTER TABLE link MODIFY ship bigint;"),
        ("2_big.down.sql", LATER, "ALTER TABLE link MODIFY ship int;"),
    ];
    with(Kind::MariaDb, "a smaller number on MariaDB", &files, |harbour, sql| {
        harbour.run(&["upgrade", "--to", "1.0.0", "--yes"]).ended(0);
        sql("INSERT INTO link VALUES (1, 1), (1, 1), (NULL, 2)");
        harbour.run(&["upgrade", "--to", "1.1.0", "--yes"]).ended(0);
        sql("INSERT INTO link VALUES (5000000000, 3)");
        harbour.refuses_back(&["rows of `link` hold what column `ship` of `link` cannot take"]);
        sql("DELETE FROM link WHERE port = 3");
        harbour.run(&["rollback", "--to", "1.0.0", "--yes"]).ended(0);
        assert_eq!(sql("SELECT port FROM link ORDER BY port"), ["1", "1", "2"]);
    });
}

/// What had no place when its migration was there again has one once another makes it: it is told and restored.
fn another_makes_its_place(kind: Kind, test: &str) {
    let (all, later) = (&["1.1.0", "1.2.0", "1.3.0"][..], &["1.2.0", "1.3.0"][..]);
    let files: [(&str, &[&str], &str); 8] = [
        ("1_a.up.sql", all, "CREATE TABLE a (id integer PRIMARY KEY);"),
        ("1_a.down.sql", all, "DROP TABLE a;"),
        ("2_hotfix.up.sql", &["1.1.0"], "ALTER TABLE a ADD COLUMN hotfix varchar(20);"),
        ("2_hotfix.down.sql", &["1.1.0"], "ALTER TABLE a DROP COLUMN hotfix;"),
        ("2_feature.up.sql", later, "CREATE TABLE feature (id integer PRIMARY KEY);"),
        ("2_feature.down.sql", later, "DROP TABLE feature;"),
        ("3_hotfix.up.sql", &["1.3.0"], "ALTER TABLE a ADD COLUMN hotfix varchar(20);"),
        ("3_hotfix.down.sql", &["1.3.0"], "ALTER TABLE a DROP COLUMN hotfix;"),
    ];
    with(kind, test, &files, |harbour, sql| {
        harbour.run(&["upgrade", "--to", "1.1.0", "--yes"]).ended(0);
        sql("INSERT INTO a VALUES (1, 'mine')");
        // The way over another numbering restores by itself what has its place there.
        let redo = harbour.run(&["upgrade", "--to", "1.3.0", "--yes", "--redo"]).ended(0);
        redo.says(&["put back column a.hotfix: 1 row"]);
        assert_eq!(sql("SELECT hotfix FROM a"), ["mine"]);
        harbour.run(&["rollback", "--to", "1.1.0", "--yes", "--redo"]).ended(0);
        assert_eq!(sql("SELECT hotfix FROM a"), ["mine"]);

        harbour.run(&["upgrade", "--to", "1.2.0", "--yes", "--redo"]).ended(0);
        harbour.run(&["upgrade", "--to", "1.3.0", "--yes"]).ended(0);
        harbour.run(&["status"]).ended(0).says(&["sternway archive restore --waiting"]);
        harbour.run(&["archive", "restore", "--waiting", "--yes"]).ended(0);
        assert_eq!(sql("SELECT hotfix FROM a"), ["mine"]);
        let status = harbour.run(&["status"]).ended(0).stdout;
        assert!(!status.contains("restore --waiting"), "{status}");
    });
}

#[test]
fn what_gets_a_place_is_told_and_restored_on_mariadb() {
    another_makes_its_place(Kind::MariaDb, "another makes its place on MariaDB");
}

#[test]
fn what_gets_a_place_is_told_and_restored_on_sqlite() {
    another_makes_its_place(Kind::Sqlite, "another makes its place on SQLite");
}

/// Rows that a body deletes before need no value; nor is one asked for where it gives them one itself.
fn rows_of_the_body(kind: Kind, test: &str, not_null: &str, null: &str) {
    let up = format!(
        "UPDATE t SET a = 'x' WHERE a IS NULL;\n{not_null};\nDELETE FROM u;\n\
         ALTER TABLE u ADD COLUMN b varchar(20) NOT NULL;"
    );
    let down = format!("ALTER TABLE u DROP COLUMN b;\n{null};");
    let files: [(&str, &[&str], &str); 4] = [
        (
            "1_t.up.sql",
            ALL,
            "CREATE TABLE t (id integer PRIMARY KEY, a varchar(20));\n\
             CREATE TABLE u (id integer PRIMARY KEY);",
        ),
        ("1_t.down.sql", ALL, "DROP TABLE u;\nDROP TABLE t;"),
        ("2_b.up.sql", LATER, &up),
        ("2_b.down.sql", LATER, &down),
    ];
    with(kind, test, &files, |harbour, sql| {
        harbour.run(&["upgrade", "--to", "1.0.0", "--yes"]).ended(0);
        sql("INSERT INTO t VALUES (1, NULL), (2, 'y')");
        sql("INSERT INTO u VALUES (1)");
        harbour
            .run(&["upgrade", "--to", "1.1.0", "--yes"])
            .ended(0)
            .says(&["upgraded to 1.1.0; the schema is that of a clean install of core 2"]);
        assert_eq!(sql("SELECT a FROM t ORDER BY id"), ["x", "y"]);
    });
}

#[test]
fn rows_that_the_body_puts_right_are_not_in_its_way_on_mariadb() {
    let (not_null, null) =
        ("ALTER TABLE t MODIFY a varchar(20) NOT NULL", "ALTER TABLE t MODIFY a varchar(20)");
    rows_of_the_body(Kind::MariaDb, "rows of the body on MariaDB", not_null, null);
}

/// One after the other: they are in one database, and its fingerprint has every schema.
#[test]
fn bodies_among_rows_on_postgresql() {
    let _alone = alone();
    needed_among_rows(Kind::PostgreSql, "a needed column among rows on PostgreSQL");
    another_makes_its_place(Kind::PostgreSql, "another makes its place on PostgreSQL");
    let (needed, free) =
        ("ALTER TABLE t ALTER a SET NOT NULL", "ALTER TABLE t ALTER a DROP NOT NULL");
    rows_of_the_body(Kind::PostgreSql, "rows of the body on PostgreSQL", needed, free);
    made_and_renamed(Kind::PostgreSql, "made and renamed on PostgreSQL");
    needed_without_a_key(Kind::PostgreSql, "needed without a key on PostgreSQL");
    let drop = "ALTER TABLE job DROP CONSTRAINT job_boss";
    behind_the_rows(Kind::PostgreSql, "behind the rows on PostgreSQL", drop);
    let halves = (
        "ALTER TABLE job ALTER COLUMN name DROP NOT NULL, ALTER state TYPE varchar(20);\n\
         ALTER TABLE job DROP CONSTRAINT job_boss, DROP CONSTRAINT job_name, DROP CONSTRAINT job_id;",
        "BEGIN;\nALTER TABLE job ALTER COLUMN name SET NOT NULL, ALTER state TYPE varchar(5);\n\
         ALTER TABLE job ADD CONSTRAINT job_name UNIQUE (name), ADD CONSTRAINT job_id CHECK (id > 0);\n\
         ALTER TABLE job ADD CONSTRAINT job_boss FOREIGN KEY (boss) REFERENCES person (id);\nCOMMIT;",
    );
    let says = &ON_JOB[..4];
    rows_that_do_not_fit(Kind::PostgreSql, "rows that do not fit on PostgreSQL", halves, says);
}
