//! The named locks that golang-migrate takes, so that it and Sternway never work at once.
//!
//! golang-migrate derives the name from the database and the tracking table: the database as its URL
//! writes it, or as the server does where it was given a connection. Both are held where they differ.
//! The server has no other way to ask than `GET_LOCK`; it is asked without waiting, so that all are
//! had or none.

use std::time::{Duration, Instant};

use async_trait::async_trait;

use super::{MySql, cell, progress};
use crate::go::lock_number;
use crate::port::{DatabaseError, Holder, LockError, Locks};

/// How long to wait between two tries.
const PAUSE: Duration = Duration::from_millis(100);

/// The name of golang-migrate's lock on a tracking table.
pub fn lock_name(database: &str, table: &str) -> String {
    lock_number(&format!("{database}:{table}")).to_string()
}

#[async_trait]
impl Locks for MySql {
    async fn lock(&mut self, tables: &[String], lock_timeout: Duration) -> Result<(), LockError> {
        if self.target.no_lock {
            return Ok(());
        }
        let written = self.target.options.get_database().unwrap_or_default();
        let databases = [written, self.identity.database.as_str()];
        let mut names: Vec<String> = tables
            .iter()
            .flat_map(|table| databases.map(|database| lock_name(database, table)))
            .collect();
        // In one order, so that two who want several do not hinder each other for ever.
        names.sort_unstable();
        names.dedup();
        // The server counts: what is taken twice has to be given back twice.
        names.retain(|name| !self.locks.contains(name));
        let start = Instant::now();
        loop {
            let mut missed = None;
            for name in &names {
                if !ask(self, "take the locks", format!("GET_LOCK('{name}', 0)")).await? {
                    missed = Some(name.clone());
                    break;
                }
                self.locks.push(name.clone());
            }
            let Some(missed) = missed else { return Ok(()) };
            let taken: Vec<String> =
                names.iter().take_while(|it| **it != missed).cloned().collect();
            release(self, &taken).await?;
            if start.elapsed() >= lock_timeout {
                return Err(LockError::Held(holders(self, &missed).await?));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Sessions do not say what they call themselves: none is known to be Sternway's.
    async fn end_orphans(&mut self, _tables: &[String]) -> Result<Vec<Holder>, DatabaseError> {
        Ok(Vec::new())
    }

    async fn unlock(&mut self) -> Result<(), DatabaseError> {
        let cleared = progress::clear(self).await;
        let locks = self.locks.clone();
        release(self, &locks).await?;
        cleared
    }
}

async fn release(mysql: &mut MySql, names: &[String]) -> Result<(), DatabaseError> {
    if names.is_empty() {
        return Ok(());
    }
    mysql.locks.retain(|name| !names.contains(name));
    let calls: Vec<String> = names.iter().map(|name| format!("RELEASE_LOCK('{name}')")).collect();
    mysql.run("give the locks back", format!("DO {}", calls.join(", "))).await
}

/// Whether an expression is true.
async fn ask(mysql: &mut MySql, doing: &str, expression: String) -> Result<bool, DatabaseError> {
    let rows = mysql.fetch(doing, format!("SELECT {expression} AS answer")).await?;
    Ok(rows.first().is_some_and(|row| cell(row, "answer") == "1"))
}

/// Who holds a lock. Without the right to see the sessions of others, only its number is known.
async fn holders(mysql: &mut MySql, name: &str) -> Result<Vec<Holder>, DatabaseError> {
    let sql = format!(
        "SELECT l.id AS id, p.USER AS user, p.HOST AS host, p.COMMAND AS command, p.STATE AS state
         FROM (SELECT IS_USED_LOCK('{name}') AS id) AS l
         LEFT JOIN information_schema.PROCESSLIST p ON p.ID = l.id WHERE l.id IS NOT NULL"
    );
    let rows = mysql.fetch("find out who holds the locks", sql).await?;
    let holder = |row: &sqlx::mysql::MySqlRow| {
        let (host, state) = (cell(row, "host"), cell(row, "state"));
        let host = host.rsplit_once(':').map_or(host.as_str(), |(host, _)| host);
        let command = match cell(row, "command").as_str() {
            "Sleep" => "idle".to_owned(),
            "Query" if state.is_empty() => "active".to_owned(),
            "Query" => state,
            "" => "unknown".to_owned(),
            other => other.to_lowercase(),
        };
        let from = match cell(row, "user").as_str() {
            "" => "of another user".to_owned(),
            user => format!("user {user} from {host}"),
        };
        let pid = cell(row, "id").parse().unwrap_or(i32::MAX);
        Holder { pid, application: String::new(), from, state: command }
    };
    Ok(rows.iter().map(holder).collect())
}

#[cfg(test)]
mod tests {
    use super::lock_name;

    #[test]
    fn the_name_is_golang_migrates() {
        assert_eq!(lock_name("app", "schema_migrations"), "2938252834");
    }
}
