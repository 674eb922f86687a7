//! Ending the statement that a session is at.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use sqlx::SqliteConnection;

use crate::port::{Connect, Interrupt};

/// How many steps of SQLite's machine lie between two looks: a fraction of a millisecond.
const STEPS: i32 = 2_000;

/// Whether the statement under way is to end. Asking ends one statement.
#[derive(Debug, Clone, Default)]
pub(super) struct Flag(Arc<AtomicBool>);

impl Flag {
    /// Forgets what was asked before now.
    pub fn clear(&self) {
        self.0.store(false, Ordering::Relaxed);
    }

    /// Makes a connection look at it.
    pub async fn watch(&self, connection: &mut SqliteConnection) -> sqlx::Result<()> {
        let asked = Arc::clone(&self.0);
        let goes_on = move || !asked.swap(false, Ordering::Relaxed);
        connection.lock_handle().await?.set_progress_handler(STEPS, goes_on);
        Ok(())
    }
}

#[async_trait]
impl Interrupt for Flag {
    async fn interrupt(&self) -> Result<(), Connect> {
        self.0.store(true, Ordering::Relaxed);
        Ok(())
    }
}
