//! The index of the archive: what it lists, and the rows that an entry has.

use sternway_model::archive::{Entry, EntryId, Page};
use sternway_model::catalog::{Direction, TrackName};
use sternway_model::effect::Lost;
use sternway_model::plan::Migrate;
use sternway_model::proof::ObjectName;

use super::Result;
use super::entry::{KEPT, NewEntry, Stored, direction, written};
use super::sql::{Cells, SqlStore, count, data, matches};
use super::{INDEX, Layout, PREFIX, number};
use crate::asked::Misfits;
use crate::port::{DatabaseError, Preservation};
use crate::records::damaged;

/// Whether there is an archive.
pub async fn is_there<S: SqlStore>(store: &mut S) -> Result<bool> {
    store.is_table(INDEX).await
}

/// The condition for the entries of one half of a migration.
pub fn of_step<S: SqlStore>(store: &S, care: &Preservation<'_>, of: Direction) -> String {
    of_half(store, care.app, (care.track, care.version, of))
}

fn of_half<S: SqlStore>(
    store: &S,
    app: &str,
    (track, version, of): (&TrackName, u64, Direction),
) -> String {
    format!(
        "{} AND track = {} AND version = {version} AND direction = '{}'",
        store.of_app(app),
        S::literal(&track.0),
        written(of)
    )
}

/// As [`crate::port::Archive::gives`].
pub async fn gives<S: SqlStore>(
    store: &mut S,
    app: &str,
    step: &Migrate,
    column: &ObjectName,
) -> Result<Misfits> {
    let half = (&step.track, step.version, step.direction.opposite());
    let waiting = format!("{} AND restored IS NULL", of_half(store, app, half));
    let table = column.table.as_deref().unwrap_or_default();
    let mut given = String::new();
    for Stored { entry, data: rows, layout, state, .. } in stored(store, &waiting).await? {
        let is_it = matches!(entry.lost, Lost::Column { .. })
            && layout.table.eq_ignore_ascii_case(table)
            && state == KEPT;
        let at = layout.at(&column.name).filter(|at| is_it && layout.renamed(*at).is_none());
        let key = layout.keys();
        let Some(at) = at.filter(|_| !key.is_empty()) else { continue };
        let same = matches::<S>(&key, |at| layout.renamed(at).map(str::to_owned));
        given.push_str(&format!(
            " AND NOT EXISTS (SELECT 1 FROM {} AS k WHERE {same} AND k.c{at} IS NOT NULL)",
            data(store, rows)
        ));
    }
    let table = store.qualified(table);
    Ok(Misfits::of(format!("SELECT 1 AS n FROM {table} AS t WHERE 1 = 1{given}")))
}

/// The entries for which a condition holds, the oldest first.
pub async fn stored<S: SqlStore>(store: &mut S, condition: &str) -> Result<Vec<Stored>> {
    if !is_there(store).await? {
        return Ok(Vec::new());
    }
    let sql = format!(
        "SELECT id, data, step, {}, lost, layout, row_count, restored, run, track, version, direction, {}, {}
         FROM {} WHERE {condition} ORDER BY id",
        S::STATE,
        S::SINCE,
        S::AGE,
        store.qualified(INDEX)
    );
    store.cells("read the archive", sql).await?.into_iter().map(read).collect()
}

fn read(row: Cells) -> Result<Stored> {
    let mut cells = row.into_iter();
    let mut next = || cells.next().flatten();
    let mut text = || next().unwrap_or_default();
    let (id, data, step, state) = (number(&text())?, number(&text())?, number(&text())?, text());
    let lost = serde_json::from_str(&text()).map_err(|e| damaged(&e))?;
    let layout: Layout = serde_json::from_str(&text()).map_err(|e| damaged(&e))?;
    layout.check(id, &lost)?;
    let rows = number(&text())?;
    let restored = next().as_deref().map(serde_json::from_str).transpose();
    let run = next().as_deref().map(number).transpose()?;
    let mut text = || next().unwrap_or_default();
    let entry = Entry {
        id,
        run,
        track: TrackName(text()),
        version: number(&text())?,
        direction: direction(&text())?,
        since: text(),
        age: number::<f64>(&text())?.max(0.0),
        columns: layout.shown(&lost).iter().map(|at| layout.columns[*at].clone()).collect(),
        lost,
        rows,
        bytes: 0,
        restored: restored.map_err(|e| damaged(&e))?,
    };
    Ok(Stored { entry, data, step, state, layout })
}

