//! Where a body failed: each line ending, each alphabet, with the server's position and without. And
//! how a statement is ended from outside.

use std::time::{Duration, Instant};

use sqlx::AssertSqlSafe;
use sternway_database::port::prelude::*;
use sternway_database::postgres::Postgres;
use sternway_database::{Reconciled, SqlError, StepError, Work};
use sternway_model::state::TrackState;

use crate::support::{
    self, GolangMigrate, ask, at, execute, fresh, holds, open, session, track, until, up, variable,
    whole,
};

async fn failure(session: &mut Postgres, body: &str) -> SqlError {
    let error = session.migrate(&Work::of(&up(1, body), body, None)).await.expect_err(body);
    match error {
        StepError::TakenBack { source, .. } | StepError::Dirty { source, .. } => source,
        _ => panic!("{}", whole(&error)),
    }
}

#[tokio::test]
async fn every_failure_has_a_line_and_a_column() {
    let Some(fresh) = fresh().await else { return };
    let mut session = fresh.session().await;
    for (body, at) in [
        ("CREATE TABLE foo (foo text); CREATE TABLEE bar (bar text);", (1, 37)),
        ("SELECT *\nFROMM foo", (2, 1)),
        ("SELECT 1;\n\nSELECT *\nFROM foo", (4, 6)),
        // The server tells no position of these.
        ("SELECT 1;\n-- one\nSELECT 2; SELECT\n1/0;\nSELECT 3", (3, 11)),
        (
            "CREATE TABLE a (x int PRIMARY KEY);\nINSERT INTO a VALUES (1);\n  INSERT INTO a VALUES (1)",
            (3, 3),
        ),
        ("SELECT 1;\nDO $$ BEGIN\n PERFORM nope; END $$", (2, 1)),
        ("DROP TABLE nope", (1, 1)),
        ("SELECT 1;\nVACUUM;\n SELECT 1/0", (3, 2)),
        ("SELECT 1;\nVACUUM;\n SELECT nope", (3, 9)),
        ("SELECT generate_series(1, 9);; VALUES (1);\n DROP TABLE nope", (2, 2)),
    ] {
        for body in [
            body.to_owned(),
            body.replace('\n', "\r\n"),
            body.replace("SELECT 1;", "SELECT 'é😀';"),
            format!("{body}\n"),
        ] {
            let found = failure(&mut session, &body).await;
            let columns = if body.contains('é') && at.0 == 1 { 3 } else { 0 };
            assert_eq!(found.at, Some((at.0, at.1 + columns)), "{body}: {found}");
        }
    }
    let body = "CREATE TABLE foo (foo text); CREATE TABLEE bar (bar text);";
    let found = failure(&mut session, body).await;
    assert_eq!(found.message, "syntax error at or near \"TABLEE\"");
    let Some(migrate) = GolangMigrate::with(&[("1_a.up.sql", body)]) else { return };
    let (_, said) = migrate.run(&support::fresh().await.expect("a server"), &["up"]);
    assert!(said.contains(&format!("{} (column 37) in line 1: ", found.message)), "{said}");
}

#[tokio::test]
async fn two_statements_in_one_body_both_count() {
    let Some(fresh) = fresh().await else { return };
    let mut session = fresh.session().await;
    let body = "CREATE TABLE foo (foo text); CREATE TABLE bar (bar text);";
    session.migrate(&Work::of(&up(1, body), body, None)).await.expect("a step");
    holds(&mut session, "to_regclass('foo') IS NOT NULL AND to_regclass('bar') IS NOT NULL").await;
}

const ASLEEP: &str = "EXISTS (SELECT FROM pg_stat_activity
    WHERE wait_event = 'PgSleep' AND datname = current_database())";

#[tokio::test]
async fn a_statement_is_interrupted_from_another_task() {
    let Some(mut fresh) = fresh().await else { return };
    let (role, mut url) = fresh.role("secret").await;
    let grant = format!("GRANT ALL ON SCHEMA public TO {role}");
    support::execute(&mut fresh.watch().await, &grant).await;
    let plain = url.clone();
    url.set_query(Some("sslmode=require"));
    for url in [url, plain] {
        let mut session = session(url.as_str()).await;
        for body in ["SELECT 1;\nSELECT pg_sleep(60)", "VACUUM; SELECT pg_sleep(60)"] {
            let interrupter = session.interrupter();
            let mut watch = fresh.watch().await;
            let start = Instant::now();
            let interrupt = async {
                until(&mut watch, ASLEEP).await;
                interrupter.interrupt().await.expect("an end");
            };
            let (error, ()) = tokio::join!(failure(&mut session, body), interrupt);
            assert_eq!(error.code, "57014", "{error}");
            assert!(start.elapsed() < Duration::from_secs(20));
        }
        // Nothing is under way.
        session.interrupter().interrupt().await.expect("no end");
        session.migrate(&Work::of(&up(2, "SELECT 1"), "SELECT 1", None)).await.expect("a step");
        assert_eq!(track(&mut session).await, at(2));
    }
}

