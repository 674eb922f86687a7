//! Restoring, in the transaction that is open. No trigger of the application's fires.

use std::collections::BTreeSet;

use sternway_model::archive::{EntryId, Restoration};

use super::shape::{rows, text};
use crate::archive::Result;
use crate::archive::sql::data;
use crate::archive::{self, Waiting, of_step, sharing, stored};
use crate::origin::{Filled, Origin, Unseen, origin};
use crate::port::Preservation;
use crate::sqlite::Sqlite;
use crate::sqlite::statements::words::{Word, split};

const DOING: &str = "restore rows";

/// Looks at what an earlier run of the other half kept, before the body `body` of this one.
pub async fn waiting(sqlite: &mut Sqlite, care: &Preservation<'_>, body: &str) -> Result<Waiting> {
    let step = of_step(sqlite, care, care.direction.opposite());
    let found = stored(sqlite, &format!("{step} AND restored IS NULL")).await?;
    archive::look_at(sqlite, found, Some(&origins_of(body)), false).await
}

/// Where a body takes the values of a column from that it fills.
pub fn origins_of(body: &str) -> impl Fn(&Filled<'_>, &str) -> Origin + Send + Sync {
    let statements = split(body).statements;
    let makes_trigger = |words: &Vec<Word<'_>>| {
        words.first().is_some_and(|it| it.is("CREATE"))
            && words.iter().take(3).any(|it| it.is("TRIGGER"))
    };
    let unseen = Unseen { code: false, triggers: statements.iter().any(makes_trigger) };
    move |of, column| origin(&statements, unseen, of, column)
}

/// Restores what waits.
pub async fn restore(sqlite: &mut Sqlite, waiting: Waiting) -> Result<Vec<Restoration>> {
    if waiting.is_empty() {
        return Ok(Vec::new());
    }
    let triggers = silence(sqlite, &waiting.tables()).await?;
    sqlite.run(DOING, "PRAGMA defer_foreign_keys = on".to_owned()).await?;
    archive::advance(sqlite, &waiting).await?;
    let outcome = archive::restore(sqlite, waiting).await?;
    let drops = outcome.emptied.iter().map(|id| format!("; DROP TABLE {}", data(sqlite, *id)));
    let drops: String = drops.collect();
    sqlite.run(DOING, format!("DROP TABLE IF EXISTS temp.sternway_pair{drops}")).await?;
    for sql in triggers {
        sqlite.run("make a trigger again", sql).await?;
    }
    Ok(outcome.restored)
}

/// Takes the triggers of the tables away, and returns the statements that make them again.
async fn silence(sqlite: &mut Sqlite, tables: &BTreeSet<&str>) -> Result<Vec<String>> {
    let tables: Vec<String> =
        tables.iter().map(|table| Sqlite::literal(&table.to_ascii_lowercase())).collect();
    let sql = format!(
        "SELECT name, sql FROM main.sqlite_schema WHERE type = 'trigger' AND lower(tbl_name) IN ({}) ORDER BY rowid",
        tables.join(", ")
    );
    let mut found = Vec::new();
    for row in &rows(sqlite, &sql).await? {
        let drop = format!("DROP TRIGGER {}", Sqlite::table(&text(row, 0)?));
        sqlite.run("silence a trigger", drop).await?;
        found.push(text(row, 1)?);
    }
    Ok(found)
}

/// Restores entries now, together with those that share their rows.
pub async fn restore_some(sqlite: &mut Sqlite, ids: &[EntryId]) -> Result<Vec<Restoration>> {
    let condition = sharing(sqlite, ids).await?;
    sqlite.run(DOING, "BEGIN IMMEDIATE".to_owned()).await?;
    let restored = async {
        let found = stored(sqlite, &condition).await?;
        let waiting = archive::look_at(sqlite, found, None, false).await?;
        let restored = restore(sqlite, waiting).await?;
        sqlite.run(DOING, "COMMIT".to_owned()).await.map(|()| restored)
    };
    let ended = restored.await;
    if ended.is_err() {
        sqlite.roll_back().await;
    }
    ended
}

/// As [`crate::port::Archive::leave`].
pub async fn leave(sqlite: &mut Sqlite, ids: &[EntryId]) -> Result<Vec<Restoration>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let condition = sharing(sqlite, ids).await?;
    let found = stored(sqlite, &condition).await?;
    archive::leave(sqlite, &found).await
}
