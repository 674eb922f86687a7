//! The steps of each hop, with the bodies to run, and all of it packed into a plan.

use std::collections::{BTreeMap, BTreeSet};

use crate::catalog::{Digest, Direction, Migration, MigrationSet, Release, Track, TrackName};
use crate::plan::applied::{Applied, halves, newest_stable_first, stored_half};
use crate::plan::course::{Gap, gaps};
use crate::plan::error::{Holder, PlanError};
use crate::plan::route::Route;
use crate::plan::{
    Basis, BodyOrigin, Course, FORMAT, Facts, Hop, Migrate, Note, Plan, Request, Step,
};
use crate::state::Numbers;

/// Fills the stops of a route with steps.
pub(super) fn steps(
    facts: &Facts<'_>,
    course: Course,
    applied: &Applied<'_>,
    route: Route,
) -> Result<Vec<Hop>, PlanError> {
    let mut present = applied.sets.clone();
    let mut hops = Vec::new();
    for stop in route.stops {
        let mut steps = Vec::new();
        let entry = &facts.catalog.releases[&stop];
        for track in &applied.tracks {
            let theirs = entry.set(&track.name);
            same_contents(facts, track, &stop, &present[&track.name], &theirs)?;
        }
        if route.moves_schema {
            let gaps = gaps(&applied.tracks, &present, &stop, entry)?;
            let mut tracks: Vec<&Track> = applied.tracks.clone();
            if course == Course::Rollback {
                tracks.reverse();
            }
            for track in tracks {
                let theirs = entry.set(&track.name);
                let ours = &present[&track.name];
                match (course, gaps[&track.name]) {
                    (Course::Rollback, Gap::Ahead) => {
                        steps.extend(downs(facts, track, ours, theirs.last())?);
                    }
                    (Course::Upgrade, Gap::Behind) => {
                        offers(facts, track)?;
                        steps.extend(ups(facts, track, &stop, ours.last(), &theirs)?);
                    }
                    _ => continue,
                }
                // What is kept keeps the contents that were found applied.
                let kept = theirs.iter().map(|it| ours.get(it.version).unwrap_or(it).clone());
                present.insert(track.name.clone(), kept.collect());
            }
        }
        let ends_at = present.iter().map(|(track, set)| (track.clone(), set.last())).collect();
        let mut steps: Vec<Step> =
            steps.into_iter().map(|it| Step::Migrate(Box::new(it))).collect();
        steps.push(Step::Prove);
        hops.push(Hop { to: stop, steps, ends_at });
    }
    Ok(hops)
}

/// Refuses a stop that means something else by a number that is applied.
fn same_contents(
    facts: &Facts<'_>,
    track: &Track,
    stop: &Release,
    ours: &MigrationSet,
    theirs: &MigrationSet,
) -> Result<(), PlanError> {
    for migration in theirs.iter() {
        let here = ours.get(migration.version).and_then(|it| it.up.as_ref());
        if let (Some(here), Some(there)) = (here, &migration.up)
            && here.hash != there.hash
        {
            let version = migration.version;
            let holder = match origin(facts, &track.name, version, Direction::Up, here.hash, None) {
                BodyOrigin::Records => Holder::Records,
                BodyOrigin::Release(release) => Holder::Release(release),
            };
            return Err(PlanError::Contents {
                track: track.name.clone(),
                version,
                direction: Direction::Up,
                holders: vec![(holder, here.hash), (Holder::Release(stop.clone()), there.hash)],
            });
        }
    }
    Ok(())
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
    end: Option<u64>,
) -> Result<Vec<Migrate>, PlanError> {
    let undone: Vec<u64> = ours.versions().rev().take_while(|it| Some(*it) > end).collect();
    let mut steps = Vec::new();
    for (index, version) in undone.iter().enumerate() {
        let to = undone.get(index + 1).copied().or(end);
        let change = Change { direction: Direction::Down, from: Some(*version), to };
        steps.push(step(facts, track, ours, *version, change, None)?);
    }
    Ok(steps)
}

