//! A run that nobody has ended stands in the way of another one: it is finished, taken back, or left
//! as it is on purpose.

use std::fmt::Write as _;
use std::time::Duration;

use sternway_database::{Database, DatabaseError, LockError, Unfinished};
use sternway_engine::observe::tables;
use sternway_model::journal::{Progress, Record};
use sternway_model::plan::Step;

use crate::failure::{Exit, Failure};
use crate::output::UnfinishedRun;
use crate::wiring::Setup;

/// Refuses to begin while a run is unfinished, or abandons that one where told so.
pub async fn none(
    setup: &Setup<'_>,
    database: &mut dyn Database,
    abandon: bool,
) -> Result<(), Failure> {
    if look(setup, database).await?.is_none() {
        return Ok(());
    }
    // It may be at work this moment: under its locks it is not.
    under_locks(setup, database, async |database| alone(setup, database, abandon).await).await
}

/// Does something while no migrator is at work, and keeps all of them out meanwhile.
pub async fn under_locks<T>(
    setup: &Setup<'_>,
    database: &mut dyn Database,
    what: impl AsyncFnOnce(&mut dyn Database) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let tables = tables(&setup.config.layout.tracks);
    match database.lock(&tables, setup.lock_timeout()).await {
        Ok(()) => {}
        Err(cause @ LockError::Held(_)) => return Err(Failure::to_lock(cause)),
        Err(LockError::Database(cause)) => {
            return Err(Failure::to_ask("cannot take the locks", cause));
        }
    }
    let done = what(database).await;
    let unlocked = database.unlock().await;
    let done = done?;
    unlocked.map_err(|cause| Failure::to_ask("cannot give the locks back", cause))?;
    Ok(done)
}

/// Whether a migrator is at work this moment.
pub async fn at_work(setup: &Setup<'_>, database: &mut dyn Database) -> Result<bool, Failure> {
    let tables = tables(&setup.config.layout.tracks);
    let unlocked = match database.lock(&tables, Duration::ZERO).await {
        Ok(()) => database.unlock().await,
        Err(LockError::Held(_)) => return Ok(true),
        Err(LockError::Database(cause)) => Err(cause),
    };
    let ask = "cannot tell whether a migrator is at work";
    unlocked.map(|()| false).map_err(|cause| Failure::to_ask(ask, cause))
}

/// Tells of an unfinished run where nothing is about to be done.
pub async fn told(setup: &Setup<'_>, database: &mut dyn Database) -> Result<(), Failure> {
    if let Some(found) = look(setup, database).await? {
        let failure = found.failure();
        let (text, _, hint) = failure.parts();
        setup.ui.note(format!("note: {text}; {}", hint.unwrap_or_default()));
    }
    Ok(())
}

async fn alone(
    setup: &Setup<'_>,
    database: &mut dyn Database,
    abandon: bool,
) -> Result<(), Failure> {
    let Some(found) = look(setup, database).await? else { return Ok(()) };
    if !abandon {
        return Err(found.failure());
    }
    let abandoned = database.record(found.id(), &Record::Abandoned).await;
    abandoned.map_err(|cause| Failure::to_ask("cannot abandon the run", cause))?;
    setup.ui.note(format!("run {} is left as it is", found.id()));
    Ok(())
}

/// The unfinished run of the settings' application.
///
/// # Errors
/// Where there is none, and where its plan was written by another version.
pub async fn the_run(
    setup: &Setup<'_>,
    database: &mut dyn Database,
) -> Result<Unfinished, Failure> {
    match look(setup, database).await? {
        Some(Found::Run(run)) => Ok(*run),
        Some(Found::Unreadable(_, cause)) => {
            Err(Failure::to_ask("cannot read the unfinished run", cause))
        }
        None => Err(Failure::new("no run is unfinished", Exit::Refused)
            .hint("`sternway history` lists what ran")),
    }
}

/// An unfinished run.
enum Found {
    Run(Box<Unfinished>),
    /// One of another version, whose plan cannot be read.
    Unreadable(i64, DatabaseError),
}

impl Found {
    fn id(&self) -> i64 {
        match self {
            Self::Run(run) => run.id,
            Self::Unreadable(id, _) => *id,
        }
    }

