//! A whole journey, from the facts to the end: what every edge asks for, approves and watches.
//!
//! [`prepare`] gathers the facts, plans, looks for what forbids the journey, and rehearses it. The
//! [`Journey`] that comes of it is final: [`travel`] shows it to whoever approves, and executes just
//! that. [`resume`] and [`abort`] end a run that was cut short. Nothing here looks at a terminal.

mod error;
mod rehearsed;

use std::time::Duration;

use sternway_database::{Database, DatabaseError, Limits, Unfinished};
use sternway_model::app::App;
use sternway_model::check::When;
use sternway_model::journal::Progress;
use sternway_model::plan::{Plan, PlanError, Request};
use sternway_model::proof::Expected;

pub use self::error::JourneyError;
pub use self::rehearsed::with_numbers;
use self::rehearsed::{nothing_forbidden, rehearsed};
use crate::check;
use crate::consent::can_be_kept;
use crate::deviation::with_deviation;
use crate::event::{Event, Observer};
use crate::gather::{Settings, Source, gather};
use crate::identity::{planned, resolve};
use crate::observe::tables;
use crate::preflight::{
    UnfinishedRun, none_unfinished, not_pooled, plan_in_step, rows_in_step, unfinished,
};
use crate::rehearse::expectations;
use crate::run::{self, Clear, Outcome, Run, RunError};
use crate::shadow::{Checkpoints, RehearsalError, Shadow, checkpoints};
use crate::snapshot::Snapshots;
use crate::status::look_into_dirty;
use crate::unanswered::Unanswered;

/// The ways to the outside that a journey needs.
pub struct Ports<'p> {
    /// Where the catalog is read from; without it, from what the database carries.
    pub source: Option<&'p mut dyn Source>,
    /// The database.
    pub database: &'p mut dyn Database,
    /// The application, where it is moved as well.
    pub app: Option<&'p mut (dyn App + 'static)>,
    /// Who takes a snapshot, where the plan has one.
    pub snapshots: Option<&'p mut dyn Snapshots>,
    /// Where what should be is found out.
    pub shadow: &'p Shadow,
    /// Who is told, and may ask to stop.
    pub observer: &'p mut dyn Observer,
}

/// How a journey is made.
#[derive(Debug, Clone)]
pub struct Manner {
    /// How long to wait for another migrator to finish.
    pub lock_timeout: Duration,
    /// How long a statement of a migration may wait for a lock, and run.
    pub limits: Limits,
    /// How often a migration is tried again that had to wait for longer.
    pub retries: u32,
    /// Go on where no clean install can be made to prove the result against.
    pub unproven: bool,
    /// Leave an unfinished run as it is, for good.
    pub abandon: bool,
    /// Go on through a proxy that shares the connection by transaction.
    pub through_pooler: bool,
    /// The differences from the promised schema, by name, that a run which is resumed may end with.
    pub accepted: Vec<String>,
    /// Run a migration's up half again where a check finds rows that it mends.
    pub again: bool,
    /// End a session that a killed Sternway left behind with the locks.
    pub end_orphans: bool,
    /// What is done about the sessions of others where a fence goes up again.
    pub clear: Clear,
}

impl Default for Manner {
    /// Waits 15 s for another migrator and 5 s for a lock, and asks for nothing special.
    fn default() -> Self {
        Manner {
            lock_timeout: Duration::from_secs(15),
            limits: Limits { lock: Some(Duration::from_secs(5)), statement: None },
            retries: 5,
            unproven: false,
            abandon: false,
            through_pooler: false,
            accepted: Vec::new(),
            again: false,
            end_orphans: false,
            clear: Clear::default(),
        }
    }
}

/// A journey that was planned and rehearsed. Nothing changes it any more.
#[derive(Debug)]
pub struct Journey {
    plan: Plan,
    proof: Result<Vec<Expected>, RehearsalError>,
}

impl Journey {
    /// The plan, with what its steps change and how much they take away.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// What each hop leads to; or why that is not known, and nothing will be proved.
    ///
    /// # Errors
    /// Where no clean install could be made.
    pub fn expected(&self) -> Result<&[Expected], &RehearsalError> {
        self.proof.as_deref()
    }
}

/// What becomes of a journey that somebody was asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Approval {
    /// It is made.
    Given,
    /// It is not.
    Denied,
}

/// Plans the way to a release from where the database is, and rehearses it.
///
/// # Errors
/// Every refusal; nothing was touched.
pub async fn prepare(
    settings: &Settings,
    request: &Request,
    manner: &Manner,
    ports: &mut Ports<'_>,
) -> Result<Journey, JourneyError> {
    let tables = tables(&settings.tracks);
    let (time, abandon) = (manner.lock_timeout, manner.abandon);
    none_unfinished(ports.database, &settings.app, &tables, time, abandon, ports.observer).await?;
    let plan = way(settings, request, time, ports).await?;
    let plan = with_deviation(plan, ports.shadow, ports.database).await?;
    not_pooled(ports.database, manner.through_pooler, ports.observer).await?;
    let plan = with_deployment(plan, ports.app.as_deref_mut()).await?;
    rehearsed(plan, manner, ports).await
}

