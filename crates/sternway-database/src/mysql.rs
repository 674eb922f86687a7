//! MySQL and MariaDB.
//!
//! A change to the schema commits by itself here, so that every body runs under golang-migrate's
//! dirty protocol; `progress.rs` keeps which statement is under way. Everything of Sternway's own
//! lives in the same database, in tables whose names begin with `sternway_`.

mod connect;
mod lock;
mod track;
mod schema;
pub mod statements;
mod query;
mod execute;
mod limits;
mod progress;
mod reconcile;
mod transactions;
mod archive;
mod clients;
mod fence;
mod introspect;
mod attributes;
pub(crate) mod definitions;
mod statements_from;
mod records;
mod interrupt;
pub mod shadow;
pub(crate) mod whole;
mod exact;
mod swap;
mod carry;

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::mysql::{MySqlDatabaseError, MySqlRow};
use sqlx::{AssertSqlSafe, MySqlConnection, Row};
use sternway_model::archive::{Entry, EntryId, Page, Restoration};
use sternway_model::body::BodyFacts;
use sternway_model::effect::Loss;
use sternway_model::plan::Migrate;
use sternway_model::proof::ObjectName;
use sternway_model::state::Identity;

use crate::asked::Misfits;
use crate::port::{
    Archive, Connection, DatabaseError, Done, Execution, Interrupt, Limits, Preservation,
    Reconciled, Schema, StepError, Work, failed,
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
    /// How the session reads quotes.
    quotes: statements::Quotes,
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
            quotes: statements::Quotes::PLAIN,
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
            rows.insert(name, number_in(found.first(), "n")?);
        }
        Ok(rows)
    }

    /// A name as SQL has it: in backticks, which mean the same in every `sql_mode`.
    pub(crate) fn quote(name: &str) -> String {
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
        self.quotes = statements::Quotes::of(mode);
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
        || table == swap::NOTES
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

/// A number that a query of our own asks for. What cannot be read is an error, and not 0.
fn number_in<T: FromStr>(row: Option<&MySqlRow>, name: &str) -> Result<T, DatabaseError> {
    read_number(row.and_then(|row| optional(row, name)).as_deref(), name)
}

fn read_number<T: FromStr>(text: Option<&str>, name: &str) -> Result<T, DatabaseError> {
    text.and_then(|text| text.parse().ok()).ok_or_else(|| {
        let found = text.map_or("nothing".to_owned(), |text| format!("`{text}`"));
        let words = format!("the server answers {found} for the number `{name}`");
        failed("read a number")(sqlx::Error::Protocol(words))
    })
}

/// A number in a row of one of Sternway's own tables. What cannot be read is an error, and not 0.
fn recorded<T: FromStr>(row: &MySqlRow, table: &str, name: &str) -> Result<T, DatabaseError> {
    let found = optional(row, name);
    found.as_deref().and_then(|text| text.parse().ok()).ok_or_else(|| {
        let id = optional(row, "id").filter(|_| name != "id");
        let id = id.map_or(String::new(), |id| format!(" of the row with the id {id}"));
        let found = found.map_or("null".to_owned(), |found| format!("`{found}`"));
        DatabaseError::RecordsDamaged(format!(
            "`{name}`{id} in `{table}` is {found}, and no number"
        ))
    })
}

/// The server's number for an error, if it is the server's.
fn number(error: &DatabaseError) -> Option<u16> {
    let DatabaseError::Query { source: sqlx::Error::Database(error), .. } = error else {
        return None;
    };
    error.try_downcast_ref::<MySqlDatabaseError>().map(MySqlDatabaseError::number)
}

#[async_trait]
impl Connection for MySql {
    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn tracking_table(&self) -> &str {
        &self.target.table
    }

    fn facts(&self, body: &str) -> BodyFacts {
        statements::facts_with(body, self.quotes)
    }

    async fn external_effects(&mut self, body: &str) -> Result<Option<String>, DatabaseError> {
        let sql = format!(
            "SELECT SCHEMA_NAME AS name FROM information_schema.SCHEMATA
             WHERE SCHEMA_NAME NOT IN ('information_schema', 'performance_schema', {})",
            Self::literal(&self.identity.database)
        );
        let others = self.fetch("list the databases", sql).await?;
        let others: Vec<String> = others.iter().map(|row| cell(row, "name")).collect();
        Ok(statements::elsewhere(body, self.quotes, &others))
    }

    async fn read_only(&mut self) -> Result<Option<String>, DatabaseError> {
        // Whether the whole server is, and for this user, only a write tells.
        let sql = "SHOW SESSION VARIABLES WHERE Variable_name IN
                   ('transaction_read_only', 'tx_read_only') AND Value IN ('ON', '1')";
        let rows = self.fetch("ask whether the server lets us write", sql.to_owned()).await?;
        let name = rows.first().map(|row| cell(row, "Variable_name"));
        Ok(name.map(|name| format!("{name} is on for this session")))
    }

    async fn renew(&mut self) -> Result<(), crate::Connect> {
        *self = connect::session(self.target.clone()).await?;
        Ok(())
    }

    fn interrupter(&self) -> Box<dyn Interrupt> {
        Box::new(interrupt::Session {
            target: self.target.clone(),
            id: self.id,
            asked: Arc::clone(&self.interrupted),
        })
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
impl Execution for MySql {
    async fn migrate(&mut self, work: &Work<'_>) -> Result<(), StepError> {
        execute::migrate(self, work, None).await.map(drop)
    }

    async fn migrate_preserving(
        &mut self,
        work: &Work<'_>,
        preservation: &Preservation<'_>,
    ) -> Result<Done, StepError> {
        let limited = limits::limit(self, preservation.limits).await;
        limited.map_err(|source| StepError::Database { file: work.file.to_owned(), source })?;
        let ended = execute::migrate(self, work, Some(preservation)).await;
        limits::unlimit(self, preservation.limits, ended).await
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
impl Archive for MySql {
    async fn measure(&mut self, losses: &mut [Loss]) -> Result<(), DatabaseError> {
        let limits = Limits { lock: Some(Duration::from_secs(1)), statement: None };
        limits::limit(self, limits).await?;
        let measured = crate::archive::measure(self, losses).await;
        limits::lift(self, limits).await;
        measured
    }

    async fn archive(&mut self, app: &str) -> Result<Vec<Entry>, DatabaseError> {
        crate::archive::list(self, app).await
    }

    async fn archive_page(
        &mut self,
        id: EntryId,
        offset: u64,
        limit: u64,
    ) -> Result<Page, DatabaseError> {
        archive::rows(self, id, offset, limit).await
    }

    async fn gives(
        &mut self,
        app: &str,
        step: &Migrate,
        column: &ObjectName,
    ) -> Result<Misfits, DatabaseError> {
        crate::archive::gives(self, app, step, column).await
    }

    async fn drop_entry(&mut self, id: EntryId) -> Result<(), DatabaseError> {
        crate::archive::drop_entry(self, id).await
    }

    async fn leave(&mut self, ids: &[EntryId]) -> Result<Vec<Restoration>, DatabaseError> {
        archive::leave(self, ids).await
    }

    async fn restore(&mut self, ids: &[EntryId]) -> Result<Vec<Restoration>, DatabaseError> {
        archive::restore_some(self, ids).await
    }
}

#[cfg(test)]
mod tests {
    use super::read_number;

    #[test]
    fn a_count_that_cannot_be_read_is_no_count() {
        assert_eq!(read_number::<i64>(Some("7"), "n").expect("a number"), 7);
        for text in [None, Some(""), Some("7.5"), Some("many")] {
            read_number::<i64>(text, "n").expect_err("no number");
        }
    }
}
