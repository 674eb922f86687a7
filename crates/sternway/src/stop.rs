//! Stopping an operation from another task.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sternway_database::{Connect, Interrupt};

/// Stops what a migrator is doing, from another task.
///
/// Asked while nothing is under way, it stops the next operation before its first migration. The
/// operation that ends takes the wish with it: the one after it runs as usual.
#[derive(Clone, Default)]
pub struct StopHandle(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    asked: bool,
    next: u64,
    under_way: BTreeMap<u64, Vec<Arc<dyn Interrupt>>>,
}

impl StopHandle {
    /// Lets the migration under way end, and starts no other. Tracks are not taken back. An operation
    /// that waits for its locks fails as if it had waited long enough.
    pub fn stop(&self) {
        self.inner().asked = true;
    }

    /// As [`stop`](Self::stop), and asks the server to end the statement under way. The migration then
    /// fails as if the statement had.
    ///
    /// # Errors
    /// When the server cannot be asked.
    pub async fn cancel(&self) -> Result<(), Connect> {
        let interrupts: Vec<Arc<dyn Interrupt>> = {
            let mut inner = self.inner();
            inner.asked = true;
            inner.under_way.values().flatten().cloned().collect()
        };
        for interrupt in interrupts {
            interrupt.interrupt().await?;
        }
        Ok(())
    }

    pub(crate) fn is_asked(&self) -> bool {
        self.inner().asked
    }

    /// Notes an operation, until the value is dropped.
    pub(crate) fn enter(&self, interrupts: Vec<Box<dyn Interrupt>>) -> UnderWay {
        let mut inner = self.inner();
        let number = inner.next;
        inner.next += 1;
        inner.under_way.insert(number, interrupts.into_iter().map(Arc::from).collect());
        UnderWay { stop: self.clone(), number }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // Every change is a single step: a panic elsewhere leaves nothing half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for StopHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StopHandle").field("asked", &self.is_asked()).finish()
    }
}

/// An operation; the wish to stop ends with the last one.
pub(crate) struct UnderWay {
    stop: StopHandle,
    number: u64,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut inner = self.stop.inner();
        inner.under_way.remove(&self.number);
        if inner.under_way.is_empty() {
            inner.asked = false;
        }
    }
}
