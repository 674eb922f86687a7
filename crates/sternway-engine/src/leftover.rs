//! Migrations that meet what they make: an earlier journey's down half has left it, or somebody has made it
//! by hand. The body would fail there. What of it is there already is passed over, the data in it stays,
//! and only the rest runs.

use std::collections::BTreeSet;

use sternway_database::Dialect;
use sternway_database::failpoint::{Rule, holds};
use sternway_model::body::Mode;
use sternway_model::catalog::Digest;
use sternway_model::plan::{Migrate, Plan};
use sternway_model::proof::{Definition, Fingerprint, ObjectName};

use crate::rehearse::installs;
use crate::shadow::{Material, RehearsalError, Shadow, ShadowDatabase, position, rows_of};

/// Marks the migrations of a plan that would fail because of what is there, where the rest of their bodies,
/// if any, leads to what a clean install has of them. Whether others fail, the rehearsal tells.
///
/// # Errors
/// When a clean install cannot be made.
pub async fn with_what_is_there(shadow: &Shadow, plan: Plan) -> Result<Plan, RehearsalError> {
    if plan.basis.deviation.is_none() || !holds(Rule::PassedOver) {
        return Ok(plan);
    }
    shadow.tidied(marked(shadow, plan).await).await
}

async fn marked(shadow: &Shadow, mut plan: Plan) -> Result<Plan, RehearsalError> {
    let mut last = None;
    loop {
        let Some(failing) = first_failing(shadow, &plan).await? else { return Ok(plan) };
        let meeting = Meeting::at(shadow, &plan, failing).await?;
        let Some(rest) = meeting.rest(shadow, &plan).await?.filter(|_| last != Some(failing))
        else {
            return Ok(plan);
        };
        last = Some(failing);
        let body = rest.text.map(|text| (Digest::of_body(&text), text));
        plan.bodies.extend(body.clone());
        let Some(step) = plan.migrations_mut().nth(failing) else { return Ok(plan) };
        step.leaves_out = rest.left_out;
        match body {
            None => {
                (step.is_there, step.mode, step.destroys) = (true, Mode::Transaction, Vec::new())
            }
            Some((hash, text)) => {
                let facts = shadow.dialect().facts(&text);
                (step.hash, step.mode, step.destroys) = (hash, facts.mode, facts.destroys);
            }
        }
    }
}

/// The number of the first migration that does not run.
async fn first_failing(shadow: &Shadow, plan: &Plan) -> Result<Option<usize>, RehearsalError> {
    let mut journey = ShadowDatabase::open(shadow, &Material::of(plan)).await;
    journey.begin(plan)?;
    for (index, step) in plan.steps().enumerate() {
        match journey.run(step).await {
            Err(RehearsalError::Journey(_)) => return Ok(Some(index)),
            ran => ran?,
        }
    }
    Ok(None)
}

/// A migration, and what is there of what it makes.
struct Meeting {
    index: usize,
    /// What tells the schema after it from the one before, on clean installs; as it should be after.
    made: Vec<(ObjectName, Option<Definition>)>,
    /// Tables that it makes and that are there.
    tables: BTreeSet<String>,
    /// Tables in which a column is there that it makes.
    with_columns: BTreeSet<String>,
    /// Whether all of it is there.
    is_whole: bool,
}

/// What is left to run of a body.
struct Rest {
    /// Nothing where all that it makes is there.
    text: Option<String>,
    /// The statements that are passed over.
    left_out: Vec<String>,
}

impl Meeting {
    async fn at(shadow: &Shadow, plan: &Plan, index: usize) -> Result<Meeting, RehearsalError> {
        let mut here = ShadowDatabase::along(shadow, plan, index).await?;
        let here = here.fingerprint().await?;
        let (at, end) = (position(plan, index), position(plan, index + 1));
        let clean = installs(shadow, plan, vec![&at, &end]).await?;
        let none = Fingerprint::default();
        let (was, is) = (clean.get(&at).unwrap_or(&none), clean.get(&end).unwrap_or(&none));
        let names: BTreeSet<&ObjectName> = was.objects.keys().chain(is.objects.keys()).collect();
        let made = names.into_iter().filter(|it| was.objects.get(it) != is.objects.get(it));
        let made: Vec<_> = made.map(|it| (it.clone(), is.objects.get(it).cloned())).collect();
        let there = made.iter().map(|(it, _)| it).filter(|it| here.objects.contains_key(*it));
        let plain = |name: &str| name.trim_matches(['"', '`']).to_lowercase();
        let tables = there.clone().filter(|it| it.kind == "table").map(|it| plain(&it.name));
        let columns = there.filter(|it| it.kind == "column").filter_map(|it| it.table.as_ref());
        Ok(Meeting {
            index,
            tables: tables.collect(),
            with_columns: columns.map(|it| plain(it)).collect(),
            is_whole: !made.is_empty() && is_made(&made, &here),
            made,
        })
    }

    /// What is left to run; `None` where that leads elsewhere.
    async fn rest(&self, shadow: &Shadow, plan: &Plan) -> Result<Option<Rest>, RehearsalError> {
        let Some(step) = plan.steps().nth(self.index) else { return Ok(None) };
        let dialect = shadow.dialect();
        let statements = dialect.statements(plan.body(step).unwrap_or_default());
        let owned = |statements: &[&str]| statements.iter().map(|it| (*it).to_owned()).collect();
        if self.is_whole {
            let left_out = statements.as_deref().map(owned).unwrap_or_default();
            return Ok(Some(Rest { text: None, left_out }));
        }
        // A body that opens transactions of its own is not taken apart.
        let Some(statements) = statements else { return Ok(None) };
        let mut trial = ShadowDatabase::along(shadow, plan, self.index).await?;
        let part = Migrate::staying(step.track.clone(), step.table.clone(), step.from, &step.file);
        let (mut run, mut left_out) = (Vec::new(), Vec::new());
        for statement in &statements {
            let runs = !self.is_about_rows_there(statement)
                && trial.run_text(&part, statement).await.is_ok();
            if runs { run.push(*statement) } else { left_out.push(*statement) }
        }
        if run.is_empty() || !is_made(&self.made, &trial.fingerprint().await?) {
            return Ok(None);
        }
        let text = Some(Dialect::joined(&run));
        Ok(Some(Rest { text, left_out: owned(&left_out) }))
    }

    /// Whether a statement fills what is there, and so has its values.
    fn is_about_rows_there(&self, statement: &str) -> bool {
        let put = rows_of(statement, &["INSERT", "REPLACE", "COPY", "MERGE", "UPDATE", "DELETE"]);
        let changed = rows_of(statement, &["UPDATE"]);
        put.is_some_and(|table| self.tables.contains(&table))
            || changed.is_some_and(|table| self.with_columns.contains(&table))
    }
}

fn is_made(made: &[(ObjectName, Option<Definition>)], here: &Fingerprint) -> bool {
    made.iter().all(|(object, definition)| here.objects.get(object) == definition.as_ref())
}
