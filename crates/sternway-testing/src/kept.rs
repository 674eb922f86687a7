//! What the archive still has, as an account looks for it.

use std::collections::{BTreeMap, BTreeSet};

use sternway_model::archive::{Entry, Page};
use sternway_model::catalog::Direction;
use sternway_model::effect::Lost;

use crate::snapshot::{Row, Table};

/// An entry of the archive with the rows that are in it.
#[derive(Debug, Clone, PartialEq)]
pub struct KeptRows {
    /// The entry.
    pub entry: Entry,
    /// The columns of its rows.
    pub columns: Vec<String>,
    /// Its rows.
    pub rows: Vec<Row>,
}

impl KeptRows {
    /// An entry and all its pages.
    pub fn new(entry: Entry, pages: Vec<Page>) -> KeptRows {
        let columns = pages.first().map(|page| page.columns.clone()).unwrap_or_default();
        KeptRows { entry, columns, rows: pages.into_iter().flat_map(|page| page.rows).collect() }
    }

    /// The table that it is of.
    fn table(&self) -> Option<String> {
        match &self.entry.lost {
            Lost::Table { table } | Lost::Column { table, .. } | Lost::Rows { table } => {
                Some(unquoted(table))
            }
            Lost::Sequence { .. } => None,
        }
    }

    /// What its own numbers do not add up to.
    pub(crate) fn contradictions(&self) -> Vec<String> {
        let entry = &self.entry;
        let mut found = Vec::new();
        if let Some(restored) = &entry.restored {
            let (rows, back, left) = (entry.rows, restored.back, restored.left());
            if rows != back + left {
                found.push(format!("{rows} rows were kept, {back} are back and {left} are left"));
            }
        }
        let (waiting, there) = (entry.waiting(), self.rows.len() as u64);
        if waiting != there && self.table().is_some() {
            found.push(format!("{waiting} rows should be in the archive, and {there} are"));
        }
        found
    }
}

/// The rows of an entry by some of their values.
type Index = BTreeMap<Row, Vec<usize>>;

/// The rows of the archive by table.
pub(crate) struct Shelf<'a> {
    kept: &'a [KeptRows],
    /// The rows of an entry that some row without a key was found in.
    used: BTreeSet<(usize, usize)>,
    /// The same for rows as the older release left them.
    used_left: BTreeSet<(usize, usize)>,
    /// The rows of each entry by the values of some of its columns.
    by_key: BTreeMap<(usize, Vec<usize>), Index>,
}

impl<'a> Shelf<'a> {
    pub fn new(kept: &'a [KeptRows]) -> Shelf<'a> {
        Shelf { kept, used: BTreeSet::new(), used_left: BTreeSet::new(), by_key: BTreeMap::new() }
    }

    /// The entries of a table and of its partitions.
    fn of(&self, name: &str, table: &Table) -> Vec<usize> {
        let is_of =
            |it: &KeptRows| it.table().is_some_and(|of| of == name || table.parts.contains(&of));
        (0..self.kept.len()).filter(|at| is_of(&self.kept[*at])).collect()
    }

    /// Whether a value of the row with this key is there.
    pub fn has(
        &mut self,
        name: &str,
        table: &Table,
        key: &[usize],
        row: &Row,
        column: usize,
    ) -> bool {
        let wanted = &table.columns[column].name;
        for at in self.of(name, table) {
            let kept = &self.kept[at];
            let Some(place) = kept.columns.iter().position(|it| it == wanted) else { continue };
            let keys = key.iter().filter_map(|key| {
                let theirs = kept.columns.iter().position(|it| *it == table.columns[*key].name)?;
                Some((*key, theirs))
            });
            let (own, theirs): (Vec<usize>, Vec<usize>) = keys.unzip();
            let index = self.by_key.entry((at, theirs.clone())).or_insert_with(|| {
                let mut index: BTreeMap<_, Vec<usize>> = BTreeMap::new();
                for (number, row) in kept.rows.iter().enumerate() {
                    let key: Vec<_> = theirs.iter().map(|at| row[*at].clone()).collect();
                    index.entry(key).or_default().push(number);
                }
                index
            });
            let key: Vec<_> = own.iter().map(|at| row[*at].clone()).collect();
            let found = index.get(&key).into_iter().flatten();
            if found.into_iter().any(|number| kept.rows[*number][place] == row[column]) {
                return true;
            }
        }
        false
    }

    /// The places of the columns whose values are there for a row that no key tells from others. Each
    /// row of the archive stands for one such row.
    pub fn take(&mut self, name: &str, table: &Table, row: &Row) -> BTreeSet<usize> {
        let mut covered = BTreeSet::new();
        for at in self.of(name, table) {
            let kept = &self.kept[at];
            let shared = table.columns.iter().enumerate().filter_map(|(own, column)| {
                Some((own, kept.columns.iter().position(|it| *it == column.name)?))
            });
            let shared: Vec<(usize, usize)> =
                shared.filter(|(own, _)| !table.columns[*own].generated).collect();
            let same = |theirs: &Row| shared.iter().all(|(own, at)| row[*own] == theirs[*at]);
            let free = |number: &usize| !self.used.contains(&(at, *number));
            let found = (0..kept.rows.len()).filter(free).find(|it| same(&kept.rows[*it]));
            if let (Some(number), false) = (found, shared.is_empty()) {
                self.used.insert((at, number));
                covered.extend(shared.iter().map(|(own, _)| *own));
            }
        }
        covered
    }

    /// Whether the way up has kept a row with these values, as the older release left it.
    pub fn take_left(
        &mut self,
        name: &str,
        table: &Table,
        values: &[(&str, &Option<String>)],
    ) -> bool {
        for at in self.of(name, table) {
            let kept = &self.kept[at];
            if kept.entry.direction == Direction::Down {
                continue;
            }
            let same = |theirs: &Row| {
                values.iter().all(|(name, value)| {
                    let place = kept.columns.iter().position(|it| it == name);
                    place.is_some_and(|place| theirs[place] == **value)
                })
            };
            let free = |number: &usize| !self.used_left.contains(&(at, *number));
            let found = (0..kept.rows.len()).filter(free).find(|it| same(&kept.rows[*it]));
            if let Some(number) = found {
                self.used_left.insert((at, number));
                return true;
            }
        }
        false
    }
}

/// A name without the quotes that some names need.
fn unquoted(name: &str) -> String {
    match name.strip_prefix('"').and_then(|it| it.strip_suffix('"')) {
        Some(inner) => inner.replace("\"\"", "\""),
        None => name.to_owned(),
    }
}