/// What the archive has of an application, the oldest first.
pub async fn list<S: SqlStore>(store: &mut S, app: &str) -> Result<Vec<Entry>> {
    let condition = store.of_app(app);
    let mut entries = Vec::new();
    for Stored { mut entry, data, .. } in stored(store, &condition).await? {
        entry.bytes = store.size(&format!("{PREFIX}{data}")).await?;
        entries.push(entry);
    }
    Ok(entries)
}

/// One entry, whose step has ended.
///
/// # Errors
/// When there is none, or its step has not ended.
pub async fn one<S: SqlStore>(store: &mut S, id: EntryId) -> Result<Stored> {
    let found = stored(store, &format!("id = {id}")).await?;
    let found = found.into_iter().next().ok_or(DatabaseError::NoEntry(id))?;
    if found.state == KEPT {
        return Ok(found);
    }
    let reason = "the step that keeps it has not ended".to_owned();
    Err(DatabaseError::Entry { id, doing: "used", reason })
}

/// The condition for entries and those that share their rows.
///
/// # Errors
/// When there is none of them, or its step has not ended.
pub async fn sharing<S: SqlStore>(store: &mut S, ids: &[EntryId]) -> Result<String> {
    let mut data = Vec::new();
    for id in ids {
        data.push(one(store, *id).await?.data.to_string());
    }
    Ok(format!("data IN ({})", data.join(", ")))
}

/// A page of an entry without its rows; and the entry with the columns of its layout that it shows, for the
/// dialect to read the rows, unless the table that had them is gone.
pub async fn page<S: SqlStore>(
    store: &mut S,
    id: EntryId,
) -> Result<(Page, Option<(Stored, Vec<usize>)>)> {
    let stored = one(store, id).await?;
    let (layout, shown) = (&stored.layout, stored.layout.shown(&stored.entry.lost));
    let part = layout.part(&shown);
    let page = Page {
        columns: part.columns,
        types: part.types,
        key: layout.key.clone(),
        ..Page::default()
    };
    let is_there = store.is_table(&format!("{PREFIX}{}", stored.data)).await?;
    Ok((page, is_there.then_some((stored, shown))))
}

/// Drops an entry; its rows go with the last one that has them.
pub async fn drop_entry<S: SqlStore>(store: &mut S, id: EntryId) -> Result<()> {
    let stored = one(store, id).await?;
    let index = store.qualified(INDEX);
    let others =
        format!("SELECT COUNT(*) FROM {index} WHERE data = {} AND id <> {id}", stored.data);
    let drop = match count(store, others).await? {
        0 => format!("DROP TABLE IF EXISTS {};", data(store, stored.data)),
        _ => String::new(),
    };
    let sql = format!("DELETE FROM {index} WHERE id = {id}; {drop}");
    store.run_whole("drop an entry of the archive", sql).await
}

/// The statement that adds an entry to the index. `step` is the first entry that is made together with it.
pub fn insertion<S: SqlStore>(
    store: &S,
    care: &Preservation<'_>,
    run: Option<i64>,
    state: &str,
    entry: &NewEntry,
    step: &str,
) -> String {
    let NewEntry { lost, data, layout, rows } = entry;
    let json = |text: Result<String, serde_json::Error>| S::literal(&text.unwrap_or_default());
    let mut cells = vec![
        ("app", S::literal(care.app)),
        ("track", S::literal(&care.track.0)),
        ("version", care.version.to_string()),
        ("direction", S::literal(written(care.direction))),
        ("run", run.map_or("NULL".to_owned(), |run| run.to_string())),
        ("step", step.to_owned()),
        ("lost", json(serde_json::to_string(lost))),
        ("data", data.to_string()),
        ("layout", json(serde_json::to_string(layout))),
        ("row_count", rows.to_string()),
    ];
    cells.extend(store.own_columns(state));
    let (names, values): (Vec<&str>, Vec<String>) = cells.into_iter().unzip();
    let (index, names) = (store.qualified(INDEX), names.join(", "));
    format!("INSERT INTO {index} ({names}) VALUES ({});", values.join(", "))
}

/// The number that the last entry got.
pub async fn last_id<S: SqlStore>(store: &mut S) -> Result<EntryId> {
    let found = store.cells("write the archive", format!("SELECT {}", S::LAST_ID)).await?;
    let id = found.into_iter().flatten().flatten().next();
    number(&id.unwrap_or_default())
}
