//! Running bodies: what commits together, what is taken back, and what a failure leaves.

use sternway_database::port::prelude::*;
use sternway_database::postgres::Postgres;
use sternway_database::{DatabaseError, SqlError, StepError, Work};
use sternway_model::body::Mode;
use sternway_model::journal::{Progress, Reached, Record};
use sternway_model::state::TrackState;

use crate::support::{
    ask, at, dirty, down, everywhere, execute, fresh, holds, plan, track, until, up, whole,
};

async fn run_up(session: &mut Postgres, version: u64, body: &str) {
    let done = session.migrate(&Work::of(&up(version, body), body, None)).await;
    done.unwrap_or_else(|error| panic!("{body}: {}", whole(&error)));
    assert_eq!(track(session).await, at(version), "{body}");
}

async fn taken_back(session: &mut Postgres, version: u64, body: &str) -> SqlError {
    let before = track(session).await;
    let error = session.migrate(&Work::of(&up(version, body), body, None)).await.expect_err(body);
    let StepError::TakenBack { source, .. } = error else { panic!("{}", whole(&error)) };
    assert_eq!(track(session).await, before, "{body}");
    source
}

/// The statement that failed, and why.
async fn left_dirty(session: &mut Postgres, version: u64, body: &str) -> (usize, SqlError) {
    let error = session.migrate(&Work::of(&up(version, body), body, None)).await.expect_err(body);
    let StepError::Dirty { statement, source, .. } = error else { panic!("{}", whole(&error)) };
    assert_eq!(track(session).await, dirty(version), "{body}");
    (statement, source)
}

#[tokio::test]
async fn the_body_the_tracking_row_and_the_journal_commit_together() {
    let Some(fresh) = fresh().await else { return };
    let (mut session, mut watch) = (fresh.session().await, fresh.watch().await);
    session.prepare_records().await.expect("records");
    let body = "CREATE TABLE a (x int); SELECT pg_advisory_lock_shared(7)";
    let run = session.begin_run(&plan("app", "1.0.0", &[body])).await.expect("a run");
    session.record(run, &Record::Started { step: 0 }).await.expect("a record");
    execute(&mut watch, "SELECT pg_advisory_lock(7)").await;
    let look = async {
        until(&mut watch, "EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND objid = 7)").await;
        let seen =
            "SELECT to_regclass('a') IS NOT NULL OR to_regclass('schema_migrations') IS NOT NULL
                        OR (SELECT count(*) > 1 FROM sternway.journal)";
        assert!(!ask::<bool>(&mut watch, seen).await);
        execute(&mut watch, "SELECT pg_advisory_unlock(7)").await;
    };
    let step = up(1, body);
    let work = Work::of(&step, body, Some((run, 0)));
    let (ran, ()) = tokio::join!(session.migrate(&work), look);
    ran.expect("a step");
    assert_eq!(track(&mut session).await, at(1));
    holds(&mut session, "to_regclass('a') IS NOT NULL").await;
    let history = session.history("app").await.expect("a history");
    assert_eq!(history[0].progress, Progress::Before { step: 1 });
}

#[tokio::test]
async fn a_body_that_fails_in_its_middle_leaves_nothing() {
    for (mut session, _fresh) in everywhere().await {
        run_up(&mut session, 1, "CREATE TABLE a (x int)").await;
        let body =
            "CREATE TABLE b (x int);\nINSERT INTO a VALUES (1);\n-- é\nSELECT é, nope FROM a;";
        let error = taken_back(&mut session, 2, body).await;
        assert_eq!((error.code.as_str(), error.at), ("42703", Some((4, 8))));
        holds(&mut session, "to_regclass('b') IS NULL AND NOT EXISTS (SELECT FROM a)").await;
        let error = taken_back(&mut session, 2, "SELECT 1;\r\nSELECT 2;\r\n  SELEC 3;\r\n").await;
        assert_eq!(error.at, Some((3, 3)));
        run_up(&mut session, 2, "CREATE TABLE b (x int)").await;
    }
}

