//! What a down half leaves out. Down files are written by hand and run seldom: many make again only a
//! part of what their up half dropped, or nothing. What is missing then is generated from a clean install,
//! tried on a shadow database, and put at the end of the body, so that what the archive keeps of it comes
//! back with it.

use std::collections::BTreeSet;

use sternway_model::catalog::{Digest, Direction};
use sternway_model::plan::{Migrate, Plan};
use sternway_model::proof::{Fingerprint, ObjectName};

use crate::rehearse::installs;
use crate::shadow::{Material, RehearsalError, Shadow, ShadowDatabase, position};

/// Completes the down halves of a plan that leave out what a clean install has, where statements can be
/// generated that make it. What was not there before the journey stays so.
///
/// # Errors
/// When the journey or a clean install cannot be made.
pub async fn with_completions(shadow: &Shadow, plan: Plan) -> Result<Plan, RehearsalError> {
    if !plan.steps().any(|step| step.direction == Direction::Down) {
        return Ok(plan);
    }
    shadow.tidied(completed(shadow, plan).await).await
}

async fn completed(shadow: &Shadow, mut plan: Plan) -> Result<Plan, RehearsalError> {
    let of_downs =
        |(_, step): &(usize, &Migrate)| step.direction == Direction::Down && !step.is_there;
    let downs: Vec<usize> =
        plan.steps().enumerate().filter(of_downs).map(|(index, _)| index).collect();
    for index in downs {
        let statements = missing(shadow, &plan, index).await?;
        if statements.is_empty() {
            continue;
        }
        let Some(hash) = plan.steps().nth(index).map(|step| step.hash) else { continue };
        let body = plan.bodies.get(&hash).map_or("", String::as_str).trim_end();
        let end = if body.is_empty() || body.ends_with(';') { "" } else { "\n;" };
        let text = format!("{body}{end}\n{};\n", statements.join(";\n"));
        let hash = Digest::of_body(&text);
        plan.bodies.insert(hash, text);
        if let Some(step) = plan.migrations_mut().nth(index) {
            (step.hash, step.completed_by) = (hash, statements);
        }
    }
    Ok(plan)
}

/// The statements that make what a clean install has after a step and the step leaves out.
async fn missing(
    shadow: &Shadow,
    plan: &Plan,
    index: usize,
) -> Result<Vec<String>, RehearsalError> {
    let Some(step) = plan.steps().nth(index) else { return Ok(Vec::new()) };
    let here = ShadowDatabase::along(shadow, plan, index + 1).await?.fingerprint().await?;
    let at = position(plan, index + 1);
    let clean = installs(shadow, plan, vec![&at]).await?;
    let Some(clean) = clean.get(&at) else { return Ok(Vec::new()) };
    let lacks = lacks(plan, clean, &here);
    if lacks.is_empty() {
        return Ok(Vec::new());
    }
    // A clean install without just that.
    let mut from = clean.clone();
    from.objects.retain(|object, _| !lacks.contains(object));
    for (object, definition) in &here.objects {
        if lacks.contains(object) {
            from.objects.insert(object.clone(), definition.clone());
        }
    }
    let mut install = ShadowDatabase::open(shadow, &Material::of(plan)).await;
    install.install(&at)?;
    let statements = install.statements_from(&from).await?;
    drop(install);
    let staying = Migrate::staying(step.track.clone(), step.table.clone(), step.to, &step.file);
    let trial = ShadowDatabase::along(shadow, plan, index + 1).await?;
    trial.runnable(&staying, &statements).await
}

/// What a clean install has and this schema has not, or has otherwise: what may be made among rows that
/// nobody has looked at.
fn lacks(plan: &Plan, clean: &Fingerprint, here: &Fingerprint) -> BTreeSet<ObjectName> {
    let before: BTreeSet<&ObjectName> =
        plan.basis.deviation.differences.iter().map(|it| it.object()).collect();
    let table_of =
        |object: &ObjectName| object.table.as_ref().map(|it| ObjectName::new("table", it));
    let is_new = |object: &ObjectName| {
        table_of(object).is_some_and(|table| !here.objects.contains_key(&table))
    };
    let missing = clean
        .objects
        .iter()
        .filter(|(object, definition)| here.objects.get(*object) != Some(*definition))
        .filter(|(object, _)| !before.contains(*object));
    let may = missing.filter(|(object, definition)| {
        let there = here.objects.contains_key(*object);
        match object.kind.as_str() {
            // Of a table that comes whole, all of it does.
            _ if is_new(object) => true,
            "column" => !there && !object.needs_value(&definition.text),
            // Rows may be there that it does not allow.
            "constraint" | "check" => false,
            "table" | "type" | "domain" => !there,
            _ => true,
        }
    });
    may.map(|(object, _)| object.clone()).collect()
}
