//! Restoring what was kept, once the migration has been applied the other way again.
//!
//! Columns that other tables refer to come first, so that no row attaches itself to a parent that has
//! another key in a moment; then tables and deleted rows, all in one statement; then rows that were
//! changed; then the values of all other columns; then the positions of sequences. Triggers and rules
//! of the user's sleep meanwhile: the rows are to be what they were. What does not fit stays in the archive,
//! with the reason.
//!
//! Nothing that is newer is overwritten, by the rules of [`crate::archive`]: the newest batch comes first,
//! and an older one fills only what that has nothing for; what a body has just computed from what has
//! changed since stays; where no body has just run, a value goes back only where nothing is.

mod columns;

use std::cmp::Reverse;
use std::collections::BTreeMap;

use sternway_model::archive::{Conflict, Restoration, Restored};
use sternway_model::effect::Lost;

use self::columns::{before_rows, columns, retyped};
use super::conflicts::{Live, LiveColumn, Part, attempt, inserts, live, put};
use super::{AFTER, CONFLICT, KeptColumn, Stored, Which, stored};
use crate::archive::reason::{self, ALIKE, CHANGED, DELETED, LOST_TRACK, TAKEN as THERE};
use crate::failpoint::{Rule, holds};
use crate::origin::{Filled, Origin};
use crate::port::DatabaseError;
use crate::postgres::effects::{Oid, json};
use crate::postgres::statements;
use crate::postgres::{Postgres, literal};

const DOING: &str = "restore what the archive keeps";

/// What has made the rows that are there.
#[derive(Clone, Copy)]
pub(in crate::postgres) enum After<'a> {
    /// A body that has just run, and in the transaction that goes on.
    Body(&'a str),
    /// A body that has run, and has committed.
    Committed(&'a str),
    /// Anybody, since the other half ran.
    Anybody,
}

/// An entry, and the table that it goes back to.
struct Target<'a> {
    stored: &'a Stored,
    live: &'a Live,
    after: After<'a>,
    /// Whether a later batch has rows of its table too: then what is there is newer.
    older: bool,
}

