//! What a body says, as plain facts: the planner asks these and never looks at SQL itself.
//!
//! The facts are found by the `statements.rs` of each dialect in `sternway_database`.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::catalog::Digest;

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
    /// What it takes away.
    #[serde(flatten)]
    pub what: Destroyed,
}

/// What a statement takes away, as far as its words tell. Names are as the body writes them, without
/// quotes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "what")]
pub enum Destroyed {
    /// A table.
    Table {
        /// The table.
        table: String,
    },
    /// A column.
    Column {
        /// The table.
        table: String,
        /// The column.
        column: String,
    },
    /// The type that a column had, and with it how its values were.
    Type {
        /// The table.
        table: String,
        /// The column.
        column: String,
    },
    /// Every row of a table.
    AllRows {
        /// The table.
        table: String,
    },
    /// Some rows of a table.
    Rows {
        /// The table.
        table: String,
    },
    /// What rows held before.
    Values {
        /// The table.
        table: String,
    },
    /// Some rows, or what they held before.
    RowsOrValues {
        /// The table.
        table: String,
    },
    /// The rows of a partition.
    Partition {
        /// The table.
        table: String,
        /// The partition.
        partition: String,
    },
    /// The versions that rows of a table had.
    History {
        /// The table.
        table: String,
    },
    /// A part of a type.
    Attribute {
        /// The type.
        name: String,
        /// The attribute.
        attribute: String,
        /// What the type is, as the body writes it, such as `type`.
        kind: String,
    },
    /// An object that holds no rows itself.
    Object {
        /// What it is, such as `schema` or `extension`.
        kind: String,
        /// Its name.
        name: String,
    },
    /// Everything that a role owns.
    Owned,
    /// What nobody can tell from the words.
    Unclear {
        /// What takes it away, such as `whatever the code it runs`.
        code: String,
    },
}

impl Destroyed {
    /// The table that it is taken from, if it is one's.
    pub fn table(&self) -> Option<&str> {
        match self {
            Self::Table { table }
            | Self::Column { table, .. }
            | Self::Type { table, .. }
            | Self::AllRows { table }
            | Self::Rows { table }
            | Self::Values { table }
            | Self::RowsOrValues { table }
            | Self::Partition { table, .. }
            | Self::History { table } => Some(table),
            Self::Attribute { .. } | Self::Object { .. } | Self::Owned | Self::Unclear { .. } => {
                None
            }
        }
    }
}

impl fmt::Display for Destroyed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Table { table } => write!(f, "table {table}"),
            Self::Column { table, column } => write!(f, "column {table}.{column}"),
            Self::Type { table, column } => write!(f, "the former type of column {table}.{column}"),
            Self::AllRows { table } => write!(f, "all rows of {table}"),
            Self::Rows { table } => write!(f, "rows of {table}"),
            Self::Values { table } => write!(f, "former values in {table}"),
            Self::RowsOrValues { table } => write!(f, "rows or former values of {table}"),
            Self::Partition { table, partition } => {
                write!(f, "rows of partition {partition} of {table}")
            }
            Self::History { table } => write!(f, "former rows of {table}"),
            Self::Attribute { name, attribute, kind } => {
                write!(f, "attribute {name}.{attribute} of a {kind}")
            }
            Self::Object { kind, name } => write!(f, "{kind} {name}"),
            Self::Owned => f.write_str("everything the role owns"),
            Self::Unclear { code } => write!(f, "{code} takes away"),
        }
    }
}

/// What one body says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BodyFacts {
    /// The hash of its normal form: what is left of it without comments, white space and a transaction
    /// around all of it. Bodies with one normal form do the same. None where it has none; then only the
    /// same text is the same body.
    pub normal: Option<Digest>,
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
    /// Whether tables may be found under another name or in another schema once it has run.
    pub moves_tables: bool,
    /// The extensions it creates.
    pub creates_extensions: Vec<String>,
    /// Why it cannot be run by Sternway at all, if so.
    pub obstacle: Option<String>,
}

impl Default for BodyFacts {
    fn default() -> Self {
        Self {
            normal: None,
            mode: Mode::Transaction,
            destroys: Vec::new(),
            changes: BTreeSet::new(),
            fills: BTreeSet::new(),
            unforeseen: Vec::new(),
            creates_tables: Vec::new(),
            moves_tables: false,
            creates_extensions: Vec::new(),
            obstacle: None,
        }
    }
}
