//! Statements that make one schema into another: for a shadow database that has to look like the one
//! that it stands for.
//!
//! A table that only lacks something gets that, and one whose columns or indexes are others has them changed.
//! One that differs otherwise is made anew, as the server itself says how, and gets its rows back as far as
//! they fit; foreign keys are not looked at meanwhile.

use std::collections::BTreeSet;

use sternway_model::proof::{Facts, Fingerprint, ObjectName};

use super::{MySql, introspect, number, optional};
use crate::port::DatabaseError;

/// The statements that make the schema `from` into this database's.
pub(super) async fn statements_from(
    mysql: &mut MySql,
    from: &Fingerprint,
    except: &[String],
) -> Result<Vec<String>, DatabaseError> {
    let to = introspect::fingerprint(mysql, except).await?;
    let names: BTreeSet<&ObjectName> = from.objects.keys().chain(to.objects.keys()).collect();
    let differ = names.into_iter().filter(|it| from.objects.get(it) != to.objects.get(it));
    let (parts, alone): (Vec<_>, Vec<_>) = differ.partition(|it| is_table(it));
    let tables: BTreeSet<&str> =
        parts.iter().map(|it| it.table.as_deref().unwrap_or(&it.name)).collect();
    let has = |schema: &Fingerprint, kind: &str, name: &str| {
        schema.objects.contains_key(&ObjectName::new(kind, name))
    };
    let mut statements = Vec::new();
    let mut anew: BTreeSet<&str> = BTreeSet::new();
    for table in &tables {
        let (was, is) = (has(from, "table", table), has(&to, "table", table));
        let name = MySql::quote(table);
        if !is {
            statements.push(format!("DROP TABLE {name}"));
            continue;
        }
        let Some(create) = shown(mysql, "TABLE", table).await? else { continue };
        if !was {
            statements.push(create);
            continue;
        }
        let of_table = parts.iter().filter(|it| it.table.as_deref() == Some(*table));
        if !parts.iter().any(|it| it.table.is_none() && it.name == *table) {
            let alter =
                |it: &&ObjectName| altering(&create, it, from, to.objects.contains_key(*it));
            let altered: Option<Vec<String>> = of_table.map(alter).collect();
            if let Some(altered) = altered {
                statements.extend(altered.iter().map(|how| format!("ALTER TABLE {name} {how}")));
                continue;
            }
        }
        anew.insert(table);
        let order = |schema: &Fingerprint| {
            schema.column_order.get(&ObjectName::new("table", table)).cloned().unwrap_or_default()
        };
        let old = order(from);
        let is_plain = |it: &String| {
            let mut column = ObjectName::new("column", it);
            column.table = Some((*table).to_owned());
            !to.objects.get(&column).is_some_and(|it| it.text.contains(" generated"))
        };
        let common = order(&to).into_iter().filter(|it| old.contains(it) && is_plain(it));
        let common: Vec<String> = common.map(|it| MySql::quote(&it)).collect();
        let common = common.join(", ");
        statements.push(format!("CREATE TEMPORARY TABLE sternway_rows AS SELECT * FROM {name}"));
        statements.push(format!("DROP TABLE {name}"));
        statements.push(create);
        if !common.is_empty() {
            statements.push(format!(
                "INSERT IGNORE INTO {name} ({common}) SELECT {common} FROM sternway_rows"
            ));
        }
        statements.push("DROP TEMPORARY TABLE sternway_rows".to_owned());
    }
    if !anew.is_empty() {
        statements.insert(0, "SET SESSION foreign_key_checks = 0".to_owned());
    }
    // What a table made anew has lost comes again, whether it differs or not.
    let again = to.objects.keys().filter(|it| {
        it.kind == "trigger" && it.table.as_ref().is_some_and(|it| anew.contains(it.as_str()))
    });
    let alone: BTreeSet<&ObjectName> = alone.into_iter().chain(again).collect();
    for object in alone {
        let kind = object.kind.to_uppercase();
        if from.objects.contains_key(object) {
            statements.push(format!("DROP {kind} IF EXISTS {}", MySql::quote(&object.name)));
        }
        if kind == "VIEW"
            && to.objects.contains_key(object)
            && is_broken(mysql, &object.name).await?
        {
            // It cannot be made so, and its name is taken all the same.
            let name = MySql::quote(&object.name);
            statements.push(format!("CREATE VIEW {name} AS SELECT 1 AS stands_in"));
        } else if to.objects.contains_key(object) {
            statements.extend(shown(mysql, &kind, &object.name).await?);
        }
    }
    Ok(statements)
}

/// The server's number for a view that shows what is gone.
const BROKEN_VIEW: u16 = 1356;

/// Whether a view shows what is gone. It is only prepared to be read.
async fn is_broken(mysql: &mut MySql, view: &str) -> Result<bool, DatabaseError> {
    let read = MySql::literal(&format!("SELECT 1 FROM {}", MySql::quote(view)));
    let sql = format!("PREPARE sternway_view FROM {read}; DEALLOCATE PREPARE sternway_view");
    match mysql.run("read the schema", sql).await {
        Err(error) if number(&error) == Some(BROKEN_VIEW) => Ok(true),
        // Whether the user may read it is no matter here.
        Err(DatabaseError::Query { source: sqlx::Error::Database(_), .. }) | Ok(()) => Ok(false),
        Err(error) => Err(error),
    }
}

