//! The application's schema.

use std::collections::BTreeSet;

use async_trait::async_trait;
use sternway_model::proof::{Fingerprint, ObjectName};

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

    /// Statements that make a database with the schema `from` look like this one, without `except`: each
    /// stands alone, and one that does not run may do so after others. What no statement can be given
    /// for is left out, so that whoever runs them has to look what they led to. Data is no matter of
    /// theirs: they are for a shadow database, and tables may be made anew.
    ///
    /// # Errors
    /// When the schema cannot be read.
    async fn statements_from(
        &mut self,
        from: &Fingerprint,
        except: &[String],
    ) -> Result<Vec<String>, DatabaseError>;

    /// The statements that give an object which was made again what it has now beside its definition:
    /// options, grants, comments, its owner. None where it keeps them by its name.
    ///
    /// # Errors
    /// When they cannot be read.
    async fn attributes(&mut self, object: &ObjectName) -> Result<Vec<String>, DatabaseError>;

    /// Drops what golang-migrate's `drop` drops: every table of the current schema, the tracking
    /// tables among them. Returns what was dropped.
    async fn drop_tables(&mut self) -> Result<Vec<String>, DatabaseError>;
}
