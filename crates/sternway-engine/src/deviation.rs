//! How a database's schema differs from the clean install that its tracking rows promise: looked at
//! before a plan is rehearsed, so that the rehearsal begins at what is really there.
//!
//! What an earlier journey left over, what somebody changed by hand and what others made beside the
//! application is then met on the shadow first, and a plan says what its steps will do there.

use std::collections::BTreeSet;

use sternway_database::Database;
use sternway_database::failpoint::{Rule, holds};
use sternway_model::plan::{Deviation, Plan};
use sternway_model::proof::{Difference, Expected, Fingerprint, ObjectName, compare};

use crate::shadow::{Material, RehearsalError, Shadow, ShadowDatabase, start_step};
use crate::unanswered::Unanswered;
use crate::verify::fingerprint;

/// Writes into a plan how the schema of its database differs from a clean install of where it starts.
/// Where no clean install can be made, the rehearsal of the plan says why.
///
/// # Errors
/// When the schema cannot be read.
pub async fn with_deviation(
    mut plan: Plan,
    shadow: &Shadow,
    database: &mut dyn Database,
) -> Result<Plan, Unanswered> {
    if !holds(Rule::FromWhatIsThere) {
        return Ok(plan);
    }
    let clean = match shadow.tidied(clean_start(shadow, &plan).await).await {
        Ok(clean) if plan.basis.fingerprint == Some(clean.digest()) => return Ok(plan),
        Ok(clean) => clean,
        Err(error) => {
            tracing::debug!("how the schema differs is not known: {error}");
            return Ok(plan);
        }
    };
    let found = fingerprint(database, &plan.tables).await?;
    let statements = database.statements_from(&clean, &plan.tables).await;
    let statements = statements.map_err(Unanswered::to("read the schema"))?;
    let made = shadow.tidied(made(shadow, &mut plan, statements).await).await;
    let made = made.unwrap_or_else(|error| {
        tracing::debug!("this schema cannot be made on a shadow database: {error}");
        clean.clone()
    });
    let mine: BTreeSet<ObjectName> = clean.objects.keys().cloned().collect();
    let mut known = std::mem::take(&mut plan.basis.deviation.known);
    // What an earlier journey has left is the application's, also where it has become something else since.
    let left = known.iter().map(|it| it.object().clone());
    let expected = Expected {
        clean,
        known: mine.iter().cloned().chain(left).collect(),
        ..Expected::default()
    };
    known.retain(|it| it.is_so_in(&found));
    let mut differences = compare(&expected, &found).drift;
    differences.retain(|it| mine.contains(it.object()) || !known.contains(it));
    let ours = |object: &ObjectName| differences.iter().any(|it| it.object() == object);
    let known_here = |object: &ObjectName| known.iter().any(|it| it.object() == object);
    // A table stands for its parts, and a constraint for its index.
    let told = |object: &ObjectName| {
        let constraint = |it: &Difference| {
            let its = it.object();
            object.kind == "index" && its.kind == "constraint" && its.name == object.name
        };
        ours(object)
            || known_here(object)
            || object.table().is_some_and(|it| ours(&it) || known_here(&it))
            || differences.iter().chain(&known).any(constraint)
    };
    let not_rehearsed = names_that_differ(&made, &found).into_iter().filter(|it| told(it));
    let not_rehearsed =
        not_rehearsed.map(|it| (it.clone(), found.objects.get(it).cloned())).collect();
    let foreign = found.objects.keys().filter(|it| !mine.contains(*it) && !told(it));
    let (foreign, statements) = (foreign.cloned().collect(), plan.basis.deviation.statements);
    plan.basis.deviation = Deviation { differences, known, statements, foreign, not_rehearsed };
    Ok(plan)
}

async fn clean_start(shadow: &Shadow, plan: &Plan) -> Result<Fingerprint, RehearsalError> {
    let mut install = ShadowDatabase::open(shadow, &Material::of(plan)).await;
    install.install_start(plan)?;
    install.fingerprint().await
}

/// Puts those of the statements into the plan that run, and says what they lead to.
async fn made(
    shadow: &Shadow,
    plan: &mut Plan,
    statements: Vec<String>,
) -> Result<Fingerprint, RehearsalError> {
    let Some(step) = start_step(plan) else { return clean_start(shadow, plan).await };
    let mut trial = ShadowDatabase::open(shadow, &Material::of(plan)).await;
    trial.install_start(plan)?;
    plan.basis.deviation.statements = trial.runnable(&step, &statements).await?;
    let mut begun = ShadowDatabase::open(shadow, &Material::of(plan)).await;
    begun.begin(plan)?;
    begun.fingerprint().await
}

fn names_that_differ<'a>(one: &'a Fingerprint, other: &'a Fingerprint) -> BTreeSet<&'a ObjectName> {
    let names = one.objects.keys().chain(other.objects.keys());
    names.filter(|it| one.objects.get(it) != other.objects.get(it)).collect()
}
