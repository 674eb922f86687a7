//! The shapes of results for machines. `docs/output.md` describes them; a change that breaks a
//! reader gets the next number in `format`.

use std::collections::BTreeMap;

use serde::Serialize;
use sternway_model::archive::{Entry, EntryId, Kept, Page, PutBack, Restored};
use sternway_model::catalog::{Direction, Release, TrackName};
use sternway_model::effect::Lost;
use sternway_model::journal::Progress;
use sternway_model::plan::{Course, Plan};
use sternway_model::proof::Comparison;
use sternway_model::state::Identity;

use crate::commands::archive::is_older;

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
    pub unfinished: Option<UnfinishedRun>,
    /// The fences that a run left standing, in words.
    pub fences: Vec<String>,
    pub records: Records,
    pub archive: Shelf,
}

/// What the archive keeps, in all.
#[derive(Default, Serialize)]
pub struct Shelf {
    pub entries: usize,
    pub waiting: u64,
    pub bytes: u64,
    pub old: usize,
}

impl Shelf {
    pub fn of(entries: &[Entry], warn_after_days: u64) -> Shelf {
        Shelf {
            entries: entries.len(),
            waiting: entries.iter().map(Entry::waiting).sum(),
            bytes: entries.iter().map(|entry| entry.bytes).sum(),
            old: entries.iter().filter(|entry| is_older(entry, warn_after_days)).count(),
        }
    }
}

#[derive(Serialize)]
pub struct UnfinishedRun {
    pub run: i64,
    pub course: Course,
    pub from: Option<Release>,
    pub target: Release,
    pub started: String,
    pub user: String,
    pub steps: usize,
    pub progress: Progress,
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

/// `sternway doctor`
#[derive(Serialize)]
pub struct Doctor {
    pub format: &'static str,
    pub app: String,
    pub database: Identity,
    /// Sessions that a migrator may have left behind. Nothing is examined while there are any.
    pub orphans: Vec<String>,
    pub tracks: Vec<PatientRow>,
    /// The fences that a run left standing, in words.
    pub fences: Vec<String>,
    /// What was done: `finish`, `undo`, `set_row` or `lower_fence`.
    pub did: Option<&'static str>,
}

#[derive(Serialize)]
pub struct PatientRow {
    pub track: TrackName,
    pub table: String,
    pub version: Option<u64>,
    pub dirty: bool,
    pub well: bool,
    /// The numbers whose clean install has the schema that was found.
    pub fits: Vec<Option<u64>>,
    pub doubts: Vec<DoubtRow>,
    pub exits: Vec<ExitRow>,
}

/// A body that may have been under way.
#[derive(Serialize)]
pub struct DoubtRow {
    pub file: String,
    pub version: u64,
    pub direction: Direction,
    pub parts: usize,
    pub at_once: bool,
    pub took: Vec<usize>,
    pub silent: Vec<usize>,
    pub invalid_indexes: Vec<String>,
    pub undone: Option<u64>,
    pub done: Option<u64>,
}

/// A way out.
#[derive(Serialize)]
pub struct ExitRow {
    pub exit: &'static str,
    pub file: String,
    pub to: Option<u64>,
    /// What it destroys and cannot keep.
    pub unkept: Vec<String>,
    pub sql: String,
}

/// `sternway rollback`, `upgrade`, `apply` and `resume`
#[derive(Serialize)]
pub struct Ran<'a> {
    pub format: &'static str,
    pub plan: &'a Plan,
    pub outcome: &'static str,
    pub proofs: Vec<Option<Comparison>>,
    pub kept: &'a [Kept],
    pub put_back: &'a [PutBack],
    pub checks: &'a [CheckRow],
}

/// What a check of the settings found.
#[derive(Serialize)]
pub struct CheckRow {
    pub message: String,
    pub severity: &'static str,
    pub holds: bool,
    pub rows: Vec<String>,
    pub more: bool,
    pub again: Option<String>,
    pub ran_again: bool,
}

/// `sternway abort`
#[derive(Serialize)]
pub struct TakenBack<'a> {
    pub format: &'static str,
    pub run: i64,
    pub outcome: &'static str,
    pub comparison: Option<Comparison>,
    pub kept: &'a [Kept],
    pub put_back: &'a [PutBack],
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

/// `sternway archive list`
#[derive(Serialize)]
pub struct Archive {
    pub format: &'static str,
    pub app: String,
    pub warn_after_days: u64,
    pub entries: Vec<ArchiveRow>,
}

#[derive(Serialize)]
pub struct ArchiveRow {
    #[serde(flatten)]
    pub entry: Entry,
    /// How many rows are in the archive alone.
    pub waiting: u64,
    pub state: State,
    /// Whether it has been kept for longer than the settings like.
    pub old: bool,
}

impl ArchiveRow {
    pub fn of(entry: Entry, warn_after_days: u64) -> ArchiveRow {
        let (waiting, state) = (entry.waiting(), State::of(&entry));
        let old = is_older(&entry, warn_after_days);
        ArchiveRow { entry, waiting, state, old }
    }
}

/// What became of an entry of the archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Nobody has tried to put it back.
    Waiting,
    /// All of it is back.
    Back,
    /// What fits is back, the rest is left.
    Left,
}

impl State {
    pub fn of(entry: &Entry) -> State {
        match &entry.restored {
            None => State::Waiting,
            Some(restored) if restored.left() == 0 => State::Back,
            Some(_) => State::Left,
        }
    }
}

/// `sternway archive show`
#[derive(Serialize)]
pub struct Shown {
    pub format: &'static str,
    pub entry: ArchiveRow,
    pub page: Page,
}

/// `sternway archive export --out`
#[derive(Serialize)]
pub struct Exported {
    pub format: &'static str,
    pub id: EntryId,
    #[serde(flatten)]
    pub lost: Lost,
    pub file: String,
    pub rows: u64,
    pub bytes: u64,
}

/// `sternway archive restore`
#[derive(Serialize)]
pub struct RestoredEntry {
    pub format: &'static str,
    pub id: EntryId,
    #[serde(flatten)]
    pub lost: Lost,
    pub restored: Restored,
}

/// `sternway archive drop`
#[derive(Serialize)]
pub struct Dropped {
    pub format: &'static str,
    pub dropped: Vec<ArchiveRow>,
}
