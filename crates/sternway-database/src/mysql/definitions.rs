//! What the definitions in MySQL's fingerprints say.

use sternway_model::proof::{Definition, Fingerprint, ObjectName};

use crate::Late;
use crate::definitions::{self, Definitions};

/// MySQL's and MariaDB's.
pub(crate) struct MySql;

impl Definitions for MySql {
    fn name(&self, name: &str) -> String {
        super::MySql::quote(name)
    }

    fn are_altered(&self) -> bool {
        true
    }

    fn fill_needed(&self) -> bool {
        true
    }

    fn go_alone(&self, kind: &str) -> bool {
        ["index", "trigger", "view", "constraint", "check"].contains(&kind)
    }

    /// Each belongs to a table by its name.
    fn table_of_index(&self, _: &str, _: &Fingerprint) -> Option<String> {
        None
    }

    fn primary_key(&self, _: &ObjectName, definition: &Definition) -> Option<String> {
        definitions::primary_key(&definition.text)
    }

    fn late(&self, table: &str, name: &str, (before, after): (&str, &str)) -> Late {
        let (table, name) = (self.name(table), self.name(name));
        let alter = format!("ALTER TABLE {table}");
        Late {
            made_by: format!("{alter} ADD COLUMN {name} {before} NULL{after}"),
            closed_by: vec![format!("{alter} MODIFY COLUMN {name} {before} not null{after}")],
        }
    }
}
