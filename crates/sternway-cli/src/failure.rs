//! Failures as the terminal shows them: the library's error, what to do about it, and the exit code.
//! This is the one file that brings the three together.

use std::error::Error;
use std::process::ExitCode;

use miette::Diagnostic;
use sternway_database::{Connect, DatabaseError, LockError, StepError, Unfinished};
use sternway_engine::Unanswered;
use sternway_engine::archive::ArchiveError;
use sternway_engine::check::{CheckError, MendError};
use sternway_engine::doctor::{ChoiceError, DoctorError, ExamineError, RepairKind};
use sternway_engine::fence::FenceError;
use sternway_engine::gather::Snapshot;
use sternway_engine::journey::JourneyError;
use sternway_engine::preflight::{PreflightError, UnfinishedRun};
use sternway_engine::run::RunError;
use sternway_engine::shadow::RehearsalError;
use sternway_model::catalog::{Catalog, Digest, Direction, Release};
use sternway_model::journal::Progress;
use sternway_model::plan::{Course, Holder, Plan, PlanError, PlanFileError};
use sternway_model::proof::{Difference, ObjectName};
use sternway_source::SourceError;
use sternway_view::comparison;
use sternway_view::doctor as view;
use sternway_view::error::{causes, in_a_line};
use sternway_view::status::dirty_hint;
use sternway_view::unfinished::named;

use crate::ui::Ui;

/// What the process ends with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    Done = 0,
    Failed = 1,
    Usage = 2,
    Refused = 3,
    Drift = 4,
    Dirty = 5,
    Locked = 6,
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}

/// An error of any library.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// A cause and the causes below it, in words.
#[derive(Debug, thiserror::Error)]
#[error("{words}")]
struct Said {
    words: String,
    #[source]
    below: Option<Box<Said>>,
}