impl<'a> Target<'a> {
    /// An entry by itself.
    fn of(stored: &'a Stored, live: &'a Live) -> Target<'a> {
        Target { stored, live, after: After::Anybody, older: false }
    }

    /// A kept column as the table has it.
    fn value(&self, column: &KeptColumn) -> String {
        let name = Postgres::quote(&column.name);
        let live = self.live.columns.iter().find(|it| it.name == column.name);
        match live {
            Some(live) if live.type_name == column.type_name && !column.text => format!("k.{name}"),
            Some(live) => format!("CAST(k.{name}::text AS {})", live.type_name),
            None => format!("k.{name}"),
        }
    }

    /// The table, where its own rows are meant.
    fn rows(&self) -> String {
        self.live.rows(&self.stored.table())
    }

    fn kept(&self, name: &str) -> Option<&KeptColumn> {
        self.stored.detail.columns.iter().find(|it| it.name == name)
    }

    /// That a row `t` of the table has the key of the kept row `k`; `None` where there is no key, and
    /// where the table has lost it.
    fn key(&self) -> Option<String> {
        let key = &self.stored.detail.key;
        if !key.iter().all(|name| self.live.columns.iter().any(|it| it.name == *name)) {
            return None;
        }
        let same = key.iter().map(|name| {
            let value = self.value(self.kept(name)?);
            Some(format!("t.{} = {value}", Postgres::quote(name)))
        });
        let same: Option<Vec<String>> = same.collect();
        same.filter(|it| !it.is_empty()).map(|it| it.join(" AND "))
    }

    /// Where the body takes the values of a column from; `None` where none has just run.
    fn origin(&self, column: &str, new: &[String]) -> Option<Origin> {
        let (After::Body(body) | After::Committed(body)) = self.after else { return None };
        let detail = &self.stored.detail;
        let columns: Vec<String> = self.live.columns.iter().map(|it| it.name.clone()).collect();
        let filled = Filled { table: &detail.table, columns: &columns, new };
        Some(statements::origin(body, &filled, column))
    }

    /// The condition under which a value of a lost column goes over what the row `t` has there, unless
    /// that is any. `unmoved` is the one under which columns are what they were when it was kept.
    async fn fits(
        &self,
        postgres: &mut Postgres,
        column: &LiveColumn,
        new: &[String],
        unmoved: &(dyn Fn(Option<&[String]>) -> String + Sync),
    ) -> Result<Option<String>, DatabaseError> {
        Ok(match self.origin(&column.name, new) {
            None if !holds(Rule::NewerStays) => None,
            Some(_) if !holds(Rule::ComputedStays) => None,
            Some(Origin::Constant) => None,
            Some(Origin::Row(inputs)) => {
                let inputs: Vec<String> = inputs.into_iter().collect();
                Some(unmoved(Some(&inputs)))
            }
            Some(Origin::Hidden) if self.is_uniform(postgres, column).await? => None,
            Some(Origin::Hidden | Origin::Elsewhere) => {
                Some(format!("{} OR {}", column.blank(), unmoved(None)))
            }
            None => Some(column.blank()),
        })
    }

    /// Whether all rows have the same in a column, and there are several.
    async fn is_uniform(
        &self,
        postgres: &mut Postgres,
        column: &LiveColumn,
    ) -> Result<bool, DatabaseError> {
        let sql = format!(
            "SELECT pg_catalog.to_json(pg_catalog.count(*) > 1 AND pg_catalog.count(DISTINCT t.{}::text) < 2)::text
             FROM {} AS t",
            Postgres::quote(&column.name),
            self.rows()
        );
        json(postgres, DOING, sql).await
    }

    /// That the row `t` has the value of the kept row `k` in a column.
    fn has(&self, name: &str) -> Option<String> {
        let value = self.value(self.kept(name)?);
        let name = Postgres::quote(name);
        Some(format!("t.{name}::text IS NOT DISTINCT FROM ({value})::text"))
    }

    /// The columns that can be written.
    fn written(&self) -> impl Iterator<Item = &KeptColumn> {
        let live = |name: &str| self.live.columns.iter().find(|it| it.name == name);
        let columns = self.stored.detail.columns.iter();
        columns.filter(move |it| live(&it.name).is_some_and(|live| !live.generated))
    }

    /// That all that was kept is the same in `t`.
    fn same(&self) -> String {
        let same = self.written().map(|it| {
            let name = Postgres::quote(&it.name);
            format!("t.{name}::text COLLATE pg_catalog.\"C\" IS NOT DISTINCT FROM k.{name}::text")
        });
        same.chain(["true".to_owned()]).collect::<Vec<_>>().join(" AND ")
    }

    /// The insertion of kept rows at which `filter` holds.
    fn insertion<'b>(&'b self, filter: &str) -> Part<'b> {
        let (stored, live) = (self.stored, self.live);
        let columns: Vec<&KeptColumn> = self.written().collect();
        let names = columns.iter().map(|it| Postgres::quote(&it.name)).collect::<Vec<_>>();
        let values = columns.iter().map(|it| self.value(it)).collect::<Vec<_>>();
        let store = stored.store();
        let all = stored.detail.columns.iter();
        let all = all.map(|it| format!(", {} AS {}", self.value(it), Postgres::quote(&it.name)));
        let all: String = all.collect();
        let candidates = format!(
            "SELECT k.ctid AS sternway_place, NULL::oid AS sternway_part, NULL::tid AS sternway_row{all} FROM {store} AS k WHERE {filter}"
        );
        let statement = match columns.is_empty() {
            // A table without columns has rows all the same.
            true => {
                format!("INSERT INTO {} SELECT FROM {store} AS k WHERE {filter}", stored.table())
            }
            false => format!(
                "INSERT INTO {} ({}) OVERRIDING SYSTEM VALUE SELECT {} FROM {store} AS k WHERE {filter}",
                stored.table(),
                names.join(", "),
                values.join(", ")
            ),
        };
        Part { stored, live, statement, candidates, inserts: true, changes: Vec::new() }
    }

    /// The change of rows that are there: of `columns`, each with the expression that it gets, where
    /// `filter` holds for the kept row `k` and the row `t`.
    fn change<'b>(&'b self, columns: &[(String, String)], filter: &str) -> Part<'b> {
        let (stored, live) = (self.stored, self.live);
        let (store, rows) = (stored.store(), self.rows());
        let list =
            columns.iter().map(|(name, value)| format!("{} = {value}", Postgres::quote(name)));
        let list = list.collect::<Vec<_>>().join(", ");
        let all = self.live.columns.iter().map(|it| {
            let value = columns.iter().find(|(name, _)| *name == it.name);
            let name = Postgres::quote(&it.name);
            format!(", {} AS {name}", value.map_or(format!("t.{name}"), |(_, value)| value.clone()))
        });
        let all: String = all.collect();
        Part {
            stored,
            live,
            statement: format!("UPDATE {rows} AS t SET {list} FROM {store} AS k WHERE {filter}"),
            candidates: format!(
                "SELECT k.ctid AS sternway_place, t.tableoid AS sternway_part, t.ctid AS sternway_row{all}
                 FROM {store} AS k, {rows} AS t WHERE {filter}"
            ),
            inserts: false,
            changes: columns.iter().map(|(name, _)| name.clone()).collect(),
        }
    }

    /// How many kept rows have no reason to stay.
    async fn waiting(&self, postgres: &mut Postgres) -> Result<u64, DatabaseError> {
        let sql = format!(
            "SELECT pg_catalog.to_json(pg_catalog.count(*))::text FROM {} AS k WHERE k.{CONFLICT} IS NULL",
            self.stored.store()
        );
        json(postgres, DOING, sql).await
    }

    /// Gives a reason to kept rows.
    async fn mark(
        &self,
        postgres: &mut Postgres,
        reason: &str,
        filter: &str,
    ) -> Result<u64, DatabaseError> {
        let (store, reason) = (self.stored.store(), literal(reason));
        let sql = format!(
            "UPDATE {store} AS k SET {CONFLICT} = {reason} WHERE k.{CONFLICT} IS NULL AND {filter}"
        );
        postgres.count(DOING, sql).await
    }
}

/// What takes the reasons away that an earlier attempt has given kept rows.
pub(in crate::postgres) fn forget_reasons(entries: &[Stored]) -> String {
    let forget = |it: &Stored| {
        format!("UPDATE {} SET {CONFLICT} = NULL WHERE {CONFLICT} IS NOT NULL;", it.store())
    };
    entries.iter().map(forget).collect()
}

