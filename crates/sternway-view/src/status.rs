//! Where a database stands.

use serde::Serialize;
use sternway_database::{Dialect, Raised};
use sternway_engine::archive;
use sternway_engine::doctor::row_statement;
use sternway_engine::status::{self as engine, DirtyTracks, Schema, TrackStatus, Unknown, Verdict};
use sternway_model::archive::{Entry, EntryId};
use sternway_model::catalog::{Release, TrackName};
use sternway_model::effect::{counted, size};
use sternway_model::journal::Progress;
use sternway_model::plan::Standing;
use sternway_model::position::Position;
use sternway_model::proof::Comparison;
use sternway_model::state::{Identity, RecordsAccess, TrackState};

use crate::unfinished::UnfinishedRun;
use crate::words::{plural, positions, table};
use crate::{Paint, comparison, error};

/// `sternway.status/1`
#[derive(Debug, Serialize)]
pub struct Status {
    format: &'static str,
    /// The application.
    pub app: String,
    /// The database.
    pub database: Identity,
    /// The tracks that are not switched off.
    pub tracks: Vec<TrackRow>,
    /// The releases whose schema this is.
    pub releases: Vec<Release>,
    /// The release that the application runs.
    pub running: Option<Release>,
    /// What a release has below the number of a tracking row and the database has not.
    pub lacking: Vec<Lacking>,
    /// Whether it runs on this schema, where that is known.
    pub runs_on_this_schema: Option<bool>,
    /// The schema beside a clean install, where one was made.
    pub comparison: Option<Comparison>,
    /// Why there is no comparison or no diagnosis.
    pub unproven: Option<String>,
    /// Why no plan can be made.
    pub problem: Option<String>,
    /// For dirty tracks: the statements that make their rows say what the schema has.
    pub repair: Vec<String>,
    /// The run that nobody has ended.
    pub unfinished: Option<UnfinishedRun>,
    /// The fences that a run left standing, in words.
    pub fences: Vec<String>,
    /// Sternway's own records.
    pub records: Records,
    /// What is kept of what migrations took away.
    pub archive: Shelf,
}

/// Migrations that a migrator has passed over.
#[derive(Debug, Serialize)]
pub struct Lacking {
    /// The track.
    pub track: TrackName,
    /// The newest release that has them and the number of the row.
    pub release: Release,
    /// Their numbers.
    pub migrations: Vec<u64>,
}

impl Lacking {
    /// What a database lacks that stands there.
    pub fn of(standing: &Standing) -> Vec<Lacking> {
        let lacking = standing.lacking.iter().map(|(track, (release, migrations))| Lacking {
            track: track.clone(),
            release: release.clone(),
            migrations: migrations.clone(),
        });
        lacking.collect()
    }

    /// The same for people, and what to do about it.
    pub fn text(&self) -> String {
        let Lacking { track, release, migrations } = self;
        let numbers = migrations.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
        format!(
            "lacking: {numbers} of track {track}, which {release} has below the row's number and nobody has run; `sternway upgrade --to {release} --redo` goes back and runs them in their order"
        )
    }
}

/// One track.
#[derive(Debug, Serialize)]
pub struct TrackRow {
    /// Its name.
    pub track: TrackName,
    /// Its tracking table.
    pub table: String,
    /// Whether it is used in this database.
    pub takes_part: bool,
    /// Whether the tracking table is there.
    pub table_exists: bool,
    /// What it says.
    pub version: Position,
    /// Whether it is marked dirty.
    pub dirty: bool,
    /// The highest migration in any release.
    pub newest: Position,
    /// Where a dirty track's schema really is; several where they do not differ.
    pub schema_at: Option<Vec<Position>>,
}

/// Sternway's own records.
#[derive(Debug, Serialize)]
pub struct Records {
    /// Why none can be kept.
    pub unavailable: Option<String>,
    /// How many migrations are carried.
    pub migrations: usize,
    /// The release that the last finished run arrived at.
    pub arrived_at: Option<Release>,
    /// What others had made, was taken along, and waits to be made again.
    pub taken: Vec<String>,
}

