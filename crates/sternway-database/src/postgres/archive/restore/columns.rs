//! Giving rows the values of columns that went.

use sternway_model::effect::Lost;

use super::super::conflicts::{inserts, put};
use super::super::{AFTER, CONFLICT, REST, hash};
use super::DOING;
use super::target::{Target, any_of};
use crate::archive::reason::{ALIKE, CHANGED, DELETED};
use crate::port::DatabaseError;
use crate::postgres::{Postgres, literal};

/// Whether columns come before any row is inserted: what is inserted may refer to them, and would
/// follow the keys that their rows have until then. That cannot be where they wait for rows themselves.
pub(super) fn before_rows(target: &Target<'_>, targets: &[Target<'_>]) -> bool {
    let lost = &target.stored.detail.lost;
    let waits = |it: &Target<'_>| {
        inserts(&it.stored.entry.lost)
            && (it.live.oid == target.live.oid || target.live.refers(lost, it.live.oid))
    };
    matches!(target.stored.entry.lost, Lost::Column { .. })
        && target.live.is_referred_to(lost)
        && !targets.iter().any(waits)
}

/// Gives rows the values of columns that went.
pub(super) async fn columns(
    postgres: &mut Postgres,
    target: &Target<'_>,
    targets: &[Target<'_>],
) -> Result<(), DatabaseError> {
    let stored = target.stored;
    let there = |name: &str| target.live.columns.iter().any(|it| it.name == name && !it.generated);
    let (mut values, mut stay) = (Vec::new(), Vec::new());
    for name in stored.detail.lost.iter().filter(|it| there(it)) {
        let live = target.live.columns.iter().find(|it| it.name == *name);
        let (Some(kept), Some(live), Some(has)) = (target.kept(name), live, target.has(name))
        else {
            continue;
        };
        let value = target.value(kept);
        let new = match stored.detail.retyped {
            true => &[][..],
            false => &stored.detail.lost,
        };
        let fits = target.fits(postgres, live, new, &|inputs| rest(target, inputs)).await?;
        let Some(fits) = fits else {
            values.push((name.clone(), value));
            continue;
        };
        stay.push((name.as_str(), format!("NOT ({has}) AND NOT ({fits})")));
        let quoted = Postgres::quote(name);
        let value = format!("CASE WHEN {fits} THEN {value} ELSE t.{quoted} END");
        values.push((name.clone(), value));
    }
    if values.is_empty() {
        return Ok(());
    }
    let Some(key) = target.key() else {
        return look_alike(postgres, target, &values, &stay).await;
    };
    // Where the body carried a value to another column of the row, as it was or with something around
    // it, and somebody has written to that, what is there is newer.
    let carried = values.iter().map(|(name, _)| {
        let value = format!("pg_catalog.lower(k.{}::text)", Postgres::quote(name));
        format!("pg_catalog.strpos(pg_catalog.lower(a.value), {value}) > 0")
    });
    let carried = carried.collect::<Vec<_>>().join(" OR ");
    let of_rows = |it: &&Target<'_>| {
        it.live.oid == target.live.oid
            && matches!(it.stored.entry.lost, Lost::Rows { .. })
            && it.stored.detail.key == stored.detail.key
    };
    for rows in targets.iter().filter(of_rows) {
        let same = stored.detail.key.iter().map(|name| {
            let name = Postgres::quote(name);
            format!("r.{name} = k.{name}")
        });
        let same = same.collect::<Vec<_>>().join(" AND ");
        let newer = format!(
            "EXISTS (SELECT FROM {} AS r, pg_catalog.jsonb_each_text(r.{AFTER}) AS a
                     WHERE r.{CONFLICT} = {} AND {same} AND ({carried}))",
            rows.stored.store(),
            literal(CHANGED)
        );
        target.mark(postgres, CHANGED, &newer).await?;
    }
    let part = target.change(&values, &format!("{key} AND k.{CONFLICT} IS NULL"));
    let changed = put(postgres, &[part]).await?;
    target.stays(postgres, &key, &stay).await?;
    // Which rows are gone is only worth a look where fewer were changed than are kept.
    if stay.is_empty()
        && changed.is_some()
        && target.live.tells_apart(&stored.detail.key)
        && changed == Some(target.waiting(postgres).await?)
    {
        return Ok(());
    }
    let gone = format!("NOT EXISTS (SELECT FROM {} AS t WHERE {key})", target.rows());
    target.mark(postgres, DELETED, &gone).await.map(drop)
}

