//! `sternway resume`

use sternway_engine::journey::{self, JourneyError, Ports, the_run};
use sternway_engine::snapshot::Snapshots;
use sternway_view::unfinished;

use super::archive::warn;
use super::journey::report;
use super::snapshot::Taker;
use crate::args::{ResumeArgs, Shared};
use crate::failure::{Exit, Failure};
use crate::terminal::{Asker, Terminal};
use crate::ui::Ui;
use crate::wiring::Setup;

pub async fn resume(ui: &Ui, shared: &Shared, args: &ResumeArgs) -> Result<Exit, Failure> {
    let setup = Setup::new(ui, shared)?.found().await?;
    let mut database = setup.connect().await?;
    let run = the_run(&setup.config.layout.app, &mut *database).await;
    let run = run.map_err(Failure::to_find_run)?;
    ui.say(unfinished::text(&run).trim_end());
    let (mut app, shadow) = (setup.app(), setup.shadow());
    let mut terminal = Terminal::new(ui);
    let mut asker = Asker::new(&terminal, args.go.yes);
    let mut taker = Taker::of(&setup)?;
    let mut ports = Ports {
        source: None,
        database: &mut *database,
        app: app.as_deref_mut(),
        snapshots: taker.as_mut().map(|it| it as &mut dyn Snapshots),
        shadow: &shadow,
        observer: &mut terminal,
    };
    let approve = |_: Option<&[_]>| asker.approve("Go on with it?");
    let accepted = args.accept_difference.clone();
    let manner = journey::Manner { unproven: args.unproven, accepted, ..setup.ending(&args.go) };
    let outcome = journey::resume(&run, &manner, approve, &mut ports).await;
    let outcome = match outcome {
        Ok(outcome) => outcome,
        Err(JourneyError::NotApproved) => return Err(asker.denied()),
        Err(cause) => return Err(Failure::to_resume(ui, &run, cause)),
    };
    let exit = report(ui, &run.plan, &terminal, outcome);
    warn(&setup, &mut *database).await?;
    Ok(exit)
}