/// What the archive keeps, in all.
#[derive(Debug, Default, Serialize)]
pub struct Shelf {
    /// How many entries.
    pub entries: usize,
    /// How many rows are in the archive alone.
    pub waiting: u64,
    /// How many bytes it takes.
    pub bytes: u64,
    /// How many entries are older than the settings like.
    pub old: usize,
    /// The entries that wait though their migration is applied again, and not by Sternway.
    pub overdue: Vec<EntryId>,
}

impl Shelf {
    /// The sum of these entries.
    pub fn of(entries: &[Entry], warn_after_days: u64) -> Shelf {
        Shelf {
            entries: entries.len(),
            waiting: entries.iter().map(Entry::waiting).sum(),
            bytes: entries.iter().map(|entry| entry.bytes).sum(),
            old: entries.iter().filter(|entry| entry.is_older_than(warn_after_days)).count(),
            overdue: Vec::new(),
        }
    }
}

/// The entries of the archive that wait though their migration is applied again.
fn overdue(status: &engine::Status) -> Vec<EntryId> {
    if status.unfinished.is_some() {
        return Vec::new();
    }
    let at = |track: &TrackName| {
        status.tracks.iter().find(|it| it.track == *track).map(TrackStatus::row)
    };
    archive::overdue(&status.archive, &status.placed, at)
        .into_iter()
        .flatten()
        .map(|entry| entry.id)
        .collect()
}

impl TrackRow {
    fn of(status: &TrackStatus) -> TrackRow {
        let row = status.row();
        TrackRow {
            track: status.track.clone(),
            table: status.table.clone(),
            takes_part: status.takes_part,
            table_exists: status.state != TrackState::NoTable,
            version: row.position,
            dirty: row.dirty,
            newest: status.newest,
            schema_at: status.schema_at.clone(),
        }
    }

    /// What there is to say of it, in words.
    fn state(&self) -> String {
        match self {
            TrackRow { dirty: true, schema_at: Some(at), .. } if !at.is_empty() => {
                format!("dirty; the schema is that of {}", positions(at))
            }
            TrackRow { dirty: true, schema_at: Some(_), .. } => {
                "dirty; the schema is that of no migration".to_owned()
            }
            TrackRow { dirty: true, .. } => "dirty".to_owned(),
            TrackRow { takes_part: false, table_exists: true, .. } => {
                "off: an empty table".to_owned()
            }
            TrackRow { takes_part: false, .. } => "off: no tracking table".to_owned(),
            TrackRow { table_exists: false, .. } => "not installed".to_owned(),
            _ => "clean".to_owned(),
        }
    }
}

/// The statements that make the rows of dirty tracks say what the schema has.
fn repairs(dialect: Dialect, schema: &str, tracks: &[TrackStatus]) -> Vec<String> {
    let repair = |it: &TrackStatus| Some(row_statement(dialect, schema, &it.table, it.repaired()?));
    tracks.iter().filter_map(repair).collect()
}

/// Fences in words.
pub fn fences(fences: &[Raised]) -> Vec<String> {
    fences.iter().map(|it| format!("{}, since {} UTC", it.fence.kind, it.since)).collect()
}

