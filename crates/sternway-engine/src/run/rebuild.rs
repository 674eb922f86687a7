//! Making again what others had made and an earlier down half took along. What is there is passed over, so
//! that this may be done again after a crash; undoing the migration takes it along as before.

use sternway_database::{Dialect, Work};
use sternway_model::plan::Taken;

use super::{Executor, RunError};
use crate::event::Event;
use crate::taken::staying_after;

impl Executor<'_, '_> {
    pub(super) async fn rebuild(&mut self, taken: &[Taken]) -> Result<(), RunError> {
        let plan = self.plan();
        let there = self.database.fingerprint(&plan.tables).await?;
        for it in taken.iter().filter(|it| !there.objects.contains_key(&it.object)) {
            let up = plan.steps().find(|step| step.track == it.track && step.version == it.version);
            let Some(step) = up.map(staying_after) else { continue };
            // What gives it back its attributes commits with what makes it.
            let Some((last, first)) = it.statements.split_last() else { continue };
            let last = match it.attributes.as_slice() {
                [] => last.clone(),
                attributes => Dialect::joined(&[std::slice::from_ref(last), attributes].concat()),
            };
            for statement in first.iter().chain([&last]) {
                let mode = &self.database.facts(statement).mode;
                let work = Work { mode, ..Work::of(&step, statement, None) };
                if let Err(source) = self.database.migrate(&work).await {
                    let object = Box::new(it.object.clone());
                    return Err(RunError::Rebuild { object, source });
                }
            }
            let has = self.database.attributes(&it.object).await?;
            let lacks = it.attributes.iter().filter(|it| !has.contains(it)).count();
            self.observer.tell(&Event::Rebuilt { object: &it.object, lacks });
        }
        Ok(())
    }
}
