//! Why a run ends before its plan does.

use sternway_database::{Connect, DatabaseError, LockError, RunId, StepError, recorded};
use sternway_model::app::AppError;
use sternway_model::catalog::{Direction, Release, TrackName};
use sternway_model::proof::{Comparison, ObjectName};
use thiserror::Error;

use crate::check::CheckError;
use crate::fence::FenceError;

/// Why a run ended before its plan did.
#[derive(Debug, Error)]
pub enum RunError {
    /// Somebody else is at work.
    #[error("the locks were not obtained")]
    Lock(#[source] LockError),
    /// The database is not what the plan was made for.
    #[error("the database has changed since the plan was made: {}", .0.join("; "))]
    Moved(Vec<String>),
    /// The database is not what the run left.
    #[error("the database has changed behind run {run}: {}", .what.join("; "))]
    MovedSince {
        /// The run.
        run: RunId,
        /// What differs.
        what: Vec<String>,
    },
    /// A step failed.
    #[error("step {} of {of} failed", step + 1)]
    Step {
        /// Which, counted over all hops from 0.
        step: usize,
        /// How many there are.
        of: usize,
        /// Why.
        #[source]
        source: StepError,
    },
    /// A step could not be undone.
    #[error("step {} of {of} could not be undone", step + 1)]
    Undo {
        /// Which, counted over all hops from 0.
        step: usize,
        /// How many there are.
        of: usize,
        /// Why.
        #[source]
        source: StepError,
    },
    /// What others had made could not be made again.
    #[error("{object}, which others had made, could not be made again")]
    Rebuild {
        /// What it is.
        object: Box<ObjectName>,
        /// Why.
        #[source]
        source: StepError,
    },
    /// The application did not do what a step asks of it.
    #[error("step {} of {of} failed", step + 1)]
    App {
        /// Which, counted over all hops from 0.
        step: usize,
        /// How many there are.
        of: usize,
        /// Why.
        #[source]
        source: AppError,
    },
    /// The session was lost while something was done with the application, and there is no other.
    #[error("the session with the database was lost, and there is no other")]
    Lost(#[source] Connect),
    /// The same, where nothing answers at all.
    #[error("the session with the database was lost, and nothing has answered for {0} s")]
    Silent(u64),
    /// What has to be so before the journey is not.
    #[error("{}", .0.join("; "))]
    Check(Vec<String>),
    /// A check was not answered.
    #[error(transparent)]
    Unchecked(#[from] CheckError),
    /// Other clients were not kept out.
    #[error("other clients could not be kept from writing")]
    Fence(#[from] FenceError),
    /// The application could not be put in place, and everything was taken back.
    #[error(
        "the application could not be put in place; it and the schema are back where they were"
    )]
    WentBack(#[source] Box<RunError>),
    /// A step before the first migration failed: the schema was not touched, and what was done with the
    /// application and the other clients was undone.
    #[error(transparent)]
    NotBegun(Box<RunError>),
    /// A step failed, and taking everything back failed as well.
    #[error("{}; and taking it back failed", recorded(.cause.as_ref()))]
    NotBack {
        /// What failed first.
        cause: Box<RunError>,
        /// What failed then.
        #[source]
        back: Box<RunError>,
    },
    /// The schema is not the one promised.
    #[error("the schema is not that of a clean install of {release}")]
    Drift {
        /// The release that the hop arrives at.
        release: Release,
        /// What differs.
        comparison: Box<Comparison>,
    },
    /// The plan does something with the application, and nobody said how that is done.
    #[error("the plan stops, swaps and starts the application, and nothing says how")]
    NoApp,
    /// The plan takes a snapshot, and nobody said where it is kept.
    #[error("the plan takes a snapshot, and nothing says where snapshots are kept")]
    NoStore,
    /// The snapshot before the schema is changed was not taken, or is not proven.
    #[error("there is no snapshot as the plan wants it")]
    Snapshot(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// What the plan destroys is to be kept, and there is no place for it.
    #[error("the plan destroys data, and there is no place to keep it: {0}")]
    NoArchive(String),
    /// A body of the plan is missing.
    #[error("the body of `{0}` is not in the plan")]
    BodyMissing(String),
    /// A step cannot be undone, because the other half of its migration is missing or cannot be run.
    #[error("migration {version} of track `{track}` cannot be undone: {reason}")]
    NoWayBack {
        /// The track.
        track: TrackName,
        /// The migration.
        version: u64,
        /// Which half is missing or cannot be run, and why.
        reason: String,
    },
    /// The run is over, or another one has begun since.
    #[error("run {0} is not unfinished any more")]
    Over(RunId),
    /// The run is being taken back.
    #[error("run {0} is being taken back, and can only be taken back further")]
    GoingBack(RunId),
    /// Nobody can tell whether a statement took effect.
    #[error(
        "statement {statement} of `{file}` was under way, and nothing shows whether it took effect"
    )]
    StillInDoubt {
        /// The file.
        file: String,
        /// Which statement, from 1.
        statement: usize,
    },
    /// A question or a write of our own failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

impl RunError {
    /// A step that failed, where taking everything back failed as well.
    pub(super) fn not_back(cause: RunError, back: RunError) -> RunError {
        RunError::NotBack { cause: Box::new(cause), back: Box::new(back) }
    }

    /// A body that does not run.
    pub(super) fn no_way_back(track: &TrackName, version: u64, half: Direction, why: &str) -> Self {
        let (track, reason) = (track.clone(), format!("its {half} half {why}"));
        Self::NoWayBack { track, version, reason }
    }
}
