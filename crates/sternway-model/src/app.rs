//! The port to a deployed application: what a run asks of it.
//!
//! The ways to deploy implement it in `sternway_deploy`; nothing here carries anything out.

use async_trait::async_trait;
use thiserror::Error;

use crate::catalog::Release;

/// Why the application did not do what it was asked.
#[derive(Debug, Error)]
#[error("cannot {doing}: {reason}")]
pub struct AppError {
    /// What was being done, such as `stop the application`.
    pub doing: String,
    /// Why it failed, with all that the tool said that may be shown: no secrets.
    pub reason: String,
}

/// A deployed application. Each of its acts may be repeated: asking for what is so already is no
/// error, because a run that was killed does not know how far it came.
#[async_trait]
pub trait App: Send {
    /// What it is, in a few words, for the plan: `commands` or `deployment/kagent-controller`.
    fn describe(&self) -> String;

    /// The release that runs, where that can be found out.
    async fn running(&mut self) -> Result<Option<Release>, AppError>;

    /// Stops it. Returns when it has stopped.
    async fn stop(&mut self) -> Result<(), AppError>;

    /// Puts `to` where `from` was; it does not run yet.
    async fn swap(&mut self, from: Option<&Release>, to: &Release) -> Result<(), AppError>;

    /// Starts it. Returns when it is ready.
    async fn start(&mut self, release: &Release) -> Result<(), AppError>;
}
