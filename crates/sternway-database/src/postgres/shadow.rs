//! Empty databases on a server, for rehearsals that the PostgreSQL inside the process cannot do.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use sqlx::Row;

use super::connect::{connect, connect_to, read};
use super::{Postgres, failed};
use crate::port::{Connect, Connection, DatabaseError};

/// What decides what bodies lead to in a database that [`create`] makes.
const SERVER: &str = "
SELECT pg_catalog.concat_ws(E'\\n', version(), current_user, session_user,
    (SELECT pg_catalog.concat_ws(' ', encoding, datcollate, datctype)
     FROM pg_catalog.pg_database WHERE datname = 'template0'),
    (SELECT pg_catalog.string_agg(s.name || '=' || s.setting, E'\\n' ORDER BY s.name)
     FROM pg_catalog.pg_settings s),
    (SELECT pg_catalog.string_agg(e.name || ' ' || e.default_version, E'\\n' ORDER BY e.name)
     FROM pg_catalog.pg_available_extensions e),
    (SELECT pg_catalog.string_agg(r::text, E'\\n' ORDER BY r.rolname) FROM
     (SELECT rolname, rolsuper, rolinherit, rolcreaterole, rolcreatedb, rolbypassrls, rolconfig
      FROM pg_catalog.pg_roles) r),
    (SELECT pg_catalog.string_agg(t.spcname, ' ' ORDER BY t.spcname)
     FROM pg_catalog.pg_tablespace t))";

/// All that decides, beside the bodies, what they lead to in a database that [`create`] makes.
///
/// # Errors
/// When the server cannot be asked.
pub async fn server(url: &str) -> Result<String, Connect> {
    let mut server = connect_to(read(url)?, None, None).await?;
    let doing = "ask what the server for rehearsals is";
    let answer = match server.ask_one(doing, SERVER.to_owned()).await {
        Ok(row) => row.try_get(0).map_err(failed(doing)),
        Err(error) => Err(error),
    };
    let place = server.identity().server.clone();
    answer.map_err(|source| Connect::Session { place, source })
}

/// Makes an empty database on the server that `url` leads to, and opens a session with it, with
/// `schema` for the current one. Returns its name as well, for [`remove`].
///
/// # Errors
/// When there is no session, or the user may not create databases.
pub async fn create(url: &str, schema: &str) -> Result<(Postgres, String), Connect> {
    static MADE: AtomicU32 = AtomicU32::new(0);
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let made = MADE.fetch_add(1, Ordering::Relaxed);
    let (process, nanos) = (std::process::id(), since.as_nanos());
    let name = format!("sternway_rehearsal_{process}_{nanos}_{made}");
    let mut server = connect_to(read(url)?, None, None).await?;
    let place = server.identity().server.clone();
    let sql = format!("CREATE DATABASE {} TEMPLATE template0", Postgres::quote(&name));
    let created = server.run("create a database to rehearse in", sql).await;
    created.map_err(|source| Connect::Session { place: place.clone(), source })?;
    let mut session = connect_to(read(url)?, None, Some(&name)).await?;
    let lives = session.live_in(schema).await;
    lives.map_err(|source| Connect::Session { place, source })?;
    Ok((session, name))
}

/// Drops a database that [`create`] made.
///
/// # Errors
/// When it cannot be dropped; it is then left behind.
pub async fn remove(url: &str, name: &str) -> Result<(), DatabaseError> {
    let doing = format!("drop the database `{name}`");
    let mut server = connect(url, None).await.map_err(|error| {
        let source = sqlx::Error::Configuration(error.into());
        DatabaseError::Query { doing: doing.clone(), source }
    })?;
    let sql = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", Postgres::quote(name));
    server.run(&doing, sql).await
}
