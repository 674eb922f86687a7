//! Running one half of a migration.
//!
//! In a transaction, the body, the tracking row and the journal commit together. Outside one, the
//! dirty mark is committed first, then the statements run one by one, then the mark is taken away;
//! the journal says which statement is under way.
//!
//! SQLite's own lock keeps golang-migrate out while a transaction is open, and nothing does before
//! it: whether the tracking row still says what it said is looked at under that lock.

use std::future::poll_fn;

use sqlx::AssertSqlSafe;
use sqlx::sqlite::SqliteRow;
use sternway_model::body::{Destroyed, Mode};
use sternway_model::journal::Record;
use sternway_model::state::TrackingRow;

use super::archive;
use super::statements::{
    Control, Statement, began, facts, in_ours, place_of, statements, without_foreign_keys,
};
use super::{Sqlite, connect, failed, records, track};
use crate::archive::{Trouble, Waiting};
use crate::failpoint::{self, Point};
use crate::port::{DatabaseError, Done, Preservation, RunId, Settings, SqlError, StepError, Work};
use crate::tokens;

/// What went wrong: the body, or anything else.
pub(super) enum Failure {
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

impl From<DatabaseError> for Failure {
    fn from(error: DatabaseError) -> Failure {
        Failure::Other(error)
    }
}

/// What failed and left nothing behind, in the words of the port.
fn taken_back(file: String, failure: Failure) -> StepError {
    match failure {
        Failure::Sql(source) => StepError::TakenBack { file, source },
        Failure::Other(source) | Failure::Refused(Trouble::Database(source)) => {
            StepError::Database { file, source }
        }
        Failure::Refused(Trouble::CannotKeep(reason)) => StepError::CannotKeep { file, reason },
        Failure::Refused(Trouble::Beyond(more)) => StepError::Beyond { file, more },
    }
}

/// Runs the body of `work`, with `care` for what it takes away.
pub(super) async fn migrate(
    sqlite: &mut Sqlite,
    work: &Work<'_>,
    care: Option<&Preservation<'_>>,
) -> Result<Done, StepError> {
    let file = work.file.to_owned();
    if let Err(source) = connect::use_file(sqlite, true).await {
        return Err(StepError::Database { file, source });
    }
    if work.body.contains('\0') {
        let message = "the file has a NUL byte, at which SQLite stops reading";
        let source = SqlError::new(message, "SQLITE_MISUSE", None);
        return Err(StepError::TakenBack { file, source });
    }
    sqlite.interrupted.clear();
    match work.mode {
        Mode::Transaction => {
            let without_keys = without_foreign_keys(work.body);
            let inside = in_ours(work.body);
            let work = &Work { body: &inside, ..*work };
            let ended = in_transaction(sqlite, work, care, without_keys).await;
            ended.map_err(|failure| taken_back(file, failure))
        }
        Mode::Dirty { reason } => {
            let keeps = care.is_some_and(|care| care.keep);
            let destroys = facts(work.body).destroys;
            let discards = |it: &Destroyed| {
                care.is_some_and(|care| it.table().is_some_and(|table| care.discards(table)))
            };
            if keeps && let Some(first) = destroys.iter().find(|it| !discards(&it.what)) {
                let reason =
                    format!("{}, in a body that runs outside a transaction: {reason}", first.what);
                return Err(StepError::CannotKeep { file, reason });
            }
            let ended = one_by_one(sqlite, work, care).await;
            ended.map_err(|(statement, failure)| match failure {
                Failure::Sql(source) if statement > 0 => {
                    let since = began(&statements(work.body), statement).unwrap_or(statement);
                    StepError::Dirty { file, statement, since, source, blockers: None }
                }
                other => taken_back(file, other),
            })
        }
    }
}

async fn in_transaction(
    sqlite: &mut Sqlite,
    work: &Work<'_>,
    care: Option<&Preservation<'_>>,
    without_keys: bool,
) -> Result<Done, Failure> {
    if without_keys {
        let sql = "PRAGMA foreign_keys = off".to_owned();
        sqlite.run("switch the foreign keys off", sql).await.map_err(Failure::Other)?;
    }
    let ran = async {
        begin(sqlite, work).await.map_err(Failure::Other)?;
        failpoint::hit(Point::BodyBegins);
        let done = match care {
            Some(care) => with_care(sqlite, work, care).await?,
            None => {
                run_body(sqlite, work.body).await?;
                Done::default()
            }
        };
        close(sqlite, work).await?;
        failpoint::hit(Point::BodyDone);
        let sql = format!("{} {} COMMIT", writable(work.body), clean(work));
        let ended = sqlite.run("write the tracking row", sql).await;
        ended.map_err(|error| match track::explain(work.table, error) {
            DatabaseError::TrackGone { table } => Failure::Sql(SqlError::track_gone(&table)),
            error => of_the_body(error),
        })?;
        Ok(done)
    };
    let ran: Result<Done, Failure> = ran.await;
    match ran {
        Ok(_) => {
            failpoint::hit(Point::Committed);
            sqlite.tracked.insert(work.table.to_owned());
        }
        Err(_) => sqlite.roll_back().await,
    }
    sqlite.interrupted.clear();
    let reset = reset_session(sqlite, work, without_keys).await;
    let done = ran?;
    reset.map_err(Failure::Other).map(|()| done)
}

/// Runs a body between a look at what is there and a look at what is left.
async fn with_care(
    sqlite: &mut Sqlite,
    work: &Work<'_>,
    care: &Preservation<'_>,
) -> Result<Done, Failure> {
    let waiting =
        if care.keep { archive::waiting(sqlite, care, work.body).await? } else { Waiting::NONE };
    let before = archive::before(sqlite, work, care).await?;
    run_body(sqlite, work.body).await?;
    sqlite.run("write the archive", writable(work.body).to_owned()).await?;
    let (effects, kept) = archive::after(sqlite, work, care, before).await?;
    let restored = archive::restore(sqlite, waiting).await?;
    archive::note_anew(sqlite, care, &kept).await?;
    Ok(Done { effects: Some(effects), kept, restored })
}

async fn one_by_one(
    sqlite: &mut Sqlite,
    work: &Work<'_>,
    care: Option<&Preservation<'_>>,
) -> Result<Done, (usize, Failure)> {
    let other = |error| (0, Failure::Other(error));
    let waiting = match care.filter(|care| care.keep) {
        Some(care) => archive::waiting(sqlite, care, work.body).await.map_err(other)?,
        None => Waiting::NONE,
    };
    let mark = TrackingRow::dirty(work.to);
    let marked = async {
        begin(sqlite, work).await?;
        let mut sql = track::write(work.table, mark);
        if work.journal.is_some() {
            sql.push_str(&track::confirm(work.table, mark));
        }
        let marked = sqlite.run("mark the track dirty", format!("{sql} COMMIT")).await;
        marked.map_err(|error| track::explain(work.table, error))
    };
    let marked = marked.await;
    if let Err(error) = marked {
        sqlite.roll_back().await;
        return Err(other(error));
    }
    sqlite.tracked.insert(work.table.to_owned());
    failpoint::hit(Point::Marked);
    let ran = each(sqlite, work).await;
    if ran.is_err() {
        sqlite.roll_back().await;
    }
    sqlite.interrupted.clear();
    let reset = reset_session(sqlite, work, false).await;
    if let Err((statement, failure)) = ran {
        let nothing = matches!(failure, Failure::Sql(_)) && leaves_nothing(work, statement);
        if nothing {
            let was = TrackingRow { position: work.from, dirty: work.dirty };
            let sql = format!("{} {}", writable(work.body), track::write(work.table, was));
            sqlite.run_whole("take the mark away", sql).await.map_err(other)?;
        }
        return Err((if nothing { 0 } else { statement }, failure));
    }
    reset.map_err(other)?;
    let sql = writable(work.body).to_owned();
    sqlite.run("write the tracking row", sql).await.map_err(other)?;
    let ended = async {
        sqlite.run("write the tracking row", "BEGIN IMMEDIATE".to_owned()).await?;
        let restored = archive::restore(sqlite, waiting).await?;
        close(sqlite, work).await?;
        let ended = sqlite.run("write the tracking row", format!("{} COMMIT", clean(work))).await;
        ended.map_err(|error| track::explain(work.table, error))?;
        Ok(Done { restored, ..Done::default() })
    };
    let ended: Result<Done, Failure> = ended.await;
    match &ended {
        Ok(_) => failpoint::hit(Point::Committed),
        Err(_) => sqlite.roll_back().await,
    }
    ended.map_err(|failure| (statements(work.body).len() + 1, failure))
}

/// Whether a body that failed in `statement` has left nothing: it stood in a transaction of the body's
/// own, before which nothing was done. A journal has noted statements on the way, and stays by them.
fn leaves_nothing(work: &Work<'_>, statement: usize) -> bool {
    let statements = statements(work.body);
    let began = began(&statements, statement).filter(|_| work.journal.is_none());
    began.is_some_and(|began| statements.iter().take(began - 1).all(|before| before.sets))
}

/// Begins a transaction that writes, in which the tracking table is there and says what the step
/// was decided on.
async fn begin(sqlite: &mut Sqlite, work: &Work<'_>) -> Result<(), DatabaseError> {
    let table = work.table;
    let doing = format!("read the tracking table `{table}`");
    let mut sql = "BEGIN IMMEDIATE;".to_owned();
    if !sqlite.tracked.contains(table) {
        sqlite.run("begin a transaction", sql).await?;
        sql = track::make(sqlite, table).await?;
    }
    sql.push_str(&track::select(table));
    let query = sqlx::raw_sql(AssertSqlSafe(sql));
    let rows: Vec<SqliteRow> = query
        .fetch_all(&mut sqlite.connection)
        .await
        .map_err(failed(&doing))
        .map_err(|error| track::explain(table, error))?;
    let expected = TrackingRow { position: work.from, dirty: work.dirty };
    let found = track::row(table, &rows)?;
    // A body that runs on from its middle has left its mark.
    let marked = TrackingRow::dirty(work.to);
    let goes_on = work.journal.is_some() && matches!(work.mode, Mode::Dirty { .. });
    if found == expected || (goes_on && found == marked) {
        return Ok(());
    }
    Err(DatabaseError::TrackMoved { table: table.to_owned(), expected, found })
}

/// Takes back what a body may have set for the session, if it is to be taken back.
async fn reset_session(
    sqlite: &mut Sqlite,
    work: &Work<'_>,
    without_keys: bool,
) -> Result<(), DatabaseError> {
    let doing = "reset the session";
    if work.settings == Settings::Kept && !without_keys {
        return Ok(());
    }
    if mentions(work.body, b"pragma") {
        sqlite.run(doing, sqlite.settings()).await?;
    }
    if mentions(work.body, b"temp") {
        // Triggers and views before the tables that they are of.
        let left: Vec<(String, String)> = sqlx::query_as(
            "SELECT type, name FROM temp.sqlite_schema
             WHERE type IN ('table', 'view', 'trigger') AND name NOT GLOB 'sqlite_*'
             ORDER BY type = 'table', type",
        )
        .fetch_all(&mut sqlite.connection)
        .await
        .map_err(failed(doing))?;
        for (kind, name) in left {
            let name = Sqlite::quote(&name);
            sqlite.run(doing, format!("DROP {kind} IF EXISTS temp.{name}")).await?;
        }
    }
    if matches!(work.mode, Mode::Dirty { .. }) && mentions(work.body, b"attach") {
        let attached: Vec<String> = sqlx::query_scalar(
            "SELECT name FROM pragma_database_list WHERE name NOT IN ('main', 'temp')",
        )
        .fetch_all(&mut sqlite.connection)
        .await
        .map_err(failed(doing))?;
        for name in attached {
            sqlite.run(doing, format!("DETACH {}", Sqlite::quote(&name))).await?;
        }
    }
    Ok(())
}

/// Asks of the rows what they have now that what was kept is restored.
async fn close(sqlite: &mut Sqlite, work: &Work<'_>) -> Result<(), Failure> {
    for statement in work.closed_by {
        run(sqlite, statement).await.map_err(|error| failure(error, work.body, None))?;
    }
    Ok(())
}

/// What lets us write after a body that forbids it.
fn writable(body: &str) -> &'static str {
    if mentions(body, b"query_only") { "PRAGMA query_only = off;" } else { "" }
}

