//! The kept columns that the other half of a migration may compute from other rows than their own, and the
//! kept tables and rows that it may make of others. What it would make of them now is found out by each dialect's
//! own `archive/anew.rs`, and noted beside them.

use std::collections::{BTreeMap, BTreeSet};

use sternway_model::archive::Preserved;
use sternway_model::effect::Lost;

use super::sql::SqlStore;
use super::{INDEX, Layout, Origins, Result, Stored, sharing, stored};
use crate::origin::{Filled, Origin};

/// What finding that out is called where it fails.
pub const DOING: &str = "see what the other half makes of what is kept";

/// Of what a body has just destroyed, the entries with such columns, one for each table of the archive, and
/// those of tables and rows that the other half `fills`; `origins` are those of its columns.
pub async fn computed_elsewhere<S: SqlStore>(
    store: &mut S,
    kept: &[Preserved],
    origins: &Origins<'_>,
    fills: &(dyn Fn(&str) -> bool + Sync),
) -> Result<BTreeMap<i64, Stored>> {
    let kinds = |it: &&Preserved| !matches!(it.lost, Lost::Sequence { .. });
    let ids: Vec<i64> = kept.iter().filter(kinds).map(|it| it.id).collect();
    if ids.is_empty() {
        return Ok(BTreeMap::new());
    }
    let condition = sharing(store, &ids).await?;
    let found = stored(store, &condition).await?.into_iter().map(|it| (it.data, it));
    let found: BTreeMap<i64, Stored> = found.collect();
    let changes = |layout: &Layout| {
        kept.iter().any(|it| matches!(&it.lost, Lost::Rows { table } if *table == layout.table))
    };
    let mut asked = BTreeMap::new();
    for (data, stored) in found {
        let Stored { entry, layout, .. } = &stored;
        let is_asked = match &entry.lost {
            _ if layout.keys().is_empty() => false,
            Lost::Table { table } => !layout.carried && fills(table),
            Lost::Rows { table } => !layout.carried && !layout.uncertain && fills(table),
            _ => is_beyond(store, &stored, origins, changes(layout)).await?,
        };
        if is_asked {
            asked.insert(data, stored);
        }
    }
    Ok(asked)
}

/// Whether a column that went is computed from what the kept row does not tell: from other rows, or from what the body
/// has just made of its own. `changed`: whether it has changed rows of the table, too.
async fn is_beyond<S: SqlStore>(
    store: &mut S,
    stored: &Stored,
    origins: &Origins<'_>,
    changed: bool,
) -> Result<bool> {
    let (layout, shape) = (&stored.layout, store.look(&stored.layout.table).await?);
    let (new, columns) = (layout.gone_names(), layout.columns_and(shape.as_ref()));
    let filled = Filled { table: &layout.table, columns: &columns, new: &new };
    let mut read = BTreeSet::new();
    for column in &new {
        match origins(&filled, column) {
            Origin::Row(inputs) => read.extend(inputs),
            origin if origin.reaches_beyond_its_row() => return Ok(true),
            _ => {}
        }
    }
    Ok(changed && !read.is_empty() || read.iter().any(|it| layout.at(it).is_none()))
}

/// Says of the entries of a table that it is noted what the other half makes of their columns.
pub async fn noted<S: SqlStore>(store: &mut S, data: i64, layout: Layout) -> Result<()> {
    let layout = serde_json::to_string(&Layout { anew: true, ..layout }).unwrap_or_default();
    let (index, layout) = (store.qualified(INDEX), S::literal(&layout));
    store.run(DOING, format!("UPDATE {index} SET layout = {layout} WHERE data = {data}")).await
}
