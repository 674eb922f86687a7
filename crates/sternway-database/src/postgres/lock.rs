//! The advisory locks that golang-migrate takes, so that it and Sternway never work at once.
//!
//! golang-migrate derives the number of a lock from the schema, the tracking table and the database.
//! Opened by URL it takes the URL's path for the database, leading slash and all; opened on a
//! connection it asks the server, which has no slash. A run therefore holds both numbers of every
//! tracking table.
//!
//! The locks are polled with the try-form. A session that waits in the blocking form holds a
//! snapshot, for which an index that is built concurrently waits in turn, under the lock: a deadlock.

use std::time::{Duration, Instant};

use sqlx::Row;

use super::{Postgres, failed};
use crate::port::{DatabaseError, Holder, LockError};

/// golang-migrate's constant: CRC-32 is multiplied by it, modulo 2^32.
const SALT: u32 = 1_486_364_155;

/// How long to wait between two tries.
const PAUSE: Duration = Duration::from_millis(100);

/// The number of golang-migrate's lock on a tracking table.
///
/// `database` is the path of the URL (`/app`) or the name that the server gives (`app`).
pub fn lock_id(schema: &str, table: &str, database: &str) -> i64 {
    let name = [schema, table, database].join("\0");
    i64::from(crc32fast::hash(name.as_bytes()).wrapping_mul(SALT))
}

/// Both numbers of each tracking table, ascending.
pub fn ids(schema: &str, database: &str, tables: &[String]) -> Vec<i64> {
    let path = format!("/{database}");
    let mut ids: Vec<i64> = tables
        .iter()
        .flat_map(|table| [lock_id(schema, table, database), lock_id(schema, table, &path)])
        .collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

/// Takes all locks that the session does not hold yet, or none.
pub(super) async fn lock(
    postgres: &mut Postgres,
    tables: &[String],
    patience: Duration,
) -> Result<(), LockError> {
    let mut ids = ids(&postgres.identity.schema, &postgres.identity.database, tables);
    // The server counts: what is taken twice has to be given back twice.
    ids.retain(|id| !postgres.locks.contains(id));
    let start = Instant::now();
    loop {
        let taken = try_each(postgres, &ids).await?;
        if taken.len() == ids.len() {
            postgres.locks.extend(taken);
            return Ok(());
        }
        release(postgres, &taken).await?;
        if start.elapsed() >= patience {
            let missed: Vec<i64> = ids.into_iter().filter(|id| !taken.contains(id)).collect();
            return Err(LockError::Held(holders(postgres, &missed).await?));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Gives every lock back.
pub(super) async fn unlock(postgres: &mut Postgres) -> Result<(), DatabaseError> {
    let locks = std::mem::take(&mut postgres.locks);
    release(postgres, &locks).await
}

async fn try_each(postgres: &mut Postgres, ids: &[i64]) -> Result<Vec<i64>, DatabaseError> {
    let doing = "take the locks";
    let rows = sqlx::query(
        "SELECT id FROM unnest($1::bigint[]) AS id WHERE pg_catalog.pg_try_advisory_lock(id)",
    )
    .bind(ids)
    .fetch_all(&mut postgres.connection)
    .await
    .map_err(failed(doing))?;
    rows.iter().map(|row| row.try_get(0).map_err(failed(doing))).collect()
}

async fn release(postgres: &mut Postgres, ids: &[i64]) -> Result<(), DatabaseError> {
    if ids.is_empty() {
        return Ok(());
    }
    sqlx::query("SELECT pg_catalog.pg_advisory_unlock(id) FROM unnest($1::bigint[]) AS id")
        .bind(ids)
        .execute(&mut postgres.connection)
        .await
        .map(drop)
        .map_err(failed("give the locks back"))
}

async fn holders(postgres: &mut Postgres, ids: &[i64]) -> Result<Vec<Holder>, DatabaseError> {
    let doing = "find out who holds the locks";
    let rows = sqlx::query(
        "SELECT DISTINCT a.pid, coalesce(a.application_name, ''), coalesce(a.usename::text, ''),
                coalesce(host(a.client_addr), 'local'), coalesce(a.state, 'unknown')
         FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
         WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
           AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
           AND (l.classid::bigint << 32) + l.objid::bigint = ANY ($1)
         ORDER BY a.pid",
    )
    .bind(ids)
    .fetch_all(&mut postgres.connection)
    .await
    .map_err(failed(doing))?;
    let holder = |row: &sqlx::postgres::PgRow| {
        let text = |column: usize| row.try_get::<String, _>(column);
        Ok(Holder {
            pid: row.try_get(0)?,
            application: text(1)?,
            from: format!("user {} from {}", text(2)?, text(3)?),
            state: text(4)?,
        })
    };
    rows.iter().map(holder).collect::<Result<_, sqlx::Error>>().map_err(failed(doing))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_golang_migrates() {
        assert_eq!(lock_id("public", "schema_migrations", "/t1"), 2_372_116_256);
        assert_eq!(lock_id("public", "schema_migrations", "postgres"), 143_310_882);
        assert_eq!(lock_id("public", "schema_migrations", "/postgres"), 3_280_485_947);
        assert_eq!(lock_id("foo", "schema_migrations", "/app"), 2_371_885_192);
    }

    #[test]
    fn scenario_26_the_numbers_are_those_of_kagents_controller_and_of_the_documented_command() {
        let tables = ["schema_migrations".to_owned(), "vector_schema_migrations".to_owned()];
        let expected = [2_490_202_259, 3_499_628_047, 3_989_142_990, 4_062_176_615];
        assert_eq!(ids("public", "kagent", &tables), expected);
    }
}
