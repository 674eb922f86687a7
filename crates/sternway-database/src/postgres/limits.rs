//! How long a body may wait for a lock, and run.
//!
//! A statement that waits for a strong lock makes everybody wait who comes after it, readers too. A
//! limit on its waiting is therefore a limit on the time for which the application stands still.

use std::time::Duration;

use crate::port::{Limits, SqlError};

/// The SQLSTATE of a lock that was not had in time.
pub(super) const LOCKED: &str = "55P03";

/// Whether a lock was not had in time.
pub(super) fn is_locked(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    code.is_some_and(|code| code == LOCKED)
}

/// The statements that set the limits until the transaction ends.
pub(super) fn set(limits: Limits) -> String {
    settings(limits, "SET LOCAL ")
}

/// The statements that set the limits in the session, for a body that runs outside a transaction.
///
/// What is done `CONCURRENTLY` waits for transactions that others have open, however long they last,
/// and hinders nobody meanwhile: a limit would only leave an invalid index behind.
pub(super) fn set_outside(limits: Limits, body: &str) -> String {
    let mut words = body.split(|letter: char| !letter.is_alphanumeric());
    let concurrently = words.any(|word| word.eq_ignore_ascii_case("concurrently"));
    let lock = limits.lock.filter(|_| !concurrently);
    settings(Limits { lock, ..limits }, "SET ")
}

/// Takes the limits out of the session.
pub(super) fn reset(limits: Limits) -> &'static str {
    match limits == Limits::default() {
        true => "",
        false => "RESET lock_timeout; RESET statement_timeout;",
    }
}

fn settings(limits: Limits, set: &str) -> String {
    // To the server zero is no limit.
    let setting = |name, limit: Duration| format!("{set}{name} = {};", limit.as_millis().max(1));
    let lock = limits.lock.map(|limit| setting("lock_timeout", limit));
    let statement = limits.statement.map(|limit| setting("statement_timeout", limit));
    lock.into_iter().chain(statement).collect()
}

/// Says that a statement was ended by the limit, where it was: the server has one code for that and
/// for a request to end it. The body ran for `took`.
pub(super) fn explain(error: &mut SqlError, limits: Limits, took: Duration) {
    let Some(limit) = limits.statement.filter(|limit| took >= *limit) else { return };
    if error.code == "57014" && error.detail.is_none() {
        let limit = limit.as_millis();
        error.detail = Some(format!("it took longer than the {limit} ms that a statement may"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_in_milliseconds_and_never_zero() {
        let limits = Limits { lock: Some(Duration::from_micros(3)), statement: None };
        assert_eq!(set(limits), "SET LOCAL lock_timeout = 1;");
        let limits = Limits { statement: Some(Duration::from_secs(2)), ..limits };
        assert_eq!(set(limits), "SET LOCAL lock_timeout = 1;SET LOCAL statement_timeout = 2000;");
        let index = "CREATE INDEX concurrently i ON t (x)";
        assert_eq!(set_outside(limits, index), "SET statement_timeout = 2000;");
        assert_eq!(set(Limits::default()), "");
    }
}