impl Said {
    fn of(cause: &(dyn Error + 'static)) -> Option<Said> {
        let said = causes(cause).into_iter().rev();
        said.fold(None, |below, words| Some(Said { words, below: below.map(Box::new) }))
    }
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

/// A failed command as the terminal shows it.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("{attempt}")]
pub struct Failure {
    attempt: String,
    #[source]
    cause: Option<Said>,
    #[help]
    hint: Option<String>,
    #[source_code]
    pub snippet: Option<miette::NamedSource<String>>,
    #[label("here")]
    pub at: Option<miette::SourceSpan>,
    pub exit: Exit,
}

impl Failure {
    /// A failure of its own, with no cause below it.
    pub fn new(attempt: impl Into<String>, exit: Exit) -> Failure {
        let (attempt, cause, hint) = (attempt.into(), None, None);
        Failure { attempt, cause, hint, snippet: None, at: None, exit }
    }

    /// A failure of the kind that has no better exit code.
    pub fn of(attempt: impl Into<String>, cause: impl Into<BoxError>) -> Failure {
        Failure { cause: Said::of(&*cause.into()), ..Failure::new(attempt, Exit::Failed) }
    }

    /// Something that was typed or written wrongly.
    pub fn usage(attempt: impl Into<String>, cause: impl Into<BoxError>) -> Failure {
        Failure { exit: Exit::Usage, ..Failure::of(attempt, cause) }
    }

    /// Adds what is the reason, a difference after the other.
    fn caused_by(self, differences: &[Difference]) -> Failure {
        let words: Vec<String> = differences.iter().map(ToString::to_string).collect();
        Failure { cause: Some(Said { words: words.join("; "), below: None }), ..self }
    }

    /// Adds what to do next.
    pub fn hint(self, hint: impl Into<String>) -> Failure {
        Failure { hint: Some(hint.into()), ..self }
    }

    /// The error, its causes and the hint, for machines.
    pub fn parts(&self) -> (String, Vec<String>, Option<&str>) {
        let mut causes = Vec::new();
        let mut next = self.source();
        while let Some(cause) = next {
            causes.push(cause.to_string());
            next = cause.source();
        }
        (self.attempt.clone(), causes, self.hint.as_deref())
    }

    fn with(attempt: &str, cause: impl Into<BoxError>, hint: &str, exit: Exit) -> Failure {
        let hint = (!hint.is_empty()).then(|| hint.to_owned());
        Failure { hint, exit, ..Failure::of(attempt, cause) }
    }

    fn to_plan(target: &Release, known: &Snapshot, cause: PlanError) -> Failure {
        let catalog = &known.catalog;
        // No `_` arm: a new reason to refuse has to choose its hint and its exit code here.
        let (hint, exit) = match &cause {
            PlanError::UnknownRelease(release) => {
                (nearest(&release.to_string(), catalog), Exit::Usage)
            }
            PlanError::LeftOut { .. } => (
                "mend that release in the source, or choose another; a fresh clone, or `git fetch --unshallow --tags`, brings what a clone lacks".to_owned(),
                Exit::Refused,
            ),
            PlanError::NoMigrations(_) => (no_migrations(catalog), Exit::Refused),
            PlanError::BelowFloor { .. } => {
                ("restore a snapshot that was taken with that release".to_owned(), Exit::Refused)
            }
            PlanError::Dirty { .. } => {
                ("`sternway status` finds out what the schema really has, and shows how to repair it".to_owned(), Exit::Dirty)
            }
            PlanError::UnknownVersion { .. } => {
                let left_out: Vec<String> =
                    catalog.left_out.keys().map(Release::to_string).collect();
                let left_out = match left_out.is_empty() {
                    true => String::new(),
                    false => format!(". It may be of a release that is left out: {}", left_out.join(", ")),
                };
                let text = "the source may be older than the database: fetch its tags. If another build made this schema, name that build's source with --source";
                (format!("{text}{left_out}"), Exit::Refused)
            }
            PlanError::Diverged { .. } => {
                ("name the release whose files made this database with --from".to_owned(), Exit::Refused)
            }
            PlanError::Contents { shared, holders, asks, direction, compared, .. } => {
                let way = match (asks, direction) {
                    (Some(_), Direction::Up) => redo(target, *shared, *compared),
                    _ => "--from RELEASE says whose files made this database".to_owned(),
                };
                let text = format!("a published migration was changed; {way}{}", differing(holders, known));
                (text, Exit::Refused)
            }
            PlanError::Forked { shared, by, compared, .. } => {
                let way = redo(target, *shared, *compared);
                let by = by.as_ref().map_or(String::new(), |by| {
                    format!(". `sternway upgrade --to {by}` may lead to where {target} goes on")
                });
                let text = "golang-migrate keeps one number per track, which cannot say this";
                (format!("{text}; {way}{by}"), Exit::Refused)
            }
            PlanError::MissingBody { .. } => {
                ("without that file the step cannot be made; write it, and name its release with --from".to_owned(), Exit::Refused)
            }
            PlanError::UnreadableBody { .. } => {
                ("the clone may be partial, or the file not be UTF-8".to_owned(), Exit::Refused)
            }
            PlanError::Obstacle { .. } => {
                ("run that migration by hand, set the tracking row, then plan again".to_owned(), Exit::Refused)
            }
            PlanError::WrongWay { course: Course::Rollback, .. } => {
                (format!("`sternway upgrade --to {target}`"), Exit::Refused)
            }
            PlanError::WrongWay { course: Course::Upgrade, .. } | PlanError::AheadOfTarget { .. } => {
                (format!("`sternway rollback --to {target}` takes the schema back as well"), Exit::Refused)
            }
            PlanError::NotThisApp { found, .. } if found.is_empty() => (
                format!("check the database's URL and its search path; where nothing is installed yet, `sternway upgrade --to {target}` does that"),
                Exit::Refused,
            ),
            PlanError::NotThisApp { .. } => {
                ("check the database's URL, its search path, and `table` of each track".to_owned(), Exit::Refused)
            }
            PlanError::Untracked { .. } => (
                "check the database's URL and its search path. If it is right, --adopt installs beside the tables that are there".to_owned(),
                Exit::Refused,
            ),
            PlanError::ExtensionMissing { extension, track } => (
                format!("install {extension} on the server, or leave the track out with --disable {track}"),
                Exit::Refused,
            ),
            PlanError::RunningUnknown => {
                ("--from RELEASE says it; --no-deploy leaves the application alone".to_owned(), Exit::Usage)
            }
            PlanError::NoTracks => ("--enable TRACK switches one on".to_owned(), Exit::Usage),
        };
        Self::with(&format!("cannot plan the way to release {target}"), cause, &hint, exit)
    }

    pub fn to_read(source: &str, cause: SourceError) -> Failure {
        let hint = match &cause {
            SourceError::NoSuchPath { .. } | SourceError::NotARepository { .. } => {
                "--source names a clone of the application's repository, or a folder with one folder per release"
            }
            SourceError::NoTags { .. } => "`git fetch --tags` brings them, if the origin has any",
            SourceError::NoMatchingTag { .. } => {
                "--tag says what a release's tag looks like, such as v{version}"
            }
            SourceError::ShallowWithoutTags { .. } => {
                "`git fetch --unshallow --tags` brings the rest"
            }
            SourceError::MissingObject { .. } => {
                "`git fetch --tags --refetch --filter=tree:0 --no-filter`, or a fresh clone, brings the rest"
            }
            SourceError::NoTrackFolder { .. } => {
                "`path` of each track is the folder of its migrations, from the root of the repository; a list of them where it has moved"
            }
            SourceError::Duplicate { .. } => {
                "golang-migrate refuses such a folder too; --disable leaves a track out"
            }
            _ => "",
        };
        Self::with(&format!("cannot read the releases from {source}"), cause, hint, Exit::Failed)
    }

    pub fn to_connect(cause: Connect) -> Failure {
        let (hint, exit) = match &cause {
            Connect::Url(_) => (
                "it looks like postgres://USER@HOST:PORT/DATABASE?sslmode=require, mysql://USER@tcp(HOST:PORT)/DATABASE or sqlite://FILE; a % in a password is written %25",
                Exit::Usage,
            ),
            Connect::Scheme(_) => (
                "postgres://…, mysql://…, sqlite://…, embedded: and embedded:DIR are known, and golang-migrate's other names for them",
                Exit::Usage,
            ),
            Connect::Unreachable { .. } => (
                "check host and port, and that the server runs; in a cluster, a port-forward may be needed",
                Exit::Failed,
            ),
            Connect::Refused { .. } => (
                "check the user, and the password in STERNWAY_DATABASE, PGPASSWORD, PGPASSFILE or --password-command",
                Exit::Failed,
            ),
            Connect::Setting { .. } => (
                "mend it or take it out of the URL: a parameter that belongs to no driver is a setting of the session, and those of golang-migrate's begin with x-",
                Exit::Usage,
            ),
            Connect::Busy { .. } => ("wait for it, and try again", Exit::Failed),
            Connect::NotWanted { .. } => (
                "name the server that is, or take target_session_attrs out of the URL",
                Exit::Failed,
            ),
            Connect::NoDatabase { .. } => (
                "check the name at the end of the URL; Sternway creates no databases",
                Exit::Failed,
            ),
            Connect::Tls { .. } => ("check sslmode and sslrootcert in the URL", Exit::Failed),
            Connect::File { .. } => ("check the path after sqlite://", Exit::Failed),
            Connect::Session { source: DatabaseError::NoSchema, .. } => {
                ("set search_path in the URL to a schema that exists", Exit::Failed)
            }
            Connect::Session { .. } => ("", Exit::Failed),
            Connect::Embedded(_) => (
                "its folder has to be writable, and no other process may have it open",
                Exit::Failed,
            ),
        };
        Self::with("cannot connect to the database", cause, hint, exit)
    }

    pub fn to_ask(attempt: &str, cause: DatabaseError) -> Failure {
        let hint = match &cause {
            DatabaseError::SeveralRows { .. } => {
                "golang-migrate keeps one row and takes any of several; find out which is true and delete the others"
            }
            DatabaseError::Version { .. } | DatabaseError::ForeignTrack { .. } => {
                "another tool may have made it. Name another table: `table` of the track in sternway.toml, or x-migrations-table in the URL"
            }
            DatabaseError::ReadOnly(_) => {
                "nothing was touched; connect to a server and as a user that may write, or take that setting back from the database, the role or the URL"
            }
            DatabaseError::TrackGone { .. } => {
                "take that statement out of the file: the table is where the migrator keeps where the database stands"
            }
            DatabaseError::AnotherDatabase { .. } => {
                "end the file with USE and the database of the URL, and look what it did in the other one"
            }
            DatabaseError::RecordsFormat { .. } => {
                "use the Sternway that wrote them, or a later one"
            }
            DatabaseError::RecordsDamaged(_) => {
                "`DROP SCHEMA sternway CASCADE` forgets them; the application does not need them"
            }
            DatabaseError::PlanUnreadable { .. } => {
                "that version finishes it or takes it back; `rollback` and `upgrade` leave it as it is with --abandon"
            }
            DatabaseError::TrackMoved { .. } => {
                "another migrator works on this database; wait for it to end, then plan again"
            }
            DatabaseError::Locked { .. } => "end those sessions, or let them end, and try again",
            DatabaseError::NoSchema => "set search_path in the URL to a schema that exists",
            DatabaseError::NoSchemas { .. } => "leave the schema out of the settings",
            DatabaseError::NoQuery { .. } => "give one statement that begins with SELECT",
            DatabaseError::NoEntry(_) => "`sternway archive list` lists them all",
            DatabaseError::NoFence { .. } => {
                "PostgreSQL has both kinds, MySQL and MariaDB `no-connect`; --end-sessions and --wait-for-sessions deal with the sessions that are there"
            }
            DatabaseError::Fence { .. } => {
                "--fence none goes on without it; stop the application instead, or connect as a user who may raise one: on PostgreSQL the owner of the database, on MySQL and MariaDB one with CREATE USER who may read the accounts in `mysql`"
            }
            DatabaseError::Query { .. } | DatabaseError::Entry { .. } => "",
        };
        let exit = match cause {
            DatabaseError::Locked { .. } => Exit::Locked,
            DatabaseError::ReadOnly(_) => Exit::Refused,
            _ => Exit::Failed,
        };
        Self::with(attempt, cause, hint, exit)
    }

    /// Another migrator holds the locks.
    pub fn locked(attempt: &str, cause: LockError) -> Failure {
        let hint = "wait for it to end, or give --lock-timeout more seconds; nothing was touched";
        Self::with(attempt, cause, hint, Exit::Locked)
    }

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
            JourneyError::Plan { cause, snapshot, dirty } => {
                let failure = Self::to_plan(target, &snapshot, cause);
                match dirty {
                    Some(dirty) => failure.hint(dirty_hint(&dirty)),
                    None => failure,
                }
            }
            JourneyError::Rehearse { cause, deviation } => match deviation.differences.as_slice() {
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
                    "nothing was touched. The application's own migrations do not make it; if {target} can do without, {} goes on",
                    names.join(" ")
                ))
            }
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
            PreflightError::OutOfStep(wrong) => Self::new(view::out_of_step(&wrong), Exit::Drift).hint(
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
            JourneyError::Run(cause) => Self::of_run(attempt, ui, cause),
            cause => Self::to_prepare(&plan.target, cause),
        }
    }

    /// A step before the first migration failed, and everything is as it was.
    fn not_begun(attempt: &str, plan: &Plan, cause: RunError) -> Failure {
        let failure = match cause {
            RunError::Check(messages) => Self::to_check(&messages),
            RunError::Unchecked(cause) => Self::unchecked(cause),
            RunError::Fence(cause) => Self::to_fence(cause),
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
    fn to_check(messages: &[String]) -> Failure {
        Self::new(messages.join("; "), Exit::Refused)
            .hint("nothing was touched; a [[check]] of the settings asks for it before a journey")
    }

    fn unchecked(cause: CheckError) -> Failure {
        let CheckError { message, source } = cause;
        Self::to_ask(&format!("cannot check whether {message}"), source)
    }

    /// Somebody else is at work.
    pub fn to_lock(cause: LockError) -> Failure {
        let hint = "wait for it to end, or give --lock-timeout more seconds; nothing was touched";
        Self::with("the locks were not obtained", cause, hint, Exit::Locked)
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
                "nothing was touched. Put back what the run left, then give the same command again; or give up on it with --abandon, where `rollback` and `upgrade` plan anew from what is there",
                Exit::Drift,
            ),
            RunError::Step { source: StepError::Dirty { .. }, .. } => (
                "mend the cause, then `sternway resume` goes on with that statement; `sternway abort` takes everything back",
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
                "nothing of that step was done; `sternway abort` takes the others back. --discard goes on without keeping it",
                Exit::Refused,
            ),
            // Of rehearsals alone.
            RunError::Step { source: StepError::ExternalEffects { .. }, .. } => ("", Exit::Refused),
            RunError::Step { source: StepError::Blocked { .. }, .. } => (
                "nothing of that step was done; end those sessions, or let them end, then `sternway resume` goes on",
                Exit::Locked,
            ),
            RunError::Step { source: StepError::Database { .. }, .. } | RunError::Database(_) => (
                "`sternway status` shows where each track stands; `sternway resume` goes on from there, `sternway abort` takes everything back",
                Exit::Failed,
            ),
            RunError::Undo { source: StepError::Dirty { .. }, .. } => (
                "mend the cause, then `sternway abort` goes on with that statement; or let the run be, and `sternway doctor --abandon` carries out one of the repairs that it finds",
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
            RunError::NoApp => ("say how in [deploy.commands] of sternway.toml", Exit::Usage),
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
            RunError::Unsettled { .. } => (
                "look whether it did, finish or undo that migration by hand and set its tracking row; then --abandon leaves the run as it is, and `rollback` and `upgrade` plan anew",
                Exit::Dirty,
            ),
        }
    }

    /// The archive was not changed.
    pub fn to_change_archive(attempt: &str, cause: ArchiveError) -> Failure {
        match cause {
            ArchiveError::IsBack(_) => Failure::new(cause.to_string(), Exit::Refused)
                .hint("`sternway archive list` shows them all"),
            ArchiveError::Unanswered(cause) => cause.into(),
            ArchiveError::Lock(LockError::Database(cause)) => {
                Self::to_ask("cannot change the archive", cause)
            }
            ArchiveError::Lock(cause) => Self::locked("cannot change the archive", cause),
            ArchiveError::Database(cause) => Self::to_ask(attempt, cause),
        }
    }

    pub fn to_examine(cause: ExamineError) -> Failure {
        match cause {
            ExamineError::Unanswered(cause) => cause.into(),
            ExamineError::Rehearsal(cause) => {
                let text = format!("cannot examine the database: {}", in_a_line(&cause));
                let hint = format!("nothing was touched. {}", unrehearsed(&cause));
                Failure::new(text, Exit::Refused).hint(hint.trim_end())
            }
        }
    }

    /// No repair of this kind can be carried out.
    pub fn to_choose(kind: RepairKind, cause: ChoiceError) -> Failure {
        let option = match kind {
            RepairKind::Finish => "--finish",
            RepairKind::Undo => "--undo",
            RepairKind::SetRow => "--set-row with this number",
        };
        let (text, hint) = match cause {
            ChoiceError::None => (
                format!("there is nothing here that could be done by {option}"),
                "nothing was touched; what can be done is listed above. Where the schema does not tell, --file and --took say what you know",
            ),
            ChoiceError::Several => (
                format!("{option} may mean several things"),
                "nothing was touched; --of names the track, --file the file that was under way",
            ),
            ChoiceError::Unkept(what) => (
                format!("{option} would destroy {}, and cannot keep it", what.join(", ")),
                "nothing was touched. Some of these statements cannot run in a transaction: run them by hand as listed above, with a copy of what they take, or let it go with --discard",
            ),
        };
        Failure::new(text, Exit::Refused).hint(hint)
    }

    pub fn to_mend(cause: DoctorError) -> Failure {
        let (hint, exit) = match &cause {
            DoctorError::Lock(LockError::Held(_)) => (
                "wait for it to end, or give --lock-timeout more seconds; nothing was touched",
                Exit::Locked,
            ),
            DoctorError::Lock(LockError::Database(_)) => ("nothing was touched", Exit::Failed),
            DoctorError::Moved => {
                ("nothing was touched; `sternway doctor` examines it again", Exit::Refused)
            }
            DoctorError::Step(StepError::Blocked { .. }) => (
                "nothing of it was done; end those sessions, or let them end, and try again",
                Exit::Locked,
            ),
            DoctorError::Step(StepError::Dirty { .. }) => {
                ("`sternway doctor` examines what is there now", Exit::Dirty)
            }
            DoctorError::Step(_) => {
                ("the row is still dirty; `sternway doctor` examines it again", Exit::Dirty)
            }
            DoctorError::Database(_) => ("`sternway doctor` examines it again", Exit::Failed),
        };
        Self::with("cannot mend the database", cause, hint, exit)
    }

    fn to_fence(cause: FenceError) -> Failure {
        let attempt = "cannot keep the application from writing meanwhile";
        match cause {
            FenceError::StillThere(sessions) => {
                let mut hint = "nothing was touched. Stop the application, give --wait-for-sessions more seconds, or end them with --end-sessions. They are at:".to_owned();
                for session in &sessions {
                    hint.push_str(&format!("\n  {}", session.with_query()));
                }
                Self::with(attempt, FenceError::StillThere(sessions), &hint, Exit::Refused)
            }
            FenceError::Database(cause) => Self::to_ask(attempt, cause),
        }
    }

    pub fn to_read_plan(file: &str, cause: PlanFileError) -> Failure {
        let hint = "`sternway plan --to RELEASE --out FILE` writes one";
        Self::with(&format!("cannot read the plan in {file}"), cause, hint, Exit::Usage)
    }
}