/// Looks, before the body runs, at which of the changed rows still have what was made of them.
pub(in crate::postgres) async fn before(
    postgres: &mut Postgres,
    entries: &[Stored],
) -> Result<(), DatabaseError> {
    for stored in entries.iter().filter(|it| it.detail.retyped) {
        if let Some(live) = live(postgres, stored).await? {
            retyped(postgres, &Target::of(stored, &live)).await?;
        }
    }
    for stored in entries.iter().filter(|it| matches!(it.entry.lost, Lost::Table { .. })) {
        let Some(live) = live(postgres, stored).await? else { continue };
        let target = Target::of(stored, &live);
        let Some(key) = target.key() else { continue };
        let there = format!("EXISTS (SELECT FROM {} AS t WHERE {key})", target.rows());
        target.mark(postgres, &there_in(live.oid), &there).await?;
    }
    for stored in entries.iter().filter(|it| matches!(it.entry.lost, Lost::Rows { .. })) {
        let Some(live) = live(postgres, stored).await? else { continue };
        let target = Target::of(stored, &live);
        let Some(key) = target.key() else { continue };
        let rows = target.rows();
        let missing =
            format!("k.{AFTER} IS NOT NULL AND NOT EXISTS (SELECT FROM {rows} AS t WHERE {key})");
        target.mark(postgres, DELETED, &missing).await?;
        let here: Vec<String> = stored
            .detail
            .lost
            .iter()
            .filter(|name| live.columns.iter().any(|it| it.name == **name))
            .map(|name| format!("({}, t.{}::text)", literal(name), Postgres::quote(name)))
            .collect();
        if here.is_empty() {
            continue;
        }
        let changed = format!(
            "k.{AFTER} IS NOT NULL AND EXISTS (
                SELECT FROM {rows} AS t, pg_catalog.jsonb_each_text(k.{AFTER}) AS a
                WHERE {key} AND a.value IS DISTINCT FROM
                    (SELECT v.value FROM (VALUES {}) AS v(name, value) WHERE v.name = a.key))",
            here.join(", ")
        );
        target.mark(postgres, CHANGED, &changed).await?;
    }
    Ok(())
}

/// Restores entries, as far as they fit: those that were made together together, and the newest first.
pub(in crate::postgres) async fn restore(
    postgres: &mut Postgres,
    entries: &[Stored],
    after: After<'_>,
) -> Result<Vec<Restoration>, DatabaseError> {
    let mut batches: BTreeMap<(Option<i64>, Option<&str>), Vec<&Stored>> = BTreeMap::new();
    for it in entries {
        batches.entry((it.entry.run, it.detail.batch.as_deref())).or_default().push(it);
    }
    let mut batches: Vec<Vec<&Stored>> = batches.into_values().collect();
    batches.sort_by_key(|batch| Reverse(batch.iter().map(|it| it.entry.id).max()));
    // The tables that were kept whole, to know which row is which.
    let whole = match batches.len() > 1 {
        true => {
            let app = app_of(postgres, entries).await?;
            stored(postgres, Which::Of(&app)).await?
        }
        false => Vec::new(),
    };
    let mut newer: Vec<&Stored> = Vec::new();
    for batch in &batches {
        for old in batch.iter().filter(|_| holds(Rule::NewerStays)) {
            for new in &newer {
                supersede(postgres, old, new, &whole).await?;
            }
        }
        newer.extend(batch.iter().copied());
    }
    let (mut outcomes, mut newer) = (Vec::new(), Vec::new());
    for batch in batches {
        outcomes.extend(restore_together(postgres, &batch, after, &newer).await?);
        newer.extend(batch.iter().map(|it| it.table()));
    }
    Ok(outcomes)
}

/// The application that entries are of.
async fn app_of(postgres: &mut Postgres, entries: &[Stored]) -> Result<String, DatabaseError> {
    let id = entries.first().map_or(0, |it| it.entry.id);
    let sql = format!("SELECT pg_catalog.to_json(app)::text FROM sternway.archive WHERE id = {id}");
    json(postgres, DOING, sql).await
}

/// Keeps an older entry from what a newer one has: asked before either of them is restored.
async fn supersede(
    postgres: &mut Postgres,
    old: &Stored,
    new: &Stored,
    whole: &[Stored],
) -> Result<(), DatabaseError> {
    let kind = std::mem::discriminant(&old.entry.lost) == std::mem::discriminant(&new.entry.lost);
    let same = kind && old.table() == new.table();
    let Some(live) = live(postgres, old).await?.filter(|_| same) else { return Ok(()) };
    let (older, newer) = (Target::of(old, &live), Target::of(new, &live));
    let (key, store) = (&old.detail.key, new.store());
    let columns = matches!(old.entry.lost, Lost::Column { .. });
    let other = |name: &str| format!("j.{}::text", Postgres::quote(name));
    let is = key.iter().map(|it| format!("{} = k.{}::text", other(it), Postgres::quote(it)));
    let is = is.collect::<Vec<_>>().join(" AND ");
    let shared = old.detail.lost.iter().filter(|it| new.detail.lost.contains(it));
    // Where the table went in between, a row with the same key is another one.
    let went = |it: &Stored| {
        let between = old.entry.id < it.entry.id && it.entry.id < new.entry.id;
        between && matches!(it.entry.lost, Lost::Table { .. }) && it.table() == old.table()
    };
    let unknown = key.is_empty() || *key != new.detail.key;
    let marks = match (unknown || columns && whole.iter().any(went), columns) {
        // Nobody can tell which are newer.
        (true, true) if shared.clone().next().is_some() => vec![(reason::NEWER, "true".to_owned())],
        (true, _) => Vec::new(),
        (false, false) => {
            vec![(reason::NEWER, format!("EXISTS (SELECT FROM {store} AS j WHERE {is})"))]
        }
        (false, true) => {
            let there = |it: &&String| live.columns.iter().any(|live| live.name == **it);
            let Some(row) = older.key() else { return Ok(()) };
            // What the newer one has is what the row has anyway: then nobody has written to it.
            let differs = shared.filter(there).filter_map(|it| {
                let value = newer.value(newer.kept(it)?).replacen("k.", "j.", 1);
                Some(format!("t.{}::text IS DISTINCT FROM ({value})::text", Postgres::quote(it)))
            });
            let differs = differs.chain(["false".to_owned()]).collect::<Vec<_>>().join(" OR ");
            let (from, rows) = (format!("SELECT FROM {store} AS j"), older.rows());
            vec![
                (DELETED, format!("NOT EXISTS ({from} WHERE {is})")),
                (
                    reason::NEWER,
                    format!("EXISTS ({from}, {rows} AS t WHERE {is} AND {row} AND ({differs}))"),
                ),
            ]
        }
    };
    let store = old.store();
    for (why, condition) in marks {
        let why = literal(why);
        let sql = format!(
            "UPDATE {store} AS k SET {CONFLICT} = {why}
             WHERE (k.{CONFLICT} IS NULL OR k.{CONFLICT} LIKE {}) AND {condition}",
            literal(&format!("{THERE} (%"))
        );
        postgres.run(DOING, sql).await?;
    }
    Ok(())
}

