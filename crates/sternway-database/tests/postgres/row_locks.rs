//! Locks that are rows of a table. The golang-migrate at hand has none of the drivers that use
//! them: what they would see is looked at instead.

use std::time::{Duration, Instant};

use sternway_database::LockError;
use sternway_database::port::prelude::*;
use sternway_database::postgres::Postgres;

use crate::support::{Fresh, TABLE, as_scheme, ask, execute, session, until};

const CASES: [(&str, &str, &str, &str); 4] = [
    ("pgx", "&x-lock-strategy=table", "schema_lock", "bigint"),
    ("pgx4", "&x-lock-strategy=table&x-lock-table=my%20locks", "my locks", "bigint"),
    ("cockroach", "", "schema_lock", "integer"),
    ("yugabyte", "&x-lock-table=l", "l", "text"),
];

/// A database for each test. Its name gives numbers that fit into the integers that golang-migrate
/// gives CockroachDB.
async fn database(test: usize) -> Option<Fresh> {
    let number = [4, 6, 13, 16, 17][test];
    Fresh::named("STERNWAY_TEST_PG_URL", &format!("sternway_rows_{number}")).await
}

async fn lock(session: &mut Postgres, lock_timeout: u64) -> Result<(), LockError> {
    session.lock(&[TABLE.to_owned()], Duration::from_millis(lock_timeout)).await
}

fn number(name: &str) -> String {
    crc32fast::hash(name.as_bytes()).wrapping_mul(1_486_364_155).to_string()
}

#[tokio::test]
async fn rows_keep_others_out() {
    for (scheme, more, table, column) in CASES {
        let Some(fresh) = database(0).await else { return };
        let mut watch = fresh.watch().await;
        let url = as_scheme(scheme, &fresh.url(), more);
        let (mut one, mut two) = (session(&url).await, session(&url).await);
        lock(&mut one, 0).await.expect("the locks");
        lock(&mut one, 0).await.expect("the locks it has");
        // What golang-migrate looks for with this URL, and as a library without one.
        let mut expected = [number(&format!("/{}", fresh.name)), number(&fresh.name)];
        expected.sort();
        let rows =
            format!("SELECT array_agg(lock_id::text ORDER BY lock_id::text) FROM \"{table}\"");
        assert_eq!(ask::<Vec<String>>(&mut watch, &rows).await, expected, "{scheme}");
        let kind = format!(
            "SELECT data_type::text FROM information_schema.columns
             WHERE table_name = '{table}' AND column_name = 'lock_id'"
        );
        assert_eq!(ask::<String>(&mut watch, &kind).await, column, "{scheme}");
        let start = Instant::now();
        let error = lock(&mut two, 300).await.expect_err("a refusal");
        assert!(start.elapsed() >= Duration::from_millis(300));
        assert!(error.to_string().contains(&format!("a row in the table `{table}`")), "{error}");
        one.unlock().await.expect("no locks");
        assert_eq!(ask::<i64>(&mut watch, &count(table)).await, 0);
        lock(&mut two, 0).await.expect("the locks");
        // One waits for as long as the other takes.
        let waits = async {
            tokio::time::sleep(Duration::from_millis(200)).await;
            two.unlock().await
        };
        let (locked, released) = tokio::join!(lock(&mut one, 10_000), waits);
        locked.expect("the locks");
        released.expect("no locks");
        execute(&mut watch, &format!("DROP TABLE \"{table}\"")).await;
        one.unlock().await.expect("a table that is gone has no locks");
    }
}

fn count(table: &str) -> String {
    format!("SELECT count(*) FROM \"{table}\"")
}

/// golang-migrate's own number alone is enough.
#[tokio::test]
async fn a_row_of_golang_migrates_keeps_sternway_out() {
    let Some(fresh) = database(1).await else { return };
    let mut watch = fresh.watch().await;
    let table = "CREATE TABLE schema_lock (lock_id BIGINT NOT NULL PRIMARY KEY)";
    execute(&mut watch, table).await;
    let url = as_scheme("pgx", &fresh.url(), "&x-lock-strategy=table");
    let mut session = session(&url).await;
    for name in [format!("/{}", fresh.name), fresh.name.clone()] {
        execute(&mut watch, &format!("INSERT INTO schema_lock VALUES ({})", number(&name))).await;
        lock(&mut session, 0).await.expect_err("a refusal");
        assert_eq!(ask::<i64>(&mut watch, &count("schema_lock")).await, 1);
        execute(&mut watch, "DELETE FROM schema_lock").await;
    }
    lock(&mut session, 0).await.expect("the locks");
}

#[tokio::test]
async fn a_row_that_a_crash_left_is_replaced_by_force() {
    for scheme in ["cockroach", "yugabyte"] {
        let Some(fresh) = database(2).await else { return };
        let url = as_scheme(scheme, &fresh.url(), "&x-lock-table=l");
        let mut crashed = session(&url).await;
        lock(&mut crashed, 0).await.expect("the locks");
        let mut forced = session(&format!("{url}&x-force-lock=true")).await;
        lock(&mut forced, 0).await.expect("the locks");
        assert_eq!(ask::<i64>(&mut fresh.watch().await, &count("l")).await, 2);
        forced.unlock().await.expect("no locks");
        assert_eq!(ask::<i64>(&mut fresh.watch().await, &count("l")).await, 0);
    }
}

#[tokio::test]
async fn rows_go_with_the_session() {
    let Some(fresh) = database(3).await else { return };
    let url = as_scheme("pgx4", &fresh.url(), "&x-lock-strategy=table");
    let mut session = session(&url).await;
    lock(&mut session, 0).await.expect("the locks");
    drop(session);
    until(&mut fresh.watch().await, "NOT EXISTS (SELECT FROM schema_lock)").await;
}

#[tokio::test]
async fn redshift_has_no_locks_outside_the_process() {
    let Some(fresh) = database(4).await else { return };
    let url = as_scheme("redshift", &fresh.url(), "");
    for session in &mut [session(&url).await, session(&url).await] {
        lock(session, 0).await.expect("no locks are needed");
        session.unlock().await.expect("no locks");
    }
}
