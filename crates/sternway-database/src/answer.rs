//! Queries of the user's own, as the dialects ask them.

/// What is being done, for errors.
pub const ANSWER: &str = "answer a query of the settings";

/// A query without the semicolon at its end, so that it can stand in another one.
pub fn bare(query: &str) -> &str {
    query.trim().trim_end_matches(';')
}
