//! What a statement is to the journal, and whether one took effect that was under way when its
//! session was lost.
//!
//! A change of rows commits together with its record and is never in doubt. A change of the schema
//! commits by itself: what the objects that it is about were before it is in its record, and whether they
//! are still that tells whether the statement took effect. Other clients make and alter other objects
//! meanwhile.

use sternway_model::journal::Record;
use sternway_model::proof::Fingerprint;

use super::execute::cut;
use super::statements::{Statement, Subjects, first_words, subjects, words_of};
use super::transactions::{Open, sets_autocommit};
use super::{MySql, introspect, records};
use crate::port::{DatabaseError, Reconciled, Work};
use crate::records::damaged;

/// What a statement is to the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// It reads or changes rows: it can commit with its record.
    Rows,
    /// It changes the schema, and commits by itself.
    Schema,
    /// It sets something for the session.
    Session,
    /// It begins or ends transactions or locks, or nobody knows what it does.
    Other,
}

impl Kind {
    pub(super) fn of(statement: &Statement<'_>) -> Kind {
        if statement.rest {
            return Kind::Other;
        }
        let (first, second) = first_words(statement.text);
        match first.as_str() {
            "INSERT" | "UPDATE" | "DELETE" | "REPLACE" | "SELECT" | "WITH" => Kind::Rows,
            "CREATE" | "ALTER" | "DROP" | "RENAME" | "TRUNCATE" | "ANALYZE" | "OPTIMIZE" => {
                Kind::Schema
            }
            // Whether each statement commits is not to be ours to say.
            "SET" if second.contains("AUTOCOMMIT") || second == "TRANSACTION" => Kind::Other,
            "SET" | "USE" => Kind::Session,
            _ => Kind::Other,
        }
    }
}

/// Whether no statement of a body begins or ends a transaction, or locks tables, as far as is known:
/// then one of ours may be had around a statement.
pub(super) fn leaves_transactions_alone(statements: &[Statement<'_>]) -> bool {
    statements.iter().all(|it| Kind::of(it) != Kind::Other && sets_autocommit(it).is_none())
}

/// The record that a statement is under way.
pub(super) async fn underway(
    mysql: &mut MySql,
    work: &Work<'_>,
    step: usize,
    number: usize,
    statement: &Statement<'_>,
) -> Result<Record, DatabaseError> {
    let schema = match Kind::of(statement) {
        Kind::Schema => match about(mysql, statement.text) {
            Some(about) => Some(about.within(&schema(mysql, work).await?).digest()),
            None => None,
        },
        Kind::Rows | Kind::Session | Kind::Other => None,
    };
    Ok(Record::Statement { step, statement: number, schema })
}

async fn schema(mysql: &mut MySql, work: &Work<'_>) -> Result<Fingerprint, DatabaseError> {
    introspect::fingerprint(mysql, &[work.table.to_owned()]).await
}

fn about(mysql: &MySql, statement: &str) -> Option<Subjects> {
    subjects(&words_of(statement, mysql.quotes), &mysql.identity.database)
}

/// Looks whether statement `number` of the body took effect.
pub(super) async fn reconcile(
    mysql: &mut MySql,
    work: &Work<'_>,
    number: usize,
) -> Result<Reconciled, DatabaseError> {
    let statements = cut(mysql, work.body);
    let statement = number.checked_sub(1).and_then(|index| statements.get(index));
    let (Some(statement), Some((run, step))) = (statement, work.journal) else {
        return Ok(Reconciled::Unknown);
    };
    if Open::before(&statements, number + 1).since == Some(number)
        || sets_autocommit(statement).is_some()
    {
        // What it began has not been committed: that would be in the journal.
        return Ok(Reconciled::NotDone);
    }
    match Kind::of(statement) {
        Kind::Session => return Ok(Reconciled::NotDone),
        Kind::Rows | Kind::Other => return Ok(Reconciled::Unknown),
        Kind::Schema => {}
    }
    let capitals = statement.text.to_ascii_uppercase();
    let words: Vec<&str> = capitals.split_whitespace().take(4).collect();
    if let ["DROP", _, "IF", "EXISTS"] = words.as_slice() {
        // Of several tables some may be gone; running it again does no harm.
        return Ok(Reconciled::NotDone);
    }
    let mut before = None;
    for text in records::journal(mysql, run).await? {
        let record: Record = serde_json::from_str(&text).map_err(|e| damaged(&e))?;
        match record {
            Record::Statement { step: it, statement, schema }
                if it == step && statement == number =>
            {
                before = schema;
            }
            _ => {}
        }
    }
    let (Some(before), Some(about)) = (before, about(mysql, statement.text)) else {
        return Ok(Reconciled::Unknown);
    };
    let now = schema(mysql, work).await?;
    let left = about.within(&now);
    // What an earlier version recorded was the whole schema.
    if left.digest() == before || now.digest() == before {
        return Ok(Reconciled::NotDone);
    }
    // Of several tables some may be gone.
    let half = about.drops && !left.objects.is_empty();
    Ok(if half { Reconciled::Unknown } else { Reconciled::Done })
}

#[cfg(test)]
mod tests {
    use super::super::statements::{Quotes, statements};
    use super::*;

    fn kinds(body: &str) -> Vec<Kind> {
        statements(body, Quotes::PLAIN).iter().map(Kind::of).collect()
    }

    #[test]
    fn a_statement_is_known_by_its_first_words() {
        let body = "CREATE TABLE a (x int); insert into a values (1); /*!40101 SET NAMES utf8 */;
                    SET autocommit = 0; LOCK TABLES a WRITE; CALL p(); WITH b AS (SELECT 1) SELECT 1";
        let expected = [
            Kind::Schema,
            Kind::Rows,
            Kind::Session,
            Kind::Other,
            Kind::Other,
            Kind::Other,
            Kind::Rows,
        ];
        assert_eq!(kinds(body), expected);
        assert!(leaves_transactions_alone(&statements(
            "DROP TABLE a; DELETE FROM b",
            Quotes::PLAIN
        )));
        for body in ["SET @a = 1, autocommit = 0", "START TRANSACTION", "SET SESSION autocommit=0"]
        {
            assert!(!leaves_transactions_alone(&statements(body, Quotes::PLAIN)), "{body}");
        }
    }
}
