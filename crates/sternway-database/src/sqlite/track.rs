//! The tracking table, as golang-migrate keeps it: one row, or none where nothing is applied.

use async_trait::async_trait;
use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, Row};
use sternway_model::position::Position;
use sternway_model::state::{TrackState, TrackingRow};

use super::{Sqlite, connect, failed};
use crate::failpoint::{Rule, holds};
use crate::port::{self, DatabaseError, Tracking, Underway};

async fn exists(sqlite: &mut Sqlite, table: &str) -> Result<bool, DatabaseError> {
    let found: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM main.sqlite_schema
         WHERE type IN ('table', 'view') AND name = ? COLLATE NOCASE",
    )
    .bind(table)
    .fetch_one(&mut sqlite.connection)
    .await
    .map_err(failed(&format!("look for the tracking table `{table}`")))?;
    Ok(found > 0)
}

/// A name in the definitions of the tracking table, which SQLite keeps as they are written. They are
/// to read as golang-migrate's, which quotes nothing, wherever that can be.
async fn written(sqlite: &mut Sqlite, name: &str) -> String {
    let letter = |it: char| it.is_ascii_alphanumeric() || it == '_';
    let plain = name.chars().all(letter) && !name.starts_with(|it: char| it.is_ascii_digit());
    if plain {
        // Whether it is a keyword, SQLite knows best.
        let query = sqlx::raw_sql(AssertSqlSafe(format!("SELECT NULL AS {name}")));
        if query.execute(&mut sqlite.connection).await.is_ok() {
            return name.to_owned();
        }
    }
    Sqlite::quote(name)
}

#[async_trait]
impl Tracking for Sqlite {
    async fn track(&mut self, table: &str) -> Result<TrackState, DatabaseError> {
        connect::use_file(self, false).await?;
        if !exists(self, table).await? {
            self.tracked.remove(table);
            return Ok(TrackState::NoTable);
        }
        self.tracked.insert(table.to_owned());
        let doing = format!("read the tracking table `{table}`");
        let query = sqlx::query(AssertSqlSafe(select(table)));
        let rows = query.fetch_all(&mut self.connection).await.map_err(failed(&doing));
        let rows = rows.map_err(|error| explain(table, error))?;
        row(table, &rows).map(TrackState::At)
    }

    async fn prepare_track(&mut self, table: &str) -> Result<(), DatabaseError> {
        connect::use_file(self, true).await?;
        match make(self, table).await?.as_str() {
            "" => Ok(()),
            sql => self.run_whole("make the tracking table", sql.to_owned()).await,
        }
    }

    async fn set_track(&mut self, table: &str, row: TrackingRow) -> Result<(), DatabaseError> {
        connect::use_file(self, true).await?;
        let make = make(self, table).await?;
        let sql = format!("{make}{}", write(table, row));
        let written = self.run_whole("write the tracking row", sql).await;
        written.map_err(|error| explain(table, error))
    }

    /// The journal knows: what it does not have took no effect.
    async fn underway(&mut self, _table: &str) -> Result<Option<Underway>, DatabaseError> {
        Ok(None)
    }
}

/// The statement whose rows [`row`] reads.
pub(super) fn select(table: &str) -> String {
    let table = Sqlite::table(table);
    // Clients of other languages may have written TRUE as text.
    format!(
        "SELECT CAST(version AS TEXT), CASE WHEN dirty IN (1, '1', 'true') THEN 1
                WHEN dirty IN (0, '0', 'false') THEN 0 WHEN dirty IS NOT NULL THEN 2 END
         FROM {table} LIMIT 2"
    )
}

