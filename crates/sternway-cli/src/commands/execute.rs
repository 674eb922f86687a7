//! What `apply`, `rollback` and `upgrade` have in common: show the plan, find out what it should lead
//! to, ask, execute, tell. `resume` and `abort` tell with it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sternway_database::{Database, DatabaseError, Done, Session};
use sternway_engine::rehearse::{
    Rehearsal, RehearsalError, expectations, measure, rehearse, with_effects,
};
use sternway_engine::run::{Outcome, Run, Watch, run};
use sternway_model::archive::{Kept, PutBack};
use sternway_model::catalog::Release;
use sternway_model::effect::{Loss, counted};
use sternway_model::plan::{Migrate, Plan, Step};
use sternway_model::proof::{Comparison, Expected};
use sternway_model::state::RecordsAccess;

use super::archive::warn;
use super::checks;
use super::fence;
use super::unfinished::act;
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
    fence::not_pooled(ui, database, &args.others).await?;
    let (expected, plan) = match rehearse(&setup.shadow(), &plan).await {
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
    // Not at the end: what this run keeps is young, and counting it would take its time.
    warn(setup, database).await?;
    checks::before(setup, plan, database).await?;
    ui.confirm(&question(plan), args.yes)?;
    let mut teller = Teller::new(ui, plan);
    let others = &args.others;
    let raised = fence::raise(setup, plan, database, others, &mut || teller.stop()).await?;
    let mut app = setup.app();
    let it = Run {
        expected: expected.as_deref(),
        lock_timeout: setup.lock_timeout(),
        limits: args.limits.limits(),
        retries: args.limits.lock_retries,
        app: app.as_deref_mut(),
        ..Run::of(plan)
    };
    let ran = run(it, database, &mut teller).await;
    let lowered = fence::lower(ui, database, raised).await;
    let ran = ran.map_err(|cause| Failure::to_run(plan.course, &plan.target, ui, cause))?;
    lowered?;
    told(setup, plan, &teller, ran, database, args.again).await
}

/// Tells how a run ended.
pub async fn told(
    setup: &Setup<'_>,
    plan: &Plan,
    teller: &Teller<'_>,
    outcome: Outcome,
    database: &mut dyn Database,
    again: bool,
) -> Result<Exit, Failure> {
    let ui = setup.ui;
    let format = "sternway.run/1";
    let (kept, put_back) = (&teller.kept, &teller.put_back);
    match outcome {
        Outcome::Arrived(proofs) => {
            let install = plan.hops.last().map(|hop| plan.clean_install(hop)).unwrap_or_default();
            let done = ui.good(&format!("{} to {}", plan.course.done(), plan.target));
            ui.say(match proofs.iter().all(Option::is_some) {
                true => format!("{done}; the schema is that of a clean install of {install}"),
                false => format!("{done}, unproven"),
            });
            let checks = &checks::after(setup, plan, database, again).await?;
            ui.json(&Ran { format, plan, outcome: "arrived", proofs, kept, put_back, checks });
            Ok(checks::told(ui, checks, Exit::Done))
        }
        Outcome::Interrupted { .. } => {
            let (done, of, course, target) = (teller.done, teller.of, plan.course, &plan.target);
            let way = match teller.records {
                true => "`sternway resume` goes on from there, `sternway abort` takes it back"
                    .to_owned(),
                false => format!("`sternway {course} --to {target}` goes on from there"),
            };
            ui.say(format!("interrupted after {done} of {of} steps; {way}"));
            ui.json(&Ran {
                format,
                plan,
                outcome: "interrupted",
                proofs: Vec::new(),
                kept,
                put_back,
                checks: &[],
            });
            Ok(Exit::Interrupted)
        }
        // Only an abort takes back.
        Outcome::TakenBack { .. } => Ok(Exit::Done),
    }
}

/// What each hop should lead to.
pub async fn expected(
    setup: &Setup<'_>,
    plan: &Plan,
    unproven: bool,
) -> Result<Option<Vec<Expected>>, Failure> {
    proof(setup.ui, expectations(&setup.shadow(), plan).await, unproven)
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
pub struct Teller<'a> {
    ui: &'a Ui,
    stop: Arc<AtomicBool>,
    done: usize,
    of: usize,
    /// Whether records are kept.
    records: bool,
    /// What was kept and put back so far.
    pub kept: Vec<Kept>,
    pub put_back: Vec<PutBack>,
}

impl<'a> Teller<'a> {
    pub fn new(ui: &'a Ui, plan: &Plan) -> Teller<'a> {
        let of = plan.steps().count();
        let (kept, put_back) = (Vec::new(), Vec::new());
        Teller { ui, stop: stop_on_signal(), done: 0, of, records: true, kept, put_back }
    }
}

impl Watch for Teller<'_> {
    fn begins(&mut self, _plan: &Plan, access: &RecordsAccess) {
        if let RecordsAccess::Unavailable(reason) = access {
            self.records = false;
            self.ui.note(format!("warning: no records are kept: {reason}"));
        }
    }

    fn ends(&mut self, step: &Migrate, took: Duration, did: &Done) {
        self.done += 1;
        let (done, of, track) = (self.done, self.of, &step.track);
        let milliseconds = took.as_secs_f64() * 1000.0;
        self.ui.say(format!("[{done}/{of}] {track}: {} ({milliseconds:.1} ms)", step.file));
        for Kept { id, lost, rows, estimated } in &did.kept {
            let about = if *estimated { "about " } else { "" };
            let rows = counted(*rows, "row");
            self.ui.say(format!("      kept {lost}: {about}{rows}, entry {id} of the archive"));
        }
        for PutBack { id, lost, restored } in &did.put_back {
            let back = counted(restored.back, "row");
            self.ui.say(format!("      put back {lost}: {back}, from entry {id} of the archive"));
            for misfit in &restored.misfits {
                self.ui.say(format!("      {} {misfit}", self.ui.alarm("not back:")));
            }
        }
        self.kept.extend(did.kept.iter().cloned());
        self.put_back.extend(did.put_back.iter().cloned());
    }

    fn blocked(&mut self, step: &Migrate, by: &[Session], pause: Duration) {
        let seconds = pause.as_secs_f64();
        let mut text = format!(
            "`{}` waits for a lock; what waits is not done, and is tried again in {seconds} s",
            step.file
        );
        for session in by {
            text.push_str(&format!("\n  held by {session}"));
        }
        self.ui.note(text);
    }

    fn acted(&mut self, step: &Step, undone: bool, took: Duration) {
        self.ui.say(format!("{} ({:.1} s)", act(step, undone), took.as_secs_f64()));
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

    fn goes_back(&mut self, reason: &str) {
        self.ui.say(format!("{} {reason}", self.ui.alarm("going back:")));
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
