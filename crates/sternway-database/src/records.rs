//! What every dialect's records are read by, once the cells of a row are had.

use std::collections::BTreeMap;
use std::sync::Arc;

use sternway_model::catalog::{Digest, Half, Release};
use sternway_model::journal::{Progress, Record};
use sternway_model::plan::Plan;
use sternway_model::state::{Records, RecordsAccess};

use crate::port::{DatabaseError, RunId, Unfinished};

/// The last run of an application, as it is written.
pub struct LastRun {
    /// Its number.
    pub id: RunId,
    /// Its plan.
    pub plan: String,
    /// The version of Sternway that began it.
    pub sternway: String,
    /// Who did.
    pub user: String,
    /// When.
    pub started: String,
    /// Its journal.
    pub records: Vec<String>,
}

impl LastRun {
    /// The run, unless it is over. Its plan is read only then: that of a run that is over may be one
    /// that this version cannot read.
    pub fn unfinished(self) -> Result<Option<Unfinished>, DatabaseError> {
        let LastRun { id, plan, sternway, user, started, records } = self;
        let records = records.iter().map(|record| serde_json::from_str::<Record>(record));
        let records: Vec<Record> = records.collect::<Result<_, _>>().map_err(|e| damaged(&e))?;
        let progress = Progress::of(records).map_err(|e| damaged(&e))?;
        if progress.is_over() {
            return Ok(None);
        }
        let plan = Plan::from_json(&plan).map_err(|source| DatabaseError::PlanUnreadable {
            run: id,
            sternway,
            source,
        })?;
        Ok(Some(Unfinished { id, plan, progress, user, started }))
    }
}

/// Whether an application's records can be used.
pub enum Access {
    /// The tables are there and can be read; and whether they can be written.
    Ready(RecordsAccess),
    /// They are not there and may be made.
    Absent,
    /// They are not there and cannot be made, for this reason.
    Refused(String),
}

impl Access {
    /// Whether there is something to read, and whether the tables can be written or made.
    pub fn parts(self) -> (bool, RecordsAccess) {
        match self {
            Self::Ready(access) => (true, access),
            Self::Absent => (false, RecordsAccess::Available),
            Self::Refused(reason) => (false, RecordsAccess::Unavailable(reason)),
        }
    }
}

/// What the plan of the last run says of what it leaves, from those parts of the plan; nothing where
/// another version wrote them in another way.
pub fn left_by(leaves: Option<String>, taken: Option<String>, records: &mut Records) {
    let differences = leaves.and_then(|text| serde_json::from_str(&text).ok());
    records.leaves = differences.unwrap_or_default();
    records.taken = taken.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
}

/// One half of a migration: the name of its file, its hash and its body, which is put to the others.
/// A body that does not have its hash is no body of ours.
pub fn half(
    cells: [Option<String>; 3],
    bodies: &mut BTreeMap<Digest, Arc<str>>,
) -> Result<Option<Half>, DatabaseError> {
    let [Some(file), Some(hash), Some(body)] = cells else { return Ok(None) };
    let hash: Digest = hash.parse().map_err(|e| damaged(&e))?;
    if Digest::of_body(&body) != hash {
        return Err(DatabaseError::RecordsDamaged(format!("`{file}` does not have its hash")));
    }
    bodies.insert(hash, body.into());
    Ok(Some(Half { file, hash }))
}

/// A release as it was written.
pub fn release(text: &str) -> Result<Release, DatabaseError> {
    text.parse().map_err(|e| damaged(&e))
}

/// Records that say what cannot be.
pub fn damaged(error: &dyn std::error::Error) -> DatabaseError {
    DatabaseError::RecordsDamaged(error.to_string())
}
