//! What the definitions in PostgreSQL's fingerprints say; names have quotes there where they need them.

use sternway_model::proof::{Definition, Fingerprint, ObjectName};

use super::statements_from;
use crate::Late;
use crate::definitions::{self, Definitions};

/// PostgreSQL's.
pub(crate) struct Postgres;

impl Definitions for Postgres {
    fn name(&self, name: &str) -> String {
        name.to_owned()
    }

    fn are_altered(&self) -> bool {
        true
    }

    fn fill_needed(&self) -> bool {
        false
    }

    fn go_alone(&self, kind: &str) -> bool {
        ["index", "trigger", "view", "constraint", "check", "policy"].contains(&kind)
    }

    fn table_of_index(&self, definition: &str, _: &Fingerprint) -> Option<String> {
        let (_, rest) = definition.split_once(" ON ")?;
        let rest = rest.trim_start_matches("ONLY ");
        let end = rest.find([' ', '(']).unwrap_or(rest.len());
        Some(rest[..end].to_owned()).filter(|_| rest.contains('('))
    }

    fn primary_key(&self, _: &ObjectName, definition: &Definition) -> Option<String> {
        definitions::primary_key(&definition.text)
    }

    fn new_value(&self, definition: &str) -> Option<String> {
        if definition.contains(" generated ") || definition.contains(" as ") {
            return None;
        }
        let (before, default) = definition.split_once(" default ").unwrap_or((definition, "NULL"));
        let kind = before.split(" collate ").next().unwrap_or_default().replace(" not null", "");
        Some(format!("CAST({default} AS {kind})"))
    }

    fn late(&self, table: &str, name: &str, (before, after): (&str, &str)) -> Late {
        let alter = format!("ALTER TABLE {table}");
        Late {
            made_by: format!(
                "{alter} ADD COLUMN {name} {}",
                statements_from::declared(&format!("{before}{after}"))
            ),
            closed_by: vec![format!("{alter} ALTER COLUMN {name} SET NOT NULL")],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indexes_say_of_which_table_they_are() {
        for (definition, table) in [
            ("CREATE UNIQUE INDEX i ON ONLY s.t USING btree (a)", Some("s.t")),
            ("CREATE UNIQUE INDEX i ON \"T\" USING btree (a)", Some("\"T\"")),
            ("select 1", None),
        ] {
            let found = Postgres.table_of_index(definition, &Fingerprint::default());
            assert_eq!(found.as_deref(), table, "{definition}");
        }
    }
}
