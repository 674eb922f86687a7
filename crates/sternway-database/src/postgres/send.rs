//! Sending a body, or a piece of one, and telling where it failed.

use std::time::Duration;

use futures_util::StreamExt;
use sqlx::AssertSqlSafe;
use sqlx::postgres::{PgDatabaseError, PgErrorPosition};
use sternway_model::effect::Lost;

use super::statements::{Statement, began, statements};
use super::{Postgres, failed, limits};
use crate::port::{DatabaseError, Interrupt, SqlError, StepError, Work};

/// Why a body did not run to its end.
pub(super) enum Failure {
    /// The server refused a statement of it.
    Sql(SqlError),
    /// Anything else failed.
    Other(DatabaseError),
    /// It destroys what the plan does not say.
    Beyond(Vec<Lost>),
    /// It destroys what cannot be kept.
    CannotKeep(String),
}

impl From<DatabaseError> for Failure {
    fn from(error: DatabaseError) -> Failure {
        Failure::Other(error)
    }
}

impl Failure {
    /// As the error of a body that failed in `statement`; 0 where nothing of the body stays.
    pub fn of(self, work: &Work<'_>, statement: usize) -> StepError {
        let file = work.file.to_owned();
        match self {
            Failure::Sql(source) if statement > 0 => {
                let since = began(&statements(work.body), statement).unwrap_or(statement);
                StepError::Dirty { file, statement, since, source, blockers: None }
            }
            Failure::Sql(source) => StepError::TakenBack { file, source },
            Failure::Other(source) => match locked(&source) {
                Some(source) => Failure::Sql(source).of(work, statement),
                None => StepError::Database { file, source },
            },
            Failure::Beyond(more) => StepError::Beyond { file, more },
            Failure::CannotKeep(reason) => StepError::CannotKeep { file, reason },
        }
    }
}

/// What is sent as one message.
#[derive(Clone, Copy)]
pub(super) struct Piece<'a> {
    /// Statements of ours before it, in ASCII.
    pub before: &'a str,
    /// What is sent of the body.
    pub text: &'a str,
    /// The whole body.
    pub body: &'a str,
    /// Where `text` begins in it, in bytes.
    pub offset: usize,
}

impl<'a> Piece<'a> {
    /// A whole body.
    pub fn whole(body: &'a str) -> Piece<'a> {
        Piece { before: "", text: body, body, offset: 0 }
    }

    /// A statement of a body.
    pub fn of(statement: &Statement<'a>, body: &'a str) -> Piece<'a> {
        let Statement { text, offset, .. } = *statement;
        Piece { before: "", text, body, offset }
    }
}

impl Postgres {
    /// Sends statements as one message. Returns how many were done, beside the outcome.
    pub(super) async fn send(&mut self, sql: String) -> (usize, sqlx::Result<()>) {
        let mut answers = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_many(&mut self.connection);
        let mut done = 0;
        while let Some(answer) = answers.next().await {
            match answer {
                Ok(sqlx::Either::Left(_)) => done += 1,
                Ok(sqlx::Either::Right(_)) => {}
                Err(error) => return (done, Err(error)),
            }
        }
        (done, Ok(()))
    }

    /// As [`Postgres::send`], for as long as the URL allows a statement. Then the server is asked to
    /// end it, and its answer awaited.
    async fn send_within(&mut self, sql: String) -> (usize, sqlx::Result<()>, Option<Duration>) {
        let Some(limit) = self.parameters.statement_timeout else {
            let (done, ended) = self.send(sql).await;
            return (done, ended, None);
        };
        let backend = self.backend.clone();
        let mut sent = std::pin::pin!(self.send(sql));
        if let Ok((done, ended)) = tokio::time::timeout(limit, &mut sent).await {
            return (done, ended, None);
        }
        if let Err(error) = backend.interrupt().await {
            tracing::warn!("the statement cannot be ended, and is waited for: {error}");
        }
        let (done, ended) = sent.await;
        (done, ended, Some(limit))
    }
}

