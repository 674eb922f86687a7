//! What was kept of what migrations destroyed.

use async_trait::async_trait;
use sternway_model::archive::{Entry, EntryId, Page, Restoration};
use sternway_model::effect::Loss;
use sternway_model::plan::Migrate;
use sternway_model::proof::ObjectName;

use super::DatabaseError;
use crate::asked::Misfits;

/// The archive of a database.
#[async_trait]
pub trait Archive: Send {
    /// Fills in how many rows and bytes there are to lose, and changes nothing. What is too large to
    /// be counted is estimated; what does not exist yet stays open.
    async fn measure(&mut self, losses: &mut [Loss]) -> Result<(), DatabaseError>;

    /// What the archive keeps for the application `app`, the oldest first.
    async fn archive(&mut self, app: &str) -> Result<Vec<Entry>, DatabaseError>;

    /// Rows of an entry, from number `offset` on, `limit` at most, in an order that stays the same.
    async fn archive_page(
        &mut self,
        id: EntryId,
        offset: u64,
        limit: u64,
    ) -> Result<Page, DatabaseError>;

    /// The rows of a column's table for which what waits for the application's step has no value of that
    /// column, which is not there.
    async fn gives(
        &mut self,
        app: &str,
        step: &Migrate,
        column: &ObjectName,
    ) -> Result<Misfits, DatabaseError>;

    /// Drops an entry of the archive, with its rows.
    async fn drop_entry(&mut self, id: EntryId) -> Result<(), DatabaseError>;

    /// Lets entries stay in the archive that are not to be restored by themselves: a body that failed half
    /// way had made what they hold, and was taken back. What is left of each is returned.
    async fn leave(&mut self, ids: &[EntryId]) -> Result<Vec<Restoration>, DatabaseError>;

    /// Restores the rows of entries of one half of a migration now, as far as they fit and nobody has
    /// written to their places; together with them those that share their rows. What came of each is
    /// returned. An entry that nobody has tried to restore before, and of which nothing fits, stays as
    /// it is.
    async fn restore(&mut self, ids: &[EntryId]) -> Result<Vec<Restoration>, DatabaseError>;
}
