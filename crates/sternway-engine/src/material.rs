//! What clean installs of a database's own tracks are made of, put together from the catalog and from
//! what the database carries.

use std::collections::BTreeMap;

use sternway_model::catalog::{Digest, Migration, MigrationSet, TrackName};
use sternway_model::plan::{Facts, standing};
use sternway_model::state::TrackingRow;

use crate::observe::tables;
use crate::shadow::{Material, Positions};

/// [`Material`] that owns what it is made of.
#[derive(Debug, Clone)]
pub struct InstallMaterial {
    tracks: Vec<(TrackName, String)>,
    migrations: BTreeMap<TrackName, Vec<Migration>>,
    /// The bodies of the catalog and of the records.
    pub bodies: BTreeMap<Digest, String>,
    /// Every tracking table of the application.
    pub tables: Vec<String>,
    schema: String,
    collation: String,
}

impl InstallMaterial {
    /// What is applied, and what the newest release that has it goes on with, so that what a later
    /// migration creates is known to be the application's.
    pub fn whole(
        facts: &Facts<'_>,
        applied: &BTreeMap<TrackName, MigrationSet>,
    ) -> InstallMaterial {
        let whole = |(track, set): (&TrackName, &MigrationSet)| {
            let mut sets = of_releases(facts, track);
            let whole = sets.find(|it| it.up_to(set.last()).same_versions(set));
            let mut whole = whole.unwrap_or_default();
            set.iter().for_each(|migration| whole.insert(migration.clone()));
            (track.clone(), whole)
        };
        InstallMaterial::of(facts, applied.iter().map(whole).collect())
    }

    /// Each of these tracks as the newest release has it that has what its row says, or else the
    /// newest that has the track; what is known to be applied instead of that; and what only the
    /// records have.
    pub fn newest(facts: &Facts<'_>, rows: &BTreeMap<TrackName, TrackingRow>) -> InstallMaterial {
        let standing = standing(facts).ok();
        let sets = rows.iter().map(|(track, row)| {
            let sets: Vec<MigrationSet> =
                of_releases(facts, track).filter(|set| !set.is_empty()).collect();
            let has =
                |set: &&MigrationSet| row.position.number().is_none_or(|it| set.get(it).is_some());
            let set = sets.iter().find(has).or(sets.first());
            let mut set = set.cloned().unwrap_or_default();
            if let Some(applied) = standing.as_ref().and_then(|it| it.applied.get(track)) {
                let above = set.iter().filter(|it| applied.last() < it.version);
                set = applied.iter().chain(above).cloned().collect();
                // What the records have beside that is not applied.
                return (track.clone(), set);
            }
            let recorded = facts.state.records.migrations.get(track);
            for migration in recorded.into_iter().flat_map(MigrationSet::iter) {
                if set.get(migration.version).is_none() {
                    set.insert(migration.clone());
                }
            }
            (track.clone(), set)
        });
        InstallMaterial::of(facts, sets.collect())
    }

    /// One track as these migrations have it, beside the others where their rows say that they stand.
    pub(crate) fn beside(
        facts: &Facts<'_>,
        track: &TrackName,
        set: &MigrationSet,
    ) -> InstallMaterial {
        let others = facts.state.tracks.iter().filter(|(name, _)| *name != track);
        let others = others.filter_map(|(name, state)| {
            let version = state.row().position.number()?;
            let mut sets = of_releases(facts, name);
            let set = sets.find(|set| set.get(version).is_some())?;
            Some((name.clone(), set.up_to(version)))
        });
        InstallMaterial::of(facts, others.chain([(track.clone(), set.clone())]).collect())
    }

    /// Where each track ends.
    pub(crate) fn ends(&self) -> Positions {
        let last = |of: &Vec<Migration>| of.last().map(|it| it.version).into();
        self.migrations.iter().map(|(track, of)| (track.clone(), last(of))).collect()
    }

    /// Each of these tracks as the newest release has it that has the track.
    pub(crate) fn of_the_newest<'a>(
        facts: &Facts<'_>,
        tracks: impl Iterator<Item = &'a TrackName>,
    ) -> InstallMaterial {
        let sets = tracks.map(|track| {
            let newest = of_releases(facts, track).find(|set| !set.is_empty());
            (track.clone(), newest.unwrap_or_default())
        });
        InstallMaterial::of(facts, sets.collect())
    }

    fn of(facts: &Facts<'_>, sets: BTreeMap<TrackName, MigrationSet>) -> InstallMaterial {
        let bodies = facts.catalog.bodies.iter().chain(&facts.state.records.bodies);
        let tracks = facts.catalog.tracks.iter().filter(|track| sets.contains_key(&track.name));
        InstallMaterial {
            tracks: tracks.map(|track| (track.name.clone(), track.table.clone())).collect(),
            bodies: bodies.map(|(hash, body)| (*hash, body.to_string())).collect(),
            tables: tables(&facts.catalog.tracks),
            migrations: sets
                .into_iter()
                .map(|(track, set)| (track, set.iter().cloned().collect()))
                .collect(),
            schema: facts.state.identity.schema.clone(),
            collation: facts.state.identity.collation.clone(),
        }
    }

    /// As clean installs take it.
    pub fn material(&self) -> Material<'_> {
        Material {
            tracks: &self.tracks,
            migrations: &self.migrations,
            bodies: &self.bodies,
            tables: &self.tables,
            schema: &self.schema,
            collation: &self.collation,
        }
    }
}

/// A track's migrations in every release, the newest first.
fn of_releases(facts: &Facts<'_>, track: &TrackName) -> impl Iterator<Item = MigrationSet> {
    facts.catalog.releases.values().rev().map(|entry| entry.set(track))
}
