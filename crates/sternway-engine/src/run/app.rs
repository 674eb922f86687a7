//! Asking something of the application.

use std::time::Instant;

use sternway_database::failpoint::{self, Point};
use sternway_model::app::{App, AppError, Deployment};
use sternway_model::catalog::Release;
use sternway_model::journal::Progress;
use sternway_model::plan::{Hop, Step};
use sternway_model::state::TrackingRow;

use super::step::Place;
use super::{Executor, RunError};
use crate::event::Event;

impl Executor<'_, '_> {
    /// Asks something of the application, and tells of it.
    pub(super) async fn deploy(
        &mut self,
        step: &Step,
        at: Place<'_>,
        undone: bool,
        act: impl AsyncFnOnce(&mut dyn App, &Deployment) -> Result<(), AppError>,
    ) -> Result<(), RunError> {
        let known = &self.run.plan.deployment;
        let Some(app) = &mut self.run.app else { return Err(RunError::NoApp) };
        if let (Step::Swap { .. }, Some(awaits)) = (step, &known.awaits) {
            self.observer.tell(&Event::Awaits(awaits));
        }
        failpoint::hit(Point::AppBegins);
        let start = Instant::now();
        let acted = act(&mut **app, known).await;
        acted.map_err(|source| RunError::App { step: at.number, of: at.of, source })?;
        failpoint::hit(Point::AppDone);
        let took = start.elapsed();
        self.observer.tell(&Event::Deployed { step, undone, took });
        Ok(())
    }

    /// Starts a release while the locks are free.
    pub(super) async fn without_locks(
        &mut self,
        step: &Step,
        at: Place<'_>,
        undone: bool,
        release: &Release,
    ) -> Result<(), RunError> {
        self.database.unlock().await?;
        let started =
            self.deploy(step, at, undone, async |app, known| app.start(known, release).await).await;
        let (tables, time) = (&self.run.plan.tables, self.run.lock_timeout);
        let locked = self.database.lock(tables, time).await;
        match (started, locked) {
            // What is left to be done writes to the journal alone.
            (Ok(()), Ok(())) if !undone => {
                self.still_ours(at.number).await?;
                self.stays(at.hop).await
            }
            (Ok(()), _) => self.still_ours(at.number).await,
            (Err(error), Ok(())) => match self.still_ours(at.number).await {
                Ok(()) => Err(error),
                Err(back) => Err(RunError::not_back(error, back)),
            },
            (Err(error), Err(held)) => Err(RunError::not_back(error, RunError::Lock(held))),
        }
    }

    /// Looks whether the tracks still stand where the plan ends: what started may have migrated by itself.
    async fn stays(&mut self, hop: &Hop) -> Result<(), RunError> {
        let mut what = Vec::new();
        for (track, table) in &self.plan().tracks {
            let is = self.database.track(table).await?.row();
            let ends = hop.ends_at.get(track).copied().unwrap_or_default();
            if is != TrackingRow::clean(ends) {
                what.push(format!("track `{track}` is at {is} and not at {ends}"));
            }
        }
        match (what.is_empty(), self.id) {
            (true, _) => Ok(()),
            (false, Some(run)) => Err(RunError::MovedSince { run, what }),
            (false, None) => Err(RunError::Moved(what)),
        }
    }

    /// Looks whether nobody has ended the run while the locks were free.
    async fn still_ours(&mut self, step: usize) -> Result<(), RunError> {
        let Some(id) = self.id else { return Ok(()) };
        match self.progress(id).await? {
            Progress::InDoubt { step: it, .. } if it == step => Ok(()),
            Progress::Aborting { left, in_doubt: true, .. } if left == step + 1 => Ok(()),
            _ => Err(RunError::Over(id)),
        }
    }
}
