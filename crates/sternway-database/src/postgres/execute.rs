//! Running one half of a migration.
//!
//! In a transaction, the body, the tracking row and the journal commit together, in two messages:
//! the first begins and has the body, the second has the rest and the commit. A client that dies
//! during the body never sends the second, so that the server takes the body back. Outside a
//! transaction, the dirty mark is committed first, then the statements run one by one, then the mark
//! is taken away; the journal says which statement is under way.
//!
//! Where a body is run with care, a [`Keeper`] runs it, or each of its statements, in the transaction
//! that is begun and ended here.

use std::borrow::Cow;
use std::time::Instant;

use sqlx::postgres::PgSeverity;
use sternway_model::body::Mode;
use sternway_model::journal::Record;
use sternway_model::state::TrackingRow;

use super::blockers::Watcher;
use super::keeper::Keeper;
use super::send::{self, Failure, Piece};
use super::statements::{Control, Statement, began, drop_temporary, in_ours, statements};
use super::{Postgres, failed, limits, reconcile, records, track};
use crate::failpoint::{self, Point};
use crate::port::{DatabaseError, Done, Limits, Preservation, Settings, SqlError, StepError, Work};

/// The server's code for a write in a transaction that only reads.
const READ_ONLY: &str = "25006";

/// What is being done at the end of a step, and at its beginning outside a transaction.
const ROW: &str = "write the tracking row";
const MARK: &str = "mark the track dirty";

/// What begins the first message of a body.
const BEGIN: &str = "BEGIN;";

/// The same, where what the body destroys is kept: each statement has to see what the others have
/// committed before the lock was had.
pub(super) const BEGIN_KEEPING: &str = "BEGIN ISOLATION LEVEL READ COMMITTED;";

/// Takes back what a body set for the session, so that it does not reach our own statements or the
/// next body; cursors, prepared statements and temporary tables with it.
fn reset(postgres: &Postgres, body: &str) -> String {
    let user = Postgres::quote(&postgres.user);
    match postgres.parameters.server.has_authorities() {
        true => format!(
            "RESET ALL; SET SESSION AUTHORIZATION {user}; RESET ROLE; {}
             CLOSE ALL; DEALLOCATE ALL; {}\n",
            postgres.reset,
            drop_temporary(body),
        ),
        false => format!("RESET ALL; {}\n", postgres.reset),
    }
}

/// Makes us who we were until the transaction ends, whatever a body has set.
pub(super) fn be_ourselves(postgres: &Postgres) -> String {
    let (session, role) = (&postgres.user, &postgres.identity.user);
    let (session, role) = (Postgres::quote(session), Postgres::quote(role));
    match postgres.parameters.server.has_authorities() {
        true => format!("SET LOCAL SESSION AUTHORIZATION {session}; SET LOCAL ROLE {role};"),
        false => String::new(),
    }
}

/// Statements of our own in a transaction of their own, which leaves alone what a body has set.
pub(super) fn apart(postgres: &Postgres, sql: &str) -> String {
    format!("BEGIN READ WRITE; {} {sql} COMMIT;", be_ourselves(postgres))
}

/// Runs the body of `work`, with `care` for what it takes away.
pub(super) async fn migrate(
    postgres: &mut Postgres,
    work: &Work<'_>,
    care: Option<&Preservation<'_>>,
) -> Result<Done, StepError> {
    let limits = care.map_or_else(Limits::default, |care| care.limits);
    let inside = match work.mode {
        Mode::Transaction => in_ours(work.body),
        Mode::Dirty { .. } => Cow::Borrowed(work.body),
    };
    let work = &Work { body: &inside, ..*work };
    let watcher = Watcher::start(postgres, limits);
    let start = Instant::now();
    let ended = run(postgres, work, care, limits).await;
    // The table may have been made for a mark, and taken back with it.
    match &ended {
        Ok(_) => drop(postgres.tracked.insert(work.table.to_owned(), true)),
        Err(_) => drop(postgres.tracked.remove(work.table)),
    }
    let ended = ended.map_err(|(statement, failure)| {
        let mut failure = about_the_row(work, failure);
        if let Failure::Sql(error) = &mut failure {
            limits::explain(error, limits, start.elapsed());
        }
        failure.of(work, statement)
    });
    // What a transaction of the body's own has done is taken back with it.
    let goes_on = ended.is_err() && statements(work.body).iter().all(|it| it.transaction.is_none());
    watcher.explain(ended, goes_on).await
}

