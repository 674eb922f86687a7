//! `sternway rollback` and `sternway upgrade`

use sternway_model::plan::Course;

use super::execute::execute;
use super::in_step::in_step;
use super::status::or_diagnosis;
use super::unfinished;
use crate::args::{ExecuteArgs, RollbackArgs, Shared, UpgradeArgs, WayArgs};
use crate::failure::{Exit, Failure};
use crate::ui::Ui;
use crate::wiring::Setup;

pub async fn rollback(ui: &Ui, shared: &Shared, args: &RollbackArgs) -> Result<Exit, Failure> {
    let way = WayArgs { reset_schema: args.reset_schema, adopt: false, discard: args.discard };
    go(&Setup::new(ui, shared)?, &args.to, Course::Rollback, way, args.go.clone()).await
}

pub async fn upgrade(ui: &Ui, shared: &Shared, args: &UpgradeArgs) -> Result<Exit, Failure> {
    let way = WayArgs { reset_schema: false, adopt: args.adopt, discard: args.discard };
    go(&Setup::new(ui, shared)?, &args.to, Course::Upgrade, way, args.go.clone()).await
}

async fn go(
    setup: &Setup<'_>,
    to: &str,
    course: Course,
    way: WayArgs,
    args: ExecuteArgs,
) -> Result<Exit, Failure> {
    let mut database = setup.connect().await?;
    unfinished::none(setup, &mut *database, args.abandon).await?;
    let known = setup.know(&mut *database).await?;
    let planned = known.plan(to, Some(course), way);
    let plan = or_diagnosis(planned, &known, &mut *database).await?;
    in_step(&known, &mut *database).await?;
    execute(setup, plan, &mut *database, args).await
}
