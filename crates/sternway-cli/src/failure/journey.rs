//! Why a journey is not made, or does not arrive.

use sternway_database::{DatabaseError, LockError, StepError, Unfinished};
use sternway_engine::check::{CheckError, MendError};
use sternway_engine::journey::JourneyError;
use sternway_engine::preflight::{PreflightError, UnfinishedRun};
use sternway_engine::run::RunError;
use sternway_engine::shadow::RehearsalError;
use sternway_model::catalog::Release;
use sternway_model::journal::Progress;
use sternway_model::plan::{Course, Note, Plan};
use sternway_model::proof::{Difference, ObjectName};
use sternway_view::status::dirty_hint;
use sternway_view::unfinished::named;
use sternway_view::{comparison, doctor};

use super::{Exit, Failure, SWALLOWED};
use crate::ui::Ui;

impl Failure {
    pub fn to_rehearse(cause: RehearsalError) -> Failure {
        let hint = format!(
            "nothing was touched. {}--unproven goes on without a proof of the result",
            unrehearsed(&cause)
        );
        Self::with("cannot tell what the plan should lead to", cause, &hint, Exit::Refused)
    }

    /// There is no journey to be made.
    pub fn to_prepare(target: &Release, cause: JourneyError) -> Failure {
        match cause {
            JourneyError::Preflight(cause) => Self::to_preflight(cause),
            JourneyError::Plan { cause, gathered, dirty } => {
                let failure = Self::to_plan(target, &gathered, cause);
                match dirty {
                    Some(dirty) => failure.hint(dirty_hint(&dirty)),
                    None => failure,
                }
            }
            JourneyError::Rehearse { cause, deviation } => match deviation.differences.as_slice() {
                [] if matches!(cause, RehearsalError::Journey(_)) && !deviation.foreign.is_empty() => {
                    Self::to_rehearse(cause).hint(among_others(&deviation.foreign))
                }
                [] => Self::to_rehearse(cause),
                differences => Self::to_rehearse(cause).hint(from_here(differences)),
            },
            JourneyError::Lacks { target, lacks } => {
                let names: Vec<String> =
                    lacks.iter().map(|it| flag("--accept-difference", it.object())).collect();
                Self::new(
                    format!("release {target} would be without what it has on a clean install"),
                    Exit::Refused,
                )
                .caused_by(&lacks)
                .hint(format!(
                    "nothing was touched. The application's own migrations do not make it: make it by hand; or, if {target} can do without, {} goes on",
                    names.join(" ")
                ))
            }
            JourneyError::RowsForbid { adds, messages } => Self::rows_forbid(&adds, &messages),
            JourneyError::LargeObjects { .. } => Self::new(cause.to_string(), Exit::Refused).hint(
                "nothing was touched. `pg_dump --large-objects` makes a copy of them; --accept lo_unlink goes on, and they are LOST for good",
            ),
            JourneyError::TakesForeign { ref objects, .. } => {
                let names: Vec<String> = objects.iter().map(|it| flag("--accept", it)).collect();
                let hint = format!(
                    "nothing was touched. What makes it again is kept, and the way back makes it again where it fits: {} goes on; `accept` in [policy] of sternway.toml lists names for good",
                    names.join(" ")
                );
                Self::new(cause.to_string(), Exit::Refused).hint(hint)
            }
            JourneyError::Unanswered(cause) => cause.into(),
            JourneyError::App(cause) => Self::new(cause.to_string(), Exit::Refused).hint(
                "nothing was touched. Mend the cause and give the same command again; --no-deploy moves the database alone",
            ),
            JourneyError::DeploymentMoved(_) | JourneyError::RowsMoved(_) => Self::new(cause.to_string(), Exit::Refused)
                .hint("nothing was touched; plan again"),
            cause => Self::of("cannot prepare the journey", cause),
        }
    }

    pub fn to_preflight(cause: PreflightError) -> Failure {
        let text = cause.to_string();
        match cause {
            PreflightError::Pooled => Self::new(text, Exit::Refused).hint(
                "nothing was touched; connect to the server itself, or give --through-pooler where nobody else migrates",
            ),
            PreflightError::Unfinished(found) => Self::unfinished(*found),
            PreflightError::OutOfStep(wrong) => Self::new(doctor::out_of_step(&wrong), Exit::Drift).hint(
                "nothing was touched. `sternway doctor` looks closer, and writes into the row what is true; until then neither Sternway nor the application's own runner should migrate this database",
            ),
            PreflightError::Lock(LockError::Database(cause)) => {
                Self::to_ask("cannot take the locks", cause)
            }
            PreflightError::Lock(cause) => Self::to_lock(cause),
            PreflightError::Unanswered(cause) => cause.into(),
        }
    }

