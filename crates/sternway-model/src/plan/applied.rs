//! What is in the database: per track the set of migrations applied, worked out from one number.

use std::collections::BTreeMap;

use crate::catalog::{
    Digest, Direction, Enabled, Half, Migration, MigrationSet, Minor, Release, ReleaseEntry, Track,
    TrackName,
};
use crate::plan::error::{Holder, PlanError};
use crate::plan::{Facts, Note};
use crate::state::TrackState;

/// What is applied, over all tracks that take part.
#[derive(Debug)]
pub(super) struct Applied<'a> {
    /// The tracks that take part, in registration order.
    pub tracks: Vec<&'a Track>,
    /// What is applied in each.
    pub sets: BTreeMap<TrackName, MigrationSet>,
    /// The release whose schema this is, or the oldest that has all of it.
    pub schema_of: Option<Release>,
    /// Whether that release has exactly this.
    pub exact: bool,
    /// The lowest minor that has all of it.
    pub minor: Option<Minor>,
    /// What was noticed.
    pub notes: Vec<Note>,
}

impl Applied<'_> {
    /// What is applied in one track, which takes part.
    pub fn set(&self, track: &TrackName) -> &MigrationSet {
        &self.sets[track]
    }

    /// Whether nothing is applied.
    pub fn is_empty(&self) -> bool {
        self.sets.values().all(MigrationSet::is_empty)
    }
}

/// Works out what is applied.
pub(super) fn applied<'a>(facts: &Facts<'a>) -> Result<Applied<'a>, PlanError> {
    let mut notes = Vec::new();
    let mut tracks = Vec::new();
    for track in &facts.catalog.tracks {
        let state = facts.state.tracks.get(&track.name).copied().unwrap_or(TrackState::NoTable);
        let position = state.position();
        if track.enabled == Enabled::Never {
            continue;
        }
        if position.dirty {
            return Err(PlanError::Dirty { track: track.name.clone(), at: position.version });
        }
        if track.enabled == Enabled::Auto && position.version.is_none() {
            notes.push(Note::TrackOff { track: track.name.clone() });
            continue;
        }
        tracks.push(track);
    }
    if tracks.is_empty() {
        return Err(PlanError::NoTracks);
    }
    let mut sets = BTreeMap::new();
    for track in &tracks {
        let position = facts.state.tracks.get(&track.name).map(|it| it.position());
        let set = match position.and_then(|it| it.version) {
            Some(version) => lineage(facts, &track.name, version, &mut notes)?,
            None => MigrationSet::default(),
        };
        sets.insert(track.name.clone(), set);
    }
    let mut applied = Applied { tracks, sets, schema_of: None, exact: false, minor: None, notes };
    place(facts, &mut applied);
    Ok(applied)
}

/// The migrations up to `version`, with the contents that the database most likely has.
fn lineage(
    facts: &Facts<'_>,
    track: &TrackName,
    version: u64,
    notes: &mut Vec<Note>,
) -> Result<MigrationSet, PlanError> {
    let stored = facts.state.records.migrations.get(track).cloned().unwrap_or_default();
    let holders = releases_with(facts, track, version);
    let running = facts.app.running.as_ref();
    let running = holders.iter().find(|(release, _)| Some(*release) == running);
    let chosen = match (running, newest_stable_first(&holders)) {
        (Some((_, entry)), _) => entry.set(track).up_to(Some(version)),
        (None, Some((release, entry))) => {
            let set = entry.set(track).up_to(Some(version));
            let other = holders
                .iter()
                .find(|(_, it)| !it.set(track).up_to(Some(version)).same_versions(&set));
            match other {
                Some(_) if stored.get(version).is_some() => stored.up_to(Some(version)),
                Some((other, _)) => {
                    return Err(PlanError::Diverged {
                        track: track.clone(),
                        version,
                        one: (*release).clone(),
                        other: (*other).clone(),
                    });
                }
                None => set,
            }
        }
        (None, None) if stored.get(version).is_some() => stored.up_to(Some(version)),
        (None, None) => {
            let sets = facts.catalog.releases.values().map(|entry| entry.set(track).last());
            let newest = sets.flatten().max();
            return Err(PlanError::UnknownVersion { track: track.clone(), version, newest });
        }
    };
    let mut set = MigrationSet::default();
    for migration in chosen.iter() {
        let number = migration.version;
        set.insert(Migration {
            version: number,
            up: content(facts, track, number, Direction::Up, notes)?,
            down: content(facts, track, number, Direction::Down, notes)?,
        });
    }
    Ok(set)
}

