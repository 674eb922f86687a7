//! The archive: what bodies would have taken away, in tables of the same database.
//!
//! Changes of the schema commit by themselves here, so nothing can be tried and taken back. What a
//! body will take is read from its statements before the first of them; what these do not tell is
//! refused. Rows are copied before the body and compared after it; a table that is only dropped is
//! relocated into the archive, whatever its size, and an empty one is left in its place. Each of these
//! is in the index before it is done (`state`), so that whoever comes after a crash finds what was kept
//! and makes an end of it: `copying` and `moving` may be half done, `pending` waits for the end of its body.

mod anew;
pub(super) mod shape;
mod store;
mod known;
mod names;
mod written;
mod sequences;
mod keep;
mod stock;
mod restore;
mod silence;

use sternway_model::archive::{EntryId, Page};

use super::MySql;
use crate::archive::Result;
use crate::archive::sql::SqlStore;
use crate::archive::{INDEX, PREFIX, is_there, page};

pub(super) use anew::note as note_anew;
pub(super) use keep::{Keeper, prepare};
pub(super) use restore::{Waits, leave, restore, restore_some, waiting};

/// What the names of the empty tables begin with that are left in the place of relocated ones.
const STAND_IN: &str = "sternway_stand_in_";

const COLUMNS: &str = "id bigint NOT NULL AUTO_INCREMENT PRIMARY KEY, app varchar(128) NOT NULL,
    track varchar(128) NOT NULL, version bigint unsigned NOT NULL, direction varchar(4) NOT NULL,
    run bigint, step bigint NOT NULL, since datetime NOT NULL, state varchar(8) NOT NULL,
    lost longtext NOT NULL, data bigint NOT NULL, layout longtext NOT NULL, row_count bigint NOT NULL,
    restored longtext";

/// How the session is while it keeps and puts back: nothing is bent to fit.
pub(super) const STRICT: &str = "SET @sternway_mode = @@SESSION.sql_mode, @sternway_safe = @@SESSION.sql_safe_updates,
    SESSION sql_mode = 'STRICT_ALL_TABLES,NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES', SESSION sql_safe_updates = 0";
pub(super) const LENIENT: &str =
    "SET SESSION sql_mode = @sternway_mode, SESSION sql_safe_updates = @sternway_safe";

/// Whether a table belongs to the archive.
pub(super) fn is_ours(table: &str) -> bool {
    table == INDEX || table.starts_with(PREFIX) || table.starts_with(STAND_IN)
}

/// The table that holds the rows of an entry.
fn data(mysql: &MySql, id: i64) -> String {
    mysql.table(&format!("{PREFIX}{id}"))
}

/// Makes the index, where there is none.
async fn make(mysql: &mut MySql) -> Result<()> {
    if is_there(mysql).await? {
        return Ok(());
    }
    let sql = format!(
        "CREATE TABLE IF NOT EXISTS {} ({COLUMNS}) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin",
        mysql.table(INDEX)
    );
    mysql.run("make the archive", sql).await
}

/// Rows of an entry. Bytes that are no text are written as `0x…`, and none as `x''`.
pub(super) async fn rows(mysql: &mut MySql, id: EntryId, offset: u64, limit: u64) -> Result<Page> {
    let (mut page, found) = page(mysql, id).await?;
    let Some((stored, shown)) = found else { return Ok(page) };
    let is_bytes = |kind: &str| {
        let kind = kind.to_lowercase();
        ["binary", "blob", "bit", "geometry"].iter().any(|it| kind.contains(it))
    };
    let value = |((at, name), kind): ((&usize, &String), &String)| {
        let name = if stored.layout.moved { MySql::quote(name) } else { format!("c{at}") };
        if is_bytes(kind) {
            return format!("IF(LENGTH({name}) = 0, 'x''''', CONCAT('0x', HEX({name})))");
        }
        // A float is shown by fewer digits than it has.
        if kind.to_lowercase().starts_with("float") {
            return format!("CONVERT({name} + 0e0 USING utf8mb4)");
        }
        format!("CONVERT({name} USING utf8mb4)")
    };
    let columns = shown.iter().zip(&page.columns).zip(&page.types);
    let values: Vec<String> = columns.map(value).collect();
    let order = match stored.layout.moved {
        true => page.key.iter().map(|name| MySql::quote(name)).collect::<Vec<_>>().join(", "),
        false => "n".to_owned(),
    };
    let order = if order.is_empty() { String::new() } else { format!("ORDER BY {order}") };
    let sql = format!(
        "SELECT {} FROM {} {order} LIMIT {limit} OFFSET {offset}",
        values.join(", "),
        data(mysql, stored.data)
    );
    page.rows = mysql.cells("read the archive", sql).await?;
    page.literals = vec![page.types.iter().map(|it| is_bytes(it)).collect(); page.rows.len()];
    Ok(page)
}
