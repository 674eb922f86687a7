//! How long a body may wait for a lock, and run.
//!
//! A statement that waits for a strong lock makes everybody wait who comes after it, readers too. A
//! limit on its waiting is therefore a limit on the time for which the application stands still.

use std::time::Duration;

use super::statements::statements;
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
pub(super) fn set_outside(limits: Limits, body: &str) -> String {
    let lock = limits.lock.filter(|_| !has_its_own(body));
    settings(Limits { lock, ..limits }, "SET ")
}

/// What is to be said before a statement outside a transaction, and after it, where the limit on
/// waiting is not for it: what is done `CONCURRENTLY` waits for transactions that others have open,
/// however long they last, and hinders nobody meanwhile. A limit would only leave an invalid index behind.
pub(super) fn lifted(limits: Limits, statement: &str, body: &str) -> Option<[String; 2]> {
    let lock = limits.lock.filter(|_| says(statement, "concurrently") && !has_its_own(body))?;
    let limit = Limits { lock: Some(lock), statement: None };
    Some(["SET lock_timeout = 0;".to_owned(), settings(limit, "SET ")])
}

/// Whether a body that does something concurrently limits its waiting itself, and should be left alone.
fn has_its_own(body: &str) -> bool {
    // Not in a comment that stands between statements.
    let mut statements = statements(body).into_iter();
    says(body, "concurrently") && statements.any(|it| says(it.text, "lock_timeout"))
}

fn says(body: &str, word: &str) -> bool {
    let mut words = body.split(|letter: char| !letter.is_alphanumeric() && letter != '_');
    words.any(|it| it.eq_ignore_ascii_case(word))
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
        let both = "SET lock_timeout = 1;SET statement_timeout = 2000;";
        assert_eq!(set_outside(limits, index), both);
        let around = ["SET lock_timeout = 0;", "SET lock_timeout = 1;"].map(str::to_owned);
        assert_eq!(lifted(limits, index, index), Some(around));
        assert_eq!(lifted(limits, "DROP INDEX i", index), None);
        assert_eq!(lifted(Limits::default(), index, index), None);
        // A body that knows better.
        let own = format!("SET lock_timeout = '1min'; {index}");
        assert_eq!(set_outside(limits, &own), "SET statement_timeout = 2000;");
        assert_eq!(lifted(limits, index, &own), None);
        assert_eq!(set(Limits::default()), "");
    }
}
