//! The way back from the middle of a body.

use std::collections::BTreeSet;

use sternway_database::failpoint::{Rule, holds};
use sternway_database::{Dialect, Late, OfRows, Piece, RowDeed};
use sternway_model::plan::{Migrate, Plan};
use sternway_model::proof::{Fingerprint, differences};

use super::{RehearsalError, Shadow, ShadowDatabase};
use crate::needed::needed_columns;

/// Finds out, on a shadow, which statements of `other`, the other half of the plan's migration number
/// `index`, lead back from where the first `done` statements of its body took effect. `None` where
/// there is no such way, or a body opens transactions of its own.
///
/// # Errors
/// When what comes before that migration cannot be made.
pub async fn way_back(
    shadow: &Shadow,
    plan: &Plan,
    index: usize,
    other: &Migrate,
    done: usize,
) -> Result<Option<String>, RehearsalError> {
    shadow.tidied(tried(shadow, plan, index, other, done).await).await
}

/// What undoes a step where its other half does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undoing {
    /// The statements.
    pub body: String,
    /// Those behind what the archive restores, as of [`Migrate::closed_by`].
    pub closed_by: Vec<String>,
}

/// Finds out, on a shadow, what undoes the plan's migration number `index` where `other`, its whole other
/// half, does not: an incomplete or mistaken half leaves things over that its other half does not expect.
/// `None` where it does, or its body cannot be taken apart.
///
/// # Errors
/// When what comes before that migration, or the migration itself, cannot be made.
pub async fn undoing(
    shadow: &Shadow,
    plan: &Plan,
    index: usize,
    other: &Migrate,
) -> Result<Option<Undoing>, RehearsalError> {
    // On the heap, as it runs below a run that is taken back.
    shadow.tidied(Box::pin(undone(shadow, plan, index, other)).await).await
}

pub(super) async fn undone(
    shadow: &Shadow,
    plan: &Plan,
    index: usize,
    other: &Migrate,
) -> Result<Option<Undoing>, RehearsalError> {
    let home = ShadowDatabase::along(shadow, plan, index).await?.fingerprint().await?;
    let end = async || ShadowDatabase::along(shadow, plan, index + 1).await;
    let dialect = shadow.dialect();
    let body = plan.body(other).unwrap_or_default();
    let pieces = dialect.pieces(body);
    let mut whole = end().await?;
    let ran = whole.run(other).await.is_ok();
    let leads_home = ran && whole.fingerprint().await?.objects == home.objects;
    drop(whole);
    let may_need = pieces.iter().any(|it| it.adds) && !dialect.fills_needed();
    if (leads_home && !may_need) || dialect.statements(body).is_none() {
        return Ok(None);
    }
    let mut without = BTreeSet::new();
    let mut best = attempt(end().await?, other, &pieces, &home, &without).await?;
    while let Some(at) = best.needs.filter(|_| may_need) {
        without.insert(at);
        best = attempt(end().await?, other, &pieces, &home, &without).await?;
    }
    let mut is_whole = ran && without.is_empty();
    if leads_home && is_whole {
        return Ok(None);
    }
    // What it takes that was there before the step stays, where that leads closer.
    while let Some(at) = best.takes_away.filter(|_| holds(Rule::MistakenPassedOver)) {
        without.insert(at);
        let careful = attempt(end().await?, other, &pieces, &home, &without).await?;
        if differences(&home, &careful.here).len() >= differences(&home, &best.here).len() {
            break;
        }
        (best, is_whole) = (careful, false);
    }
    let Attempt { mut trial, mut way, mut here, .. } = best;
    // What has another name has its data still, and one made anew in its place would have none.
    let forth = plan.steps().nth(index).and_then(|step| plan.body(step)).unwrap_or_default();
    for statement in dialect.names_back(forth) {
        let mut there = end().await?;
        let mut runs = here.objects != home.objects;
        for text in way.iter().chain([&statement]) {
            runs = runs && there.run_text(other, text).await.is_ok();
        }
        if !runs {
            continue;
        }
        let now = there.fingerprint().await?;
        if differences(&home, &now).len() < differences(&home, &here).len() {
            (trial, here, is_whole) = (there, now, false);
            way.push(statement);
        }
    }
    let mut closed_by = Vec::new();
    for (column, definition) in &home.objects {
        // Among rows it is made before it is needed.
        let is_needed = column.needs_value(&definition.text) && !here.objects.contains_key(column);
        let has_table = column.table().is_some_and(|it| here.objects.contains_key(&it));
        let late = Late::column(dialect, column, &definition.text);
        let Some(late) = late.filter(|_| is_needed && has_table) else { continue };
        trial.run_text(other, &late.made_by).await?;
        here.objects.insert(column.clone(), definition.clone());
        way.push(late.made_by);
        closed_by.extend(late.closed_by);
    }
    let mut start = ShadowDatabase::along(shadow, plan, index).await?;
    let rest = start.statements_from(&here).await?;
    drop(start);
    let rest = trial.runnable(other, &rest).await?;
    if rest.is_empty() && closed_by.is_empty() && is_whole {
        return Ok(None);
    }
    way.extend(rest);
    Ok(Some(Undoing { body: Dialect::joined(&way), closed_by }))
}

