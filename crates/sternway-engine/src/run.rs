//! Executing a plan, and nothing but the plan.
//!
//! The locks are held from before the first look at the versions until after the last write to the
//! schema, so that golang-migrate, the application's own runner and a second Sternway stay out. What
//! the plan was computed from is looked at again under the locks: if it has changed, nothing is done.
//! They are given back only while the application starts, whose own runner may want them.
//!
//! Each kind of step has a file, and [`step`] says what is done with each kind. What a run that was cut
//! short leaves is found out by [`recover`], and then finished by [`resume`] or taken back by [`abort`].

mod error;
mod step;
mod app;
mod check;
mod stop;
mod fence;
mod snapshot;
mod migrate;
mod rebuild;
mod prove;
mod unfence;
mod swap;
mod start;
mod recover;
mod resume;
mod abort;

use std::time::Duration;

use sternway_database::failpoint::{self, Point};
use sternway_database::{Database, DatabaseError, Limits, LockError, RunId, StepError, recorded};
use sternway_model::app::App;
use sternway_model::body::Mode;
use sternway_model::check::Finding;
use sternway_model::fence::FenceRequest;
use sternway_model::journal::{Progress, Reached, Record};
use sternway_model::plan::{Hop, Plan, Step};
use sternway_model::proof::{Comparison, Expected, ObjectName};
use sternway_model::state::{RecordsAccess, State};

use crate::event::{Event, Observer};
use crate::shadow::{Checkpoints, Shadow};
use crate::snapshot::Snapshots;

pub use abort::abort;
pub use error::RunError;
pub use resume::resume;
use step::Kind as _;

/// What is to be executed, and how.
pub struct Run<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// What each hop should lead to; without it nothing is proved.
    pub expected: Option<&'a [Expected]>,
    /// What the schema should be where the run was left. Only for a run that is resumed or taken back.
    pub checkpoints: Option<&'a Checkpoints>,
    /// Where to find out how a step is undone whose other half does not do that: one that came half way, or
    /// that leaves something over.
    pub shadow: Option<&'a Shadow>,
    /// How long to wait for the migrators' locks.
    pub lock_timeout: Duration,
    /// Whether to end a session that a killed Sternway left behind with the locks.
    pub end_orphans: bool,
    /// How long a statement may wait and run.
    pub limits: Limits,
    /// How often a step is tried again whose statement waited too long for a lock.
    pub retries: u32,
    /// What is done about the sessions of others where the plan's fence goes up again: for a run that
    /// is resumed or taken back, whose plan may not say it.
    pub clear: Clear,
    /// The differences, by name, that are accepted besides the plan's.
    pub accepted: &'a [String],
    /// The application, where the plan stops, swaps and starts it.
    pub app: Option<&'a mut (dyn App + 'static)>,
    /// Who takes the snapshot that the plan may have.
    pub snapshots: Option<&'a mut dyn Snapshots>,
}

/// What is done about the sessions that are there when a fence goes up, beyond what its plan says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Clear {
    /// End them.
    pub end: bool,
    /// Wait so many seconds for them.
    pub wait: Option<u64>,
}

impl Clear {
    fn applied_to(self, request: &FenceRequest) -> FenceRequest {
        let wait = self.wait.unwrap_or(request.wait);
        FenceRequest { end: request.end || self.end, wait, ..request.clone() }
    }
}