fn ups(
    facts: &Facts<'_>,
    track: &Track,
    stop: &Release,
    start: Option<u64>,
    theirs: &MigrationSet,
) -> Result<Vec<Migrate>, PlanError> {
    let mut steps = Vec::new();
    let mut from = start;
    for migration in theirs.iter().filter(|it| Some(it.version) > start) {
        same_as_stored(facts, track, stop, migration)?;
        let to = Some(migration.version);
        let change = Change { direction: Direction::Up, from, to };
        steps.push(step(facts, track, theirs, migration.version, change, Some(stop))?);
        from = to;
    }
    Ok(steps)
}

/// Refuses a migration of a release that the records know with other contents, from an earlier run.
fn same_as_stored(
    facts: &Facts<'_>,
    track: &Track,
    stop: &Release,
    migration: &Migration,
) -> Result<(), PlanError> {
    let version = migration.version;
    for direction in [Direction::Up, Direction::Down] {
        let stored = stored_half(facts, &track.name, version, direction);
        if let (Some(stored), Some(there)) = (stored, migration.half(direction))
            && stored.hash != there.hash
        {
            let (stored, there) =
                ((Holder::Records, stored.hash), (Holder::Release(stop.clone()), there.hash));
            let (track, holders) = (track.name.clone(), vec![stored, there]);
            return Err(PlanError::Contents { track, version, direction, holders });
        }
    }
    Ok(())
}

/// What a step does to the tracking row, and with which half.
struct Change {
    direction: Direction,
    from: Option<u64>,
    to: Option<u64>,
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
            holder: match origin {
                BodyOrigin::Records => Holder::Records,
                BodyOrigin::Release(release) => Holder::Release(release),
            },
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
        track: track.name.clone(),
        table: track.table.clone(),
        version,
        direction,
        from,
        to,
        file: half.file.clone(),
        hash: half.hash,
        origin,
        mode: body.mode.clone(),
        destroys: body.destroys.clone(),
        effects: None,
    })
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
    if stored_half(facts, track, version, direction).is_some() {
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
    hops: Vec<Hop>,
    notes: Vec<Note>,
) -> Plan {
    let mut migrations: BTreeMap<TrackName, BTreeMap<u64, Migration>> = BTreeMap::new();
    for track in &applied.tracks {
        let met = migrations.entry(track.name.clone()).or_default();
        for hop in &hops {
            let set = facts.catalog.releases[&hop.to].set(&track.name);
            let end = hop.ends_at.get(&track.name).copied().flatten();
            met.extend(set.up_to(end).iter().map(|it| (it.version, it.clone())));
        }
        met.extend(applied.set(&track.name).iter().map(|it| (it.version, it.clone())));
    }
    let migrations: BTreeMap<TrackName, Vec<Migration>> =
        migrations.into_iter().map(|(track, met)| (track, met.into_values().collect())).collect();
    let used = migrations.values().flatten().flat_map(|it| [&it.up, &it.down]).flatten();
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
        hops,
        notes,
        releases: made_of(facts, &migrations),
        bodies: hashes.iter().filter_map(text).collect(),
        migrations,
    }
}

/// The releases on the journey's way that consist of these migrations alone.
fn made_of(
    facts: &Facts<'_>,
    migrations: &BTreeMap<TrackName, Vec<Migration>>,
) -> BTreeMap<Release, Numbers> {
    let known = |track: &TrackName, set: &MigrationSet| {
        let Some(met) = migrations.get(track) else { return true };
        set.iter().all(|it| met.contains(it))
    };
    let releases = facts.catalog.releases.iter();
    let made = releases.filter(|(_, entry)| {
        !entry.is_empty() && entry.tracks.iter().all(|(track, set)| known(track, set))
    });
    made.map(|(release, entry)| {
        let tracks = entry.tracks.iter().filter(|(track, _)| migrations.contains_key(*track));
        let numbers = tracks.map(|(track, set)| (track.clone(), set.versions().collect()));
        (release.clone(), numbers.collect())
    })
    .collect()
}
