//! The port: what the engine asks of a database, whatever its dialect.
//!
//! A session holds its locks until it is dropped. Everything that only looks changes nothing: no
//! table is created by asking where a track stands.

mod care;
mod error;
mod sessions;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use async_trait::async_trait;
use sternway_model::archive::{Entry, EntryId, Page, PutBack};
use sternway_model::body::{BodyFacts, Mode};
use sternway_model::catalog::{Digest, Migration, Release, TrackName};
use sternway_model::effect::Loss;
use sternway_model::journal::{Progress, Record};
use sternway_model::plan::{Course, Migrate, Plan};
use sternway_model::proof::Fingerprint;
use sternway_model::state::{Identity, Position, Records, RecordsAccess, TrackState};

pub use care::{Care, Done, Limits, Settled};
pub use error::{Connect, DatabaseError, Holder, LockError, SqlError, StepError};
pub use sessions::{Fence, FenceKind, Orphan, Raised, Session};

/// The number of a run in the records of one database.
pub type RunId = i64;

/// A run as the records tell of it.
#[derive(Debug, Clone, PartialEq)]
pub struct RunSummary {
    /// Its number.
    pub id: RunId,
    /// Which way it went.
    pub course: Course,
    /// The release that ran before it, if that was known.
    pub from: Option<Release>,
    /// The release it was to arrive at.
    pub target: Release,
    /// When it started, in UTC, as `YYYY-MM-DD HH:MM:SS`.
    pub started: String,
    /// How long it has taken up to its last record, in seconds.
    pub seconds: f64,
    /// How many steps its plan has.
    pub steps: usize,
    /// Where it stands.
    pub progress: Progress,
    /// Who ran it: the database user.
    pub user: String,
}

/// One half of a migration, as a session runs it.
#[derive(Debug, Clone, Copy)]
pub struct Work<'a> {
    /// The tracking table.
    pub table: &'a str,
    /// What its row says before. Looked at again by a dialect whose locks golang-migrate does not
    /// know (SQLite).
    pub from: Option<u64>,
    /// Whether its row is marked dirty before, by a body that this one makes up for.
    pub dirty: bool,
    /// What its row says afterwards.
    pub to: Option<u64>,
    /// The name of the file, for messages.
    pub file: &'a str,
    /// What it says.
    pub body: &'a str,
    /// How it is run.
    pub mode: &'a Mode,
    /// The run and the number of the step in it. Its end is recorded together with the tracking row.
    pub journal: Option<(RunId, usize)>,
    /// What becomes of the settings that the body leaves in the session, such as a search path.
    pub settings: Settings,
    /// Whether its commit has to be on the disk when it ends. Where it need not, a later commit that
    /// has to takes it along: a server that crashes before that loses the body and the row together.
    pub durable: bool,
    /// The statement of the body to begin at, from 1; those before it are known to have taken effect.
    /// Only a body that runs outside a transaction can be begun in its middle.
    pub first: usize,
    /// Whether the journal's step is being undone, and its end is to be recorded as that.
    pub undoing: bool,
}

impl<'a> Work<'a> {
    /// A step of a plan, whose body this is.
    pub fn of(step: &'a Migrate, body: &'a str, journal: Option<(RunId, usize)>) -> Work<'a> {
        Work {
            table: &step.table,
            from: step.from,
            dirty: false,
            to: step.to,
            file: &step.file,
            body,
            mode: &step.mode,
            journal,
            settings: Settings::Reset,
            durable: true,
            first: 1,
            undoing: false,
        }
    }

    /// What the journal is told once the body has ended well.
    pub fn end(&self) -> Option<(RunId, Record)> {
        let end = |(run, step)| match self.undoing {
            true => (run, Record::Undone { step }),
            false => (run, Record::Ended { step }),
        };
        self.journal.map(end)
    }
}

/// What becomes of the settings that a body leaves in the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settings {
    /// They are taken back: each body starts as the first one does.
    Reset,
    /// They reach the next body, as with golang-migrate. The tracking row is written all the same.
    Kept,
}

/// A run that nobody has ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Unfinished {
    /// Its number.
    pub id: RunId,
    /// What it executes.
    pub plan: Plan,
    /// Where it stands.
    pub progress: Progress,
    /// Who started it: the database user.
    pub user: String,
    /// When, in UTC, as `YYYY-MM-DD HH:MM:SS`.
    pub started: String,
}

/// The statement that was under way when a migrator died, or that failed. Only dialects without
/// transactional changes of the schema have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Underway {
    /// The name of the file.
    pub file: String,
    /// What the tracking row was to say afterwards.
    pub to: Option<u64>,
    /// Which statement of the body, from 1.
    pub statement: usize,
    /// Its first line.
    pub text: String,
}

/// What ends the statement that a session is at, from another task.
#[async_trait]
pub trait Interrupt: Send + Sync {
    /// Asks the server to end it. The statement may have ended by itself meanwhile.
    ///
    /// # Errors
    /// When the server cannot be asked.
    async fn interrupt(&self) -> Result<(), Connect>;
}

