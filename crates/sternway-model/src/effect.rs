//! What a body really changes, as opposed to what it says.
//!
//! The effects of a body are found by running it where it can be taken back, and looking at the
//! system catalogs before and after. What it destroys is what the archive has to keep.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::proof::ObjectName;

/// What a body changes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Effects {
    /// What is there afterwards and was not before.
    pub created: BTreeSet<ObjectName>,
    /// What is something else afterwards.
    pub altered: BTreeSet<ObjectName>,
    /// What is gone afterwards.
    pub destroyed: BTreeSet<ObjectName>,
    /// The data that goes, or changes, with it.
    pub losses: Vec<Loss>,
    /// Tables whose rows get values in new columns, which takes nothing away.
    pub filled: BTreeSet<String>,
    /// What was locked, and how strongly.
    pub locks: Vec<Lock>,
    /// What goes and cannot be kept in the archive.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unkept: Vec<Unkept>,
    /// What nobody can foresee, such as a call of a function: what it does elsewhere, to other data,
    /// is not known until the body runs there.
    pub unforeseen: Vec<String>,
}

/// Something that a body takes away and that cannot be kept in the archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unkept {
    /// The table by whose name it may be let go; empty where it is more than one table's.
    pub table: String,
    /// What it is, and why it cannot be kept.
    pub reason: String,
}

/// Data that a body takes away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loss {
    /// What kind of data.
    #[serde(flatten)]
    pub lost: Lost,
    /// How many rows it has, or, of a column, how many values that are not null.
    pub rows: Option<u64>,
    /// How many bytes it takes on the disk.
    pub bytes: Option<u64>,
    /// Whether the numbers were estimated from the server's statistics.
    #[serde(default)]
    pub estimated: bool,
}

/// A kind of data that can be lost. Names are as in [`ObjectName`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "lost")]
pub enum Lost {
    /// A whole table.
    Table {
        /// The table.
        table: String,
    },
    /// The values of a column.
    Column {
        /// The table.
        table: String,
        /// The column.
        column: String,
    },
    /// Rows that are deleted or changed, in a table that stays.
    Rows {
        /// The table.
        table: String,
    },
    /// Where a sequence that goes has counted to.
    Sequence {
        /// The sequence.
        sequence: String,
    },
}

impl Lost {
    /// The table or the sequence that it is a loss of.
    pub fn of(&self) -> &str {
        match self {
            Self::Table { table } | Self::Column { table, .. } | Self::Rows { table } => table,
            Self::Sequence { sequence } => sequence,
        }
    }
}

impl fmt::Display for Loss {
    /// In numbers, such as `column task.protocol_version: 120 values, about 4.0 kB`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = match self.lost {
            Lost::Table { .. } => "row",
            Lost::Column { .. } => "value",
            Lost::Rows { .. } => "row",
            Lost::Sequence { .. } => return write!(f, "where {} had counted to", self.lost),
        };
        write!(f, "{}: ", self.lost)?;
        let at_most = if matches!(self.lost, Lost::Rows { .. }) { "at most " } else { "" };
        match self.rows {
            None => write!(f, "{unit}s that were not counted")?,
            Some(0) => return write!(f, "no {unit}s"),
            Some(rows) if self.estimated => write!(f, "{at_most}about {}", counted(rows, unit))?,
            Some(rows) => write!(f, "{at_most}{}", counted(rows, unit))?,
        }
        match self.bytes {
            Some(bytes) => write!(f, ", about {}", size(bytes)),
            None => Ok(()),
        }
    }
}

/// A number of things, such as `1 row` or `12,000 rows`.
pub fn counted(number: u64, of: &str) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if number == 1 { format!("{text} {of}") } else { format!("{text} {of}s") }
}

/// A number of bytes for people, such as `4.0 kB`, in PostgreSQL's units of 1024.
pub fn size(bytes: u64) -> String {
    if bytes < 1024 {
        return counted(bytes, "byte");
    }
    let mut size = bytes as f64 / 1024.0;
    let mut units = ["kB", "MB", "GB", "TB"].into_iter();
    let mut unit = units.next().unwrap_or_default();
    for larger in units {
        // What rounds to 1024 is one of the next unit.
        if size < 1023.95 {
            break;
        }
        (size, unit) = (size / 1024.0, larger);
    }
    format!("{size:.1} {unit}")
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Table { table } => write!(f, "table {table}"),
            Self::Column { table, column } => write!(f, "column {table}.{column}"),
            Self::Rows { table } => write!(f, "rows of {table}"),
            Self::Sequence { sequence } => write!(f, "sequence {sequence}"),
        }
    }
}

