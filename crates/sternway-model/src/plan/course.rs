//! Which way to go, and whether one may: everything that is refused before a route is sought.

use std::collections::{BTreeMap, BTreeSet};

use crate::catalog::{Direction, MigrationSet, Release, ReleaseEntry, Track, TrackName};
use crate::plan::applied::Applied;
use crate::plan::error::PlanError;
use crate::plan::{Course, Facts, Note, Request, records_note};
use crate::state::TrackState;

/// How what is applied in a track compares with what a release has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gap {
    /// The same.
    Equal,
    /// The database has more: the release's last number is below.
    Ahead,
    /// The database has less.
    Behind,
}

/// The gap of each track that takes part.
pub(super) type Gaps = BTreeMap<TrackName, Gap>;

/// The entry of the release asked for.
pub(super) fn target<'a>(
    facts: &Facts<'a>,
    target: &Release,
) -> Result<&'a ReleaseEntry, PlanError> {
    let entry = facts.catalog.releases.get(target);
    let entry = entry.ok_or_else(|| PlanError::UnknownRelease(target.clone()))?;
    match &facts.policy.floor {
        Some(floor) if target < floor => {
            Err(PlanError::BelowFloor { target: target.clone(), floor: floor.clone() })
        }
        _ if entry.is_empty() => Err(PlanError::NoMigrations(target.clone())),
        _ => Ok(entry),
    }
}

/// Compares what is applied with what `release` has.
pub(super) fn gaps(
    tracks: &[&Track],
    applied: &BTreeMap<TrackName, MigrationSet>,
    release: &Release,
    entry: &ReleaseEntry,
) -> Result<Gaps, PlanError> {
    let mut gaps = Gaps::new();
    for track in tracks {
        let gap = gap(&applied[&track.name], &entry.set(&track.name));
        let gap = gap.map_err(|(missing, extra)| PlanError::Forked {
            track: track.name.clone(),
            to: release.clone(),
            missing,
            extra,
        })?;
        gaps.insert(track.name.clone(), gap);
    }
    Ok(gaps)
}

/// Compares two sets; the error is what `theirs` has alone and what `ours` has alone, each below
/// the other's number.
///
/// Only a set that is a prefix of the other can be reached by moving a single number.
pub(super) fn gap(ours: &MigrationSet, theirs: &MigrationSet) -> Result<Gap, (Vec<u64>, Vec<u64>)> {
    if ours.same_versions(theirs) {
        Ok(Gap::Equal)
    } else if ours.up_to(theirs.last()).same_versions(theirs) {
        Ok(Gap::Ahead)
    } else if theirs.up_to(ours.last()).same_versions(ours) {
        Ok(Gap::Behind)
    } else {
        // Only what lies below the other's number stands in the way.
        let alone = |a: &MigrationSet, b: &MigrationSet| {
            let below = a.versions().filter(|version| Some(*version) < b.last());
            below.filter(|version| b.get(*version).is_none()).collect()
        };
        Err((alone(theirs, ours), alone(ours, theirs)))
    }
}