/// What the server's words about the tracking row mean. A transaction that has dropped the table is taken
/// back: it is the body that fails.
fn about_the_row(work: &Work<'_>, failure: Failure) -> Failure {
    let Failure::Other(error) = failure else { return failure };
    let ours =
        matches!(&error, DatabaseError::Query { doing, .. } if doing == ROW || doing == MARK);
    match (if ours { track::explain(work.table, error) } else { error }, work.mode) {
        (DatabaseError::TrackGone { .. }, Mode::Transaction) => {
            Failure::Sql(SqlError::track_gone(work.table))
        }
        (error, _) => Failure::Other(error),
    }
}

/// Runs the body; the error says in which statement it failed, after others that stay, or 0.
async fn run(
    postgres: &mut Postgres,
    work: &Work<'_>,
    care: Option<&Preservation<'_>>,
    limits: Limits,
) -> Result<Done, (usize, Failure)> {
    let whole = |error| (0, Failure::Other(error));
    postgres.deallocate().await.map_err(whole)?;
    track::look(postgres, work.table).await.map_err(whole)?;
    let keeper = match care {
        Some(care) => Keeper::prepare(postgres, work, care).await.map_err(|it| (0, it))?,
        None => None,
    };
    match work.mode {
        Mode::Transaction if work.first > 1 => {
            let keeper = keeper.ok_or_else(|| whole(in_its_middle()))?;
            close(postgres, work, keeper).await.map_err(|failure| (work.first, failure))
        }
        Mode::Transaction => {
            in_transaction(postgres, work, limits, keeper).await.map_err(|failure| (0, failure))
        }
        Mode::Dirty { .. } => one_by_one(postgres, work, limits, keeper).await,
    }
}

async fn in_transaction(
    postgres: &mut Postgres,
    work: &Work<'_>,
    limits: Limits,
    keeper: Option<Keeper<'_>>,
) -> Result<Done, Failure> {
    let opening = if keeper.is_some() { BEGIN_KEEPING } else { BEGIN };
    let begin = format!("{opening}{}", limits::set(limits));
    let nothing = keeper.is_none() && work.body.trim().is_empty() && work.closed_by.is_empty();
    let ran: Result<Done, Failure> = async {
        failpoint::hit(Point::BodyBegins);
        let (done, keeper) = match keeper {
            Some(keeper) => keeper.whole(postgres, &begin).await?,
            None if nothing => (Done::default(), None),
            None => {
                let piece = Piece { before: &begin, ..Piece::whole(work.body) };
                send::body(postgres, piece).await?;
                (Done::default(), None)
            }
        };
        if keeper.is_none() {
            send::close(postgres, work).await?;
        }
        failpoint::hit(Point::BodyDone);
        let ended = match (nothing, &keeper) {
            (true, _) => Ended::Nothing,
            (_, Some(_)) => Ended::ButForTheArchive,
            (_, None) => Ended::Whole,
        };
        finish(postgres, work, ended, limits).await?;
        let Some(keeper) = keeper else {
            failpoint::hit(Point::Committed);
            return Ok(done);
        };
        failpoint::hit(Point::StatementDone);
        close(postgres, work, keeper).await
    }
    .await;
    if ran.is_err() {
        // A connection that is gone has rolled back by itself.
        let rest = match work.settings {
            Settings::Reset => reset(postgres, work.body),
            Settings::Kept => String::new(),
        };
        let _ = postgres.run("roll back", format!("ROLLBACK; {rest}")).await;
    }
    ran
}

