//! A database as a whole, and others beside it on its server: what snapshots are made with.
//!
//! It is apart from [`super::Database`], because a journey needs nothing of it.

use std::collections::BTreeMap;
use std::path::Path;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use sternway_model::proof::Fingerprint;
use sternway_model::state::Identity;
use thiserror::Error;

use super::{Connect, Database, DatabaseError, Session};
use crate::Dialect;

/// The rows of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rows {
    /// How many there are.
    pub count: u64,
    /// The sum of a checksum of each, so that their order does not matter.
    pub sum: String,
}

/// The rows of each table, by its name in the server's words; Sternway's own tables are among them.
pub type Contents = BTreeMap<String, Rows>;

/// What the server's own programs are told, so that they reach a database, and that no command line shows.
#[derive(Clone, Default)]
pub struct Told {
    /// Variables.
    pub environment: Vec<(String, String)>,
    /// The text of a file of options, for programs that take such.
    pub options: Option<String>,
}

/// What became of the rows of one table that were carried over.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Carried {
    /// The table.
    pub table: String,
    /// How many are the same in both, in the columns that both have.
    pub same: u64,
    /// How many only the other database had, and are here now.
    pub inserted: u64,
    /// How many were others there, and are so here now.
    pub updated: u64,
    /// How many only this database has; they stay.
    pub only_here_count: u64,
    /// The keys of the first of them.
    pub only_here: Vec<String>,
    /// How many of the other database are not here.
    pub unfit_count: u64,
    /// The first of them.
    pub unfit: Vec<Unfit>,
    /// The columns that only the other database has: nothing of their values is here.
    pub left_columns: Vec<String>,
}

/// A row that was not carried over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfit {
    /// Its key.
    pub key: String,
    /// Why not.
    pub reason: String,
}