/// What the rows of a tracking table say.
pub(super) fn row(table: &str, rows: &[SqliteRow]) -> Result<TrackingRow, DatabaseError> {
    let doing = format!("read the tracking table `{table}`");
    let row = match rows {
        [] => return Ok(TrackingRow::default()),
        [row] => row,
        _ => return Err(DatabaseError::SeveralRows { table: table.to_owned() }),
    };
    let version: Option<String> = row.try_get(0).map_err(failed(&doing))?;
    let dirty = match row.try_get::<Option<i64>, _>(1).map_err(failed(&doing))? {
        Some(0) => false,
        Some(1) => true,
        Some(_) => {
            return Err(port::foreign(table, "its column `dirty` is no boolean".to_owned()));
        }
        None => return Err(port::no_mark(table)),
    };
    Ok(TrackingRow { position: port::position(table, version.as_deref())?, dirty })
}

/// What SQLite's words about a tracking table mean, where they mean that it is gone, or none.
pub(super) fn explain(table: &str, error: DatabaseError) -> DatabaseError {
    let DatabaseError::Query { source: sqlx::Error::Database(source), .. } = &error else {
        return error;
    };
    let words = source.message();
    if words.contains("no such table") && words.contains(table) {
        return DatabaseError::TrackGone { table: table.to_owned() };
    }
    if words.contains("malformed JSON") {
        return DatabaseError::TrackNotWritten { table: table.to_owned() };
    }
    let other = ["no such column", "has no column", "NOT NULL constraint", "it is a view"];
    match other.iter().any(|it| words.contains(it)) {
        true => port::foreign(table, words.to_owned()),
        false => error,
    }
}

/// Makes the tracking table known, and returns the statements that make it, if there is none.
///
/// golang-migrate has one name for the index, so that only one table of a file can have it. The
/// index of another table has a name of its own; without one, it would not keep to one row a number.
pub(super) async fn make(sqlite: &mut Sqlite, table: &str) -> Result<String, DatabaseError> {
    if sqlite.tracked.contains(table) || exists(sqlite, table).await? {
        return Ok(String::new());
    }
    let taken: i64 =
        sqlx::query_scalar("SELECT count(*) FROM main.sqlite_schema WHERE name = 'version_unique'")
            .fetch_one(&mut sqlite.connection)
            .await
            .map_err(failed("look for the tracking table's index"))?;
    let index = match taken {
        0 => "version_unique".to_owned(),
        _ => format!("{table}_version_unique"),
    };
    let (index, table) = (written(sqlite, &index).await, written(sqlite, table).await);
    Ok(format!(
        "CREATE TABLE IF NOT EXISTS main.{table} (version uint64,dirty bool);\n\
         CREATE UNIQUE INDEX IF NOT EXISTS main.{index} ON {table} (version);\n"
    ))
}

/// The statements that make the tracking table, which exists, say `row`.
pub(super) fn write(table: &str, row: TrackingRow) -> String {
    let table = Sqlite::table(table);
    let mut sql = format!("DELETE FROM {table};\n");
    if row != TrackingRow::default() {
        let (version, dirty) = (row.position.in_golang_migrate(), u8::from(row.dirty));
        sql.push_str(&format!(
            "INSERT INTO {table} (version, dirty) VALUES ({version}, {dirty});\n"
        ));
    }
    sql
}

/// A statement that fails, on JSON that is none, where a tracking table does not say `position`: a trigger
/// of it may swallow what is written, or change it.
pub(super) fn confirm(table: &str, row: TrackingRow) -> String {
    if !holds(Rule::RowReadBack) {
        return String::new();
    }
    let table = Sqlite::table(table);
    let says = match row {
        TrackingRow { position: Position::Nothing, dirty: false } => "count(*) = 0".to_owned(),
        TrackingRow { position, dirty } => {
            let version = position.in_golang_migrate();
            let dirty = u8::from(dirty);
            format!("count(*) = 1 AND min(version) = {version} AND min(dirty) = {dirty}")
        }
    };
    format!(
        "SELECT CASE WHEN {says} THEN 1 ELSE json('not written ' || count(*)) END FROM {table};\n"
    )
}