/// Whether a body has this word, given in lower case.
fn mentions(body: &str, word: &[u8]) -> bool {
    body.as_bytes().windows(word.len()).any(|it| it.eq_ignore_ascii_case(word))
}

/// Runs the statements of a body, and tells which one failed.
///
/// With a journal, each statement that can run in a transaction commits together with its record, so
/// that only those that cannot are ever in doubt.
async fn each(sqlite: &mut Sqlite, work: &Work<'_>) -> Result<(), (usize, Failure)> {
    let (mut open, mut noted) = (false, None);
    for (index, statement) in statements(work.body).iter().enumerate() {
        let number = index + 1;
        if number < work.first && !statement.sets {
            continue;
        }
        let ends = open && statement.transaction == Some(Control::End);
        let note = |record: (RunId, &Record)| {
            format!("{} {}", writable(work.body), records::insert(record.0, record.1))
        };
        let done = |step| Record::StatementDone { step, statement: number };
        let ran = match work.journal.filter(|_| number >= work.first) {
            Some((run, step)) if !open && !statement.alone => {
                // That a later statement is under way says that those before it are done.
                if let Some(statement) = noted.take() {
                    let record = Record::StatementDone { step, statement };
                    let written = sqlite.run("write the journal", note((run, &record))).await;
                    written.map_err(|error| (number, Failure::Other(error)))?;
                }
                together(sqlite, work, statement, &note((run, &done(step)))).await
            }
            // Inside the body's own transaction a journal entry is seen once that commits.
            Some((run, step)) if !open || ends => {
                let record = match ends {
                    true => done(step),
                    false => Record::Statement { step, statement: number, schema: None },
                };
                noted = (!ends).then_some(number);
                match sqlite.run("write the journal", note((run, &record))).await {
                    Ok(()) => {
                        failpoint::hit(Point::StatementNoted);
                        plain(sqlite, work, statement).await
                    }
                    Err(error) => Err(Failure::Other(error)),
                }
            }
            _ => plain(sqlite, work, statement).await,
        };
        ran.map_err(|failure| (number, failure))?;
        failpoint::hit(Point::StatementDone);
        match statement.transaction {
            Some(Control::Begin) => open = true,
            Some(Control::End) => open = false,
            None => {}
        }
    }
    Ok(())
}

