//! One half of a migration, with care for the data that it destroys and for those who use the
//! database: where they hold a lock for too long, it is taken back and tried again.
//!
//! In a transaction it commits together with its end in the journal, so that a crash leaves nothing of
//! it; outside of one, `recover` finds out how far it came. Undoing it runs its other half.

use std::time::{Duration, Instant};

use sternway_database::{Preservation, StepError, Work};
use sternway_model::effect::Lost;
use sternway_model::plan::Migrate;

use super::step::Place;
use super::{Executor, RunError};
use crate::event::Event;

/// The first pause before a step is tried again; each is twice as long as the one before.
const PAUSE: Duration = Duration::from_millis(500);

/// The longest pause.
const LONGEST: Duration = Duration::from_secs(8);

/// What is run, and as which step.
pub(super) struct BodyRun<'a> {
    pub step: usize,
    pub of: usize,
    pub migrate: &'a Migrate,
    /// Its body, where that is not the plan's.
    pub body: Option<&'a str>,
    /// The statement to begin at.
    pub first: usize,
    /// Whether it undoes the step.
    pub undoing: bool,
    /// Whether it undoes a body that came only half way.
    pub half: bool,
}

impl Executor<'_, '_> {
    pub(super) async fn migrate(
        &mut self,
        migrate: &Migrate,
        at: Place<'_>,
    ) -> Result<(), RunError> {
        let Place { number: step, of, first, .. } = at;
        let undoing = false;
        self.run_body(BodyRun { step, of, migrate, body: None, first, undoing, half: false }).await
    }

    /// Runs the other half, or the statements `way` in its place, which undo a body that came only half way.
    pub(super) async fn undo_migration(
        &mut self,
        migrate: &Migrate,
        at: Place<'_>,
        way: Option<&str>,
    ) -> Result<(), RunError> {
        let Place { number: step, of, first, .. } = at;
        let whole = match way {
            Some(_) => None,
            None => self.undoing(step, migrate).await,
        };
        let half = way.is_some();
        let body = way.or(whole.as_ref().map(|it| it.body.as_str()));
        let mut other = self.other_half(migrate, body)?;
        other.closed_by = whole.as_ref().map(|it| it.closed_by.clone()).unwrap_or_default();
        let undoing = true;
        self.run_body(BodyRun { step, of, migrate: &other, body, first, undoing, half }).await
    }

    pub(super) async fn run_body(&mut self, run: BodyRun<'_>) -> Result<(), RunError> {
        let BodyRun { step, of, migrate, body, first, undoing, half } = run;
        let plan = self.plan();
        let body = body.or_else(|| plan.body(migrate));
        let body = body.ok_or_else(|| RunError::BodyMissing(migrate.file.clone()))?;
        self.observer.tell(&Event::Starts(migrate));
        let start = Instant::now();
        let journal = self.id.map(|run| (run, step));
        let mut work = Work { first, undoing, ..Work::of(migrate, body, journal) };
        let care = Preservation {
            app: &plan.app,
            track: &migrate.track,
            version: migrate.version,
            direction: migrate.direction,
            other: plan.other_half(migrate),
            keep: plan.keeps,
            planned: migrate.effects.as_ref(),
            discards: &plan.discards,
            each_lock: false,
            limits: self.run.limits,
        };
        let (mut tries, mut pause) = (0, PAUSE);
        let ended = loop {
            let ended = self.database.migrate_preserving(&work, &care).await;
            // What was blocked has left nothing: the step goes on being the one that has started, with
            // the statement that waited.
            let (blockers, statement) = match &ended {
                Err(StepError::Blocked { blockers, .. }) => (blockers, work.first),
                Err(StepError::Dirty { blockers: Some(blockers), statement, .. }) => {
                    (blockers, *statement)
                }
                _ => break ended,
            };
            if tries >= self.run.retries || self.observer.stop() {
                break ended;
            }
            if statement > work.first {
                (tries, pause) = (0, PAUSE);
            }
            work.first = statement;
            tries += 1;
            self.observer.tell(&Event::Blocked { step: migrate, by: blockers, pause });
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST);
        };
        let mut done = ended.map_err(|source| match undoing {
            true => RunError::Undo { step, of, source },
            false => RunError::Step { step, of, source },
        })?;
        if undoing && half {
            // What a body that failed half way had made is nobody's to come back over what the next one makes.
            let ids: Vec<_> = done.kept.iter().map(|it| it.id).collect();
            let left = self.database.leave(&ids).await?.into_iter();
            // Rows of a table that stays may be older than what is taken back.
            done.restored.extend(left.filter(|it| matches!(it.lost, Lost::Rows { .. })));
        }
        let took = start.elapsed();
        self.observer.tell(&Event::Migrated { step: migrate, took, done: &done });
        Ok(())
    }
}
