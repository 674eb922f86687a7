//! The driver's errors in plain words. Its own speak of its types and functions, and PostgreSQL's of the
//! lines of its source, which nobody should look for in a migration.

use std::error::Error;

use sqlx::error::DatabaseError;
use sqlx::mysql::MySqlDatabaseError;
use sqlx::postgres::PgDatabaseError;

/// What a driver's error says to a person; `None` for the errors of others. It says all that its causes do.
pub fn in_plain_words(error: &(dyn Error + 'static)) -> Option<String> {
    Some(match error.downcast_ref::<sqlx::Error>()? {
        sqlx::Error::Database(error) => of_the_server(error.as_ref()),
        sqlx::Error::Io(error) => error.to_string(),
        sqlx::Error::Tls(error) | sqlx::Error::Configuration(error) => error.to_string(),
        sqlx::Error::Protocol(words) => words.clone(),
        sqlx::Error::RowNotFound => "the answer has no row".to_owned(),
        sqlx::Error::ColumnDecode { index, .. } => {
            format!("the answer has no value, or one of another type, in column {index}")
        }
        sqlx::Error::Decode(_) => "the answer has a value of another type".to_owned(),
        sqlx::Error::WorkerCrashed => "the connection is lost".to_owned(),
        other => other.to_string(),
    })
}

fn of_the_server(error: &dyn DatabaseError) -> String {
    if let Some(error) = error.try_downcast_ref::<PgDatabaseError>() {
        return error.message().to_owned();
    }
    match error.try_downcast_ref::<MySqlDatabaseError>() {
        Some(error) => {
            let state = error.code().unwrap_or("HY000");
            format!("{} ({state}): {}", error.number(), error.message())
        }
        None => error.message().to_owned(),
    }
}