impl<'a> Run<'a> {
    /// A plan with nothing special asked for: nothing is proved and nobody is hurried.
    pub fn of(plan: &'a Plan) -> Run<'a> {
        Run {
            plan,
            expected: None,
            checkpoints: None,
            shadow: None,
            lock_timeout: Duration::from_secs(15),
            end_orphans: false,
            limits: Limits::default(),
            retries: 5,
            clear: Clear::default(),
            accepted: &[],
            app: None,
            snapshots: None,
        }
    }

    /// Whether somebody has accepted that the schema differs so, in the plan or for this run.
    fn accepts(&self, object: &ObjectName) -> bool {
        self.plan.accepts(object) || self.accepted.iter().any(|name| object.is_called(name))
    }

    /// Takes the locks, does `what` under them and gives them back.
    async fn under_locks<T>(
        self,
        database: &mut dyn Database,
        observer: &mut dyn Observer,
        what: impl AsyncFnOnce(&mut Executor<'_, 'a>) -> Result<T, RunError>,
    ) -> Result<T, RunError> {
        failpoint::hit(Point::Locking);
        self.lock(database).await?;
        failpoint::hit(Point::Locked);
        let app = &self.plan.app;
        let mut executor = Executor { run: self, id: None, fence: None, database, observer };
        let ended = what(&mut executor).await;
        if ended.is_err() {
            // What went wrong is told first, and a server that is gone is told of there.
            for raised in database.fences(app).await.unwrap_or_default() {
                observer.tell(&Event::FenceStands(&raised));
            }
        }
        failpoint::hit(Point::Unlocking);
        let unlocked = database.unlock().await;
        failpoint::hit(Point::Unlocked);
        let ended = ended?;
        unlocked?;
        Ok(ended)
    }

    async fn lock(&self, database: &mut dyn Database) -> Result<(), RunError> {
        let tables = &self.plan.tables;
        if self.end_orphans {
            let refused = match database.lock(tables, Duration::ZERO).await {
                Err(LockError::Held(_)) => database.end_orphans(tables).await,
                other => return other.map_err(RunError::Lock),
            };
            refused?;
        }
        database.lock(tables, self.lock_timeout).await.map_err(RunError::Lock)
    }
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// It arrived.
    Arrived {
        /// The comparison of each hop's proof, where one was made.
        proofs: Vec<Option<Comparison>>,
        /// What the checks found that were asked at the end.
        findings: Vec<Finding>,
    },
    /// It was asked to stop, and did between two steps.
    Interrupted {
        /// How many steps were done, or are still to be undone.
        done: usize,
        /// How many there are.
        of: usize,
    },
    /// Everything is as it was before the run.
    TakenBack {
        /// The schema, compared with the one from before; nothing where neither is known.
        comparison: Option<Comparison>,
    },
}

/// A run at work, under the locks.
struct Executor<'h, 'a> {
    run: Run<'a>,
    /// Its number, where records are kept.
    id: Option<RunId>,
    /// The fence that this process has raised.
    fence: Option<i64>,
    database: &'h mut dyn Database,
    observer: &'h mut dyn Observer,
}

/// What the steps of a run have found out.
#[derive(Default)]
struct Found {
    proofs: Vec<Option<Comparison>>,
    findings: Vec<Finding>,
}

/// Executes a plan.
///
/// # Errors
/// When the locks are not obtained, the database has moved, a step fails or a proof does not hold.
/// What was done before stays done, and the journal says how far it is; where nothing was migrated yet,
/// or the application could not be put in place, everything is taken back.
pub async fn run(
    run: Run<'_>,
    database: &mut dyn Database,
    observer: &mut dyn Observer,
) -> Result<Outcome, RunError> {
    run.under_locks(database, observer, async |executor| executor.begin().await).await
}

/// The steps of a plan, each with the number of its hop and the hop.
fn steps(plan: &Plan) -> Vec<(usize, &Hop, &Step)> {
    let hops = plan.hops.iter().enumerate();
    hops.flat_map(|(index, hop)| hop.steps.iter().map(move |step| (index, hop, step))).collect()
}

impl<'a> Executor<'_, 'a> {
    fn plan(&self) -> &'a Plan {
        self.run.plan
    }

    async fn begin(&mut self) -> Result<Outcome, RunError> {
        let plan = self.plan();
        let moved = plan.basis.moved(&self.look_again().await?);
        if !moved.is_empty() {
            return Err(RunError::Moved(moved));
        }
        self.needs_app()?;
        let takes = plan.all_steps().any(|(_, step)| matches!(step, Step::Snapshot(_)));
        if takes && self.run.snapshots.is_none() {
            return Err(RunError::NoStore);
        }
        let access = self.database.prepare_records().await?;
        if let (true, RecordsAccess::Unavailable(reason)) = (plan.keeps, &access)
            && plan.steps().any(|step| {
                let lost = step.effects.as_ref().map(|effects| !effects.losses.is_empty());
                lost.unwrap_or(!step.destroys.is_empty())
            })
        {
            return Err(RunError::NoArchive(reason.clone()));
        }
        // Another run's, of which nobody knows any more.
        crate::fence::take_away_left(self.database, &plan.app, self.observer).await?;
        self.observer.tell(&Event::Begins { plan, access: &access });
        if access == RecordsAccess::Available {
            failpoint::hit(Point::BeginningRun);
            self.id = Some(self.database.begin_run(plan).await?);
            failpoint::hit(Point::BegunRun);
        }
        self.warn_unguarded().await?;
        self.forward(0, Reached::default()).await
    }

    /// Tells who is connected where nobody is kept from writing and a body takes something away
    /// statement by statement: no lock stands between the copy of what goes and its going.
    async fn warn_unguarded(&mut self) -> Result<(), RunError> {
        let plan = self.plan();
        let piecemeal = |mode: &Mode| matches!(mode, Mode::Dirty { .. });
        let guarded = plan.all_steps().any(|(_, step)| matches!(step, Step::Fence(_)));
        if guarded || !plan.keeps || !plan.steps().any(|step| piecemeal(&step.mode)) {
            return Ok(());
        }
        let sessions = self.database.sessions().await?;
        if !sessions.is_empty() {
            self.observer.tell(&Event::Unguarded(&sessions));
        }
        Ok(())
    }

    /// Refuses a plan that does something with an application that nobody said how to reach.
    fn needs_app(&self) -> Result<(), RunError> {
        match self.plan().deploys() && self.run.app.is_none() {
            true => Err(RunError::NoApp),
            false => Ok(()),
        }
    }

    /// The parts of the state that a plan's basis has.
    async fn look_again(&mut self) -> Result<State, DatabaseError> {
        let plan = self.plan();
        let identity = self.database.identity().clone();
        let mut state = State { identity, ..State::default() };
        for (track, table) in plan.tracks.iter().chain(&plan.off) {
            state.tracks.insert(track.clone(), self.database.track(table).await?);
        }
        if plan.basis.fingerprint.is_some() {
            state.fingerprint = Some(self.database.fingerprint(&plan.tables).await?.digest());
        }
        Ok(state)
    }

    /// Goes on from a step, or from its middle, to the end.
    async fn forward(&mut self, from: usize, mut reached: Reached) -> Result<Outcome, RunError> {
        let steps = steps(self.plan());
        let of = steps.len();
        let mut found = Found { proofs: vec![None; self.plan().hops.len()], findings: Vec::new() };
        for (number, (index, hop, step)) in steps.into_iter().enumerate().skip(from) {
            let first = reached.done + 1;
            // A step that came half way has started already.
            if reached.is_nothing() {
                if self.observer.stop() {
                    self.note(Record::Interrupted).await?;
                    return Ok(Outcome::Interrupted { done: number, of });
                }
                self.note(Record::Started { step: number }).await?;
            }
            reached = Reached::default();
            failpoint::hit(Point::StepBegins);
            let at = step::Place { number, of, hop, index, first };
            if let Err(error) = self.carry_out(step, at, &mut found).await {
                self.note_failure(number, &error).await;
                let goes_back = step.goes_back_when_it_fails(number, self.plan());
                return Err(match error {
                    error @ RunError::NotBack { .. } => error,
                    error if goes_back => self.go_back(number, error).await,
                    error => error,
                });
            }
            failpoint::hit(Point::StepEnded);
        }
        self.note(Record::Finished).await?;
        Ok(Outcome::Arrived { proofs: found.proofs, findings: found.findings })
    }

    /// Adds to the journal, if there is one.
    async fn note(&mut self, record: Record) -> Result<(), RunError> {
        let Some(run) = self.id else { return Ok(()) };
        failpoint::hit(Point::Recording);
        self.database.record(run, &record).await?;
        failpoint::hit(Point::Recorded);
        Ok(())
    }

    /// Adds to the journal that a step failed. The journal comes second: the step's own error is what
    /// matters, and a step that has ended after all is not said to have failed.
    async fn note_failure(&mut self, step: usize, error: &RunError) {
        let Some(run) = self.id else { return };
        let doubt = match self.database.unfinished(&self.plan().app).await {
            Ok(Some(found)) if found.id == run => found.progress,
            _ => return,
        };
        let reached = match doubt {
            Progress::InDoubt { step: it, reached } if it == step => Some(reached),
            Progress::Aborting { left, in_doubt: true, reached, .. } if left == step + 1 => {
                Some(reached)
            }
            _ => None,
        };
        // Where our own writes have failed, the statement under way may have taken effect: it stays in
        // doubt.
        let ours = matches!(
            error,
            RunError::Step { source: StepError::Database { .. }, .. }
                | RunError::Undo { source: StepError::Database { .. }, .. }
        );
        if reached.is_some_and(|it| !ours || it.statement.is_none()) {
            let _ = self.note(Record::Failed { step, reason: recorded(error) }).await;
        }
    }
}
