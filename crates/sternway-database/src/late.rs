//! A column that each row needs a value for, made among rows that are there: it may be empty until the archive
//! has given them theirs.

use sternway_model::proof::ObjectName;

use crate::{Dialect, mysql, postgres, sqlite};

/// A column whose `NOT NULL` comes late.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Late {
    /// What makes the column without it.
    pub made_by: String,
    /// What gives it that, and fails where a row has no value.
    pub closed_by: Vec<String>,
}

impl Late {
    /// The way to a column with this definition, as a fingerprint has it; none where it needs no value. What makes
    /// it is not needed where it is there and may be empty; SQLite's way begins there.
    pub fn column(dialect: Dialect, column: &ObjectName, definition: &str) -> Option<Late> {
        let table = column.table.as_deref()?;
        let (before, after) = definition.split_once(NOT_NULL)?;
        let open = |mark: &str| format!("{before}{mark}{after}");
        Some(match dialect {
            Dialect::Postgres => postgres::statements_from::late(table, &column.name, definition),
            Dialect::MySql => {
                let (table, name) = (mysql::MySql::quote(table), mysql::MySql::quote(&column.name));
                let alter = format!("ALTER TABLE {table}");
                Late {
                    made_by: format!("{alter} ADD COLUMN {name} {}", open(" NULL")),
                    closed_by: vec![format!("{alter} MODIFY COLUMN {name} {definition}")],
                }
            }
            Dialect::Sqlite => {
                let (name, quoted) =
                    (sqlite::Sqlite::quote(&column.name), sqlite::Sqlite::table(table));
                let table = sqlite::Sqlite::literal(&table.to_lowercase());
                // It has no statement for that: the text of the table's is changed, as its manual advises for
                // what the rows have already. Whether they have is looked at last.
                Late {
                    made_by: format!("ALTER TABLE {quoted} ADD COLUMN {name} {}", open(WAITS)),
                    closed_by: vec![
                        "PRAGMA writable_schema = on".to_owned(),
                        format!(
                            "UPDATE main.sqlite_schema SET sql = replace(sql, '{WAITS}', '{NOT_NULL}')
                             WHERE type = 'table' AND lower(name) = {table}"
                        ),
                        "PRAGMA writable_schema = reset".to_owned(),
                        // That the column is null is never so, by its definition: it is not looked for by that.
                        format!("UPDATE {quoted} SET {name} = {name} WHERE typeof({name}) = 'null'"),
                    ],
                }
            }
        })
    }
}

/// How a fingerprint says it.
const NOT_NULL: &str = " not null";

/// What stands for it in a table of SQLite's until then.
const WAITS: &str = " CONSTRAINT sternway_waits NULL";
