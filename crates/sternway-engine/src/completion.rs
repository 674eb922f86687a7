//! What a down half leaves out. Down files are written by hand and run seldom: many make again only a
//! part of what their up half dropped, or nothing. What is missing then is generated from a clean install,
//! tried on a shadow database, and put at the end of the body, so that what the archive keeps of it comes
//! back with it.

use std::collections::BTreeSet;

use sternway_database::failpoint::{Rule, holds};
use sternway_model::catalog::{Digest, Direction};
use sternway_model::plan::{Migrate, Plan};
use sternway_model::proof::{Fingerprint, ObjectName, differences};

use crate::rehearse::installs;
use crate::shadow::{Material, RehearsalError, Shadow, ShadowDatabase, position};

/// Completes the down halves of a plan that leave out what a clean install has, where statements can be
/// generated that make it. What was not there before the journey stays so.
///
/// # Errors
/// When the journey or a clean install cannot be made.
pub async fn with_completions(shadow: &Shadow, plan: Plan) -> Result<Plan, RehearsalError> {
    let has_downs = plan.steps().any(|step| step.direction == Direction::Down);
    if !has_downs || !holds(Rule::Completed) {
        return Ok(plan);
    }
    shadow.tidied(completed(shadow, plan).await).await
}

async fn completed(shadow: &Shadow, mut plan: Plan) -> Result<Plan, RehearsalError> {
    let of_downs =
        |(_, step): &(usize, &Migrate)| step.direction == Direction::Down && !step.is_there;
    let downs: Vec<usize> =
        plan.steps().enumerate().filter(of_downs).map(|(index, _)| index).collect();
    for index in downs {
        let statements = missing(shadow, &plan, index).await?;
        if statements.is_empty() {
            continue;
        }
        let Some(hash) = plan.steps().nth(index).map(|step| step.hash) else { continue };
        let body = plan.bodies.get(&hash).map_or("", String::as_str).trim_end();
        let end = if body.is_empty() || body.ends_with(';') { "" } else { "\n;" };
        let text = format!("{body}{end}\n{};\n", statements.join(";\n"));
        let hash = Digest::of_body(&text);
        plan.bodies.insert(hash, text);
        if let Some(step) = plan.migrations_mut().nth(index) {
            (step.hash, step.completed_by) = (hash, statements);
        }
    }
    Ok(plan)
}

/// The statements that make what a clean install has after a step and the step leaves out.
async fn missing(
    shadow: &Shadow,
    plan: &Plan,
    index: usize,
) -> Result<Vec<String>, RehearsalError> {
    let Some(step) = plan.steps().nth(index) else { return Ok(Vec::new()) };
    let at = position(plan, index + 1);
    let clean = installs(shadow, plan, vec![&at]).await?;
    let Some(clean) = clean.get(&at) else { return Ok(Vec::new()) };
    let end = End { shadow, plan, index, step };
    let mut here = ShadowDatabase::along(shadow, plan, index + 1).await?.fingerprint().await?;
    if lacks(plan, clean, &here).is_empty() {
        return Ok(Vec::new());
    }
    let mut renamed = Vec::new();
    for statement in end.renamings() {
        let with = [renamed.clone(), vec![statement]].concat();
        // What does not run, or leads elsewhere, is none of them.
        if let Ok(mut trial) = end.after(&with).await {
            let now = trial.fingerprint().await?;
            if differences(clean, &now).len() < differences(clean, &here).len() {
                (renamed, here) = (with, now);
            }
        }
    }
    let lacks = lacks(plan, clean, &here);
    if lacks.is_empty() {
        return Ok(renamed);
    }
    // A clean install without just that.
    let mut from = clean.clone();
    from.objects.retain(|object, _| !lacks.contains(object));
    for (object, definition) in &here.objects {
        if lacks.contains(object) {
            from.objects.insert(object.clone(), definition.clone());
        }
    }
    let mut install = ShadowDatabase::open(shadow, &Material::of(plan)).await;
    install.install(&at)?;
    let statements = install.statements_from(&from).await?;
    drop(install);
    let made = end.after(&renamed).await?.runnable(&end.staying(), &statements).await?;
    Ok([renamed, made].concat())
}

/// The place behind a down half.
struct End<'a> {
    shadow: &'a Shadow,
    plan: &'a Plan,
    index: usize,
    step: &'a Migrate,
}

