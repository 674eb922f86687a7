//! The tracking table, as golang-migrate keeps it: one row, or none where nothing is applied.

use async_trait::async_trait;
use sqlx::Row;
use sternway_model::position::Position;
use sternway_model::state::{TrackState, TrackingRow};

use super::{Postgres, execute, failed, literal, schema};
use crate::failpoint::{Rule, holds};
use crate::port::{self, DatabaseError, Tracking, Underway};

#[async_trait]
impl Tracking for Postgres {
    async fn track(&mut self, table: &str) -> Result<TrackState, DatabaseError> {
        let doing = format!("read the tracking table `{table}`");
        // Asked at once, not after a look whether it is there: that is one trip to the server fewer.
        let (dirty, kind) = match self.parameters.server.has_authorities() {
            true => ("dirty::text", "pg_catalog.pg_typeof(dirty)::text"),
            false => ("CASE WHEN dirty THEN 'true' ELSE 'false' END", "'boolean'"),
        };
        let sql =
            format!("SELECT version::text, {dirty}, {kind} FROM {} LIMIT 2", self.tracking(table));
        let asked = self.ask(&doing, sql).await.map_err(|error| explain(table, error));
        let rows = match asked {
            Err(error) if is_absent(&error) || matches!(error, DatabaseError::TrackGone { .. }) => {
                self.tracked.insert(table.to_owned(), false);
                return Ok(TrackState::NoTable);
            }
            rows => rows?,
        };
        self.tracked.insert(table.to_owned(), true);
        let table = table.to_owned();
        let row = match rows.as_slice() {
            [] => return Ok(TrackState::At(TrackingRow::default())),
            [row] => row,
            _ => return Err(DatabaseError::SeveralRows { table }),
        };
        let text = |column: usize| row.try_get::<Option<String>, _>(column).map_err(failed(&doing));
        let (version, dirty, kind) = (text(0)?, text(1)?, text(2)?.unwrap_or_default());
        let dirty = match (dirty.as_deref(), kind.as_str()) {
            (Some("true"), "boolean") => true,
            (Some("false"), "boolean") => false,
            (None, _) => return Err(port::no_mark(&table)),
            (Some(_), kind) => {
                return Err(port::foreign(
                    &table,
                    format!("its column `dirty` is {kind}, not boolean"),
                ));
            }
        };
        Ok(TrackState::At(TrackingRow {
            position: port::position(&table, version.as_deref())?,
            dirty,
        }))
    }

    async fn prepare_track(&mut self, table: &str) -> Result<(), DatabaseError> {
        schema::prepare(self, table).await?;
        if self.tracked.get(table) == Some(&true) || exists(self, table).await? {
            self.tracked.insert(table.to_owned(), true);
            return Ok(());
        }
        let doing = format!("make the tracking table `{table}`");
        let made = self.run(&doing, create(self, table)).await;
        if let Err(error) = made {
            // Two that make it at the same time run into each other in the system catalogs.
            if !exists(self, table).await? {
                return Err(error);
            }
        }
        self.tracked.insert(table.to_owned(), true);
        Ok(())
    }

    async fn set_track(&mut self, table: &str, row: TrackingRow) -> Result<(), DatabaseError> {
        schema::prepare(self, table).await?;
        look(self, table).await?;
        let sql = execute::apart(self, &write(self, table, row));
        let written = self.run("write the tracking row", sql).await;
        self.tracked.insert(table.to_owned(), true);
        if written.is_err() {
            self.tracked.remove(table);
            let _ = self.run("roll back", "ROLLBACK".to_owned()).await;
        }
        written.map_err(|error| explain(table, error))
    }

    /// The journal knows: what it does not have took no effect.
    async fn underway(&mut self, _table: &str) -> Result<Option<Underway>, DatabaseError> {
        Ok(None)
    }
}

/// Whether the server knows no such table, or no such schema.
pub(super) fn is_absent(error: &DatabaseError) -> bool {
    let DatabaseError::Query { source: sqlx::Error::Database(error), .. } = error else {
        return false;
    };
    error.code().is_some_and(|code| matches!(code.as_ref(), "42P01" | "3F000"))
}

