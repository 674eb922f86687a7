//! What was kept of what migrations destroyed.

use async_trait::async_trait;
use sternway_model::archive::{Entry, EntryId, Page, Restoration};
use sternway_model::effect::Loss;

use super::DatabaseError;

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

    /// Drops an entry of the archive, with its rows.
    async fn drop_entry(&mut self, id: EntryId) -> Result<(), DatabaseError>;

    /// Restores the rows of an entry now, as far as they fit.
    async fn restore(&mut self, id: EntryId) -> Result<Restoration, DatabaseError>;
}
