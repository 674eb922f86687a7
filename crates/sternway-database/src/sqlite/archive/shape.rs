//! What a table looks like to whoever keeps its rows or puts them back.

use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::super::{Sqlite, failed};
use crate::port::DatabaseError;

/// A table.
#[derive(Debug, Clone)]
pub struct Shape {
    pub name: String,
    pub columns: Vec<Column>,
    /// The columns that tell its rows apart, the primary key first; each set does so alone.
    pub unique: Vec<Vec<String>>,
    pub foreign_keys: Vec<ForeignKey>,
    /// What the number of a row can be asked for by, where rows have one.
    pub rowid: Option<&'static str>,
    /// The statement that made it.
    pub sql: String,
}

/// A column.
#[derive(Debug, Clone)]
pub struct Column {
    pub name: String,
    pub kind: String,
    /// Whether its values are computed, so that none can be written.
    pub generated: bool,
}

/// A foreign key.
#[derive(Debug, Clone)]
pub struct ForeignKey {
    pub parent: String,
    /// Its columns, and those that they refer to.
    pub columns: Vec<(String, String)>,
}

impl Shape {
    /// The column of this name.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name.eq_ignore_ascii_case(name))
    }

    /// Whether these columns tell its rows apart.
    pub fn is_unique(&self, columns: &[String]) -> bool {
        let has = |name: &String| columns.iter().any(|other| other.eq_ignore_ascii_case(name));
        self.unique.iter().any(|unique| unique.iter().all(has))
    }

    /// Whether its rows have numbers that are no column of it.
    pub fn is_numbered(&self) -> bool {
        let integer = |name: &String| {
            self.column(name).is_some_and(|it| it.kind.eq_ignore_ascii_case("integer"))
        };
        self.rowid.is_some()
            && !self.unique.iter().any(|set| set.len() == 1 && set.iter().all(integer))
    }

    /// The table as SQL has it.
    pub fn table(&self) -> String {
        Sqlite::table(&self.name)
    }
}

/// Looks at a table of the file, unless it is not there or holds its rows elsewhere.
pub async fn look(sqlite: &mut Sqlite, table: &str) -> Result<Option<Shape>, DatabaseError> {
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
        "SELECT name, coalesce(type, ''), hidden, pk FROM pragma_table_xinfo({literal}, 'main') ORDER BY cid"
    );
    for row in &rows(sqlite, &sql_columns).await? {
        let (name, hidden, place) = (text(row, 0)?, number(row, 2)?, number(row, 3)?);
        if place > 0 {
            primary.push((place, name.clone()));
        }
        columns.push(Column { name, kind: text(row, 1)?, generated: hidden >= 2 });
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
    Ok(Some(Shape { name, columns, unique, foreign_keys, rowid, sql }))
}

async fn foreign_keys(sqlite: &mut Sqlite, table: &str) -> Result<Vec<ForeignKey>, DatabaseError> {
    let sql = format!(
        "SELECT f.id, f.\"table\", f.\"from\",
                coalesce(f.\"to\", (SELECT name FROM pragma_table_xinfo(f.\"table\", 'main') WHERE pk = f.seq + 1))
         FROM pragma_foreign_key_list({table}, 'main') f ORDER BY f.id, f.seq"
    );
    let mut found: Vec<(i64, ForeignKey)> = Vec::new();
    for row in &rows(sqlite, &sql).await? {
        let id = number(row, 0)?;
        if found.last().is_none_or(|(last, _)| *last != id) {
            let (parent, columns) = (text(row, 1)?, Vec::new());
            found.push((id, ForeignKey { parent, columns }));
        }
        let pair = (text(row, 2)?, optional(row, 3)?.unwrap_or_default());
        found.last_mut().into_iter().for_each(|(_, key)| key.columns.push(pair.clone()));
    }
    Ok(found.into_iter().map(|(_, key)| key).collect())
}

/// The rows of a query of our own.
pub async fn rows(sqlite: &mut Sqlite, sql: &str) -> Result<Vec<SqliteRow>, DatabaseError> {
    let query = sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned()));
    query.fetch_all(&mut sqlite.connection).await.map_err(failed("look at the tables"))
}

/// The number that a query gives; 0 where it gives none.
pub async fn count(sqlite: &mut Sqlite, sql: &str) -> Result<u64, DatabaseError> {
    let rows = rows(sqlite, sql).await?;
    let found = rows.first().map(|row| row.try_get::<Option<i64>, _>(0)).transpose();
    let found = found.map_err(failed("count rows"))?.flatten().unwrap_or(0);
    Ok(u64::try_from(found).unwrap_or(0))
}

pub fn text(row: &SqliteRow, column: usize) -> Result<String, DatabaseError> {
    row.try_get(column).map_err(failed("look at the tables"))
}

pub fn optional(row: &SqliteRow, column: usize) -> Result<Option<String>, DatabaseError> {
    row.try_get(column).map_err(failed("look at the tables"))
}

pub fn number(row: &SqliteRow, column: usize) -> Result<i64, DatabaseError> {
    row.try_get(column).map_err(failed("look at the tables"))
}
