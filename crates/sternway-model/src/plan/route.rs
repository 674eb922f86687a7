//! The hops: where a journey stops on its way.

use crate::catalog::{MigrationSet, Minor, Release};
use crate::plan::applied::Applied;
use crate::plan::course::{Gap, Gaps};
use crate::plan::error::PlanError;
use crate::plan::{Course, Facts, Note, Request};

/// The releases to arrive at, in order, and whether the schema moves with them.
#[derive(Debug)]
pub(super) struct Route {
    /// The stops; the last one is the target.
    pub stops: Vec<Release>,
    /// Whether the schema goes along; otherwise the application alone is swapped.
    pub moves_schema: bool,
    /// Whether it may lead back to where the database and the target go apart.
    pub redo: bool,
}

/// Finds the stops.
///
/// A journey moves one minor at a time, and stops at the newest stable release of each minor in
/// between: that is the distance that applications promise to work over. A journey that leaves the
/// schema alone, or starts from nothing, has one hop.
pub(super) fn route(
    facts: &Facts<'_>,
    request: &Request,
    course: Course,
    applied: &Applied<'_>,
    gaps: &Gaps,
    notes: &mut Vec<Note>,
) -> Result<Route, PlanError> {
    let target = &request.target;
    report(facts, target, course, applied, gaps, notes);
    let ahead = gaps.values().any(|gap| *gap == Gap::Ahead);
    let equal = gaps.values().all(|gap| matches!(gap, Gap::Equal | Gap::Retired));
    let apart = gaps.values().any(|gap| matches!(gap, Gap::Apart(_)));
    let tolerated = match applied.minor {
        Some(minor) => facts.policy.tolerates(target, minor, facts.catalog),
        None => false,
    };
    let stays = course == Course::Rollback && ahead && !apart && tolerated && !request.reset_schema;
    if equal || stays {
        if stays {
            for track in tracks_with(gaps, Gap::Ahead) {
                notes.push(Note::SchemaStaysAhead {
                    track: track.clone(),
                    at: applied.set(track).last(),
                    target: facts.catalog.releases[target].set(track).last(),
                });
            }
        }
        return Ok(Route { stops: vec![target.clone()], moves_schema: false, redo: request.redo });
    }
    // Where the way leads back and on again, no release in between lies on it.
    let from = applied.schema_of.as_ref().map(Release::minor).filter(|_| !apart);
    let mut stops = Vec::new();
    for minor in from.map_or(Vec::new(), |from| between(facts, from, target.minor())) {
        match facts.catalog.newest_stable(minor) {
            Some(release) if lies_between(facts, applied, release, target) => {
                stops.push(release.clone());
            }
            Some(release) => notes.push(Note::StopSkipped { release: release.clone() }),
            None => notes.push(Note::MinorSkipped { minor }),
        }
    }
    stops.push(target.clone());
    Ok(Route { stops, moves_schema: true, redo: request.redo })
}

/// The minors strictly between two, in the order in which one meets them.
fn between(facts: &Facts<'_>, from: Minor, to: Minor) -> Vec<Minor> {
    let (low, high) = (from.min(to), from.max(to));
    let minors = facts.catalog.minors().into_iter();
    let mut between: Vec<Minor> = minors.filter(|it| *it > low && *it < high).collect();
    if to < from {
        between.reverse();
    }
    between
}

/// Whether a journey to `target` comes by what a release has, as its words tell. One that it does not come
/// by is not stopped at: nobody starts it, and what is proved there would not be its schema.
fn lies_between(
    facts: &Facts<'_>,
    applied: &Applied<'_>,
    release: &Release,
    target: &Release,
) -> bool {
    applied.tracks.iter().all(|track| {
        let set = |release: &Release| facts.catalog.releases[release].set(&track.name);
        let (stop, end, start) = (set(release), set(target), applied.set(&track.name));
        let begins = |one: &MigrationSet, other: &MigrationSet| {
            let both = one.last().min(other.last());
            facts.same(&track.name, &one.up_to(both), &other.up_to(both))
        };
        // An empty set is the beginning of any, and a track that is left alone stands in no way.
        begins(start, &stop) && begins(&stop, &end)
    })
}

fn tracks_with(gaps: &Gaps, wanted: Gap) -> impl Iterator<Item = &crate::catalog::TrackName> {
    gaps.iter().filter(move |(_, gap)| **gap == wanted).map(|(track, _)| track)
}

/// Notes the tracks that the journey leaves where they are although the target has them elsewhere.
fn report(
    facts: &Facts<'_>,
    target: &Release,
    course: Course,
    applied: &Applied<'_>,
    gaps: &Gaps,
    notes: &mut Vec<Note>,
) {
    let wanted = match course {
        Course::Rollback => Gap::Behind,
        Course::Upgrade => Gap::Ahead,
    };
    for track in tracks_with(gaps, wanted) {
        let at = applied.set(track).last();
        let has = facts.catalog.releases[target].set(track).last();
        let track = track.clone();
        notes.push(match course {
            Course::Rollback => Note::TrackBelow { track, at, target: has },
            Course::Upgrade => Note::TrackAhead { track, at, target: has },
        });
    }
}
