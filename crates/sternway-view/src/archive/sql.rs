//! Rows as SQL that the dialect's own command line loads, whatever is in the values.

use std::fmt::Write as _;

use sternway_database::Dialect;
use sternway_model::archive::{Entry, Page};
use sternway_model::effect::Lost;
use sternway_model::state::Identity;

/// How the rows of one entry are written.
pub(super) struct Sql {
    dialect: Dialect,
    /// The schema that names without one belong to.
    schema: String,
    /// What it is, as SQL has it.
    of: Of,
    /// What it is and since when, for a comment.
    about: String,
}

/// What the rows are of, with names as SQL has them.
enum Of {
    /// The rows of a table.
    Table(String),
    /// Rows of a table that were deleted or changed: what is there is given its former values.
    Rows(String),
    /// The values of some columns, of rows that are there without them.
    Columns(String, Vec<String>),
    Sequence(String),
}

impl Sql {
    pub fn of(dialect: Dialect, identity: &Identity, entry: &Entry) -> Sql {
        let of = match &entry.lost {
            Lost::Table { table } => Of::Table(table.clone()),
            Lost::Rows { table } => Of::Rows(table.clone()),
            Lost::Column { table, column } => Of::Columns(table.clone(), names(column)),
            Lost::Sequence { sequence } => Of::Sequence(sequence.clone()),
        };
        let what = entry.lost.to_string().replace(char::is_control, " ");
        let about = format!("{what}, kept by Sternway on {} (UTC)", entry.since);
        Sql { dialect, schema: identity.schema.clone(), of, about }
    }

    /// What comes before the rows.
    pub fn head(&self) -> String {
        let begin = match self.dialect {
            Dialect::Postgres => {
                let schema = self.name(&self.schema);
                format!("BEGIN;\nSET LOCAL search_path TO {schema}, public;\n")
            }
            Dialect::MySql => "SET NAMES utf8mb4;\nSTART TRANSACTION;\n".to_owned(),
            Dialect::Sqlite => "BEGIN;\n".to_owned(),
        };
        format!("-- {}\n{begin}", self.about)
    }

