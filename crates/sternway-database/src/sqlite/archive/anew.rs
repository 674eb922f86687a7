//! What the other half of a migration would make now of the columns that were kept: it is run behind a
//! savepoint as soon as the body has run, what it makes is noted beside what is kept, and all of it is
//! taken back. When it really runs and makes the same of a row, nothing that it computes from has
//! changed since.

use std::collections::BTreeMap;

use sternway_model::archive::Preserved;
use sternway_model::body::Mode;
use sternway_model::effect::Lost;

use super::restore::origin_in;
use super::shape::{look, rows, text};
use crate::archive::sql::data;
use crate::archive::{BATCH, INDEX, Layout, Result, number, sharing, stored};
use crate::external;
use crate::origin::{Filled, Origin};
use crate::port::{DatabaseError, Preservation};
use crate::sqlite::Sqlite;
use crate::sqlite::execute::run_body;
use crate::sqlite::statements::{elsewhere, facts, in_ours};

const DOING: &str = "see what the other half makes of what is kept";

/// A row of the archive by its number, and what the other half makes of its columns, as SQL has it.
type Made = (i64, Vec<String>);

/// Notes beside kept columns what the other half makes of them, where it computes them from other rows.
/// Where it fails, nothing is noted.
pub async fn note(sqlite: &mut Sqlite, care: &Preservation<'_>, kept: &[Preserved]) -> Result<()> {
    let columns = kept.iter().filter(|it| matches!(it.lost, Lost::Column { .. }));
    let ids: Vec<i64> = columns.map(|it| it.id).collect();
    let Some(other) = care.other.filter(|it| !ids.is_empty() && can_be_taken_back(it)) else {
        return Ok(());
    };
    let condition = sharing(sqlite, &ids).await?;
    let found = stored(sqlite, &condition).await?;
    let layouts: BTreeMap<i64, Layout> = found.into_iter().map(|it| (it.data, it.layout)).collect();
    let depend = layouts.into_iter().filter(|(_, layout)| depends(other, layout));
    let depend: Vec<(i64, Layout)> = depend.collect();
    if depend.is_empty() {
        return Ok(());
    }
    sqlite.run(DOING, "SAVEPOINT sternway_anew".to_owned()).await?;
    let made = made(sqlite, other, &depend).await;
    let back = "ROLLBACK TO sternway_anew; RELEASE sternway_anew";
    sqlite.run(DOING, back.to_owned()).await?;
    for ((data, layout), rows) in depend.into_iter().zip(made.into_iter().flatten()) {
        write(sqlite, data, layout, &rows).await?;
    }
    Ok(())
}

/// Whether a savepoint takes back all that a body does.
fn can_be_taken_back(body: &str) -> bool {
    let facts = facts(body);
    facts.mode == Mode::Transaction
        && facts.obstacle.is_none()
        && elsewhere(body).is_none()
        && external::phrase(body, &["rollback"]).is_none()
}

/// Whether a body may compute a column that went from other rows than its own.
fn depends(body: &str, layout: &Layout) -> bool {
    let gone = layout.gone();
    let new: Vec<String> = gone.iter().filter_map(|at| layout.columns.get(*at).cloned()).collect();
    let filled = Filled { table: &layout.table, columns: &layout.columns, new: &new };
    let of = |column: &String| origin_in(body, &filled, column);
    !layout.key.is_empty()
        && new.iter().any(|it| matches!(of(it), Origin::Hidden | Origin::Elsewhere))
}

/// What the other half makes of kept rows, where that is not what they have; `None` where it fails.
async fn made(sqlite: &mut Sqlite, other: &str, kept: &[(i64, Layout)]) -> Option<Vec<Vec<Made>>> {
    run_body(sqlite, &in_ours(other)).await.ok()?;
    let mut found = Vec::new();
    for (id, layout) in kept {
        let rows = differing(sqlite, *id, layout).await;
        let rows = rows.inspect_err(|error| tracing::debug!("{DOING}: {error}"));
        found.push(rows.ok()??);
    }
    Some(found)
}

/// The kept rows of which the table has something else in the columns that went; `None` where one of
/// these is not there.
async fn differing(sqlite: &mut Sqlite, id: i64, layout: &Layout) -> Result<Option<Vec<Made>>> {
    let Some(shape) = look(sqlite, &layout.table).await? else { return Ok(None) };
    let column = |at: &usize| {
        let found = shape.column(layout.columns.get(*at)?)?;
        Some((*at, format!("t.{}", Sqlite::quote(&found.name))))
    };
    let gone: Option<Vec<_>> = layout.gone().iter().map(column).collect();
    let key: Option<Vec<_>> = layout.keys().iter().map(column).collect();
    let (Some(gone), Some(key)) = (gone, key.filter(|key| !key.is_empty())) else {
        return Ok(None);
    };
    let row: Vec<String> = key.iter().map(|(at, value)| format!("{value} = k.c{at}")).collect();
    let other = gone.iter().map(|(at, value)| {
        format!("typeof({value}) <> typeof(k.c{at}) OR +{value} COLLATE BINARY IS NOT +k.c{at}")
    });
    let literals = gone.iter().map(|(_, value)| {
        format!("CASE typeof({value}) WHEN 'text' THEN 'CAST(X''' || hex({value}) || ''' AS TEXT)' ELSE quote({value}) END")
    });
    let sql = format!(
        "SELECT CAST(k.n AS TEXT), {} FROM {} AS k JOIN {} AS t ON {} WHERE {}",
        literals.collect::<Vec<_>>().join(", "),
        data(sqlite, id),
        Sqlite::table(&shape.name),
        row.join(" AND "),
        other.collect::<Vec<_>>().join(" OR ")
    );
    let mut found = Vec::new();
    for row in &rows(sqlite, &sql).await? {
        let values = (1..=gone.len()).map(|at| text(row, at)).collect::<Result<_>>()?;
        found.push((number(&text(row, 0)?)?, values));
    }
    Ok(Some(found))
}

/// Notes what was found beside the kept rows, in the columns `a…` of those that went.
async fn write(
    sqlite: &mut Sqlite,
    id: i64,
    layout: Layout,
    rows: &[Made],
) -> Result<(), DatabaseError> {
    let (kept, gone) = (data(sqlite, id), layout.gone());
    let same: Vec<String> = gone.iter().map(|at| format!("a{at} = c{at}")).collect();
    let layout = serde_json::to_string(&Layout { anew: true, ..layout }).unwrap_or_default();
    let sql = format!(
        "UPDATE {kept} SET {}; UPDATE main.{INDEX} SET layout = {} WHERE data = {id}",
        same.join(", "),
        Sqlite::literal(&layout)
    );
    sqlite.run(DOING, sql).await?;
    for some in rows.chunks(BATCH) {
        let update = |(number, values): &Made| {
            let set = gone.iter().zip(values).map(|(at, value)| format!("a{at} = {value}"));
            format!("UPDATE {kept} SET {} WHERE n = {number}", set.collect::<Vec<_>>().join(", "))
        };
        let updates: Vec<String> = some.iter().map(update).collect();
        sqlite.run(DOING, updates.join("; ")).await?;
    }
    Ok(())
}
