//! What `apply`, `rollback` and `upgrade` have in common: show the plan, find out what it should lead
//! to, ask, execute, tell.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sternway_database::{Database, DatabaseError};
use sternway_engine::rehearse::{Rehearsal, RehearsalError, measure, rehearse, with_effects};
use sternway_engine::run::{Outcome, RunError, Watch, run};
use sternway_model::catalog::Release;
use sternway_model::effect::{Loss, counted};
use sternway_model::plan::{Migrate, Plan};
use sternway_model::proof::{Comparison, Expected};
use sternway_model::state::RecordsAccess;

use super::archive::warn;
use crate::args::ExecuteArgs;
use crate::failure::{Exit, Failure};
use crate::output::Ran;
use crate::ui::Ui;
use crate::wiring::Setup;

/// Executes `plan`. What its steps change is found out before, unless the plan says it already: then
/// that is what somebody agreed to.
pub async fn execute(
    setup: &Setup<'_>,
    plan: Plan,
    database: &mut dyn Database,
    args: ExecuteArgs,
) -> Result<Exit, Failure> {
    let ui = setup.ui;
    let (expected, plan) = match rehearse(&setup.bench(), &plan).await {
        Ok(Rehearsal { expected, effects }) => {
            let known = plan.steps().any(|step| step.effects.is_some());
            let mut plan = if known { plan } else { with_effects(plan, effects) };
            if !known {
                measure(&mut plan, database).await.map_err(to_measure)?;
            }
            (Ok(expected), plan)
        }
        Err(error) => (Err(error), plan),
    };
    let plan = &plan;
    ui.say(ui.plan(&plan.to_string()).trim_end());
    let expected = proof(ui, expected, args.unproven)?;
    ui.confirm(&question(plan), args.yes)?;
    let mut watch = Progress { ui, stop: stop_on_signal(), done: 0, of: plan.steps().count() };
    let ran = run(plan, expected.as_deref(), database, setup.patience(), &mut watch).await;
    let outcome = ran.map_err(|cause| {
        if let RunError::Drift { comparison, .. } = &cause {
            ui.say(comparison_text(ui, comparison).trim_end());
        }
        Failure::to_run(plan.course, &plan.target, cause)
    })?;
    let format = "sternway.run/1";
    match outcome {
        Outcome::Arrived(proofs) => {
            let install = plan.hops.last().map(|hop| plan.clean_install(hop)).unwrap_or_default();
            let done = ui.good(&format!("{} to {}", plan.course.done(), plan.target));
            ui.say(match proofs.iter().all(Option::is_some) {
                true => format!("{done}; the schema is that of a clean install of {install}"),
                false => format!("{done}, unproven"),
            });
            ui.json(&Ran { format, plan, outcome: "arrived", proofs });
            warn(setup, database).await?;
            Ok(Exit::Done)
        }
        Outcome::Interrupted { .. } => {
            let (done, of, course, target) = (watch.done, watch.of, plan.course, &plan.target);
            ui.say(format!(
                "interrupted after {done} of {of} steps; `sternway {course} --to {target}` goes on from there"
            ));
            ui.json(&Ran { format, plan, outcome: "interrupted", proofs: Vec::new() });
            Ok(Exit::Interrupted)
        }
    }
}

/// What was rehearsed, or why the run goes on without a proof.
fn proof(
    ui: &Ui,
    expected: Result<Vec<Expected>, RehearsalError>,
    unproven: bool,
) -> Result<Option<Vec<Expected>>, Failure> {
    match expected {
        Ok(expected) => {
            let last = expected.last().and_then(|it| it.journey.as_ref().map(|to| (it, to)));
            if let Some((expected, journey)) = last {
                ui.say("The application's own migrations do not lead to a clean install:");
                for difference in sternway_model::proof::differences(&expected.clean, journey) {
                    ui.say(format!("  {difference}"));
                }
            }
            Ok(Some(expected))
        }
        Err(error) if unproven => {
            let (text, causes, _) = Failure::to_rehearse(error).parts();
            ui.note(format!("warning: {text}: {}", causes.join(": ")));
            Ok(None)
        }
        Err(error) => Err(Failure::to_rehearse(error)),
    }
}

