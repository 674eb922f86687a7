//! What no schema shows: borders between releases that a journey crosses.

use crate::plan::{Facts, Note, Plan, PlanError, Request};
use crate::policy::Hazard;

/// The notes about the borders that a journey crosses, in the order of the policy.
///
/// # Errors
/// Where the policy forbids one and nobody accepted it by its name.
pub(super) fn crossed(
    facts: &Facts<'_>,
    request: &Request,
    plan: &Plan,
) -> Result<Vec<Note>, PlanError> {
    let Some(from) = plan.running.as_ref().or(plan.schema_of.as_ref()) else {
        return Ok(Vec::new());
    };
    let mut notes = Vec::new();
    for Hazard { name, between, refuses, message } in
        facts.policy.hazards_between(from, &plan.target)
    {
        let accepted = request.accepted_hazards.contains(name);
        if *refuses && !accepted {
            return Err(PlanError::Hazard {
                name: name.clone(),
                between: between.clone(),
                message: message.clone(),
            });
        }
        let (name, message) = (name.clone(), message.clone());
        notes.push(Note::Hazard { name, message, accepted });
    }
    Ok(notes)
}
