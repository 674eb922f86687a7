//! Stopping.

use sternway_model::app::AppError;

use super::shell::Shell;
use super::{Settings, failed};

/// Stops the application.
pub(super) async fn stop(shell: &Shell, settings: &Settings) -> Result<(), AppError> {
    let ran = shell.run("stop", &settings.stop, &[], settings.timeout).await;
    ran.map(drop).map_err(|reason| failed("stop the application", reason))
}
