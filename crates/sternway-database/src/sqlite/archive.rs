//! The archive: what bodies would have taken away, in tables of the same file.
//!
//! A body and what it takes away commit together, so nothing here is ever half done. What is lost is
//! found by comparing the tables that a body may touch with copies made before it (`keep.rs`), by the
//! key of a row and the names of columns, so that a table made anew under its old name is the same
//! table. When the other half runs, the rows go back as far as they fit (`restore.rs`).
//!
//! `sternway_archive` lists the entries; the rows are in `sternway_kept_…`, in columns without a type,
//! which hold every value as it was. Neither has a foreign key or an AUTOINCREMENT, for the reasons
//! that `records.rs` gives.

mod shape;
mod touch;
mod keep;
mod restore;

use sqlx::Row;
use sqlx::sqlite::SqliteRow;
use sternway_model::archive::{Entry, EntryId, Page, PutBack};
use sternway_model::catalog::{Direction, TrackName};
use sternway_model::effect::{Loss, Lost};

use super::{Sqlite, failed};
use crate::kept::{Layout, Stored, damaged};
use crate::port::DatabaseError;
use shape::{ForeignKey, count, number, optional, rows, text};

pub(super) use keep::{after, before};
pub(super) use restore::{Waiting, put_back, waiting};

/// The index.
const NAME: &str = "sternway_archive";

/// What the names of the tables with the rows begin with.
const PREFIX: &str = "sternway_kept_";

const INDEX: &str = "
CREATE TABLE IF NOT EXISTS main.sternway_archive (
    id integer PRIMARY KEY, app text NOT NULL, schema text NOT NULL, track text NOT NULL,
    version integer NOT NULL, direction text NOT NULL, run integer, step integer NOT NULL,
    since text NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')),
    lost text NOT NULL, data integer NOT NULL, layout text NOT NULL, row_count integer NOT NULL,
    restored text
)";

/// Why a body with what it takes away was not run.
pub(super) enum Trouble {
    /// A question failed.
    Database(DatabaseError),
    /// This cannot be kept.
    CannotKeep(String),
    /// The plan does not say so.
    Beyond(Vec<Lost>),
}

impl From<DatabaseError> for Trouble {
    fn from(error: DatabaseError) -> Trouble {
        Trouble::Database(error)
    }
}

/// Whether a table belongs to the archive.
pub(super) fn is_ours(table: &str) -> bool {
    let table = table.to_ascii_lowercase();
    table == NAME || table.starts_with(PREFIX)
}

/// The table that holds the rows of an entry.
fn data(id: i64) -> String {
    format!("main.{PREFIX}{id}")
}

/// The condition under which the row `t` of a table is the row `k` that was kept.
fn matches(key: &[usize], names: &[Option<String>]) -> String {
    let part = |at: &usize| {
        let name = names.get(*at).cloned().flatten().unwrap_or_default();
        format!("t.{} = k.c{at}", Sqlite::quote(&name))
    };
    key.iter().map(part).collect::<Vec<_>>().join(" AND ")
}

/// Whether two values are one, whatever the types and collations of their columns.
fn is_same(one: &str, other: &str) -> String {
    format!("(typeof({one}) = typeof({other}) AND +{one} COLLATE BINARY IS +{other})")
}

/// Values in one text: equal where they are one by one.
fn image(values: impl Iterator<Item = String>) -> String {
    let one = |value: String| {
        format!(
            "CASE WHEN typeof({value}) IN ('text', 'blob')
                  THEN substr(typeof({value}), 1, 1) || hex({value}) ELSE quote({value}) END"
        )
    };
    let all: Vec<String> = values.map(one).collect();
    if all.is_empty() { "''".to_owned() } else { all.join(" || ',' || ") }
}

