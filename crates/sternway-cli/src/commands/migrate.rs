//! `sternway rollback` and `sternway upgrade`

use sternway_model::plan::Course;

use super::execute::execute;
use crate::args::{GoArgs, Shared};
use crate::failure::{Exit, Failure};
use crate::ui::Ui;
use crate::wiring::Setup;

pub async fn rollback(ui: &Ui, shared: &Shared, args: &GoArgs) -> Result<Exit, Failure> {
    go(ui, shared, args, Course::Rollback).await
}

pub async fn upgrade(ui: &Ui, shared: &Shared, args: &GoArgs) -> Result<Exit, Failure> {
    go(ui, shared, args, Course::Upgrade).await
}

async fn go(ui: &Ui, shared: &Shared, args: &GoArgs, course: Course) -> Result<Exit, Failure> {
    let setup = Setup::new(ui, shared)?;
    let mut database = setup.connect().await?;
    let known = setup.know(&mut *database).await?;
    let plan = known.plan(&args.to, Some(course), args.way)?;
    execute(&setup, &plan, &mut *database, args.go).await
}
