//! Running one half of a migration.
//!
//! In a transaction, the body, the tracking row and the journal commit together. Outside one, the
//! dirty mark is committed first, then the statements run one by one, then the mark is taken away;
//! the journal says which statement is under way.

use sqlx::AssertSqlSafe;
use sqlx::postgres::{PgDatabaseError, PgErrorPosition};

use sternway_model::body::Mode;
use sternway_model::journal::Record;
use sternway_model::state::Position;

use super::statements::{Control, Statement, statements};
use super::{Postgres, failed, records, track};
use crate::port::{DatabaseError, RunId, SqlError, StepError, Work};

/// Takes back what a body set for the session, so that it does not reach our own statements or the
/// next body.
fn reset(postgres: &Postgres) -> String {
    let user = Postgres::quote(&postgres.user);
    format!("RESET ALL; SET SESSION AUTHORIZATION {user}; RESET ROLE; {}\n", postgres.reset)
}

/// Begins a transaction in which we are who we were, and leaves alone what a body has set.
fn begin_ourselves(postgres: &Postgres) -> String {
    let (session, role) = (&postgres.user, &postgres.identity.user);
    let (session, role) = (Postgres::quote(session), Postgres::quote(role));
    format!("BEGIN READ WRITE; SET LOCAL SESSION AUTHORIZATION {session}; SET LOCAL ROLE {role};")
}

/// What went wrong: the body, or anything else.
enum Failure {
    Sql(SqlError),
    Other(DatabaseError),
}

/// Runs the body of `step`.
pub(super) async fn migrate(postgres: &mut Postgres, step: &Work<'_>) -> Result<(), StepError> {
    let (body, journal) = (step.body, step.journal);
    let file = step.file.to_owned();
    if let Err(source) = postgres.forget_prepared().await {
        return Err(StepError::Database { file, source });
    }
    match step.mode {
        Mode::Transaction => {
            let ended = in_transaction(postgres, step, body, journal).await;
            ended.map_err(|failure| match failure {
                Failure::Sql(source) => StepError::TakenBack { file, source },
                Failure::Other(source) => StepError::Database { file, source },
            })
        }
        Mode::Dirty { .. } => {
            let ended = one_by_one(postgres, step, body, journal).await;
            ended.map_err(|(statement, failure)| match failure {
                Failure::Sql(source) => StepError::Dirty { file, statement, source },
                Failure::Other(source) => StepError::Database { file, source },
            })
        }
    }
}

async fn in_transaction(
    postgres: &mut Postgres,
    step: &Work<'_>,
    body: &str,
    journal: Option<(RunId, usize)>,
) -> Result<(), Failure> {
    postgres.run("begin a transaction", "BEGIN".to_owned()).await.map_err(Failure::Other)?;
    let ran = async {
        run_body(postgres, body, body, 0).await?;
        // What waits for the commit fails now, where it is still the body that fails.
        run_body(postgres, "SET CONSTRAINTS ALL IMMEDIATE", body, body.len()).await?;
        let mut sql = reset(postgres);
        sql.push_str(&clean(postgres, step, journal));
        // The end is refused if the body has ended our transaction: then this would not be in it.
        sql.push_str("SAVEPOINT sternway_end; COMMIT");
        postgres.run("write the tracking row", sql).await.map_err(Failure::Other)
    };
    let ran = ran.await;
    if ran.is_err() {
        // A connection that is gone has rolled back by itself.
        let sql = format!("ROLLBACK; {}", reset(postgres));
        let _ = postgres.run("roll back", sql).await;
    }
    ran
}

