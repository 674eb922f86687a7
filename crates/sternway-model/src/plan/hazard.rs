//! What no schema shows: borders between releases that a journey crosses.

use crate::catalog::Release;
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
    let crossed = facts.policy.hazards.iter().filter(|it| it.lies_between(from, &plan.target));
    let mut notes = Vec::new();
    for Hazard { name, between, refuses, message } in crossed {
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

impl Hazard {
    /// Whether a journey from one release to the other crosses the border, in either direction. A release
    /// that lies on the border itself may be on either side, and counts as on the other one.
    pub(super) fn lies_between(&self, from: &Release, to: &Release) -> bool {
        let (older, newer) = (from.min(to), from.max(to));
        let (below, above) = &self.between;
        (older <= below && newer > below) || (older < above && newer >= above)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_border_is_crossed_in_either_direction() {
        let release = |text: &str| text.parse::<Release>().expect(text);
        let hazard = Hazard {
            name: "rows".to_owned(),
            between: (release("0.10.0-rc3"), release("0.11.0")),
            refuses: true,
            message: String::new(),
        };
        let crosses = |from: &str, to: &str| hazard.lies_between(&release(from), &release(to));
        assert!(crosses("0.10.0-rc3", "0.11.0") && crosses("0.11.0", "0.9.12"));
        assert!(!crosses("0.9.12", "0.10.0-rc3") && !crosses("0.11.0", "0.12.1"));
        assert!(crosses("0.11.0-beta1", "0.10.0-rc3"), "nobody says on which side a beta is");
        assert!(crosses("0.11.0-beta1", "0.11.0"));
        assert!(!crosses("0.11.0", "0.11.0"));
    }
}
