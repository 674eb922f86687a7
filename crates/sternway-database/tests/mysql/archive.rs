//! The archive on MariaDB: what bodies take away is kept, and is back when the other half runs.

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use sternway_database::StepError;
use sternway_database::port::prelude::*;
use sternway_model::catalog::Direction;
use sternway_model::effect::Effects;

use crate::journey::{Journey, column, lost, outcome, rows, table};
use crate::server;
use crate::support;

#[tokio::test]
async fn a_table_of_any_kind_is_back_bit_for_bit() {
    for (create, values) in [
        (
            "CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT, a VARCHAR(9000) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci,
                b DOUBLE, c FLOAT, d DECIMAL(20, 5), e TIMESTAMP(6) NULL, f ENUM('x', 'ß'), g SET('a', 'b'), h BIT(5),
                i JSON, j VARBINARY(20), k BLOB, l YEAR, m TIME(3), n BINARY(4), `order` INT, o INT AS (`order` * 2) STORED, p CHAR(3) CHARACTER SET latin1)",
            "INSERT INTO t (a, b, c, d, e, f, g, h, i, j, k, l, m, n, `order`, p) VALUES
                ('Ä☂😀', 0.1, 1.1, 1.00001, '2020-01-01 00:00:00.000001', 'ß', 'a,b', b'101', '{\"a\": 1}', x'00ff', x'', 1999, '-838:59:59', x'01', 7, 'é'),
                ('', 1e308, 3.4e38, NULL, NULL, NULL, '', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
                ('', NULL, 16777217, 0, '1970-01-02 00:00:00', 'x', NULL, b'0', '[]', x'', x'00', 0, '0', x'20202020', 0, 'x')",
        ),
        ("CREATE TABLE t (a INT, b TEXT)", "INSERT INTO t VALUES (1, 'x'), (1, 'x'), (NULL, NULL), (1, 'X')"),
        ("CREATE TABLE t (a VARCHAR(20), b CHAR(36) NOT NULL, PRIMARY KEY (b, a))", "INSERT INTO t VALUES ('a', 'b'), ('c', 'b')"),
    ] {
        let Some(mut journey) = Journey::of(&format!("{create}; {values}")).await else { return };
        let done = journey.there_and_back("DROP TABLE t", create).await;
        assert_eq!(done.kept[0].lost, table("t"));
        journey.there_and_back("DROP TABLE IF EXISTS t, nowhere", create).await;
        journey.there_and_back("DELETE FROM t", "").await;
        journey.there_and_back("TRUNCATE TABLE t", "").await;
    }
}

#[tokio::test]
async fn the_numbers_of_a_table_go_on_where_they_were() {
    let create = "CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT, a INT)";
    let insert = "INSERT INTO t VALUES (70, 1); DELETE FROM t; INSERT INTO t (a) VALUES (1)";
    let Some(mut journey) = Journey::of(&format!("{create}; {insert}; DELETE FROM t")).await else {
        return;
    };
    journey.down("DROP TABLE t").await;
    journey.up(create).await;
    journey.execute("INSERT INTO t (a) VALUES (1)").await;
    assert_eq!(journey.ask("SELECT id FROM t").await, "72");
}