impl Status {
    /// The shape of where a database stands. Entries of the archive are old after `warn_after_days`.
    pub fn of(status: &engine::Status, warn_after_days: u64) -> Status {
        let mut shape = Status {
            format: "sternway.status/1",
            app: status.app.clone(),
            database: status.database.clone(),
            tracks: status.tracks.iter().map(TrackRow::of).collect(),
            releases: Vec::new(),
            running: status.running.clone(),
            lacking: Vec::new(),
            runs_on_this_schema: None,
            comparison: None,
            unproven: None,
            problem: None,
            repair: Vec::new(),
            unfinished: status.unfinished.as_ref().map(UnfinishedRun::of),
            fences: fences(&status.fences),
            records: Records {
                unavailable: match &status.records.access {
                    RecordsAccess::Available => None,
                    RecordsAccess::Unavailable(reason) => Some(reason.clone()),
                },
                migrations: status.records.migrations,
                arrived_at: status.records.arrived_at.clone(),
                taken: status.records.taken.iter().map(ToString::to_string).collect(),
            },
            archive: Shelf {
                overdue: overdue(status),
                ..Shelf::of(&status.archive, warn_after_days)
            },
        };
        match &status.verdict {
            Verdict::Stands { schema: Schema::OfAnotherApp, .. } => {
                shape.problem = Some(format!(
                    "the tracking tables are here and no table of `{}` is: this may be the database of another application",
                    status.app
                ));
            }
            Verdict::Stands { standing, schema } => {
                shape.releases.clone_from(&standing.releases);
                shape.runs_on_this_schema = standing.runs;
                shape.lacking = Lacking::of(standing);
                match schema {
                    Schema::Compared(comparison) => shape.comparison = Some(comparison.clone()),
                    Schema::Unproven(cause) => shape.unproven = Some(error::in_a_line(cause)),
                    Schema::NotInstalled | Schema::OfAnotherApp => {}
                }
            }
            Verdict::Dirty { problem, unknown } => {
                shape.problem = Some(problem.to_string());
                shape.unproven = unknown.as_ref().map(|unknown| match unknown {
                    Unknown::AtWork => {
                        "a migrator is at work, and its track is dirty until it is done".to_owned()
                    }
                    Unknown::Unproven(cause) => error::in_a_line(cause),
                });
                // The schema does not tell whether rows were changed; a run's journal does.
                if status.unfinished.is_none() {
                    let schema = &status.database.schema;
                    shape.repair = repairs(status.dialect, schema, &status.tracks);
                }
            }
            Verdict::Refused(problem) => shape.problem = Some(problem.to_string()),
        }
        shape
    }

    /// All of it, for people.
    pub fn text(&self, paint: Paint) -> String {
        let Identity { database, schema, server, .. } = &self.database;
        let app = &self.app;
        let head = format!("{app} in database `{database}`, schema `{schema}`, {server}");
        let mut text = format!("{}\n{}", paint.strong(&head), self.track_table());
        if let Some(problem) = &self.problem {
            text.push_str(&format!("{} {problem}\n", paint.alarm("problem:")));
        }
        for repair in &self.repair {
            text.push_str(&format!("repair: {repair}\n"));
        }
        text.push_str(&self.schema_and_application());
        match (&self.comparison, &self.unproven) {
            (Some(comparison), _) => {
                text.push_str(if comparison.holds() { "drift: none\n" } else { "drift:\n" });
                text.push_str(&comparison::text(paint, comparison));
            }
            (None, Some(reason)) => text.push_str(&format!("drift: not known; {reason}\n")),
            (None, None) => {}
        }
        text.push_str(&self.left_behind(paint));
        text.push_str(&self.records_and_archive());
        text
    }

    fn track_table(&self) -> String {
        let heads = ["TRACK", "TABLE", "AT", "NEWEST", "STATE"];
        let mut rows = vec![heads.map(str::to_owned).to_vec()];
        let number = |at: Position| at.number().map_or("-".to_owned(), |at| at.to_string());
        for row in &self.tracks {
            let (at, newest) = (number(row.version), number(row.newest));
            rows.push(vec![row.track.to_string(), row.table.clone(), at, newest, row.state()]);
        }
        table(&rows)
    }

