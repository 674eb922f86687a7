//! What the other half of a migration would make now of the columns that were kept.
//!
//! Nothing takes a change of the schema back here, so it is not the table that is changed: the session
//! gets a temporary copy of it under its name, which hides it from nobody else, and on that copy run
//! those statements of the other half that are about the table. Where the other half does more to rows
//! than fill its columns, nobody can tell, and nothing is noted.

use std::collections::BTreeMap;

use sternway_model::archive::Preserved;
use sternway_model::effect::Lost;

use super::restore::origins_of;
use super::shape::{self, look};
use super::{LENIENT, STRICT, data};
use crate::archive::shape::Shape;
use crate::archive::{INDEX, Layout, PREFIX, Result, sharing, stored};
use crate::mysql::MySql;
use crate::mysql::execute::cut;
use crate::mysql::statements::{Statement, Word, words_of};
use crate::origin::{Filled, Origin};
use crate::port::{DatabaseError, Preservation};
use crate::tokens::{alteration, name};

const DOING: &str = "see what the other half makes of what is kept";

/// The copy, until it has the table's name.
const COPY: &str = "sternway_anew";

/// Notes beside kept columns what the other half makes of them, where it computes them from other rows.
/// Where it fails, nothing is noted.
pub async fn note(mysql: &mut MySql, care: &Preservation<'_>, kept: &[Preserved]) -> Result<()> {
    let columns = kept.iter().filter(|it| matches!(it.lost, Lost::Column { .. }));
    let ids: Vec<i64> = columns.map(|it| it.id).collect();
    let Some(other) = care.other.filter(|_| !ids.is_empty()) else { return Ok(()) };
    let statements = cut(mysql, other);
    let condition = sharing(mysql, &ids).await?;
    let found = stored(mysql, &condition).await?;
    let layouts: BTreeMap<i64, Layout> = found.into_iter().map(|it| (it.data, it.layout)).collect();
    for (id, layout) in layouts {
        if !depends(&statements, &layout) {
            continue;
        }
        let (Some(fill), Some(shape)) =
            (about(&statements, &layout.table), look(mysql, &layout.table).await?)
        else {
            continue;
        };
        let made = made(mysql, id, &layout, &shape, &fill).await;
        // Without it the next statement would be about the copy.
        let table = mysql.table(&layout.table);
        let copy = mysql.table(COPY);
        let tidy = format!("ROLLBACK; {LENIENT}; DROP TEMPORARY TABLE IF EXISTS {copy}, {table}");
        mysql.run(DOING, tidy).await?;
        match made {
            Ok(()) => mark(mysql, id, layout).await?,
            Err(error) => tracing::debug!("{DOING}: {error}"),
        }
    }
    Ok(())
}

/// Whether a body may compute a column that went from other rows than its own.
fn depends(statements: &[Statement<'_>], layout: &Layout) -> bool {
    let gone = layout.gone();
    let new: Vec<String> = gone.iter().filter_map(|at| layout.columns.get(*at).cloned()).collect();
    let filled = Filled { table: &layout.table, columns: &layout.columns, new: &new };
    let origins = origins_of(statements);
    !layout.keys().is_empty()
        && new.iter().any(|it| matches!(origins(&filled, it), Origin::Hidden | Origin::Elsewhere))
}

/// The statements that change a table or fill its columns, where a body does nothing else to rows.
fn about<'a>(statements: &'a [Statement<'a>], table: &str) -> Option<Vec<&'a str>> {
    let mut about = Vec::new();
    for statement in statements {
        let words: Vec<Word<'_>> = words_of(statement.text, statement.quotes);
        let [first, rest @ ..] = words.as_slice() else { continue };
        let its = |parts: &[String]| parts.last().is_some_and(|it| it.eq_ignore_ascii_case(table));
        match first.key.as_str() {
            "ALTER" if rest.first().is_some_and(|it| it.is("TABLE")) => {
                if its(&alteration(&rest[1..]).0) {
                    about.push(statement.text);
                }
            }
            "UPDATE" if its(&name(rest)) => about.push(statement.text),
            // A setting makes no value, and must not outlive this; a variable may.
            "SET"
                if rest.iter().all(|it| !it.text.starts_with('@') || it.text.starts_with("@@")) => {
            }
            "CREATE" if rest.iter().take(3).any(|it| it.is("INDEX")) => {}
            _ => return None,
        }
    }
    Some(about)
}

/// Copies a table under its own name, runs the statements on the copy, and notes what they make of the
/// columns that went, beside these.
async fn made(
    mysql: &mut MySql,
    id: i64,
    layout: &Layout,
    shape: &Shape,
    fill: &[&str],
) -> Result<(), DatabaseError> {
    let (own, copy, kept) = (mysql.table(&shape.name), mysql.table(COPY), data(mysql, id));
    let held_name = format!("{PREFIX}{id}");
    let held = look(mysql, &held_name).await?.unwrap_or_default();
    let columns: Vec<String> = shape.written().iter().map(|it| MySql::quote(&it.name)).collect();
    let columns = columns.join(", ");
    let gone = layout.gone();
    let places = gone.iter().filter_map(|at| {
        let kind = shape::kept(held.column(&format!("c{at}"))?);
        Some(format!("ADD COLUMN a{at} {kind}"))
    });
    let begin = format!(
        "ALTER TABLE {kept} {};
         CREATE TEMPORARY TABLE {copy} LIKE {own};
         INSERT INTO {copy} ({columns}) SELECT {columns} FROM {own};
         ALTER TABLE {copy} RENAME TO {own}",
        places.collect::<Vec<_>>().join(", ")
    );
    mysql.run(DOING, format!("{STRICT}; {begin}; {LENIENT}")).await?;
    for statement in fill {
        mysql.run(DOING, (*statement).to_owned()).await?;
    }
    let column = |at: &usize| MySql::quote(layout.columns.get(*at).map_or("", String::as_str));
    let key: Vec<String> =
        layout.keys().iter().map(|at| format!("t.{} = k.c{at}", column(at))).collect();
    let same: Vec<String> = gone.iter().map(|at| format!("a{at} = c{at}")).collect();
    let made: Vec<String> = gone.iter().map(|at| format!("k.a{at} = t.{}", column(at))).collect();
    let sql = format!(
        "UPDATE {kept} SET {}; UPDATE {kept} AS k JOIN {own} AS t ON {} SET {}; COMMIT",
        same.join(", "),
        key.join(" AND "),
        made.join(", ")
    );
    mysql.run(DOING, format!("{STRICT}; {sql}; {LENIENT}")).await
}

/// Says of entries that this is noted.
async fn mark(mysql: &mut MySql, id: i64, layout: Layout) -> Result<(), DatabaseError> {
    let layout = serde_json::to_string(&Layout { anew: true, ..layout }).unwrap_or_default();
    let (index, layout) = (mysql.table(INDEX), MySql::literal(&layout));
    let sql = format!("UPDATE {index} SET layout = {layout} WHERE data = {id}; COMMIT");
    mysql.run(DOING, format!("{STRICT}; {sql}; {LENIENT}")).await
}
