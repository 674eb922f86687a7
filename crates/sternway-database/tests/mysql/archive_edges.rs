//! The archive on MariaDB at its edges: what the words of a body hide, and what became of its rows.

use sternway_database::port::prelude::*;
use sternway_database::{DatabaseError, StepError};
use sternway_model::catalog::Direction;
use sternway_model::effect::Lost;

use crate::journey::{Journey, lost, outcome, rows};

#[tokio::test]
async fn what_the_words_do_not_tell_is_not_run() {
    let schema = "CREATE TABLE t (id INT PRIMARY KEY, a INT, b INT); INSERT INTO t VALUES (1, 5, 6), (2, 7, 8);
        CREATE TABLE l (x INT PRIMARY KEY); INSERT INTO l VALUES (1); CREATE VIEW v AS SELECT * FROM t; CREATE SEQUENCE s;
        CREATE TABLE o (id INT PRIMARY KEY, a INT); INSERT INTO o VALUES (1, 1);
        CREATE FUNCTION f(x INT) RETURNS INT BEGIN DELETE FROM l; RETURN x; END;
        CREATE FUNCTION g() RETURNS INT RETURN f(1); CREATE VIEW w AS SELECT g() AS x;
        CREATE TABLE h (id INT PRIMARY KEY); CREATE TRIGGER tr AFTER INSERT ON h FOR EACH ROW SET @x = f(1)";
    let Some(mut journey) = Journey::of(schema).await else { return };
    let other = Journey::of("CREATE TABLE t (id INT PRIMARY KEY); INSERT INTO t VALUES (1)").await;
    let Some(other) = other else { return };
    let there = other.ask("SELECT DATABASE()").await;
    let own = journey.ask("SELECT DATABASE()").await;
    let child = format!(
        "CREATE TABLE c (id INT PRIMARY KEY REFERENCES `{own}`.o (id), FOREIGN KEY (id) REFERENCES `{own}`.o (id) ON DELETE CASCADE); INSERT INTO c VALUES (1)"
    );
    other.execute(&child).await;
    let count = "SELECT CONCAT_WS(' ', (SELECT SUM(a + b) FROM t), (SELECT COUNT(*) FROM l), (SELECT COUNT(*) FROM o))";
    let before = (journey.ask(count).await, other.dump().await);
    let elsewhere = [
        format!("DROP TABLE `{there}`.t"),
        format!("DELETE FROM `{there}`.t WHERE id = 1"),
        format!("UPDATE t, `{there}`.t u SET t.a = 1, u.id = 9"),
        format!("USE `{there}`; DROP TABLE t"),
        format!("RENAME TABLE t TO `{there}`.u"),
        format!("ALTER TABLE t RENAME `{there}`.u"),
        format!("REPLACE `{there}`.t VALUES (1)"),
    ];
    let bodies = [
        "UPDATE v SET a = 0, b = 0",
        "DELETE FROM v WHERE id IN (1, 2)",
        "INSERT INTO v VALUES (1, 1, 1) ON DUPLICATE KEY UPDATE a = 9",
        "DO f(1)",
        "UPDATE t SET a = f(a)",
        "SELECT g()",
        "SELECT * FROM w",
        "INSERT INTO h VALUES (1)",
        "CREATE FUNCTION k() RETURNS INT RETURN f(1); DO k()",
        "IF (SELECT COUNT(*) FROM t) > 0 THEN DELETE FROM t; END IF",
        "CASE WHEN TRUE THEN DELETE FROM t; END CASE",
        "WHILE (SELECT COUNT(*) FROM t) > 0 DO DELETE FROM t; END WHILE",
        "FOR i IN 1..2 DO DELETE FROM t; END FOR",
        "SET STATEMENT max_statement_time = 5 FOR DELETE FROM t",
        "ANALYZE DELETE FROM t WHERE a > 5",
        "ANALYZE FORMAT = JSON DELETE FROM t WHERE a > 5",
        "/*!50000 SELECT 1 */ DELETE FROM t",
        "DROP TABLE s",
        "CREATE OR REPLACE SEQUENCE s",
        "ALTER SEQUENCE s RESTART 1",
        "DO SETVAL(s, 100)",
        "DELETE FROM o WHERE id = 1",
        "ALTER TABLE t ENGINE = MyISAM",
        "ALTER TABLE t COMMENT 'x' ENGINE = BLACKHOLE",
        "ALTER TABLE t DISCARD TABLESPACE",
        "CREATE OR REPLACE DATABASE nobody",
        "CREATE TEMPORARY TABLE t (id INT); DROP TABLE t",
        "CREATE TRIGGER z AFTER INSERT ON o FOR EACH ROW DELETE FROM l; INSERT INTO o VALUES (2, 2)",
        "DROP TABLE sternway_archive",
    ];
    for body in bodies.into_iter().chain(elsewhere.iter().map(String::as_str)) {
        let error = journey.go(Direction::Down, body, true, None).await;
        assert!(matches!(error, Err(StepError::CannotKeep { .. })), "{body}: {error:?}");
    }
    assert_eq!((journey.ask(count).await, other.dump().await), before);
}

