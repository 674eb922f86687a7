//! `sternway status`

use std::collections::BTreeMap;

use sternway_database::Database;
use sternway_engine::diagnose::diagnose;
use sternway_engine::observe::tables;
use sternway_engine::rehearse::{Material, Positions, RehearsalError, expected_here};
use sternway_model::catalog::{Digest, Enabled, Migration, MigrationSet, Release, TrackName};
use sternway_model::effect::{counted, size};
use sternway_model::journal::Progress;
use sternway_model::plan::{Plan, PlanError, Standing, standing};
use sternway_model::proof::{Comparison, compare};
use sternway_model::state::{Position, RecordsAccess, TrackState};

use super::archive::warn;
use super::execute::comparison_text;
use super::{fence, unfinished};
use crate::args::Shared;
use crate::failure::{Exit, Failure};
use crate::output::{Records, Shelf, Status, TrackRow, UnfinishedRun};
use crate::ui::{Ui, plural, table};
use crate::wiring::{Known, Setup};

pub async fn status(ui: &Ui, shared: &Shared) -> Result<Exit, Failure> {
    let setup = Setup::new(ui, shared)?;
    let mut database = setup.connect().await?;
    let known = setup.know(&mut *database).await?;
    let mut status = describe(&known);
    status.unfinished = unfinished::row(&setup, &mut *database).await?;
    status.fences = fence::forgotten(&setup, &mut *database).await?;
    let exit = match standing(&known.facts()) {
        Ok(standing) => {
            let exit = prove(&known, &standing, &mut status, &mut *database).await?;
            if status.problem.is_none() {
                status.releases = standing.releases;
                status.runs_on_this_schema = standing.runs;
            }
            exit
        }
        Err(problem) => {
            status.problem = Some(problem.to_string());
            match problem {
                PlanError::Dirty { .. } if unfinished::at_work(&setup, &mut *database).await? => {
                    let reason = "a migrator is at work, and its track is dirty until it is done";
                    status.unproven = Some(reason.to_owned());
                    Exit::Dirty
                }
                PlanError::Dirty { .. } => {
                    repair(&known, &mut status, &mut *database).await?;
                    // The schema does not tell whether rows were changed; the journal does.
                    if status.unfinished.is_some() {
                        status.repair.clear();
                    }
                    Exit::Dirty
                }
                _ => Exit::Refused,
            }
        }
    };
    let kept = warn(&setup, &mut *database).await?;
    status.archive = Shelf::of(&kept, setup.config.warn_after_days);
    ui.say(text(ui, &status).trim_end());
    ui.json(&status);
    Ok(exit)
}

/// What can be said without asking further.
fn describe(known: &Known) -> Status {
    let state = &known.state;
    let newest = |track: &TrackName| {
        known.catalog.releases.values().filter_map(|entry| entry.tracks.get(track)?.last()).max()
    };
    let rows = known.catalog.tracks.iter().filter(|track| track.enabled != Enabled::Never);
    let tracks = rows.map(|track| {
        let found = state.tracks.get(&track.name).copied().unwrap_or(TrackState::NoTable);
        let position = found.position();
        let off = track.enabled == Enabled::Auto && position.version.is_none() && !position.dirty;
        TrackRow {
            track: track.name.clone(),
            table: track.table.clone(),
            takes_part: !off,
            table_exists: found != TrackState::NoTable,
            version: position.version,
            dirty: position.dirty,
            newest: newest(&track.name),
            schema_at: None,
        }
    });
    Status {
        format: "sternway.status/1",
        app: known.catalog.app.clone(),
        database: state.identity.clone(),
        tracks: tracks.collect(),
        releases: Vec::new(),
        running: known.app.running.clone(),
        runs_on_this_schema: None,
        comparison: None,
        unproven: None,
        problem: None,
        repair: Vec::new(),
        unfinished: None,
        fences: Vec::new(),
        records: Records {
            unavailable: match &state.records.access {
                RecordsAccess::Available => None,
                RecordsAccess::Unavailable(reason) => Some(reason.clone()),
            },
            migrations: state.records.migrations.values().map(|set| set.iter().count()).sum(),
            arrived_at: state.records.arrived_at.clone(),
        },
        archive: Shelf::default(),
    }
}

