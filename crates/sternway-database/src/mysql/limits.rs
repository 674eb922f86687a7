//! How long a body may wait for others, and run.

use std::time::Duration;

use super::MySql;
use crate::port::{Clients, DatabaseError, Limits, Session, StepError};

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
pub(super) async fn lift(mysql: &mut MySql, limits: Limits) {
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
    lift(mysql, limits).await;
    let Err(StepError::Dirty { file, statement, since, mut source, mut blockers }) = ended else {
        return ended;
    };
    match (source.code.split(' ').next(), limits) {
        (Some("1205"), Limits { lock: Some(limit), .. }) => {
            let mut sessions = mysql.sessions().await.unwrap_or_default();
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
    Err(StepError::Dirty { file, statement, since, source, blockers })
}
