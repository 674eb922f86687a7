//! PostgreSQL.

mod connect;
mod lock;
mod track;
pub mod statements;
mod execute;
mod introspect;
mod records;
mod interrupt;
pub mod scratch;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use async_trait::async_trait;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection, Row};
use sternway_model::body::BodyFacts;
use sternway_model::catalog::{Digest, Migration, TrackName};
use sternway_model::journal::Record;
use sternway_model::plan::Plan;
use sternway_model::proof::Fingerprint;
use sternway_model::state::{Identity, Position, Records, RecordsAccess, TrackState};

use crate::port::{
    Database, DatabaseError, Interrupt, LockError, RunId, RunSummary, StepError, Work,
};

pub use connect::connect;
pub use lock::{ids, lock_id};

/// A session with a PostgreSQL database.
pub struct Postgres {
    connection: PgConnection,
    identity: Identity,
    /// Who the session belongs to. `RESET SESSION AUTHORIZATION` would do without, but the embedded
    /// server does not know whom to go back to.
    user: String,
    /// What the session's settings are put back with, after `RESET ALL`.
    reset: String,
    /// The tracking tables that were found to exist.
    tracked: BTreeSet<String>,
    /// The locks that the session holds.
    locks: Vec<i64>,
    /// What the session lives on, if that is inside this process.
    #[cfg(feature = "embedded")]
    server: Option<crate::embedded::Server>,
}

impl Postgres {
    /// Keeps `server` running for as long as the session lives.
    #[cfg(feature = "embedded")]
    pub(crate) fn live_on(&mut self, server: crate::embedded::Server) {
        self.identity.server.push_str(" (embedded)");
        self.server = Some(server);
    }

    /// Makes `schema` the current one, for this session and after `RESET ALL`.
    pub(crate) async fn live_in(&mut self, schema: &str) -> Result<(), DatabaseError> {
        if schema == self.identity.schema {
            return Ok(());
        }
        let name = Self::quote(schema);
        self.identity.schema = schema.to_owned();
        self.reset = format!("SET search_path TO {name}, public;");
        let sql = format!("CREATE SCHEMA IF NOT EXISTS {name}; {}", self.reset);
        self.run("make the schema", sql).await
    }

    /// Drops extensions that nothing uses yet.
    #[cfg(feature = "embedded")]
    pub(crate) async fn drop_extensions(&mut self, names: &[String]) -> Result<(), DatabaseError> {
        let drops = names.iter().rev().map(|name| format!("DROP EXTENSION {};", Self::quote(name)));
        let drops: String = drops.collect();
        if drops.is_empty() { Ok(()) } else { self.run("drop the extensions", drops).await }
    }

    /// Runs statements of the caller's as one simple query.
    ///
    /// # Errors
    /// When one of them fails.
    pub async fn execute(&mut self, sql: &str) -> Result<(), DatabaseError> {
        self.forget_prepared().await?;
        self.run("run the statements", sql.to_owned()).await
    }

    /// Gives up what the driver has prepared, because foreign SQL may deallocate it.
    async fn forget_prepared(&mut self) -> Result<(), DatabaseError> {
        let forgotten = self.connection.clear_cached_statements().await;
        forgotten.map_err(failed("close the prepared statements"))
    }

    /// How many rows each table of the current schema has, by name.
    ///
    /// # Errors
    /// When a table cannot be read.
    pub async fn rows_per_table(&mut self) -> Result<BTreeMap<String, i64>, DatabaseError> {
        let mut rows = BTreeMap::new();
        for name in self.tables(&[]).await? {
            let sql = format!("SELECT count(*) FROM {}", self.table(&name));
            let count = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut self.connection);
            rows.insert(name, count.await.map_err(failed("count rows"))?);
        }
        Ok(rows)
    }

    /// A name as SQL has it, in double quotes.
    fn quote(name: &str) -> String {
        format!("\"{}\"", name.replace('"', "\"\""))
    }

    /// A table of the current schema as SQL has it.
    fn table(&self, name: &str) -> String {
        format!("{}.{}", Self::quote(&self.identity.schema), Self::quote(name))
    }

    /// Runs statements of our own as one simple query.
    async fn run(&mut self, doing: &str, sql: String) -> Result<(), DatabaseError> {
        let query = sqlx::raw_sql(AssertSqlSafe(sql));
        query.execute(&mut self.connection).await.map(drop).map_err(failed(doing))
    }
}

