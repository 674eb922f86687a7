//! Finding out whether a statement took effect that was under way outside a transaction when its
//! session was lost.
//!
//! Only statements that cannot run in a transaction are ever in doubt: every other one commits
//! together with its journal record. What they do shows in the system catalogs.

use sqlx::Row;

use super::statements::statements;
use super::statements::trace::{Rebuilt, Trace, trace};
use super::{Postgres, failed, literal};
use crate::port::{DatabaseError, Reconciled, Work};

/// Looks whether statement `number` of the body took effect, and clears away what half of it left.
pub(super) async fn reconcile(
    postgres: &mut Postgres,
    work: &Work<'_>,
    number: usize,
) -> Result<Reconciled, DatabaseError> {
    let statements = statements(work.body);
    let Some(statement) = number.checked_sub(1).and_then(|index| statements.get(index)) else {
        return Ok(Reconciled::Unknown);
    };
    if statement.transaction.is_some() {
        // The body's own transaction writes the journal before it commits: it did not.
        return Ok(Reconciled::NotDone);
    }
    if !statement.alone {
        return Ok(Reconciled::Unknown);
    }
    match trace(statement.text) {
        Trace::IndexBuilt { index, table } => {
            let of = |what: &str| {
                format!(
                    "SELECT {what} FROM pg_catalog.pg_class c
                     JOIN pg_catalog.pg_index i ON i.indexrelid = c.oid
                     WHERE i.indrelid = {} AND c.relname = {}",
                    regclass(&table),
                    literal(&index)
                )
            };
            match found(postgres, &of("i.indisvalid")).await? {
                Some(true) => Ok(Reconciled::Done),
                // Whether it will be what the statement says is not known.
                Some(false) if found(postgres, &of(BUILT)).await? == Some(true) => {
                    Ok(Reconciled::Unknown)
                }
                Some(false) => {
                    let schema = table.first().filter(|_| table.len() > 1);
                    let schema = schema.map_or(postgres.identity.schema.as_str(), String::as_str);
                    let name = quoted(&[schema.to_owned(), index]);
                    clear(postgres, &name).await?;
                    Ok(Reconciled::NotDone)
                }
                None => Ok(Reconciled::NotDone),
            }
        }
        Trace::IndexDropped { index } => {
            let sql = format!("SELECT {} IS NULL", regclass(&index));
            is_done(postgres, &sql).await
        }
        Trace::Rebuilt { of } => {
            for name in halves(postgres, &of).await? {
                clear(postgres, &name).await?;
            }
            Ok(Reconciled::NotDone)
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
                None => Ok(Reconciled::Done),
                Some(false) => Ok(Reconciled::NotDone),
                Some(true) => {
                    let (table, partition) = (quoted(&table), quoted(&partition));
                    let sql = format!("ALTER TABLE {table} DETACH PARTITION {partition} FINALIZE");
                    postgres.run("finish detaching the partition", sql).await?;
                    Ok(Reconciled::Done)
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
        Trace::Harmless => Ok(Reconciled::NotDone),
        Trace::Nothing => Ok(Reconciled::Unknown),
    }
}

/// The index that a statement makes concurrently, as SQL has its name, if it is there and invalid, and
/// nobody is at work on it.
pub(super) async fn left_invalid(
    postgres: &mut Postgres,
    statement: &str,
) -> Result<Option<String>, DatabaseError> {
    let Trace::IndexBuilt { index, table } = trace(statement) else { return Ok(None) };
    let doing = "look whether the index is valid";
    let sql = format!(
        "SELECT pg_catalog.format('%I.%I', n.nspname, c.relname) FROM pg_catalog.pg_class c
         JOIN pg_catalog.pg_index i ON i.indexrelid = c.oid
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
         WHERE i.indrelid = {} AND c.relname = {} AND NOT i.indisvalid AND NOT {BUILT}",
        regclass(&table),
        literal(&index)
    );
    let rows = postgres.ask(doing, sql).await?;
    rows.first().map(|row| row.try_get(0).map_err(failed(doing))).transpose()
}

async fn is_done(postgres: &mut Postgres, sql: &str) -> Result<Reconciled, DatabaseError> {
    let done = found(postgres, sql).await?.unwrap_or(false);
    Ok(if done { Reconciled::Done } else { Reconciled::NotDone })
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

/// Whether another session is at work on the index `i`: it holds this lock on the index or its table for
/// as long as that takes, over all of its transactions.
const BUILT: &str = "EXISTS (SELECT FROM pg_catalog.pg_locks l
    JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
    WHERE l.locktype = 'relation' AND l.mode = 'ShareUpdateExclusiveLock' AND l.granted
      AND l.relation IN (i.indexrelid, i.indrelid)
      AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
      AND l.pid <> pg_catalog.pg_backend_pid() AND a.backend_type = 'client backend')";

/// What a rebuild of these indexes that was cut short leaves, as SQL has their names. The server names
/// the new one after the index, and the old one too once the new one has its place.
async fn halves(postgres: &mut Postgres, of: &Rebuilt) -> Result<Vec<String>, DatabaseError> {
    let doing = "look for indexes that are half built";
    // With the parts of what is partitioned, and the tables for what is too long for a row.
    let (root, its) = match of {
        Rebuilt::Index(name) => (
            regclass(name),
            "EXISTS (SELECT FROM root JOIN pg_catalog.pg_index o ON o.indexrelid = root.oid
                     JOIN pg_catalog.pg_class n ON n.oid = o.indexrelid
                     WHERE o.indrelid = i.indrelid AND (n.relname = it.base OR
                           octet_length(c.relname::text) > 56 AND starts_with(n.relname, it.base)))"
                .to_owned(),
        ),
        Rebuilt::Table(name) => (
            regclass(name),
            "i.indrelid IN (SELECT t.oid FROM root JOIN pg_catalog.pg_class r ON r.oid = root.oid
                            JOIN pg_catalog.pg_class t ON t.oid IN (r.oid, r.reltoastrelid))"
                .to_owned(),
        ),
        Rebuilt::Schema(name) => (
            "NULL::oid".to_owned(),
            format!(
                "i.indrelid IN (SELECT t.oid FROM pg_catalog.pg_class r
                                JOIN pg_catalog.pg_namespace s ON s.oid = r.relnamespace
                                JOIN pg_catalog.pg_class t ON t.oid IN (r.oid, r.reltoastrelid)
                                WHERE s.nspname = {})",
                literal(name)
            ),
        ),
        Rebuilt::Database => ("NULL::oid".to_owned(), "true".to_owned()),
    };
    let sql = format!(
        "WITH RECURSIVE root (oid) AS (
             SELECT {root}::oid UNION
             SELECT h.inhrelid FROM pg_catalog.pg_inherits h JOIN root ON root.oid = h.inhparent)
         SELECT format('%I.%I', n.nspname, c.relname) FROM pg_catalog.pg_index i
         JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
         CROSS JOIN LATERAL (SELECT regexp_replace(c.relname, '_cc(new|old)[0-9]*$', '')) it (base)
         WHERE NOT i.indisvalid AND c.relname <> it.base AND {its} AND NOT {BUILT}"
    );
    let rows = postgres.ask(doing, sql).await?;
    rows.iter().map(|row| row.try_get(0).map_err(failed(doing))).collect()
}

fn quoted(name: &[String]) -> String {
    name.iter().map(|part| Postgres::quote(part)).collect::<Vec<_>>().join(".")
}

/// The number of a relation, as an expression; null where there is none.
fn regclass(name: &[String]) -> String {
    format!("pg_catalog.to_regclass({})", literal(&quoted(name)))
}
