//! Empty databases for rehearsals: in memory, with the settings of the URL.

use super::Sqlite;
use super::connect::{Options, session};
use crate::port::{Connect, DatabaseError};

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
