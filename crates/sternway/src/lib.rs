//! Sternway for applications: migrations compiled in, and applied when the program starts.
//!
//! An application has one or more *tracks*: ordered lists of migrations, each with a tracking table
//! of its own. The files, the tables and the locks are golang-migrate's, so a database may be moved
//! by this library today and by `migrate` or `sternway` tomorrow.
//!
//! # Quick start
//!
//! ```toml
//! [dependencies]
//! sternway = "0.1"
//! include_dir = "0.7"
//! tokio = { version = "1", features = ["macros", "rt-multi-thread"] }
//! ```
//!
//! Put the migrations beside `Cargo.toml`:
//!
//! ```text
//! migrations/core/000001_task.up.sql       CREATE TABLE task (id bigint PRIMARY KEY);
//! migrations/core/000001_task.down.sql     DROP TABLE task;
//! ```
//!
#![cfg_attr(feature = "include_dir", doc = "```no_run")]
#![cfg_attr(not(feature = "include_dir"), doc = "```ignore")]
//! use include_dir::{Dir, include_dir};
//! use sternway::{Migrations, Migrator, Track};
//!
//! # // A folder that this crate has; an application names its own.
//! # macro_rules! include_dir { ($path:literal) => {
//! #     include_dir::include_dir!("$CARGO_MANIFEST_DIR/examples/startup/migrations/core")
//! # } }
//! static CORE: Dir = include_dir!("$CARGO_MANIFEST_DIR/migrations/core");
//!
//! #[tokio::main(flavor = "current_thread")]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let url = std::env::var("DATABASE_URL")?; // postgres://user@host/database
//!     let migrator = Migrator::new(url).track(Track::new("core", Migrations::embedded(&CORE)));
//!     let done = migrator.up().await?;
//!     println!("{} migration(s) applied", done.applied());
//!     // Now open the connection pool and serve.
//!     Ok(())
//! }
//! ```
//!
//! Cargo does not see files that are *added* to a folder which `include_dir!` reads. A `build.rs` of
//! one line tells it: `fn main() { println!("cargo::rerun-if-changed=migrations"); }`.
//!
//! `examples/startup.rs` is a whole program with two tracks.
//!
//! # What happens at the start
//!
//! [`Migrator::up`] does this, in this order:
//!
//! 1. What needs no database is checked: names, tables, schemas, duplicates, file names.
//! 2. Every lock of every track is taken, as golang-migrate takes them. Of many replicas that start at
//!    once, one works and the others wait, up to [`Migrator::lock_timeout`].
//! 3. Everything else is checked before anything is created: extensions that a track requires, dirty
//!    tracks, bodies that cannot be read, and the rule that no track touches another track's tables.
//! 4. The tracks go up in the order of their registration. Each migration commits together with its
//!    tracking row: one that fails in its middle leaves nothing behind, and no dirty mark. What cannot
//!    run in a transaction runs under golang-migrate's dirty protocol.
//! 5. If a track fails, it and those before it are taken back to where they stood, the last one first.
//!    A track that stood at nothing stays at its last good migration: what was in the database before
//!    is not known.
//!
//! A database **ahead** of the program is accepted with a warning: an older release starts on a newer
//! schema. A **dirty** track is refused, with the files that may have been under way and what the
//! schema says about them; `force` writes what a person has found to be true.
//!
//! A program whose migrations are applied elsewhere calls [`Migrator::verify`] instead, which only
//! reads.
//!
//! # One track at a time
//!
//! [`Migrator::on`] has golang-migrate's operations: `up`, `down`, `steps`, `goto`, `force`, `version`,
//! `status` and `drop_tables`. That there is nothing to do is no error.
//!
//! # Stopping
//!
//! [`StopHandle::stop`] lets the running migration end and goes no further; it does not outlast the
//! operation. A dropped future ends the connection: the server rolls the running transaction back,
//! keeping its locks until it has noticed.
//!
//! # Databases
//!
//! The URL's scheme chooses: `postgres://`, `mysql://`, `sqlite://` and those of golang-migrate's
//! drivers that speak the same protocols. Schemas and extensions are PostgreSQL's alone. MySQL runs
//! every body under the dirty protocol: it has no transactions for tables.
//!
//! # Errors and logs
//!
//! [`Error`] and what it holds are enums with everything that their reader has to look at; none repeats
//! the URL, its password or the rows of a table. Print the whole chain of causes. What happens is told
//! to [`Migrator::on_event`] and, through `tracing`, to the application's log.
//!
//! # Testing
//!
//! [`Migrator::check`] needs no database: call it in a test of the application's.

mod migrations;
mod track;
mod event;
mod stop;
mod open;
mod migrator;
mod one;
mod error;

pub use error::{Error, NotReady, SetupError};
pub use event::Event;
pub use migrations::Migrations;
pub use migrator::{Migrator, TrackStatus};
pub use one::OnTrack;
pub use stop::StopHandle;
pub use track::Track;

#[cfg(feature = "include_dir")]
pub use include_dir;
pub use sternway_database::{Connect, DatabaseError, Holder, LockError, SqlError, StepError};
pub use sternway_engine::folder::FolderError;
pub use sternway_engine::startup::{Raised, Startup, StartupError};
pub use sternway_engine::suspects::Suspect;
pub use sternway_engine::walk::{Failed, MigrateError, Standing, Walked};
pub use sternway_model::catalog::{Direction, NearMiss, TrackName};
pub use sternway_model::position::Position;
pub use sternway_model::rules::{Breach, Rules, Violation};
pub use sternway_model::state::{TrackState, TrackingRow};
pub use sternway_model::walk::{Leg, WalkError};
pub use sternway_source::files::{Files, FilesError};
