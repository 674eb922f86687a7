//! Settings that bodies leave in the session, as with golang-migrate: they reach the next body, and
//! neither the tracking row nor the journal.

use sternway_database::port::prelude::*;
use sternway_database::postgres::Postgres;
use sternway_database::{Settings, StepError, Work};
use sternway_model::body::Mode;
use sternway_model::journal::Record;

use crate::support::{
    self, GolangMigrate, at, dirty, everywhere, execute, fresh, holds, plan, track, up, whole,
};

async fn run_kept(session: &mut Postgres, version: u64, body: &str) -> Result<(), StepError> {
    let step = up(version, body);
    session.migrate(&Work { settings: Settings::Kept, ..Work::of(&step, body, None) }).await
}

async fn kept(session: &mut Postgres, version: u64, body: &str) {
    let ran = run_kept(session, version, body).await;
    ran.unwrap_or_else(|error| panic!("{body}: {}", whole(&error)));
}

#[tokio::test]
async fn a_role_and_a_search_path_reach_the_next_body() {
    for (mut session, _fresh) in everywhere().await {
        let role = format!("{}_kept", session.identity().database);
        let make = format!("CREATE ROLE {role}; CREATE SCHEMA other AUTHORIZATION {role}");
        session.execute(&make).await.expect("a role");
        let is = |user: &str, role: &str| {
            format!(
                "DO $$ BEGIN ASSERT session_user = '{user}'; ASSERT current_user = '{role}';
                 ASSERT current_schema() = 'other'; END $$"
            )
        };
        let mut version = 0;
        for (set, user) in [
            (format!("SET ROLE {role}"), "postgres"),
            (format!("SET SESSION AUTHORIZATION {role}"), role.as_str()),
        ] {
            for vacuum in ["", "VACUUM t;"] {
                let create = format!("CREATE TABLE t (x int); {vacuum} DROP TABLE t");
                let set = format!("SET search_path TO other; {set}");
                for body in [format!("{set}; {create}"), is(user, &role), create] {
                    version += 1;
                    kept(&mut session, version, &body).await;
                }
                version += 1;
                kept(&mut session, version, &is(user, &role)).await;
                // What is set in a body that fails is taken back with it.
                let fails = format!("RESET SESSION AUTHORIZATION; {vacuum} SELECT 1/0");
                let error = run_kept(&mut session, version + 1, &fails).await.expect_err("fails");
                let dirty = matches!(error, StepError::Dirty { .. });
                assert_eq!(dirty, !vacuum.is_empty(), "{error:?}");
                version += 2;
                let back = "SET SESSION AUTHORIZATION postgres; SET ROLE none; RESET ALL";
                kept(&mut session, version, back).await;
                assert_eq!(track(&mut session).await, at(version));
            }
        }
        session.execute(&format!("DROP SCHEMA other; DROP ROLE {role}")).await.expect("no role");
    }
}

#[tokio::test]
async fn the_journal_is_written_by_us() {
    for (mut session, _fresh) in everywhere().await {
        let role = format!("{}_kept", session.identity().database);
        session.execute(&format!("CREATE ROLE {role}")).await.expect("a role");
        session.prepare_records().await.expect("records");
        let body = format!("SET ROLE {role}; SET standard_conforming_strings TO off");
        let run = session.begin_run(&plan("app", "1.0.0", &[&body])).await.expect("a run");
        session.record(run, &Record::Started { step: 0 }).await.expect("a record");
        let step = up(1, &body);
        let work = Work::of(&step, &body, Some((run, 0)));
        session.migrate(&Work { settings: Settings::Kept, ..work }).await.expect("a step");
        session.record(run, &Record::Finished).await.expect("a record");
        holds(&mut session, &format!("current_user = '{role}'")).await;
        session.execute("RESET ROLE").await.expect("no role");
        holds(&mut session, "(SELECT count(*) = 3 FROM sternway.journal)").await;
        session.execute(&format!("DROP ROLE {role}")).await.expect("no role");
    }
}

/// A table made without its schema lands where golang-migrate puts it.
#[tokio::test]
async fn bodies_that_lean_on_one_another_do_what_they_do_with_golang_migrate() {
    let files = [
        (
            "1_a.up.sql",
            "CREATE SCHEMA other; SET search_path TO other; SET datestyle TO 'SQL, DMY'",
        ),
        ("2_b.up.sql", "CREATE TABLE b AS SELECT date '2026-02-01' :: text AS x"),
        ("3_c.up.sql", "SET LOCAL search_path TO public; CREATE TABLE c (x int)"),
        ("4_d.up.sql", "CREATE TABLE d (x int)"),
    ];
    let look = "(SELECT string_agg(table_schema || '.' || table_name, ' ' ORDER BY table_name)
        FROM information_schema.tables WHERE table_schema IN ('public', 'other'))
        = 'other.b public.c other.d public.schema_migrations'
        AND (SELECT x FROM other.b) = '01/02/2026'";
    for ours in [false, true] {
        let Some(fresh) = fresh().await else { return };
        if ours {
            let mut session = fresh.session().await;
            for (version, (_, body)) in (1..).zip(files) {
                kept(&mut session, version, body).await;
            }
        } else {
            let Some(migrate) = GolangMigrate::with(&files) else { return };
            let (success, said) = migrate.run(&fresh, &["up"]);
            assert!(success, "{said}");
        }
        holds(&mut fresh.session().await, look).await;
    }
}

#[tokio::test]
async fn outside_a_transaction_they_are_kept_too() {
    let Some(fresh) = fresh().await else { return };
    let mut session = fresh.session().await;
    execute(&mut fresh.watch().await, "CREATE SCHEMA other").await;
    let body = "SET search_path TO other; CREATE TABLE t (x int); VACUUM t";
    assert!(matches!(up(1, body).mode, Mode::Dirty { .. }));
    kept(&mut session, 1, body).await;
    kept(&mut session, 2, "INSERT INTO t VALUES (1)").await;
    let body = "SET default_transaction_read_only TO on; VACUUM; SELECT 1/0";
    run_kept(&mut session, 3, body).await.expect_err("fails");
    assert_eq!(track(&mut session).await, dirty(3));
    holds(&mut session, "EXISTS (SELECT FROM other.t)").await;
}

#[tokio::test]
async fn a_commit_that_need_not_be_on_the_disk_leaves_the_next_one_as_it_is() {
    let Some(fresh) = fresh().await else { return };
    let mut session = fresh.session().await;
    let mut watch = fresh.watch().await;
    for (version, settings) in [(1, Settings::Kept), (2, Settings::Reset)] {
        let body = "CREATE TABLE IF NOT EXISTS lazy (x int)";
        let step = up(version, body);
        let work = Work { settings, durable: false, ..Work::of(&step, body, None) };
        session.migrate(&work).await.expect("a step");
        holds(&mut session, "current_setting('synchronous_commit') = 'on'").await;
        assert_eq!(track(&mut session).await, at(version));
    }
    // A session of another's sees what is committed, on the disk or not.
    let seen: bool = support::ask(&mut watch, "SELECT to_regclass('lazy') IS NOT NULL").await;
    assert!(seen);
}
