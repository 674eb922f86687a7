//! Failures as the terminal shows them: the library's error, what to do about it, and the exit code.
//! Nothing else brings the three together. `plan` and `journey` have those of journeys, `snapshot` those of
//! snapshots, the others are here.

mod plan;
mod journey;
mod snapshot;

use std::error::Error;
use std::process::ExitCode;

use miette::Diagnostic;
use sternway_database::{Connect, DatabaseError, LockError, StepError};
use sternway_engine::Unanswered;
use sternway_engine::archive::ArchiveError;
use sternway_engine::doctor::{ChoiceError, DoctorError, ExamineError, RepairKind};
use sternway_engine::fence::FenceError;
use sternway_model::plan::PlanFileError;
use sternway_model::proof::Difference;
use sternway_source::SourceError;
use sternway_view::error::{causes, in_a_line};

use self::journey::unrehearsed;
pub use self::plan::nearest;

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

impl Exit {
    /// What an exit code of this program means.
    pub fn of(code: i32) -> Option<Exit> {
        use Exit::{Dirty, Done, Drift, Failed, Interrupted, Locked, Refused, Usage};
        let all = [Done, Failed, Usage, Refused, Drift, Dirty, Locked, Interrupted];
        all.into_iter().find(|it| *it as i32 == code)
    }
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

/// What is the matter with a tracking table that does not say what was written.
pub(crate) const SWALLOWED: &str = "a rule or a trigger of that table swallows it or changes it: take that away, then `sternway resume` goes on, and `sternway abort` takes everything back";

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

    pub fn to_read(source: &str, cause: SourceError) -> Failure {
        let hint = match &cause {
            SourceError::NoSuchPath { .. } | SourceError::NotARepository { .. } => {
                "--source names a clone of the application's repository, or a folder with one folder per release"
            }
            SourceError::Remote { .. } => {
                "check the address and that it can be reached; a private repository needs a token (GH_TOKEN, GITLAB_TOKEN, BITBUCKET_TOKEN, .netrc, or what `gh` and `glab` have), and a bucket its credentials (AWS_…, GOOGLE_…, AZURE_…); without a network --source names a bundle that `sternway bundle` wrote, or a clone"
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
            DatabaseError::TrackNotWritten { .. } => SWALLOWED,
            DatabaseError::AnotherDatabase { .. } => {
                "end the file with USE and the database of the URL, and look what it did in the other one"
            }
            DatabaseError::RecordsFormat { .. } => {
                "use the Sternway that wrote them, or a later one"
            }
            DatabaseError::RecordsUnreadable(_) => {
                "they tell of unfinished runs and of what is kept. Connect as the user that Sternway has run as here before, or as a member of that role on PostgreSQL"
            }
            DatabaseError::RecordsDamaged(_) => {
                "repair the row that it names, or delete it; the application does not need it. Do not drop Sternway's tables as a whole: what the archive keeps lies among them"
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
            DatabaseError::ReadOnly(_) | DatabaseError::RecordsUnreadable(_) => Exit::Refused,
            _ => Exit::Failed,
        };
        Self::with(attempt, cause, hint, exit)
    }

    /// Another migrator holds the locks.
    pub fn locked(attempt: &str, cause: LockError) -> Failure {
        let hint = "wait for it to end, or give --lock-timeout more seconds; nothing was touched";
        Self::with(attempt, cause, hint, Exit::Locked)
    }

    /// Somebody else is at work.
    pub fn to_lock(cause: LockError) -> Failure {
        Self::locked("the locks were not obtained", cause)
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
