//! The sessions of other clients, those that a migrator may have left behind, and whether ours is one
//! at all: the server goes on with a statement whose client is gone, and keeps its locks until then.

use async_trait::async_trait;
use sqlx::Row;
use sqlx::postgres::PgRow;

use super::blockers::{COLUMNS, session};
use super::connect::open;
use super::{NAME, Postgres, failed, literal, lock};
use crate::port::{Clients, Connect, DatabaseError, Orphan, Session};

/// A statement shorter than this may be anybody's.
const TELLING: usize = 16;

/// Which rows of `pg_stat_activity AS a` are other clients of this database.
fn others() -> String {
    format!(
        "a.datname = current_database() AND a.pid <> pg_catalog.pg_backend_pid()
         AND coalesce(a.backend_type, 'client backend') = 'client backend'
         AND coalesce(a.application_name, '') <> {}",
        literal(NAME)
    )
}

#[async_trait]
impl Clients for Postgres {
    async fn sessions(&mut self) -> Result<Vec<Session>, DatabaseError> {
        if !self.has_sessions() {
            return Ok(Vec::new());
        }
        let doing = "list the sessions of other clients";
        let others = others();
        let sql = format!(
            "SELECT {COLUMNS} FROM pg_catalog.pg_stat_activity a WHERE {others} ORDER BY 1"
        );
        let rows = self.ask(doing, sql).await?;
        rows.iter().map(session).collect::<sqlx::Result<_>>().map_err(failed(doing))
    }

    async fn end_sessions(&mut self, sessions: &[Session]) -> Result<(), DatabaseError> {
        let mut ended = Ok(());
        for Session { pid, user, .. } in sessions {
            // The number may have become another session's.
            let sql = format!(
                "SELECT pg_catalog.pg_terminate_backend(a.pid) FROM pg_catalog.pg_stat_activity a
                 WHERE a.pid = {pid} AND coalesce(a.usename::text, '') = {} AND {}",
                literal(user),
                others()
            );
            let asked = self.run(&format!("end session {pid} of `{user}`"), sql).await;
            ended = ended.and(asked);
        }
        ended
    }

    async fn orphans(
        &mut self,
        tables: &[String],
        bodies: &[&str],
    ) -> Result<Vec<Orphan>, DatabaseError> {
        if !self.has_sessions() {
            return Ok(Vec::new());
        }
        let doing = "look for sessions that a migrator left behind";
        let ids = lock::array(&lock::of(self, tables));
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
        let rows = self.ask(doing, sql).await?;
        let read = rows.iter().map(|row| orphan(row, bodies)).collect::<Result<Vec<_>, _>>();
        let found = read.map_err(failed(doing))?.into_iter();
        Ok(found.filter(|it| it.locks || it.migrates).collect())
    }

    async fn end_found_orphans(&mut self, orphans: &[Orphan]) -> Result<(), DatabaseError> {
        for Orphan { session, since, .. } in orphans {
            let sql = format!(
                "SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity
                 WHERE pid = {} AND coalesce(backend_start::text, '') = {}",
                session.pid,
                literal(since)
            );
            self.run(&format!("end session {}", session.pid), sql).await?;
        }
        Ok(())
    }

    /// Whether our connection changes hands between two transactions.
    ///
    /// A server knows what the driver asks for when it connects; a proxy that shares its connections with
    /// the server answers for itself. Where it seems so, a second connection makes sure: two clients of a
    /// server never have the same process there, and one client never has two.
    async fn is_pooled(&mut self) -> Result<bool, DatabaseError> {
        if !self.has_sessions() {
            return Ok(false);
        }
        let doing = "ask whether the server itself answers";
        let sql = "SELECT pg_catalog.pg_backend_pid(), (SELECT source = 'client'
                   FROM pg_catalog.pg_settings WHERE name = 'extra_float_digits')";
        let row = self.ask_one(doing, sql.to_owned()).await?;
        let process: i32 = row.try_get(0).map_err(failed(doing))?;
        let direct: Option<bool> = row.try_get(1).map_err(failed(doing))?;
        if process != self.backend.process {
            return Ok(true);
        }
        if direct == Some(true) {
            return Ok(false);
        }
        let options = self.backend.options.clone().application_name(NAME);
        let mut second = match open(&options, self.backend.connect_timeout).await {
            Ok(second) => second,
            Err(Connect::Session { source, .. }) => return Err(source),
            // With no room for a second one nothing can be told.
            Err(error) => {
                tracing::debug!("there is no second connection: {error}");
                return Ok(false);
            }
        };
        let ask = "SELECT pg_catalog.pg_backend_pid()";
        for _ in 0..3 {
            // A simple query: a prepared one is not there after a change of hands.
            let row = sqlx::raw_sql(ask).fetch_one(&mut second).await.map_err(failed(doing))?;
            let theirs: i32 = row.try_get(0).map_err(failed(doing))?;
            let row = self.ask_one(doing, ask.to_owned()).await?;
            let ours: i32 = row.try_get(0).map_err(failed(doing))?;
            if ours != process || theirs == ours {
                return Ok(true);
            }
        }
        Ok(false)
    }
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
