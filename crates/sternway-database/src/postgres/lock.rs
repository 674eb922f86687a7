//! The advisory locks that golang-migrate takes, so that it and Sternway never work at once.
//!
//! golang-migrate derives the number of a lock from the schema, the tracking table and the database.
//! Opened by URL it takes the URL's path for the database, leading slash and all; opened on a
//! connection it asks the server, which has no slash. A run therefore holds both numbers of every
//! tracking table, and a third where the path of its own URL is not the name of the database.
//!
//! The locks are polled with the try-form. A session that waits in the blocking form holds a
//! snapshot, for which an index that is built concurrently waits in turn, under the lock: a deadlock.
//!
//! Where the URL says so, or the server has no such locks, they are rows of a table.

mod row;

use std::time::{Duration, Instant};

use async_trait::async_trait;
use sqlx::Row;

use super::parameters::Strategy;
use super::{Postgres, failed};
use crate::go::lock_number;
use crate::port::{DatabaseError, Holder, LockError, Locks};

/// How long to wait between two tries.
const PAUSE: Duration = Duration::from_millis(100);

/// The number of golang-migrate's lock on a tracking table.
///
/// `database` is the path of the URL (`/app`) or the name that the server gives (`app`).
pub fn lock_id(schema: &str, table: &str, database: &str) -> i64 {
    number(&[schema, table, database].join("\0"))
}

/// The number of a name, whose parts are joined with a NUL.
fn number(name: &str) -> i64 {
    i64::from(lock_number(name))
}

/// Both numbers of each tracking table, ascending.
pub fn ids(schema: &str, database: &str, tables: &[String]) -> Vec<i64> {
    numbers(tables, &[database.to_owned(), format!("/{database}")], |table, database| {
        lock_id(schema, table, database)
    })
}

