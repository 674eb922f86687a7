//! The rows that a body would change if there were any: the tables of a bench are empty, so running
//! the body there does not show it.
//!
//! A deletion reaches further than its words say, along the foreign keys that hand it on.

use std::collections::BTreeSet;

use sternway_model::effect::{Effects, Loss, Lost};
use sternway_model::proof::{Fingerprint, ObjectName};

/// The tables of a schema whose rows are changed where those of `written` are, under the names that
/// the schema's fingerprint has.
pub(super) fn tables(
    schema: &Fingerprint,
    written: &BTreeSet<String>,
    current: &str,
) -> BTreeSet<String> {
    let own = format!("{current}.");
    let written: BTreeSet<&str> =
        written.iter().map(|it| it.strip_prefix(&own).unwrap_or(it)).collect();
    let tables = schema.objects.keys().filter(|it| it.kind == "table").map(|it| &it.name);
    let named = tables.filter(|name| written.contains(unquoted(name).as_str()));
    let mut touched: BTreeSet<String> = named.cloned().collect();
    let handed_on: Vec<(&str, &str)> = schema.objects.iter().filter_map(handed_on).collect();
    loop {
        let reached = handed_on.iter().filter(|(_, parent)| touched.contains(*parent));
        let reached: Vec<String> = reached.map(|(child, _)| (*child).to_owned()).collect();
        let before = touched.len();
        touched.extend(reached);
        if touched.len() == before {
            return touched;
        }
    }
}

/// Adds the rows of tables that were there before a body and still are afterwards.
pub(super) fn add(effects: &mut Effects, touched: BTreeSet<String>) {
    for table in touched {
        let gone = effects.destroyed.contains(&ObjectName::new("table", &table));
        let lost = Lost::Rows { table };
        if !gone && !effects.losses.iter().any(|loss| loss.lost == lost) {
            effects.losses.push(Loss { lost, rows: None, bytes: None, estimated: false });
        }
    }
}

/// The table and its parent, where what happens to the parent's rows happens to the table's.
fn handed_on<'a>((name, definition): (&'a ObjectName, &'a String)) -> Option<(&'a str, &'a str)> {
    let table = name.table.as_deref().filter(|_| name.kind == "constraint")?;
    let (_, parent) = definition.split_once(" REFERENCES ")?;
    let (parent, actions) = parent.split_once('(')?;
    let acts = ["CASCADE", "SET NULL", "SET DEFAULT"].iter().any(|it| actions.contains(it));
    acts.then_some((table, parent))
}

/// A printed name without the quotes of its parts.
fn unquoted(name: &str) -> String {
    let mut plain = String::new();
    let mut signs = name.chars().peekable();
    while let Some(sign) = signs.next() {
        match sign {
            '"' if signs.peek() == Some(&'"') => {
                signs.next();
                plain.push('"');
            }
            '"' => {}
            other => plain.push(other),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deletion_goes_along_the_keys_that_hand_it_on() {
        let mut schema = Fingerprint::default();
        for table in ["a", "b", "c", "d", "\"Big \"\"one\"", "other.a"] {
            schema.objects.insert(ObjectName::new("table", table), String::new());
        }
        let mut key = |table: &str, definition: &str| {
            let name = ObjectName {
                kind: "constraint".to_owned(),
                name: format!("{table}_fkey"),
                table: Some(table.to_owned()),
            };
            schema.objects.insert(name, definition.to_owned());
        };
        key("b", "FOREIGN KEY (a_id) REFERENCES a(id) ON DELETE CASCADE");
        key("c", "FOREIGN KEY (b_id) REFERENCES b(id) ON DELETE SET NULL");
        key("d", "FOREIGN KEY (b_id) REFERENCES b(id)");
        let written = |names: &[&str]| names.iter().map(ToString::to_string).collect();
        let found = tables(&schema, &written(&["public.a", "Big \"one"]), "public");
        assert_eq!(found, written(&["a", "b", "c", "\"Big \"\"one\""]));
    }
}
