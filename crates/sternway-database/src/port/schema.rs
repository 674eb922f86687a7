//! The application's schema.

use std::collections::BTreeSet;

use async_trait::async_trait;
use sternway_model::proof::Fingerprint;

use super::DatabaseError;

/// What the schema has, and what it is described by.
#[async_trait]
pub trait Schema: Send {
    /// Makes `schema` the current one, alone on the search path, for this session and every body that
    /// it runs. Nothing is created yet: a schema that does not exist is made together with its first
    /// tracking table.
    ///
    /// # Errors
    /// When the dialect has no schemas, or the session cannot be asked.
    async fn enter_schema(&mut self, schema: &str) -> Result<(), DatabaseError>;

    /// The tables in the current schema, without `except`.
    async fn tables(&mut self, except: &[String]) -> Result<BTreeSet<String>, DatabaseError>;

    /// The extensions that the server offers.
    async fn extensions(&mut self) -> Result<BTreeSet<String>, DatabaseError>;

    /// A canonical description of the schema, without `except` and Sternway's own records.
    async fn fingerprint(&mut self, except: &[String]) -> Result<Fingerprint, DatabaseError>;

    /// Drops what golang-migrate's `drop` drops: every table of the current schema, the tracking
    /// tables among them. Returns what was dropped.
    async fn drop_tables(&mut self) -> Result<Vec<String>, DatabaseError>;
}