/// Asks of the rows what they have now that what was kept is restored.
pub(super) async fn close(postgres: &mut Postgres, work: &Work<'_>) -> Result<(), Failure> {
    let path = Postgres::quote(&postgres.identity.schema);
    for statement in work.closed_by {
        // Whoever looked around before has left another path.
        let before = format!("SET LOCAL search_path TO {path};");
        body(postgres, Piece { before: &before, ..Piece::whole(statement) }).await?;
    }
    Ok(())
}

/// Sends a piece of a body as one message.
pub(super) async fn body(postgres: &mut Postgres, piece: Piece<'_>) -> Result<(), Failure> {
    let Piece { before, text, body, offset } = piece;
    if text.trim().is_empty() && before.is_empty() {
        return Ok(());
    }
    let (done, ended, limit) = postgres.send_within(format!("{before}{text}")).await;
    let Err(error) = ended else { return Ok(()) };
    let Some(error) = server_error(&error) else {
        return Err(Failure::Other(failed("run the body")(error)));
    };
    let at = match error.position() {
        Some(PgErrorPosition::Original(position)) => {
            position.checked_sub(before.len()).and_then(|it| position_in(body, offset, it))
        }
        _ => None,
    };
    // Where the server tells no position, the statement is known by how many were done before it.
    let at = at.or_else(|| {
        let failed = done.checked_sub(statements(before).len())?;
        let start = statements(text).get(failed)?.offset;
        position_in(body, offset + start, 1)
    });
    let mut error = SqlError::of_postgres(error, at);
    if let (Some(limit), "57014") = (limit, error.code.as_str()) {
        let limit = limit.as_millis();
        error.detail = Some(format!("it took longer than the {limit} ms of x-statement-timeout"));
    }
    Err(Failure::Sql(error))
}

/// The server's words, where the server has failed and not the connection.
pub(super) fn server_error(error: &sqlx::Error) -> Option<&PgDatabaseError> {
    error.as_database_error()?.try_downcast_ref::<PgDatabaseError>()
}

/// The server's words, where a statement of our own did not get a lock in time.
fn locked(error: &DatabaseError) -> Option<SqlError> {
    let DatabaseError::Query { source, .. } = error else { return None };
    let error = server_error(source).filter(|it| it.code() == limits::LOCKED)?;
    Some(SqlError::of_postgres(error, None))
}

/// The line and column of the server's position, which counts characters from 1.
fn position_in(body: &str, offset: usize, position: usize) -> Option<(usize, usize)> {
    let sent = body.get(offset..)?;
    let (index, _) = sent.char_indices().nth(position.checked_sub(1)?)?;
    let before = &body[..offset + index];
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |last| last.chars().count()) + 1;
    Some((line, column))
}

#[cfg(test)]
mod tests {
    use super::position_in;

    /// golang-migrate's table, whose columns are too large where lines end with CRLF.
    #[test]
    fn a_position_becomes_a_line_and_a_column() {
        for (text, position, expected) in [
            ("SELECT *\nFROM foo", 15, Some((2, 6))),
            ("SELECT *\nFROM foo", 17, Some((2, 8))),
            ("SELECT *\nFROM foo", 18, None),
            ("SELECT *\n\nFROM foo", 16, Some((3, 6))),
            ("SELECT *\nFROM foo\nWHERE x", 25, Some((3, 7))),
            ("SELECT *\n\nFROM foo\n\nWHERE x", 27, Some((5, 7))),
            ("SELECT *\nFROMM foo", 10, Some((2, 1))),
            ("SELECT *\n\nFROMM foo", 11, Some((3, 1))),
        ] {
            assert_eq!(position_in(text, 0, position), expected, "{text}");
            let other = text.replace('L', "Ł");
            assert_eq!(position_in(&other, 0, position), expected, "{other}");
            let lines = expected.map_or(0, |(line, _)| line - 1);
            let other = text.replace('\n', "\r\n");
            let found = position_in(&other, 0, position + lines);
            assert_eq!(found.filter(|_| expected.is_some()), expected, "{other}");
        }
        assert_eq!(position_in("é;\nSELECT ü x", 4, 10), Some((2, 10)));
        assert_eq!(position_in("", 0, 0), None);
    }
}
