//! What may be added among rows that are there: what takes nothing from them and asks nothing of them, and
//! what asks something of them that can be asked before.

use std::collections::BTreeSet;

use sternway_database::asked::{Asked, Misfits, Rows, asked};
use sternway_database::failpoint::{Rule, holds};
use sternway_database::{Database, Late};
use sternway_model::check::{Check, Severity, When};
use sternway_model::plan::{Migrate, Plan};
use sternway_model::proof::{Definition, Fingerprint, ObjectName};

use crate::shadow::{Material, RehearsalError, Shadow, ShadowDatabase, start_step};

/// What a clean install has and a schema has not, or has otherwise, as far as it may be made there.
#[derive(Default)]
pub(crate) struct Additions {
    pub objects: BTreeSet<ObjectName>,
    /// Columns among them that the archive gives their values, and that need them only then.
    pub late: Vec<(ObjectName, Late)>,
    /// What the rows have to be for that.
    pub checks: Vec<Check>,
}

/// What an object would be, the table whose rows it asks something of, and whether that is a value for each.
type Asking<'a> = (&'a ObjectName, &'a Definition, String, bool);

impl Additions {
    /// What may be made of the schema `here` to have what the `clean` one has, at the end of `step`. What was
    /// otherwise before the journey stays so, and so does what somebody has accepted. Without a database
    /// no column is made that each row needs a value for.
    ///
    /// # Errors
    /// When the schema that the plan starts from cannot be made, or the archive cannot be read.
    pub async fn to(
        shadow: &Shadow,
        plan: &Plan,
        step: &Migrate,
        (clean, here): (&Fingerprint, &Fingerprint),
        database: Option<&mut dyn Database>,
    ) -> Result<Additions, RehearsalError> {
        // The index of a constraint comes with it.
        let of_constraint = |it: &ObjectName| {
            let name = it.name.rsplit('.').next().unwrap_or(&it.name);
            let same = |other: &ObjectName| other.kind == "constraint" && other.name == name;
            it.kind == "index" && it.table.is_none() && clean.objects.keys().any(same)
        };
        let missing = clean
            .objects
            .iter()
            .filter(|(object, _)| !of_constraint(object))
            .filter(|(object, definition)| here.objects.get(*object) != Some(*definition))
            .filter(|(object, _)| {
                let found = here.objects.get(*object).map(|it| it.text.as_str());
                !plan.basis.deviation.has(object, found) && !plan.accepts(object)
            });
        let (mut additions, mut asking): (_, Vec<Asking<'_>>) = (Additions::default(), Vec::new());
        for (object, definition) in missing {
            match asked(shadow.dialect(), object, definition, here) {
                Asked::Nothing => drop(additions.objects.insert(object.clone())),
                Asked::OfRows(table) => asking.push((object, definition, table, false)),
                Asked::Values(table) => asking.push((object, definition, table, true)),
                Asked::TooMuch => {}
            }
        }
        if asking.is_empty() {
            return Ok(additions);
        }
        let start = schema_before(shadow, plan).await?;
        // A column that is new to the rows has what the archive gives it.
        let is_late = |(object, _, _, values): &Asking<'_>| {
            *values || (object.kind == "column" && !start.objects.contains_key(object))
        };
        let (late, asking): (Vec<_>, Vec<_>) = asking.into_iter().partition(is_late);
        if let Some(database) = database.filter(|_| plan.keeps && holds(Rule::FilledLate)) {
            for (object, definition, table, _) in late {
                let had = start.objects.contains_key(&ObjectName::new("table", &table));
                let late = Late::column(shadow.dialect(), object, &definition.text);
                let Some(late) = late.filter(|_| had) else { continue };
                let without = database.gives(&plan.app, step, object).await;
                let without = without.map_err(RehearsalError::Archive)?;
                additions.add(object, lacks_values(object, &table, &without));
                additions.late.push((object.clone(), late));
            }
        }
        let new = additions.objects.clone();
        let rows = Rows { dialect: shadow.dialect(), start: &start, clean, new: &new };
        for (object, definition, table, _) in asking {
            let Some(misfits) = rows.misfits(object, definition, &table) else { continue };
            if is_answered(shadow, plan, &misfits.are_none()).await? {
                let message = format!("rows of `{table}` do not fit {object}: {definition}");
                additions.add(object, asking_first(object, &misfits, message));
            }
        }
        Ok(additions)
    }

    /// Adds what has to be asked about first.
    fn add(&mut self, object: &ObjectName, check: Option<Check>) {
        self.checks.extend(check);
        self.objects.insert(object.clone());
    }
}

/// The schema that a plan starts from.
///
/// # Errors
/// When it cannot be made.
pub(crate) async fn schema_before(
    shadow: &Shadow,
    plan: &Plan,
) -> Result<Fingerprint, RehearsalError> {
    let mut begun = ShadowDatabase::open(shadow, &Material::of(plan)).await;
    begun.begin(plan)?;
    begun.fingerprint().await
}

/// Whether the archive has a value of a column for each row of its table: none are `without`.
pub(crate) fn lacks_values(column: &ObjectName, table: &str, without: &Misfits) -> Option<Check> {
    let message = format!(
        "rows of `{table}` have no value for {column}, which each needs, and the archive has none for them"
    );
    asking_first(column, without, message)
}

/// What is asked before an object is added among rows.
pub(crate) fn asking_first(
    object: &ObjectName,
    misfits: &Misfits,
    message: String,
) -> Option<Check> {
    let check = Check {
        at: When::Before,
        sql: misfits.are_none(),
        message,
        severity: Severity::Refuse,
        rows: None,
        migration: None,
        again: false,
        adds: Some(object.clone()),
        count: Some(misfits.count()),
        firm: false,
    };
    holds(Rule::RowsAsked).then_some(check)
}

/// Whether the database can answer a query before the journey.
pub(crate) async fn is_answered(
    shadow: &Shadow,
    plan: &Plan,
    sql: &str,
) -> Result<bool, RehearsalError> {
    let Some(step) = start_step(plan) else { return Ok(false) };
    let mut begun = ShadowDatabase::open(shadow, &Material::of(plan)).await;
    begun.begin(plan)?;
    match begun.run_text(&step, sql).await {
        Err(RehearsalError::Journey(_)) => Ok(false),
        answered => answered.map(|()| true),
    }
}
