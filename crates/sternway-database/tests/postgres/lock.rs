//! Sternway and golang-migrate keep each other out.

use std::time::{Duration, Instant};

use sqlx::PgConnection;
use sternway_database::port::prelude::*;
use sternway_database::postgres::ids;
use sternway_database::{LockError, Work};
use sternway_model::state::TrackState;

use crate::support::{self, Fresh, GolangMigrate, ask, at, execute, fresh, track, until, up};

/// The advisory locks of the database.
const LOCKS: &str =
    "SELECT coalesce(array_agg((classid::bigint << 32) + objid::bigint ORDER BY objid), '{}')
    FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1 AND granted
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";

const WAITING: &str = "EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))";

fn tables() -> Vec<String> {
    ["schema_migrations", "vector_schema_migrations"].map(str::to_owned).to_vec()
}

async fn locks(watch: &mut PgConnection) -> Vec<i64> {
    ask(watch, LOCKS).await
}

#[tokio::test]
async fn both_numbers_of_each_table_are_held() {
    let Some(fresh) = fresh().await else { return };
    let mut watch = fresh.watch().await;
    let mut session = fresh.session().await;
    session.lock(&tables(), Duration::ZERO).await.expect("the locks");
    assert_eq!(locks(&mut watch).await, ids("public", &fresh.name, &tables()));
    assert_eq!(locks(&mut watch).await.len(), 4);
    session.unlock().await.expect("no locks");
    assert!(locks(&mut watch).await.is_empty());
}

#[tokio::test]
async fn locks_asked_for_twice_are_given_back_once() {
    let Some(fresh) = fresh().await else { return };
    let mut watch = fresh.watch().await;
    let mut session = fresh.session().await;
    session.lock(&tables()[..1], Duration::ZERO).await.expect("the locks");
    session.lock(&tables(), Duration::ZERO).await.expect("the locks");
    assert_eq!(locks(&mut watch).await, ids("public", &fresh.name, &tables()));
    session.unlock().await.expect("no locks");
    assert!(locks(&mut watch).await.is_empty());
}

#[tokio::test]
async fn locks_go_with_the_session() {
    let Some(fresh) = fresh().await else { return };
    let mut session = fresh.session().await;
    session.lock(&tables(), Duration::ZERO).await.expect("the locks");
    drop(session);
    until(&mut fresh.watch().await, &format!("({LOCKS}) = '{{}}'")).await;
}

#[tokio::test]
async fn golang_migrate_waits_for_sternway() {
    let Some(fresh) = fresh().await else { return };
    let files = [("1_a.up.sql", "CREATE TABLE a (x int)")];
    let Some(migrate) = GolangMigrate::with(&files) else { return };
    let mut watch = fresh.watch().await;
    let mut session = fresh.session().await;
    session.lock(&tables(), Duration::ZERO).await.expect("the locks");
    let mut child = migrate.start(&fresh, &["-lock-timeout", "1", "up"]);
    until(&mut watch, WAITING).await;
    assert_eq!(child.try_wait().expect("its state"), None);
    assert_eq!(track(&mut session).await, TrackState::NoTable);
    session.unlock().await.expect("no locks");
    let output = child.wait_with_output().expect("its end");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(track(&mut session).await, at(1));
}

#[tokio::test]
async fn sternway_is_refused_while_golang_migrate_works() {
    let Some(fresh) = fresh().await else { return };
    let files = [("1_a.up.sql", "SELECT pg_advisory_lock_shared(7)")];
    let Some(migrate) = GolangMigrate::with(&files) else { return };
    let mut watch = fresh.watch().await;
    execute(&mut watch, "SELECT pg_advisory_lock(7)").await;
    let child = migrate.start(&fresh, &["up"]);
    until(&mut watch, WAITING).await;
    let mut session = fresh.session().await;
    let error = session.lock(&tables(), Duration::ZERO).await.expect_err("a refusal");
    let LockError::Held(holders) = error else { panic!("{error:?}") };
    assert_eq!(holders.len(), 1, "{holders:?}");
    execute(&mut watch, "SELECT pg_advisory_unlock(7)").await;
    assert!(child.wait_with_output().expect("its end").status.success());
    session.lock(&tables(), Duration::from_secs(10)).await.expect("the locks");
}

