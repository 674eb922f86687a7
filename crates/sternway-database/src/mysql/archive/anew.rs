//! What the other half of a migration would make now of the columns and tables that were kept.
//!
//! Nothing takes a change of the schema back here, so it is not the table that is changed: the session
//! gets a temporary copy of it under its name, which hides it from nobody else, and on that copy run
//! those statements of the other half that are about the table. One that went whole is made as a temporary one.
//! Where the other half does more to rows
//! than fill its columns, nobody can tell, and nothing is noted.

use sternway_model::archive::Preserved;
use sternway_model::effect::Lost;

use super::restore::{lay_out, origins_of};
use super::shape::{self, look};
use super::{LENIENT, STRICT, data};
use crate::archive::anew::{DOING, computed_elsewhere, noted};
use crate::archive::shape::Shape;
use crate::archive::{Layout, PREFIX, Result};
use crate::mysql::MySql;
use crate::mysql::execute::cut;
use crate::mysql::statements::{Statement, Word, words_of};
use crate::origin::may_fill;
use crate::port::{DatabaseError, Preservation};
use crate::tokens::{after_guard, alteration, name};

/// The copy, until it has the table's name.
const COPY: &str = "sternway_anew";

/// Notes beside kept columns what the other half makes of them, where it computes them from other rows.
/// Where it fails, nothing is noted.
pub async fn note(mysql: &mut MySql, care: &Preservation<'_>, kept: &[Preserved]) -> Result<()> {
    let Some(other) = care.other else { return Ok(()) };
    let statements = cut(mysql, other);
    let fills = |table: &str| may_fill(other, table);
    let found = computed_elsewhere(mysql, kept, &origins_of(&statements), &fills).await?;
    for mut entry in found.into_values() {
        let shape = look(mysql, &entry.layout.table).await?;
        let lost = entry.entry.lost.clone();
        let Some(fill) = about(&statements, &lost) else { continue };
        if matches!(lost, Lost::Table { .. }) == shape.is_some() {
            continue;
        }
        if entry.layout.moved {
            mysql.run(DOING, STRICT.to_owned()).await?;
            lay_out(mysql, &mut entry).await?;
            mysql.run(DOING, LENIENT.to_owned()).await?;
        }
        let (id, layout) = (entry.data, entry.layout);
        let made = made(mysql, id, &lost, &layout, shape.as_ref(), &fill).await;
        // Without it the next statement would be about the copy.
        let (copy, table) = (mysql.table(COPY), mysql.table(&layout.table));
        let tidy = format!("ROLLBACK; {LENIENT}; DROP TEMPORARY TABLE IF EXISTS {copy}, {table}");
        mysql.run(DOING, tidy).await?;
        match made {
            Ok(()) => {
                mysql.run(DOING, STRICT.to_owned()).await?;
                noted(mysql, id, layout).await?;
                mysql.run(DOING, format!("COMMIT; {LENIENT}")).await?;
            }
            Err(error) => tracing::debug!("{DOING}: {error}"),
        }
    }
    Ok(())
}

/// The statements that change the table of what was lost or fill its columns, where a body does nothing else to
/// rows; where it makes the rows, those that do that too, and where it makes the table, as a temporary one.
fn about(statements: &[Statement<'_>], lost: &Lost) -> Option<Vec<String>> {
    let table = lost.of();
    let is_whole = matches!(lost, Lost::Table { .. });
    let makes_rows = !matches!(lost, Lost::Column { .. });
    let mut about = Vec::new();
    for statement in statements {
        let words: Vec<Word<'_>> = words_of(statement.text, statement.quotes);
        let [first, rest @ ..] = words.as_slice() else { continue };
        let its = |parts: &[String]| parts.last().is_some_and(|it| it.eq_ignore_ascii_case(table));
        match first.key.as_str() {
            "ALTER" if rest.first().is_some_and(|it| it.is("TABLE")) => {
                if its(&alteration(&rest[1..]).0) {
                    about.push(statement.text.to_owned());
                }
            }
            "UPDATE" if its(&name(rest)) => about.push(statement.text.to_owned()),
            "CREATE" if is_whole && rest.first().is_some_and(|it| it.is("TABLE")) => {
                if its(&name(after_guard(&rest[1..]))) {
                    let after = statement.text.get(first.offset + first.text.len()..)?;
                    about.push(format!("CREATE TEMPORARY{after}"));
                }
            }
            "INSERT" | "REPLACE" if makes_rows => {
                let into =
                    rest.iter().take_while(|it| ["IGNORE", "INTO"].iter().any(|word| it.is(word)));
                match its(&name(&rest[into.count()..])) {
                    true => about.push(statement.text.to_owned()),
                    false => return None,
                }
            }
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

/// Copies a table under its own name, where it is there, runs the statements on the copy, and notes what they
/// make of what was lost, beside that.
async fn made(
    mysql: &mut MySql,
    id: i64,
    lost: &Lost,
    layout: &Layout,
    shape: Option<&Shape>,
    fill: &[String],
) -> Result<(), DatabaseError> {
    let (own, copy, kept) = (mysql.table(&layout.table), mysql.table(COPY), data(mysql, id));
    let held_name = format!("{PREFIX}{id}");
    let held = look(mysql, &held_name).await?.unwrap_or_default();
    let copied = shape.map_or(String::new(), |shape| {
        let columns: Vec<String> =
            shape.written().iter().map(|it| MySql::quote(&it.name)).collect();
        let columns = columns.join(", ");
        format!(
            "; CREATE TEMPORARY TABLE {copy} LIKE {own};
             INSERT INTO {copy} ({columns}) SELECT {columns} FROM {own};
             ALTER TABLE {copy} RENAME TO {own}"
        )
    });
    let judged = layout.judged(lost);
    let places = judged.iter().filter(|at| held.column(&format!("a{at}")).is_none());
    let places = places.filter_map(|at| {
        let kind = shape::kept(held.column(&format!("c{at}"))?);
        Some(format!("ADD COLUMN a{at} {kind}"))
    });
    let begin = format!("ALTER TABLE {kept} {}{copied}", places.collect::<Vec<_>>().join(", "));
    mysql.run(DOING, format!("{STRICT}; {begin}; {LENIENT}")).await?;
    for statement in fill {
        mysql.run(DOING, statement.clone()).await?;
    }
    let column = |at: &usize| MySql::quote(layout.columns.get(*at).map_or("", String::as_str));
    let key: Vec<String> =
        layout.keys().iter().map(|at| format!("t.{} = k.c{at}", column(at))).collect();
    let same = judged.iter().map(|at| format!("a{at} = c{at}")).chain(["u = u".to_owned()]);
    let made = judged.iter().map(|at| format!("k.a{at} = t.{}", column(at)));
    let mark = (!matches!(lost, Lost::Column { .. })).then(|| "k.u = 'm'".to_owned());
    // What a body changed keeps what the body made of it.
    let deleted = |of: &str| match lost {
        Lost::Rows { .. } => format!("{of}u = 'd'"),
        _ => "1 = 1".to_owned(),
    };
    let sql = format!(
        "UPDATE {kept} SET {} WHERE {}; UPDATE {kept} AS k JOIN {own} AS t ON {} SET {} WHERE {}; COMMIT",
        same.collect::<Vec<_>>().join(", "),
        deleted(""),
        key.join(" AND "),
        made.chain(mark).collect::<Vec<_>>().join(", "),
        deleted("k."),
    );
    mysql.run(DOING, format!("{STRICT}; {sql}; {LENIENT}")).await
}
