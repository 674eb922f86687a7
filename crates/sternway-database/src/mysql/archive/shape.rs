//! What a table looks like, from the server's catalog, and how values of its columns are compared.

use std::collections::BTreeMap;

use super::super::{MySql, cell, optional};
use crate::archive::Result;
use crate::archive::number;
use crate::archive::shape::{Column, ForeignKey, Given, Shape};

/// Whether the values of a column are texts, which compare by a collation.
fn is_text(column: &Column) -> bool {
    column.collation.is_some() || column.base == "json"
}

/// The type by which the values of a column are kept: those of any length leave room for many columns.
pub fn kept(column: &Column) -> String {
    let bytes = ["binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob"];
    let kind = match column.base.as_str() {
        "char" | "varchar" | "tinytext" | "text" | "mediumtext" => "longtext",
        base if bytes.contains(&base) => "longblob",
        _ => column.kind.as_str(),
    };
    match &column.collation {
        Some((charset, collation)) => {
            format!("{kind} CHARACTER SET {charset} COLLATE {collation} NULL")
        }
        None => format!("{kind} NULL"),
    }
}

/// The condition under which the value `own` of a column is the value `other` of another one, bit by bit.
pub fn is_same(column: &Column, own: &str, theirs: &Column, other: &str) -> String {
    if !is_text(column) && !is_text(theirs) && column.base == theirs.base {
        return format!("({own} <=> {other})");
    }
    format!("({} <=> {})", bytes(column, own), bytes(theirs, other))
}

/// A value of a column as bytes.
pub fn bytes(column: &Column, value: &str) -> String {
    match column.base.as_str() {
        "float" | "double" => format!("CAST({value} + 0e0 AS BINARY)"),
        "bit" => format!("CAST({value} + 0 AS BINARY)"),
        _ if is_text(column) => format!("CAST(CONVERT({value} USING utf8mb4) AS BINARY)"),
        _ => format!("CAST({value} AS BINARY)"),
    }
}

/// What a column gives a row by itself. MariaDB writes a default as SQL has it, and MySQL a plain value.
fn given(mariadb: bool, default: Option<String>, extra: &str) -> Given {
    let Some(default) = default.filter(|it| !mariadb || it != "NULL") else {
        return match extra.contains("AUTO_INCREMENT") {
            true => Given::Own,
            false => Given::Null,
        };
    };
    let computed = |it: &str| {
        let words = it.to_ascii_uppercase();
        words.contains('(') || words.starts_with("CURRENT_") || words.starts_with("NULL")
    };
    match mariadb {
        true if !default.starts_with('\'') && computed(&default) => Given::Own,
        true => Given::Constant(default),
        false if extra.contains("DEFAULT_GENERATED") || computed(&default) => Given::Own,
        false => Given::Constant(MySql::literal(&default)),
    }
}

/// Looks at a table, unless it is not there or is a view.
pub async fn look(mysql: &mut MySql, table: &str) -> Result<Option<Shape>> {
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
        plain: cell(row, "TABLE_TYPE") == "BASE TABLE",
        sequence: optional(row, "AUTO_INCREMENT").as_deref().map(number).transpose()?,
        comment: cell(row, "TABLE_COMMENT"),
        ..Shape::default()
    };
    let sql = format!(
        "SELECT * FROM information_schema.COLUMNS WHERE {} ORDER BY ORDINAL_POSITION",
        of("TABLE_NAME", "TABLE")
    );
    // What may be null or is computed tells no rows apart.
    let mut tells_nothing = Vec::new();
    for row in &mysql.fetch(doing, sql).await? {
        let extra = cell(row, "EXTRA").to_uppercase();
        let computed = ["VIRTUAL GENERATED", "STORED GENERATED", "PERSISTENT"];
        let generated = computed.iter().any(|it| extra.contains(it));
        let name = cell(row, "COLUMN_NAME");
        if generated || cell(row, "IS_NULLABLE") != "NO" {
            tells_nothing.push(name.clone());
        }
        let charset = optional(row, "CHARACTER_SET_NAME");
        shape.columns.push(Column {
            name,
            kind: cell(row, "COLUMN_TYPE"),
            base: cell(row, "DATA_TYPE").to_lowercase(),
            collation: charset.zip(optional(row, "COLLATION_NAME")),
            nullable: cell(row, "IS_NULLABLE") != "NO",
            generated,
            touched: extra.contains("ON UPDATE"),
            given: given(mysql.mariadb, optional(row, "COLUMN_DEFAULT"), &extra),
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
        // Nor does what is compared in part.
        let tells = optional(row, "SUB_PART").is_none() && !tells_nothing.contains(&column);
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
