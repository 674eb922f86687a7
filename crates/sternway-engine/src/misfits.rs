//! Rows that do not fit what a body asks of them: a constraint, a unique index, a value where none was needed,
//! another type. The rehearsal's tables are empty, so that the body runs there; the database would refuse it in
//! the middle of the journey. It is asked before: what may fit once the archive has restored what it keeps runs
//! behind that, what somebody accepts to be missing is left out, and for everything else the journey is refused
//! before its first write. Rows that an earlier statement may write are not asked about: there the body finds
//! out.

mod written;

use std::collections::BTreeSet;

use sternway_database::asked::{Asked, Misfits, Put, Rows, asked};
use sternway_database::failpoint::{Rule, holds};
use sternway_database::{Database, Dialect, Piece};
use sternway_model::archive::Entry;
use sternway_model::catalog::Digest;
use sternway_model::check::Check;
use sternway_model::plan::{Migrate, Plan};
use sternway_model::proof::{Definition, Facts, Fingerprint, ObjectName, differences};

use crate::completion::{asking_first, is_answered, schema_before};
use crate::shadow::{RehearsalError, Shadow, ShadowDatabase};
use written::{Written, waits};

/// Has the rows of a database asked whether they fit what a plan's bodies ask of them.
///
/// # Errors
/// When the journey cannot be made on a shadow, or the archive does not answer.
pub async fn with_rows_heeded(
    shadow: &Shadow,
    plan: Plan,
    database: &mut dyn Database,
) -> Result<Plan, RehearsalError> {
    let dialect = shadow.dialect();
    let asks = |step: &Migrate| {
        let pieces = dialect.pieces_inside(plan.body(step).unwrap_or_default());
        pieces.iter().any(|it| it.asks || dialect.put_from(&it.text).is_some())
    };
    if !holds(Rule::RowsAsked) || !plan.steps().any(asks) {
        return Ok(plan);
    }
    // On the heap, as it runs below a journey.
    shadow.tidied(Box::pin(heeded(shadow, plan, database)).await).await
}

async fn heeded(
    shadow: &Shadow,
    mut plan: Plan,
    database: &mut dyn Database,
) -> Result<Plan, RehearsalError> {
    let start = schema_before(shadow, &plan).await?;
    let entries = database.archive(&plan.app).await.map_err(RehearsalError::Archive)?;
    let mut written = Written::default();
    for index in 0..plan.steps().count() {
        let walk = Walk { shadow, plan: &plan, index, start: &start, entries: &entries };
        let mut unfit = walk.unfit(&mut written, &mut *database).await?;
        // What is completed is asked about already.
        unfit.retain(|it| !plan.checks.iter().any(|of| of.adds.as_ref() == Some(&it.object)));
        let Some(heeding) = walk.heeding(unfit).await? else { continue };
        let changed = heeding.body.map(|body| (Digest::of_body(&body), body));
        if let Some((hash, body)) = changed {
            let facts = shadow.dialect().facts(&body);
            plan.bodies.insert(hash, body);
            if let Some(step) = plan.migrations_mut().nth(index) {
                (step.hash, step.mode, step.destroys) = (hash, facts.mode, facts.destroys);
                step.deferred.clone_from(&heeding.behind);
                step.closed_by.extend(heeding.behind);
                step.unfit = heeding.without;
            }
        }
        plan.ask_before(heeding.refuses);
    }
    Ok(plan)
}

/// What some rows do not fit.
struct Unfit {
    /// The number of the statement.
    at: usize,
    check: Check,
    object: ObjectName,
    way_on: WayOn,
}

/// What may be done about rows that do not fit, but for putting them right.
#[derive(Clone, Copy, PartialEq, Eq)]
enum WayOn {
    /// They may fit once the archive has restored what waits for the step.
    Archive,
    /// The statement may be left out: it makes what they do not fit, and nothing else.
    LeftOut,
    None,
}

/// How a body heeds the rows.
struct Heeding {
    /// What runs; nothing where that is the body as it is.
    body: Option<String>,
    /// The statements that run behind what the archive restores.
    behind: Vec<String>,
    /// Those that do not run.
    without: Vec<String>,
    refuses: Vec<Check>,
}