/// What clean installs are made of: owned, because it is put together from catalog and records.
pub(super) struct Stuff {
    tracks: Vec<(TrackName, String)>,
    migrations: BTreeMap<TrackName, Vec<Migration>>,
    pub bodies: BTreeMap<Digest, String>,
    pub tables: Vec<String>,
}

impl Stuff {
    /// What is applied, and what the newest release that has it goes on with.
    pub fn whole(known: &Known, applied: &BTreeMap<TrackName, MigrationSet>) -> Stuff {
        Stuff::of(known, whole(known, applied))
    }

    /// Each of these tracks as the newest release has it that has what its row says, or else the
    /// newest that has the track; and what only the records have.
    pub fn newest(known: &Known, rows: &BTreeMap<TrackName, Position>) -> Stuff {
        let sets = rows.iter().map(|(track, row)| {
            let sets = known.catalog.releases.values().rev().map(|entry| entry.set(track));
            let sets: Vec<MigrationSet> = sets.filter(|set| !set.is_empty()).collect();
            let has = |set: &&MigrationSet| row.version.is_none_or(|it| set.get(it).is_some());
            let set = sets.iter().find(has).or(sets.first());
            let mut set = set.cloned().unwrap_or_default();
            let recorded = known.state.records.migrations.get(track);
            for migration in recorded.into_iter().flat_map(MigrationSet::iter) {
                if set.get(migration.version).is_none() {
                    set.insert(migration.clone());
                }
            }
            (track.clone(), set)
        });
        Stuff::of(known, sets.collect())
    }

    fn of(known: &Known, sets: BTreeMap<TrackName, MigrationSet>) -> Stuff {
        let bodies = known.catalog.bodies.iter().chain(&known.state.records.bodies);
        let tracks = known.catalog.tracks.iter().filter(|track| sets.contains_key(&track.name));
        Stuff {
            tracks: tracks.map(|track| (track.name.clone(), track.table.clone())).collect(),
            bodies: bodies.map(|(hash, body)| (*hash, body.to_string())).collect(),
            tables: tables(&known.catalog.tracks),
            migrations: sets
                .into_iter()
                .map(|(track, set)| (track, set.iter().cloned().collect()))
                .collect(),
        }
    }

    pub fn material<'a>(&'a self, schema: &'a str) -> Material<'a> {
        Material {
            tracks: &self.tracks,
            migrations: &self.migrations,
            bodies: &self.bodies,
            tables: &self.tables,
            schema,
        }
    }
}

/// Each track's migrations as the newest release has them that has what is applied, so that what a
/// later migration creates is known to be the application's.
fn whole(
    known: &Known,
    applied: &BTreeMap<TrackName, MigrationSet>,
) -> BTreeMap<TrackName, MigrationSet> {
    let whole = |(track, set): (&TrackName, &MigrationSet)| {
        let sets = known.catalog.releases.values().rev().map(|entry| entry.set(track));
        let mut sets = sets.filter(|it| it.up_to(set.last()).same_versions(set));
        let mut whole = sets.next().unwrap_or_default();
        set.iter().for_each(|migration| whole.insert(migration.clone()));
        (track.clone(), whole)
    };
    applied.iter().map(whole).collect()
}

/// Compares the schema with a clean install of where the tracks stand.
async fn prove(
    known: &Known,
    standing: &Standing,
    status: &mut Status,
    database: &mut dyn Database,
) -> Result<Exit, Failure> {
    let stuff = Stuff::whole(known, &standing.applied);
    let positions = standing.applied.iter().map(|(track, set)| (track.clone(), set.last()));
    let positions: Positions = positions.collect();
    if positions.values().all(Option::is_none) {
        return Ok(Exit::Done);
    }
    match expected_here(&known.shadow, &stuff.material(&known.state.identity.schema), &positions)
        .await
    {
        Ok(expected) => {
            let found = fingerprint(database, &stuff.tables).await?;
            let mut tables =
                expected.clean.objects.keys().filter(|it| it.kind == "table").peekable();
            if tables.peek().is_some() && !tables.any(|table| found.objects.contains_key(table)) {
                status.problem = Some(format!(
                    "the tracking tables are here and no table of `{}` is: this may be the database of another application",
                    status.app
                ));
                return Ok(Exit::Refused);
            }
            let comparison = compare(&expected, &found);
            let exit = if comparison.holds() { Exit::Done } else { Exit::Drift };
            status.comparison = Some(comparison);
            Ok(exit)
        }
        Err(error) => {
            status.unproven = Some(chain(error));
            Ok(Exit::Done)
        }
    }
}

