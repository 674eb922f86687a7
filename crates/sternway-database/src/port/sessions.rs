//! The other clients of a database, and what keeps them from writing.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The session of another client. What it runs may be shown to whoever may see it in the server
/// itself; it is never written into a plan or a journal.
#[derive(Debug, Clone, PartialEq)]
pub struct Session {
    /// The server's number for it.
    pub pid: i64,
    /// What it calls itself.
    pub application: String,
    /// Its user.
    pub user: String,
    /// Where it comes from.
    pub from: String,
    /// What it does: `active`, `idle in transaction` and so on.
    pub state: String,
    /// The statement that it is at, or the last one, cut to a line.
    pub query: String,
    /// For how long its transaction has been open, in seconds.
    pub seconds: Option<f64>,
}

impl fmt::Display for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Session { pid, application, user, from, state, query, .. } = self;
        write!(f, "session {pid} of `{user}`")?;
        if !application.is_empty() {
            write!(f, " ({application})")?;
        }
        if !from.is_empty() {
            write!(f, " from {from}")?;
        }
        write!(f, ", {state}")?;
        if !query.is_empty() {
            write!(f, ": {query}")?;
        }
        Ok(())
    }
}

/// How other clients are kept from writing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum FenceKind {
    /// The right to connect is taken from these roles.
    NoConnect {
        /// The roles.
        roles: Vec<String>,
    },
    /// New transactions of these roles are read-only unless they say otherwise.
    ReadOnly {
        /// The roles.
        roles: Vec<String>,
    },
}

impl fmt::Display for FenceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoConnect { roles } => write!(f, "no connections for {}", roles.join(", ")),
            Self::ReadOnly { roles } => write!(f, "read-only for {}", roles.join(", ")),
        }
    }
}

/// A fence that stands, with all that taking it away needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fence {
    /// What it does.
    pub kind: FenceKind,
    /// The database.
    pub database: String,
    /// What there was before, in the dialect's own terms.
    pub before: Vec<String>,
}
