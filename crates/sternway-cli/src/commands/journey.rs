//! `sternway rollback` and `sternway upgrade`, and what `apply` has in common with them.

use sternway_database::Database;
use sternway_engine::gather::Source;
use sternway_engine::journey::{Journey, JourneyError, Manner, Ports, prepare, travel};
use sternway_engine::run::Outcome;
use sternway_engine::snapshot::Snapshots;
use sternway_model::plan::{Course, Plan};
use sternway_view::run::{CheckRow, Ran, arrived, interrupted, question};

use super::archive::warn;
use super::snapshot::{Taker, estimated};
use crate::args::{ExecuteArgs, RollbackArgs, Shared, UpgradeArgs, WayArgs};
use crate::failure::{Exit, Failure};
use crate::terminal::{Asker, Terminal};
use crate::ui::Ui;
use crate::wiring::Setup;

pub async fn rollback(ui: &Ui, shared: &Shared, args: &RollbackArgs) -> Result<Exit, Failure> {
    let way =
        WayArgs { reset_schema: args.reset_schema, adopt: false, consent: args.consent.clone() };
    let setup = Setup::new(ui, shared)?.found().await?;
    let mut database = setup.connect().await?;
    go(&setup, &mut *database, &args.to, Course::Rollback, way, &args.go).await
}

pub async fn upgrade(ui: &Ui, shared: &Shared, args: &UpgradeArgs) -> Result<Exit, Failure> {
    let way = WayArgs { reset_schema: false, adopt: args.adopt, consent: args.consent.clone() };
    let setup = Setup::new(ui, shared)?.found().await?;
    let mut database = setup.connect().await?;
    go(&setup, &mut *database, &args.to, Course::Upgrade, way, &args.go).await
}

/// Plans a journey, and makes it.
pub async fn go(
    setup: &Setup<'_>,
    database: &mut dyn Database,
    to: &str,
    course: Course,
    way: WayArgs,
    args: &ExecuteArgs,
) -> Result<Exit, Failure> {
    let request = setup.request(to, Some(course), &way, &args.others)?;
    let request = estimated(setup, request).await?;
    let (settings, manner) = (setup.settings()?, setup.manner(args));
    with_ports(setup, database, args, async |ports| {
        let journey = prepare(&settings, &request, &manner, ports).await;
        journey.map_err(|cause| setup.to_prepare(&request.target, cause))
    })
    .await
}

/// Makes the journey that `prepared` returns: shows it, asks, and tells how it ended.
pub async fn with_ports(
    setup: &Setup<'_>,
    database: &mut dyn Database,
    args: &ExecuteArgs,
    prepared: impl AsyncFnOnce(&mut Ports<'_>) -> Result<Journey, Failure>,
) -> Result<Exit, Failure> {
    let (mut source, mut app, shadow) = (setup.source(), setup.app(), setup.shadow());
    let mut terminal = Terminal::new(setup.ui);
    let mut asker = Asker::new(&terminal, args.yes);
    let mut taker = Taker::of(setup)?;
    let mut ports = Ports {
        source: source.as_mut().map(|it| it as &mut dyn Source),
        database,
        app: app.as_deref_mut(),
        snapshots: taker.as_mut().map(|it| it as &mut dyn Snapshots),
        shadow: &shadow,
        observer: &mut terminal,
    };
    let journey = prepared(&mut ports).await?;
    show(setup.ui, &journey);
    // Not at the end: what this run keeps is young, and counting it would take its time.
    warn(setup, ports.database).await?;
    let approve = |journey: &Journey| asker.approve(&question(journey.plan()));
    let plan = journey.plan().clone();
    match travel(journey, &setup.manner(args), approve, &mut ports).await {
        Ok((_, outcome)) => Ok(report(setup.ui, &plan, &terminal, outcome)),
        Err(JourneyError::NotApproved) => Err(asker.denied()),
        Err(cause) => Err(Failure::to_travel(setup.ui, &plan, cause)),
    }
}

/// Shows what is asked about.
fn show(ui: &Ui, journey: &Journey) {
    ui.say(ui.plan(&journey.plan().to_string()).trim_end());
    if let Err(error) = journey.expected() {
        let cause = sternway_view::error::in_a_line(error);
        ui.note(format!("warning: cannot tell what the plan should lead to: {cause}"));
    }
}

/// Tells how a run ended that goes to the end of its plan.
pub fn report(ui: &Ui, plan: &Plan, terminal: &Terminal<'_>, outcome: Outcome) -> Exit {
    let reporter = &terminal.reporter;
    let (kept, put_back) = (&reporter.kept, &reporter.put_back);
    let ran = |outcome, proofs, checks| {
        let format = "sternway.run/1";
        Ran { format, plan, outcome, proofs, kept, put_back, checks, away: reporter.away }
    };
    match outcome {
        Outcome::Arrived { proofs, findings } => {
            ui.say(arrived(ui.paint(), plan, &proofs));
            let checks: Vec<CheckRow> = findings.iter().map(CheckRow::of).collect();
            ui.json(&ran("arrived", proofs, &checks));
            for finding in findings.iter().filter(|it| !it.holds) {
                ui.say(sternway_view::event::finding(ui.paint(), finding).trim_end());
            }
            match findings.iter().any(sternway_model::check::Finding::is_refusal) {
                true => Exit::Failed,
                false => Exit::Done,
            }
        }
        Outcome::Interrupted { .. } => {
            let (done, of) = (reporter.done, reporter.of);
            ui.say(interrupted(plan, done, of, !reporter.without_records));
            ui.json(&ran("interrupted", Vec::new(), &[]));
            Exit::Interrupted
        }
        // Only an abort takes back.
        Outcome::TakenBack { .. } => Exit::Done,
    }
}

impl Setup<'_> {
    /// How a journey is made.
    pub fn manner(&self, args: &ExecuteArgs) -> Manner {
        Manner {
            lock_timeout: self.lock_timeout(),
            limits: args.limits.limits(),
            retries: args.limits.lock_retries,
            unproven: args.unproven,
            abandon: args.abandon,
            through_pooler: args.others.through_pooler,
            again: args.again,
            ..Manner::default()
        }
    }
}
