//! Going on with a run that was cut short, or that failed.

use sternway_database::{Database, RunId};
use sternway_model::journal::{Progress, Reached, Record};
use sternway_model::plan::Step;

use super::doubt::Doubt;
use super::{Hand, Outcome, Run, RunError, Watch, steps};

/// Finishes run `id`, whose plan `run` has.
///
/// The locks come first: a session that a killed client left behind holds them until what it was at
/// has ended, so that nothing changes any more once they are had. Then what was in doubt is settled.
///
/// # Errors
/// As [`run`](super::run()), and where the database is not what the run left: nothing is done then.
pub async fn resume(
    run: Run<'_>,
    id: RunId,
    database: &mut dyn Database,
    watch: &mut dyn Watch,
) -> Result<Outcome, RunError> {
    run.under_locks(database, watch, async |hand| hand.go_on(id).await).await
}

impl Hand<'_, '_> {
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
        let settled = self.settle_step(id, step, reached).await?;
        self.note(Record::Resumed).await?;
        self.note_settled(step, reached, settled).await?;
        self.watch_begins();
        self.forward(step, settled).await
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

    /// Settles a step that is next, or in doubt, and looks whether the database is where it was left.
    pub(super) async fn settle_step(
        &mut self,
        id: RunId,
        step: usize,
        reached: Reached,
    ) -> Result<Reached, RunError> {
        let steps = steps(self.plan());
        let doubt = match steps.get(step) {
            Some((_, _, Step::Migrate(migrate))) => {
                Some(Doubt { step, migrate, body: None, reached, undoing: false })
            }
            _ => None,
        };
        let mut what = self.strayed(step, doubt.as_ref()).await?;
        let mut settled = reached;
        if what.is_empty() {
            if let Some(doubt) = &doubt {
                settled = self.settle(doubt).await?;
            }
            what = self.altered(step, settled).await?;
        }
        if what.is_empty() { Ok(settled) } else { Err(RunError::MovedSince { run: id, what }) }
    }

    /// Adds to the journal that the statement in doubt took effect, if it did.
    pub(super) async fn note_settled(
        &mut self,
        step: usize,
        reached: Reached,
        settled: Reached,
    ) -> Result<(), RunError> {
        match settled.done > reached.done {
            true => self.note(Record::StatementDone { step, statement: settled.done }).await,
            false => Ok(()),
        }
    }

    pub(super) fn watch_begins(&mut self) {
        self.watch.begins(self.run.plan, &sternway_model::state::RecordsAccess::Available);
    }
}
