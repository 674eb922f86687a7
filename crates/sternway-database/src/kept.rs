//! What every dialect's records are read by, once the cells of a row are had, and what the archives
//! of those without schemas have in common.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sternway_model::archive::{Misfit, Restored};
use sternway_model::catalog::{Digest, Direction, Half, Release};
use sternway_model::effect::{Effects, Lost};
use sternway_model::journal::{Progress, Record};
use sternway_model::plan::Plan;
use sternway_model::proof::Fingerprint;

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

/// How the rows of an entry of the archive are laid out, and how they are found again. The table that
/// holds them calls the values `c0`, `c1` and so on, and those that a body gave them `a0`, `a1`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Layout {
    /// The table they were taken from.
    pub table: String,
    /// Its columns that are kept.
    pub columns: Vec<String>,
    /// Their types in the server's words.
    pub types: Vec<String>,
    /// Those that tell one row from another; none where the whole row does.
    pub key: Vec<String>,
    /// What the table was called when the body had run, if it stayed.
    pub after: Option<String>,
    /// What each of the columns was called then, if it stayed.
    pub renamed: Vec<Option<String>>,
    /// Whether the body also added rows: then what a later one puts there may be newer.
    pub carried: bool,
    /// Whether rows may have got another key from the body, so that nobody can tell which are gone.
    pub uncertain: bool,
    /// Where the numbers of the table had come to.
    pub sequence: Option<u64>,
    /// Whether the table itself was moved aside, and calls its columns by their own names.
    pub moved: bool,
}

impl Layout {
    /// The number of a column.
    pub fn at(&self, column: &str) -> Option<usize> {
        self.columns.iter().position(|name| name.eq_ignore_ascii_case(column))
    }

    /// The numbers of the columns of the key.
    pub fn keys(&self) -> Vec<usize> {
        self.key.iter().filter_map(|column| self.at(column)).collect()
    }
}

/// The reasons why rows stay in the archive.
pub mod reason {
    /// Its table is not there.
    pub const NO_TABLE: &str = "the table is not there";
    /// A column that it has values for is not there.
    pub const NO_COLUMN: &str = "a column that it has a value for is not there";
    /// What told the rows apart does so no longer.
    pub const NO_KEY: &str = "the table has its key no longer";
    /// The row that a value belongs to is gone.
    pub const DELETED: &str = "the row was deleted meanwhile";
    /// Somebody wrote to it after the body.
    pub const CHANGED: &str = "the row was changed meanwhile";
    /// Somebody took its place.
    pub const TAKEN: &str = "a row with its key is there";
    /// A later rollback kept the same rows.
    pub const NEWER: &str = "a later rollback kept newer values";
    /// Nobody can tell which of them it was.
    pub const ALIKE: &str = "several rows look alike";
    /// It may be there with another key.
    pub const LOST_TRACK: &str = "the row was changed and cannot be told from others";
    /// Triggers cannot be kept from firing.
    pub const TRIGGERS: &str = "the table has triggers, which would fire";
    /// A foreign key of it leads nowhere.
    pub const ORPHAN: &str = "a row that it refers to is not there";
    /// Another row has a value that may be there once.
    pub const UNIQUE: &str = "another row has a value that may be there only once";
    /// It has no value where there has to be one.
    pub const NULL: &str = "it has no value where the table now wants one";
    /// A check fails.
    pub const CHECK: &str = "a check of the table refuses it";
    /// A value is none of its column.
    pub const TYPE: &str = "a value does not fit its column";
}

/// What an index row of the archive says, whatever the dialect.
#[derive(Debug, Clone)]
pub struct Stored {
    /// Its number.
    pub id: i64,
    /// The number of the table that holds its rows. The columns of one table share it.
    pub data: i64,
    /// The first of the entries that were made together.
    pub step: i64,
    /// What it is.
    pub lost: Lost,
    /// Its layout.
    pub layout: Layout,
    /// How many rows were kept.
    pub rows: u64,
    /// What became of it.
    pub restored: Option<Restored>,
}

/// What `before` and `after` differ in.
pub fn effects(before: &Fingerprint, after: &Fingerprint) -> Effects {
    let mut effects = Effects::default();
    for (name, definition) in &after.objects {
        match before.objects.get(name) {
            None => drop(effects.created.insert(name.clone())),
            Some(former) if former != definition => drop(effects.altered.insert(name.clone())),
            Some(_) => {}
        }
    }
    let gone = before.objects.keys().filter(|name| !after.objects.contains_key(name));
    effects.destroyed = gone.cloned().collect();
    effects
}

/// A direction as it is stored.
pub fn direction(direction: Direction) -> &'static str {
    match direction {
        Direction::Up => "up",
        Direction::Down => "down",
    }
}

/// The other half.
pub fn opposite(of: Direction) -> Direction {
    match of {
        Direction::Up => Direction::Down,
        Direction::Down => Direction::Up,
    }
}

/// Rows counted by why they stay.
pub fn misfits(mut counts: BTreeMap<String, u64>) -> Vec<Misfit> {
    counts.retain(|_, rows| *rows > 0);
    counts.into_iter().map(|(reason, rows)| Misfit { reason, rows }).collect()
}
