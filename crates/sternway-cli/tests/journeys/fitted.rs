//! Halves that are fitted: what a mistaken down half takes of the target stays, what it forgets comes again where
//! the rows fit it, and what it leaves over with less is completed on the way up.

use crate::both::server::Kind;
use crate::harbour::{ALL, LATER, alone, with};

/// What a down half drops that was there before its up half stays, with its data; what it renames to a wrong
/// name gets the right one; and the row is right though the schema looks like the newer release's.
fn mistaken_down_half(kind: Kind, test: &str) {
    let files: [(&str, &[&str], &str); 6] = [
        (
            "1_a.up.sql",
            ALL,
            "CREATE TABLE a (id integer PRIMARY KEY, name varchar(20));\n\
             CREATE TABLE b (id integer PRIMARY KEY, note varchar(20));",
        ),
        ("1_a.down.sql", ALL, "DROP TABLE b;\nDROP TABLE a;"),
        ("2_c.up.sql", LATER, "CREATE TABLE c (id integer PRIMARY KEY);"),
        ("2_c.down.sql", LATER, "DROP TABLE b;"),
        ("3_title.up.sql", &["1.2.0"], "ALTER TABLE a RENAME COLUMN name TO title;"),
        ("3_title.down.sql", &["1.2.0"], "ALTER TABLE a RENAME COLUMN title TO nam;"),
    ];
    with(kind, test, &files, |harbour, sql| {
        harbour.run(&["upgrade", "--to", "1.2.0", "--yes"]).ended(0);
        sql("INSERT INTO a VALUES (1, 'Anna')");
        sql("INSERT INTO b VALUES (1, 'mine')");
        for _ in 0..2 {
            harbour.run(&["rollback", "--to", "1.0.0", "--yes"]).ended(0).says(&[
                "passed over, for it leads away from the target: ALTER TABLE a RENAME",
                "generated, for the file leaves it out: ALTER TABLE a RENAME COLUMN title TO name",
                "passed over, for it leads away from the target: DROP TABLE b",
                "ok 1.1.0: the schema is proved",
                "the application's own migrations: table `c` should not be there",
            ]);
            assert_eq!(sql("SELECT name FROM a"), ["Anna"]);
            assert_eq!(sql("SELECT note FROM b"), ["mine"]);
            harbour.run(&["doctor"]).ended(0).says(&["all is well"]);
            harbour
                .run(&["upgrade", "--to", "1.2.0", "--yes"])
                .ended(0)
                .says(&["upgraded to 1.2.0; the schema is that of a clean install of core 3"]);
            assert_eq!(sql("SELECT title FROM a"), ["Anna"]);
        }
    });
}

#[test]
fn a_mistaken_down_half_takes_nothing_of_the_target_on_mariadb() {
    mistaken_down_half(Kind::MariaDb, "a mistaken down half on MariaDB");
}

#[test]
fn a_mistaken_down_half_takes_nothing_of_the_target_on_sqlite() {
    mistaken_down_half(Kind::Sqlite, "a mistaken down half on SQLite");
}

/// What one statement drops too much stays, and the rest of it goes.
fn mistaken_in_one_statement(kind: Kind, test: &str) {
    let files: [(&str, &[&str], &str); 4] = [
        (
            "1_a.up.sql",
            ALL,
            "CREATE TABLE a (id integer PRIMARY KEY, name varchar(20));\n\
             CREATE TABLE b (id integer PRIMARY KEY);",
        ),
        ("1_a.down.sql", ALL, "DROP TABLE b;\nDROP TABLE a;"),
        (
            "2_c.up.sql",
            LATER,
            "CREATE TABLE c (id integer PRIMARY KEY);\nALTER TABLE a ADD COLUMN more integer;",
        ),
        (
            "2_c.down.sql",
            LATER,
            "ALTER TABLE a DROP COLUMN more, DROP COLUMN name;\nDROP TABLE IF EXISTS b, c;",
        ),
    ];
    with(kind, test, &files, |harbour, sql| {
        harbour.run(&["upgrade", "--to", "1.1.0", "--yes"]).ended(0);
        sql("INSERT INTO a VALUES (1, 'Anna', 5)");
        sql("INSERT INTO b VALUES (7)");
        harbour.run(&["rollback", "--to", "1.0.0", "--yes"]).ended(0).says(&[
            "passed over, for it leads away from the target: ALTER TABLE a DROP COLUMN name",
            "passed over, for it leads away from the target: DROP TABLE IF EXISTS b",
            "ok 1.0.0: the schema is proved",
        ]);
        assert_eq!(sql("SELECT name FROM a"), ["Anna"]);
        assert_eq!(sql("SELECT id FROM b"), ["7"]);
        harbour.run(&["upgrade", "--to", "1.1.0", "--yes"]).ended(0);
        assert_eq!(sql("SELECT more FROM a"), ["5"]);
    });
}

