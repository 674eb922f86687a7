//! Putting another release in the application's place while it does not run. Putting in place what is
//! there is no error; undoing it puts back what was there, if anything was.

use sternway_model::catalog::Release;
use sternway_model::plan::Step;

use super::step::Place;
use super::{Executor, RunError};

impl Executor<'_, '_> {
    pub(super) async fn swap(
        &mut self,
        step: &Step,
        from: Option<&Release>,
        to: &Release,
        at: Place<'_>,
    ) -> Result<(), RunError> {
        self.deploy(step, at, false, async |app, known| app.swap(known, from, to).await).await
    }

    pub(super) async fn undo_swap(
        &mut self,
        step: &Step,
        from: Option<&Release>,
        to: &Release,
        at: Place<'_>,
    ) -> Result<(), RunError> {
        self.deploy(step, at, true, async |app, known| match from {
            Some(from) => {
                app.swap(known, Some(to), from).await?;
                // What the swap starts by itself does not fit the schema, which is yet to be taken back.
                app.stop(known).await
            }
            None => Ok(()), // There was none that could be put back.
        })
        .await
    }
}
