//! Executing a plan, and nothing but the plan.
//!
//! The locks are held from before the first look at the versions until after the last write, so that
//! golang-migrate, the application's own runner and a second Sternway stay out. What the plan was
//! computed from is looked at again under the locks: if it has changed, nothing is done.
//!
//! Each kind of step has a file. What a run that was cut short leaves is settled by `doubt`, and then
//! finished by [`resume`] or taken back by [`abort`].

mod error;
mod watch;
mod migrate;
mod prove;
mod app;
mod doubt;
mod resume;
mod abort;

use std::time::Duration;

use sternway_database::failpoint::{self, Point};
use sternway_database::{Database, DatabaseError, Limits, LockError, RunId, StepError};
use sternway_model::app::App;
use sternway_model::journal::{Progress, Reached, Record};
use sternway_model::plan::{Hop, Plan, Step};
use sternway_model::proof::Expected;
use sternway_model::state::{RecordsAccess, State};

use crate::rehearse::{Landmarks, Shadow};

pub use abort::abort;
pub use error::RunError;
pub use resume::resume;
pub use watch::{Outcome, Quiet, Watch};

/// What is to be executed, and how.
pub struct Run<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// What each hop should lead to; without it nothing is proved.
    pub expected: Option<&'a [Expected]>,
    /// What the schema should be where the run was left. Only for a run that is resumed or taken back.
    pub landmarks: Option<&'a Landmarks>,
    /// Where to find out how half a body is undone. Only for a run that is taken back.
    pub shadow: Option<&'a Shadow>,
    /// How long to wait for the migrators' locks.
    pub lock_timeout: Duration,
    /// Whether to end a session that a killed Sternway left behind with the locks.
    pub end_orphans: bool,
    /// How long a statement may wait and run.
    pub limits: Limits,
    /// How often a step is tried again whose statement waited too long for a lock.
    pub retries: u32,
    /// The application, where the plan stops, swaps and starts it.
    pub app: Option<&'a mut (dyn App + 'static)>,
}

impl<'a> Run<'a> {
    /// A plan with nothing special asked for: nothing is proved and nobody is hurried.
    pub fn of(plan: &'a Plan) -> Run<'a> {
        Run {
            plan,
            expected: None,
            landmarks: None,
            shadow: None,
            lock_timeout: Duration::from_secs(15),
            end_orphans: false,
            limits: Limits::default(),
            retries: 5,
            app: None,
        }
    }

    /// Takes the locks, does `what` under them and gives them back.
    async fn under_locks<T>(
        self,
        database: &mut dyn Database,
        watch: &mut dyn Watch,
        what: impl AsyncFnOnce(&mut Hand<'_, 'a>) -> Result<T, RunError>,
    ) -> Result<T, RunError> {
        failpoint::hit(Point::Locking);
        self.lock(database).await?;
        failpoint::hit(Point::Locked);
        let mut hand = Hand { run: self, id: None, database, watch };
        let ended = what(&mut hand).await;
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

/// A run at work, under the locks.
struct Hand<'h, 'a> {
    run: Run<'a>,
    /// Its number, where records are kept.
    id: Option<RunId>,
    database: &'h mut dyn Database,
    watch: &'h mut dyn Watch,
}

/// Executes a plan.
///
/// # Errors
/// When the locks are not obtained, the database has moved, a step fails or a proof does not hold.
/// What was done before stays done, and the journal says how far it is; where the application could
/// not be put in place, everything is taken back.
pub async fn run(
    run: Run<'_>,
    database: &mut dyn Database,
    watch: &mut dyn Watch,
) -> Result<Outcome, RunError> {
    run.under_locks(database, watch, async |hand| hand.begin().await).await
}

/// The steps of a plan, each with the number of its hop and the hop.
fn steps(plan: &Plan) -> Vec<(usize, &Hop, &Step)> {
    let hops = plan.hops.iter().enumerate();
    hops.flat_map(|(index, hop)| hop.steps.iter().map(move |step| (index, hop, step))).collect()
}

impl<'a> Hand<'_, 'a> {
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
        let access = self.database.prepare_records().await?;
        if let (true, RecordsAccess::Unavailable(reason)) = (plan.keeps, &access)
            && plan.steps().any(|step| {
                let lost = step.effects.as_ref().map(|effects| !effects.losses.is_empty());
                lost.unwrap_or(!step.destroys.is_empty())
            })
        {
            return Err(RunError::NoArchive(reason.clone()));
        }
        self.watch.begins(plan, &access);
        if access == RecordsAccess::Available {
            failpoint::hit(Point::BeginningRun);
            self.id = Some(self.database.begin_run(plan).await?);
            failpoint::hit(Point::BegunRun);
        }
        self.forward(0, Reached::default()).await
    }

    /// Refuses a plan that does something with an application that nobody said how to reach.
    fn needs_app(&self) -> Result<(), RunError> {
        let is_app = |step: &Step| !matches!(step, Step::Migrate(_) | Step::Prove);
        let needs = self.plan().hops.iter().flat_map(|hop| &hop.steps).any(is_app);
        if needs && self.run.app.is_none() { Err(RunError::NoApp) } else { Ok(()) }
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
        let mut proofs = vec![None; self.plan().hops.len()];
        for (step, (index, hop, what)) in steps.into_iter().enumerate().skip(from) {
            let first = reached.done + 1;
            // A step that came half way has started already.
            if reached.is_nothing() {
                if self.watch.stop() {
                    self.note(Record::Interrupted).await?;
                    return Ok(Outcome::Interrupted { done: step, of });
                }
                self.note(Record::Started { step }).await?;
            }
            reached = Reached::default();
            failpoint::hit(Point::StepBegins);
            let ended = match what {
                Step::Migrate(migrate) => {
                    let half =
                        migrate::Half { step, of, migrate, body: None, first, undoing: false };
                    self.migrate(half).await
                }
                Step::Prove => match self.prove(index, hop).await {
                    Ok(proof) => {
                        proofs[index] = proof;
                        self.note(Record::Ended { step }).await
                    }
                    Err(error) => Err(error),
                },
                Step::Stop | Step::Swap { .. } | Step::Start { .. } => {
                    match self.act(step, what, false).await {
                        Ok(()) => self.note(Record::Ended { step }).await,
                        Err(error) => Err(error),
                    }
                }
            };
            if let Err(error) = ended {
                self.note_failure(step, &error).await;
                return Err(match what {
                    Step::Swap { .. } | Step::Start { .. } => self.go_back(step, error).await,
                    Step::Migrate(_) | Step::Prove | Step::Stop => error,
                });
            }
            failpoint::hit(Point::StepEnded);
        }
        self.note(Record::Finished).await?;
        Ok(Outcome::Arrived(proofs))
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
            let _ = self.note(Record::Failed { step, reason: in_full(error) }).await;
        }
    }
}

/// An error with its causes: the journal is read when nothing else is left to tell them.
fn in_full(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", in_full(source)),
        None => error.to_string(),
    }
}
