//! Why a database did not do what it was asked.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use sternway_model::effect::Lost;
use sternway_model::plan::PlanFileError;
use sternway_model::position::Position;
use sternway_model::state::TrackingRow;
use thiserror::Error;

use super::Session;

/// Why there is no session.
#[derive(Debug, Error)]
pub enum Connect {
    /// The URL says nothing that could be connected to. Its text is left out: it may hold a password.
    #[error("the database URL is not valid: {0}")]
    Url(String),
    /// The scheme is not one that this version knows.
    #[error("the database URL has the scheme `{0}`, which this version does not know")]
    Scheme(String),
    /// Nothing answers there.
    #[error("no database server answers at {place}")]
    Unreachable {
        /// Host and port, or the socket.
        place: String,
        /// What the system said.
        #[source]
        source: sqlx::Error,
    },
    /// The server refused the user or the password.
    #[error("the server at {place} refuses user `{user}`: {reason}")]
    Refused {
        /// Host and port, or the socket.
        place: String,
        /// The user.
        user: String,
        /// The server's words.
        reason: String,
    },
    /// The server knows no such setting of a session, or does not take its value.
    #[error("the server at {place} does not take a parameter of the URL: {reason}")]
    Setting {
        /// Host and port, or the socket.
        place: String,
        /// The server's words.
        reason: String,
    },
    /// The server lets nobody in for now.
    #[error("the server at {place} takes no connection now: {reason}")]
    Busy {
        /// Host and port, or the socket.
        place: String,
        /// The server's words.
        reason: String,
    },
    /// The servers that answer are not what `target_session_attrs` asks for.
    #[error("no server is {wanted}, as target_session_attrs asks; there answered: {places}")]
    NotWanted {
        /// Where those are that answer.
        places: String,
        /// What is asked for.
        wanted: String,
    },
    /// The server has no such database.
    #[error("the server at {place} has no database `{database}`")]
    NoDatabase {
        /// Host and port, or the socket.
        place: String,
        /// The database.
        database: String,
    },
    /// The file of a database cannot be opened.
    #[error("the database file {path} cannot be opened: {reason}", path = .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// SQLite's or the system's words.
        reason: String,
    },
    /// The connection could not be made as secure as the URL asks.
    #[error("no secure connection to {place}")]
    Tls {
        /// Host and port, or the socket.
        place: String,
        /// What went wrong.
        #[source]
        source: sqlx::Error,
    },
    /// The first question failed.
    #[error("the session with {place} is of no use")]
    Session {
        /// Host and port, or the socket.
        place: String,
        /// What went wrong.
        #[source]
        source: DatabaseError,
    },
    /// The PostgreSQL inside the process did not start.
    #[error("the embedded PostgreSQL did not start: {0}")]
    Embedded(String),
}

