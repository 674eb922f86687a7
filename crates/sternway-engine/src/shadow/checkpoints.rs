//! What the schema should be at places of a plan.

use std::collections::{BTreeMap, BTreeSet};

use sternway_model::plan::{Migrate, Plan};
use sternway_model::proof::{Expected, Fingerprint, ObjectName};

use super::partial::undone;
use super::{Material, RehearsalError, Shadow, ShadowDatabase};

/// What the schema should be around the place where a run was left, on a clean install of where its
/// plan starts.
#[derive(Debug, Clone, PartialEq)]
pub struct Checkpoints {
    /// Before the run.
    pub start: Fingerprint,
    /// How many migrations were done where it was left, and the schema then. Of the one that may
    /// have ended after all, the next one tells.
    along: BTreeMap<usize, Fingerprint>,
    /// After all of that was undone, where the other halves of the migrations are known.
    back: Option<Fingerprint>,
    /// Everything that the application's migrations create on the way.
    known: BTreeSet<ObjectName>,
}

impl Checkpoints {
    /// The schema after this many migrations, if that is one of the checkpoints.
    pub fn at(&self, migrations: usize) -> Option<&Fingerprint> {
        self.along.get(&migrations)
    }

    /// What a run that was taken back should lead to.
    pub fn taken_back(&self) -> Expected {
        Expected {
            clean: self.start.clone(),
            journey: self.back.clone().filter(|back| back.objects != self.start.objects),
            known: self.known.clone(),
            before: Vec::new(),
        }
    }
}

/// What the schema should be after `migrations` of the plan's migrations, and after the next one.
///
/// # Errors
/// When a clean install or the journey cannot be made.
pub async fn checkpoints(
    shadow: &Shadow,
    plan: &Plan,
    migrations: usize,
) -> Result<Checkpoints, RehearsalError> {
    shadow.tidied(around(shadow, plan, migrations).await).await
}

async fn around(
    shadow: &Shadow,
    plan: &Plan,
    migrations: usize,
) -> Result<Checkpoints, RehearsalError> {
    let material = Material::of(plan);
    let mut journey = ShadowDatabase::open(shadow, &material).await;
    journey.begin(plan)?;
    let first = journey.fingerprint().await?;
    let mut known: BTreeSet<_> = first.objects.keys().cloned().collect();
    let mut along = BTreeMap::from([(0, first.clone())]);
    let mut gone = Vec::new();
    for (index, step) in plan.steps().enumerate().take(migrations + 1) {
        // The next one may not run; then the run did not come by it either.
        match journey.run(step).await {
            Err(error) if index < migrations => return Err(error),
            Err(_) => break,
            Ok(()) => gone.push(step),
        }
        let done = index + 1;
        if done >= migrations {
            let now = journey.fingerprint().await?;
            known.extend(now.objects.keys().cloned());
            along.insert(done, now);
        }
    }
    let back = taken_back(shadow, journey, plan, &gone).await;
    Ok(Checkpoints { start: first, along, back, known })
}

/// The schema after these steps were undone, the last one first.
async fn taken_back(
    shadow: &Shadow,
    mut journey: ShadowDatabase<'_>,
    plan: &Plan,
    gone: &[&Migrate],
) -> Option<Fingerprint> {
    for (index, step) in gone.iter().enumerate().rev() {
        let direction = step.direction.opposite();
        if step.is_there {
            continue;
        }
        let half = plan.migration_of(step)?.half(direction)?;
        let (from, to) = (step.to, step.from);
        let (file, hash) = (half.file.clone(), half.hash);
        let mut other = Migrate { direction, from, to, file, hash, ..(*step).clone() };
        other.closed_by.clear();
        match undone(shadow, plan, index, &other).await.ok()? {
            Some(way) => {
                other.closed_by = way.closed_by;
                journey.run_instead(&other, &way.body).await.ok()?;
            }
            None => journey.run(&other).await.ok()?,
        }
    }
    journey.fingerprint().await.ok()
}
