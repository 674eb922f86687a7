//! The archive on SQLite: what bodies take away is kept, and is back when the other half runs.

use proptest::prelude::*;
use sternway_database::DatabaseError;

use crate::journey::{Journey, VALUES, column, outcome, rows, table};
use crate::support::TABLE;

#[tokio::test]
async fn a_table_of_any_kind_is_back_bit_for_bit() {
    for create in [
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, b, c REAL, d NUMERIC)",
        "CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, a TEXT, b BLOB, c, d)",
        "CREATE TABLE t (id, a TEXT, b, c REAL, d)",
        "CREATE TABLE t (id INT PRIMARY KEY, a, b, c, d) WITHOUT ROWID",
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, b ANY, c REAL, d ANY) STRICT",
        "CREATE TABLE t (id INT NOT NULL, a TEXT UNIQUE, b, c, d, e AS (id || a), f AS (c * 2) STORED, UNIQUE (id, c))",
        "CREATE TABLE t (rowid TEXT, oid TEXT, _rowid_ UNIQUE, c, d)",
    ] {
        let mut journey = Journey::of(&format!(
            "{create}; {}",
            VALUES.replace(
                "INTO t VALUES",
                if create.contains("AS (id") {
                    "INTO t (id, a, b, c, d) VALUES"
                } else {
                    "INTO t VALUES"
                }
            )
        ))
        .await;
        let (down, up) = journey.there_and_back("DROP TABLE t", create).await;
        assert_eq!(down.kept[0].lost, table("t"), "{create}");
        assert_eq!((down.kept[0].rows, up.restored[0].restored.back), (5, 5));
        assert_eq!(journey.waiting().await, 0);
        journey.there_and_back("DROP TABLE t", create).await;
    }
}

#[tokio::test]
async fn the_numbers_of_a_table_go_on_where_they_were() {
    let create = "CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, a)";
    let mut journey = Journey::of(&format!("{create}; INSERT INTO t VALUES (70, 1); DELETE FROM t; INSERT INTO t (a) VALUES (1); DELETE FROM t")).await;
    journey.down("DROP TABLE t").await;
    journey.up(create).await;
    journey.execute("INSERT INTO t (a) VALUES (1)").await;
    assert_eq!(journey.place.ask("SELECT id FROM t").await, "72");
}

#[tokio::test]
async fn the_numbers_of_a_table_that_stays_go_on_where_they_were() {
    let create = |name| format!("CREATE TABLE {name} (id INTEGER PRIMARY KEY AUTOINCREMENT, a)");
    let anew = |which| {
        let n = create("n");
        format!(
            "{n}; INSERT INTO n (id, a) SELECT id, a FROM t {which}; DROP TABLE t; ALTER TABLE n RENAME TO t"
        )
    };
    let plain = "CREATE TABLE n (id INTEGER PRIMARY KEY, a); INSERT INTO n (id, a) SELECT id, a FROM t; DROP TABLE t; ALTER TABLE n RENAME TO t";
    for (down, up) in [
        (anew(""), String::new()),
        (anew(""), anew("")),
        (anew("WHERE id = 1"), String::new()),
        (anew("WHERE 0"), anew("")),
        (plain.to_owned(), anew("")),
        ("DELETE FROM t".to_owned(), String::new()),
        ("DELETE FROM t".to_owned(), anew("")),
    ] {
        let fill = "INSERT INTO t VALUES (1, 1), (2, 2), (70, 1); DELETE FROM t WHERE id = 70";
        let mut journey = Journey::of(&format!("{}; {fill}", create("t"))).await;
        journey.there_and_back(&down, &up).await;
        journey.execute("INSERT INTO t (a) VALUES (1)").await;
        assert_eq!(journey.place.ask("SELECT max(id) FROM t").await, "71", "{down} {up}");
    }
}

