//! `sternway abort`

use sternway_engine::journey::{self, JourneyError, Manner, Ports, the_run};
use sternway_engine::run::{Clear, Outcome};
use sternway_view::run::{TakenBack, left_to_undo, taken_back};
use sternway_view::unfinished;

use crate::args::{AbortArgs, EndArgs, Shared};
use crate::failure::{Exit, Failure};
use crate::terminal::{Asker, Terminal};
use crate::ui::Ui;
use crate::wiring::Setup;

pub async fn abort(ui: &Ui, shared: &Shared, args: &AbortArgs) -> Result<Exit, Failure> {
    let setup = Setup::new(ui, shared)?.found().await?;
    let mut database = setup.connect().await?;
    let run = the_run(&setup.config.layout.app, &mut *database).await;
    let run = run.map_err(Failure::to_find_run)?;
    ui.say(unfinished::text(&run).trim_end());
    let (mut app, shadow) = (setup.app(), setup.shadow());
    let mut terminal = Terminal::new(ui);
    let mut asker = Asker::new(&terminal, args.go.yes);
    let mut ports = Ports {
        source: None,
        database: &mut *database,
        app: app.as_deref_mut(),
        snapshots: None,
        shadow: &shadow,
        observer: &mut terminal,
    };
    let approve = || asker.approve("Take it back?");
    let outcome = match journey::abort(&run, &setup.ending(&args.go), approve, &mut ports).await {
        Ok(outcome) => outcome,
        Err(JourneyError::NotApproved) => return Err(asker.denied()),
        Err(cause) => return Err(Failure::to_abort(ui, &run, cause)),
    };
    let (kept, put_back) = (&terminal.reporter.kept, &terminal.reporter.put_back);
    let shape = |outcome, comparison| {
        let format = "sternway.abort/1";
        TakenBack { format, run: run.id, outcome, comparison, kept, put_back }
    };
    match outcome {
        Outcome::TakenBack { comparison } => {
            let holds = comparison.as_ref().is_none_or(|it| it.holds());
            ui.say(taken_back(ui.paint(), run.id, comparison.as_ref()).trim_end());
            ui.json(&shape("taken_back", comparison));
            Ok(if holds { Exit::Done } else { Exit::Drift })
        }
        Outcome::Interrupted { done, of } => {
            ui.say(left_to_undo(done, of));
            ui.json(&shape("interrupted", None));
            Ok(Exit::Interrupted)
        }
        // Nothing that is taken back arrives.
        Outcome::Arrived { .. } => Ok(Exit::Done),
    }
}

impl Setup<'_> {
    /// How an unfinished run is ended.
    pub fn ending(&self, args: &EndArgs) -> Manner {
        Manner {
            lock_timeout: self.lock_timeout(),
            limits: args.limits.limits(),
            retries: args.limits.lock_retries,
            end_orphans: args.end_orphans,
            clear: Clear { end: args.end_sessions, wait: args.wait_for_sessions },
            ..Manner::default()
        }
    }
}
