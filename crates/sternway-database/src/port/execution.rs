//! Running one half of a migration, so that what it destroys is kept and those who use the database are
//! not held up.

use std::collections::BTreeSet;
use std::time::Duration;

use async_trait::async_trait;
use sternway_model::archive::{Preserved, Restoration};
use sternway_model::body::Mode;
use sternway_model::catalog::{Direction, TrackName};
use sternway_model::effect::Effects;
use sternway_model::journal::Record;
use sternway_model::plan::Migrate;
use sternway_model::position::Position;

use super::{DatabaseError, RunId, StepError};

/// One half of a migration, as a session runs it.
#[derive(Debug, Clone, Copy)]
pub struct Work<'a> {
    /// The tracking table.
    pub table: &'a str,
    /// What its row says before. Looked at again by a dialect whose locks golang-migrate does not
    /// know (SQLite).
    pub from: Position,
    /// Whether its row is marked dirty before, by a body that this one makes up for.
    pub dirty: bool,
    /// What its row says afterwards.
    pub to: Position,
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
    /// What is run behind what was restored, in the same transaction where there is one.
    pub closed_by: &'a [String],
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
            closed_by: &step.closed_by,
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

/// What is preserved while a body runs, and what it may cost others.
#[derive(Debug, Clone, Copy)]
pub struct Preservation<'a> {
    /// The application whose archive it is.
    pub app: &'a str,
    /// The track.
    pub track: &'a TrackName,
    /// The migration.
    pub version: u64,
    /// Which half runs.
    pub direction: Direction,
    /// Whether what it destroys is kept in the archive, and what was kept is restored.
    pub keep: bool,
    /// What the other half says, where that is known. Where it computes values of a column from other
    /// rows, what it would make of them now is noted beside what is kept: what it makes of them when it
    /// really runs then shows whether those rows have changed since.
    pub other: Option<&'a str>,
    /// The tables of which nothing is kept all the same, in their names' plain form.
    pub discards: &'a BTreeSet<String>,
    /// What the plan says that it destroys; a body that destroys more is not run. `None` where nobody
    /// could tell.
    pub planned: Option<&'a Effects>,
    /// Look at the locks after each statement, and not only at the end: for rehearsals.
    pub each_lock: bool,
    /// How long it may wait and run.
    pub limits: Limits,
}

impl Preservation<'_> {
    /// Whether nothing is kept of this table, in whatever case its name is written.
    pub fn discards(&self, table: &str) -> bool {
        self.discards.iter().any(|it| it.eq_ignore_ascii_case(table))
    }
}

/// Where everything is kept.
pub static NOTHING_DISCARDED: BTreeSet<String> = BTreeSet::new();

/// How long a body may wait and run. `None` is as long as it takes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// For how long a statement may wait for a lock that another session holds.
    pub lock: Option<Duration>,
    /// For how long a statement may run.
    pub statement: Option<Duration>,
}

/// What a body did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Done {
    /// What it changed; `None` where that could not be found out.
    pub effects: Option<Effects>,
    /// What was kept of what it destroyed.
    pub kept: Vec<Preserved>,
    /// What was restored of what an earlier run kept.
    pub restored: Vec<Restoration>,
}

/// What is known of a statement that was under way when its session was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reconciled {
    /// It took effect: the next one is to be run.
    Done,
    /// Nothing of it is left, or running it again does no harm: it is to be run.
    NotDone,
    /// Nobody can tell.
    Unknown,
}

/// What runs the bodies of migrations.
#[async_trait]
pub trait Execution: Send {
    /// Runs one half of a migration and writes the tracking row.
    async fn migrate(&mut self, work: &Work<'_>) -> Result<(), StepError>;

    /// Runs one half of a migration as [`Execution::migrate`] does, finds out what it really changes,
    /// keeps what it destroys in the archive, and restores what an earlier run of the other half
    /// kept. In a transaction all of it commits together.
    async fn migrate_preserving(
        &mut self,
        work: &Work<'_>,
        preservation: &Preservation<'_>,
    ) -> Result<Done, StepError>;

    /// Finds out whether the statement `statement` of a body that ran outside a transaction took
    /// effect, and takes away what half of it may have left, so that it can be run or passed over.
    async fn reconcile(
        &mut self,
        work: &Work<'_>,
        statement: usize,
    ) -> Result<Reconciled, DatabaseError>;
}
