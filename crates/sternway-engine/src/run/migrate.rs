//! One half of a migration, with care for the data that it destroys and for those who use the
//! database: where they hold a lock for too long, it is taken back and tried again.

use std::time::{Duration, Instant};

use sternway_database::{Care, StepError, Work};
use sternway_model::plan::Migrate;

use super::{Hand, RunError};

/// The first pause before a step is tried again; each is twice as long as the one before.
const PAUSE: Duration = Duration::from_millis(500);

/// The longest pause.
const LONGEST: Duration = Duration::from_secs(8);

/// What is run, and as which step.
pub(super) struct Half<'a> {
    pub step: usize,
    pub of: usize,
    pub migrate: &'a Migrate,
    /// Its body, where that is not the plan's.
    pub body: Option<&'a str>,
    /// The statement to begin at.
    pub first: usize,
    /// Whether it undoes the step.
    pub undoing: bool,
}

impl Hand<'_, '_> {
    pub(super) async fn migrate(&mut self, half: Half<'_>) -> Result<(), RunError> {
        let Half { step, of, migrate, body, first, undoing } = half;
        let plan = self.plan();
        let body = body.or_else(|| plan.bodies.get(&migrate.hash).map(String::as_str));
        let body = body.ok_or_else(|| RunError::BodyMissing(migrate.file.clone()))?;
        self.watch.starts(migrate);
        let start = Instant::now();
        let journal = self.id.map(|run| (run, step));
        let mut work = Work { first, undoing, ..Work::of(migrate, body, journal) };
        let care = Care {
            app: &plan.app,
            track: &migrate.track,
            version: migrate.version,
            direction: migrate.direction,
            keep: plan.keeps,
            planned: migrate.effects.as_ref(),
            each_lock: false,
            limits: self.run.limits,
        };
        let (mut tries, mut pause) = (0, PAUSE);
        let ended = loop {
            let ended = self.database.migrate_with_care(&work, &care).await;
            // What was blocked has left nothing: the step goes on being the one that has started, with
            // the statement that waited.
            let (blockers, statement) = match &ended {
                Err(StepError::Blocked { blockers, .. }) => (blockers, work.first),
                Err(StepError::Dirty { blockers: Some(blockers), statement, .. }) => {
                    (blockers, *statement)
                }
                _ => break ended,
            };
            if tries >= self.run.retries || self.watch.stop() {
                break ended;
            }
            if statement > work.first {
                (tries, pause) = (0, PAUSE);
            }
            work.first = statement;
            tries += 1;
            self.watch.blocked(migrate, blockers, pause);
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST);
        };
        let done = ended.map_err(|source| match undoing {
            true => RunError::Undo { step, of, source },
            false => RunError::Step { step, of, source },
        })?;
        self.watch.ends(migrate, start.elapsed(), &done);
        Ok(())
    }
}
