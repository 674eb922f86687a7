//! The kept columns that the other half of a migration may compute from other rows than their own. What it
//! would make of them now is found out by each dialect's own `archive/anew.rs`, and noted beside them.

use std::collections::BTreeMap;

use sternway_model::archive::Preserved;
use sternway_model::effect::Lost;

use super::sql::SqlStore;
use super::{INDEX, Layout, Origins, Result, sharing, stored};
use crate::origin::{Filled, Origin};

/// What finding that out is called where it fails.
pub const DOING: &str = "see what the other half makes of what is kept";

/// The tables of the archive with such columns, by number, of what a body has just destroyed; `origins` are
/// those of its other half.
pub async fn computed_elsewhere<S: SqlStore>(
    store: &mut S,
    kept: &[Preserved],
    origins: &Origins<'_>,
) -> Result<BTreeMap<i64, Layout>> {
    let columns = kept.iter().filter(|it| matches!(it.lost, Lost::Column { .. }));
    let ids: Vec<i64> = columns.map(|it| it.id).collect();
    if ids.is_empty() {
        return Ok(BTreeMap::new());
    }
    let condition = sharing(store, &ids).await?;
    let found = stored(store, &condition).await?.into_iter().map(|it| (it.data, it.layout));
    let mut layouts: BTreeMap<i64, Layout> = found.collect();
    layouts.retain(|_, layout| {
        let gone = layout.gone().into_iter();
        let new: Vec<String> = gone.filter_map(|at| layout.columns.get(at).cloned()).collect();
        let filled = Filled { table: &layout.table, columns: &layout.columns, new: &new };
        let beyond = |column: &String| Origin::reaches_beyond_its_row(&origins(&filled, column));
        !layout.keys().is_empty() && new.iter().any(beyond)
    });
    Ok(layouts)
}

/// Says of the entries of a table that it is noted what the other half makes of their columns.
pub async fn noted<S: SqlStore>(store: &mut S, data: i64, layout: Layout) -> Result<()> {
    let layout = serde_json::to_string(&Layout { anew: true, ..layout }).unwrap_or_default();
    let (index, layout) = (store.qualified(INDEX), S::literal(&layout));
    store.run(DOING, format!("UPDATE {index} SET layout = {layout} WHERE data = {data}")).await
}
