//! What a journey's statements have written so far: whose rows are not those any more that can be asked.

use std::collections::BTreeSet;

use sternway_database::{Dialect, RowDeed};
use sternway_model::archive::Entry;
use sternway_model::plan::Migrate;
use sternway_model::proof::{Definition, Facts, Fingerprint, ObjectName};

/// The tables whose rows the statements so far may have written.
#[derive(Default)]
pub(super) struct Written {
    tables: BTreeSet<String>,
    /// Columns of other tables that were changed.
    columns: BTreeSet<(String, String)>,
    /// Tables that got rows.
    pub grown: BTreeSet<String>,
    /// Columns that were gone.
    gone: BTreeSet<ObjectName>,
    /// Whether any may be among them.
    pub all: bool,
}

impl Written {
    /// Adds what a statement may write.
    pub fn by(&mut self, dialect: Dialect, statement: &str, start: &Fingerprint) {
        let first = statement.split_whitespace().next().unwrap_or_default().to_uppercase();
        let calls = ["CALL", "DO", "EXECUTE", "EXEC"].contains(&first.as_str());
        self.all |= calls || !dialect.facts(statement).unforeseen.is_empty();
        let Some(rows) = dialect.of_rows(statement) else { return };
        let triggers = start.objects.keys().any(|it| it.kind == "trigger");
        let handed_on = start.objects.values().any(|it| match &it.facts {
            Facts::ForeignKey(key) => {
                (key.on_delete.reaches() || key.on_update.reaches()) && rows.is_of(&key.parent)
            }
            _ => false,
        });
        self.all |= rows.deed == RowDeed::Other || triggers || handed_on;
        let tables = start.objects.keys().filter(|it| it.kind == "table" && rows.is_of(&it.name));
        for table in tables.map(|it| it.name.clone()) {
            match (rows.deed, &rows.columns) {
                (RowDeed::Puts, _) if !replaces(&first, statement) => {
                    self.grown.insert(table);
                }
                (_, Some(columns)) => {
                    let columns = columns.iter().map(|it| (table.clone(), it.to_lowercase()));
                    self.columns.extend(columns);
                }
                _ => drop(self.tables.insert(table)),
            }
        }
    }

    /// Adds what the archive restores behind a step.
    pub fn restored(&mut self, entries: &[Entry], step: &Migrate, start: &Fingerprint) {
        let tables = start.objects.keys().filter(|it| it.kind == "table");
        let tables = tables.filter(|it| waits(entries, step, &it.name));
        self.tables.extend(tables.map(|it| it.name.clone()));
    }

    /// Adds what is gone: one of the same name is another.
    pub fn without(&mut self, start: &Fingerprint, now: &Fingerprint) {
        let gone = start.objects.keys().filter(|it| !now.objects.contains_key(*it));
        for object in gone {
            match object.kind.as_str() {
                "table" => drop(self.tables.insert(object.name.clone())),
                "column" => drop(self.gone.insert(object.clone())),
                _ => {}
            }
        }
    }

    /// Whether a column that a query reads by its name is not what it was before the journey: its values may be
    /// others. `here` is the schema by now.
    pub fn changed(&self, query: &str, start: &Fingerprint, here: &Fingerprint) -> bool {
        let kind = |it: &Definition| {
            let text = it.text.split(" default ").next().unwrap_or_default();
            text.replace(" not null", "")
        };
        let is_other = |it: &&ObjectName| {
            let (was, is) = (start.objects.get(*it).map(kind), here.objects.get(*it).map(kind));
            it.kind == "column" && is.is_some() && (was != is || self.gone.contains(*it))
        };
        let query = query.to_lowercase();
        let reads = |table: &str, column: &str| {
            query.contains(&plain(table))
                && (query.contains(&plain(column)) || query.contains(" * "))
        };
        let others = start.objects.keys().filter(is_other);
        others
            .filter_map(|it| it.table.as_ref().map(|table| (table, &it.name)))
            .chain(self.columns.iter().map(|(table, column)| (table, column)))
            .any(|(table, column)| reads(table, column))
    }

    /// Whether the rows of a table are those that are there before the journey, but for values of its columns.
    pub fn has_not(&self, table: &str) -> bool {
        !self.all && !self.tables.contains(table)
    }
}

/// Whether a statement that puts rows into a table may take others away, or change them.
fn replaces(first: &str, statement: &str) -> bool {
    let statement = statement.to_uppercase();
    first == "REPLACE"
        || first == "MERGE"
        || ["REPLACE", "CONFLICT", "DUPLICATE"].iter().any(|it| statement.contains(it))
}

/// A printed name as a text may have it.
fn plain(name: &str) -> String {
    let name = name.rsplit('.').next().unwrap_or(name);
    name.replace(['"', '`'], "").to_lowercase()
}

/// Whether what waits in the archive for a step is of a table.
pub(super) fn waits(entries: &[Entry], step: &Migrate, table: &str) -> bool {
    let own = ObjectName::new("table", table).plain();
    let bare = |name: &str| name.rsplit('.').next().unwrap_or(name).to_owned();
    entries.iter().filter(|it| it.waits_for(step)).any(|it| {
        let of = ObjectName::new("table", it.lost.of()).plain();
        bare(&of) == bare(&own)
    })
}
