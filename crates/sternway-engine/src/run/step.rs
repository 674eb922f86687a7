//! What is done with each kind of step: carrying it out, undoing it, and what is left of it by a crash
//! in its middle.
//!
//! A kind has a file of its own, whose first lines say what it promises. A new kind has to be thought of
//! in each match here: none has a `_` arm.

use sternway_model::journal::{Reached, Record};
use sternway_model::plan::{Hop, Plan, Step};

use super::{Executor, Found, RunError};

/// Where a step stands in the plan, and where in it to begin.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    /// Its number over all hops, from 0.
    pub number: usize,
    /// How many there are.
    pub of: usize,
    /// Its hop.
    pub hop: &'a Hop,
    /// The number of the hop, from 0.
    pub index: usize,
    /// The statement of a body to begin at, from 1.
    pub first: usize,
}

impl Executor<'_, '_> {
    /// Carries out one step. Its beginning is in the journal already, its end is when this returns.
    pub(super) async fn carry_out(
        &mut self,
        step: &Step,
        at: Place<'_>,
        found: &mut Found,
    ) -> Result<(), RunError> {
        match step {
            // A body's end commits with it.
            Step::Migrate(migrate) => return self.migrate(migrate, at).await,
            Step::Check { at } => found.findings = self.check(*at).await?,
            Step::Stop => self.stop(step, at).await?,
            Step::Fence(request) => self.raise_fence(request).await?,
            Step::Snapshot(request) => self.snapshot(*request).await?,
            Step::Rebuild { taken } => self.rebuild(taken).await?,
            Step::Prove => found.proofs[at.index] = self.prove(at).await?,
            Step::Unfence => self.lower_fence().await?,
            Step::Swap { from, to } => self.swap(step, from.as_ref(), to, at).await?,
            Step::Start { release } => self.start(step, release, at).await?,
        }
        self.note(Record::Ended { step: at.number }).await
    }

    /// Undoes one step, by the statements `way` where that is a body that came only half way.
    pub(super) async fn undo(
        &mut self,
        step: &Step,
        at: Place<'_>,
        way: Option<&str>,
    ) -> Result<(), RunError> {
        match step {
            Step::Migrate(migrate) => return self.undo_migration(migrate, at, way).await,
            // What is gone again when its migration is undone, or was left out then, is not ours to take.
            Step::Check { .. } | Step::Snapshot(_) | Step::Rebuild { .. } | Step::Prove => {}
            Step::Stop => self.undo_stop(step, at).await?,
            Step::Fence(_) => self.lower_fence().await?,
            Step::Unfence => self.undo_unfence(at.number).await?,
            Step::Swap { from, to } => self.undo_swap(step, from.as_ref(), to, at).await?,
            Step::Start { .. } => self.undo_start(step, at).await?,
        }
        self.note(Record::Undone { step: at.number }).await
    }

    /// Refuses to take a step back for which there is no way.
    pub(super) fn can_undo(&self, step: &Step) -> Result<(), RunError> {
        match step {
            Step::Migrate(migrate) => self.other_half(migrate, None).map(drop),
            Step::Stop | Step::Swap { .. } | Step::Start { .. } => self.needs_app(),
            Step::Check { .. }
            | Step::Fence(_)
            | Step::Snapshot(_)
            | Step::Rebuild { .. }
            | Step::Prove
            | Step::Unfence => Ok(()),
        }
    }
}

/// What the engine knows of a kind of step without carrying it out.
pub(super) trait Kind {
    /// Whether a step that was cut short, or failed, may have left something that is to be undone:
    /// `reached` is how far its body came, if it has one.
    fn may_have_left_something(&self, reached: Reached) -> bool;

    /// Whether everything is taken back when it fails: where the application could not be put in place,
    /// and where nothing was migrated yet.
    fn goes_back_when_it_fails(&self, number: usize, plan: &Plan) -> bool;
}

impl Kind for Step {
    fn may_have_left_something(&self, reached: Reached) -> bool {
        match self {
            Step::Migrate(_) => reached.done > 0,
            Step::Check { .. } | Step::Snapshot(_) | Step::Rebuild { .. } | Step::Prove => false,
            // Asking for what is so already does no harm.
            Step::Stop
            | Step::Fence(_)
            | Step::Unfence
            | Step::Swap { .. }
            | Step::Start { .. } => true,
        }
    }

    fn goes_back_when_it_fails(&self, number: usize, plan: &Plan) -> bool {
        match self {
            Step::Swap { .. } | Step::Start { .. } => true,
            Step::Check { .. } | Step::Stop | Step::Fence(_) | Step::Snapshot(_) => {
                plan.migrations_before(number) == 0
            }
            Step::Migrate(_) | Step::Rebuild { .. } | Step::Prove | Step::Unfence => false,
        }
    }
}
