//! Clean installs: what they are made of, and what they look like.

use std::collections::{BTreeMap, BTreeSet};

use sternway_model::catalog::{Digest, Migration, TrackName};
use sternway_model::plan::{Migrate, Plan};
use sternway_model::position::Position;
use sternway_model::proof::{Expected, Fingerprint};

use super::{RehearsalError, Shadow, ShadowDatabase};

/// Where each track stands.
pub type Positions = BTreeMap<TrackName, Position>;

/// The material that clean installs are made of.
#[derive(Debug, Clone)]
pub struct Material<'a> {
    /// The tracks in registration order, with their tracking tables.
    pub tracks: &'a [(TrackName, String)],
    /// Their migrations.
    pub migrations: &'a BTreeMap<TrackName, Vec<Migration>>,
    /// The bodies.
    pub bodies: &'a BTreeMap<Digest, String>,
    /// Every tracking table of the application.
    pub tables: &'a [String],
    /// The schema that the application lives in.
    pub schema: &'a str,
    /// The collation of its database, where that matters; else empty.
    pub collation: &'a str,
}

impl<'a> Material<'a> {
    /// What a plan brings with it.
    pub fn of(plan: &'a Plan) -> Material<'a> {
        Material {
            tracks: &plan.tracks,
            migrations: &plan.migrations,
            bodies: &plan.bodies,
            tables: &plan.tables,
            schema: match plan.basis.identity.schema.as_str() {
                "" => "public",
                schema => schema,
            },
            collation: &plan.basis.identity.collation,
        }
    }

    /// What is applied before a plan is executed, where `before` has what its migrations are not.
    pub(crate) fn before(
        plan: &'a Plan,
        before: &'a BTreeMap<TrackName, Vec<Migration>>,
    ) -> Material<'a> {
        Material { migrations: before, ..Material::of(plan) }
    }

    /// The steps of a clean install, tracks in registration order.
    pub(crate) fn install(&self, ends_at: &Positions) -> Result<Vec<Migrate>, RehearsalError> {
        let mut steps = Vec::new();
        for (track, table) in self.tracks {
            let end = ends_at.get(track).copied().unwrap_or_default();
            let migrations = self.migrations.get(track).into_iter().flatten();
            for migration in migrations.filter(|it| end >= it.version) {
                steps.push(self.up(track, table, migration)?);
            }
        }
        Ok(steps)
    }

    /// The up steps of each track behind a clean install, as far as they are known.
    fn beyond(&self, positions: &Positions) -> Vec<Vec<Migrate>> {
        let steps = self.tracks.iter().map(|(track, table)| {
            let at = positions.get(track).copied().unwrap_or_default();
            let migrations = self.migrations.get(track).into_iter().flatten();
            let later = migrations.filter(|it| at < it.version);
            later.filter_map(|migration| self.up(track, table, migration).ok()).collect()
        });
        steps.filter(|steps: &Vec<Migrate>| !steps.is_empty()).collect()
    }

    /// Where a track stands before one of its migrations.
    fn before_migration(&self, track: &TrackName, version: u64) -> Position {
        let migrations = self.migrations.get(track).into_iter().flatten();
        migrations.map(|it| it.version).filter(|it| *it < version).max().into()
    }

    /// The up step of one migration.
    pub(crate) fn up(
        &self,
        track: &TrackName,
        table: &str,
        migration: &Migration,
    ) -> Result<Migrate, RehearsalError> {
        let version = migration.version;
        let half = migration.up.as_ref().filter(|half| self.bodies.contains_key(&half.hash));
        let half =
            half.ok_or_else(|| RehearsalError::BodyUnknown { track: track.clone(), version })?;
        Ok(Migrate {
            version,
            to: version.into(),
            hash: half.hash,
            // The dialect says better in `ShadowDatabase::run` in which mode it is run.
            ..Migrate::staying(
                track.clone(),
                table.to_owned(),
                self.before_migration(track, version),
                &half.file,
            )
        })
    }
}

/// The steps of a clean install of where a plan starts.
pub(crate) fn install_start(plan: &Plan) -> Result<Vec<Migrate>, RehearsalError> {
    let mut migrations = plan.migrations.clone();
    migrations.extend(plan.before.clone());
    Material::before(plan, &migrations).install(&start(plan))
}

/// Where each track stands before a plan is executed.
pub(crate) fn start(plan: &Plan) -> Positions {
    let row = |track| plan.basis.tracks.get(track).map(|it| it.row()).unwrap_or_default();
    plan.tracks.iter().map(|(track, _)| (track.clone(), row(track).position)).collect()
}

/// Where each track stands after the first `migrations` of a plan.
pub(crate) fn position(plan: &Plan, migrations: usize) -> Positions {
    let mut position = start(plan);
    position.extend(plan.steps().take(migrations).map(|step| (step.track.clone(), step.to)));
    position
}

/// A step that stays where the plan starts: what runs statements that are no migration. None where the
/// plan has no track.
pub(crate) fn start_step(plan: &Plan) -> Option<Migrate> {
    let (track, table) = plan.tracks.first()?;
    let at = start(plan).get(track).copied().unwrap_or_default();
    Some(Migrate::staying(track.clone(), table.clone(), at, "how this schema differs"))
}

/// The fingerprint of a clean install.
///
/// # Errors
/// When it cannot be made.
pub async fn clean_install(
    shadow: &Shadow,
    material: &Material<'_>,
    ends_at: &Positions,
) -> Result<Fingerprint, RehearsalError> {
    shadow.tidied(install(shadow, material, ends_at).await).await
}

async fn install(
    shadow: &Shadow,
    material: &Material<'_>,
    ends_at: &Positions,
) -> Result<Fingerprint, RehearsalError> {
    let mut shadow = ShadowDatabase::open(shadow, material).await;
    shadow.install(ends_at)?;
    shadow.fingerprint().await
}

/// What a database should have whose tracks stand at `positions`. The material may go further than
/// that: what its later migrations create is then known to be the application's.
///
/// # Errors
/// When a clean install cannot be made.
pub async fn expected_here(
    shadow: &Shadow,
    material: &Material<'_>,
    positions: &Positions,
) -> Result<Expected, RehearsalError> {
    shadow.tidied(here(shadow, material, positions).await).await
}

async fn here(
    shadow: &Shadow,
    material: &Material<'_>,
    positions: &Positions,
) -> Result<Expected, RehearsalError> {
    let mut shadow = ShadowDatabase::open(shadow, material).await;
    shadow.install(positions)?;
    let clean = shadow.fingerprint().await?;
    let beyond = material.beyond(positions);
    let mut known: BTreeSet<_> = clean.objects.keys().cloned().collect();
    if !beyond.is_empty() {
        // A later migration that does not run here tells nothing, and is no reason to stop.
        known.extend(shadow.names_beyond(&beyond).await?);
    }
    Ok(Expected { clean, known, ..Expected::default() })
}
