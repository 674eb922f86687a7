//! The tracking table, as golang-migrate keeps it: one row, or none where nothing is applied.

use async_trait::async_trait;
use sternway_model::position::Position;
use sternway_model::state::{TrackState, TrackingRow};

use super::{MySql, number, optional, progress};
use crate::failpoint::{Rule, holds};
use crate::port::{self, DatabaseError, Tracking, Underway};

/// Whether the database has this table. golang-migrate asks with `SHOW TABLES LIKE`, to which the
/// `_` of its default name is a wildcard.
pub(super) async fn exists(mysql: &mut MySql, table: &str) -> Result<bool, DatabaseError> {
    let sql = format!(
        "SELECT 1 FROM information_schema.TABLES WHERE TABLE_SCHEMA = {} AND TABLE_NAME = {}",
        MySql::literal(&mysql.identity.database),
        MySql::literal(table)
    );
    Ok(!mysql.fetch(&format!("look for the table `{table}`"), sql).await?.is_empty())
}

#[async_trait]
impl Tracking for MySql {
    async fn track(&mut self, table: &str) -> Result<TrackState, DatabaseError> {
        if !exists(self, table).await? {
            self.tracked.remove(table);
            return Ok(TrackState::NoTable);
        }
        self.tracked.insert(table.to_owned());
        let sql = format!("SELECT version, dirty FROM {} LIMIT 2", self.table(table));
        let rows = self.fetch(&format!("read the tracking table `{table}`"), sql).await;
        let rows = rows.map_err(|error| explain(table, error))?;
        let table = table.to_owned();
        let row = match rows.as_slice() {
            [] => return Ok(TrackState::At(TrackingRow::default())),
            [row] => row,
            _ => return Err(DatabaseError::SeveralRows { table }),
        };
        let dirty = match optional(row, "dirty").as_deref() {
            Some("0") => false,
            Some("1") => true,
            None => return Err(port::no_mark(&table)),
            Some(other) => {
                return Err(port::foreign(&table, format!("its column `dirty` says `{other}`")));
            }
        };
        let version = optional(row, "version");
        Ok(TrackState::At(TrackingRow {
            position: port::position(&table, version.as_deref())?,
            dirty,
        }))
    }

    async fn prepare_track(&mut self, table: &str) -> Result<(), DatabaseError> {
        if self.tracked.contains(table) {
            return Ok(());
        }
        if !exists(self, table).await? {
            let columns = "version bigint not null primary key, dirty boolean not null";
            let sql = format!("CREATE TABLE IF NOT EXISTS {} ({columns})", self.table(table));
            self.run(&format!("make the tracking table `{table}`"), sql).await?;
        }
        self.tracked.insert(table.to_owned());
        Ok(())
    }

    async fn set_track(&mut self, table: &str, row: TrackingRow) -> Result<(), DatabaseError> {
        self.prepare_track(table).await?;
        let sql = write(self, table, row);
        let written = self.commit("write the tracking row", "", &sql).await;
        written.map_err(|error| explain(table, error))?;
        if row.dirty { Ok(()) } else { progress::remove(self, table).await }
    }

    async fn underway(&mut self, table: &str) -> Result<Option<Underway>, DatabaseError> {
        progress::read(self, table).await
    }
}

/// What the server's words about a tracking table mean, where they mean that it is gone, or none.
pub(super) fn explain(table: &str, error: DatabaseError) -> DatabaseError {
    let DatabaseError::Query { source: sqlx::Error::Database(source), .. } = &error else {
        return error;
    };
    match number(&error) {
        Some(1146) if source.message().contains(table) => {
            DatabaseError::TrackGone { table: table.to_owned() }
        }
        Some(1242) => DatabaseError::TrackNotWritten { table: table.to_owned() },
        // A column that is lacking, or wants more, or another type; a view.
        Some(1054 | 1364 | 1366 | 1265 | 1288 | 1395 | 1471) => {
            port::foreign(table, source.message().to_owned())
        }
        _ => error,
    }
}

/// The statements that make the tracking table, which exists, say `row`.
///
/// golang-migrate deletes one row. The condition and the limit are for sessions with
/// `sql_safe_updates`.
pub(super) fn write(mysql: &MySql, table: &str, row: TrackingRow) -> String {
    let table = mysql.table(table);
    let mut sql = format!("DELETE FROM {table} WHERE version IS NOT NULL LIMIT 1000;\n");
    if row != TrackingRow::default() {
        let (version, dirty) = (row.position.in_golang_migrate(), row.dirty);
        sql.push_str(&format!(
            "INSERT INTO {table} (version, dirty) VALUES ({version}, {dirty});\n"
        ));
    }
    sql
}

/// A statement that fails, with 1242, where a tracking table does not say `position`: a trigger of it may
/// change what is written.
pub(super) fn confirm(mysql: &MySql, table: &str, row: TrackingRow) -> String {
    if !holds(Rule::RowReadBack) {
        return String::new();
    }
    let table = mysql.table(table);
    let says = match row {
        TrackingRow { position: Position::Nothing, dirty: false } => "count(*) = 0".to_owned(),
        TrackingRow { position, dirty } => {
            let version = position.in_golang_migrate();
            format!("count(*) = 1 AND min(version) = {version} AND min(dirty) = {dirty}")
        }
    };
    format!(
        "SELECT IF(written.holds, 1, (SELECT a FROM (SELECT 1 AS a UNION ALL SELECT 2) AS two WHERE written.holds = 0))
         FROM (SELECT {says} AS holds FROM {table}) AS written;\n"
    )
}

/// Statements that commit together, whatever the session is set to. What a body has left open
/// commits with the beginning, and its table locks end there, as with golang-migrate.
pub(super) fn transaction(sql: &str) -> String {
    let end = if sql.trim_end().ends_with(';') { "" } else { ";" };
    format!("START TRANSACTION READ WRITE;\n{sql}{end}\nCOMMIT")
}