#[test]
fn what_one_statement_drops_too_much_stays_on_mariadb() {
    mistaken_in_one_statement(Kind::MariaDb, "too much in one statement on MariaDB");
}

/// A down half that drops a column before the index on it, and an index that the half before it forgets.
#[test]
fn a_doubly_mistaken_down_half_is_fitted_on_sqlite() {
    let files: [(&str, &[&str], &str); 6] = [
        ("1_t.up.sql", ALL, "CREATE TABLE t (id integer PRIMARY KEY, c text);"),
        ("1_t.down.sql", ALL, "DROP TABLE t;"),
        ("2_i.up.sql", LATER, "CREATE INDEX i ON t (c);\nALTER TABLE t ADD COLUMN d integer;"),
        (
            "2_i.down.sql",
            LATER,
            "ALTER TABLE t DROP COLUMN d;\nALTER TABLE t DROP COLUMN c;\nDROP INDEX i;",
        ),
        ("3_no_i.up.sql", &["1.2.0"], "DROP INDEX i;"),
        ("3_no_i.down.sql", &["1.2.0"], "-- nothing is taken back"),
    ];
    with(Kind::Sqlite, "a doubly mistaken down half on SQLite", &files, |harbour, sql| {
        harbour.run(&["upgrade", "--to", "1.2.0", "--yes"]).ended(0);
        sql("INSERT INTO t VALUES (1, 'mine', 2)");
        harbour.run(&["rollback", "--to", "1.0.0", "--yes"]).ended(0).says(&[
            "passed over, for it leads away from the target: ALTER TABLE t DROP COLUMN c",
            "ok 1.0.0: the schema is proved",
        ]);
        assert_eq!(sql("SELECT c FROM t"), ["mine"]);
    });
}

/// A table that a down half leaves over without one of its columns gets it on the way up, with its values.
fn left_with_less(kind: Kind, test: &str) {
    let files: [(&str, &[&str], &str); 6] = [
        ("1_a.up.sql", ALL, "CREATE TABLE a (id integer PRIMARY KEY);"),
        ("1_a.down.sql", ALL, "DROP TABLE a;"),
        ("2_b.up.sql", LATER, "CREATE TABLE b (id integer PRIMARY KEY, note varchar(20));"),
        ("2_b.down.sql", LATER, "ALTER TABLE b DROP COLUMN note;"),
        (
            "3_c.up.sql",
            &["1.2.0"],
            "CREATE TABLE IF NOT EXISTS c (id integer PRIMARY KEY, note varchar(20));",
        ),
        ("3_c.down.sql", &["1.2.0"], "ALTER TABLE c DROP COLUMN note;"),
    ];
    with(kind, test, &files, |harbour, sql| {
        harbour.run(&["upgrade", "--to", "1.2.0", "--yes"]).ended(0);
        sql("INSERT INTO b VALUES (1, 'mine')");
        sql("INSERT INTO c VALUES (1, 'ours')");
        for _ in 0..2 {
            harbour.run(&["rollback", "--to", "1.0.0", "--yes"]).ended(0);
            harbour.run(&["upgrade", "--to", "1.2.0", "--yes"]).ended(0).says(&[
                "passed over, for it is there: CREATE TABLE b",
                "generated, for what is there lacks it: ALTER TABLE",
                "ok 1.2.0: the schema is proved",
            ]);
            assert_eq!(sql("SELECT note FROM b"), ["mine"]);
            assert_eq!(sql("SELECT note FROM c"), ["ours"]);
        }
    });
}

