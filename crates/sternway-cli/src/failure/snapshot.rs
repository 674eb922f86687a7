//! Failures about snapshots.

use sternway_database::SwapError;
use sternway_snapshot::SnapshotError;

use super::{Exit, Failure};

impl Failure {
    /// There is no snapshot, or it is not restored.
    pub fn to_snapshot(attempt: &str, cause: SnapshotError) -> Failure {
        let (hint, exit) = match &cause {
            SnapshotError::NoProgram { .. } => (
                "install the client programs of the server's version, or name their folder with --snapshot-tools; nothing was touched",
                Exit::Failed,
            ),
            SnapshotError::Run { .. } => ("check that it may be executed", Exit::Failed),
            SnapshotError::Program { .. } => (
                "these are the program's own words; the database is as it was, and what was begun is removed",
                Exit::Failed,
            ),
            SnapshotError::Store { .. } => (
                "check that the place is there, may be written, and has room; the database is as it was",
                Exit::Failed,
            ),
            SnapshotError::NotFound { .. } => {
                ("`sternway snapshot list` lists them all", Exit::Usage)
            }
            SnapshotError::Unfinished(_) => (
                "it was cut short, or is being taken right now: take another one; `sternway snapshot prune --unfinished` removes it",
                Exit::Refused,
            ),
            SnapshotError::Manifest { .. } => (
                "use the Sternway that wrote it, or a later one; where the file is damaged, take another snapshot",
                Exit::Refused,
            ),
            SnapshotError::Damaged { .. } => (
                "nothing was touched; take another copy of its files, if there is one, or another snapshot",
                Exit::Refused,
            ),
            SnapshotError::Differs { .. } => (
                "the database is as it was, and what was restored is dropped; take another snapshot while nobody writes",
                Exit::Refused,
            ),
            SnapshotError::WrittenMeanwhile { .. } => (
                "stop the application and take another snapshot: this server does not let two sessions look at the same moment",
                Exit::Refused,
            ),
            SnapshotError::OtherKind { .. } => ("name the database with --database", Exit::Usage),
            SnapshotError::Gone { .. } => (
                "name the server that it was taken on with --database; where it is gone, `sternway snapshot prune` with its name removes what is left of it",
                Exit::Refused,
            ),
            SnapshotError::NoCopies(_) => {
                ("leave --on-server out: the snapshot is written into files then", Exit::Usage)
            }
            SnapshotError::NoIdentity(_) => (
                "--snapshot-identity, or identity in [snapshot] of sternway.toml, names the file with the key",
                Exit::Usage,
            ),
            SnapshotError::Swap(SwapError::Occupied { .. }) => (
                "stop the application and whoever else is connected, or end their sessions with --end-sessions; the database is as it was",
                Exit::Refused,
            ),
            SnapshotError::Swap(SwapError::NoWay(_)) => (
                "the database is as it was. --into NAME restores beside it, into a new database that the application can be led to",
                Exit::Refused,
            ),
            SnapshotError::Swap(SwapError::Connect(_) | SwapError::Database(_)) => (
                "the database is as it was: it takes the right to rename it (on PostgreSQL its owner, with CREATEDB), and a session with the database `postgres`",
                Exit::Failed,
            ),
            SnapshotError::Connect(_) => ("check the URL and that the server runs", Exit::Failed),
            SnapshotError::Database(_) => (
                "it takes the right to read every table, and to create databases beside this one; the database is as it was",
                Exit::Failed,
            ),
        };
        Self::with(attempt, cause, hint, exit)
    }

    /// Rows are not carried over out of a database.
    pub fn to_carry(attempt: &str, cause: SnapshotError, from: &str) -> Failure {
        let again = format!("`sternway snapshot carry --out-of {from}` tries it again");
        let hint = match &cause {
            SnapshotError::Swap(SwapError::Occupied { .. }) => format!(
                "this server has no way to keep triggers quiet for one session, so that they are away meanwhile: stop the application and whoever else is connected, then {again}"
            ),
            SnapshotError::Swap(SwapError::Connect(_)) => {
                "`sternway snapshot list` lists the databases that were swapped out; --out-of names one".to_owned()
            }
            _ => again,
        };
        Self::to_snapshot(attempt, cause).hint(hint)
    }
}
