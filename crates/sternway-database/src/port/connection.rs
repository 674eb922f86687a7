//! A session with one database: whose it is, and what it may be asked without changing anything.

use async_trait::async_trait;
use sternway_model::body::BodyFacts;
use sternway_model::state::Identity;

use super::{Connect, DatabaseError};

/// What ends the statement that a session is at, from another task.
#[async_trait]
pub trait Interrupt: Send + Sync {
    /// Asks the server to end it. The statement may have ended by itself meanwhile.
    ///
    /// # Errors
    /// When the server cannot be asked.
    async fn interrupt(&self) -> Result<(), Connect>;
}

/// What a session is, and what it answers.
#[async_trait]
pub trait Connection: Send {
    /// Which database this is.
    fn identity(&self) -> &Identity;

    /// The tracking table that the URL names with `x-migrations-table`, or golang-migrate's default
    /// for its scheme. The schema that the URL may name with it is the session's own matter.
    fn tracking_table(&self) -> &str;

    /// What a body says, in this dialect and in this session: parameters of the URL such as
    /// `x-multi-statement` change how a body is run.
    fn facts(&self, body: &str) -> BodyFacts;

    /// What a body would do outside of the session's database, and no rehearsal keeps to itself; `None`
    /// where nothing is found.
    ///
    /// # Errors
    /// When the session cannot be asked what else there is.
    async fn external_effects(&mut self, body: &str) -> Result<Option<String>, DatabaseError>;

    /// Why nothing can be written through this session, if the server says so beforehand.
    ///
    /// # Errors
    /// When it cannot be asked.
    async fn read_only(&mut self) -> Result<Option<String>, DatabaseError>;

    /// Puts a new session with the same database in the place of one that is lost. Nothing of the old one is
    /// left to it, and its locks are nobody's.
    ///
    /// # Errors
    /// When the server does not answer yet, or cannot be reached a second time.
    async fn renew(&mut self) -> Result<(), Connect>;

    /// What ends the statement under way. Had before the statement starts.
    fn interrupter(&self) -> Box<dyn Interrupt>;

    /// What a query of the user's own answers: the values of its one column, as text, `most` at most.
    /// It may only look; one that writes is refused by the server.
    ///
    /// # Errors
    /// When the server does not answer it.
    async fn query(
        &mut self,
        query: &str,
        most: usize,
    ) -> Result<Vec<Option<String>>, DatabaseError>;
}