pub(super) async fn fingerprint(
    database: &mut dyn Database,
    tables: &[String],
) -> Result<sternway_model::proof::Fingerprint, Failure> {
    let fingerprint = database.fingerprint(tables).await;
    fingerprint.map_err(|cause| Failure::to_ask("cannot read the schema", cause))
}

pub(super) fn chain(error: RehearsalError) -> String {
    let (_, causes, _) = Failure::to_rehearse(error).parts();
    causes.join(": ")
}

/// Adds to a refusal for a dirty track what the schema really has, and the statement that says so.
pub async fn or_diagnosis(
    planned: Result<Plan, Failure>,
    known: &Known,
    database: &mut dyn Database,
) -> Result<Plan, Failure> {
    let refusal = match planned {
        Err(refusal) if refusal.exit == Exit::Dirty => refusal,
        planned => return planned,
    };
    let mut status = describe(known);
    repair(known, &mut status, database).await?;
    let mut hint = String::new();
    for row in status.tracks.iter().filter(|row| row.dirty) {
        hint.push_str(&format!("track `{}`: {}\n", row.track, state(row)));
    }
    for repair in &status.repair {
        hint.push_str(&format!("once that is right, say so with: {repair}\n"));
    }
    if let Some(reason) = &status.unproven {
        hint.push_str(&format!("what the schema has is not known: {reason}\n"));
    }
    hint.push_str("`sternway doctor` looks closer and mends it; then give the same command again");
    Err(refusal.hint(hint))
}

/// Finds out what dirty tracks really have, and how to say so to the tracking table.
async fn repair(
    known: &Known,
    status: &mut Status,
    database: &mut dyn Database,
) -> Result<(), Failure> {
    let rows = status.tracks.iter().filter(|row| row.takes_part);
    let positions: Positions = rows.map(|row| (row.track.clone(), row.version)).collect();
    let sets = positions.keys().map(|track| {
        let with = |release: &Release| known.catalog.releases[release].set(track);
        let newest = known.catalog.releases.keys().rev().map(with).find(|set| !set.is_empty());
        (track.clone(), newest.unwrap_or_default())
    });
    let stuff = Stuff::of(known, sets.collect());
    let found = fingerprint(database, &stuff.tables).await?;
    let schema = known.state.identity.schema.clone();
    for row in status.tracks.iter_mut().filter(|row| row.dirty) {
        match diagnose(&known.shadow, &stuff.material(&schema), &row.track, &positions, &found)
            .await
        {
            Ok(at) => {
                // Where several fit, their schemas are the same; the one nearest to the mark is meant.
                let mark = row.version.unwrap_or(0);
                let near = at.iter().min_by_key(|at| at.unwrap_or(0).abs_diff(mark));
                if let Some(at) = near {
                    status.repair.push(force(&schema, &row.table, *at));
                }
                row.schema_at = Some(at);
            }
            Err(error) => status.unproven = Some(chain(error)),
        }
    }
    Ok(())
}

/// The statements that make a tracking table with a row say what the schema has.
pub(super) fn force(schema: &str, table: &str, at: Option<u64>) -> String {
    let quote = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
    let table = format!("{}.{}", quote(schema), quote(table));
    match at {
        Some(version) => format!("UPDATE {table} SET version = {version}, dirty = false;"),
        None => format!("DELETE FROM {table};"),
    }
}

