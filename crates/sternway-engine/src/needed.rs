//! Columns that a body makes among rows, and that each of these needs a value for. The rehearsal's tables are
//! empty, so that the body runs there; the database would refuse it in the middle of the journey. The
//! column is made without its `NOT NULL`, which comes once the archive has given each row its value; where
//! it has none for a row, the journey is refused before its first write.

use std::collections::{BTreeMap, BTreeSet};

use sternway_database::asked::{Asked, asked};
use sternway_database::failpoint::{Rule, holds};
use sternway_database::{Database, Dialect, Late, OfRows, Piece, RowDeed};
use sternway_model::catalog::Digest;
use sternway_model::check::Check;
use sternway_model::effect::Lost;
use sternway_model::plan::{Migrate, Plan};
use sternway_model::proof::{Definition, Fingerprint, ObjectName, differences};

use crate::completion::{lacks_values, schema_before};
use crate::shadow::{RehearsalError, Shadow, ShadowDatabase};

/// Has such columns of a plan made in that way.
///
/// # Errors
/// When the journey cannot be made on a shadow, or the archive does not answer.
pub async fn with_columns_among_rows(
    shadow: &Shadow,
    plan: Plan,
    database: &mut dyn Database,
) -> Result<Plan, RehearsalError> {
    if !plan.keeps || shadow.dialect().fills_needed() || !holds(Rule::FilledLate) {
        return Ok(plan);
    }
    // On the heap, as it runs below a journey.
    shadow.tidied(Box::pin(opened(shadow, plan, database)).await).await
}

async fn opened(
    shadow: &Shadow,
    mut plan: Plan,
    database: &mut dyn Database,
) -> Result<Plan, RehearsalError> {
    for index in 0..plan.steps().count() {
        let Some(opening) = Opening::of(shadow, &plan, index, database).await? else { continue };
        let facts = shadow.dialect().facts(&opening.body);
        let hash = Digest::of_body(&opening.body);
        plan.bodies.insert(hash, opening.body);
        if let Some(step) = plan.migrations_mut().nth(index) {
            (step.hash, step.mode, step.destroys) = (hash, facts.mode, facts.destroys);
            step.opened = opening.opened;
            step.closed_by.extend(opening.closed_by);
        }
        plan.ask_before(opening.checks);
    }
    Ok(plan)
}

/// A body that makes columns without their `NOT NULL`.
struct Opening {
    body: String,
    /// The statements of the file that are others in it.
    opened: Vec<String>,
    closed_by: Vec<String>,
    /// What the rows have to have in the archive.
    checks: Vec<Check>,
}

/// How a column is made.
enum Made {
    /// As the body says: no row is there.
    AsItIs,
    /// Without its `NOT NULL` at first, where this is so.
    Late(Option<Box<Check>>),
    /// Without it for good.
    Open,
}

impl Opening {
    /// That of the plan's migration number `index`; nothing where it runs as it is, or cannot be taken apart.
    async fn of(
        shadow: &Shadow,
        plan: &Plan,
        index: usize,
        database: &mut dyn Database,
    ) -> Result<Option<Opening>, RehearsalError> {
        let Some(step) = plan.steps().nth(index).filter(|it| !it.is_there) else { return Ok(None) };
        let walk = Walk::through(shadow, plan, (step, index), &mut *database).await?;
        let Some(walk) = walk else {
            return Ok(None);
        };
        let Walk { run, opened, mut late, mut left_open, end } = walk;
        let body = Dialect::joined(&run);
        let there = async |closed_by: Vec<String>| {
            let step = Migrate { closed_by, ..step.clone() };
            let mut there = ShadowDatabase::along(shadow, plan, index).await?;
            match there.run_instead(&step, &body).await {
                Err(RehearsalError::Journey(_)) => Ok(None),
                ran => ran.and(there.fingerprint().await.map(Some)),
            }
        };
        let mut closed_by = step.closed_by.clone();
        let Some(open) = there(closed_by.clone()).await? else { return Ok(None) };
        let mut renamed = BTreeSet::new();
        for (column, definition) in &end.objects {
            let is_open = open.objects.get(column).is_some_and(|it| it != definition);
            if !is_open || left_open.contains(column) {
                continue;
            }
            match Late::column(shadow.dialect(), column, &definition.text) {
                Some(close) if late.contains_key(column) => closed_by.extend(close.closed_by),
                _ => drop(renamed.insert(column)),
            }
        }
        // One that the body renames as well has its values by its last name.
        let tables: BTreeSet<_> = renamed.iter().filter_map(|it| it.table.clone()).collect();
        for table in tables {
            let of_it = |it: &ObjectName| it.table.as_ref() == Some(&table);
            let gone = |it: &&ObjectName| of_it(it) && !end.objects.contains_key(*it);
            let mut begun = late.keys().chain(&left_open).filter(gone).cloned();
            let mut ends = renamed.iter().filter(|it| of_it(it)).map(|it| (*it).clone());
            let (Some(was), None, Some(is), None) =
                (begun.next(), begun.next(), ends.next(), ends.next())
            else {
                continue;
            };
            drop((begun, ends));
            renamed.remove(&is);
            if left_open.remove(&was) || plan.accepts(&is) {
                late.remove(&was);
                left_open.insert(is);
                continue;
            }
            let definition = end.objects.get(&is);
            let close =
                definition.and_then(|it| Late::renamed(shadow.dialect(), &was, &is, &it.text));
            closed_by.extend(close.into_iter().flat_map(|it| it.closed_by));
            if let Some(Some(_)) = late.remove(&was) {
                let without = database.gives(&plan.app, step, &is).await;
                let without = without.map_err(RehearsalError::Archive)?;
                late.insert(is.clone(), lacks_values(&is, &table, &without));
            } else {
                late.insert(is, None);
            }
        }
        // One that is gone at the end needs nothing; what has another name there would not get its values.
        late.retain(|column, check| {
            let stays = end.objects.contains_key(column);
            if let Some(check) = check.as_mut().filter(|_| !stays) {
                (check.sql, check.count) = ("SELECT 0".to_owned(), None);
            }
            stays || !renamed.is_empty()
        });
        let Some(closed) = there(closed_by.clone()).await? else { return Ok(None) };
        let mut differ = differences(&end, &closed);
        differ.retain(|it| !left_open.contains(it.object()) && !renamed.contains(it.object()));
        let closed_by = closed_by.split_off(step.closed_by.len());
        let opening =
            Opening { body, opened, closed_by, checks: late.into_values().flatten().collect() };
        Ok(Some(opening).filter(|_| differ.is_empty()))
    }
}

