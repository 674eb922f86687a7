//! The kept columns that the other half of a migration may compute from other rows than their own, and the
//! kept tables that it may fill from others. What it would make of them now is found out by each dialect's
//! own `archive/anew.rs`, and noted beside them.

use std::collections::BTreeMap;

use sternway_model::archive::Preserved;
use sternway_model::effect::Lost;

use super::sql::SqlStore;
use super::{INDEX, Layout, Origins, Result, Stored, sharing, stored};
use crate::origin::{Filled, Origin};

/// What finding that out is called where it fails.
pub const DOING: &str = "see what the other half makes of what is kept";

/// Of what a body has just destroyed, the entries with such columns, one for each table of the archive, and
/// those of whole tables that the other half `fills`; `origins` are those of its columns.
pub async fn computed_elsewhere<S: SqlStore>(
    store: &mut S,
    kept: &[Preserved],
    origins: &Origins<'_>,
    fills: &(dyn Fn(&str) -> bool + Sync),
) -> Result<BTreeMap<i64, Stored>> {
    let kinds = |it: &&Preserved| matches!(it.lost, Lost::Column { .. } | Lost::Table { .. });
    let ids: Vec<i64> = kept.iter().filter(kinds).map(|it| it.id).collect();
    if ids.is_empty() {
        return Ok(BTreeMap::new());
    }
    let condition = sharing(store, &ids).await?;
    let found = stored(store, &condition).await?.into_iter().map(|it| (it.data, it));
    let mut found: BTreeMap<i64, Stored> = found.collect();
    found.retain(|_, Stored { entry, layout, .. }| {
        if let Lost::Table { table } = &entry.lost {
            return !layout.keys().is_empty() && !layout.carried && fills(table);
        }
        let gone = layout.gone().into_iter();
        let new: Vec<String> = gone.filter_map(|at| layout.columns.get(at).cloned()).collect();
        let filled = Filled { table: &layout.table, columns: &layout.columns, new: &new };
        let beyond = |column: &String| Origin::reaches_beyond_its_row(&origins(&filled, column));
        !layout.keys().is_empty() && new.iter().any(beyond)
    });
    Ok(found)
}

/// Says of the entries of a table that it is noted what the other half makes of their columns.
pub async fn noted<S: SqlStore>(store: &mut S, data: i64, layout: Layout) -> Result<()> {
    let layout = serde_json::to_string(&Layout { anew: true, ..layout }).unwrap_or_default();
    let (index, layout) = (store.qualified(INDEX), S::literal(&layout));
    store.run(DOING, format!("UPDATE {index} SET layout = {layout} WHERE data = {data}")).await
}
