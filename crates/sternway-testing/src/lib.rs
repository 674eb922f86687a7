//! What the tests of lossless rollback are made with, on PostgreSQL. No other crate depends on it but
//! for its tests.
//!
//! A journey is told in five steps: [`fill()`] puts rows into every table of a schema, [`Snapshot`]
//! keeps each of them as text, [`old_release_writes`] does in the schema gone back to what an older
//! release does, and [`Journey::account`] says of every row what became of it. What is still in the
//! archive and would fit is found by trying: [`Account::try_conflicts`].
//!
//! Where the application migrates up by itself between several ways down, [`wander()`] says what was
//! written and is nowhere, or has something older in its place.
//!
//! Everything that is random comes from a seed, and the same seed gives the same rows.
//!
//! [`forward!`] makes a session out of another one, for a test that wants part of it to go otherwise.
//!
//! [`GitHost`] serves git repositories as a host does, and answers otherwise where a test wants it.
//!
//! What goes wrong here is a mistake in a test, so it panics and says so.

mod random;
mod sql;
mod tables;
mod values;
mod fill;
mod snapshot;
mod writes;
mod account;
mod kept;
mod journey;
mod conflicts;
mod wander;
mod forward;
mod git_host;

pub use account::{Account, Finding};
pub use fill::{Fill, Filled, fill};
pub use git_host::{AUTHORITY, Asked, GitHost, Reply};
pub use journey::{Computed, Journey, Others};
pub use kept::KeptRows;
pub use random::Random;
pub use snapshot::{Difference, Row, Snapshot, Table};
pub use sql::{literal, quote, run};
pub use wander::{Stay, wander};
pub use writes::{Written, old_release_writes};