/// Makes a journey of a plan that was made before.
///
/// # Errors
/// Every refusal; nothing was touched.
pub async fn prepare_plan(
    plan: Plan,
    manner: &Manner,
    ports: &mut Ports<'_>,
) -> Result<Journey, JourneyError> {
    let (time, abandon) = (manner.lock_timeout, manner.abandon);
    none_unfinished(ports.database, &plan.app, &plan.tables, time, abandon, ports.observer).await?;
    plan_in_step(&plan, ports.shadow, ports.database).await?;
    let plan = match plan.basis.fingerprint {
        Some(_) => plan,
        None => with_deviation(plan, ports.shadow, ports.database).await?,
    };
    not_pooled(ports.database, manner.through_pooler, ports.observer).await?;
    let found = with_deployment(plan.clone(), ports.app.as_deref_mut()).await?;
    let moved = plan.deployment.moved(&found.deployment);
    if !moved.is_empty() {
        return Err(JourneyError::DeploymentMoved(moved));
    }
    // What was approved stays as it is.
    let plan = if plan.deployment.is_empty() { found } else { plan };
    rehearsed(plan, manner, ports).await
}

/// The plan with what the application's acts would meet and do.
///
/// # Errors
/// Where something is known to stop one of them.
pub async fn with_deployment(
    plan: Plan,
    app: Option<&mut (dyn App + 'static)>,
) -> Result<Plan, JourneyError> {
    let Some(app) = app.filter(|_| plan.deploys()) else { return Ok(plan) };
    let surveyed = app.survey(plan.running.as_ref(), &plan.target).await;
    let deployment = surveyed.map_err(JourneyError::App)?;
    Ok(Plan { deployment, ..plan })
}

/// The plan of the way to a release, from facts that are read now.
///
/// A track that is dirty or out of step looks so too while its migrator is at work: then it is looked
/// again once no migrator is.
///
/// # Errors
/// Every refusal that needs no rehearsal.
pub async fn way(
    settings: &Settings,
    request: &Request,
    lock_timeout: Duration,
    ports: &mut Ports<'_>,
) -> Result<Plan, JourneyError> {
    match look(settings, request, ports).await {
        Err(error) if error.may_be_passing() => {}
        looked => return looked,
    }
    ports.database.lock(&tables(&settings.tracks), lock_timeout).await?;
    let looked = look_closer(settings, request, ports).await;
    let unlocked = ports.database.unlock().await;
    let plan = looked?;
    unlocked?;
    Ok(plan)
}

/// As [`look`], where no migrator is at work. What its migrator has locked itself could not be looked
/// into before.
async fn look_closer(
    settings: &Settings,
    request: &Request,
    ports: &mut Ports<'_>,
) -> Result<Plan, JourneyError> {
    match look(settings, request, ports).await {
        Err(JourneyError::Plan { cause: cause @ PlanError::Dirty { .. }, gathered, .. }) => {
            let dirty = look_into_dirty(&gathered.facts(), ports.shadow, ports.database).await?;
            Err(JourneyError::Plan { cause, gathered, dirty: Some(Box::new(dirty)) })
        }
        looked => looked,
    }
}

async fn look(
    settings: &Settings,
    request: &Request,
    ports: &mut Ports<'_>,
) -> Result<Plan, JourneyError> {
    let (source, app) = (ports.source.as_deref_mut(), ports.app.as_deref_mut());
    let mut gathered = gather(settings, source, ports.database, app, ports.observer).await?;
    resolve(&mut gathered, ports.shadow, ports.database).await?;
    match planned(&mut gathered, request, ports.shadow).await {
        Ok(plan) => {
            rows_in_step(&gathered.facts(), ports.shadow, ports.database).await?;
            Ok(plan)
        }
        Err(cause) => Err(JourneyError::Plan { cause, gathered: Box::new(gathered), dirty: None }),
    }
}

/// Asks for approval of a journey, and makes it.
///
/// # Errors
/// When a check does not hold or it is not approved, before anything is touched; and as
/// [`run`](crate::run::run()).
pub async fn travel(
    journey: Journey,
    manner: &Manner,
    approve: impl FnOnce(&Journey) -> Approval,
    ports: &mut Ports<'_>,
) -> Result<(Journey, Outcome), JourneyError> {
    let plan = &journey.plan;
    let readable = ports.database.read_only().await;
    if let Some(why) = readable.map_err(Unanswered::to("ask whether it can be written"))? {
        let cause = DatabaseError::ReadOnly(why);
        return Err(JourneyError::Unanswered(Unanswered { what: "make this journey", cause }));
    }
    can_be_kept(plan)?;
    // The run asks them again, under its locks: this is for whoever approves.
    let findings = check::ask(plan, When::Before, ports.database).await?;
    nothing_forbidden(&findings)?;
    ports.observer.tell(&Event::Checked(&findings));
    let refused = findings.iter().filter(|it| it.is_refusal());
    let refused: Vec<String> = refused.map(|it| it.check.message.clone()).collect();
    if !refused.is_empty() {
        return Err(JourneyError::Refused(refused));
    }
    if approve(&journey) == Approval::Denied {
        return Err(JourneyError::NotApproved);
    }
    let it = Run {
        expected: journey.proof.as_deref().ok(),
        shadow: Some(ports.shadow),
        snapshots: snapshots_of(&mut ports.snapshots),
        ..of(plan, manner, ports.app.as_deref_mut())
    };
    let mut outcome = run::run(it, ports.database, ports.observer).await?;
    if let (true, Outcome::Arrived { findings, .. }) = (manner.again, &mut outcome) {
        check::mend(plan, findings, ports.database, manner.lock_timeout, ports.observer).await?;
    }
    Ok((journey, outcome))
}

/// Who takes snapshots, for as long as a run lasts.
fn snapshots_of<'a>(of: &'a mut Option<&mut dyn Snapshots>) -> Option<&'a mut dyn Snapshots> {
    match of {
        Some(it) => Some(&mut **it),
        None => None,
    }
}