impl From<Unanswered> for Failure {
    fn from(unanswered: Unanswered) -> Failure {
        Failure::to_ask(&unanswered.to_string(), unanswered.cause)
    }
}

/// What is said of a release without migrations.
fn no_migrations(catalog: &Catalog) -> String {
    let paths = catalog.tracks.iter().flat_map(|track| &track.paths);
    let paths: Vec<String> = paths.map(|it| format!("`{}`", it.path)).collect();
    format!(
        "it has no folder {}. If they lay elsewhere then, `path` of the track takes a list of folders, of which the first that a release has counts: path = [\"NEW\", \"OLD\"]. If it is from before the application had migrations, a snapshot of its database is the only way back",
        paths.join(" or ")
    )
}

/// The way where the database and the target go apart.
fn redo(target: &Release, shared: Option<u64>, compared: Option<bool>) -> String {
    let back = match shared {
        Some(shared) => format!("{shared}, the last that both have,"),
        None => "nothing".to_owned(),
    };
    let unknown = match compared {
        Some(_) => "",
        None => {
            ". Whether the two lead to the same schema could not be found out: --rehearsal names a server on which it can"
        }
    };
    format!(
        "with --redo the way to {target} goes back to {back} and up again with the migrations of {target}: what that takes away is kept, and put back as far as it fits{unknown}"
    )
}

