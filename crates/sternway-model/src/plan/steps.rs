//! The steps of each hop, with the bodies to run, and all of it packed into a plan.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::app::Deployment;
use crate::catalog::{
    Digest, Direction, Half, Migration, MigrationSet, Release, Track, TrackName, once_in_a_row,
};
use crate::plan::applied::{self, Applied, halves, newest_stable_first, stored_half};
use crate::plan::course::{Gap, gaps};
use crate::plan::error::{Holder, PlanError};
use crate::plan::holders;
use crate::plan::identity::Question;
use crate::plan::route::Route;
use crate::plan::{
    Basis, BodyOrigin, Course, FORMAT, Facts, Hop, Migrate, Note, Plan, Request, Step,
};
use crate::position::Position;
use crate::state::Numbers;

/// The hops of a journey, and the migrations that they meet.
pub(super) struct Way {
    /// The hops.
    pub hops: Vec<Hop>,
    /// What is applied at the end or was on the way there, by track.
    pub met: BTreeMap<TrackName, MigrationSet>,
    /// What is applied at the start in the tracks that go another way than that.
    pub before: BTreeMap<TrackName, MigrationSet>,
}

/// Fills the stops of a route with steps.
pub(super) fn steps(
    facts: &Facts<'_>,
    course: Course,
    applied: &Applied<'_>,
    route: Route,
) -> Result<Way, PlanError> {
    let mut present = applied.sets.clone();
    let mut way = Way { hops: Vec::new(), met: present.clone(), before: BTreeMap::new() };
    let Some(target) = route.stops.last() else { return Ok(way) };
    for stop in &route.stops {
        let mut steps = Vec::new();
        if route.moves_schema {
            let gaps = gaps(facts, &applied.tracks, &present, stop, route.redo)?;
            let mut tracks: Vec<&Track> = applied.tracks.clone();
            if course == Course::Rollback {
                tracks.reverse();
            }
            for track in tracks {
                let theirs = as_the_target(facts, track, stop, target);
                let ours = &present[&track.name];
                let gap = gaps[&track.name];
                let end = theirs.last();
                let kept = match (course, gap) {
                    (Course::Rollback, Gap::Ahead) => {
                        steps.extend(downs(facts, track, ours, end)?);
                        ours.up_to(end)
                    }
                    (Course::Upgrade, Gap::Behind) => {
                        offers(facts, track)?;
                        steps.extend(ups(facts, track, (stop, target), ours.last(), &theirs)?);
                        let above = theirs.iter().filter(|it| ours.last() < it.version);
                        ours.iter().chain(above).cloned().collect()
                    }
                    (_, Gap::Apart(shared)) => {
                        offers(facts, track)?;
                        steps.extend(downs(facts, track, ours, shared)?);
                        steps.extend(ups(facts, track, (stop, target), shared, &theirs)?);
                        way.before.insert(track.name.clone(), ours.clone());
                        way.met.remove(&track.name);
                        let mut kept = ours.up_to(shared);
                        let above = theirs.iter().filter(|it| shared < it.version);
                        above.for_each(|it| kept.insert(it.clone()));
                        kept
                    }
                    _ => continue,
                };
                let met = way.met.entry(track.name.clone()).or_default();
                kept.iter().for_each(|it: &Migration| met.insert(it.clone()));
                present.insert(track.name.clone(), kept);
            }
        }
        let ends_at = present.iter().map(|(track, set)| (track.clone(), set.last())).collect();
        let mut steps: Vec<Step> =
            steps.into_iter().map(|it| Step::Migrate(Box::new(it))).collect();
        steps.push(Step::Prove);
        way.hops.push(Hop { to: stop.clone(), steps, ends_at, leaves: Vec::new() });
    }
    Ok(way)
}

/// What a stop has of a track, with the bodies that the target has for the same numbers: what is still to
/// be applied is applied as the target says.
fn as_the_target(
    facts: &Facts<'_>,
    track: &Track,
    stop: &Release,
    target: &Release,
) -> MigrationSet {
    let set = |release: &Release| facts.catalog.releases[release].set(&track.name);
    let theirs = set(target);
    let of_the_target = |it: &Migration| match theirs.get(it.version) {
        Some(theirs) if it.up.is_none() || theirs.up.is_some() => theirs.clone(),
        _ => it.clone(),
    };
    set(stop).iter().map(of_the_target).collect()
}

fn offers(facts: &Facts<'_>, track: &Track) -> Result<(), PlanError> {
    match (&track.requires_extension, &facts.state.extensions) {
        (Some(extension), Some(offered)) if !offered.contains(extension) => {
            let (track, extension) = (track.name.clone(), extension.clone());
            Err(PlanError::ExtensionMissing { track, extension })
        }
        _ => Ok(()),
    }
}

