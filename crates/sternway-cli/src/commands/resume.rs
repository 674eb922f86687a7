//! `sternway resume`

use sternway_database::Unfinished;
use sternway_engine::run::{Run, resume as go_on};
use sternway_model::journal::Progress;

use super::archive::warn;
use super::execute::{Teller, expected, told};
use super::fence;
use super::unfinished::{describe, the_run};
use crate::args::{ResumeArgs, Shared};
use crate::failure::{Exit, Failure};
use crate::ui::Ui;
use crate::wiring::Setup;

pub async fn resume(ui: &Ui, shared: &Shared, args: &ResumeArgs) -> Result<Exit, Failure> {
    let setup = Setup::new(ui, shared)?;
    let mut database = setup.connect().await?;
    let Unfinished { id, plan, progress, .. } = {
        let run = the_run(&setup, &mut *database).await?;
        ui.say(describe(&run).trim_end());
        run
    };
    if let Progress::Aborting { .. } = progress {
        let text = format!("run {id} is being taken back, and cannot go on");
        let failure = Failure::new(text, Exit::Refused);
        return Err(failure.hint("`sternway abort` takes it back to its beginning"));
    }
    let expected = expected(&setup, &plan, args.unproven).await?;
    let landmarks = setup.landmarks(&plan, &progress).await;
    ui.confirm("Go on with it?", args.go.yes)?;
    let mut app = setup.app();
    let run = Run {
        expected: expected.as_deref(),
        landmarks: landmarks.as_ref(),
        lock_timeout: setup.lock_timeout(),
        end_orphans: args.go.end_orphans,
        limits: args.go.limits.limits(),
        retries: args.go.limits.lock_retries,
        app: app.as_deref_mut(),
        ..Run::of(&plan)
    };
    let mut teller = Teller::new(ui, &plan);
    let ran = go_on(run, id, &mut *database, &mut teller).await;
    fence::after(ui, &mut *database, &plan, ran.is_ok()).await;
    let ran = ran.map_err(|cause| Failure::to_resume(id, ui, cause))?;
    let exit = told(&setup, &plan, &teller, ran, &mut *database, false).await?;
    warn(&setup, &mut *database).await?;
    Ok(exit)
}
