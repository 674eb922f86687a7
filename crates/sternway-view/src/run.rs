//! What became of a run.

use serde::Serialize;
use sternway_model::archive::{Preserved, Restoration};
use sternway_model::check::{Finding, Severity};
use sternway_model::effect::{Loss, counted};
use sternway_model::plan::Plan;
use sternway_model::proof::Comparison;

use crate::Paint;
use crate::away::Away;

/// `sternway.run/1`: `rollback`, `upgrade`, `apply` and `resume`.
#[derive(Debug, Serialize)]
pub struct Ran<'a> {
    /// `sternway.run/1`
    pub format: &'static str,
    /// What was carried out.
    pub plan: &'a Plan,
    /// `arrived` or `interrupted`.
    pub outcome: &'static str,
    /// Where each hop led to; none where it was not proved.
    pub proofs: Vec<Option<Comparison>>,
    /// What was kept in the archive.
    pub kept: &'a [Preserved],
    /// What was restored from it.
    pub put_back: &'a [Restoration],
    /// What the checks of the settings found.
    pub checks: &'a [CheckRow],
    /// For how long the application was away, where it was moved.
    pub away: Option<Away>,
}

/// What a check of the settings found.
#[derive(Debug, Serialize)]
pub struct CheckRow {
    /// What has to be so.
    pub message: String,
    /// `refuse` or `warn`.
    pub severity: &'static str,
    /// Whether it is so.
    pub holds: bool,
    /// Rows that are to blame.
    pub rows: Vec<String>,
    /// Whether there are more of them.
    pub more: bool,
    /// The file that can run again for them.
    pub again: Option<String>,
    /// Whether it did.
    pub ran_again: bool,
}

/// `sternway.abort/1`
#[derive(Debug, Serialize)]
pub struct TakenBack<'a> {
    /// `sternway.abort/1`
    pub format: &'static str,
    /// The run.
    pub run: i64,
    /// `taken_back` or `interrupted`.
    pub outcome: &'static str,
    /// The schema beside the one that there was before the run.
    pub comparison: Option<Comparison>,
    /// What was kept in the archive.
    pub kept: &'a [Preserved],
    /// What was restored from it.
    pub put_back: &'a [Restoration],
}

impl CheckRow {
    /// The shape of what a check found.
    pub fn of(finding: &Finding) -> CheckRow {
        CheckRow {
            message: finding.check.message.clone(),
            severity: match finding.check.severity {
                Severity::Refuse => "refuse",
                Severity::Warn => "warn",
            },
            holds: finding.holds,
            rows: finding.rows.clone(),
            more: finding.more,
            again: finding.again.clone(),
            ran_again: finding.ran_again,
        }
    }
}

/// What is asked before anything is changed, with the numbers of what is lost for good.
pub fn question(plan: &Plan) -> String {
    if plan.is_app_only() {
        return "The schema stays as it is. Prove it and record the journey?".to_owned();
    }
    let go = format!("Go ahead with {}?", counted(plan.steps().count() as u64, "step"));
    if plan.keeps && plan.discards.is_empty() {
        return go;
    }
    let goes = |loss: &&Loss| !plan.keeps || plan.discards.contains(loss.lost.of());
    let lost = plan.losses().filter(|loss| loss.rows != Some(0)).filter(goes);
    let lost: Vec<&Loss> = lost.collect();
    let known = plan.steps().all(|step| step.effects.is_some());
    match (lost.as_slice(), known) {
        ([], true) => go,
        ([], false) if plan.keeps => go,
        ([], false) => format!("Whatever the steps take away is LOST for good. {go}"),
        (lost, _) => {
            let lost: Vec<String> = lost.iter().map(ToString::to_string).collect();
            format!("LOST for good: {}. {go}", lost.join("; "))
        }
    }
}

/// A run that went to the end of its plan.
pub fn arrived(paint: Paint, plan: &Plan, proofs: &[Option<Comparison>]) -> String {
    let done = paint.good(&format!("{} to {}", plan.course.done(), plan.target));
    let last = proofs.last().and_then(Option::as_ref);
    let Some(last) = last.filter(|_| proofs.iter().all(Option::is_some)) else {
        return format!("{done}, unproven");
    };
    let install = plan.hops.last().map(|hop| plan.clean_install(hop)).unwrap_or_default();
    if last.is_clean_install() {
        return format!("{done}; the schema is that of a clean install of {install}");
    }
    let differ = [&last.of_the_migrations, &last.there_before, &last.accepted];
    let differ = counted(differ.iter().map(|it| it.len() as u64).sum(), "difference");
    format!("{done}; the schema is that of a clean install of {install} but for {differ}")
}

/// A run that was asked to stop, and did after `done` of `of` steps.
pub fn interrupted(plan: &Plan, done: usize, of: usize, has_journal: bool) -> String {
    let (course, target) = (plan.course, &plan.target);
    let way = match has_journal {
        true => "`sternway resume` goes on from there, `sternway abort` takes it back".to_owned(),
        false => format!("`sternway {course} --to {target}` goes on from there"),
    };
    format!("interrupted after {done} of {of} steps; {way}")
}

/// A run that was taken back, and whether the schema is what it was.
pub fn taken_back(paint: Paint, run: i64, comparison: Option<&Comparison>) -> String {
    let start = "what it was before the run";
    let done = paint.good(&format!("run {run} is taken back"));
    match comparison {
        Some(comparison) => {
            let is = if comparison.holds() { "is" } else { "is not" };
            let text = crate::comparison::text(paint, comparison);
            format!("{done}; the schema {is} {start}\n{text}")
        }
        None => format!("{done}; whether the schema is {start} is not known"),
    }
}

/// A run that was to be taken back, and was asked to stop.
pub fn left_to_undo(left: usize, of: usize) -> String {
    format!("interrupted: {left} of {of} steps are left to be undone; `sternway abort` goes on")
}