/// That these columns of the row `t`, or all that stayed, are what they were when the row `k` was kept.
fn rest(target: &Target<'_>, inputs: Option<&[String]>) -> String {
    let detail = &target.stored.detail;
    // It was found by all that stayed.
    if detail.key.is_empty() {
        return "true".to_owned();
    }
    let inputs = inputs.unwrap_or(&detail.rest).iter().filter(|it| !detail.key.contains(it));
    let same = inputs.map(|name| {
        let there = target.live.columns.iter().any(|it| it.name == *name);
        match detail.rest.iter().position(|it| it == name).filter(|_| there) {
            Some(at) => {
                let now = hash(&format!("t.{}", Postgres::quote(name)));
                format!("k.{REST}[{}] IS NOT DISTINCT FROM {now}", at + 1)
            }
            None => "false".to_owned(),
        }
    });
    same.chain(["true".to_owned()]).collect::<Vec<_>>().join(" AND ")
}

/// The columns by which rows are told apart that have no key: all that stayed.
fn stays(target: &Target<'_>) -> Vec<String> {
    target
        .stored
        .detail
        .columns
        .iter()
        .filter(|it| !target.stored.detail.lost.contains(&it.name) && !it.generated)
        .filter(|it| target.live.columns.iter().any(|live| live.name == it.name))
        .map(|it| Postgres::quote(&it.name))
        .collect()
}

/// The values of some columns as one text.
fn row(of: &str, columns: &[String]) -> String {
    let cells = columns.iter().map(|it| format!("{of}.{it}::text")).collect::<Vec<_>>();
    format!("ROW({})::text", cells.join(", "))
}

/// Looks, before the body runs, whether somebody has written to columns that stayed with other values.
/// Where rows are alike in all else, nobody knows which of them it was.
pub(super) async fn retyped(
    postgres: &mut Postgres,
    target: &Target<'_>,
) -> Result<(), DatabaseError> {
    let (store, rows, stays) = (target.stored.store(), target.rows(), stays(target));
    let lost = &target.stored.detail.lost;
    if !lost.iter().all(|name| target.live.columns.iter().any(|it| it.name == *name)) {
        return Ok(());
    }
    let (old, new) = (row("k", &stays), row("t", &stays));
    let now = row("t", &lost.iter().map(|it| Postgres::quote(it)).collect::<Vec<_>>());
    let made = lost.iter().map(|it| format!("k.{AFTER} ->> {}", literal(it)));
    let made = made.collect::<Vec<_>>().join(", ");
    let sql = format!(
        "WITH kept AS (SELECT value, made, pg_catalog.count(*) AS rows
                       FROM (SELECT {old} AS value, ROW({made})::text AS made
                             FROM {store} AS k WHERE k.{CONFLICT} IS NULL) AS k GROUP BY value, made),
         here AS (SELECT value, made, pg_catalog.count(*) AS rows
                  FROM (SELECT {new} AS value, {now} AS made FROM {rows} AS t) AS t GROUP BY value, made),
         kept_of AS (SELECT value, sum(rows) AS rows, pg_catalog.count(*) AS kinds FROM kept GROUP BY value),
         here_of AS (SELECT value, sum(rows) AS rows FROM here GROUP BY value),
         written AS (
            SELECT DISTINCT value, CASE WHEN kept_of.rows = 1 AND here_of.rows = 1 THEN {changed} ELSE {alike} END AS reason
            FROM here JOIN here_of USING (value) JOIN kept_of USING (value) LEFT JOIN kept USING (value, made)
            WHERE kept.rows IS NULL OR (here.rows > kept.rows AND kept_of.kinds > 1))
         UPDATE {store} AS k SET {CONFLICT} = written.reason FROM written
         WHERE k.{CONFLICT} IS NULL AND {old} = written.value",
        changed = literal(CHANGED),
        alike = literal(ALIKE),
    );
    postgres.run(DOING, sql).await
}

