//! Stopping the application, before anything is changed. Stopping what has stopped is no error, so that
//! a crash in the middle is made up for by doing it once more; undoing it starts what ran.
//!
//! Where it is known as which user the application connects, it has stopped once no session of that user
//! is left: another process of the same application writes like the one that was stopped.

use std::time::{Duration, Instant};

use sternway_model::plan::Step;

use super::step::Place;
use super::{Executor, RunError};
use crate::event::Event;
use crate::fence::FenceError;

/// How long the sessions of what has stopped may linger.
const LINGER: Duration = Duration::from_secs(15);
/// How long to wait between two looks.
const PAUSE: Duration = Duration::from_millis(200);

impl Executor<'_, '_> {
    pub(super) async fn stop(&mut self, step: &Step, at: Place<'_>) -> Result<(), RunError> {
        self.deploy(step, at, false, async |app, known| app.stop(known).await).await?;
        self.nobody_writes().await
    }

    /// Waits until no session of the application's user is left; a fence has a way of its own with them.
    async fn nobody_writes(&mut self) -> Result<(), RunError> {
        let plan = self.plan();
        let fenced = plan.all_steps().any(|(_, step)| matches!(step, Step::Fence(_)));
        let Some(user) = plan.deployment.user.as_ref().filter(|_| !fenced && !plan.is_app_only())
        else {
            return Ok(());
        };
        let end = Instant::now() + LINGER;
        let mut told = false;
        loop {
            let mut left = self.database.sessions().await?;
            left.retain(|it| it.user == *user);
            if left.is_empty() {
                return Ok(());
            }
            if Instant::now() >= end {
                return Err(RunError::Fence(FenceError::StillThere(left)));
            }
            if !told {
                self.observer.tell(&Event::Waiting(&left));
                told = true;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Starts again what ran before.
    pub(super) async fn undo_stop(&mut self, step: &Step, at: Place<'_>) -> Result<(), RunError> {
        let Some(release) = &self.plan().running else { return Ok(()) };
        self.without_locks(step, at, true, release).await
    }
}