#[tokio::test]
async fn columns_are_back_whatever_tells_the_rows_apart() {
    for (create, key) in [
        ("id INTEGER PRIMARY KEY", true),
        ("id TEXT PRIMARY KEY", true),
        ("id BLOB NOT NULL UNIQUE", true),
        ("id", false),
    ] {
        let mut journey = Journey::of(&format!(
            "CREATE TABLE t ({create}, a, \"b c\", \"order\");
             INSERT INTO t VALUES (1, 'a', NULL, 1), (2, x'00', 2.5, 2), (3, NULL, '', 3)"
        ))
        .await;
        let (down, up) = (
            "ALTER TABLE t DROP COLUMN a; ALTER TABLE t DROP COLUMN \"b c\"",
            "ALTER TABLE t ADD COLUMN a DEFAULT 7; ALTER TABLE t ADD COLUMN \"b c\" TEXT; UPDATE t SET a = id",
        );
        let up = up.replace(" TEXT", "");
        let (done, _) = journey.there_and_back(down, &up).await;
        let lost: Vec<_> = done.kept.iter().map(|kept| kept.lost.clone()).collect();
        assert_eq!(lost, [column("t", "a"), column("t", "b c")], "{create} {key}");
        let losses = done.effects.expect("effects").losses;
        assert_eq!(losses.iter().map(|it| it.rows).collect::<Vec<_>>(), [Some(2), Some(2)]);
    }
}

#[tokio::test]
async fn rows_that_are_deleted_or_changed_are_back() {
    for create in [
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a, b)",
        "CREATE TABLE t (id, a, b)",
        "CREATE TABLE t (id PRIMARY KEY NOT NULL, a, b) WITHOUT ROWID",
    ] {
        let mut journey = Journey::of(&format!(
            "{create}; INSERT INTO t VALUES (1, 'a', 1), (2, 'b', 2), (3, 'c', 3), (4, 'd', 4)"
        ))
        .await;
        let down = "DELETE FROM t WHERE id = 1; UPDATE t SET a = 'same', b = b WHERE id > 2";
        let (done, _) = journey.there_and_back(down, "SELECT 1").await;
        assert_eq!(
            done.kept.iter().map(|it| (it.lost.clone(), it.rows)).collect::<Vec<_>>(),
            [(rows("t"), 3)]
        );
        journey.there_and_back("DELETE FROM t", "SELECT 1").await;
        journey
            .there_and_back("REPLACE INTO t VALUES (2, 'z', 0)", "DELETE FROM t WHERE a = 'z'")
            .await;
    }
}

#[tokio::test]
async fn a_table_made_anew_under_its_name_keeps_what_it_loses() {
    let schema = "CREATE TABLE p (id INTEGER PRIMARY KEY); INSERT INTO p VALUES (1), (2);
        CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, b INT, p INT REFERENCES p);
        INSERT INTO t VALUES (1, 'a', 10, 1), (2, 'b', 20, NULL), (3, 'c', 30, 2)";
    let down = "PRAGMA foreign_keys = off;
        CREATE TABLE new (id INTEGER PRIMARY KEY, title TEXT);
        INSERT INTO new (id, title) SELECT id, a FROM t WHERE id < 3;
        DROP TABLE t; ALTER TABLE new RENAME TO t;";
    let up = "CREATE TABLE new (id INTEGER PRIMARY KEY, a TEXT, b INT, p INT REFERENCES p);
        INSERT INTO new (id, a) SELECT id, title FROM t; DROP TABLE t; ALTER TABLE new RENAME TO t;";
    for query in ["", "_foreign_keys=1"] {
        let mut journey = Journey::with(query, schema).await;
        let (done, _) = journey.there_and_back(down, up).await;
        let lost: Vec<_> = done.kept.iter().map(|kept| (kept.lost.clone(), kept.rows)).collect();
        assert_eq!(lost, [(column("t", "b"), 2), (column("t", "p"), 2), (rows("t"), 1)]);
        // What was carried over under another name is the application's to change.
        journey.down(down).await;
        journey.execute("UPDATE t SET title = 'new' WHERE id = 1").await;
        journey.up(up).await;
        assert_eq!(journey.place.ask("SELECT group_concat(a || b) FROM t").await, "new10,b20,c30");
    }
}