/// What to do where no clean install can be made, in sentences with a blank behind each.
fn unrehearsed(cause: &RehearsalError) -> &'static str {
    match cause {
        RehearsalError::NotInside(_) | RehearsalError::Server(_) => {
            "--rehearsal names a server to make it on. "
        }
        RehearsalError::Caught { .. } => "--rehearsal names a server that survives it. ",
        RehearsalError::Install(step) | RehearsalError::Journey(step) => match lacks(step) {
            true => "Where an extension is lacking, --rehearsal names a server that has it. ",
            false => {
                "Mend the migration; where it needs what only your server has, --rehearsal names one like it. "
            }
        },
        RehearsalError::Database(_) | RehearsalError::BodyUnknown { .. } => "",
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
        // SQLite has one code for all.
        "SQLITE_ERROR" => says("no such module") || says("no such function"),
        _ => false,
    }
}

/// The first line in which the contents differ, as each holder has it.
fn differing(holders: &[(Holder, Digest)], known: &Snapshot) -> String {
    let bodies =
        |hash: &Digest| known.catalog.bodies.get(hash).or(known.state.records.bodies.get(hash));
    let texts: Vec<(&Holder, Vec<&str>)> = holders
        .iter()
        .filter_map(|(holder, hash)| Some((holder, bodies(hash)?.lines().collect())))
        .collect();
    let longest = texts.iter().map(|(_, lines)| lines.len()).max().unwrap_or(0);
    let differs = |line: &usize| {
        let mut lines = texts.iter().map(|(_, lines)| lines.get(*line));
        lines.next().is_some_and(|first| lines.any(|other| other != first))
    };
    let Some(line) = (0..longest).find(differs) else { return String::new() };
    let mut shown = format!(".\nThe first difference is in line {}:", line + 1);
    for (holder, lines) in &texts {
        let text = lines.get(line).map_or("(the end)", |text| text.trim());
        shown.push_str(&format!("\n  {holder}: {text}"));
    }
    shown
}

/// The releases that a mistyped one may have meant.
pub fn nearest(text: &str, catalog: &Catalog) -> String {
    let bare = text.trim().trim_start_matches(['v', 'V']);
    let mut near: Vec<(usize, bool, &Release)> = catalog
        .releases
        .iter()
        .filter(|(_, entry)| !entry.is_empty())
        .map(|(release, _)| {
            let name = release.to_string();
            let begins = name.starts_with(&format!("{bare}."));
            let distance = if begins { 0 } else { strsim::damerau_levenshtein(&name, bare) };
            (distance, release.is_prerelease(), release)
        })
        .collect();
    near.sort_by(|a, b| (a.0, a.1).cmp(&(b.0, b.1)).then(b.2.cmp(a.2)));
    let near: Vec<String> =
        near.iter().take(3).map(|(_, _, release)| release.to_string()).collect();
    match near.as_slice() {
        [] => "`sternway releases` lists them all".to_owned(),
        some => format!("did you mean {}? `sternway releases` lists them all", some.join(" or ")),
    }
}