/// The way through a body.
struct Walk {
    /// The statements of the body that makes columns without their `NOT NULL`.
    run: Vec<String>,
    /// Those of the file that are others in it.
    opened: Vec<String>,
    /// The columns that get it, and what has to be so for that.
    late: BTreeMap<ObjectName, Option<Check>>,
    /// Those that do not.
    left_open: BTreeSet<ObjectName>,
    /// Where the file leads.
    end: Fingerprint,
}

impl Walk {
    async fn through(
        shadow: &Shadow,
        plan: &Plan,
        (step, index): (&Migrate, usize),
        database: &mut dyn Database,
    ) -> Result<Option<Walk>, RehearsalError> {
        let dialect = shadow.dialect();
        let pieces = dialect.pieces(plan.body(step).unwrap_or_default());
        if !pieces.iter().any(|it| it.adds) {
            return Ok(None);
        }
        let mut there = ShadowDatabase::along(shadow, plan, index).await?;
        let begun = there.fingerprint().await?;
        let (mut run, mut opened) = (Vec::new(), Vec::new());
        let (mut late, mut left_open) = (BTreeMap::new(), BTreeSet::new());
        let earlier = plan.steps().take(index).filter_map(|step| plan.body(step));
        let earlier = earlier.flat_map(|body| dialect.pieces_inside(body));
        let mut deleted: Vec<OfRows> = earlier.filter_map(|it| dialect.of_rows(&it.text)).collect();
        deleted.retain(deletes);
        for Piece { text, adds, .. } in pieces {
            let of_rows = dialect.of_rows(&text);
            deleted.extend(of_rows.filter(deletes));
            let here = if adds { there.fingerprint().await? } else { Fingerprint::default() };
            match there.run_text(step, &text).await {
                Err(RehearsalError::Journey(_)) => return Ok(None),
                ran => ran?,
            }
            if !adds {
                run.push(text);
                continue;
            }
            let now = there.fingerprint().await?;
            let mut instead = BTreeMap::new();
            for (column, open) in needed(dialect, (&begun, &here), &now) {
                // The body may have deleted those rows, or not: it finds out.
                let table = column.table.as_deref().unwrap_or_default();
                if deleted.iter().any(|it| it.deed == RowDeed::Other || it.is_of(table)) {
                    continue;
                }
                match made(shadow, plan, (step, index), &column, &mut *database).await? {
                    Made::AsItIs => continue,
                    Made::Late(check) => drop(late.insert(column.clone(), check.map(|it| *it))),
                    Made::Open => drop(left_open.insert(column.clone())),
                }
                instead.insert(column, open.made_by);
            }
            if instead.is_empty() {
                run.push(text);
                continue;
            }
            // What comes with the columns, such as a constraint, comes behind them.
            let mut from = now.clone();
            from.objects.retain(|it, _| here.objects.contains_key(it) || instead.contains_key(it));
            let mut with = now.objects.iter().filter(|(it, _)| !from.objects.contains_key(*it));
            if with.any(|(it, definition)| asked(dialect, it, definition, &here) == Asked::TooMuch)
            {
                return Ok(None);
            }
            run.extend(instead.into_values());
            run.extend(there.statements_from(&from).await?);
            opened.push(text);
        }
        if opened.is_empty() {
            return Ok(None);
        }
        let end = there.fingerprint().await?;
        Ok(Some(Walk { run, opened, late, left_open, end }))
    }
}

