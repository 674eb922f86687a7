//! Where each track stands, and the locks that keep two migrators from moving it at once.

use std::time::Duration;

use async_trait::async_trait;
use sternway_model::position::Position;
use sternway_model::state::{TrackState, TrackingRow};

use super::{DatabaseError, Holder, LockError};

/// The statement that was under way when a migrator died, or that failed. Only dialects without
/// transactional changes of the schema have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Underway {
    /// The name of the file.
    pub file: String,
    /// Where the track was to stand afterwards.
    pub to: Position,
    /// Which statement of the body, from 1.
    pub statement: usize,
    /// Its first line.
    pub text: String,
}

/// The locks by which golang-migrate and Sternway keep each other out.
#[async_trait]
pub trait Locks: Send {
    /// Takes every lock by which golang-migrate and Sternway keep each other out of these tracking
    /// tables, all or none, trying for as long as `lock_timeout`.
    async fn lock(&mut self, tables: &[String], lock_timeout: Duration) -> Result<(), LockError>;

    /// Ends the sessions that hold one of these locks, call themselves `sternway` and belong to the
    /// session's own user: what a client leaves behind that was killed. Returns whom it ended.
    async fn end_orphans(&mut self, tables: &[String]) -> Result<Vec<Holder>, DatabaseError>;

    /// Gives the locks back.
    async fn unlock(&mut self) -> Result<(), DatabaseError>;
}

/// The tracking tables, as golang-migrate keeps them.
#[async_trait]
pub trait Tracking: Send {
    /// What a tracking table says.
    async fn track(&mut self, table: &str) -> Result<TrackState, DatabaseError>;

    /// Makes a tracking table, if there is none, in the shape that golang-migrate gives it.
    async fn prepare_track(&mut self, table: &str) -> Result<(), DatabaseError>;

    /// Writes the tracking row, and runs nothing. The table is made where there is none.
    async fn set_track(&mut self, table: &str, row: TrackingRow) -> Result<(), DatabaseError>;

    /// The statement at which the work on a dirty track ended, if that is known.
    async fn underway(&mut self, table: &str) -> Result<Option<Underway>, DatabaseError>;
}