async fn restore_together(
    postgres: &mut Postgres,
    entries: &[&Stored],
    after: After<'_>,
    newer: &[String],
) -> Result<Vec<Restoration>, DatabaseError> {
    postgres.run(DOING, "SET CONSTRAINTS ALL IMMEDIATE".to_owned()).await?;
    let mut lives: BTreeMap<i64, Live> = BTreeMap::new();
    for stored in entries {
        if matches!(stored.entry.lost, Lost::Sequence { .. }) {
            continue;
        }
        match live(postgres, stored).await? {
            Some(live) => drop(lives.insert(stored.entry.id, live)),
            None => {
                there_before(postgres, stored, None).await?;
                absent(postgres, stored, reason::NO_TABLE, "true").await?;
            }
        }
    }
    let targets: Vec<Target<'_>> = entries
        .iter()
        .filter_map(|stored| {
            let older = newer.contains(&stored.table()) && holds(Rule::NewerStays);
            Some(Target { stored, live: lives.get(&stored.entry.id)?, after, older })
        })
        .collect();
    let quiet = quiet(&targets);
    postgres.run(DOING, quiet.0).await?;
    for target in targets.iter().filter(|it| matches!(it.stored.entry.lost, Lost::Table { .. })) {
        there_before(postgres, target.stored, Some(target)).await?;
    }
    for target in &targets {
        missing_columns(postgres, target).await?;
    }
    let (parents, others): (Vec<&Target<'_>>, Vec<&Target<'_>>) =
        targets.iter().partition(|it| before_rows(it, &targets));
    for target in parents {
        columns(postgres, target, &targets).await?;
    }
    insert(postgres, &targets).await?;
    for target in others {
        match target.stored.entry.lost {
            Lost::Rows { .. } => change(postgres, target).await?,
            Lost::Column { .. } => columns(postgres, target, &targets).await?,
            Lost::Table { .. } | Lost::Sequence { .. } => {}
        }
    }
    for stored in entries.iter().filter(|it| matches!(it.entry.lost, Lost::Sequence { .. })) {
        sequence(postgres, stored).await?;
    }
    postgres.run(DOING, quiet.1).await?;
    refresh(postgres, &targets).await?;
    let mut outcomes = Vec::new();
    for stored in entries {
        outcomes.push(stored.put_back(close(postgres, stored, after).await?));
    }
    Ok(outcomes)
}

/// Gives a reason to all kept rows of an entry that have none.
async fn absent(
    postgres: &mut Postgres,
    stored: &Stored,
    reason: &str,
    filter: &str,
) -> Result<(), DatabaseError> {
    let (store, reason) = (stored.store(), literal(reason));
    let sql = format!(
        "UPDATE {store} AS k SET {CONFLICT} = {reason} WHERE {CONFLICT} IS NULL AND {filter}"
    );
    postgres.run(DOING, sql).await
}

/// What says of a kept row, while the body runs, that one with its key was there before it.
fn there_in(table: Oid) -> String {
    format!("{THERE} ({table})")
}

/// Judges the rows with whose keys there were rows before the body ran: those are somebody's, and not
/// what the body made, if they are in the same table still.
async fn there_before(
    postgres: &mut Postgres,
    stored: &Stored,
    target: Option<&Target<'_>>,
) -> Result<(), DatabaseError> {
    let stays = target.and_then(|it| {
        let (key, rows, same) = (it.key()?, it.rows(), it.same());
        let other = format!("EXISTS (SELECT FROM {rows} AS t WHERE {key} AND NOT ({same}))");
        Some(format!("k.{CONFLICT} = {} AND {other}", literal(&there_in(it.live.oid))))
    });
    let sql = format!(
        "UPDATE {} AS k SET {CONFLICT} = CASE WHEN {} THEN {} END WHERE k.{CONFLICT} LIKE {}",
        stored.store(),
        stays.unwrap_or("false".to_owned()),
        literal(THERE),
        literal(&format!("{THERE} (%")),
    );
    postgres.run(DOING, sql).await
}

