//! What the definitions in SQLite's fingerprints say.

use sternway_model::proof::{Definition, Fingerprint, ObjectName};

use crate::Late;
use crate::definitions::{self, Definitions};

/// SQLite's.
pub(crate) struct Sqlite;

/// What stands for a column's `NOT NULL` in its table's text until it comes. Another column's may never come.
fn waits(column: &str) -> String {
    format!(" CONSTRAINT {} NULL", super::Sqlite::quote(&format!("sternway_waits_{column}")))
}

impl Definitions for Sqlite {
    fn name(&self, name: &str) -> String {
        super::Sqlite::quote(name)
    }

    fn keys_are_checked(&self) -> Option<&'static str> {
        Some("(SELECT foreign_keys FROM pragma_foreign_keys)")
    }

    /// The whole table is made anew.
    fn are_altered(&self) -> bool {
        false
    }

    fn fill_needed(&self) -> bool {
        false
    }

    /// Constraints are a part of their table.
    fn go_alone(&self, kind: &str) -> bool {
        ["index", "trigger", "view"].contains(&kind)
    }

    /// An index is in small letters.
    fn table_of_index(&self, definition: &str, here: &Fingerprint) -> Option<String> {
        let (_, rest) = definition.split_once("on ")?;
        let end = rest.find([' ', '(']).unwrap_or(rest.len());
        let name = Some(&rest[..end]).filter(|_| rest.contains('('))?;
        let same = |it: &&ObjectName| it.kind == "table" && it.name.eq_ignore_ascii_case(name);
        Some(here.objects.keys().find(same).map_or(name, |it| &it.name).to_owned())
    }

    /// The words of a constraint are in its name.
    fn primary_key(&self, object: &ObjectName, definition: &Definition) -> Option<String> {
        definitions::primary_key(&format!("{} {definition}", object.name))
    }

    /// Those of a constraint are in its name.
    fn words(&self, object: &ObjectName, definition: &Definition) -> String {
        match object.kind.as_str() {
            "constraint" => format!("{} {definition}", object.name),
            _ => definition.text.clone(),
        }
    }

    /// The key of the rows' own numbers gives one to each.
    fn null_in_keys(&self) -> bool {
        true
    }

    fn late(&self, table: &str, name: &str, made_as: &str, (before, after): (&str, &str)) -> Late {
        let waits = waits(made_as);
        let (name, quoted) = (self.name(name), super::Sqlite::table(table));
        let table = super::Sqlite::literal(&table.to_lowercase());
        // It has no statement for that: the text of the table's is changed, as its manual advises for
        // what the rows have already. Whether they have is looked at last.
        Late {
            made_by: format!("ALTER TABLE {quoted} ADD COLUMN {name} {before}{waits}{after}"),
            closed_by: vec![
                "PRAGMA writable_schema = on".to_owned(),
                format!(
                    "UPDATE main.sqlite_schema SET sql = replace(sql, {}, ' not null')
                             WHERE type = 'table' AND lower(name) = {table}",
                    super::Sqlite::literal(&waits)
                ),
                "PRAGMA writable_schema = reset".to_owned(),
                // That the column is null is never so, by its definition: it is not looked for by that.
                format!("UPDATE {quoted} SET {name} = {name} WHERE typeof({name}) = 'null'"),
            ],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indexes_say_of_which_table_they_are() {
        let here = Fingerprint::default();
        for (definition, table) in [("unique on t ( a )", Some("t")), ("select 1", None)] {
            assert_eq!(Sqlite.table_of_index(definition, &here).as_deref(), table, "{definition}");
        }
    }
}
