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
mod execute;
mod send;
mod effects;
mod archive;
mod careful;
mod piecemeal;
mod limits;
mod blockers;
mod sessions;
mod orphans;
mod fence;
mod settle;
mod drop;
mod measure;
mod introspect;
mod records;
mod interrupt;
pub mod shadow;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use async_trait::async_trait;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Connection, Row};
use sternway_model::archive::{Entry, EntryId, Page, PutBack};
use sternway_model::body::{BodyFacts, Mode};
use sternway_model::catalog::{Digest, Migration, TrackName};
use sternway_model::effect::Loss;
use sternway_model::journal::Record;
use sternway_model::plan::Plan;
use sternway_model::proof::Fingerprint;
use sternway_model::state::{Identity, Position, Records, RecordsAccess, TrackState};

use crate::answer::{ANSWER, bare};
use crate::port::{
    Care, Database, DatabaseError, Done, Fence, FenceKind, Holder, Interrupt, Limits, LockError,
    Orphan, Raised, RunId, RunSummary, Session, Settled, StepError, Unfinished, Work,
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
            let row = self.ask_one("count rows", sql).await?;
            rows.insert(name, row.try_get(0).map_err(failed("count rows"))?);
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
        &self.parameters.table
    }

    fn facts(&self, body: &str) -> BodyFacts {
        let mut facts = statements::facts(body);
        if self.parameters.multi_statement {
            facts.mode = Mode::Dirty {
                reason: "x-multi-statement, which sends each statement by itself".to_owned(),
            };
        }
        facts
    }

    fn interrupter(&self) -> Box<dyn Interrupt> {
        #[cfg(feature = "embedded")]
        if self.server.is_some() {
            return Box::new(interrupt::Nobody);
        }
        Box::new(self.backend.clone())
    }

    async fn enter_schema(&mut self, schema: &str) -> Result<(), DatabaseError> {
        schema::enter(self, schema).await
    }

    async fn lock(&mut self, tables: &[String], lock_timeout: Duration) -> Result<(), LockError> {
        lock::lock(self, tables, lock_timeout).await
    }

    async fn end_orphans(&mut self, tables: &[String]) -> Result<Vec<Holder>, DatabaseError> {
        lock::end_orphans(self, tables).await
    }

    async fn unlock(&mut self) -> Result<(), DatabaseError> {
        lock::unlock(self).await
    }

    async fn track(&mut self, table: &str) -> Result<TrackState, DatabaseError> {
        track::read(self, table).await
    }

    async fn prepare_track(&mut self, table: &str) -> Result<(), DatabaseError> {
        schema::prepare(self, table).await?;
        track::prepare(self, table).await
    }

    async fn set_track(&mut self, table: &str, position: Position) -> Result<(), DatabaseError> {
        schema::prepare(self, table).await?;
        track::look(self, table).await?;
        let sql = execute::apart(self, &track::write(self, table, position));
        let written = self.run("write the tracking row", sql).await;
        self.tracked.insert(table.to_owned(), true);
        if written.is_err() {
            self.tracked.remove(table);
            let _ = self.run("roll back", "ROLLBACK".to_owned()).await;
        }
        written
    }

    async fn drop_tables(&mut self) -> Result<Vec<String>, DatabaseError> {
        drop::tables(self).await
    }

    async fn tables(&mut self, except: &[String]) -> Result<BTreeSet<String>, DatabaseError> {
        let doing = "list the tables";
        let except: Vec<String> = self.except(except).iter().map(|name| literal(name)).collect();
        let sql = format!(
            "SELECT c.relname::text FROM pg_catalog.pg_class c
             JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
             WHERE n.nspname = {} AND c.relkind IN ('r', 'p')
               AND c.relname <> ALL (ARRAY[{}]::text[])
               AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
                               WHERE d.objid = c.oid AND d.deptype = 'e'
                                 AND d.classid = 'pg_catalog.pg_class'::regclass)",
            literal(&self.identity.schema),
            except.join(", ")
        );
        let rows = self.ask(doing, sql).await?;
        rows.iter().map(|row| row.try_get(0).map_err(failed(doing))).collect()
    }

    async fn extensions(&mut self) -> Result<BTreeSet<String>, DatabaseError> {
        let doing = "list the extensions";
        let sql = "SELECT name::text FROM pg_catalog.pg_available_extensions".to_owned();
        let rows = self.ask(doing, sql).await?;
        rows.iter().map(|row| row.try_get(0).map_err(failed(doing))).collect()
    }

    async fn fingerprint(&mut self, except: &[String]) -> Result<Fingerprint, DatabaseError> {
        introspect::fingerprint(self, &self.except(except)).await
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
        let sql = execute::apart(self, &records::insert(run, record));
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

    async fn measure(&mut self, losses: &mut [Loss]) -> Result<(), DatabaseError> {
        measure::measure(self, losses).await
    }

    async fn migrate(&mut self, work: &Work<'_>) -> Result<(), StepError> {
        execute::migrate(self, work, Limits::default()).await
    }

    async fn sessions(&mut self) -> Result<Vec<Session>, DatabaseError> {
        sessions::list(self).await
    }

    async fn end_sessions(&mut self, sessions: &[Session]) -> Result<(), DatabaseError> {
        sessions::end(self, sessions).await
    }

    async fn prepare_fence(&mut self, kind: &FenceKind) -> Result<Fence, DatabaseError> {
        fence::prepare(self, kind).await
    }

    async fn raise_fence(
        &mut self,
        app: &str,
        run: Option<RunId>,
        fence: &Fence,
    ) -> Result<Raised, DatabaseError> {
        fence::raise(self, app, run, fence).await
    }

    async fn fences(&mut self, app: &str) -> Result<Vec<Raised>, DatabaseError> {
        fence::list(self, app).await
    }

    async fn lower_fence(&mut self, fence: &Raised) -> Result<(), DatabaseError> {
        fence::lower(self, fence).await
    }

    async fn is_pooled(&mut self) -> Result<bool, DatabaseError> {
        sessions::are_pooled(self).await
    }

    async fn migrate_with_care(
        &mut self,
        work: &Work<'_>,
        care: &Care<'_>,
    ) -> Result<Done, StepError> {
        careful::migrate(self, work, care).await
    }

    async fn reaches_out(&mut self, body: &str) -> Result<Option<String>, DatabaseError> {
        // Inside this process there is nothing else.
        Ok(statements::elsewhere(body).filter(|_| self.has_sessions()))
    }

    async fn archive(&mut self, app: &str) -> Result<Vec<Entry>, DatabaseError> {
        let stored = archive::stored(self, archive::Which::Of(app)).await?;
        Ok(stored.into_iter().map(|it| it.entry).collect())
    }

    async fn answers(
        &mut self,
        query: &str,
        most: usize,
    ) -> Result<Vec<Option<String>>, DatabaseError> {
        // The line break ends a comment.
        let sql = format!(
            "BEGIN READ ONLY; SELECT (q.x)::text FROM ({}\n) AS q(x) LIMIT {most}; ROLLBACK",
            bare(query)
        );
        let rows = self.ask(ANSWER, sql).await;
        if rows.is_err() {
            let _ = self.run("roll back", "ROLLBACK".to_owned()).await;
        }
        rows?.iter().map(|row| row.try_get(0).map_err(failed(ANSWER))).collect()
    }

    async fn archived(
        &mut self,
        id: EntryId,
        offset: u64,
        limit: u64,
    ) -> Result<Page, DatabaseError> {
        archive::page(self, id, offset, limit).await
    }

    async fn forget(&mut self, id: EntryId) -> Result<(), DatabaseError> {
        archive::forget(self, id).await
    }

    async fn put_back(&mut self, id: EntryId) -> Result<PutBack, DatabaseError> {
        archive::back::put_back_one(self, id).await
    }

    async fn unfinished(&mut self, app: &str) -> Result<Option<Unfinished>, DatabaseError> {
        records::unfinished(self, app).await
    }

    async fn settle(
        &mut self,
        work: &Work<'_>,
        statement: usize,
    ) -> Result<Settled, DatabaseError> {
        settle::settle(self, work, statement).await
    }

    async fn orphans(
        &mut self,
        tables: &[String],
        bodies: &[&str],
    ) -> Result<Vec<Orphan>, DatabaseError> {
        orphans::list(self, tables, bodies).await
    }

    async fn end_found_orphans(&mut self, orphans: &[Orphan]) -> Result<(), DatabaseError> {
        orphans::end(self, orphans).await
    }

    async fn history(&mut self, app: &str) -> Result<Vec<RunSummary>, DatabaseError> {
        records::history(self, app).await
    }
}
