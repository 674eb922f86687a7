//! Named points at which a build for tests can be made to stop dead, as by a `kill -9`.
//!
//! Only what is built with debug assertions has them, which no release is: the tests need no build of
//! their own. Even there a program has to ask for them with [`listen`]. Then the variable `FAILPOINTS`
//! says where it dies, with nothing put in order: `7` is at the seventh point that it comes by,
//! whichever that is, and `statement.noted` at the first of that name, `statement.noted:3` at the
//! third. It counts from where it first asks for the locks, or begins with a snapshot: what it rehearses before is no run. The
//! point's name is the last thing that it says on standard error. `BROKEN_RULE` names a [`Rule`] that does not hold there.

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
    /// It is about to be found out what became of a statement in doubt.
    Reconciling,
    /// It is found out.
    Reconciled,
    /// The locks are about to be given back.
    Unlocking,
    /// They are.
    Unlocked,
    /// A snapshot is about to be taken, restored or removed.
    Snapshot,
    /// A file of a snapshot is about to be written.
    Dumping,
    /// It is written.
    Dumped,
    /// The manifest of a snapshot is about to be written.
    Sealing,
    /// It is written.
    Sealed,
    /// A database is about to be made for a snapshot.
    Making,
    /// It is made, and empty.
    Made,
    /// A snapshot is loaded into it.
    Loaded,
    /// What was loaded is what was taken.
    Compared,
    /// Two databases are about to change places.
    Swapping,
    /// They have.
    Swapped,
    /// Rows written since are about to be carried over.
    Carrying,
    /// They are carried over, and nothing is committed.
    Carried,
}

impl Point {
    /// Those of a run, in its order.
    pub const ALL: [Point; 22] = [
        Self::Locking,
        Self::Locked,
        Self::Reconciling,
        Self::Reconciled,
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

    /// Those of snapshots, in their order.
    pub const OF_SNAPSHOTS: [Point; 13] = [
        Self::Snapshot,
        Self::Dumping,
        Self::Dumped,
        Self::Sealing,
        Self::Sealed,
        Self::Making,
        Self::Made,
        Self::Loaded,
        Self::Compared,
        Self::Swapping,
        Self::Swapped,
        Self::Carrying,
        Self::Carried,
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
            Self::Reconciling => "reconcile.begins",
            Self::Reconciled => "reconcile.ended",
            Self::Unlocking => "unlock.begins",
            Self::Unlocked => "unlock.ended",
            Self::Snapshot => "snapshot.begins",
            Self::Dumping => "dump.begins",
            Self::Dumped => "dump.ended",
            Self::Sealing => "seal.begins",
            Self::Sealed => "seal.ended",
            Self::Making => "make.begins",
            Self::Made => "make.ended",
            Self::Loaded => "load.ended",
            Self::Compared => "compare.ended",
            Self::Swapping => "swap.begins",
            Self::Swapped => "swap.ended",
            Self::Carrying => "carry.begins",
            Self::Carried => "carry.ended",
        }
    }
}

/// Comes by a point.
#[cfg(debug_assertions)]
pub fn hit(point: Point) {
    armed::hit(point);
}

/// Comes by a point.
#[cfg(not(debug_assertions))]
#[inline]
pub fn hit(_: Point) {}

/// Reads `FAILPOINTS`. What it cannot read is said, since a test with it would prove nothing.
#[cfg(debug_assertions)]
pub fn listen() {
    armed::listen();
}

/// Reads nothing.
#[cfg(not(debug_assertions))]
#[inline]
pub fn listen() {}

/// A rule of restoring, or of what is called proved. A test switches one off to see whether a suite would
/// notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// Nothing that is newer is overwritten.
    NewerStays,
    /// What a body computes from what has changed since stays.
    ComputedStays,
    /// Values of a row that a body deletes go to no other row that has its key later.
    DeletedApart,
    /// A row that a body has made anew is not restored beside that.
    OnlyOnce,
    /// A rehearsal begins at the schema that is there.
    FromWhatIsThere,
    /// What a journey leaves over is recorded.
    LeavesRecorded,
    /// What is there already is passed over.
    PassedOver,
    /// A down half that leaves something out is completed.
    Completed,
    /// A column that each row needs a value for is made where the archive gives it.
    FilledLate,
    /// What is added among rows is asked of them first.
    RowsAsked,
    /// What a down half takes of the target is passed over.
    MistakenPassedOver,
    /// What was written into a tracking table is read back.
    RowReadBack,
    /// A difference at the end is told.
    NoneWaived,
    /// What others have made goes only where somebody has agreed.
    OthersAsked,
    /// What others have made and goes is made again.
    OthersMadeAgain,
    /// A step whose other half does not undo it is undone by what does.
    UndoneWhole,
}

/// Switches a rule off for whatever runs on this thread from now on, or none.
#[cfg(debug_assertions)]
pub fn break_rule(rule: Option<Rule>) {
    armed::BROKEN.set(rule);
}

/// Whether a rule holds.
#[cfg(debug_assertions)]
pub fn holds(rule: Rule) -> bool {
    armed::BROKEN.get() != Some(rule)
        && armed::OFF.get().is_none_or(|it| *it != format!("{rule:?}"))
}

/// Whether a rule holds.
#[cfg(not(debug_assertions))]
#[inline]
pub fn holds(_: Rule) -> bool {
    true
}

#[cfg(debug_assertions)]
mod armed {
    use std::cell::Cell;
    use std::io::Write;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use super::Point;

    thread_local! {
        pub static BROKEN: Cell<Option<super::Rule>> = const { Cell::new(None) };
    }

    /// Where the process dies: the point, or any; and how often it is come by before.
    struct Fate {
        begun: AtomicBool,
        point: Option<Point>,
        left: AtomicUsize,
    }

    static FATE: OnceLock<Fate> = OnceLock::new();

    /// The name of a rule that does not hold in this process.
    pub static OFF: OnceLock<String> = OnceLock::new();

    pub fn listen() {
        if let Ok(rule) = std::env::var("BROKEN_RULE") {
            let _ = OFF.set(rule);
        }
        let Ok(text) = std::env::var("FAILPOINTS") else { return };
        match read(&text) {
            Some(fate) => drop(FATE.set(fate)),
            None => say(&format!("`{text}` in FAILPOINTS is no point")),
        }
    }

    fn read(text: &str) -> Option<Fate> {
        let (point, number) = match text.parse() {
            Ok(number) => (None, number),
            Err(_) => {
                let (name, number) = text.split_once(':').unwrap_or((text, "1"));
                let mut all = Point::ALL.into_iter().chain(Point::OF_SNAPSHOTS);
                let point = all.find(|point| point.name() == name)?;
                (Some(point), number.parse().ok()?)
            }
        };
        let left = usize::checked_sub(number, 1)?;
        Some(Fate { begun: AtomicBool::new(false), point, left: AtomicUsize::new(left) })
    }

    pub fn hit(point: Point) {
        let Some(fate) = FATE.get() else { return };
        if matches!(point, Point::Locking | Point::Snapshot) {
            fate.begun.store(true, Ordering::Relaxed);
        }
        if !fate.begun.load(Ordering::Relaxed) {
            return;
        }
        if fate.point.is_some_and(|it| it != point) {
            return;
        }
        let before = |left: usize| left.checked_sub(1);
        if fate.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, before).is_err() {
            say(&format!("killed at {}", point.name()));
            std::process::abort();
        }
    }

    fn say(text: &str) {
        let _ = writeln!(std::io::stderr(), "{text}");
    }
}
