//! PostgreSQL, and what speaks its protocol: CockroachDB, YugabyteDB and Redshift.
//!
//! The tests have no server of the last three. Their schemes are tried on PostgreSQL, with the tables
//! that golang-migrate makes there; what such a server would refuse of our SQL is not known.

mod parameters;
mod connect;
mod identity;
mod lock;
mod track;
mod schema;
pub mod statements;
mod query;
mod execute;
mod send;
mod effects;
mod archive;
mod keeper;
mod attempt;
mod limits;
mod blockers;
mod reconcile;
mod clients;
mod fence;
mod measure;
mod introspect;
pub(crate) mod definitions;
mod statements_from;
mod attributes;
mod records;
mod interrupt;
pub mod shadow;
pub(crate) mod whole;
mod carry;

use std::collections::BTreeMap;

use async_trait::async_trait;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Connection as _, Row};
use sternway_model::archive::{Entry, EntryId, Page, Restoration};
use sternway_model::body::{BodyFacts, Mode};
use sternway_model::effect::Loss;
use sternway_model::plan::Migrate;
use sternway_model::proof::ObjectName;
use sternway_model::state::Identity;

use crate::asked::Misfits;
use crate::port::{
    Archive, Connection, DatabaseError, Done, Execution, Interrupt, Preservation, Reconciled,
    Schema, StepError, Work, failed,
};

use interrupt::Backend;
use parameters::{Parameters, Server, Strategy};

pub(crate) use connect::check;
pub use connect::{connect, connect_like_golang_migrate};
pub use lock::{ids, lock_id};

/// What a session calls itself, unless the URL says otherwise.
const NAME: &str = "sternway";

/// A session with a PostgreSQL database.
pub struct Postgres {
    connection: PgConnection,
    identity: Identity,
    /// Who the session belongs to. `RESET SESSION AUTHORIZATION` would do without, but the embedded
    /// server does not know whom to go back to.
    user: String,
    /// What the session's settings are put back with, after `RESET ALL`.
    reset: String,
    /// What the URL says with its scheme and with golang-migrate's parameters.
    parameters: Parameters,
    /// The path of the URL, which golang-migrate's locks are made of.
    path: String,
    /// What ends a statement of this session.
    backend: Backend,
    /// Settings of the URL that the driver would set otherwise.
    settings: Vec<(String, String)>,
    /// The tracking tables that were looked for, and whether they exist.
    tracked: BTreeMap<String, bool>,
    /// Whether the current schema is one that was entered, and may have to be made.
    entered: bool,
    /// Where the page of the archive ended that was read last: its entry, how many rows came before
    /// the next, and the place of its last row.
    paged: Option<(i64, u64, String)>,
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
        self.reset.push_str(&format!("SET search_path TO {name}, public;"));
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
        self.deallocate().await?;
        self.run("run the statements", sql.to_owned()).await
    }

    /// Gives up what the driver has prepared, because foreign SQL may deallocate it.
    async fn deallocate(&mut self) -> Result<(), DatabaseError> {
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
            let row = self.ask_one("count rows", sql).await?;
            rows.insert(name, row.try_get(0).map_err(failed("count rows"))?);
        }
        Ok(rows)
    }

    /// A name as SQL has it, in double quotes.
    pub(crate) fn quote(name: &str) -> String {
        format!("\"{}\"", name.replace('"', "\"\""))
    }

    /// A table of the current schema as SQL has it.
    fn table(&self, name: &str) -> String {
        format!("{}.{}", Self::quote(&self.identity.schema), Self::quote(name))
    }

    /// The schema of the tracking tables.
    fn tracking_schema(&self) -> &str {
        self.parameters.schema.as_ref().unwrap_or(&self.identity.schema)
    }

    /// A tracking table as SQL has it.
    fn tracking(&self, name: &str) -> String {
        match self.parameters.server {
            Server::Redshift => Self::quote(name),
            _ => format!("{}.{}", Self::quote(self.tracking_schema()), Self::quote(name)),
        }
    }

    /// `except`, and the table of the locks.
    fn except(&self, except: &[String]) -> Vec<String> {
        let mut except = except.to_vec();
        if let Strategy::Table(table) = &self.parameters.strategy {
            except.push(table.name.clone());
        }
        except
    }

    /// Whether the server has room for other sessions, and tells of them as PostgreSQL does.
    fn has_sessions(&self) -> bool {
        #[cfg(feature = "embedded")]
        if self.server.is_some() {
            return false;
        }
        self.parameters.server.has_authorities()
    }

    /// What a question of our own is answered. As one simple query it is one trip to the server, and
    /// leaves nothing prepared behind.
    async fn ask(&mut self, doing: &str, sql: String) -> Result<Vec<PgRow>, DatabaseError> {
        let query = sqlx::raw_sql(AssertSqlSafe(sql));
        query.fetch_all(&mut self.connection).await.map_err(failed(doing))
    }

    /// The one row that a question of our own is answered with.
    async fn ask_one(&mut self, doing: &str, sql: String) -> Result<PgRow, DatabaseError> {
        let query = sqlx::raw_sql(AssertSqlSafe(sql));
        query.fetch_one(&mut self.connection).await.map_err(failed(doing))
    }

    /// Runs statements of our own as one simple query.
    async fn run(&mut self, doing: &str, sql: String) -> Result<(), DatabaseError> {
        let query = sqlx::raw_sql(AssertSqlSafe(sql));
        query.execute(&mut self.connection).await.map(drop).map_err(failed(doing))
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        lock::abandon(self);
    }
}