/// What puts triggers, rules, forced row-level security and the server's own right to number rows to sleep,
/// and what wakes them.
fn quiet(targets: &[Target<'_>]) -> (String, String) {
    let (mut sleep, mut wake) = (String::new(), String::new());
    let mut seen: Vec<Oid> = Vec::new();
    for target in targets {
        if seen.contains(&target.live.oid) {
            continue;
        }
        seen.push(target.live.oid);
        let table = target.stored.table();
        let triggers = target.live.triggers.iter().map(|it| ("TRIGGER", it));
        for (kind, (name, enabled)) in
            triggers.chain(target.live.rules.iter().map(|it| ("RULE", it)))
        {
            let name = Postgres::quote(name);
            let when = match enabled {
                'A' => "ENABLE ALWAYS",
                'R' => "ENABLE REPLICA",
                _ => "ENABLE",
            };
            sleep.push_str(&format!("ALTER TABLE {table} DISABLE {kind} {name};"));
            wake.push_str(&format!("ALTER TABLE {table} {when} {kind} {name};"));
        }
        for column in target.live.columns.iter().filter(|it| it.always) {
            let name = Postgres::quote(&column.name);
            let set = format!("ALTER TABLE {table} ALTER COLUMN {name} SET GENERATED");
            sleep.push_str(&format!("{set} BY DEFAULT;"));
            wake.push_str(&format!("{set} ALWAYS;"));
        }
        if target.live.forced {
            sleep.push_str(&format!("ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY;"));
            wake.push_str(&format!("ALTER TABLE {table} FORCE ROW LEVEL SECURITY;"));
        }
    }
    // Rather an error than rows that a policy hides.
    sleep.push_str("SET LOCAL row_security = off");
    wake.push_str("SET LOCAL row_security = on");
    (sleep, wake)
}

/// Rows that have a value for which there is no column do not fit.
async fn missing_columns(
    postgres: &mut Postgres,
    target: &Target<'_>,
) -> Result<(), DatabaseError> {
    let there = |name: &str| target.live.columns.iter().any(|it| it.name == name);
    let Target { stored, .. } = target;
    let wanted = |it: &&KeptColumn| match stored.entry.lost {
        // Without its key nobody can tell whose a value is.
        Lost::Column { .. } => {
            stored.detail.lost.contains(&it.name) || stored.detail.key.contains(&it.name)
        }
        _ => !it.generated,
    };
    for column in stored.detail.columns.iter().filter(wanted).filter(|it| !there(&it.name)) {
        let reason = format!("column {} is not there", column.name);
        let has = format!("k.{} IS NOT NULL", Postgres::quote(&column.name));
        target.mark(postgres, &reason, &has).await?;
    }
    Ok(())
}

/// Inserts the rows of tables, and those that were deleted.
async fn insert(postgres: &mut Postgres, targets: &[Target<'_>]) -> Result<(), DatabaseError> {
    let targets = targets.iter().filter(|it| inserts(&it.stored.entry.lost));
    let targets: Vec<&Target<'_>> = targets.collect();
    let mut replaced = Vec::new();
    for target in &targets {
        seeds_give_way(postgres, target).await?;
        made_anew(postgres, target).await?;
        if already(postgres, target).await? > 0 {
            replaced.push(*target);
        }
    }
    let filter = |target: &Target<'_>| match target.stored.entry.lost {
        Lost::Rows { .. } => format!("k.{CONFLICT} IS NULL AND k.{AFTER} IS NULL"),
        _ => format!("k.{CONFLICT} IS NULL"),
    };
    let parts: Vec<Part<'_>> = targets.iter().map(|it| it.insertion(&filter(it))).collect();
    put(postgres, &parts).await?;
    for target in replaced {
        let Some(key) = target.key() else { continue };
        let key_columns = &target.stored.detail.key;
        let columns = target.written().filter(|it| !key_columns.contains(&it.name));
        let columns: Vec<(String, String)> =
            columns.map(|it| (it.name.clone(), target.value(it))).collect();
        if !columns.is_empty() {
            let filter = format!("{key} AND k.{CONFLICT} = ''");
            put(postgres, &[target.change(&columns, &filter)]).await?;
        }
    }
    Ok(())
}

/// Makes of the rows that the body has just put into a table the kept ones that have the same in another
/// key than the primary one, such as a name: the body has given them a number of its own.
async fn seeds_give_way(postgres: &mut Postgres, target: &Target<'_>) -> Result<(), DatabaseError> {
    let detail = &target.stored.detail;
    let whole = matches!(target.stored.entry.lost, Lost::Table { .. });
    let whole = whole && !detail.carries && !target.older;
    let Some(key) = target.key().filter(|_| whole) else { return Ok(()) };
    let (store, rows) = (target.stored.store(), target.rows());
    let set =
        target.written().map(|it| format!("{} = {}", Postgres::quote(&it.name), target.value(it)));
    let set = set.collect::<Vec<_>>().join(", ");
    for unique in target.live.uniques_beside(&detail.key) {
        let same = unique.iter().map(|name| {
            Some(format!("t.{} = {}", Postgres::quote(name), target.value(target.kept(name)?)))
        });
        let Some(same) = same.collect::<Option<Vec<String>>>() else { continue };
        let sql = format!(
            "UPDATE {rows} AS t SET {set} FROM {store} AS k
             WHERE k.{CONFLICT} IS NULL AND {same} AND {OURS}
               AND NOT EXISTS (SELECT FROM (SELECT * FROM {rows}) AS t WHERE {key})",
            same = same.join(" AND ")
        );
        // Where others refer to such a row, it stays, and the kept one is told of.
        let _ = attempt(postgres, sql).await?;
    }
    Ok(())
}

/// That the row `t` is of this transaction: what can be seen, and is of one that has not ended, is.
const OURS: &str = "CASE WHEN pg_catalog.age(t.xmin) <= 0
    THEN pg_catalog.txid_status(pg_catalog.txid_current() - pg_catalog.age(t.xmin)) = 'in progress' END";

/// Looks for kept rows that the body has made anew: that are there, but for what a row gets by itself,
/// under another key.
async fn made_anew(postgres: &mut Postgres, target: &Target<'_>) -> Result<(), DatabaseError> {
    let (store, rows) = (target.stored.store(), target.rows());
    let own = |name: &str| target.live.columns.iter().any(|it| it.name == name && it.own);
    let may = target.stored.detail.key.iter().any(|it| own(it)) && holds(Rule::OnlyOnce);
    let Some(key) = target.key().filter(|_| may) else {
        return Ok(());
    };
    let given = target.written().filter(|it| !own(&it.name));
    let given: Vec<&str> = given.map(|it| it.name.as_str()).collect();
    if given.is_empty() {
        return Ok(());
    }
    let row = |of: &str| {
        let cells = given.iter().map(|it| format!("{of}.{}::text", Postgres::quote(it)));
        format!("ROW({})::text", cells.collect::<Vec<_>>().join(", "))
    };
    let (old, new) = (row("k"), row("t"));
    let ours = if matches!(target.after, After::Body(_)) { OURS } else { "true" };
    let deleted = match target.stored.entry.lost {
        Lost::Rows { .. } => format!("k.{AFTER} IS NULL"),
        _ => "true".to_owned(),
    };
    let sql = format!(
        "WITH here AS MATERIALIZED (
            SELECT value, pg_catalog.row_number() OVER (PARTITION BY value) AS number FROM (
                SELECT {new} AS value FROM {rows} AS t
                WHERE {ours} AND NOT EXISTS (SELECT FROM {store} AS k WHERE {key})) AS t),
         kept AS (
            SELECT place, value, pg_catalog.row_number() OVER (PARTITION BY value ORDER BY place) AS number FROM (
                SELECT k.ctid AS place, {old} AS value FROM {store} AS k
                WHERE k.{CONFLICT} IS NULL AND {deleted} AND EXISTS (SELECT FROM here)
                  AND NOT EXISTS (SELECT FROM {rows} AS t WHERE {key})) AS k)
         UPDATE {store} AS k SET {CONFLICT} = {anew} FROM kept JOIN here USING (value, number)
         WHERE kept.place = k.ctid",
        anew = literal(reason::ANEW)
    );
    postgres.run(DOING, sql).await
}

