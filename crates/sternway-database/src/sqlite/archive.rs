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

mod anew;
mod shape;
mod store;
mod written;
mod keep;
mod restore;

use sqlx::Row;
use sternway_model::archive::{EntryId, Page};
use sternway_model::effect::Loss;

use super::{Sqlite, failed};
use crate::archive::Result;
use crate::archive::sql::data;
use crate::archive::{INDEX, PREFIX, page};
use shape::{optional, text};

pub(super) use anew::note as note_anew;
pub(super) use keep::{after, before};
pub(super) use restore::{leave, restore, restore_some, waiting};

/// The statement that makes the index.
const MAKE: &str = "
CREATE TABLE IF NOT EXISTS main.sternway_archive (
    id integer PRIMARY KEY, app text NOT NULL, schema text NOT NULL, track text NOT NULL,
    version integer NOT NULL, direction text NOT NULL, run integer, step integer NOT NULL,
    since text NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')),
    lost text NOT NULL, data integer NOT NULL, layout text NOT NULL, row_count integer NOT NULL,
    restored text
)";

/// Whether a table belongs to the archive.
pub(super) fn is_ours(table: &str) -> bool {
    let table = table.to_ascii_lowercase();
    table == INDEX || table.starts_with(PREFIX)
}

/// Rows of an entry. A value of bytes is written as `X'…'`, and a text that is none as a cast of its bytes.
pub(super) async fn rows(
    sqlite: &mut Sqlite,
    id: EntryId,
    offset: u64,
    limit: u64,
) -> Result<Page> {
    let (mut page, found) = page(sqlite, id).await?;
    let Some((stored, shown)) = found else { return Ok(page) };
    let encoding = shape::rows(sqlite, "PRAGMA encoding").await?;
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
        data(sqlite, stored.data)
    );
    for row in &shape::rows(sqlite, &sql).await? {
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

/// Fills in what there is to lose, as it is at one moment.
pub(super) async fn measure(sqlite: &mut Sqlite, losses: &mut [Loss]) -> Result<()> {
    sqlite.run("begin to count", "BEGIN".to_owned()).await?;
    let measured = crate::archive::measure(sqlite, losses).await;
    sqlite.roll_back().await;
    measured
}