/// A session with one database.
///
/// A fourth dialect is a folder with the files of the other three, this trait implemented in its
/// root, and a variant in [`crate::Dialect`]. What a method promises is what the suite of
/// `tests/contract.rs` asks of every dialect.
#[async_trait]
pub trait Database: Send {
    /// Which database this is.
    fn identity(&self) -> &Identity;

    /// The tracking table that the URL names with `x-migrations-table`, or golang-migrate's default
    /// for its scheme. The schema that the URL may name with it is the session's own matter.
    fn tracking_table(&self) -> &str;

    /// What a body says, in this dialect and in this session: parameters of the URL such as
    /// `x-multi-statement` change how a body is run.
    fn facts(&self, body: &str) -> BodyFacts;

    /// What a body would do outside of the session's database, and no rehearsal keeps to itself; `None`
    /// where nothing is found.
    ///
    /// # Errors
    /// When the session cannot be asked what else there is.
    async fn reaches_out(&mut self, body: &str) -> Result<Option<String>, DatabaseError>;

    /// What ends the statement under way. Had before the statement starts.
    fn interrupter(&self) -> Box<dyn Interrupt>;

    /// Makes `schema` the current one, alone on the search path, for this session and every body that
    /// it runs. Nothing is created yet: a schema that does not exist is made together with its first
    /// tracking table.
    ///
    /// # Errors
    /// When the dialect has no schemas, or the session cannot be asked.
    async fn enter_schema(&mut self, schema: &str) -> Result<(), DatabaseError> {
        Err(DatabaseError::NoSchemas { schema: schema.to_owned() })
    }

    /// Takes every lock by which golang-migrate and Sternway keep each other out of these tracking
    /// tables, all or none, trying for as long as `lock_timeout`.
    async fn lock(&mut self, tables: &[String], lock_timeout: Duration) -> Result<(), LockError>;

    /// Ends the sessions that hold one of these locks, call themselves `sternway` and belong to the
    /// session's own user: what a client leaves behind that was killed. Returns whom it ended.
    async fn end_orphans(&mut self, _tables: &[String]) -> Result<Vec<Holder>, DatabaseError> {
        Ok(Vec::new())
    }

    /// Gives the locks back.
    async fn unlock(&mut self) -> Result<(), DatabaseError>;

    /// What a tracking table says.
    async fn track(&mut self, table: &str) -> Result<TrackState, DatabaseError>;

    /// Makes a tracking table, if there is none, in the shape that golang-migrate gives it.
    async fn prepare_track(&mut self, table: &str) -> Result<(), DatabaseError>;

    /// Writes the tracking row, and runs nothing. The table is made where there is none.
    async fn set_track(&mut self, table: &str, position: Position) -> Result<(), DatabaseError>;

    /// The statement at which the work on a dirty track ended, if that is known.
    async fn underway(&mut self, _table: &str) -> Result<Option<Underway>, DatabaseError> {
        Ok(None)
    }

    /// Drops what golang-migrate's `drop` drops: every table of the current schema, the tracking
    /// tables among them. Returns what was dropped.
    async fn drop_tables(&mut self) -> Result<Vec<String>, DatabaseError>;

    /// The tables in the current schema, without `except`.
    async fn tables(&mut self, except: &[String]) -> Result<BTreeSet<String>, DatabaseError>;

    /// The extensions that the server offers.
    async fn extensions(&mut self) -> Result<BTreeSet<String>, DatabaseError>;

    /// A canonical description of the schema, without `except` and Sternway's own records.
    async fn fingerprint(&mut self, except: &[String]) -> Result<Fingerprint, DatabaseError>;

    /// Sternway's records for the application `app`; empty ones where there are none.
    async fn records(&mut self, app: &str) -> Result<Records, DatabaseError>;

    /// Makes a place for records, if it may.
    async fn prepare_records(&mut self) -> Result<RecordsAccess, DatabaseError>;

    /// Keeps the plan's migrations and releases, and notes that its run begins.
    async fn begin_run(&mut self, plan: &Plan) -> Result<RunId, DatabaseError>;

    /// Adds to the journal of a run.
    async fn record(&mut self, run: RunId, record: &Record) -> Result<(), DatabaseError>;

    /// Keeps migrations of a track of the application `app`, with the bodies that are given.
    async fn keep(
        &mut self,
        app: &str,
        track: &TrackName,
        migrations: &[Migration],
        bodies: &BTreeMap<Digest, String>,
    ) -> Result<(), DatabaseError>;

