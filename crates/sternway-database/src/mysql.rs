//! MySQL and MariaDB.
//!
//! A change to the schema commits by itself here, so that every body runs under golang-migrate's
//! dirty protocol; `progress.rs` keeps which statement is under way. Everything of Sternway's own
//! lives in the same database, in tables whose names begin with `sternway_`.

mod connect;
mod lock;
mod track;
pub mod statements;
mod execute;
mod fence;
mod settle;
mod progress;
mod introspect;
mod records;
mod archive;
mod interrupt;
mod sessions;
pub mod shadow;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::mysql::{MySqlDatabaseError, MySqlRow};
use sqlx::{AssertSqlSafe, MySqlConnection, Row};
use sternway_model::archive::{Entry, EntryId, Page, PutBack};
use sternway_model::body::BodyFacts;
use sternway_model::catalog::{Digest, Migration, TrackName};
use sternway_model::effect::Loss;
use sternway_model::journal::Record;
use sternway_model::plan::Plan;
use sternway_model::proof::Fingerprint;
use sternway_model::state::{Identity, Position, Records, RecordsAccess, TrackState};

use crate::answer::{ANSWER, bare};
use crate::port::{
    Care, Database, DatabaseError, Done, Fence, FenceKind, Interrupt, Limits, LockError, Raised,
    RunId, RunSummary, Session, Settled, StepError, Underway, Unfinished, Work,
};

pub(crate) use connect::check;
pub use connect::connect;
pub use lock::lock_name;

/// A session with a MySQL or MariaDB database.
pub struct MySql {
    connection: MySqlConnection,
    /// What the URL says, for further connections.
    target: connect::Target,
    identity: Identity,
    mariadb: bool,
    /// The server's number for the session.
    id: u64,
    /// Whether a backslash in a string escapes what follows it.
    escapes: bool,
    /// Whether the session speaks Oracle's language, whose stored programs are cut otherwise.
    oracle: bool,
    /// What the session's settings are put back with.
    reset: String,
    /// The tracking tables that were found to exist.
    tracked: BTreeSet<String>,
    /// The locks that the session holds.
    locks: Vec<String>,
    /// A second connection, for what is written while a body has its way with the first.
    helper: Option<MySqlConnection>,
    /// Whether the statement under way was asked to end. Some then end as if nothing were the matter:
    /// `SLEEP`, `GET_LOCK`.
    interrupted: Arc<AtomicBool>,
    /// The tracking tables whose progress has a table, and whether their last step ended well.
    progress: BTreeMap<String, bool>,
}

impl MySql {
    fn of(connection: MySqlConnection, target: connect::Target) -> MySql {
        MySql {
            connection,
            target,
            identity: Identity::default(),
            mariadb: false,
            id: 0,
            escapes: true,
            oracle: false,
            reset: String::new(),
            tracked: BTreeSet::new(),
            locks: Vec::new(),
            interrupted: Arc::default(),
            helper: None,
            progress: BTreeMap::new(),
        }
    }

    /// Runs statements of the caller's as one query.
    ///
    /// # Errors
    /// When one of them fails.
    pub async fn execute(&mut self, sql: &str) -> Result<(), DatabaseError> {
        self.run("run the statements", sql.to_owned()).await
    }

    /// How many rows each table has, by name.
    ///
    /// # Errors
    /// When a table cannot be read.
    pub async fn rows_per_table(&mut self) -> Result<BTreeMap<String, i64>, DatabaseError> {
        let mut rows = BTreeMap::new();
        for name in self.tables(&[]).await? {
            let sql = format!("SELECT count(*) AS n FROM {}", self.table(&name));
            let found = self.fetch("count rows", sql).await?;
            let count = found.first().map_or(0, |row| cell(row, "n").parse().unwrap_or(0));
            rows.insert(name, count);
        }
        Ok(rows)
    }

    /// A name as SQL has it: in backticks, which mean the same in every `sql_mode`.
    fn quote(name: &str) -> String {
        format!("`{}`", name.replace('`', "``"))
    }

    /// A text as SQL has it, whatever the session's `sql_mode` and character set.
    fn literal(text: &str) -> String {
        let plain = |byte: u8| matches!(byte, b' '..=b'~') && !matches!(byte, b'\'' | b'\\');
        if text.bytes().all(plain) {
            return format!("'{text}'");
        }
        let digits: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
        format!("_utf8mb4 0x{digits}")
    }

    /// A table of the database as SQL has it; a body may have made another database the current one.
    fn table(&self, name: &str) -> String {
        format!("{}.{}", Self::quote(&self.identity.database), Self::quote(name))
    }

