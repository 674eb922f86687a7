//! The fence goes up: other clients are kept from writing, and those who are there are seen out. The
//! dialect notes a fence before anybody is kept out, so that raising it again takes away first what a
//! crash in the middle left; undoing it takes it away.

use sternway_model::fence::FenceRequest;

use super::{Executor, RunError};
use crate::fence::raise;

impl Executor<'_, '_> {
    pub(super) async fn raise_fence(&mut self, request: &FenceRequest) -> Result<(), RunError> {
        let request = self.run.clear.applied_to(request);
        let app = &self.plan().app;
        let raised = raise(self.database, app, self.id, &request, self.observer).await?;
        self.fence = raised.map(|raised| raised.id);
        Ok(())
    }

    /// Raises again the fence that should be up once `steps` steps are done, where somebody has taken
    /// it away since.
    pub(super) async fn raise_fence_again(&mut self, steps: usize) -> Result<(), RunError> {
        let plan = self.plan();
        let Some(request) = plan.fence_at(steps).filter(|it| it.mode.is_some()) else {
            return Ok(());
        };
        if self.database.fences(&plan.app).await?.is_empty() {
            self.raise_fence(request).await?;
        }
        Ok(())
    }
}
