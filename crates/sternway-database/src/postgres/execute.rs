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

use super::send::{self, Failure, Piece};
use super::statements::{Control, Statement, statements};
use super::{Postgres, failed, limits, records, track};
use crate::port::{DatabaseError, Limits, Settings, StepError, Work};

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
        Mode::Dirty { .. } => {
            let ended = one_by_one(postgres, work, limits).await;
            ended.map_err(|(statement, failure)| match failure {
                Failure::Sql(source) => StepError::Dirty { file, statement, source },
                Failure::Other(source) => StepError::Database { file, source },
            })
        }
    };
    // After a failure too: outside a transaction the table was made for the dirty mark.
    match ended {
        Ok(()) => drop(postgres.tracked.insert(work.table.to_owned(), true)),
        Err(_) => drop(postgres.tracked.remove(work.table)),
    }
    ended
}

async fn in_transaction(
    postgres: &mut Postgres,
    work: &Work<'_>,
    limits: Limits,
) -> Result<(), Failure> {
    let start = Instant::now();
    let blank = work.body.trim().is_empty();
    let ran = async {
        if !blank {
            let before = format!("{BEGIN}{}", limits::set(limits));
            let piece = Piece { before: &before, text: work.body, body: work.body, offset: 0 };
            send::body(postgres, piece).await?;
        }
        finish(postgres, work, if blank { Ended::Nothing } else { Ended::Whole }, limits).await
    };
    let mut ran = ran.await;
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
) -> Result<(), (usize, Failure)> {
    let other = |error: DatabaseError| (0, Failure::Other(error));
    let mark = Position { version: work.to, dirty: true };
    let mark = apart(postgres, &track::write(postgres, work.table, mark));
    let set = limits::set_outside(limits, work.body);
    postgres.run("mark the track dirty", format!("{mark} {set}")).await.map_err(other)?;
    postgres.tracked.insert(work.table.to_owned(), true);
    let start = Instant::now();
    let mut ran = each(postgres, work).await;
    if let Err((_, Failure::Sql(error))) = &mut ran {
        limits::explain(error, limits, start.elapsed());
    }
    let rest = match work.settings {
        Settings::Reset => reset(postgres),
        Settings::Kept => limits::reset(limits).to_owned(),
    };
    let doing = "write the tracking row";
    if ran.is_err() {
        let settled = postgres.run("settle the session", format!("ROLLBACK; {rest}")).await;
        return ran.and(settled.map_err(other));
    }
    let end = apart(postgres, &clean(postgres, work));
    postgres.run(doing, format!("{end} {rest}")).await.map_err(other)
}

/// Runs the statements of a body, and tells which one failed.
async fn each(postgres: &mut Postgres, work: &Work<'_>) -> Result<(), (usize, Failure)> {
    let mut open = false;
    for (index, statement) in statements(work.body).into_iter().enumerate() {
        let number = index + 1;
        // Inside the body's own transaction a journal entry would be seen only at its end.
        if let (Some((run, step)), false) = (work.journal, open) {
            let record = Record::Statement { step, statement: number };
            let sql = apart(postgres, &records::insert(run, &record));
            let written = postgres.run("write the journal", sql).await;
            written.map_err(|error| (number, Failure::Other(error)))?;
        }
        let Statement { text, offset, transaction } = statement;
        let piece = Piece { before: "", text, body: work.body, offset };
        let ran = send::body(postgres, piece).await;
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
fn clean(postgres: &Postgres, work: &Work<'_>) -> String {
    let position = Position { version: work.to, dirty: false };
    let mut sql = track::write(postgres, work.table, position);
    if let Some((run, step)) = work.journal {
        sql.push_str(&records::insert(run, &Record::Ended { step }));
    }
    sql
}
