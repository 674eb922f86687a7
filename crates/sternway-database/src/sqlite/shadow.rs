//! Empty databases for rehearsals: in memory, with the settings of the URL.

use super::connect::{Options, session};
use super::{Sqlite, failed};
use crate::port::{Connect, DatabaseError};

/// What decides what bodies lead to in a database that [`create`] makes; what the URL sets is not asked.
const SERVER: &str = "
SELECT sqlite_version() || ' ' || sqlite_source_id() || ' ' ||
    (SELECT group_concat(compile_options, ' ') FROM pragma_compile_options)";

/// All that decides, beside the bodies and the URL, what they lead to in a database that [`create`] makes.
///
/// # Errors
/// When the URL is not valid.
pub async fn server(url: &str) -> Result<String, Connect> {
    let mut sqlite = session(Options::read(url)?.in_memory()).await?;
    let answer = sqlx::query_scalar(SERVER).fetch_one(&mut sqlite.connection).await;
    let source = |error| failed("ask what SQLite this is")(error);
    let place = || "memory".to_owned();
    answer.map_err(|error| Connect::Session { place: place(), source: source(error) })
}

/// Makes an empty database in memory. It goes away with the session, and has no name to be found by.
///
/// # Errors
/// When the URL is not valid.
pub async fn create(url: &str) -> Result<(Sqlite, String), Connect> {
    Ok((session(Options::read(url)?.in_memory()).await?, String::new()))
}

/// Does nothing: what [`create`] made went away with its session.
///
/// # Errors
/// None.
pub async fn remove() -> Result<(), DatabaseError> {
    Ok(())
}
