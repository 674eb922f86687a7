//! What a body says, as plain facts: the planner asks these and never looks at SQL itself.
//!
//! The facts are found by the `statements.rs` of each dialect in `sternway_database`.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// How the server runs a body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "protocol")]
pub enum Mode {
    /// The body, the tracking row and the journal commit together: there is no dirty state.
    Transaction,
    /// golang-migrate's dirty protocol: the mark is set, the statements run one by one, the mark is
    /// taken away.
    Dirty {
        /// Why the body cannot run in a transaction.
        reason: String,
    },
}

/// A statement that takes something away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Destruction {
    /// The line of the body it stands in, from 1.
    pub line: usize,
    /// What it takes away, such as `column task.user_id`.
    pub what: String,
}

/// What one body says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BodyFacts {
    /// How it is run.
    pub mode: Mode,
    /// The statements that take something away, in order.
    pub destroys: Vec<Destruction>,
    /// The tables whose rows it changes or takes away, as it writes their names, unquoted.
    pub changes: BTreeSet<String>,
    /// The tables of whose rows it changes nothing but the columns that it has added before.
    pub fills: BTreeSet<String>,
    /// Code that it calls, such as `the call of f`: nobody can tell from the body what that does.
    pub unforeseen: Vec<String>,
    /// The tables it creates, by their unqualified names as the server folds them.
    pub creates_tables: Vec<String>,
    /// The extensions it creates.
    pub creates_extensions: Vec<String>,
    /// Why it cannot be run by Sternway at all, if so.
    pub obstacle: Option<String>,
}

impl Default for BodyFacts {
    fn default() -> Self {
        Self {
            mode: Mode::Transaction,
            destroys: Vec::new(),
            changes: BTreeSet::new(),
            fills: BTreeSet::new(),
            unforeseen: Vec::new(),
            creates_tables: Vec::new(),
            creates_extensions: Vec::new(),
            obstacle: None,
        }
    }
}
