//! What a plan should lead to, found out on a shadow database before the real one is touched: on the
//! PostgreSQL inside this process, or on a server of the user's where that one lacks an extension.
//!
//! For each hop a clean install is made of what the hop ends at. The journey itself is gone too, from
//! a clean install of where it starts: where its end differs from the clean install, the
//! application's own migrations are to blame, and not the database that is about to change.

use std::collections::{BTreeMap, BTreeSet};

use sternway_database::{Database, DatabaseError};
use sternway_model::effect::{Effects, Loss};
use sternway_model::plan::{Plan, Step};
use sternway_model::proof::{Expected, Fingerprint, ObjectName};

use crate::shadow::{Material, Positions, RehearsalError, Shadow, ShadowDatabase, start};

/// What a rehearsal of a plan found out.
#[derive(Debug, Clone)]
pub struct Rehearsal {
    /// What each hop should lead to, in order.
    pub expected: Vec<Expected>,
    /// What each migration changes, in order; `None` where the shadow could not find that out.
    pub effects: Vec<Option<Effects>>,
}

/// What each hop of a plan should lead to, in order.
///
/// # Errors
/// When a clean install or the journey cannot be made.
pub async fn expectations(shadow: &Shadow, plan: &Plan) -> Result<Vec<Expected>, RehearsalError> {
    Ok(rehearse(shadow, plan).await?.expected)
}

/// Goes the journey of a plan on a shadow.
///
/// # Errors
/// When a clean install or the journey cannot be made.
pub async fn rehearse(shadow: &Shadow, plan: &Plan) -> Result<Rehearsal, RehearsalError> {
    shadow.tidied(journey(shadow, plan, Proving::Hops).await).await
}

/// What each migration of a plan changes, without any clean install of where the hops end.
///
/// # Errors
/// When the journey cannot be made.
pub async fn effects(shadow: &Shadow, plan: &Plan) -> Result<Vec<Option<Effects>>, RehearsalError> {
    Ok(shadow.tidied(journey(shadow, plan, Proving::Nothing).await).await?.effects)
}

/// Writes into a plan what its migrations change. The numbers are those of the shadow, whose tables
/// are empty, and are left out: [`measure`] asks the database itself.
pub fn with_effects(mut plan: Plan, effects: Vec<Option<Effects>>) -> Plan {
    let steps = plan.hops.iter_mut().flat_map(|hop| &mut hop.steps);
    let migrations = steps.filter_map(|step| match step {
        Step::Migrate(migrate) => Some(migrate),
        _ => None,
    });
    for (migrate, effects) in migrations.zip(effects) {
        migrate.effects = effects.map(|mut effects| {
            for loss in &mut effects.losses {
                (loss.rows, loss.bytes, loss.estimated) = (None, None, false);
            }
            effects
        });
    }
    plan
}

/// Asks the database how much a plan's migrations would take away there. Nothing is changed.
///
/// # Errors
/// When it cannot be asked.
pub async fn measure(plan: &mut Plan, database: &mut dyn Database) -> Result<(), DatabaseError> {
    let lost = plan.losses().cloned();
    let mut losses: Vec<Loss> = lost.collect();
    if losses.is_empty() {
        return Ok(());
    }
    database.measure(&mut losses).await?;
    let mut measured = losses.into_iter();
    for step in plan.hops.iter_mut().flat_map(|hop| &mut hop.steps) {
        let Step::Migrate(migrate) = step else { continue };
        for loss in migrate.effects.iter_mut().flat_map(|it| &mut it.losses) {
            if let Some(measured) = measured.next() {
                *loss = measured;
            }
        }
    }
    Ok(())
}

/// Whether clean installs are made of where the hops end.
#[derive(Clone, Copy, PartialEq)]
enum Proving {
    Hops,
    Nothing,
}

async fn journey(
    shadow: &Shadow,
    plan: &Plan,
    proving: Proving,
) -> Result<Rehearsal, RehearsalError> {
    let material = Material::of(plan);
    let start = start(plan);
    // Where the start has other migrations, it is no clean install of the plan's.
    let starts = Some(&start).filter(|_| plan.before.is_empty());
    let ends: BTreeSet<&Positions> = match proving {
        Proving::Hops => plan.hops.iter().map(|hop| &hop.ends_at).chain(starts).collect(),
        Proving::Nothing => BTreeSet::new(),
    };
    let is_below = |end: &&Positions| end.iter().all(|(track, at)| start.get(track) >= Some(at));
    let (below, above) = ends.into_iter().partition(is_below);
    let mut clean = installs(shadow, plan, below).await?;
    let mut journey = ShadowDatabase::open(shadow, &material).await;
    journey.install_start(plan)?;
    let (mut effects, mut arrived) = (Vec::new(), Vec::new());
    let before = match (proving, plan.before.is_empty()) {
        (Proving::Hops, false) => Some(journey.fingerprint().await?),
        _ => None,
    };
    for hop in &plan.hops {
        for step in hop.migrations() {
            effects.push(journey.rehearse(&plan.app, step).await?);
        }
        if proving == Proving::Hops {
            arrived.push(journey.fingerprint().await?);
        }
    }
    drop(journey);
    clean.extend(installs(shadow, plan, above).await?);
    let known =
        clean.values().chain(&arrived).chain(&before).flat_map(|it| it.objects.keys().cloned());
    let known: BTreeSet<ObjectName> = known.collect();
    let expected = plan.hops.iter().zip(arrived).filter_map(|(hop, arrived)| {
        let clean = clean.get(&hop.ends_at)?.clone();
        let journey = (arrived.objects != clean.objects).then_some(arrived);
        Some(Expected { clean, journey, known: known.clone() })
    });
    Ok(Rehearsal { expected: expected.collect(), effects })
}

/// Clean installs of these positions, the lower ones first: a higher one may go on from there, and so
/// may the journey from the highest.
async fn installs<'p>(
    shadow: &Shadow,
    plan: &Plan,
    mut ends: Vec<&'p Positions>,
) -> Result<BTreeMap<&'p Positions, Fingerprint>, RehearsalError> {
    let material = Material::of(plan);
    let height = |end: &&Positions| -> Vec<Option<u64>> {
        plan.tracks.iter().map(|(track, _)| end.get(track).copied().flatten()).collect()
    };
    ends.sort_by_cached_key(height);
    let mut clean = BTreeMap::new();
    for end in ends {
        let mut install = ShadowDatabase::open(shadow, &material).await;
        install.install(end)?;
        clean.insert(end, install.fingerprint().await?);
    }
    Ok(clean)
}