/// How far a body has come when its transaction ends.
pub(super) enum Ended {
    /// It has none, and its transaction has not begun.
    Nothing,
    /// It has run.
    Whole,
    /// It has run, and what waits in the archive can only be restored once that is committed: until
    /// then the track is marked, and the journal says that all of its statements are done.
    ButForTheArchive,
}

/// Restores what waits, once a body has committed that ran whole.
async fn close(
    postgres: &mut Postgres,
    work: &Work<'_>,
    mut keeper: Keeper<'_>,
) -> Result<Done, Failure> {
    let end = clean(postgres, work);
    keeper.close(postgres, &end).await?;
    failpoint::hit(Point::Committed);
    Ok(keeper.done(postgres).await?)
}

/// What runs in one transaction is never gone on with in its middle, unless there is an archive.
fn in_its_middle() -> DatabaseError {
    DatabaseError::RecordsDamaged(
        "a body that runs in one transaction stopped in its middle".to_owned(),
    )
}

/// The statements that say that a body has run, and not yet that its step has ended.
fn marked(postgres: &Postgres, work: &Work<'_>) -> String {
    let mut sql = track::write(postgres, work.table, TrackingRow::dirty(work.to));
    if let Some((run, step)) = work.journal {
        let statement = statements(work.body).len().max(1);
        sql.push_str(&records::insert(run, &Record::StatementDone { step, statement }));
    }
    sql
}

/// Sends the second message: what waits for the commit, our own rows, the commit.
pub(super) async fn finish(
    postgres: &mut Postgres,
    work: &Work<'_>,
    ended: Ended,
    limits: Limits,
) -> Result<(), Failure> {
    let begin = match ended {
        Ended::Nothing => BEGIN,
        Ended::Whole | Ended::ButForTheArchive => "",
    };
    // Constraints that wait for the commit fail now, where it is still the body that fails.
    let constraints = match postgres.parameters.server.has_authorities() {
        true => "SET CONSTRAINTS ALL IMMEDIATE;",
        false => "",
    };
    let clear = match work.settings {
        Settings::Reset => reset(postgres, work.body),
        Settings::Kept => be_ourselves(postgres),
    };
    // The end is refused if the body has ended our transaction: then this would not be in it.
    let end = match postgres.parameters.server {
        super::Server::Redshift => "COMMIT",
        _ => "SAVEPOINT sternway_end; COMMIT",
    };
    let durable = match work.durable || postgres.parameters.server != super::Server::Postgres {
        true => "",
        false => "SET LOCAL synchronous_commit = off;",
    };
    // What clears the session has taken the limits away; the tracking row can be locked as well.
    let clean = match ended {
        Ended::ButForTheArchive => marked(postgres, work),
        Ended::Nothing | Ended::Whole => clean(postgres, work),
    };
    let limits = limits::set(limits);
    let sql = format!("{begin}{constraints} {clear} {limits} {durable} {clean} {end}");
    let (done, sent) = postgres.send(sql.clone()).await;
    let Err(error) = sent else { return Ok(()) };
    let of_the_body = (done == 0 && !constraints.is_empty())
        || (done == 1 && !constraints.is_empty() && !begin.is_empty())
        || done + 1 == statements(&sql).len();
    match send::server_error(&error) {
        Some(error)
            if error.code() == limits::LOCKED
                || (of_the_body && matches!(error.severity(), PgSeverity::Error)) =>
        {
            Err(Failure::Sql(SqlError::of_postgres(error, None)))
        }
        _ => Err(Failure::Other(failed(ROW)(error))),
    }
}

