//! The runs that a database remembers.

use serde::Serialize;
use sternway_database::RunSummary;
use sternway_model::catalog::Release;
use sternway_model::journal::Progress;
use sternway_model::plan::Course;

use crate::words::{course, table};

/// `sternway.history/1`
#[derive(Debug, Serialize)]
pub struct History {
    format: &'static str,
    /// The runs, the last one first.
    pub runs: Vec<RunRow>,
}

/// One run.
#[derive(Debug, Serialize)]
pub struct RunRow {
    /// Its number.
    pub run: i64,
    /// Which way it went.
    pub course: Course,
    /// The release it started from, where that is known.
    pub from: Option<Release>,
    /// The release it was to arrive at.
    pub target: Release,
    /// When it started, in UTC.
    pub started: String,
    /// How long it took up to its last record, in seconds.
    pub seconds: f64,
    /// How many steps its plan has.
    pub steps: usize,
    /// The database user.
    pub user: String,
    /// How far it came.
    pub progress: Progress,
}

impl History {
    /// The shape of these runs.
    pub fn of(runs: Vec<RunSummary>) -> History {
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
        History { format: "sternway.history/1", runs: rows.collect() }
    }

    /// A line each.
    pub fn text(&self) -> String {
        if self.runs.is_empty() {
            return "Sternway has not run on this database".to_owned();
        }
        let heads = ["RUN", "STARTED (UTC)", "WHAT", "TOOK", "BY", "END"];
        let mut rows = vec![heads.map(str::to_owned).to_vec()];
        for run in &self.runs {
            rows.push(vec![
                run.run.to_string(),
                run.started.clone(),
                course(run.course, run.from.as_ref(), &run.target),
                format!("{:.2} s", run.seconds),
                run.user.clone(),
                match &run.progress {
                    Progress::Failed { reason, .. } => format!("{}: {reason}", run.progress),
                    progress => progress.to_string(),
                },
            ]);
        }
        table(&rows)
    }
}