/// Where pieces of a body lead.
struct Attempt<'a> {
    trial: ShadowDatabase<'a>,
    /// Those that ran.
    way: Vec<String>,
    here: Fingerprint,
    /// The first of them that takes away what is there at home.
    takes_away: Option<usize>,
    /// The first that makes a column which each row of a table that is there needs a value for.
    needs: Option<usize>,
}

async fn attempt<'a>(
    mut trial: ShadowDatabase<'a>,
    other: &Migrate,
    pieces: &[Piece],
    home: &Fingerprint,
    without: &BTreeSet<usize>,
) -> Result<Attempt<'a>, RehearsalError> {
    let (mut way, mut takes_away, mut needs) = (Vec::new(), None, None);
    let begun = trial.fingerprint().await?;
    let mut here = begun.clone();
    for (at, piece) in pieces.iter().enumerate().filter(|(at, _)| !without.contains(at)) {
        // What is there already would fail, and what fills it has been done.
        if trial.run_text(other, &piece.text).await.is_err() {
            continue;
        }
        way.push(piece.text.clone());
        if piece.takes && takes_away.is_none() {
            let now = trial.fingerprint().await?;
            takes_away = takes_from(home, &here, &now).then_some(at);
            here = now;
        }
        if piece.adds && needs.is_none() {
            let now = trial.fingerprint().await?;
            needs = needed_columns(&begun, &begun, &now).next().map(|_| at);
        }
    }
    here = trial.fingerprint().await?;
    Ok(Attempt { trial, way, here, takes_away, needs })
}

/// Whether something is gone that is there at home.
pub(crate) fn takes_from(home: &Fingerprint, before: &Fingerprint, now: &Fingerprint) -> bool {
    before.objects.iter().any(|(name, definition)| {
        home.objects.get(name) == Some(definition) && now.objects.get(name) != Some(definition)
    })
}

async fn tried(
    shadow: &Shadow,
    plan: &Plan,
    index: usize,
    other: &Migrate,
    done: usize,
) -> Result<Option<String>, RehearsalError> {
    let dialect = shadow.dialect();
    let body = |step: &Migrate| plan.body(step).unwrap_or_default();
    let Some(step) = plan.steps().nth(index) else { return Ok(None) };
    let (Some(forth), Some(back)) =
        (dialect.statements(body(step)), dialect.statements(body(other)))
    else {
        return Ok(None);
    };
    let Some(took) = forth.get(..done) else { return Ok(None) };
    let begin = async || ShadowDatabase::along(shadow, plan, index).await;
    let half = PartialBody { dialect, forth: step, took, statements: &back };
    half.way_back(begin).await
}

