//! What a migration makes and finds there in another shape: completed where that can be, and else judged by its name.

use crate::both::server::Kind;
use crate::harbour::{ALL, LATER, alone, with};

/// What a migration makes is there in another shape: it is completed where the rows allow that, and else named,
/// refused before the first write, and accepted by its name. What somebody made by hand and what an earlier
/// journey left so are alike.
fn there_otherwise(kind: Kind, test: &str) {
    let files: [(&str, &[&str], &str); 4] = [
        ("1_a.up.sql", ALL, "CREATE TABLE a (id integer PRIMARY KEY);"),
        ("1_a.down.sql", ALL, "DROP TABLE a;"),
        ("2_c.up.sql", LATER, "ALTER TABLE a ADD COLUMN c integer NOT NULL;"),
        ("2_c.down.sql", LATER, "-- nothing is taken back"),
    ];
    let upgrade = ["upgrade", "--to", "1.1.0", "--yes"];
    let accepted = [&upgrade[..], &["--accept-difference", "a.c"]].concat();
    let told = [
        "passed over, for it is there: ALTER TABLE a ADD COLUMN c",
        "accepted: column `c` of `a`",
        "the schema is that of a clean install of core 2 but for 1 difference",
    ];
    with(kind, test, &files, |harbour, sql| {
        harbour.run(&["upgrade", "--to", "1.0.0", "--yes"]).ended(0);
        sql("INSERT INTO a VALUES (1)");
        sql("ALTER TABLE a ADD COLUMN c integer");
        let reason = match kind {
            Kind::Sqlite => "column `c` of `a` is `integer` and should be `integer not null`",
            _ => "rows of `a` do not fit column `c` of `a`",
        };
        let why = [reason, "nothing was touched", "--accept-difference a.c"];
        harbour.run(&upgrade).ended(3).explains(&why);
        assert_eq!(sql("SELECT id FROM a WHERE c IS NULL"), ["1"]);
        harbour.run(&accepted).ended(0).says(&told);
        harbour.run(&["rollback", "--to", "1.0.0", "--yes"]).ended(0);
        harbour.run(&["status"]).ended(0).says(&["known from before: column `c` of `a`"]);
        harbour.run(&upgrade).ended(3).explains(&why);
        sql("UPDATE a SET c = 7");
        if kind == Kind::Sqlite {
            harbour.run(&accepted).ended(0).says(&told);
        } else {
            harbour.run(&upgrade).ended(0).says(&[
                "passed over, for it is there: ALTER TABLE a ADD COLUMN c",
                "upgraded to 1.1.0; the schema is that of a clean install of core 2",
            ]);
        }
        assert_eq!(sql("SELECT c FROM a"), ["7"]);
    });
    let another = format!("{test}, of another type");
    with(kind, &another, &files, |harbour, sql| {
        harbour.run(&["upgrade", "--to", "1.0.0", "--yes"]).ended(0);
        sql("ALTER TABLE a ADD COLUMN c varchar(9)");
        harbour.run(&upgrade).ended(3).explains(&["column `c` of `a` is `", "nothing was touched"]);
        harbour.run(&accepted).ended(0).says(&told);
        harbour.run(&["status"]).ended(0).says(&["known from before: column `c` of `a`"]);
        // Put right by hand, it is no difference any more.
        sql("ALTER TABLE a DROP COLUMN c");
        sql("ALTER TABLE a ADD COLUMN c integer NOT NULL");
        harbour.run(&["status"]).ended(0).says(&["drift: none", "arrived at 1.1.0"]);
    });
}

#[test]
fn what_is_there_otherwise_is_judged_on_sqlite() {
    there_otherwise(Kind::Sqlite, "there otherwise on SQLite");
}

#[test]
fn what_is_there_otherwise_is_judged_on_postgresql() {
    let _alone = alone();
    there_otherwise(Kind::PostgreSql, "there otherwise on PostgreSQL");
}

#[test]
fn what_is_there_otherwise_is_judged_on_mariadb() {
    there_otherwise(Kind::MariaDb, "there otherwise on MariaDB");
}

/// A column that stays open for good is not closed together with another one of its table.
#[test]
fn an_open_column_stays_open_on_sqlite() {
    let files: [(&str, &[&str], &str); 6] = [
        ("1_a.up.sql", ALL, "CREATE TABLE a (id integer PRIMARY KEY);"),
        ("1_a.down.sql", ALL, "DROP TABLE a;"),
        ("2_c.up.sql", LATER, "ALTER TABLE a ADD COLUMN c integer NOT NULL;"),
        ("2_c.down.sql", LATER, "ALTER TABLE a DROP COLUMN c;"),
        ("3_d.up.sql", &["1.2.0"], "ALTER TABLE a ADD COLUMN d integer NOT NULL;"),
        ("3_d.down.sql", &["1.2.0"], "ALTER TABLE a DROP COLUMN d;"),
    ];
    with(Kind::Sqlite, "an open column on SQLite", &files, |harbour, sql| {
        harbour.run(&["upgrade", "--to", "1.0.0", "--yes"]).ended(0);
        sql("INSERT INTO a VALUES (1)");
        let upgrade = ["upgrade", "--to", "1.2.0", "--yes"];
        let both = ["--accept-difference", "a.c", "--accept-difference", "a.d"];
        harbour.run(&[&upgrade[..], &both].concat()).ended(0);
        sql("UPDATE a SET d = 6");
        harbour.run(&["rollback", "--to", "1.1.0", "--yes"]).ended(0);
        harbour.run(&upgrade).ended(0);
        harbour.run(&["status"]).ended(0).says(&["drift: none", "known from before: column `c`"]);
        assert_eq!(sql("SELECT d FROM a WHERE c IS NULL"), ["6"]);
        let needed = "SELECT name FROM pragma_table_info('a') WHERE \"notnull\" ORDER BY name";
        assert_eq!(sql(needed), ["d"]);
    });
}