    /// A run that nobody has ended stands in the way.
    pub fn unfinished(found: UnfinishedRun) -> Failure {
        let abandon = "--abandon leaves it as it is and plans anew";
        match found {
            UnfinishedRun::Known(run) => {
                let what = format!("{} is unfinished", named(&run));
                let back = "`sternway abort` takes it back";
                let hint = match run.progress {
                    Progress::Aborting { .. } => format!("{back}, {abandon}"),
                    _ => format!("`sternway resume` finishes it, {back}, {abandon}"),
                };
                Self::new(what, Exit::Refused).hint(hint)
            }
            UnfinishedRun::Unreadable(_, cause) => {
                let failure = Self::to_ask("a run is unfinished", cause);
                let failure = Failure { exit: Exit::Refused, ..failure };
                failure.hint(format!("that version finishes it or takes it back; {abandon}"))
            }
        }
    }

    /// There is no unfinished run to be ended.
    pub fn to_find_run(cause: JourneyError) -> Failure {
        match cause {
            JourneyError::NothingUnfinished => Self::new("no run is unfinished", Exit::Refused)
                .hint("`sternway history` lists what ran"),
            JourneyError::Unreadable { cause, .. } => {
                Self::to_ask("cannot read the unfinished run", cause)
            }
            JourneyError::Unanswered(cause) => cause.into(),
            cause => Self::of("cannot look for an unfinished run", cause),
        }
    }

    /// A journey did not arrive.
    pub fn to_travel(ui: &Ui, plan: &Plan, cause: JourneyError) -> Failure {
        let attempt = match plan.course {
            Course::Rollback => format!("cannot roll back to {}", plan.target),
            Course::Upgrade => format!("cannot upgrade to {}", plan.target),
        };
        Self::of_journey(&attempt, ui, plan, cause)
    }

    /// An unfinished run was not finished.
    pub fn to_resume(ui: &Ui, run: &Unfinished, cause: JourneyError) -> Failure {
        if let JourneyError::Run(RunError::GoingBack(id)) = cause {
            let text = format!("run {id} is being taken back, and cannot go on");
            return Self::new(text, Exit::Refused)
                .hint("`sternway abort` takes it back to its beginning");
        }
        Self::of_journey(&format!("cannot finish run {}", run.id), ui, &run.plan, cause)
    }

    /// An unfinished run was not taken back.
    pub fn to_abort(ui: &Ui, run: &Unfinished, cause: JourneyError) -> Failure {
        Self::of_journey(&format!("cannot take run {} back", run.id), ui, &run.plan, cause)
    }

    fn of_journey(attempt: &str, ui: &Ui, plan: &Plan, cause: JourneyError) -> Failure {
        match cause {
            JourneyError::Refused(messages) => Self::to_check(&messages),
            JourneyError::RowsForbid { adds, messages } => Self::rows_forbid(&adds, &messages),
            JourneyError::Unchecked(cause) => Self::unchecked(cause),
            cause @ JourneyError::Unkept { .. } => {
                let hint = match &cause {
                    JourneyError::Unkept { unkept, .. } if unkept.iter().all(|it| !it.table.is_empty()) => {
                        let tables = unkept.iter().map(|it| it.table.as_str());
                        let tables = tables.collect::<Vec<_>>().join(",");
                        format!("nothing was touched. --discard {tables} lets that go for good and keeps the rest; keep a copy of it, if it matters")
                    }
                    _ => "nothing was touched. --discard goes on without keeping anything; keep a copy of it, if it matters".to_owned(),
                };
                Self::with(attempt, cause, &hint, Exit::Refused)
            }
            cause @ JourneyError::NothingToDiscard(_) => {
                let hint = "nothing was touched; the plan lists the tables that lose something, and --discard without a name means all";
                Self::with(attempt, cause, hint, Exit::Usage)
            }
            JourneyError::Mend(MendError::Unchecked(cause)) => Self::unchecked(cause),
            JourneyError::Mend(MendError::Unanswered(cause)) => cause.into(),
            JourneyError::Mend(cause @ MendError::Run { .. }) => {
                let text = cause.to_string();
                let failure = match cause {
                    MendError::Run { source, .. } => Self::of(text, source),
                    _ => Self::new(text, Exit::Failed),
                };
                failure.hint("the journey has arrived, and stands")
            }
            JourneyError::Mend(cause) => Self::new(cause.to_string(), Exit::Drift)
                .hint("`sternway status` shows how; take `again` out of that [[check]]"),
            JourneyError::Run(RunError::NotBegun(cause)) => Self::not_begun(attempt, plan, *cause),
            JourneyError::Run(cause) => {
                let failure = Self::of_run(attempt, ui, cause);
                let is_known = |hint: &String| {
                    hint.contains("sternway resume") || hint.contains("sternway abort")
                };
                let unrecorded = plan.notes.iter().any(|it| matches!(it, Note::NoRecords { .. }));
                match failure.hint.as_ref().is_some_and(is_known) && unrecorded {
                    true => failure.hint(UNRECORDED),
                    false => failure,
                }
            }
            cause => Self::to_prepare(&plan.target, cause),
        }
    }

