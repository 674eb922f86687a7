//! The checks of the settings, asked under the locks. They only look: a check may be asked as often as
//! need be, and there is nothing to undo.

use sternway_model::check::{Finding, When};

use super::{Executor, RunError};
use crate::check::ask;
use crate::event::Event;

impl Executor<'_, '_> {
    /// Asks the plan's checks of that time. One that does not hold before a journey ends it; one after
    /// the journey is reported, and the journey stands.
    pub(super) async fn check(&mut self, at: When) -> Result<Vec<Finding>, RunError> {
        let findings = ask(self.plan(), at, self.database).await?;
        if at == When::After {
            return Ok(findings); // The caller tells of them, once what mends them has run.
        }
        self.observer.tell(&Event::Checked(&findings));
        let refused = findings.iter().filter(|it| it.is_refusal());
        let refused: Vec<String> = refused.map(|it| it.check.message.clone()).collect();
        if refused.is_empty() { Ok(findings) } else { Err(RunError::Check(refused)) }
    }
}