    fn failure(self) -> Failure {
        let abandon = "--abandon leaves it as it is and plans anew";
        match self {
            Self::Run(run) => {
                let what = format!("{} is unfinished", named(&run));
                let back = "`sternway abort` takes it back";
                let hint = match run.progress {
                    Progress::Aborting { .. } => format!("{back}, {abandon}"),
                    _ => format!("`sternway resume` finishes it, {back}, {abandon}"),
                };
                Failure::new(what, Exit::Refused).hint(hint)
            }
            Self::Unreadable(_, cause) => {
                let mut failure = Failure::to_ask("a run is unfinished", cause);
                failure.exit = Exit::Refused;
                failure.hint(format!("that version finishes it or takes it back; {abandon}"))
            }
        }
    }
}

async fn look(setup: &Setup<'_>, database: &mut dyn Database) -> Result<Option<Found>, Failure> {
    match database.unfinished(&setup.config.layout.app).await {
        Ok(found) => Ok(found.map(|run| Found::Run(Box::new(run)))),
        Err(cause @ DatabaseError::PlanUnreadable { run, .. }) => {
            Ok(Some(Found::Unreadable(run, cause)))
        }
        Err(cause) => Err(Failure::to_ask("cannot look for an unfinished run", cause)),
    }
}

/// A run in a few words, with how far it came.
fn named(run: &Unfinished) -> String {
    let Unfinished { id, plan, progress, .. } = run;
    let from = plan.running.as_ref().map_or("-".to_owned(), ToString::to_string);
    format!("run {id}, the {} {from} -> {}, {progress},", plan.course, plan.target)
}

/// A run with what is done of it and what is not, a line a step.
pub fn describe(run: &Unfinished) -> String {
    let Unfinished { id, plan, progress, user, started } = run;
    let from = plan.running.as_ref().map_or("-".to_owned(), ToString::to_string);
    let (course, app, target) = (plan.course, &plan.app, &plan.target);
    let mut text = format!(
        "run {id}: {course} of {app} {from} -> {target}, begun {started} UTC by {user}: {progress}\n"
    );
    if let Progress::Failed { reason, .. } = progress {
        let _ = writeln!(text, "  {reason}");
    }
    let (done, doubt) = match progress {
        Progress::Before { step } | Progress::Interrupted { step } => (*step, None),
        Progress::InDoubt { step, .. } => (*step, Some("in doubt")),
        Progress::Failed { step, .. } => (*step, Some("failed")),
        Progress::Aborting { left, in_doubt: false, .. } => (*left, None),
        Progress::Aborting { left, .. } => (left.saturating_sub(1), Some("being undone")),
        Progress::Finished | Progress::Aborted | Progress::Abandoned => (0, None),
    };
    let steps = plan.hops.iter().flat_map(|hop| hop.steps.iter().map(move |step| (hop, step)));
    for (index, (hop, step)) in steps.enumerate() {
        let state = match doubt.filter(|_| index == done) {
            Some(doubt) => doubt,
            None if index < done => "done",
            None => "not done",
        };
        let what = match step {
            Step::Migrate(migrate) => format!("{}: {}", migrate.track, migrate.file),
            Step::Prove => format!("prove the schema of {}", hop.to),
            other => act(other, false),
        };
        let _ = writeln!(text, "  {:>2}  {state:<12}  {what}", index + 1);
    }
    text
}

/// What is done with the application, in words.
pub fn act(step: &Step, undone: bool) -> String {
    match (step, undone) {
        (Step::Stop, false) => "app: stop".to_owned(),
        (Step::Stop, true) => "app: start again".to_owned(),
        (Step::Swap { from: Some(from), to }, false) => format!("app: swap {from} for {to}"),
        (Step::Swap { from: Some(from), to }, true) => format!("app: swap {to} for {from}"),
        (Step::Swap { from: None, to }, false) => format!("app: put {to} in place"),
        (Step::Swap { from: None, to }, true) => format!("app: leave {to} where it is, stopped"),
        (Step::Start { release }, false) => format!("app: start {release}"),
        (Step::Start { release }, true) => format!("app: stop {release}"),
        (Step::Migrate(_) | Step::Prove, _) => String::new(),
    }
}

/// The run as `status` tells of it; nothing where there is none or its plan cannot be read.
pub async fn row(
    setup: &Setup<'_>,
    database: &mut dyn Database,
) -> Result<Option<UnfinishedRun>, Failure> {
    let Some(Found::Run(run)) = look(setup, database).await? else { return Ok(None) };
    let steps = run.plan.hops.iter().map(|hop| hop.steps.len()).sum();
    let Unfinished { id, plan, progress, user, started } = *run;
    let (course, from, target) = (plan.course, plan.running, plan.target);
    Ok(Some(UnfinishedRun { run: id, course, from, target, started, user, steps, progress }))
}