#[tokio::test]
async fn what_is_renamed_is_not_lost() {
    let mut journey = Journey::of(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a, b); INSERT INTO t VALUES (1, 2, 3)",
    )
    .await;
    let down = "ALTER TABLE t RENAME TO u; ALTER TABLE u RENAME COLUMN a TO x; ALTER TABLE u RENAME x TO y; ALTER TABLE u DROP b";
    let done = journey.down(down).await;
    assert_eq!(done.kept.iter().map(|it| &it.lost).collect::<Vec<_>>(), [&column("t", "b")]);
    journey.execute("UPDATE u SET y = 5").await;
    journey.up("ALTER TABLE u RENAME y TO a; ALTER TABLE u RENAME TO t; ALTER TABLE t ADD b").await;
    assert_eq!(journey.place.ask("SELECT a || b FROM t").await, "53");
}

#[tokio::test]
async fn every_row_that_no_longer_fits_has_its_reason() {
    let schema = "CREATE TABLE p (id INTEGER PRIMARY KEY, up INT REFERENCES p);
        CREATE TABLE t (id INTEGER PRIMARY KEY, p INT REFERENCES p, u TEXT, c INT);
        INSERT INTO p VALUES (1, NULL), (2, 1);
        INSERT INTO t VALUES (1, 1, 'a', 1), (2, 2, 'b', 2), (3, NULL, 'c', NULL), (4, 1, 'd', -4), (5, 77, 'e', 5), (6, NULL, 'a', 6)";
    for query in ["", "_foreign_keys=0"] {
        let mut journey = Journey::with(query, schema).await;
        journey.down("DROP TABLE t").await;
        journey.execute("DELETE FROM p WHERE id = 2").await;
        let done = journey
            .up("CREATE TABLE t (id INTEGER PRIMARY KEY, p INT REFERENCES p, u TEXT UNIQUE, c INT NOT NULL CHECK (c > 0));
                 INSERT INTO t VALUES (9, NULL, 'a', 1)")
            .await;
        assert_eq!(
            outcome(&done.restored[0].restored),
            (
                2,
                vec![
                    ("a check of the table refuses it", 1),
                    ("a row that it refers to is not there", 1),
                    ("another row has a value that may be there only once", 1),
                    ("it has no value where the table now wants one", 1),
                ]
            ),
            "the one that referred to nothing before may do so again, and the seed gives way once"
        );
        assert_eq!(journey.waiting().await, 4);
        // By hand, once the way is free.
        journey.execute("DELETE FROM t WHERE id = 1; INSERT INTO p VALUES (2, 1)").await;
        let put =
            journey.session.restore(&[done.restored[0].id]).await.expect("put back").remove(0);
        assert_eq!((put.restored.back, put.restored.left()), (4, 2));
        assert_eq!(journey.waiting().await, 2);
    }
}

#[tokio::test]
async fn what_is_put_back_too_early_still_waits() {
    let create = "CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, a)";
    for fill in
        ["INSERT INTO t VALUES (1, 'a'), (2, 'b')", "INSERT INTO t VALUES (9, 'a'); DELETE FROM t"]
    {
        let mut journey = Journey::of(&format!("{create}; {fill}")).await;
        let before = journey.dump().await;
        let id = journey.down("DROP TABLE t").await.kept[0].id;
        let waiting = journey.waiting().await;
        let put = journey.session.restore(&[id]).await.expect("put back").remove(0);
        assert_eq!((put.restored.back, put.restored.left()), (0, waiting));
        let entries = journey.session.archive("app").await.expect("entries");
        assert_eq!(entries[0].restored, None, "{fill}");
        assert_eq!(journey.waiting().await, waiting);
        let done = journey.up(create).await;
        assert_eq!(outcome(&done.restored[0].restored), (waiting, vec![]), "{fill}");
        assert_eq!(journey.dump().await, before);
    }
}

#[tokio::test]
async fn what_was_carried_over_is_newer_than_what_was_kept() {
    for carry in [
        "UPDATE t SET b = (SELECT b FROM s WHERE s.id = t.id)",
        "UPDATE t SET b = s.b FROM s WHERE s.id = t.id",
        "INSERT OR REPLACE INTO t SELECT id, b FROM s",
    ] {
        let mut journey = Journey::of(
            "CREATE TABLE t (id INTEGER PRIMARY KEY); CREATE TABLE s (id INTEGER PRIMARY KEY, b);
             INSERT INTO t VALUES (3), (4); INSERT INTO s VALUES (3, 'old'), (4, 'stays')",
        )
        .await;
        journey.down(&format!("ALTER TABLE t ADD b; {carry}; DROP TABLE s")).await;
        journey.execute("UPDATE t SET b = 'new' WHERE id = 3").await;
        let up = "CREATE TABLE s (id INTEGER PRIMARY KEY, b); INSERT INTO s SELECT id, b FROM t; ALTER TABLE t DROP b";
        let done = journey.up(up).await;
        let put = done.restored.iter().find(|put| put.lost == table("s")).expect("s");
        assert_eq!(
            outcome(&put.restored),
            (1, vec![("a row with its key is there", 1)]),
            "{carry}"
        );
        assert_eq!(journey.place.ask("SELECT group_concat(b) FROM s").await, "new,stays");
    }
}

#[tokio::test]
async fn rows_with_another_key_do_not_come_back_beside_themselves() {
    let fill = "INSERT INTO t VALUES (1, 'a', 5), (2, 'b', 7)";
    // Something else tells the rows apart: they have their keys again.
    for create in [
        "CREATE TABLE t (id INT PRIMARY KEY, a, b)",
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a NOT NULL UNIQUE, b)",
        "CREATE TABLE t (id, a, b)",
    ] {
        let mut journey = Journey::of(&format!("{create}; {fill}")).await;
        journey.there_and_back("UPDATE t SET id = id + 1000", "SELECT 1").await;
        journey.there_and_back("UPDATE t SET id = -id; DELETE FROM t WHERE id = -2", "").await;
    }
    let create = "CREATE TABLE t (id INTEGER PRIMARY KEY, a, b)";
    for down in [
        "UPDATE t SET b = b, id = id + 1000",
        "UPDATE t SET (b, id) = (b, id + 1000)",
        "UPDATE t SET rowid = rowid + 1000",
        "WITH x AS (SELECT 1000 AS n) UPDATE t SET id = id + n FROM x",
        "INSERT INTO t VALUES (1, 1, 1), (2, 2, 2) ON CONFLICT DO UPDATE SET id = id + 1000",
        "CREATE TABLE n (id INTEGER PRIMARY KEY, a, b); INSERT INTO n (id, a, b) SELECT id + 1000, a, b FROM t; DROP TABLE t; ALTER TABLE n RENAME TO t",
        "ALTER TABLE t RENAME TO v; UPDATE v SET id = id + 1000; ALTER TABLE v RENAME TO t",
        "CREATE TRIGGER g AFTER UPDATE ON t WHEN new.id < 1000 BEGIN UPDATE t SET id = id + 1000 WHERE id = new.id; END; UPDATE t SET b = b; DROP TRIGGER g",
    ] {
        let mut journey = Journey::of(&format!("{create}; {fill}")).await;
        journey.down(down).await;
        let done = journey.up("SELECT 1").await;
        let put = outcome(&done.restored[0].restored);
        assert_eq!(
            put,
            (0, vec![("the row was changed and cannot be told from others", 2)]),
            "{down}"
        );
        let there = journey.place.ask("SELECT group_concat(id || a || b) FROM t").await;
        assert_eq!(there, "1001a5,1002b7", "{down}");
        assert_eq!(journey.waiting().await, 2);
    }
    // The other half gives them their keys again.
    let mut journey = Journey::of(&format!("{create}; {fill}")).await;
    journey.there_and_back("UPDATE t SET id = -id", "UPDATE t SET id = -id").await;
    journey.there_and_back("DELETE FROM t WHERE id = 1; UPDATE t SET b = id", "").await;
}

