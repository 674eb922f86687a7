//! Starting the application, and waiting until it is ready.
//!
//! Meanwhile the migrators' locks are given back: the application's own runner may want them before it
//! is ready. Afterwards they are taken again, and the run goes on only where its journal and its tracking
//! rows are as they were. Starting what runs is no error; undoing it stops it.

use sternway_model::catalog::Release;
use sternway_model::plan::Step;

use super::step::Place;
use super::{Executor, RunError};

impl Executor<'_, '_> {
    pub(super) async fn start(
        &mut self,
        step: &Step,
        release: &Release,
        at: Place<'_>,
    ) -> Result<(), RunError> {
        self.without_locks(step, at, false, release).await
    }

    pub(super) async fn undo_start(&mut self, step: &Step, at: Place<'_>) -> Result<(), RunError> {
        self.deploy(step, at, true, async |app, known| app.stop(known).await).await
    }
}
