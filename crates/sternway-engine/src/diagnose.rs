//! What a dirty track really has, told from the schema and not from the number.
//!
//! The mark names the migration that an up was going to, and the one that a *down* was going to: a
//! down from 7 to 6 that failed says 6, while the schema is still that of 7. Arithmetic on the number
//! is therefore wrong, and only the schema can tell.

use sternway_model::catalog::TrackName;
use sternway_model::position::Position;
use sternway_model::proof::{Expected, Fingerprint, compare};

use crate::shadow::{Material, Positions, RehearsalError, Shadow, ShadowDatabase};

/// Finds the positions of `track` whose clean install has the schema `found`, the other tracks
/// standing at `others`.
///
/// # Errors
/// When clean installs cannot be made.
pub async fn diagnose(
    shadow: &Shadow,
    material: &Material<'_>,
    track: &TrackName,
    others: &Positions,
    found: &Fingerprint,
) -> Result<Vec<Position>, RehearsalError> {
    shadow.tidied(fits(shadow, material, track, others, found).await).await
}

async fn fits(
    shadow: &Shadow,
    material: &Material<'_>,
    track: &TrackName,
    others: &Positions,
    found: &Fingerprint,
) -> Result<Vec<Position>, RehearsalError> {
    let mut shadow = ShadowDatabase::open(shadow, material).await;
    let mut others = others.clone();
    others.remove(track);
    shadow.install(&others)?;
    let table = material.tracks.iter().find(|(name, _)| name == track);
    let table = table.map_or("", |(_, table)| table.as_str());
    let mut steps = vec![(Position::Nothing, shadow.fingerprint().await?)];
    for migration in material.migrations.get(track).into_iter().flatten() {
        shadow.install_step(&material.up(track, table, migration)?);
        steps.push((migration.version.into(), shadow.fingerprint().await?));
    }
    let known = steps.iter().flat_map(|(_, it)| it.objects.keys().cloned()).collect();
    let mut expected = Expected { known, ..Expected::default() };
    let fits = steps.into_iter().filter(|(_, clean)| {
        expected.clean = clean.clone();
        compare(&expected, found).holds()
    });
    Ok(fits.map(|(position, _)| position).collect())
}