    /// Runs one half of a migration and writes the tracking row.
    async fn migrate(&mut self, work: &Work<'_>) -> Result<(), StepError>;

    /// Runs one half of a migration as [`Database::migrate`] does, finds out what it really changes,
    /// keeps what it destroys in the archive, and puts back what an earlier run of the other half
    /// kept. In a transaction all of it commits together.
    async fn migrate_with_care(
        &mut self,
        work: &Work<'_>,
        _care: &Care<'_>,
    ) -> Result<Done, StepError> {
        self.migrate(work).await?;
        Ok(Done::default())
    }

    /// What a query of the user's own answers: the values of its one column, as text, `most` at most.
    /// It may only look; one that writes is refused by the server.
    ///
    /// # Errors
    /// When the server does not answer it.
    async fn answers(
        &mut self,
        query: &str,
        most: usize,
    ) -> Result<Vec<Option<String>>, DatabaseError>;

    /// Fills in how many rows and bytes there are to lose, and changes nothing. What is too large to
    /// be counted is estimated; what does not exist yet stays open.
    async fn measure(&mut self, _losses: &mut [Loss]) -> Result<(), DatabaseError> {
        Ok(())
    }

    /// What the archive keeps for the application `app`, the oldest first.
    async fn archive(&mut self, _app: &str) -> Result<Vec<Entry>, DatabaseError> {
        Ok(Vec::new())
    }

    /// Rows of an entry, from number `offset` on, `limit` at most, in an order that stays the same.
    async fn archived(
        &mut self,
        id: EntryId,
        _offset: u64,
        _limit: u64,
    ) -> Result<Page, DatabaseError> {
        Err(DatabaseError::NoEntry(id))
    }

    /// Drops an entry of the archive, with its rows.
    async fn forget(&mut self, id: EntryId) -> Result<(), DatabaseError> {
        Err(DatabaseError::NoEntry(id))
    }

    /// Puts the rows of an entry back now, as far as they fit.
    async fn put_back(&mut self, id: EntryId) -> Result<PutBack, DatabaseError> {
        Err(DatabaseError::NoEntry(id))
    }

    /// The last run of the application `app`, if nobody has ended it.
    async fn unfinished(&mut self, _app: &str) -> Result<Option<Unfinished>, DatabaseError> {
        Ok(None)
    }

    /// Finds out whether the statement `statement` of a body that ran outside a transaction took
    /// effect, and takes away what half of it may have left, so that it can be run or passed over.
    async fn settle(
        &mut self,
        _work: &Work<'_>,
        _statement: usize,
    ) -> Result<Settled, DatabaseError> {
        Ok(Settled::Unknown)
    }

    /// The sessions of other clients with this database, those of Sternway and of the server itself
    /// left out.
    async fn sessions(&mut self) -> Result<Vec<Session>, DatabaseError> {
        Ok(Vec::new())
    }

    /// The sessions of other clients, Sternway's own among them, that hold a lock by which migrators
    /// keep each other out of these tracking tables, or are at a statement of one of these bodies.
    async fn orphans(
        &mut self,
        _tables: &[String],
        _bodies: &[&str],
    ) -> Result<Vec<Orphan>, DatabaseError> {
        Ok(Vec::new())
    }

    /// Ends such sessions. Those that have gone meanwhile are no error.
    async fn end_found_orphans(&mut self, _orphans: &[Orphan]) -> Result<(), DatabaseError> {
        Ok(())
    }

    /// Ends sessions of other clients. Those that have gone meanwhile are no error; they may take a
    /// moment to go.
    async fn end_sessions(&mut self, _sessions: &[Session]) -> Result<(), DatabaseError> {
        Ok(())
    }

    /// Finds out what a fence of this kind would change, and changes nothing.
    ///
    /// # Errors
    /// When the dialect has no such fence, or this one would not hold or could not be raised.
    async fn prepare_fence(&mut self, kind: &FenceKind) -> Result<Fence, DatabaseError> {
        Err(DatabaseError::NoFence { kind: kind.to_string() })
    }

    /// Raises a fence for the application `app`: other clients are kept from writing until
    /// [`Database::lower_fence`]. The records say so before anybody is kept out, so that no crash
    /// leaves it behind unknown. At most one stands in a database.
    async fn raise_fence(
        &mut self,
        _app: &str,
        _run: Option<RunId>,
        fence: &Fence,
    ) -> Result<Raised, DatabaseError> {
        Err(DatabaseError::NoFence { kind: fence.kind.to_string() })
    }

    /// The fences that stand for the application `app`: also those that a crash has left.
    async fn fences(&mut self, _app: &str) -> Result<Vec<Raised>, DatabaseError> {
        Ok(Vec::new())
    }

    /// Takes a fence away: what it changed is again as it was. One that is gone already is no error.
    async fn lower_fence(&mut self, _fence: &Raised) -> Result<(), DatabaseError> {
        Ok(())
    }

    /// Whether the session goes through a proxy that gives each transaction another connection, where
    /// the locks of a session mean nothing.
    async fn is_pooled(&mut self) -> Result<bool, DatabaseError> {
        Ok(false)
    }

    /// Every run of the application `app`, the last one first.
    async fn history(&mut self, app: &str) -> Result<Vec<RunSummary>, DatabaseError>;
}
