//! The way down and up again, as it was seen from outside.

use std::collections::BTreeMap;

use crate::account::{Account, keyed, unkeyed, writes};
use crate::kept::{KeptRows, Shelf};
use crate::snapshot::{Row, Snapshot, Table};
use crate::writes::Written;

/// A journey down and up again.
#[derive(Debug, Clone, Copy)]
pub struct Journey<'a> {
    /// The rows before it.
    pub before: &'a Snapshot,
    /// What the older release did, in between.
    pub written: &'a Written,
    /// The rows after it.
    pub after: &'a Snapshot,
    /// The entries that the journey has made in the archive, with the rows that are still there.
    pub kept: &'a [KeptRows],
    /// What the way up before it had left in the archive, with the rows that were there: the way down
    /// gives these values back, over what that way up had made of them.
    pub owed: &'a [KeptRows],
    /// Rows that the bodies themselves insert: the values of some columns, by table.
    pub seeds: &'a [(String, BTreeMap<String, String>)],
    /// Columns that the way up computes: what was kept of those stays in the archive where what they are
    /// computed from has changed.
    pub computed: &'a [Computed<'a>],
    /// Tables whose rows the way down carried over into others, where they went on living: what is
    /// there afterwards is newer than what the archive has, and stays.
    pub carried: &'a [String],
}

impl Journey<'_> {
    /// Says what became of every row.
    pub fn account(&self) -> Account {
        let mut account = Account::default();
        let (mut shelf, mut owed) = (Shelf::new(self.kept), Shelf::new(self.owed));
        for kept in self.kept {
            for contradiction in kept.contradictions() {
                account
                    .find(&format!("entry {} ({})", kept.entry.id, kept.entry.lost), contradiction);
            }
        }
        for (name, table) in &self.before.tables {
            account.rows += table.rows.len() as u64;
            let part = Part {
                name,
                before: table,
                old: self.written.before.numbered(table.oid),
                old_name: self.written.before.name_of(table.oid),
                old_after: self.written.after.numbered(table.oid),
                after: self.after.tables.get(name),
                origin: self
                    .after
                    .tables
                    .get(name)
                    .and_then(|after| self.written.after.numbered(after.oid)),
                seeds: self.seeds,
                carried: self.carried.contains(name),
                computed: self.computed,
                written: self.written,
            };
            if !keyed::account(&part, &mut shelf, &mut owed, &mut account) {
                unkeyed::account(&part, &mut shelf, &mut account);
            }
        }
        writes::account(self, &mut shelf, &mut account);
        for (name, next) in &self.before.sequences {
            match self.after.sequences.get(name) {
                None => account.find(name, "the sequence is gone".to_owned()),
                Some(after) if after < next => {
                    account.find(name, format!("the sequence would give {next}, and now {after}"));
                }
                Some(_) => {}
            }
        }
        account
    }
}

/// A column that the way up computes.
#[derive(Debug, Clone, Copy)]
pub struct Computed<'a> {
    /// Its table.
    pub table: &'a str,
    /// Its name.
    pub column: &'a str,
    /// The columns of the same row that it is computed from.
    pub row: &'a [&'a str],
    /// The rows of another table that it is computed from as well.
    pub others: Option<Others<'a>>,
}

/// Rows of another table that belong to a row.
#[derive(Debug, Clone, Copy)]
pub struct Others<'a> {
    /// That table.
    pub table: &'a str,
    /// What is taken of it.
    pub column: &'a str,
    /// Its column that has what `by` has.
    pub key: &'a str,
    /// The column of the row itself.
    pub by: &'a str,
}

impl Others<'_> {
    /// What belongs to a row of `table`.
    fn of(&self, row: &Row, table: &Table, all: &Snapshot) -> Vec<Option<String>> {
        let by = table.named_at(self.by).and_then(|at| row[at].clone());
        let Some(other) = all.tables.get(self.table) else { return Vec::new() };
        let (key, column) = (other.named_at(self.key), other.named_at(self.column));
        let (Some(key), Some(column)) = (key, column) else { return Vec::new() };
        let its = other.rows.iter().filter(|it| by.is_some() && it[key] == by);
        let mut values: Vec<_> = its.map(|it| it[column].clone()).collect();
        values.sort();
        values
    }
}