/// A sequence that is made again goes on where it had counted to, up or down; one that is not waits.
#[tokio::test]
async fn a_dropped_sequence_goes_on_where_it_was() {
    let make = "CREATE SEQUENCE s START WITH 5 INCREMENT BY 2 NOCACHE; CREATE SEQUENCE n START WITH -1 MINVALUE -99 INCREMENT BY -1 NOCACHE";
    let Some(mut journey) = Journey::of(&format!("{make}; CREATE SEQUENCE gone")).await else {
        return;
    };
    for _ in 0..3 {
        journey.execute("SELECT NEXTVAL(s), NEXTVAL(n)").await;
    }
    let done = journey.down("DROP SEQUENCE IF EXISTS s, n, nothing; DROP SEQUENCE gone").await;
    let sequence = |name: &str| Lost::Sequence { sequence: name.to_owned() };
    let kept = [(sequence("gone"), 1), (sequence("n"), 1), (sequence("s"), 1)];
    assert_eq!(lost(&done), kept);
    let back = journey.up(make).await.restored;
    let outcomes: Vec<_> = back.iter().map(|it| (it.lost.clone(), outcome(&it.restored))).collect();
    let stays = vec![("the sequence is not there", 1)];
    let expected = [
        (sequence("gone"), (0, stays)),
        (sequence("n"), (1, vec![])),
        (sequence("s"), (1, vec![])),
    ];
    assert_eq!(outcomes, expected);
    assert_eq!(journey.ask("SELECT CONCAT(NEXTVAL(s), ' ', NEXTVAL(n))").await, "11 -4");
    assert_eq!(journey.waiting().await, 1);
    // One that a body makes anew and that has come as far has lost nothing.
    let again =
        journey.down("DROP SEQUENCE s; CREATE SEQUENCE s START WITH 13 INCREMENT BY 2").await;
    assert_eq!(lost(&again), []);
}