/// Looks for kept rows that are there already: the body may have made them. Those that are the same
/// are back. Returns how many have another content and are to be replaced; their reason is empty.
async fn already(postgres: &mut Postgres, target: &Target<'_>) -> Result<u64, DatabaseError> {
    let mut replaced = 0;
    let (store, rows) = (target.stored.store(), target.rows());
    let whole = matches!(target.stored.entry.lost, Lost::Table { .. });
    let uncertain = target.stored.detail.uncertain;
    let empty = format!("SELECT pg_catalog.to_json(NOT EXISTS (SELECT FROM {rows}))::text");
    if json::<bool>(postgres, DOING, empty).await? {
        if uncertain {
            target.mark(postgres, LOST_TRACK, &format!("k.{AFTER} IS NULL")).await?;
        }
        return Ok(replaced);
    }
    let deleted = if whole { "true".to_owned() } else { format!("k.{AFTER} IS NULL") };
    match target.key() {
        Some(key) => {
            let same = target.same();
            let sql = format!(
                "DELETE FROM {store} AS k USING {rows} AS t
                 WHERE k.{CONFLICT} IS NULL AND {deleted} AND {key} AND {same}"
            );
            postgres.run(DOING, sql).await?;
            let there = format!("{deleted} AND EXISTS (SELECT FROM {rows} AS t WHERE {key})");
            // What the body carried over is newer than what was kept.
            match whole && !target.stored.detail.carries && !target.older {
                true => replaced = target.mark(postgres, "", &there).await?,
                false => drop(target.mark(postgres, THERE, &there).await?),
            }
        }
        None if whole || uncertain => {
            let list: Vec<&KeptColumn> = target.written().collect();
            let row = |of: &str| {
                let cells =
                    list.iter().map(|it| format!("{of}.{}::text", Postgres::quote(&it.name)));
                format!("ROW({})::text", cells.collect::<Vec<_>>().join(", "))
            };
            let (old, new) = (row("k"), row("t"));
            let sql = format!(
                "DELETE FROM {store} WHERE ctid IN (
                    SELECT place FROM
                        (SELECT k.ctid AS place, {old} AS value,
                                pg_catalog.row_number() OVER (PARTITION BY {old}) AS number
                         FROM {store} AS k WHERE k.{CONFLICT} IS NULL AND {deleted}) AS k
                    JOIN (SELECT {new} AS value, pg_catalog.row_number() OVER (PARTITION BY {new}) AS number
                          FROM {rows} AS t) AS t USING (value, number))"
            );
            postgres.run(DOING, sql).await?;
        }
        None => {}
    }
    if uncertain {
        target.mark(postgres, LOST_TRACK, &deleted).await?;
    }
    Ok(replaced)
}

