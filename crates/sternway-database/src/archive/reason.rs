//! Why rows stay in the archive when their entry is restored. Both the archive's tables and its
//! entries have these sentences, so they stay as they are.

use sternway_model::effect::Lost;

/// The table is not there.
pub const NO_TABLE: &str = "the table is not there";
/// A column that the row has a value for is not there.
pub const NO_COLUMN: &str = "a column that it has a value for is not there";
/// Whether this is why something has nowhere to go.
pub fn is_no_place(reason: &str) -> bool {
    reason == NO_TABLE || reason == NO_COLUMN || no_column_of(reason).is_some()
}

/// The same as [`NO_COLUMN`], where it is known which one.
pub fn no_column(name: &str) -> String {
    format!("column {name} is not there")
}

fn no_column_of(reason: &str) -> Option<&str> {
    reason.strip_prefix("column ")?.strip_suffix(" is not there")
}

/// What told the rows apart does so no longer.
pub const NO_KEY: &str = "the table has its key no longer";
/// The row that a value belongs to is gone.
pub const DELETED: &str = "the row was deleted meanwhile";
/// Somebody wrote to the row after the body.
pub const CHANGED: &str = "the row was changed meanwhile";
/// Somebody took its place.
pub const TAKEN: &str = "a row with its key is there";
/// A later rollback preserved the same rows.
pub const NEWER: &str = "a later rollback kept newer values";
/// Somebody wrote to the column since.
pub const WRITTEN: &str = "the row has another value there now";
/// The body has inserted the same row again, or somebody else has.
pub const ANEW: &str = "it was made anew, with another key";
/// The body had made it of other rows, and does no more.
pub const UNMADE: &str = "what the migration made it of has changed since";
/// A run had made it, and has taken it back.
const TAKEN_BACK: &str = "a migration that failed half way had made it";
/// Rows of a table that stays went with what a run has taken back: it may have made them, or found them.
const WENT_ALONG: &str =
    "what took back half a migration deleted or changed it; it may be older than that";

/// Why an entry of this is left in the archive by what takes back half a migration.
pub fn left(lost: &Lost) -> &'static str {
    match lost {
        Lost::Rows { .. } | Lost::Sequence { .. } => WENT_ALONG,
        Lost::Table { .. } | Lost::Column { .. } => TAKEN_BACK,
    }
}
/// Nobody can tell which of several rows it was.
pub const ALIKE: &str = "several rows look alike";
/// The row may be there with another key.
pub const LOST_TRACK: &str = "the row was changed and cannot be told from others";
/// Triggers cannot be kept from firing.
pub const TRIGGERS: &str = "the table has triggers, which would fire";
/// A foreign key of the row leads nowhere.
pub const ORPHAN: &str = "a row that it refers to is not there";
/// Another row has a value that may be there once.
pub const UNIQUE: &str = "another row has a value that may be there only once";
/// The row has no value where there has to be one.
pub const NULL: &str = "it has no value where the table now wants one";
/// A check of the table fails.
pub const CHECK: &str = "a check of the table refuses it";
/// A value is none of its column.
pub const TYPE: &str = "a value does not fit its column";
/// The sequence is not there.
pub const NO_SEQUENCE: &str = "the sequence is not there";

/// Another row has the same in columns in which no two may.
pub fn same(columns: &[String]) -> String {
    format!("another row has the same {}", columns.join(", "))
}

/// The body computes these columns from what has changed since: what it makes of them is newer.
pub fn computed(columns: &[&str]) -> String {
    format!("the migration computes {} from what has changed since", columns.join(", "))
}
