//! The way back before the way there: what a later rollback to the present release would take.

use crate::catalog::Release;
use crate::plan::{Course, Facts, Note, Plan, PlanError, Request, plan};
use crate::state::{AppState, TrackState, TrackingRow};

/// What a rollback from where an upgrade arrives back to where it begins would do; `None` for a rollback, for
/// a journey that changes no schema, and where no release is known to come back to.
///
/// # Errors
/// Where the policy wants a way back and there is none, and where something is to be found out first.
pub fn way_back(
    facts: &Facts<'_>,
    asked: &Request,
    there: &Plan,
) -> Result<Option<Note>, PlanError> {
    let Some(present) = there.running.as_ref().or(there.schema_of.as_ref()) else {
        return Ok(None);
    };
    if there.course != Course::Upgrade || there.is_app_only() || *present >= there.target {
        return Ok(None);
    }
    let mut state = facts.state.clone();
    let ends = there.hops.last().map(|hop| &hop.ends_at);
    for (track, at) in ends.into_iter().flatten() {
        state.tracks.insert(track.clone(), TrackState::At(TrackingRow::clean(*at)));
    }
    // It has gone the way of this plan, whose words may be others than the target's.
    let mut findings = facts.findings.clone();
    for (track, met) in &there.migrations {
        findings.has(track, Some(&facts.lineage(track, met.iter().cloned().collect())));
    }
    let app = AppState { running: Some(there.target.clone()) };
    // The schema goes back too, even where the release would run on the new one.
    let request = Request {
        course: Some(Course::Rollback),
        reset_schema: true,
        accepted_hazards: facts.policy.hazards.iter().map(|it| it.name.clone()).collect(),
        ..Request::to(present.clone())
    };
    let Facts { catalog, bodies, policy, .. } = facts;
    let facts_then = Facts::new(catalog, bodies, &state, policy, &app, &findings);
    let cause = match plan(&facts_then, &request) {
        Ok(back) => return Ok(Some(told(present, &back, false))),
        Err(cause) => cause,
    };
    if cause.asks().is_some_and(|it| facts.findings.leaves_open(it)) {
        return Err(cause);
    }
    if let Ok(back) = plan(&facts_then, &Request { redo: true, ..request }) {
        return Ok(Some(told(present, &back, true)));
    }
    if facts.policy.require_way_back && !asked.no_way_back {
        return Err(PlanError::NoWayBack { to: present.clone(), cause: Box::new(cause) });
    }
    Ok(Some(Note::NoWayBack { to: present.clone(), reason: cause.to_string() }))
}

fn told(present: &Release, back: &Plan, redo: bool) -> Note {
    let steps = back.steps();
    let takes = steps.flat_map(|step| step.destroys.iter().map(|it| it.what.to_string())).collect();
    Note::WayBack { to: present.clone(), migrations: back.steps().count(), takes, redo }
}
