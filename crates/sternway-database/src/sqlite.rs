//! SQLite.
//!
//! A file is a database and its schema is `main`. Sternway's records are tables of the same file
//! whose names begin with `sternway_`.

mod connect;
mod lock;
mod track;
pub mod statements;
mod execute;
mod introspect;
mod records;
mod archive;
mod interrupt;
pub mod shadow;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use async_trait::async_trait;
use sqlx::{AssertSqlSafe, Row, SqliteConnection};
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
    Care, Database, DatabaseError, Done, Interrupt, LockError, RunId, RunSummary, Settled,
    StepError, Unfinished, Work,
};

pub(crate) use connect::check;
pub use connect::connect;

/// A session with a SQLite database.
pub struct Sqlite {
    connection: SqliteConnection,
    options: connect::Options,
    identity: Identity,
    /// The tracking tables that were found to exist.
    tracked: BTreeSet<String>,
    /// What keeps other Sternways out.
    lock: Option<lock::Held>,
    /// Whether the statement under way is to end.
    interrupted: interrupt::Flag,
    /// Whether the file was not there, and an empty database in memory answers for it.
    absent: bool,
}

impl Sqlite {
    /// A name as SQL has it, in double quotes.
    fn quote(name: &str) -> String {
        format!("\"{}\"", name.replace('"', "\"\""))
    }

    /// A table of the file as SQL has it: not one that hides it in the schema `temp`.
    fn table(name: &str) -> String {
        format!("main.{}", Self::quote(name))
    }

    /// A text as SQL has it.
    fn literal(text: &str) -> String {
        format!("'{}'", text.replace('\'', "''"))
    }

    /// Runs statements of our own.
    async fn run(&mut self, doing: &str, sql: String) -> Result<(), DatabaseError> {
        let query = sqlx::raw_sql(AssertSqlSafe(sql));
        query.execute(&mut self.connection).await.map(drop).map_err(failed(doing))
    }

    /// Runs statements of our own that write, together or not at all.
    async fn run_whole(&mut self, doing: &str, sql: String) -> Result<(), DatabaseError> {
        let ran = self.run(doing, format!("BEGIN IMMEDIATE; {sql}; COMMIT")).await;
        if ran.is_err() {
            self.roll_back().await;
        }
        ran
    }

    /// Ends a transaction that may be open.
    async fn roll_back(&mut self) {
        self.interrupted.clear();
        // There is none where SQLite has rolled back by itself.
        let _ = self.run("roll back", "ROLLBACK".to_owned()).await;
    }

    /// The statements that put the session's own settings back.
    fn settings(&self) -> String {
        let mut sql = "PRAGMA foreign_keys = off; PRAGMA recursive_triggers = off; \
                       PRAGMA case_sensitive_like = off; PRAGMA ignore_check_constraints = off; \
                       PRAGMA legacy_alter_table = off; PRAGMA defer_foreign_keys = off; \
                       PRAGMA reverse_unordered_selects = off; PRAGMA query_only = off; \
                       PRAGMA writable_schema = off;"
            .to_owned();
        // What stays in the file is not put back.
        let lasting = ["journal_mode", "auto_vacuum", "page_size", "encoding"];
        for (name, value) in &self.options.pragmas {
            if !lasting.contains(&name.as_str()) {
                sql.push_str(&format!(" PRAGMA {name} = {value};"));
            }
        }
        sql
    }
}

/// Says what failed.
fn failed(doing: &str) -> impl FnOnce(sqlx::Error) -> DatabaseError {
    let doing = doing.to_owned();
    move |source| DatabaseError::Query { doing, source }
}

#[async_trait]
impl Database for Sqlite {
    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn tracking_table(&self) -> &str {
        &self.options.table
    }

    fn facts(&self, body: &str) -> BodyFacts {
        let mut facts = statements::facts(body);
        if self.options.no_wrap && facts.mode == Mode::Transaction {
            facts.mode = Mode::Dirty { reason: "x-no-tx-wrap".to_owned() };
        }
        facts
    }

    fn interrupter(&self) -> Box<dyn Interrupt> {
        Box::new(self.interrupted.clone())
    }

    async fn lock(&mut self, _tables: &[String], lock_timeout: Duration) -> Result<(), LockError> {
        lock::lock(self, lock_timeout).await
    }

    async fn unlock(&mut self) -> Result<(), DatabaseError> {
        self.lock = None;
        Ok(())
    }

    async fn track(&mut self, table: &str) -> Result<TrackState, DatabaseError> {
        connect::settle(self, false).await?;
        track::read(self, table).await
    }

    async fn prepare_track(&mut self, table: &str) -> Result<(), DatabaseError> {
        connect::settle(self, true).await?;
        match track::make(self, table).await?.as_str() {
            "" => Ok(()),
            sql => self.run_whole("make the tracking table", sql.to_owned()).await,
        }
    }

    async fn set_track(&mut self, table: &str, position: Position) -> Result<(), DatabaseError> {
        connect::settle(self, true).await?;
        let make = track::make(self, table).await?;
        let sql = format!("{make}{}", track::write(table, position));
        self.run_whole("write the tracking row", sql).await
    }

