//! `sternway apply`

use sternway_model::plan::Plan;

use super::execute::execute;
use super::in_step::plan_in_step;
use super::unfinished;
use crate::args::{ApplyArgs, Shared};
use crate::failure::{Exit, Failure};
use crate::ui::Ui;
use crate::wiring::Setup;

pub async fn apply(ui: &Ui, shared: &Shared, args: &ApplyArgs) -> Result<Exit, Failure> {
    let file = args.plan.display().to_string();
    let text = std::fs::read_to_string(&args.plan);
    let text =
        text.map_err(|error| Failure::usage(format!("cannot read the plan in {file}"), error))?;
    let plan = Plan::from_json(&text).map_err(|cause| Failure::to_read_plan(&file, cause))?;
    let setup = Setup::new(ui, shared)?;
    if plan.app != setup.config.layout.app {
        let text = format!(
            "the plan is for {}, the settings are for {}",
            plan.app, setup.config.layout.app
        );
        return Err(
            Failure::new(text, Exit::Usage).hint("give the settings that the plan was made with")
        );
    }
    let mut database = setup.connect().await?;
    unfinished::none(&setup, &mut *database, args.go.abandon).await?;
    plan_in_step(&setup, &plan, &mut *database).await?;
    execute(&setup, plan, &mut *database, args.go.clone()).await
}