async fn plain(
    sqlite: &mut Sqlite,
    work: &Work<'_>,
    statement: &Statement<'_>,
) -> Result<(), Failure> {
    let ran = run(sqlite, statement.text).await;
    ran.map_err(|error| failure(error, work.body, Some(statement)))
}

/// Runs a statement in a transaction with the record that it took effect.
async fn together(
    sqlite: &mut Sqlite,
    work: &Work<'_>,
    statement: &Statement<'_>,
    note: &str,
) -> Result<(), Failure> {
    let begin = "BEGIN IMMEDIATE".to_owned();
    sqlite.run("begin a transaction", begin).await.map_err(Failure::Other)?;
    plain(sqlite, work, statement).await?;
    failpoint::hit(Point::BodyDone);
    let ended = sqlite.run("write the journal", format!("{note}; COMMIT")).await;
    ended.map_err(of_the_body)
}

/// Whether a failed end is the body's: what waits for the commit is.
fn of_the_body(error: DatabaseError) -> Failure {
    match &error {
        DatabaseError::Query { source: sqlx::Error::Database(source), .. }
            if source.code().as_deref() == Some("787") =>
        {
            Failure::Sql(sql_error(source.as_ref(), None))
        }
        _ => Failure::Other(error),
    }
}

/// The statements that end a step: the tracking row, and the journal's entry beside it.
fn clean(work: &Work<'_>) -> String {
    let row = TrackingRow::clean(work.to);
    let mut sql = track::write(work.table, row);
    if let Some((run, end)) = work.end() {
        sql.push_str(&track::confirm(work.table, row));
        sql.push_str(&records::insert(run, &end));
        sql.push_str(";\n");
    }
    sql
}