/// The condition under which a foreign key leads nowhere from the values that `value` gives.
async fn orphan(
    sqlite: &mut Sqlite,
    key: &ForeignKey,
    value: impl Fn(&str) -> String,
) -> Result<String, DatabaseError> {
    let given: Vec<String> =
        key.columns.iter().map(|(column, _)| format!("{} IS NOT NULL", value(column))).collect();
    let given = given.join(" AND ");
    let Some(parent) = shape::look(sqlite, &key.parent).await? else {
        return Ok(format!("({given})"));
    };
    let met: Vec<String> = key
        .columns
        .iter()
        .map(|(column, there)| format!("p.{} = {}", Sqlite::quote(there), value(column)))
        .collect();
    if key.columns.iter().any(|(_, there)| parent.column(there).is_none()) {
        return Ok(format!("({given})"));
    }
    Ok(format!(
        "({given} AND NOT EXISTS (SELECT 1 FROM {} AS p WHERE {}))",
        parent.table(),
        met.join(" AND ")
    ))
}

/// How many bytes the rows of an entry take.
async fn bytes(sqlite: &mut Sqlite, data: i64) -> Result<u64, DatabaseError> {
    size(sqlite, &format!("{PREFIX}{data}")).await
}

async fn size(sqlite: &mut Sqlite, table: &str) -> Result<u64, DatabaseError> {
    let table = Sqlite::literal(table);
    let sql = format!("SELECT sum(pgsize) FROM dbstat WHERE name = {table} AND aggregate = 1");
    count(sqlite, &sql).await
}

/// Whether there is an archive.
async fn is_there(sqlite: &mut Sqlite) -> Result<bool, DatabaseError> {
    let sql = format!("SELECT count(*) FROM main.sqlite_schema WHERE name = '{NAME}'");
    Ok(count(sqlite, &sql).await? > 0)
}

/// The entries for which a condition holds, the oldest first.
async fn stored(sqlite: &mut Sqlite, condition: &str) -> Result<Vec<Stored>, DatabaseError> {
    if !is_there(sqlite).await? {
        return Ok(Vec::new());
    }
    let sql = format!(
        "SELECT id, data, step, lost, layout, row_count, restored FROM main.sternway_archive
         WHERE {condition} ORDER BY id"
    );
    rows(sqlite, &sql).await?.iter().map(read).collect()
}

fn read(row: &SqliteRow) -> Result<Stored, DatabaseError> {
    let json = |error: serde_json::Error| damaged(&error);
    let restored = optional(row, 6)?;
    Ok(Stored {
        id: number(row, 0)?,
        data: number(row, 1)?,
        step: number(row, 2)?,
        lost: serde_json::from_str(&text(row, 3)?).map_err(json)?,
        layout: serde_json::from_str(&text(row, 4)?).map_err(json)?,
        rows: u64::try_from(number(row, 5)?).unwrap_or(0),
        restored: restored.as_deref().map(serde_json::from_str).transpose().map_err(json)?,
    })
}

/// What the archive keeps for an application, the oldest first.
pub(super) async fn list(sqlite: &mut Sqlite, app: &str) -> Result<Vec<Entry>, DatabaseError> {
    let condition = format!(
        "app = {} AND schema = {}",
        Sqlite::literal(app),
        Sqlite::literal(&sqlite.identity.schema)
    );
    let mut entries = Vec::new();
    for stored in stored(sqlite, &condition).await? {
        let sql = format!(
            "SELECT run, track, version, direction, substr(since, 1, 19),
                    CAST((julianday('now') - julianday(since)) * 86400.0 AS TEXT)
             FROM main.sternway_archive WHERE id = {}",
            stored.id
        );
        let found = rows(sqlite, &sql).await?;
        let Some(row) = found.first() else { continue };
        let run: Option<i64> = row.try_get(0).map_err(failed("read the archive"))?;
        entries.push(Entry {
            id: stored.id,
            run,
            track: TrackName(text(row, 1)?),
            version: u64::try_from(number(row, 2)?).unwrap_or(0),
            direction: match text(row, 3)?.as_str() {
                "up" => Direction::Up,
                _ => Direction::Down,
            },
            since: text(row, 4)?,
            age: text(row, 5)?.parse::<f64>().unwrap_or(0.0).max(0.0),
            columns: shown(&stored)
                .into_iter()
                .map(|at| stored.layout.columns[at].clone())
                .collect(),
            lost: stored.lost,
            rows: stored.rows,
            bytes: bytes(sqlite, stored.data).await?,
            restored: stored.restored,
        });
    }
    Ok(entries)
}