fn numbers(
    tables: &[String],
    databases: &[String],
    number: impl Fn(&str, &str) -> i64,
) -> Vec<i64> {
    let mut ids: Vec<i64> = tables
        .iter()
        .flat_map(|table| databases.iter().map(|database| number(table, database)))
        .collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

/// Every text that golang-migrate could take for the database, as a library or with this URL.
fn databases(postgres: &Postgres) -> Vec<String> {
    let name = &postgres.identity.database;
    let mut databases = vec![name.clone(), format!("/{name}")];
    if !postgres.path.is_empty() {
        databases.push(postgres.path.clone());
    }
    databases
}

/// The numbers of the advisory locks on these tracking tables.
pub(super) fn of(postgres: &Postgres, tables: &[String]) -> Vec<i64> {
    let schema = postgres.tracking_schema();
    numbers(tables, &databases(postgres), |table, name| lock_id(schema, table, name))
}

#[async_trait]
impl Locks for Postgres {
    async fn lock(&mut self, tables: &[String], lock_timeout: Duration) -> Result<(), LockError> {
        let databases = databases(self);
        match self.parameters.strategy.clone() {
            Strategy::Advisory => advisory(self, of(self, tables), lock_timeout).await,
            Strategy::Table(table) => {
                let ids = numbers(&[String::new()], &databases, |_, database| number(database));
                row::lock(self, &table, ids, lock_timeout).await
            }
            Strategy::Process => Ok(()),
        }
    }

    /// Ends the sessions of the session's own user that hold one of the locks and call themselves as we do.
    async fn end_orphans(&mut self, tables: &[String]) -> Result<Vec<Holder>, DatabaseError> {
        if self.parameters.strategy != Strategy::Advisory {
            return Ok(Vec::new());
        }
        let ids = of(self, tables);
        let mut ended = Vec::new();
        for holder in holders(self, &ids).await? {
            let doing = "end the session that holds the locks";
            // Looked at and ended at once: its number may be another session's a moment later.
            let sql = format!(
                "SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity
                 WHERE pid = {} AND pid <> pg_catalog.pg_backend_pid()
                   AND application_name = 'sternway' AND usename = session_user",
                holder.pid
            );
            if !self.ask(doing, sql).await?.is_empty() {
                ended.push(holder);
            }
        }
        Ok(ended)
    }

    async fn unlock(&mut self) -> Result<(), DatabaseError> {
        let locks = std::mem::take(&mut self.locks);
        match self.parameters.strategy.clone() {
            Strategy::Table(table) => row::release(self, &table, &locks).await,
            Strategy::Advisory | Strategy::Process => release(self, &locks).await,
        }
    }
}

/// Gives back what does not go with the session by itself.
pub(super) fn abandon(postgres: &mut Postgres) {
    let locks = std::mem::take(&mut postgres.locks);
    if let (Strategy::Table(table), false) = (&postgres.parameters.strategy, locks.is_empty()) {
        row::abandon(&postgres.backend, &postgres.table(&table.name), table, &locks);
    }
}

async fn advisory(
    postgres: &mut Postgres,
    mut ids: Vec<i64>,
    lock_timeout: Duration,
) -> Result<(), LockError> {
    // The server counts: what is taken twice has to be given back twice.
    ids.retain(|id| !postgres.locks.contains(id));
    if ids.is_empty() {
        return Ok(());
    }
    let start = Instant::now();
    loop {
        let taken = try_each(postgres, &ids).await?;
        if taken.len() == ids.len() {
            postgres.locks.extend(taken);
            return Ok(());
        }
        release(postgres, &taken).await?;
        if start.elapsed() >= lock_timeout {
            let missed: Vec<i64> = ids.into_iter().filter(|id| !taken.contains(id)).collect();
            return Err(LockError::Held(holders(postgres, &missed).await?));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Numbers as SQL has them in `unnest` or `ANY`.
pub(super) fn array(ids: &[i64]) -> String {
    let ids: Vec<String> = ids.iter().map(i64::to_string).collect();
    format!("'{{{}}}'::bigint[]", ids.join(","))
}

async fn try_each(postgres: &mut Postgres, ids: &[i64]) -> Result<Vec<i64>, DatabaseError> {
    let doing = "take the locks";
    let ids = array(ids);
    let sql =
        format!("SELECT id FROM unnest({ids}) AS id WHERE pg_catalog.pg_try_advisory_lock(id)");
    let rows = postgres.ask(doing, sql).await?;
    rows.iter().map(|row| row.try_get(0).map_err(failed(doing))).collect()
}

async fn release(postgres: &mut Postgres, ids: &[i64]) -> Result<(), DatabaseError> {
    if ids.is_empty() {
        return Ok(());
    }
    let ids = array(ids);
    let sql = format!("SELECT pg_catalog.pg_advisory_unlock(id) FROM unnest({ids}) AS id");
    postgres.run("give the locks back", sql).await
}

async fn holders(postgres: &mut Postgres, ids: &[i64]) -> Result<Vec<Holder>, DatabaseError> {
    let doing = "find out who holds the locks";
    let sql = format!(
        "SELECT DISTINCT a.pid, coalesce(a.application_name, ''), coalesce(a.usename::text, ''),
                coalesce(host(a.client_addr), 'local'), coalesce(a.state, 'unknown')
         FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
         WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
           AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
           AND (l.classid::bigint << 32) + l.objid::bigint = ANY ({})
         ORDER BY a.pid",
        array(ids)
    );
    let rows = postgres.ask(doing, sql).await?;
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
        assert_eq!(lock_id("public", "schema_migrations", "/"), 2_551_455_205);
        assert_eq!(lock_id("public", "schema_migrations", "/app"), 1_726_534_663);
        assert_eq!(lock_id("public", "schema_migrations", "app"), 1_787_120_056);
        assert_eq!(lock_id("foo", "schema_migrations", "/app"), 2_371_885_192);
        assert_eq!(lock_id("migrate", "schema_migrations", "/app"), 4_026_567_997);
        assert_eq!((number("/app"), number("app")), (198_434_227, 620_236_277));
        assert_eq!(number("database_name"), 1_764_327_054);
        assert_eq!(number("schema_name_1\0database_name"), 2_453_313_553);
        assert_eq!(number("schema_name_2\0database_name"), 235_207_038);
        assert_eq!(number("schema_name_1\0schema_name_2\0database_name"), 3_743_845_847);
    }

    #[test]
    fn scenario_26_the_numbers_are_those_of_kagents_controller_and_of_the_documented_command() {
        let tables = ["schema_migrations".to_owned(), "vector_schema_migrations".to_owned()];
        let expected = [2_490_202_259, 3_499_628_047, 3_989_142_990, 4_062_176_615];
        assert_eq!(ids("public", "kagent", &tables), expected);
    }
}