#[tokio::test]
async fn rows_that_follow_another_key_do_not_come_back_beside_themselves() {
    let schema = "CREATE TABLE p (id INTEGER PRIMARY KEY);
        CREATE TABLE c (p INTEGER PRIMARY KEY REFERENCES p ON UPDATE CASCADE ON DELETE CASCADE, v);
        CREATE TABLE d (id INTEGER PRIMARY KEY, p REFERENCES p ON UPDATE CASCADE);
        INSERT INTO p VALUES (1), (2); INSERT INTO c VALUES (1, 'a'), (2, 'b'); INSERT INTO d VALUES (5, 1)";
    let mut journey = Journey::with("_foreign_keys=1", schema).await;
    journey.down("UPDATE p SET id = id + 1000").await;
    journey.up("SELECT 1").await;
    let there = "SELECT (SELECT group_concat(id) FROM p) || (SELECT group_concat(p || v) FROM c) || (SELECT p FROM d)";
    assert_eq!(journey.place.ask(there).await, "1001,10021001a,1002b1001");
    assert_eq!(journey.waiting().await, 5);
    let mut journey = Journey::with("_foreign_keys=1", schema).await;
    journey.there_and_back("DELETE FROM d; DELETE FROM p WHERE id = 1", "").await;
}

#[tokio::test]
async fn what_changed_meanwhile_stays_as_it_is() {
    let mut journey = Journey::of(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a, b); INSERT INTO t VALUES (1, 1, 1), (2, 2, 2), (3, 3, 3), (4, 4, 4), (5, 5, 5)",
    )
    .await;
    journey.down("UPDATE t SET a = 0 WHERE id < 4; DELETE FROM t WHERE id > 3").await;
    journey.execute("UPDATE t SET a = 7 WHERE id = 1; DELETE FROM t WHERE id = 2; INSERT INTO t VALUES (4, 'new', 0); UPDATE t SET b = 8 WHERE id = 3").await;
    let done = journey.up("").await;
    assert_eq!(
        outcome(&done.restored[0].restored),
        (
            1,
            vec![
                ("a row with its key is there", 1),
                ("the row was changed meanwhile", 2),
                ("the row was deleted meanwhile", 1)
            ]
        )
    );
    let mut journey = Journey::of(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a); INSERT INTO t VALUES (1, 1), (2, 2)",
    )
    .await;
    journey.down("ALTER TABLE t DROP a").await;
    journey.execute("DELETE FROM t WHERE id = 2; INSERT INTO t VALUES (3)").await;
    let done = journey.up("ALTER TABLE t ADD a DEFAULT 9").await;
    assert_eq!(
        outcome(&done.restored[0].restored),
        (1, vec![("the row was deleted meanwhile", 1)])
    );
    assert_eq!(journey.place.ask("SELECT group_concat(id || a) FROM t").await, "11,39");
}

