//! `sternway rollback` and `sternway upgrade`

use sternway_database::Database;
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
    let look = async |database: &mut dyn Database| {
        let known = setup.know(database).await?;
        let plan = or_diagnosis(known.plan(to, Some(course), way), &known, database).await?;
        in_step(&known, database).await?;
        Ok(plan)
    };
    let plan = match look(&mut *database).await {
        // A track looks like that too while its migrator is at work: under the locks none is.
        Err(Failure { exit: Exit::Dirty | Exit::Drift, .. }) => {
            unfinished::under_locks(setup, &mut *database, look).await?
        }
        looked => looked?,
    };
    execute(setup, plan, &mut *database, args).await
}