/// What makes a part of a table what it is here, where the table need not be made anew for that.
fn altering(create: &str, part: &ObjectName, from: &Fingerprint, is: bool) -> Option<String> {
    let (was, name) = (from.objects.get(part), MySql::quote(&part.name));
    let gone = match (was, part.kind.as_str()) {
        (Some(_), "index") => Some(format!("DROP INDEX {name}")),
        (Some(was), "constraint") if part.name != "PRIMARY" => Some(match &was.facts {
            Facts::ForeignKey(_) => format!("DROP FOREIGN KEY {name}"),
            Facts::Index { .. } => format!("DROP INDEX {name}"),
            Facts::None => format!("DROP CONSTRAINT {name}"),
        }),
        _ => None,
    };
    if !is {
        return gone;
    }
    let line = line_of(create, part)?;
    match (was, part.kind.as_str()) {
        (None, _) => Some(format!("ADD {line}")),
        (Some(_), "column") => Some(format!("MODIFY {line}")),
        (Some(_), "index") => gone.map(|gone| format!("{gone}, ADD {line}")),
        (Some(_), _) => None,
    }
}

/// The line of a table's statement that makes a part of it.
fn line_of(create: &str, part: &ObjectName) -> Option<String> {
    let name = MySql::quote(&part.name);
    let key = format!("KEY {name} ");
    let constraint = format!("CONSTRAINT {name} ");
    let mut lines = create.lines().map(|line| line.trim().trim_end_matches(','));
    let line = lines.find(|line| match part.kind.as_str() {
        "column" => line.starts_with(&format!("{name} ")),
        _ if part.name == "PRIMARY" => line.starts_with("PRIMARY KEY"),
        // A foreign key and the index below it have one name.
        "constraint" => line.starts_with(&constraint) || line.starts_with(&format!("UNIQUE {key}")),
        "index" => {
            let other = ["`", "CONSTRAINT ", "UNIQUE "];
            line.contains(&key) && !other.iter().any(|it| line.starts_with(it))
        }
        _ => false,
    });
    line.map(str::to_owned)
}

/// Whether an object is a table or a part of one that it is made together with.
fn is_table(object: &ObjectName) -> bool {
    object.kind == "table" || (object.table.is_some() && object.kind != "trigger")
}

/// The statement that makes an object, without what belongs to this database alone: its name, and who
/// defined the object.
async fn shown(mysql: &mut MySql, kind: &str, name: &str) -> Result<Option<String>, DatabaseError> {
    let text = shown_whole(mysql, kind, name).await?;
    Ok(text.map(|text| without_definer(&text)))
}

/// The server's numbers for a table or view, a routine, a trigger and an event that is not there.
const GONE: [u16; 4] = [1146, 1305, 1360, 1539];

/// The same, with who defined it; nothing where it is not there.
pub(super) async fn shown_whole(
    mysql: &mut MySql,
    kind: &str,
    name: &str,
) -> Result<Option<String>, DatabaseError> {
    let sql = format!("SHOW CREATE {kind} {}", MySql::quote(name));
    let rows = match mysql.fetch("read the schema", sql).await {
        // Somebody has dropped it meanwhile.
        Err(error) if number(&error).is_some_and(|it| GONE.contains(&it)) => return Ok(None),
        rows => rows?,
    };
    let column = match kind {
        "TRIGGER" => "SQL Original Statement",
        "SEQUENCE" | "TABLE" => "Create Table",
        "VIEW" => "Create View",
        "PROCEDURE" => "Create Procedure",
        "FUNCTION" => "Create Function",
        _ => "Create Event",
    };
    let text = rows.first().and_then(|row| optional(row, column));
    let here = format!("{}.", MySql::quote(&mysql.identity.database));
    Ok(text.map(|text| text.replace(&here, "")))
}

fn without_definer(text: &str) -> String {
    match definer(text) {
        Some(definer) => text.replacen(&format!(" DEFINER={definer}"), "", 1),
        None => text.to_owned(),
    }
}

/// Who defined what a statement makes: two quoted names with an @ between them.
pub(super) fn definer(text: &str) -> Option<&str> {
    let (_, after) = text.split_once(" DEFINER=")?;
    let (end, _) = after.match_indices('`').nth(3)?;
    after.get(..=end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_defined_it_is_left_out() {
        let text =
            "CREATE ALGORITHM=UNDEFINED DEFINER=`a`@`%` SQL SECURITY DEFINER VIEW `v` AS select 1";
        let left = "CREATE ALGORITHM=UNDEFINED SQL SECURITY DEFINER VIEW `v` AS select 1";
        assert_eq!(without_definer(text), left);
        assert_eq!(without_definer("CREATE TABLE `t` (`id` int)"), "CREATE TABLE `t` (`id` int)");
    }
}