#[tokio::test]
async fn rows_without_a_key_that_look_alike_are_not_guessed_at() {
    let schema = "CREATE TABLE t (a, b); INSERT INTO t VALUES (1, 'x'), (1, 'y'), (2, 'z'), (2, 'z'), (3, 'w')";
    let mut journey = Journey::of(schema).await;
    journey.there_and_back("ALTER TABLE t DROP b", "ALTER TABLE t ADD b").await;
    journey.down("ALTER TABLE t DROP b").await;
    journey.execute("DELETE FROM t WHERE rowid IN (2, 3, 5)").await;
    let done = journey.up("ALTER TABLE t ADD b").await;
    assert_eq!(
        outcome(&done.restored[0].restored),
        (1, vec![("several rows look alike", 2), ("the row was deleted meanwhile", 2)])
    );
}

#[tokio::test]
async fn several_rollbacks_in_a_row_have_an_entry_each() {
    let mut journey = Journey::of(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a); INSERT INTO t VALUES (1, 'first')",
    )
    .await;
    let create = "CREATE TABLE t (id INTEGER PRIMARY KEY, a)";
    journey.down("DROP TABLE t").await;
    // The other half ran elsewhere: what was kept still waits.
    journey.execute(&format!("{create}; INSERT INTO t VALUES (1, 'second'), (2, 'own'); UPDATE {TABLE} SET version = 2")).await;
    journey.down("DROP TABLE t").await;
    let entries = journey.session.archive("app").await.expect("entries");
    assert_eq!(
        entries.iter().map(|it| (it.id, it.rows, it.waiting())).collect::<Vec<_>>(),
        [(1, 1, 1), (2, 2, 2)]
    );
    let done = journey.up(create).await;
    let put: Vec<_> = done.restored.iter().map(|put| (put.id, outcome(&put.restored))).collect();
    assert_eq!(put, [(2, (2, vec![])), (1, (0, vec![("a later rollback kept newer values", 1)]))]);
    assert_eq!(journey.place.ask("SELECT group_concat(a) FROM t").await, "second,own");
    let page = journey.session.archive_page(1, 0, 10).await.expect("a page");
    assert_eq!(page.rows, [[Some("1".to_owned()), Some("first".to_owned())]]);
    journey.session.drop_entry(1).await.expect("forgotten");
    assert!(matches!(journey.session.drop_entry(1).await, Err(DatabaseError::NoEntry(1))));
    assert_eq!(journey.waiting().await, 0);
}

