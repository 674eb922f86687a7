//! Carrying out a repair, under the locks, in front of a database that is as it was examined.

use std::time::Duration;

use sternway_database::{
    Database, DatabaseError, Done, Limits, LockError, NOTHING_DISCARDED, Preservation, Settings,
    StepError, Work,
};
use sternway_model::proof::Fingerprint;
use sternway_model::state::TrackingRow;
use thiserror::Error;

use super::{Diagnosis, Examination, Repair};
use crate::locks::under_locks;

/// Why a repair was not carried out to its end.
#[derive(Debug, Error)]
pub enum DoctorError {
    /// Somebody else is at work.
    #[error("the locks were not obtained")]
    Lock(#[from] LockError),
    /// The database is not what was examined.
    #[error("the database has changed since it was examined")]
    Moved,
    /// What was to be run failed.
    #[error("the statements failed")]
    Step(#[source] StepError),
    /// A question or a write of our own failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// What was examined, and must still be so when a repair is carried out.
#[derive(Debug, Clone, Copy)]
pub struct Examined<'a> {
    /// The application, whose archive keeps what is destroyed.
    pub app: &'a str,
    /// Every tracking table: all are locked.
    pub tables: &'a [String],
    /// The schema.
    pub found: &'a Fingerprint,
    /// Whether what cannot be kept ([`Repair::unkept`]) may go.
    pub discard: bool,
}

impl Examination {
    /// What must still be so when a repair is carried out that may `discard` what cannot be kept.
    pub fn examined(&self, discard: bool) -> Examined<'_> {
        Examined { app: &self.app, tables: &self.tables, found: &self.found, discard }
    }
}

/// Carries out a repair, under the locks, and looks again under them before.
///
/// # Errors
/// When the locks are not obtained, the database has moved, or a statement fails.
pub async fn carry_out(
    repair: &Repair,
    diagnosis: &Diagnosis,
    examined: Examined<'_>,
    database: &mut dyn Database,
    lock_timeout: Duration,
) -> Result<Done, DoctorError> {
    let run =
        async |database: &mut dyn Database| locked(repair, diagnosis, examined, database).await;
    under_locks(database, examined.tables, lock_timeout, run).await
}

async fn locked(
    repair: &Repair,
    diagnosis: &Diagnosis,
    examined: Examined<'_>,
    database: &mut dyn Database,
) -> Result<Done, DoctorError> {
    let row = database.track(&diagnosis.table).await?.row();
    let now = database.fingerprint(examined.tables).await?;
    if row != diagnosis.row || now.objects != examined.found.objects {
        return Err(DoctorError::Moved);
    }
    if repair.sql.is_empty() {
        let row = TrackingRow::clean(repair.to);
        database.set_track(&diagnosis.table, row).await?;
        return Ok(Done::default());
    }
    let mode = database.facts(&repair.sql).mode;
    let work = Work {
        table: &diagnosis.table,
        from: row.position,
        dirty: row.dirty,
        to: repair.to,
        file: &repair.file,
        body: &repair.sql,
        mode: &mode,
        journal: None,
        settings: Settings::Reset,
        durable: true,
        first: 1,
        closed_by: &repair.closed_by,
        undoing: false,
    };
    let care = Preservation {
        app: examined.app,
        track: &diagnosis.track,
        version: repair.version,
        direction: repair.direction,
        other: None,
        // Beside what cannot be kept nothing is.
        keep: repair.unkept.is_empty() || !examined.discard,
        planned: None,
        discards: &NOTHING_DISCARDED,
        each_lock: false,
        limits: Limits::default(),
    };
    database.migrate_preserving(&work, &care).await.map_err(DoctorError::Step)
}
