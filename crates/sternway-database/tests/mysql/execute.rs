//! Running bodies: what a failure leaves, what a body may set, and what is left behind.

use std::time::{Duration, Instant};

use sternway_database::port::prelude::*;
use sternway_database::{Settings, Work};
use sternway_model::state::{TrackState, TrackingRow};

use crate::server::{ask, execute, fresh, left_dirty, run, run_up, session, track, until};
use crate::support::{TABLE, at, dirty, whole};

#[tokio::test]
async fn a_failure_names_its_statement_and_its_place() {
    let Some(fresh) = fresh().await else { return };
    let mut session = fresh.session().await;
    run_up(&mut session, 1, "CREATE TABLE a (x int)").await;
    let body = "-- b\nCREATE TABLE b (x int);\nINSERT INTO a VALUES (1); /* ; */\n  INSERT INTO\n  nowhere VALUES (1);";
    let (statement, error) = left_dirty(&mut session, 2, body).await;
    assert_eq!((statement, error.code.as_str(), error.at), (3, "1146 (42S02)", Some((4, 3))));
    let mut watch = fresh.watch().await;
    assert_eq!(ask(&mut watch, "SELECT COUNT(*) FROM a").await, "1", "what came before stays");
    session.set_track(TABLE, TrackingRow::clean(1)).await.expect("a track");
    let (statement, error) = left_dirty(&mut session, 2, "SELECT 1;\r\n\r\n  SELEC 3;\r\n").await;
    assert_eq!((statement, error.code.as_str(), error.at), (2, "1064 (42000)", Some((3, 3))));
    let (_, error) =
        left_dirty(&mut session, 2, "CREATE TABLE c (\n  x int,\n  y int int\n);").await;
    assert_eq!(error.at, Some((3, 9)), "{error}");
}

#[tokio::test]
async fn bodies_that_say_little_or_end_oddly_are_run() {
    let Some(fresh) = fresh().await else { return };
    let mut session = fresh.session().await;
    let program = "CREATE PROCEDURE p() BEGIN INSERT INTO a VALUES (1); INSERT INTO a VALUES (2); \
                   SELECT 1; END;\nCALL p(); CALL p;";
    for (version, body) in (1..).zip([
        "",
        " \n\t",
        "-- nothing",
        "/* nothing */\n",
        ";;",
        "CREATE TABLE a (x int) -- the end",
        "CREATE TABLE b (x int);\r\n-- two\r\nCREATE TABLE c (x int);\r\n",
        "SELECT 1; SELECT 2 UNION SELECT 3; SHOW TABLES",
        program,
        "/*!40101 SET NAMES utf8mb4 */; INSERT INTO a VALUES (3); -- é\nINSERT INTO b VALUES (1)",
        "INSERT INTO a SELECT seq FROM seq_1_to_5000; SELECT * FROM a",
        "SET sql_mode = 'ORACLE'; CREATE PROCEDURE q AS x INT; BEGIN x := 1; SELECT x; END;\nCALL q;",
        "SET sql_mode = 'NO_BACKSLASH_ESCAPES'; CREATE TABLE d AS SELECT '\\' AS x; SELECT '; -- '",
    ]) {
        run_up(&mut session, version, body).await;
        assert_eq!(track(&mut session).await, at(version), "{body}");
    }
    let mut watch = fresh.watch().await;
    assert_eq!(ask(&mut watch, "SELECT COUNT(*) FROM a").await, "5005");
}