/// Whether rows may go.
fn deletes(rows: &OfRows) -> bool {
    matches!(rows.deed, RowDeed::Deletes | RowDeed::Other)
}

/// The columns that a statement makes, which leads from the schema `here` to `now`, in tables that were there
/// when the body `begun`, and that each row needs a value for.
fn needed(
    dialect: Dialect,
    (begun, here): (&Fingerprint, &Fingerprint),
    now: &Fingerprint,
) -> Vec<(ObjectName, Late)> {
    let late = needed_columns(begun, here, now).filter_map(|(it, definition)| {
        Some((it.clone(), Late::column(dialect, it, &definition.text)?))
    });
    late.collect()
}

/// A body without the `NOT NULL` of the columns that it makes where it runs `there`, in tables that have rows,
/// and what gives it to them once each row has its value.
///
/// # Errors
/// When it does not run there.
pub(crate) async fn without_not_null(
    dialect: Dialect,
    mut there: ShadowDatabase<'_>,
    step: &Migrate,
    body: String,
) -> Result<(String, Vec<String>), RehearsalError> {
    let pieces = dialect.pieces(&body);
    if !pieces.iter().any(|it| it.adds) {
        return Ok((body, Vec::new()));
    }
    let begun = there.fingerprint().await?;
    let (mut run, mut closed_by) = (Vec::new(), Vec::new());
    for Piece { text, adds, .. } in pieces {
        let here = if adds { there.fingerprint().await? } else { Fingerprint::default() };
        there.run_text(step, &text).await?;
        let now = if adds { there.fingerprint().await? } else { Fingerprint::default() };
        let columns = needed(dialect, (&begun, &here), &now);
        let new = now.objects.keys().filter(|it| !here.objects.contains_key(*it)).count();
        // What comes with a column comes only with it.
        if columns.is_empty() || new > columns.len() {
            run.push(text);
            continue;
        }
        for (_, late) in columns {
            run.push(late.made_by);
            closed_by.extend(late.closed_by);
        }
    }
    match closed_by.is_empty() {
        true => Ok((body, closed_by)),
        false => Ok((Dialect::joined(&run), closed_by)),
    }
}

/// The columns that `now` has and `here` has not, in tables that had `begun`, and that each row needs a value for.
pub(crate) fn needed_columns<'n>(
    begun: &'n Fingerprint,
    here: &'n Fingerprint,
    now: &'n Fingerprint,
) -> impl Iterator<Item = (&'n ObjectName, &'n Definition)> {
    now.objects.iter().filter(|(it, definition)| {
        !here.objects.contains_key(it)
            && it.needs_value(&definition.text)
            && it.table().is_some_and(|table| begun.objects.contains_key(&table))
    })
}

/// How a column is made that each row needs a value for, in a step of this number.
async fn made(
    shadow: &Shadow,
    plan: &Plan,
    (step, index): (&Migrate, usize),
    column: &ObjectName,
    database: &mut dyn Database,
) -> Result<Made, RehearsalError> {
    let Some(table) = column.table() else { return Ok(Made::AsItIs) };
    let start = schema_before(shadow, plan).await?;
    let archive = RehearsalError::Archive;
    if start.objects.contains_key(&table) {
        let sql = shadow.dialect().is_empty(&table.name);
        // Where they cannot be read, the body finds out.
        let answer = database.query(&sql, 1).await.unwrap_or_default().into_iter().next().flatten();
        if answer.as_deref() == Some("0") {
            if plan.accepts(column) {
                return Ok(Made::Open);
            }
            let without = database.gives(&plan.app, step, column).await.map_err(archive)?;
            return Ok(Made::Late(lacks_values(column, &table.name, &without).map(Box::new)));
        }
    }
    // Its rows come on the way, from the archive.
    let entries = database.archive(&plan.app).await.map_err(archive)?;
    let earlier: Vec<&Migrate> = plan.steps().take(index).collect();
    let comes = entries.iter().any(|it| {
        let (Lost::Table { table: of } | Lost::Rows { table: of }) = &it.lost else { return false };
        ObjectName::new("table", of).plain() == table.plain()
            && earlier.iter().any(|step| it.waits_for(step))
    });
    Ok(if comes { Made::Late(None) } else { Made::AsItIs })
}
