//! Finding out whether a statement took effect that was under way outside a transaction when its
//! session was lost.
//!
//! Only statements that cannot run in a transaction are ever in doubt: every other one commits
//! together with its journal record. What they do shows in the system catalogs.

use sqlx::Row;

use super::statements::statements;
use super::statements::trace::{Trace, trace};
use super::{Postgres, failed, literal};
use crate::port::{DatabaseError, Settled, Work};

/// Looks whether statement `number` of the body took effect, and clears away what half of it left.
pub(super) async fn settle(
    postgres: &mut Postgres,
    work: &Work<'_>,
    number: usize,
) -> Result<Settled, DatabaseError> {
    let statements = statements(work.body);
    let Some(statement) = number.checked_sub(1).and_then(|index| statements.get(index)) else {
        return Ok(Settled::Unknown);
    };
    if statement.transaction.is_some() {
        // The body's own transaction writes the journal before it commits: it did not.
        return Ok(Settled::NotDone);
    }
    if !statement.alone {
        return Ok(Settled::Unknown);
    }
    match trace(statement.text) {
        Trace::IndexBuilt { index, table } => {
            let sql = format!(
                "SELECT i.indisvalid FROM pg_catalog.pg_class c
                 JOIN pg_catalog.pg_index i ON i.indexrelid = c.oid
                 JOIN pg_catalog.pg_class t ON t.oid = i.indrelid
                 WHERE t.oid = {} AND c.relname = {}",
                regclass(&table),
                literal(&index)
            );
            match found(postgres, &sql).await? {
                Some(true) => Ok(Settled::Done),
                Some(false) => {
                    let schema = table.first().filter(|_| table.len() > 1);
                    let schema = schema.map_or(postgres.identity.schema.as_str(), String::as_str);
                    let name = quoted(&[schema.to_owned(), index]);
                    clear(postgres, &name).await?;
                    Ok(Settled::NotDone)
                }
                None => Ok(Settled::NotDone),
            }
        }
        Trace::IndexDropped { index } => {
            let sql = format!("SELECT {} IS NULL", regclass(&index));
            is_done(postgres, &sql).await
        }
        Trace::IndexRebuilt => {
            for name in halves(postgres).await? {
                clear(postgres, &name).await?;
            }
            Ok(Settled::NotDone)
        }
        Trace::ValueAdded { of, label } => {
            let (of, label) = (literal(&quoted(&of)), literal(&label));
            let sql = format!(
                "SELECT EXISTS (SELECT FROM pg_catalog.pg_enum
                 WHERE enumtypid = to_regtype({of}) AND enumlabel = {label})"
            );
            is_done(postgres, &sql).await
        }
        Trace::PartitionDetached { table, partition } => {
            let sql = format!(
                "SELECT (to_jsonb(i)->>'inhdetachpending')::boolean FROM pg_catalog.pg_inherits i
                 WHERE inhparent = {} AND inhrelid = {}",
                regclass(&table),
                regclass(&partition)
            );
            match found(postgres, &sql).await? {
                None => Ok(Settled::Done),
                Some(false) => Ok(Settled::NotDone),
                Some(true) => {
                    let (table, partition) = (quoted(&table), quoted(&partition));
                    let sql = format!("ALTER TABLE {table} DETACH PARTITION {partition} FINALIZE");
                    postgres.run("finish detaching the partition", sql).await?;
                    Ok(Settled::Done)
                }
            }
        }
        Trace::OfTheServer { catalog, column, name, made } => {
            let name = literal(&name);
            let sql = format!(
                "SELECT {made} = EXISTS (SELECT FROM pg_catalog.{catalog} WHERE {column} = {name})"
            );
            is_done(postgres, &sql).await
        }
        Trace::Harmless => Ok(Settled::NotDone),
        Trace::Nothing => Ok(Settled::Unknown),
    }
}

async fn is_done(postgres: &mut Postgres, sql: &str) -> Result<Settled, DatabaseError> {
    let done = found(postgres, sql).await?.unwrap_or(false);
    Ok(if done { Settled::Done } else { Settled::NotDone })
}

/// The one answer to a question, if there is a row.
async fn found(postgres: &mut Postgres, sql: &str) -> Result<Option<bool>, DatabaseError> {
    let doing = "find out whether the statement took effect";
    let rows = postgres.ask(doing, sql.to_owned()).await?;
    let answer = |row: &sqlx::postgres::PgRow| row.try_get(0).map_err(failed(doing));
    rows.first().map(answer).transpose()
}

/// Drops an index that is only half there.
async fn clear(postgres: &mut Postgres, name: &str) -> Result<(), DatabaseError> {
    let sql = format!("DROP INDEX CONCURRENTLY IF EXISTS {name}");
    postgres.run("drop the index that is half built", sql).await
}

/// What a rebuild of indexes that was cut short leaves, as SQL has their names.
async fn halves(postgres: &mut Postgres) -> Result<Vec<String>, DatabaseError> {
    let doing = "look for indexes that are half built";
    let sql = "SELECT format('%I.%I', n.nspname, c.relname) FROM pg_catalog.pg_index i
               JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
               JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
               WHERE NOT i.indisvalid AND c.relname ~ '_cc(new|old)[0-9]*$'";
    let rows = postgres.ask(doing, sql.to_owned()).await?;
    rows.iter().map(|row| row.try_get(0).map_err(failed(doing))).collect()
}

fn quoted(name: &[String]) -> String {
    name.iter().map(|part| Postgres::quote(part)).collect::<Vec<_>>().join(".")
}

/// The number of a relation, as an expression; null where there is none.
fn regclass(name: &[String]) -> String {
    format!("pg_catalog.to_regclass({})", literal(&quoted(name)))
}
