//! The proof that ends a hop.

use sternway_database::failpoint::{self, Point};
use sternway_model::plan::Hop;
use sternway_model::proof::Comparison;

use super::{Hand, RunError};
use crate::verify::verify;

impl Hand<'_, '_> {
    pub(super) async fn prove(
        &mut self,
        index: usize,
        hop: &Hop,
    ) -> Result<Option<Comparison>, RunError> {
        let Some(expected) = self.run.expected.and_then(|all| all.get(index)) else {
            return Ok(None);
        };
        failpoint::hit(Point::Proving);
        let comparison = verify(self.database, &self.run.plan.tables, expected).await?;
        self.watch.proved(&hop.to, &comparison);
        failpoint::hit(Point::Proved);
        if comparison.holds() {
            Ok(Some(comparison))
        } else {
            let comparison = Box::new(comparison);
            Err(RunError::Drift { release: hop.to.clone(), comparison })
        }
    }
}
