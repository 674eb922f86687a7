//! What is in the database: per track the set of migrations applied, worked out from one number.

use std::collections::BTreeMap;

use crate::catalog::{
    Direction, Enabled, Half, Migration, MigrationSet, Minor, Release, ReleaseEntry, Track,
    TrackName,
};
use crate::plan::error::{Holder, PlanError};
use crate::plan::holders::{self, Holders};
use crate::plan::identity::{Lineage, Question};
use crate::plan::{Facts, Note};
use crate::position::Position;
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
        let row = state.row();
        if track.enabled == Enabled::Never {
            continue;
        }
        if row.dirty {
            return Err(PlanError::Dirty { track: track.name.clone(), at: row.position });
        }
        if track.enabled == Enabled::Auto && row.position == Position::Nothing {
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
        let state = facts.state.tracks.get(&track.name).copied().unwrap_or(TrackState::NoTable);
        let set = match state.row().position {
            Position::At(version) => lineage(facts, &track.name, version, &mut notes)?,
            Position::Nothing => MigrationSet::default(),
        };
        sets.insert(track.name.clone(), set);
    }
    let mut applied = Applied { tracks, sets, schema_of: None, exact: false, minor: None, notes };
    place(facts, &mut applied);
    Ok(applied)
}

/// How many lineages are held against a database at most.
const LINEAGES: usize = 12;

/// What has to be found out of a database before it is known what is applied: of each track of which
/// several lineages lead to what its row says, which one it is.
pub(super) fn doubts(facts: &Facts<'_>) -> Vec<Question> {
    let tracks = facts.catalog.tracks.iter().filter(|it| it.enabled != Enabled::Never);
    let doubts = tracks.filter_map(|track| {
        let row = facts.state.tracks.get(&track.name)?.row();
        let lineages = lineages(facts, &track.name, row.position.number().filter(|_| !row.dirty)?);
        let track = track.name.clone();
        (lineages.len() > 1).then_some(Question::Which { track, lineages })
    });
    doubts.collect()
}

/// What may be applied in a track whose row says `version`, the likeliest first: what the records have,
/// what the releases have that know the number, and what golang-migrate makes of a release that is
/// followed by one of these. It goes on behind the last number, whatever was put in below.
fn lineages(facts: &Facts<'_>, track: &TrackName, version: u64) -> Vec<Lineage> {
    let stored = facts.state.records.migrations.get(track).cloned().unwrap_or_default();
    let mut holders = releases_with(facts, track, version);
    // The running one first, then the newest stable one.
    let running = facts.app.running.as_ref();
    holders.sort_by_key(|(release, _)| (Some(*release) == running, !release.is_prerelease()));
    let mut sets: Vec<MigrationSet> = Vec::new();
    let mut add = |set: MigrationSet| {
        let set = with_ups(facts, track, &set);
        if sets.len() < LINEAGES && !sets.iter().any(|it| facts.same_words(it, &set)) {
            sets.push(set);
        }
    };
    if stored.get(version).is_some() {
        add(stored.up_to(version));
    }
    let mut theirs: Vec<MigrationSet> = Vec::new();
    for (_, set) in holders.iter().rev() {
        let set = set.up_to(version);
        if !theirs.iter().any(|it| facts.same_words(it, &set)) {
            let as_stored = set.iter().map(|it| stored.get(it.version).unwrap_or(it).clone());
            add(as_stored.collect());
            add(set.clone());
            theirs.push(set);
        }
    }
    let recorded = facts.state.records.catalog(&facts.catalog.app, &facts.catalog.tracks);
    let recorded = Holders::of(&recorded, None);
    let known = [&recorded, &facts.holders].map(|it| it.in_track(track).iter().rev());
    for (_, base) in known.into_iter().flatten() {
        if base.is_empty() || base.last() >= version {
            continue;
        }
        for set in &theirs {
            let above = set.iter().filter(|it| base.last() < it.version);
            add(base.iter().chain(above).cloned().collect());
        }
    }
    sets.into_iter().map(|set| facts.lineage(track, set)).collect()
}

/// A set whose migrations have an up half each, where anybody has one.
fn with_ups(facts: &Facts<'_>, track: &TrackName, set: &MigrationSet) -> MigrationSet {
    let filled = set.iter().map(|it| {
        let others = || {
            let found = halves(facts, track, it.version, Direction::Up);
            newest_stable_first(&found).map(|(_, half)| (*half).clone())
        };
        let stored = || stored_half(facts, track, it.version, Direction::Up).cloned();
        let up = it.up.clone().or_else(stored).or_else(others);
        Migration { up, ..it.clone() }
    });
    filled.collect()
}

