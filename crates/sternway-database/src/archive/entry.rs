//! An entry as the index has it, whatever the dialect.

use std::collections::BTreeMap;

use sternway_model::archive::{Conflict, Entry, Restoration, Restored};
use sternway_model::catalog::Direction;
use sternway_model::effect::Lost;

use super::layout::Layout;
use super::{Result, reason};
use crate::port::DatabaseError;

/// An entry with all that restoring it needs.
#[derive(Debug, Clone)]
pub struct Stored {
    /// What everybody may see of it; how many bytes it takes is measured when somebody asks.
    pub entry: Entry,
    /// The number of the table that holds its rows. The columns of one table share it.
    pub data: i64,
    /// The first of the entries that were made together.
    pub step: i64,
    /// Whether its step has ended, and else how far its preservation has come.
    pub state: String,
    /// Its layout.
    pub layout: Layout,
}

/// The state of an entry whose step has ended.
pub const KEPT: &str = "kept";

/// An entry that is about to be written.
#[derive(Debug, Clone)]
pub struct NewEntry {
    /// What was lost.
    pub lost: Lost,
    /// The number of the table that holds its rows.
    pub data: i64,
    /// How they are laid out.
    pub layout: Layout,
    /// How many there are.
    pub rows: u64,
}

/// Why a body with what it takes away was not run.
#[derive(Debug)]
pub enum Trouble {
    /// A question failed.
    Database(DatabaseError),
    /// This cannot be kept.
    CannotKeep(String),
    /// The plan does not say so.
    Beyond(Vec<Lost>),
}

impl From<DatabaseError> for Trouble {
    fn from(error: DatabaseError) -> Trouble {
        Trouble::Database(error)
    }
}

/// A direction as it is stored.
pub fn written(direction: Direction) -> &'static str {
    match direction {
        Direction::Up => "up",
        Direction::Down => "down",
    }
}

/// The direction that was stored as `text`.
///
/// # Errors
/// When it is none.
pub fn direction(text: &str) -> Result<Direction> {
    match text {
        "up" => Ok(Direction::Up),
        "down" => Ok(Direction::Down),
        other => Err(DatabaseError::RecordsDamaged(format!("direction `{other}`"))),
    }
}

/// Rows counted by why they stay.
pub fn conflicts(mut counts: BTreeMap<String, u64>) -> Vec<Conflict> {
    counts.retain(|_, rows| *rows > 0);
    counts.into_iter().map(|(reason, rows)| Conflict { reason, rows }).collect()
}

/// What becomes of an entry that what takes back half a migration leaves in the archive.
pub fn left(entry: &Entry) -> Restoration {
    let (id, lost) = (entry.id, entry.lost.clone());
    let conflict = Conflict { reason: reason::left(&lost).to_owned(), rows: entry.rows };
    let conflicts = Some(conflict).filter(|it| it.rows > 0).into_iter().collect();
    Restoration { id, lost, restored: Restored { back: 0, conflicts } }
}
