//! What the other half of a migration would make now of the columns and rows that were kept.
//!
//! A value that a body computes from its row alone is judged by its row when it comes back. One that it
//! takes from other rows, and a row that it makes of those, can only be judged by those: so the other half is run behind a savepoint as soon
//! as the body has run, what it makes is noted beside what is kept, and all of it is taken back. When the
//! other half really runs and makes the same of a row, nothing that it computes from has changed since. A
//! row that it would have made and makes no more is gone with what it was made of.

use std::collections::BTreeSet;

use sqlx::Row;
use sternway_model::archive::Preserved;
use sternway_model::body::Mode;
use sternway_model::effect::Lost;

use super::conflicts::{inserts, live};
use super::restore::Target;
use super::{ANEW, Stored, Which, hash, stored};
use crate::archive::anew::DOING;
use crate::external;
use crate::origin::{Filled, Origin, may_fill};
use crate::port::{DatabaseError, Preservation};
use crate::postgres::attempt::be_ours;
use crate::postgres::send::{self, Failure, Piece};
use crate::postgres::{Postgres, failed, literal, statements};

/// How many rows may have got another value than the other half gives them: so many are noted.
const MOST: usize = 1_000_000;

/// How many rows are noted with one statement.
const BATCH: usize = 1_000;

/// A row of the archive by its place, and what the other half makes of its columns.
type Made = (String, String);

/// Notes beside kept columns what the other half makes of them, where it computes them from other rows.
/// `finds` gives it the search path and the role that a body finds. Where it fails, or nobody can tell
/// that it leaves nothing, nothing is noted.
pub(in crate::postgres) async fn note(
    postgres: &mut Postgres,
    care: &Preservation<'_>,
    kept: &[Preserved],
    finds: &str,
) -> Result<(), DatabaseError> {
    let values = kept.iter().filter(|it| !matches!(it.lost, Lost::Sequence { .. }));
    let ids: Vec<_> = values.map(|it| it.id).collect();
    let Some(other) = care.other.filter(|it| !ids.is_empty() && can_be_taken_back(it)) else {
        return Ok(());
    };
    let mut entries = Vec::new();
    for mut stored in stored(postgres, Which::Among(&ids)).await? {
        stored.detail.made = made_beside(postgres, &stored).await?;
        if depends(other, &stored) {
            if !stored.detail.made.is_empty() {
                note_detail(postgres, &stored).await?;
            }
            entries.extend(Some(stored).filter(|it| !it.detail.key.is_empty()));
        }
    }
    if entries.is_empty() {
        return Ok(());
    }
    postgres.run(DOING, format!("{finds} SAVEPOINT sternway_anew")).await?;
    let made = look(postgres, other, &entries).await;
    let back = "ROLLBACK TO SAVEPOINT sternway_anew; RELEASE SAVEPOINT sternway_anew;";
    postgres.run(DOING, format!("{back} {}", be_ours(postgres))).await?;
    match made {
        Ok(made) => {
            for (stored, rows) in entries.iter_mut().zip(made) {
                write(postgres, stored, &rows).await?;
            }
        }
        Err(Failure::Sql(error)) => tracing::debug!("{DOING}: {error}"),
        Err(Failure::Other(error)) => tracing::debug!("{DOING}: {error}"),
        Err(Failure::Beyond(_) | Failure::CannotKeep(_)) => {}
    }
    Ok(())
}

/// Whether a savepoint takes back all that a body does.
fn can_be_taken_back(body: &str) -> bool {
    let facts = statements::facts(body);
    facts.mode == Mode::Transaction
        && facts.obstacle.is_none()
        && statements::elsewhere(body).is_none()
        && external::phrase(body, &["setval"]).is_none()
}

/// The columns that the body has made in the table of kept columns.
async fn made_beside(
    postgres: &mut Postgres,
    stored: &Stored,
) -> Result<Vec<String>, DatabaseError> {
    let Stored { entry, detail } = stored;
    if !matches!(entry.lost, Lost::Column { .. }) || detail.retyped {
        return Ok(Vec::new());
    }
    let Some(live) = live(postgres, stored).await? else { return Ok(Vec::new()) };
    let known = detail.columns.iter().map(|it| &it.name).chain(&detail.rest);
    let known: BTreeSet<&String> = known.collect();
    let made = live.columns.into_iter().map(|it| it.name);
    Ok(made.filter(|it| !known.contains(it)).collect())
}