/// Why a question to a database failed.
#[derive(Debug, Error)]
pub enum DatabaseError {
    /// The server or the connection failed.
    #[error("cannot {doing}")]
    Query {
        /// What was being done, after "cannot".
        doing: String,
        /// What went wrong.
        #[source]
        source: sqlx::Error,
    },
    /// Somebody held a lock for longer than a look may wait for it.
    #[error("cannot {doing}: {} ms were not enough for a lock{}", .waited.as_millis(), told(.blockers))]
    Locked {
        /// What was being done, after "cannot".
        doing: String,
        /// For how long it was waited.
        waited: Duration,
        /// Who held it.
        blockers: Vec<Session>,
    },
    /// A query of the user's own is not one statement that reads; no server was asked.
    #[error("a query has to be one statement that reads: {reason}")]
    NoQuery {
        /// What it is instead.
        reason: String,
    },
    /// The search path leads to no schema.
    #[error("the connection has no current schema: its search path names none that exists")]
    NoSchema,
    /// The dialect has no schemas inside a database.
    #[error("this kind of database has no schemas: `{schema}` cannot be entered")]
    NoSchemas {
        /// The schema that was asked for.
        schema: String,
    },
    /// golang-migrate keeps one row; which of several counts is not defined.
    #[error("the tracking table `{table}` has more than one row")]
    SeveralRows {
        /// The table.
        table: String,
    },
    /// Somebody whom our locks do not keep out has migrated meanwhile.
    #[error("the tracking table `{table}` says {found} and no longer {expected}")]
    TrackMoved {
        /// The table.
        table: String,
        /// What it said when the step was decided on.
        expected: TrackingRow,
        /// What it says.
        found: TrackingRow,
    },
    /// The session may only look.
    #[error("this connection can only read: {0}")]
    ReadOnly(String),
    /// A body has ended and left the session in another database, where nothing of ours is to run.
    #[error("it ran, and leaves the session in the database `{database}` and not in `{own}`")]
    AnotherDatabase {
        /// Where the session is.
        database: String,
        /// Where it belongs.
        own: String,
    },
    /// The tracking table is gone: a body has dropped it.
    #[error("the tracking table `{table}` is gone: the file drops it")]
    TrackGone {
        /// The table.
        table: String,
    },
    /// What was written into the tracking table is not there.
    #[error("the tracking table `{table}` does not say what was just written into it")]
    TrackNotWritten {
        /// The table.
        table: String,
    },
    /// A table of that name is there, and is not what golang-migrate keeps its version in.
    #[error("the table `{table}` is not a tracking table of golang-migrate's: {reason}")]
    ForeignTrack {
        /// The table.
        table: String,
        /// What it has or lacks.
        reason: String,
    },
    /// A number that golang-migrate does not write.
    #[error("the tracking table `{table}` has the version {version}, which no migrator writes")]
    Version {
        /// The table.
        table: String,
        /// The number.
        version: i64,
    },
    /// The records were written by a later version of Sternway.
    #[error("Sternway's records have the format {found}, and this version knows {known}")]
    RecordsFormat {
        /// What is there.
        found: i32,
        /// What this version reads and writes.
        known: i32,
    },
    /// The records are there, and this user may not read them: what they say is not known.
    #[error("Sternway's records in this database cannot be read: {0}")]
    RecordsUnreadable(String),
    /// The records say something that cannot be.
    #[error("Sternway's records are damaged: {0}")]
    RecordsDamaged(String),
    /// The plan of a run that nobody has ended was written by another version of Sternway.
    #[error("the plan of run {run}, which is unfinished, was written by Sternway {sternway}")]
    PlanUnreadable {
        /// The run.
        run: i64,
        /// Which version wrote it.
        sternway: String,
        /// Why it cannot be read.
        #[source]
        source: PlanFileError,
    },
    /// The archive has no such entry.
    #[error("the archive has no entry {0}")]
    NoEntry(i64),
    /// An entry of the archive cannot be used.
    #[error("entry {id} of the archive cannot be {doing}: {reason}")]
    Entry {
        /// The entry.
        id: i64,
        /// What was to be done with it, such as `put back`.
        doing: &'static str,
        /// Why not.
        reason: String,
    },
    /// The dialect has no such fence.
    #[error("this kind of database has no fence of the kind `{kind}`")]
    NoFence {
        /// What was asked for.
        kind: String,
    },
    /// A fence would not hold, or cannot be raised or taken away.
    #[error("the fence cannot be {doing}: {reason}")]
    Fence {
        /// What was to be done with it, such as `raised`.
        doing: &'static str,
        /// Why not.
        reason: String,
    },
}

/// A tracking table that is none of golang-migrate's.
pub(crate) fn foreign(table: &str, reason: String) -> DatabaseError {
    DatabaseError::ForeignTrack { table: table.to_owned(), reason }
}

/// A tracking row without a dirty mark.
pub(crate) fn no_mark(table: &str) -> DatabaseError {
    foreign(table, "its row does not say whether it is dirty".to_owned())
}

/// The position in a tracking row, from its text.
pub(crate) fn position(table: &str, text: Option<&str>) -> Result<Position, DatabaseError> {
    let Some(text) = text else {
        return Err(foreign(table, "its row has no version".to_owned()));
    };
    let whole = || foreign(table, format!("its version is `{text}`, and no whole number"));
    match text.parse::<i64>().map_err(|_| whole())? {
        // golang-migrate's "nothing applied" after a failed down of the first migration.
        -1 => Ok(Position::Nothing),
        version => match u64::try_from(version) {
            Ok(version) => Ok(Position::At(version)),
            Err(_) => Err(DatabaseError::Version { table: table.to_owned(), version }),
        },
    }
}

/// Says what was being done when the driver failed.
pub(crate) fn failed(doing: &str) -> impl FnOnce(sqlx::Error) -> DatabaseError {
    let doing = doing.to_owned();
    move |source| DatabaseError::Query { doing, source }
}

/// A session that holds a lock. Its query is not told: it may hold a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The server's number for the session; 0 where the lock is a row in a table, which does not say
    /// whose it is.
    pub pid: i32,
    /// What it calls itself.
    pub application: String,
    /// Its user and where it comes from.
    pub from: String,
    /// What it does: `active`, `idle in transaction` and so on.
    pub state: String,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.pid == 0 {
            return f.write_str(&self.from);
        }
        let name = if self.application.is_empty() { "unnamed" } else { &self.application };
        write!(f, "session {} ({name}, {}, {})", self.pid, self.from, self.state)
    }
}

