//! Values of the type `FLOAT`, of which the server prints six digits and has more: statements that give them exactly
//! where a program has copied what is printed.

use super::archive::shape::look;
use super::{MySql, cell};
use crate::archive::shape::{Column, Shape};
use crate::port::DatabaseError;

/// For the session that asks for the statements, and for the one that runs them.
const ALIKE: &str = "SET SESSION sql_mode = 'NO_AUTO_VALUE_ON_ZERO', time_zone = '+00:00'";

/// Questions whose answers are the statements, line by line; nothing where no table has such a column.
///
/// # Errors
/// When the server does not say what the tables are like.
pub(super) async fn questions(mysql: &mut MySql) -> Result<Option<String>, DatabaseError> {
    let mut questions = Vec::new();
    let sql = format!(
        "SELECT DISTINCT TABLE_NAME AS name FROM information_schema.COLUMNS
         WHERE TABLE_SCHEMA = {} AND DATA_TYPE = 'float' ORDER BY TABLE_NAME",
        MySql::literal(&mysql.identity.database)
    );
    // Sternway's own are among them: they hold what is kept.
    for row in mysql.fetch("list the tables with values of the type FLOAT", sql).await? {
        let shape = look(mysql, &cell(&row, "name")).await?.filter(|it| it.plain);
        questions.extend(shape.as_ref().and_then(question));
    }
    if questions.is_empty() {
        return Ok(None);
    }
    let first = MySql::literal(&format!("{ALIKE}, autocommit = 0;"));
    let all = questions.join(";\n");
    Ok(Some(format!("{ALIKE};\nSELECT {first};\n{all};\nSELECT 'COMMIT;';\n")))
}

fn is_float(column: &Column) -> bool {
    column.base == "float" && !column.generated
}

/// Asks for a statement for each row that has more digits than are printed. A row is found by a key; without one by all
/// that it has, and then any of those that are printed alike will do.
fn question(shape: &Shape) -> Option<String> {
    let (name, text) = (MySql::quote, MySql::literal);
    let floats: Vec<&Column> = shape.columns.iter().filter(|it| is_float(it)).collect();
    if floats.is_empty() {
        return None;
    }
    let exact = floats.iter().map(|it| {
        let column = name(&it.name);
        format!("{}, COALESCE({column} + 0e0, 'NULL')", text(&format!("{column} = ")))
    });
    // What the server would write by itself.
    let touched = shape.columns.iter().filter(|it| it.touched);
    let stays = touched.map(|it| text(&format!("{0} = {0}", name(&it.name))));
    let key = shape.unique.first();
    let found = shape.columns.iter().filter(|it| match key {
        Some(key) => key.contains(&it.name),
        None => !it.generated,
    });
    let found = found.filter_map(|it| {
        let (column, words) = condition(it, key.is_some())?;
        Some(format!("{}, {words}", text(&format!("{column} <=> "))))
    });
    let lacking = floats.iter().map(|it| {
        let column = name(&it.name);
        format!("{column} <> CAST(CONCAT({column}) AS FLOAT)")
    });
    let table = name(&shape.name);
    Some(format!(
        "SELECT CONCAT({}, {}, ' WHERE ', {}, ' LIMIT 1;') FROM {table} WHERE {}",
        text(&format!("UPDATE {table} SET ")),
        exact.chain(stays).collect::<Vec<_>>().join(", ', ', "),
        found.collect::<Vec<_>>().join(", ' AND ', "),
        lacking.collect::<Vec<_>>().join(" OR ")
    ))
}

/// What is compared to find a row by a column, and an expression for the words that it is compared with. Nothing where
/// the values have no words that compare.
fn condition(column: &Column, is_key: bool) -> Option<(String, String)> {
    let name = MySql::quote(&column.name);
    let words = match column.base.as_str() {
        // As it is where what is printed has been read back.
        "float" => format!("COALESCE(CONCAT('CAST(''', {name}, ''' AS FLOAT)'), 'NULL')"),
        "bit" => format!("COALESCE({name} + 0, 'NULL')"),
        "tinyint" | "smallint" | "mediumint" | "int" | "bigint" | "decimal" | "double" | "year" => {
            format!("COALESCE({name}, 'NULL')")
        }
        "date" | "time" | "datetime" | "timestamp" | "inet4" | "inet6" | "uuid" => {
            format!("QUOTE({name})")
        }
        base if !is_key && is_of_any_length(base) => {
            return Some((format!("MD5({name})"), format!("COALESCE(QUOTE(MD5({name})), 'NULL')")));
        }
        _ if column.collation.is_some() => format!("QUOTE({name})"),
        base if is_of_any_length(base) => {
            format!("COALESCE(CONCAT('x''', HEX({name}), ''''), 'NULL')")
        }
        _ => return None,
    };
    Some((name, words))
}

fn is_of_any_length(base: &str) -> bool {
    ["char", "binary", "text", "blob"].iter().any(|it| base.ends_with(it)) || base == "json"
}