#[tokio::test]
async fn columns_and_rows_are_back_by_their_key() {
    let schema = "CREATE TABLE t (id VARCHAR(20) COLLATE utf8mb4_bin PRIMARY KEY, a VARCHAR(300), b INT, c DOUBLE);
        INSERT INTO t VALUES ('a', 'x', 1, 0.1), ('A', NULL, 2, NULL), ('b', 'y', NULL, 1e100), ('c', 'Z', 4, 4)";
    let Some(mut journey) = Journey::of(schema).await else { return };
    let done = journey
        .there_and_back(
            "ALTER TABLE t DROP COLUMN a, DROP b",
            "ALTER TABLE t ADD a VARCHAR(300) NULL DEFAULT 'd' AFTER id, ADD b INT; UPDATE t SET b = 9",
        )
        .await;
    assert_eq!(lost(&done), [(column("t", "a"), 4), (column("t", "b"), 4)]);
    assert_eq!(
        done.effects.expect("effects").losses.iter().map(|it| it.rows).collect::<Vec<_>>(),
        [Some(3), Some(3)]
    );
    let done = journey.there_and_back("UPDATE t SET a = 'z' WHERE id IN ('c', 'b')", "").await;
    assert_eq!(lost(&done), [(rows("t"), 2)], "a change of case is one");
    journey
        .there_and_back(
            "UPDATE t SET a = LOWER(a); DELETE FROM t WHERE b = 1; ALTER TABLE t DROP b",
            "ALTER TABLE t ADD b INT",
        )
        .await;
    journey
        .there_and_back(
            "SET sql_mode = ''; ALTER TABLE t MODIFY c INT, MODIFY a VARCHAR(1)",
            "ALTER TABLE t MODIFY c DOUBLE, MODIFY a VARCHAR(300)",
        )
        .await;
    journey.there_and_back("REPLACE INTO t VALUES ('a', 'n', 0, 0); INSERT INTO t VALUES ('b', '', 0, 0) ON DUPLICATE KEY UPDATE c = 7", "").await;
    journey.there_and_back("DROP TABLE t; CREATE TABLE t (id INT)", "CREATE OR REPLACE TABLE t (id VARCHAR(20) COLLATE utf8mb4_bin PRIMARY KEY, a VARCHAR(300), b INT, c DOUBLE)").await;
}

#[tokio::test]
async fn what_is_renamed_is_not_lost() {
    let Some(mut journey) = Journey::of(
        "CREATE TABLE t (id INT PRIMARY KEY, a INT, b INT); INSERT INTO t VALUES (1, 2, 3)",
    )
    .await
    else {
        return;
    };
    let done = journey.down("ALTER TABLE t RENAME TO u; ALTER TABLE u CHANGE a x BIGINT; ALTER TABLE u RENAME COLUMN x TO y; ALTER TABLE u DROP b").await;
    assert_eq!(lost(&done), [(column("t", "b"), 1)]);
    journey.execute("UPDATE u SET y = 5").await;
    journey
        .up("RENAME TABLE u TO t; ALTER TABLE t CHANGE COLUMN y a INT; ALTER TABLE t ADD b INT")
        .await;
    assert_eq!(journey.ask("SELECT CONCAT(a, b) FROM t").await, "53");
}

#[tokio::test]
async fn foreign_keys_in_and_out_and_their_names_are_no_hindrance() {
    let create = "CREATE TABLE p (id INT PRIMARY KEY, own INT, CONSTRAINT p_own FOREIGN KEY (own) REFERENCES p (id));
        CREATE TABLE c (id INT PRIMARY KEY, p INT, CONSTRAINT c_p FOREIGN KEY (p) REFERENCES p (id) ON DELETE CASCADE);";
    let values = "INSERT INTO p VALUES (1, NULL), (2, 1), (3, 3); INSERT INTO c VALUES (1, 1), (2, 2), (3, NULL);";
    let Some(mut journey) = Journey::of(&format!("{create} {values}")).await else { return };
    journey.there_and_back("DROP TABLE c; DROP TABLE p", create).await;
    journey.there_and_back("DROP TABLE c, p", create).await;
    journey.there_and_back("SET foreign_key_checks = 0; DROP TABLE p; DROP TABLE c", create).await;
    let done =
        journey.there_and_back("DELETE FROM p WHERE id = 1 OR own = 1 ORDER BY id DESC", "").await;
    assert_eq!(lost(&done), [(rows("c"), 2), (rows("p"), 2)], "the cascade is followed");
    let error = journey.go(Direction::Down, "DROP TABLE p", true, None).await;
    assert!(matches!(error, Err(StepError::Dirty { statement: 1, .. })), "{error:?}");
    journey.at(2).await;
    journey.there_and_back("DROP TABLE c", create.split_once(";").expect("two").1).await;
    assert_eq!(journey.ask("SELECT COUNT(*) FROM information_schema.REFERENTIAL_CONSTRAINTS WHERE CONSTRAINT_SCHEMA = DATABASE()").await, "2");
}