#[tokio::test]
async fn triggers_and_cascades_are_followed_and_fire_for_nothing_of_ours() {
    let schema = "CREATE TABLE log (what); CREATE TABLE v (id INTEGER PRIMARY KEY);
        CREATE TABLE p (id INTEGER PRIMARY KEY); CREATE TABLE c (id INTEGER PRIMARY KEY, p REFERENCES p ON DELETE CASCADE);
        INSERT INTO p VALUES (1), (2); INSERT INTO c VALUES (1, 1), (2, 2); INSERT INTO v VALUES (1);
        CREATE TRIGGER g AFTER DELETE ON c BEGIN DELETE FROM v; END;
        CREATE TRIGGER h AFTER INSERT ON c BEGIN INSERT INTO log VALUES (new.id); END;
        CREATE TRIGGER i BEFORE INSERT ON p BEGIN SELECT raise(ABORT, 'no'); END;";
    let mut journey = Journey::with("_foreign_keys=1", schema).await;
    let (done, _) = journey.there_and_back("DELETE FROM p WHERE id = 1", "").await;
    let lost: Vec<_> = done.kept.iter().map(|kept| kept.lost.clone()).collect();
    assert_eq!(lost, [rows("c"), rows("p"), rows("v")]);
    assert_eq!(
        journey.place.ask("SELECT count(*) FROM sqlite_schema WHERE type = 'trigger'").await,
        "3"
    );
}

