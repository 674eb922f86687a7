//! What the other half of a migration would make now of the columns and tables that were kept: it is run behind a
//! savepoint as soon as the body has run, what it makes is noted beside what is kept, and all of it is
//! taken back. When it really runs and makes the same of a row, nothing that it computes from has
//! changed since.

use std::collections::BTreeMap;

use sternway_model::archive::Preserved;
use sternway_model::body::Mode;

use super::restore::origins_of;
use super::shape::{look, rows, text};
use crate::archive::anew::{DOING, computed_elsewhere, noted};
use crate::archive::sql::data;
use crate::archive::{BATCH, Layout, Result, number};
use crate::external;
use crate::origin::may_fill;
use crate::port::{DatabaseError, Preservation};
use crate::sqlite::Sqlite;
use crate::sqlite::execute::run_body;
use crate::sqlite::statements::{elsewhere, facts, in_ours};

/// A row of the archive by its number, and what the other half makes of its columns, as SQL has it.
type Made = (i64, Vec<String>);

/// Notes beside kept columns what the other half makes of them, where it computes them from other rows.
/// Where it fails, nothing is noted.
pub async fn note(sqlite: &mut Sqlite, care: &Preservation<'_>, kept: &[Preserved]) -> Result<()> {
    let Some(other) = care.other.filter(|it| can_be_taken_back(it)) else { return Ok(()) };
    let fills = |table: &str| may_fill(other, table);
    let found = computed_elsewhere(sqlite, kept, &origins_of(other), &fills).await?;
    let columns: BTreeMap<i64, Layout> =
        found.into_iter().map(|(data, it)| (data, it.layout)).collect();
    if columns.is_empty() {
        return Ok(());
    }
    sqlite.run(DOING, "SAVEPOINT sternway_anew".to_owned()).await?;
    let made = made(sqlite, other, &columns).await;
    let back = "ROLLBACK TO sternway_anew; RELEASE sternway_anew";
    sqlite.run(DOING, back.to_owned()).await?;
    for ((data, layout), rows) in columns.into_iter().zip(made.into_iter().flatten()) {
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

/// What the other half makes of kept rows, where that is not what they have; `None` where it fails.
async fn made(
    sqlite: &mut Sqlite,
    other: &str,
    kept: &BTreeMap<i64, Layout>,
) -> Option<Vec<Vec<Made>>> {
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
    sqlite.run(DOING, format!("UPDATE {kept} SET {}", same.join(", "))).await?;
    noted(sqlite, id, layout).await?;
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
