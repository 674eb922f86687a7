//! The fence comes down: other clients may write again. Taking away what is gone is no error; undoing it
//! raises the fence anew, before any migration is undone.

use super::{Executor, RunError};
use crate::event::Event;
use crate::fence::lower;

impl Executor<'_, '_> {
    pub(super) async fn lower_fence(&mut self) -> Result<(), RunError> {
        let app = &self.plan().app;
        for raised in lower(self.database, app).await? {
            let left = self.fence != Some(raised.id);
            self.observer.tell(&Event::FenceLowered { raised: &raised, left });
        }
        Ok(())
    }

    pub(super) async fn undo_unfence(&mut self, step: usize) -> Result<(), RunError> {
        match self.plan().fence_at(step) {
            Some(request) => self.raise_fence(request).await,
            None => Ok(()),
        }
    }
}
