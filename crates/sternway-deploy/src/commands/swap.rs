//! Putting another release in place.

use sternway_model::app::AppError;
use sternway_model::catalog::Release;

use super::shell::Shell;
use super::text::{filled, variables};
use super::{Settings, failed};

/// Puts `to` where `from` was.
pub(super) async fn swap(
    shell: &Shell,
    settings: &Settings,
    from: Option<&Release>,
    to: &Release,
) -> Result<(), AppError> {
    let doing = || format!("put release {to} in place");
    let command = filled(&settings.swap, to, from);
    let command = command.map_err(|reason| failed(doing(), format!("`swap`: {reason}")))?;
    let ran = shell.run("swap", &command, &variables(to, from), settings.timeout).await;
    ran.map(drop).map_err(|reason| failed(doing(), reason))
}
