//! What is done around the migrations: the checks, the application, the fence, the snapshot.
//!
//! The application stops first, so that whoever is left behind the fence is somebody else; and the
//! fence is down again before anything is put in place or started, because what starts connects. No
//! release in between is started: it would only be stopped again.

use crate::catalog::Release;
use crate::check::When;
use crate::fence::FenceRequest;
use crate::plan::applied::Applied;
use crate::plan::error::PlanError;
use crate::plan::{Facts, Plan, Step};
use crate::policy::SnapshotRequest;

/// What is known of the application that is moved as well.
pub(super) struct Deployment {
    /// The release that runs; none where nothing is installed yet.
    from: Option<Release>,
}

impl Deployment {
    /// # Errors
    /// Where something is installed, and nothing says which release runs.
    pub fn of(facts: &Facts<'_>, applied: &Applied<'_>) -> Result<Deployment, PlanError> {
        let from = facts.app.running.clone();
        let installed = !applied.is_empty();
        match from.is_none() && installed {
            true => Err(PlanError::RunningUnknown),
            false => Ok(Deployment { from }),
        }
    }
}

/// The request, with the roles of those who were connected where it names none: once the application
/// is stopped nobody could tell any more whom to keep out.
pub(super) fn for_whom(request: Option<&FenceRequest>, facts: &Facts<'_>) -> Option<FenceRequest> {
    let request = request.filter(|it| !it.is_nothing())?;
    if request.mode.is_none() || !request.roles.is_empty() {
        return Some(request.clone());
    }
    let roles = facts.state.clients.iter().cloned().collect();
    Some(FenceRequest { roles, others: true, ..request.clone() })
}

/// Puts a plan's migrations and proofs into their frame.
pub(super) fn frame(
    plan: &mut Plan,
    app: Option<&Deployment>,
    fence: Option<FenceRequest>,
    snapshot: Option<SnapshotRequest>,
) {
    let (before, after) =
        [When::Before, When::After].map(|at| plan.checks_at(at).next().is_some()).into();
    // Where the schema stays as it is nobody is kept out.
    let fence = fence.filter(|_| !plan.is_app_only());
    let stops = app.is_some_and(|app| app.from.is_some());
    let mut first = Vec::new();
    if before {
        first.push(Step::Check { at: When::Before });
    }
    if stops {
        first.push(Step::Stop);
    }
    let falls = fence.as_ref().is_some_and(|it| it.mode.is_some());
    let quiet = stops || fence.is_some();
    first.extend(fence.map(Step::Fence));
    if before && quiet && !plan.is_app_only() {
        // What was so while the application still wrote need not be so now.
        first.push(Step::Check { at: When::Before });
    }
    // Of what is there once nobody writes any more.
    first.extend(snapshot.filter(|_| !plan.is_app_only()).map(Step::Snapshot));
    let mut last = Vec::new();
    if falls {
        last.push(Step::Unfence);
    }
    if let Some(app) = app {
        let target = plan.target.clone();
        if app.from.as_ref() != Some(&target) {
            last.push(Step::Swap { from: app.from.clone(), to: target.clone() });
        }
        last.push(Step::Start { release: target });
    }
    if after {
        last.push(Step::Check { at: When::After });
    }
    if let Some(hop) = plan.hops.first_mut() {
        hop.steps.splice(0..0, first);
    }
    if let Some(hop) = plan.hops.last_mut() {
        hop.steps.extend(last);
    }
}

impl Plan {
    /// The plan with another fence, or with none: for who approves it.
    pub fn with_fence(mut self, fence: Option<FenceRequest>) -> Plan {
        let app = self.deploys().then(|| {
            let from = self.all_steps().find_map(|(_, step)| match step {
                Step::Swap { from, .. } => Some(from.clone()),
                Step::Stop => Some(self.running.clone()),
                _ => None,
            });
            Deployment { from: from.flatten() }
        });
        let snapshot = self.all_steps().find_map(|(_, step)| match step {
            Step::Snapshot(request) => Some(*request),
            _ => None,
        });
        for hop in &mut self.hops {
            hop.steps.retain(|step| {
                matches!(step, Step::Migrate(_) | Step::Rebuild { .. } | Step::Prove)
            });
        }
        let fence = fence.filter(|it| !it.is_nothing());
        let fence = fence.map(|it| FenceRequest { others: it.roles.is_empty(), ..it });
        frame(&mut self, app.as_ref(), fence, snapshot);
        self
    }
}