async fn note_detail(postgres: &mut Postgres, stored: &Stored) -> Result<(), DatabaseError> {
    let detail = literal(&serde_json::to_string(&stored.detail).unwrap_or_default());
    let id = stored.entry.id;
    let sql = format!("UPDATE sternway.archive SET detail = {detail} WHERE id = {id}");
    postgres.run(DOING, sql).await
}

/// Whether a body may compute a column of these from other rows than its own or from what its other half has made, or
/// make rows of others.
fn depends(body: &str, stored: &Stored) -> bool {
    let detail = &stored.detail;
    if !matches!(stored.entry.lost, Lost::Column { .. }) {
        return !detail.key.is_empty() && !detail.uncertain && may_fill(body, &detail.table);
    }
    let columns = detail.columns.iter().map(|it| &it.name).chain(&detail.rest).chain(&detail.made);
    let columns: Vec<String> = columns.cloned().collect();
    let filled = Filled { table: &detail.table, columns: &columns, new: &detail.lost };
    let beyond = |column: &String| match statements::origin(body, &filled, column) {
        Origin::Row(inputs) => detail.made.iter().any(|it| inputs.contains(it)),
        origin => origin.reaches_beyond_its_row(),
    };
    !detail.retyped && detail.lost.iter().any(beyond)
}

/// Runs the other half, and looks of which kept rows it makes something else than they have.
async fn look(
    postgres: &mut Postgres,
    other: &str,
    entries: &[Stored],
) -> Result<Vec<Vec<Made>>, Failure> {
    send::body(postgres, Piece::whole(&statements::in_ours(other))).await?;
    // Rather an error than rows that a policy hides.
    let ours = format!("{} ; SET LOCAL row_security = off", be_ours(postgres));
    postgres.run(DOING, ours).await?;
    let mut found = Vec::new();
    for stored in entries {
        let nothing = || Failure::CannotKeep("what it makes is not to be found".to_owned());
        let live = live(postgres, stored).await?.ok_or_else(nothing)?;
        let target = Target::of(stored, &live);
        let key = target.key().ok_or_else(nothing)?;
        let lost = stored.noted();
        let same: Option<Vec<String>> = lost.iter().map(|it| target.has(it)).collect();
        let there = |it: &&String| live.columns.iter().any(|live| live.name == **it);
        let same = same.filter(|_| lost.iter().all(there)).ok_or_else(nothing)?;
        let made = lost.iter().map(|it| hash(&format!("t.{}", Postgres::quote(it))));
        // Columns went of rows that are there, whatever the other half does.
        let join = if inserts(&stored.entry.lost) { "LEFT JOIN" } else { "JOIN" };
        let sql = format!(
            "SELECT k.ctid::text, CASE WHEN t.tableoid IS NULL THEN '{{}}' ELSE ARRAY[{}]::bigint[]::text END
             FROM {} AS k {join} {} AS t ON {key} WHERE t.tableoid IS NULL OR NOT ({}) LIMIT {}",
            made.collect::<Vec<_>>().join(", "),
            stored.store(),
            target.rows(),
            same.into_iter().chain(["true".to_owned()]).collect::<Vec<_>>().join(" AND "),
            MOST + 1
        );
        let rows = postgres.ask(DOING, sql).await?;
        if rows.len() > MOST {
            return Err(nothing());
        }
        let row = |row: &sqlx::postgres::PgRow| Ok((row.try_get(0)?, row.try_get(1)?));
        let rows: sqlx::Result<Vec<Made>> = rows.iter().map(row).collect();
        found.push(rows.map_err(failed(DOING))?);
    }
    Ok(found)
}

/// Notes what was found beside the kept rows: nothing where it is what they have.
async fn write(
    postgres: &mut Postgres,
    stored: &mut Stored,
    rows: &[Made],
) -> Result<(), DatabaseError> {
    stored.detail.anew = true;
    stored.detail.remade = inserts(&stored.entry.lost);
    let store = stored.store();
    postgres.run(DOING, format!("ALTER TABLE {store} ADD COLUMN {ANEW} bigint[]")).await?;
    note_detail(postgres, stored).await?;
    for some in rows.chunks(BATCH) {
        let values = some
            .iter()
            .map(|(place, made)| format!("({}::tid, {}::bigint[])", literal(place), literal(made)));
        let sql = format!(
            "UPDATE {store} AS k SET {ANEW} = made.made FROM (VALUES {}) AS made (place, made)
             WHERE k.ctid = made.place",
            values.collect::<Vec<_>>().join(", ")
        );
        postgres.run(DOING, sql).await?;
    }
    Ok(())
}
