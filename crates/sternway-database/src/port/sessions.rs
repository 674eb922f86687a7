//! The other clients of a database, and what keeps them from writing.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::RunId;

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

impl Session {
    /// As its `Display`, with the statement: for the eyes of whoever runs a command, and for nothing
    /// that is kept.
    pub fn with_query(&self) -> String {
        if self.query.is_empty() { self.to_string() } else { format!("{self}: {}", self.query) }
    }
}

/// Leaves the statement out, because errors are written into journals.
impl fmt::Display for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Session { pid, application, user, from, state, seconds, query: _ } = self;
        write!(f, "session {pid} of `{user}`")?;
        if !application.is_empty() {
            write!(f, " ({application})")?;
        }
        if !from.is_empty() {
            write!(f, " from {from}")?;
        }
        write!(f, ", {state}")?;
        if let Some(seconds) = seconds {
            write!(f, ", in a transaction for {seconds:.1} s")?;
        }
        Ok(())
    }
}

/// A session that a migrator may have left behind.
#[derive(Debug, Clone, PartialEq)]
pub struct Orphan {
    /// The session.
    pub session: Session,
    /// When it began, in the server's words: its number may become another session's.
    pub since: String,
    /// Whether it holds a lock by which migrators keep each other out.
    pub locks: bool,
    /// Whether it is at a statement of a migration.
    pub migrates: bool,
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

impl FenceKind {
    /// The roles that it is for.
    pub fn roles(&self) -> &[String] {
        let (Self::NoConnect { roles } | Self::ReadOnly { roles }) = self;
        roles
    }
}

impl fmt::Display for FenceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoConnect { roles } => write!(f, "no connections for {}", roles.join(", ")),
            Self::ReadOnly { roles } => write!(f, "read-only for {}", roles.join(", ")),
        }
    }
}

/// A fence, with all that taking it away needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fence {
    /// What it does.
    pub kind: FenceKind,
    /// The database.
    pub database: String,
    /// What there was before, in the dialect's own terms.
    pub before: Vec<String>,
}

/// A fence that stands, as the records have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Raised {
    /// Its number in the records.
    pub id: i64,
    /// The run that it was raised for, if that was recorded.
    pub run: Option<RunId>,
    /// What it is.
    pub fence: Fence,
    /// When, in UTC, as `YYYY-MM-DD HH:MM:SS`.
    pub since: String,
}