/// The migrations up to `version` that the database has, or most likely has where nobody could tell.
fn lineage(
    facts: &Facts<'_>,
    track: &TrackName,
    version: u64,
    notes: &mut Vec<Note>,
) -> Result<MigrationSet, PlanError> {
    let key = facts.found_in_database(track);
    let found = key.and_then(|key| {
        lineages(facts, track, version).into_iter().find(|lineage| lineage.is(key))
    });
    let mut of_words = Vec::new();
    let likely = likely(facts, track, version, &mut of_words);
    let set = match found {
        Some(found) => {
            if !likely.is_ok_and(|likely| facts.same_words(&likely, &found.set)) {
                notes.push(Note::SchemaDecided { track: track.clone(), version });
            }
            found.set
        }
        None => {
            notes.extend(of_words);
            likely?
        }
    };
    let with_downs = set.iter().map(|it| Migration {
        version: it.version,
        up: it.up.clone(),
        down: downs(facts, track, it).into_iter().next(),
    });
    Ok(with_downs.collect())
}

/// The migrations up to `version` that the database most likely has, with their up halves.
fn likely(
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
        (Some((_, set)), _) => set.up_to(version),
        (None, Some((release, set))) => {
            let set = set.up_to(version);
            let other = holders.iter().find(|(_, it)| !it.up_to(version).same_versions(&set));
            match other {
                Some(_) if stored.get(version).is_some() => stored.up_to(version),
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
        (None, None) if stored.get(version).is_some() => stored.up_to(version),
        (None, None) => {
            let sets = facts.holders.in_track(track).iter().map(|(_, set)| set.last());
            let newest = sets.max().unwrap_or_default();
            return Err(PlanError::UnknownVersion { track: track.clone(), version, newest });
        }
    };
    let mut set = MigrationSet::default();
    for migration in chosen.iter() {
        let version = migration.version;
        let up = up(facts, track, version, notes)?;
        set.insert(Migration { version, up, down: None });
    }
    Ok(set)
}

/// The up half that the database most likely has: the stored one, where a release has it too; the
/// running release's; the one that all releases agree on.
fn up(
    facts: &Facts<'_>,
    track: &TrackName,
    version: u64,
    notes: &mut Vec<Note>,
) -> Result<Option<Half>, PlanError> {
    let direction = Direction::Up;
    let found = halves(facts, track, version, direction);
    let mut distinct: Vec<(Holder, &Half)> = Vec::new();
    for (release, half) in &found {
        if !distinct.iter().any(|(_, it)| facts.same_half(Some(it), Some(half))) {
            distinct.push((Holder::Release((*release).clone()), half));
        }
    }
    let stored = stored_half(facts, track, version, direction);
    if let Some(half) = stored
        && (distinct.is_empty()
            || distinct.iter().any(|(_, it)| facts.same_half(Some(it), Some(half))))
    {
        return Ok(Some(half.clone()));
    }
    let running = facts.app.running.as_ref();
    if let Some((_, half)) = found.iter().find(|(release, _)| Some(*release) == running) {
        if distinct.len() > 1 || stored.is_some() {
            notes.push(Note::RunningReleaseDecided { track: track.clone(), version });
        }
        return Ok(Some((*half).clone()));
    }
    if distinct.len() > 1 || stored.is_some() {
        let stored = stored.map(|half| (Holder::Records, half));
        let holders = stored.into_iter().chain(distinct);
        return Err(PlanError::Contents {
            track: track.clone(),
            version,
            direction,
            holders: holders.map(|(holder, half)| (holder, half.hash)).collect(),
            shared: Position::Nothing,
            compared: None,
            asks: None,
        });
    }
    Ok(newest_stable_first(&found).map(|(_, half)| (*half).clone()))
}

/// The down halves that an applied migration may have, the likeliest first and each only once: the
/// stored one and those of the releases with the same up half. There is no doubt where the stored one is
/// a release's too, and about the running release's.
pub(super) fn downs(facts: &Facts<'_>, track: &TrackName, applied: &Migration) -> Vec<Half> {
    let down = |it: &Migration| {
        if facts.same_up(it, applied) { it.down.clone() } else { None }
    };
    let stored = facts.state.records.migrations.get(track).and_then(|it| it.get(applied.version));
    let stored = stored.and_then(down);
    let holders = facts.holders.in_track(track).iter();
    let found =
        holders.filter_map(|(release, set)| Some((*release, down(set.get(applied.version)?)?)));
    let found: Vec<(&Release, Half)> = found.collect();
    let has = |half: &Half| found.iter().any(|(_, it)| facts.same_half(Some(it), Some(half)));
    if let Some(half) = stored.clone().filter(has) {
        return vec![half];
    }
    let running = facts.app.running.as_ref();
    if let Some((_, half)) = found.iter().find(|(release, _)| Some(*release) == running) {
        return vec![half.clone()];
    }
    let mut downs: Vec<Half> = stored.into_iter().collect();
    let newest = newest_stable_first(&found).map(|(_, half)| half);
    for half in newest.into_iter().chain(found.iter().map(|(_, half)| half)) {
        if !downs.iter().any(|it| facts.same_half(Some(it), Some(half))) {
            downs.push(half.clone());
        }
    }
    downs
}

/// The releases that may have what is applied in a track by other words, held against that: whether
/// they lead to the same schema decides which releases a database is at.
pub(super) fn lookalikes(
    facts: &Facts<'_>,
    sets: &BTreeMap<TrackName, MigrationSet>,
) -> Vec<Question> {
    let mut questions = Vec::new();
    for (track, set) in sets.iter().filter(|(_, set)| !set.is_empty()) {
        let mut met = vec![set.clone()];
        for (_, theirs) in facts.holders.in_track(track).iter().rev() {
            if theirs.last() != set.last() {
                continue;
            }
            let theirs = with_ups(facts, track, theirs);
            if met.iter().any(|it| facts.same_words(it, &theirs)) {
                continue;
            }
            if met.len() < LINEAGES {
                let one = Box::new(facts.lineage(track, set.clone()));
                let other = Box::new(facts.lineage(track, theirs.clone()));
                questions.push(Question::Alike { track: track.clone(), one, other });
            }
            met.push(theirs);
        }
    }
    questions
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

/// The releases that have the half, oldest first, as far as they are asked.
pub(super) fn halves<'a>(
    facts: &Facts<'a>,
    track: &TrackName,
    version: u64,
    direction: Direction,
) -> Vec<(&'a Release, &'a Half)> {
    let holders = facts.holders.in_track(track).iter();
    holders
        .filter_map(|(release, set)| Some((*release, set.get(version)?.half(direction)?)))
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
) -> Vec<(&'a Release, &'a MigrationSet)> {
    let holders = facts.holders.in_track(track).iter();
    holders.filter(|(_, set)| set.get(version).is_some()).copied().collect()
}

/// Whether a release has just what is applied, by its words or by what they make. A track that it has no
/// longer is left alone.
pub(super) fn fits(
    facts: &Facts<'_>,
    sets: &BTreeMap<TrackName, MigrationSet>,
    release: &Release,
    entry: &ReleaseEntry,
) -> bool {
    !entry.is_empty()
        && sets.iter().all(|(track, set)| {
            facts.same(track, set, &entry.set(track)) || facts.is_retired(track, release)
        })
}

/// Finds the release whose schema this is, and the lowest minor that has all of it.
fn place(facts: &Facts<'_>, applied: &mut Applied<'_>) {
    if applied.is_empty() {
        return;
    }
    let has_all = |release: &Release, entry: &ReleaseEntry| {
        applied.sets.iter().all(|(track, set)| {
            let theirs = entry.set(track);
            facts.same(track, set, &theirs.up_to(set.last())) || facts.is_retired(track, release)
        })
    };
    let is_this =
        |release: &Release, entry: &ReleaseEntry| fits(facts, &applied.sets, release, entry);
    // The records know releases that the source may have lost.
    let recorded = facts.state.records.catalog(&facts.catalog.app, &facts.catalog.tracks);
    let mut known: BTreeMap<&Release, &ReleaseEntry> = recorded.releases.iter().collect();
    known.extend(facts.catalog.releases.iter());
    let releases = || known.iter().map(|(release, entry)| (*release, *entry));
    let exact: Vec<_> = holders::that(releases(), is_this).collect();
    let running = facts.app.running.as_ref();
    let running = exact.iter().find(|(release, _)| Some(*release) == running);
    let oldest = holders::that(releases(), has_all).next();
    let fits = running.or_else(|| newest_stable_first(&exact)).copied();
    let schema_of = fits.or(oldest).map(|(release, _)| release.clone());
    let minor = oldest.map(|(release, _)| release.minor());
    applied.exact = fits.is_some();
    applied.minor = minor;
    applied.schema_of = schema_of;
}
