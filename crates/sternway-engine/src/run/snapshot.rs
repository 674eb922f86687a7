//! The snapshot before the schema is changed: the application is stopped and the fence is up, where there is either.
//! One that was cut short has no manifest, and another one is taken; there is nothing to undo: a snapshot stays.

use sternway_model::policy::SnapshotRequest;

use super::{Executor, RunError};
use crate::event::Event;

impl Executor<'_, '_> {
    pub(super) async fn snapshot(&mut self, request: SnapshotRequest) -> Result<(), RunError> {
        let release = self.plan().running.clone();
        let Some(snapshots) = &mut self.run.snapshots else { return Err(RunError::NoStore) };
        let taken = snapshots.take(request, release).await.map_err(RunError::Snapshot)?;
        self.observer.tell(&Event::SnapshotTaken { snapshot: &taken, proven: request.proven });
        Ok(())
    }
}