impl<'a> End<'a> {
    /// What runs a statement there.
    fn staying(&self) -> Migrate {
        let Migrate { track, table, to, file, .. } = self.step;
        Migrate::staying(track.clone(), table.clone(), *to, file)
    }

    /// The schema there, with these statements.
    async fn after(&self, statements: &[String]) -> Result<ShadowDatabase<'a>, RehearsalError> {
        let mut there = ShadowDatabase::along(self.shadow, self.plan, self.index + 1).await?;
        for statement in statements {
            there.run_text(&self.staying(), statement).await?;
        }
        Ok(there)
    }

    /// What the up half renames, named back, the last one first: what has another name has its data still, and
    /// one made anew in its place would have none.
    fn renamings(&self) -> Vec<String> {
        let half = self.plan.migration_of(self.step).and_then(|it| it.half(Direction::Up));
        let body = half.and_then(|half| self.plan.bodies.get(&half.hash));
        let statements = body.and_then(|body| self.shadow.dialect().statements(body));
        statements.into_iter().flatten().rev().filter_map(named_back).collect()
    }
}

/// `ALTER … a RENAME TO b` and `ALTER … RENAME … a TO b` the other way round.
fn named_back(statement: &str) -> Option<String> {
    let words: Vec<&str> = statement.trim().trim_end_matches(';').split_whitespace().collect();
    let is = |at: usize, word: &str| words.get(at).is_some_and(|it| it.eq_ignore_ascii_case(word));
    let rename = words.iter().position(|word| word.eq_ignore_ascii_case("RENAME"))?;
    let (old, new) = (words.get(words.len().checked_sub(3)?)?, words.last()?);
    if !is(0, "ALTER") || !is(words.len() - 2, "TO") || rename < 3 {
        return None;
    }
    let alter = words[..rename - 1].join(" ");
    match words.len() - rename {
        3 => {
            let name = words[rename - 1];
            let (space, bare) = name.rsplit_once('.').map_or(("", name), |(space, it)| (space, it));
            let dot = if space.is_empty() { "" } else { "." };
            Some(format!("{alter} {space}{dot}{new} RENAME TO {bare}"))
        }
        4 | 5 => {
            let kind = if words.len() - rename == 5 { words[rename + 1] } else { "COLUMN" };
            Some(format!("{alter} {} RENAME {kind} {new} TO {old}", words[rename - 1]))
        }
        _ => None,
    }
}

/// What a clean install has and this schema has not, or has otherwise: what may be made among rows that
/// nobody has looked at.
fn lacks(plan: &Plan, clean: &Fingerprint, here: &Fingerprint) -> BTreeSet<ObjectName> {
    let before: BTreeSet<&ObjectName> =
        plan.basis.deviation.differences.iter().map(|it| it.object()).collect();
    let table_of =
        |object: &ObjectName| object.table.as_ref().map(|it| ObjectName::new("table", it));
    let is_new = |object: &ObjectName| {
        table_of(object).is_some_and(|table| !here.objects.contains_key(&table))
    };
    let missing = clean
        .objects
        .iter()
        .filter(|(object, definition)| here.objects.get(*object) != Some(*definition))
        .filter(|(object, _)| !before.contains(*object));
    let may = missing.filter(|(object, definition)| {
        let there = here.objects.contains_key(*object);
        match object.kind.as_str() {
            // Of a table that comes whole, all of it does.
            _ if is_new(object) => true,
            "column" => !there && !object.needs_value(&definition.text),
            // Rows may be there that it does not allow.
            "constraint" | "check" => false,
            "table" | "type" | "domain" => !there,
            _ => true,
        }
    });
    may.map(|(object, _)| object.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::named_back;

    #[test]
    fn what_was_renamed_is_named_back() {
        for (statement, back) in [
            ("ALTER TABLE t RENAME COLUMN a TO b;", Some("ALTER TABLE t RENAME COLUMN b TO a")),
            ("alter table s.t rename a to \"B\"", Some("alter table s.t RENAME COLUMN \"B\" TO a")),
            ("ALTER TABLE s.t RENAME TO u", Some("ALTER TABLE s.u RENAME TO t")),
            ("ALTER TYPE e RENAME VALUE 'a' TO 'b'", Some("ALTER TYPE e RENAME VALUE 'b' TO 'a'")),
            ("ALTER TABLE t ADD COLUMN a text", None),
            ("ALTER TABLE t RENAME a TO b, ADD c int", None),
            ("RENAME", None),
        ] {
            assert_eq!(named_back(statement).as_deref(), back, "{statement}");
        }
    }
}