/// A lock that a statement takes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Lock {
    /// The statement of the body, from 1; 0 where only the whole body was looked at.
    pub statement: usize,
    /// What is locked.
    pub table: String,
    /// How, in the server's words, such as `ACCESS EXCLUSIVE`.
    pub mode: String,
}

impl Effects {
    /// What is lost here and was not foreseen in `planned`; empty where nothing is.
    ///
    /// A table that was to go covers its columns and rows. Rows that were to change cover no column, and
    /// neither do rows that were to be filled.
    /// Where the plan says that nobody can foresee what the body does, nothing is beyond it.
    pub fn beyond(&self, planned: &Effects) -> Vec<Lost> {
        if !planned.unforeseen.is_empty() {
            return Vec::new();
        }
        let foreseen: BTreeSet<&Lost> = planned.losses.iter().map(|loss| &loss.lost).collect();
        let covered = |lost: &Lost| {
            let table = match lost {
                Lost::Table { table } | Lost::Column { table, .. } | Lost::Rows { table } => table,
                // Its rows decide: a sequence holds no data but a number, which is always kept.
                Lost::Sequence { .. } => return true,
            };
            let filled = matches!(lost, Lost::Rows { table } if planned.filled.contains(table));
            filled
                || foreseen.contains(lost)
                || foreseen.contains(&Lost::Table { table: table.clone() })
        };
        let lost = self.losses.iter().filter(|loss| loss.rows != Some(0));
        lost.map(|loss| loss.lost.clone()).filter(|lost| !covered(lost)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loss(lost: Lost) -> Loss {
        Loss { lost, rows: Some(1), bytes: None, estimated: false }
    }

    #[test]
    fn a_table_that_was_to_go_covers_its_parts_and_nothing_else() {
        let table = |name: &str| Lost::Table { table: name.to_owned() };
        let rows = |name: &str| Lost::Rows { table: name.to_owned() };
        let planned = Effects { losses: vec![loss(table("a"))], ..Effects::default() };
        let real = Effects { losses: vec![loss(rows("a")), loss(rows("b"))], ..Effects::default() };
        assert_eq!(real.beyond(&planned), [rows("b")]);
        assert_eq!(planned.beyond(&real), [table("a")]);
    }

    #[test]
    fn rows_that_are_filled_were_foreseen() {
        let rows = loss(Lost::Rows { table: "a".to_owned() });
        let column = Lost::Column { table: "a".to_owned(), column: "x".to_owned() };
        let losses = vec![rows, loss(column.clone())];
        let real = Effects { losses, ..Effects::default() };
        let filled = Effects { filled: ["a".to_owned()].into(), ..Effects::default() };
        assert_eq!(real.beyond(&filled), [column]);
    }

    #[test]
    fn nothing_is_beyond_what_nobody_can_foresee() {
        let real = Effects {
            losses: vec![loss(Lost::Rows { table: "a".to_owned() })],
            ..Effects::default()
        };
        let unforeseen = vec!["the call of f".to_owned()];
        assert_eq!(real.beyond(&Effects { unforeseen, ..Effects::default() }), []);
        assert_eq!(real.beyond(&Effects::default()).len(), 1);
    }

    #[test]
    fn numbers_are_for_people() {
        assert_eq!(counted(1, "row"), "1 row");
        assert_eq!(counted(1_234_567, "row"), "1,234,567 rows");
        assert_eq!(counted(100_000, "value"), "100,000 values");
        assert_eq!(size(1), "1 byte");
        assert_eq!(size(4096), "4.0 kB");
        assert_eq!(size(1024 * 1024 - 1), "1.0 MB");
        assert_eq!(size(5 << 40), "5.0 TB");
        let column = Lost::Column { table: "task".to_owned(), column: "version".to_owned() };
        let loss = Loss { lost: column, rows: Some(120), bytes: Some(600), estimated: false };
        assert_eq!(loss.to_string(), "column task.version: 120 values, about 600 bytes");
        let rows = Lost::Rows { table: "task".to_owned() };
        let loss = Loss { lost: rows, rows: Some(2000), bytes: None, estimated: true };
        assert_eq!(loss.to_string(), "rows of task: at most about 2,000 rows");
    }

    #[test]
    fn nothing_is_beyond_where_no_row_is_lost() {
        let lost = Loss { rows: Some(0), ..loss(Lost::Rows { table: "a".to_owned() }) };
        let real = Effects { losses: vec![lost], ..Effects::default() };
        assert_eq!(real.beyond(&Effects::default()), []);
    }
}
