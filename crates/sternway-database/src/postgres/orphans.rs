//! Sessions that a migrator may have left behind: the server goes on with a statement whose client
//! is gone, and keeps its locks until then.

use sqlx::Row;
use sqlx::postgres::PgRow;

use super::blockers::{COLUMNS, session};
use super::{Postgres, failed, literal, lock};
use crate::port::{DatabaseError, Orphan};

/// A statement shorter than this may be anybody's.
const TELLING: usize = 16;

/// The sessions that hold one of the migrators' locks, or are at a statement of one of `bodies`.
pub(super) async fn list(
    postgres: &mut Postgres,
    tables: &[String],
    bodies: &[&str],
) -> Result<Vec<Orphan>, DatabaseError> {
    if !postgres.has_sessions() {
        return Ok(Vec::new());
    }
    let doing = "look for sessions that a migrator left behind";
    let ids = lock::array(&lock::of(postgres, tables));
    let sql = format!(
        "SELECT {COLUMNS}, coalesce(a.backend_start::text, ''), coalesce(a.state, ''), coalesce(a.query, ''),
                EXISTS (SELECT FROM pg_catalog.pg_locks l
                        WHERE l.pid = a.pid AND l.locktype = 'advisory' AND l.granted
                          AND l.objsubid = 1 AND l.database = a.datid
                          AND (l.classid::bigint << 32) + l.objid::bigint = ANY ({ids}))
         FROM pg_catalog.pg_stat_activity a
         WHERE a.datname = current_database() AND a.pid <> pg_catalog.pg_backend_pid()
         ORDER BY a.pid"
    );
    let rows = postgres.ask(doing, sql).await?;
    let read = rows.iter().map(|row| orphan(row, bodies)).collect::<Result<Vec<_>, _>>();
    let found = read.map_err(failed(doing))?.into_iter();
    Ok(found.filter(|it| it.locks || it.migrates).collect())
}

fn orphan(row: &PgRow, bodies: &[&str]) -> sqlx::Result<Orphan> {
    let (state, query): (String, String) = (row.try_get(8)?, row.try_get(9)?);
    Ok(Orphan {
        session: session(row)?,
        since: row.try_get(7)?,
        locks: row.try_get(10)?,
        migrates: state != "idle" && bodies.iter().any(|body| is_of(&query, body)),
    })
}

/// Whether a statement, which the server may have cut, is of this body. Sternway sends a `BEGIN;` in
/// front of one.
fn is_of(query: &str, body: &str) -> bool {
    let bare = |text: &str| text.trim_matches(|c: char| c.is_whitespace() || c == ';').to_owned();
    let query = query.trim_start();
    let (query, whole) = (bare(query.strip_prefix("BEGIN;").unwrap_or(query)), bare(body));
    !query.is_empty() && query.len() >= TELLING.min(whole.len()) && body.contains(&query)
}

/// Ends sessions, each one if it still is the same.
pub(super) async fn end(postgres: &mut Postgres, orphans: &[Orphan]) -> Result<(), DatabaseError> {
    for Orphan { session, since, .. } in orphans {
        let sql = format!(
            "SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity
             WHERE pid = {} AND coalesce(backend_start::text, '') = {}",
            session.pid,
            literal(since)
        );
        postgres.run(&format!("end session {}", session.pid), sql).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_of_a_body_is_known_whole_cut_and_behind_a_begin() {
        let body = "CREATE TABLE a (x int);\nCREATE INDEX CONCURRENTLY a_x ON a (x);\n";
        assert!(is_of(body, body));
        assert!(is_of("BEGIN;CREATE TABLE a (x int);\nCREATE INDEX CONC", body));
        assert!(is_of("CREATE INDEX CONCURRENTLY a_x ON a (x)", body));
        assert!(!is_of("SELECT 1", body) && !is_of("", body) && !is_of("COMMIT", body));
        assert!(is_of("DROP TABLE a;", "DROP TABLE a;\n") && !is_of("x", "DROP TABLE a;"));
    }
}
