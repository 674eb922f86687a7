//! Restoring rows: those that are gone, and those that were changed; and telling which are there already.

use sternway_model::effect::Lost;

use super::super::conflicts::{Part, attempt, inserts, put};
use super::super::{AFTER, CONFLICT, KeptColumn, Stored};
use super::target::Target;
use super::{After, DOING};
use crate::archive::reason::{self, DELETED, LOST_TRACK, TAKEN as THERE};
use crate::failpoint::{Rule, holds};
use crate::origin::Origin;
use crate::port::DatabaseError;
use crate::postgres::effects::{Oid, json};
use crate::postgres::{Postgres, literal};

/// What says of a kept row, while the body runs, that one with its key was there before it.
pub(super) fn there_in(table: Oid) -> String {
    format!("{THERE} ({table})")
}

/// Judges the rows with whose keys there were rows before the body ran: those are somebody's, and not
/// what the body made, if they are in the same table still.
pub(super) async fn there_before(
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

/// Inserts the rows of tables, and those that were deleted.
pub(super) async fn insert(
    postgres: &mut Postgres,
    targets: &[Target<'_>],
) -> Result<(), DatabaseError> {
    let targets = targets.iter().filter(|it| inserts(&it.stored.entry.lost));
    let targets: Vec<&Target<'_>> = targets.collect();
    let mut replaced = Vec::new();
    for target in &targets {
        twins_give_way(postgres, target).await?;
        seeds_give_way(postgres, target).await?;
        made_anew(postgres, target).await?;
        if already(postgres, target).await? > 0 {
            replaced.push(*target);
        }
        unmade_stay(postgres, target).await?;
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
        let (mut columns, mut stay) = (Vec::new(), Vec::new());
        for column in target.written().filter(|it| !key_columns.contains(&it.name)) {
            let (name, value) = (&column.name, target.value(column));
            // What is made of nothing that is in a row is not newer than what somebody had.
            let is_computed = target.stored.detail.anew
                && target.origin(name, &[]) != Some(Origin::Constant)
                && holds(Rule::ComputedStays);
            let fits = target.made_again(name).filter(|_| is_computed);
            match (fits, target.has(name)) {
                (Some(fits), Some(has)) => {
                    let now = format!("t.{}", Postgres::quote(name));
                    columns.push((
                        name.clone(),
                        format!("CASE WHEN {fits} THEN {value} ELSE {now} END"),
                    ));
                    stay.push((name.as_str(), format!("NOT ({has}) AND NOT ({fits})")));
                }
                _ => columns.push((name.clone(), value)),
            }
        }
        if columns.is_empty() {
            continue;
        }
        let filter = format!("{key} AND k.{CONFLICT} = ''");
        put(postgres, &[target.change(&columns, &filter)]).await?;
        newer_stays(postgres, target, &key, &stay).await?;
    }
    Ok(())
}

/// Gives a reason to the replaced rows of which something stays in the archive: the body has just made it
/// from what has changed since.
async fn newer_stays(
    postgres: &mut Postgres,
    target: &Target<'_>,
    key: &str,
    stay: &[(&str, String)],
) -> Result<(), DatabaseError> {
    let (store, rows) = (target.stored.store(), target.rows());
    for (name, condition) in stay {
        let why = literal(&target.why(&[(name, String::new())]));
        let sql = format!(
            "UPDATE {store} AS k SET {CONFLICT} = {why} FROM {rows} AS t
             WHERE k.{CONFLICT} = '' AND {key} AND {condition}"
        );
        postgres.run(DOING, sql).await?;
    }
    Ok(())
}

/// Makes of the rows that the body has just put into a table the kept ones that have the same in another
/// key than the primary one, such as a name: the body has given them a number of its own.
pub(super) async fn seeds_give_way(
    postgres: &mut Postgres,
    target: &Target<'_>,
) -> Result<(), DatabaseError> {
    let detail = &target.stored.detail;
    let deleted = match target.stored.entry.lost {
        Lost::Rows { .. } => format!("k.{AFTER} IS NULL AND"),
        _ => String::new(),
    };
    let its_own = !detail.carries && !detail.uncertain && !target.older;
    let Some(key) = target.key().filter(|_| its_own) else { return Ok(()) };
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
             WHERE k.{CONFLICT} IS NULL AND {deleted} {same} AND {OURS}
               AND NOT EXISTS (SELECT FROM (SELECT * FROM {rows}) AS t WHERE {key})",
            same = same.join(" AND ")
        );
        // Where others refer to such a row, it stays, and the kept one is told of.
        let _ = attempt(postgres, sql).await?;
    }
    Ok(())
}

