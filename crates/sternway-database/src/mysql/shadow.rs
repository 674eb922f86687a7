//! Empty databases on a server, for rehearsals.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use sqlx::{AssertSqlSafe, MySqlConnection, Row};

use super::connect::{connect_to, open, target};
use super::{MySql, failed};
use crate::port::{Connect, DatabaseError};

/// Variables that say nothing about what bodies lead to, and are never the same.
const PASSING: [&str; 13] = [
    "error_count",
    "gtid_",
    "identity",
    "in_transaction",
    "insert_id",
    "last_gtid",
    "last_insert_id",
    "proxy_user",
    "pseudo_thread_id",
    "rand_seed",
    "timestamp",
    "warning_count",
    "wsrep_",
];

/// All that decides, beside the bodies, what they lead to in a database that [`create`] makes.
///
/// # Errors
/// When the server cannot be asked.
pub async fn server(url: &str) -> Result<String, Connect> {
    let mut server = open(&target(url, None)?).await?;
    let mut lines = Vec::new();
    for sql in ["SELECT 'user', CURRENT_USER()", "SHOW VARIABLES"] {
        let rows = sqlx::raw_sql(sql).fetch_all(&mut server).await;
        let rows = rows.map_err(failed("ask what the server for rehearsals is"));
        let place = || "the server".to_owned();
        for row in rows.map_err(|source| Connect::Session { place: place(), source })? {
            let text = |column: usize| row.try_get_unchecked::<String, _>(column);
            let (name, value) = (text(0).unwrap_or_default(), text(1).unwrap_or_default());
            if !PASSING.iter().any(|passing| name.starts_with(passing)) {
                lines.push(format!("{name}={value}"));
            }
        }
    }
    Ok(lines.join("\n"))
}

/// Makes an empty database on the server that `url` leads to, and opens a session with it. Returns
/// its name as well, for [`remove`].
///
/// # Errors
/// When there is no session, or the user may not create databases.
pub async fn create(url: &str, collation: &str) -> Result<(MySql, String), Connect> {
    static MADE: AtomicU32 = AtomicU32::new(0);
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let made = MADE.fetch_add(1, Ordering::Relaxed);
    let (process, nanos) = (std::process::id(), since.as_nanos());
    let name = format!("sternway_rehearsal_{process}_{nanos}_{made}");
    let mut server = open(&target(url, None)?).await?;
    // Tables take it over.
    let collation = match collation {
        "" => "@@collation_database".to_owned(),
        collation => MySql::literal(collation),
    };
    let sql = format!(
        "SET @sternway_make = CONCAT('CREATE DATABASE {} COLLATE ', {collation});
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
