//! `sternway apply`

use sternway_engine::journey::prepare_plan;
use sternway_model::plan::Plan;

use super::journey::with_ports;
use crate::args::{ApplyArgs, Shared};
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
    let (target, manner) = (plan.target.clone(), setup.manner(&args.go));
    with_ports(&setup, &mut *database, &args.go, async |ports| {
        let journey = prepare_plan(plan, &manner, ports).await;
        journey.map_err(|cause| setup.to_prepare(&target, cause))
    })
    .await
}