/// The columns that an entry shows: of a lost one, what tells its rows apart and itself.
fn shown(stored: &Stored) -> Vec<usize> {
    let Layout { columns, renamed, .. } = &stored.layout;
    let own = |at: &usize| match &stored.lost {
        Lost::Column { column, .. } => {
            columns[*at] == *column || renamed.get(*at).is_some_and(Option::is_some)
        }
        _ => true,
    };
    (0..columns.len()).filter(own).collect()
}

async fn one(sqlite: &mut Sqlite, id: EntryId) -> Result<Stored, DatabaseError> {
    let found = stored(sqlite, &format!("id = {id}")).await?;
    found.into_iter().next().ok_or(DatabaseError::NoEntry(id))
}

/// Rows of an entry. A value of bytes is written as `X'…'`, and a text that is none as a cast of its bytes.
pub(super) async fn page(
    sqlite: &mut Sqlite,
    id: EntryId,
    offset: u64,
    limit: u64,
) -> Result<Page, DatabaseError> {
    let stored = one(sqlite, id).await?;
    let shown = shown(&stored);
    let of = |from: &[String]| shown.iter().map(|at| from[*at].clone()).collect();
    let mut page = Page {
        columns: of(&stored.layout.columns),
        types: of(&stored.layout.types),
        key: stored.layout.key.clone(),
        ..Page::default()
    };
    let there =
        format!("SELECT count(*) FROM main.sqlite_schema WHERE name = '{PREFIX}{}'", stored.data);
    if count(sqlite, &there).await? == 0 {
        return Ok(page);
    }
    let encoding = rows(sqlite, "PRAGMA encoding").await?;
    let encoding = encoding.first().map(|row| text(row, 0)).transpose()?.unwrap_or_default();
    let value = |at: &usize| {
        format!(
            "CAST(CASE typeof(c{at}) WHEN 'blob' THEN quote(c{at}) WHEN 'real' THEN quote(c{at}) ELSE CAST(c{at} AS TEXT) END AS BLOB)"
        )
    };
    let literal =
        |at: &usize| format!("CASE WHEN typeof(c{at}) IN ('blob', 'real', 'integer') THEN '' END");
    let values: Vec<String> = shown.iter().map(value).chain(shown.iter().map(literal)).collect();
    let sql = format!(
        "SELECT {} FROM {} ORDER BY n LIMIT {limit} OFFSET {offset}",
        values.join(", "),
        data(stored.data)
    );
    for row in &rows(sqlite, &sql).await? {
        let (mut cells, mut literals) = (Vec::new(), Vec::new());
        for at in 0..shown.len() {
            let literal = optional(row, shown.len() + at)?.is_some();
            let bytes: Option<Vec<u8>> =
                row.try_get_unchecked(at).map_err(failed("read the archive"))?;
            let cell = bytes.map(|bytes| decoded(&bytes, &encoding).ok_or(bytes)).transpose();
            literals.push(literal || cell.is_err());
            cells.push(cell.unwrap_or_else(|bytes| Some(of_bytes(&bytes))));
        }
        page.rows.push(cells);
        page.literals.push(literals);
    }
    Ok(page)
}

