//! Signals: the first one lets the migration that runs finish, the second one ends its statement.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use sternway_database::Interrupt;

use super::log::Log;

/// How often the process was asked to stop.
#[derive(Clone, Default)]
pub struct Signals(Arc<AtomicUsize>);

impl Signals {
    /// Listens from now on. Before that, a signal ends the process as usual: at a prompt and while
    /// connecting there is nothing to finish. A wait for a lock ends at the first signal.
    pub fn listen(&self, log: Log, interrupt: Box<dyn Interrupt>) {
        let interrupt: Arc<dyn Interrupt> = interrupt.into();
        #[cfg(unix)]
        for kind in [
            tokio::signal::unix::SignalKind::interrupt(),
            tokio::signal::unix::SignalKind::terminate(),
        ] {
            let Ok(mut signal) = tokio::signal::unix::signal(kind) else { continue };
            let (signals, interrupt) = (self.clone(), Arc::clone(&interrupt));
            tokio::spawn(async move {
                while signal.recv().await.is_some() {
                    signals.came(log, &*interrupt).await;
                }
            });
        }
        #[cfg(not(unix))]
        {
            let signals = self.clone();
            tokio::spawn(async move {
                while tokio::signal::ctrl_c().await.is_ok() {
                    signals.came(log, &*interrupt).await;
                }
            });
        }
    }

    async fn came(&self, log: Log, interrupt: &dyn Interrupt) {
        if self.0.fetch_add(1, Ordering::SeqCst) == 0 {
            log.line("Stopping after this running migration ...");
            return;
        }
        log.line("Ending the running statement ...");
        if let Err(error) = interrupt.interrupt().await {
            log.line(format!("warning: the statement cannot be ended: {error}"));
        }
    }

    /// Whether to stop before the next migration.
    pub fn asked(&self) -> bool {
        self.0.load(Ordering::SeqCst) > 0
    }

    /// Whether a statement was ended.
    pub fn insisted(&self) -> bool {
        self.0.load(Ordering::SeqCst) > 1
    }
}