#[tokio::test]
async fn the_first_body_that_fails_leaves_no_tracking_table() {
    for (mut session, _fresh) in everywhere().await {
        taken_back(&mut session, 1, "SELECT 1/0").await;
        assert_eq!(track(&mut session).await, TrackState::NoTable);
    }
}

#[tokio::test]
async fn a_constraint_that_fails_at_the_commit_is_the_bodys_failure() {
    for (mut session, _fresh) in everywhere().await {
        let tables = "CREATE TABLE a (x int PRIMARY KEY);
            CREATE TABLE b (x int REFERENCES a DEFERRABLE INITIALLY DEFERRED)";
        run_up(&mut session, 1, tables).await;
        let error = taken_back(&mut session, 2, "INSERT INTO b VALUES (1)").await;
        assert_eq!((error.code.as_str(), error.at), ("23503", None));
        holds(&mut session, "NOT EXISTS (SELECT FROM b)").await;
    }
}

#[tokio::test]
async fn what_a_body_sets_reaches_neither_the_tracking_row_nor_the_next_body() {
    for (mut session, _fresh) in everywhere().await {
        let role = format!("{}_nobody", session.identity().database);
        let make = format!("CREATE SCHEMA other; CREATE ROLE {role}");
        session.execute(&make).await.expect("other");
        let settings = "SET search_path TO other; SET standard_conforming_strings TO off;
            SET statement_timeout TO 9999999; SET default_transaction_read_only TO on;
            SET lock_timeout TO 9999999; SET DateStyle TO 'SQL, DMY';";
        let settled = "current_schema() = 'public' AND current_user = session_user
            AND session_user = 'postgres' AND current_setting('role') = 'none'
            AND current_setting('standard_conforming_strings') = 'on'
            AND current_setting('statement_timeout') = '0' AND current_setting('lock_timeout') = '0'
            AND current_setting('default_transaction_read_only') = 'off'
            AND current_setting('DateStyle') LIKE 'ISO%'";
        let mut version = 0;
        for role in [
            format!("SET ROLE {role}"),
            format!("SET LOCAL ROLE {role}"),
            format!("SET SESSION AUTHORIZATION {role}"),
            "SET LOCAL search_path TO other".to_owned(),
        ] {
            version += 1;
            run_up(&mut session, version, &format!("{settings} {role}")).await;
            holds(&mut session, settled).await;
            taken_back(
                &mut session,
                9,
                &format!("COMMENT ON SCHEMA public IS ''; {role}; SELECT 1/0"),
            )
            .await;
            holds(&mut session, settled).await;
        }
        let body = format!("CREATE TABLE t (x int); VACUUM t; {settings} SET ROLE {role}");
        run_up(&mut session, 8, &body).await;
        holds(&mut session, settled).await;
        let body = format!("{settings} SET ROLE {role}; VACUUM missing");
        left_dirty(&mut session, 9, &body).await;
        holds(&mut session, settled).await;
        session.execute(&format!("DROP ROLE {role}")).await.expect("no role");
    }
}

