//! How much there is to lose.

use sternway_model::effect::{Loss, Lost};

use super::Result;
use super::sql::{SqlStore, count};

/// Fills in what there is to lose. What somebody else drops meanwhile, or keeps locked, stays open.
pub async fn measure<S: SqlStore>(store: &mut S, losses: &mut [Loss]) -> Result<()> {
    for loss in losses {
        let mut measured = loss.clone();
        match measure_one(store, &mut measured).await {
            Ok(()) => *loss = measured,
            Err(error) if S::is_passing(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

async fn measure_one<S: SqlStore>(store: &mut S, loss: &mut Loss) -> Result<()> {
    let (table, column) = match &loss.lost {
        Lost::Table { table } | Lost::Rows { table } => (table, None),
        Lost::Column { table, column } => (table, Some(column)),
        Lost::Sequence { .. } => return Ok(()),
    };
    let Some(shape) = store.look(table).await? else { return Ok(()) };
    if column.is_some_and(|column| shape.column(column).is_none()) {
        return Ok(());
    }
    let what = column.map_or("*".to_owned(), |column| S::quote(column));
    let sql = format!("SELECT COUNT({what}) FROM {}", store.qualified(&shape.name));
    loss.rows = Some(count(store, sql).await?);
    // Which rows a body touches is known when it has run.
    loss.estimated = matches!(loss.lost, Lost::Rows { .. });
    if matches!(loss.lost, Lost::Table { .. }) {
        loss.bytes = Some(store.size(&shape.name).await?);
    }
    Ok(())
}
