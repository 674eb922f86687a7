//! What a down half leaves out, and what it should not take. Down files are written by hand and run seldom:
//! many make again only a part of what their up half dropped, or nothing, and some drop what was there before
//! it. A statement that takes what the clean install behind it has is passed over, so that the data stays in
//! its place. What is missing then is generated from that clean install, tried on a shadow database, and put
//! at the end of the body, so that what the archive keeps of it comes back with it.

mod additions;

use std::collections::BTreeSet;

use sternway_database::Dialect;
use sternway_database::failpoint::{Rule, holds};
use sternway_model::catalog::{Digest, Direction};
use sternway_model::check::Check;
use sternway_model::plan::{Deviation, Migrate, Plan};
use sternway_model::proof::{Difference, Fingerprint, ObjectName, differences};

pub(crate) use self::additions::Additions;
use self::additions::split;
use crate::rehearse::installs;
use crate::shadow::{Material, Positions, RehearsalError, Shadow, ShadowDatabase, position};

/// Completes the halves of a plan that leave out what a clean install has, where statements can be generated
/// that make it. What was not there before the journey stays so.
///
/// # Errors
/// When the journey or a clean install cannot be made.
pub async fn with_completions(shadow: &Shadow, plan: Plan) -> Result<Plan, RehearsalError> {
    if !holds(Rule::Completed) {
        return Ok(plan);
    }
    shadow.tidied(completed(shadow, plan).await).await
}

async fn completed(shadow: &Shadow, mut plan: Plan) -> Result<Plan, RehearsalError> {
    let runs = plan.steps().enumerate().filter(|(_, step)| !step.is_there);
    let runs: Vec<usize> = runs.map(|(index, _)| index).collect();
    for index in runs {
        let Some(fit) = fit(shadow, &plan, index).await? else { continue };
        let Some(hash) = plan.steps().nth(index).map(|step| step.hash) else { continue };
        let body = match fit.left_out.is_empty() {
            true => plan.bodies.get(&hash).cloned().unwrap_or_default(),
            false => Dialect::joined(&fit.kept),
        };
        let text = body_with(&body, &fit.completed_by);
        let (hash, facts) = (Digest::of_body(&text), shadow.dialect().facts(&text));
        plan.bodies.insert(hash, text);
        if let Some(step) = plan.migrations_mut().nth(index) {
            step.hash = hash;
            step.completed_by.extend(fit.completed_by);
            if !fit.left_out.is_empty() {
                (step.mode, step.destroys) = (facts.mode, facts.destroys);
                step.leaves_out = fit.left_out;
            }
        }
        plan.ask_before(fit.checks);
    }
    Ok(plan)
}

/// A body with these statements at its end.
pub(crate) fn body_with(body: &str, statements: &[String]) -> String {
    let body = body.trim_end();
    if statements.is_empty() {
        return body.to_owned();
    }
    let end = if body.is_empty() || body.ends_with(';') { "" } else { "\n;" };
    format!("{body}{end}\n{};\n", statements.join(";\n"))
}

/// How a half is made to lead to the clean install behind it.
struct Fit {
    /// Its statements that run.
    kept: Vec<String>,
    /// Those that lead away from there.
    left_out: Vec<String>,
    /// What is added at its end.
    completed_by: Vec<String>,
    /// What the rows have to be for that.
    checks: Vec<Check>,
}

/// Finds out what a half lacks; nothing where it lacks nothing, or nothing can be done about it. An up half
/// that makes what is not there yet, and passes over what is, may find less there than it would make.
async fn fit(shadow: &Shadow, plan: &Plan, index: usize) -> Result<Option<Fit>, RehearsalError> {
    let Some(step) = plan.steps().nth(index) else { return Ok(None) };
    let at = position(plan, index + 1);
    let clean = installs(shadow, plan, vec![&at]).await?;
    let Some(clean) = clean.get(&at) else { return Ok(None) };
    let body = plan.body(step).filter(|_| step.direction == Direction::Down).unwrap_or_default();
    let statements = shadow.dialect().statements(body).unwrap_or_default();
    let statements: Vec<String> = statements.iter().flat_map(|it| apart(it)).collect();
    let end = End { shadow, plan, index, step, clean, statements: &statements };
    let Some(way) = end.way().await? else { return Ok(None) };
    let (mut completed_by, mut checks) = (way.renamed.clone(), Vec::new());
    if end.misses(&way.here) > 0 {
        let additions = Additions::to(shadow, plan, clean, &way.here).await?;
        if !additions.objects.is_empty() {
            let generated = generated(shadow, plan, &at, &additions.objects, clean, &way.here);
            let generated = generated.await?;
            let there = end.after(&way.left_out, &way.renamed).await?;
            completed_by.extend(there.runnable(&end.staying(), &generated).await?);
            checks = additions.checks;
        }
    }
    if completed_by.is_empty() && way.left_out.is_empty() {
        return Ok(None);
    }
    let of = |left: bool| -> Vec<String> {
        let them = statements.iter().enumerate();
        let them = them.filter(|(at, _)| way.left_out.contains(at) == left);
        them.map(|(_, it)| it.clone()).collect()
    };
    Ok(Some(Fit { kept: of(false), left_out: of(true), completed_by, checks }))
}

