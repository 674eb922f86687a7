//! Taking a run back: its steps are undone in the opposite order, and the schema is compared with the
//! one from before.
//!
//! Undoing is journaled as doing is, so that it can be cut short and gone on with as often as need be.

use sternway_database::{Database, RunId};
use sternway_model::catalog::Direction;
use sternway_model::journal::{Progress, Reached, Record};
use sternway_model::plan::{BodyOrigin, Migrate, Step};
use sternway_model::proof::{Comparison, compare};

use super::doubt::Doubt;
use super::migrate::Half;
use super::{Hand, Outcome, Run, RunError, Watch, in_full, steps};

/// Takes run `id` back, whose plan `run` has.
///
/// # Errors
/// Where the database is not what the run left or a step has no way back, before anything is undone;
/// where undoing a step fails, it can be asked for again.
pub async fn abort(
    run: Run<'_>,
    id: RunId,
    database: &mut dyn Database,
    watch: &mut dyn Watch,
) -> Result<Outcome, RunError> {
    run.under_locks(database, watch, async |hand| hand.abort(id).await).await
}

impl Hand<'_, '_> {
    async fn abort(&mut self, id: RunId) -> Result<Outcome, RunError> {
        let progress = self.progress(id).await?;
        let (left, reached) = match progress {
            Progress::Finished | Progress::Aborted | Progress::Abandoned => {
                return Err(RunError::Over(id));
            }
            Progress::Aborting { left, in_doubt, reached } => {
                self.go_on_back(id, left, in_doubt, reached).await?
            }
            Progress::Before { step } | Progress::Interrupted { step } => {
                self.can_be_undone(step)?;
                self.settle_step(id, step, Reached::default()).await?;
                self.note(Record::Aborting { left: step }).await?;
                (step, Reached::default())
            }
            Progress::InDoubt { step, reached } => {
                (self.turn(id, step, reached, false).await?, Reached::default())
            }
            Progress::Failed { step, reached, .. } => {
                (self.turn(id, step, reached, true).await?, Reached::default())
            }
        };
        self.watch_begins();
        self.back(left, reached, true).await
    }

    /// Turns round at a step that was begun. Returns how many steps there are to be undone.
    async fn turn(
        &mut self,
        id: RunId,
        step: usize,
        reached: Reached,
        failed: bool,
    ) -> Result<usize, RunError> {
        let all = steps(self.plan());
        let of = all.len();
        let what = all.get(step).map(|(_, _, what)| *what);
        self.can_be_undone(step + 1)?;
        let settled = self.settle_step(id, step, reached).await?;
        let left = match what {
            // A body that came half way is run to its end first: its other half is made for that.
            Some(Step::Migrate(migrate)) if settled.done > 0 => {
                if failed {
                    self.note(Record::Resumed).await?;
                }
                self.note_settled(step, reached, settled).await?;
                let first = settled.done + 1;
                let half = Half { step, of, migrate, first, undoing: false };
                if let Err(error) = self.migrate(half).await {
                    // Then the other half has to do with what is there.
                    tracing::warn!("step {} is undone half done: {}", step + 1, in_full(&error));
                }
                step + 1
            }
            // Asking the application for what is so already does no harm.
            Some(Step::Stop | Step::Swap { .. } | Step::Start { .. }) => step + 1,
            Some(Step::Migrate(_) | Step::Prove) | None => step,
        };
        self.note(Record::Aborting { left }).await?;
        self.unmark(left).await?;
        Ok(left)
    }

    /// Settles what was being undone.
    async fn go_on_back(
        &mut self,
        id: RunId,
        left: usize,
        in_doubt: bool,
        reached: Reached,
    ) -> Result<(usize, Reached), RunError> {
        self.can_be_undone(left)?;
        let all = steps(self.plan());
        let top = left.checked_sub(1).and_then(|step| Some((step, all.get(step)?.2)));
        let other = match top {
            Some((step, Step::Migrate(migrate))) if in_doubt => {
                Some((step, self.other_half(migrate)?))
            }
            _ => None,
        };
        let undoing = other.as_ref().map(|(step, migrate)| Doubt {
            step: *step,
            migrate,
            reached,
            undoing: true,
        });
        if undoing.as_ref().is_none_or(|it| it.reached.is_nothing()) {
            // A mark of the turn, or of a body that has not begun, is no more than that.
            let strayed = self.strayed_while_turning(left).await?;
            if !strayed.is_empty() {
                return Err(RunError::MovedSince { run: id, what: strayed });
            }
            self.unmark(left).await?;
            return Ok((left, Reached::default()));
        }
        let what = self.strayed(left, undoing.as_ref()).await?;
        if !what.is_empty() {
            return Err(RunError::MovedSince { run: id, what });
        }
        let Some(doubt) = undoing else { return Ok((left, reached)) };
        let settled = self.settle(&doubt).await?;
        let step = doubt.step;
        self.note_settled(step, reached, settled).await?;
        Ok((left, settled))
    }

