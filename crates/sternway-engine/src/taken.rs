//! What others have made and a down half takes along: a view on its table, a foreign key that refers to it,
//! a publication that it is in. What makes each again is kept in the plan, and so in the journal; the way
//! back makes it again once its migration is there, where it fits.

use std::collections::BTreeSet;

use sternway_database::Database;
use sternway_database::failpoint::{Rule, holds};
use sternway_model::catalog::Direction;
use sternway_model::plan::{Migrate, Plan, Step, Taken};
use sternway_model::proof::ObjectName;

use crate::shadow::{RehearsalError, Shadow, ShadowDatabase};
use crate::unanswered::Unanswered;
use crate::verify::fingerprint;

/// Writes into a plan what makes again what its steps take along of others.
///
/// # Errors
/// When the schema cannot be read.
pub async fn with_taken(mut plan: Plan, database: &mut dyn Database) -> Result<Plan, Unanswered> {
    let taken = |step: &Migrate| {
        let (track, version) = (step.track.clone(), step.version);
        let objects = plan.takes_foreign(step).cloned();
        objects.map(move |object| (track.clone(), version, object)).collect::<Vec<_>>()
    };
    let taken: Vec<_> = plan.steps().flat_map(taken).collect();
    if taken.is_empty() || !holds(Rule::OthersMadeAgain) {
        return Ok(plan);
    }
    let found = fingerprint(database, &plan.tables).await?;
    let all: BTreeSet<&ObjectName> = taken.iter().map(|(_, _, object)| object).collect();
    let mut more = Vec::new();
    for (track, version, object) in &taken {
        let mut without = found.clone();
        without.objects.remove(object);
        if object.table.is_none() && object.described().is_none() {
            // The columns and the like of what goes come again with it.
            let is_part = |it: &ObjectName| it.table.as_ref() == Some(&object.name);
            without.objects.retain(|it, _| !is_part(it) || all.contains(it));
        }
        let statements = database.statements_from(&without, &plan.tables).await;
        let statements = statements.map_err(Unanswered::to("read the schema"))?;
        let attributes = database.attributes(object).await;
        let attributes = attributes.map_err(Unanswered::to("read the schema"))?;
        let (track, version, object) = (track.clone(), *version, object.clone());
        more.push(Taken { track, version, object, statements, attributes });
    }
    plan.taken.extend(more.into_iter().filter(|it| !it.statements.is_empty()));
    Ok(plan)
}

/// Adds steps to a plan that make again what earlier journeys took along, after the migrations that it
/// needs. What is there again is forgotten, and what does not fit goes on waiting.
///
/// # Errors
/// When the journey cannot be made.
pub async fn with_rebuilds(shadow: &Shadow, mut plan: Plan) -> Result<Plan, RehearsalError> {
    let there = plan.basis.deviation.foreign.clone();
    plan.taken.retain(|it| !there.contains(&it.object));
    if plan.taken.is_empty() {
        return Ok(plan);
    }
    shadow.tidied(rebuilt(shadow, plan).await).await
}

async fn rebuilt(shadow: &Shadow, mut plan: Plan) -> Result<Plan, RehearsalError> {
    let ups = plan.steps().cloned().enumerate();
    let ups = ups.filter(|(_, step)| step.direction == Direction::Up);
    for (index, up) in ups.collect::<Vec<_>>() {
        let of_it = |it: &Taken| it.track == up.track && it.version == up.version;
        let waiting: Vec<Taken> = plan.taken.iter().filter(|it| of_it(it)).cloned().collect();
        if waiting.is_empty() {
            continue;
        }
        let journey = ShadowDatabase::along(shadow, &plan, index + 1).await?;
        let statements: Vec<String> =
            waiting.iter().flat_map(|it| it.statements.iter().cloned()).collect();
        let staying = staying_after(&up);
        let ran = journey.runnable(&staying, &statements).await?;
        // In the order in which they ran.
        let mut fit: Vec<Taken> = waiting
            .into_iter()
            .filter(|it| it.statements.iter().all(|statement| ran.contains(statement)))
            .collect();
        fit.sort_by_key(|it| ran.iter().position(|ran| it.statements.contains(ran)));
        if fit.is_empty() {
            continue;
        }
        plan.taken.retain(|it| !fit.contains(it));
        for hop in &mut plan.hops {
            let is_it = |step: &Step| step.migration().is_some_and(|step| *step == up);
            if let Some(at) = hop.steps.iter().position(is_it) {
                hop.steps.insert(at + 1, Step::Rebuild { taken: fit });
                break;
            }
        }
    }
    Ok(plan)
}

/// What runs a statement after an up half.
pub(crate) fn staying_after(up: &Migrate) -> Migrate {
    Migrate::staying(up.track.clone(), up.table.clone(), up.to, "what others had made")
}