#[tokio::test]
async fn scenario_26_kagents_own_numbers_keep_sternway_out() {
    let Some(fresh) = Fresh::named("STERNWAY_TEST_PG_URL", "kagent").await else { return };
    let mut session = fresh.session().await;
    // The controller's, which opens a connection, and the documented command's, which has a URL.
    for number in [2_490_202_259_i64, 4_062_176_615] {
        let mut other =
            support::open(&fresh.url_with("sslmode=disable&application_name=kagent")).await;
        execute(&mut other, &format!("SELECT pg_advisory_lock({number})")).await;
        let pid: i32 = ask(&mut other, "SELECT pg_backend_pid()").await;
        let error = session.lock(&tables(), Duration::ZERO).await.expect_err("a refusal");
        let LockError::Held(holders) = &error else { panic!("{error:?}") };
        assert_eq!(holders.len(), 1, "{holders:?}");
        assert_eq!((holders[0].pid, holders[0].application.as_str()), (pid, "kagent"));
        assert_eq!(holders[0].state, "idle");
        assert!(error.to_string().contains(&format!("session {pid} (kagent")), "{error}");
        // All or nothing.
        assert_eq!(locks(&mut other).await, [number]);
    }
    session.lock(&tables(), Duration::from_secs(10)).await.expect("the locks");
}

#[tokio::test]
async fn patience_is_honoured() {
    let Some(fresh) = fresh().await else { return };
    let mut other = fresh.session().await;
    let mut session = fresh.session().await;
    other.lock(&tables(), Duration::ZERO).await.expect("the locks");
    let start = Instant::now();
    let lock_timeout = Duration::from_millis(350);
    session.lock(&tables(), lock_timeout).await.expect_err("a refusal");
    let waited = start.elapsed();
    assert!(waited >= lock_timeout && waited < Duration::from_secs(10), "{waited:?}");
    let release = async {
        tokio::task::yield_now().await;
        other.unlock().await
    };
    let tables = tables();
    let lock = session.lock(&tables, Duration::from_secs(10));
    let (locked, released) = tokio::join!(lock, release);
    released.expect("no locks");
    locked.expect("the locks");
}

#[tokio::test]
async fn another_database_or_schema_has_its_own_locks() {
    let (Some(one), Some(two)) = (fresh().await, fresh().await) else { return };
    execute(&mut one.watch().await, "CREATE SCHEMA app").await;
    let in_app = one.url_with("sslmode=disable&search_path=app");
    let mut sessions = [one.session().await, two.session().await, support::session(&in_app).await];
    for session in &mut sessions {
        session.lock(&tables(), Duration::ZERO).await.expect("the locks");
    }
}

/// A session that waited for the lock in its blocking form would hold a snapshot, for which the
/// index waits.
#[tokio::test]
async fn an_index_is_built_concurrently_while_another_waits_for_the_locks() {
    let Some(fresh) = fresh().await else { return };
    let mut builder = fresh.session().await;
    let mut waiter = fresh.session().await;
    builder.execute("CREATE TABLE t AS SELECT generate_series(1, 1000) AS x").await.expect("t");
    builder.lock(&tables(), Duration::ZERO).await.expect("the locks");
    let body = "CREATE INDEX CONCURRENTLY i ON t (x)";
    let build = async {
        for version in 1..5 {
            let body = format!("{body}; DROP INDEX CONCURRENTLY i");
            builder.migrate(&Work::of(&up(version, &body), &body, None)).await.expect("an index");
        }
        builder.unlock().await.expect("no locks");
    };
    let tables = tables();
    let both = async { tokio::join!(waiter.lock(&tables, Duration::from_secs(30)), build) };
    let (locked, ()) = tokio::time::timeout(Duration::from_secs(30), both).await.expect("an end");
    locked.expect("the locks");
}