#[tokio::test]
async fn every_way_to_say_it_is_understood() {
    let schema = "CREATE TABLE t (id INT PRIMARY KEY, a INT, b INT); INSERT INTO t VALUES (1, 5, 6), (2, 7, 8);
        CREATE TABLE u (id INT PRIMARY KEY, a VARCHAR(20) CHARACTER SET utf8mb4); INSERT INTO u VALUES (1, '日本'), (2, 'a'), (3, 'a');
        CREATE TABLE d (id INT PRIMARY KEY, old INT, x INT, at TIMESTAMP NOT NULL DEFAULT '2001-01-01' ON UPDATE CURRENT_TIMESTAMP);
        INSERT INTO d (id) VALUES (1), (2); CREATE TABLE l (id INT PRIMARY KEY); INSERT INTO l VALUES (1);
        CREATE TABLE g (id INT PRIMARY KEY); INSERT INTO g VALUES (1);
        CREATE TRIGGER g_t AFTER UPDATE ON g FOR EACH ROW DELETE FROM l;
        CREATE FUNCTION twice(x INT) RETURNS INT RETURN x * 2;
        CREATE TABLE `a` (id INT PRIMARY KEY, `b.c` INT); INSERT INTO a VALUES (1, 2);
        CREATE TABLE `a.b` (id INT PRIMARY KEY, `c` INT); INSERT INTO `a.b` VALUES (1, 3)";
    let Some(mut journey) = Journey::of(schema).await else { return };
    let create = "CREATE TABLE t (id INT PRIMARY KEY, a INT, b INT)";
    // Not `NOWAIT`, which is read as `WAIT 5` is: the server's own purge has a table open now and then.
    for (down, up) in [
        ("DROP TABLES t", create),
        ("DROP TABLE t WAIT 5", create),
        ("ALTER TABLE t WAIT 5 DROP COLUMN a", "ALTER TABLE t ADD a INT AFTER id"),
        ("ALTER ONLINE IGNORE TABLE t DROP COLUMN b", "ALTER TABLE t ADD b INT"),
        ("ALTER IGNORE TABLE u ADD UNIQUE (a)", "ALTER TABLE u DROP INDEX a"),
        (
            "SET sql_mode = ''; ALTER TABLE u CONVERT TO CHARACTER SET latin1",
            "ALTER TABLE u CONVERT TO CHARACTER SET utf8mb4",
        ),
        ("ALTER TABLE t ADD COLUMN IF NOT EXISTS A INT; UPDATE t SET A = 0", ""),
        (
            "ALTER TABLE a DROP `b.c`; ALTER TABLE `a.b` DROP c",
            "ALTER TABLE a ADD `b.c` INT; ALTER TABLE `a.b` ADD c INT",
        ),
        ("REPLACE t VALUES (1, 1, 1)", ""),
        ("UPDATE t STRAIGHT_JOIN u ON u.id = t.id SET u.a = 'x'", ""),
        ("UPDATE t SET a = twice(a)", ""),
    ] {
        let down = format!("SELECT 1; {down}");
        let done = journey.there_and_back(&down, up).await;
        assert!(!done.kept.is_empty(), "{down}");
        if up.starts_with("ALTER TABLE u") {
            journey.execute("ALTER TABLE u CONVERT TO CHARACTER SET utf8mb4").await;
        }
    }
    // To fill a column that is new takes away what else a change of the row changes.
    for table in ["d", "g"] {
        let before = journey.dump().await;
        journey.down(&format!("ALTER TABLE {table} ADD y INT; UPDATE {table} SET y = id")).await;
        journey.up("SELECT 1").await;
        journey.execute(&format!("ALTER TABLE {table} DROP y")).await;
        assert_eq!(journey.dump().await, before, "{table}");
    }
}

#[tokio::test]
async fn what_counts_the_changes_of_a_row_does_not_count_putting_back() {
    let schema = "CREATE TABLE t (id INT PRIMARY KEY, at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP, c INT, x INT);
        INSERT INTO t VALUES (1, '2001-01-01', 5, 1), (2, '2002-01-01', 6, 2)";
    let Some(mut journey) = Journey::of(schema).await else { return };
    journey.there_and_back("ALTER TABLE t DROP c", "ALTER TABLE t ADD c INT AFTER at").await;
    // The column that counts is itself newer than what was kept, or is not in it.
    journey.down("UPDATE t SET c = 0, at = at").await;
    journey.up("SELECT 1").await;
    assert_eq!(journey.ask("SELECT GROUP_CONCAT(c, YEAR(at)) FROM t").await, "52001,62002");
    journey
        .execute("CREATE TABLE u (id INT PRIMARY KEY, c INT); INSERT INTO u VALUES (1, 1)")
        .await;
    journey.down("DROP TABLE u").await;
    let create = "CREATE TABLE u (id INT PRIMARY KEY, c INT, at TIMESTAMP NOT NULL DEFAULT '2001-01-01' ON UPDATE CURRENT_TIMESTAMP)";
    journey.up(&format!("{create}; REPLACE INTO u (id, c) VALUES (1, 9)")).await;
    assert_eq!(journey.ask("SELECT CONCAT(c, YEAR(at)) FROM u").await, "12001");
}