    /// A step before the first migration failed, and everything is as it was.
    fn not_begun(attempt: &str, plan: &Plan, cause: RunError) -> Failure {
        let failure = match cause {
            RunError::Check(messages) => Self::to_check(&messages),
            RunError::Unchecked(cause) => Self::unchecked(cause),
            RunError::Fence(cause) => Self::to_fence(cause),
            cause @ RunError::Snapshot(_) => {
                let (hint, exit) = Self::hint_of(&cause);
                Self::with(attempt, cause, hint, exit)
            }
            cause => Self::of(attempt, cause),
        };
        match (plan.deploys(), &failure.hint) {
            (true, Some(hint)) => {
                let stands = "the schema was not touched, and the application runs as before";
                let hint = hint.replace("nothing was touched", stands);
                failure.hint(hint)
            }
            _ => failure,
        }
    }

    /// What has to be so before a journey is not.
    fn rows_forbid(adds: &[ObjectName], messages: &[String]) -> Failure {
        if adds.is_empty() {
            return Self::new(messages.join("; "), Exit::Refused).hint(
                "nothing was touched. Put these rows right, and give the same command again",
            );
        }
        let names: Vec<String> = adds.iter().map(|it| flag("--accept-difference", it)).collect();
        Self::new(messages.join("; "), Exit::Refused).hint(format!(
            "nothing was touched. It cannot be added among these rows: put them right, or {} goes on without what they do not fit",
            names.join(" ")
        ))
    }

    fn to_check(messages: &[String]) -> Failure {
        Self::new(messages.join("; "), Exit::Refused)
            .hint("nothing was touched; a [[check]] of the settings asks for it before a journey")
    }

    fn unchecked(cause: CheckError) -> Failure {
        let CheckError { message, source } = cause;
        Self::to_ask(&format!("cannot check whether {message}"), source)
    }

    fn of_run(attempt: &str, ui: &Ui, cause: RunError) -> Failure {
        let drift = match &cause {
            RunError::WentBack(cause) | RunError::NotBack { cause, .. } => cause,
            cause => cause,
        };
        if let RunError::Drift { comparison, .. } = drift {
            ui.say(comparison::text(ui.paint(), comparison).trim_end());
        }
        let (hint, exit) = Self::hint_of(&cause);
        Self::with(attempt, cause, hint, exit)
    }

