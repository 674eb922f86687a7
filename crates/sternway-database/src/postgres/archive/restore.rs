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

mod target;
mod rows;
mod columns;

use std::cmp::Reverse;
use std::collections::BTreeMap;

use sternway_model::archive::{Conflict, Restoration, Restored};
use sternway_model::effect::Lost;

use self::columns::{before_rows, columns, retyped};
use self::rows::{change, insert, there_before, there_in};
pub(in crate::postgres::archive) use self::target::Target;
use self::target::missing_columns;
use super::conflicts::{Live, LiveColumn, inserts, live};
use super::{AFTER, CONFLICT, Stored, Which, stored};
use crate::archive::reason::{self, CHANGED, DELETED, TAKEN as THERE};
use crate::failpoint::{Rule, holds};
use crate::port::DatabaseError;
use crate::postgres::effects::{Oid, json};
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

/// What takes the reasons away that an earlier attempt has given kept rows.
pub(in crate::postgres) fn clear_reasons(entries: &[Stored]) -> String {
    let clear = |it: &Stored| {
        format!("UPDATE {} SET {CONFLICT} = NULL WHERE {CONFLICT} IS NOT NULL;", it.store())
    };
    entries.iter().map(clear).collect()
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
        theirs_stay(postgres, &target).await?;
        if let Some(key) = target.key_before() {
            let there = format!("EXISTS (SELECT FROM {rows} AS t WHERE {key})");
            let there = format!("k.{AFTER} IS NULL AND {there}");
            target.mark(postgres, &there_in(live.oid), &there).await?;
        }
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

/// Lets deleted rows stay of which another row has what is there only once: before the body, that is somebody's.
async fn theirs_stay(postgres: &mut Postgres, target: &Target<'_>) -> Result<(), DatabaseError> {
    for unique in target.live.uniques_beside(&target.stored.detail.key) {
        let same = unique.iter().map(|name| {
            let (_, name) = (target.kept(name)?, Postgres::quote(name));
            Some(format!("t.{name}::text = k.{name}::text"))
        });
        let Some(same) = same.collect::<Option<Vec<String>>>() else { continue };
        let (rows, same) = (target.rows(), same.join(" AND "));
        let taken = format!("k.{AFTER} IS NULL AND EXISTS (SELECT FROM {rows} AS t WHERE {same})");
        target.mark(postgres, &reason::same(unique), &taken).await?;
    }
    Ok(())
}

/// Looks, before the body runs, at the columns that are there without it: what they have was written since.
pub(in crate::postgres) async fn written_since(
    postgres: &mut Postgres,
    entries: &[Stored],
) -> Result<(), DatabaseError> {
    let columns = |it: &&Stored| matches!(it.entry.lost, Lost::Column { .. });
    for stored in entries.iter().filter(columns).filter(|it| !it.detail.retyped) {
        let Some(live) = live(postgres, stored).await? else { continue };
        let target = Target::of(stored, &live);
        let is_there = |it: &&LiveColumn| !it.generated && stored.detail.lost.contains(&it.name);
        // One of a composite type may have lost a part of it and be the same column.
        let written = live.columns.iter().filter(is_there).map(|it| {
            let (name, blank) = (Postgres::quote(&it.name), it.blank());
            let (now, kept) = (format!("t.{name}"), format!("k.{name}::text"));
            format!(
                "(NOT ({blank}) AND {now}::text COLLATE pg_catalog.\"C\" IS DISTINCT FROM {kept}
                  AND NOT EXISTS (SELECT FROM pg_catalog.pg_type AS y JOIN pg_catalog.pg_type AS e ON e.oid IN (y.oid, y.typelem)
                                  WHERE y.oid = pg_catalog.pg_typeof({now}) AND e.typtype = 'c'))"
            )
        });
        let written = written.collect::<Vec<_>>().join(" OR ");
        let Some(key) = target.key().filter(|_| !written.is_empty() && holds(Rule::NewerStays))
        else {
            continue;
        };
        let rows = target.rows();
        let written = format!("EXISTS (SELECT FROM {rows} AS t WHERE {key} AND ({written}))");
        target.mark(postgres, reason::WRITTEN, &written).await?;
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
    let of_rows = |it: &&Target<'_>| inserts(&it.stored.entry.lost);
    for target in targets.iter().filter(of_rows) {
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
        outcomes.push(stored.restoration(close(postgres, stored, after).await?));
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
    let conflicts: Vec<Conflict> = json(postgres, DOING, sql).await?;
    let left: u64 = conflicts.iter().map(|it| it.rows).sum();
    let before = match &stored.entry.restored {
        Some(restored) => restored.back,
        None => 0,
    };
    let back = stored.entry.waiting().saturating_sub(left) + before;
    let waits = matches!(after, After::Anybody) && stored.entry.restored.is_none();
    if waits && left > 0 && back == 0 {
        postgres.run(DOING, clear_reasons(std::slice::from_ref(stored))).await?;
        return Ok(Restored { back, conflicts });
    }
    let drop = match left {
        0 => format!("TRUNCATE {store}"),
        _ => format!("DELETE FROM {store} WHERE {CONFLICT} IS NULL OR {CONFLICT} = ''"),
    };
    let rows = stored.entry.rows;
    let text = literal(&serde_json::to_string(&conflicts).unwrap_or_default());
    let note = format!(
        "UPDATE sternway.archive SET restored_at = pg_catalog.clock_timestamp(), back = {back},
         rows = {rows}, misfits = {text} WHERE id = {id}"
    );
    postgres.run(DOING, format!("{drop}; {note}")).await?;
    Ok(Restored { back, conflicts })
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
    let begin = format!("BEGIN; SET LOCAL search_path TO pg_catalog; {}", clear_reasons(&found));
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