/// Gives rows that the body changed what they had before.
async fn change(postgres: &mut Postgres, target: &Target<'_>) -> Result<(), DatabaseError> {
    let Some(key) = target.key() else { return Ok(()) };
    let there = |name: &str| target.live.columns.iter().any(|it| it.name == name && !it.generated);
    let (mut columns, mut stay) = (Vec::new(), Vec::new());
    for name in target.stored.detail.lost.iter().filter(|it| there(it)) {
        let live = target.live.columns.iter().find(|it| it.name == *name);
        let (Some(kept), Some(live), Some(has)) = (target.kept(name), live, target.has(name))
        else {
            continue;
        };
        let (value, text, quoted) = (target.value(kept), literal(name), Postgres::quote(name));
        let mut changed = format!("pg_catalog.jsonb_exists(k.{AFTER}, {text})");
        let fits = target.fits(postgres, live, &[], &|inputs| target.unmoved(inputs)).await?;
        if let Some(fits) = fits {
            // What the other half leaves alone is not computed.
            let left = format!("t.{quoted}::text IS NOT DISTINCT FROM k.{AFTER} ->> {text}");
            let fits = format!("({left} OR {fits})");
            stay.push((name.as_str(), format!("{changed} AND NOT ({has}) AND NOT {fits}")));
            changed = format!("{changed} AND {fits}");
        }
        let value = format!("CASE WHEN {changed} THEN {value} ELSE t.{quoted} END");
        columns.push((name.clone(), value));
    }
    if columns.is_empty() {
        return Ok(());
    }
    let gone = format!(
        "k.{AFTER} IS NOT NULL AND NOT EXISTS (SELECT FROM {} AS t WHERE {key})",
        target.rows()
    );
    target.mark(postgres, DELETED, &gone).await?;
    let filter = format!("{key} AND k.{CONFLICT} IS NULL AND k.{AFTER} IS NOT NULL");
    put(postgres, &[target.change(&columns, &filter)]).await?;
    let filter = format!("{key} AND k.{AFTER} IS NOT NULL");
    target.stays(postgres, &filter, &stay).await
}

impl Target<'_> {
    /// That these columns of the row `t`, or all, are what they were once the body had changed the kept
    /// row `k`. Those that it changed were looked at before.
    fn unmoved(&self, inputs: Option<&[String]>) -> String {
        let all: Vec<String> = self.written().map(|it| it.name.clone()).collect();
        let same = inputs.unwrap_or(&all).iter().map(|name| {
            let same = self.has(name).unwrap_or("false".to_owned());
            format!("(pg_catalog.jsonb_exists(k.{AFTER}, {}) OR {same})", literal(name))
        });
        same.chain(["true".to_owned()]).collect::<Vec<_>>().join(" AND ")
    }

    /// Gives a reason to the kept rows of which a value stays, at which its condition holds for the kept
    /// row `k` and the row `t` of it, by `is_row`.
    async fn stays(
        &self,
        postgres: &mut Postgres,
        is_row: &str,
        stay: &[(&str, String)],
    ) -> Result<(), DatabaseError> {
        if stay.is_empty() {
            return Ok(());
        }
        let (rows, any) = (self.rows(), any_of(stay));
        let filter = format!("EXISTS (SELECT FROM {rows} AS t WHERE {is_row} AND ({any}))");
        self.mark(postgres, &self.why(stay), &filter).await.map(drop)
    }

    /// Why a value stays.
    fn why(&self, stay: &[(&str, String)]) -> String {
        let names: Vec<&str> = stay.iter().map(|(name, _)| *name).collect();
        match self.after {
            After::Anybody => reason::WRITTEN.to_owned(),
            After::Body(_) | After::Committed(_) => reason::computed(&names),
        }
    }
}

/// That one of the conditions holds.
fn any_of(stay: &[(&str, String)]) -> String {
    let any = stay.iter().map(|(_, condition)| format!("({condition})"));
    any.chain(["false".to_owned()]).collect::<Vec<_>>().join(" OR ")
}

/// Advances a sequence to where it had counted, if it is not beyond that.
async fn sequence(postgres: &mut Postgres, stored: &Stored) -> Result<(), DatabaseError> {
    let name = literal(&stored.table());
    let owned = stored.detail.owner.as_ref().map_or("NULL".to_owned(), |(table, column)| {
        let table =
            format!("{}.{}", Postgres::quote(&stored.detail.schema), Postgres::quote(table));
        let (table, column) = (literal(&table), literal(column));
        format!(
            "CASE WHEN pg_catalog.to_regclass({table}) IS NOT NULL AND EXISTS (
                SELECT FROM pg_catalog.pg_attribute WHERE attrelid = pg_catalog.to_regclass({table})
                 AND attname = {column} AND NOT attisdropped)
             THEN pg_catalog.pg_get_serial_sequence({table}, {column}) END"
        )
    });
    // A table of that name would be no sequence.
    let find = format!(
        "SELECT pg_catalog.to_json((SELECT s.seqrelid::regclass::text FROM pg_catalog.pg_sequence s
            WHERE s.seqrelid = coalesce(({owned})::regclass, pg_catalog.to_regclass({name}))))::text"
    );
    let find = format!("SELECT coalesce(({find}), 'null')");
    let Some(sequence) = json::<Option<String>>(postgres, DOING, find).await? else {
        return absent(postgres, stored, reason::NO_SEQUENCE, "true").await;
    };
    let store = stored.store();
    let sql = format!(
        "SELECT pg_catalog.setval({name}::regclass, k.last_value, k.is_called)
         FROM {store} AS k, {sequence} AS s, pg_catalog.pg_sequence q
         WHERE q.seqrelid = {name}::regclass AND CASE WHEN q.seqincrement > 0
            THEN (k.last_value, k.is_called) > (s.last_value, s.is_called)
            ELSE (k.last_value, NOT k.is_called) < (s.last_value, NOT s.is_called) END",
        name = literal(&sequence)
    );
    postgres.run(DOING, sql).await
}