#[tokio::test]
async fn renames_of_every_form_are_followed() {
    let schema = "CREATE TABLE t (id INT PRIMARY KEY, a INT); INSERT INTO t VALUES (1, 1), (2, 4)";
    let Some(mut journey) = Journey::of(schema).await else { return };
    let own = journey.ask("SELECT DATABASE()").await;
    let qualified = format!("RENAME TABLE `{own}`.t TO `{own}`.t2");
    for rename in [
        "RENAME TABLE IF EXISTS t TO t2",
        &qualified,
        "RENAME TABLES t WAIT 5 TO t2",
        "ALTER TABLE IF EXISTS t WAIT 9 RENAME = t2",
    ] {
        let done = journey.down(&format!("UPDATE t SET a = 0 WHERE id = 1; {rename}")).await;
        assert_eq!(lost(&done), [(rows("t"), 1)], "{rename}");
        journey.execute("UPDATE t2 SET a = 99 WHERE id = 2").await;
        journey.up("RENAME TABLE t2 TO t").await;
        assert_eq!(journey.ask("SELECT GROUP_CONCAT(a ORDER BY id) FROM t").await, "1,99");
        journey.execute("UPDATE t SET a = 4 WHERE id = 2").await;
    }
}

#[tokio::test]
async fn what_an_update_carries_over_is_newer() {
    let schema =
        "CREATE TABLE t (id INT PRIMARY KEY); CREATE TABLE s (id INT PRIMARY KEY, b VARCHAR(9));
        INSERT INTO t VALUES (3); INSERT INTO s VALUES (3, 'old')";
    let Some(mut journey) = Journey::of(schema).await else { return };
    journey
        .down("ALTER TABLE t ADD b VARCHAR(9); UPDATE t SET b = (SELECT b FROM s WHERE s.id = t.id); DROP TABLE s")
        .await;
    journey.execute("UPDATE t SET b = 'new'").await;
    let up = "CREATE TABLE s (id INT PRIMARY KEY, b VARCHAR(9)); INSERT INTO s SELECT id, b FROM t; ALTER TABLE t DROP b";
    let done = journey.up(up).await;
    assert_eq!(outcome(&done.restored[0].restored), (0, vec![("a row with its key is there", 1)]));
    assert_eq!(journey.ask("SELECT b FROM s").await, "new");
}

#[tokio::test]
async fn what_is_put_back_too_early_goes_on_waiting() {
    let create = "CREATE TABLE t (id INT PRIMARY KEY)";
    let Some(mut journey) = Journey::of(&format!("{create}; INSERT INTO t VALUES (1)")).await
    else {
        return;
    };
    let done = journey.down("DROP TABLE t").await;
    let put = journey.session.restore(&[done.kept[0].id]).await.expect("an answer").remove(0);
    assert_eq!(outcome(&put.restored), (0, vec![("the table is not there", 1)]));
    assert_eq!(journey.waiting().await, 1);
    journey.up(create).await;
    assert_eq!(journey.ask("SELECT COUNT(*) FROM t").await, "1");
}