async fn one_by_one(
    postgres: &mut Postgres,
    step: &Work<'_>,
    body: &str,
    journal: Option<(RunId, usize)>,
) -> Result<(), (usize, Failure)> {
    let mark = Position { version: step.to, dirty: true };
    let mark = format!("BEGIN; {} COMMIT", track::write(postgres, step.table, mark));
    let marked = postgres.run("mark the track dirty", mark).await;
    marked.map_err(|error| (0, Failure::Other(error)))?;
    let ran = each(postgres, body, journal).await;
    let end = if ran.is_err() { "ROLLBACK;" } else { "" };
    // Apart, because the settings of a transaction are those from before it.
    let settled = postgres.run("settle the session", format!("{end} {}", reset(postgres))).await;
    ran?;
    let end = format!("BEGIN; {} COMMIT", clean(postgres, step, journal));
    let ended = match settled {
        Ok(()) => postgres.run("write the tracking row", end).await,
        Err(error) => Err(error),
    };
    ended.map_err(|error| (0, Failure::Other(error)))
}

/// Runs the statements of a body, and tells which one failed.
async fn each(
    postgres: &mut Postgres,
    body: &str,
    journal: Option<(RunId, usize)>,
) -> Result<(), (usize, Failure)> {
    let mut open = false;
    for (index, statement) in statements(body).into_iter().enumerate() {
        let number = index + 1;
        // Inside the body's own transaction a journal entry would be seen only at its end.
        if let (Some((run, step)), false) = (journal, open) {
            let record = Record::Statement { step, statement: number };
            let (begin, insert) = (begin_ourselves(postgres), records::insert(run, &record));
            let sql = format!("{begin} {insert}; COMMIT");
            let written = postgres.run("write the journal", sql).await;
            written.map_err(|error| (number, Failure::Other(error)))?;
        }
        let Statement { text, offset, transaction } = statement;
        let ran = run_body(postgres, text, body, offset).await;
        ran.map_err(|failure| (number, failure))?;
        match transaction {
            Some(Control::Begin) => open = true,
            Some(Control::End) => open = false,
            None => {}
        }
    }
    Ok(())
}

/// The statements that end a step: the tracking row, and the journal's entry beside it.
fn clean(postgres: &Postgres, step: &Work<'_>, journal: Option<(RunId, usize)>) -> String {
    let position = Position { version: step.to, dirty: false };
    let mut sql = track::write(postgres, step.table, position);
    if let Some((run, step)) = journal {
        sql.push_str(&records::insert(run, &Record::Ended { step }));
        sql.push_str(";\n");
    }
    sql
}

/// Sends `text`, which begins at `offset` of `body`, as one simple query.
async fn run_body(
    postgres: &mut Postgres,
    text: &str,
    body: &str,
    offset: usize,
) -> Result<(), Failure> {
    if text.trim().is_empty() {
        return Ok(());
    }
    let query = sqlx::raw_sql(AssertSqlSafe(text.to_owned()));
    match query.execute(&mut postgres.connection).await {
        Ok(_) => Ok(()),
        Err(sqlx::Error::Database(error)) => match error.try_downcast::<PgDatabaseError>() {
            Ok(error) => Err(Failure::Sql(sql_error(&error, body, offset))),
            Err(error) => Err(Failure::Other(failed("run the body")(sqlx::Error::Database(error)))),
        },
        Err(error) => Err(Failure::Other(failed("run the body")(error))),
    }
}

fn sql_error(error: &PgDatabaseError, body: &str, offset: usize) -> SqlError {
    let at = match error.position() {
        Some(PgErrorPosition::Original(position)) => position_in(body, offset, position),
        _ => None,
    };
    SqlError {
        message: error.message().to_owned(),
        code: error.code().to_owned(),
        detail: error.detail().map(str::to_owned),
        hint: error.hint().map(str::to_owned),
        at,
    }
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

    #[test]
    fn a_position_becomes_a_line_and_a_column() {
        assert_eq!(position_in("SELECT *\nFROM foo", 0, 15), Some((2, 6)));
        assert_eq!(position_in("SELECT *\nFROM foo", 0, 18), None);
        assert_eq!(position_in("é;\nSELECT ü x", 4, 10), Some((2, 10)));
        assert_eq!(position_in("", 0, 0), None);
    }
}
