//! The rows that a body would change if there were any: the tables of a shadow are empty, so running
//! the body there does not show it.
//!
//! A deletion reaches further than its words say, along the foreign keys that hand it on.

use std::collections::BTreeSet;

use sternway_model::body::BodyFacts;
use sternway_model::effect::{Effects, Loss, Lost};
use sternway_model::proof::{Definition, Facts, Fingerprint, ObjectName};

/// The tables of a schema that a body writes to, under the names that the schema's fingerprint has.
#[derive(Debug, Default, PartialEq)]
pub(super) struct WrittenTables {
    /// Those whose rows are changed or deleted.
    changed: BTreeSet<String>,
    /// Those whose new columns are filled.
    filled: BTreeSet<String>,
}

impl WrittenTables {
    /// What a body with these facts touches in `schema`, where names are of `current` unless they
    /// say otherwise.
    pub fn by(facts: &BodyFacts, schema: &Fingerprint, current: &str) -> WrittenTables {
        let own = format!("{current}.");
        let named = |written: &BTreeSet<String>| -> BTreeSet<String> {
            let written: BTreeSet<&str> =
                written.iter().map(|it| it.strip_prefix(&own).unwrap_or(it)).collect();
            let tables = schema.objects.keys().filter(|it| it.kind == "table");
            let tables = tables.filter(|it| written.contains(unquoted(&it.name).as_str()));
            tables.map(|it| it.name.clone()).collect()
        };
        let mut changed = named(&facts.changes);
        let handed_on: Vec<(&str, &str)> = schema.objects.iter().filter_map(handed_on).collect();
        loop {
            let reached = handed_on.iter().filter(|(_, parent)| changed.contains(*parent));
            let reached: Vec<String> = reached.map(|(child, _)| (*child).to_owned()).collect();
            let before = changed.len();
            changed.extend(reached);
            if changed.len() == before {
                return WrittenTables { changed, filled: named(&facts.fills) };
            }
        }
    }

    /// Adds what is left of it after a body: a table that goes is lost as a whole.
    pub fn add_to(self, effects: &mut Effects) {
        for table in self.changed {
            let gone = effects.destroyed.contains(&ObjectName::new("table", &table));
            let lost = Lost::Rows { table };
            if !gone && !effects.losses.iter().any(|loss| loss.lost == lost) {
                effects.losses.push(Loss { lost, rows: None, bytes: None, estimated: false });
            }
        }
        effects.filled.extend(self.filled);
    }
}

/// Whether a body with these effects writes rows.
pub(super) fn writes(effects: &Effects) -> bool {
    written(effects).next().is_some()
}

fn written(effects: &Effects) -> impl Iterator<Item = &str> {
    let lost = effects.losses.iter().filter_map(|loss| match &loss.lost {
        Lost::Rows { table } => Some(table),
        _ => None,
    });
    // An insert destroys nothing, and what it sets off may.
    let locked = effects.locks.iter().filter(|it| it.mode == "ROW EXCLUSIVE").map(|it| &it.table);
    lost.chain(locked).chain(&effects.filled).map(String::as_str)
}

/// The triggers that a body with these effects may set off, where `after` is the schema that it leads
/// to: on a shadow without rows most of them never run.
pub(super) fn called(effects: &Effects, after: &Fingerprint) -> BTreeSet<String> {
    let written: BTreeSet<&str> = written(effects).collect();
    let triggers = after.objects.keys().chain(&effects.destroyed);
    let triggers = triggers.filter(|it| it.kind == "trigger");
    let called = triggers.filter_map(|it| {
        let table = it.table.as_deref().filter(|it| written.contains(it))?;
        Some(format!("what the trigger {} of {table} does", it.name))
    });
    called.collect()
}

/// The functions of a schema that take large objects away and that a body names.
pub(super) fn unlinking(body: &str, schema: &Fingerprint) -> Vec<String> {
    let body = body.to_lowercase();
    let functions = schema.objects.iter().filter(|(it, definition)| {
        let name = it.name.split('(').next().unwrap_or_default();
        let bare = unquoted(name.rsplit('.').next().unwrap_or_default()).to_lowercase();
        ["function", "procedure"].contains(&it.kind.as_str())
            && definition.text.to_lowercase().contains("lo_unlink")
            && body.contains(&bare)
    });
    functions.map(|(it, _)| format!("the call of lo_unlink by {}", it.name)).collect()
}

/// The table and its parent, where what happens to the parent's rows happens to the table's.
fn handed_on<'a>(
    (name, definition): (&'a ObjectName, &'a Definition),
) -> Option<(&'a str, &'a str)> {
    let Facts::ForeignKey(key) = &definition.facts else { return None };
    let reaches = key.on_update.reaches() || key.on_delete.reaches();
    reaches.then_some((name.table.as_deref()?, &key.parent))
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
    use sternway_model::proof::{Action, ForeignKey};

    use super::*;

    #[test]
    fn a_deletion_goes_along_the_keys_that_hand_it_on() {
        let mut schema = Fingerprint::default();
        for table in ["a", "b", "c", "d", "\"Big \"\"one\"", "other.a"] {
            schema.objects.insert(ObjectName::new("table", table), Definition::default());
        }
        let mut key = |table: &str, parent: &str, on_delete: Action| {
            let name = ObjectName {
                kind: "constraint".to_owned(),
                name: format!("{table}_fkey"),
                table: Some(table.to_owned()),
            };
            let key = ForeignKey {
                columns: vec![format!("{parent}_id")],
                parent: parent.to_owned(),
                parent_columns: vec!["id".to_owned()],
                on_update: Action::NoAction,
                on_delete,
            };
            let facts = Facts::ForeignKey(key);
            schema.objects.insert(name, Definition { facts, ..Definition::default() });
        };
        key("b", "a", Action::Cascade);
        key("c", "b", Action::SetNull);
        key("d", "b", Action::NoAction);
        let names = |names: &[&str]| names.iter().map(ToString::to_string).collect();
        let facts = BodyFacts {
            changes: names(&["public.a", "Big \"one"]),
            fills: names(&["d"]),
            ..BodyFacts::default()
        };
        let found = WrittenTables::by(&facts, &schema, "public");
        assert_eq!(found.changed, names(&["a", "b", "c", "\"Big \"\"one\""]));
        assert_eq!(found.filled, names(&["d"]));
    }
}
