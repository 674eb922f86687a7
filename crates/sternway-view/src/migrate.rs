//! golang-migrate's commands: the shapes of their results. They are the same for one folder, whose track
//! has no name, and for the tracks of an application.

mod list;

use serde::Serialize;
use sternway_model::catalog::Direction;
use sternway_model::position::Position;
use sternway_model::state::{Identity, TrackingRow};
use sternway_model::walk::Leg;

pub use self::list::{Listed, Status, text};

/// `sternway.migrate/1`: what `up`, `down`, `goto` and `force` came to, or would come to.
#[derive(Debug, Serialize)]
pub struct Ran<'a> {
    format: &'static str,
    command: &'a str,
    database: &'a Identity,
    outcome: Outcome,
    tracks: Vec<TrackRan>,
}

/// How a command ended that did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Something ran.
    Done,
    /// There was nothing to do.
    NoChange,
    /// A signal stopped it between two migrations.
    Stopped,
    /// Nothing was to run.
    DryRun,
}

/// One track of it.
#[derive(Debug, Serialize)]
pub struct TrackRan {
    /// Its name; a folder has none.
    pub name: Option<String>,
    /// Its tracking table.
    pub table: String,
    /// Where it stands afterwards, or would.
    pub version: Position,
    /// Whether the database is ahead of the files.
    pub ahead: bool,
    /// What ran, or would.
    pub migrations: Vec<Row>,
}

/// One migration of it.
#[derive(Debug, Serialize)]
pub struct Row {
    version: u64,
    direction: Direction,
    file: Option<String>,
    to: Position,
}

impl<'a> Ran<'a> {
    /// The shape of what a command came to.
    pub fn new(
        command: &'a str,
        database: &'a Identity,
        outcome: Outcome,
        tracks: Vec<TrackRan>,
    ) -> Ran<'a> {
        Ran { format: "sternway.migrate/1", command, database, outcome, tracks }
    }
}

impl TrackRan {
    /// A track that stood at `from` and went these legs.
    pub fn of(name: Option<&str>, table: &str, from: Position, legs: &[Leg]) -> TrackRan {
        let row = |leg: &Leg| {
            let Leg { version, direction, file, to, .. } = leg.clone();
            Row { version, direction, file, to }
        };
        TrackRan {
            name: name.map(str::to_owned),
            table: table.to_owned(),
            version: legs.last().map_or(from, |leg| leg.to),
            ahead: false,
            migrations: legs.iter().map(row).collect(),
        }
    }
}

/// `sternway.migrate.version/1`
#[derive(Debug, Serialize)]
pub struct Versions {
    format: &'static str,
    tracks: Vec<TrackVersion>,
}

#[derive(Debug, Serialize)]
struct TrackVersion {
    name: Option<String>,
    table: String,
    version: Position,
    dirty: bool,
}

impl Versions {
    /// Each track's name, tracking table and its row.
    pub fn of<'a>(
        tracks: impl IntoIterator<Item = (Option<&'a str>, &'a str, TrackingRow)>,
    ) -> Versions {
        let tracks =
            tracks.into_iter().map(|(name, table, TrackingRow { position: version, dirty })| {
                let (name, table) = (name.map(str::to_owned), table.to_owned());
                TrackVersion { name, table, version, dirty }
            });
        Versions { format: "sternway.migrate.version/1", tracks: tracks.collect() }
    }
}

/// `sternway.migrate.drop/1`
#[derive(Debug, Serialize)]
pub struct Dropped<'a> {
    format: &'static str,
    database: &'a Identity,
    outcome: Outcome,
    tables: Vec<String>,
}

impl<'a> Dropped<'a> {
    /// The shape of tables that were dropped, or would be.
    pub fn new(database: &'a Identity, outcome: Outcome, tables: Vec<String>) -> Dropped<'a> {
        Dropped { format: "sternway.migrate.drop/1", database, outcome, tables }
    }
}
