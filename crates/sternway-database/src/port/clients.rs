//! The other clients of a database.

use std::fmt;

use async_trait::async_trait;

use super::DatabaseError;

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

/// Who else is there.
#[async_trait]
pub trait Clients: Send {
    /// The sessions of other clients with this database, those of Sternway and of the server itself
    /// left out.
    async fn sessions(&mut self) -> Result<Vec<Session>, DatabaseError>;

    /// Ends sessions of other clients. Those that have gone meanwhile are no error; they may take a
    /// moment to go.
    async fn end_sessions(&mut self, sessions: &[Session]) -> Result<(), DatabaseError>;

    /// The sessions of other clients, Sternway's own among them, that hold a lock by which migrators
    /// keep each other out of these tracking tables, or are at a statement of one of these bodies.
    async fn orphans(
        &mut self,
        tables: &[String],
        bodies: &[&str],
    ) -> Result<Vec<Orphan>, DatabaseError>;

    /// Ends such sessions. Those that have gone meanwhile are no error.
    async fn end_found_orphans(&mut self, orphans: &[Orphan]) -> Result<(), DatabaseError>;

    /// Whether the session goes through a proxy that gives each transaction another connection, where
    /// the locks of a session mean nothing.
    async fn is_pooled(&mut self) -> Result<bool, DatabaseError>;
}