#[tokio::test]
async fn what_a_body_sets_is_taken_back_or_kept_and_the_row_is_written_all_the_same() {
    let Some(fresh) = fresh().await else { return };
    let mut session = fresh.session().await;
    let settings = "SET sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES', foreign_key_checks = 0,
        time_zone = '+03:00', autocommit = 0, sql_safe_updates = 1; SET NAMES latin1;
        SET SESSION TRANSACTION READ ONLY; USE information_schema; SELECT 1";
    run_up(&mut session, 1, settings).await;
    let plain = "CREATE TABLE t AS SELECT @@autocommit AS a, @@foreign_key_checks AS f,
        @@sql_safe_updates AS s, @@time_zone AS z, @@sql_mode = @@GLOBAL.sql_mode AS m,
        @@character_set_client AS c; SELECT \"text\"";
    run_up(&mut session, 2, plain).await;
    let mut watch = fresh.watch().await;
    let row = "SELECT CONCAT_WS(' ', a, f, s, z, m, c) FROM t";
    assert_eq!(ask(&mut watch, row).await, "1 1 0 SYSTEM 1 utf8mb4");
    // Where they are kept, nothing more is run in another database; the mark stands, as with
    // golang-migrate.
    let error = run(&mut session, 3, settings, Settings::Kept).await.expect_err("elsewhere");
    assert!(whole(&error).contains("leaves the session in the database `information_schema`"));
    assert_eq!(track(&mut fresh.session().await).await, dirty(3));
    let mut session = fresh.session().await;
    run(&mut session, 5, "SET sql_mode = 'ANSI'; SELECT 1", Settings::Kept).await.expect("a step");
    run(&mut session, 6, "SELECT * FROM \"t\"; SELECT 1", Settings::Kept).await.expect("a step");
    assert_eq!(session.tables(&[TABLE.to_owned()]).await.expect("tables").len(), 1);
}