#[tokio::test]
async fn rows_that_got_another_key_do_not_come_back_twice() {
    let again = "the row was changed and cannot be told from others";
    let schema = "CREATE TABLE t (id INT PRIMARY KEY, a INT); INSERT INTO t VALUES (1, 1), (2, 2), (3, 3);
        CREATE TABLE p (id INT PRIMARY KEY); CREATE TABLE c (p INT PRIMARY KEY, FOREIGN KEY (p) REFERENCES p (id) ON UPDATE CASCADE);
        INSERT INTO p VALUES (1), (2); INSERT INTO c VALUES (1)";
    let Some(mut journey) = Journey::of(schema).await else { return };
    for shift in ["id = id + 1000", "id = id + 1", "a = 0, id = id - 7"] {
        journey.down(&format!("UPDATE t SET {shift} ORDER BY id DESC")).await;
        journey.up("SELECT 1").await;
        assert_eq!(journey.ask("SELECT COUNT(*) FROM t").await, "3", "{shift}");
    }
    journey.down("UPDATE p SET id = id + 1000").await;
    let done = journey.up("").await;
    for lost in ["p", "c"] {
        let put = done.restored.iter().find(|it| it.lost == rows(lost)).expect("an entry");
        let count = if lost == "p" { 2 } else { 1 };
        assert_eq!(outcome(&put.restored), (0, vec![(again, count)]), "{lost}");
    }
    assert_eq!(journey.ask("SELECT COUNT(*) FROM p").await, "2");
    // Where the other half gives them their keys back, they are there.
    journey.execute("CREATE TABLE k (id INT PRIMARY KEY); INSERT INTO k VALUES (1), (2)").await;
    journey.down("UPDATE k SET id = id + 10").await;
    let done = journey.up("UPDATE k SET id = id - 10").await;
    let back = done.restored.iter().find(|it| it.lost == rows("k")).expect("an entry");
    assert_eq!(outcome(&back.restored), (2, vec![]));
    // Rows that are deleted where others are added come back all the same.
    journey.down("DELETE FROM k WHERE id = 1; INSERT INTO k VALUES (5)").await;
    journey.up("SELECT 1").await;
    assert_eq!(journey.ask("SELECT GROUP_CONCAT(id ORDER BY id) FROM k").await, "1,2,5");
    let schema = "CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY, k VARCHAR(9), a INT, c INT);
        INSERT INTO t VALUES (11, 'x', 2, 3), (12, 'y', 3, 4)";
    let Some(mut journey) = Journey::of(schema).await else { return };
    journey.down("ALTER TABLE t DROP COLUMN id, DROP COLUMN c, ADD PRIMARY KEY (k)").await;
    let up =
        "ALTER TABLE t DROP PRIMARY KEY, ADD id INT AUTO_INCREMENT PRIMARY KEY FIRST, ADD c INT";
    let done = journey.up(up).await;
    assert_eq!(
        outcome(&done.restored[0].restored),
        (0, vec![("the table has its key no longer", 2)])
    );
    assert_eq!(journey.ask("SELECT COUNT(*) FROM t").await, "2");
}

#[tokio::test]
async fn a_table_with_too_many_columns_is_refused_before_its_body() {
    let columns: String = (0..520).map(|at| format!(", c{at} INT")).collect();
    let schema =
        format!("CREATE TABLE t (id INT PRIMARY KEY{columns}); INSERT INTO t (id) VALUES (1)");
    let Some(mut journey) = Journey::of(&schema).await else { return };
    let error = journey.go(Direction::Down, "UPDATE t SET c1 = 4", true, None).await;
    assert!(matches!(error, Err(StepError::CannotKeep { .. })), "{error:?}");
    assert_eq!(journey.ask("SELECT COUNT(c1) FROM t").await, "0");
    assert_eq!(journey.session.archive("app").await.expect("entries"), []);
}

#[tokio::test]
async fn killed_after_the_drop_of_a_table_moved_aside_the_step_goes_on() {
    let create = "CREATE TABLE u (id INT PRIMARY KEY); CREATE TABLE w (id INT PRIMARY KEY, FOREIGN KEY (id) REFERENCES u (id))";
    let values = "INSERT INTO u VALUES (1); INSERT INTO w VALUES (1)";
    let Some(mut journey) = Journey::of(&format!("{create}; {values}")).await else { return };
    let before = journey.dump().await;
    // As a migrator leaves it that dies between the statement and the end of what was relocated.
    let error = journey.go(Direction::Down, "DROP TABLE w; SELECT nothing", true, None).await;
    assert!(matches!(error, Err(StepError::Dirty { statement: 2, .. })), "{error:?}");
    journey
        .execute("UPDATE sternway_archive SET state = 'moving'; ALTER TABLE sternway_kept_1 ADD FOREIGN KEY (id) REFERENCES u (id)")
        .await;
    journey.at(2).await;
    journey.down("DROP TABLE IF EXISTS w; DROP TABLE u").await;
    journey.up(create).await;
    assert_eq!(journey.dump().await, before);
    assert_eq!(journey.waiting().await, 0);
}