async fn one_by_one(
    postgres: &mut Postgres,
    work: &Work<'_>,
    limits: Limits,
    mut keeper: Option<Keeper<'_>>,
) -> Result<Done, (usize, Failure)> {
    let other = |error| (0, Failure::Other(error));
    let row = TrackingRow::dirty(work.to);
    let mut mark = track::write(postgres, work.table, row);
    if work.journal.is_some() {
        mark.push_str(&track::confirm(postgres, work.table, row));
    }
    let set = limits::set_outside(limits, work.body);
    let marked = match &keeper {
        Some(keeper) if work.first == 1 => {
            keeper.mark(postgres, &mark).await.map_err(other)?;
            postgres.run("set the limits", set).await
        }
        _ => {
            let mark = apart(postgres, &mark);
            postgres.run(MARK, format!("{mark} {set}")).await
        }
    };
    marked.map_err(other)?;
    postgres.tracked.insert(work.table.to_owned(), true);
    failpoint::hit(Point::Marked);
    let ran = each(postgres, work, limits, keeper.as_mut()).await;
    let rest = match work.settings {
        Settings::Reset => reset(postgres, work.body),
        Settings::Kept => limits::reset(limits).to_owned(),
    };
    if let Err((statement, failure)) = ran {
        let cleared = postgres.run("clear the session", format!("ROLLBACK; {rest}")).await;
        cleared.map_err(other)?;
        // What has left nothing is not marked: it was refused before it did anything, or was taken back
        // with the one transaction in which it did.
        let refused =
            statement == 1 && matches!(failure, Failure::Beyond(_) | Failure::CannotKeep(_));
        let nothing = matches!(failure, Failure::Sql(_)) && leaves_nothing(work, statement);
        if refused || nothing {
            let was = TrackingRow { position: work.from, dirty: work.dirty };
            let clean = track::write(postgres, work.table, was);
            let clean = apart(postgres, &clean);
            postgres.run("take the mark away", clean).await.map_err(other)?;
        }
        return Err((if nothing { 0 } else { statement }, failure));
    }
    failpoint::hit(Point::BodyDone);
    let end = clean(postgres, work);
    let Some(mut keeper) = keeper else {
        send::close(postgres, work).await.map_err(|it| (statements(work.body).len() + 1, it))?;
        let end = apart(postgres, &end);
        postgres.run(ROW, format!("{end} {rest}")).await.map_err(other)?;
        failpoint::hit(Point::Committed);
        return Ok(Done::default());
    };
    // All statements are done then, whatever becomes of what is restored.
    let closed = keeper.close(postgres, &end).await;
    closed.map_err(|failure| (statements(work.body).len() + 1, failure))?;
    postgres.run("clear the session", rest).await.map_err(other)?;
    failpoint::hit(Point::Committed);
    keeper.done(postgres).await.map_err(other)
}

/// Whether a body that failed in `statement` has left nothing: it stood in a transaction of the body's
/// own, before which nothing was done. A journal has noted statements on the way, and stays by them.
fn leaves_nothing(work: &Work<'_>, statement: usize) -> bool {
    let statements = statements(work.body);
    let began = began(&statements, statement).filter(|_| work.journal.is_none());
    began.is_some_and(|began| statements.iter().take(began - 1).all(|before| before.sets))
}

/// Runs the statements of a body, and tells which one failed.
async fn each(
    postgres: &mut Postgres,
    work: &Work<'_>,
    limits: Limits,
    mut keeper: Option<&mut Keeper<'_>>,
) -> Result<(), (usize, Failure)> {
    let mut stands = Stands { own: Own::Closed, noted: None };
    for (index, statement) in statements(work.body).iter().enumerate() {
        let number = index + 1;
        let ran = async {
            if number < work.first {
                // It took effect in a session that is gone; what it set is gone with that.
                return match statement.sets {
                    true => send::body(postgres, Piece::of(statement, work.body)).await,
                    false => Ok(()),
                };
            }
            let lifted = limits::lifted(limits, statement.text, work.body);
            let lifted = lifted.filter(|_| statement.alone);
            if let Some([before, _]) = &lifted {
                postgres.run("lift the limit on waiting", before.clone()).await?;
            }
            let keeper = keeper.as_deref_mut();
            let ran = one(postgres, work, (number, statement), &mut stands, keeper).await;
            valid(postgres, statement, ran).await?;
            if let Some([_, after]) = lifted {
                postgres.run("limit waiting again", after).await?;
            }
            failpoint::hit(Point::StatementDone);
            Ok(())
        };
        ran.await.map_err(|failure: Failure| (number, failure))?;
    }
    Ok(())
}

