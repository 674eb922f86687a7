//! What a table looks like to whoever keeps its rows or puts them back.

use std::collections::BTreeMap;

use super::super::{MySql, cell, optional};
use crate::port::DatabaseError;

/// A table.
#[derive(Debug, Clone)]
pub struct Shape {
    pub name: String,
    pub engine: String,
    /// `BASE TABLE`, unless it is something else.
    pub kind: String,
    pub columns: Vec<Column>,
    /// The columns that tell its rows apart, the primary key first; each set does so alone.
    pub unique: Vec<Vec<String>>,
    pub foreign_keys: Vec<ForeignKey>,
    /// The events on which triggers fire.
    pub triggers: Vec<String>,
    /// The next number of its AUTO_INCREMENT.
    pub next: Option<u64>,
    pub comment: String,
}

/// A column.
#[derive(Debug, Clone)]
pub struct Column {
    pub name: String,
    /// Its type in full, and without its length.
    pub kind: String,
    pub base: String,
    charset: Option<String>,
    collation: Option<String>,
    /// Whether its values are computed.
    pub generated: bool,
    /// Whether a change of its row changes it too, unless it is given a value.
    pub touched: bool,
}

/// A foreign key.
#[derive(Debug, Clone)]
pub struct ForeignKey {
    pub name: String,
    pub parent: String,
    /// Its columns, and those that they refer to.
    pub columns: Vec<(String, String)>,
}

impl Column {
    /// Whether its values are texts, which compare by a collation.
    fn is_text(&self) -> bool {
        self.charset.is_some() || self.base == "json"
    }

    /// The type by which its values are kept: those of any length leave room for many columns.
    pub fn kept(&self) -> String {
        let bytes = ["binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob"];
        let kind = match self.base.as_str() {
            "char" | "varchar" | "tinytext" | "text" | "mediumtext" => "longtext",
            base if bytes.contains(&base) => "longblob",
            _ => self.kind.as_str(),
        };
        match (&self.charset, &self.collation) {
            (Some(charset), Some(collation)) => {
                format!("{kind} CHARACTER SET {charset} COLLATE {collation} NULL")
            }
            _ => format!("{kind} NULL"),
        }
    }

    /// The condition under which the value `own` of it is the value `other` of another column, bit by bit.
    pub fn is_same(&self, own: &str, theirs: &Column, other: &str) -> String {
        if !self.is_text() && !theirs.is_text() && self.base == theirs.base {
            return format!("({own} <=> {other})");
        }
        format!("({} <=> {})", self.bytes(own), theirs.bytes(other))
    }

    /// A value of it as bytes.
    pub fn bytes(&self, value: &str) -> String {
        match self.base.as_str() {
            "float" | "double" => format!("CAST({value} + 0e0 AS BINARY)"),
            "bit" => format!("CAST({value} + 0 AS BINARY)"),
            _ if self.is_text() => format!("CAST(CONVERT({value} USING utf8mb4) AS BINARY)"),
            _ => format!("CAST({value} AS BINARY)"),
        }
    }
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

    /// The columns that hold values of their own.
    pub fn plain(&self) -> Vec<&Column> {
        self.columns.iter().filter(|column| !column.generated).collect()
    }
}

