//! The sessions of other clients, and how long a body waits for them.
//!
//! Which session holds a lock on a table's definition is known only to servers that are asked to keep
//! account of it; what every server tells is who has a transaction open.

use std::time::Duration;

use sqlx::mysql::MySqlRow;

use super::{MySql, cell, failed, number, optional};
use crate::port::{DatabaseError, Limits, Session, StepError};

/// The sessions of other clients with this database, as far as the user may see them.
pub(super) async fn list(mysql: &mut MySql) -> Result<Vec<Session>, DatabaseError> {
    let ours = ours(mysql).await?;
    let with = "LEFT JOIN information_schema.INNODB_TRX t ON t.trx_mysql_thread_id = p.ID";
    let age = "TIMESTAMPDIFF(SECOND, t.trx_started, NOW())";
    match ask(mysql, age, with, &ours).await {
        // Only some may see transactions.
        Err(error) if number(&error) == Some(1227) => ask(mysql, "NULL", "", &ours).await,
        sessions => sessions,
    }
}

/// The server's numbers for our own sessions.
async fn ours(mysql: &mut MySql) -> Result<String, DatabaseError> {
    let mut ours = mysql.id.to_string();
    if let Some(helper) = &mut mysql.helper {
        let asked = sqlx::raw_sql("SELECT CONNECTION_ID() AS id").fetch_one(helper).await;
        let row = asked.map_err(failed("ask which session is ours"))?;
        ours.push_str(&format!(", {}", cell(&row, "id")));
    }
    Ok(ours)
}

async fn ask(
    mysql: &mut MySql,
    age: &str,
    with: &str,
    ours: &str,
) -> Result<Vec<Session>, DatabaseError> {
    let sql = format!(
        "SELECT p.ID AS id, p.USER AS user, p.HOST AS host, p.COMMAND AS command, p.STATE AS state,
                p.INFO AS info, {age} AS age
         FROM information_schema.PROCESSLIST p {with}
         WHERE p.DB = {} AND p.ID NOT IN ({ours})
           AND p.COMMAND NOT IN ('Daemon', 'Binlog Dump', 'Killed') ORDER BY p.ID",
        MySql::literal(&mysql.identity.database)
    );
    let rows = mysql.fetch("list the sessions of other clients", sql).await?;
    Ok(rows.iter().map(session).collect())
}

fn session(row: &MySqlRow) -> Session {
    let (host, command, state) = (cell(row, "host"), cell(row, "command"), cell(row, "state"));
    let from = host.rsplit_once(':').map_or(host.as_str(), |(host, _)| host).to_owned();
    let info = cell(row, "info");
    Session {
        pid: cell(row, "id").parse().unwrap_or(0),
        application: String::new(),
        user: cell(row, "user"),
        from,
        state: match state.is_empty() {
            true => command.to_lowercase(),
            false => state.to_lowercase(),
        },
        query: info.trim().lines().next().unwrap_or_default().chars().take(120).collect(),
        seconds: optional(row, "age").and_then(|age| age.parse().ok()),
    }
}

/// Ends sessions, each one if it still is another client's of this database. Tries all before it fails.
pub(super) async fn end(mysql: &mut MySql, sessions: &[Session]) -> Result<(), DatabaseError> {
    let there = list(mysql).await?;
    let is_there = |it: &&Session| there.iter().any(|at| at.pid == it.pid && at.user == it.user);
    let mut ended = Ok(());
    for Session { pid, user, .. } in sessions.iter().filter(is_there) {
        let doing = format!("end session {pid} of `{user}`");
        let killed = match mysql.run(&doing, format!("KILL CONNECTION {pid}")).await {
            // It has gone by itself.
            Err(error) if number(&error) == Some(1094) => Ok(()),
            killed => killed,
        };
        ended = ended.and(killed);
    }
    ended
}

/// Sets the limits for the session. The server counts in seconds.
pub(super) async fn limit(mysql: &mut MySql, limits: Limits) -> Result<(), DatabaseError> {
    let seconds = |limit: Duration| limit.as_millis().div_ceil(1000).max(1);
    let mut settings = Vec::new();
    if let Some(limit) = limits.lock.map(seconds) {
        settings.push(format!("SESSION lock_wait_timeout = {limit}"));
        settings.push(format!("SESSION innodb_lock_wait_timeout = {limit}"));
    }
    // MySQL limits only what reads.
    if let (Some(limit), true) = (limits.statement, mysql.mariadb) {
        settings.push(format!("SESSION max_statement_time = {:.3}", limit.as_secs_f64()));
    }
    set(mysql, settings).await
}

async fn set(mysql: &mut MySql, settings: Vec<String>) -> Result<(), DatabaseError> {
    match settings.is_empty() {
        true => Ok(()),
        false => {
            mysql.run("limit what the body waits for", format!("SET {}", settings.join(", "))).await
        }
    }
}

/// Takes the limits back.
pub(super) async fn put_back(mysql: &mut MySql, limits: Limits) {
    let mut settings = Vec::new();
    if limits.lock.is_some() {
        settings.push("SESSION lock_wait_timeout = DEFAULT".to_owned());
        settings.push("SESSION innodb_lock_wait_timeout = DEFAULT".to_owned());
    }
    if limits.statement.is_some() && mysql.mariadb {
        settings.push("SESSION max_statement_time = DEFAULT".to_owned());
    }
    // A connection that is gone has no settings left.
    if set(mysql, settings).await.is_ok() {
        let _ = mysql.run("put the settings back", mysql.reset.clone()).await;
    }
}

/// Takes the limits back, and says of a body that met one what was in its way.
pub(super) async fn unlimit<T>(
    mysql: &mut MySql,
    limits: Limits,
    ended: Result<T, StepError>,
) -> Result<T, StepError> {
    put_back(mysql, limits).await;
    let Err(StepError::Dirty { file, statement, mut source, mut blockers }) = ended else {
        return ended;
    };
    match (source.code.split(' ').next(), limits) {
        (Some("1205"), Limits { lock: Some(limit), .. }) => {
            let mut sessions = list(mysql).await.unwrap_or_default();
            if sessions.iter().any(|it| it.seconds.is_some()) {
                sessions.retain(|it| it.seconds.is_some());
            }
            let names: Vec<String> = sessions.iter().map(Session::to_string).collect();
            let waited = limit.as_millis();
            source.detail = Some(format!("it waited {waited} ms; there are: {}", names.join(", ")));
            blockers = blockers.map(|_| sessions);
        }
        (Some("1205"), _) => blockers = None,
        (Some("1969"), Limits { statement: Some(limit), .. }) => {
            let limit = limit.as_millis();
            source.detail =
                Some(format!("it took longer than the {limit} ms that a statement may"));
        }
        _ => {}
    }
    Err(StepError::Dirty { file, statement, source, blockers })
}
