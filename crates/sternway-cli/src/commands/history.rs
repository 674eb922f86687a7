//! `sternway history`

use crate::args::Shared;
use crate::failure::{Exit, Failure};
use crate::output::{History, RunRow};
use crate::ui::{Ui, table};
use crate::wiring::Setup;
use sternway_model::journal::Progress;

pub async fn history(ui: &Ui, shared: &Shared) -> Result<Exit, Failure> {
    let setup = Setup::new(ui, shared)?;
    let mut database = setup.connect().await?;
    let runs = database.history(&setup.config.layout.app).await;
    let runs = runs.map_err(|cause| Failure::to_ask("cannot read the history", cause))?;
    if runs.is_empty() {
        ui.say("Sternway has not run on this database");
    } else {
        let mut rows =
            vec![["RUN", "STARTED (UTC)", "WHAT", "TOOK", "BY", "END"].map(str::to_owned).to_vec()];
        for run in &runs {
            let from = run.from.as_ref().map_or("-".to_owned(), ToString::to_string);
            rows.push(vec![
                run.id.to_string(),
                run.started.clone(),
                format!("{} {from} -> {}", run.course, run.target),
                format!("{:.2} s", run.seconds),
                run.user.clone(),
                match &run.progress {
                    Progress::Failed { reason, .. } => format!("{}: {reason}", run.progress),
                    progress => progress.to_string(),
                },
            ]);
        }
        ui.say(table(&rows).trim_end());
    }
    let rows = runs.into_iter().map(|run| RunRow {
        run: run.id,
        course: run.course,
        from: run.from,
        target: run.target,
        started: run.started,
        seconds: run.seconds,
        steps: run.steps,
        user: run.user,
        progress: run.progress,
    });
    ui.json(&History { format: "sternway.history/1", runs: rows.collect() });
    Ok(Exit::Done)
}