    /// Runs statements of our own as one query.
    async fn run(&mut self, doing: &str, sql: String) -> Result<(), DatabaseError> {
        let query = sqlx::raw_sql(AssertSqlSafe(sql));
        query.execute(&mut self.connection).await.map(drop).map_err(failed(doing))
    }

    /// Runs `before`, and then statements that commit together.
    async fn commit(&mut self, doing: &str, before: &str, sql: &str) -> Result<(), DatabaseError> {
        let done = self.run(doing, format!("{before} {}", track::transaction(sql))).await;
        if done.is_err() {
            // A connection that is gone has rolled back by itself.
            let _ = self.run("roll back", "ROLLBACK".to_owned()).await;
        }
        done
    }

    /// Remembers what matters of a `sql_mode`.
    fn note_mode(&mut self, mode: &str) {
        self.escapes = !mode.contains("NO_BACKSLASH_ESCAPES");
        self.oracle = mode.contains("ORACLE");
    }

    /// The rows of a query of our own.
    async fn fetch(&mut self, doing: &str, sql: String) -> Result<Vec<MySqlRow>, DatabaseError> {
        let query = sqlx::raw_sql(AssertSqlSafe(sql));
        query.fetch_all(&mut self.connection).await.map_err(failed(doing))
    }

    /// The tables of these kinds, without Sternway's own.
    async fn tables_of(&mut self, condition: &str) -> Result<Vec<String>, DatabaseError> {
        let sql = format!(
            "SELECT TABLE_NAME AS name FROM information_schema.TABLES
             WHERE TABLE_SCHEMA = {} AND {condition} ORDER BY TABLE_NAME",
            Self::literal(&self.identity.database)
        );
        let rows = self.fetch("list the tables", sql).await?;
        let names = rows.iter().map(|row| cell(row, "name"));
        Ok(names.filter(|name| !is_ours(name)).collect())
    }
}

/// Whether a table is one of Sternway's own.
fn is_ours(table: &str) -> bool {
    records::TABLES.contains(&table)
        || table == fence::TABLE
        || table.starts_with(progress::PREFIX)
        || archive::is_ours(table)
}

/// A value of a text row; empty where it is null or the server has no such column.
fn cell(row: &MySqlRow, name: &str) -> String {
    optional(row, name).unwrap_or_default()
}

