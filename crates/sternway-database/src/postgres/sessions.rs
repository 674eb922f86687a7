//! The sessions of other clients, and whether ours is one at all.

use sqlx::Row;

use super::blockers::{COLUMNS, session};
use super::connect::open;
use super::{NAME, Postgres, failed, literal};
use crate::port::{Connect, DatabaseError, Session};

/// Which rows of `pg_stat_activity AS a` are other clients of this database.
fn others() -> String {
    format!(
        "a.datname = current_database() AND a.pid <> pg_catalog.pg_backend_pid()
         AND coalesce(a.backend_type, 'client backend') = 'client backend'
         AND coalesce(a.application_name, '') <> {}",
        literal(NAME)
    )
}

/// The sessions of other clients.
pub(super) async fn list(postgres: &mut Postgres) -> Result<Vec<Session>, DatabaseError> {
    if !postgres.has_sessions() {
        return Ok(Vec::new());
    }
    let doing = "list the sessions of other clients";
    let others = others();
    let sql =
        format!("SELECT {COLUMNS} FROM pg_catalog.pg_stat_activity a WHERE {others} ORDER BY 1");
    let rows = postgres.ask(doing, sql).await?;
    rows.iter().map(session).collect::<sqlx::Result<_>>().map_err(failed(doing))
}

/// Ends sessions, each one if it still is another client's. Tries all before it fails.
pub(super) async fn end(
    postgres: &mut Postgres,
    sessions: &[Session],
) -> Result<(), DatabaseError> {
    let mut ended = Ok(());
    for Session { pid, user, .. } in sessions {
        // The number may have become another session's.
        let sql = format!(
            "SELECT pg_catalog.pg_terminate_backend(a.pid) FROM pg_catalog.pg_stat_activity a
             WHERE a.pid = {pid} AND coalesce(a.usename::text, '') = {} AND {}",
            literal(user),
            others()
        );
        let asked = postgres.run(&format!("end session {pid} of `{user}`"), sql).await;
        ended = ended.and(asked);
    }
    ended
}

/// Whether our connection changes hands between two transactions.
///
/// A server knows what the driver asks for when it connects; a proxy that shares its connections with
/// the server answers for itself. Where it seems so, a second connection makes sure: two clients of a
/// server never have the same process there, and one client never has two.
pub(super) async fn are_pooled(postgres: &mut Postgres) -> Result<bool, DatabaseError> {
    if !postgres.has_sessions() {
        return Ok(false);
    }
    let doing = "ask whether the server itself answers";
    let sql = "SELECT pg_catalog.pg_backend_pid(), (SELECT source = 'client'
               FROM pg_catalog.pg_settings WHERE name = 'extra_float_digits')";
    let row = postgres.ask_one(doing, sql.to_owned()).await?;
    let process: i32 = row.try_get(0).map_err(failed(doing))?;
    let direct: Option<bool> = row.try_get(1).map_err(failed(doing))?;
    if process != postgres.backend.process {
        return Ok(true);
    }
    if direct == Some(true) {
        return Ok(false);
    }
    let options = postgres.backend.options.clone().application_name(NAME);
    let mut second = match open(&options, postgres.backend.connect_timeout).await {
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
        let row = postgres.ask_one(doing, ask.to_owned()).await?;
        let ours: i32 = row.try_get(0).map_err(failed(doing))?;
        if ours != process || theirs == ours {
            return Ok(true);
        }
    }
    Ok(false)
}
