//! Running a body with care for the data that it destroys, and for those who use the database.

use std::time::Duration;

use sternway_model::archive::{Kept, PutBack};
use sternway_model::catalog::{Direction, TrackName};
use sternway_model::effect::Effects;

/// What is to be taken care of while a body runs.
#[derive(Debug, Clone, Copy)]
pub struct Care<'a> {
    /// The application whose archive it is.
    pub app: &'a str,
    /// The track.
    pub track: &'a TrackName,
    /// The migration.
    pub version: u64,
    /// Which half runs.
    pub direction: Direction,
    /// Whether what it destroys is kept in the archive, and what was kept is put back.
    pub keep: bool,
    /// What the plan says that it destroys; a body that destroys more is not run. `None` where nobody
    /// could tell.
    pub planned: Option<&'a Effects>,
    /// Look at the locks after each statement, and not only at the end: for rehearsals.
    pub each_lock: bool,
    /// How long it may wait and run.
    pub limits: Limits,
}

/// How long a body may wait and run. `None` is as long as it takes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// For how long a statement may wait for a lock that another session holds.
    pub lock: Option<Duration>,
    /// For how long a statement may run.
    pub statement: Option<Duration>,
}

/// What a body did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Done {
    /// What it changed; `None` where that could not be found out.
    pub effects: Option<Effects>,
    /// What was kept of what it destroyed.
    pub kept: Vec<Kept>,
    /// What was put back of what an earlier run kept.
    pub put_back: Vec<PutBack>,
}

/// What is known of a statement that was under way when its session was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// It took effect: the next one is to be run.
    Done,
    /// Nothing of it is left, or running it again does no harm: it is to be run.
    NotDone,
    /// Nobody can tell.
    Unknown,
}