/// Why the locks were not obtained.
#[derive(Debug, Error)]
pub enum LockError {
    /// Somebody else has them.
    #[error("another migrator is at work on this database: {}", holders(.0))]
    Held(Vec<Holder>),
    /// The question failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

fn holders(holders: &[Holder]) -> String {
    match holders {
        [] => "its session ended while we asked".to_owned(),
        some => some.iter().map(Holder::to_string).collect::<Vec<_>>().join(", "),
    }
}

/// The server's words about a statement, without what rows hold: `…` stands for values. So it may be
/// logged and recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqlError {
    /// What is wrong.
    pub message: String,
    /// The SQLSTATE, such as `42P01`.
    pub code: String,
    /// More about it.
    pub detail: Option<String>,
    /// What the server advises.
    pub hint: Option<String>,
    /// The line and column in the body, from 1.
    pub at: Option<(usize, usize)>,
    /// The same in all of the server's words, where they may repeat what rows hold.
    pub(crate) full: Option<Box<SqlError>>,
}

impl SqlError {
    /// An error that says nothing of rows.
    pub fn new(message: &str, code: &str, at: Option<(usize, usize)>) -> SqlError {
        let (message, code) = (message.to_owned(), code.to_owned());
        SqlError { message, code, detail: None, hint: None, at, full: None }
    }

    /// With more about it.
    pub(crate) fn and(mut self, more: &str) -> SqlError {
        for error in [Some(&mut self.detail), self.full.as_deref_mut().map(|it| &mut it.detail)] {
            let Some(detail) = error else { continue };
            *detail = Some(match detail.take() {
                Some(said) => format!("{}; {more}", said.trim_end_matches(['.', ' '])),
                None => more.to_owned(),
            });
        }
        self
    }

    /// A body that has dropped the tracking table before its row was written.
    pub(crate) fn track_gone(table: &str) -> SqlError {
        let message = format!(
            "the file drops the tracking table `{table}`, and with it the row that is to say where the database stands"
        );
        SqlError::new(&message, "42P01", None)
    }

    /// All of the server's words, which may repeat what rows hold: for the person at the terminal
    /// alone, and never to be recorded.
    pub fn in_full(&self) -> &SqlError {
        self.full.as_deref().unwrap_or(self)
    }
}

impl fmt::Display for SqlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.message, self.code)?;
        if let Some((line, column)) = self.at {
            write!(f, ", line {line}, column {column}")?;
        }
        if let Some(detail) = &self.detail {
            write!(f, "; {detail}")?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "; {hint}")?;
        }
        Ok(())
    }
}

impl std::error::Error for SqlError {}

/// Why a step failed, and what that leaves behind.
#[derive(Debug, Error)]
pub enum StepError {
    /// The body failed in its transaction: nothing of it is left.
    #[error("`{file}` failed and was taken back whole")]
    TakenBack {
        /// The file.
        file: String,
        /// The server's words.
        #[source]
        source: SqlError,
    },
    /// The body failed outside a transaction: the track is dirty.
    #[error(
        "`{file}` failed in statement {statement}; what came before {} stays, and the track is dirty",
        before(*.statement, *.since)
    )]
    Dirty {
        /// The file.
        file: String,
        /// Which statement, from 1.
        statement: usize,
        /// The statement from which on nothing stays: the one that failed, or the one that began the
        /// transaction of the body's own in which that stood.
        since: usize,
        /// The server's words.
        #[source]
        source: SqlError,
        /// Where it was only a lock that was not had in time, and the body can go on with that
        /// statement: who may hold it.
        blockers: Option<Vec<Session>>,
    },
    /// The body destroys more than the plan says; it was not run.
    #[error("`{file}` destroys more here than the plan says: {}", join(.more))]
    Beyond {
        /// The file.
        file: String,
        /// What the plan does not say.
        more: Vec<Lost>,
    },
    /// What the body destroys cannot be kept; it was not run.
    #[error("`{file}` destroys what cannot be kept: {reason}")]
    CannotKeep {
        /// The file.
        file: String,
        /// What, and why.
        reason: String,
    },
    /// A rehearsal would not have kept to its own database; it was not run there.
    #[error("`{file}` cannot be rehearsed: {what}, and that would be done in earnest")]
    ExternalEffects {
        /// The file.
        file: String,
        /// What the body does elsewhere, such as `it names the database x`.
        what: String,
    },
    /// Others held a lock for longer than the body may wait; it was taken back whole.
    #[error("`{file}` waited {} ms for a lock and was taken back whole{}", .waited.as_millis(), told(.blockers))]
    Blocked {
        /// The file.
        file: String,
        /// For how long a statement may wait.
        waited: Duration,
        /// Who held it.
        blockers: Vec<Session>,
    },
    /// The connection or the tracking table failed.
    #[error("`{file}` was not run to its end")]
    Database {
        /// The file.
        file: String,
        /// What went wrong.
        #[source]
        source: DatabaseError,
    },
}

/// The statement before which what a body did stays, in words.
fn before(statement: usize, since: usize) -> String {
    if since == statement { "it".to_owned() } else { format!("statement {since}") }
}

fn join(lost: &[Lost]) -> String {
    lost.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn told(blockers: &[Session]) -> String {
    blockers.iter().map(|it| format!("; {it}")).collect()
}
