//! The archive of the dialects whose catalogs do not tell which rows a body changed: what bodies would
//! have taken away, in tables of the same database, and how it is restored.
//!
//! The index, `sternway_archive`, lists the entries; the rows are in `sternway_kept_…`. Everything here
//! is written once. [`restore`](self::restore()) works against [`store::RowStore`], which [`sql`]
//! implements for every dialect that tells it, as a [`sql::SqlStore`], what differs in its SQL; its tests
//! run it against a store in memory. PostgreSQL restores whole sets by its own means, and shares
//! entries and reasons.

pub mod anew;
mod entry;
mod layout;
pub mod reason;
pub mod shape;
mod store;
mod restore;
pub mod sql;
mod index;
pub mod compare;
mod measure;
#[cfg(test)]
mod memory;

use std::str::FromStr;

use crate::port::DatabaseError;

pub use entry::{KEPT, NewEntry, Stored, Trouble, direction, left};
pub use index::{
    drop_entry, gives, insertion, is_there, last_id, list, of_step, one, page, sharing, stored,
};
pub use layout::Layout;
pub use measure::measure;
pub use restore::{Origins, Outcome, Waiting, advance, leave, look_at, restore};
pub use store::{BATCH, Place, RowStore};

/// The index.
pub const INDEX: &str = "sternway_archive";

/// What the names of the tables with the rows begin with.
pub const PREFIX: &str = "sternway_kept_";

/// What a database answers.
pub type Result<T, E = DatabaseError> = std::result::Result<T, E>;

/// A number that the database has given as text.
///
/// # Errors
/// When it is none.
pub fn number<T: FromStr>(text: &str) -> Result<T> {
    text.parse().map_err(|_| DatabaseError::RecordsDamaged(format!("`{text}` is no such number")))
}
