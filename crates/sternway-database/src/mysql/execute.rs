//! Running one half of a migration: the dirty mark is committed first, then the statements run one
//! by one, then the mark is taken away. What is under way is noted before each statement.
//!
//! golang-migrate sends a body whole, and the server cuts it. Sent one by one, the statements do the
//! same, and the one that fails or is never heard of again is known.

use std::sync::atomic::Ordering;
use std::time::Duration;

use sqlx::AssertSqlSafe;
use sqlx::mysql::MySqlDatabaseError;
use sternway_model::journal::Record;
use sternway_model::state::TrackingRow;
use tokio::time::Instant;

use super::archive::{self, Keeper};
use super::reconcile::{Kind, leaves_transactions_alone, underway};
use super::statements::{Statement, clear_session, is_unsure, may_set, statements};
use super::transactions::{End, Open, end_of, sets_autocommit};
use super::{MySql, cell, failed, progress, records, track};
use crate::archive::Trouble;
use crate::failpoint::{self, Point};
use crate::port::{
    Connection, DatabaseError, Done, Preservation, RunId, Settings, SqlError, StepError, Tracking,
    Work,
};
use crate::tokens::place_of;

/// The server's number for a lock that was not had in time.
pub(super) const LOCKED: &str = "1205 ";

/// What is being done at the end of a step.
const ROW: &str = "write the tracking row";

/// What went wrong: the body, or anything else.
enum Failure {
    Sql(SqlError),
    Other(DatabaseError),
    /// What it takes away cannot be kept, or is not in the plan.
    Refused(Trouble),
}

impl From<Trouble> for Failure {
    fn from(trouble: Trouble) -> Failure {
        match trouble {
            Trouble::Database(error) => Failure::Other(error),
            other => Failure::Refused(other),
        }
    }
}

/// Runs the body of `work`, with `care` for what it takes away.
pub(super) async fn migrate(
    mysql: &mut MySql,
    work: &Work<'_>,
    care: Option<&Preservation<'_>>,
) -> Result<Done, StepError> {
    let file = work.file.to_owned();
    match run(mysql, work, care).await {
        Ok(done) => Ok(done),
        Err((_, Failure::Refused(Trouble::CannotKeep(reason)))) => {
            Err(StepError::CannotKeep { file, reason })
        }
        Err((_, Failure::Refused(Trouble::Beyond(more)))) => Err(StepError::Beyond { file, more }),
        Err((_, Failure::Refused(Trouble::Database(source)))) => {
            Err(StepError::Database { file, source })
        }
        Err((statement, Failure::Sql(source))) => {
            let statements = cut(mysql, work.body);
            let (alone, since) =
                (leaves_transactions_alone(&statements), since(&statements, statement));
            // Who it was is asked by whoever set the limit.
            let blockers = (source.code.starts_with(LOCKED) && alone).then(Vec::new);
            Err(StepError::Dirty { file, statement, since, source, blockers })
        }
        Err((_, Failure::Other(source))) => {
            let ours = matches!(&source, DatabaseError::Query { doing, .. } if doing == ROW);
            let source = if ours { track::explain(work.table, source) } else { source };
            Err(StepError::Database { file, source })
        }
    }
}

/// The statement from which on nothing stays where `statement` fails: the one that began the transaction
/// of the body's own in which that stands, or itself.
fn since(statements: &[Statement<'_>], statement: usize) -> usize {
    let failed = statement.checked_sub(1).and_then(|at| statements.get(at));
    let commits = failed.is_some_and(|it| end_of(it) == End::Before);
    let open = Open::before(statements, statement).since.filter(|_| !commits);
    open.unwrap_or(statement)
}

/// The statements of a body, as they are sent.
pub(super) fn cut<'a>(mysql: &MySql, body: &'a str) -> Vec<Statement<'a>> {
    let found = statements(body, mysql.quotes);
    // Where statements end elsewhere, or nobody can tell, the server is left to cut the body.
    match (mysql.oracle || is_unsure(body, mysql.quotes), found.first()) {
        (true, Some(first)) => {
            let text = body.get(first.offset..).unwrap_or_default();
            vec![Statement { text, rest: found.len() > 1, ..first.clone() }]
        }
        _ => found,
    }
}

