//! Checks: what the data has to be before or after a journey, as the settings say it, or what is added to
//! the schema.

use serde::{Deserialize, Serialize};

use crate::catalog::TrackName;
use crate::proof::ObjectName;

/// When a check is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum When {
    /// Before anything is changed.
    Before,
    /// Once the journey has arrived.
    After,
}

/// What becomes of a journey whose check does not hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// It is refused, or ends as failed.
    #[default]
    Refuse,
    /// It is reported.
    Warn,
}

/// An assertion on the data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// When it is asked.
    pub at: When,
    /// The query that says whether it holds.
    pub sql: String,
    /// What is so where it does not hold.
    pub message: String,
    /// What becomes of the journey then.
    pub severity: Severity,
    /// The query that lists the rows that are to blame.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<String>,
    /// The migration that has to be applied for the question to have a meaning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub migration: Option<(TrackName, u64)>,
    /// Whether that migration's up half may be run again to put it right.
    #[serde(default)]
    pub again: bool,
    /// What is added among the rows that this asks about, where no settings ask.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adds: Option<ObjectName>,
    /// The query that counts the rows that are to blame.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<String>,
    /// Whether a journey cannot go on without what is added.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub firm: bool,
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The check.
    pub check: Check,
    /// Whether it holds.
    pub holds: bool,
    /// Rows that are to blame, [`MOST_ROWS`] at most.
    pub rows: Vec<String>,
    /// How many there are of them, where that was asked.
    pub count: Option<String>,
    /// Whether there are more of them.
    pub more: bool,
    /// The file of the up half that may be run again to put it right.
    pub again: Option<String>,
    /// Whether it was run again.
    pub ran_again: bool,
}

/// How many of the rows that are to blame are listed.
pub const MOST_ROWS: usize = 20;

impl Finding {
    /// Whether the journey is refused for it, or ends as failed.
    pub fn is_refusal(&self) -> bool {
        !self.holds && self.check.severity == Severity::Refuse
    }
}