/// The journal is written between the statements, and not as the role that the body took on.
#[tokio::test]
async fn the_journal_is_written_whatever_the_body_sets() {
    for (mut session, _fresh) in everywhere().await {
        let role = format!("{}_other", session.identity().database);
        let make = format!("CREATE ROLE {role}; CREATE SCHEMA other AUTHORIZATION {role}");
        session.execute(&make).await.expect("a role");
        session.prepare_records().await.expect("records");
        for (set, user) in [
            (format!("SET ROLE {role}"), "session_user = 'postgres'".to_owned()),
            (format!("SET SESSION AUTHORIZATION {role}"), format!("session_user = '{role}'")),
        ] {
            let body = format!(
                "{set}; SET search_path TO other; SET default_transaction_read_only TO on;
                 SET default_transaction_read_only TO off; CREATE TABLE t (x int); VACUUM t;
                 DO $$ BEGIN ASSERT current_user = '{role}' AND {user}; END $$;
                 DROP TABLE t; SET default_transaction_read_only TO on"
            );
            let run = session.begin_run(&plan("app", "1.0.0", &[&body])).await.expect("a run");
            session.record(run, &Record::Started { step: 0 }).await.expect("a record");
            let ran = session.migrate(&Work::of(&up(1, &body), &body, Some((run, 0)))).await;
            ran.unwrap_or_else(|error| panic!("{set}: {}", whole(&error)));
            let history = session.history("app").await.expect("a history");
            assert_eq!(history[0].progress, Progress::Before { step: 1 });
            let count = format!("(SELECT count(*) FROM sternway.journal WHERE run = {run}) = 13");
            holds(&mut session, &count).await;
        }
        session.execute(&format!("DROP SCHEMA other; DROP ROLE {role}")).await.expect("no role");
    }
}

/// The driver keeps prepared statements, and a body may take them away.
#[tokio::test]
async fn a_body_may_forget_prepared_statements() {
    for (mut session, _fresh) in everywhere().await {
        assert_eq!(track(&mut session).await, TrackState::NoTable);
        run_up(&mut session, 1, "DEALLOCATE ALL").await;
        run_up(&mut session, 2, "CREATE TABLE t (x int); VACUUM t; DEALLOCATE ALL").await;
        taken_back(&mut session, 3, "DEALLOCATE ALL; SELECT 1/0").await;
    }
}

#[tokio::test]
async fn an_index_is_built_concurrently_under_the_dirty_mark() {
    let Some(fresh) = fresh().await else { return };
    let (mut session, mut watch) = (fresh.session().await, fresh.watch().await);
    run_up(&mut session, 1, "CREATE TABLE t (x int)").await;
    // The index waits for every transaction that has written to the table.
    let mut writer = fresh.watch().await;
    execute(&mut writer, "BEGIN; INSERT INTO t VALUES (1)").await;
    let body = "CREATE INDEX CONCURRENTLY i ON t (x);";
    let step = up(2, body);
    assert!(matches!(step.mode, Mode::Dirty { .. }));
    let look = async {
        let waits = "EXISTS (SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock'
            AND datname = current_database() AND query LIKE 'CREATE INDEX CONCURRENTLY%')";
        until(&mut watch, waits).await;
        assert_eq!(track(&mut fresh.session().await).await, dirty(2));
        execute(&mut writer, "COMMIT").await;
    };
    let work = Work::of(&step, body, None);
    let (ran, ()) = tokio::join!(session.migrate(&work), look);
    ran.expect("an index");
    assert_eq!(track(&mut session).await, at(2));
    holds(&mut session, "(SELECT indisvalid FROM pg_index WHERE indexrelid = 'i'::regclass)").await;
}

#[tokio::test]
async fn a_statement_that_fails_outside_a_transaction_is_named() {
    for (mut session, _fresh) in everywhere().await {
        session.prepare_records().await.expect("records");
        run_up(&mut session, 1, "CREATE TABLE t (x int)").await;
        let body = "INSERT INTO t VALUES (1); -- one; two\nVACUUM t;\n INSERT INTO nowhere VALUES (1); VACUUM";
        let run = session.begin_run(&plan("app", "1.0.0", &[body])).await.expect("a run");
        session.record(run, &Record::Started { step: 0 }).await.expect("a record");
        let error =
            session.migrate(&Work::of(&up(2, body), body, Some((run, 0)))).await.expect_err(body);
        let StepError::Dirty { statement: 3, source, .. } = error else { panic!("{error:?}") };
        assert_eq!((source.code.as_str(), source.at), ("42P01", Some((3, 14))));
        assert_eq!(track(&mut session).await, dirty(2));
        holds(&mut session, "EXISTS (SELECT FROM t)").await;
        let history = session.history("app").await.expect("a history");
        assert_eq!(
            history[0].progress,
            Progress::InDoubt {
                step: 0,
                reached: Reached { statement: None, done: 2, failed: false }
            }
        );
    }
}

