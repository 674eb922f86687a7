//! Locks that are rows of a table: golang-migrate's with `x-lock-strategy=table` and on servers
//! without advisory locks.
//!
//! A row says neither whose it is nor how old, and a migrator that crashes leaves it.

use std::time::{Duration, Instant};

use sqlx::Row;

use super::PAUSE;
use crate::port::{DatabaseError, Holder, LockError};
use crate::postgres::connect::open;
use crate::postgres::interrupt::Backend;
use crate::postgres::parameters::LockTable;
use crate::postgres::{Postgres, failed, schema, track};

/// Adds the rows, all or none, trying for as long as `lock_timeout`.
pub(super) async fn lock(
    postgres: &mut Postgres,
    lock: &LockTable,
    ids: Vec<i64>,
    lock_timeout: Duration,
) -> Result<(), LockError> {
    if !postgres.locks.is_empty() {
        return Ok(());
    }
    let table = postgres.table(&lock.name);
    let values: Vec<String> = ids.iter().map(|id| format!("('{id}')")).collect();
    let mut insert = format!("INSERT INTO {table} (lock_id) VALUES {}", values.join(", "));
    if lock.force {
        insert = format!("{}; {insert}", delete(&table, &ids));
    }
    let doing = "take the locks";
    let start = Instant::now();
    loop {
        let taken = match is_there(postgres, &table, &ids).await {
            Ok(true) if !lock.force => {
                wait(start, lock_timeout, lock).await?;
                continue;
            }
            Ok(_) => postgres.run(doing, insert.clone()).await,
            Err(error) => Err(error),
        };
        match taken {
            Ok(()) => {
                postgres.locks = ids;
                return Ok(());
            }
            Err(error) if track::is_absent(&error) => create(postgres, lock, &table).await?,
            // The row is there; or, on servers that only know serializable, was there a moment ago.
            Err(error) if has_code(&error, &["23505", "40001", "40P01"]) => {
                wait(start, lock_timeout, lock).await?;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Looks before it tries: a try that fails is an error in the server's log.
async fn is_there(
    postgres: &mut Postgres,
    table: &str,
    ids: &[i64],
) -> Result<bool, DatabaseError> {
    let doing = "look for the locks";
    let sql = format!("SELECT count(*) > 0 FROM {table} WHERE lock_id IN ({})", list(ids));
    postgres.ask_one(doing, sql).await?.try_get(0).map_err(failed(doing))
}

async fn wait(start: Instant, lock_timeout: Duration, lock: &LockTable) -> Result<(), LockError> {
    if start.elapsed() >= lock_timeout {
        return Err(LockError::Held(vec![unknown(&lock.name)]));
    }
    tokio::time::sleep(PAUSE).await;
    Ok(())
}

async fn create(
    postgres: &mut Postgres,
    lock: &LockTable,
    table: &str,
) -> Result<(), DatabaseError> {
    // It lies in the schema that was entered, which may not be there before the first start.
    schema::prepare(postgres, &lock.name).await?;
    let sql = format!(
        "CREATE TABLE IF NOT EXISTS {table} (lock_id {} NOT NULL PRIMARY KEY)",
        lock.column
    );
    match postgres.run("make the table of the locks", sql).await {
        // Somebody else has made it meanwhile.
        Err(error) if has_code(&error, &["23505", "42P07"]) => Ok(()),
        made => made,
    }
}

/// Removes our rows. A table that is gone, as after a drop, has none.
pub(super) async fn release(
    postgres: &mut Postgres,
    lock: &LockTable,
    ids: &[i64],
) -> Result<(), DatabaseError> {
    if ids.is_empty() {
        return Ok(());
    }
    let sql = delete(&postgres.table(&lock.name), ids);
    match postgres.run("give the locks back", sql).await {
        Err(error) if track::is_absent(&error) => Ok(()),
        released => released,
    }
}

/// Removes our rows in a session of its own, because ours is at its end.
pub(super) fn abandon(backend: &Backend, table: &str, lock: &LockTable, ids: &[i64]) {
    let (backend, sql) = (backend.clone(), delete(table, ids));
    let removed = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
        runtime.block_on(async {
            let mut connection = open(&backend.options, backend.connect_timeout).await.ok()?;
            let query = sqlx::raw_sql(sqlx::AssertSqlSafe(sql));
            query.execute(&mut connection).await.ok()
        })
    });
    if !matches!(removed.join(), Ok(Some(_))) {
        tracing::warn!("our row in the table `{}` is left behind", lock.name);
    }
}

fn delete(table: &str, ids: &[i64]) -> String {
    format!("DELETE FROM {table} WHERE lock_id IN ({})", list(ids))
}

fn list(ids: &[i64]) -> String {
    ids.iter().map(|id| format!("'{id}'")).collect::<Vec<_>>().join(", ")
}

fn has_code(error: &DatabaseError, codes: &[&str]) -> bool {
    let DatabaseError::Query { source: sqlx::Error::Database(error), .. } = error else {
        return false;
    };
    error.code().is_some_and(|code| codes.contains(&code.as_ref()))
}

fn unknown(table: &str) -> Holder {
    Holder {
        pid: 0,
        application: String::new(),
        from: format!("a row in the table `{table}` says so, and not since when"),
        state: "unknown".to_owned(),
    }
}