fn of<'a>(plan: &'a Plan, manner: &'a Manner, app: Option<&'a mut (dyn App + 'static)>) -> Run<'a> {
    Run {
        lock_timeout: manner.lock_timeout,
        end_orphans: manner.end_orphans,
        limits: manner.limits,
        retries: manner.retries,
        clear: manner.clear,
        accepted: &manner.accepted,
        app,
        ..Run::of(plan)
    }
}

/// The unfinished run of the application `app`.
///
/// # Errors
/// Where there is none, and where its plan was written by another version.
pub async fn the_run(app: &str, database: &mut dyn Database) -> Result<Unfinished, JourneyError> {
    match unfinished(database, app).await? {
        Some(UnfinishedRun::Known(run)) => Ok(*run),
        Some(UnfinishedRun::Unreadable(run, cause)) => Err(JourneyError::Unreadable { run, cause }),
        None => Err(JourneyError::NothingUnfinished),
    }
}

/// Asks for approval to go on with a run, and finishes it.
///
/// # Errors
/// As [`run::resume`], and where it is not approved or cannot be proved.
pub async fn resume(
    run: &Unfinished,
    manner: &Manner,
    approve: impl FnOnce(Option<&[Expected]>) -> Approval,
    ports: &mut Ports<'_>,
) -> Result<Outcome, JourneyError> {
    if let Progress::Aborting { .. } = run.progress {
        return Err(JourneyError::Run(RunError::GoingBack(run.id)));
    }
    let expected = match expectations(ports.shadow, &run.plan).await {
        Ok(expected) => Some(expected),
        Err(error) if manner.unproven => {
            ports.observer.tell(&Event::Unproven(&error));
            None
        }
        Err(cause) => {
            let deviation = Box::new(run.plan.basis.deviation.clone());
            return Err(JourneyError::Rehearse { cause, deviation });
        }
    };
    let checkpoints = checkpoints_of(run, ports.shadow).await;
    if approve(expected.as_deref()) == Approval::Denied {
        return Err(JourneyError::NotApproved);
    }
    let it = Run {
        expected: expected.as_deref(),
        checkpoints: checkpoints.as_ref(),
        shadow: Some(ports.shadow),
        snapshots: snapshots_of(&mut ports.snapshots),
        ..of(&run.plan, manner, ports.app.as_deref_mut())
    };
    Ok(run::resume(it, run.id, ports.database, ports.observer).await?)
}

/// Asks for approval to take a run back, and does so.
///
/// # Errors
/// As [`run::abort`], and where it is not approved.
pub async fn abort(
    run: &Unfinished,
    manner: &Manner,
    approve: impl FnOnce() -> Approval,
    ports: &mut Ports<'_>,
) -> Result<Outcome, JourneyError> {
    let checkpoints = checkpoints_of(run, ports.shadow).await;
    if approve() == Approval::Denied {
        return Err(JourneyError::NotApproved);
    }
    let it = Run {
        checkpoints: checkpoints.as_ref(),
        shadow: Some(ports.shadow),
        ..of(&run.plan, manner, ports.app.as_deref_mut())
    };
    Ok(run::abort(it, run.id, ports.database, ports.observer).await?)
}

/// What the schema should be where a run was left. Without it a run goes on all the same: its proofs
/// find out later.
async fn checkpoints_of(run: &Unfinished, shadow: &Shadow) -> Option<Checkpoints> {
    let done = match &run.progress {
        Progress::Before { step }
        | Progress::InDoubt { step, .. }
        | Progress::Failed { step, .. }
        | Progress::Interrupted { step } => *step,
        Progress::Aborting { left, .. } => *left,
        Progress::Finished | Progress::Aborted | Progress::Abandoned => return None,
    };
    match checkpoints(shadow, &run.plan, run.plan.migrations_before(done)).await {
        Ok(checkpoints) => Some(checkpoints),
        Err(error) => {
            tracing::info!("what the schema should be here is not known: {error}");
            None
        }
    }
}
