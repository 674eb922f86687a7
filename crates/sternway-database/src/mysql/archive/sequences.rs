//! Sequences of MariaDB's. One that a body drops is kept as where it had counted to; what makes it again is the
//! other half, or what completes that.

use sternway_model::archive::{Conflict, Restoration, Restored};
use sternway_model::effect::Lost;

use super::keep::{insert, place};
use super::shape::look;
use super::{INDEX, data};
use crate::archive::sql::{SqlStore, count};
use crate::archive::{Layout, NewEntry, Result, RowStore, Stored, Trouble, number, reason};
use crate::mysql::MySql;
use crate::port::{DatabaseError, Preservation};

/// The column of a sequence that says which number it has given none from on.
const NEXT: &str = "next_not_cached_value";

/// Copies where a sequence has counted to, before a body that drops it.
pub async fn copy(
    mysql: &mut MySql,
    care: &Preservation<'_>,
    run: Option<i64>,
    name: &str,
) -> Result<(), Trouble> {
    let Some(shape) = look(mysql, name).await? else { return Ok(()) };
    let next = shape.column(NEXT).ok_or_else(|| DatabaseError::RecordsDamaged(name.to_owned()))?;
    let layout = Layout {
        table: name.to_owned(),
        columns: vec![next.name.clone()],
        types: vec![next.kind.clone()],
        ..Layout::default()
    };
    let lost = Lost::Sequence { sequence: name.to_owned() };
    let entry = NewEntry { lost, data: 0, layout, rows: 0 };
    let id = insert(mysql, care, run, "copying", &entry).await?;
    place(mysql, id, &[next]).await?;
    let sql = format!(
        "START TRANSACTION READ WRITE; INSERT INTO {} (c0) SELECT {NEXT} FROM {};
         UPDATE {} SET state = 'pending' WHERE id = {id} LIMIT 1; COMMIT",
        data(mysql, id),
        mysql.qualified(name),
        mysql.qualified(INDEX)
    );
    Ok(mysql.run("keep where a sequence stands", sql).await?)
}

/// Whether a sequence is there that has come as far as the one that was copied.
pub async fn has_counted_on(mysql: &mut MySql, name: &str, id: i64) -> Result<bool, Trouble> {
    if look(mysql, name).await?.is_none_or(|it| it.column(NEXT).is_none()) {
        return Ok(false);
    }
    let sql = format!(
        "SELECT COUNT(*) FROM {} AS k, {} AS s
         WHERE IF(s.increment < 0, s.{NEXT} <= k.c0, s.{NEXT} >= k.c0)",
        data(mysql, id),
        mysql.qualified(name)
    );
    Ok(count(mysql, sql).await? > 0)
}

/// Lets sequences go on where those were that are kept, unless they have come further by themselves.
pub async fn restore(mysql: &mut MySql, kept: &[Stored]) -> Result<Vec<Restoration>> {
    let mut outcomes = Vec::new();
    for Stored { entry, data: rows, layout, .. } in kept {
        let is_there =
            look(mysql, &layout.table).await?.is_some_and(|it| it.column(NEXT).is_some());
        let from = data(mysql, *rows);
        let restored = match is_there {
            true => {
                let next =
                    mysql.cells("read the archive", format!("SELECT c0 FROM {from}")).await?;
                let next = next.into_iter().flatten().flatten().next().unwrap_or_default();
                let (sequence, next) = (mysql.qualified(&layout.table), number::<i64>(&next)?);
                let sql = format!("SELECT SETVAL({sequence}, {next}, 0)");
                mysql.run("let a sequence go on", sql).await?;
                Restored { back: 1, conflicts: Vec::new() }
            }
            false => {
                mysql.refuse(*rows, None, reason::NO_SEQUENCE).await?;
                let reason = reason::NO_SEQUENCE.to_owned();
                Restored { back: 0, conflicts: vec![Conflict { reason, rows: 1 }] }
            }
        };
        mysql.note(entry.id, &restored).await?;
        let drop = match is_there {
            true => format!("; DROP TABLE IF EXISTS {from}"),
            false => String::new(),
        };
        mysql.run("empty the archive", format!("COMMIT{drop}")).await?;
        outcomes.push(Restoration { id: entry.id, lost: entry.lost.clone(), restored });
    }
    Ok(outcomes)
}