#[tokio::test]
async fn a_body_that_takes_too_long_is_ended() {
    let Some(fresh) = fresh().await else { return };
    let url = format!("{}&x-statement-timeout=250", fresh.url());
    let mut session = session(&url).await;
    // As with golang-migrate, the limit is the whole body's, whatever the body sets.
    for body in [
        "SELECT pg_sleep(60)",
        "SELECT pg_sleep(0.2);\nSELECT pg_sleep(0.2)",
        "SET statement_timeout TO 0; SELECT pg_sleep(60)",
    ] {
        let error = failure(&mut session, body).await;
        assert_eq!(error.code, "57014");
        let detail = error.detail.unwrap_or_default();
        assert_eq!(detail, "it took longer than the 250 ms of x-statement-timeout");
        assert_eq!(track(&mut session).await, TrackState::NoTable);
    }
    session.migrate(&Work::of(&up(1, "SELECT 1"), "SELECT 1", None)).await.expect("a step");
    // Where each statement is sent by itself, the limit is each one's.
    let mut session = support::session(&format!("{url}&x-multi-statement=1")).await;
    let mut step = up(2, "");
    step.mode = session.facts("").mode;
    let body = "SELECT pg_sleep(0.2); SELECT pg_sleep(0.2)";
    session.migrate(&Work::of(&step, body, None)).await.expect("a step");
    let error = session.migrate(&Work::of(&step, "SELECT pg_sleep(60)", None)).await;
    assert!(matches!(error, Err(StepError::Dirty { .. })), "{error:?}");
}

/// A session killed with the client's end in sight: the second message never comes.
#[tokio::test]
async fn a_client_that_dies_during_the_body_leaves_nothing() {
    if let Ok(url) = std::env::var("STERNWAY_TEST_CHILD_URL") {
        let body = "CREATE TABLE a (x int); SELECT pg_sleep(1)";
        let mut session = session(&url).await;
        let _ = session.migrate(&Work::of(&up(1, body), body, None)).await;
        return;
    }
    let Some(fresh) = fresh().await else { return };
    if variable("STERNWAY_TEST_PG_URL").is_none() {
        return;
    }
    let mut watch = fresh.watch().await;
    let mut command = std::process::Command::new(std::env::current_exe().expect("this program"));
    command.args(["--exact", "failures::a_client_that_dies_during_the_body_leaves_nothing"]);
    let mut child = command.env("STERNWAY_TEST_CHILD_URL", fresh.url()).spawn().expect("a client");
    until(&mut watch, ASLEEP).await;
    child.kill().expect("its end");
    child.wait().expect("its end");
    let others = "NOT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'sternway'
        AND datname = current_database())";
    until(&mut watch, others).await;
    let mut session = fresh.session().await;
    assert_eq!(track(&mut session).await, TrackState::NoTable);
    holds(&mut session, "to_regclass('a') IS NULL").await;
}

/// What is known of the one statement of a body, when it was under way.
async fn reconciled(session: &mut Postgres, body: &str) -> Reconciled {
    session.reconcile(&Work::of(&up(1, body), body, None), 1).await.expect(body)
}

#[tokio::test]
async fn only_what_the_statement_in_doubt_left_is_cleared_away() {
    let Some(fresh) = fresh().await else { return };
    let (mut session, mut watch) = (fresh.session().await, fresh.watch().await);
    let sql = "CREATE TABLE a (x int); CREATE TABLE b (x int); CREATE INDEX a_x ON a (x);
               INSERT INTO a VALUES (1), (1); INSERT INTO b VALUES (1), (1)";
    execute(&mut watch, sql).await;
    // A rebuild that is cut short leaves an index that is not valid, with a name of the server's own.
    for (index, table) in [("a_x_ccnew", "a"), ("a_z_ccold", "a"), ("b_x_ccnew", "b")] {
        let half = format!("CREATE UNIQUE INDEX CONCURRENTLY {index} ON {table} (x)");
        let built = sqlx::raw_sql(AssertSqlSafe(half)).execute(&mut watch).await;
        built.expect_err("an index with a value twice");
    }
    let halves = "SELECT string_agg(c.relname, ' ' ORDER BY c.relname) FROM pg_index i
                  JOIN pg_class c ON c.oid = i.indexrelid WHERE NOT i.indisvalid";
    for (body, left) in [
        ("REINDEX TABLE a", "a_x_ccnew a_z_ccold b_x_ccnew"),
        ("REINDEX INDEX CONCURRENTLY a_x", "a_z_ccold b_x_ccnew"),
        ("REINDEX TABLE CONCURRENTLY a", "b_x_ccnew"),
    ] {
        let found = reconciled(&mut session, body).await;
        let expected = match body.contains("CONCURRENTLY") {
            true => Reconciled::NotDone,
            // It commits together with its record.
            false => Reconciled::Unknown,
        };
        assert_eq!(found, expected, "{body}");
        assert_eq!(ask::<String>(&mut watch, halves).await, left, "{body}");
    }
    // Another session is building one, and waits for a transaction.
    execute(&mut watch, "BEGIN; INSERT INTO a VALUES (2)").await;
    let body = "CREATE INDEX CONCURRENTLY a_x_ccnew ON a (x)";
    let mut builder = fresh.watch().await;
    let building = tokio::spawn(async move { execute(&mut builder, body).await });
    let mut other = open(&fresh.url()).await;
    until(&mut other, "EXISTS (SELECT FROM pg_class WHERE relname = 'a_x_ccnew')").await;
    assert_eq!(reconciled(&mut session, body).await, Reconciled::Unknown);
    for rebuild in ["REINDEX INDEX CONCURRENTLY a_x", "REINDEX SCHEMA CONCURRENTLY public"] {
        assert_eq!(reconciled(&mut session, rebuild).await, Reconciled::NotDone);
        let left: String = ask(&mut other, halves).await;
        assert!(left.contains("a_x_ccnew"), "{rebuild}: {left}");
    }
    execute(&mut watch, "COMMIT").await;
    building.await.expect("an index");
    assert_eq!(reconciled(&mut session, body).await, Reconciled::Done);
}
