//! What a journey may not do unasked: take along what others have made, end without what the target needs, and
//! take what cannot be kept.

use sternway_database::failpoint::{Rule, holds};
use sternway_model::effect::Unkept;
use sternway_model::plan::Plan;
use sternway_model::proof::ObjectName;

use crate::journey::JourneyError;

/// Refuses a plan that does what nobody has consented to.
pub(crate) fn nothing_unasked(plan: &Plan) -> Result<(), JourneyError> {
    takes_nothing(plan)?;
    lacks_nothing(plan)
}

/// The function that takes a large object away, which the archive does not keep.
const LARGE_OBJECTS: &str = "lo_unlink";

/// Whether an object of others is asked about before it goes: what only says how fast a query is, or something of an
/// object, means nothing by itself, and is made again.
fn asks(object: &ObjectName) -> bool {
    !["index", "statistics"].contains(&object.kind.as_str()) && object.described().is_none()
}

/// Refuses a journey that takes along what others have made, unless that was accepted by name.
fn takes_nothing(plan: &Plan) -> Result<(), JourneyError> {
    if !holds(Rule::OthersAsked) {
        return Ok(());
    }
    for step in plan.steps() {
        let unforeseen = step.effects.iter().flat_map(|it| &it.unforeseen);
        let mut large_objects = unforeseen.filter(|it| it.contains(LARGE_OBJECTS));
        if large_objects.next().is_some()
            && plan.keeps
            && !plan.accepted.iter().any(|it| it == LARGE_OBJECTS)
        {
            return Err(JourneyError::LargeObjects { step: step.file.clone() });
        }
        let taken = plan.takes_foreign(step).filter(|it| asks(it));
        let unasked: Vec<ObjectName> = taken.filter(|it| !plan.accepts(it)).cloned().collect();
        if !unasked.is_empty() {
            let step = step.file.clone();
            return Err(JourneyError::TakesForeign { step, objects: unasked });
        }
    }
    Ok(())
}

/// Refuses a journey that ends without something that the target has on a clean install. What was there
/// before in the same way is no reason, and neither is what was accepted.
fn lacks_nothing(plan: &Plan) -> Result<(), JourneyError> {
    let lacks = plan.leaves().iter().filter(|it| it.is_lack());
    let lacks = lacks.filter(|it| !plan.was_there(it) && !plan.accepts(it.object())).cloned();
    match lacks.collect::<Vec<_>>() {
        lacks if lacks.is_empty() => Ok(()),
        lacks => Err(JourneyError::Lacks { target: plan.target.clone(), lacks }),
    }
}

/// Refuses a journey that takes what cannot be kept, unless that may go; and names of what may go that
/// nothing takes.
pub(crate) fn can_be_kept(plan: &Plan) -> Result<(), JourneyError> {
    let known = || plan.steps().filter_map(|step| Some((step, step.effects.as_ref()?)));
    if plan.keeps {
        for (step, effects) in known() {
            let stays = |it: &&Unkept| !plan.discards.contains(&it.table);
            let unkept: Vec<Unkept> = effects.unkept.iter().filter(stays).cloned().collect();
            if !unkept.is_empty() {
                return Err(JourneyError::Unkept { file: step.file.clone(), unkept });
            }
        }
    }
    let taken = |name: &String| {
        plan.steps().any(|step| match &step.effects {
            Some(effects) => {
                effects.losses.iter().any(|it| it.lost.of() == name)
                    || effects.unkept.iter().any(|it| it.table == *name)
                    || !effects.unforeseen.is_empty()
            }
            None => true,
        })
    };
    let idle: Vec<String> = plan.discards.iter().filter(|it| !taken(it)).cloned().collect();
    if idle.is_empty() { Ok(()) } else { Err(JourneyError::NothingToDiscard(idle)) }
}