/// Looks after a statement that makes an index concurrently whether that is valid: where it failed, what it
/// left is named, and `IF NOT EXISTS` passes over what an earlier one left.
async fn valid(
    postgres: &mut Postgres,
    statement: &Statement<'_>,
    ran: Result<(), Failure>,
) -> Result<(), Failure> {
    if !statement.alone || matches!(ran, Err(Failure::Other(_))) {
        return ran;
    }
    let Ok(Some(index)) = reconcile::left_invalid(postgres, statement.text).await else {
        return ran;
    };
    match ran {
        Ok(()) => {
            let message = format!("the index {index} is there already, and invalid: nothing uses it");
            let mut error = SqlError::new(&message, "55000", None);
            error.detail = Some(format!("DROP INDEX CONCURRENTLY {index} takes it away"));
            Err(Failure::Sql(error))
        }
        Err(Failure::Sql(error)) => Err(Failure::Sql(error.and(&format!(
            "it leaves the index {index} behind, which is invalid: DROP INDEX CONCURRENTLY takes it away"
        )))),
        other => other,
    }
}

/// Runs one statement.
///
/// With a journal, each statement that can run in a transaction commits together with its record, so
/// that only those that cannot are ever in doubt.
async fn one(
    postgres: &mut Postgres,
    work: &Work<'_>,
    (number, statement): (usize, &Statement<'_>),
    stands: &mut Stands,
    keeper: Option<&mut Keeper<'_>>,
) -> Result<(), Failure> {
    let piece = Piece::of(statement, work.body);
    let Stands { own, noted } = stands;
    *own = own.with(statement);
    let keeper = keeper.filter(|_| !statement.sets && (!statement.alone || statement.calls));
    match (work.journal, *own) {
        (journal, Own::Closed) if keeper.is_some() || (journal.is_some() && !statement.alone) => {
            // That a later statement is under way says that those before it are done.
            let before = noted.take().zip(journal);
            let before =
                before.map(|(statement, (_, step))| Record::StatementDone { step, statement });
            note(postgres, work, before).await?;
            together(postgres, work, statement, number, keeper).await?;
        }
        (Some(_), Own::Closed | Own::Begun) => {
            *noted = Some(number);
            underway(postgres, work, piece, number).await?;
        }
        // Seen once the body's own transaction commits, and only if it does.
        (Some((run, step)), Own::Ending { writes: true }) => {
            *noted = None;
            let record = Record::StatementDone { step, statement: number };
            let sql = format!("{} {}", be_ourselves(postgres), records::insert(run, &record));
            postgres.run("write the journal", sql).await?;
            send::body(postgres, piece).await?;
        }
        (_, Own::Open { writes: true }) if !sets_locally(statement) => match keeper {
            Some(keeper) => keeper.statement(postgres, statement, number, true).await?,
            None => send::body(postgres, piece).await?,
        },
        _ => send::body(postgres, piece).await?,
    }
    *own = own.after(statement);
    Ok(())
}

/// Where a body stands that runs statement by statement.
struct Stands {
    /// With a transaction of its own.
    own: Own,
    /// The statement that the journal has under way, and not yet as done.
    noted: Option<usize>,
}

/// Whether a statement sets something for a transaction, as some can only where nothing ran in it yet.
fn sets_locally(statement: &Statement<'_>) -> bool {
    statement.text.get(..3).is_some_and(|it| it.eq_ignore_ascii_case("set"))
}

/// Adds to the journal, outside any transaction of the body.
async fn note(
    postgres: &mut Postgres,
    work: &Work<'_>,
    record: Option<Record>,
) -> Result<(), Failure> {
    let (Some((run, _)), Some(record)) = (work.journal, record) else { return Ok(()) };
    let sql = apart(postgres, &records::insert(run, &record));
    postgres.run("write the journal", sql).await.map_err(Failure::Other)
}

/// Runs a statement outside a transaction, after the journal says that it is under way.
async fn underway(
    postgres: &mut Postgres,
    work: &Work<'_>,
    piece: Piece<'_>,
    number: usize,
) -> Result<(), Failure> {
    let record = |(_, step)| Record::Statement { step, statement: number, schema: None };
    note(postgres, work, work.journal.map(record)).await?;
    failpoint::hit(Point::StatementNoted);
    send::body(postgres, piece).await
}

/// Where a body stands with a transaction of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Own {
    /// There is none.
    Closed,
    /// This statement begins one.
    Begun,
    /// One is open; whether it may write.
    Open { writes: bool },
    /// This statement ends one.
    Ending { writes: bool },
}