/// The way through the body of a plan's migration number `index`.
struct Walk<'a> {
    shadow: &'a Shadow,
    plan: &'a Plan,
    index: usize,
    /// The schema before the journey.
    start: &'a Fingerprint,
    entries: &'a [Entry],
}

impl<'a> Walk<'a> {
    fn step(&self) -> Option<&'a Migrate> {
        self.plan.steps().nth(self.index)
    }

    fn pieces(&self) -> Vec<Piece> {
        let step = self.step().filter(|it| !it.is_there);
        let body = step.and_then(|it| self.plan.body(it)).unwrap_or_default();
        self.shadow.dialect().pieces_inside(body)
    }

    /// What the rows that are there do not fit.
    async fn unfit(
        &self,
        written: &mut Written,
        database: &mut dyn Database,
    ) -> Result<Vec<Unfit>, RehearsalError> {
        let (dialect, pieces) = (self.shadow.dialect(), self.pieces());
        let Some(step) = self.step() else { return Ok(Vec::new()) };
        let asks = |it: &Piece| it.asks || dialect.put_from(&it.text).is_some();
        let mut unfit = Vec::new();
        if written.all || !pieces.iter().any(asks) {
            // What it takes is seen at its end.
            pieces.iter().for_each(|it| written.by(dialect, &it.text, self.start));
            if !written.all && pieces.iter().any(|it| it.takes) {
                let mut end = ShadowDatabase::along(self.shadow, self.plan, self.index + 1).await?;
                written.without(self.start, &end.fingerprint().await?);
            }
            written.restored(self.entries, step, self.start);
            return Ok(unfit);
        }
        let mut there = ShadowDatabase::along(self.shadow, self.plan, self.index).await?;
        for (at, piece) in pieces.iter().enumerate() {
            let looks = asks(piece) && !written.all;
            let here = if looks { there.fingerprint().await? } else { Fingerprint::default() };
            match there.run_text(step, &piece.text).await {
                // It runs as one only.
                Err(RehearsalError::Journey(_)) => return Ok(Vec::new()),
                ran => ran?,
            }
            let now = match looks || piece.takes {
                true => there.fingerprint().await?,
                false => Fingerprint::default(),
            };
            if looks {
                let schemas = (&here, &now);
                for (object, misfits, message, way_on) in self.asked(piece, schemas, written) {
                    let sql = misfits.are_none();
                    if written.changed(&sql, self.start, &here)
                        || !is_answered(self.shadow, self.plan, &sql).await?
                    {
                        continue;
                    }
                    // Where they cannot be read, the body finds out.
                    let answer = database.query(&sql, 1).await.unwrap_or_default();
                    if answer.into_iter().next().flatten().as_deref() == Some("0") {
                        let check = asking_first(&object, &misfits, message);
                        unfit.extend(check.map(|check| Unfit { at, check, object, way_on }));
                    }
                }
            }
            written.by(dialect, &piece.text, self.start);
            if piece.takes {
                written.without(self.start, &now);
            }
        }
        written.restored(self.entries, step, self.start);
        Ok(unfit)
    }

    /// What a statement asks of rows, which leads from the schema `here` to `now`: of what object, which rows do
    /// not fit it, how that is said, and what may be done about them.
    fn asked(
        &self,
        piece: &Piece,
        (here, now): (&Fingerprint, &Fingerprint),
        written: &Written,
    ) -> Vec<(ObjectName, Misfits, String, WayOn)> {
        let (dialect, start) = (self.shadow.dialect(), self.start);
        let is_new = |it: &&ObjectName| it.kind == "column" && !start.objects.contains_key(*it);
        let new: BTreeSet<ObjectName> = now.objects.keys().filter(is_new).cloned().collect();
        let rows = Rows { dialect, start, clean: now, new: &new };
        let mut found = self.put(piece, here, &rows, written);
        let of_constraint = |it: &ObjectName| {
            let name = it.name.rsplit('.').next().unwrap_or(&it.name);
            let same = |other: &ObjectName| other.kind == "constraint" && other.name == name;
            it.kind == "index" && now.objects.keys().any(same)
        };
        for (object, definition) in &now.objects {
            let was = here.objects.get(object);
            if was == Some(definition) || of_constraint(object) {
                continue;
            }
            let settled = |table: &str| written.has_not(table);
            match asked(dialect, object, definition, here) {
                Asked::OfRows(table) if settled(&table) => {
                    let parent = match &definition.facts {
                        Facts::ForeignKey(key) => Some(key.parent.as_str()),
                        _ => None,
                    };
                    // One that got rows may have what is referred to.
                    if parent.is_some_and(|it| !settled(it) || written.grown.contains(it)) {
                        continue;
                    }
                    let is_column = object.kind == "column";
                    let of = parent.or(is_column.then_some(table.as_str()));
                    let comes = |table: &str| {
                        self.step().is_some_and(|step| waits(self.entries, step, table))
                    };
                    let way_on = match self.plan.keeps && of.is_some_and(comes) {
                        true => WayOn::Archive,
                        false => WayOn::LeftOut,
                    };
                    let misfits = rows.misfits(object, definition, &table);
                    let refuses = dialect.refuses_where().filter(|_| is_column);
                    let misfits = misfits.map(|it| it.only_where(refuses));
                    let message = match is_column {
                        true => format!(
                            "rows of `{table}` have no value for {object}, which each would need"
                        ),
                        false => {
                            format!(
                                "rows of `{table}` do not fit {}",
                                Self::said(object, definition)
                            )
                        }
                    };
                    found.extend(misfits.map(|it| (object.clone(), it, message, way_on)));
                }
                Asked::TooMuch if object.kind == "column" => {
                    let (Some(table), Some(was)) = (object.table.as_deref(), was) else { continue };
                    if !settled(table) || !start.objects.contains_key(object) {
                        continue;
                    }
                    let types = (was, definition);
                    let misfits = rows.misfits_of_type(object, types, &piece.text);
                    let refuses = dialect.refuses_where();
                    found.extend(misfits.map(|(it, of)| {
                        let message = format!(
                            "rows of `{table}` hold what {object} cannot take as {definition}, those where {of}"
                        );
                        (object.clone(), it.only_where(refuses), message, WayOn::LeftOut)
                    }));
                }
                _ => {}
            }
        }
        found
    }

    /// An object with what it is, where that is not in its name.
    fn said(object: &ObjectName, definition: &Definition) -> String {
        match definition.text.is_empty() {
            true => object.to_string(),
            false => format!("{object}: {definition}"),
        }
    }

    /// What a statement asks of the rows that it puts into a table which the journey has made.
    fn put(
        &self,
        piece: &Piece,
        here: &Fingerprint,
        rows: &Rows<'_>,
        written: &Written,
    ) -> Vec<(ObjectName, Misfits, String, WayOn)> {
        let (dialect, start) = (self.shadow.dialect(), self.start);
        let Some(put) = dialect.put_from(&piece.text) else { return Vec::new() };
        let Some(of) = dialect.of_rows(&piece.text) else { return Vec::new() };
        let is_new = |it: &&ObjectName| {
            it.kind == "table" && of.is_of(&it.name) && !start.objects.contains_key(*it)
        };
        let Some(table) = here.objects.keys().find(is_new) else { return Vec::new() };
        // The query reads what is there before the journey only where no statement has written to it.
        let query = put.query.to_lowercase();
        let tables = start.objects.keys().filter(|it| it.kind == "table");
        let mut read = tables.filter(|it| query.contains(&it.plain().to_lowercase()));
        if !read.all(|it| written.has_not(&it.name)) || written.changed(&put.query, start, here) {
            return Vec::new();
        }
        let all = here.column_order.get(table).cloned().unwrap_or_default();
        let columns = if put.columns.is_empty() { all } else { put.columns };
        let put = Put { columns: &columns, query: &put.query };
        let mut found = Vec::new();
        for (object, definition) in &here.objects {
            let asks = match (object.kind.as_str(), &definition.facts) {
                ("column", _) => {
                    definition.text.contains(" not null")
                        && columns.iter().any(|it| it.eq_ignore_ascii_case(&object.name))
                }
                (_, Facts::ForeignKey(key)) => {
                    start.objects.contains_key(&ObjectName::new("table", &key.parent))
                        && written.has_not(&key.parent)
                }
                (kind, _) => ["constraint", "check"].contains(&kind),
            };
            if !asks || object.table.as_deref() != Some(table.name.as_str()) {
                continue;
            }
            let refuses = dialect.refuses_where().filter(|_| object.kind == "column");
            let misfits = rows.misfits_among(object, definition, put);
            let first = piece.text.trim().lines().next().unwrap_or_default();
            let what = Self::said(object, definition);
            let message = format!("rows that `{first}` puts there do not fit {what}");
            let misfits = misfits.map(|it| it.only_where(refuses));
            found.extend(misfits.map(|it| (object.clone(), it, message, WayOn::None)));
        }
        found
    }

    /// How the body heeds what does not fit; nothing where all does.
    async fn heeding(&self, unfit: Vec<Unfit>) -> Result<Option<Heeding>, RehearsalError> {
        if unfit.is_empty() {
            return Ok(None);
        }
        let (mut behind, mut without, mut refused) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
        for it in unfit {
            let (alone, none) = (BTreeSet::from([it.at]), BTreeSet::new());
            let can_come = it.way_on == WayOn::Archive && self.fits(&alone, &none, &[]).await?;
            let can_go =
                it.way_on != WayOn::None && self.fits(&none, &alone, &[&it.object]).await?;
            match (can_come, can_go && self.plan.accepts(&it.object)) {
                (true, _) => drop(behind.insert(it.at)),
                (_, true) => drop(without.insert(it.at)),
                _ => refused.push(Check { firm: !can_go, ..it.check }),
            }
        }
        let texts = |of: &BTreeSet<usize>| self.texts(|at| of.contains(&at));
        let (behind_texts, without_texts) = (texts(&behind), texts(&without));
        let is_changed = !behind.is_empty() || !without.is_empty();
        let runs = self.texts(|at| !behind.contains(&at) && !without.contains(&at));
        Ok(Some(Heeding {
            body: is_changed.then(|| Dialect::joined(&runs)),
            behind: behind_texts,
            without: without_texts,
            refuses: refused,
        }))
    }

    fn texts(&self, of: impl Fn(usize) -> bool) -> Vec<String> {
        let pieces = self.pieces().into_iter().enumerate();
        pieces.filter(|(at, _)| of(*at)).map(|(_, it)| it.text).collect()
    }

    /// Whether the body leads to where it should with some statements behind it and `without` others, but for
    /// what is `missing` then.
    async fn fits(
        &self,
        behind: &BTreeSet<usize>,
        without: &BTreeSet<usize>,
        missing: &[&ObjectName],
    ) -> Result<bool, RehearsalError> {
        let Some(step) = self.step() else { return Ok(false) };
        let body = self.plan.body(step).unwrap_or_default();
        if self.shadow.dialect().statements(body).is_none() {
            return Ok(false);
        }
        let end = ShadowDatabase::along(self.shadow, self.plan, self.index + 1).await;
        let end = end?.fingerprint().await?;
        let runs = self.texts(|at| !behind.contains(&at) && !without.contains(&at));
        let mut closed_by = step.closed_by.clone();
        closed_by.extend(self.texts(|at| behind.contains(&at)));
        let step = Migrate { closed_by, ..step.clone() };
        let mut there = ShadowDatabase::along(self.shadow, self.plan, self.index).await?;
        match there.run_instead(&step, &Dialect::joined(&runs)).await {
            Err(RehearsalError::Journey(_)) => return Ok(false),
            ran => ran?,
        }
        let now = there.fingerprint().await?;
        let is_missing = |object: &ObjectName| {
            let name = object.name.rsplit('.').next().unwrap_or(&object.name);
            missing.iter().any(|it| *it == object || it.name == name)
        };
        let mut differ = differences(&end, &now).into_iter();
        Ok(differ.all(|it| !without.is_empty() && is_missing(it.object())))
    }
}
