//! Stopping the application, before anything is changed. Stopping what has stopped is no error, so that
//! a crash in the middle is made up for by doing it once more; undoing it starts what ran.

use sternway_model::plan::Step;

use super::step::Place;
use super::{Executor, RunError};

impl Executor<'_, '_> {
    pub(super) async fn stop(&mut self, step: &Step, at: Place<'_>) -> Result<(), RunError> {
        self.deploy(step, at, false, async |app, known| app.stop(known).await).await
    }

    /// Starts again what ran before.
    pub(super) async fn undo_stop(&mut self, step: &Step, at: Place<'_>) -> Result<(), RunError> {
        let Some(release) = &self.plan().running else { return Ok(()) };
        self.without_locks(step, at, true, release).await
    }
}