fn downs(
    facts: &Facts<'_>,
    track: &Track,
    ours: &MigrationSet,
    end: Position,
) -> Result<Vec<Migrate>, PlanError> {
    let undone: Vec<u64> = ours.versions().rev().take_while(|it| end < *it).collect();
    let mut steps = Vec::new();
    for (index, version) in undone.iter().enumerate() {
        let to = undone.get(index + 1).map_or(end, |it| Position::At(*it));
        let change = Change { direction: Direction::Down, from: (*version).into(), to };
        certain_down(facts, track, ours, *version)?;
        steps.push(step(facts, track, ours, *version, change, None)?);
    }
    Ok(steps)
}

/// Refuses a down half of which releases have several that do not lead to the same schema.
fn certain_down(
    facts: &Facts<'_>,
    track: &Track,
    ours: &MigrationSet,
    version: u64,
) -> Result<(), PlanError> {
    let Some(applied) = ours.get(version) else { return Ok(()) };
    let several = applied::downs(facts, &track.name, applied);
    let Some((first, others)) = several.split_first() else { return Ok(()) };
    let then = |down: &Half| facts.lineage_then(&track.name, ours.up_to(version), down.clone());
    for other in others {
        let (one, two) = (then(first), then(other));
        let compared = facts.found(&one, &two);
        if compared == Some(true) {
            continue;
        }
        let direction = Direction::Down;
        let of =
            |half: &Half| (holder(facts, &track.name, version, direction, half.hash), half.hash);
        let (one, two) = (Box::new(one), Box::new(two));
        return Err(PlanError::Contents {
            track: track.name.clone(),
            version,
            direction,
            holders: vec![of(first), of(other)],
            shared: Position::Nothing,
            compared,
            asks: Some(Box::new(Question::Alike { track: track.name.clone(), one, other: two })),
        });
    }
    Ok(())
}

fn ups(
    facts: &Facts<'_>,
    track: &Track,
    (stop, target): (&Release, &Release),
    start: Position,
    theirs: &MigrationSet,
) -> Result<Vec<Migrate>, PlanError> {
    let mut steps = Vec::new();
    let mut from = start;
    let of_the_stop = facts.catalog.releases[stop].set(&track.name);
    for migration in theirs.iter().filter(|it| start < it.version) {
        let to = migration.version.into();
        let change = Change { direction: Direction::Up, from, to };
        let up = |set: &MigrationSet| set.get(migration.version)?.up.as_ref().map(|it| it.hash);
        let holder = if up(&of_the_stop) == up(theirs) { stop } else { target };
        steps.push(step(facts, track, theirs, migration.version, change, Some(holder))?);
        from = to;
    }
    Ok(steps)
}

/// What a step does to the tracking row, and with which half.
struct Change {
    direction: Direction,
    from: Position,
    to: Position,
}

/// One step, with the body that `set` says, or a refusal.
fn step(
    facts: &Facts<'_>,
    track: &Track,
    set: &MigrationSet,
    version: u64,
    change: Change,
    stop: Option<&Release>,
) -> Result<Migrate, PlanError> {
    let Change { direction, from, to } = change;
    let half = set
        .get(version)
        .and_then(|it| it.half(direction))
        .ok_or_else(|| PlanError::MissingBody { track: track.name.clone(), version, direction })?;
    let origin = origin(facts, &track.name, version, direction, half.hash, stop);
    let Some(body) = facts.bodies.get(&half.hash) else {
        return Err(PlanError::UnreadableBody {
            track: track.name.clone(),
            file: half.file.clone(),
            holder: origin.into(),
        });
    };
    if let Some(obstacle) = &body.obstacle {
        return Err(PlanError::Obstacle {
            track: track.name.clone(),
            file: half.file.clone(),
            obstacle: obstacle.clone(),
        });
    }
    Ok(Migrate {
        version,
        direction,
        to,
        hash: half.hash,
        origin,
        mode: body.mode.clone(),
        destroys: body.destroys.clone(),
        ..Migrate::staying(track.name.clone(), track.table.clone(), from, &half.file)
    })
}

/// Who has the body with this hash.
pub(super) fn holder(
    facts: &Facts<'_>,
    track: &TrackName,
    version: u64,
    direction: Direction,
    hash: Digest,
) -> Holder {
    origin(facts, track, version, direction, hash, None).into()
}

impl From<BodyOrigin> for Holder {
    fn from(origin: BodyOrigin) -> Holder {
        match origin {
            BodyOrigin::Records => Holder::Records,
            BodyOrigin::Release(release) => Holder::Release(release),
        }
    }
}