    fn hint_of(cause: &RunError) -> (&'static str, Exit) {
        match cause {
            RunError::Lock(LockError::Held(_)) => (
                "wait for it to end, or give --lock-timeout more seconds; nothing was touched. A session that a killed Sternway left behind is ended by `resume` and `abort` with --end-orphans",
                Exit::Locked,
            ),
            RunError::Rebuild { .. } => (
                "once that is mended, or made by hand, `sternway resume` goes on; `sternway abort` takes everything back",
                Exit::Failed,
            ),
            RunError::Lock(LockError::Database(_)) => ("nothing was touched", Exit::Failed),
            RunError::Moved(_) => ("nothing was touched; plan again", Exit::Refused),
            RunError::MovedSince { .. } => (
                "nothing was touched. Put back what the run left, then give the same command again; where only the schema differs, `sternway resume --accept-difference NAME` goes on with it as it is; or give up on it with --abandon, where `rollback` and `upgrade` plan anew from what is there",
                Exit::Drift,
            ),
            RunError::Step { source: StepError::Dirty { .. }, .. } => (
                "mend the cause, then `sternway resume` goes on from there; `sternway abort` takes everything back",
                Exit::Dirty,
            ),
            RunError::Step { source: StepError::TakenBack { .. }, .. } => (
                "every step before it is done and recorded; mend the cause, then `sternway resume` goes on from there; `sternway abort` takes everything back",
                Exit::Failed,
            ),
            RunError::Step { source: StepError::Beyond { .. }, .. } => (
                "nothing of that step was done; `sternway abort` takes the others back. Then plan again, and look at what it destroys",
                Exit::Refused,
            ),
            RunError::Step { source: StepError::CannotKeep { .. }, .. } => (
                "nothing of that step was done; `sternway abort` takes the others back. Then the same command with --discard goes without keeping it",
                Exit::Refused,
            ),
            // Of rehearsals alone.
            RunError::Step { source: StepError::ExternalEffects { .. }, .. } => ("", Exit::Refused),
            RunError::Step { source: StepError::Blocked { .. }, .. } => (
                "nothing of that step was done; end those sessions, or let them end, then `sternway resume` goes on",
                Exit::Locked,
            ),
            RunError::Step {
                source: StepError::Database { source: DatabaseError::TrackNotWritten { .. }, .. },
                ..
            } => (SWALLOWED, Exit::Failed),
            RunError::Step {
                source: StepError::Database { source: DatabaseError::TrackMoved { .. }, .. },
                ..
            } => (
                "another migrator works on this database, and nothing of that step was done. Once it has ended, `sternway status` shows where each track stands; `sternway resume` goes on from there, `sternway abort` takes everything back",
                Exit::Drift,
            ),
            RunError::Step { source: StepError::Database { .. }, .. } | RunError::Database(_) => (
                "`sternway status` shows where each track stands; `sternway resume` goes on from there, `sternway abort` takes everything back",
                Exit::Failed,
            ),
            RunError::Undo { source: StepError::Dirty { .. }, .. } => (
                "mend the cause, then `sternway abort` goes on from there; or let the run be, and `sternway doctor --abandon` carries out one of the repairs that it finds",
                Exit::Dirty,
            ),
            RunError::Undo { source: StepError::Blocked { .. }, .. } => {
                ("end those sessions, or let them end, then `sternway abort` goes on", Exit::Locked)
            }
            RunError::Undo {
                source:
                    StepError::TakenBack { .. }
                    | StepError::Beyond { .. }
                    | StepError::CannotKeep { .. }
                    | StepError::ExternalEffects { .. }
                    | StepError::Database { .. },
                ..
            } => ("mend the cause, then `sternway abort` goes on from there", Exit::Failed),
            RunError::App { .. } => (
                "mend the cause, then give `sternway resume` to go on or `sternway abort` to go back",
                Exit::Failed,
            ),
            RunError::Lost(_) | RunError::Silent(_) => (
                "once the database answers, `sternway resume` goes on and `sternway abort` goes back",
                Exit::Failed,
            ),
            RunError::WentBack(_) => {
                ("mend the cause, then give the same command again", Exit::Failed)
            }
            RunError::Check(_) => (
                "mend what it found, then `sternway resume` goes on; `sternway abort` takes everything back",
                Exit::Refused,
            ),
            RunError::Unchecked(_) => (
                "mend the query of that [[check]] and abort this run, whose plan has it, with `sternway abort`",
                Exit::Failed,
            ),
            RunError::Fence(_) => (
                "give the same command again with --end-sessions, or with more seconds in --wait-for-sessions",
                Exit::Refused,
            ),
            RunError::NotBegun(cause) => Self::hint_of(cause),
            RunError::NotBack { .. } => {
                ("mend the cause, then `sternway abort` goes on taking it back", Exit::Failed)
            }
            RunError::Drift { .. } => (
                "the differences are listed above; they came while the run was under way. Once they are mended, `sternway resume` proves it and goes on, with --accept-difference NAME as it is; `sternway abort` takes everything back",
                Exit::Drift,
            ),
            RunError::NoApp => (
                "say how in [deploy.kubernetes] or [deploy.commands] of sternway.toml",
                Exit::Usage,
            ),
            RunError::NoStore => (
                "nothing was touched; --snapshot-store, or store in [snapshot] of sternway.toml, names a folder",
                Exit::Usage,
            ),
            RunError::Snapshot(_) => (
                "the schema was not touched; `sternway snapshot create` tries it alone, --snapshot none goes without",
                Exit::Failed,
            ),
            RunError::NoArchive(_) => (
                "nothing was touched. Give the user the right to create a schema in this database, or let an administrator create the schema sternway for it; --discard goes without keeping anything",
                Exit::Refused,
            ),
            RunError::BodyMissing(_) => ("plan again", Exit::Failed),
            RunError::NoWayBack { .. } => {
                ("nothing was touched; `sternway resume` finishes the run instead", Exit::Refused)
            }
            RunError::Over(_) => ("`sternway history` shows how it ended", Exit::Refused),
            RunError::GoingBack(_) => {
                ("`sternway abort` takes it back to its beginning", Exit::Refused)
            }
            RunError::StillInDoubt { .. } => (
                "look whether it did, finish or undo that migration by hand and set its tracking row; then --abandon leaves the run as it is, and `rollback` and `upgrade` plan anew",
                Exit::Dirty,
            ),
        }
    }
}