/// The statements that make of the schema `here` what a clean install `at` a position has of `objects`.
pub(crate) async fn generated(
    shadow: &Shadow,
    plan: &Plan,
    at: &Positions,
    objects: &BTreeSet<ObjectName>,
    clean: &Fingerprint,
    here: &Fingerprint,
) -> Result<Vec<String>, RehearsalError> {
    // A clean install without just that.
    let mut from = clean.clone();
    from.objects.retain(|object, _| !objects.contains(object));
    let there = here.objects.iter().filter(|(object, _)| objects.contains(*object));
    from.objects.extend(there.map(|(object, definition)| (object.clone(), definition.clone())));
    let mut install = ShadowDatabase::open(shadow, &Material::of(plan)).await;
    install.install(at)?;
    install.statements_from(&from).await
}

/// The place behind a down half.
struct End<'a> {
    shadow: &'a Shadow,
    plan: &'a Plan,
    index: usize,
    step: &'a Migrate,
    /// What should be there.
    clean: &'a Fingerprint,
    /// Those of a down half; none where it opens transactions of its own.
    statements: &'a [String],
}

/// A way to the end of a down half.
struct Way {
    /// The statements of the body that it does without.
    left_out: BTreeSet<usize>,
    /// What is named back behind it.
    renamed: Vec<String>,
    /// Where it leads.
    here: Fingerprint,
}

/// How many statements of a body are tried without, at most.
const MOST_TRIED: usize = 40;

impl<'a> End<'a> {
    /// What runs a statement there.
    fn staying(&self) -> Migrate {
        let Migrate { track, table, to, file, .. } = self.step;
        Migrate::staying(track.clone(), table.clone(), *to, file)
    }

