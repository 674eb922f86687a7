//! `sternway abort`

use sternway_engine::run::{Outcome, Run, abort as take_back};

use super::execute::{Teller, comparison_text};
use super::fence;
use super::unfinished::{describe, the_run};
use crate::args::{AbortArgs, Shared};
use crate::failure::{Exit, Failure};
use crate::output::TakenBack;
use crate::ui::Ui;
use crate::wiring::Setup;

pub async fn abort(ui: &Ui, shared: &Shared, args: &AbortArgs) -> Result<Exit, Failure> {
    let setup = Setup::new(ui, shared)?;
    let mut database = setup.connect().await?;
    let unfinished = the_run(&setup, &mut *database).await?;
    ui.say(describe(&unfinished).trim_end());
    let (id, plan) = (unfinished.id, &unfinished.plan);
    let landmarks = setup.landmarks(plan, &unfinished.progress).await;
    ui.confirm("Take it back?", args.go.yes)?;
    let mut app = setup.app();
    let shadow = setup.shadow();
    let run = Run {
        landmarks: landmarks.as_ref(),
        shadow: Some(&shadow),
        lock_timeout: setup.lock_timeout(),
        end_orphans: args.go.end_orphans,
        limits: args.go.limits.limits(),
        retries: args.go.limits.lock_retries,
        app: app.as_deref_mut(),
        ..Run::of(plan)
    };
    let mut teller = Teller::new(ui, plan);
    let ended = take_back(run, id, &mut *database, &mut teller).await;
    fence::after(ui, &mut *database, plan, ended.is_ok()).await;
    let format = "sternway.abort/1";
    let (kept, put_back) = (&teller.kept, &teller.put_back);
    match ended.map_err(|cause| Failure::to_abort(id, ui, cause))? {
        Outcome::TakenBack { comparison } => {
            let start = "what it was before the run";
            let done = ui.good(&format!("run {id} is taken back"));
            let exit = match &comparison {
                Some(comparison) => {
                    let holds = comparison.holds();
                    let is = if holds { "is" } else { "is not" };
                    ui.say(format!("{done}; the schema {is} {start}"));
                    let text = comparison_text(ui, comparison);
                    if !text.is_empty() {
                        ui.say(text.trim_end());
                    }
                    if holds { Exit::Done } else { Exit::Drift }
                }
                None => {
                    ui.say(format!("{done}; whether the schema is {start} is not known"));
                    Exit::Done
                }
            };
            ui.json(&TakenBack {
                format,
                run: id,
                outcome: "taken_back",
                comparison,
                kept,
                put_back,
            });
            Ok(exit)
        }
        Outcome::Interrupted { done, of } => {
            ui.say(format!(
                "interrupted: {done} of {of} steps are left to be undone; `sternway abort` goes on"
            ));
            ui.json(&TakenBack {
                format,
                run: id,
                outcome: "interrupted",
                comparison: None,
                kept,
                put_back,
            });
            Ok(Exit::Interrupted)
        }
        // Nothing that is taken back arrives.
        Outcome::Arrived(_) => Ok(Exit::Done),
    }
}