/// Why two databases did not change places. Nothing was changed then.
#[derive(Debug, Error)]
pub enum SwapError {
    /// Others are connected.
    #[error("others are connected to `{database}`: {}", words(.sessions))]
    Occupied {
        /// The database.
        database: String,
        /// Who they are.
        sessions: Vec<Session>,
    },
    /// There is no way to do it without a moment in which the database is not whole.
    #[error("{0}")]
    NoWay(String),
    /// There is no session from which it could be done.
    #[error(transparent)]
    Connect(#[from] Connect),
    /// The server did not do it.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// Who else is connected to a database; refused where somebody is and they are not to be ended.
pub(crate) async fn occupants(whole: &mut dyn Whole, end: bool) -> Result<Vec<Session>, SwapError> {
    let sessions = whole.session().sessions().await?;
    if sessions.is_empty() || end {
        return Ok(sessions);
    }
    let database = whole.identity().database.clone();
    Err(SwapError::Occupied { database, sessions })
}

fn words(sessions: &[Session]) -> String {
    sessions.iter().map(Session::to_string).collect::<Vec<_>>().join("; ")
}

/// A database, and its server. A database is meant by its name; on SQLite that is its file's path.
#[async_trait]
pub trait Whole: Send {
    /// What it speaks.
    fn dialect(&self) -> Dialect;

    /// Which database this is.
    fn identity(&self) -> &Identity;

    /// The session itself, for questions.
    fn session(&mut self) -> &mut dyn Database;

    /// Whether a table is one of Sternway's own, by its name in [`Whole::contents`].
    fn is_ours(&self, table: &str) -> bool;

    /// What the server's programs are told to reach the database `name`.
    fn told(&self, name: &str) -> Told;

    /// How large it is, in bytes.
    ///
    /// # Errors
    /// When the server does not say.
    async fn size(&mut self) -> Result<u64, DatabaseError>;

    /// Looks at the database as it is at this moment, until [`Whole::release`]. Where the server lets others
    /// look at the same, returns what they name it by.
    ///
    /// # Errors
    /// When the server refuses.
    async fn hold(&mut self) -> Result<Option<String>, DatabaseError>;

    /// Looks no longer.
    ///
    /// # Errors
    /// When the session is lost.
    async fn release(&mut self) -> Result<(), DatabaseError>;

    /// Counts the rows of every table, between [`Whole::hold`] and [`Whole::release`]. It reads all of them.
    ///
    /// # Errors
    /// When a table cannot be read, or not all of its rows.
    async fn contents(&mut self) -> Result<Contents, DatabaseError>;

    /// The schema, without `except`, between [`Whole::hold`] and [`Whole::release`].
    ///
    /// # Errors
    /// When it cannot be read.
    async fn fingerprint(&mut self, except: &[String]) -> Result<Fingerprint, DatabaseError>;

    /// Writes a copy of the database into a new file, where the dialect does that by itself.
    ///
    /// # Errors
    /// When it cannot be written. False where a program of the server's has to do it.
    async fn copy_into(&mut self, file: &Path) -> Result<bool, DatabaseError>;

    /// Questions for the server's own client, whose answers are statements, line by line: they give values exactly that
    /// the server's programs write with fewer digits than they have. Nothing where they write all of them.
    ///
    /// # Errors
    /// When the server does not say what the tables are like.
    async fn exact(&mut self) -> Result<Option<String>, DatabaseError>;

    /// Whether tables have rows of earlier times, which the server's programs write only where they are told to.
    ///
    /// # Errors
    /// When the server does not say.
    async fn has_earlier_rows(&mut self) -> Result<bool, DatabaseError>;

    /// Opens another database of the server.
    ///
    /// # Errors
    /// As for a session.
    async fn open(&self, name: &str) -> Result<Box<dyn Whole>, Connect>;

    /// The names of the databases of the server that begin with `prefix`.
    ///
    /// # Errors
    /// When it does not say.
    async fn beside(&mut self, prefix: &str) -> Result<Vec<String>, DatabaseError>;

    /// Makes an empty database with the owner, the encoding and the collation of this one.
    ///
    /// # Errors
    /// When the user may not.
    async fn create(&mut self, name: &str) -> Result<(), DatabaseError>;

    /// Makes the database `to`, a copy of `from` as it is at this moment, by the server alone; with the owner of this one.
    /// `end`: whether sessions of others with `from` are ended for it. No session of ours may be open on `from` but this.
    ///
    /// # Errors
    /// Where there is no database `to` afterwards; on a dialect that cannot do it, always.
    async fn copy(&mut self, from: &str, to: &str, end: bool) -> Result<(), SwapError> {
        let _ = (from, to, end);
        Err(SwapError::NoWay(format!("{} copies no databases by itself", self.dialect())))
    }

    /// Lets nobody connect to a database from now on, as far as the dialect can.
    ///
    /// # Errors
    /// When the user may not.
    async fn shut(&mut self, _name: &str) -> Result<(), DatabaseError> {
        Ok(())
    }

    /// Gives a database what this one has beside its tables: grants on the database itself, settings, a comment.
    ///
    /// # Errors
    /// When the user may not.
    async fn dress(&mut self, name: &str) -> Result<(), DatabaseError>;

    /// Drops a database, whoever is connected to it.
    ///
    /// # Errors
    /// When it stays.
    async fn remove(&mut self, name: &str) -> Result<(), DatabaseError>;

    /// Whether [`Whole::swap`] would be refused now, found out before anything is loaded.
    ///
    /// # Errors
    /// When it would be.
    async fn may_swap(&mut self, end: bool) -> Result<(), SwapError>;

    /// Gives this database the name `old`, and the database `new` the name of this one, at once or not at all.
    /// `end`: whether sessions of others are ended for it. No session of ours may be open on either.
    ///
    /// # Errors
    /// When nothing was changed.
    async fn swap(&mut self, new: &str, old: &str, end: bool) -> Result<(), SwapError>;

    /// Finishes a swap that has swapped `old` out, or takes it back, where it was cut short in its midst; where `old` is
    /// this database, makes up for rows that were being carried over. Only a dialect that cannot do it at once has such.
    ///
    /// # Errors
    /// When it stays as it is.
    async fn mend(&mut self, old: &str) -> Result<(), DatabaseError>;

    /// Brings rows over that the database `from` has and this one has not, or has otherwise, but for the tables
    /// `except` and Sternway's own; in one transaction.
    ///
    /// # Errors
    /// When nothing was brought over.
    async fn carry(&mut self, from: &str, except: &[String]) -> Result<Vec<Carried>, SwapError>;
}
