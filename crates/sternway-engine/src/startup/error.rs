//! Why the tracks of an application are not up.

use sternway_database::{DatabaseError, LockError};
use sternway_model::catalog::TrackName;
use sternway_model::position::Position;
use thiserror::Error;

use crate::suspects::{Suspect, listed};
use crate::walk::MigrateError;

/// Why the tracks are not up.
#[derive(Debug, Error)]
pub enum StartupError {
    /// Two tracks have the same tracking table.
    #[error(
        "tracks `{first}` and `{second}` share the tracking table `{table}` in schema `{schema}`"
    )]
    Shared {
        /// The track met first.
        first: TrackName,
        /// The track met second.
        second: TrackName,
        /// The table.
        table: String,
        /// Its schema.
        schema: String,
    },
    /// The locks were not obtained; nothing was touched.
    #[error("the locks were not obtained")]
    Lock(#[source] LockError),
    /// The server does not offer an extension; nothing was touched.
    #[error(
        "track `{track}` requires the extension `{extension}`, which the server does not offer"
    )]
    Extension {
        /// The track.
        track: TrackName,
        /// The extension.
        extension: String,
    },
    /// A track is dirty; nothing was touched.
    #[error("track `{track}` is dirty at {at}{}", listed(.suspects))]
    Dirty {
        /// The track.
        track: TrackName,
        /// What its tracking row says.
        at: Position,
        /// The bodies that may have been under way.
        suspects: Vec<Suspect>,
    },
    /// A track is dirty at a number that its files do not have, so they cannot tell what was under
    /// way; nothing was touched.
    #[error(
        "track `{track}` is dirty at {at}, and that is ahead of its files, which end at {last}"
    )]
    DirtyAhead {
        /// The track.
        track: TrackName,
        /// What its tracking row says.
        at: Position,
        /// Where its files end.
        last: Position,
    },
    /// A body or a way is missing; nothing was touched.
    #[error("track `{track}` cannot go up")]
    Plan {
        /// The track.
        track: TrackName,
        /// Why.
        #[source]
        source: MigrateError,
    },
    /// A track failed.
    #[error("track `{track}` failed{}", went_back(.taken_back))]
    Failed {
        /// The track.
        track: TrackName,
        /// Why.
        #[source]
        source: MigrateError,
        /// What was taken back, in that order: each track with where it stands now.
        taken_back: Vec<(TrackName, Result<Position, MigrateError>)>,
    },
    /// A question or a write of our own failed before anything was touched.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

fn went_back(taken_back: &[(TrackName, Result<Position, MigrateError>)]) -> String {
    let one = |(track, ended): &(TrackName, Result<Position, MigrateError>)| match ended {
        Ok(at) => format!("; track `{track}` was taken back to {at}"),
        Err(error) => format!("; track `{track}` was not taken back: {}", whole(error)),
    };
    taken_back.iter().map(one).collect()
}

/// An error and its causes in one line.
fn whole(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |&cause| cause.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
