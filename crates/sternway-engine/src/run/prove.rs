//! The proof that ends a hop: the schema is compared with what it should be. It only looks, may be made
//! as often as need be, and there is nothing to undo.

use sternway_database::failpoint::{self, Point, Rule, holds};
use sternway_model::journal::Record;
use sternway_model::plan::Note;
use sternway_model::proof::{Comparison, Difference};

use super::step::Place;
use super::{Executor, RunError};
use crate::archive::placed;
use crate::event::Event;
use crate::verify::verify;

impl Executor<'_, '_> {
    pub(super) async fn prove(&mut self, at: Place<'_>) -> Result<Option<Comparison>, RunError> {
        let Some(expected) = self.run.expected.and_then(|all| all.get(at.index)) else {
            return Ok(None);
        };
        failpoint::hit(Point::Proving);
        let plan = self.plan();
        let is_renumbered = plan.notes.iter().any(|it| matches!(it, Note::Redone { .. }));
        if plan.keeps && (is_renumbered || plan.rebuilds().next().is_some()) {
            self.restore_placed().await?;
        }
        let mut comparison = verify(self.database, &plan.tables, expected).await?;
        if !holds(Rule::NoneWaived) {
            comparison.of_the_migrations.clear();
        }
        comparison.accept(|it| self.run.accepts(it.object()));
        // The plan has its own in what it leaves.
        let told = comparison.accepted.iter().filter(|it| !plan.accepts(it.object()));
        let differences: Vec<Difference> = told.cloned().collect();
        if !differences.is_empty() {
            self.note(Record::Accepted { step: at.number, differences }).await?;
        }
        let release = &at.hop.to;
        self.observer.tell(&Event::Proved { release, comparison: &comparison });
        failpoint::hit(Point::Proved);
        if comparison.holds() {
            Ok(Some(comparison))
        } else {
            let comparison = Box::new(comparison);
            Err(RunError::Drift { release: release.clone(), comparison })
        }
    }

    /// Restores what has its place again by a migration of another number than that which took it, or by what others
    /// had made and is made again.
    async fn restore_placed(&mut self) -> Result<(), RunError> {
        let plan = self.plan();
        let entries = self.database.archive(&plan.app).await?;
        let ids = placed(&entries, self.database, &plan.tables).await;
        let ids = ids.map_err(|it| RunError::Database(it.cause))?;
        if !ids.is_empty() {
            let restored = self.database.restore(&ids).await?;
            self.observer.tell(&Event::Restored(&restored));
        }
        Ok(())
    }
}