/// Decides the way, and refuses what lies the other way or is another application's.
pub(super) fn course(
    facts: &Facts<'_>,
    request: &Request,
    entry: &ReleaseEntry,
    applied: &Applied<'_>,
) -> Result<(Course, Gaps), PlanError> {
    identify(facts, request, entry, applied)?;
    let gaps = gaps(&applied.tracks, &applied.sets, &request.target, entry)?;
    let any = |gap| gaps.values().any(|it| *it == gap);
    let course = request.course.unwrap_or_else(|| {
        let from = facts.app.running.as_ref().or(applied.schema_of.as_ref());
        match (any(Gap::Ahead), any(Gap::Behind), &facts.app.running) {
            (true, false, None) => Course::Rollback,
            (false, true, None) => Course::Upgrade,
            _ => match from {
                Some(from) if request.target < *from => Course::Rollback,
                Some(from) if request.target == *from && any(Gap::Ahead) => Course::Rollback,
                _ => Course::Upgrade,
            },
        }
    });
    let running = facts.app.running.as_ref();
    let newer_than_running = running.is_some_and(|running| request.target > *running);
    let older_than_running = running.is_some_and(|running| request.target < *running);
    match course {
        Course::Rollback if any(Gap::Behind) && !any(Gap::Ahead) => {
            let behind = gaps.iter().find(|(_, gap)| **gap == Gap::Behind);
            let behind = behind.map(|(track, _)| {
                (track.clone(), applied.set(track).last(), entry.set(track).last())
            });
            Err(PlanError::WrongWay { course, target: request.target.clone(), behind })
        }
        Course::Rollback if newer_than_running => {
            Err(PlanError::WrongWay { course, target: request.target.clone(), behind: None })
        }
        Course::Upgrade if older_than_running => {
            Err(PlanError::WrongWay { course, target: request.target.clone(), behind: None })
        }
        Course::Upgrade => {
            let tolerates = |minor| facts.policy.tolerates(&request.target, minor, facts.catalog);
            match gaps.iter().find(|(_, gap)| **gap == Gap::Ahead) {
                Some((track, _)) if !applied.minor.is_some_and(tolerates) => {
                    Err(PlanError::AheadOfTarget {
                        target: request.target.clone(),
                        track: track.clone(),
                        at: applied.set(track).last(),
                        has: entry.set(track).last(),
                    })
                }
                _ => Ok((course, gaps)),
            }
        }
        Course::Rollback => Ok((course, gaps)),
    }
}

/// Refuses a database that is not this application's.
fn identify(
    facts: &Facts<'_>,
    request: &Request,
    entry: &ReleaseEntry,
    applied: &Applied<'_>,
) -> Result<(), PlanError> {
    let app = facts.catalog.app.clone();
    let database = facts.state.identity.database.clone();
    let Some(tables) = &facts.state.tables else { return Ok(()) };
    let found: Vec<String> = tables.iter().cloned().collect();
    let ours: BTreeSet<String> = if applied.is_empty() {
        applied.tracks.iter().flat_map(|track| creates(facts, &entry.set(&track.name))).collect()
    } else {
        applied.sets.values().flat_map(|set| creates(facts, set)).collect()
    };
    let expected = || {
        let exists = |track: &&&Track| {
            facts.state.tracks.get(&track.name).is_some_and(|it| *it != TrackState::NoTable)
        };
        let tracking = applied.tracks.iter().filter(|track| !exists(track));
        tracking.map(|track| track.table.clone()).chain(ours.iter().cloned()).collect()
    };
    // A run that arrived has left its mark here, whatever its tables are called by now.
    let known = facts.state.records.arrived_at.is_some();
    let any_of_ours = known || ours.iter().any(|table| tables.contains(table));
    let rollback = request.course == Some(Course::Rollback);
    match (applied.is_empty(), rollback) {
        (true, true) => Err(PlanError::NotThisApp { app, database, expected: expected(), found }),
        (true, false) if !tables.is_empty() && !request.adopt => {
            Err(PlanError::Untracked { app, database, found })
        }
        (false, _) if !ours.is_empty() && !any_of_ours => {
            Err(PlanError::NotThisApp { app, database, expected: expected(), found })
        }
        _ => Ok(()),
    }
}

/// The tables that the up halves of a set create.
fn creates(facts: &Facts<'_>, set: &MigrationSet) -> Vec<String> {
    let halves = set.iter().filter_map(|it| it.half(Direction::Up));
    let bodies = halves.filter_map(|half| facts.bodies.get(&half.hash));
    bodies.flat_map(|body| body.creates_tables.clone()).collect()
}

/// What is worth saying before any step.
pub(super) fn notes(facts: &Facts<'_>, request: &Request, applied: &Applied<'_>) -> Vec<Note> {
    let mut notes = applied.notes.clone();
    if request.target.is_prerelease() {
        notes.push(Note::PrereleaseTarget);
    }
    match &facts.state.tables {
        None => notes.push(Note::AssumedState),
        Some(tables) if applied.is_empty() && !tables.is_empty() => {
            notes.push(Note::Adopted { tables: tables.len() });
        }
        Some(_) => {}
    }
    notes.extend(records_note(&facts.state.records.access));
    notes
}
