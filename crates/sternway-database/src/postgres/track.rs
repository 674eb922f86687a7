//! The tracking table, as golang-migrate keeps it: one row, or none where nothing is applied.

use sqlx::Row;
use sternway_model::state::{Position, TrackState};

use super::{Postgres, failed};
use crate::port::DatabaseError;

/// Reads a tracking table; creates nothing.
pub(super) async fn read(
    postgres: &mut Postgres,
    table: &str,
) -> Result<TrackState, DatabaseError> {
    let doing = format!("read the tracking table `{table}`");
    let exists: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM pg_catalog.pg_class c
                        JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
                        WHERE n.nspname = $1 AND c.relname = $2)",
    )
    .bind(&postgres.identity.schema)
    .bind(table)
    .fetch_one(&mut postgres.connection)
    .await
    .map_err(failed(&doing))?;
    if !exists {
        postgres.tracked.remove(table);
        return Ok(TrackState::NoTable);
    }
    postgres.tracked.insert(table.to_owned());
    let sql = format!("SELECT version::bigint, dirty FROM {} LIMIT 2", postgres.table(table));
    let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
        .fetch_all(&mut postgres.connection)
        .await
        .map_err(failed(&doing))?;
    let table = table.to_owned();
    let row = match rows.as_slice() {
        [] => return Ok(TrackState::At(Position::default())),
        [row] => row,
        _ => return Err(DatabaseError::SeveralRows { table }),
    };
    let version: i64 = row.try_get(0).map_err(failed(&doing))?;
    let dirty = row.try_get(1).map_err(failed(&doing))?;
    let version = match version {
        // golang-migrate's "nothing applied" after a failed down of the first migration.
        -1 => None,
        version => {
            let number = u64::try_from(version);
            Some(number.map_err(|_| DatabaseError::Version { table, version })?)
        }
    };
    Ok(TrackState::At(Position { version, dirty }))
}

/// The statements that make the tracking table say `position`.
///
/// Like golang-migrate, they make the table only where it was not found to exist: the server refuses
/// even `IF NOT EXISTS` to a user who may create nothing in the schema.
///
/// golang-migrate empties the table with `TRUNCATE`. `DELETE` leaves the same rows, and does not
/// shut out those who only read.
pub(super) fn write(postgres: &Postgres, table: &str, position: Position) -> String {
    let exists = postgres.tracked.contains(table);
    let table = postgres.table(table);
    let columns = "version bigint not null primary key, dirty boolean not null";
    let mut sql = match exists {
        true => String::new(),
        false => format!("CREATE TABLE IF NOT EXISTS {table} ({columns});\n"),
    };
    sql.push_str(&format!("DELETE FROM {table};\n"));
    let row = match position {
        Position { version: None, dirty: false } => None,
        Position { version: None, dirty: true } => Some("-1".to_owned()),
        Position { version: Some(version), .. } => Some(version.to_string()),
    };
    if let Some(version) = row {
        let dirty = position.dirty;
        sql.push_str(&format!(
            "INSERT INTO {table} (version, dirty) VALUES ({version}, {dirty});\n"
        ));
    }
    sql
}