/// What the server's words about a tracking table mean, where they mean that it is gone, or none.
pub(super) fn explain(table: &str, error: DatabaseError) -> DatabaseError {
    let DatabaseError::Query { source: sqlx::Error::Database(source), .. } = &error else {
        return error;
    };
    let code = source.code().unwrap_or_default();
    match code.as_ref() {
        "22P02" if source.message().contains(NOT_WRITTEN) => {
            DatabaseError::TrackNotWritten { table: table.to_owned() }
        }
        "42P01" | "3F000" if source.message().contains(table) => {
            DatabaseError::TrackGone { table: table.to_owned() }
        }
        // A column that is lacking, or wants more, or another type; a view.
        "42703" | "42702" | "42846" | "42804" | "23502" | "23514" | "428C9" | "55000" | "42809" => {
            port::foreign(table, source.message().to_owned())
        }
        _ => error,
    }
}

/// Looks whether there is a tracking table, unless that is known.
pub(super) async fn look(postgres: &mut Postgres, table: &str) -> Result<(), DatabaseError> {
    if !postgres.tracked.contains_key(table) {
        let exists = exists(postgres, table).await?;
        postgres.tracked.insert(table.to_owned(), exists);
    }
    Ok(())
}

/// Looks where golang-migrate does, so that the two agree whether to make the table.
async fn exists(postgres: &mut Postgres, table: &str) -> Result<bool, DatabaseError> {
    let doing = format!("look for the tracking table `{table}`");
    let schema = literal(postgres.tracking_schema());
    let sql = format!(
        "SELECT count(*) > 0 FROM information_schema.tables
         WHERE table_schema = {schema} AND table_name = {}",
        literal(table)
    );
    postgres.ask_one(&doing, sql).await?.try_get(0).map_err(failed(&doing))
}

fn create(postgres: &Postgres, table: &str) -> String {
    let columns = postgres.parameters.server.tracking_columns();
    format!("CREATE TABLE IF NOT EXISTS {} ({columns});\n", postgres.tracking(table))
}

/// The statements that make the tracking table say `row`.
///
/// Like golang-migrate, they make the table only where it was not found to exist: the server refuses
/// even `IF NOT EXISTS` to a user who may create nothing in the schema.
///
/// golang-migrate empties the table with `TRUNCATE`. `DELETE` leaves the same rows, and does not
/// shut out those who only read.
pub(super) fn write(postgres: &Postgres, table: &str, row: TrackingRow) -> String {
    let mut sql = match postgres.tracked.get(table) {
        Some(true) => String::new(),
        Some(false) | None => create(postgres, table),
    };
    let table = postgres.tracking(table);
    sql.push_str(&format!("DELETE FROM {table};\n"));
    if row != TrackingRow::default() {
        let (version, dirty) = (row.position.in_golang_migrate(), row.dirty);
        sql.push_str(&format!(
            "INSERT INTO {table} (version, dirty) VALUES ({version}, {dirty});\n"
        ));
    }
    sql
}

/// What the server is made to complain of where the row is not as it was written.
const NOT_WRITTEN: &str = "the tracking row is not as it was written";

/// A statement that fails where a tracking table does not say `position`: a rule or a trigger of it may
/// swallow what is written, or change it.
pub(super) fn confirm(postgres: &Postgres, table: &str, row: TrackingRow) -> String {
    if !holds(Rule::RowReadBack) {
        return String::new();
    }
    let table = postgres.tracking(table);
    let says = match row {
        TrackingRow { position: Position::Nothing, dirty: false } => "count(*) = 0".to_owned(),
        TrackingRow { position, dirty } => {
            let version = position.in_golang_migrate();
            format!("count(*) = 1 AND bool_and(version = {version} AND dirty = {dirty})")
        }
    };
    format!(
        "SELECT CAST(CASE WHEN {says} THEN '1' ELSE '{NOT_WRITTEN}' END AS integer) FROM {table};\n"
    )
}
