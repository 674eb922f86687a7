//! What a plan should lead to, found out on a shadow database before the real one is touched: on the
//! PostgreSQL inside this process, or on a server of the user's where that one lacks an extension.
//!
//! For each hop a clean install is made of what the hop ends at. The journey itself is gone too, from
//! the schema that the database has: where its end differs from the clean install, that is known before
//! the database changes, and whether the application's own migrations lead to it or it was there before.

use std::collections::{BTreeMap, BTreeSet};

use sternway_database::failpoint::{Rule, holds};
use sternway_database::{Database, DatabaseError};
use sternway_model::effect::{Effects, Loss};
use sternway_model::plan::{Deviation, Plan, Step};
use sternway_model::position::Position;
use sternway_model::proof::{Difference, Expected, Fingerprint, ObjectName, compare};

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
    shadow.tidied(journey(shadow, plan).await).await
}

/// Writes into a plan what its migrations change. The numbers are those of the shadow, whose tables
/// are empty, and are left out: [`measure`] asks the database itself.
pub fn with_effects(mut plan: Plan, effects: Vec<Option<Effects>>) -> Plan {
    for (migrate, effects) in plan.migrations_mut().zip(effects) {
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
    for migrate in plan.migrations_mut() {
        for loss in migrate.effects.iter_mut().flat_map(|it| &mut it.losses) {
            if let Some(measured) = measured.next() {
                *loss = measured;
            }
        }
    }
    keep_nothing_of_nothing(plan);
    Ok(())
}

/// Takes what cannot be kept off a plan where there is nothing: in tables without rows, and in those that the journey
/// itself makes before.
fn keep_nothing_of_nothing(plan: &mut Plan) {
    let (mut made, mut destroyed) = (BTreeSet::new(), BTreeSet::new());
    for effects in plan.migrations_mut().filter_map(|it| it.effects.as_mut()) {
        let losses = &effects.losses;
        effects.unkept.retain(|it| {
            let mut its = losses.iter().filter(|loss| loss.lost.of() == it.table).peekable();
            let is_empty = its.peek().is_some() && its.all(|loss| loss.rows == Some(0));
            !is_empty && !made.contains(&ObjectName::new("table", &it.table))
        });
        made.extend(effects.created.iter().filter(|it| !destroyed.contains(*it)).cloned());
        destroyed.extend(effects.destroyed.iter().cloned());
    }
}

async fn journey(shadow: &Shadow, plan: &Plan) -> Result<Rehearsal, RehearsalError> {
    let material = Material::of(plan);
    let start = start(plan);
    // Where the start has other migrations, it is no clean install of the plan's.
    let starts = Some(&start).filter(|_| plan.before.is_empty());
    let ends: BTreeSet<&Positions> =
        plan.hops.iter().map(|hop| &hop.ends_at).chain(starts).collect();
    let is_below = |end: &&Positions| end.iter().all(|(track, at)| start.get(track) >= Some(at));
    let (below, above) = ends.into_iter().partition(is_below);
    let mut clean = installs(shadow, plan, below).await?;
    let mut journey = ShadowDatabase::open(shadow, &material).await;
    journey.begin(plan)?;
    let deviates = !plan.basis.deviation.statements.is_empty();
    let begun = match deviates || !plan.before.is_empty() {
        true => journey.fingerprint().await?,
        false => Fingerprint::default(),
    };
    let (mut effects, mut arrived) = (Vec::new(), Vec::new());
    for hop in &plan.hops {
        for step in &hop.steps {
            match step {
                Step::Migrate(step) => effects.push(journey.rehearse(&plan.app, step).await?),
                Step::Rebuild { taken } => journey.rebuild(plan, taken),
                _ => {}
            }
        }
        arrived.push(journey.fingerprint().await?);
    }
    drop(journey);
    clean.extend(installs(shadow, plan, above).await?);
    // What others have made is on the way too, and is not the application's.
    let made: BTreeSet<&ObjectName> = clean.values().flat_map(|it| it.objects.keys()).collect();
    let foreign = &plan.basis.deviation.foreign;
    let on_the_way = arrived.iter().chain([&begun]).flat_map(|it| it.objects.keys());
    let again: BTreeSet<&ObjectName> = plan.rebuilds().map(|it| &it.object).collect();
    let on_the_way = on_the_way.filter(|it| !foreign.contains(*it) && !again.contains(it));
    let left = plan.basis.deviation.known.iter().map(Difference::object);
    let known: BTreeSet<ObjectName> =
        made.into_iter().chain(on_the_way).chain(left).cloned().collect();
    let begun = match clean.get(&start) {
        Some(clean) if !deviates && plan.before.is_empty() => clean,
        _ => &begun,
    };
    for arrived in &mut arrived {
        stay_as_they_are(plan, begun, arrived);
    }
    let expected = plan.hops.iter().zip(&arrived).filter_map(|(hop, arrived)| {
        let clean = clean.get(&hop.ends_at)?.clone();
        let journey = (arrived.objects != clean.objects).then(|| arrived.clone());
        let Deviation { differences, known: left, .. } = &plan.basis.deviation;
        let before = [&differences[..], left].concat();
        Some(Expected { clean, journey, before, known: known.clone() })
    });
    Ok(Rehearsal { expected: expected.collect(), effects })
}

/// What the rehearsal could not be given stays as the database has it, where no step touches it.
fn stay_as_they_are(plan: &Plan, begun: &Fingerprint, arrived: &mut Fingerprint) {
    for (object, found) in &plan.basis.deviation.not_rehearsed {
        if begun.objects.get(object) == arrived.objects.get(object) {
            match found {
                Some(found) => arrived.objects.insert(object.clone(), found.clone()),
                None => arrived.objects.remove(object),
            };
        }
    }
}

/// Writes into each hop of a plan what differs from a clean install at its end, though it goes as it
/// should.
pub fn with_leaves(mut plan: Plan, expected: &[Expected]) -> Plan {
    let leaves: Vec<_> = expected.iter().map(|expected| leaves(&plan, expected)).collect();
    for (hop, leaves) in plan.hops.iter_mut().zip(leaves).filter(|_| holds(Rule::LeavesRecorded)) {
        hop.leaves = leaves;
    }
    plan
}

fn leaves(plan: &Plan, expected: &Expected) -> Vec<Difference> {
    let arrived = expected.journey.as_ref().unwrap_or(&expected.clean);
    let ends = compare(expected, arrived);
    let mut leaves = [ends.of_the_migrations, ends.there_before].concat();
    // What an earlier journey has left may be of migrations that this one does not know.
    for known in plan.basis.deviation.known.iter().filter(|it| it.is_so_in(arrived)) {
        let object = known.object();
        let differs = expected.clean.objects.get(object) != arrived.objects.get(object);
        if differs && !leaves.iter().any(|it| it.object() == known.object()) {
            leaves.push(known.clone());
        }
    }
    leaves
}

/// Clean installs of these positions, the lower ones first: a higher one may go on from there, and so
/// may the journey from the highest.
pub(crate) async fn installs<'p>(
    shadow: &Shadow,
    plan: &Plan,
    mut ends: Vec<&'p Positions>,
) -> Result<BTreeMap<&'p Positions, Fingerprint>, RehearsalError> {
    let material = Material::of(plan);
    let height = |end: &&Positions| -> Vec<Position> {
        plan.tracks.iter().map(|(track, _)| end.get(track).copied().unwrap_or_default()).collect()
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