/// The same, where no key tells the rows apart: by all that stayed. Rows that are alike in that may
/// have one another's values, as long as there are as many as were kept.
async fn look_alike(
    postgres: &mut Postgres,
    target: &Target<'_>,
    values: &[(String, String)],
    stay: &[(&str, String)],
) -> Result<(), DatabaseError> {
    let (store, rows) = (target.stored.store(), target.rows());
    let stays = stays(target);
    let lost: Vec<String> =
        target.stored.detail.lost.iter().map(|it| Postgres::quote(it)).collect();
    let (old, new, went) = (row("k", &stays), row("t", &stays), row("k", &lost));
    let numbered = format!(
        "kept AS (SELECT k.ctid AS place, {old} AS value, {went} AS went,
                         pg_catalog.row_number() OVER (PARTITION BY {old} ORDER BY k.ctid) AS number
                  FROM {store} AS k WHERE k.{CONFLICT} IS NULL),
         here AS (SELECT t.ctid AS row, t.tableoid AS part, {new} AS value,
                         pg_catalog.row_number() OVER (PARTITION BY {new} ORDER BY t.ctid) AS number
                  FROM {rows} AS t)"
    );
    let sql = format!(
        "WITH {numbered},
         kept_of AS (SELECT value, pg_catalog.count(*) AS rows, pg_catalog.count(DISTINCT went) AS kinds
                     FROM kept GROUP BY value),
         here_of AS (SELECT value, pg_catalog.count(*) AS rows FROM here GROUP BY value),
         judged AS (
            SELECT kept.place, CASE
                WHEN here_of.rows IS NULL THEN {changed}
                WHEN kept_of.kinds > 1 AND kept_of.rows <> here_of.rows THEN {alike}
                WHEN kept.number > here_of.rows THEN {deleted} END AS reason
            FROM kept JOIN kept_of USING (value) LEFT JOIN here_of USING (value))
         UPDATE {store} AS k SET {CONFLICT} = judged.reason FROM judged
         WHERE judged.place = k.ctid AND judged.reason IS NOT NULL",
        changed = literal("no row looks like it: it was changed or deleted meanwhile"),
        alike = literal(ALIKE),
        deleted = literal(DELETED),
    );
    postgres.run(DOING, sql).await?;
    // Numbered again: the marks have moved kept rows.
    let pairs = format!(
        "(WITH {numbered}
          SELECT p.*, {} AS stays
          FROM (SELECT kept.place, here.row, here.part FROM kept JOIN here USING (value, number)) AS p
          JOIN {store} AS k ON k.ctid = p.place
          JOIN {rows} AS t ON t.ctid = p.row AND t.tableoid = p.part)",
        any_of(stay)
    );
    let filter = format!(
        "k.{CONFLICT} IS NULL AND EXISTS (SELECT FROM sternway_pairs AS p
            WHERE p.place = k.ctid AND p.row = t.ctid AND p.part = t.tableoid)"
    );
    let make = format!("CREATE TEMPORARY TABLE sternway_pairs ON COMMIT DROP AS {pairs}");
    postgres.run(DOING, format!("{make}; ANALYZE sternway_pairs")).await?;
    let mut part = target.change(values, &filter);
    let list = values.iter().map(|(name, value)| format!("{} = {value}", Postgres::quote(name)));
    let list = list.collect::<Vec<_>>().join(", ");
    // Joined by place, and not looked for row by row.
    part.statement = format!(
        "UPDATE {rows} AS t SET {list} FROM {store} AS k JOIN sternway_pairs AS p ON p.place = k.ctid
         WHERE p.row = t.ctid AND p.part = t.tableoid AND k.{CONFLICT} IS NULL"
    );
    put(postgres, &[part]).await?;
    if !stay.is_empty() {
        let stays = "EXISTS (SELECT FROM sternway_pairs AS p WHERE p.place = k.ctid AND p.stays)";
        target.mark(postgres, &target.why(stay), stays).await?;
    }
    postgres.run(DOING, "DROP TABLE sternway_pairs".to_owned()).await
}
