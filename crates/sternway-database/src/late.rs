//! A column that each row needs a value for, made among rows that are there: it may be empty until the archive
//! has given them theirs.

use sternway_model::proof::ObjectName;

use crate::Dialect;

/// A column whose `NOT NULL` comes late.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Late {
    /// What makes the column without it.
    pub made_by: String,
    /// What gives it that, and fails where a row has no value.
    pub closed_by: Vec<String>,
}

impl Late {
    /// The way to a column with this definition, as a fingerprint has it; none where it needs no value. What makes
    /// it is not needed where it is there and may be empty; SQLite's way begins there.
    pub fn column(dialect: Dialect, column: &ObjectName, definition: &str) -> Option<Late> {
        Late::renamed(dialect, column, column, definition)
    }

    /// As [`Late::column`], of a column that was made by the name of `was` and renamed since.
    pub fn renamed(
        dialect: Dialect,
        was: &ObjectName,
        column: &ObjectName,
        definition: &str,
    ) -> Option<Late> {
        let around = definition.split_once(" not null")?;
        let table = column.table.as_deref()?;
        Some(dialect.definitions().late(table, &column.name, &was.name, around))
    }
}