/// What to do about a run that nothing knows of.
const UNRECORDED: &str = "no record of this run is kept, so that there is nothing to resume or to abort: `sternway status` shows where each track stands. Mend the cause, then give the same command again";

/// What to do where a journey does not run from the schema that the database has.
fn from_here(differences: &[Difference]) -> String {
    let named: Vec<String> = differences.iter().take(3).map(ToString::to_string).collect();
    let more = match differences.len().saturating_sub(named.len()) {
        0 => String::new(),
        more => format!(", and {more} more; `sternway status` names them"),
    };
    format!(
        "nothing was touched. The schema of this database differs from a clean install, which may be the reason: {}{more}. Mend that by hand and try again; `sternway doctor` says whether a tracking row is behind or ahead of its schema",
        named.join("; ")
    )
}

/// What to do where a journey does not run from a schema in which others have made objects.
fn among_others<'a>(foreign: impl IntoIterator<Item = &'a ObjectName>) -> String {
    let mut foreign: Vec<String> = foreign.into_iter().map(ToString::to_string).collect();
    let more = foreign.len().saturating_sub(5);
    foreign.truncate(5);
    let more = if more == 0 { String::new() } else { format!(", and {more} more") };
    format!(
        "nothing was touched. Others have made objects in this database, and one of them may stand in the way: {}{more}. Take it away or change it by hand, then give the same command again; where it is the migration's fault, mend that",
        foreign.join(", ")
    )
}

/// What to do where no clean install can be made, in sentences with a blank behind each.
pub(super) fn unrehearsed(cause: &RehearsalError) -> &'static str {
    match cause {
        RehearsalError::NotInside(_) | RehearsalError::Server(_) => {
            "--rehearsal names a server to make it on. "
        }
        RehearsalError::Setup(_) => {
            "It is the one that `setup` in [rehearsal] of sternway.toml names: mend it; it runs on each database for rehearsals, so that what the server has already, as a role, has to do it no harm. "
        }
        RehearsalError::Caught { .. } => "--rehearsal names a server that survives it. ",
        RehearsalError::Install(step) | RehearsalError::Journey(step) if registered(step) => {
            "SQLite has it from the application that registers it, and Sternway cannot: a migration that needs it is the application's own to run. Where no step of this journey does, "
        }
        RehearsalError::Install(step) | RehearsalError::Journey(step) => match lacks(step) {
            true => {
                "Where an extension is lacking, --rehearsal names a server that has it; what an administrator makes there, `setup` in [rehearsal] of sternway.toml makes for rehearsals. "
            }
            false => {
                "Mend the migration; where it needs what only your server has, --rehearsal names one like it. "
            }
        },
        RehearsalError::Database(_)
        | RehearsalError::Archive(_)
        | RehearsalError::BodyUnknown { .. } => "",
    }
}

/// Whether a body may have failed for want of an extension: of one itself, of a type or of a function.
fn lacks(step: &StepError) -> bool {
    let (StepError::TakenBack { source, .. } | StepError::Dirty { source, .. }) = step else {
        return false;
    };
    let says = |word| source.message.contains(word);
    match source.code.as_str() {
        "58P01" | "42704" | "42883" => true,
        "0A000" => says("extension"),
        _ => false,
    }
}

/// Whether a body failed on SQLite for want of what an application registers.
fn registered(step: &StepError) -> bool {
    let (StepError::TakenBack { source, .. } | StepError::Dirty { source, .. }) = step else {
        return false;
    };
    let things = ["no such function", "no such collation", "no such module"];
    // SQLite has one code for all.
    source.code == "SQLITE_ERROR" && things.iter().any(|it| source.message.contains(it))
}

/// An option that names an object, as a shell takes it.
fn flag(option: &str, object: &ObjectName) -> String {
    let name = object.plain();
    let is_word = name.chars().all(|it| it.is_alphanumeric() || "._-".contains(it));
    match is_word {
        true => format!("{option} {name}"),
        false => format!("{option} '{}'", name.replace('\'', "'\\''")),
    }
}
