//! Queries of the user's own: which text may stand in a query of ours, before any server is asked.
//!
//! The server is asked to let nothing be written besides; what is refused here is what could end that.

use crate::port::DatabaseError;
use crate::tokens::{Spelling, Word, is_even};

/// What is being done, for errors.
pub const DOING: &str = "answer a query of the settings";

/// What a statement begins with that reads.
const READS: [&str; 5] = ["SELECT", "WITH", "VALUES", "TABLE", "("];

/// The one statement that a query is, without what stands around it. `obstacle` is why the lexer could
/// not cut the query with certainty.
pub fn only<'a, 'b, K: Spelling + 'b>(
    query: &'a str,
    statements: &[impl AsRef<[Word<'b, K>]>],
    obstacle: Option<String>,
) -> Result<&'a str, DatabaseError> {
    let refused = |reason: String| DatabaseError::NoQuery { reason };
    if let Some(reason) = obstacle {
        return Err(refused(reason));
    }
    let [words] = statements else {
        return Err(refused(format!("it is {} statements", statements.len())));
    };
    let words = words.as_ref();
    let (Some(first), Some(last)) = (words.first(), words.last()) else {
        return Err(refused("it is empty".to_owned()));
    };
    if !READS.iter().any(|it| first.is(it)) {
        return Err(refused(format!("it begins with {}", first.text)));
    }
    if !is_even(words) {
        return Err(refused("its parentheses do not come out even".to_owned()));
    }
    Ok(query.get(first.offset..last.end()).unwrap_or_default())
}
