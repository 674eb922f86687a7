//! Sternway's own records: the migrations with both bodies, the releases, the runs and their journals.

use std::collections::BTreeMap;

use async_trait::async_trait;
use sternway_model::catalog::{Digest, Migration, Release, TrackName};
use sternway_model::journal::{Progress, Record};
use sternway_model::plan::{Course, Plan};
use sternway_model::proof::Difference;
use sternway_model::state::{Records, RecordsAccess};

use super::DatabaseError;

/// The number of a run in the records of one database.
pub type RunId = i64;

/// A run as the records tell of it.
#[derive(Debug, Clone, PartialEq)]
pub struct RunSummary {
    /// Its number.
    pub id: RunId,
    /// The digest of its plan.
    pub plan: Digest,
    /// Which way it went.
    pub course: Course,
    /// The release that ran before it, if that was known.
    pub from: Option<Release>,
    /// The release it was to arrive at.
    pub target: Release,
    /// When it started, in UTC, as `YYYY-MM-DD HH:MM:SS`.
    pub started: String,
    /// How long it has taken up to its last record, in seconds.
    pub seconds: f64,
    /// How many steps its plan has.
    pub steps: usize,
    /// Where it stands.
    pub progress: Progress,
    /// Who ran it: the database user.
    pub user: String,
    /// How the schema differs with the consent of whoever resumed it.
    pub accepted: Vec<Difference>,
}

/// A run that nobody has ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Unfinished {
    /// Its number.
    pub id: RunId,
    /// What it executes.
    pub plan: Plan,
    /// Where it stands.
    pub progress: Progress,
    /// Who started it: the database user.
    pub user: String,
    /// When, in UTC, as `YYYY-MM-DD HH:MM:SS`.
    pub started: String,
}

/// The records that a session reads and writes.
#[async_trait]
pub trait RecordStore: Send {
    /// Sternway's records for the application `app`; empty ones where there are none.
    async fn records(&mut self, app: &str) -> Result<Records, DatabaseError>;

    /// Makes a place for records, if it may.
    async fn prepare_records(&mut self) -> Result<RecordsAccess, DatabaseError>;

    /// Records the plan's migrations and releases, and notes that its run begins.
    async fn begin_run(&mut self, plan: &Plan) -> Result<RunId, DatabaseError>;

    /// Adds to the journal of a run.
    async fn record(&mut self, run: RunId, record: &Record) -> Result<(), DatabaseError>;

    /// Records migrations of a track of the application `app`, with the bodies that are given.
    async fn record_migrations(
        &mut self,
        app: &str,
        track: &TrackName,
        migrations: &[Migration],
        bodies: &BTreeMap<Digest, String>,
    ) -> Result<(), DatabaseError>;

    /// The last run of the application `app`, if nobody has ended it.
    async fn unfinished(&mut self, app: &str) -> Result<Option<Unfinished>, DatabaseError>;

    /// Every run of the application `app`, the last one first.
    async fn history(&mut self, app: &str) -> Result<Vec<RunSummary>, DatabaseError>;
}