    /// As [`Hand::strayed`], where the steps around may have left their marks.
    async fn strayed_while_turning(&mut self, left: usize) -> Result<Vec<String>, RunError> {
        let mut least: Option<Vec<String>> = None;
        let all = steps(self.plan());
        let mut marks: Vec<Option<Migrate>> = vec![None];
        for step in [left.checked_sub(1), Some(left)].into_iter().flatten() {
            if let Some((_, _, Step::Migrate(migrate))) = all.get(step) {
                marks.push(Some((**migrate).clone()));
                marks.extend(self.other_half(migrate).ok().map(Some));
            }
        }
        for mark in marks {
            let doubt = mark.as_ref().map(|migrate| Doubt {
                step: left,
                migrate,
                reached: Reached::default(),
                undoing: true,
            });
            let strayed = self.strayed(left, doubt.as_ref()).await?;
            if least.as_ref().is_none_or(|it| strayed.len() < it.len()) {
                least = Some(strayed);
            }
        }
        Ok(least.unwrap_or_default())
    }

    /// Undoes the first `left` steps, the last one first.
    async fn back(
        &mut self,
        left: usize,
        mut reached: Reached,
        may_stop: bool,
    ) -> Result<Outcome, RunError> {
        let all = steps(self.plan());
        let of = all.len();
        for (step, (_, _, what)) in all.into_iter().enumerate().take(left).rev() {
            if may_stop && reached.is_nothing() && self.watch.stop() {
                return Ok(Outcome::Interrupted { done: step + 1, of });
            }
            let first = reached.done + 1;
            reached = Reached::default();
            self.note(Record::Undoing { step }).await?;
            let undone = match what {
                Step::Migrate(migrate) => {
                    let other = self.other_half(migrate)?;
                    let half = Half { step, of, migrate: &other, first, undoing: true };
                    self.migrate(half).await
                }
                Step::Prove => self.note(Record::Undone { step }).await,
                Step::Stop | Step::Swap { .. } | Step::Start { .. } => {
                    match self.act(step, what, true).await {
                        Ok(()) => self.note(Record::Undone { step }).await,
                        Err(error) => Err(error),
                    }
                }
            };
            if let Err(error) = undone {
                self.note_failure(step, &error).await;
                return Err(error);
            }
        }
        let comparison = self.compare_with_the_start().await;
        self.note(Record::Aborted).await?;
        Ok(Outcome::TakenBack { comparison: comparison? })
    }

    /// Takes everything back because the application could not be put in place.
    pub(super) async fn go_back(&mut self, step: usize, cause: RunError) -> RunError {
        self.watch.goes_back(&in_full(&cause));
        let back = async {
            self.can_be_undone(step + 1)?;
            self.note(Record::Aborting { left: step + 1 }).await?;
            self.back(step + 1, Reached::default(), false).await
        };
        match back.await {
            Ok(_) => RunError::WentBack(Box::new(cause)),
            Err(back) => RunError::NotBack { cause: Box::new(cause), back: Box::new(back) },
        }
    }

    /// Refuses where one of the first `count` steps has no way back.
    fn can_be_undone(&self, count: usize) -> Result<(), RunError> {
        for (_, _, step) in steps(self.plan()).into_iter().take(count) {
            match step {
                Step::Migrate(migrate) => drop(self.other_half(migrate)?),
                Step::Prove => {}
                Step::Stop | Step::Swap { .. } | Step::Start { .. } => self.needs_app()?,
            }
        }
        Ok(())
    }

    /// The other half of a migration, as the step that undoes it.
    fn other_half(&self, step: &Migrate) -> Result<Migrate, RunError> {
        let plan = self.plan();
        let direction = match step.direction {
            Direction::Up => Direction::Down,
            Direction::Down => Direction::Up,
        };
        let refused = |why: &str| RunError::no_way_back(&step.track, step.version, direction, why);
        let mut migrations = plan.migrations.get(&step.track).into_iter().flatten();
        let migration = migrations.find(|it| it.version == step.version);
        let half = migration.and_then(|it| it.half(direction));
        let half = half.ok_or_else(|| refused("is missing"))?;
        let body = plan.bodies.get(&half.hash).ok_or_else(|| refused("is not in the plan"))?;
        let facts = self.database.facts(body);
        if let Some(obstacle) = &facts.obstacle {
            return Err(refused(&format!("cannot be run: {obstacle}")));
        }
        Ok(Migrate {
            track: step.track.clone(),
            table: step.table.clone(),
            version: step.version,
            direction,
            from: step.to,
            to: step.from,
            file: half.file.clone(),
            hash: half.hash,
            origin: BodyOrigin::Records,
            mode: facts.mode,
            destroys: facts.destroys,
            effects: None,
        })
    }

    /// Holds the schema against the one from before the run.
    async fn compare_with_the_start(&mut self) -> Result<Option<Comparison>, RunError> {
        let plan = self.plan();
        let Some(start) = plan.basis.fingerprint else { return Ok(None) };
        let found = self.database.fingerprint(&plan.tables).await?;
        if found.digest() == start {
            return Ok(Some(Comparison::default()));
        }
        Ok(self.run.landmarks.map(|landmarks| compare(&landmarks.taken_back(), &found)))
    }
}
