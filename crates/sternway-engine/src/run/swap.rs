//! Putting another release in the application's place while it does not run. Putting in place what is
//! there is no error; undoing it puts back what was there, if anything was.

use sternway_model::app::{App, Deployment};
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
        let swapped =
            self.deploy(step, at, false, async |app, known| app.swap(known, from, to).await).await;
        let session = self.with_session(at.number).await;
        swapped.and(session)
    }

    pub(super) async fn undo_swap(
        &mut self,
        step: &Step,
        from: Option<&Release>,
        to: &Release,
        at: Place<'_>,
    ) -> Result<(), RunError> {
        let swap = async |app: &mut dyn App, known: &Deployment| match from {
            Some(from) => app.swap(known, Some(to), from).await,
            None => Ok(()), // There was none that could be put back.
        };
        let swapped = self.deploy(step, at, true, swap).await;
        let session = self.with_session(at.number).await;
        swapped.and(session)
    }
}