/// A half of a migration that came only so far, and its other half.
pub struct PartialBody<'a> {
    pub dialect: Dialect,
    pub forth: &'a Migrate,
    /// The statements that took effect.
    pub took: &'a [&'a str],
    /// The statements of the other half.
    pub statements: &'a [&'a str],
}

/// Where some statements of the other half lead.
enum Walk {
    /// To the beginning: these ran.
    Home(String),
    /// One of them takes away what was there at the beginning.
    TakesAway(usize),
    Elsewhere,
}

impl PartialBody<'_> {
    /// The statements of the other half that lead to where `begin` begins.
    ///
    /// At best none of them takes away what was there at the beginning, and rows are left alone: what
    /// the first half took of them is put back from the archive, and the rest was not its work. Only
    /// what it put into tables that were there has to go again.
    pub async fn way_back<'l>(
        &self,
        begin: impl AsyncFn() -> Result<ShadowDatabase<'l>, RehearsalError>,
    ) -> Result<Option<String>, RehearsalError> {
        let home = begin().await?.fingerprint().await?;
        let mut without = self.about_rows(&home);
        // Each time round one statement more is left out.
        for _ in 0..=self.statements.len() {
            match self.walk(begin().await?, &home, &without, true).await? {
                Walk::Home(ran) => return Ok(Some(ran)),
                Walk::TakesAway(statement) => drop(without.insert(statement)),
                Walk::Elsewhere => break,
            }
        }
        match self.walk(begin().await?, &home, &BTreeSet::new(), false).await? {
            Walk::Home(ran) => Ok(Some(ran)),
            Walk::TakesAway(_) | Walk::Elsewhere => Ok(None),
        }
    }

    /// The statements of the other half that are about rows, but for what deletes from tables that the
    /// first half put rows into.
    fn about_rows(&self, home: &Fingerprint) -> BTreeSet<usize> {
        let tables: Vec<&str> = home
            .objects
            .keys()
            .filter(|it| it.kind == "table")
            .map(|it| it.name.as_str())
            .collect();
        let took = self.took.iter().flat_map(|it| self.dialect.inside(it));
        let put = took.filter_map(|it| self.dialect.of_rows(it));
        let put: Vec<OfRows> = put.filter(|it| it.deed == RowDeed::Puts).collect();
        let filled: Vec<&str> =
            tables.into_iter().filter(|table| put.iter().any(|it| it.is_of(table))).collect();
        let about = |it: &str| {
            self.dialect.of_rows(it).is_some_and(|it| {
                it.deed != RowDeed::Deletes || !filled.iter().any(|table| it.is_of(table))
            })
        };
        // What stands in one transaction goes or stays as one.
        let all = |it: &str| {
            let inside = self.dialect.inside(it);
            !inside.is_empty() && inside.iter().all(|it| about(it))
        };
        let statements = self.statements.iter().enumerate();
        statements.filter(|(_, it)| all(it)).map(|(index, _)| index).collect()
    }

    /// Runs what took effect and then the other half `without` some of its statements. `careful`: none of
    /// them may take away what is there at `home`.
    async fn walk(
        &self,
        mut shadow: ShadowDatabase<'_>,
        home: &Fingerprint,
        without: &BTreeSet<usize>,
        careful: bool,
    ) -> Result<Walk, RehearsalError> {
        for statement in self.took {
            if shadow.run_text(self.forth, statement).await.is_err() {
                return Ok(Walk::Elsewhere);
            }
        }
        let mut ran = Vec::new();
        let mut here = shadow.fingerprint().await?;
        for (index, statement) in self.statements.iter().enumerate() {
            // What is about the part that never took effect fails, and is not wanted.
            if without.contains(&index) || shadow.run_text(self.forth, statement).await.is_err() {
                continue;
            }
            ran.push(*statement);
            let now = shadow.fingerprint().await?;
            if careful && takes_from(home, &here, &now) {
                return Ok(Walk::TakesAway(index));
            }
            here = now;
        }
        Ok(match here.objects == home.objects {
            true => Walk::Home(Dialect::joined(&ran)),
            false => Walk::Elsewhere,
        })
    }
}