/// Looks at a table, unless it is not there or is a view.
pub async fn look(mysql: &mut MySql, table: &str) -> Result<Option<Shape>, DatabaseError> {
    let doing = "look at a table";
    let schema = MySql::literal(&mysql.identity.database);
    let of = |column: &str, kind: &str| {
        format!("{kind}_SCHEMA = {schema} AND {column} = {}", MySql::literal(table))
    };
    let sql =
        format!("SELECT * FROM information_schema.TABLES WHERE {}", of("TABLE_NAME", "TABLE"));
    let found = mysql.fetch(doing, sql).await?;
    let Some(row) = found.first().filter(|row| cell(row, "TABLE_TYPE") != "VIEW") else {
        return Ok(None);
    };
    let mut shape = Shape {
        name: cell(row, "TABLE_NAME"),
        engine: cell(row, "ENGINE"),
        kind: cell(row, "TABLE_TYPE"),
        columns: Vec::new(),
        unique: Vec::new(),
        foreign_keys: Vec::new(),
        triggers: Vec::new(),
        next: optional(row, "AUTO_INCREMENT").and_then(|next| next.parse().ok()),
        comment: cell(row, "TABLE_COMMENT"),
    };
    let sql = format!(
        "SELECT * FROM information_schema.COLUMNS WHERE {} ORDER BY ORDINAL_POSITION",
        of("TABLE_NAME", "TABLE")
    );
    let mut nullable = Vec::new();
    for row in &mysql.fetch(doing, sql).await? {
        let extra = cell(row, "EXTRA").to_uppercase();
        let computed = ["VIRTUAL GENERATED", "STORED GENERATED", "PERSISTENT"];
        let name = cell(row, "COLUMN_NAME");
        if cell(row, "IS_NULLABLE") != "NO" {
            nullable.push(name.clone());
        }
        shape.columns.push(Column {
            name,
            kind: cell(row, "COLUMN_TYPE"),
            base: cell(row, "DATA_TYPE").to_lowercase(),
            charset: optional(row, "CHARACTER_SET_NAME"),
            collation: optional(row, "COLLATION_NAME"),
            generated: computed.iter().any(|it| extra.contains(it)),
            touched: extra.contains("ON UPDATE"),
        });
    }
    let sql = format!(
        "SELECT * FROM information_schema.STATISTICS WHERE {} AND NON_UNIQUE = 0
         ORDER BY INDEX_NAME <> 'PRIMARY', INDEX_NAME, SEQ_IN_INDEX",
        of("TABLE_NAME", "TABLE")
    );
    let mut last = None;
    for row in &mysql.fetch(doing, sql).await? {
        let index = Some(cell(row, "INDEX_NAME"));
        if index != last {
            shape.unique.push(Vec::new());
            last = index;
        }
        let column = cell(row, "COLUMN_NAME");
        // What may be null, or is compared in part or computed, tells no rows apart.
        let tells = optional(row, "SUB_PART").is_none() && !nullable.contains(&column);
        let column = if tells { column } else { String::new() };
        shape.unique.last_mut().into_iter().for_each(|it| it.push(column.clone()));
    }
    shape.unique.retain(|set| set.iter().all(|name| !name.is_empty()));
    let sql = format!(
        "SELECT * FROM information_schema.KEY_COLUMN_USAGE WHERE {} AND REFERENCED_TABLE_NAME IS NOT NULL
         ORDER BY CONSTRAINT_NAME, ORDINAL_POSITION",
        of("TABLE_NAME", "TABLE")
    );
    let mut keys: BTreeMap<String, ForeignKey> = BTreeMap::new();
    for row in &mysql.fetch(doing, sql).await? {
        let name = cell(row, "CONSTRAINT_NAME");
        let parent = cell(row, "REFERENCED_TABLE_NAME");
        let key = ForeignKey { name: name.clone(), parent, columns: Vec::new() };
        let pair = (cell(row, "COLUMN_NAME"), cell(row, "REFERENCED_COLUMN_NAME"));
        keys.entry(name).or_insert(key).columns.push(pair);
    }
    shape.foreign_keys = keys.into_values().collect();
    let sql = format!(
        "SELECT EVENT_MANIPULATION AS event FROM information_schema.TRIGGERS WHERE {}",
        of("EVENT_OBJECT_TABLE", "TRIGGER")
    );
    shape.triggers = mysql.fetch(doing, sql).await?.iter().map(|row| cell(row, "event")).collect();
    Ok(Some(shape))
}

/// The number that a query gives as `n`.
pub async fn count(mysql: &mut MySql, sql: &str) -> Result<u64, DatabaseError> {
    let rows = mysql.fetch("count rows", sql.to_owned()).await?;
    Ok(rows.first().map_or(0, |row| cell(row, "n").parse().unwrap_or(0)))
}
