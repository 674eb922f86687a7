//! What happens while a journey goes on, line by line.

use std::collections::BTreeSet;

use sternway_database::Session;
use sternway_engine::event::Event;
use sternway_model::archive::{Preserved, Restoration};
use sternway_model::check::Finding;
use sternway_model::effect::counted;
use sternway_model::plan::Plan;
use sternway_model::state::RecordsAccess;

use crate::away::{Away, Watch};
use crate::error::in_a_line;
use crate::words::plural;
use crate::{Paint, comparison};

/// A line to show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// A part of the result.
    Result(String),
    /// Something beside it.
    Note(String),
}

/// Puts events into words, and remembers what the run reports at its end.
#[derive(Debug, Default)]
pub struct Reporter {
    paint: Paint,
    /// How many migrations were run, or undone.
    pub done: usize,
    /// How many the plan has.
    pub of: usize,
    /// Whether there is no journal.
    pub without_records: bool,
    /// What was kept so far.
    pub kept: Vec<Preserved>,
    /// What was restored so far.
    pub put_back: Vec<Restoration>,
    /// For how long the application was away, once it is back.
    pub away: Option<Away>,
    watch: Watch,
    /// What checks found and was shown already: they are asked again under the locks.
    shown: BTreeSet<String>,
}

impl Reporter {
    /// A reporter that has seen nothing yet.
    pub fn new(paint: Paint) -> Reporter {
        Reporter { paint, ..Reporter::default() }
    }

    /// The lines that an event is worth.
    pub fn lines(&mut self, event: &Event<'_>) -> Vec<Line> {
        let result = |text: String| vec![Line::Result(text)];
        let note = |text: String| vec![Line::Note(text)];
        let paint = self.paint;
        match event {
            Event::AppSilent(error) => note(format!("warning: {error}")),
            Event::Unproven(error) => {
                let cause = in_a_line(*error);
                note(format!("warning: cannot tell what the plan should lead to: {cause}"))
            }
            Event::Pooled => note(
                "warning: the connection goes through a proxy that shares it by transaction; session locks \
                 mean nothing there, so that nothing keeps other migrators out"
                    .to_owned(),
            ),
            Event::Abandoned(run) => note(format!("run {run} is left as it is")),
            Event::Begins { plan, access } => self.begins(plan, access),
            Event::Checked(findings) => self.checked(findings),
            Event::RanAgain { file, done } => {
                let kept = done.kept.iter().map(|it| {
                    format!("kept in the archive: {} rows of {}", it.rows, it.lost)
                });
                kept.chain([format!("{file} ran again")]).map(Line::Result).collect()
            }
            Event::Unguarded(sessions) => unguarded(sessions).into_iter().collect(),
            Event::FenceFound(raised) | Event::FenceLowered { raised, left: true } => {
                let (since, kind) = (&raised.since, &raised.fence.kind);
                result(format!("took away a fence that a run left at {since} UTC ({kind})"))
            }
            Event::FenceLowered { left: false, .. } => {
                result("other clients may write again".to_owned())
            }
            Event::FenceRaised(raised) => result(format!("the fence stands: {}", raised.fence.kind)),
            Event::NobodyToFence => {
                result("no fence: nobody else is connected, and no role is named".to_owned())
            }
            Event::FenceStands(raised) => note(format!(
                "warning: the fence still stands ({}); it goes when that run is finished or taken back, \
                 and `sternway doctor --lower-fence` takes it away",
                raised.fence.kind
            )),
            Event::SnapshotTaken { snapshot, proven } => {
                let proven = if *proven { paint.good("proven") } else { "not proven".to_owned() };
                result(format!("{snapshot}, {proven}"))
            }
            Event::Waiting(sessions) => listed("waiting for other clients to leave:", sessions),
            Event::Ending(sessions) => listed("ending the sessions of other clients:", sessions),
            // Walks by numbers are shown as golang-migrate does, by their commands.
            Event::Starts(_)
            | Event::TurnOf { .. }
            | Event::LegPlanned(_)
            | Event::LegStarts(_)
            | Event::LegEnded { .. } => Vec::new(),
            Event::Migrated { step, took, done } => {
                self.done += 1;
                let (number, of, track) = (self.done, self.of, &step.track);
                let milliseconds = took.as_secs_f64() * 1000.0;
                let head = format!("[{number}/{of}] {track}: {} ({milliseconds:.1} ms)", step.file);
                let mut lines = result(head);
                lines.extend(done.kept.iter().map(kept));
                lines.extend(done.restored.iter().flat_map(|it| restored(it, paint)));
                self.kept.extend(done.kept.iter().cloned());
                self.put_back.extend(done.restored.iter().cloned());
                lines
            }
            Event::Blocked { step, by, pause } => {
                let seconds = pause.as_secs_f64();
                let mut text = format!(
                    "`{}` waits for a lock; what waits is not done, and is tried again in {seconds} s",
                    step.file
                );
                for session in *by {
                    text.push_str(&format!("\n  held by {session}"));
                }
                note(text)
            }
            Event::Awaits(what) => result(format!("{} {what}", paint.alarm("now:"))),
            Event::Deployed { step, undone, took } => {
                let mut lines =
                    result(format!("{} ({:.1} s)", step.in_words(*undone), took.as_secs_f64()));
                if let Some(away) = self.watch.note(step, *undone, *took) {
                    lines.push(Line::Result(away.to_string()));
                    self.away = Some(away);
                }
                lines
            }
            Event::Restored(all) => all.iter().flat_map(|it| restored(it, paint)).collect(),
            Event::Rebuilt { object, lacks } => {
                let lacks = match lacks {
                    0 => String::new(),
                    _ => format!(
                        ", without {} that it had: the role is gone, or you may not act for it",
                        plural(*lacks, "grant, owner or definer", "grants, owners or definers")
                    ),
                };
                result(format!("      made again: {object}, which others had made{lacks}"))
            }
            Event::Proved { release, comparison } if comparison.holds() => {
                let is = match comparison.is_clean_install() {
                    true => "the schema is proved",
                    false => "the schema is as rehearsed, and not that of a clean install",
                };
                let mut lines = result(format!("{} {release}: {is}", paint.good("ok")));
                let text = comparison::text(paint, comparison);
                if !text.is_empty() {
                    lines.push(Line::Result(text.trim_end().to_owned()));
                }
                lines
            }
            // The error that ends the run tells of it.
            Event::Proved { .. } => Vec::new(),
            Event::GoesBack { reason } => {
                // What was done is now what is to be undone.
                (self.of, self.done) = (self.done, 0);
                result(format!("{} {reason}", paint.alarm("going back:")))
            }
        }
    }