#[tokio::test]
async fn every_row_that_no_longer_fits_has_its_reason() {
    let schema = "CREATE TABLE p (id INT PRIMARY KEY); CREATE TABLE t (id INT PRIMARY KEY, p INT, u VARCHAR(20), c INT, FOREIGN KEY (p) REFERENCES p (id));
        INSERT INTO p VALUES (1), (2); INSERT INTO t VALUES (1, 1, 'a', 1), (2, 2, 'b', 2), (3, NULL, 'c', NULL), (4, 1, 'd', -4), (5, 1, 'too long', 5), (6, 1, 'f', 6)";
    let Some(mut journey) = Journey::of(schema).await else { return };
    journey.down("DROP TABLE t").await;
    journey.execute("DELETE FROM p WHERE id = 2").await;
    let done = journey
        .up("CREATE TABLE t (id INT PRIMARY KEY, p INT, u VARCHAR(3) UNIQUE, c INT NOT NULL CHECK (c > 0), FOREIGN KEY (p) REFERENCES p (id));
             INSERT INTO t VALUES (9, NULL, 'A', 1)")
        .await;
    assert_eq!(
        outcome(&done.restored[0].restored),
        (
            1,
            vec![
                ("a check of the table refuses it", 1),
                ("a row that it refers to is not there", 1),
                ("a value does not fit its column", 1),
                ("another row has a value that may be there only once", 1),
                ("it has no value where the table now wants one", 1),
            ]
        )
    );
    journey.execute("DELETE FROM t WHERE id = 9; INSERT INTO p VALUES (2)").await;
    let put = journey.session.restore(&[done.restored[0].id]).await.expect("put back").remove(0);
    assert_eq!((put.restored.back, put.restored.left()), (3, 3));
    let page = journey.session.archive_page(put.id, 0, 1).await.expect("a page");
    assert_eq!(page.rows[0][0].as_deref(), Some("3"));
    journey.session.drop_entry(put.id).await.expect("forgotten");
    assert_eq!(journey.waiting().await, 0);
}

#[tokio::test]
async fn what_changed_meanwhile_stays_as_it_is() {
    let values = "INSERT INTO t VALUES (1, 1, 1), (2, 2, 2), (3, 3, 3), (4, 4, 4), (5, 5, 5)";
    let Some(mut journey) =
        Journey::of(&format!("CREATE TABLE t (id INT PRIMARY KEY, a INT, b INT); {values}")).await
    else {
        return;
    };
    journey.down("UPDATE t SET a = 0 WHERE id < 4; DELETE FROM t WHERE id > 3").await;
    journey.execute("UPDATE t SET a = 7 WHERE id = 1; DELETE FROM t WHERE id = 2; INSERT INTO t VALUES (4, 40, 0)").await;
    let done = journey.up("").await;
    assert_eq!(
        outcome(&done.restored[0].restored),
        (
            2,
            vec![
                ("a row with its key is there", 1),
                ("the row was changed meanwhile", 1),
                ("the row was deleted meanwhile", 1)
            ]
        )
    );
}

/// Triggers of the user's own do not fire on what is restored, and are what they were; somebody else's are left alone.
#[tokio::test]
async fn triggers_are_silent_while_rows_are_restored() {
    let head = "TRIGGER g BEFORE INSERT ON t FOR EACH ROW";
    let trigger = format!("{head} INSERT INTO log VALUES (NEW.id + 0 * LENGTH('\u{e9}'))");
    let schema = "CREATE TABLE t (id INT PRIMARY KEY, a INT); INSERT INTO t VALUES (1, 1), (2, 2); CREATE TABLE log (x INT)";
    // What a client makes that writes in another character set is the same afterwards.
    let by_another_client = format!("SET character_set_client = latin1; CREATE {trigger}");
    let Some(mut journey) = Journey::of(&format!("{schema}; {by_another_client}")).await else {
        return;
    };
    let defined = "SELECT CONCAT(DEFINER, SQL_MODE, COLLATION_CONNECTION, ACTION_STATEMENT) FROM information_schema.TRIGGERS
         WHERE TRIGGER_SCHEMA = DATABASE()";
    let before = journey.ask(defined).await;
    journey.down("DELETE FROM t WHERE id = 2").await;
    let done = journey.up("").await;
    assert_eq!(outcome(&done.restored[0].restored), (1, vec![]));
    assert_eq!(journey.ask("SELECT COUNT(*) FROM log").await, "0");
    assert_eq!(journey.ask(defined).await, before);

    // Whoever comes after a process that was cut short makes what that had taken away.
    journey
        .execute(&format!(
            "CREATE TABLE sternway_swap (n bigint PRIMARY KEY, place text, kind text, name text, settings text, make text);
             INSERT INTO sternway_swap SELECT 1, 'here', 'TRIGGER', 'g', CONCAT('SET SESSION sql_mode = ''', SQL_MODE,
                 ''', SESSION collation_connection = ''', COLLATION_CONNECTION, ''''), CONCAT('CREATE {head} ', ACTION_STATEMENT)
                 FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = DATABASE();
             DROP TRIGGER g"
        ))
        .await;
    journey.down("DELETE FROM t WHERE id = 1").await;
    assert_eq!(journey.ask(defined).await, before);
    let left = "SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = 'sternway_swap'";
    assert_eq!(journey.ask(left).await, "0");

    journey.execute(&format!("DROP TRIGGER g; CREATE DEFINER = 'somebody'@'%' {trigger}")).await;
    let theirs = journey.ask(defined).await;
    let done = journey.up("").await;
    assert_eq!(
        outcome(&done.restored[0].restored),
        (0, vec![("the table has triggers, which would fire", 1)])
    );
    assert_eq!(journey.ask(defined).await, theirs);
}

#[tokio::test]
async fn rows_that_lose_their_key_are_all_kept() {
    let schema =
        "CREATE TABLE t (id INT PRIMARY KEY, a INT); INSERT INTO t VALUES (1, 1), (2, NULL)";
    let Some(mut journey) = Journey::of(schema).await else { return };
    journey
        .there_and_back("ALTER TABLE t DROP PRIMARY KEY", "ALTER TABLE t ADD PRIMARY KEY (id)")
        .await;
    journey.down("ALTER TABLE t DROP PRIMARY KEY, DROP a").await;
    let done = journey.up("ALTER TABLE t ADD a INT, ADD PRIMARY KEY (id)").await;
    assert_eq!(outcome(&done.restored[0].restored), (1, vec![("a row with its key is there", 1)]));
}

#[tokio::test]
async fn several_rollbacks_in_a_row_have_an_entry_each() {
    let create = "CREATE TABLE t (id INT PRIMARY KEY, a VARCHAR(20))";
    let Some(mut journey) =
        Journey::of(&format!("{create}; INSERT INTO t VALUES (1, 'first')")).await
    else {
        return;
    };
    journey.down("DROP TABLE t").await;
    journey.execute(&format!("{create}; INSERT INTO t VALUES (1, 'second'), (2, 'own')")).await;
    journey.at(2).await;
    journey.down("DROP TABLE t").await;
    assert_eq!(journey.waiting().await, 3);
    let done = journey.up(create).await;
    let put: Vec<_> = done.restored.iter().map(|put| outcome(&put.restored)).collect();
    assert_eq!(put, [(2, vec![]), (0, vec![("a later rollback kept newer values", 1)])]);
    assert_eq!(journey.ask("SELECT GROUP_CONCAT(a ORDER BY id) FROM t").await, "second,own");
}

#[tokio::test]
async fn what_the_plan_does_not_say_or_nobody_can_keep_is_not_run() {
    let schema = "CREATE TABLE t (id INT PRIMARY KEY, x INT); INSERT INTO t VALUES (1, 1); CREATE TABLE k (a INT); INSERT INTO k VALUES (1);
        CREATE TABLE m (id INT PRIMARY KEY) ENGINE = MyISAM; INSERT INTO m VALUES (1); CREATE PROCEDURE p() DELETE FROM t";
    let Some(mut journey) = Journey::of(schema).await else { return };
    let before = journey.dump().await;
    let error = journey.go(Direction::Down, "DROP TABLE t", true, Some(&Effects::default())).await;
    assert!(matches!(error, Err(StepError::Beyond { more, .. }) if more == [table("t")]));
    for body in [
        "CALL p()",
        "SET @a = 'DROP TABLE t'; PREPARE s FROM @a; EXECUTE s",
        "DROP TABLE m",
        "UPDATE k SET a = 2",
        "DELETE a FROM t AS a",
        "BEGIN NOT ATOMIC DELETE FROM t; END",
        "UPDATE k JOIN t SET k.a = 1, t.x = 2",
    ] {
        let error = journey.go(Direction::Down, body, true, None).await;
        assert!(matches!(error, Err(StepError::CannotKeep { .. })), "{body}: {error:?}");
        assert_eq!(server::track(&mut journey.session).await, support::at(2), "{body}");
    }
    assert_eq!(journey.dump().await, before);
    let done = journey
        .go(Direction::Down, "DROP TABLE t; CREATE TABLE n (x INT); CALL p2()", false, None)
        .await;
    assert!(matches!(done, Err(StepError::Dirty { statement: 3, .. })));
    journey.at(2).await;
    let done = journey.go(Direction::Down, "DROP TABLE n", false, None).await.expect("discarded");
    assert_eq!(done.effects.expect("effects").losses[0].lost, table("n"));
    assert_eq!(journey.session.archive("app").await.expect("entries"), []);
}

#[tokio::test]
async fn a_failure_in_the_middle_loses_nothing() {
    let create =
        "CREATE TABLE t (id INT PRIMARY KEY, a INT); CREATE TABLE u (id INT PRIMARY KEY, a INT)";
    let values = "INSERT INTO t VALUES (1, 1), (2, 2); INSERT INTO u VALUES (1, 1), (2, 2)";
    let Some(mut journey) = Journey::of(&format!("{create}; {values}")).await else { return };
    let before = journey.dump().await;
    // It stops after the first, and is begun again.
    let body =
        "DROP TABLE IF EXISTS t; UPDATE u SET a = 7 WHERE id = 1; SELECT nothing FROM nowhere";
    let error = journey.go(Direction::Down, body, true, None).await;
    assert!(matches!(error, Err(StepError::Dirty { statement: 3, .. })), "{error:?}");
    journey.at(2).await;
    let done = journey.down("DROP TABLE IF EXISTS t; UPDATE u SET a = 7 WHERE id = 1").await;
    assert_eq!(lost(&done), [(rows("u"), 1), (table("t"), 2)]);
    journey.up("CREATE TABLE t (id INT PRIMARY KEY, a INT)").await;
    assert_eq!(journey.dump().await, before);
    // It stops, and is given up: the other half puts back what there is.
    journey.go(Direction::Down, body, true, None).await.expect_err("a failure");
    journey.at(1).await;
    journey.up("CREATE TABLE t (id INT PRIMARY KEY, a INT)").await;
    assert_eq!(journey.dump().await, before);
    assert_eq!(journey.waiting().await, 0);
}

#[tokio::test]
async fn killed_between_two_steps_of_the_keeping_nothing_is_lost() {
    let create = "CREATE TABLE t (id INT PRIMARY KEY, a INT)";
    let Some(mut journey) = Journey::of(&format!("{create}; INSERT INTO t VALUES (1, 1)")).await
    else {
        return;
    };
    let before = journey.dump().await;
    // As a migrator leaves it that dies after it has moved the table aside, and before the body drops it.
    journey.there_and_back("DROP TABLE t", create).await;
    journey
        .execute("INSERT INTO sternway_archive (app, track, version, direction, step, since, state, lost, data, layout, row_count)
            SELECT 'app', 'other', 9, 'down', 50, UTC_TIMESTAMP(), 'moving', lost, 50, REPLACE(layout, '\"moved\":false', '\"moved\":true'), 0 FROM sternway_archive LIMIT 1;
            UPDATE sternway_archive SET id = 50, data = 50 WHERE state = 'moving';
            CREATE TABLE s LIKE t; ALTER TABLE s COMMENT = 'sternway_stand_in_50'; RENAME TABLE t TO sternway_kept_50, s TO t")
        .await;
    journey.down("SELECT 1").await;
    assert_eq!(journey.dump().await.iter().filter(|it| it.starts_with("t ")).count(), 1);
    journey.up("SELECT 1").await;
    assert_eq!(journey.dump().await, before);
}

fn case() -> impl Strategy<Value = (String, String, String)> {
    let kinds = prop::sample::select(vec!["VARCHAR(40)", "INT", "DOUBLE", "VARBINARY(40)", "TEXT"]);
    let key = prop::sample::select(vec![
        "id INT PRIMARY KEY AUTO_INCREMENT",
        "id VARCHAR(20) PRIMARY KEY",
        "id INT NOT NULL UNIQUE",
    ]);
    let value = prop_oneof![
        Just("NULL".to_owned()),
        (-3i64..60).prop_map(|it| it.to_string()),
        (0i64..9).prop_map(|it| format!("'{it}'"))
    ];
    let values = prop::collection::vec((value.clone(), value), 0..10);
    let step = prop::sample::select(vec![
        "drop", "column a", "column b", "delete", "update", "truncate", "replace", "both",
    ]);
    (key, [kinds.clone(), kinds], values, prop::collection::vec(step, 1..4), 0..9u32).prop_map(|(key, [a, b], values, steps, limit)| {
        let create = |columns: &[(&str, &str)]| {
            let columns: String = columns.iter().map(|(name, kind)| format!(", {name} {kind}")).collect();
            format!("CREATE TABLE t ({key}{columns});")
        };
        let mut schema = create(&[("a", a), ("b", b), ("c", "INT")]);
        for (id, (a, b)) in values.iter().enumerate() {
            schema.push_str(&format!("INSERT INTO t VALUES ({}, {a}, {b}, {id});", id + 1));
        }
        let (mut down, mut up, mut there) = (String::new(), Vec::new(), vec![("a", a), ("b", b), ("c", "INT")]);
        for step in steps {
            match step {
                "drop" => {
                    down.push_str("DROP TABLE t;\n");
                    up.push(create(&there));
                    break;
                }
                "column a" | "column b" => {
                    let name = &step[7..];
                    let Some(at) = there.iter().position(|it| it.0 == name) else { continue };
                    let (_, kind) = there.remove(at);
                    down.push_str(&format!("ALTER TABLE t DROP COLUMN {name};\n"));
                    up.push(format!("ALTER TABLE t ADD COLUMN {name} {kind};\nUPDATE t SET {name} = 5;"));
                }
                "delete" => down.push_str(&format!("DELETE FROM t WHERE c % 3 = {};\n", limit % 3)),
                "truncate" => down.push_str("TRUNCATE t;\n"),
                "update" => down.push_str(&format!("UPDATE t SET c = {limit} WHERE c > {limit};\n")),
                "replace" => down.push_str(&format!("REPLACE INTO t (id, c) SELECT id, 77 FROM (SELECT * FROM t) x WHERE c = {limit};\n")),
                _ => down.push_str("START TRANSACTION;\nUPDATE t SET c = c + 1;\nDELETE FROM t WHERE c > 6;\nCOMMIT;\n"),
            }
        }
        up.reverse();
        (schema, down, up.join("\n"))
    })
}

#[tokio::test]
async fn whatever_a_body_takes_away_is_back_and_accounted_for() {
    let mut runner = TestRunner::deterministic();
    for _ in 0..60 {
        let (schema, down, up) = case().new_tree(&mut runner).expect("a case").current();
        let Some(mut journey) = Journey::of(&schema).await else { return };
        journey.there_and_back(&down, &up).await;
    }
}
