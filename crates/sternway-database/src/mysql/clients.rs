//! The sessions of other clients.
//!
//! Which session holds a lock on a table's definition is known only to servers that are asked to keep
//! account of it; what every server tells is who has a transaction open.

use async_trait::async_trait;
use sqlx::mysql::MySqlRow;

use super::{MySql, cell, failed, number, number_in, optional};
use crate::port::{Clients, DatabaseError, Orphan, Session};

#[async_trait]
impl Clients for MySql {
    async fn sessions(&mut self) -> Result<Vec<Session>, DatabaseError> {
        let ours = ours(self).await?;
        let with = "LEFT JOIN information_schema.INNODB_TRX t ON t.trx_mysql_thread_id = p.ID";
        let age = "TIMESTAMPDIFF(SECOND, t.trx_started, NOW())";
        match ask(self, age, with, &ours).await {
            // Only some may see transactions.
            Err(error) if number(&error) == Some(1227) => ask(self, "NULL", "", &ours).await,
            sessions => sessions,
        }
    }

    async fn end_sessions(&mut self, sessions: &[Session]) -> Result<(), DatabaseError> {
        let there = self.sessions().await?;
        let is_there =
            |it: &&Session| there.iter().any(|at| at.pid == it.pid && at.user == it.user);
        let mut ended = Ok(());
        for Session { pid, user, .. } in sessions.iter().filter(is_there) {
            let doing = format!("end session {pid} of `{user}`");
            let killed = match self.run(&doing, format!("KILL CONNECTION {pid}")).await {
                // It has gone by itself.
                Err(error) if number(&error) == Some(1094) => Ok(()),
                killed => killed,
            };
            ended = ended.and(killed);
        }
        ended
    }

    /// No statement of another session is known for one of a migration: who holds a lock is told by
    /// the refusal to give it.
    async fn orphans(
        &mut self,
        _tables: &[String],
        _bodies: &[&str],
    ) -> Result<Vec<Orphan>, DatabaseError> {
        Ok(Vec::new())
    }

    /// None were found.
    async fn end_found_orphans(&mut self, _orphans: &[Orphan]) -> Result<(), DatabaseError> {
        Ok(())
    }

    /// A proxy that shares connections keeps those for itself that hold a lock.
    async fn is_pooled(&mut self) -> Result<bool, DatabaseError> {
        Ok(false)
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
    rows.iter().map(session).collect()
}

fn session(row: &MySqlRow) -> Result<Session, DatabaseError> {
    let (host, command, state) = (cell(row, "host"), cell(row, "command"), cell(row, "state"));
    let from = host.rsplit_once(':').map_or(host.as_str(), |(host, _)| host).to_owned();
    let info = cell(row, "info");
    Ok(Session {
        pid: number_in(Some(row), "id")?,
        application: String::new(),
        user: cell(row, "user"),
        from,
        state: match state.is_empty() {
            true => command.to_lowercase(),
            false => state.to_lowercase(),
        },
        query: info.trim().lines().next().unwrap_or_default().chars().take(120).collect(),
        seconds: optional(row, "age").and_then(|age| age.parse().ok()),
    })
}
