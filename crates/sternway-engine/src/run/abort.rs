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
use crate::rehearse::way_back;

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
        let (left, reached, way) = match progress {
            Progress::Finished | Progress::Aborted | Progress::Abandoned => {
                return Err(RunError::Over(id));
            }
            Progress::Aborting { left, in_doubt, reached, way } => {
                let doubt = in_doubt.then_some(reached);
                let reached = self.go_on_back(id, left, doubt, way.as_deref()).await?;
                (left, reached, way)
            }
            Progress::Before { step } | Progress::Interrupted { step } => {
                self.can_be_undone(step)?;
                self.settle_step(id, step, Reached::default()).await?;
                self.note(Record::Aborting { left: step, way: None }).await?;
                (step, Reached::default(), None)
            }
            Progress::InDoubt { step, reached } => {
                let (left, way) = self.turn(id, step, reached, false).await?;
                (left, Reached::default(), way)
            }
            Progress::Failed { step, reached, .. } => {
                let (left, way) = self.turn(id, step, reached, true).await?;
                (left, Reached::default(), way)
            }
        };
        self.watch_begins();
        self.back(left, reached, way, true).await
    }

    /// Turns round at a step that was begun. Returns how many steps there are to be undone, and by which
    /// statements the last of them is, where that is not its whole other half.
    async fn turn(
        &mut self,
        id: RunId,
        step: usize,
        reached: Reached,
        failed: bool,
    ) -> Result<(usize, Option<String>), RunError> {
        let all = steps(self.plan());
        let what = all.get(step).map(|(_, _, what)| *what);
        self.can_be_undone(step + 1)?;
        let settled = self.settle_step(id, step, reached).await?;
        let (left, way) = match what {
            Some(Step::Migrate(migrate)) if settled.done > 0 => {
                if failed {
                    self.note(Record::Resumed).await?;
                }
                self.note_settled(step, reached, settled).await?;
                (step + 1, self.half_way(id, step, migrate, settled.done, failed).await?)
            }
            // Asking the application for what is so already does no harm.
            Some(Step::Stop | Step::Swap { .. } | Step::Start { .. }) => (step + 1, None),
            Some(Step::Migrate(_) | Step::Prove) | None => (step, None),
        };
        self.note(Record::Aborting { left, way: way.clone() }).await?;
        self.unmark(left).await?;
        Ok((left, way))
    }

    /// What to do with a body of which only the first `done` statements took effect. One that was cut
    /// short is run to its end: its other half is made for that. One that fails is undone by those
    /// statements of its other half that lead back from where it is, where a shadow finds them.
    async fn half_way(
        &mut self,
        id: RunId,
        step: usize,
        migrate: &Migrate,
        done: usize,
        failed: bool,
    ) -> Result<Option<String>, RunError> {
        if failed && let Some(way) = self.way_back(step, migrate, done).await {
            return Ok(Some(way));
        }
        let of = steps(self.plan()).len();
        let half = Half { step, of, migrate, body: None, first: done + 1, undoing: false };
        let Err(error) = self.migrate(half).await else { return Ok(None) };
        tracing::warn!("step {} is undone half done: {}", step + 1, in_full(&error));
        let Progress::InDoubt { reached, .. } = self.progress(id).await? else { return Ok(None) };
        // What the statement that failed may have left is cleared away.
        let reached = Reached { failed: reached.statement.is_some(), ..reached };
        self.settle(&Doubt { step, migrate, body: None, reached, undoing: false }).await?;
        // Without a way the other half has to do with what is there.
        Ok(self.way_back(step, migrate, reached.done).await)
    }

    /// The statements that undo the first `done` statements of a step, where a shadow finds them.
    async fn way_back(&self, step: usize, migrate: &Migrate, done: usize) -> Option<String> {
        let (shadow, other) = (self.run.shadow?, self.other_half(migrate, None).ok()?);
        let before = steps(self.plan()).into_iter().take(step);
        let index = before.filter(|(_, _, step)| matches!(step, Step::Migrate(_))).count();
        match way_back(shadow, self.plan(), index, &other, done).await {
            Ok(way) => way,
            Err(error) => {
                tracing::info!(
                    "how step {} is undone half done is not known: {}",
                    step + 1,
                    in_full(&error)
                );
                None
            }
        }
    }

    /// Settles what was being undone, by the statements `way` where that is not a whole other half.
    /// Returns how far undoing the last step came.
    async fn go_on_back(
        &mut self,
        id: RunId,
        left: usize,
        doubt: Option<Reached>,
        way: Option<&str>,
    ) -> Result<Reached, RunError> {
        self.can_be_undone(left)?;
        let all = steps(self.plan());
        let top = left.checked_sub(1).and_then(|step| Some((step, all.get(step)?.2)));
        let other = match (top, doubt) {
            (Some((step, Step::Migrate(migrate))), Some(reached)) => {
                Some((step, self.other_half(migrate, way)?, reached))
            }
            _ => None,
        };
        let undoing = other.as_ref().map(|(step, migrate, reached)| Doubt {
            step: *step,
            migrate,
            body: way,
            reached: *reached,
            undoing: true,
        });
        if undoing.as_ref().is_none_or(|it| it.reached.is_nothing()) {
            // A mark of the turn, or of a body that has not begun, is no more than that.
            let strayed = self.strayed_while_turning(left).await?;
            if !strayed.is_empty() {
                return Err(RunError::MovedSince { run: id, what: strayed });
            }
            self.unmark(left).await?;
            return Ok(Reached::default());
        }
        let what = self.strayed(left, undoing.as_ref()).await?;
        if !what.is_empty() {
            return Err(RunError::MovedSince { run: id, what });
        }
        let Some(doubt) = undoing else { return Ok(Reached::default()) };
        let settled = self.settle(&doubt).await?;
        self.note_settled(doubt.step, doubt.reached, settled).await?;
        Ok(settled)
    }

    /// As [`Hand::strayed`], where the steps around may have left their marks.
    async fn strayed_while_turning(&mut self, left: usize) -> Result<Vec<String>, RunError> {
        let mut least: Option<Vec<String>> = None;
        let all = steps(self.plan());
        let mut marks: Vec<Option<Migrate>> = vec![None];
        for step in [left.checked_sub(1), Some(left)].into_iter().flatten() {
            if let Some((_, _, Step::Migrate(migrate))) = all.get(step) {
                marks.push(Some((**migrate).clone()));
                marks.extend(self.other_half(migrate, None).ok().map(Some));
            }
        }
        for mark in marks {
            let doubt = mark.as_ref().map(|migrate| Doubt {
                step: left,
                migrate,
                body: None,
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

    /// Undoes the first `left` steps, the last one first, and that one by the statements `way` where it
    /// came only half way.
    async fn back(
        &mut self,
        left: usize,
        mut reached: Reached,
        mut way: Option<String>,
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
            let way = way.take();
            self.note(Record::Undoing { step }).await?;
            let undone = match what {
                Step::Migrate(migrate) => {
                    let other = self.other_half(migrate, way.as_deref())?;
                    let (migrate, body) = (&other, way.as_deref());
                    let half = Half { step, of, migrate, body, first, undoing: true };
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
            self.note(Record::Aborting { left: step + 1, way: None }).await?;
            self.back(step + 1, Reached::default(), None, false).await
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
                Step::Migrate(migrate) => drop(self.other_half(migrate, None)?),
                Step::Prove => {}
                Step::Stop | Step::Swap { .. } | Step::Start { .. } => self.needs_app()?,
            }
        }
        Ok(())
    }

    /// The other half of a migration, as the step that undoes it, by the statements `way` where these are
    /// not all of it.
    fn other_half(&self, step: &Migrate, way: Option<&str>) -> Result<Migrate, RunError> {
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
        let facts = self.database.facts(way.unwrap_or(body));
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