    /// What comes after them.
    pub fn tail(&self) -> &'static str {
        "COMMIT;\n"
    }

    /// One row: inserted, or where it is there without some columns, given their values.
    pub fn row(&self, page: &Page, row: &[Option<String>], literals: &[bool]) -> String {
        let kinds = page.types.iter().map(String::as_str).chain(std::iter::repeat(""));
        let literals = literals.iter().copied().chain(std::iter::repeat(false));
        let cells = page.columns.iter().zip(row).zip(kinds.zip(literals));
        let values = cells.filter(|((column, _), _)| !page.generated.contains(column)).map(
            |((column, value), (kind, literal))| {
                let text = value.as_deref();
                let value = text.filter(|_| literal).map(str::to_owned);
                (column.as_str(), value.unwrap_or_else(|| self.value(kind, text)))
            },
        );
        match &self.of {
            Of::Table(table) => self.insert(table, &values.collect::<Vec<_>>(), ""),
            Of::Rows(table) => {
                let values: Vec<_> = values.collect();
                let changes = self.changes(page, &values);
                self.insert(table, &values, &changes)
            }
            Of::Columns(table, columns) => {
                let (lost, key): (Vec<_>, Vec<_>) =
                    values.partition(|(name, _)| columns.iter().any(|it| it == name));
                match key.is_empty() {
                    true => self.insert(table, &lost, ""),
                    false => self.update(table, &lost, &key),
                }
            }
            Of::Sequence(sequence) => {
                let name = self.value("regclass", Some(sequence));
                let values: Vec<String> = values.map(|(_, value)| value).collect();
                format!("SELECT pg_catalog.setval({name}, {});\n", values.join(", "))
            }
        }
    }

    /// What becomes of a row that is there: it gets back what was changed. Without a key none is found.
    fn changes(&self, page: &Page, values: &[(&str, String)]) -> String {
        let is = |names: &[String], name: &str| names.iter().any(|it| it == name);
        let changed = values.iter().map(|(name, _)| *name).filter(|name| match page.changed[..] {
            [] => !is(&page.key, name),
            _ => is(&page.changed, name) && !is(&page.key, name),
        });
        let set = changed.map(|name| {
            let name = self.name(name);
            match self.dialect {
                Dialect::MySql => format!("{name} = VALUES({name})"),
                Dialect::Postgres | Dialect::Sqlite => format!("{name} = excluded.{name}"),
            }
        });
        let set = set.collect::<Vec<_>>().join(", ");
        let key: Vec<String> = page.key.iter().map(|name| self.name(name)).collect();
        match (self.dialect, set.is_empty() || key.is_empty()) {
            (_, true) => String::new(),
            (Dialect::MySql, false) => format!(" ON DUPLICATE KEY UPDATE {set}"),
            (Dialect::Postgres | Dialect::Sqlite, false) => {
                format!(" ON CONFLICT ({}) DO UPDATE SET {set}", key.join(", "))
            }
        }
    }

    fn insert(&self, table: &str, values: &[(&str, String)], changes: &str) -> String {
        let names: Vec<String> = values.iter().map(|(name, _)| self.name(name)).collect();
        let values: Vec<&str> = values.iter().map(|(_, value)| value.as_str()).collect();
        let given = match self.dialect {
            // Identity columns get the values that they had.
            Dialect::Postgres => " OVERRIDING SYSTEM VALUE",
            Dialect::MySql | Dialect::Sqlite => "",
        };
        let (table, names, values) = (self.table(table), names.join(", "), values.join(", "));
        format!("INSERT INTO {table} ({names}){given} VALUES ({values}){changes};\n")
    }

    fn update(&self, table: &str, values: &[(&str, String)], key: &[(&str, String)]) -> String {
        let set = values.iter().map(|(name, value)| format!("{} = {value}", self.name(name)));
        let set: Vec<String> = set.collect();
        let is = self.is();
        let key = key.iter().map(|(name, value)| format!("{} {is} {value}", self.name(name)));
        let key: Vec<String> = key.collect();
        let table = self.table(table);
        format!("UPDATE {table} SET {} WHERE {};\n", set.join(", "), key.join(" AND "))
    }

    /// Equality that holds between two nulls.
    fn is(&self) -> &'static str {
        match self.dialect {
            Dialect::Postgres => "IS NOT DISTINCT FROM",
            Dialect::MySql => "<=>",
            Dialect::Sqlite => "IS",
        }
    }

    /// The name of a table; PostgreSQL has quoted it already, where it has to be.
    fn table(&self, name: &str) -> String {
        match self.dialect {
            Dialect::Postgres => name.to_owned(),
            Dialect::MySql | Dialect::Sqlite => self.name(name),
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

/// The names in a printed list such as `a, "B, b"`, without their quotes.
fn names(printed: &str) -> Vec<String> {
    let mut names = vec![String::new()];
    let mut quote = None;
    let mut signs = printed.chars().peekable();
    while let Some(sign) = signs.next() {
        match (quote, sign) {
            (None, ',') => {
                signs.next_if_eq(&' ');
                names.push(String::new());
                continue;
            }
            (None, '"' | '`') => quote = Some(sign),
            (Some(end), _) if sign == end => match signs.next_if_eq(&end) {
                Some(_) => names.last_mut().into_iter().for_each(|name| name.push(end)),
                None => quote = None,
            },
            _ => names.last_mut().into_iter().for_each(|name| name.push(sign)),
        }
    }
    names
}

fn hex(value: &str) -> String {
    value.bytes().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02X}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::names;

    #[test]
    fn printed_names_are_read() {
        assert_eq!(names("a, b"), ["a", "b"]);
        assert_eq!(names("\"B, b\", \"c\"\"c\", `d``d`"), ["B, b", "c\"c", "d`d"]);
    }
}