/// A value of a text row, unless it is null or the server has no such column.
fn optional(row: &MySqlRow, name: &str) -> Option<String> {
    let bytes = row.try_get_unchecked::<Option<Vec<u8>>, _>(name).ok().flatten()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// The server's number for an error, if it is the server's.
fn number(error: &DatabaseError) -> Option<u16> {
    let DatabaseError::Query { source: sqlx::Error::Database(error), .. } = error else {
        return None;
    };
    error.try_downcast_ref::<MySqlDatabaseError>().map(MySqlDatabaseError::number)
}

/// Says what failed.
fn failed(doing: &str) -> impl FnOnce(sqlx::Error) -> DatabaseError {
    let doing = doing.to_owned();
    move |source| DatabaseError::Query { doing, source }
}

#[async_trait]
impl Database for MySql {
    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn tracking_table(&self) -> &str {
        &self.target.table
    }

    fn facts(&self, body: &str) -> BodyFacts {
        statements::facts_with(body, self.escapes)
    }

    fn interrupter(&self) -> Box<dyn Interrupt> {
        Box::new(interrupt::Session {
            target: self.target.clone(),
            id: self.id,
            asked: Arc::clone(&self.interrupted),
        })
    }

    async fn lock(&mut self, tables: &[String], lock_timeout: Duration) -> Result<(), LockError> {
        lock::lock(self, tables, lock_timeout).await
    }

    async fn unlock(&mut self) -> Result<(), DatabaseError> {
        let cleared = progress::clear(self).await;
        lock::unlock(self).await?;
        cleared
    }

    async fn track(&mut self, table: &str) -> Result<TrackState, DatabaseError> {
        track::read(self, table).await
    }

    async fn prepare_track(&mut self, table: &str) -> Result<(), DatabaseError> {
        track::prepare(self, table).await
    }

    async fn set_track(&mut self, table: &str, position: Position) -> Result<(), DatabaseError> {
        track::prepare(self, table).await?;
        let sql = track::write(self, table, position);
        self.commit("write the tracking row", "", &sql).await?;
        if position.dirty { Ok(()) } else { progress::forget(self, table).await }
    }

    async fn underway(&mut self, table: &str) -> Result<Option<Underway>, DatabaseError> {
        progress::read(self, table).await
    }

    /// Views stay, as with golang-migrate, and so do Sternway's records.
    async fn drop_tables(&mut self) -> Result<Vec<String>, DatabaseError> {
        let names = self.tables_of("TABLE_TYPE NOT IN ('VIEW', 'SYSTEM VIEW')").await?;
        let checks = "@sternway_checks = @@SESSION.foreign_key_checks, SESSION foreign_key_checks";
        self.run("leave foreign keys unchecked", format!("SET {checks} = 0")).await?;
        let mut dropped = Ok(());
        for name in &names {
            let sql = format!("DROP TABLE IF EXISTS {}", self.table(name));
            dropped = self.run(&format!("drop the table `{name}`"), sql).await;
            if dropped.is_err() {
                break;
            }
        }
        let sql = "SET SESSION foreign_key_checks = @sternway_checks";
        self.run("check foreign keys again", sql.to_owned()).await?;
        dropped?;
        for name in &names {
            self.tracked.remove(name);
            progress::forget(self, name).await?;
        }
        Ok(names)
    }

    async fn tables(&mut self, except: &[String]) -> Result<BTreeSet<String>, DatabaseError> {
        let names = self.tables_of("TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED')").await?;
        Ok(names.into_iter().filter(|name| !except.contains(name)).collect())
    }

    /// There are none.
    async fn extensions(&mut self) -> Result<BTreeSet<String>, DatabaseError> {
        Ok(BTreeSet::new())
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
        let sql = records::insert(self, run, record);
        self.commit("write the journal", "", &sql).await
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
        execute::migrate(self, work, None).await.map(drop)
    }

    async fn migrate_with_care(
        &mut self,
        work: &Work<'_>,
        care: &Care<'_>,
    ) -> Result<Done, StepError> {
        let limited = sessions::limit(self, care.limits).await;
        limited.map_err(|source| StepError::Database { file: work.file.to_owned(), source })?;
        let ended = execute::migrate(self, work, Some(care)).await;
        sessions::unlimit(self, care.limits, ended).await
    }

    async fn reaches_out(&mut self, body: &str) -> Result<Option<String>, DatabaseError> {
        let sql = format!(
            "SELECT SCHEMA_NAME AS name FROM information_schema.SCHEMATA
             WHERE SCHEMA_NAME NOT IN ('information_schema', 'performance_schema', {})",
            Self::literal(&self.identity.database)
        );
        let others = self.fetch("list the databases", sql).await?;
        let others: Vec<String> = others.iter().map(|row| cell(row, "name")).collect();
        Ok(statements::elsewhere(body, self.escapes, &others))
    }

    async fn measure(&mut self, losses: &mut [Loss]) -> Result<(), DatabaseError> {
        let limits = Limits { lock: Some(Duration::from_secs(1)), statement: None };
        sessions::limit(self, limits).await?;
        let measured = archive::measure(self, losses).await;
        sessions::put_back(self, limits).await;
        measured
    }

    async fn archive(&mut self, app: &str) -> Result<Vec<Entry>, DatabaseError> {
        archive::list(self, app).await
    }

    async fn answers(
        &mut self,
        query: &str,
        most: usize,
    ) -> Result<Vec<Option<String>>, DatabaseError> {
        // The first branch gives the column a name. The line break ends a comment.
        let sql = format!(
            "SELECT CONVERT(x USING utf8mb4) AS answer FROM (
                SELECT NULL AS x FROM DUAL WHERE 1 = 0 UNION ALL SELECT * FROM ({}\n) AS q
             ) AS w LIMIT {most}",
            bare(query)
        );
        self.run(ANSWER, "START TRANSACTION READ ONLY".to_owned()).await?;
        let rows = self.fetch(ANSWER, sql).await;
        let ended = self.run(ANSWER, "ROLLBACK".to_owned()).await;
        let rows = rows?;
        ended?;
        Ok(rows.iter().map(|row| optional(row, "answer")).collect())
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
        archive::put_back_one(self, id).await
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

    async fn prepare_fence(&mut self, kind: &FenceKind) -> Result<Fence, DatabaseError> {
        fence::prepare(self, kind).await
    }

    async fn raise_fence(
        &mut self,
        app: &str,
        run: Option<RunId>,
        it: &Fence,
    ) -> Result<Raised, DatabaseError> {
        fence::raise(self, app, run, it).await
    }

    async fn fences(&mut self, app: &str) -> Result<Vec<Raised>, DatabaseError> {
        fence::list(self, app).await
    }

    async fn lower_fence(&mut self, raised: &Raised) -> Result<(), DatabaseError> {
        fence::lower(self, raised).await
    }

    async fn sessions(&mut self) -> Result<Vec<Session>, DatabaseError> {
        sessions::list(self).await
    }

    async fn end_sessions(&mut self, sessions: &[Session]) -> Result<(), DatabaseError> {
        sessions::end(self, sessions).await
    }

    async fn history(&mut self, app: &str) -> Result<Vec<RunSummary>, DatabaseError> {
        records::history(self, app).await
    }
}
