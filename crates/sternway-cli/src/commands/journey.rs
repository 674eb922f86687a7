//! `sternway rollback` and `sternway upgrade`

use sternway_database::Database;
use sternway_model::plan::{Course, Plan};

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
    let plan = planned(setup, &mut *database, to, Some(course), way).await?;
    execute(setup, plan, &mut *database, args).await
}

/// The way to a release from where the database is.
pub async fn planned(
    setup: &Setup<'_>,
    database: &mut dyn Database,
    to: &str,
    course: Option<Course>,
    way: WayArgs,
) -> Result<Plan, Failure> {
    let look = async |database: &mut dyn Database, diagnoses: bool| {
        let known = setup.know(database).await?;
        let plan = known.plan(to, course, way);
        let plan = match diagnoses {
            true => or_diagnosis(plan, &known, database).await?,
            false => plan?,
        };
        in_step(&known, database).await?;
        Ok(plan)
    };
    match look(database, false).await {
        // A track looks like that too while its migrator is at work: under the locks none is. What it
        // has locked itself could not be diagnosed either.
        Err(Failure { exit: Exit::Dirty | Exit::Drift, .. }) => {
            let look = async |database: &mut dyn Database| look(database, true).await;
            unfinished::under_locks(setup, database, look).await
        }
        looked => looked,
    }
}
