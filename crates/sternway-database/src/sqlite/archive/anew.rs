//! What the other half of a migration would make now of the columns and tables that were kept: it is run behind a
//! savepoint as soon as the body has run, what it makes is noted beside what is kept, and all of it is
//! taken back. When it really runs and makes the same of a row, nothing that it computes from has
//! changed since.

use std::collections::BTreeMap;

use sternway_model::archive::Preserved;
use sternway_model::body::Mode;
use sternway_model::effect::Lost;

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

/// A row of the archive by its number, and what the other half makes of its columns, as SQL has it; nothing where
/// it does not make the row.
type Made = (i64, Option<Vec<String>>);

/// What was lost, and how it is laid out.
type Kept = (Lost, Layout);

/// Notes beside kept columns what the other half makes of them, where it computes them from other rows.
/// Where it fails, nothing is noted.
pub async fn note(sqlite: &mut Sqlite, care: &Preservation<'_>, kept: &[Preserved]) -> Result<()> {
    let Some(other) = care.other.filter(|it| can_be_taken_back(it)) else { return Ok(()) };
    let fills = |table: &str| may_fill(other, table);
    let found = computed_elsewhere(sqlite, kept, &origins_of(other), &fills).await?;
    let columns: BTreeMap<i64, Kept> =
        found.into_iter().map(|(data, it)| (data, (it.entry.lost, it.layout))).collect();
    if columns.is_empty() {
        return Ok(());
    }
    sqlite.run(DOING, "SAVEPOINT sternway_anew".to_owned()).await?;
    let made = made(sqlite, other, &columns).await;
    let back = "ROLLBACK TO sternway_anew; RELEASE sternway_anew";
    sqlite.run(DOING, back.to_owned()).await?;
    for ((data, kept), rows) in columns.into_iter().zip(made.into_iter().flatten()) {
        write(sqlite, data, kept, &rows).await?;
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
    kept: &BTreeMap<i64, Kept>,
) -> Option<Vec<Vec<Made>>> {
    run_body(sqlite, &in_ours(other)).await.ok()?;
    let mut found = Vec::new();
    for (id, kept) in kept {
        let rows = differing(sqlite, *id, kept).await;
        let rows = rows.inspect_err(|error| tracing::debug!("{DOING}: {error}"));
        found.push(rows.ok()??);
    }
    Some(found)
}

/// The kept rows of which the table has something else in the columns that are judged, or nothing; `None` where
/// one of these columns is not there.
async fn differing(sqlite: &mut Sqlite, id: i64, kept: &Kept) -> Result<Option<Vec<Made>>> {
    let (lost, layout) = kept;
    let Some(shape) = look(sqlite, &layout.table).await? else { return Ok(None) };
    let column = |at: &usize| {
        let found = shape.column(layout.columns.get(*at)?)?;
        Some((*at, format!("t.{}", Sqlite::quote(&found.name))))
    };
    let gone: Option<Vec<_>> = layout.judged(lost).iter().map(column).collect();
    let key: Option<Vec<_>> = layout.keys().iter().map(column).collect();
    let (Some(gone), Some(key)) = (gone, key.filter(|key| !key.is_empty())) else {
        return Ok(None);
    };
    let row: Vec<String> = key.iter().map(|(at, value)| format!("{value} = k.c{at}")).collect();
    // Columns went of rows that are there, whatever the other half does.
    let is_made =
        key.first().map_or("1 = 1".to_owned(), |(_, value)| format!("{value} IS NOT NULL"));
    let join = if matches!(lost, Lost::Column { .. }) { "JOIN" } else { "LEFT JOIN" };
    let unmade = [format!("NOT {is_made}")];
    let other = gone.iter().map(|(at, value)| {
        format!("typeof({value}) <> typeof(k.c{at}) OR +{value} COLLATE BINARY IS NOT +k.c{at}")
    });
    let literals = gone.iter().map(|(_, value)| {
        format!("CASE typeof({value}) WHEN 'text' THEN 'CAST(X''' || hex({value}) || ''' AS TEXT)' ELSE quote({value}) END")
    });
    let sql = format!(
        "SELECT CAST(k.n AS TEXT), CASE WHEN {is_made} THEN '1' ELSE '0' END{} FROM {} AS k {join} {} AS t ON {} WHERE {}",
        literals.map(|it| format!(", {it}")).collect::<String>(),
        data(sqlite, id),
        Sqlite::table(&shape.name),
        row.join(" AND "),
        unmade.into_iter().chain(other).collect::<Vec<_>>().join(" OR ")
    );
    let mut found = Vec::new();
    for row in &rows(sqlite, &sql).await? {
        let values = (2..gone.len() + 2).map(|at| text(row, at)).collect::<Result<_>>()?;
        let is_made = text(row, 1)? == "1";
        found.push((number(&text(row, 0)?)?, is_made.then_some(values)));
    }
    Ok(Some(found))
}

/// Notes what was found beside the kept rows, in the columns `a…` of those that are judged.
async fn write(
    sqlite: &mut Sqlite,
    id: i64,
    (lost, layout): Kept,
    rows: &[Made],
) -> Result<(), DatabaseError> {
    let (kept, judged) = (data(sqlite, id), layout.judged(&lost));
    let same = judged.iter().map(|at| format!("a{at} = c{at}"));
    let mark = (!matches!(lost, Lost::Column { .. })).then(|| "u = 'm'".to_owned());
    // What a body changed keeps what the body made of it.
    let deleted = if matches!(lost, Lost::Rows { .. }) { "u IN ('d', 'm')" } else { "1 = 1" };
    let set: Vec<String> = same.chain(mark).collect();
    if set.is_empty() {
        return Ok(());
    }
    sqlite.run(DOING, format!("UPDATE {kept} SET {} WHERE {deleted}", set.join(", "))).await?;
    noted(sqlite, id, layout).await?;
    for some in rows.chunks(BATCH) {
        let update = |(number, values): &Made| {
            let set: Vec<String> = match values {
                Some(values) => judged
                    .iter()
                    .zip(values)
                    .map(|(at, value)| format!("a{at} = {value}"))
                    .collect(),
                None => vec!["u = 'd'".to_owned()],
            };
            let set = set.join(", ");
            format!("UPDATE {kept} SET {set} WHERE n = {number} AND {deleted}")
        };
        let updates: Vec<String> = some.iter().map(update).collect();
        sqlite.run(DOING, updates.join("; ")).await?;
    }
    Ok(())
}