    fn begins(&mut self, plan: &Plan, access: &RecordsAccess) -> Vec<Line> {
        self.of = plan.steps().count();
        match access {
            RecordsAccess::Available => Vec::new(),
            RecordsAccess::Unavailable(reason) => {
                self.without_records = true;
                vec![Line::Note(format!("warning: no records are kept: {reason}"))]
            }
        }
    }

    fn checked(&mut self, findings: &[Finding]) -> Vec<Line> {
        let wrong = findings.iter().filter(|it| !it.holds);
        let texts = wrong.map(|it| finding(self.paint, it).trim_end().to_owned());
        let new: Vec<String> = texts.filter(|it| !self.shown.contains(it)).collect();
        self.shown.extend(new.iter().cloned());
        new.into_iter().map(Line::Note).collect()
    }
}

fn kept(it: &Preserved) -> Line {
    let about = if it.estimated { "about " } else { "" };
    let (lost, rows, id) = (&it.lost, counted(it.rows, "row"), it.id);
    Line::Result(format!("      kept {lost}: {about}{rows}, entry {id} of the archive"))
}

fn restored(it: &Restoration, paint: Paint) -> Vec<Line> {
    let Restoration { id, lost, restored } = it;
    let back = counted(restored.back, "row");
    let mut lines = vec![format!("      put back {lost}: {back}, from entry {id} of the archive")];
    lines.extend(
        restored.conflicts.iter().map(|it| format!("      {} {it}", paint.alarm("not back:"))),
    );
    lines.into_iter().map(Line::Result).collect()
}

fn listed(head: &str, sessions: &[Session]) -> Vec<Line> {
    let sessions = sessions.iter().map(|session| format!("  {session}"));
    [head.to_owned()].into_iter().chain(sessions).map(Line::Result).collect()
}

fn unguarded(sessions: &[Session]) -> Option<Line> {
    let [one, others @ ..] = sessions else { return None };
    let more = match others.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Some(Line::Note(format!(
        "warning: others are connected ({one}{more}); what they write while it is copied and taken away is \
         not kept: --fence no-connect keeps them out, --wait-for-sessions and --end-sessions see them out first"
    )))
}

/// What a check found.
pub fn finding(paint: Paint, finding: &Finding) -> String {
    let mut text = format!("{} {}\n", paint.alarm("check:"), finding.check.message);
    for row in &finding.rows {
        text.push_str(&format!("  {row}\n"));
    }
    if finding.more {
        text.push_str("  and more\n");
    }
    match &finding.again {
        Some(file) if finding.ran_again => {
            text.push_str(&format!("  {file} ran again, and leaves these as they are\n"));
        }
        Some(file) => text.push_str(&format!("  {file} can run again for these: --again\n")),
        None => {}
    }
    text
}