#[tokio::test]
async fn tables_that_refer_to_one_another_are_back() {
    let create = "CREATE TABLE a (id INTEGER PRIMARY KEY, b INT REFERENCES b);
        CREATE TABLE b (id INTEGER PRIMARY KEY, a INT REFERENCES a, own INT REFERENCES b);";
    for query in ["", "_foreign_keys=1"] {
        let mut journey = Journey::with(query, &format!(
            "{create} INSERT INTO a VALUES (1, NULL), (2, NULL); INSERT INTO b VALUES (1, 2, 3), (2, 1, 1), (3, NULL, 2);
             UPDATE a SET b = 3 - id")).await;
        journey.there_and_back("UPDATE a SET b = NULL; UPDATE b SET a = NULL, own = NULL; DROP TABLE b; DROP TABLE a", create).await;
        journey
            .there_and_back("PRAGMA foreign_keys = off; DROP TABLE a; DROP TABLE b", create)
            .await;
    }
}

#[tokio::test]
async fn an_up_that_destroys_is_kept_as_well() {
    let mut journey =
        Journey::of("CREATE TABLE t (id INTEGER PRIMARY KEY, a); INSERT INTO t VALUES (1, 2)")
            .await;
    journey.execute(&format!("UPDATE {TABLE} SET version = 1")).await;
    journey.up("ALTER TABLE t DROP a").await;
    let done = journey.down("ALTER TABLE t ADD a").await;
    assert_eq!(done.restored[0].restored.back, 1);
    assert_eq!(journey.place.ask("SELECT a FROM t").await, "2");
}

#[tokio::test]
async fn rows_that_do_not_fit_are_found_among_thousands() {
    let numbers =
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3300) SELECT i";
    let schema = format!(
        "CREATE TABLE p (id INTEGER PRIMARY KEY); INSERT INTO p VALUES (1), (2);
         CREATE TABLE t (id INTEGER PRIMARY KEY, p INT, a INT);
         INSERT INTO t {numbers}, 1 + i / 2200, i FROM n"
    );
    let mut journey = Journey::with("_foreign_keys=1", &schema).await;
    journey.down("DROP TABLE t").await;
    journey.execute("DELETE FROM p WHERE id = 2").await;
    let create = "CREATE TABLE t (id INTEGER PRIMARY KEY, p INT REFERENCES p, a INT UNIQUE CHECK (a % 1000 <> 77))";
    let done = journey.up(&format!("{create}; INSERT INTO t VALUES (5000, 1, 1234)")).await;
    let stay = vec![
        ("a check of the table refuses it", 4),
        ("a row that it refers to is not there", 1_100),
    ];
    // The one that the body puts there is a kept one under another key, and gives way.
    assert_eq!(outcome(&done.restored[0].restored), (2_196, stay));
    assert_eq!(journey.place.ask("SELECT count(*) FROM t").await, "2196");
}

#[tokio::test]
async fn a_damaged_entry_is_told_and_not_read() {
    for (damage, words) in [
        ("layout = json_set(layout, '$.types', json('[]'))", "has 3 columns and 0 types"),
        (
            "layout = json_set(layout, '$.renamed', json('[null]'))",
            "has 3 columns and 1 later names",
        ),
        (
            "layout = json_set(layout, '$.columns', json('[\"x\", \"y\", \"z\"]'))",
            "has no column `a`",
        ),
        ("layout = '{}'", "has no table"),
        ("layout = 'no'", "expected"),
        ("row_count = -1", "`-1` is no such number"),
        ("version = 'x'", "`x` is no such number"),
        ("direction = 'sideways'", "direction `sideways`"),
    ] {
        let mut journey = Journey::of(
            "CREATE TABLE t (id INTEGER PRIMARY KEY, a, b); INSERT INTO t VALUES (1, 2, 3)",
        )
        .await;
        let id = journey.down("ALTER TABLE t DROP a").await.kept[0].id;
        journey.execute(&format!("UPDATE sternway_archive SET {damage}")).await;
        let session = &mut journey.session;
        for error in [
            session.archive("app").await.map(drop),
            session.archive_page(id, 0, 10).await.map(drop),
            session.restore(&[id]).await.map(drop),
            session.drop_entry(id).await,
        ] {
            let error = error.expect_err(damage);
            assert!(matches!(&error, DatabaseError::RecordsDamaged(_)), "{damage}: {error:?}");
            assert!(error.to_string().contains(words), "{damage}: {error}");
        }
        assert_eq!(journey.place.ask("SELECT count(*) FROM sternway_kept_2").await, "1");
    }
}

/// A table, its rows, and a body that takes some of it away, with one that makes it again.
#[derive(Debug, Clone)]
struct Case {
    schema: String,
    down: String,
    up: String,
    keys: bool,
}

fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("NULL".to_owned()),
        (-3i64..6).prop_map(|it| it.to_string()),
        "[a-cA-C ']{0,3}".prop_map(|it| format!("'{}'", it.replace('\'', "''"))),
        prop::collection::vec(any::<u8>(), 0..3).prop_map(|it| format!(
            "x'{}'",
            it.iter().map(|it| format!("{it:02x}")).collect::<String>()
        )),
        any::<f64>()
            .prop_filter("a number", |it| it.is_finite() && *it != 0.0)
            .prop_map(|it| format!("{it:e}")),
    ]
}

