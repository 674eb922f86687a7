//! Failures as the terminal shows them: the library's error, what to do about it, and the exit code.
//! This is the one file that brings the three together.

use std::error::Error;
use std::process::ExitCode;

use miette::Diagnostic;
use sternway_database::{Connect, DatabaseError, LockError, StepError};
use sternway_engine::doctor::DoctorError;
use sternway_engine::fence::FenceError;
use sternway_engine::rehearse::RehearsalError;
use sternway_engine::run::RunError;
use sternway_model::catalog::{Catalog, Digest, Release};
use sternway_model::plan::{Course, Holder, PlanError, PlanFileError};
use sternway_source::SourceError;

use crate::commands::comparison_text;
use crate::ui::Ui;
use crate::wiring::Known;

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

/// A cause and the causes below it, in words. Libraries below ours repeat a cause's words in their
/// own; what was said is not said again.
#[derive(Debug, thiserror::Error)]
#[error("{words}")]
struct Said {
    words: String,
    #[source]
    below: Option<Box<Said>>,
}

impl Said {
    fn of(cause: &(dyn Error + 'static)) -> Option<Said> {
        let words = cause.to_string();
        let mut next = cause.source();
        while let Some(below) = next {
            if !words.ends_with(&below.to_string()) {
                break;
            }
            next = below.source();
        }
        Some(Said { words, below: next.and_then(Said::of).map(Box::new) })
    }
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

    pub fn to_plan(target: &Release, known: &Known, cause: PlanError) -> Failure {
        let catalog = &known.catalog;
        // No `_` arm: a new reason to refuse has to choose its hint and its exit code here.
        let (hint, exit) = match &cause {
            PlanError::UnknownRelease(release) => {
                (nearest(&release.to_string(), catalog), Exit::Usage)
            }
            PlanError::NoMigrations(_) => (
                "it is from before the application had migrations; a snapshot of its database is the only way back".to_owned(),
                Exit::Refused,
            ),
            PlanError::BelowFloor { .. } => {
                ("restore a snapshot that was taken with that release".to_owned(), Exit::Refused)
            }
            PlanError::Dirty { .. } => {
                ("`sternway status` finds out what the schema really has, and shows how to repair it".to_owned(), Exit::Dirty)
            }
            PlanError::UnknownVersion { .. } => (
                "the source may be older than the database: fetch its tags. If another build made this schema, name that build's source with --source".to_owned(),
                Exit::Refused,
            ),
            PlanError::Diverged { .. } => {
                ("name the release whose files made this database with --from".to_owned(), Exit::Refused)
            }
            PlanError::Contents { track, version, holders, .. } => {
                let stored = holders.iter().any(|(holder, _)| *holder == Holder::Records);
                let way = match stored {
                    true => format!("if the stored copy is no longer wanted, DELETE FROM sternway.migration WHERE track = '{track}' AND version = {version} forgets it"),
                    false => "--from RELEASE says whose files made this database".to_owned(),
                };
                let text = format!("a published migration was changed; {way}{}", differing(holders, known));
                (text, Exit::Refused)
            }
            PlanError::Forked { .. } => (
                "golang-migrate keeps one number per track, which cannot say this; choose a release whose migrations continue the database's".to_owned(),
                Exit::Refused,
            ),
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
                "`path` of each track is the folder of its migrations, from the root of the repository"
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
            DatabaseError::Version { .. } => {
                "the table may not be golang-migrate's: check `table` of the track"
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
        let hint = "nothing was touched. Where an extension is lacking, --rehearsal names a server that has it; --unproven goes on without a proof of the result";
        Self::with("cannot tell what the plan should lead to", cause, hint, Exit::Refused)
    }

    pub fn to_run(course: Course, target: &Release, ui: &Ui, cause: RunError) -> Failure {
        Self::of_run(
            &match course {
                Course::Rollback => format!("cannot roll back to {target}"),
                Course::Upgrade => format!("cannot upgrade to {target}"),
            },
            ui,
            cause,
        )
    }

    pub fn to_resume(run: i64, ui: &Ui, cause: RunError) -> Failure {
        Self::of_run(&format!("cannot finish run {run}"), ui, cause)
    }

    pub fn to_abort(run: i64, ui: &Ui, cause: RunError) -> Failure {
        Self::of_run(&format!("cannot take run {run} back"), ui, cause)
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
            ui.say(comparison_text(ui, comparison).trim_end());
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
            RunError::Step { source: StepError::ReachesOut { .. }, .. } => ("", Exit::Refused),
            RunError::Step { source: StepError::Blocked { .. }, .. } => (
                "nothing of that step was done; end those sessions, or let them end, then `sternway resume` goes on",
                Exit::Locked,
            ),
            RunError::Step { source: StepError::Database { .. }, .. } | RunError::Database(_) => (
                "`sternway status` shows where each track stands; `sternway resume` goes on from there, `sternway abort` takes everything back",
                Exit::Failed,
            ),
            RunError::Undo { source: StepError::Dirty { .. }, .. } => (
                "mend the cause, then `sternway abort` goes on with that statement; or let the run be, and `sternway doctor --abandon` goes one of the ways out that it finds",
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
                    | StepError::ReachesOut { .. }
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
            RunError::NotBack { .. } => {
                ("mend the cause, then `sternway abort` goes on taking it back", Exit::Failed)
            }
            RunError::Drift { .. } => (
                "the differences are listed above; someone changed this database by other means. Once they are mended, `sternway resume` proves it and goes on; `sternway abort` takes everything back",
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

    pub fn to_fence(cause: FenceError) -> Failure {
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

/// The first line in which the contents differ, as each holder has it.
fn differing(holders: &[(Holder, Digest)], known: &Known) -> String {
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