#[tokio::test]
async fn variables_do_not_reach_the_next_body_and_strings_end_as_a_body_says() {
    let Some(fresh) = fresh().await else { return };
    let mut session = fresh.session().await;
    run_up(&mut session, 1, "SET @x = 7, @`y z` = 8; CREATE TABLE t (v text)").await;
    run_up(&mut session, 2, "INSERT INTO t VALUES (COALESCE(@x, 'nothing'))").await;
    let own = "SET SESSION sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES';
        INSERT INTO \"t\" VALUES ('c:\\');
        INSERT INTO t VALUES ('x;y');
        SET sql_mode = ''; INSERT INTO t VALUES (\"\\\";\"); SELECT nothing FROM nowhere";
    let (statement, error) = left_dirty(&mut session, 3, own).await;
    assert_eq!((statement, error.at.map(|(line, _)| line)), (6, Some(4)), "{error}");
    let mut watch = fresh.watch().await;
    let rows = "SELECT GROUP_CONCAT(v ORDER BY v SEPARATOR '|') FROM t";
    assert_eq!(ask(&mut watch, rows).await, "\";|c:\\|nothing|x;y");
}

#[tokio::test]
async fn a_body_may_lock_tables_and_leave_a_transaction_open() {
    let Some(fresh) = fresh().await else { return };
    let mut session = fresh.session().await;
    run_up(
        &mut session,
        1,
        "CREATE TABLE a (x int); LOCK TABLES a WRITE; INSERT INTO a VALUES (1)",
    )
    .await;
    run_up(&mut session, 2, "START TRANSACTION; INSERT INTO a VALUES (2)").await;
    let (statement, _) =
        left_dirty(&mut session, 3, "START TRANSACTION; INSERT INTO a VALUES (3); SELECT nope")
            .await;
    assert_eq!(statement, 3);
    let mut watch = fresh.watch().await;
    assert_eq!(ask(&mut watch, "SELECT COUNT(*) FROM a").await, "2", "the third was rolled back");
}

#[tokio::test]
async fn nothing_is_left_behind_and_a_failure_is_remembered() {
    let Some(fresh) = fresh().await else { return };
    let mut session = fresh.session().await;
    let ours = "SELECT COUNT(*) FROM information_schema.TABLES
                WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME LIKE 'sternway%'";
    let mut watch = fresh.watch().await;
    session.lock(&[TABLE.to_owned()], Duration::ZERO).await.expect("the lock");
    run_up(&mut session, 1, "CREATE TABLE a (x int)").await;
    run_up(&mut session, 2, "CREATE TABLE b (x int); CREATE TABLE c (x int)").await;
    assert_eq!(session.underway(TABLE).await.expect("an answer"), None);
    session.unlock().await.expect("no lock");
    assert_eq!(ask(&mut watch, ours).await, "0");
    left_dirty(&mut session, 3, "SELECT 1;\nSELECT 'é',\n nope").await;
    session.unlock().await.expect("no lock");
    let underway = session.underway(TABLE).await.expect("an answer").expect("a statement");
    assert_eq!((underway.statement, underway.to), (2, 3.into()));
    assert_eq!(underway.text, "SELECT 'é',");
    assert_eq!(underway.file, "000003_step.up.sql");
    assert!(!session.tables(&[]).await.expect("tables").iter().any(|it| it.contains("progress")));
    let clean = TrackingRow::clean(2);
    session.set_track(TABLE, clean).await.expect("a track");
    assert_eq!(session.underway(TABLE).await.expect("an answer"), None);
    assert_eq!(ask(&mut watch, ours).await, "0");
}

#[tokio::test]
async fn a_body_that_takes_too_long_is_ended() {
    let Some(fresh) = fresh().await else { return };
    let mut session = session(&fresh.url_with("x-statement-timeout=300")).await;
    run_up(&mut session, 1, "CREATE TABLE a (x int); SELECT SLEEP(0)").await;
    let start = Instant::now();
    let (statement, error) =
        left_dirty(&mut session, 2, "SELECT 1; SELECT SLEEP(20); DROP TABLE a").await;
    assert!(start.elapsed() < Duration::from_secs(10));
    assert!(error.message.contains("x-statement-timeout allows 300 ms"), "{error}");
    assert_eq!((statement, error.at), (2, Some((1, 11))));
    run_up(&mut session, 2, "INSERT INTO a VALUES (1)").await;
}

#[tokio::test]
async fn the_statement_under_way_is_ended_from_another_task() {
    let Some(fresh) = fresh().await else { return };
    let (mut session, mut watch) = (fresh.session().await, fresh.watch().await);
    let interrupter = session.interrupter();
    let end = async {
        until(&mut watch, "EXISTS (SELECT 1 FROM information_schema.PROCESSLIST WHERE DB = DATABASE() AND INFO = 'SELECT SLEEP(30)')").await;
        interrupter.interrupt().await.expect("an end");
    };
    let body = "SELECT SLEEP(30); CREATE TABLE t (x int)";
    let (ran, ()) = tokio::join!(run(&mut session, 1, body, Settings::Reset), end);
    let error = whole(&ran.expect_err("an end"));
    assert!(error.contains("1317") || error.contains("interrupted"), "{error}");
    assert_eq!(track(&mut session).await, dirty(1));
}

#[tokio::test]
async fn down_to_nothing_empties_the_table_and_drop_leaves_views() {
    let Some(fresh) = fresh().await else { return };
    let mut session = fresh.session().await;
    run_up(&mut session, 1, "CREATE TABLE a (x int PRIMARY KEY); CREATE TABLE b (x int REFERENCES a (x)); CREATE VIEW v AS SELECT 1").await;
    let body = "SELECT 1";
    let step = crate::support::down(1, None, body);
    session.migrate(&Work::of(&step, body, None)).await.expect("a step");
    assert_eq!(track(&mut session).await, at(None));
    let body = "SELECT nope";
    let step = crate::support::down(1, None, body);
    session.migrate(&Work::of(&step, body, None)).await.expect_err("nope");
    assert_eq!(track(&mut session).await, dirty(None));
    session.prepare_records().await.expect("records");
    assert_eq!(session.drop_tables().await.expect("no tables"), ["a", "b", TABLE]);
    assert_eq!(track(&mut session).await, TrackState::NoTable);
    let mut watch = fresh.watch().await;
    assert_eq!(ask(&mut watch, "SELECT @@foreign_key_checks + COUNT(*) FROM v").await, "2");
    session.prepare_track(TABLE).await.expect("a table");
    session.prepare_track(TABLE).await.expect("a table");
    assert_eq!(track(&mut session).await, at(None));
    execute(&mut watch, "INSERT INTO schema_migrations VALUES (1, 0), (2, 0)").await;
    session.track(TABLE).await.expect_err("two rows");
    session.set_track(TABLE, TrackingRow::clean(3)).await.expect("a row");
    assert_eq!(track(&mut session).await, at(3));
}