/// The half that the database most likely has: the stored one; the running release's; the one that
/// all releases agree on.
fn content(
    facts: &Facts<'_>,
    track: &TrackName,
    version: u64,
    direction: Direction,
    notes: &mut Vec<Note>,
) -> Result<Option<Half>, PlanError> {
    let found = halves(facts, track, version, direction);
    let mut distinct: Vec<(Holder, Digest)> = Vec::new();
    for (release, half) in &found {
        if !distinct.iter().any(|(_, hash)| *hash == half.hash) {
            distinct.push((Holder::Release((*release).clone()), half.hash));
        }
    }
    let differ = |holders| {
        let track = track.clone();
        Err(PlanError::Contents { track, version, direction, holders })
    };
    if let Some(half) = stored_half(facts, track, version, direction) {
        if distinct.is_empty() || distinct.iter().any(|(_, hash)| *hash == half.hash) {
            return Ok(Some(half.clone()));
        }
        distinct.insert(0, (Holder::Records, half.hash));
        return differ(distinct);
    }
    let running = facts.app.running.as_ref();
    if let Some((_, half)) = found.iter().find(|(release, _)| Some(*release) == running) {
        let note = Note::RunningReleaseDecided { track: track.clone(), version };
        if distinct.len() > 1 && !notes.contains(&note) {
            notes.push(note); // Once for both halves.
        }
        return Ok(Some((*half).clone()));
    }
    if distinct.len() > 1 {
        return differ(distinct);
    }
    Ok(newest_stable_first(&found).map(|(_, half)| (*half).clone()))
}

/// The half in the database's records.
pub(super) fn stored_half<'a>(
    facts: &Facts<'a>,
    track: &TrackName,
    version: u64,
    direction: Direction,
) -> Option<&'a Half> {
    facts.state.records.migrations.get(track)?.get(version)?.half(direction)
}

/// Every release that has the half, oldest first.
pub(super) fn halves<'a>(
    facts: &Facts<'a>,
    track: &TrackName,
    version: u64,
    direction: Direction,
) -> Vec<(&'a Release, &'a Half)> {
    let releases = facts.catalog.releases.iter();
    releases
        .filter_map(|(release, entry)| {
            let half = entry.tracks.get(track)?.get(version)?.half(direction)?;
            Some((release, half))
        })
        .collect()
}

/// The newest stable one; without any, the newest.
pub(super) fn newest_stable_first<'a, T>(of: &'a [(&Release, T)]) -> Option<&'a (&'a Release, T)> {
    of.iter().rev().find(|(release, _)| !release.is_prerelease()).or(of.last())
}

fn releases_with<'a>(
    facts: &Facts<'a>,
    track: &TrackName,
    version: u64,
) -> Vec<(&'a Release, &'a ReleaseEntry)> {
    let releases = facts.catalog.releases.iter();
    releases
        .filter(|(_, entry)| entry.tracks.get(track).is_some_and(|it| it.get(version).is_some()))
        .collect()
}

/// Finds the release whose schema this is, and the lowest minor that has all of it.
fn place(facts: &Facts<'_>, applied: &mut Applied<'_>) {
    if applied.is_empty() {
        return;
    }
    let has_all = |entry: &ReleaseEntry| {
        applied.sets.iter().all(|(track, set)| {
            let theirs = entry.set(track);
            set.versions().all(|version| theirs.get(version).is_some())
        })
    };
    let is_this = |entry: &ReleaseEntry| {
        applied.sets.iter().all(|(track, set)| entry.set(track).same_versions(set))
    };
    // The records know releases that the source may have lost.
    let recorded = facts.state.records.catalog(&facts.catalog.app, &facts.catalog.tracks);
    let mut known: BTreeMap<&Release, &ReleaseEntry> = recorded.releases.iter().collect();
    known.extend(facts.catalog.releases.iter());
    let releases = || known.iter().map(|(release, entry)| (*release, *entry));
    let exact: Vec<_> = releases().filter(|(_, entry)| is_this(entry)).collect();
    let running = facts.app.running.as_ref();
    let running = exact.iter().find(|(release, _)| Some(*release) == running);
    let oldest = releases().find(|(_, entry)| has_all(entry));
    let fits = running.or_else(|| newest_stable_first(&exact)).copied();
    let schema_of = fits.or(oldest).map(|(release, _)| release.clone());
    let minor = oldest.map(|(release, _)| release.minor());
    applied.exact = fits.is_some();
    applied.minor = minor;
    applied.schema_of = schema_of;
}
