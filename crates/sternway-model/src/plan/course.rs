//! Which way to go, and whether one may: everything that is refused before a route is sought.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use crate::catalog::{Direction, MigrationSet, Release, ReleaseEntry, Track, TrackName};
use crate::plan::applied::Applied;
use crate::plan::error::{Holder, PlanError};
use crate::plan::identity::Question;
use crate::plan::steps::holder;
use crate::plan::{Course, Facts, Note, Request, records_note};
use crate::position::Position;
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
    /// The release has the track no longer, and nothing is done about it.
    Retired,
    /// They go apart behind this number, and it was asked for to go back there and on to the release's.
    Apart(Position),
}

/// The gap of each track that takes part.
pub(super) type Gaps = BTreeMap<TrackName, Gap>;

/// The entry of the release asked for.
pub(super) fn target<'a>(
    facts: &Facts<'a>,
    target: &Release,
) -> Result<&'a ReleaseEntry, PlanError> {
    let entry = facts.catalog.releases.get(target);
    let entry = entry.ok_or_else(|| match facts.catalog.left_out.get(target) {
        Some(reason) => PlanError::LeftOut { release: target.clone(), reason: reason.clone() },
        None => PlanError::UnknownRelease(target.clone()),
    })?;
    match &facts.policy.floor {
        Some(floor) if target < floor => {
            Err(PlanError::BelowFloor { target: target.clone(), floor: floor.clone() })
        }
        _ if entry.is_empty() => Err(PlanError::NoMigrations(target.clone())),
        _ => Ok(entry),
    }
}

/// Compares what is applied with what `release` has. `redo`: where they go apart, the way leads back to
/// where they do.
pub(super) fn gaps(
    facts: &Facts<'_>,
    tracks: &[&Track],
    applied: &BTreeMap<TrackName, MigrationSet>,
    release: &Release,
    redo: bool,
) -> Result<Gaps, PlanError> {
    let mut gaps = Gaps::new();
    for track in tracks {
        let gap = match gap(facts, track, &applied[&track.name], release) {
            Err(PlanError::Forked { shared, .. } | PlanError::Contents { shared, .. }) if redo => {
                Gap::Apart(shared)
            }
            gap => gap?,
        };
        gaps.insert(track.name.clone(), gap);
    }
    Ok(gaps)
}

/// Compares what is applied in a track with what a release has.
///
/// Only a lineage that is the other one's beginning can be reached by moving a single number; by its
/// words, or by what it leads to.
fn gap(
    facts: &Facts<'_>,
    track: &Track,
    ours: &MigrationSet,
    release: &Release,
) -> Result<Gap, PlanError> {
    let theirs = facts.catalog.releases[release].set(&track.name);
    let (Position::At(here), Position::At(there)) = (ours.last(), theirs.last()) else {
        return Ok(match (ours.is_empty(), theirs.is_empty()) {
            (true, true) => Gap::Equal,
            (true, false) => Gap::Behind,
            (false, _) if facts.is_retired(&track.name, release) => Gap::Retired,
            (false, _) => Gap::Ahead,
        });
    };
    let both = here.min(there);
    let (one, other) = (ours.up_to(both), theirs.up_to(both));
    if !facts.same(&track.name, &one, &other) {
        return Err(apart(facts, track, ours, release, &theirs));
    }
    Ok(match here.cmp(&there) {
        Ordering::Less => Gap::Behind,
        Ordering::Equal => Gap::Equal,
        Ordering::Greater => Gap::Ahead,
    })
}

