//! Taking a run back: its steps are undone in the opposite order, and the schema is compared with the
//! one from before.
//!
//! Undoing is journaled as doing is, so that it can be cut short and gone on with as often as need be.

use sternway_database::failpoint::{Rule, holds};
use sternway_database::{Database, RunId, recorded};
use sternway_model::journal::{Progress, Reached, Record};
use sternway_model::plan::{Migrate, Step};
use sternway_model::proof::{Comparison, compare};

use super::migrate::BodyRun;
use super::recover::InDoubt;
use super::step::{Kind as _, Place};
use super::{Executor, Outcome, Run, RunError, steps};
use crate::event::{Event, Observer};
use crate::shadow::{Undoing, undoing, way_back};

/// Takes run `id` back, whose plan `run` has.
///
/// # Errors
/// Where the database is not what the run left or a step has no way back, before anything is undone;
/// where undoing a step fails, it can be asked for again.
pub async fn abort(
    run: Run<'_>,
    id: RunId,
    database: &mut dyn Database,
    observer: &mut dyn Observer,
) -> Result<Outcome, RunError> {
    run.under_locks(database, observer, async |executor| executor.abort(id).await).await
}

impl Executor<'_, '_> {
    async fn abort(&mut self, id: RunId) -> Result<Outcome, RunError> {
        let progress = self.progress(id).await?;
        let (left, reached, way) = match progress {
            Progress::Finished | Progress::Aborted | Progress::Abandoned => {
                return Err(RunError::Over(id));
            }
            Progress::Aborting { left, in_doubt, reached, way } => {
                let in_doubt = in_doubt.then_some(reached);
                let reached = self.go_on_back(id, left, in_doubt, way.as_deref()).await?;
                (left, reached, way)
            }
            Progress::Before { step } | Progress::Interrupted { step } => {
                self.can_be_undone(step)?;
                self.reconcile_step(id, step, Reached::default()).await?;
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
        self.tell_begins();
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
        self.can_be_undone(step)?;
        let reconciled = self.reconcile_step(id, step, reached).await?;
        let (left, way) = match what {
            Some(what) if what.may_have_left_something(reconciled) => {
                self.can_be_undone(step + 1)?;
                let way = match what.migration() {
                    Some(migrate) => {
                        if failed {
                            self.note(Record::Resumed).await?;
                        }
                        self.note_reconciled(step, reached, reconciled).await?;
                        self.half_way(id, step, migrate, reconciled.done, failed).await?
                    }
                    None => None,
                };
                (step + 1, way)
            }
            _ => (step, None),
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
        let of = self.plan().all_steps().count();
        let (first, undoing, half) = (done + 1, false, false);
        let rest = BodyRun { step, of, migrate, body: None, first, undoing, half };
        let Err(error) = self.run_body(rest).await else { return Ok(None) };
        tracing::warn!("step {} is undone half done: {}", step + 1, recorded(&error));
        let Progress::InDoubt { reached, .. } = self.progress(id).await? else { return Ok(None) };
        // What the statement that failed may have left is cleared away.
        let reached = Reached { failed: reached.statement.is_some(), ..reached };
        self.reconcile(&InDoubt { step, migrate, body: None, reached, undoing: false }).await?;
        // Without a way the other half has to do with what is there.
        Ok(self.way_back(step, migrate, reached.done).await)
    }

    /// The statements that undo the first `done` statements of a step, where a shadow finds them.
    async fn way_back(&self, step: usize, migrate: &Migrate, done: usize) -> Option<String> {
        let (shadow, other) = (self.run.shadow?, self.other_half(migrate, None).ok()?);
        let index = self.plan().migrations_before(step);
        match way_back(shadow, self.plan(), index, &other, done).await {
            Ok(way) => way,
            Err(error) => {
                tracing::info!(
                    "how step {} is undone half done is not known: {}",
                    step + 1,
                    recorded(&error)
                );
                None
            }
        }
    }

    /// The statements that undo a whole step, where its other half does not and a shadow finds them. The
    /// same are found whenever that is asked.
    pub(super) async fn undoing(&self, step: usize, migrate: &Migrate) -> Option<Undoing> {
        if migrate.is_there || !holds(Rule::UndoneWhole) {
            return None;
        }
        let other = self.other_half(migrate, None).ok()?;
        let index = self.plan().migrations_before(step);
        match undoing(self.run.shadow?, self.plan(), index, &other).await {
            Ok(way) => way,
            Err(error) => {
                tracing::info!(
                    "how step {} is undone is not known: {}",
                    step + 1,
                    recorded(&error)
                );
                None
            }
        }
    }

    /// Finds out what became of what was being undone, by the statements `way` where that is not a whole other half.
    /// Returns how far undoing the last step came.
    async fn go_on_back(
        &mut self,
        id: RunId,
        left: usize,
        in_doubt: Option<Reached>,
        way: Option<&str>,
    ) -> Result<Reached, RunError> {
        self.can_be_undone(left)?;
        let plan = self.plan();
        let top = left.checked_sub(1);
        let top = top.and_then(|step| Some((step, plan.all_steps().nth(step)?.1.migration()?)));
        let whole = match (top, in_doubt, way) {
            (Some((step, migrate)), Some(reached), None) if !reached.is_nothing() => {
                self.undoing(step, migrate).await
            }
            _ => None,
        };
        let way = way.or(whole.as_ref().map(|it| it.body.as_str()));
        let other = match (top, in_doubt) {
            (Some((step, migrate)), Some(reached)) => {
                Some((step, self.other_half(migrate, way)?, reached))
            }
            _ => None,
        };
        let undoing = other.as_ref().map(|(step, migrate, reached)| InDoubt {
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
        let Some(in_doubt) = undoing else { return Ok(Reached::default()) };
        let reconciled = self.reconcile(&in_doubt).await?;
        self.note_reconciled(in_doubt.step, in_doubt.reached, reconciled).await?;
        Ok(reconciled)
    }

    /// As [`Executor::strayed`], where the steps around may have left their marks.
    async fn strayed_while_turning(&mut self, left: usize) -> Result<Vec<String>, RunError> {
        let mut least: Option<Vec<String>> = None;
        let plan = self.plan();
        let mut marks: Vec<Option<Migrate>> = vec![None];
        for step in [left.checked_sub(1), Some(left)].into_iter().flatten() {
            let step = plan.all_steps().nth(step);
            if let Some(migrate) = step.and_then(|(_, step)| step.migration()) {
                marks.push(Some(migrate.clone()));
                marks.extend(self.other_half(migrate, None).ok().map(Some));
            }
        }
        for mark in marks {
            let in_doubt = mark.as_ref().map(|migrate| InDoubt {
                step: left,
                migrate,
                body: None,
                reached: Reached::default(),
                undoing: true,
            });
            let strayed = self.strayed(left, in_doubt.as_ref()).await?;
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
        let plan = self.plan();
        let top = left.checked_sub(1).and_then(|top| plan.all_steps().nth(top));
        if let Some((_, step)) = top
            && !matches!(step, Step::Fence(_) | Step::Unfence)
        {
            self.raise_fence_again(left).await?;
        }
        let all = steps(plan);
        let of = all.len();
        for (number, (index, hop, step)) in all.into_iter().enumerate().take(left).rev() {
            if may_stop && reached.is_nothing() && self.observer.stop() {
                return Ok(Outcome::Interrupted { done: number + 1, of });
            }
            let at = Place { number, of, hop, index, first: reached.done + 1 };
            reached = Reached::default();
            let way = way.take();
            self.note(Record::Undoing { step: number }).await?;
            if let Err(error) = self.undo(step, at, way.as_deref()).await {
                self.note_failure(number, &error).await;
                return Err(error);
            }
        }
        let comparison = self.compare_with_the_start().await;
        self.note(Record::Aborted).await?;
        Ok(Outcome::TakenBack { comparison: comparison? })
    }

    /// Takes everything back because a step failed without which there is no journey.
    pub(super) async fn go_back(&mut self, step: usize, cause: RunError) -> RunError {
        self.observer.tell(&Event::GoesBack { reason: &recorded(&cause) });
        let back = async {
            self.can_be_undone(step + 1)?;
            self.note(Record::Aborting { left: step + 1, way: None }).await?;
            self.back(step + 1, Reached::default(), None, false).await
        };
        match back.await {
            Ok(_) => match cause {
                RunError::Check(_)
                | RunError::Unchecked(_)
                | RunError::Fence(_)
                | RunError::Snapshot(_) => RunError::NotBegun(Box::new(cause)),
                cause => RunError::WentBack(Box::new(cause)),
            },
            Err(back) => RunError::not_back(cause, back),
        }
    }

    /// Refuses where one of the first `count` steps has no way back.
    fn can_be_undone(&self, count: usize) -> Result<(), RunError> {
        self.plan().all_steps().take(count).try_for_each(|(_, step)| self.can_undo(step))
    }

    /// The other half of a migration, as the step that undoes it, by the statements `way` where these are
    /// not all of it.
    pub(super) fn other_half(
        &self,
        step: &Migrate,
        way: Option<&str>,
    ) -> Result<Migrate, RunError> {
        let plan = self.plan();
        let direction = step.direction.opposite();
        if step.is_there {
            // It did nothing but to write its row.
            let (from, to) = (step.to, step.from);
            return Ok(Migrate { direction, from, to, ..step.clone() });
        }
        let refused = |why: &str| RunError::no_way_back(&step.track, step.version, direction, why);
        let half = plan.migration_of(step).and_then(|it| it.half(direction));
        let half = half.ok_or_else(|| refused("is missing"))?;
        let body = plan.bodies.get(&half.hash).ok_or_else(|| refused("is not in the plan"))?;
        let facts = self.database.facts(way.unwrap_or(body));
        if let Some(obstacle) = &facts.obstacle {
            return Err(refused(&format!("cannot be run: {obstacle}")));
        }
        Ok(Migrate {
            version: step.version,
            direction,
            to: step.from,
            hash: half.hash,
            mode: facts.mode,
            destroys: facts.destroys,
            ..Migrate::staying(step.track.clone(), step.table.clone(), step.to, &half.file)
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
        Ok(self.run.checkpoints.map(|checkpoints| compare(&checkpoints.taken_back(), &found)))
    }
}
