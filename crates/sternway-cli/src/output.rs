//! The shapes of results for machines. `docs/output.md` describes them; a change that breaks a
//! reader gets the next number in `format`.

use std::collections::BTreeMap;

use serde::Serialize;
use sternway_model::catalog::{Release, TrackName};
use sternway_model::journal::Progress;
use sternway_model::plan::{Course, Plan};
use sternway_model::proof::Comparison;
use sternway_model::state::Identity;

/// `sternway releases`
#[derive(Serialize)]
pub struct Releases {
    pub format: &'static str,
    pub app: String,
    pub releases: Vec<ReleaseRow>,
}

#[derive(Serialize)]
pub struct ReleaseRow {
    pub release: Release,
    pub prerelease: bool,
    pub label: String,
    pub commit: Option<String>,
    /// The highest number of each track that the release has.
    pub tracks: BTreeMap<TrackName, Option<u64>>,
    /// The oldest release with the same migrations.
    pub schema_of: Option<Release>,
}

/// `sternway status`
#[derive(Serialize)]
pub struct Status {
    pub format: &'static str,
    pub app: String,
    pub database: Identity,
    pub tracks: Vec<TrackRow>,
    pub releases: Vec<Release>,
    pub running: Option<Release>,
    pub runs_on_this_schema: Option<bool>,
    pub comparison: Option<Comparison>,
    pub unproven: Option<String>,
    pub problem: Option<String>,
    pub repair: Vec<String>,
    pub records: Records,
}

#[derive(Serialize)]
pub struct TrackRow {
    pub track: TrackName,
    pub table: String,
    pub takes_part: bool,
    pub table_exists: bool,
    pub version: Option<u64>,
    pub dirty: bool,
    pub newest: Option<u64>,
    /// Where a dirty track's schema really is; several where they do not differ.
    pub schema_at: Option<Vec<Option<u64>>>,
}

#[derive(Serialize)]
pub struct Records {
    pub unavailable: Option<String>,
    pub migrations: usize,
    pub arrived_at: Option<Release>,
}

/// `sternway rollback`, `upgrade` and `apply`
#[derive(Serialize)]
pub struct Ran<'a> {
    pub format: &'static str,
    pub plan: &'a Plan,
    pub outcome: &'static str,
    pub proofs: Vec<Option<Comparison>>,
}

/// `sternway history`
#[derive(Serialize)]
pub struct History {
    pub format: &'static str,
    pub runs: Vec<RunRow>,
}

#[derive(Serialize)]
pub struct RunRow {
    pub run: i64,
    pub course: Course,
    pub from: Option<Release>,
    pub target: Release,
    pub started: String,
    pub seconds: f64,
    pub steps: usize,
    pub user: String,
    pub progress: Progress,
}
