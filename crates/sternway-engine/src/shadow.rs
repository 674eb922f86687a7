//! Shadow databases: empty databases, inside this process or on a server for rehearsals, on which it is
//! found out what a set of bodies leads to before the real database is touched.
//!
//! `install.rs` says what clean installs are made of, `server.rs` where, and `database.rs` is one of
//! them. What they answer is kept in [`Cache`]. [`Checkpoints`] say what the schema should be where a
//! run was left, and [`way_back`] how a body is undone that came only so far.

mod install;
mod server;
mod database;
mod cache;
mod written;
mod checkpoints;
mod partial;

use sternway_database::{Connect, DatabaseError, Dialect, StepError};
use sternway_model::catalog::TrackName;
use thiserror::Error;

pub use cache::Cache;
pub use checkpoints::{Checkpoints, checkpoints};
pub(crate) use database::ShadowDatabase;
pub use install::{Material, Positions, clean_install, expected_here};
pub(crate) use install::{install_start, position, start, start_step};
pub(crate) use partial::{PartialBody, takes_from};
pub use partial::{Undoing, undoing, way_back};
pub use server::{Setup, Shadow};

/// Why it cannot be told what a plan should lead to.
#[derive(Debug, Error)]
pub enum RehearsalError {
    /// This process has no server of that kind to make a clean install on.
    #[error("there is no {0} inside this program to make a clean install on")]
    NotInside(Dialect),
    /// There is no database to rehearse in.
    #[error("there is no database to rehearse in")]
    Server(#[source] Connect),
    /// A question to it failed.
    #[error("the rehearsal's database did not answer")]
    Database(#[from] DatabaseError),
    /// What the archive has for the journey cannot be told.
    #[error("the archive did not answer")]
    Archive(#[source] DatabaseError),
    /// The script does not run that makes what only an administrator can.
    #[error("the script for rehearsals fails")]
    Setup(#[source] Box<StepError>),
    /// A body does not run on an empty database of that server.
    #[error("a clean install fails")]
    Install(#[source] Box<StepError>),
    /// A body catches an exception, and fails for the exception on the PostgreSQL inside the process, which
    /// takes none back that code has caught.
    #[error(
        "the PostgreSQL inside this program does not survive an exception that code catches, as that of `{file}` does"
    )]
    Caught {
        /// The file.
        file: String,
        /// How it failed.
        #[source]
        source: Box<StepError>,
    },
    /// A step of the journey does not run.
    #[error("the journey fails on a clean install")]
    Journey(#[source] Box<StepError>),
    /// The up body of a migration is not known.
    #[error("the up body of migration {version} of track `{track}` is not known")]
    BodyUnknown {
        /// The track.
        track: TrackName,
        /// The migration.
        version: u64,
    },
}
