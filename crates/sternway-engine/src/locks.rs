//! The locks by which migrators keep each other out, around what is no run.

use std::time::Duration;

use sternway_database::{Database, DatabaseError, LockError};

use crate::unanswered::Unanswered;

/// Does something while no migrator is at work on these tracking tables, and keeps all of them out
/// meanwhile, trying to for as long as `lock_timeout`.
///
/// # Errors
/// Those of `what`, and where the locks are not obtained or cannot be given back.
pub async fn under_locks<T, E: From<LockError> + From<DatabaseError>>(
    database: &mut dyn Database,
    tables: &[String],
    lock_timeout: Duration,
    what: impl AsyncFnOnce(&mut dyn Database) -> Result<T, E>,
) -> Result<T, E> {
    database.lock(tables, lock_timeout).await?;
    let done = what(database).await;
    let unlocked = database.unlock().await;
    let done = done?;
    unlocked?;
    Ok(done)
}

/// Whether a migrator is at work on these tracking tables this moment.
///
/// # Errors
/// When the database does not answer.
pub async fn at_work(database: &mut dyn Database, tables: &[String]) -> Result<bool, Unanswered> {
    let unlocked = match database.lock(tables, Duration::ZERO).await {
        Ok(()) => database.unlock().await,
        Err(LockError::Held(_)) => return Ok(true),
        Err(LockError::Database(cause)) => Err(cause),
    };
    unlocked.map_err(Unanswered::to("tell whether a migrator is at work"))?;
    Ok(false)
}
