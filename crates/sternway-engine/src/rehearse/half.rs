//! The way back from the middle of a body.

use sternway_database::Dialect;
use sternway_model::plan::{Migrate, Plan};
use sternway_model::proof::Fingerprint;

use super::{Bench, Laboratory, Material, RehearsalError, start};

/// Finds out, on a bench, which statements of `other`, the other half of the plan's migration number
/// `index`, lead back from where the first `done` statements of its body took effect. `None` where
/// there is no such way, or a body opens transactions of its own.
///
/// # Errors
/// When what comes before that migration cannot be made.
pub async fn way_back(
    bench: &Bench,
    plan: &Plan,
    index: usize,
    other: &Migrate,
    done: usize,
) -> Result<Option<String>, RehearsalError> {
    bench.tidied(tried(bench, plan, index, other, done).await).await
}

async fn tried(
    bench: &Bench,
    plan: &Plan,
    index: usize,
    other: &Migrate,
    done: usize,
) -> Result<Option<String>, RehearsalError> {
    let dialect = bench.dialect();
    let body = |step: &Migrate| plan.bodies.get(&step.hash).map_or("", String::as_str);
    let Some(step) = plan.steps().nth(index) else { return Ok(None) };
    let (Some(forth), Some(back)) =
        (dialect.statements(body(step)), dialect.statements(body(other)))
    else {
        return Ok(None);
    };
    let Some(took) = forth.get(..done) else { return Ok(None) };
    let material = Material::of(plan);
    let mut laboratory = Laboratory::open(bench, &material).await?;
    laboratory.install(&start(plan)).await?;
    for earlier in plan.steps().take(index) {
        let ran = laboratory.run(earlier).await;
        ran.map_err(|error| RehearsalError::Journey(Box::new(error)))?;
    }
    let home = laboratory.fingerprint().await?;
    laboratory.way_back((step, took), (other, &back), &home).await
}

impl Laboratory<'_> {
    /// The statements of a half that lead `home` again once those of the other half took effect.
    pub async fn way_back(
        &mut self,
        (forth, took): (&Migrate, &[&str]),
        (back, statements): (&Migrate, &[&str]),
        home: &Fingerprint,
    ) -> Result<Option<String>, RehearsalError> {
        for statement in took {
            if self.run_text(forth, statement).await.is_err() {
                return Ok(None);
            }
        }
        let mut ran = Vec::new();
        for statement in statements {
            // What is about the part that never took effect fails, and is not wanted.
            if self.run_text(back, statement).await.is_ok() {
                ran.push(*statement);
            }
        }
        let arrived = self.fingerprint().await?.objects == home.objects;
        Ok(arrived.then(|| Dialect::joined(&ran)))
    }
}
