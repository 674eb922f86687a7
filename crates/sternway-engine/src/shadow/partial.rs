//! The way back from the middle of a body.

use std::collections::BTreeSet;

use sternway_database::failpoint::{Rule, holds};
use sternway_database::{Dialect, Late, Piece};
use sternway_model::plan::{Migrate, Plan};
use sternway_model::proof::{Fingerprint, ObjectName, differences};

use super::{RehearsalError, Shadow, ShadowDatabase};

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
    shadow.tidied(undone(shadow, plan, index, other).await).await
}

pub(super) async fn undone(
    shadow: &Shadow,
    plan: &Plan,
    index: usize,
    other: &Migrate,
) -> Result<Option<Undoing>, RehearsalError> {
    let home = ShadowDatabase::along(shadow, plan, index).await?.fingerprint().await?;
    let end = async || ShadowDatabase::along(shadow, plan, index + 1).await;
    let mut whole = end().await?;
    let ran = whole.run(other).await.is_ok();
    if ran && whole.fingerprint().await?.objects == home.objects {
        return Ok(None);
    }
    drop(whole);
    let dialect = shadow.dialect();
    let body = plan.body(other).unwrap_or_default();
    if dialect.statements(body).is_none() {
        return Ok(None);
    }
    let pieces = dialect.pieces(body);
    let whole = attempt(end().await?, other, &pieces, &home, &BTreeSet::new()).await?;
    // What it takes that was there before the step stays, where that leads closer.
    let (mut mistaken, mut is_whole) = (BTreeSet::new(), ran);
    let mut best = whole;
    while let Some(at) = best.takes_away.filter(|_| holds(Rule::MistakenPassedOver)) {
        mistaken.insert(at);
        let careful = attempt(end().await?, other, &pieces, &home, &mistaken).await?;
        if differences(&home, &careful.here).len() >= differences(&home, &best.here).len() {
            break;
        }
        (best, is_whole) = (careful, false);
    }
    let Attempt { mut trial, mut way, mut here, .. } = best;
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
}

async fn attempt<'a>(
    mut trial: ShadowDatabase<'a>,
    other: &Migrate,
    pieces: &[Piece],
    home: &Fingerprint,
    without: &BTreeSet<usize>,
) -> Result<Attempt<'a>, RehearsalError> {
    let (mut way, mut takes_away) = (Vec::new(), None);
    let mut here = trial.fingerprint().await?;
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
    }
    here = trial.fingerprint().await?;
    Ok(Attempt { trial, way, here, takes_away })
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
        let is = |name: &ObjectName, table: &String| {
            name.kind == "table" && name.name.trim_matches(['"', '`']).eq_ignore_ascii_case(table)
        };
        let there = |table: &String| home.objects.keys().any(|name| is(name, table));
        let took = self.took.iter().flat_map(|it| self.dialect.inside(it));
        let put = took.filter_map(|it| rows_of(it, &["INSERT", "REPLACE", "COPY", "MERGE"]));
        let put: BTreeSet<String> = put.filter(there).collect();
        let deletes = |it: &str| rows_of(it, &["DELETE"]).is_some_and(|table| put.contains(&table));
        let about = |it: &str| ROWS.contains(&words(it).next().unwrap_or_default().as_str());
        // What stands in one transaction goes or stays as one.
        let all = |it: &str| {
            let inside = self.dialect.inside(it);
            !inside.is_empty() && inside.iter().all(|it| about(it) && !deletes(it))
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

/// The first words of statements that are about rows.
const ROWS: [&str; 9] =
    ["INSERT", "REPLACE", "COPY", "MERGE", "UPDATE", "DELETE", "TRUNCATE", "WITH", "LOAD"];

/// The words of a statement in capitals, with names in them as they are compared: without quotes, and
/// without the schema. Comments before the first one are passed over.
fn words(statement: &str) -> impl Iterator<Item = String> {
    let mut rest = statement.trim_start();
    while let Some(after) = rest
        .strip_prefix("--")
        .map(|it| it.split_once('\n').map_or("", |(_, after)| after))
        .or_else(|| rest.strip_prefix("/*").map(|it| it.split_once("*/").map_or("", |(_, it)| it)))
    {
        rest = after.trim_start();
    }
    let words = rest.split(|letter: char| letter.is_whitespace() || "(,;".contains(letter));
    words.filter(|word| !word.is_empty()).map(|word| {
        let name = word.rsplit('.').next().unwrap_or(word);
        name.trim_matches(['"', '`', '[', ']']).to_uppercase()
    })
}

/// The table whose rows a statement is about, in small letters, where it begins with one of these words.
pub(crate) fn rows_of(statement: &str, begins: &[&str]) -> Option<String> {
    let mut words = words(statement);
    let first = words.next()?;
    if !begins.contains(&first.as_str()) {
        return None;
    }
    let modifiers = ["INTO", "FROM", "IGNORE", "ONLY", "LOW_PRIORITY", "OR", "DELAYED", "QUICK"];
    words.find(|word| !modifiers.contains(&word.as_str())).map(|word| word.to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_about_rows_are_known_by_their_words() {
        for (statement, table) in [
            ("INSERT INTO ship VALUES (1)", Some("ship")),
            ("-- seeds\n/* all */ insert ignore into `app`.`Ship`(id) SELECT 1", Some("ship")),
            ("REPLACE \"public\".\"ship\" VALUES (1)", Some("ship")),
            ("COPY ship (id) FROM stdin", Some("ship")),
            ("UPDATE ship SET id = 1", None),
            ("CREATE TABLE ship (id integer)", None),
            ("INSERT", None),
            ("", None),
        ] {
            let found = rows_of(statement, &["INSERT", "REPLACE", "COPY"]);
            assert_eq!(found.as_deref(), table, "{statement}");
        }
        assert_eq!(rows_of("DELETE FROM ONLY ship;", &["DELETE"]).as_deref(), Some("ship"));
    }
}
