//! What a table looks like, from the tables and pragmas that tell it.

use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::super::statements::words::split;
use super::super::{Sqlite, failed};
use crate::archive::Result;
use crate::archive::shape::{Column, ForeignKey, Given, Shape};

/// Whether the rows of a table have numbers that are no column of it.
pub fn is_numbered(shape: &Shape) -> bool {
    let integer = |name: &String| {
        shape.column(name).is_some_and(|it| it.kind.eq_ignore_ascii_case("integer"))
    };
    shape.rowid.is_some()
        && !shape.unique.iter().any(|set| set.len() == 1 && set.iter().all(integer))
}

/// Looks at a table of the file, unless it is not there or holds its rows elsewhere.
pub async fn look(sqlite: &mut Sqlite, table: &str) -> Result<Option<Shape>> {
    let literal = Sqlite::literal(table);
    let found = rows(
        sqlite,
        &format!(
            "SELECT s.name, l.wr, coalesce(s.sql, '') FROM main.sqlite_schema s
             JOIN pragma_table_list l ON l.schema = 'main' AND l.name = s.name AND l.type = 'table'
             WHERE s.type = 'table' AND s.name = {literal} COLLATE NOCASE"
        ),
    )
    .await?;
    let Some(row) = found.first() else { return Ok(None) };
    let (name, without_rowid, sql) = (text(row, 0)?, number(row, 1)? != 0, text(row, 2)?);
    let literal = Sqlite::literal(&name);
    let mut columns = Vec::new();
    let mut primary = Vec::new();
    let sql_columns = format!(
        "SELECT name, coalesce(type, ''), hidden, pk, dflt_value, \"notnull\" FROM pragma_table_xinfo({literal}, 'main')
         ORDER BY cid"
    );
    for row in &rows(sqlite, &sql_columns).await? {
        let (name, hidden, place) = (text(row, 0)?, number(row, 2)?, number(row, 3)?);
        if place > 0 {
            primary.push((place, name.clone()));
        }
        let (kind, generated) = (text(row, 1)?, hidden >= 2);
        let given = optional(row, 4)?.map_or(Given::Null, |sql| given(&sql));
        let nullable = number(row, 5)? == 0;
        columns.push(Column { name, kind, nullable, generated, given, ..Column::default() });
    }
    // The number of a row.
    if let ([(_, key)], false) = (primary.as_slice(), without_rowid) {
        let numbers = |it: &&mut Column| it.name == *key && it.kind.eq_ignore_ascii_case("integer");
        columns.iter_mut().filter(numbers).for_each(|it| it.given = Given::Own);
    }
    primary.sort();
    let mut unique = vec![primary.into_iter().map(|(_, name)| name).collect::<Vec<_>>()];
    let sql_indexes = format!(
        "SELECT l.name, x.name FROM pragma_index_list({literal}, 'main') l, pragma_index_xinfo(l.name, 'main') x
         WHERE l.\"unique\" AND NOT l.partial AND l.origin <> 'pk' AND x.key ORDER BY l.seq, x.seqno"
    );
    let mut last = None;
    for row in &rows(sqlite, &sql_indexes).await? {
        let index = Some(text(row, 0)?);
        if index != last {
            unique.push(Vec::new());
            last = index;
        }
        // An expression has no name, and its index tells no columns apart.
        let column = optional(row, 1)?.unwrap_or_default();
        unique.last_mut().into_iter().for_each(|it| it.push(column.clone()));
    }
    unique.retain(|set| !set.is_empty() && set.iter().all(|name| !name.is_empty()));
    let named = |name: &str| columns.iter().any(|it| it.name.eq_ignore_ascii_case(name));
    let rowid = ["rowid", "_rowid_", "oid"].into_iter().find(|name| !named(name));
    let rowid = rowid.filter(|_| !without_rowid);
    let foreign_keys = foreign_keys(sqlite, &literal).await?;
    let split = split(&sql);
    let words = split.statements.first().map(Vec::as_slice).unwrap_or_default();
    let replaces = words.windows(2).any(|it| it[0].is("ON") && it[1].is("CONFLICT"));
    // The word is reserved: no name is written so. Where one table counts, the file has this one.
    let counts = words.iter().any(|it| it.is("AUTOINCREMENT"));
    let known = "SELECT 1 FROM main.sqlite_schema WHERE name = 'sqlite_sequence'";
    let sequence = match counts && !rows(sqlite, known).await?.is_empty() {
        true => {
            let sql = format!(
                "SELECT coalesce(max(seq), 0) FROM main.sqlite_sequence WHERE name = {literal}"
            );
            let found = rows(sqlite, &sql).await?;
            found.first().map(|row| number(row, 0)).transpose()?.map(i64::unsigned_abs)
        }
        false => None,
    };
    let plain = true;
    let shape = Shape {
        name,
        columns,
        unique,
        foreign_keys,
        rowid,
        sequence,
        plain,
        replaces,
        ..Shape::default()
    };
    Ok(Some(shape))
}

/// What a default gives, by its words: an expression may be another value for each row.
fn given(sql: &str) -> Given {
    let expression = sql.contains('(') || sql.to_ascii_uppercase().starts_with("CURRENT_");
    let text = sql.starts_with('\'');
    match expression && !text {
        true => Given::Own,
        false => Given::Constant(sql.to_owned()),
    }
}

async fn foreign_keys(sqlite: &mut Sqlite, table: &str) -> Result<Vec<ForeignKey>> {
    let sql = format!(
        "SELECT f.id, f.\"table\", f.\"from\",
                coalesce(f.\"to\", (SELECT name FROM pragma_table_xinfo(f.\"table\", 'main') WHERE pk = f.seq + 1))
         FROM pragma_foreign_key_list({table}, 'main') f ORDER BY f.id, f.seq"
    );
    let mut found: Vec<(i64, ForeignKey)> = Vec::new();
    for row in &rows(sqlite, &sql).await? {
        let id = number(row, 0)?;
        if found.last().is_none_or(|(last, _)| *last != id) {
            let parent = text(row, 1)?;
            found.push((id, ForeignKey { parent, ..ForeignKey::default() }));
        }
        let pair = (text(row, 2)?, optional(row, 3)?.unwrap_or_default());
        found.last_mut().into_iter().for_each(|(_, key)| key.columns.push(pair.clone()));
    }
    Ok(found.into_iter().map(|(_, key)| key).collect())
}

/// The rows of a query of our own.
pub async fn rows(sqlite: &mut Sqlite, sql: &str) -> Result<Vec<SqliteRow>> {
    let query = sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned()));
    query.fetch_all(&mut sqlite.connection).await.map_err(failed("look at the tables"))
}

pub fn text(row: &SqliteRow, column: usize) -> Result<String> {
    row.try_get(column).map_err(failed("look at the tables"))
}

pub fn optional(row: &SqliteRow, column: usize) -> Result<Option<String>> {
    row.try_get(column).map_err(failed("look at the tables"))
}

pub fn number(row: &SqliteRow, column: usize) -> Result<i64> {
    row.try_get(column).map_err(failed("look at the tables"))
}
