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
    /// What was locked, and how strongly.
    pub locks: Vec<Lock>,
    /// What nobody can foresee, such as a call of a function: what it does elsewhere, to other data,
    /// is not known until the body runs there.
    pub unforeseen: Vec<String>,
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
    /// A table that was to go covers its columns and rows. Rows that were to change cover no column.
    pub fn beyond(&self, planned: &Effects) -> Vec<Lost> {
        let foreseen: BTreeSet<&Lost> = planned.losses.iter().map(|loss| &loss.lost).collect();
        let covered = |lost: &Lost| {
            let table = match lost {
                Lost::Table { table } | Lost::Column { table, .. } | Lost::Rows { table } => table,
                // Its rows decide: a sequence holds no data but a number, which is always kept.
                Lost::Sequence { .. } => return true,
            };
            foreseen.contains(lost) || foreseen.contains(&Lost::Table { table: table.clone() })
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
    fn nothing_is_beyond_where_no_row_is_lost() {
        let lost = Loss { rows: Some(0), ..loss(Lost::Rows { table: "a".to_owned() }) };
        let real = Effects { losses: vec![lost], ..Effects::default() };
        assert_eq!(real.beyond(&Effects::default()), []);
    }
}
