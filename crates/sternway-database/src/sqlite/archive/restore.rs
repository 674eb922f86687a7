//! Restoring, in the transaction that is open. No trigger of the application's fires.

use std::collections::BTreeSet;

use sternway_model::archive::{EntryId, Restoration};

use super::shape::{rows, text};
use crate::archive::Result;
use crate::archive::sql::data;
use crate::archive::{self, Outcome, Waiting, of_step, one, opposite, stored};
use crate::port::{DatabaseError, Preservation};
use crate::sqlite::Sqlite;

const DOING: &str = "restore rows";

/// Looks at what an earlier run of the other half kept, before the body of this one.
pub async fn waiting(sqlite: &mut Sqlite, care: &Preservation<'_>) -> Result<Waiting> {
    let step = of_step(sqlite, care, opposite(care.direction));
    look_at(sqlite, &format!("{step} AND restored IS NULL")).await
}

/// Looks at entries, and at what is in their place now.
async fn look_at(sqlite: &mut Sqlite, condition: &str) -> Result<Waiting> {
    let found = stored(sqlite, condition).await?;
    archive::look_at(sqlite, found).await
}

/// Restores what waits.
pub async fn restore(sqlite: &mut Sqlite, waiting: Waiting) -> Result<Vec<Restoration>> {
    Ok(whole(sqlite, waiting).await?.restored)
}

async fn whole(sqlite: &mut Sqlite, waiting: Waiting) -> Result<Outcome> {
    if waiting.is_empty() {
        return Ok(Outcome::default());
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
    Ok(outcome)
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

/// Restores an entry now, together with those that share its rows.
pub async fn restore_one(sqlite: &mut Sqlite, id: EntryId) -> Result<Restoration> {
    let data = one(sqlite, id).await?.data;
    sqlite.run(DOING, "BEGIN IMMEDIATE".to_owned()).await?;
    let restored = async {
        let waiting = look_at(sqlite, &format!("data = {data}")).await?;
        let outcome = whole(sqlite, waiting).await?;
        // Where nothing fits, nothing was tried: the next run of the other half still restores it.
        let end = if outcome.in_vain { "ROLLBACK" } else { "COMMIT" };
        sqlite.run(DOING, end.to_owned()).await.map(|()| outcome.restored)
    };
    let ended = restored.await;
    if ended.is_err() {
        sqlite.roll_back().await;
    }
    ended?.into_iter().find(|it| it.id == id).ok_or(DatabaseError::NoEntry(id))
}
