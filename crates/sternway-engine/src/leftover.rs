//! Migrations that meet what they make: an earlier journey's down half has left it, or somebody has made it
//! by hand. The body would fail there. What of it is there already is passed over, the data in it stays, and
//! only the rest runs; what is there with less than the migration makes of it gets the rest. What is there
//! otherwise is told, and judged by its name as all that the target lacks.

use std::collections::BTreeSet;

use sternway_database::failpoint::{Rule, holds};
use sternway_database::{Dialect, RowDeed};
use sternway_model::body::Mode;
use sternway_model::catalog::Digest;
use sternway_model::plan::{Migrate, Plan};
use sternway_model::proof::{Definition, Fingerprint, ObjectName};

use crate::completion::{Additions, body_with, generated};
use crate::rehearse::installs;
use crate::shadow::{Material, RehearsalError, Shadow, ShadowDatabase, position};

/// Marks the migrations of a plan that would fail because of what is there, where the rest of their bodies,
/// if any, leads to what a clean install has of them but for what is there otherwise. Whether others fail, the
/// rehearsal tells.
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
        (step.leaves_out, step.completed_by) = (rest.left_out, rest.completed_by);
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
    /// What it makes and is there, if otherwise, or is of a table that is there.
    met: BTreeSet<ObjectName>,
    /// Whether all of it is there.
    is_whole: bool,
}

/// What is left to run of a body.
struct Rest {
    /// Nothing where all that it makes is there.
    text: Option<String>,
    /// The statements that are passed over.
    left_out: Vec<String>,
    /// What is added, for what is there lacks it.
    completed_by: Vec<String>,
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
        let tables = there.clone().filter(|it| it.kind == "table").map(|it| it.name.clone());
        let tables: BTreeSet<String> = tables.collect();
        let columns = there.filter(|it| it.kind == "column").filter_map(|it| it.table.as_ref());
        let with_columns = columns.cloned().collect();
        let is_here = |it: &ObjectName| here.objects.contains_key(it);
        let makes =
            |it: &&ObjectName| is.objects.contains_key(*it) && !was.objects.contains_key(*it);
        let of_tables = |it: &ObjectName| it.table.as_ref().is_some_and(|of| tables.contains(of));
        let (met, new): (Vec<&ObjectName>, Vec<&ObjectName>) = made
            .iter()
            .map(|(it, _)| it)
            .filter(makes)
            .partition(|it| is_here(it) || of_tables(it));
        // The index of a constraint comes with it.
        let comes_with = |it: &&ObjectName| {
            let own = it.name.rsplit('.').next();
            it.kind == "index"
                && met.iter().any(|met| met.kind == "constraint" && own == Some(&met.name))
        };
        let with: Vec<&ObjectName> = new.into_iter().filter(comes_with).collect();
        Ok(Meeting {
            index,
            met: met.into_iter().chain(with).cloned().collect(),
            tables,
            with_columns,
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
            return Ok(Some(Rest { text: None, left_out, completed_by: Vec::new() }));
        }
        // A body that opens transactions of its own is not taken apart.
        let Some(statements) = statements else { return Ok(None) };
        let mut trial = ShadowDatabase::along(shadow, plan, self.index).await?;
        let part = Migrate::staying(step.track.clone(), step.table.clone(), step.from, &step.file);
        let (mut run, mut left_out) = (Vec::new(), Vec::new());
        for statement in &statements {
            let has_its_rows = self.is_about_rows_there(dialect, statement);
            if !has_its_rows && trial.run_text(&part, statement).await.is_ok() {
                run.push(*statement);
                continue;
            }
            // Rows that it would write are nowhere yet.
            let puts = dialect.of_rows(statement).is_some_and(|it| it.deed == RowDeed::Puts);
            if puts && !has_its_rows {
                return Ok(None);
            }
            left_out.push(*statement);
        }
        let here = trial.fingerprint().await?;
        let completed_by = match is_made(&self.made, &here) {
            true => Vec::new(),
            false => self.lacking(shadow, plan, &here).await?,
        };
        for statement in &completed_by {
            trial.run_text(&part, statement).await?;
        }
        if !self.is_made_but_for_met(&trial.fingerprint().await?) {
            return Ok(None);
        }
        let text = Some(body_with(&Dialect::joined(&run), &completed_by));
        Ok(Some(Rest { text, left_out: owned(&left_out), completed_by }))
    }

    /// The statements that make of what is there what the migration makes, where no row forbids it.
    async fn lacking(
        &self,
        shadow: &Shadow,
        plan: &Plan,
        here: &Fingerprint,
    ) -> Result<Vec<String>, RehearsalError> {
        let end = position(plan, self.index + 1);
        let clean = installs(shadow, plan, vec![&end]).await?;
        let Some(clean) = clean.get(&end) else { return Ok(Vec::new()) };
        let Some(step) = plan.steps().nth(self.index) else { return Ok(Vec::new()) };
        let mut additions = Additions::to(shadow, plan, step, (clean, here), None).await?;
        // What asks something of rows is left to the file.
        let asking =
            |it: &ObjectName| additions.checks.iter().any(|check| check.adds.as_ref() == Some(it));
        let its = |it: &ObjectName| self.made.iter().any(|(object, _)| object == it);
        let added = additions.objects.iter().filter(|it| its(it) && !asking(it));
        // What holds no data goes by itself where its statement does more than what is left to do.
        let goes_alone = |it: &ObjectName| shadow.dialect().goes_alone(it);
        let gone = self.made.iter().filter(|(it, is)| is.is_none() && goes_alone(it));
        let gone = gone.map(|(it, _)| it).filter(|it| here.objects.contains_key(*it));
        additions.objects = added.chain(gone).cloned().collect();
        generated(shadow, plan, &end, &additions.objects, clean, here).await
    }

    /// Whether the schema `here` has what the migration makes, but for what was met in another shape. That can
    /// be completed later, or accepted by its name.
    fn is_made_but_for_met(&self, here: &Fingerprint) -> bool {
        self.made.iter().all(|(object, definition)| {
            here.objects.get(object) == definition.as_ref() || self.met.contains(object)
        })
    }

    /// Whether a statement fills what is there, and so has its values.
    fn is_about_rows_there(&self, dialect: Dialect, statement: &str) -> bool {
        dialect.of_rows(statement).is_some_and(|rows| {
            let is_of = |tables: &BTreeSet<String>| tables.iter().any(|table| rows.is_of(table));
            match rows.deed {
                RowDeed::Puts | RowDeed::Deletes => is_of(&self.tables),
                RowDeed::Changes => is_of(&self.tables) || is_of(&self.with_columns),
                RowDeed::Other => false,
            }
        })
    }
}

fn is_made(made: &[(ObjectName, Option<Definition>)], here: &Fingerprint) -> bool {
    made.iter().all(|(object, definition)| here.objects.get(object) == definition.as_ref())
}
