//! The archive: what destructive bodies would have taken away, preserved in the same database, and
//! what became of it when the migration was applied again.
//!
//! Every row is accounted for: preserved = restored + left, and what is left has a conflict.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::catalog::{Direction, TrackName};
use crate::effect::{Lost, counted};
use crate::plan::Migrate;

/// The number of an entry of the archive of one database.
pub type EntryId = i64;

/// One thing that the archive has: a table, some columns of a table, or rows of one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Its number.
    pub id: EntryId,
    /// The run that preserved it, where records of runs are kept.
    pub run: Option<i64>,
    /// The track.
    pub track: TrackName,
    /// The migration whose body would have destroyed it.
    pub version: u64,
    /// Which half that was.
    pub direction: Direction,
    /// When it was preserved, in UTC, as `YYYY-MM-DD HH:MM:SS`.
    pub since: String,
    /// How old it is, in seconds, by the server's clock.
    pub age: f64,
    /// What it is.
    #[serde(flatten)]
    pub lost: Lost,
    /// The columns that it holds of the table, in order.
    pub columns: Vec<String>,
    /// How many rows were preserved.
    pub rows: u64,
    /// How many bytes they take on the disk now.
    pub bytes: u64,
    /// What became of it, once the migration was applied the other way again.
    pub restored: Option<Restored>,
}

impl Entry {
    /// How many rows of it are in the archive alone.
    pub fn waiting(&self) -> u64 {
        match &self.restored {
            Some(restored) => restored.left(),
            None => self.rows,
        }
    }

    /// Whether rows of it wait for a step: the other half of the step's migration has taken them.
    pub fn waits_for(&self, step: &Migrate) -> bool {
        let half = (&self.track, self.version, self.direction);
        self.waiting() > 0 && half == (&step.track, step.version, step.direction.opposite())
    }

    /// What became of it.
    pub fn state(&self) -> EntryState {
        match &self.restored {
            None => EntryState::Waiting,
            Some(restored) if restored.left() == 0 => EntryState::Restored,
            Some(_) => EntryState::Partly,
        }
    }

    /// Whether it has been kept for longer than this many days.
    pub fn is_older_than(&self, days: u64) -> bool {
        // A clock may stand still, or be set back: none is younger than nothing.
        days == 0 || self.age > days as f64 * DAY
    }
}

/// The seconds of a day.
const DAY: f64 = 86_400.0;

/// What became of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EntryState {
    /// Nobody has tried to restore it.
    Waiting,
    /// All of it is back.
    #[serde(rename = "back")]
    Restored,
    /// What fits is back, the rest is left.
    #[serde(rename = "left")]
    Partly,
}

/// What became of an entry when it was restored.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restored {
    /// How many rows are back in their table.
    pub back: u64,
    /// The rows that no longer fit and stay in the archive, by reason.
    #[serde(rename = "misfits")]
    pub conflicts: Vec<Conflict>,
}

impl Restored {
    /// How many rows stay in the archive.
    pub fn left(&self) -> u64 {
        self.conflicts.iter().map(|conflict| conflict.rows).sum()
    }
}

/// Why rows could not be restored, and how many they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conflict {
    /// Why, such as `the row was deleted meanwhile`.
    pub reason: String,
    /// How many.
    pub rows: u64,
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stay = if self.rows == 1 { "stays" } else { "stay" };
        write!(f, "{} {stay} in the archive: {}", counted(self.rows, "row"), self.reason)
    }
}

/// What a step preserved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preserved {
    /// The entry.
    pub id: EntryId,
    /// What it is.
    #[serde(flatten)]
    pub lost: Lost,
    /// How many rows.
    pub rows: u64,
    /// Whether that is an estimate: a large table is relocated and not counted.
    #[serde(default)]
    pub estimated: bool,
}

/// What a step restored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restoration {
    /// The entry.
    pub id: EntryId,
    /// What it is.
    #[serde(flatten)]
    pub lost: Lost,
    /// What became of it.
    pub restored: Restored,
}

/// Rows of an entry, as text; `None` is null.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// The columns.
    pub columns: Vec<String>,
    /// Their types in the server's words, as an export in SQL needs them.
    pub types: Vec<String>,
    /// Those of the columns that the server computes: nobody may write them.
    #[serde(default)]
    pub generated: Vec<String>,
    /// Those that tell one row from another; none where the whole row does.
    #[serde(skip)]
    pub key: Vec<String>,
    /// Those that the body changed in rows that stayed; none where it may be any.
    #[serde(skip)]
    pub changed: Vec<String>,
    /// The rows, each with a value a column.
    pub rows: Vec<Vec<Option<String>>>,
    /// Which values are written as SQL has them and not as plain text, where any are.
    #[serde(skip)]
    pub literals: Vec<Vec<bool>>,
}
