//! What became of each row.

pub(crate) mod keyed;
pub(crate) mod unkeyed;
pub(crate) mod writes;

use std::fmt;

use crate::snapshot::{Row, Table};

/// What became of the rows of a journey.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Account {
    /// How many rows there were.
    pub rows: u64,
    /// How many of them the way down destroyed, wholly or in part.
    pub destroyed: u64,
    /// How many of those are back.
    pub back: u64,
    /// How many of those are in the archive.
    pub left: u64,
    /// How many rows that were not destroyed the older release has changed or deleted.
    pub written: u64,
    /// How many rows are as they were, untouched.
    pub intact: u64,
    /// What nobody can account for.
    pub findings: Vec<Finding>,
    /// Rows in the archive that may have fitted.
    pub(crate) doubts: Vec<Doubt>,
}

/// Something that must not be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Where, such as a table.
    pub place: String,
    /// What.
    pub what: String,
}

/// A row that is left in the archive, which may have fitted.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Doubt {
    pub table: String,
    /// The row with the names and the types of its columns; the type of a generated column is empty.
    pub row: Vec<(String, String, Option<String>)>,
    /// The places in it of what tells which row it is; empty where the whole row is gone.
    pub key: Vec<usize>,
    /// The places in it of the values that are not back.
    pub left: Vec<usize>,
}

impl Account {
    /// Whether there is nothing that nobody can account for.
    pub fn is_whole(&self) -> bool {
        self.findings.is_empty()
    }

    /// Adds what another journey came to.
    pub fn add(&mut self, other: Account) {
        self.rows += other.rows;
        self.destroyed += other.destroyed;
        self.back += other.back;
        self.left += other.left;
        self.written += other.written;
        self.intact += other.intact;
        self.findings.extend(other.findings);
        self.doubts.extend(other.doubts);
    }

    pub(crate) fn find(&mut self, place: &str, what: String) {
        self.findings.push(Finding { place: place.to_owned(), what });
    }

    /// Counts a row of which nothing is unaccounted for.
    pub(crate) fn count(&mut self, destroyed: bool, left: bool, written: bool) {
        match (destroyed, left, written) {
            (true, true, _) => self.left += 1,
            (true, false, _) => self.back += 1,
            (false, _, true) => self.written += 1,
            (false, _, false) => self.intact += 1,
        }
    }
}

impl Doubt {
    /// A row of a table, as it was before.
    pub fn of(name: &str, table: &Table, row: &Row, key: &[usize], left: Vec<usize>) -> Doubt {
        let values = table.columns.iter().zip(row).map(|(column, value)| {
            let words = if column.generated { String::new() } else { column.words.clone() };
            (column.name.clone(), words, value.clone())
        });
        Doubt { table: name.to_owned(), row: values.collect(), key: key.to_vec(), left }
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Account { rows, destroyed, back, left, written, intact, findings, .. } = self;
        writeln!(
            f,
            "{rows} rows: {destroyed} destroyed, of which {back} are back and {left} in the archive; \
             {written} written by the older release, {intact} intact; {} unaccounted",
            findings.len()
        )?;
        for finding in findings.iter().take(30) {
            writeln!(f, "  {finding}")?;
        }
        if findings.len() > 30 {
            writeln!(f, "  and {} more", findings.len() - 30)?;
        }
        Ok(())
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.what)
    }
}

/// A row for people: the name and the value of each column, cut short.
pub(crate) fn shown(table: &Table, row: &Row) -> String {
    let values = table.columns.iter().zip(row);
    let values = values.map(|(column, value)| format!("{}={}", column.name, one(value)));
    format!("({})", values.collect::<Vec<_>>().join(", "))
}

/// A value for people.
pub(crate) fn one(value: &Option<String>) -> String {
    match value {
        None => "NULL".to_owned(),
        Some(text) => {
            let short: String = text.chars().take(40).collect();
            let more = if short.len() < text.len() { "..." } else { "" };
            format!("{short:?}{more}")
        }
    }
}