#[test]
fn a_table_left_with_less_gets_the_rest_on_mariadb() {
    left_with_less(Kind::MariaDb, "a table left with less on MariaDB");
}

#[test]
fn a_table_left_with_less_gets_the_rest_on_sqlite() {
    left_with_less(Kind::Sqlite, "a table left with less on SQLite");
}

/// A constraint that a down half forgets comes again among rows that fit it, and is refused before the first
/// write among others; `not_null` changes a column so that it takes no null, or takes one.
fn forgotten_constraints(kind: Kind, test: &str, not_null: [&str; 2]) {
    let drops = match kind {
        Kind::MariaDb => {
            "ALTER TABLE a DROP FOREIGN KEY a_p;\nALTER TABLE a DROP INDEX a_n;\n\
             ALTER TABLE a DROP CONSTRAINT a_k;"
        }
        _ => "ALTER TABLE a DROP CONSTRAINT a_p, DROP CONSTRAINT a_n, DROP CONSTRAINT a_k;",
    };
    let drops = format!("{drops}\n{};", not_null[1]);
    let tightens = format!("UPDATE p SET name = '' WHERE name IS NULL;\n{};", not_null[0]);
    let files: [(&str, &[&str], &str); 6] = [
        (
            "1_a.up.sql",
            ALL,
            "CREATE TABLE p (id integer PRIMARY KEY, name varchar(20));\n\
             CREATE TABLE a (id integer PRIMARY KEY, n varchar(20), k integer, p integer, note varchar(20) NOT NULL,
                             CONSTRAINT a_k CHECK (k > 0), CONSTRAINT a_n UNIQUE (n),
                             CONSTRAINT a_p FOREIGN KEY (p) REFERENCES p (id));",
        ),
        ("1_a.down.sql", ALL, "DROP TABLE a;\nDROP TABLE p;"),
        ("2_free.up.sql", LATER, &drops),
        ("2_free.down.sql", LATER, "-- nothing is taken back"),
        ("3_name.up.sql", &["1.2.0"], &tightens),
        ("3_name.down.sql", &["1.2.0"], "-- nothing is taken back"),
    ];
    with(kind, test, &files, |harbour, sql| {
        harbour.run(&["upgrade", "--to", "1.0.0", "--yes"]).ended(0);
        sql("INSERT INTO p VALUES (1, NULL)");
        harbour.run(&["upgrade", "--to", "1.2.0", "--yes"]).ended(0);
        sql(
            "INSERT INTO a VALUES (1, 'x', 1, 1, ''), (2, NULL, NULL, NULL, ''), (3, NULL, 2, 1, '')",
        );
        sql("INSERT INTO a VALUES (4, 'x', -1, 7, NULL)");
        harbour.refuses_back(&[
            "rows of `a` do not fit constraint `a_k` of `a`",
            "rows of `a` do not fit constraint `a_n` of `a`",
            "rows of `a` do not fit constraint `a_p` of `a`",
            "rows of `a` do not fit column `note` of `a`",
            "nothing was touched",
            "--accept-difference a.a_k",
        ]);
        harbour.run(&["status"]).ended(0).says(&["schema: of 1.2.0", "drift: none"]);
        sql("UPDATE a SET n = 'y', k = 1, note = '' WHERE id = 4");
        let accepted = ["rollback", "--to", "1.0.0", "--yes", "--accept-difference", "a.a_p"];
        harbour.run(&["rollback", "--to", "1.0.0", "--yes"]).ended(3);
        harbour.run(&accepted).ended(0).says(&[
            "ok 1.1.0: the schema is proved",
            "accepted: constraint `a_p` of `a` is missing",
            "the schema is that of a clean install of core 1 but for 1 difference",
        ]);
        assert_eq!(sql("SELECT count(*) - count(name) FROM p"), ["1"]);
        harbour.run(&["upgrade", "--to", "1.2.0", "--yes"]).ended(0);
        sql("DELETE FROM a WHERE id = 4");
        harbour
            .run(&["rollback", "--to", "1.0.0", "--yes"])
            .ended(0)
            .says(&["rolled back to 1.0.0; the schema is that of a clean install of core 1\n"]);
        harbour.run(&["status"]).ended(0).says(&["schema: of 1.0.0", "drift: none"]);
    });
}

