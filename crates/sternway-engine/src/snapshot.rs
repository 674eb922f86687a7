//! The port to whoever takes snapshots of the database.

use async_trait::async_trait;
use sternway_model::catalog::Release;
use sternway_model::policy::SnapshotRequest;

/// Takes snapshots of the database that a journey is about, through sessions of its own.
#[async_trait]
pub trait Snapshots: Send {
    /// Takes one, and proves it where that is asked for; `release` is the one that runs. Returns where it is, in words.
    ///
    /// # Errors
    /// Where there is none, or it is not proven.
    async fn take(
        &mut self,
        request: SnapshotRequest,
        release: Option<Release>,
    ) -> Result<String, Box<dyn std::error::Error + Send + Sync>>;
}