/// One table on the journey.
pub(crate) struct Part<'a> {
    pub name: &'a str,
    pub before: &'a Table,
    /// The same table where the older release found it.
    pub old: Option<&'a Table>,
    /// What it was called there.
    pub old_name: &'a str,
    /// And where it left it.
    pub old_after: Option<&'a Table>,
    pub after: Option<&'a Table>,
    /// What it is afterwards, where the older release left that: another one, where the way up renames.
    pub origin: Option<&'a Table>,
    pub carried: bool,
    pub computed: &'a [Computed<'a>],
    pub written: &'a Written,
    pub seeds: &'a [(String, BTreeMap<String, String>)],
}

impl Part<'_> {
    /// Where the older release has each column.
    pub fn columns_of_old(&self) -> Vec<Option<usize>> {
        self.before
            .columns
            .iter()
            .map(|it| self.old.and_then(|old| old.numbered(it.number)))
            .collect()
    }

    /// Where each column is afterwards.
    pub fn columns_after(&self) -> Vec<Option<usize>> {
        let after = |name: &str| self.after.and_then(|after| after.named_at(name));
        self.before.columns.iter().map(|it| after(&it.name)).collect()
    }

    /// Whether the older release has changed what a column of this row is computed from.
    pub fn is_computed_anew(&self, column: &str, found: &Row, left: &Row) -> bool {
        let (Some(old), Some(old_after)) = (self.old, self.old_after) else { return false };
        let is_it = |it: &&Computed<'_>| it.table == self.name && it.column == column;
        self.computed.iter().find(is_it).is_some_and(|it| {
            let of = |table: &Table, row: &Row, name: &str| {
                table.named_at(name).and_then(|at| row[at].clone())
            };
            let moved = |name: &&str| of(old, found, name) != of(old_after, left, name);
            let others = |it: &Others<'_>| {
                let Written { before, after, .. } = self.written;
                it.of(found, old, before) != it.of(left, old_after, after)
            };
            it.row.iter().any(moved) || it.others.as_ref().is_some_and(others)
        })
    }

    /// Whether the bodies insert a row of the table, as it was before, under another key: it is there, made anew.
    pub fn is_made_anew(&self, row: &Row, key: &[usize]) -> bool {
        let Some(after) = self.after else { return false };
        let columns = self.before.columns.iter().enumerate().filter(|(at, _)| !key.contains(at));
        let places: Vec<_> = columns.map(|(at, it)| (at, after.named_at(&it.name))).collect();
        let same =
            |seed: &Row| places.iter().all(|(at, to)| to.map(|to| &seed[to]) == Some(&row[*at]));
        after.rows.iter().any(|it| self.is_seed(it) && same(it))
    }

    /// Whether a row of the table, as it is afterwards, is one that the bodies insert.
    pub fn is_seed(&self, row: &Row) -> bool {
        let Some(after) = self.after else { return false };
        self.seeds.iter().filter(|(table, _)| table == self.name).any(|(_, values)| {
            values.iter().all(|(name, value)| {
                after.named_at(name).is_some_and(|at| row[at].as_deref() == Some(value))
            })
        })
    }
}

impl Table {
    /// Where the column of this number is.
    pub(crate) fn numbered(&self, number: i16) -> Option<usize> {
        self.columns.iter().position(|column| column.number == number)
    }

    /// Where the column of this name is.
    pub(crate) fn named_at(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }

    /// The rows by the values of these columns; `None` where two rows have the same.
    pub(crate) fn by(&self, columns: &[usize]) -> Option<BTreeMap<Row, &Row>> {
        let key = |row: &Row| columns.iter().map(|at| row[*at].clone()).collect::<Row>();
        let rows: BTreeMap<Row, &Row> = self.rows.iter().map(|row| (key(row), row)).collect();
        (rows.len() == self.rows.len()).then_some(rows)
    }
}
