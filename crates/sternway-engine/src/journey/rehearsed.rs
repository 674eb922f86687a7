//! A plan, fitted to the schema and the rows that are there, and rehearsed.

use sternway_model::check::Finding;
use sternway_model::plan::Plan;
use sternway_model::proof::Expected;

use super::{Journey, JourneyError, Manner, Ports};
use crate::check;
use crate::completion::with_completions;
use crate::consent::nothing_unasked;
use crate::deviation::with_deviation;
use crate::leftover::with_what_is_there;
use crate::misfits::with_rows_heeded;
use crate::needed::with_columns_among_rows;
use crate::rehearse::{self, Rehearsal, measure, with_effects, with_leaves};
use crate::shadow::{RehearsalError, Shadow};
use crate::taken::{with_rebuilds, with_taken};
use crate::unanswered::Unanswered;

/// Finds out what a plan should lead to. What its steps change is found out too, unless the plan says
/// it already: then that is what somebody agreed to.
pub(super) async fn rehearsed(
    plan: Plan,
    manner: &Manner,
    ports: &mut Ports<'_>,
) -> Result<Journey, JourneyError> {
    let rehearsal = match plan.steps().any(|step| step.effects.is_some()) {
        true => match approved(&plan, ports).await {
            Ok((asked, rehearsal)) => {
                nothing_forbidden(&check::ask_of_additions(&asked, ports.database).await?)?;
                as_approved(&plan, &asked)?;
                Ok((plan.clone(), rehearsal.expected))
            }
            Err(error) => Err(error),
        },
        false => match fitted(&plan, ports).await {
            Ok((plan, rehearsal)) => Ok(with_all(plan, rehearsal, ports).await?),
            Err(error) => Err(error),
        },
    };
    match rehearsal {
        Ok((plan, expected)) => {
            nothing_unasked(&plan)?;
            nothing_forbidden(&check::ask_of_additions(&plan, ports.database).await?)?;
            Ok(Journey { plan, proof: Ok(expected) })
        }
        Err(error) if manner.unproven => Ok(Journey { plan, proof: Err(error) }),
        Err(cause) => {
            Err(JourneyError::Rehearse { cause, deviation: Box::new(plan.basis.deviation) })
        }
    }
}

/// The plan with what its steps change and take away, and what they leave; as it is, with the reason,
/// where no rehearsal can be made.
///
/// # Errors
/// When the database does not answer, and where it would do what needs consent.
pub async fn with_numbers(
    plan: Plan,
    ports: &mut Ports<'_>,
) -> Result<(Plan, Option<RehearsalError>), JourneyError> {
    let plan = with_deviation(plan, ports.shadow, ports.database).await?;
    match fitted(&plan, ports).await {
        Ok((plan, rehearsal)) => {
            let (plan, _) = with_all(plan, rehearsal, ports).await?;
            nothing_unasked(&plan)?;
            nothing_forbidden(&check::ask_of_additions(&plan, ports.database).await?)?;
            Ok((plan, None))
        }
        Err(error) => Ok((plan, Some(error))),
    }
}

/// Refuses a plan that adds what the rows that are there do not allow.
pub(super) fn nothing_forbidden(findings: &[Finding]) -> Result<(), JourneyError> {
    let broken = findings.iter().filter(|it| !it.holds && it.check.adds.is_some());
    let broken: Vec<&Finding> = broken.collect();
    if broken.is_empty() {
        return Ok(());
    }
    let may_miss = broken.iter().filter(|it| !it.check.firm);
    let adds = may_miss.filter_map(|it| it.check.adds.clone()).collect();
    let message = |it: &&Finding| match &it.count {
        Some(count) => format!("{} ({count} of them)", it.check.message),
        None => it.check.message.clone(),
    };
    Err(JourneyError::RowsForbid { adds, messages: broken.iter().map(message).collect() })
}

/// Rehearses a plan, whose steps are fitted to the schema that is there. Halves are completed only
/// where the rehearsal ends without something, or does not get to its end.
async fn fitted(plan: &Plan, ports: &mut Ports<'_>) -> Result<(Plan, Rehearsal), RehearsalError> {
    let shadow = ports.shadow;
    let plan = with_what_is_there(shadow, plan.clone()).await?;
    let gone = gone(shadow, plan.clone()).await;
    let lacks = |plan: &Plan| {
        let mut leaves = plan.hops.iter().flat_map(|hop| &hop.leaves);
        leaves.any(|it| it.is_lack() && !plan.was_there(it))
    };
    let (plan, gone) = match gone {
        Ok(gone) if !lacks(&gone.0) => (plan, gone),
        gone => match with_completions(shadow, plan.clone(), ports.database).await {
            Ok(completed) if completed != plan => {
                let gone = self::gone(shadow, completed.clone()).await?;
                (completed, gone)
            }
            _ => (plan, gone?),
        },
    };
    let heeding = among_rows(&plan, ports).await?;
    match heeding == plan {
        true => Ok(gone),
        false => self::gone(shadow, heeding).await,
    }
}

/// Rehearses a plan that somebody has approved, and asks the rows that are there now. With it comes the plan that would
/// be made among them.
async fn approved(plan: &Plan, ports: &mut Ports<'_>) -> Result<(Plan, Rehearsal), RehearsalError> {
    let rehearsal = rehearse::rehearse(ports.shadow, plan).await?;
    Ok((among_rows(plan, ports).await?, rehearsal))
}

/// Refuses a plan that was approved where other bodies would run among the rows that are there now.
fn as_approved(plan: &Plan, asked: &Plan) -> Result<(), JourneyError> {
    let both = plan.steps().zip(asked.steps());
    let others = both.filter(|(then, now)| then.hash != now.hash);
    let files: Vec<String> = others.map(|(then, _)| then.file.clone()).collect();
    match files.is_empty() {
        true => Ok(()),
        false => Err(JourneyError::RowsMoved(files)),
    }
}

/// The plan as it has to be made among the rows that are there.
async fn among_rows(plan: &Plan, ports: &mut Ports<'_>) -> Result<Plan, RehearsalError> {
    let plan = with_columns_among_rows(ports.shadow, plan.clone(), ports.database).await?;
    with_rows_heeded(ports.shadow, plan, ports.database).await
}

/// Rehearses a plan, with what others had made where it comes again, and writes into it what it leaves.
async fn gone(shadow: &Shadow, plan: Plan) -> Result<(Plan, Rehearsal), RehearsalError> {
    let plan = with_rebuilds(shadow, plan).await?;
    let rehearsal = rehearse::rehearse(shadow, &plan).await?;
    Ok((with_leaves(plan, &rehearsal.expected), rehearsal))
}

/// Writes into a plan what the rehearsal found out, and what the database says to that.
async fn with_all(
    plan: Plan,
    rehearsal: Rehearsal,
    ports: &mut Ports<'_>,
) -> Result<(Plan, Vec<Expected>), Unanswered> {
    let mut plan = with_effects(plan, rehearsal.effects);
    count(&mut plan, ports).await?;
    Ok((with_taken(plan, ports.database).await?, rehearsal.expected))
}

async fn count(plan: &mut Plan, ports: &mut Ports<'_>) -> Result<(), Unanswered> {
    let counted = measure(plan, ports.database).await;
    counted.map_err(Unanswered::to("count what the plan takes away"))
}
