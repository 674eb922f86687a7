//! Rows as SQL that the dialect's own command line loads, whatever is in the values.

use std::fmt::Write as _;

use sternway_database::Dialect;
use sternway_model::archive::{Entry, Page};
use sternway_model::effect::Lost;

/// How the rows of one entry are written.
pub struct Sql {
    dialect: Dialect,
    /// The table as SQL has it.
    table: String,
    /// The column whose values they are, where the rows are there without it.
    column: Option<String>,
}

impl Sql {
    pub fn of(dialect: Dialect, entry: &Entry) -> Sql {
        let (table, column) = match &entry.lost {
            Lost::Table { table } | Lost::Rows { table } => (table, None),
            Lost::Column { table, column } => (table, Some(column.clone())),
            Lost::Sequence { sequence } => (sequence, None),
        };
        Sql { dialect, table: table.clone(), column }
    }

    /// What comes before the rows.
    pub fn head(&self, entry: &Entry) -> String {
        let what = entry.lost.to_string().replace(char::is_control, " ");
        let begin = match self.dialect {
            Dialect::Postgres => "BEGIN;\n",
            // The mode decides what a backslash in a literal is; there is none in ours.
            Dialect::MySql => "SET NAMES utf8mb4;\nSTART TRANSACTION;\n",
            Dialect::Sqlite => "BEGIN;\n",
        };
        format!("-- {what}, kept by Sternway on {} (UTC)\n{begin}", entry.since)
    }

    /// What comes after them.
    pub fn tail(&self) -> &'static str {
        "COMMIT;\n"
    }

    /// One row: inserted, or where it is there without a column, given that column's value.
    pub fn row(&self, page: &Page, row: &[Option<String>]) -> String {
        let kinds = page.types.iter().map(String::as_str).chain(std::iter::repeat(""));
        let values: Vec<(&str, String)> = page
            .columns
            .iter()
            .zip(row)
            .zip(kinds)
            .map(|((column, value), kind)| (column.as_str(), self.value(kind, value.as_deref())))
            .collect();
        let is_lost = |name: &str| self.column.as_deref().is_some_and(|it| same(it, name));
        let keys: Vec<&(&str, String)> = values.iter().filter(|(name, _)| !is_lost(name)).collect();
        let lost = values.iter().find(|(name, _)| is_lost(name));
        match lost {
            Some((name, value)) if !keys.is_empty() => {
                let keys = keys
                    .iter()
                    .map(|(name, value)| format!("{} {} {value}", self.name(name), self.is()));
                let keys: Vec<String> = keys.collect();
                format!(
                    "UPDATE {} SET {} = {value} WHERE {};\n",
                    self.table,
                    self.name(name),
                    keys.join(" AND ")
                )
            }
            _ => {
                let names: Vec<String> = values.iter().map(|(name, _)| self.name(name)).collect();
                let values: Vec<&str> = values.iter().map(|(_, value)| value.as_str()).collect();
                let given = match self.dialect {
                    // Identity columns get the values that they had.
                    Dialect::Postgres => " OVERRIDING SYSTEM VALUE",
                    Dialect::MySql | Dialect::Sqlite => "",
                };
                format!(
                    "INSERT INTO {} ({}){given} VALUES ({});\n",
                    self.table,
                    names.join(", "),
                    values.join(", ")
                )
            }
        }
    }

    /// Equality that holds between two nulls.
    fn is(&self) -> &'static str {
        match self.dialect {
            Dialect::Postgres => "IS NOT DISTINCT FROM",
            Dialect::MySql => "<=>",
            Dialect::Sqlite => "IS",
        }
    }

    fn name(&self, name: &str) -> String {
        match self.dialect {
            Dialect::MySql => format!("`{}`", name.replace('`', "``")),
            Dialect::Postgres | Dialect::Sqlite => format!("\"{}\"", name.replace('"', "\"\"")),
        }
    }

    fn value(&self, kind: &str, value: Option<&str>) -> String {
        let Some(value) = value else { return "NULL".to_owned() };
        let quoted = value.replace('\'', "''");
        match self.dialect {
            Dialect::Postgres => {
                let literal = match quoted.contains('\\') {
                    true => format!("E'{}'", quoted.replace('\\', "\\\\")),
                    false => format!("'{quoted}'"),
                };
                if kind.is_empty() { literal } else { format!("{literal}::{kind}") }
            }
            Dialect::MySql => match value.contains(|it: char| it == '\\' || it.is_control()) {
                true => format!("_utf8mb4 0x{}", hex(value)),
                false => format!("'{quoted}'"),
            },
            Dialect::Sqlite => match value.contains(char::is_control) {
                true => format!("CAST(X'{}' AS TEXT)", hex(value)),
                false => format!("'{quoted}'"),
            },
        }
    }
}

/// Whether a column's name and a printed name are the same.
fn same(printed: &str, name: &str) -> bool {
    let inner = |quote: char| printed.strip_prefix(quote).and_then(|it| it.strip_suffix(quote));
    printed == name
        || inner('"').is_some_and(|it| it.replace("\"\"", "\"") == name)
        || inner('`').is_some_and(|it| it.replace("``", "`") == name)
}

fn hex(value: &str) -> String {
    value.bytes().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02X}");
        text
    })
}