/// What there is to say of a track, in words.
fn state(row: &TrackRow) -> String {
    let number = |at: Option<u64>| at.map_or("nothing".to_owned(), |at| at.to_string());
    match row {
        TrackRow { dirty: true, schema_at: Some(at), .. } if !at.is_empty() => {
            let at: Vec<String> = at.iter().map(|at| number(*at)).collect();
            format!("dirty; the schema is that of {}", at.join(" or "))
        }
        TrackRow { dirty: true, schema_at: Some(_), .. } => {
            "dirty; the schema is that of no migration".to_owned()
        }
        TrackRow { dirty: true, .. } => "dirty".to_owned(),
        TrackRow { takes_part: false, table_exists: true, .. } => "off: an empty table".to_owned(),
        TrackRow { takes_part: false, .. } => "off: no tracking table".to_owned(),
        TrackRow { table_exists: false, .. } => "not installed".to_owned(),
        _ => "clean".to_owned(),
    }
}

fn text(ui: &Ui, status: &Status) -> String {
    let database = &status.database;
    let mut text = ui.strong(&format!(
        "{} in database `{}`, schema `{}`, {}",
        status.app, database.database, database.schema, database.server
    ));
    text.push('\n');
    let mut rows = vec![["TRACK", "TABLE", "AT", "NEWEST", "STATE"].map(str::to_owned).to_vec()];
    let number = |at: Option<u64>| at.map_or("-".to_owned(), |at| at.to_string());
    for row in &status.tracks {
        let state = state(row);
        let (at, newest) = (number(row.version), number(row.newest));
        rows.push(vec![row.track.to_string(), row.table.clone(), at, newest, state]);
    }
    text.push_str(&table(&rows));
    if let Some(problem) = &status.problem {
        text.push_str(&format!("{} {problem}\n", ui.alarm("problem:")));
    }
    for repair in &status.repair {
        text.push_str(&format!("repair: {repair}\n"));
    }
    match status.releases.as_slice() {
        [] if status.problem.is_some() => {}
        [] if status.tracks.iter().all(|row| row.version.is_none()) => {
            text.push_str(
                "schema: nothing is installed; `sternway upgrade --to RELEASE` does that\n",
            );
        }
        [] => text.push_str("schema: of no release exactly\n"),
        [one] => text.push_str(&format!("schema: of {one}\n")),
        [first, .., last] => {
            let count = status.releases.len();
            text.push_str(&format!("schema: of {count} releases, {first} to {last}\n"));
        }
    }
    if let Some(running) = &status.running {
        let works = match status.runs_on_this_schema {
            Some(true) => "it runs on this schema",
            Some(false) => "it does not run on this schema",
            None => "whether it runs on this schema is not known",
        };
        text.push_str(&format!("application: {running}; {works}\n"));
    }
    match (&status.comparison, &status.unproven) {
        (Some(comparison), _) => {
            text.push_str(drift(comparison));
            text.push_str(&comparison_text(ui, comparison));
        }
        (None, Some(reason)) => text.push_str(&format!("drift: not known; {reason}\n")),
        (None, None) => {}
    }
    if let Some(UnfinishedRun { run, course, target, progress, .. }) = &status.unfinished {
        let run = ui.alarm(&format!("unfinished: run {run}"));
        let way = match progress {
            Progress::Aborting { .. } => "`sternway abort` takes it back",
            _ => "`sternway resume` finishes it, `sternway abort` takes it back",
        };
        text.push_str(&format!("{run}, the {course} to {target}: {progress}; {way}\n"));
    }
    for fence in &status.fences {
        let fence = format!("{} {fence}", ui.alarm("a fence stands:"));
        text.push_str(&match status.unfinished {
            Some(_) => format!("{fence}; it goes when that run is made up for\n"),
            None => format!("{fence}; `sternway doctor --lower-fence` takes it away\n"),
        });
    }
    let records = &status.records;
    text.push_str(&match (&records.unavailable, &records.arrived_at) {
        (Some(reason), _) => format!("records: none can be kept; {reason}\n"),
        (None, Some(release)) => {
            format!(
                "records: {} migrations; the last run arrived at {release}\n",
                records.migrations
            )
        }
        (None, None) => format!("records: {} migrations\n", records.migrations),
    });
    let kept = &status.archive;
    if kept.entries > 0 {
        text.push_str(&format!(
            "archive: {}, {} that are nowhere else, {}\n",
            plural(kept.entries, "entry", "entries"),
            counted(kept.waiting, "row"),
            size(kept.bytes)
        ));
    }
    text
}

fn drift(comparison: &Comparison) -> &'static str {
    if comparison.holds() { "drift: none\n" } else { "drift:\n" }
}