    /// The releases that the schema is of, and whether the one that runs works on it.
    fn schema_and_application(&self) -> String {
        let mut text = match self.releases.as_slice() {
            [] if self.problem.is_some() => String::new(),
            [] if self.tracks.iter().all(|row| row.version == Position::Nothing) => {
                "schema: nothing is installed; `sternway upgrade --to RELEASE` does that\n"
                    .to_owned()
            }
            [] => "schema: of no release exactly\n".to_owned(),
            [one] => format!("schema: of {one}\n"),
            [first, .., last] => {
                format!("schema: of {} releases, {first} to {last}\n", self.releases.len())
            }
        };
        for lacking in &self.lacking {
            text.push_str(&format!("{}\n", lacking.text()));
        }
        if let Some(running) = &self.running {
            let works = match self.runs_on_this_schema {
                Some(true) => "it runs on this schema",
                Some(false) => "it does not run on this schema",
                None => "whether it runs on this schema is not known",
            };
            text.push_str(&format!("application: {running}; {works}\n"));
        }
        text
    }

    /// The run and the fences that an end left, and what deals with them.
    fn left_behind(&self, paint: Paint) -> String {
        let mut text = String::new();
        if let Some(UnfinishedRun { run, course, target, progress, .. }) = &self.unfinished {
            let run = paint.alarm(&format!("unfinished: run {run}"));
            let way = match progress {
                Progress::Aborting { .. } => "`sternway abort` takes it back",
                _ => "`sternway resume` finishes it, `sternway abort` takes it back",
            };
            text.push_str(&format!("{run}, the {course} to {target}: {progress}; {way}\n"));
        }
        for fence in &self.fences {
            let fence = format!("{} {fence}", paint.alarm("a fence stands:"));
            text.push_str(&match self.unfinished {
                Some(_) => format!("{fence}; it goes when that run is made up for\n"),
                None => format!("{fence}; `sternway doctor --lower-fence` takes it away\n"),
            });
        }
        text
    }

    fn records_and_archive(&self) -> String {
        let Records { unavailable, migrations, arrived_at, taken } = &self.records;
        let number = plural(*migrations, "migration", "migrations");
        let mut text = match (unavailable, arrived_at) {
            (Some(reason), _) => format!("records: none can be kept; {reason}\n"),
            (None, Some(release)) => {
                format!("records: {number}; the last run arrived at {release}\n")
            }
            (None, None) => format!("records: {number}\n"),
        };
        if !taken.is_empty() {
            let taken = taken.join(", ");
            text.push_str(&format!("taken along, to be made again on the way back: {taken}\n"));
        }
        let kept = &self.archive;
        if kept.entries > 0 {
            text.push_str(&format!(
                "archive: {}, {} nowhere else, {}\n",
                plural(kept.entries, "entry", "entries"),
                counted(kept.waiting, "row"),
                size(kept.bytes)
            ));
        }
        if !kept.overdue.is_empty() {
            let (entries, wait) = match kept.overdue.as_slice() {
                [one] => (format!("entry {one}"), "waits"),
                some => {
                    let some: Vec<String> = some.iter().map(ToString::to_string).collect();
                    (format!("entries {}", some.join(", ")), "wait")
                }
            };
            text.push_str(&format!(
                "{entries} {wait} in the archive, and the migration is applied again: `sternway archive restore --waiting` puts back what fits\n"
            ));
        }
        text
    }
}

/// What to do about dirty tracks, where one is in the way of a plan.
pub fn dirty_hint(dirty: &DirtyTracks) -> String {
    let mut hint = String::new();
    for row in dirty.tracks.iter().map(TrackRow::of).filter(|row| row.dirty) {
        hint.push_str(&format!("track `{}`: {}\n", row.track, row.state()));
    }
    for repair in repairs(dirty.dialect, &dirty.schema, &dirty.tracks) {
        hint.push_str(&format!("once that is right, say so with: {repair}\n"));
    }
    if let Some(cause) = &dirty.unknown {
        let reason = error::in_a_line(cause);
        hint.push_str(&format!("what the schema has is not known: {reason}\n"));
    }
    hint.push_str("`sternway doctor` looks closer and mends it; then give the same command again");
    hint
}

#[cfg(test)]
mod tests;