pub fn to_measure(cause: DatabaseError) -> Failure {
    Failure::to_ask("cannot count what the plan takes away", cause)
}

/// What is asked before anything is changed, with the numbers of what is lost for good.
fn question(plan: &Plan) -> String {
    if plan.is_app_only() {
        return "The schema stays as it is. Prove it and record the journey?".to_owned();
    }
    let go = format!("Go ahead with {}?", counted(plan.steps().count() as u64, "step"));
    if plan.keeps {
        return go;
    }
    let lost: Vec<&Loss> = plan.losses().filter(|loss| loss.rows != Some(0)).collect();
    let known = plan.steps().all(|step| step.effects.is_some());
    match (lost.as_slice(), known) {
        ([], true) => go,
        ([], false) => format!("Whatever the steps take away is LOST for good. {go}"),
        (lost, _) => {
            let lost: Vec<String> = lost.iter().map(ToString::to_string).collect();
            format!("LOST for good: {}. {go}", lost.join("; "))
        }
    }
}

/// Becomes true at the first SIGINT or SIGTERM; the second one ends the process. What is under way
/// then is taken back by the server, or finished by it.
fn stop_on_signal() -> Arc<AtomicBool> {
    let stop = Arc::new(AtomicBool::new(false));
    #[cfg(unix)]
    for kind in
        [tokio::signal::unix::SignalKind::interrupt(), tokio::signal::unix::SignalKind::terminate()]
    {
        let stop = Arc::clone(&stop);
        let Ok(mut signal) = tokio::signal::unix::signal(kind) else { continue };
        tokio::spawn(async move {
            while signal.recv().await.is_some() {
                if stop.swap(true, Ordering::SeqCst) {
                    std::process::exit(Exit::Interrupted as i32);
                }
            }
        });
    }
    stop
}

/// Tells how a run goes.
struct Progress<'a> {
    ui: &'a Ui,
    stop: Arc<AtomicBool>,
    done: usize,
    of: usize,
}

impl Watch for Progress<'_> {
    fn begins(&mut self, _plan: &Plan, access: &RecordsAccess) {
        if let RecordsAccess::Unavailable(reason) = access {
            self.ui.note(format!("warning: no records are kept: {reason}"));
        }
    }

    fn ends(&mut self, step: &Migrate, took: Duration) {
        self.done += 1;
        let (done, of, track) = (self.done, self.of, &step.track);
        let milliseconds = took.as_secs_f64() * 1000.0;
        self.ui.say(format!("[{done}/{of}] {track}: {} ({milliseconds:.1} ms)", step.file));
    }

    fn proved(&mut self, release: &Release, comparison: &Comparison) {
        if comparison.holds() {
            self.ui.say(format!("{} {release}: the schema is proved", self.ui.good("ok")));
            let text = comparison_text(self.ui, comparison);
            if !text.is_empty() {
                self.ui.say(text.trim_end());
            }
        }
    }

    fn stop(&mut self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }
}

/// What a comparison found, a line each; empty where there is nothing to tell.
pub fn comparison_text(ui: &Ui, comparison: &Comparison) -> String {
    let mut text = String::new();
    for difference in &comparison.drift {
        text.push_str(&format!("  {} {difference}\n", ui.alarm("drift:")));
    }
    for difference in &comparison.of_the_migrations {
        text.push_str(&format!("  the application's own migrations: {difference}\n"));
    }
    for object in &comparison.foreign {
        text.push_str(&format!("  foreign, left alone: {object}\n"));
    }
    for table in &comparison.reordered {
        text.push_str(&format!("  columns in another order: {table}\n"));
    }
    text
}