    /// Views stay, as with golang-migrate, and so do Sternway's records.
    async fn drop_tables(&mut self) -> Result<Vec<String>, DatabaseError> {
        connect::settle(self, true).await?;
        self.interrupted.clear();
        let names: Vec<String> = self.tables(&[]).await?.into_iter().collect();
        let drops = names.iter().map(|name| format!("DROP TABLE IF EXISTS {};", Self::table(name)));
        let doing = "drop the tables";
        // With foreign keys a table is emptied before it is dropped, row by row.
        self.run(doing, "PRAGMA foreign_keys = off".to_owned()).await?;
        let dropped = self.run_whole(doing, drops.collect()).await;
        self.run(doing, self.settings()).await?;
        dropped?;
        self.tracked.clear();
        if let Err(error) = self.run("give the free space back", "VACUUM".to_owned()).await {
            tracing::warn!(?error, "the tables are dropped and the file keeps its size");
        }
        Ok(names)
    }

    async fn tables(&mut self, except: &[String]) -> Result<BTreeSet<String>, DatabaseError> {
        connect::settle(self, false).await?;
        let names = sqlx::query_scalar(
            "SELECT name FROM pragma_table_list
             WHERE schema = 'main' AND type IN ('table', 'virtual')
               AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'",
        )
        .fetch_all(&mut self.connection)
        .await
        .map_err(failed("list the tables"))?;
        let is_left_out = |name: &String| {
            let same = |other: &String| other.eq_ignore_ascii_case(name);
            except.iter().any(same) || records::is_ours(name)
        };
        Ok(names.into_iter().filter(|name| !is_left_out(name)).collect())
    }

    /// SQLite has modules that are built in, and none to install.
    async fn extensions(&mut self) -> Result<BTreeSet<String>, DatabaseError> {
        Ok(BTreeSet::new())
    }

    async fn fingerprint(&mut self, except: &[String]) -> Result<Fingerprint, DatabaseError> {
        connect::settle(self, false).await?;
        introspect::fingerprint(self, except).await
    }

    async fn records(&mut self, app: &str) -> Result<Records, DatabaseError> {
        connect::settle(self, false).await?;
        records::read(self, app).await
    }

    async fn prepare_records(&mut self) -> Result<RecordsAccess, DatabaseError> {
        connect::settle(self, true).await?;
        records::prepare(self).await
    }

    async fn begin_run(&mut self, plan: &Plan) -> Result<RunId, DatabaseError> {
        connect::settle(self, true).await?;
        records::begin_run(self, plan).await
    }

    async fn record(&mut self, run: RunId, record: &Record) -> Result<(), DatabaseError> {
        connect::settle(self, true).await?;
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
        connect::settle(self, true).await?;
        records::keep_whole(self, app, track, migrations, bodies).await
    }

    async fn migrate(&mut self, work: &Work<'_>) -> Result<(), StepError> {
        execute::migrate(self, work, None).await.map(drop)
    }

    async fn migrate_with_care(
        &mut self,
        work: &Work<'_>,
        care: &Care<'_>,
    ) -> Result<Done, StepError> {
        execute::migrate(self, work, Some(care)).await
    }

    async fn reaches_out(&mut self, body: &str) -> Result<Option<String>, DatabaseError> {
        Ok(statements::elsewhere(body))
    }

    async fn measure(&mut self, losses: &mut [Loss]) -> Result<(), DatabaseError> {
        connect::settle(self, false).await?;
        archive::measure(self, losses).await
    }

    async fn archive(&mut self, app: &str) -> Result<Vec<Entry>, DatabaseError> {
        connect::settle(self, false).await?;
        archive::list(self, app).await
    }

    async fn answers(
        &mut self,
        query: &str,
        most: usize,
    ) -> Result<Vec<Option<String>>, DatabaseError> {
        connect::settle(self, false).await?;
        // The first branch gives the column a name. The line break ends a comment.
        let sql = format!(
            "SELECT CAST(x AS TEXT) FROM (
                SELECT NULL AS x WHERE 0 UNION ALL SELECT * FROM ({}\n)) LIMIT {most}",
            bare(query)
        );
        self.run(ANSWER, "PRAGMA query_only = 1".to_owned()).await?;
        let rows = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_all(&mut self.connection).await;
        let ended = self.run(ANSWER, "PRAGMA query_only = 0".to_owned()).await;
        let rows = rows.map_err(failed(ANSWER))?;
        ended?;
        rows.iter().map(|row| row.try_get(0).map_err(failed(ANSWER))).collect()
    }

    async fn archived(
        &mut self,
        id: EntryId,
        offset: u64,
        limit: u64,
    ) -> Result<Page, DatabaseError> {
        connect::settle(self, false).await?;
        archive::page(self, id, offset, limit).await
    }

    async fn forget(&mut self, id: EntryId) -> Result<(), DatabaseError> {
        connect::settle(self, false).await?;
        archive::forget(self, id).await
    }

    async fn put_back(&mut self, id: EntryId) -> Result<PutBack, DatabaseError> {
        connect::settle(self, false).await?;
        archive::put_back_one(self, id).await
    }

    async fn unfinished(&mut self, app: &str) -> Result<Option<Unfinished>, DatabaseError> {
        connect::settle(self, false).await?;
        records::unfinished(self, app).await
    }

    async fn settle(
        &mut self,
        work: &Work<'_>,
        statement: usize,
    ) -> Result<Settled, DatabaseError> {
        Ok(execute::settled(work, statement))
    }

    async fn history(&mut self, app: &str) -> Result<Vec<RunSummary>, DatabaseError> {
        connect::settle(self, false).await?;
        records::history(self, app).await
    }
}
