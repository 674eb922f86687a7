//! Named points at which a test build can be made to stop dead, as by a `kill -9`.
//!
//! Without the feature `failpoints` they are nothing. With it, the variable `FAILPOINTS` says what
//! happens at which of them, as the crate `fail` reads it; the action `return` ends the process at
//! once, with nothing put in order: `step.started=2*off->return` ends it where the third step starts.

/// A point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Point {
    /// Before the locks are taken.
    Locking,
    /// The locks are held.
    Locked,
    /// Before the run is noted.
    BeginningRun,
    /// The run is noted.
    BegunRun,
    /// Before a record is added to the journal.
    Recording,
    /// A record is in the journal.
    Recorded,
    /// A step starts.
    StepBegins,
    /// A step has ended.
    StepEnded,
    /// A body is about to be sent.
    BodyBegins,
    /// A track is marked dirty.
    Marked,
    /// The journal says that a statement is under way.
    StatementNoted,
    /// A statement has run outside a transaction.
    StatementDone,
    /// A body has run, and nothing is committed.
    BodyDone,
    /// A body is committed, with the tracking row and the journal.
    Committed,
    /// The schema is about to be proved.
    Proving,
    /// The schema is proved.
    Proved,
    /// The application is about to be stopped, swapped or started.
    AppBegins,
    /// It is.
    AppDone,
    /// What is in doubt is about to be settled.
    Settling,
    /// It is settled.
    Settled,
    /// The locks are about to be given back.
    Unlocking,
    /// They are.
    Unlocked,
}

impl Point {
    /// All of them, in the order of a run.
    pub const ALL: [Point; 22] = [
        Self::Locking,
        Self::Locked,
        Self::Settling,
        Self::Settled,
        Self::BeginningRun,
        Self::BegunRun,
        Self::Recording,
        Self::Recorded,
        Self::StepBegins,
        Self::BodyBegins,
        Self::Marked,
        Self::StatementNoted,
        Self::StatementDone,
        Self::BodyDone,
        Self::Committed,
        Self::AppBegins,
        Self::AppDone,
        Self::Proving,
        Self::Proved,
        Self::StepEnded,
        Self::Unlocking,
        Self::Unlocked,
    ];

    /// What `FAILPOINTS` calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Locking => "lock.begins",
            Self::Locked => "lock.ended",
            Self::BeginningRun => "run.begins",
            Self::BegunRun => "run.begun",
            Self::Recording => "record.begins",
            Self::Recorded => "record.ended",
            Self::StepBegins => "step.begins",
            Self::StepEnded => "step.ended",
            Self::BodyBegins => "body.begins",
            Self::Marked => "body.marked",
            Self::StatementNoted => "statement.noted",
            Self::StatementDone => "statement.ended",
            Self::BodyDone => "body.ended",
            Self::Committed => "body.committed",
            Self::Proving => "proof.begins",
            Self::Proved => "proof.ended",
            Self::AppBegins => "app.begins",
            Self::AppDone => "app.ended",
            Self::Settling => "settle.begins",
            Self::Settled => "settle.ended",
            Self::Unlocking => "unlock.begins",
            Self::Unlocked => "unlock.ended",
        }
    }
}

/// Comes by a point.
#[cfg(feature = "failpoints")]
pub fn hit(point: Point) {
    fail::fail_point!(point.name(), |_| std::process::abort());
}

/// Comes by a point.
#[cfg(not(feature = "failpoints"))]
#[inline]
pub fn hit(_: Point) {}

/// Reads `FAILPOINTS`, for as long as what is returned lives.
#[cfg(feature = "failpoints")]
pub fn listen() -> impl Drop {
    fail::FailScenario::setup()
}
