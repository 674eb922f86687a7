//! A whole journey, from the facts to the end: what every edge asks for, approves and watches.
//!
//! [`prepare`] gathers the facts, plans, looks for what forbids the journey, and rehearses it. The
//! [`Journey`] that comes of it is final: [`travel`] shows it to whoever approves, and executes just
//! that. [`resume`] and [`abort`] end a run that was cut short. Nothing here looks at a terminal.

use std::time::Duration;

use sternway_database::{Database, DatabaseError, Limits, LockError, Unfinished};
use sternway_model::app::{App, AppError};
use sternway_model::catalog::Release;
use sternway_model::check::{Finding, When};
use sternway_model::effect::Unkept;
use sternway_model::journal::Progress;
use sternway_model::plan::{Deviation, Plan, PlanError, Request};
use sternway_model::proof::{Difference, Expected, ObjectName};
use thiserror::Error;

use crate::check::{self, CheckError, MendError};
use crate::completion::with_completions;
use crate::consent::{can_be_kept, nothing_unasked};
use crate::deviation::with_deviation;
use crate::event::{Event, Observer};
use crate::gather::{GatherError, Gathered, Settings, Source, gather};
use crate::identity::{planned, resolve};
use crate::leftover::with_what_is_there;
use crate::misfits::with_rows_heeded;
use crate::needed::with_columns_among_rows;
use crate::observe::tables;
use crate::preflight::{
    PreflightError, UnfinishedRun, none_unfinished, not_pooled, plan_in_step, rows_in_step,
    unfinished,
};
use crate::rehearse::{self, Rehearsal, expectations, measure, with_effects, with_leaves};
use crate::run::{self, Clear, Outcome, Run, RunError};
use crate::shadow::{Checkpoints, RehearsalError, Shadow, checkpoints};
use crate::snapshot::Snapshots;
use crate::status::{DirtyTracks, look_into_dirty};
use crate::taken::{with_rebuilds, with_taken};
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

