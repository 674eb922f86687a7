//! Why an operation did not do what it was asked.

use sternway_database::{Connect, DatabaseError};
use sternway_engine::folder::FolderError;
use sternway_engine::startup::StartupError;
use sternway_engine::suspects::Suspect;
use sternway_engine::walk::MigrateError;
use sternway_model::catalog::TrackName;
use sternway_model::position::Position;
use sternway_model::rules::Violation;
use thiserror::Error;

/// What is wrong with the tracks as they are registered. No database was asked.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SetupError {
    /// There is no track.
    #[error("no track is registered")]
    NoTracks,
    /// The name has a character that it must not have.
    #[error("`{track}` is no name for a track: it takes a-z first, then a-z, 0-9, `_` and `-`")]
    Name {
        /// The track.
        track: TrackName,
    },
    /// Two tracks have the same name.
    #[error("track `{track}` is registered twice")]
    Twice {
        /// The name.
        track: TrackName,
    },
    /// The tracking table has no name.
    #[error("the tracking table of track `{track}` has an empty name")]
    Table {
        /// The track.
        track: TrackName,
    },
    /// The schema has a name that would need quotes, or is too long.
    #[error(
        "`{schema}` is no name for the schema of track `{track}`: it takes a-z and `_` first, then \
         a-z, 0-9 and `_`, 63 at most"
    )]
    Schema {
        /// The track.
        track: TrackName,
        /// The schema.
        schema: String,
    },
    /// Two tracks have the same tracking table.
    #[error(
        "tracks `{first}` and `{second}` share the tracking table `{}` in {}",
        .table.as_deref().unwrap_or("schema_migrations"),
        schema_named(.schema.as_deref())
    )]
    Shared {
        /// The track registered first.
        first: TrackName,
        /// The track registered second.
        second: TrackName,
        /// The table; the default where there is none.
        table: Option<String>,
        /// The schema; the connection's where there is none.
        schema: Option<String>,
    },
    /// A track has no migrations.
    #[error("track `{track}` has no migrations in {place}")]
    Empty {
        /// The track.
        track: TrackName,
        /// Where they should be.
        place: String,
    },
    /// No track has this name.
    #[error("track `{track}` is not registered; registered tracks: {}", .known.join(", "))]
    Unknown {
        /// The name.
        track: String,
        /// Those that there are.
        known: Vec<String>,
    },
}

fn schema_named(schema: Option<&str>) -> String {
    schema.map_or("the connection's schema".to_owned(), |schema| format!("schema `{schema}`"))
}

/// Why the program cannot work on the database as it is. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NotReady {
    /// Nothing was ever applied.
    #[error(
        "the database has not been migrated: track `{track}` has no tracking table `{table}` in \
         schema `{schema}`"
    )]
    NoTable {
        /// The track.
        track: TrackName,
        /// Its tracking table.
        table: String,
        /// The schema it should be in.
        schema: String,
    },
    /// A migration did not end.
    #[error(
        "track `{track}` is dirty at {at}{}",
        .suspects.iter().map(|suspect| format!("; {suspect}")).collect::<String>()
    )]
    Dirty {
        /// The track.
        track: TrackName,
        /// What its tracking row says.
        at: Position,
        /// The bodies that may have been under way.
        suspects: Vec<Suspect>,
    },
    /// Migrations are missing.
    #[error("track `{track}` is at {at}, and this program needs {needed}")]
    Behind {
        /// The track.
        track: TrackName,
        /// Where it stands.
        at: Position,
        /// Where the program's files end.
        needed: Position,
    },
}

/// Why an operation did not do what it was asked.
#[derive(Debug, Error)]
pub enum Error {
    /// The tracks are registered wrongly.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// The files of a track are of no use; no database was asked.
    #[error("the migrations of track `{track}` are of no use")]
    Migrations {
        /// The track.
        track: TrackName,
        /// Why.
        #[source]
        source: FolderError,
    },
    /// There is no session.
    #[error(transparent)]
    Connect(#[from] Connect),
    /// A schema cannot be entered, or a question failed. Nothing was touched.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// Migrations that would be applied touch tables of another track. Nothing was touched.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Rules(Vec<Violation>),
    /// The tracks are not up.
    #[error(transparent)]
    Startup(#[from] StartupError),
    /// The database is not as this program needs it.
    #[error(transparent)]
    NotReady(#[from] NotReady),
    /// An operation on one track did not arrive.
    #[error(
        "track `{track}` did not get there{}",
        .suspects.iter().map(|suspect| format!("; {suspect}")).collect::<String>()
    )]
    Track {
        /// The track.
        track: TrackName,
        /// Why.
        #[source]
        source: MigrateError,
        /// Where it is dirty: the bodies that may have been under way.
        suspects: Vec<Suspect>,
    },
}