/// Rows that a migration would write are not passed over for what of its schema is there.
#[test]
fn what_cannot_be_written_is_no_leftover_on_sqlite() {
    let files: [(&str, &[&str], &str); 4] = [
        ("1_a.up.sql", ALL, "CREATE TABLE a (id integer PRIMARY KEY, n integer);"),
        ("1_a.down.sql", ALL, "DROP TABLE a;"),
        (
            "2_c.up.sql",
            LATER,
            "CREATE TABLE b (id integer PRIMARY KEY);\nCREATE INDEX b_id ON b (id);\n\
             INSERT INTO a VALUES (1, 1);",
        ),
        ("2_c.down.sql", LATER, "DELETE FROM a WHERE id = 1;"),
    ];
    with(Kind::Sqlite, "a row that cannot be written on SQLite", &files, |harbour, sql| {
        harbour.run(&["upgrade", "--to", "1.0.0", "--yes"]).ended(0);
        sql("CREATE TABLE b (id integer PRIMARY KEY)");
        sql("ALTER TABLE a ADD COLUMN more integer NOT NULL");
        harbour.run(&["upgrade", "--to", "1.1.0", "--yes"]).ended(3).explains(&["2_c.up.sql"]);
        assert_eq!(sql("SELECT count(*) FROM a"), ["0"]);
    });
}

/// What somebody has changed by hand stays as it is, and where a mistaken down half takes it, it stays too.
fn changed_and_taken(kind: Kind, test: &str) {
    let files: [(&str, &[&str], &str); 4] = [
        ("1_a.up.sql", ALL, "CREATE TABLE a (id integer PRIMARY KEY, n integer);"),
        ("1_a.down.sql", ALL, "DROP TABLE a;"),
        ("2_m.up.sql", LATER, "ALTER TABLE a ADD COLUMN m integer;"),
        ("2_m.down.sql", LATER, "ALTER TABLE a DROP COLUMN m;\nALTER TABLE a DROP COLUMN n;"),
    ];
    with(kind, test, &files, |harbour, sql| {
        harbour.run(&["upgrade", "--to", "1.1.0", "--yes"]).ended(0);
        match kind {
            Kind::Sqlite => {
                sql("DROP TABLE a");
                sql("CREATE TABLE a (id integer PRIMARY KEY, n integer DEFAULT 9, m integer)");
            }
            _ => drop(sql("ALTER TABLE a ALTER COLUMN n SET DEFAULT 9")),
        }
        sql("INSERT INTO a VALUES (1, 7, 8)");
        harbour.run(&["rollback", "--to", "1.0.0", "--yes"]).ended(0);
        assert_eq!(sql("SELECT n FROM a"), ["7"]);
        harbour.run(&["status"]).ended(0);
    });
}

#[test]
fn what_was_changed_by_hand_is_not_taken_on_sqlite() {
    changed_and_taken(Kind::Sqlite, "changed and taken on SQLite");
}

#[test]
fn what_was_changed_by_hand_is_not_taken_on_mariadb() {
    changed_and_taken(Kind::MariaDb, "changed and taken on MariaDB");
}

#[test]
fn what_was_changed_by_hand_is_not_taken_on_postgresql() {
    let _alone = alone();
    changed_and_taken(Kind::PostgreSql, "changed and taken on PostgreSQL");
}

/// The triggers of others run before the application's, and are none of its: their number says nothing of these.
/// Where its own run in another order, that is told.
#[test]
fn triggers_of_others_change_nothing_of_the_applications_on_mariadb() {
    let create =
        |name: &str| format!("CREATE TRIGGER {name} BEFORE UPDATE ON a FOR EACH ROW SET @x = 1");
    let (g, up) = (create("g"), format!("{};\n{};", create("g"), create("h")));
    let files: [(&str, &[&str], &str); 4] = [
        ("1_a.up.sql", ALL, "CREATE TABLE a (id integer PRIMARY KEY);"),
        ("1_a.down.sql", ALL, "DROP TABLE a;"),
        ("2_g.up.sql", LATER, &up),
        ("2_g.down.sql", LATER, "DROP TRIGGER h;\nDROP TRIGGER g;"),
    ];
    with(Kind::MariaDb, "triggers of others on MariaDB", &files, |harbour, sql| {
        harbour.run(&["upgrade", "--to", "1.0.0", "--yes"]).ended(0);
        sql(&create("of_others"));
        harbour
            .run(&["upgrade", "--to", "1.1.0", "--yes"])
            .ended(0)
            .says(&["upgraded to 1.1.0; the schema is that of a clean install of core 2"]);
        sql("DROP TRIGGER g");
        sql(&g);
        harbour
            .run(&["status"])
            .ended(0)
            .says(&["drift: none", "in another order: triggers `before update` of `a`"]);
    });
}
