//! What restoring asks of a database. The algorithm is in `restore.rs`, against this trait alone.

use std::collections::BTreeMap;

use async_trait::async_trait;
use sternway_model::archive::{EntryId, Restored};

use super::shape::{ForeignKey, Given, Shape};
use super::{Layout, Result};

/// How many rows one statement names at most: a table may have millions.
pub const BATCH: usize = 1_000;

/// A table that rows go back to, beside the one that holds them.
#[derive(Debug, Clone)]
pub struct Place {
    /// The number of the table that holds the rows.
    pub data: i64,
    /// How they are laid out there.
    pub layout: Layout,
    /// That table.
    pub held: Shape,
    /// The table that they go back to.
    pub shape: Shape,
    /// The columns of the layout that it has.
    pub columns: Vec<usize>,
    /// Those that tell its rows apart, if they do.
    pub key: Vec<usize>,
    /// The columns that a body took, or that the other half fills.
    pub judged: Vec<usize>,
    /// Of each of these, by what it is known whether what it is computed from has changed since.
    pub inputs: Vec<Inputs>,
    /// Whether columns went of rows that stayed.
    pub of_columns: bool,
}

/// By what it is known whether what a column is computed from has changed since.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Inputs {
    /// Nobody knows.
    Unknown,
    /// By these columns of its row.
    Columns(Vec<usize>),
    /// By what the other half would have made of it when it was kept.
    Anew,
}

/// A row of the archive that has no conflict yet, beside the table that it goes back to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Match {
    /// Its number.
    pub row: i64,
    /// Whether the body gave it other values, and did not delete it.
    pub changed: bool,
    /// Whether the body deleted it, and the other half would have made it again then.
    pub was_made: bool,
    /// What was found in its place before the other half ran, or by its contents.
    pub found: Option<Found>,
    /// Whether it has a value for a column that is not there.
    pub unplaced: bool,
    /// Whether a row with its key is there.
    pub is_there: bool,
    /// Whether that has its values.
    pub is_same: bool,
    /// What that has in the columns that are judged.
    pub values: Vec<Value>,
}

/// What a row has in a column beside what is in the archive.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Value {
    /// The same.
    pub same: bool,
    /// Nothing, or what a row has that is given nothing.
    pub blank: bool,
    /// Whether what it is computed from has changed since, or may have.
    pub moved: bool,
}

/// What was found of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// The body deleted it, and before the other half ran another one had its key.
    Taken,
    /// The body changed it, and it still had the values from then.
    Same,
    /// The body changed it, and it had others.
    Other,
    /// A row with its contents is there.
    There,
    /// Some look alike that would get different values.
    Alike,
    /// None with its contents is there any more.
    Gone,
    /// The body deleted it, and one that is the same but for what a row gets by itself was there before
    /// the other half ran.
    Like,
    /// Such a row is there since.
    Anew,
}

/// What is looked for by contents.
#[derive(Debug, Clone, Copy)]
pub enum Contents<'a> {
    /// Rows that are there, as many as there are of the kind.
    Whole,
    /// Rows that are there as they look in the columns `stay`, to give them `values`: of those that the
    /// body changed, or of all others.
    Pair { changed: bool, stay: &'a [usize], values: &'a [usize] },
}

/// How rows go back. Each is one statement, which leaves nothing where it fails.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Act {
    /// The row that is there gets the former values of these columns; a column that the body left alone
    /// stays where `only_changed` says so.
    Set { columns: Vec<usize>, only_changed: bool },
    /// The row that is there gets all former values.
    Replace,
    /// The row is inserted.
    Insert,
    /// The row that has the same in these columns, in which no two have it, becomes the former one.
    Claim { unique: Vec<usize> },
    /// The row gives up what it has in these columns and what another one may be about to get, for as long as they
    /// change places; `only_changed` as above.
    Vacate { columns: Vec<usize>, only_changed: bool },
}

impl Place {
    /// The columns of which a body left values, which are in the archive beside the former ones.
    pub fn with_both(&self) -> Vec<usize> {
        let held = |at: &usize| self.held.column(&format!("a{at}")).is_some();
        let stayed = |at: &usize| self.layout.renamed(*at).is_some() && held(at);
        self.columns.iter().copied().filter(stayed).collect()
    }

    /// The columns that a body took, and those that it left.
    pub fn gone_and_left(&self) -> (Vec<usize>, Vec<usize>) {
        let gone = self.layout.gone();
        self.columns.iter().partition(|at| gone.contains(at))
    }

    /// The columns that a row is given its values in, where its key is none of them: then it may have
    /// been made anew under another one.
    pub fn given(&self) -> Option<Vec<usize>> {
        let given = self.columns.iter().filter(|at| !self.is_own(**at)).copied();
        let given: Vec<usize> = given.collect();
        let known = self.key.iter().all(|at| self.columns.contains(at));
        let own = self.key.iter().any(|at| self.is_own(*at));
        (known && own && !given.is_empty()).then_some(given)
    }