#[test]
fn forgotten_constraints_come_again_on_mariadb() {
    let not_null =
        ["ALTER TABLE p MODIFY name varchar(20) NOT NULL", "ALTER TABLE a MODIFY note varchar(20)"];
    forgotten_constraints(Kind::MariaDb, "forgotten constraints on MariaDB", not_null);
}

/// A unique index that a down half forgets is asked about, too.
#[test]
fn a_forgotten_unique_index_is_asked_about_on_sqlite() {
    let files: [(&str, &[&str], &str); 4] = [
        (
            "1_a.up.sql",
            ALL,
            "CREATE TABLE \"A\" (id integer PRIMARY KEY, n text, done integer);\n\
             CREATE UNIQUE INDEX a_n ON \"A\" (n) WHERE done = 0;",
        ),
        ("1_a.down.sql", ALL, "DROP TABLE \"A\";"),
        ("2_free.up.sql", LATER, "DROP INDEX a_n;"),
        ("2_free.down.sql", LATER, "-- nothing is taken back"),
    ];
    with(Kind::Sqlite, "a forgotten unique index on SQLite", &files, |harbour, sql| {
        harbour.run(&["upgrade", "--to", "1.1.0", "--yes"]).ended(0);
        sql("INSERT INTO \"A\" VALUES (1, 'x', 0), (2, 'x', 1), (3, NULL, 0), (4, NULL, 0)");
        sql("INSERT INTO \"A\" VALUES (5, 'x', 0)");
        harbour
            .run(&["rollback", "--to", "1.0.0", "--yes"])
            .ended(3)
            .explains(&["rows of `A` do not fit index `a_n`", "--accept-difference a_n"]);
        sql("DELETE FROM \"A\" WHERE id = 5");
        harbour
            .run(&["rollback", "--to", "1.0.0", "--yes"])
            .ended(0)
            .says(&["ok 1.0.0: the schema is proved"]);
    });
}

/// A column that each row needs a value for is made again where the archive has one for each, and refused
/// before the first write where a row has none. `back`: what the down file has.
fn needed_column(kind: Kind, test: &str, back: &str) {
    let files: [(&str, &[&str], &str); 4] = [
        (
            "1_ship.up.sql",
            ALL,
            "CREATE TABLE ship (id integer PRIMARY KEY, name varchar(20) NOT NULL, cargo varchar(20) NOT NULL);",
        ),
        ("1_ship.down.sql", ALL, "DROP TABLE ship;"),
        (
            "2_less.up.sql",
            LATER,
            "ALTER TABLE ship DROP COLUMN name;\nALTER TABLE ship DROP COLUMN cargo;",
        ),
        ("2_less.down.sql", LATER, back),
    ];
    with(kind, test, &files, |harbour, sql| {
        harbour.run(&["upgrade", "--to", "1.0.0", "--yes"]).ended(0);
        sql("INSERT INTO ship VALUES (1, 'Anna', 'tea')");
        for _ in 0..2 {
            harbour.run(&["upgrade", "--to", "1.1.0", "--yes"]).ended(0);
            let page = harbour.run(&["runbook", "--from", "1.1.0", "--to", "1.0.0"]).ended(0);
            page.says(&["Let track core need its values again", "by hand, fill them in first"]);
            harbour.run(&["rollback", "--to", "1.0.0", "--yes"]).ended(0).says(&[
                "generated, once each row has its value: ",
                "ok 1.0.0: the schema is proved",
                "rolled back to 1.0.0; the schema is that of a clean install of core 1",
            ]);
            assert_eq!(sql("SELECT name FROM ship"), ["Anna"]);
            assert_eq!(sql("SELECT cargo FROM ship"), ["tea"]);
            harbour.run(&["status"]).ended(0).says(&["schema: of 1.0.0", "drift: none"]);
        }
        harbour.run(&["upgrade", "--to", "1.1.0", "--yes"]).ended(0);
        sql("INSERT INTO ship VALUES (2)");
        harbour.refuses_back(&[
            "rows of `ship` have no value for column `name` of `ship`",
            "nothing was touched",
            "--accept-difference ship.name",
        ]);
        harbour.run(&["status"]).ended(0).says(&["drift: none"]);
        sql("DELETE FROM ship WHERE id = 2");
        harbour.run(&["rollback", "--to", "1.0.0", "--yes"]).ended(0);
        assert_eq!(sql("SELECT name FROM ship"), ["Anna"]);
    });
}

