//! Empty databases on a server, for rehearsals.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use sqlx::{AssertSqlSafe, MySqlConnection};

use super::connect::{connect_to, open, target};
use super::{MySql, failed};
use crate::port::{Connect, DatabaseError};

/// Makes an empty database on the server that `url` leads to, and opens a session with it. Returns
/// its name as well, for [`remove`].
///
/// # Errors
/// When there is no session, or the user may not create databases.
pub async fn create(url: &str) -> Result<(MySql, String), Connect> {
    static MADE: AtomicU32 = AtomicU32::new(0);
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let made = MADE.fetch_add(1, Ordering::Relaxed);
    let (process, nanos) = (std::process::id(), since.as_nanos());
    let name = format!("sternway_rehearsal_{process}_{nanos}_{made}");
    let mut server = open(&target(url, None)?).await?;
    // With the character set of the database that the URL names: tables take it over.
    let sql = format!(
        "SET @sternway_make = CONCAT('CREATE DATABASE {} COLLATE ', @@collation_database);
         PREPARE sternway_make FROM @sternway_make; EXECUTE sternway_make",
        MySql::quote(&name)
    );
    let created = run(&mut server, "create a database to rehearse in", sql).await;
    let place = || "the server".to_owned();
    created.map_err(|source| Connect::Session { place: place(), source })?;
    Ok((connect_to(url, &name).await?, name))
}

/// Drops a database that [`create`] made.
///
/// # Errors
/// When it cannot be dropped; it is then left behind.
pub async fn remove(url: &str, name: &str) -> Result<(), DatabaseError> {
    let doing = format!("drop the database `{name}`");
    let server = match target(url, None) {
        Ok(target) => open(&target).await,
        Err(error) => Err(error),
    };
    let mut server = server.map_err(|error| {
        let source = sqlx::Error::Configuration(error.into());
        DatabaseError::Query { doing: doing.clone(), source }
    })?;
    run(&mut server, &doing, format!("DROP DATABASE IF EXISTS {}", MySql::quote(name))).await
}

async fn run(server: &mut MySqlConnection, doing: &str, sql: String) -> Result<(), DatabaseError> {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(server).await.map(drop).map_err(failed(doing))
}