/// Why what is applied and what a release has are not one way.
fn apart(
    facts: &Facts<'_>,
    track: &Track,
    ours: &MigrationSet,
    release: &Release,
    theirs: &MigrationSet,
) -> PlanError {
    let both = ours.last().min(theirs.last());
    let (one, other) = (ours.up_to(both), theirs.up_to(both));
    let shared = facts.shared(&one, &other);
    let lineages = [&one, &other].map(|set| facts.lineage(&track.name, set.clone()));
    let compared = facts.found(&lineages[0], &lineages[1]);
    let [here, there] = lineages.map(Box::new);
    let asks = Question::Alike { track: track.name.clone(), one: here, other: there };
    let asks = Some(Box::new(asks));
    let track = track.name.clone();
    // Only what lies below the other's number stands in the way.
    let alone = |a: &MigrationSet, b: &MigrationSet| -> Vec<u64> {
        let below = a.versions().filter(|version| b.last() > *version);
        below.filter(|version| b.get(*version).is_none()).collect()
    };
    let (missing, extra) = (alone(theirs, ours), alone(ours, theirs));
    let differing = one.iter().find_map(|it| {
        let there = other.get(it.version)?;
        (!facts.same_up(it, there)).then_some((it, there))
    });
    if let (true, Some((here, there))) = (missing.is_empty() && extra.is_empty(), differing)
        && let (Some(up), Some(their)) = (&here.up, &there.up)
    {
        let version = here.version;
        let holder = holder(facts, &track, version, Direction::Up, up.hash);
        let holders = vec![(holder, up.hash), (Holder::Release(release.clone()), their.hash)];
        let direction = Direction::Up;
        return PlanError::Contents { track, version, direction, holders, shared, compared, asks };
    }
    // A release that goes on from here and ends at a number that the target goes on from.
    let leads_there = |other: &ReleaseEntry| {
        let set = other.set(&track);
        let ends_there = set.last().number().is_some_and(|last| theirs.get(last).is_some());
        ends_there && set.last() > ours.last() && facts.same_words(&set.up_to(ours.last()), ours)
    };
    let mut releases = facts.catalog.releases.iter().rev().filter(|(it, _)| *it < release);
    let by = releases.find(|(_, entry)| leads_there(entry)).map(|(release, _)| release.clone());
    PlanError::Forked { track, to: release.clone(), missing, extra, shared, by, compared, asks }
}

/// Decides the way, and refuses what lies the other way or is another application's.
pub(super) fn course(
    facts: &Facts<'_>,
    request: &Request,
    entry: &ReleaseEntry,
    applied: &Applied<'_>,
) -> Result<(Course, Gaps), PlanError> {
    identify(facts, request, entry, applied)?;
    let gaps = gaps(facts, &applied.tracks, &applied.sets, &request.target, request.redo)?;
    let any = |gap| gaps.values().any(|it| *it == gap);
    let apart = gaps.values().any(|it| matches!(it, Gap::Apart(_)));
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
        Course::Rollback if any(Gap::Behind) && !any(Gap::Ahead) && !apart => {
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
        // Where bodies move tables away, their words do not tell; the comparison of the schemas does.
        (false, _) if !ours.is_empty() && !any_of_ours && !moves_tables(facts, applied) => {
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

/// Whether what is applied may have made its tables elsewhere, or given them other names.
fn moves_tables(facts: &Facts<'_>, applied: &Applied<'_>) -> bool {
    let halves = applied.sets.values().flat_map(MigrationSet::iter);
    let mut bodies = halves.filter_map(|it| facts.bodies.get(&it.half(Direction::Up)?.hash));
    bodies.any(|body| body.moves_tables)
}

/// What is worth saying before any step.
pub(super) fn notes(
    facts: &Facts<'_>,
    request: &Request,
    applied: &Applied<'_>,
    gaps: &Gaps,
) -> Vec<Note> {
    let mut notes = applied.notes.clone();
    for (name, gap) in gaps {
        let (track, at) = (name.clone(), applied.set(name).last());
        match gap {
            Gap::Retired => notes.push(Note::TrackRetired { track, at }),
            Gap::Apart(shared) => notes.push(Note::Redone { track, shared: *shared }),
            Gap::Equal | Gap::Ahead | Gap::Behind => {
                let theirs = facts.catalog.releases[&request.target].set(name);
                let both = at.min(theirs.last());
                let (ours, theirs) = (applied.set(name).up_to(both), theirs.up_to(both));
                if !facts.same_words(&ours, &theirs) {
                    notes.push(Note::SameByEffect { track, at: both });
                }
            }
        }
    }
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