#[tokio::test]
async fn a_failed_down_carries_the_number_below() {
    for (mut session, _fresh) in everywhere().await {
        run_up(&mut session, 5, "SELECT 1").await;
        run_up(&mut session, 7, "SELECT 1").await;
        session
            .migrate(&Work::of(&down(7, Some(5), "VACUUM nope"), "VACUUM nope", None))
            .await
            .expect_err("none");
        assert_eq!(track(&mut session).await, dirty(5));
        session
            .migrate(&Work::of(&down(5, None, "VACUUM nope"), "VACUUM nope", None))
            .await
            .expect_err("none");
        assert_eq!(track(&mut session).await, dirty(None));
        holds(&mut session, "(SELECT version = -1 AND dirty FROM schema_migrations)").await;
    }
}

#[tokio::test]
async fn down_to_nothing_empties_the_table() {
    for (mut session, _fresh) in everywhere().await {
        run_up(&mut session, 1, "CREATE TABLE t (x int)").await;
        session
            .migrate(&Work::of(&down(1, None, "DROP TABLE t"), "DROP TABLE t", None))
            .await
            .expect("a step");
        assert_eq!(track(&mut session).await, at(None));
        holds(&mut session, "NOT EXISTS (SELECT FROM schema_migrations)").await;
        run_up(&mut session, 1, "VACUUM").await;
        session.migrate(&Work::of(&down(1, None, "VACUUM"), "VACUUM", None)).await.expect("a step");
        holds(&mut session, "NOT EXISTS (SELECT FROM schema_migrations)").await;
    }
}

#[tokio::test]
async fn a_body_may_control_its_own_transactions() {
    for (mut session, _fresh) in everywhere().await {
        run_up(&mut session, 1, "BEGIN;\nCREATE TABLE a (x int);\nCOMMIT;\n").await;
        let body = "CREATE TABLE b (x int);\nBEGIN;\nCREATE TABLE c (x int);\nSELECT 1/0;\nCOMMIT;";
        let (statement, error) = left_dirty(&mut session, 2, body).await;
        assert_eq!((statement, error.code.as_str()), (4, "22012"));
        holds(&mut session, "to_regclass('b') IS NOT NULL AND to_regclass('c') IS NULL").await;
        holds(&mut session, "pg_current_xact_id_if_assigned() IS NULL").await;
        let body = "BEGIN; CREATE TABLE c (x int); SAVEPOINT s; DROP TABLE b; ROLLBACK TO s; COMMIT AND CHAIN; CREATE TABLE d (x int); END";
        run_up(&mut session, 2, body).await;
        holds(&mut session, "to_regclass('b') IS NOT NULL AND to_regclass('d') IS NOT NULL").await;
    }
}

/// Were it not noticed, the tracking row would not be in one transaction with the body.
#[tokio::test]
async fn a_body_that_ends_our_transaction_is_noticed() {
    for (mut session, _fresh) in everywhere().await {
        let body = "CREATE TABLE a (x int); COMMIT; CREATE TABLE b (x int)";
        let mut step = up(1, body);
        step.mode = Mode::Transaction;
        let error = session.migrate(&Work::of(&step, body, None)).await.expect_err("an end");
        let StepError::Database { source, .. } = &error else { panic!("{}", whole(&error)) };
        assert!(matches!(source, DatabaseError::Query { .. }), "{source:?}");
        assert_eq!(track(&mut session).await, TrackState::NoTable);
    }
}