/// A text as SQL has it. Backslashes mean themselves in a plain literal only by the session's
/// settings: `E''` is used.
fn literal(text: &str) -> String {
    format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

#[async_trait]
impl Connection for Postgres {
    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn tracking_table(&self) -> &str {
        &self.parameters.table
    }

    fn facts(&self, body: &str) -> BodyFacts {
        let mut facts = statements::facts(body);
        if self.parameters.multi_statement && !statements::is_one_transaction(body) {
            facts.mode = Mode::Dirty {
                reason: "x-multi-statement, which sends each statement by itself".to_owned(),
            };
        }
        facts
    }

    async fn external_effects(&mut self, body: &str) -> Result<Option<String>, DatabaseError> {
        // Inside this process there is nothing else.
        Ok(statements::elsewhere(body).filter(|_| self.has_sessions()))
    }

    async fn read_only(&mut self) -> Result<Option<String>, DatabaseError> {
        let doing = "ask whether the server lets us write";
        if !self.parameters.server.has_authorities() {
            return Ok(None);
        }
        let sql = "SELECT CASE WHEN pg_catalog.pg_is_in_recovery() THEN 'the server is a standby'
                   WHEN pg_catalog.current_setting('transaction_read_only') = 'on'
                   THEN 'default_transaction_read_only is on for this session' END";
        self.ask_one(doing, sql.to_owned()).await?.try_get(0).map_err(failed(doing))
    }

    async fn renew(&mut self) -> Result<(), crate::Connect> {
        self.connect_again().await
    }

    fn interrupter(&self) -> Box<dyn Interrupt> {
        #[cfg(feature = "embedded")]
        if self.server.is_some() {
            return Box::new(interrupt::Nobody);
        }
        Box::new(self.backend.clone())
    }

    async fn query(
        &mut self,
        query: &str,
        most: usize,
    ) -> Result<Vec<Option<String>>, DatabaseError> {
        query::query(self, query, most).await
    }
}

#[async_trait]
impl Execution for Postgres {
    async fn migrate(&mut self, work: &Work<'_>) -> Result<(), StepError> {
        execute::migrate(self, work, None).await.map(drop)
    }

    async fn migrate_preserving(
        &mut self,
        work: &Work<'_>,
        preservation: &Preservation<'_>,
    ) -> Result<Done, StepError> {
        execute::migrate(self, work, Some(preservation)).await
    }

    async fn reconcile(
        &mut self,
        work: &Work<'_>,
        statement: usize,
    ) -> Result<Reconciled, DatabaseError> {
        reconcile::reconcile(self, work, statement).await
    }
}

#[async_trait]
impl Archive for Postgres {
    async fn measure(&mut self, losses: &mut [Loss]) -> Result<(), DatabaseError> {
        measure::measure(self, losses).await
    }

    async fn archive(&mut self, app: &str) -> Result<Vec<Entry>, DatabaseError> {
        let stored = archive::stored(self, archive::Which::Of(app)).await?;
        Ok(stored.into_iter().map(|it| it.entry).collect())
    }

    async fn archive_page(
        &mut self,
        id: EntryId,
        offset: u64,
        limit: u64,
    ) -> Result<Page, DatabaseError> {
        archive::page(self, id, offset, limit).await
    }

    async fn gives(
        &mut self,
        app: &str,
        step: &Migrate,
        column: &ObjectName,
    ) -> Result<Misfits, DatabaseError> {
        archive::gives(self, app, step, column).await
    }

    async fn drop_entry(&mut self, id: EntryId) -> Result<(), DatabaseError> {
        archive::drop_entry(self, id).await
    }

    async fn leave(&mut self, ids: &[EntryId]) -> Result<Vec<Restoration>, DatabaseError> {
        archive::leave(self, ids).await
    }

    async fn restore(&mut self, ids: &[EntryId]) -> Result<Vec<Restoration>, DatabaseError> {
        archive::restore::restore_some(self, ids).await
    }
}