#[test]
fn a_needed_column_comes_again_with_its_values_on_mariadb() {
    let back = "ALTER TABLE ship ADD COLUMN cargo varchar(20);";
    needed_column(Kind::MariaDb, "a needed column on MariaDB", back);
}

#[test]
fn a_needed_column_comes_again_with_its_values_on_sqlite() {
    needed_column(Kind::Sqlite, "a needed column on SQLite", "-- nothing is taken back");
}

/// Taking a run back names back what the down half leaves under its new name, with its data.
fn named_back_by_abort(kind: Kind, test: &str) {
    let files: [(&str, &[&str], &str); 6] = [
        (
            "1_ship.up.sql",
            ALL,
            "CREATE TABLE ship (id integer PRIMARY KEY, name varchar(20), berth integer);",
        ),
        ("1_ship.down.sql", ALL, "DROP TABLE ship;"),
        ("2_title.up.sql", LATER, "ALTER TABLE ship RENAME COLUMN name TO title;"),
        ("2_title.down.sql", LATER, "-- forgotten"),
        // What it writes before is not known before it runs.
        (
            "3_one.up.sql",
            &["1.2.0"],
            "UPDATE ship SET berth = 5;\nCREATE UNIQUE INDEX one ON ship (berth);",
        ),
        ("3_one.down.sql", &["1.2.0"], "DROP INDEX one;"),
    ];
    with(kind, test, &files, |harbour, sql| {
        harbour.run(&["upgrade", "--to", "1.0.0", "--yes"]).ended(0);
        sql("INSERT INTO ship VALUES (1, 'Anna', 5), (2, 'Berta', 5)");
        let ran = harbour.run(&["upgrade", "--to", "1.2.0", "--yes"]);
        ran.explains(&["`sternway abort` takes everything back"]);
        harbour.run(&["abort", "--yes"]).ended(0).says(&["the schema is what it was before"]);
        assert_eq!(sql("SELECT name FROM ship ORDER BY id"), ["Anna", "Berta"]);
        harbour.run(&["status"]).ended(0).says(&["drift: none"]);
    });
}

#[test]
fn what_is_taken_back_has_its_name_again_on_mariadb() {
    named_back_by_abort(Kind::MariaDb, "named back on MariaDB");
}

#[test]
fn what_is_taken_back_has_its_name_again_on_sqlite() {
    named_back_by_abort(Kind::Sqlite, "named back on SQLite");
}

/// One after the other: they are in one database, and its fingerprint has every schema.
#[test]
fn fitted_halves_on_postgresql() {
    let _alone = alone();
    mistaken_down_half(Kind::PostgreSql, "a mistaken down half on PostgreSQL");
    mistaken_in_one_statement(Kind::PostgreSql, "too much in one statement on PostgreSQL");
    left_with_less(Kind::PostgreSql, "a table left with less on PostgreSQL");
    named_back_by_abort(Kind::PostgreSql, "named back on PostgreSQL");
    let back = "ALTER TABLE ship ADD COLUMN cargo varchar(20);";
    needed_column(Kind::PostgreSql, "a needed column on PostgreSQL", back);
    let not_null = [
        "ALTER TABLE p ALTER COLUMN name SET NOT NULL",
        "ALTER TABLE a ALTER COLUMN note DROP NOT NULL",
    ];
    forgotten_constraints(Kind::PostgreSql, "forgotten constraints on PostgreSQL", not_null);
}