/// Says what failed.
fn failed(doing: &str) -> impl FnOnce(sqlx::Error) -> DatabaseError {
    let doing = doing.to_owned();
    move |source| DatabaseError::Query { doing, source }
}

#[async_trait]
impl Database for Postgres {
    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn tracking_table(&self) -> &str {
        "schema_migrations"
    }

    fn facts(&self, body: &str) -> BodyFacts {
        statements::facts(body)
    }

    fn interrupter(&self) -> Box<dyn Interrupt> {
        Box::new(interrupt::Backend {})
    }

    async fn lock(&mut self, tables: &[String], patience: Duration) -> Result<(), LockError> {
        lock::lock(self, tables, patience).await
    }

    async fn unlock(&mut self) -> Result<(), DatabaseError> {
        lock::unlock(self).await
    }

    async fn track(&mut self, table: &str) -> Result<TrackState, DatabaseError> {
        track::read(self, table).await
    }

    async fn prepare_track(&mut self, table: &str) -> Result<(), DatabaseError> {
        match track::read(self, table).await? {
            TrackState::At(_) => Ok(()),
            TrackState::NoTable => self.set_track(table, Position::default()).await,
        }
    }

    async fn set_track(&mut self, table: &str, position: Position) -> Result<(), DatabaseError> {
        let sql = format!("BEGIN; {} COMMIT", track::write(self, table, position));
        self.run("write the tracking row", sql).await
    }

    async fn drop_tables(&mut self) -> Result<Vec<String>, DatabaseError> {
        let names: Vec<String> = self.tables(&[]).await?.into_iter().collect();
        for name in &names {
            let sql = format!("DROP TABLE IF EXISTS {} CASCADE", self.table(name));
            self.run(&format!("drop the table `{name}`"), sql).await?;
        }
        Ok(names)
    }

    async fn tables(&mut self, except: &[String]) -> Result<BTreeSet<String>, DatabaseError> {
        let rows = sqlx::query(
            "SELECT c.relname::text FROM pg_catalog.pg_class c
             JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
             WHERE n.nspname = $1 AND c.relkind IN ('r', 'p') AND c.relname <> ALL ($2)
               AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
                               WHERE d.objid = c.oid AND d.deptype = 'e'
                                 AND d.classid = 'pg_catalog.pg_class'::regclass)",
        )
        .bind(&self.identity.schema)
        .bind(except)
        .fetch_all(&mut self.connection)
        .await
        .map_err(failed("list the tables"))?;
        rows.iter().map(|row| row.try_get(0).map_err(failed("list the tables"))).collect()
    }

    async fn extensions(&mut self) -> Result<BTreeSet<String>, DatabaseError> {
        let rows = sqlx::query("SELECT name::text FROM pg_catalog.pg_available_extensions")
            .fetch_all(&mut self.connection)
            .await
            .map_err(failed("list the extensions"))?;
        rows.iter().map(|row| row.try_get(0).map_err(failed("list the extensions"))).collect()
    }

    async fn fingerprint(&mut self, except: &[String]) -> Result<Fingerprint, DatabaseError> {
        introspect::fingerprint(self, except).await
    }

    async fn records(&mut self, app: &str) -> Result<Records, DatabaseError> {
        records::read(self, app).await
    }

    async fn prepare_records(&mut self) -> Result<RecordsAccess, DatabaseError> {
        records::prepare(self).await
    }

    async fn begin_run(&mut self, plan: &Plan) -> Result<RunId, DatabaseError> {
        records::begin_run(self, plan).await
    }

    async fn record(&mut self, run: RunId, record: &Record) -> Result<(), DatabaseError> {
        let sql = records::insert(run, record);
        self.run("write the journal", sql).await
    }

    async fn keep(
        &mut self,
        app: &str,
        track: &TrackName,
        migrations: &[Migration],
        bodies: &BTreeMap<Digest, String>,
    ) -> Result<(), DatabaseError> {
        records::keep(self, app, track, migrations, bodies).await
    }

    async fn migrate(&mut self, work: &Work<'_>) -> Result<(), StepError> {
        execute::migrate(self, work).await
    }

    async fn history(&mut self, app: &str) -> Result<Vec<RunSummary>, DatabaseError> {
        records::history(self, app).await
    }
}