/// The text that bytes in an encoding of SQLite's are, if they are one.
fn decoded(bytes: &[u8], encoding: &str) -> Option<String> {
    let unit: fn([u8; 2]) -> u16 = match encoding {
        "UTF-16le" => u16::from_le_bytes,
        "UTF-16be" => u16::from_be_bytes,
        _ => return String::from_utf8(bytes.to_vec()).ok(),
    };
    let pairs = bytes.chunks(2).map(|two| Some(unit(two.try_into().ok()?)));
    String::from_utf16(&pairs.collect::<Option<Vec<u16>>>()?).ok()
}

/// What is no text, as SQL has it in a database of the same encoding.
fn of_bytes(bytes: &[u8]) -> String {
    let hex: String = bytes.iter().map(|byte| format!("{byte:02X}")).collect();
    format!("CAST(X'{hex}' AS TEXT)")
}

/// Drops an entry; its rows go with the last one that has them.
pub(super) async fn forget(sqlite: &mut Sqlite, id: EntryId) -> Result<(), DatabaseError> {
    let stored = one(sqlite, id).await?;
    let others = format!(
        "SELECT count(*) FROM main.sternway_archive WHERE data = {} AND id <> {id}",
        stored.data
    );
    let drop = match count(sqlite, &others).await? {
        0 => format!("DROP TABLE IF EXISTS {};", data(stored.data)),
        _ => String::new(),
    };
    let sql = format!("{drop} DELETE FROM main.sternway_archive WHERE id = {id}");
    sqlite.run_whole("drop an entry of the archive", sql).await
}

/// Puts an entry back now, together with those that share its rows.
pub(super) async fn put_back_one(
    sqlite: &mut Sqlite,
    id: EntryId,
) -> Result<PutBack, DatabaseError> {
    let stored = one(sqlite, id).await?;
    let condition = format!("data = {}", stored.data);
    sqlite.run("put back", "BEGIN IMMEDIATE".to_owned()).await?;
    let put = async {
        let untried = stored.restored.is_none();
        let place = shape::look(sqlite, &stored.layout.table).await?;
        let waiting = restore::look_at(sqlite, &condition).await?;
        let put = put_back(sqlite, waiting).await?;
        // Where nothing fits, nothing was tried: the next run of the other half still puts it back.
        let fits = |it: &PutBack| it.restored.back > 0 || it.restored.left() == 0;
        let nothing = place.is_none() || !put.iter().any(fits);
        let end = if untried && nothing { "ROLLBACK" } else { "COMMIT" };
        sqlite.run("put back", end.to_owned()).await.map(|()| put)
    };
    let ended = put.await;
    if ended.is_err() {
        sqlite.roll_back().await;
    }
    let put = ended?.into_iter().find(|put| put.id == id);
    put.ok_or(DatabaseError::NoEntry(id))
}

/// Fills in what there is to lose, as it is at one moment.
pub(super) async fn measure(sqlite: &mut Sqlite, losses: &mut [Loss]) -> Result<(), DatabaseError> {
    sqlite.run("begin to count", "BEGIN".to_owned()).await?;
    let measured = measure_all(sqlite, losses).await;
    sqlite.roll_back().await;
    measured
}

async fn measure_all(sqlite: &mut Sqlite, losses: &mut [Loss]) -> Result<(), DatabaseError> {
    for loss in losses {
        let (table, what) = match &loss.lost {
            Lost::Table { table } | Lost::Rows { table } => (table, "*".to_owned()),
            Lost::Column { table, column } => (table, Sqlite::quote(column)),
            Lost::Sequence { .. } => continue,
        };
        let Some(shape) = shape::look(sqlite, table).await? else { continue };
        if let Lost::Column { column, .. } = &loss.lost
            && shape.column(column).is_none()
        {
            continue;
        }
        loss.rows =
            Some(count(sqlite, &format!("SELECT count({what}) FROM {}", shape.table())).await?);
        // Which rows a body touches is known when it has run.
        loss.estimated = matches!(loss.lost, Lost::Rows { .. });
        if matches!(loss.lost, Lost::Table { .. }) {
            loss.bytes = Some(size(sqlite, &shape.name).await?);
        }
    }
    Ok(())
}
