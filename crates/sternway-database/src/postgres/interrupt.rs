//! Ending the statement that a session is at.

use async_trait::async_trait;

use crate::port::{Connect, Interrupt};

/// The server process of a session.
pub(super) struct Backend {}

#[async_trait]
impl Interrupt for Backend {
    async fn interrupt(&self) -> Result<(), Connect> {
        Ok(())
    }
}
