//! Statements that make one schema into another: for a shadow database that has to look like the one
//! that it stands for.
//!
//! SQLite keeps the statements that made its objects. A table that only lacks columns gets them. One that
//! differs otherwise is made anew by its own statement, and gets its rows back as far as they fit.

use std::collections::BTreeSet;

use sqlx::Row;
use sternway_model::proof::{Fingerprint, ObjectName};

use super::{Sqlite, failed, introspect};
use crate::port::DatabaseError;

/// The statements that make the schema `from` into this database's.
pub(super) async fn statements_from(
    sqlite: &mut Sqlite,
    from: &Fingerprint,
    except: &[String],
) -> Result<Vec<String>, DatabaseError> {
    let to = introspect::fingerprint(sqlite, except).await?;
    let names: BTreeSet<&ObjectName> = from.objects.keys().chain(to.objects.keys()).collect();
    let differ = names.into_iter().filter(|it| from.objects.get(it) != to.objects.get(it));
    let (parts, alone): (Vec<_>, Vec<_>) =
        differ.partition(|it| it.kind == "table" || (it.table.is_some() && it.kind != "trigger"));
    let tables: BTreeSet<&str> =
        parts.iter().map(|it| it.table.as_deref().unwrap_or(&it.name)).collect();
    let made = made(sqlite).await?;
    let mut statements = Vec::new();
    // Tables that come with their indexes and triggers.
    let mut whole = BTreeSet::new();
    for table in &tables {
        let object = ObjectName::new("table", table);
        let name = Sqlite::table(table);
        let (was, is) = (from.objects.contains_key(&object), to.objects.contains_key(&object));
        let create = made.iter().find(|it| it.kind == "table" && it.name == *table);
        let Some(create) = create.filter(|_| is) else {
            statements.push(format!("DROP TABLE {name}"));
            continue;
        };
        let of = made.iter().filter(|it| it.kind != "table" && it.table == *table);
        let others = of.map(|it| it.sql.clone());
        if !was {
            whole.insert(*table);
            statements.push(create.sql.clone());
            statements.extend(others);
            continue;
        }
        let mut differ =
            parts.iter().filter(|it| it.table.as_deref().unwrap_or(&it.name) == *table);
        if differ.all(|it| it.kind == "column" && !from.objects.contains_key(it)) {
            let added = parts.iter().filter(|it| it.table.as_deref() == Some(*table));
            let added = added.filter_map(|it| Some((Sqlite::quote(&it.name), to.objects.get(it)?)));
            let add = |(column, is)| format!("ALTER TABLE {name} ADD COLUMN {column} {is}");
            statements.extend(added.map(add));
            continue;
        }
        let order = |schema: &Fingerprint| -> Vec<String> {
            schema.column_order.get(&object).cloned().unwrap_or_default()
        };
        let old = order(from);
        let is_plain = |it: &String| {
            let mut column = ObjectName::new("column", it);
            column.table = Some((*table).to_owned());
            !to.objects.get(&column).is_some_and(|it| it.text.contains(" generated "))
        };
        let common = order(&to).into_iter().filter(|it| old.contains(it) && is_plain(it));
        let common: Vec<String> = common.map(|it| Sqlite::quote(&it)).collect();
        let common = common.join(", ");
        whole.insert(*table);
        // All or nothing: the table would be gone otherwise.
        let mut anew = format!(
            "CREATE TEMP TABLE sternway_rows AS SELECT * FROM {name};\nDROP TABLE {name};\n{};\n",
            create.sql
        );
        if !common.is_empty() {
            anew.push_str(&format!(
                "INSERT OR IGNORE INTO {name} ({common}) SELECT {common} FROM temp.sternway_rows;\n"
            ));
        }
        anew.push_str("DROP TABLE temp.sternway_rows");
        statements.push(anew);
        statements.extend(others);
    }
    for object in alone {
        let along = object.table.as_deref().is_some_and(|it| whole.contains(it));
        if from.objects.contains_key(object) && !along {
            let kind = object.kind.to_uppercase();
            statements.push(format!("DROP {kind} {}", Sqlite::quote(&object.name)));
        }
        let same = |it: &&Made| it.kind == object.kind && it.name == object.name;
        let create = made.iter().find(same).filter(|it| !whole.contains(it.table.as_str()));
        statements.extend(create.map(|it| it.sql.clone()));
    }
    Ok(statements)
}

/// An object, and the statement that made it.
struct Made {
    kind: String,
    name: String,
    table: String,
    sql: String,
}

async fn made(sqlite: &mut Sqlite) -> Result<Vec<Made>, DatabaseError> {
    let doing = "read the schema";
    let rows = sqlx::query(
        "SELECT type, name, tbl_name, sql FROM main.sqlite_schema WHERE sql IS NOT NULL",
    )
    .fetch_all(&mut sqlite.connection)
    .await
    .map_err(failed(doing))?;
    let made = rows.iter().map(|row| {
        let text = |column: usize| row.try_get::<String, _>(column).map_err(failed(doing));
        Ok(Made { kind: text(0)?, name: text(1)?, table: text(2)?, sql: text(3)? })
    });
    made.collect()
}