async fn run(
    mysql: &mut MySql,
    work: &Work<'_>,
    care: Option<&Preservation<'_>>,
) -> Result<Done, (usize, Failure)> {
    mysql.interrupted.store(false, Ordering::SeqCst);
    let statements = cut(mysql, work.body);
    let other = |error| (0, Failure::Other(error));
    let kept = |trouble| (0, Failure::from(trouble));
    let mut waiting = archive::Waits::NONE;
    let mut keeper = None;
    if let Some(care) = care {
        keeper = Some(archive::prepare(mysql, work, care, &statements).await.map_err(kept)?);
        if care.keep {
            waiting =
                archive::waiting(mysql, care, &statements, work.first > 1).await.map_err(other)?;
        }
    }
    mark(mysql, work, &statements).await.map_err(other)?;
    failpoint::hit(Point::Marked);
    let ran = each(mysql, work, &statements, keeper.as_mut()).await;
    let sets = statements.iter().any(may_set);
    let reset = match work.settings {
        Settings::Reset if sets => format!("{} {}", clear_session(&statements), mysql.reset),
        Settings::Reset => clear_session(&statements),
        Settings::Kept => String::new(),
    };
    if ran.is_err() {
        // A connection that is gone has done this by itself.
        let _ = mysql.run("reset the session", format!("ROLLBACK; UNLOCK TABLES; {reset}")).await;
        return ran.map(|()| Done::default());
    }
    let mut done = Done::default();
    if let Some(keeper) = keeper {
        // What the body has left open commits here, and its table locks end, as with golang-migrate.
        let open = Open::before(&statements, statements.len() + 1).since;
        let end = match work.journal.filter(|_| open.is_some_and(|since| since >= work.first)) {
            Some((run, step)) => {
                let record = Record::StatementDone { step, statement: statements.len() };
                records::insert(mysql, run, &record)
            }
            None => String::new(),
        };
        let reset = format!("{end} COMMIT; UNLOCK TABLES; {reset}");
        mysql.run("reset the session", reset).await.map_err(other)?;
        let (effects, held) = keeper.finish(mysql).await.map_err(kept)?;
        let restored = archive::restore(mysql, waiting).await.map_err(other)?;
        if let Some(care) = care {
            archive::note_anew(mysql, care, &held).await.map_err(other)?;
        }
        done = Done { effects: Some(effects), kept: held, restored };
    }
    close(mysql, work).await.map_err(|failure| (statements.len() + 1, failure))?;
    if sets && work.settings == Settings::Kept {
        stays(mysql, work).await.map_err(other)?;
    }
    let row = TrackingRow::clean(work.to);
    let mut clean = track::write(mysql, work.table, row);
    match work.end() {
        Some((run, end)) => {
            clean.push_str(&track::confirm(mysql, work.table, row));
            clean.push_str(&records::insert(mysql, run, &end));
        }
        None => clean.push_str(&progress::end(mysql, work.table)),
    }
    failpoint::hit(Point::BodyDone);
    let written = mysql.commit(ROW, &reset, &clean).await;
    written.map_err(other)?;
    failpoint::hit(Point::Committed);
    if work.journal.is_none() {
        progress::ended(mysql, work.table);
    }
    if sets && work.settings == Settings::Kept {
        look_at_mode(mysql).await.map_err(other)?;
    }
    Ok(done)
}