/// Runs a body. SQLite copies all that it is given before it cuts the first statement off: given a
/// long body whole, it would copy the rest again for each statement.
pub(super) async fn run_body(sqlite: &mut Sqlite, body: &str) -> Result<(), Failure> {
    for statement in statements(body) {
        let ran = run(sqlite, statement.text).await;
        ran.map_err(|error| failure(error, body, Some(&statement)))?;
    }
    Ok(())
}

/// Runs a statement to its end; its rows are nobody's.
async fn run(sqlite: &mut Sqlite, sql: &str) -> Result<(), sqlx::Error> {
    let query = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()));
    let mut results = query.fetch_many(&mut sqlite.connection);
    while let Some(result) = poll_fn(|context| results.as_mut().poll_next(context)).await {
        result?;
    }
    Ok(())
}

fn failure(error: sqlx::Error, body: &str, statement: Option<&Statement<'_>>) -> Failure {
    match error {
        sqlx::Error::Database(error) => {
            let place = statement
                .map(|statement| place_of(error.message(), statement).unwrap_or(statement.offset));
            Failure::Sql(sql_error(error.as_ref(), place.map(|at| tokens::place_of(body, at))))
        }
        error => Failure::Other(failed("run the body")(error)),
    }
}

fn sql_error(error: &dyn sqlx::error::DatabaseError, at: Option<(usize, usize)>) -> SqlError {
    let number: i32 = error.code().and_then(|code| code.parse().ok()).unwrap_or(1);
    let code = match number & 0xff {
        5 => "SQLITE_BUSY",
        6 => "SQLITE_LOCKED",
        7 => "SQLITE_NOMEM",
        8 => "SQLITE_READONLY",
        9 => "SQLITE_INTERRUPT",
        10 => "SQLITE_IOERR",
        11 => "SQLITE_CORRUPT",
        13 => "SQLITE_FULL",
        14 => "SQLITE_CANTOPEN",
        19 => "SQLITE_CONSTRAINT",
        20 => "SQLITE_MISMATCH",
        23 => "SQLITE_AUTH",
        26 => "SQLITE_NOTADB",
        _ => "SQLITE_ERROR",
    };
    SqlError::new(error.message(), code, at)
}
