//! Why there is no snapshot, or why one is not restored.

use sternway_database::{Connect, DatabaseError, SwapError};
use thiserror::Error;

/// Why there is no snapshot, or why one is not restored.
#[derive(Debug, Error)]
pub enum SnapshotError {
    /// No program of the server's is there that fits it.
    #[error("no {program} fits {server}: {found}")]
    NoProgram {
        /// Which one.
        program: String,
        /// The server and its version.
        server: String,
        /// What was found instead.
        found: String,
    },
    /// A program cannot be run.
    #[error("cannot run {program}")]
    Run {
        /// Which one.
        program: String,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// A program did not do what it was asked.
    #[error("{program} ended with {status}: {words}")]
    Program {
        /// Which one.
        program: String,
        /// How it ended.
        status: String,
        /// Its own words.
        words: String,
    },
    /// The store did not do what it was asked.
    #[error("cannot {doing}")]
    Store {
        /// What was being done, after "cannot".
        doing: String,
        /// Why not.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// There is no snapshot of that name.
    #[error("there is no snapshot `{id}` of {app}")]
    NotFound {
        /// What was asked for.
        id: String,
        /// The application.
        app: String,
    },
    /// It was begun, and never finished.
    #[error("snapshot `{0}` is unfinished: it has no manifest")]
    Unfinished(String),
    /// Its manifest cannot be read.
    #[error("the manifest of snapshot `{id}` cannot be read: {reason}")]
    Manifest {
        /// The snapshot.
        id: String,
        /// Why not.
        reason: String,
    },
    /// It is not what its manifest says.
    #[error("snapshot `{id}` is damaged: {reason}")]
    Damaged {
        /// The snapshot.
        id: String,
        /// What is different.
        reason: String,
    },
    /// It was restored, and is not what was taken.
    #[error("snapshot `{id}` does not restore to what was taken: {}", .differences.join("; "))]
    Differs {
        /// The snapshot.
        id: String,
        /// What is different.
        differences: Vec<String>,
    },
    /// Rows were written while it was taken, so that nobody knows what it should be.
    #[error("snapshot `{id}` cannot be proven: rows were written meanwhile to {}", .tables.join(", "))]
    WrittenMeanwhile {
        /// The snapshot.
        id: String,
        /// The tables.
        tables: Vec<String>,
    },
    /// It is of another kind of database.
    #[error("snapshot `{id}` is of {of}, and this database is {here}")]
    OtherKind {
        /// The snapshot.
        id: String,
        /// What it is of.
        of: String,
        /// What is here.
        here: String,
    },
    /// It is a database on a server, and that is not on this one.
    #[error(
        "snapshot `{id}` is the database `{database}`, and there is none of that name on this server"
    )]
    Gone {
        /// The snapshot.
        id: String,
        /// The database.
        database: String,
    },
    /// The server keeps no snapshots.
    #[error("{0} copies no databases by itself")]
    NoCopies(String),
    /// It is encrypted, and nothing says with what it is decrypted.
    #[error("snapshot `{0}` is encrypted, and no identity is named")]
    NoIdentity(String),
    /// There is no session.
    #[error(transparent)]
    Connect(#[from] Connect),
    /// The database did not do what it was asked.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// What was restored did not change places with what is there.
    #[error(transparent)]
    Swap(#[from] SwapError),
}

impl SnapshotError {
    pub(crate) fn store(
        doing: impl Into<String>,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> SnapshotError {
        SnapshotError::Store { doing: doing.into(), source: source.into() }
    }
}
