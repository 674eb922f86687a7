//! What is told while a journey goes on, and whom it is told to.
//!
//! One kind of event, from the first look at the facts to the last check, and for walks by numbers: a
//! terminal, a page, an operator's log and an application that starts are observers alike.

use std::time::Duration;

use sternway_database::{Done, Raised, Session};
use sternway_model::app::AppError;
use sternway_model::archive::Restoration;
use sternway_model::catalog::{Release, TrackName};
use sternway_model::check::Finding;
use sternway_model::plan::{Migrate, Plan, Step};
use sternway_model::proof::{Comparison, ObjectName};
use sternway_model::state::RecordsAccess;
use sternway_model::walk::Leg;

use crate::shadow::RehearsalError;

/// Something that happened.
#[derive(Debug)]
pub enum Event<'a> {
    /// The application did not say which release it runs; it may be down.
    AppSilent(&'a AppError),
    /// The connection is shared by transaction, where session locks keep nobody out, and goes on.
    Pooled,
    /// No clean install can be made to prove the result against, and it goes on all the same.
    Unproven(&'a RehearsalError),
    /// The run with this number is left as it is, for good.
    Abandoned(i64),
    /// The locks are held and the steps begin; `access` says whether records are kept.
    Begins {
        /// What is executed.
        plan: &'a Plan,
        /// Whether there is a journal.
        access: &'a RecordsAccess,
    },
    /// Checks were asked; what did not hold is among these.
    Checked(&'a [Finding]),
    /// This up half ran again, for what a check found.
    RanAgain {
        /// The file.
        file: &'a str,
        /// What it did.
        done: &'a Done,
    },
    /// Nobody is kept from writing, these sessions are there, and what they write while a step copies
    /// and takes away statement by statement is not kept.
    Unguarded(&'a [Session]),
    /// A fence that an earlier run left behind was taken away.
    FenceFound(&'a Raised),
    /// The fence is up.
    FenceRaised(&'a Raised),
    /// No fence is up: nobody else is connected, and no role is named.
    NobodyToFence,
    /// These sessions are waited for.
    Waiting(&'a [Session]),
    /// These sessions are told to end.
    Ending(&'a [Session]),
    /// The fence is down; `left` says whether another process had raised it.
    FenceLowered {
        /// The fence.
        raised: &'a Raised,
        /// Whether it was left behind by a process that was cut short.
        left: bool,
    },
    /// The run ended before its plan did, and the fence is still up.
    FenceStands(&'a Raised),
    /// The snapshot before the schema is changed is there.
    SnapshotTaken {
        /// Where it is, in words.
        snapshot: &'a str,
        /// Whether it is proven.
        proven: bool,
    },
    /// A migration starts, or its other half when it is undone.
    Starts(&'a Migrate),
    /// A migration ended well.
    Migrated {
        /// Which.
        step: &'a Migrate,
        /// How long it took.
        took: Duration,
        /// What it did.
        done: &'a Done,
    },
    /// Others hold a lock that a migration needs: nothing of the statement that waits is done, and it
    /// is tried again after a pause.
    Blocked {
        /// Which migration.
        step: &'a Migrate,
        /// Who holds the lock.
        by: &'a [Session],
        /// How long the pause is.
        pause: Duration,
    },
    /// What others had made is there again.
    Rebuilt {
        /// What it is.
        object: &'a ObjectName,
        /// How many of its grants, comments and other attributes it had and has no longer.
        lacks: usize,
    },
    /// What has its place again without its own migration is restored, as far as it fits.
    Restored(&'a [Restoration]),
    /// The proof of a hop was made.
    Proved {
        /// The release that the hop arrives at.
        release: &'a Release,
        /// What was found.
        comparison: &'a Comparison,
    },
    /// The swap is left to somebody else, who has to do this now.
    Awaits(&'a str),
    /// The application was stopped, swapped or started, or that was undone.
    Deployed {
        /// The step.
        step: &'a Step,
        /// Whether it was undone.
        undone: bool,
        /// How long it took.
        took: Duration,
    },
    /// In a walk by numbers, a track's turn comes.
    TurnOf {
        /// The track.
        track: &'a TrackName,
        /// Whether it is taken back, because another one failed.
        back: bool,
    },
    /// A leg of a walk is planned, and its body will be read, if it has one.
    LegPlanned(&'a Leg),
    /// A leg starts.
    LegStarts(&'a Leg),
    /// A leg ended well.
    LegEnded {
        /// Which.
        leg: &'a Leg,
        /// How long its body took to read.
        read: Duration,
        /// How long it took to run.
        ran: Duration,
    },
    /// A step failed, and from here on everything is taken back.
    GoesBack {
        /// Why.
        reason: &'a str,
    },
}

/// Who is told.
pub trait Observer: Send {
    /// Something happened.
    fn tell(&mut self, _event: &Event<'_>) {}
    /// Whether to stop before the next step, or to wait no longer.
    fn stop(&mut self) -> bool {
        false
    }
}

/// Nobody observes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Quiet;

impl Observer for Quiet {}