impl Own {
    fn with(self, statement: &Statement<'_>) -> Own {
        match (self, statement.transaction) {
            (Own::Closed, Some(Control::Begin)) => Own::Begun,
            (Own::Open { writes }, Some(_)) => Own::Ending { writes },
            (Own::Open { writes }, None) => {
                Own::Open { writes: writes && !is_read_only(statement) }
            }
            (own, _) => own,
        }
    }

    fn after(self, statement: &Statement<'_>) -> Own {
        match (self, statement.transaction) {
            (Own::Begun, _) => Own::Open { writes: !is_read_only(statement) },
            // A chain ends one transaction and begins the next.
            (Own::Ending { writes }, Some(Control::Begin)) => Own::Open { writes },
            (Own::Ending { .. }, _) => Own::Closed,
            (own, _) => own,
        }
    }
}

fn is_read_only(statement: &Statement<'_>) -> bool {
    statement.text.to_ascii_uppercase().contains("READ ONLY")
}

/// Runs a statement in a transaction with the record that it took effect.
async fn together(
    postgres: &mut Postgres,
    work: &Work<'_>,
    statement: &Statement<'_>,
    number: usize,
    mut keeper: Option<&mut Keeper<'_>>,
) -> Result<(), Failure> {
    let piece = Piece::of(statement, work.body);
    let done = |(run, step)| (run, Record::StatementDone { step, statement: number });
    let done = work.journal.map(done);
    let record = done.as_ref().map_or(String::new(), |(run, done)| records::insert(*run, done));
    let end = format!("SET CONSTRAINTS ALL IMMEDIATE; {} {record} COMMIT", be_ourselves(postgres));
    let ran: Result<(), Failure> = async {
        match keeper.as_deref_mut() {
            Some(keeper) => keeper.statement(postgres, statement, number, false).await?,
            None => send::body(postgres, Piece { before: BEGIN, ..piece }).await?,
        }
        failpoint::hit(Point::BodyDone);
        let (done, ended) = postgres.send(end).await;
        ended.map_err(|error| match send::server_error(&error) {
            Some(error) if done == 0 || error.code() == READ_ONLY => {
                Failure::Sql(SqlError::of_postgres(error, None))
            }
            _ => failed("write the journal")(error).into(),
        })
    }
    .await;
    let Err(failure) = ran else { return Ok(()) };
    let _ = postgres.run("roll back", "ROLLBACK".to_owned()).await;
    match failure {
        // It cannot run in a transaction after all, or in none that we can write in, which only the
        // server could tell.
        Failure::Sql(error)
            if matches!(error.code.as_str(), "25001" | "2D000" | "0A000" | READ_ONLY) =>
        {
            if let Some(what) = keeper.and_then(|it| it.loses(statement)) {
                let reason = format!("{what}, outside a transaction ({})", error.message);
                return Err(Failure::CannotKeep(reason));
            }
            underway(postgres, work, piece, number).await?;
            note(postgres, work, done.map(|(_, record)| record)).await
        }
        failure => Err(failure),
    }
}

/// The statements that end a step: the tracking row, and the journal's entry beside it.
fn clean(postgres: &Postgres, work: &Work<'_>) -> String {
    let row = TrackingRow::clean(work.to);
    let mut sql = track::write(postgres, work.table, row);
    if let Some((run, end)) = work.end() {
        sql.push_str(&track::confirm(postgres, work.table, row));
        sql.push_str(&records::insert(run, &end));
    }
    sql
}
