//! What a journey asks before it begins: whether the tracking rows say what the schema is.
//!
//! A row that is behind its schema makes a runner apply migrations that are there already, and undo
//! them where one fails, with the rows that the tables have got since. A row that is ahead makes it
//! pass over migrations that are missing.

use sternway_database::Database;
use sternway_engine::doctor::{Diagnosis, Rows, out_of_step};
use sternway_engine::rehearse::{Material, Shadow};
use sternway_model::plan::{Plan, standing};
use sternway_model::proof::Fingerprint;
use sternway_model::state::Position;

use super::doctor::place;
use super::status::{Stuff, fingerprint};
use crate::failure::{Exit, Failure};
use crate::wiring::{Known, Setup};

/// Refuses a database whose tracking rows are behind or ahead of its schema. Where that cannot be
/// found out, the rehearsal of the journey says why.
pub async fn in_step(known: &Known, database: &mut dyn Database) -> Result<(), Failure> {
    let Ok(standing) = standing(&known.facts()) else { return Ok(()) };
    let row = |version| Position { version, dirty: false };
    let rows: Rows =
        standing.applied.iter().map(|(track, set)| (track.clone(), row(set.last()))).collect();
    if rows.values().all(|row| row.version.is_none()) {
        return Ok(());
    }
    let stuff = Stuff::whole(known, &standing.applied);
    let found = fingerprint(database, &stuff.tables).await?;
    let material = stuff.material(&known.state.identity.schema);
    hold(&known.shadow, &material, &rows, &found).await
}

/// The same for a plan that was made where nobody looked at a database, and is about to be executed.
/// Any other was made for this very schema, and this was asked then.
pub async fn plan_in_step(
    setup: &Setup<'_>,
    plan: &Plan,
    database: &mut dyn Database,
) -> Result<(), Failure> {
    if plan.basis.fingerprint.is_some() {
        return Ok(());
    }
    let on = plan.tracks.iter().filter_map(|(track, _)| plan.basis.tracks.get_key_value(track));
    let rows: Rows = on.map(|(track, state)| (track.clone(), state.position())).collect();
    if rows.values().all(|row| row.version.is_none()) {
        return Ok(());
    }
    let found = fingerprint(database, &plan.tables).await?;
    hold(&setup.shadow(), &Material::of(plan), &rows, &found).await
}

async fn hold(
    shadow: &Shadow,
    material: &Material<'_>,
    rows: &Rows,
    found: &Fingerprint,
) -> Result<(), Failure> {
    match out_of_step(shadow, material, rows, found).await {
        Ok(wrong) if wrong.is_empty() => Ok(()),
        Ok(wrong) => Err(refusal(&wrong)),
        Err(error) => {
            tracing::debug!("whether the rows fit the schema is not known: {error}");
            Ok(())
        }
    }
}

fn refusal(wrong: &[Diagnosis]) -> Failure {
    let each = wrong.iter().map(|it| {
        let fits: Vec<String> = it.fits.iter().map(|at| place(*at)).collect();
        let (track, says) = (&it.track, place(it.row.version));
        format!(
            "the row of track `{track}` says {says}, and the schema is that of {}",
            fits.join(" or ")
        )
    });
    let each: Vec<String> = each.collect();
    let failure = Failure::new(each.join("; "), Exit::Drift);
    failure.hint("nothing was touched. `sternway doctor` looks closer, and writes into the row what is true; until then neither Sternway nor the application's own runner should migrate this database")
}
