//! The other clients of the database, before and after a plan is executed.

use std::time::Duration;

use sternway_database::{Database, DatabaseError, Dialect, LockError, Raised};
use sternway_engine::fence::{self, Event, Watch};
use sternway_engine::run::RunError;
use sternway_model::plan::Plan;

use super::unfinished;
use crate::args::FenceArgs;
use crate::failure::{Exit, Failure};
use crate::ui::Ui;
use crate::wiring::Setup;

/// Refuses a connection that changes hands between transactions, unless that is wanted.
pub async fn not_pooled(
    ui: &Ui,
    database: &mut dyn Database,
    args: &FenceArgs,
) -> Result<(), Failure> {
    let pooled = database.is_pooled().await;
    let pooled =
        pooled.map_err(|cause| Failure::to_ask("cannot tell whether the server answers", cause))?;
    let text = "the connection goes through a proxy that shares it by transaction; \
                session locks mean nothing there, so that nothing keeps other migrators out";
    match (pooled, args.through_pooler) {
        (false, _) => Ok(()),
        (true, true) => {
            ui.note(format!("warning: {text}"));
            Ok(())
        }
        (true, false) => Err(Failure::new(text, Exit::Refused).hint(
            "nothing was touched; connect to the server itself, or give --through-pooler where nobody else migrates",
        )),
    }
}

/// Takes the plan's locks, which its run finds taken, and raises the fence under them.
pub async fn raise(
    setup: &Setup<'_>,
    plan: &Plan,
    database: &mut dyn Database,
    args: &FenceArgs,
    stop: &mut (dyn FnMut() -> bool + Send),
) -> Result<Option<Raised>, Failure> {
    let locked = database.lock(&plan.tables, setup.lock_timeout()).await;
    locked.map_err(|cause| {
        Failure::to_run(plan.course, &plan.target, setup.ui, RunError::Lock(cause))
    })?;
    let mut teller = Teller { ui: setup.ui, stop };
    let raised = fence::raise(database, &plan.app, None, &args.options(), &mut teller).await;
    match &raised {
        Ok(None) if setup.dialect() == Dialect::MySql => warn(setup.ui, database).await?,
        Ok(_) => {}
        // The session ends with the command, and the locks with it.
        Err(_) => drop(database.unlock().await),
    }
    raised.map_err(Failure::to_fence)
}

/// Tells who is connected where nobody is kept from writing: each statement there commits by itself, so
/// that no lock stands between the copy of what goes and its going.
async fn warn(ui: &Ui, database: &mut dyn Database) -> Result<(), Failure> {
    let sessions = database.sessions().await;
    let sessions =
        sessions.map_err(|cause| Failure::to_ask("cannot tell who else is connected", cause))?;
    if let [one, others @ ..] = sessions.as_slice() {
        let more = match others.len() {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        ui.note(format!(
            "warning: others are connected ({one}{more}); what they write while it is copied and taken away is \
             not kept: --fence no-connect keeps them out, --wait-for-sessions and --end-sessions see them out first"
        ));
    }
    Ok(())
}

/// Takes the fence away, whatever became of the run. Where it stays, that is said at once.
pub async fn lower(
    ui: &Ui,
    database: &mut dyn Database,
    raised: Option<Raised>,
) -> Result<(), Failure> {
    let Some(raised) = raised else { return Ok(()) };
    let lowered = database.lower_fence(&raised).await;
    match &lowered {
        Ok(()) => ui.say("other clients may write again"),
        Err(_) => ui.note(format!("warning: the fence still stands ({})", raised.fence.kind)),
    }
    lowered.map_err(|cause| Failure::to_ask("cannot take the fence away", cause))
}

/// Takes away what a run left standing once it is made up for. Where that failed, the schema may be half
/// way still, and the fence goes on keeping other clients out of it.
pub async fn after(ui: &Ui, database: &mut dyn Database, plan: &Plan, made_up: bool) {
    if made_up {
        return take_away(ui, database, &plan.app, &plan.tables).await;
    }
    // How the run ended is told before anything else, and a server that is gone is told of there.
    for Raised { fence, .. } in database.fences(&plan.app).await.unwrap_or_default() {
        ui.note(format!(
            "warning: the fence still stands ({}); `sternway doctor --lower-fence` takes it away",
            fence.kind
        ));
    }
}

/// Takes away what a run on these tracking tables left standing when it was cut short, now that it is made up for:
/// until then it has kept other clients out. Where somebody is at work, it may be his, and stays.
///
/// A fence that stays is only warned of: how the run ended is told before anything else.
pub async fn take_away(ui: &Ui, database: &mut dyn Database, app: &str, tables: &[String]) {
    match left(database, app, tables).await {
        Ok(taken) => {
            for raised in taken {
                found(ui, &raised);
            }
        }
        Err(cause) => {
            ui.note(format!("warning: cannot take away the fence that a run left: {cause}"))
        }
    }
}

/// The fences that stand though nobody is at work, in words: an end that came before they were
/// taken away has left them, and until somebody does that, the application cannot write.
pub async fn forgotten(
    setup: &Setup<'_>,
    database: &mut dyn Database,
) -> Result<Vec<String>, Failure> {
    let fences = database.fences(&setup.config.layout.app).await;
    let fences =
        fences.map_err(|cause| Failure::to_ask("cannot tell whether a fence stands", cause))?;
    if fences.is_empty() || unfinished::at_work(setup, database).await? {
        return Ok(Vec::new());
    }
    let named =
        fences.iter().map(|it| format!("{}, since {} UTC", it.fence.kind, it.since)).collect();
    Ok(named)
}

async fn left(
    database: &mut dyn Database,
    app: &str,
    tables: &[String],
) -> Result<Vec<Raised>, DatabaseError> {
    if database.fences(app).await?.is_empty() {
        return Ok(Vec::new());
    }
    match database.lock(tables, Duration::ZERO).await {
        Ok(()) => {}
        Err(LockError::Held(_)) => return Ok(Vec::new()),
        Err(LockError::Database(cause)) => return Err(cause),
    }
    let lowered = fence::lower(database, app).await;
    database.unlock().await?;
    lowered
}

fn found(ui: &Ui, raised: &Raised) {
    let Raised { fence, since, .. } = raised;
    ui.say(format!("took away a fence that a run left at {since} UTC ({})", fence.kind));
}

struct Teller<'a> {
    ui: &'a Ui,
    stop: &'a mut (dyn FnMut() -> bool + Send),
}

impl Watch for Teller<'_> {
    fn tell(&mut self, event: &Event<'_>) {
        let (text, sessions) = match event {
            Event::Found(raised) => return found(self.ui, raised),
            Event::Raised(raised) => {
                (format!("the fence stands: {}", raised.fence.kind), [].as_slice())
            }
            Event::Waiting(sessions) => {
                ("waiting for other clients to leave:".to_owned(), *sessions)
            }
            Event::Ending(sessions) => {
                ("ending the sessions of other clients:".to_owned(), *sessions)
            }
        };
        self.ui.say(text);
        for session in sessions {
            self.ui.say(format!("  {session}"));
        }
    }

    fn stop(&mut self) -> bool {
        (self.stop)()
    }
}
