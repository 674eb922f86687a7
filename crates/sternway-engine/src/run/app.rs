//! Asking something of the application.

use std::time::{Duration, Instant};

use sternway_database::LockError;
use sternway_database::failpoint::{self, Point};
use sternway_model::app::{App, AppError, Deployment};
use sternway_model::catalog::Release;
use sternway_model::journal::Progress;
use sternway_model::plan::{Hop, Step};
use sternway_model::state::TrackingRow;
use tokio::time::{sleep, timeout};

use super::step::Place;
use super::{Executor, RunError};
use crate::event::Event;

/// What whoever swaps has to do where the journey is taken back.
const REVERT: &str = "take that commit back where the cluster is kept; it is waited for";
/// How long a session may take to answer; one that is cut may not say so.
const ANSWER: Duration = Duration::from_secs(10);
/// How long a database's server may be away.
const AWAY: Duration = Duration::from_secs(180);
/// How long to wait before asking again.
const PAUSE: Duration = Duration::from_secs(1);

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
            self.observer.tell(&Event::Awaits(if undone { REVERT } else { awaits }));
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

    /// Sees to it that there is a session with the locks. What was done with the application may have moved
    /// the database's own server, where both are of one chart.
    pub(super) async fn with_session(&mut self, step: usize) -> Result<(), RunError> {
        if self.is_alive().await {
            return Ok(());
        }
        self.renew().await?;
        self.lock_again().await?;
        self.still_ours(step).await
    }

    async fn is_alive(&mut self) -> bool {
        matches!(timeout(ANSWER, self.database.read_only()).await, Ok(Ok(_)))
    }

    async fn renew(&mut self) -> Result<(), RunError> {
        let end = Instant::now() + AWAY;
        loop {
            match timeout(ANSWER, self.database.renew()).await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(error)) if Instant::now() >= end => return Err(RunError::Lost(error)),
                Err(_) if Instant::now() >= end => return Err(RunError::Silent(AWAY.as_secs())),
                _ => sleep(PAUSE).await,
            }
        }
    }

    /// Takes the locks; what holds them may be this run's own session that is lost.
    async fn lock_again(&mut self) -> Result<(), RunError> {
        let (tables, time) = (&self.run.plan.tables, self.run.lock_timeout);
        match self.database.lock(tables, time).await {
            Err(LockError::Held(_)) => {
                self.database.end_orphans(tables).await?;
                self.database.lock(tables, time).await.map_err(RunError::Lock)
            }
            locked => locked.map_err(RunError::Lock),
        }
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
        if !self.is_alive().await {
            self.renew().await?;
        }
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
