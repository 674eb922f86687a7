//! Going on with a run that was cut short, or that failed.

use sternway_database::{Database, RunId};
use sternway_model::journal::{Progress, Reached, Record};
use sternway_model::state::RecordsAccess;

use super::recover::InDoubt;
use super::{Executor, Outcome, Run, RunError};
use crate::event::{Event, Observer};

/// Finishes run `id`, whose plan `run` has.
///
/// The locks come first: a session that a killed client left behind holds them until what it was at
/// has ended, so that nothing changes any more once they are had. Then it is found out what became of what was in doubt.
///
/// # Errors
/// As [`run`](super::run()), and where the database is not what the run left: nothing is done then.
pub async fn resume(
    run: Run<'_>,
    id: RunId,
    database: &mut dyn Database,
    observer: &mut dyn Observer,
) -> Result<Outcome, RunError> {
    run.under_locks(database, observer, async |executor| executor.go_on(id).await).await
}

impl Executor<'_, '_> {
    async fn go_on(&mut self, id: RunId) -> Result<Outcome, RunError> {
        let progress = self.progress(id).await?;
        self.needs_app()?;
        let (step, reached) = match progress {
            Progress::Aborting { .. } => return Err(RunError::GoingBack(id)),
            Progress::Finished | Progress::Aborted | Progress::Abandoned => {
                return Err(RunError::Over(id));
            }
            Progress::Before { step } | Progress::Interrupted { step } => {
                (step, Reached::default())
            }
            Progress::InDoubt { step, reached } | Progress::Failed { step, reached, .. } => {
                (step, reached)
            }
        };
        let reconciled = self.reconcile_step(id, step, reached).await?;
        self.note(Record::Resumed).await?;
        self.note_reconciled(step, reached, reconciled).await?;
        self.tell_begins();
        self.raise_fence_again(step).await?;
        self.forward(step, reconciled).await
    }

    /// Where the run stands, read under the locks.
    pub(super) async fn progress(&mut self, id: RunId) -> Result<Progress, RunError> {
        self.id = Some(id);
        let found = self.database.unfinished(&self.plan().app).await?;
        let found = found.filter(|it| it.id == id).ok_or(RunError::Over(id))?;
        if found.plan.digest() != self.plan().digest() {
            return Err(RunError::Over(id));
        }
        Ok(found.progress)
    }

    /// Finds out what became of a step that is next, or in doubt, and looks whether the database is where
    /// it was left.
    pub(super) async fn reconcile_step(
        &mut self,
        id: RunId,
        step: usize,
        reached: Reached,
    ) -> Result<Reached, RunError> {
        let plan = self.plan();
        let migrate = plan.all_steps().nth(step).and_then(|(_, step)| step.migration());
        let in_doubt =
            migrate.map(|migrate| InDoubt { step, migrate, body: None, reached, undoing: false });
        let mut what = self.strayed(step, in_doubt.as_ref()).await?;
        let mut reconciled = reached;
        if what.is_empty() {
            if let Some(in_doubt) = &in_doubt {
                reconciled = self.reconcile(in_doubt).await?;
            }
            what = self.altered(step, reconciled).await?;
        }
        if what.is_empty() { Ok(reconciled) } else { Err(RunError::MovedSince { run: id, what }) }
    }

    /// Adds to the journal that the statement in doubt took effect, if it did.
    pub(super) async fn note_reconciled(
        &mut self,
        step: usize,
        reached: Reached,
        reconciled: Reached,
    ) -> Result<(), RunError> {
        match reconciled.done > reached.done {
            true => self.note(Record::StatementDone { step, statement: reconciled.done }).await,
            false => Ok(()),
        }
    }

    pub(super) fn tell_begins(&mut self) {
        self.observer
            .tell(&Event::Begins { plan: self.run.plan, access: &RecordsAccess::Available });
    }
}