    /// The schema there, without some statements of the body, and with others behind it.
    async fn after(
        &self,
        left_out: &BTreeSet<usize>,
        statements: &[String],
    ) -> Result<ShadowDatabase<'a>, RehearsalError> {
        let mut there = ShadowDatabase::along(self.shadow, self.plan, self.index).await?;
        if left_out.is_empty() {
            there.run(self.step).await?;
        } else {
            let kept = self.statements.iter().enumerate().filter(|(at, _)| !left_out.contains(at));
            let kept: Vec<&String> = kept.map(|(_, it)| it).collect();
            there.run_instead(self.step, &Dialect::joined(&kept)).await?;
        }
        for statement in statements {
            there.run_text(&self.staying(), statement).await?;
        }
        Ok(there)
    }

    /// How many things a program for the clean install would miss in the schema `here`. What was not as
    /// there before the journey stays so.
    fn misses(&self, here: &Fingerprint) -> usize {
        let lacks = differences(self.clean, here).into_iter().filter(Difference::is_lack);
        lacks.filter(|it| !self.plan.basis.deviation.has(it.object())).count()
    }

    /// How good a way is: by what would be missed, and by all that differs. The worst does not run.
    fn measure(&self, way: &Option<Way>) -> (usize, usize) {
        let of = |way: &Way| (self.misses(&way.here), differences(self.clean, &way.here).len());
        way.as_ref().map_or((usize::MAX, usize::MAX), of)
    }

    /// The best way there. A mistaken down half takes what the clean install has, or takes what is not
    /// there: the way does without that. One of which nothing leads to more runs as it is.
    async fn way(&self) -> Result<Option<Way>, RehearsalError> {
        let mut best = self.goes(BTreeSet::new()).await?;
        let fails = best.is_none();
        let takes = |it: &str| {
            let text = it.to_uppercase();
            ["DROP", "RENAME", "DETACH"].iter().any(|word| text.contains(word))
        };
        let candidates: Vec<usize> = (0..self.statements.len())
            .filter(|at| takes(&self.statements[*at]))
            .take(MOST_TRIED)
            .collect();
        let mut left_out = BTreeSet::new();
        while self.measure(&best).0 > 0 && left_out.len() < candidates.len() {
            let mut better: Option<Way> = None;
            let (least, fewest) = self.measure(&best);
            for at in candidates.iter().filter(|at| !left_out.contains(*at)) {
                let with: BTreeSet<usize> = left_out.iter().chain([at]).copied().collect();
                let way = self.goes(with).await?;
                let (misses, differ) = self.measure(&way);
                let is_better = misses < least && differ < fewest;
                if is_better && (misses, differ) < self.measure(&better) {
                    better = way;
                }
            }
            if let Some(way) = better {
                left_out.clone_from(&way.left_out);
                best = Some(way);
                continue;
            }
            // Where none alone is to blame, the first that fails goes, and the rest is looked at again.
            match self.first_failing(&left_out).await? {
                Some(at) if best.is_none() && candidates.contains(&at) => {
                    left_out.insert(at);
                    best = self.goes(left_out.clone()).await?;
                }
                _ => break,
            }
        }
        // What fails for what stands on it is no mistake of the body's.
        Ok(best.filter(|way| !fails || !self.leaves_over(&way.here)))
    }

    /// Whether something is there that the journey should have taken.
    fn leaves_over(&self, here: &Fingerprint) -> bool {
        let Deviation { differences: before, foreign, .. } = &self.plan.basis.deviation;
        let is_over = |it: &Difference| matches!(it, Difference::Unexpected { object, .. } if !foreign.contains(object));
        differences(self.clean, here).iter().any(|it| is_over(it) && !before.contains(it))
    }

    /// The first statement that does not run, without some others.
    async fn first_failing(
        &self,
        left_out: &BTreeSet<usize>,
    ) -> Result<Option<usize>, RehearsalError> {
        let mut there = ShadowDatabase::along(self.shadow, self.plan, self.index).await?;
        let kept = self.statements.iter().enumerate().filter(|(at, _)| !left_out.contains(at));
        for (at, statement) in kept {
            match there.run_text(self.step, statement).await {
                Err(RehearsalError::Journey(_)) => return Ok(Some(at)),
                ran => ran?,
            }
        }
        Ok(None)
    }

    /// Where the body leads without some of its statements, with what is named back behind it; nothing
    /// where it does not run.
    async fn goes(&self, left_out: BTreeSet<usize>) -> Result<Option<Way>, RehearsalError> {
        let mut here = match self.after(&left_out, &[]).await {
            Ok(mut there) => there.fingerprint().await?,
            Err(RehearsalError::Journey(_)) => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut renamed = Vec::new();
        if self.misses(&here) > 0 && self.step.direction == Direction::Down {
            for statement in self.renamings() {
                let with = [renamed.clone(), vec![statement]].concat();
                // What does not run, or leads elsewhere, is none of them.
                if let Ok(mut trial) = self.after(&left_out, &with).await {
                    let now = trial.fingerprint().await?;
                    if differences(self.clean, &now).len() < differences(self.clean, &here).len() {
                        (renamed, here) = (with, now);
                    }
                }
            }
        }
        Ok(Some(Way { left_out, renamed, here }))
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

/// A statement that drops or alters several things at once as several that do so one by one.
fn apart(statement: &str) -> Vec<String> {
    let whole = || vec![statement.to_owned()];
    let text = statement.trim().trim_end_matches(';').trim_end();
    let words: Vec<&str> = text.split_whitespace().collect();
    let is = |at: usize, word: &str| words.get(at).is_some_and(|it| it.eq_ignore_ascii_case(word));
    let alters = is(0, "ALTER") && is(1, "TABLE");
    let drops = is(0, "DROP") && ["TABLE", "VIEW", "INDEX"].iter().any(|it| is(1, it));
    if !alters && !drops {
        return whole();
    }
    let mut head = if is(2, "IF") { 4 } else { 2 };
    head += usize::from(is(head, "ONLY"));
    head += usize::from(alters);
    let last = words.last().filter(|it| {
        drops && ["CASCADE", "RESTRICT"].iter().any(|word| it.eq_ignore_ascii_case(word))
    });
    let Some(begin) = nth_word(text, head) else { return whole() };
    let end = text.len() - last.map_or(0, |it| it.len());
    let (begins, tail) = (text[..begin].trim_end(), last.map_or("", |it| *it));
    match split(&text[begin..end]) {
        parts if parts.len() > 1 => {
            let each = parts.iter().map(|it| format!("{begins} {it} {tail}").trim_end().to_owned());
            each.collect()
        }
        _ => whole(),
    }
}

/// Where a word begins, by its number.
fn nth_word(text: &str, number: usize) -> Option<usize> {
    let mut before = ' ';
    let begins = text.char_indices().filter(|(_, letter)| {
        let begins = before.is_whitespace() && !letter.is_whitespace();
        before = *letter;
        begins
    });
    begins.map(|(at, _)| at).nth(number)
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

#[cfg(test)]
mod tests {
    use super::{apart, named_back};

    #[test]
    fn what_does_several_things_at_once_is_taken_apart() {
        for (statement, parts) in [
            (
                "ALTER TABLE IF EXISTS ONLY a DROP COLUMN b,\n  ADD c numeric(9, 2) DEFAULT 1;",
                &[
                    "ALTER TABLE IF EXISTS ONLY a DROP COLUMN b",
                    "ALTER TABLE IF EXISTS ONLY a ADD c numeric(9, 2) DEFAULT 1",
                ][..],
            ),
            (
                "drop table if exists a, \"b,\" CASCADE",
                &["drop table if exists a CASCADE", "drop table if exists \"b,\" CASCADE"],
            ),
            ("ALTER TABLE a DROP COLUMN b", &["ALTER TABLE a DROP COLUMN b"]),
            ("INSERT INTO a VALUES (1), (2)", &["INSERT INTO a VALUES (1), (2)"]),
            ("DROP TABLE", &["DROP TABLE"]),
            ("", &[""]),
        ] {
            assert_eq!(apart(statement), parts, "{statement}");
        }
    }

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
