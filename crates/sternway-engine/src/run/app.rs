//! What a run does with the application. Each act may be repeated: a run that was killed does not
//! know how far it came.

use std::time::Instant;

use sternway_database::failpoint::{self, Point};
use sternway_model::plan::Step;

use super::{Hand, RunError, steps};

impl Hand<'_, '_> {
    /// Stops, swaps or starts the application, or undoes that.
    pub(super) async fn act(
        &mut self,
        step: usize,
        what: &Step,
        undo: bool,
    ) -> Result<(), RunError> {
        let plan = self.run.plan;
        let Some(app) = &mut self.run.app else { return Err(RunError::NoApp) };
        failpoint::hit(Point::AppBegins);
        let start = Instant::now();
        let acted = match (what, undo) {
            (Step::Stop, false) | (Step::Start { .. }, true) => app.stop().await,
            (Step::Swap { from, to }, false) => app.swap(from.as_ref(), to).await,
            (Step::Swap { from: Some(from), to }, true) => app.swap(Some(to), from).await,
            // There was none that could be put back.
            (Step::Swap { from: None, .. }, true) => Ok(()),
            (Step::Start { release }, false) => app.start(release).await,
            (Step::Stop, true) => match &plan.running {
                Some(release) => app.start(release).await,
                None => Ok(()),
            },
            (Step::Migrate(_) | Step::Prove, _) => Ok(()),
        };
        acted.map_err(|source| RunError::App { step, of: steps(plan).len(), source })?;
        failpoint::hit(Point::AppDone);
        self.watch.acted(what, undo, start.elapsed());
        Ok(())
    }
}
