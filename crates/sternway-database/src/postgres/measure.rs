//! How much there is to lose, in numbers.
//!
//! Two questions, whatever the number of losses: one to the catalogs, one that counts. A small table
//! is counted; of a large one the same few blocks are read each time, and the numbers are estimates.
//! Nothing waits for a lock for longer than a moment: where somebody holds one, the numbers stay open.
//! So they do where somebody changes the schema between the two questions: whoever executes the plan
//! looks again once nobody else can.

use sqlx::Row;
use sternway_model::effect::{Loss, Lost};

use super::limits::is_locked;
use super::{Postgres, failed, literal};
use crate::port::DatabaseError;

/// Up to how many bytes of rows a table is counted.
const COUNTED: i64 = 64 << 20;

/// How many bytes are read of a table that is not counted.
const SAMPLED: i64 = 16 << 20;

/// What the catalogs say of one loss: the table as SQL has it, the column as SQL has it, the bytes
/// of its rows, with what they keep elsewhere, and with indexes; null for what is not there, may
/// not be read, or is hidden from us in part by policies. A partitioned table is as large as its parts.
const FIND: &str = "
SELECT r.oid::regclass::text, quote_ident(a.attname), s.heap, s.rows, s.total
FROM (VALUES {losses}) l (number, name, part)
LEFT JOIN pg_class r ON r.oid = to_regclass(l.name)
LEFT JOIN pg_attribute a ON a.attrelid = r.oid AND attnum > 0 AND NOT attisdropped
                        AND (attname = part OR quote_ident(attname) = part)
LEFT JOIN LATERAL (
    SELECT sum(pg_relation_size(oid))::bigint AS heap, sum(pg_table_size(oid))::bigint AS rows,
           sum(pg_total_relation_size(oid))::bigint AS total
    FROM (SELECT r.oid UNION SELECT relid FROM pg_partition_tree(r.oid)) parts (oid)
) s ON r.relkind IN ('r', 'p', 'm')
                 AND has_table_privilege(r.oid, 'SELECT') AND has_schema_privilege(r.relnamespace, 'USAGE')
                 AND NOT row_security_active(r.oid)
ORDER BY l.number";

/// A loss that is there.
struct Found {
    table: String,
    column: Option<String>,
    heap: i64,
    rows: i64,
    total: i64,
}

/// Fills in rows and bytes of each loss.
pub(super) async fn measure(
    postgres: &mut Postgres,
    losses: &mut [Loss],
) -> Result<(), DatabaseError> {
    if losses.is_empty() {
        return Ok(());
    }
    let schema = Postgres::quote(&postgres.identity.schema);
    let begin = format!(
        "BEGIN READ ONLY; SET LOCAL search_path TO {schema}; SET LOCAL lock_timeout TO '1s'"
    );
    postgres.run("begin to count", begin).await?;
    let measured = ask(postgres, losses).await;
    let ended = postgres.run("end to count", "ROLLBACK".to_owned()).await;
    match measured {
        // Somebody else holds a table: even its size cannot be had then.
        Err(DatabaseError::Query { source, .. }) if is_locked(&source) || is_gone(&source) => ended,
        measured => measured.and(ended),
    }
}

/// Whether something that the catalogs named was not there any more: the server says so of a schema, a
/// table and a column, and has an internal error for what went away under its hands.
fn is_gone(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    code.is_some_and(|code| ["3F000", "42P01", "42703", "XX000"].contains(&code.as_ref()))
}

async fn ask(postgres: &mut Postgres, losses: &mut [Loss]) -> Result<(), DatabaseError> {
    let found = find(postgres, losses).await?;
    let counts =
        found.iter().enumerate().filter_map(|(number, it)| Some(count(number, it.as_ref()?)));
    let counts: Vec<String> = counts.collect();
    if counts.is_empty() {
        return Ok(());
    }
    let rows = postgres.ask("count what would be lost", counts.join(" UNION ALL ")).await?;
    for row in rows {
        let read =
            |at: usize| row.try_get::<i64, _>(at).map_err(failed("count what would be lost"));
        let Ok(number) = usize::try_from(read(0)?) else { continue };
        let (Some(loss), Some(Some(found))) = (losses.get_mut(number), found.get(number)) else {
            continue;
        };
        let (rows, width) = (read(1)?, read(2)?);
        loss.rows = Some(rows.unsigned_abs());
        loss.bytes = bytes(&loss.lost, found, width);
        loss.estimated = found.heap > COUNTED;
    }
    Ok(())
}

/// The bytes of a loss. `width` is what the values of a column take.
fn bytes(lost: &Lost, found: &Found, width: i64) -> Option<u64> {
    match lost {
        Lost::Table { .. } => Some(found.total.unsigned_abs()),
        Lost::Rows { .. } => Some(found.rows.unsigned_abs()),
        Lost::Column { .. } => Some(width.unsigned_abs()),
        Lost::Sequence { .. } => None,
    }
}

async fn find(
    postgres: &mut Postgres,
    losses: &[Loss],
) -> Result<Vec<Option<Found>>, DatabaseError> {
    let rows = losses.iter().enumerate().map(|(number, loss)| {
        let (name, part) = match &loss.lost {
            Lost::Table { table } | Lost::Rows { table } => (table, None),
            Lost::Column { table, column } => (table, Some(column)),
            Lost::Sequence { sequence } => (sequence, None),
        };
        let part = part.map_or("NULL".to_owned(), |part| literal(part));
        format!("({number}, {}, {part})", literal(name))
    });
    let sql = FIND.replace("{losses}", &rows.collect::<Vec<_>>().join(", "));
    let doing = "look at what would be lost";
    let rows = postgres.ask(doing, sql).await?;
    let found = losses.iter().zip(rows).map(|(loss, row)| {
        let text = |at: usize| row.try_get::<Option<String>, _>(at).map_err(failed(doing));
        let number = |at: usize| row.try_get::<Option<i64>, _>(at).map_err(failed(doing));
        let is_column = matches!(loss.lost, Lost::Column { .. });
        let (table, column) = (text(0)?, text(1)?);
        let (heap, rows, total) = (number(2)?, number(3)?, number(4)?);
        let (Some(table), Some(heap), Some(rows), Some(total)) = (table, heap, rows, total) else {
            return Ok(None);
        };
        let there = !is_column || column.is_some();
        Ok(there.then_some(Found { table, column, heap, rows, total }))
    });
    found.collect()
}

/// The question for the number of a loss, its rows and the width of a column's values. Of a large
/// table, a share of the blocks is read, and the numbers are as much larger.
fn count(number: usize, found: &Found) -> String {
    let (what, width) = match &found.column {
        Some(column) => {
            (format!("count({column})"), format!("coalesce(sum(pg_column_size({column})), 0)"))
        }
        None => ("count(*)".to_owned(), "0".to_owned()),
    };
    let table = &found.table;
    if found.heap <= COUNTED {
        return format!("SELECT {number}::bigint, {what}::bigint, ({width})::bigint FROM {table}");
    }
    let share = SAMPLED as f64 / found.heap as f64;
    format!(
        "SELECT {number}::bigint, ({what} / {share}::float8)::bigint, (({width}) / {share}::float8)::bigint
         FROM {table} TABLESAMPLE SYSTEM ({share}::float8 * 100) REPEATABLE (1)"
    )
}
