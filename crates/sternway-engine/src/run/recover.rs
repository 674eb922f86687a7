//! What a run that was cut short left: whether the database is where the journal says, and whether
//! what was under way took effect.
//!
//! A step in a transaction commits together with its end, so that one without an end did not happen,
//! or all of it did, and what the archive keeps for it is still to be restored.
//! Only a statement that cannot run in a transaction is ever in doubt, and the dialect looks for what
//! it leaves.

use std::collections::BTreeMap;

use sternway_database::failpoint::{self, Point};
use sternway_database::{Reconciled, Work};
use sternway_model::body::Mode;
use sternway_model::catalog::TrackName;
use sternway_model::journal::Reached;
use sternway_model::plan::Migrate;
use sternway_model::proof::{Difference, ObjectName, differences};
use sternway_model::state::TrackingRow;

use super::{Executor, RunError};

/// A half of a migration whose end is not in the journal.
pub(super) struct InDoubt<'a> {
    pub step: usize,
    pub migrate: &'a Migrate,
    /// Its body, where that is not the plan's.
    pub body: Option<&'a str>,
    pub reached: Reached,
    /// Whether it was undoing the step.
    pub undoing: bool,
}

impl InDoubt<'_> {
    /// Whether it leaves a mark: one in a transaction does once all of it is done and committed, and what
    /// the archive keeps was still to be restored.
    fn is_dirty(&self) -> bool {
        matches!(self.migrate.mode, Mode::Dirty { .. }) || self.reached.done > 0
    }
}

impl<'a> Executor<'_, 'a> {
    /// The tracking rows once the first `done` steps are done.
    fn rows(&self, done: usize) -> BTreeMap<TrackName, TrackingRow> {
        let plan = self.plan();
        let tracks = plan.tracks.iter().chain(&plan.off).map(|(track, _)| {
            let row = plan.basis.tracks.get(track).map(|it| it.row());
            (track.clone(), row.unwrap_or_default())
        });
        let mut rows: BTreeMap<_, _> = tracks.collect();
        for migrate in plan.all_steps().take(done).filter_map(|(_, step)| step.migration()) {
            rows.insert(migrate.track.clone(), TrackingRow::clean(migrate.to));
        }
        rows
    }

    /// Looks whether the tracking rows are where the journal says that they are after `done` steps,
    /// and whether a mark is only that of the step in doubt. Returns what differs.
    pub(super) async fn strayed(
        &mut self,
        done: usize,
        in_doubt: Option<&InDoubt<'_>>,
    ) -> Result<Vec<String>, RunError> {
        let plan = self.plan();
        let expected = self.rows(done);
        let mut strayed = Vec::new();
        for (track, table) in plan.tracks.iter().chain(&plan.off) {
            let found = self.database.track(table).await?.row();
            let clean = expected.get(track).copied().unwrap_or_default();
            let marks = in_doubt.filter(|it| it.migrate.track == *track && it.is_dirty());
            let fits = match marks {
                Some(body) => {
                    let mark = TrackingRow::dirty(body.migrate.to);
                    found == mark || (found == clean && body.reached.is_nothing())
                }
                None => found == clean,
            };
            if !fits {
                strayed.push(format!("track `{track}` was left at {clean} and is at {found}"));
            }
        }
        Ok(strayed)
    }

    /// Takes the mark away that a body left of which nothing is done.
    pub(super) async fn unmark(&mut self, done: usize) -> Result<(), RunError> {
        let expected = self.rows(done);
        for (track, table) in &self.plan().tracks {
            let clean = expected.get(track).copied().unwrap_or_default();
            let found = self.database.track(table).await?.row();
            if found.dirty && !clean.dirty {
                self.database.set_track(table, clean).await?;
            }
        }
        Ok(())
    }

    /// Finds out whether the statement under way took effect.
    pub(super) async fn reconcile(&mut self, in_doubt: &InDoubt<'_>) -> Result<Reached, RunError> {
        let InDoubt { step, migrate, body, reached, undoing } = *in_doubt;
        let Some(statement) = reached.statement else { return Ok(reached) };
        failpoint::hit(Point::Reconciling);
        let body = body.or_else(|| self.plan().body(migrate));
        let body = body.ok_or_else(|| RunError::BodyMissing(migrate.file.clone()))?;
        let journal = self.id.map(|run| (run, step));
        let work = Work { first: statement, undoing, ..Work::of(migrate, body, journal) };
        let reconciled = self.database.reconcile(&work, statement).await?;
        failpoint::hit(Point::Reconciled);
        match reconciled {
            Reconciled::Done if !reached.failed => {
                Ok(Reached { statement: None, done: statement, failed: false })
            }
            Reconciled::Done | Reconciled::NotDone => Ok(reached),
            // The server has said that it failed: there was only to be cleared away what it left.
            Reconciled::Unknown if reached.failed => Ok(reached),
            Reconciled::Unknown => {
                Err(RunError::StillInDoubt { file: migrate.file.clone(), statement })
            }
        }
    }

    /// Looks whether the schema is what `done` steps lead to, where that is known: the rehearsal has
    /// found it out, and the database had the schema of the rehearsal before the run. What it had of
    /// its own then cannot be told from what came later, so that the proof of the hop has to do; and so
    /// it has for what a body leaves half way, which may make objects that it drops again.
    pub(super) async fn altered(
        &mut self,
        done: usize,
        reconciled: Reached,
    ) -> Result<Vec<String>, RunError> {
        let plan = self.plan();
        let Some(checkpoints) = self.run.checkpoints.filter(|_| reconciled.done == 0) else {
            return Ok(Vec::new());
        };
        if plan.basis.fingerprint != Some(checkpoints.start.digest()) {
            return Ok(Vec::new());
        }
        let Some(here) = checkpoints.at(plan.migrations_before(done)) else {
            return Ok(Vec::new());
        };
        let found = self.database.fingerprint(&plan.tables).await?;
        // What others had made may be there again or not yet.
        let again = |object: &ObjectName| {
            plan.rebuilds()
                .any(|it| it.object == *object || object.table.as_ref() == Some(&it.object.name))
        };
        // What an administrator says of an object alters nothing that a body is about.
        let said = |it: &Difference| matches!(it, Difference::Unexpected { object, .. } if object.described().is_some());
        let altered = differences(here, &found).into_iter().filter(|it| !said(it));
        let altered = altered.filter(|it| !again(it.object()) && !self.run.accepts(it.object()));
        Ok(altered.map(|it| it.to_string()).collect())
    }
}
