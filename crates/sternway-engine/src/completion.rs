//! What a down half leaves out, and what it should not take. Down files are written by hand and run seldom:
//! many make again only a part of what their up half dropped, or nothing, and some drop what was there before
//! it. A statement that takes what the clean install behind it has is passed over, so that the data stays in
//! its place. What is missing then is generated from that clean install, tried on a shadow database, and put
//! at the end of the body, so that what the archive keeps of it comes back with it.

mod additions;
mod way;

use std::collections::BTreeSet;

use sternway_database::failpoint::{Rule, holds};
use sternway_database::{Database, Dialect, Piece};
use sternway_model::catalog::{Digest, Direction};
use sternway_model::check::Check;
use sternway_model::plan::Plan;
use sternway_model::proof::{Fingerprint, ObjectName};

pub(crate) use self::additions::{
    Additions, asking_first, is_answered, lacks_values, schema_before,
};
use self::way::End;
use crate::rehearse::installs;
use crate::shadow::{Material, Positions, RehearsalError, Shadow, ShadowDatabase, position};

/// Completes the halves of a plan that leave out what a clean install has, where statements can be generated
/// that make it. What was not there before the journey stays so.
///
/// # Errors
/// When the journey or a clean install cannot be made.
pub async fn with_completions(
    shadow: &Shadow,
    plan: Plan,
    database: &mut dyn Database,
) -> Result<Plan, RehearsalError> {
    if !holds(Rule::Completed) {
        return Ok(plan);
    }
    shadow.tidied(completed(shadow, plan, database).await).await
}

async fn completed(
    shadow: &Shadow,
    mut plan: Plan,
    database: &mut dyn Database,
) -> Result<Plan, RehearsalError> {
    let runs = plan.steps().enumerate().filter(|(_, step)| !step.is_there);
    let runs: Vec<usize> = runs.map(|(index, _)| index).collect();
    for index in runs {
        let Some(fit) = fit(shadow, &plan, index, &mut *database).await? else { continue };
        let Some(hash) = plan.steps().nth(index).map(|step| step.hash) else { continue };
        let body = match fit.left_out.is_empty() {
            true => plan.bodies.get(&hash).cloned().unwrap_or_default(),
            false => Dialect::joined(&fit.kept),
        };
        let text = body_with(&body, &fit.completed_by);
        let (hash, facts) = (Digest::of_body(&text), shadow.dialect().facts(&text));
        plan.bodies.insert(hash, text);
        if let Some(step) = plan.migrations_mut().nth(index) {
            step.hash = hash;
            step.completed_by.extend(fit.completed_by);
            step.closed_by = fit.closed_by;
            if !fit.left_out.is_empty() {
                (step.mode, step.destroys) = (facts.mode, facts.destroys);
                step.leaves_out = fit.left_out;
            }
        }
        plan.ask_before(fit.checks);
    }
    Ok(plan)
}

/// A body with these statements at its end.
pub(crate) fn body_with(body: &str, statements: &[String]) -> String {
    let body = body.trim_end();
    if statements.is_empty() {
        return body.to_owned();
    }
    let end = if body.is_empty() || body.ends_with(';') { "" } else { "\n;" };
    format!("{body}{end}\n{};\n", statements.join(";\n"))
}

/// How a half is made to lead to the clean install behind it.
struct Fit {
    /// Its statements that run.
    kept: Vec<String>,
    /// Those that lead away from there.
    left_out: Vec<String>,
    /// What is added at its end.
    completed_by: Vec<String>,
    /// What is asked of the rows once they have what the archive keeps of them.
    closed_by: Vec<String>,
    /// What the rows have to be for that.
    checks: Vec<Check>,
}

/// Finds out what a half lacks; nothing where it lacks nothing, or nothing can be done about it. An up half
/// that makes what is not there yet, and passes over what is, may find less there than it would make.
async fn fit(
    shadow: &Shadow,
    plan: &Plan,
    index: usize,
    database: &mut dyn Database,
) -> Result<Option<Fit>, RehearsalError> {
    let Some(step) = plan.steps().nth(index) else { return Ok(None) };
    let at = position(plan, index + 1);
    let clean = installs(shadow, plan, vec![&at]).await?;
    let Some(clean) = clean.get(&at) else { return Ok(None) };
    let body = plan.body(step).filter(|_| step.direction == Direction::Down).unwrap_or_default();
    let statements: Vec<Piece> = shadow.dialect().pieces(body);
    let end = End { shadow, plan, index, step, clean, statements: &statements };
    let Some(way) = end.way().await? else { return Ok(None) };
    let (mut completed_by, mut closed_by, mut checks) =
        (way.renamed.clone(), Vec::new(), Vec::new());
    if end.misses(&way.here) > 0 {
        let schemas = (clean, &way.here);
        let mut additions = Additions::to(shadow, plan, step, schemas, Some(database)).await?;
        for (column, late) in additions.late {
            additions.objects.remove(&column);
            if !way.here.objects.contains_key(&column) {
                completed_by.push(late.made_by);
            }
            closed_by.extend(late.closed_by);
        }
        if !additions.objects.is_empty() {
            let generated = generated(shadow, plan, &at, &additions.objects, clean, &way.here);
            let generated = generated.await?;
            let there = end.after(&way.left_out, &completed_by).await?;
            completed_by.extend(there.runnable(&end.staying(), &generated).await?);
        }
        checks = additions.checks;
    }
    if completed_by.is_empty() && closed_by.is_empty() && way.left_out.is_empty() {
        return Ok(None);
    }
    let of = |left: bool| -> Vec<String> {
        let them = statements.iter().enumerate();
        let them = them.filter(|(at, _)| way.left_out.contains(at) == left);
        them.map(|(_, it)| it.text.clone()).collect()
    };
    Ok(Some(Fit { kept: of(false), left_out: of(true), completed_by, closed_by, checks }))
}

/// The statements that make of the schema `here` what a clean install `at` a position has of `objects`.
pub(crate) async fn generated(
    shadow: &Shadow,
    plan: &Plan,
    at: &Positions,
    objects: &BTreeSet<ObjectName>,
    clean: &Fingerprint,
    here: &Fingerprint,
) -> Result<Vec<String>, RehearsalError> {
    // A clean install without just that.
    let mut from = clean.clone();
    from.objects.retain(|object, _| !objects.contains(object));
    let there = here.objects.iter().filter(|(object, _)| objects.contains(*object));
    from.objects.extend(there.map(|(object, definition)| (object.clone(), definition.clone())));
    let mut install = ShadowDatabase::open(shadow, &Material::of(plan)).await;
    install.install(at)?;
    install.statements_from(&from).await
}
