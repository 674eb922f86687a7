//! The transactions of a body's own: which statements take effect together with those before them.
//!
//! What a session leaves open when it is lost, or fails, did not happen. So nothing is noted of a statement
//! inside of such a transaction: the record of the one that began it stands, until that of its end commits
//! with it.

use super::reconcile::Kind;
use super::statements::{Statement, first_words};

/// What the session has open between two statements of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Open {
    /// The statement that began what has not been committed, from 1.
    pub since: Option<usize>,
    /// Whether a statement by itself is a transaction.
    autocommit: bool,
    /// Whether tables are locked: then nothing else can be written.
    locked: bool,
    /// Whether a statement has run of which nobody knows what it leaves open.
    unsure: bool,
}

/// How a statement ends the transaction in which it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// It does not.
    None,
    /// It commits.
    Commit,
    /// It commits what came before it, whatever becomes of itself.
    Before,
    /// It takes back what came before it.
    Rollback,
}

impl Open {
    /// What a body finds.
    pub const NOTHING: Open = Open { since: None, autocommit: true, locked: false, unsure: false };

    /// What is open before statement `number` of a body.
    pub fn before(statements: &[Statement<'_>], number: usize) -> Open {
        let before = statements.iter().take(number.saturating_sub(1)).enumerate();
        before.fold(Open::NOTHING, |open, (at, it)| open.after(at + 1, it))
    }

    /// What is open after a statement.
    pub fn after(self, number: usize, statement: &Statement<'_>) -> Open {
        let (first, second) = first_words(statement.text);
        let autocommit = sets_autocommit(statement).unwrap_or(self.autocommit);
        let locked = match (first.as_str(), second.as_str()) {
            ("LOCK", _) => true,
            ("UNLOCK", _) => false,
            _ => self.locked,
        };
        let since = match end_of(statement) {
            End::None => self.since,
            End::Commit | End::Rollback | End::Before => None,
        };
        let is_row = Kind::of(statement) == Kind::Rows && !autocommit;
        let begins = (begins(statement) || is_row && since.is_none()).then_some(number);
        let known = [
            "BEGIN",
            "START",
            "COMMIT",
            "ROLLBACK",
            "SAVEPOINT",
            "RELEASE",
            "LOCK",
            "UNLOCK",
            "SET",
        ];
        let unsure = Kind::of(statement) == Kind::Other && !known.contains(&first.as_str());
        let unsure = self.unsure || unsure || first == "BEGIN" && second == "NOT";
        Open { since: begins.or(since).filter(|_| !locked), autocommit, locked, unsure }
    }

    /// Whether a change of rows can commit together with its record: nothing is open, and nothing that it does
    /// waits for a later statement.
    pub fn is_closed(self) -> bool {
        self.since.is_none() && self.autocommit && !self.locked && !self.unsure
    }
}

/// How a statement ends a transaction.
pub(super) fn end_of(statement: &Statement<'_>) -> End {
    let (first, second) = first_words(statement.text);
    let has = |word: &str| {
        statement.text.split_ascii_whitespace().take(4).any(|it| it.eq_ignore_ascii_case(word))
    };
    match first.as_str() {
        "COMMIT" => End::Commit,
        "ROLLBACK" if !has("TO") => End::Rollback,
        "ROLLBACK" | "SAVEPOINT" | "RELEASE" => End::None,
        // What it makes is the session's own.
        "CREATE" | "DROP" if second == "TEMPORARY" => End::None,
        _ if sets_autocommit(statement) == Some(true) => End::Before,
        _ => match Kind::of(statement) {
            Kind::Schema | Kind::Other => End::Before,
            Kind::Rows | Kind::Session => End::None,
        },
    }
}

/// Whether a statement begins a transaction that may write.
fn begins(statement: &Statement<'_>) -> bool {
    let (first, second) = first_words(statement.text);
    let begins = first == "BEGIN" && second != "NOT" || first == "START" && second == "TRANSACTION";
    begins && !statement.text.to_ascii_uppercase().contains("READ ONLY")
}

/// Whether each statement is to be a transaction from now on, where a statement says so.
pub(super) fn sets_autocommit(statement: &Statement<'_>) -> Option<bool> {
    if first_words(statement.text).0 != "SET" {
        return None;
    }
    let capitals = statement.text.to_ascii_uppercase();
    let (_, value) = capitals.split_once("AUTOCOMMIT")?;
    let value = value.trim_start().trim_start_matches(':').trim_start_matches('=').trim_start();
    Some(!(value.starts_with('0') || value.starts_with("OFF") || value.starts_with("FALSE")))
}

#[cfg(test)]
mod tests {
    use super::super::statements::{Quotes, statements};
    use super::Open;

    /// Since which statement something is open before each one of a body, and at its end.
    fn open(body: &str) -> Vec<Option<usize>> {
        let statements = statements(body, Quotes::PLAIN);
        (1..=statements.len() + 1).map(|at| Open::before(&statements, at).since).collect()
    }

    #[test]
    fn a_transaction_reaches_from_its_begin_to_what_ends_it() {
        for (body, expected) in [
            ("INSERT INTO t VALUES (1); UPDATE t SET a = 1", vec![None, None, None]),
            (
                "START TRANSACTION; SET @a = 1; UPDATE t SET a = 1; COMMIT; DROP TABLE t",
                vec![None, Some(1), Some(1), Some(1), None, None],
            ),
            (
                "BEGIN; UPDATE t SET a = 1; ALTER TABLE t ADD b INT",
                vec![None, Some(1), Some(1), None],
            ),
            (
                "BEGIN; SAVEPOINT s; ROLLBACK TO s; ROLLBACK",
                vec![None, Some(1), Some(1), Some(1), None],
            ),
            ("BEGIN NOT ATOMIC SELECT 1; END", vec![None, None]),
            ("START TRANSACTION READ ONLY; SELECT 1; COMMIT", vec![None, None, None, None]),
            (
                "SET sql_mode = '', autocommit = 0; UPDATE t SET a = 1; DELETE FROM t; SET autocommit = 1; DELETE FROM t",
                vec![None, None, Some(2), Some(2), None, None],
            ),
            (
                "SET autocommit = 0; LOCK TABLES t WRITE; DELETE FROM t; UNLOCK TABLES; DELETE FROM t",
                vec![None, None, None, None, None, Some(5)],
            ),
            (
                "BEGIN; CREATE TEMPORARY TABLE x (a INT); DELETE FROM t",
                vec![None, Some(1), Some(1), Some(1)],
            ),
        ] {
            assert_eq!(open(body), expected, "{body}");
        }
    }
}