/// Refreshes the materialized views that show what was restored.
async fn refresh(postgres: &mut Postgres, targets: &[Target<'_>]) -> Result<(), DatabaseError> {
    if targets.is_empty() {
        return Ok(());
    }
    let oids = targets.iter().map(|it| it.live.oid.to_string()).collect::<Vec<_>>().join(", ");
    let sql = format!(
        "WITH RECURSIVE shows(oid, depth) AS (
            SELECT unnest(ARRAY[{oids}])::oid, 0
            UNION
            SELECT r.ev_class, shows.depth + 1 FROM shows
            JOIN pg_catalog.pg_depend d ON d.refobjid = shows.oid AND d.refclassid = 'pg_catalog.pg_class'::regclass
                 AND d.classid = 'pg_catalog.pg_rewrite'::regclass
            JOIN pg_catalog.pg_rewrite r ON r.oid = d.objid AND r.ev_class <> shows.oid
            WHERE shows.depth < 50)
         SELECT coalesce(pg_catalog.json_agg(name ORDER BY depth), '[]')::text FROM (
            SELECT c.oid::regclass::text AS name, max(depth) AS depth FROM shows
            JOIN pg_catalog.pg_class c USING (oid)
            WHERE c.relkind = 'm' AND c.relispopulated GROUP BY c.oid) AS views"
    );
    let views: Vec<String> = json(postgres, DOING, sql).await?;
    for view in views {
        postgres.run(DOING, format!("REFRESH MATERIALIZED VIEW {view}")).await?;
    }
    Ok(())
}

/// Drops what is back, counts what is not, and notes both. Where nothing is back of what nobody has tried
/// to restore before, and the other half does not run now, it goes on waiting for that.
async fn close(
    postgres: &mut Postgres,
    stored: &Stored,
    after: After<'_>,
) -> Result<Restored, DatabaseError> {
    let (id, store) = (stored.entry.id, stored.store());
    let sql = format!(
        "SELECT coalesce(pg_catalog.json_agg(pg_catalog.json_build_object('reason', reason, 'rows', rows)), '[]')::text
         FROM (SELECT {CONFLICT} AS reason, pg_catalog.count(*) AS rows FROM {store}
               WHERE {CONFLICT} <> '' GROUP BY {CONFLICT} ORDER BY {CONFLICT}) AS left_over"
    );
    let misfits: Vec<Conflict> = json(postgres, DOING, sql).await?;
    let left: u64 = misfits.iter().map(|it| it.rows).sum();
    let before = match &stored.entry.restored {
        Some(restored) => restored.back,
        None => 0,
    };
    let back = stored.entry.waiting().saturating_sub(left) + before;
    let waits = matches!(after, After::Anybody) && stored.entry.restored.is_none();
    if waits && left > 0 && back == 0 {
        postgres.run(DOING, forget_reasons(std::slice::from_ref(stored))).await?;
        return Ok(Restored { back, conflicts: misfits });
    }
    let drop = match left {
        0 => format!("TRUNCATE {store}"),
        _ => format!("DELETE FROM {store} WHERE {CONFLICT} IS NULL OR {CONFLICT} = ''"),
    };
    let rows = stored.entry.rows;
    let text = literal(&serde_json::to_string(&misfits).unwrap_or_default());
    let note = format!(
        "UPDATE sternway.archive SET restored_at = pg_catalog.clock_timestamp(), back = {back},
         rows = {rows}, misfits = {text} WHERE id = {id}"
    );
    postgres.run(DOING, format!("{drop}; {note}")).await?;
    Ok(Restored { back, conflicts: misfits })
}

/// Restores entries now, by themselves.
pub(in crate::postgres) async fn restore_some(
    postgres: &mut Postgres,
    ids: &[i64],
) -> Result<Vec<Restoration>, DatabaseError> {
    let found = stored(postgres, Which::Among(ids)).await?;
    if let Some(missing) = ids.iter().find(|id| !found.iter().any(|it| it.entry.id == **id)) {
        return Err(DatabaseError::NoEntry(*missing));
    }
    let begin = format!("BEGIN; SET LOCAL search_path TO pg_catalog; {}", forget_reasons(&found));
    let put = async {
        postgres.run(DOING, begin).await?;
        before(postgres, &found).await?;
        let outcomes = restore(postgres, &found, After::Anybody).await?;
        postgres.run(DOING, "COMMIT".to_owned()).await?;
        Ok(outcomes)
    };
    let outcomes = put.await;
    if outcomes.is_err() {
        let _ = postgres.run("roll back", "ROLLBACK".to_owned()).await;
    }
    outcomes
}