#[tokio::test]
async fn a_killed_session_leaves_nothing_of_a_transaction() {
    let Some(fresh) = fresh().await else { return };
    let (mut session, mut watch) = (fresh.session().await, fresh.watch().await);
    execute(&mut watch, "SELECT pg_advisory_lock(7)").await;
    let body = "CREATE TABLE a (x int); SELECT pg_advisory_lock(7); CREATE TABLE b (x int)";
    let kill = async {
        let blocked = "FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND objid = 7
            AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
        until(&mut watch, &format!("EXISTS (SELECT {blocked})")).await;
        execute(&mut watch, &format!("SELECT pg_terminate_backend(pid, 10000) {blocked}")).await;
    };
    let step = up(1, body);
    let work = Work::of(&step, body, None);
    let (ran, ()) = tokio::join!(session.migrate(&work), kill);
    ran.expect_err("a killed session");
    session.track("schema_migrations").await.expect_err("a session that is gone");
    let mut session = fresh.session().await;
    assert_eq!(track(&mut session).await, TrackState::NoTable);
    holds(&mut session, "to_regclass('a') IS NULL").await;
}

#[tokio::test]
async fn a_session_killed_outside_a_transaction_leaves_the_mark() {
    let Some(fresh) = fresh().await else { return };
    let (mut session, mut watch) = (fresh.session().await, fresh.watch().await);
    run_up(&mut session, 1, "CREATE TABLE t (x int)").await;
    let mut writer = fresh.watch().await;
    execute(&mut writer, "BEGIN; INSERT INTO t VALUES (1)").await;
    let body = "CREATE INDEX CONCURRENTLY i ON t (x);";
    let kill = async {
        let blocked = "FROM pg_stat_activity WHERE wait_event_type = 'Lock'
            AND datname = current_database() AND query LIKE 'CREATE INDEX CONCURRENTLY%'";
        until(&mut watch, &format!("EXISTS (SELECT {blocked})")).await;
        execute(&mut watch, &format!("SELECT pg_terminate_backend(pid, 10000) {blocked}")).await;
    };
    let step = up(2, body);
    let work = Work::of(&step, body, None);
    let (ran, ()) = tokio::join!(session.migrate(&work), kill);
    ran.expect_err("a killed session");
    let mut session = fresh.session().await;
    assert_eq!(track(&mut session).await, dirty(2));
    holds(&mut session, "(SELECT NOT indisvalid FROM pg_index WHERE indexrelid = 'i'::regclass)")
        .await;
}

#[tokio::test]
async fn bodies_that_say_little_or_end_oddly_are_run() {
    for (mut session, _fresh) in everywhere().await {
        let bodies = [
            "",
            " \n\t",
            "-- nothing",
            "/* nothing */\n",
            ";;",
            "CREATE TABLE a (x int) -- the end",
            "CREATE TABLE b (x int);\r\n-- two\r\nCREATE TABLE c (x int);\r\n",
            "VACUUM; -- the end",
            "VACUUM\r\n;\r\nCREATE TABLE d (x int)\r\n",
        ];
        for (version, body) in (1..).zip(bodies) {
            run_up(&mut session, version, body).await;
        }
        holds(&mut session, "to_regclass('a') IS NOT NULL AND to_regclass('c') IS NOT NULL").await;
        let empty = up(10, "");
        let outside = Mode::Dirty { reason: "of the test".to_owned() };
        let empty = sternway_model::plan::Migrate { mode: outside, ..empty };
        session.migrate(&Work::of(&empty, "", None)).await.expect("a step");
        assert_eq!(track(&mut session).await, at(10));
    }
}

#[tokio::test]
async fn rows_that_a_body_gives_are_left_aside() {
    for (mut session, _fresh) in everywhere().await {
        run_up(&mut session, 1, "SELECT generate_series(1, 5000); SELECT 1; VALUES (1), (2)").await;
        run_up(&mut session, 2, "DO $$ BEGIN RAISE NOTICE 'a notice'; RAISE WARNING 'one'; END $$")
            .await;
    }
}