#[tokio::test]
async fn values_are_shown_with_all_their_bits() {
    let schema = "CREATE TABLE t (id INT PRIMARY KEY, f FLOAT, b BLOB, v VARBINARY(9), o BIT(3));
        INSERT INTO t VALUES (1, 1.23456789, '', x'', b'0'), (2, 16777215, x'00', NULL, b'101')";
    let Some(mut journey) = Journey::of(schema).await else { return };
    let done = journey.down("DROP TABLE t").await;
    let page = journey.session.archive_page(done.kept[0].id, 0, 9).await.expect("a page");
    let shown = |row: &Vec<Option<String>>| {
        row.iter().map(|it| it.clone().unwrap_or("NULL".to_owned())).collect::<Vec<_>>()
    };
    assert_eq!(shown(&page.rows[0])[2..], ["x''", "x''", "0x0"]);
    assert_eq!(shown(&page.rows[1])[1..], ["16777215", "0x00", "NULL", "0x5"]);
    let exact: f64 = shown(&page.rows[0])[1].parse().expect("a number");
    assert_eq!(exact.to_bits(), f64::from(1.234_567_9_f32).to_bits());
}

#[tokio::test]
async fn rows_that_do_not_fit_are_found_among_thousands() {
    let schema = "CREATE TABLE p (id INT PRIMARY KEY); INSERT INTO p VALUES (1), (2);
        CREATE TABLE t (id INT PRIMARY KEY, p INT, a INT);
        INSERT INTO t SELECT seq, 1 + seq DIV 2200, seq FROM seq_1_to_3300";
    let Some(mut journey) = Journey::of(schema).await else { return };
    journey.down("DROP TABLE t").await;
    journey.execute("DELETE FROM p WHERE id = 2").await;
    let create = "CREATE TABLE t (id INT PRIMARY KEY, p INT, a INT UNIQUE CHECK (a % 1000 <> 77), FOREIGN KEY (p) REFERENCES p (id))";
    let done = journey.up(&format!("{create}; INSERT INTO t VALUES (5000, 1, 1234)")).await;
    let stay = vec![
        ("a check of the table refuses it", 4),
        ("a row that it refers to is not there", 1_100),
        ("another row has a value that may be there only once", 1),
    ];
    assert_eq!(outcome(&done.restored[0].restored), (2_195, stay));
    assert_eq!(journey.ask("SELECT COUNT(*) FROM t").await, "2196");
}

#[tokio::test]
async fn a_damaged_entry_is_told_and_not_read() {
    for (damage, words) in [
        ("layout = JSON_SET(layout, '$.types', JSON_ARRAY())", "has 3 columns and 0 types"),
        (
            "layout = JSON_SET(layout, '$.renamed', JSON_ARRAY(NULL))",
            "has 3 columns and 1 later names",
        ),
        ("layout = JSON_SET(layout, '$.columns', JSON_ARRAY('x', 'y', 'z'))", "has no column `a`"),
        ("layout = '{}'", "has no table"),
        ("row_count = -1", "`-1` is no such number"),
        ("direction = 'side'", "direction `side`"),
    ] {
        let schema =
            "CREATE TABLE t (id INT PRIMARY KEY, a INT, b INT); INSERT INTO t VALUES (1, 2, 3)";
        let Some(mut journey) = Journey::of(schema).await else { return };
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
    }
}
