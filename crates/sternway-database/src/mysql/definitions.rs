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

    fn misfit(
        &self,
        column: &str,
        (from, to): (&str, &str),
        _: &str,
        _: &Fingerprint,
    ) -> Option<String> {
        let (was, is) = (kind(from), kind(to));
        if was == is {
            return None;
        }
        if let Some(labels) = is.strip_prefix("enum(") {
            return is_text(was).then(|| format!("{column} NOT IN ({labels}"));
        }
        if let Some(most) = definitions::letters(is, &["varchar", "char"]) {
            let text = format!("char_length(trim(TRAILING ' ' FROM {column}))");
            return is_text(was).then(|| format!("{text} > {most}"));
        }
        let (least, most) = definitions::integers(is)?;
        let is_number = definitions::integers(was).is_some() || was.starts_with("decimal");
        is_number.then(|| format!("{column} NOT BETWEEN {least} AND {most}"))
    }

    /// Otherwise it changes them.
    fn refuses_where(&self) -> Option<&'static str> {
        Some("@@sql_mode LIKE '%STRICT%'")
    }

    fn late(&self, table: &str, name: &str, _: &str, (before, after): (&str, &str)) -> Late {
        let (table, name) = (self.name(table), self.name(name));
        let alter = format!("ALTER TABLE {table}");
        Late {
            made_by: format!("{alter} ADD COLUMN {name} {before} NULL{after}"),
            closed_by: vec![format!("{alter} MODIFY COLUMN {name} {before} not null{after}")],
        }
    }
}

/// What a column is, without what else its definition says.
fn kind(definition: &str) -> &str {
    definitions::before(
        definition,
        &[" not null", " default ", " collate ", " character set ", " auto_increment"],
    )
}

fn is_text(kind: &str) -> bool {
    ["varchar", "char", "enum", "text", "tinytext", "mediumtext", "longtext"]
        .iter()
        .any(|it| kind.split('(').next() == Some(it))
}