/// Asks of the rows what they have now that what was kept is restored: none gets a value that nobody wrote.
async fn close(mysql: &mut MySql, work: &Work<'_>) -> Result<(), Failure> {
    if work.closed_by.is_empty() {
        return Ok(());
    }
    let strict = archive::STRICT.to_owned();
    mysql.run("ask for what the rows have", strict).await.map_err(Failure::Other)?;
    let mut closed = Ok(());
    for text in work.closed_by {
        for statement in statements(text, mysql.quotes) {
            if closed.is_ok() {
                closed = run_statement(mysql, &statement, text, None).await;
            }
        }
    }
    let lenient = archive::LENIENT.to_owned();
    let reset = mysql.run("ask for what the rows have", lenient).await;
    closed.and(reset.map_err(Failure::Other))
}

/// Marks the track dirty, and notes the first statement.
async fn mark(
    mysql: &mut MySql,
    work: &Work<'_>,
    statements: &[Statement<'_>],
) -> Result<(), DatabaseError> {
    mysql.prepare_track(work.table).await?;
    // A single statement is noted here and now; what comes later is noted by the helper.
    let known = statements.len() < 2 || progress::help(mysql).await;
    let row = TrackingRow::dirty(work.to);
    let mut sql = track::write(mysql, work.table, row);
    if work.journal.is_some() {
        sql.push_str(&track::confirm(mysql, work.table, row));
    }
    match (work.journal, statements.get(work.first.saturating_sub(1))) {
        (Some((run, step)), Some(first))
            if !commits(first, Open::before(statements, work.first)) =>
        {
            let record = underway(mysql, work, step, work.first, first).await?;
            sql.push_str(&records::insert(mysql, run, &record));
        }
        (Some(_), _) => {}
        (None, first) => {
            progress::prepare(mysql, work.table).await?;
            let first = first.filter(|_| known).map(|first| first.text);
            sql.push_str(&progress::begin(mysql, work, first));
        }
    }
    let marked = mysql.commit("mark the track dirty", "", &sql).await;
    marked.map_err(|error| track::explain(work.table, error))
}

/// Runs the statements of a body, and tells which one failed.
async fn each(
    mysql: &mut MySql,
    work: &Work<'_>,
    statements: &[Statement<'_>],
    mut keeper: Option<&mut Keeper<'_>>,
) -> Result<(), (usize, Failure)> {
    let deadline = mysql.target.timeout.map(|timeout| Instant::now() + timeout);
    let (mut noted, mut next) = (None, Open::NOTHING);
    for (index, statement) in statements.iter().enumerate() {
        let number = index + 1;
        let before = next;
        next = before.after(number, statement);
        let open = before.since.filter(|since| *since >= work.first);
        if number < work.first {
            // It took effect in a session that is gone; what it set is gone with that.
            if Kind::of(statement) == Kind::Session || sets_autocommit(statement).is_some() {
                let ran = run_statement(mysql, statement, work.body, deadline).await;
                ran.map_err(|failure| (number, failure))?;
            }
            continue;
        }
        if let Some(keeper) = &mut keeper {
            keeper.before(mysql, number).await.map_err(|error| (number, error.into()))?;
        }
        let ran = match work.journal {
            Some(journal) if commits(statement, before) => {
                if let Some(statement) = noted.take() {
                    // That a later statement is under way says that those before it are done.
                    let record = Record::StatementDone { step: journal.1, statement };
                    let sql = records::insert(mysql, journal.0, &record);
                    let written = progress::write(mysql, sql).await;
                    written.map_err(|error| (number, Failure::Other(error)))?;
                }
                together(mysql, work, statement, journal, number, deadline).await
            }
            Some((run, step)) => {
                let end = end_of(statement);
                if open.is_some() {
                    let ended = end_open(mysql, (run, step), number, end).await;
                    ended.map_err(|error| (number, Failure::Other(error)))?;
                }
                if number > work.first && (open.is_none() || end == End::Before) {
                    let record = underway(mysql, work, step, number, statement).await;
                    let record = record.map_err(|error| (number, Failure::Other(error)))?;
                    let sql = records::insert(mysql, run, &record);
                    let written = progress::write(mysql, sql).await;
                    written.map_err(|error| (number, Failure::Other(error)))?;
                }
                noted = Some(number);
                failpoint::hit(Point::StatementNoted);
                run_statement(mysql, statement, work.body, deadline).await
            }
            None => {
                if index > 0 {
                    progress::advance(mysql, work.table, number, statement.text).await;
                }
                run_statement(mysql, statement, work.body, deadline).await
            }
        };
        if let Some(keeper) = &mut keeper {
            let ended = keeper.ran(mysql, ran.is_ok()).await;
            if ran.is_ok() {
                ended.map_err(|error| (number, error.into()))?;
            }
        }
        ran.map_err(|failure| (number, failure))?;
        failpoint::hit(Point::StatementDone);
    }
    Ok(())
}

/// Writes that a transaction of the body's own took effect, so that this commits with it, where statement
/// `number` is its end.
async fn end_open(
    mysql: &mut MySql,
    (run, step): (RunId, usize),
    number: usize,
    end: End,
) -> Result<(), DatabaseError> {
    let (statement, commit) = match end {
        End::Commit => (number, ""),
        End::Before => (number - 1, "COMMIT"),
        End::None | End::Rollback => return Ok(()),
    };
    let record = records::insert(mysql, run, &Record::StatementDone { step, statement });
    mysql.run("write the journal", format!("{record} {commit}")).await
}

/// Whether a statement can commit together with its record.
fn commits(statement: &Statement<'_>, before: Open) -> bool {
    Kind::of(statement) == Kind::Rows && before.is_closed()
}

/// Runs a statement in a transaction with the record that it took effect.
async fn together(
    mysql: &mut MySql,
    work: &Work<'_>,
    statement: &Statement<'_>,
    (run, step): (RunId, usize),
    number: usize,
    deadline: Option<Instant>,
) -> Result<(), Failure> {
    let begin = "START TRANSACTION READ WRITE".to_owned();
    mysql.run("begin a transaction", begin).await.map_err(Failure::Other)?;
    run_statement(mysql, statement, work.body, deadline).await?;
    let record = Record::StatementDone { step, statement: number };
    let sql = format!("{} COMMIT", records::insert(mysql, run, &record));
    mysql.run("write the journal", sql).await.map_err(Failure::Other)
}

async fn run_statement(
    mysql: &mut MySql,
    statement: &Statement<'_>,
    body: &str,
    deadline: Option<Instant>,
) -> Result<(), Failure> {
    let limit = mysql.target.timeout;
    let interrupter = deadline.map(|_| mysql.interrupter());
    let query = sqlx::raw_sql(AssertSqlSafe(statement.text.to_owned()));
    let mut query = std::pin::pin!(query.execute(&mut mysql.connection));
    let ended = match (deadline, interrupter) {
        (Some(deadline), Some(interrupter)) => tokio::select! {
            biased;
            ended = &mut query => ended,
            () = tokio::time::sleep_until(deadline) => {
                let asked = interrupter.interrupt().await;
                let grace = if asked.is_ok() { Duration::from_secs(10) } else { Duration::ZERO };
                // Once it has ended, the session is of use again.
                let _ = tokio::time::timeout(grace, &mut query).await;
                return Err(Failure::Sql(timed_out(limit, statement, body)));
            }
        },
        _ => query.await,
    };
    match ended {
        Ok(_) if mysql.interrupted.load(Ordering::SeqCst) => {
            Err(Failure::Sql(ended_early("Query execution was interrupted", statement, body)))
        }
        Ok(_) => Ok(()),
        Err(sqlx::Error::Database(error)) => match error.try_downcast::<MySqlDatabaseError>() {
            // The session was killed, or the server is shut down.
            Ok(error) if !matches!(error.number(), 1053 | 1927) => {
                Err(Failure::Sql(sql_error(&error, statement, body)))
            }
            Ok(error) => Err(Failure::Other(failed("run the body")(sqlx::Error::Database(error)))),
            Err(error) => Err(Failure::Other(failed("run the body")(sqlx::Error::Database(error)))),
        },
        Err(error) => Err(Failure::Other(failed("run the body")(error))),
    }
}

fn timed_out(limit: Option<Duration>, statement: &Statement<'_>, body: &str) -> SqlError {
    let limit = limit.unwrap_or_default().as_millis();
    let message = format!("the statement was ended: x-statement-timeout allows {limit} ms");
    ended_early(&message, statement, body)
}

fn ended_early(message: &str, statement: &Statement<'_>, body: &str) -> SqlError {
    let at = (!statement.rest).then(|| place_of(body, statement.offset));
    SqlError::new(message, "1317 (70100)", at)
}

fn sql_error(error: &MySqlDatabaseError, statement: &Statement<'_>, body: &str) -> SqlError {
    let at = (!statement.rest).then(|| position(error.message(), statement, body));
    SqlError::of_mysql(error, at)
}

/// Where the server sees the error, or else where the statement begins.
fn position(message: &str, statement: &Statement<'_>, body: &str) -> (usize, usize) {
    let Some((before, line)) = message.rsplit_once(" at line ") else {
        return place_of(body, statement.offset);
    };
    let Ok(line) = line.trim().parse::<usize>() else { return place_of(body, statement.offset) };
    let starts = statement.text.split_inclusive('\n').scan(0, |offset, line| {
        let start = *offset;
        *offset += line.len();
        Some(start)
    });
    let start = starts.take(line).last().unwrap_or(0);
    let near = before.split_once("near '").and_then(|(_, near)| near.strip_suffix('\''));
    let near = near.filter(|near| !near.is_empty());
    let found = near.and_then(|near| Some(start + statement.text.get(start..)?.find(near)?));
    place_of(body, statement.offset + found.unwrap_or(start))
}

/// Refuses to go on where a body leaves the session in another database: there the next one would run.
/// The dirty mark stands, as with golang-migrate, which does not find its table there.
async fn stays(mysql: &mut MySql, work: &Work<'_>) -> Result<(), DatabaseError> {
    let doing = "ask in which database the session is";
    let rows = mysql.fetch(doing, "SELECT DATABASE() AS name".to_owned()).await?;
    let database = rows.first().map(|row| cell(row, "name")).unwrap_or_default();
    let own = mysql.identity.database.clone();
    if database == own {
        return Ok(());
    }
    let all_ran = progress::end(mysql, work.table);
    if !all_ran.is_empty() {
        mysql.commit("note that the body has ended", "", &all_ran).await?;
        progress::ended(mysql, work.table);
    }
    Err(DatabaseError::AnotherDatabase { database, own })
}

/// Asks how strings are written now: a body may have set it, and its settings are kept.
async fn look_at_mode(mysql: &mut MySql) -> Result<(), DatabaseError> {
    let sql = "SELECT @@SESSION.sql_mode AS mode".to_owned();
    let rows = mysql.fetch("ask how the session is set", sql).await?;
    let mode = rows.first().map(|row| cell(row, "mode")).unwrap_or_default();
    mysql.note_mode(&mode);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::statements::Quotes;
    use super::*;

    #[test]
    fn an_error_has_a_line_and_a_column() {
        let body = "-- one\nSELECT 1;\n  SELECT é,\n TABEL x;";
        let statements = statements(body, Quotes::PLAIN);
        let near = "You have an error … near 'TABEL x' at line 2";
        assert_eq!(position(near, &statements[1], body), (4, 2));
        assert_eq!(position("… near '' at line 2", &statements[1], body), (4, 1));
        assert_eq!(position("Table 'x' doesn't exist", &statements[1], body), (3, 3));
        assert_eq!(position("… at line x", &statements[0], body), (2, 1));
    }
}
