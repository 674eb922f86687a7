//! Starting, and waiting until it is ready.

use std::time::Duration;

use sternway_model::app::AppError;
use sternway_model::catalog::Release;
use tokio::time::Instant;

use super::shell::Shell;
use super::text::{filled, variables};
use super::{Settings, failed};

/// How long to wait before asking again whether it is ready.
const PAUSE: Duration = Duration::from_millis(250);

/// Starts the application; returns when it is ready.
pub(super) async fn start(
    shell: &Shell,
    settings: &Settings,
    release: &Release,
) -> Result<(), AppError> {
    let doing = || format!("start release {release}");
    let command = filled(&settings.start, release, None);
    let command = command.map_err(|reason| failed(doing(), format!("`start`: {reason}")))?;
    let ran = shell.run("start", &command, &variables(release, None), settings.timeout).await;
    ran.map_err(|reason| failed(doing(), reason))?;
    match &settings.ready {
        Some(command) => ready(shell, settings, release, command).await,
        None => Ok(()),
    }
}

async fn ready(
    shell: &Shell,
    settings: &Settings,
    release: &Release,
    command: &str,
) -> Result<(), AppError> {
    let doing = || format!("wait until release {release} is ready");
    let command = filled(command, release, None);
    let command = command.map_err(|reason| failed(doing(), format!("`ready`: {reason}")))?;
    let end = Instant::now() + settings.ready_timeout;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let limit = settings.timeout.min(left);
        let reason = match shell.run("ready", &command, &variables(release, None), limit).await {
            Ok(_) => return Ok(()),
            Err(reason) => reason,
        };
        if Instant::now() + PAUSE >= end {
            let seconds = settings.ready_timeout.as_secs_f64();
            return Err(failed(doing(), format!("it is not after {seconds} s: {reason}")));
        }
        tokio::time::sleep(PAUSE).await;
    }
}
