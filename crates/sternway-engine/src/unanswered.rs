//! A question that a database did not answer.

use sternway_database::DatabaseError;
use thiserror::Error;

/// What was to be found out or done, and why it was not.
#[derive(Debug, Error)]
#[error("cannot {what}")]
pub struct Unanswered {
    /// What was attempted, as in `cannot read the schema`: `read the schema`.
    pub what: &'static str,
    /// Why it failed.
    #[source]
    pub cause: DatabaseError,
}

impl Unanswered {
    /// For `map_err`: gives an error the attempt that it ended.
    pub fn to(what: &'static str) -> impl FnOnce(DatabaseError) -> Unanswered {
        move |cause| Unanswered { what, cause }
    }
}
