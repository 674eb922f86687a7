//! Asking what the data has to be, and running again what puts it right.

use std::time::Duration;

use sternway_database::{Database, DatabaseError};
use sternway_model::catalog::{Direction, Half};
use sternway_model::check::{Check, Finding, MOST_ROWS, When};
use sternway_model::plan::Plan;
use thiserror::Error;

use crate::doctor::{Diagnosis, DoctorError, Examined, Repair, RepairKind, carry_out};
use crate::event::{Event, Observer};
use crate::unanswered::Unanswered;
use crate::verify::fingerprint;

/// Why a check was not answered.
#[derive(Debug, Error)]
#[error("cannot check whether {message}")]
pub struct CheckError {
    /// What is so where the check does not hold.
    pub message: String,
    /// Why.
    #[source]
    pub source: DatabaseError,
}

/// Asks a plan's checks of that time, and changes nothing. A check whose migration is not applied has
/// no meaning, and is left out.
///
/// # Errors
/// When the server does not answer one.
pub async fn ask(
    plan: &Plan,
    at: When,
    database: &mut dyn Database,
) -> Result<Vec<Finding>, CheckError> {
    each(plan, plan.checks_at(at), database).await
}

/// Asks what the rows are to what a plan adds among them, and changes nothing.
///
/// # Errors
/// As [`ask`].
pub(crate) async fn ask_of_additions(
    plan: &Plan,
    database: &mut dyn Database,
) -> Result<Vec<Finding>, CheckError> {
    each(plan, plan.checks.iter().filter(|it| it.adds.is_some()), database).await
}

async fn each(
    plan: &Plan,
    checks: impl Iterator<Item = &Check>,
    database: &mut dyn Database,
) -> Result<Vec<Finding>, CheckError> {
    let mut findings = Vec::new();
    for check in checks {
        let asked = one(plan, check, database).await;
        let message = || check.message.clone();
        findings.extend(asked.map_err(|source| CheckError { message: message(), source })?);
    }
    Ok(findings)
}

async fn one(
    plan: &Plan,
    check: &Check,
    database: &mut dyn Database,
) -> Result<Option<Finding>, DatabaseError> {
    if let Some((track, version)) = &check.migration {
        let Some((_, table)) = plan.tracks.iter().find(|(name, _)| name == track) else {
            return Ok(None);
        };
        if database.track(table).await?.row().position < *version {
            return Ok(None);
        }
    }
    let answers = database.query(&check.sql, 1).await?;
    let answer = answers.into_iter().next().flatten().unwrap_or_default();
    let holds = ["true", "1"].contains(&answer.as_str());
    let mut rows = Vec::new();
    if let (false, Some(query)) = (holds, &check.rows) {
        let found = database.query(query, MOST_ROWS + 1).await?;
        rows = found.into_iter().map(|it| it.unwrap_or_else(|| "null".to_owned())).collect();
    }
    let count = match &check.count {
        Some(query) if !holds => database.query(query, 1).await?.into_iter().next().flatten(),
        _ => None,
    };
    let more = rows.len() > MOST_ROWS;
    rows.truncate(MOST_ROWS);
    let again = offered(check, plan).filter(|_| !holds).map(|half| half.file.clone());
    let check = check.clone();
    Ok(Some(Finding { check, holds, rows, count, more, again, ran_again: false }))
}

/// The up half that may be run again to put right what a check found.
pub(crate) fn offered<'a>(check: &Check, plan: &'a Plan) -> Option<&'a Half> {
    let (track, version) = check.migration.as_ref().filter(|_| check.again)?;
    let migration = plan.migrations.get(track)?.iter().find(|it| it.version == *version)?;
    migration.up.as_ref().filter(|half| plan.bodies.contains_key(&half.hash))
}

/// Why what a check found was not put right. The journey has arrived all the same.
#[derive(Debug, Error)]
pub enum MendError {
    /// The up half did not run again.
    #[error("cannot run {file} again")]
    Run {
        /// The file.
        file: String,
        /// Why.
        #[source]
        source: DoctorError,
    },
    /// It ran, and changed more than rows.
    #[error("{file} has changed the schema, run again")]
    ChangedSchema {
        /// The file.
        file: String,
    },
    /// The database did not answer.
    #[error(transparent)]
    Unanswered(#[from] Unanswered),
    /// A check was not answered afterwards.
    #[error(transparent)]
    Unchecked(#[from] CheckError),
}

/// Runs again the up halves that put right what checks found, and asks these again.
///
/// # Errors
/// When one does not run, or changes more than rows.
pub async fn mend(
    plan: &Plan,
    findings: &mut [Finding],
    database: &mut dyn Database,
    lock_timeout: Duration,
    observer: &mut dyn Observer,
) -> Result<(), MendError> {
    for finding in findings.iter_mut().filter(|it| !it.holds) {
        let Some(half) = offered(&finding.check, plan) else { continue };
        run_again(plan, &finding.check, half, database, lock_timeout, observer).await?;
        let asked = one(plan, &finding.check, database).await;
        let message = finding.check.message.clone();
        let asked = asked.map_err(|source| CheckError { message, source })?;
        *finding = Finding { ran_again: true, ..asked.unwrap_or_else(|| finding.clone()) };
    }
    Ok(())
}

/// Runs an up half again, as the doctor runs what is left of one: under the locks, in front of a
/// database that is as it was, and with what it overwrites kept in the archive.
async fn run_again(
    plan: &Plan,
    check: &Check,
    half: &Half,
    database: &mut dyn Database,
    lock_timeout: Duration,
    observer: &mut dyn Observer,
) -> Result<(), MendError> {
    let Some((track, version)) = &check.migration else { return Ok(()) };
    let (Some((_, table)), Some(body)) =
        (plan.tracks.iter().find(|(name, _)| name == track), plan.bodies.get(&half.hash))
    else {
        return Ok(());
    };
    let state = database.track(table).await;
    let row = state.map_err(Unanswered::to("read the tracking row"))?.row();
    let found = fingerprint(database, &plan.tables).await?;
    let diagnosis = Diagnosis {
        track: track.clone(),
        table: table.clone(),
        row,
        fits: Vec::new(),
        by_downs: false,
        in_doubt: Vec::new(),
        repairs: Vec::new(),
    };
    let repair = Repair {
        kind: RepairKind::Finish,
        file: half.file.clone(),
        version: *version,
        direction: Direction::Up,
        sql: body.clone(),
        closed_by: Vec::new(),
        to: row.position,
        unkept: Vec::new(),
    };
    let discard = false;
    let examined = Examined { app: &plan.app, tables: &plan.tables, found: &found, discard };
    let ran = carry_out(&repair, &diagnosis, examined, database, lock_timeout).await;
    let done = ran.map_err(|source| MendError::Run { file: half.file.clone(), source })?;
    observer.tell(&Event::RanAgain { file: &half.file, done: &done });
    match fingerprint(database, &plan.tables).await?.objects == found.objects {
        true => Ok(()),
        false => Err(MendError::ChangedSchema { file: half.file.clone() }),
    }
}
