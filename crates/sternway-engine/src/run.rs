//! Executing a plan, and nothing but the plan.
//!
//! The locks are held from before the first look at the versions until after the last write, so that
//! golang-migrate, the application's own runner and a second Sternway stay out. What the plan was
//! computed from is looked at again under the locks: if it has changed, nothing is done.

use std::time::Duration;

use sternway_database::{Database, DatabaseError, LockError, RunId, StepError, Work};
use sternway_model::catalog::Release;
use sternway_model::journal::Record;
use sternway_model::plan::{Migrate, Plan, Step};
use sternway_model::proof::{Comparison, Expected};
use sternway_model::state::{RecordsAccess, State};
use thiserror::Error;

use crate::verify::verify;

/// Why a run ended before its plan did.
#[derive(Debug, Error)]
pub enum RunError {
    /// Somebody else is at work.
    #[error("the locks were not obtained")]
    Lock(#[source] LockError),
    /// The database is not what the plan was made for.
    #[error("the database has changed since the plan was made: {}", .0.join("; "))]
    Moved(Vec<String>),
    /// A step failed.
    #[error("step {} of {of} failed", step + 1)]
    Step {
        /// Which, counted over all hops from 0.
        step: usize,
        /// How many there are.
        of: usize,
        /// Why.
        #[source]
        source: StepError,
    },
    /// The schema is not the one promised.
    #[error("the schema is not that of a clean install of {release}")]
    Drift {
        /// The release that the hop arrives at.
        release: Release,
        /// What differs.
        comparison: Box<Comparison>,
    },
    /// The plan does something with the application, and nobody said how that is done.
    #[error("the plan stops, swaps and starts the application, and nothing says how")]
    NoApp,
    /// A body of the plan is missing.
    #[error("the body of `{0}` is not in the plan")]
    BodyMissing(String),
    /// A question or a write of our own failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// It arrived. The comparison of each hop's proof, where one was made.
    Arrived(Vec<Option<Comparison>>),
    /// It was asked to stop, and did between two steps.
    Interrupted {
        /// How many steps were done.
        done: usize,
        /// How many there are.
        of: usize,
    },
}

/// What is told while a run goes on.
pub trait Watch: Send {
    /// The locks are held and the steps begin; `access` says whether records are kept.
    fn begins(&mut self, _plan: &Plan, _access: &RecordsAccess) {}
    /// A migration starts.
    fn starts(&mut self, _step: &Migrate) {}
    /// A migration ended well.
    fn ends(&mut self, _step: &Migrate, _took: Duration) {}
    /// The proof of a hop was made.
    fn proved(&mut self, _release: &Release, _comparison: &Comparison) {}
    /// Whether to stop before the next step.
    fn stop(&mut self) -> bool {
        false
    }
}

/// Executes `plan`. `expected` is what each hop should lead to; without it nothing is proved.
///
/// # Errors
/// When the locks are not obtained, the database has moved, a step fails or a proof does not hold.
/// What was done before stays done, and the journal says how far it is.
pub async fn run(
    plan: &Plan,
    expected: Option<&[Expected]>,
    database: &mut dyn Database,
    patience: Duration,
    watch: &mut dyn Watch,
) -> Result<Outcome, RunError> {
    database.lock(&plan.tables, patience).await.map_err(RunError::Lock)?;
    let ended = locked(plan, expected, database, watch).await;
    let unlocked = database.unlock().await;
    let outcome = ended?;
    unlocked?;
    Ok(outcome)
}

async fn locked(
    plan: &Plan,
    expected: Option<&[Expected]>,
    database: &mut dyn Database,
    watch: &mut dyn Watch,
) -> Result<Outcome, RunError> {
    let moved = plan.basis.moved(&look_again(plan, database).await?);
    if !moved.is_empty() {
        return Err(RunError::Moved(moved));
    }
    let access = database.prepare_records().await?;
    watch.begins(plan, &access);
    let run = match access {
        RecordsAccess::Available => Some(database.begin_run(plan).await?),
        RecordsAccess::Unavailable(_) => None,
    };
    let of = plan.hops.iter().map(|hop| hop.steps.len()).sum();
    let mut done = 0;
    let mut comparisons = Vec::new();
    for (index, hop) in plan.hops.iter().enumerate() {
        for step in &hop.steps {
            if watch.stop() {
                note(database, run, Record::Interrupted).await?;
                return Ok(Outcome::Interrupted { done, of });
            }
            note(database, run, Record::Started { step: done }).await?;
            let ended = match step {
                Step::Migrate(migrate) => {
                    let journal = run.map(|run| (run, done));
                    one(plan, migrate, database, journal, watch).await.map_err(
                        |error| match error {
                            OneError::Step(source) => RunError::Step { step: done, of, source },
                            OneError::BodyMissing => RunError::BodyMissing(migrate.file.clone()),
                        },
                    )
                }
                Step::Stop | Step::Swap { .. } | Step::Start { .. } => Err(RunError::NoApp),
                Step::Prove => {
                    let expected = expected.and_then(|all| all.get(index));
                    match prove(plan, expected, &hop.to, database, watch).await {
                        Ok(comparison) => {
                            comparisons.push(comparison);
                            note(database, run, Record::Ended { step: done }).await?;
                            Ok(())
                        }
                        Err(error) => Err(error),
                    }
                }
            };
            if let Err(error) = ended {
                // The journal comes second: the step's own error is what matters.
                let reason = in_full(&error);
                let _ = note(database, run, Record::Failed { step: done, reason }).await;
                return Err(error);
            }
            done += 1;
        }
    }
    note(database, run, Record::Finished).await?;
    Ok(Outcome::Arrived(comparisons))
}

/// The parts of the state that a plan's basis has.
async fn look_again(plan: &Plan, database: &mut dyn Database) -> Result<State, DatabaseError> {
    let mut state = State { identity: database.identity().clone(), ..State::default() };
    for (track, table) in plan.tracks.iter().chain(&plan.off) {
        state.tracks.insert(track.clone(), database.track(table).await?);
    }
    if plan.basis.fingerprint.is_some() {
        state.fingerprint = Some(database.fingerprint(&plan.tables).await?.digest());
    }
    Ok(state)
}

enum OneError {
    Step(StepError),
    BodyMissing,
}

async fn one(
    plan: &Plan,
    migrate: &Migrate,
    database: &mut dyn Database,
    journal: Option<(RunId, usize)>,
    watch: &mut dyn Watch,
) -> Result<(), OneError> {
    let body = plan.bodies.get(&migrate.hash).ok_or(OneError::BodyMissing)?;
    watch.starts(migrate);
    let start = std::time::Instant::now();
    let work = Work::of(migrate, body, journal);
    database.migrate(&work).await.map_err(OneError::Step)?;
    watch.ends(migrate, start.elapsed());
    Ok(())
}

async fn prove(
    plan: &Plan,
    expected: Option<&Expected>,
    release: &Release,
    database: &mut dyn Database,
    watch: &mut dyn Watch,
) -> Result<Option<Comparison>, RunError> {
    let Some(expected) = expected else { return Ok(None) };
    let comparison = verify(database, &plan.tables, expected).await?;
    watch.proved(release, &comparison);
    if comparison.holds() {
        Ok(Some(comparison))
    } else {
        let comparison = Box::new(comparison);
        Err(RunError::Drift { release: release.clone(), comparison })
    }
}

/// An error with its causes: the journal is read when nothing else is left to tell them.
fn in_full(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", in_full(source)),
        None => error.to_string(),
    }
}

async fn note(
    database: &mut dyn Database,
    run: Option<RunId>,
    record: Record,
) -> Result<(), DatabaseError> {
    match run {
        Some(run) => database.record(run, &record).await,
        None => Ok(()),
    }
}