/// That the row `t` is of this transaction: what can be seen, and is of one that has not ended, is.
pub(super) const OURS: &str = "CASE WHEN pg_catalog.age(t.xmin) <= 0
    THEN pg_catalog.txid_status(pg_catalog.txid_current() - pg_catalog.age(t.xmin)) = 'in progress' END";

/// What a kept row `k` and a row `t` of the table are given, where their key is none of that: then a body may have
/// made the one anew under another key. With that they have the same key.
fn given(target: &Target<'_>) -> Option<(String, String, String)> {
    let own = |name: &str| target.live.is_own(name);
    let may = target.stored.detail.key.iter().any(|it| own(it)) && holds(Rule::OnlyOnce);
    let key = target.key().filter(|_| may)?;
    let given = target.written().filter(|it| !own(&it.name));
    let given: Vec<&str> = given.map(|it| it.name.as_str()).collect();
    let row = |of: &str| {
        let cells = given.iter().map(|it| format!("{of}.{}::text", Postgres::quote(it)));
        format!("ROW({})::text", cells.collect::<Vec<_>>().join(", "))
    };
    (!given.is_empty()).then(|| (key, row("k"), row("t")))
}

/// Takes those rows out of a table that the body has just made and numbered which are kept rows under another key, as
/// many as there are: the kept ones come back with theirs. None goes where other rows may refer to it.
async fn twins_give_way(postgres: &mut Postgres, target: &Target<'_>) -> Result<(), DatabaseError> {
    let is_new = matches!(target.stored.entry.lost, Lost::Table { .. }) && !target.older;
    let mut numbers = target.stored.detail.key.iter().filter(|it| target.live.is_own(it));
    if !is_new || !numbers.all(|it| target.origin(it, &[]) == Some(Origin::Constant)) {
        return Ok(());
    }
    let Some((key, old, new)) = given(target) else { return Ok(()) };
    let (store, rows) = (target.stored.store(), target.rows());
    let referring = target.live.referring.iter().map(|it| format!(" OR EXISTS (SELECT FROM {it})"));
    let referring: String = referring.collect();
    let nothing =
        format!("SELECT pg_catalog.to_json(NOT EXISTS (SELECT FROM {rows}){referring})::text");
    if json::<bool>(postgres, DOING, nothing).await? {
        return Ok(());
    }
    let sql = format!(
        "WITH made AS MATERIALIZED (
            SELECT t.tableoid AS part, t.ctid AS place, {new} AS value,
                   pg_catalog.row_number() OVER (PARTITION BY {new} ORDER BY t.tableoid, t.ctid) AS number
            FROM {rows} AS t
            WHERE {OURS} AND NOT EXISTS (SELECT FROM {store} AS k WHERE {key} AND {old} = {new})),
         kept AS (
            SELECT {old} AS value, pg_catalog.row_number() OVER (PARTITION BY {old}) AS number FROM {store} AS k
            WHERE k.{CONFLICT} IS NULL AND EXISTS (SELECT FROM made)
              AND NOT EXISTS (SELECT FROM {rows} AS t WHERE {key} AND {old} = {new}))
         DELETE FROM {rows} AS t USING made JOIN kept USING (value, number)
         WHERE t.tableoid = made.part AND t.ctid = made.place"
    );
    postgres.run(DOING, sql).await
}

/// Looks for kept rows that the body has made anew: that are there, but for what a row gets by itself,
/// under another key.
pub(super) async fn made_anew(
    postgres: &mut Postgres,
    target: &Target<'_>,
) -> Result<(), DatabaseError> {
    let (store, rows) = (target.stored.store(), target.rows());
    let Some((key, old, new)) = given(target) else { return Ok(()) };
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
pub(super) async fn already(
    postgres: &mut Postgres,
    target: &Target<'_>,
) -> Result<u64, DatabaseError> {
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
            // What the body carried over is newer than what was kept; what it made of itself is not.
            match !uncertain && !target.stored.detail.carries && !target.older {
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

/// Lets rows stay in the archive that the other half would have made when they were kept, and that are not
/// there now: what it makes them of is gone or has changed since.
async fn unmade_stay(postgres: &mut Postgres, target: &Target<'_>) -> Result<(), DatabaseError> {
    let (Some(was_made), Some(key)) = (target.was_made(), target.key()) else { return Ok(()) };
    let there = format!("EXISTS (SELECT FROM {} AS t WHERE {key})", target.rows());
    let deleted = match target.stored.entry.lost {
        Lost::Rows { .. } => format!("k.{AFTER} IS NULL"),
        _ => "true".to_owned(),
    };
    let unmade = format!("{deleted} AND {was_made} AND NOT {there}");
    target.mark(postgres, reason::UNMADE, &unmade).await.map(drop)
}

/// Gives rows that the body changed what they had before.
pub(super) async fn change(
    postgres: &mut Postgres,
    target: &Target<'_>,
) -> Result<(), DatabaseError> {
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
