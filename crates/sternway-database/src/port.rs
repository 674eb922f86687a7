//! The port: what the engine asks of a database, whatever its dialect.
//!
//! A session holds its locks until it is dropped. Everything that only looks changes nothing: no
//! table is created by asking where a track stands.

mod error;

use std::collections::BTreeSet;
use std::time::Duration;

use async_trait::async_trait;
use sternway_model::body::BodyFacts;
use sternway_model::journal::{Progress, Record};
use sternway_model::plan::{Course, Migrate, Plan};
use sternway_model::proof::Fingerprint;
use sternway_model::state::{Identity, Records, RecordsAccess, TrackState};

use sternway_model::catalog::Release;

pub use error::{Connect, DatabaseError, Holder, LockError, SqlError, StepError};

/// The number of a run in the records of one database.
pub type RunId = i64;

/// A run as the records tell of it.
#[derive(Debug, Clone, PartialEq)]
pub struct RunSummary {
    /// Its number.
    pub id: RunId,
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
}

/// A session with one database.
#[async_trait]
pub trait Database: Send {
    /// Which database this is.
    fn identity(&self) -> &Identity;

    /// What a body says, in this dialect.
    fn facts(&self, body: &str) -> BodyFacts;

    /// Takes every lock by which golang-migrate and Sternway keep each other out of these tracking
    /// tables, all or none, trying for as long as `patience`.
    async fn lock(&mut self, tables: &[String], patience: Duration) -> Result<(), LockError>;

    /// Gives the locks back.
    async fn unlock(&mut self) -> Result<(), DatabaseError>;

    /// What a tracking table says.
    async fn track(&mut self, table: &str) -> Result<TrackState, DatabaseError>;

    /// The tables in the current schema, without `except`.
    async fn tables(&mut self, except: &[String]) -> Result<BTreeSet<String>, DatabaseError>;

    /// The extensions that the server offers.
    async fn extensions(&mut self) -> Result<BTreeSet<String>, DatabaseError>;

    /// A canonical description of the schema, without `except` and Sternway's own records.
    async fn fingerprint(&mut self, except: &[String]) -> Result<Fingerprint, DatabaseError>;

    /// Sternway's records for the application `app`; empty ones where there are none.
    async fn records(&mut self, app: &str) -> Result<Records, DatabaseError>;

    /// Makes a place for records, if it may.
    async fn prepare_records(&mut self) -> Result<RecordsAccess, DatabaseError>;

    /// Keeps the plan's migrations and releases, and notes that its run begins.
    async fn begin_run(&mut self, plan: &Plan) -> Result<RunId, DatabaseError>;

    /// Adds to the journal of a run.
    async fn record(&mut self, run: RunId, record: &Record) -> Result<(), DatabaseError>;

    /// Runs one half of a migration and writes the tracking row. `journal` is the run and the
    /// number of the step; its end is recorded together with the tracking row.
    async fn migrate(
        &mut self,
        step: &Migrate,
        body: &str,
        journal: Option<(RunId, usize)>,
    ) -> Result<(), StepError>;

    /// Every run of the application `app`, the last one first.
    async fn history(&mut self, app: &str) -> Result<Vec<RunSummary>, DatabaseError>;
}
