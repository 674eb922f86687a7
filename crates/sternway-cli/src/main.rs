//! The binary `sternway`: arguments, rendering, progress and exit codes.

mod args;
mod config;
mod wiring;
mod commands;
mod migrate;
mod failure;
mod ui;
mod terminal;

use std::process::ExitCode;

use crate::args::{Arguments, Command};
use crate::commands::{
    abort, apply, archive, bundle, can_run, demo, doctor, history, job, journey, plan, releases,
    resume, runbook, snapshot, status,
};
use crate::failure::Failure;
use crate::ui::Ui;

fn main() -> ExitCode {
    sternway_deploy::leash::obey();
    sternway_database::failpoint::listen();
    if let Some(words) = migrate::words() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        return match runtime {
            Ok(runtime) => runtime.block_on(migrate::run(&words)).into(),
            Err(_) => migrate::End::Failed.into(),
        };
    }
    let arguments = Arguments::read();
    let ui = Ui::new(&arguments.shared);
    // What runs beside a command, such as a forward to the cluster, goes on while the command computes.
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let ended = match runtime {
        Ok(runtime) => runtime.block_on(run(&ui, arguments)),
        Err(error) => Err(Failure::of("cannot start", error)),
    };
    match ended {
        Ok(exit) => exit.into(),
        Err(failure) => ui.fail(failure),
    }
}

async fn run(ui: &Ui, arguments: Arguments) -> Result<failure::Exit, Failure> {
    let shared = &arguments.shared;
    match &arguments.command {
        Command::Demo(args) => demo::demo(ui, args).await,
        Command::Releases(args) => releases::releases(ui, shared, args).await,
        Command::Bundle(args) => bundle::bundle(ui, shared, args),
        Command::Status => status::status(ui, shared).await,
        Command::CanRun(args) => can_run::can_run(ui, shared, args).await,
        Command::Doctor(args) => doctor::doctor(ui, shared, args).await,
        Command::Plan(args) => plan::plan(ui, shared, args).await,
        Command::Runbook(args) => runbook::runbook(ui, shared, args).await,
        Command::Apply(args) => apply::apply(ui, shared, args).await,
        Command::Rollback(args) => journey::rollback(ui, shared, args).await,
        Command::Upgrade(args) => journey::upgrade(ui, shared, args).await,
        Command::Resume(args) => resume::resume(ui, shared, args).await,
        Command::Job(args) => job::job(ui, shared, args).await,
        Command::Abort(args) => abort::abort(ui, shared, args).await,
        Command::History => history::history(ui, shared).await,
        Command::Archive(args) => archive::archive(ui, shared, args).await,
        Command::Snapshot(args) => snapshot::snapshot(ui, shared, args).await,
        Command::Migrate(args) => {
            Ok(migrate::run(&migrate::with_settings(shared, &args.words)).await.into())
        }
    }
}
