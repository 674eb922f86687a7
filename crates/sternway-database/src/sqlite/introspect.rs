//! The schema as a fingerprint, read from the statements that made it, which SQLite keeps.
//!
//! They are taken apart into words, so that spacing, comments, quotes and the case of words make no
//! difference, and neither does whether a constraint stands beside its column or below them all.
//! Names of objects keep their case: an application sees it. Left out: what SQLite itself makes, the
//! tracking tables, Sternway's records, and the tables inside virtual ones.

mod definition;

use sqlx::Row;
use sternway_model::proof::{Definition, Facts, Fingerprint, ObjectName};

use super::statements::plain;
use super::statements::words::{Word, after_guard, name, split};
use super::{Sqlite, failed, records};
use crate::port::DatabaseError;

/// Describes the schema, without the tables named in `except` and what belongs to them.
pub(super) async fn fingerprint(
    sqlite: &mut Sqlite,
    except: &[String],
) -> Result<Fingerprint, DatabaseError> {
    let doing = "read the schema";
    let rows = sqlx::query(
        "SELECT type, name, tbl_name, sql FROM main.sqlite_schema
         WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'
           AND tbl_name NOT IN
               (SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'shadow')",
    )
    .fetch_all(&mut sqlite.connection)
    .await
    .map_err(failed(doing))?;
    let mut fingerprint = Fingerprint::default();
    for row in rows {
        let text = |column: usize| row.try_get::<String, _>(column).map_err(failed(doing));
        let (kind, name, table, sql) = (text(0)?, text(1)?, text(2)?, text(3)?);
        let same = |other: &String| other.eq_ignore_ascii_case(&table);
        if records::is_ours(&table) || except.iter().any(same) {
            continue;
        }
        describe(&mut fingerprint, &kind, &name, &table, &sql);
    }
    // A reference is written in any case.
    let tables = fingerprint.objects.keys().filter(|it| it.kind == "table");
    let tables: Vec<String> = tables.map(|it| it.name.clone()).collect();
    for definition in fingerprint.objects.values_mut() {
        let Facts::ForeignKey(key) = &mut definition.facts else { continue };
        let parent = tables.iter().find(|it| it.eq_ignore_ascii_case(&key.parent));
        key.parent = parent.unwrap_or(&key.parent).clone();
    }
    Ok(fingerprint)
}

fn describe(fingerprint: &mut Fingerprint, kind: &str, name: &str, table: &str, sql: &str) {
    let split = split(sql);
    let words = split.statements.first().map(Vec::as_slice).unwrap_or_default();
    let mut object = ObjectName::new(kind, name);
    let definition = match kind {
        "table" => {
            let made = definition::read(body(words, "TABLE"));
            let part = |kind: &str, name: String| ObjectName {
                kind: kind.to_owned(),
                name,
                table: Some(table.to_owned()),
            };
            let order = made.columns.iter().map(|(name, _)| name.clone()).collect();
            if !made.columns.is_empty() {
                fingerprint.column_order.insert(object.clone(), order);
            }
            for (name, definition) in made.columns {
                fingerprint.objects.insert(part("column", name), definition.into());
            }
            for (name, definition) in made.constraints {
                fingerprint.objects.insert(part("constraint", name), definition);
            }
            made.options.into()
        }
        "index" => {
            let unique = words.get(1).is_some_and(|it| it.is("UNIQUE"));
            let prefix = if unique { "unique " } else { "" };
            let text = format!("{prefix}{}", plain(body(words, "INDEX")));
            Definition { text, facts: Facts::Index { unique, valid: true } }
        }
        "view" => plain(body(words, "VIEW")).into(),
        _ => {
            object.table = Some(table.to_owned());
            plain(body(words, "TRIGGER")).into()
        }
    };
    fingerprint.objects.insert(object, definition);
}

/// What follows the name in `CREATE … kind [IF NOT EXISTS] name …`.
fn body<'a, 'b>(words: &'b [Word<'a>], kind: &str) -> &'b [Word<'a>] {
    let Some(at) = words.iter().take(4).position(|word| word.is(kind)) else { return words };
    let rest = after_guard(&words[at + 1..]);
    let length = (name(rest).len() * 2).saturating_sub(1).min(rest.len());
    &rest[length..]
}