fn case() -> impl Strategy<Value = Case> {
    let kinds = prop::sample::select(vec![
        "",
        "TEXT",
        "INTEGER",
        "REAL",
        "NUMERIC",
        "BLOB",
        "TEXT COLLATE NOCASE",
    ]);
    let key = prop::sample::select(vec![
        "id INTEGER PRIMARY KEY",
        "id INTEGER PRIMARY KEY AUTOINCREMENT",
        "id TEXT PRIMARY KEY",
        "id INT NOT NULL UNIQUE",
        "id",
        "id BLOB NOT NULL PRIMARY KEY|WITHOUT ROWID",
    ]);
    let values = prop::collection::vec((value(), value(), value()), 0..12);
    let one = prop::sample::select(vec![
        "drop",
        "column a",
        "column b",
        "delete",
        "delete all",
        "update",
        "update two",
        "anew",
        "anew less",
        "replace",
        "rename",
    ]);
    (key, [kinds.clone(), kinds.clone(), kinds], values, prop::collection::vec(one, 1..4), any::<bool>(), 0..12u32).prop_map(
        |(key, [a, b, c], values, steps, keys, limit)| {
            let (key, options) = key.split_once('|').unwrap_or((key, ""));
            let create = |name: &str, columns: &[(&str, &str)]| {
                let columns: String = columns.iter().map(|(name, kind)| format!(", \"{name}\" {kind}")).collect();
                format!("CREATE TABLE {name} ({key}{columns}) {options};")
            };
            let mut schema = create("t", &[("a", a), ("b", b), ("c d", c)]);
            for (id, (a, b, c)) in values.iter().enumerate() {
                schema.push_str(&format!("INSERT INTO t VALUES ({}, {a}, {b}, {c});", id / if key == "id" { 3 } else { 1 }));
            }
            let (mut down, mut up) = (String::new(), Vec::new());
            let mut there = vec![("a", a), ("b", b), ("c d", c)];
            for step in steps {
                match step {
                    "drop" => {
                        down.push_str("DROP TABLE t;");
                        up.push(create("t", &there));
                        break;
                    }
                    "column a" | "column b" => {
                        let name = &step[7..];
                        let Some(at) = there.iter().position(|it| it.0 == name) else { continue };
                        let (_, kind) = there.remove(at);
                        down.push_str(&format!("ALTER TABLE t DROP COLUMN {name};"));
                        up.push(format!("ALTER TABLE t ADD COLUMN {name} {kind}; UPDATE t SET {name} = 5;"));
                    }
                    "delete" => down.push_str(&format!("DELETE FROM t WHERE CAST(id AS INT) % 3 = {};", limit % 3)),
                    "delete all" => down.push_str("DELETE FROM t;"),
                    "update" => down.push_str(&format!("UPDATE t SET \"c d\" = {limit} WHERE CAST(id AS INT) > {limit};")),
                    "update two" if there.len() == 3 => down.push_str("UPDATE t SET a = b, b = 'x' || a;"),
                    "replace" if key != "id" => down.push_str(&format!("INSERT OR REPLACE INTO t (id, \"c d\") SELECT id, 'r' FROM t WHERE CAST(id AS INT) = {limit};")),
                    "rename" => {
                        down.push_str("ALTER TABLE t RENAME COLUMN \"c d\" TO e; ALTER TABLE t RENAME COLUMN e TO \"c d\";");
                    }
                    "anew" | "anew less" if key != "id" => {
                        if step == "anew less" && there.len() > 2 {
                            let (name, kind) = there.remove(0);
                            up.push(format!("ALTER TABLE t ADD COLUMN {name} {kind};"));
                        }
                        let names: String = there.iter().map(|it| format!(", \"{}\"", it.0)).collect();
                        down.push_str(&format!(
                            "{} INSERT INTO n (id{names}) SELECT id{names} FROM t WHERE CAST(id AS INT) <> {limit}; DROP TABLE t; ALTER TABLE n RENAME TO t;",
                            create("n", &there)
                        ));
                    }
                    _ => {}
                }
            }
            up.reverse();
            Case { schema, down, up: up.join(" "), keys }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_a_body_takes_away_is_back_and_accounted_for(case in case()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let query = if case.keys { "_foreign_keys=1" } else { "" };
            let mut journey = Journey::with(query, &case.schema).await;
            let before = journey.dump().await;
            let down = journey.down(&case.down).await;
            let up = journey.up(&case.up).await;
            assert_eq!(journey.dump().await, before, "{:?} {:?}", down.kept, up.restored);
            let kept: u64 = down.kept.iter().map(|it| it.rows).sum();
            let back: u64 = up.restored.iter().map(|it| it.restored.back).sum();
            assert_eq!(kept, back, "{:?} {:?}", down.kept, up.restored);
            assert_eq!(journey.waiting().await, 0);
        });
    }
}
