//! Holding the schema of a database against the one that it should have.

use sternway_database::{Database, DatabaseError};
use sternway_model::proof::{Comparison, Expected, Fingerprint, compare};

use crate::unanswered::Unanswered;

/// Compares the database's schema, tracking tables left out, with what is expected.
///
/// # Errors
/// When the schema cannot be read.
pub async fn verify(
    database: &mut dyn Database,
    tables: &[String],
    expected: &Expected,
) -> Result<Comparison, DatabaseError> {
    Ok(compare(expected, &database.fingerprint(tables).await?))
}

/// The schema of a database, tracking tables left out.
///
/// # Errors
/// When it cannot be read.
pub async fn fingerprint(
    database: &mut dyn Database,
    tables: &[String],
) -> Result<Fingerprint, Unanswered> {
    database.fingerprint(tables).await.map_err(Unanswered::to("read the schema"))
}
