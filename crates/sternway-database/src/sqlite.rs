//! SQLite.
//!
//! A file is a database and its schema is `main`. Sternway's records are tables of the same file
//! whose names begin with `sternway_`.

mod connect;
mod lock;
mod track;
mod schema;
pub mod statements;
mod query;
mod execute;
mod reconcile;
mod archive;
mod clients;
mod fence;
mod introspect;
pub(crate) mod definitions;
mod statements_from;
mod records;
mod interrupt;
pub mod shadow;
pub(crate) mod whole;
mod carry;

use std::collections::BTreeSet;

use async_trait::async_trait;
use sqlx::{AssertSqlSafe, SqliteConnection};
use sternway_model::archive::{Entry, EntryId, Page, Restoration};
use sternway_model::body::{BodyFacts, Mode};
use sternway_model::effect::Loss;
use sternway_model::plan::Migrate;
use sternway_model::proof::ObjectName;
use sternway_model::state::{Identity, RecordsAccess};

use crate::asked::Misfits;
use crate::port::{
    Archive, Connection, DatabaseError, Done, Execution, Interrupt, Preservation, Reconciled,
    StepError, Work, failed,
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
    pub(crate) fn quote(name: &str) -> String {
        format!("\"{}\"", name.replace('"', "\"\""))
    }

    /// A table of the file as SQL has it: not one that hides it in the schema `temp`.
    pub(crate) fn table(name: &str) -> String {
        format!("main.{}", Self::quote(name))
    }

    /// A text as SQL has it.
    pub(crate) fn literal(text: &str) -> String {
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

#[async_trait]
impl Connection for Sqlite {
    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn tracking_table(&self) -> &str {
        &self.options.table
    }

    fn facts(&self, body: &str) -> BodyFacts {
        let mut facts = statements::facts(body);
        let own = self.options.no_wrap && facts.mode == Mode::Transaction;
        if own && !statements::is_one_transaction(body) {
            facts.mode = Mode::Dirty { reason: "x-no-tx-wrap".to_owned() };
        }
        facts
    }

    async fn external_effects(&mut self, body: &str) -> Result<Option<String>, DatabaseError> {
        Ok(statements::elsewhere(body))
    }

    async fn read_only(&mut self) -> Result<Option<String>, DatabaseError> {
        connect::use_file(self, false).await?;
        // A session that may only read begins all the same.
        if let RecordsAccess::Unavailable(why) = records::writable(self) {
            return Ok(Some(why));
        }
        let begun = self.run("begin to write", "BEGIN IMMEDIATE; ROLLBACK".to_owned()).await;
        // That others are writing is no answer.
        let Err(DatabaseError::Query { source: sqlx::Error::Database(error), .. }) = begun else {
            return Ok(None);
        };
        let refused =
            error.code().is_some_and(|code| code.parse().is_ok_and(|code: i32| code & 0xff == 8));
        Ok(refused.then(|| "the file cannot be written".to_owned()))
    }

    /// A file is not lost.
    async fn renew(&mut self) -> Result<(), crate::Connect> {
        Ok(())
    }

    fn interrupter(&self) -> Box<dyn Interrupt> {
        Box::new(self.interrupted.clone())
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
impl Execution for Sqlite {
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
        Ok(reconcile::reconcile(work, statement))
    }
}

#[async_trait]
impl Archive for Sqlite {
    async fn measure(&mut self, losses: &mut [Loss]) -> Result<(), DatabaseError> {
        connect::use_file(self, false).await?;
        archive::measure(self, losses).await
    }

    async fn archive(&mut self, app: &str) -> Result<Vec<Entry>, DatabaseError> {
        connect::use_file(self, false).await?;
        crate::archive::list(self, app).await
    }

    async fn archive_page(
        &mut self,
        id: EntryId,
        offset: u64,
        limit: u64,
    ) -> Result<Page, DatabaseError> {
        connect::use_file(self, false).await?;
        archive::rows(self, id, offset, limit).await
    }

    async fn gives(
        &mut self,
        app: &str,
        step: &Migrate,
        column: &ObjectName,
    ) -> Result<Misfits, DatabaseError> {
        connect::use_file(self, false).await?;
        crate::archive::gives(self, app, step, column).await
    }

    async fn drop_entry(&mut self, id: EntryId) -> Result<(), DatabaseError> {
        connect::use_file(self, false).await?;
        crate::archive::drop_entry(self, id).await
    }

    async fn leave(&mut self, ids: &[EntryId]) -> Result<Vec<Restoration>, DatabaseError> {
        connect::use_file(self, false).await?;
        archive::leave(self, ids).await
    }

    async fn restore(&mut self, ids: &[EntryId]) -> Result<Vec<Restoration>, DatabaseError> {
        connect::use_file(self, false).await?;
        archive::restore_some(self, ids).await
    }
}