/// Where the body with this hash is: the records, the running release, the newest stable release.
fn origin(
    facts: &Facts<'_>,
    track: &TrackName,
    version: u64,
    direction: Direction,
    hash: Digest,
    stop: Option<&Release>,
) -> BodyOrigin {
    if let Some(stop) = stop {
        return BodyOrigin::Release(stop.clone());
    }
    if stored_half(facts, track, version, direction).is_some_and(|it| it.hash == hash) {
        return BodyOrigin::Records;
    }
    let holders: Vec<_> = halves(facts, track, version, direction)
        .into_iter()
        .filter(|(_, half)| half.hash == hash)
        .collect();
    let running = facts.app.running.as_ref();
    let running = holders.iter().find(|(release, _)| Some(*release) == running);
    match running.or_else(|| newest_stable_first(&holders)) {
        Some((release, _)) => BodyOrigin::Release((*release).clone()),
        None => BodyOrigin::Records,
    }
}

/// Puts the hops together with all that executing them needs.
pub(super) fn pack(
    facts: &Facts<'_>,
    request: &Request,
    course: Course,
    applied: &Applied<'_>,
    way: Way,
    notes: Vec<Note>,
) -> Plan {
    let listed = |sets: BTreeMap<TrackName, MigrationSet>| -> BTreeMap<TrackName, Vec<Migration>> {
        let lists = sets.into_iter().map(|(track, set)| (track, set.iter().cloned().collect()));
        lists.collect()
    };
    let releases = made_of(facts, &way.met);
    let Way { hops, met, before } = way;
    let (migrations, before) = (listed(met), listed(before));
    let used = migrations.values().chain(before.values()).flatten();
    let used = used.flat_map(|it| [&it.up, &it.down]).flatten();
    let hashes: BTreeSet<Digest> = used.map(|half| half.hash).collect();
    let text = |hash: &Digest| {
        let body = facts.catalog.bodies.get(hash).or(facts.state.records.bodies.get(hash))?;
        Some((*hash, body.to_string()))
    };
    Plan {
        format: FORMAT.to_owned(),
        app: facts.catalog.app.clone(),
        course,
        running: facts.app.running.clone(),
        schema_of: applied.schema_of.clone().filter(|_| applied.exact),
        target: request.target.clone(),
        basis: Basis::of(facts.state),
        tracks: applied.tracks.iter().map(|it| (it.name.clone(), it.table.clone())).collect(),
        off: facts
            .catalog
            .tracks
            .iter()
            .filter(|it| facts.state.tracks.contains_key(&it.name))
            .filter(|it| !applied.tracks.iter().any(|on| on.name == it.name))
            .map(|it| (it.name.clone(), it.table.clone()))
            .collect(),
        tables: facts.catalog.tracks.iter().map(|it| it.table.clone()).collect(),
        keeps: !request.discard,
        discards: request.discards.clone(),
        checks: request.checks.clone(),
        accepted: request.accepted.clone(),
        taken: facts.state.records.taken.clone(),
        deployment: Deployment::default(),
        hops,
        notes,
        releases,
        bodies: hashes.iter().filter_map(text).collect(),
        migrations,
        before,
    }
}

/// The releases on the journey's way that consist of these migrations alone; and without any numbers those
/// of which the records would say from now on what is not so.
fn made_of(
    facts: &Facts<'_>,
    met: &BTreeMap<TrackName, MigrationSet>,
) -> BTreeMap<Release, Numbers> {
    let known = |track: &TrackName, set: &MigrationSet| {
        let Some(met) = met.get(track) else { return true };
        set.iter().all(|it| met.get(it.version).is_some_and(|met| facts.same_up(met, it)))
    };
    let releases = facts.catalog.releases.iter();
    let made = holders::that(releases, |_, entry| {
        !entry.is_empty() && entry.tracks.iter().all(|(track, set)| known(track, set))
    });
    let mut numbers = once_in_a_row(|_, entry| -> Numbers {
        let tracks = entry.tracks.iter().filter(|(track, _)| met.contains_key(*track));
        tracks.map(|(track, set)| (track.clone(), set.versions().collect())).collect()
    });
    let made = made.map(|(release, entry)| (release.clone(), numbers(release, entry)));
    // What the records have by a number is about to be another migration.
    let records = &facts.state.records;
    let changes = |(track, numbers): (&TrackName, &Arc<[u64]>)| {
        numbers.iter().any(|number| {
            let (old, new) = (records.migrations.get(track), met.get(track));
            match (old.and_then(|it| it.get(*number)), new.and_then(|it| it.get(*number))) {
                (Some(old), Some(new)) => !facts.same_up(old, new),
                _ => false,
            }
        })
    };
    let untrue = records.releases.iter().filter(|(_, numbers)| numbers.iter().any(changes));
    let untrue = untrue.map(|(release, _)| (release.clone(), Numbers::new()));
    untrue.chain(made).collect()
}
