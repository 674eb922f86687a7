//! Merging what one statement of a body took to what those before it took, where a body runs statement
//! by statement: of every value, the archive is to have what it was before the whole body.
//!
//! Rows that two entries have in common are of the older one, so that entries never have to be restored
//! in an order. What somebody else wrote between two statements is nobody's to merge: both are kept.

use sternway_model::archive::{EntryId, Preserved};
use sternway_model::effect::Lost;

use super::{AFTER, Stored, Which, dropping, stored};
use crate::port::DatabaseError;
use crate::postgres::effects::json;
use crate::postgres::{Postgres, literal};

const DOING: &str = "keep what the body destroys";

/// Merges `kept` into the entries `earlier`. Returns what is left of it as entries of their own.
pub(in crate::postgres) async fn merge(
    postgres: &mut Postgres,
    earlier: &[EntryId],
    kept: Vec<Preserved>,
) -> Result<Vec<Preserved>, DatabaseError> {
    if earlier.is_empty() || kept.is_empty() {
        return Ok(kept);
    }
    let earlier = stored(postgres, Which::Among(earlier)).await?;
    let ids: Vec<EntryId> = kept.iter().map(|it| it.id).collect();
    let mut own = Vec::new();
    for (mut it, new) in kept.into_iter().zip(stored(postgres, Which::Among(&ids)).await?) {
        let same = |old: &&Stored| {
            (&old.detail.schema, &old.detail.table) == (&new.detail.schema, &new.detail.table)
        };
        for old in earlier.iter().filter(same) {
            match (&new.entry.lost, &old.entry.lost) {
                // What the first one found is where it had counted.
                (Lost::Sequence { .. }, Lost::Sequence { .. }) => it.rows = 0,
                (Lost::Rows { .. }, Lost::Rows { .. }) => {
                    it.rows = it.rows.saturating_sub(rows(postgres, old, &new).await?);
                }
                (Lost::Column { .. }, Lost::Rows { .. }) => values(postgres, old, &new).await?,
                _ => {}
            }
        }
        let note = match it.rows == 0 && it.rows < new.entry.rows {
            true => dropping(it.id),
            false => format!("UPDATE sternway.archive SET rows = {} WHERE id = {}", it.rows, it.id),
        };
        if it.rows < new.entry.rows {
            postgres.run(DOING, note).await?;
        }
        if it.rows > 0 || new.entry.rows == 0 {
            own.push(it);
        }
    }
    Ok(own)
}

/// That a row `e` of the older entry is a row `k` of the newer one; `None` where nothing tells.
fn is_the_row(old: &Stored, new: &Stored) -> Option<String> {
    let key = &old.detail.key;
    let same = key.iter().map(|name| {
        let name = Postgres::quote(name);
        format!("e.{name}::text = k.{name}::text")
    });
    let same = same.collect::<Vec<_>>().join(" AND ");
    (!key.is_empty() && *key == new.detail.key).then_some(same)
}

/// Rows that were changed before, and are changed again or deleted. Returns how many.
async fn rows(postgres: &mut Postgres, old: &Stored, new: &Stored) -> Result<u64, DatabaseError> {
    let Some(same) = is_the_row(old, new) else { return Ok(0) };
    let here = new
        .detail
        .columns
        .iter()
        .map(|it| format!("({}, k.{}::text)", literal(&it.name), Postgres::quote(&it.name)));
    let sql = format!(
        "WITH joined AS (
            UPDATE {old} AS e
            SET {AFTER} = CASE WHEN k.{AFTER} IS NULL THEN NULL ELSE e.{AFTER} || k.{AFTER} END
            FROM {new} AS k
            WHERE {same} AND e.{AFTER} IS NOT NULL AND NOT EXISTS (
                SELECT FROM pg_catalog.jsonb_each_text(e.{AFTER}) AS a
                WHERE a.value IS DISTINCT FROM
                    (SELECT v.value FROM (VALUES {}) AS v(name, value) WHERE v.name = a.key))
            RETURNING k.ctid AS place)
         DELETE FROM {new} WHERE ctid IN (SELECT place FROM joined)",
        here.collect::<Vec<_>>().join(", "),
        old = old.store(),
        new = new.store(),
    );
    let joined = postgres.count(DOING, sql).await?;
    if joined > 0 {
        note_columns(postgres, old).await?;
    }
    Ok(joined)
}

/// Values of columns that were changed before they went: the column gets those from before.
async fn values(postgres: &mut Postgres, old: &Stored, new: &Stored) -> Result<(), DatabaseError> {
    let Some(same) = is_the_row(old, new) else { return Ok(()) };
    let of = |stored: &Stored, name: &str| {
        let column = stored.detail.columns.iter().find(|it| it.name == name);
        column.map(|it| (it.type_name.clone(), it.text))
    };
    let there = |it: &&String| of(old, it).is_some() && of(old, it) == of(new, it);
    for name in new.detail.lost.iter().filter(there) {
        let (text, name) = (literal(name), Postgres::quote(name));
        let sql = format!(
            "WITH joined AS (
                UPDATE {new} AS k SET {name} = e.{name} FROM {old} AS e
                WHERE {same} AND pg_catalog.jsonb_exists(e.{AFTER}, {text})
                  AND e.{AFTER} ->> {text} IS NOT DISTINCT FROM k.{name}::text
                RETURNING e.ctid AS place)
             UPDATE {old} AS e SET {AFTER} = e.{AFTER} - {text}::text FROM joined WHERE joined.place = e.ctid",
            new = new.store(),
            old = old.store(),
        );
        postgres.count(DOING, sql).await?;
    }
    let empty = format!("DELETE FROM {} WHERE {AFTER} = '{{}}'", old.store());
    let empty = postgres.count(DOING, empty).await?;
    let less =
        format!("UPDATE sternway.archive SET rows = rows - {empty} WHERE id = {}", old.entry.id);
    postgres.run(DOING, less).await?;
    note_columns(postgres, old).await
}

/// Notes which columns the rows of an entry were changed in.
async fn note_columns(postgres: &mut Postgres, of: &Stored) -> Result<(), DatabaseError> {
    let sql = format!(
        "SELECT coalesce(pg_catalog.json_agg(DISTINCT sternway_changed.name), '[]')::text
         FROM {}, pg_catalog.jsonb_object_keys({AFTER}) AS sternway_changed (name)",
        of.store()
    );
    let mut detail = of.detail.clone();
    detail.lost = json(postgres, DOING, sql).await?;
    let detail = literal(&serde_json::to_string(&detail).unwrap_or_default());
    let note = format!("UPDATE sternway.archive SET detail = {detail} WHERE id = {}", of.entry.id);
    postgres.run(DOING, note).await
}