/// Why there is no journey, or it did not arrive.
#[derive(Debug, Error)]
pub enum JourneyError {
    /// There are no facts to plan from.
    #[error(transparent)]
    Gather(#[from] GatherError),
    /// Something forbids it.
    #[error(transparent)]
    Preflight(#[from] PreflightError),
    /// There is no plan.
    #[error("there is no plan")]
    Plan {
        /// Why.
        #[source]
        cause: PlanError,
        /// What it was to be computed from.
        gathered: Box<Gathered>,
        /// What dirty tracks really have, where that is the reason.
        dirty: Option<Box<DirtyTracks>>,
    },
    /// What it should lead to cannot be found out.
    #[error("it cannot be told what the plan should lead to")]
    Rehearse {
        /// Why.
        #[source]
        cause: RehearsalError,
        /// How the schema differs from a clean install, which may be the reason.
        deviation: Box<Deviation>,
    },
    /// Its end would be without something that the target needs.
    #[error("{}", lacking(.target, .lacks))]
    Lacks {
        /// The release to arrive at.
        target: Release,
        /// What differs from a clean install of it.
        lacks: Vec<Difference>,
    },
    /// It would take along what others have made.
    #[error("{step} takes along what others have made: {}", named(.objects))]
    TakesForeign {
        /// The file.
        step: String,
        /// What goes.
        objects: Vec<ObjectName>,
    },
    /// Rows that are there are not what it would have to ask of them.
    #[error("{}", .messages.join("; "))]
    RowsForbid {
        /// What would be added among them and may be missing, where that is accepted.
        adds: Vec<ObjectName>,
        /// What they are not.
        messages: Vec<String>,
    },
    /// It would take large objects away, which the archive does not keep.
    #[error("{step} calls lo_unlink: the large objects that it takes are not kept")]
    LargeObjects {
        /// The file.
        step: String,
    },
    /// What the plan takes away could not be counted.
    #[error(transparent)]
    Unanswered(#[from] Unanswered),
    /// A check was not answered.
    #[error(transparent)]
    Unchecked(#[from] CheckError),
    /// What has to be so before it is not; nothing was touched.
    #[error("{}", .0.join("; "))]
    Refused(Vec<String>),
    /// What a step takes away cannot be kept; nothing was touched.
    #[error("`{file}` destroys what cannot be kept: {}", .unkept.iter().map(|it| it.reason.as_str()).collect::<Vec<_>>().join(", "))]
    Unkept {
        /// The step's file.
        file: String,
        /// What it is.
        unkept: Vec<Unkept>,
    },
    /// The application cannot be moved; nothing was touched.
    #[error(transparent)]
    App(AppError),
    /// The application is not as it was when the plan was made; nothing was touched.
    #[error("the application is not as it was when the plan was made: {}", .0.join("; "))]
    DeploymentMoved(Vec<String>),
    /// Rows have come since the plan was made, among which its bodies would run otherwise; nothing was touched.
    #[error("rows have come since the plan was made, among which another body would run than that of {}", .0.join(", "))]
    RowsMoved(Vec<String>),
    /// Nothing is taken of what was to be let go; nothing was touched.
    #[error("no step takes anything of {}", .0.join(", "))]
    NothingToDiscard(Vec<String>),
    /// Whoever was asked did not approve; nothing was touched.
    #[error("it was not approved")]
    NotApproved,
    /// The run ended before its plan did.
    #[error(transparent)]
    Run(#[from] RunError),
    /// It has arrived, and what a check found could not be mended.
    #[error(transparent)]
    Mend(#[from] MendError),
    /// No run is unfinished.
    #[error("no run is unfinished")]
    NothingUnfinished,
    /// The unfinished run is of another version.
    #[error("run {run} was begun by another version")]
    Unreadable {
        /// Its number.
        run: i64,
        /// Why its plan cannot be read.
        #[source]
        cause: sternway_database::DatabaseError,
    },
}

fn named(objects: &[ObjectName]) -> String {
    let objects: Vec<String> = objects.iter().map(ToString::to_string).collect();
    objects.join(", ")
}

fn lacking(target: &Release, lacks: &[Difference]) -> String {
    let lacks: Vec<String> = lacks.iter().map(ToString::to_string).collect();
    let head = "the application's own migrations do not lead to the schema of";
    format!("{head} {target}: {}", lacks.join("; "))
}

impl JourneyError {
    /// Whether a migrator that was at work may be the reason.
    fn may_be_passing(&self) -> bool {
        matches!(
            self,
            Self::Plan { cause: PlanError::Dirty { .. }, .. }
                | Self::Preflight(PreflightError::OutOfStep(_))
        )
    }
}

impl From<LockError> for JourneyError {
    fn from(cause: LockError) -> Self {
        Self::Preflight(PreflightError::Lock(cause))
    }
}

impl From<sternway_database::DatabaseError> for JourneyError {
    fn from(cause: sternway_database::DatabaseError) -> Self {
        Self::Unanswered(Unanswered { what: "give the locks back", cause })
    }
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

/// Finds out what a plan should lead to. What its steps change is found out too, unless the plan says
/// it already: then that is what somebody agreed to.
async fn rehearsed(
    plan: Plan,
    manner: &Manner,
    ports: &mut Ports<'_>,
) -> Result<Journey, JourneyError> {
    let rehearsal = match plan.steps().any(|step| step.effects.is_some()) {
        true => match approved(&plan, ports).await {
            Ok((asked, rehearsal)) => {
                nothing_forbidden(&check::ask_of_additions(&asked, ports.database).await?)?;
                as_approved(&plan, &asked)?;
                Ok((plan.clone(), rehearsal.expected))
            }
            Err(error) => Err(error),
        },
        false => match fitted(&plan, ports).await {
            Ok((plan, rehearsal)) => Ok(with_all(plan, rehearsal, ports).await?),
            Err(error) => Err(error),
        },
    };
    match rehearsal {
        Ok((plan, expected)) => {
            nothing_unasked(&plan)?;
            nothing_forbidden(&check::ask_of_additions(&plan, ports.database).await?)?;
            Ok(Journey { plan, proof: Ok(expected) })
        }
        Err(error) if manner.unproven => Ok(Journey { plan, proof: Err(error) }),
        Err(cause) => {
            Err(JourneyError::Rehearse { cause, deviation: Box::new(plan.basis.deviation) })
        }
    }
}

/// The plan with what its steps change and take away, and what they leave; as it is, with the reason,
/// where no rehearsal can be made.
///
/// # Errors
/// When the database does not answer, and where it would do what needs consent.
pub async fn with_numbers(
    plan: Plan,
    ports: &mut Ports<'_>,
) -> Result<(Plan, Option<RehearsalError>), JourneyError> {
    let plan = with_deviation(plan, ports.shadow, ports.database).await?;
    match fitted(&plan, ports).await {
        Ok((plan, rehearsal)) => {
            let (plan, _) = with_all(plan, rehearsal, ports).await?;
            nothing_unasked(&plan)?;
            nothing_forbidden(&check::ask_of_additions(&plan, ports.database).await?)?;
            Ok((plan, None))
        }
        Err(error) => Ok((plan, Some(error))),
    }
}

/// Refuses a plan that adds what the rows that are there do not allow.
fn nothing_forbidden(findings: &[Finding]) -> Result<(), JourneyError> {
    let broken = findings.iter().filter(|it| !it.holds && it.check.adds.is_some());
    let broken: Vec<&Finding> = broken.collect();
    if broken.is_empty() {
        return Ok(());
    }
    let may_miss = broken.iter().filter(|it| !it.check.firm);
    let adds = may_miss.filter_map(|it| it.check.adds.clone()).collect();
    let message = |it: &&Finding| match &it.count {
        Some(count) => format!("{} ({count} of them)", it.check.message),
        None => it.check.message.clone(),
    };
    Err(JourneyError::RowsForbid { adds, messages: broken.iter().map(message).collect() })
}

/// Rehearses a plan, whose steps are fitted to the schema that is there. Halves are completed only
/// where the rehearsal ends without something, or does not get to its end.
async fn fitted(plan: &Plan, ports: &mut Ports<'_>) -> Result<(Plan, Rehearsal), RehearsalError> {
    let shadow = ports.shadow;
    let plan = with_what_is_there(shadow, plan.clone()).await?;
    let gone = gone(shadow, plan.clone()).await;
    let lacks = |plan: &Plan| {
        let mut leaves = plan.hops.iter().flat_map(|hop| &hop.leaves);
        leaves.any(|it| it.is_lack() && !plan.was_there(it))
    };
    let (plan, gone) = match gone {
        Ok(gone) if !lacks(&gone.0) => (plan, gone),
        gone => match with_completions(shadow, plan.clone(), ports.database).await {
            Ok(completed) if completed != plan => {
                let gone = self::gone(shadow, completed.clone()).await?;
                (completed, gone)
            }
            _ => (plan, gone?),
        },
    };
    let heeding = among_rows(&plan, ports).await?;
    match heeding == plan {
        true => Ok(gone),
        false => self::gone(shadow, heeding).await,
    }
}

/// Rehearses a plan that somebody has approved, and asks the rows that are there now. With it comes the plan that would
/// be made among them.
async fn approved(plan: &Plan, ports: &mut Ports<'_>) -> Result<(Plan, Rehearsal), RehearsalError> {
    let rehearsal = rehearse::rehearse(ports.shadow, plan).await?;
    Ok((among_rows(plan, ports).await?, rehearsal))
}

/// Refuses a plan that was approved where other bodies would run among the rows that are there now.
fn as_approved(plan: &Plan, asked: &Plan) -> Result<(), JourneyError> {
    let both = plan.steps().zip(asked.steps());
    let others = both.filter(|(then, now)| then.hash != now.hash);
    let files: Vec<String> = others.map(|(then, _)| then.file.clone()).collect();
    match files.is_empty() {
        true => Ok(()),
        false => Err(JourneyError::RowsMoved(files)),
    }
}

/// The plan as it has to be made among the rows that are there.
async fn among_rows(plan: &Plan, ports: &mut Ports<'_>) -> Result<Plan, RehearsalError> {
    let plan = with_columns_among_rows(ports.shadow, plan.clone(), ports.database).await?;
    with_rows_heeded(ports.shadow, plan, ports.database).await
}

/// Rehearses a plan, with what others had made where it comes again, and writes into it what it leaves.
async fn gone(shadow: &Shadow, plan: Plan) -> Result<(Plan, Rehearsal), RehearsalError> {
    let plan = with_rebuilds(shadow, plan).await?;
    let rehearsal = rehearse::rehearse(shadow, &plan).await?;
    Ok((with_leaves(plan, &rehearsal.expected), rehearsal))
}

/// Writes into a plan what the rehearsal found out, and what the database says to that.
async fn with_all(
    plan: Plan,
    rehearsal: Rehearsal,
    ports: &mut Ports<'_>,
) -> Result<(Plan, Vec<Expected>), Unanswered> {
    let mut plan = with_effects(plan, rehearsal.effects);
    count(&mut plan, ports).await?;
    Ok((with_taken(plan, ports.database).await?, rehearsal.expected))
}

async fn count(plan: &mut Plan, ports: &mut Ports<'_>) -> Result<(), Unanswered> {
    let counted = measure(plan, ports.database).await;
    counted.map_err(Unanswered::to("count what the plan takes away"))
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
