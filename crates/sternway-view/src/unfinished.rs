//! A run that nobody has ended.

use std::fmt::Write as _;

use serde::Serialize;
use sternway_database::Unfinished;
use sternway_model::catalog::Release;
use sternway_model::journal::Progress;
use sternway_model::plan::{Course, Step};

use crate::words::course;

/// An unfinished run, as `sternway.status/1` has it.
#[derive(Debug, Serialize)]
pub struct UnfinishedRun {
    /// Its number.
    pub run: i64,
    /// Which way it goes.
    pub course: Course,
    /// The release it started from, where that is known.
    pub from: Option<Release>,
    /// The release it was to arrive at.
    pub target: Release,
    /// When it started, in UTC.
    pub started: String,
    /// The database user.
    pub user: String,
    /// How many steps its plan has, proofs among them.
    pub steps: usize,
    /// How far it came.
    pub progress: Progress,
}

impl UnfinishedRun {
    /// The shape of a run.
    pub fn of(run: &Unfinished) -> UnfinishedRun {
        let Unfinished { id, plan, progress, user, started } = run;
        UnfinishedRun {
            run: *id,
            course: plan.course,
            from: plan.running.clone(),
            target: plan.target.clone(),
            started: started.clone(),
            user: user.clone(),
            steps: plan.all_steps().count(),
            progress: progress.clone(),
        }
    }
}

/// A run in a few words, with how far it came.
pub fn named(run: &Unfinished) -> String {
    let Unfinished { id, plan, progress, .. } = run;
    let course = course(plan.course, plan.running.as_ref(), &plan.target);
    format!("run {id}, the {course}, {progress},")
}

/// A run with what is done of it and what is not, a line a step.
pub fn text(run: &Unfinished) -> String {
    let Unfinished { id, plan, progress, user, started } = run;
    let (course, app) = (course(plan.course, plan.running.as_ref(), &plan.target), &plan.app);
    let mut text =
        format!("run {id}: {course} of {app}, begun {started} UTC by {user}: {progress}\n");
    if let Progress::Failed { reason, .. } = progress {
        let _ = writeln!(text, "  {reason}");
    }
    let (done, doubtful) = match progress {
        Progress::Before { step } | Progress::Interrupted { step } => (*step, None),
        Progress::InDoubt { step, .. } => (*step, Some("in doubt")),
        Progress::Failed { step, .. } => (*step, Some("failed")),
        Progress::Aborting { left, in_doubt: false, .. } => (*left, None),
        Progress::Aborting { left, .. } => (left.saturating_sub(1), Some("being undone")),
        Progress::Finished | Progress::Aborted | Progress::Abandoned => (0, None),
    };
    for (index, (hop, step)) in plan.all_steps().enumerate() {
        let state = match doubtful.filter(|_| index == done) {
            Some(doubtful) => doubtful,
            None if index < done => "done",
            None => "not done",
        };
        let what = match step {
            Step::Prove => format!("prove the schema of {}", hop.to),
            other => other.in_words(false),
        };
        let _ = writeln!(text, "  {:>2}  {state:<12}  {what}", index + 1);
    }
    text
}
