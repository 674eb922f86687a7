//! `sternway apply`

use sternway_database::Database;
use sternway_engine::journey::prepare_plan;
use sternway_model::journal::Progress;
use sternway_model::plan::Plan;

use super::abort::abort;
use super::journey::with_ports;
use super::resume::resume;
use crate::args::{AbortArgs, ApplyArgs, EndArgs, ResumeArgs, Shared};
use crate::failure::{Exit, Failure};
use crate::ui::Ui;
use crate::wiring::Setup;

pub async fn apply(ui: &Ui, shared: &Shared, args: &ApplyArgs) -> Result<Exit, Failure> {
    let file = args.plan.display().to_string();
    let text = std::fs::read_to_string(&args.plan);
    let text =
        text.map_err(|error| Failure::usage(format!("cannot read the plan in {file}"), error))?;
    let mut plan = Plan::from_json(&text).map_err(|cause| Failure::to_read_plan(&file, cause))?;
    let setup = Setup::new(ui, shared)?.found().await?;
    if plan.app != setup.config.layout.app {
        let text = format!(
            "the plan is for {}, the settings are for {}",
            plan.app, setup.config.layout.app
        );
        return Err(
            Failure::new(text, Exit::Usage).hint("give the settings that the plan was made with")
        );
    }
    // The plan's own fence, unless another one is asked for here: it is shown before anybody is asked.
    if let Some(fence) = args.go.others.request() {
        plan = plan.with_fence(Some(fence));
    }
    let mut database = setup.connect().await?;
    if args.or_resume
        && let Some(exit) = begun(&setup, &plan, args, &mut *database).await?
    {
        return Ok(exit);
    }
    let (target, manner) = (plan.target.clone(), setup.manner(&args.go));
    with_ports(&setup, &mut *database, &args.go, async |ports| {
        let journey = prepare_plan(plan, &manner, ports).await;
        journey.map_err(|cause| setup.to_prepare(&target, cause))
    })
    .await
}

/// Goes on with the last run of this very plan, where there is one that does not end with nothing done.
async fn begun(
    setup: &Setup<'_>,
    plan: &Plan,
    args: &ApplyArgs,
    database: &mut dyn Database,
) -> Result<Option<Exit>, Failure> {
    let digest = plan.digest();
    let runs = database.history(&plan.app).await;
    let runs = runs.map_err(|cause| Failure::of("cannot read the history", cause))?;
    let Some(run) = runs.into_iter().find(|it| it.plan == digest) else { return Ok(None) };
    let go = EndArgs {
        yes: args.go.yes,
        // Whoever ran it before is gone, or is to be.
        end_orphans: true,
        limits: args.go.limits,
        ..EndArgs::default()
    };
    let (ui, shared) = (setup.ui, setup.shared);
    match run.progress {
        Progress::Abandoned => Ok(None),
        Progress::Finished => {
            ui.say(format!("run {} of this plan has arrived at {}", run.id, plan.target));
            Ok(Some(Exit::Done))
        }
        Progress::Aborted => {
            let text = format!("run {} of this plan was taken back", run.id);
            Err(Failure::new(text, Exit::Refused).hint("mend what it failed at, and plan again"))
        }
        Progress::Aborting { .. } => abort(ui, shared, &AbortArgs { go }).await.map(Some),
        Progress::Before { .. }
        | Progress::InDoubt { .. }
        | Progress::Failed { .. }
        | Progress::Interrupted { .. } => {
            let args = ResumeArgs { unproven: args.go.unproven, accept_difference: Vec::new(), go };
            resume(ui, shared, &args).await.map(Some)
        }
    }
}