    /// The columns by which no two rows are the same, besides the key.
    pub fn uniques_beside(&self) -> Vec<Vec<usize>> {
        let at = |name: &String| self.layout.at(name).filter(|at| self.columns.contains(at));
        let sets = self.shape.unique.iter().filter_map(|set| set.iter().map(at).collect());
        sets.filter(|set: &Vec<usize>| !set.iter().all(|at| self.key.contains(at))).collect()
    }

    /// Whether a column gives a row a value by itself.
    pub fn is_own(&self, at: usize) -> bool {
        let column = self.layout.columns.get(at).and_then(|name| self.shape.column(name));
        column.is_some_and(|it| it.given == Given::Own)
    }

    /// Whether triggers would fire on an event that nobody can keep from firing.
    pub fn fires(&self, event: &str) -> bool {
        self.shape.triggers.iter().any(|it| it == event)
    }
}

/// What restoring asks of a database that has no catalog of changed rows. A row that does not fit gets a
/// conflict, which is the reason; all other rows of an entry count as restored in the end.
#[async_trait]
pub trait RowStore: Send {
    /// Whether foreign keys are looked at when all rows are in place, and not by each statement.
    fn defers_foreign_keys(&self) -> bool;

    /// A table as it is now, unless it is not there.
    async fn table(&mut self, name: &str) -> Result<Option<Shape>>;

    /// Forgets what earlier tries have found out about the rows.
    async fn begin_anew(&mut self, data: i64) -> Result<()>;

    /// Notes what is in the place of each row before the other half runs, by what the columns are called
    /// then.
    async fn look_in_place(&mut self, place: &Place) -> Result<()>;

    /// Notes of rows that are not there and have no note yet which have their like there, and for how
    /// many there is one: the same but for what a row gets by itself. `found` is the note.
    async fn look_for_alike(&mut self, place: &Place, found: Found) -> Result<()>;

    /// Notes of deleted rows that another row has what is there only once, before the other half runs, by what the
    /// columns `unique` are called then.
    async fn look_for_holders(&mut self, place: &Place, unique: &[usize]) -> Result<()>;

    /// The rows that are not there, and in whose place one is that has the same in the columns `unique` and is no row
    /// of the archive: the body has made it since. Of several that would have one place, the first.
    async fn claimants(&mut self, place: &Place, unique: &[usize]) -> Result<Vec<i64>>;

    /// Takes those rows out of the table that are rows of the archive under another key, but for what a row gets
    /// by itself; as many as there are, and none where other rows may refer to them.
    async fn twins_give_way(&mut self, place: &Place) -> Result<()>;

    /// Whether all rows of a table have the same in a column, and there are several.
    async fn is_uniform(&mut self, place: &Place, column: usize) -> Result<bool>;

    /// Whether a table was kept whole after one entry and before another one.
    async fn went(&mut self, table: &str, between: [EntryId; 2]) -> Result<bool>;

    /// Gives those rows of a place a conflict of which `newer`, kept later, has something newer.
    async fn supersede(&mut self, place: &Place, newer: &Place) -> Result<()>;

    /// Notes which rows are found by their contents.
    async fn find(&mut self, place: &Place, contents: Contents<'_>) -> Result<()>;

    /// The rows without a conflict after the number `after`, [`BATCH`] at most, in order.
    async fn matching(&mut self, place: &Place, after: i64) -> Result<Vec<Match>>;

    /// Gives these rows a conflict; without numbers, all that have none.
    async fn refuse(&mut self, data: i64, rows: Option<&[i64]>, reason: &str) -> Result<()>;

    /// Takes rows that the body changed for rows that it deleted.
    async fn take_for_deleted(&mut self, data: i64, rows: &[i64]) -> Result<()>;

    /// Looks at foreign keys in each statement from now on, or no longer.
    async fn check_foreign_keys(&mut self, on: bool) -> Result<()>;

    /// Writes these rows, [`BATCH`] at most, or none of them: then it returns the rule of the table that
    /// one of them breaks.
    async fn write(
        &mut self,
        place: &Place,
        act: &Act,
        rows: &[i64],
    ) -> Result<std::result::Result<(), &'static str>>;

    /// The rows without a conflict, after the number `after` and [`BATCH`] at most, from which a foreign
    /// key leads nowhere. `own`: all of its columns are in the archive. What they refer to stays locked.
    async fn orphans(
        &mut self,
        place: &Place,
        key: &ForeignKey,
        own: bool,
        after: i64,
    ) -> Result<Vec<i64>>;

    /// Sets a mark in the transaction that can be gone back to.
    async fn mark(&mut self, name: &str) -> Result<()>;

    /// Takes the mark away, and first all that was written after it unless that is to `stay`.
    async fn unmark(&mut self, name: &str, stay: bool) -> Result<()>;

    /// Lets the table give no number again that it had given.
    async fn advance(&mut self, shape: &Shape, sequence: u64) -> Result<()>;

    /// Throws away the rows without a conflict. Returns how many these were, and how many stay by why.
    async fn empty(&mut self, data: i64) -> Result<(u64, BTreeMap<String, u64>)>;

    /// Notes in the index what became of an entry.
    async fn note(&mut self, id: EntryId, restored: &Restored) -> Result<()>;
}
