//! Running one half of a migration.
//!
//! In a transaction, the body, the tracking row and the journal commit together, in two messages:
//! the first begins and has the body, the second has the rest and the commit. A client that dies
//! during the body never sends the second, so that the server takes the body back. Outside a
//! transaction, the dirty mark is committed first, then the statements run one by one, then the mark
//! is taken away; the journal says which statement is under way.

use std::time::Instant;

use sqlx::postgres::PgSeverity;
use sternway_model::body::Mode;
use sternway_model::journal::Record;
use sternway_model::state::Position;

use super::careful::Trouble;
use super::piecemeal::{self, Piecemeal};
use super::send::{self, Failure, Piece};
use super::statements::{Control, Statement, statements};
use super::{Postgres, failed, limits, records, track};
use crate::failpoint::{self, Point};
use crate::port::{DatabaseError, Limits, Settings, StepError, Work};

/// The server's code for a write in a transaction that only reads.
const READ_ONLY: &str = "25006";

/// What begins the first message of a body.
const BEGIN: &str = "BEGIN;";

/// Takes back what a body set for the session, so that it does not reach our own statements or the
/// next body.
pub(super) fn reset(postgres: &Postgres) -> String {
    let user = Postgres::quote(&postgres.user);
    match postgres.parameters.server.has_authorities() {
        true => {
            format!("RESET ALL; SET SESSION AUTHORIZATION {user}; RESET ROLE; {}\n", postgres.reset)
        }
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

/// Runs the body of `work`, within `limits`.
pub(super) async fn migrate(
    postgres: &mut Postgres,
    work: &Work<'_>,
    limits: Limits,
) -> Result<(), StepError> {
    let file = work.file.to_owned();
    let ready = match postgres.forget_prepared().await {
        Ok(()) => track::look(postgres, work.table).await,
        forgotten => forgotten,
    };
    if let Err(source) = ready {
        return Err(StepError::Database { file, source });
    }
    let ended = match work.mode {
        Mode::Transaction => {
            let ended = in_transaction(postgres, work, limits).await;
            ended.map_err(|failure| match failure {
                Failure::Sql(source) => StepError::TakenBack { file, source },
                Failure::Other(source) => StepError::Database { file, source },
            })
        }
        Mode::Dirty { .. } => return outside(postgres, work, limits, None).await,
    };
    match ended {
        Ok(()) => drop(postgres.tracked.insert(work.table.to_owned(), true)),
        Err(_) => drop(postgres.tracked.remove(work.table)),
    }
    ended
}

/// Runs the body of `work` outside a transaction, statement by statement, with care where that is asked
/// for.
pub(super) async fn outside(
    postgres: &mut Postgres,
    work: &Work<'_>,
    limits: Limits,
    care: Option<&mut Piecemeal<'_>>,
) -> Result<(), StepError> {
    let file = work.file.to_owned();
    let ended = one_by_one(postgres, work, limits, care).await;
    // After a failure too: the table was made for the dirty mark.
    match &ended {
        Ok(()) => drop(postgres.tracked.insert(work.table.to_owned(), true)),
        Err(_) => drop(postgres.tracked.remove(work.table)),
    }
    let dirty =
        |file, statement, source| StepError::Dirty { file, statement, source, blockers: None };
    ended.map_err(|(statement, trouble)| match trouble {
        Trouble::Sql(Failure::Sql(source)) => dirty(file, statement, source),
        Trouble::Sql(Failure::Other(source)) => match send::locked(&source) {
            // Some care for a statement waited too long: what came before it stays.
            Some(source) if statement > 0 => dirty(file, statement, source),
            _ => Trouble::Sql(Failure::Other(source)).of(file),
        },
        other => other.of(file),
    })
}

async fn in_transaction(
    postgres: &mut Postgres,
    work: &Work<'_>,
    limits: Limits,
) -> Result<(), Failure> {
    let start = Instant::now();
    let blank = work.body.trim().is_empty();
    let ran = async {
        failpoint::hit(Point::BodyBegins);
        if !blank {
            let before = format!("{BEGIN}{}", limits::set(limits));
            let piece = Piece { before: &before, text: work.body, body: work.body, offset: 0 };
            send::body(postgres, piece).await?;
        }
        failpoint::hit(Point::BodyDone);
        finish(postgres, work, if blank { Ended::Nothing } else { Ended::Whole }, limits).await
    };
    let mut ran = ran.await;
    if ran.is_ok() {
        failpoint::hit(Point::Committed);
    }
    if let Err(Failure::Sql(error)) = &mut ran {
        limits::explain(error, limits, start.elapsed());
    }
    if ran.is_err() {
        // A connection that is gone has rolled back by itself.
        let rest = match work.settings {
            Settings::Reset => reset(postgres),
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
        Ended::Whole => "",
    };
    // Constraints that wait for the commit fail now, where it is still the body that fails.
    let constraints = match postgres.parameters.server.has_authorities() {
        true => "SET CONSTRAINTS ALL IMMEDIATE;",
        false => "",
    };
    let settle = match work.settings {
        Settings::Reset => reset(postgres),
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
    // What settles the session has taken the limits away; the tracking row can be locked as well.
    let (limits, clean) = (limits::set(limits), clean(postgres, work));
    let sql = format!("{begin}{constraints} {settle} {limits} {durable} {clean} {end}");
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
            Err(Failure::Sql(send::sql_error(error, None)))
        }
        _ => Err(Failure::Other(failed("write the tracking row")(error))),
    }
}

async fn one_by_one(
    postgres: &mut Postgres,
    work: &Work<'_>,
    limits: Limits,
    mut care: Option<&mut Piecemeal<'_>>,
) -> Result<(), (usize, Trouble)> {
    let other = |error: DatabaseError| (0, Trouble::from(error));
    let mark = Position { version: work.to, dirty: true };
    let mark = track::write(postgres, work.table, mark);
    let set = limits::set_outside(limits, work.body);
    let marked = match care.as_deref() {
        Some(care) if work.first == 1 => {
            care.mark(postgres, &mark).await.map_err(other)?;
            postgres.run("set the limits", set).await
        }
        _ => {
            let mark = apart(postgres, &mark);
            postgres.run("mark the track dirty", format!("{mark} {set}")).await
        }
    };
    marked.map_err(other)?;
    postgres.tracked.insert(work.table.to_owned(), true);
    failpoint::hit(Point::Marked);
    let start = Instant::now();
    let mut ran = each(postgres, work, limits, care.as_deref_mut()).await;
    if let Err((_, Trouble::Sql(Failure::Sql(error)))) = &mut ran {
        limits::explain(error, limits, start.elapsed());
    }
    let rest = match work.settings {
        Settings::Reset => reset(postgres),
        Settings::Kept => limits::reset(limits).to_owned(),
    };
    if let Err((statement, trouble)) = &ran {
        let settled = postgres.run("settle the session", format!("ROLLBACK; {rest}")).await;
        settled.map_err(other)?;
        // What was refused before it did anything has left nothing to be marked.
        if *statement == 1 && !matches!(trouble, Trouble::Sql(_)) {
            let was = Position { version: work.from, dirty: work.dirty };
            let clean = track::write(postgres, work.table, was);
            let clean = apart(postgres, &clean);
            postgres.run("take the mark away", clean).await.map_err(other)?;
        }
        return ran;
    }
    failpoint::hit(Point::BodyDone);
    let end = clean(postgres, work);
    match care {
        Some(care) => {
            // All statements are done then, whatever becomes of what is put back.
            let after = |error| (statements(work.body).len() + 1, Trouble::from(error));
            care.close(postgres, &end, limits).await.map_err(after)?;
            postgres.run("settle the session", rest).await.map_err(other)?;
        }
        None => {
            let end = apart(postgres, &end);
            postgres.run("write the tracking row", format!("{end} {rest}")).await.map_err(other)?;
        }
    }
    failpoint::hit(Point::Committed);
    Ok(())
}

/// Runs the statements of a body, and tells which one failed.
///
/// With a journal, each statement that can run in a transaction commits together with its record, so
/// that only those that cannot are ever in doubt.
async fn each(
    postgres: &mut Postgres,
    work: &Work<'_>,
    limits: Limits,
    mut care: Option<&mut Piecemeal<'_>>,
) -> Result<(), (usize, Trouble)> {
    let mut own = Own::Closed;
    let mut noted = None;
    for (index, statement) in statements(work.body).iter().enumerate() {
        let number = index + 1;
        if number < work.first {
            // It took effect in a session that is gone; what it set is gone with that.
            if statement.sets {
                let ran = plain(postgres, work, statement).await;
                ran.map_err(|failure| (number, failure.into()))?;
            }
            continue;
        }
        own = own.with(statement);
        let lifted = limits::lifted(limits, statement.text, work.body).filter(|_| statement.alone);
        if let Some([before, _]) = &lifted {
            let ran = postgres.run("lift the limit on waiting", before.clone()).await;
            ran.map_err(|error| (number, error.into()))?;
        }
        let careful = care.is_some() && !statement.sets;
        let together_with_care = careful && (!statement.alone || statement.calls);
        let ran = match (work.journal, own) {
            (journal, Own::Closed)
                if together_with_care || (journal.is_some() && !statement.alone) =>
            {
                // That a later statement is under way says that those before it are done.
                let before = noted
                    .take()
                    .zip(journal)
                    .map(|(statement, (_, step))| Record::StatementDone { step, statement });
                match note(postgres, work, before).await {
                    Ok(()) => {
                        let care = care.as_deref_mut().filter(|_| careful);
                        together(postgres, work, statement, number, care).await
                    }
                    Err(failure) => Err(failure.into()),
                }
            }
            (Some(_), Own::Closed | Own::Begun) => {
                noted = Some(number);
                underway(postgres, work, statement, number).await.map_err(Trouble::from)
            }
            // Seen once the body's own transaction commits, and only if it does.
            (Some((run, step)), Own::Ending { writes: true }) => {
                noted = None;
                let record = Record::StatementDone { step, statement: number };
                let sql = format!("{} {}", be_ourselves(postgres), records::insert(run, &record));
                match postgres.run("write the journal", sql).await {
                    Ok(()) => plain(postgres, work, statement).await.map_err(Trouble::from),
                    Err(error) => Err(error.into()),
                }
            }
            (_, Own::Open { writes: true }) if together_with_care && !sets_locally(statement) => {
                match care.as_deref_mut() {
                    Some(care) => care.run(postgres, work, statement, number, true).await,
                    None => Ok(()),
                }
            }
            _ => plain(postgres, work, statement).await.map_err(Trouble::from),
        };
        ran.map_err(|trouble| (number, trouble))?;
        if let Some([_, after]) = lifted {
            let ran = postgres.run("limit waiting again", after).await;
            ran.map_err(|error| (number, error.into()))?;
        }
        failpoint::hit(Point::StatementDone);
        own = own.after(statement);
    }
    Ok(())
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
    statement: &Statement<'_>,
    number: usize,
) -> Result<(), Failure> {
    let record = |(_, step)| Record::Statement { step, statement: number, schema: None };
    note(postgres, work, work.journal.map(record)).await?;
    failpoint::hit(Point::StatementNoted);
    plain(postgres, work, statement).await
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

/// Runs a statement as it is.
async fn plain(
    postgres: &mut Postgres,
    work: &Work<'_>,
    statement: &Statement<'_>,
) -> Result<(), Failure> {
    let Statement { text, offset, .. } = *statement;
    send::body(postgres, Piece { before: "", text, body: work.body, offset }).await
}

/// Runs a statement in a transaction with the record that it took effect.
async fn together(
    postgres: &mut Postgres,
    work: &Work<'_>,
    statement: &Statement<'_>,
    number: usize,
    mut care: Option<&mut Piecemeal<'_>>,
) -> Result<(), Trouble> {
    let Statement { text, offset, .. } = *statement;
    let done = |(run, step)| (run, Record::StatementDone { step, statement: number });
    let done = work.journal.map(done);
    let record = done.as_ref().map_or(String::new(), |(run, done)| records::insert(*run, done));
    let end = format!("SET CONSTRAINTS ALL IMMEDIATE; {} {record} COMMIT", be_ourselves(postgres));
    let keeps = care.as_deref().is_some_and(Piecemeal::keeps);
    let ran: Result<(), Trouble> = async {
        match care.as_deref_mut() {
            Some(care) => care.run(postgres, work, statement, number, false).await?,
            None => {
                let piece = Piece { before: BEGIN, text, body: work.body, offset };
                send::body(postgres, piece).await?;
            }
        }
        failpoint::hit(Point::BodyDone);
        let (done, ended) = postgres.send(end).await;
        ended.map_err(|error| match send::server_error(&error) {
            Some(error) if done == 0 || error.code() == READ_ONLY => {
                Trouble::Sql(Failure::Sql(send::sql_error(error, None)))
            }
            _ => failed("write the journal")(error).into(),
        })
    }
    .await;
    if ran.is_err() {
        let _ = postgres.run("roll back", "ROLLBACK".to_owned()).await;
    }
    match ran {
        // It cannot run in a transaction after all, or in none that we can write in, which only the
        // server could tell.
        Err(Trouble::Sql(Failure::Sql(error)))
            if matches!(error.code.as_str(), "25001" | "2D000" | "0A000" | READ_ONLY) =>
        {
            if keeps && let Some(what) = piecemeal::destroyed(statement) {
                return Err(Trouble::CannotKeep(format!(
                    "{what}, outside a transaction ({})",
                    error.message
                )));
            }
            underway(postgres, work, statement, number).await?;
            Ok(note(postgres, work, done.map(|(_, record)| record)).await?)
        }
        ran => ran,
    }
}

/// The statements that end a step: the tracking row, and the journal's entry beside it.
fn clean(postgres: &Postgres, work: &Work<'_>) -> String {
    let position = Position { version: work.to, dirty: false };
    let mut sql = track::write(postgres, work.table, position);
    if let Some((run, end)) = work.end() {
        sql.push_str(&records::insert(run, &end));
    }
    sql
}
