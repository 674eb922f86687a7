//! What forbids a journey before it is rehearsed: a connection on which locks mean nothing, a run that
//! nobody has ended, and tracking rows that do not say what the schema is.

use std::time::Duration;

use sternway_database::{Database, DatabaseError, LockError, Unfinished};
use sternway_model::journal::Record;
use sternway_model::plan::{Facts, Plan, standing};
use sternway_model::position::Position;
use sternway_model::proof::Difference;
use sternway_model::state::TrackingRow;
use thiserror::Error;

use crate::doctor::{Diagnosis, Rows, out_of_step};
use crate::event::{Event, Observer};
use crate::locks::under_locks;
use crate::material::InstallMaterial;
use crate::shadow::{Material, Shadow};
use crate::unanswered::Unanswered;
use crate::verify::fingerprint;

/// Why a journey may not begin.
#[derive(Debug, Error)]
pub enum PreflightError {
    /// The connection changes hands between transactions.
    #[error(
        "the connection goes through a proxy that shares it by transaction; session locks mean nothing \
         there, so that nothing keeps other migrators out"
    )]
    Pooled,
    /// Nobody has ended the last run.
    #[error("run {} is unfinished", .0.id())]
    Unfinished(Box<UnfinishedRun>),
    /// A row is behind or ahead of its schema.
    #[error("the tracking rows do not say what the schema is")]
    OutOfStep(Vec<Diagnosis>),
    /// Somebody else is at work.
    #[error("the locks were not obtained")]
    Lock(#[from] LockError),
    /// The database did not answer.
    #[error(transparent)]
    Unanswered(#[from] Unanswered),
}

impl From<DatabaseError> for PreflightError {
    fn from(cause: DatabaseError) -> Self {
        Self::Unanswered(Unanswered { what: "give the locks back", cause })
    }
}

/// A run that nobody has ended.
#[derive(Debug)]
pub enum UnfinishedRun {
    /// One that can be resumed or taken back.
    Known(Box<Unfinished>),
    /// One of another version, whose plan cannot be read.
    Unreadable(i64, DatabaseError),
}

impl UnfinishedRun {
    /// Its number.
    pub fn id(&self) -> i64 {
        match self {
            Self::Known(run) => run.id,
            Self::Unreadable(id, _) => *id,
        }
    }
}

/// Refuses a connection that changes hands between transactions, unless that is `allowed`.
///
/// # Errors
/// When it does, or cannot be found out.
pub async fn not_pooled(
    database: &mut dyn Database,
    allowed: bool,
    observer: &mut dyn Observer,
) -> Result<(), PreflightError> {
    let pooled = database.is_pooled().await;
    match pooled.map_err(Unanswered::to("tell whether the server answers"))? {
        false => Ok(()),
        true if allowed => {
            observer.tell(&Event::Pooled);
            Ok(())
        }
        true => Err(PreflightError::Pooled),
    }
}

/// The run of the application `app` that nobody has ended.
///
/// # Errors
/// When the database does not answer.
pub async fn unfinished(
    database: &mut dyn Database,
    app: &str,
) -> Result<Option<UnfinishedRun>, Unanswered> {
    match database.unfinished(app).await {
        Ok(found) => Ok(found.map(|run| UnfinishedRun::Known(Box::new(run)))),
        Err(cause @ DatabaseError::PlanUnreadable { run, .. }) => {
            Ok(Some(UnfinishedRun::Unreadable(run, cause)))
        }
        Err(cause) => Err(Unanswered { what: "look for an unfinished run", cause }),
    }
}

/// Refuses to begin while a run is unfinished, or leaves that one as it is for good where told so.
///
/// # Errors
/// When there is one, the locks are not obtained, or the database does not answer.
pub async fn none_unfinished(
    database: &mut dyn Database,
    app: &str,
    tables: &[String],
    lock_timeout: Duration,
    abandon: bool,
    observer: &mut dyn Observer,
) -> Result<(), PreflightError> {
    if unfinished(database, app).await?.is_none() {
        return Ok(());
    }
    // It may be at work this moment: under its locks it is not.
    under_locks(database, tables, lock_timeout, async |database| {
        let Some(found) = unfinished(database, app).await? else { return Ok(()) };
        if !abandon {
            return Err(PreflightError::Unfinished(Box::new(found)));
        }
        let abandoned = database.record(found.id(), &Record::Abandoned).await;
        abandoned.map_err(Unanswered::to("abandon the run"))?;
        observer.tell(&Event::Abandoned(found.id()));
        Ok(())
    })
    .await
}

/// Refuses a database whose tracking rows are behind or ahead of its schema.
///
/// A row that is behind its schema makes a runner apply migrations that are there already, and undo
/// them where one fails, with the rows that the tables have got since. A row that is ahead makes it
/// pass over migrations that are missing. Where that cannot be found out, the rehearsal of the journey
/// says why.
///
/// # Errors
/// When a row is, or the schema cannot be read.
pub async fn rows_in_step(
    facts: &Facts<'_>,
    shadow: &Shadow,
    database: &mut dyn Database,
) -> Result<(), PreflightError> {
    let Ok(standing) = standing(facts) else { return Ok(()) };
    let applied = standing.applied.iter();
    let rows = applied.map(|(track, set)| (track.clone(), TrackingRow::clean(set.last())));
    let rows: Rows = rows.collect();
    let install = InstallMaterial::whole(facts, &standing.applied);
    hold(shadow, &install.material(), &rows, &facts.state.records.leaves, database).await
}

/// The same for a plan that was made where nobody looked at a database, and is about to be executed.
/// Any other was made for this very schema, and this was asked then.
///
/// # Errors
/// When a row is behind or ahead of the schema, or that cannot be read.
pub async fn plan_in_step(
    plan: &Plan,
    shadow: &Shadow,
    database: &mut dyn Database,
) -> Result<(), PreflightError> {
    if plan.basis.fingerprint.is_some() {
        return Ok(());
    }
    let on = plan.tracks.iter().filter_map(|(track, _)| plan.basis.tracks.get_key_value(track));
    let rows: Rows = on.map(|(track, state)| (track.clone(), state.row())).collect();
    let mut migrations = plan.migrations.clone();
    migrations.extend(plan.before.clone());
    let (material, left) = (Material::before(plan, &migrations), &plan.basis.deviation.known);
    hold(shadow, &material, &rows, left, database).await
}

async fn hold(
    shadow: &Shadow,
    material: &Material<'_>,
    rows: &Rows,
    left: &[Difference],
    database: &mut dyn Database,
) -> Result<(), PreflightError> {
    if rows.values().all(|row| row.position == Position::Nothing) {
        return Ok(());
    }
    let found = fingerprint(database, material.tables).await?;
    match out_of_step(shadow, material, rows, &found, left).await {
        Ok(wrong) if wrong.is_empty() => Ok(()),
        Ok(wrong) => Err(PreflightError::OutOfStep(wrong)),
        Err(error) => {
            tracing::debug!("whether the rows fit the schema is not known: {error}");
            Ok(())
        }
    }
}
