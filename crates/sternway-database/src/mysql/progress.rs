//! Which statement is under way, for whoever comes after a migrator that died.
//!
//! One table for each tracking table, so that its lock guards it; made before the first body of a
//! session and dropped with the locks, if all went well. Its one row is written in the transaction
//! that marks the track dirty, kept up by a second connection, which the body's own transactions and
//! table locks do not reach, and taken away in the transaction that ends the step.

use sqlx::AssertSqlSafe;
use sternway_model::state::{TrackState, TrackingRow};

use super::connect::open_helper;
use super::{MySql, cell, failed, number, optional, recorded, track};
use crate::port::{DatabaseError, Tracking, Underway, Work};

/// What the names of these tables begin with.
pub(super) const PREFIX: &str = "sternway_progress_";

fn name(table: &str) -> String {
    format!("{PREFIX}{:08x}", crc32fast::hash(table.as_bytes()))
}

/// Makes the table. A user who may not create any goes without.
pub(super) async fn prepare(mysql: &mut MySql, table: &str) -> Result<(), DatabaseError> {
    if mysql.progress.contains_key(table) {
        return Ok(());
    }
    let sql = format!(
        "CREATE TABLE IF NOT EXISTS {} (file text NOT NULL, target bigint, statement int NOT NULL,
         line text NOT NULL) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4",
        mysql.table(&name(table))
    );
    match mysql.run("make a place for the progress", sql).await {
        Ok(()) => {
            mysql.progress.insert(table.to_owned(), true);
            Ok(())
        }
        Err(error) if number(&error).is_some() => {
            tracing::debug!(%error, "the statement under way is not noted");
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// Opens the second connection, if there is none. Without it the progress is not known.
pub(super) async fn help(mysql: &mut MySql) -> bool {
    if mysql.helper.is_none() {
        match open_helper(&mysql.target).await {
            Ok(helper) => mysql.helper = Some(helper),
            Err(error) => tracing::warn!(%error, "no second connection to note the progress with"),
        }
    }
    mysql.helper.is_some()
}

/// The statements that note that a body begins with this statement, or that its progress is not
/// known. Empty where there is no table.
pub(super) fn begin(mysql: &mut MySql, work: &Work<'_>, first: Option<&str>) -> String {
    let Some(well) = mysql.progress.get_mut(work.table) else { return String::new() };
    *well = false;
    let table = mysql.table(&name(work.table));
    let mut sql = format!("DELETE FROM {table} WHERE statement IS NOT NULL LIMIT 1000;\n");
    if let Some(first) = first {
        let (file, line) = (MySql::literal(work.file), MySql::literal(first_line(first)));
        let to = work.to.number().map_or("NULL".to_owned(), |to| to.to_string());
        sql.push_str(&format!("INSERT INTO {table} VALUES ({file}, {to}, 1, {line});\n"));
    }
    sql
}

/// Notes that a later statement of the body begins.
pub(super) async fn advance(mysql: &mut MySql, table: &str, statement: usize, text: &str) {
    let sql = format!(
        "UPDATE {} SET statement = {statement}, line = {} WHERE statement IS NOT NULL LIMIT 1",
        mysql.table(&name(table)),
        MySql::literal(first_line(text))
    );
    if let Err(error) = write(mysql, sql).await {
        tracing::warn!(%error, "the statement under way is not noted");
    }
}

/// Runs statements on the second connection.
pub(super) async fn write(mysql: &mut MySql, sql: String) -> Result<(), DatabaseError> {
    let Some(helper) = &mut mysql.helper else { return Ok(()) };
    let written = sqlx::raw_sql(AssertSqlSafe(sql)).execute(helper).await;
    written.map(drop).map_err(failed("note the progress"))
}

/// The statements that take the row away.
pub(super) fn end(mysql: &MySql, table: &str) -> String {
    match mysql.progress.contains_key(table) {
        true => format!(
            "DELETE FROM {} WHERE statement IS NOT NULL LIMIT 1000;\n",
            mysql.table(&name(table))
        ),
        false => String::new(),
    }
}

/// Notes that the last step of this track ended well.
pub(super) fn ended(mysql: &mut MySql, table: &str) {
    if let Some(well) = mysql.progress.get_mut(table) {
        *well = true;
    }
}

/// Drops the tables that have no row.
pub(super) async fn clear(mysql: &mut MySql) -> Result<(), DatabaseError> {
    let progress = std::mem::take(&mut mysql.progress);
    for (table, _) in progress.into_iter().filter(|(_, well)| *well) {
        drop_table(mysql, &table).await?;
    }
    Ok(())
}

/// Drops the table of a tracking table, if there is one.
pub(super) async fn remove(mysql: &mut MySql, table: &str) -> Result<(), DatabaseError> {
    mysql.progress.remove(table);
    if track::exists(mysql, &name(table)).await? { drop_table(mysql, table).await } else { Ok(()) }
}

async fn drop_table(mysql: &mut MySql, table: &str) -> Result<(), DatabaseError> {
    let sql = format!("DROP TABLE IF EXISTS {}", mysql.table(&name(table)));
    mysql.run("clear the progress away", sql).await
}

/// Reads the row. It counts only while the track is dirty where the row's step leads to: another
/// tool may have repaired it since.
pub(super) async fn read(
    mysql: &mut MySql,
    table: &str,
) -> Result<Option<Underway>, DatabaseError> {
    let TrackState::At(TrackingRow { position, dirty: true }) = mysql.track(table).await? else {
        return Ok(None);
    };
    if !track::exists(mysql, &name(table)).await? {
        return Ok(None);
    }
    let sql =
        format!("SELECT file, target, statement, line FROM {} LIMIT 1", mysql.table(&name(table)));
    let rows = mysql.fetch("read the progress", sql).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let table = name(table);
    let target = optional(row, "target").map(|_| recorded::<u64>(row, &table, "target"));
    let underway = Underway {
        file: cell(row, "file"),
        to: target.transpose()?.into(),
        statement: recorded(row, &table, "statement")?,
        text: cell(row, "line"),
    };
    Ok(Some(underway).filter(|it| it.to == position))
}

/// The first line of a statement, cut where it is very long.
fn first_line(text: &str) -> &str {
    let line = text.lines().next().unwrap_or_default().trim_end();
    let end = line.char_indices().nth(200).map_or(line.len(), |(index, _)| index);
    &line[..end]
}
