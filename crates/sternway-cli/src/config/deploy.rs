//! `[deploy.commands]`: how the application is stopped, swapped and started.

use std::path::Path;
use std::time::Duration;

use sternway_deploy::commands::Settings;

use super::expand;
use super::file::{CommandsTable, File};
use super::redact::redact;
use crate::args::Shared;
use crate::failure::{Exit, Failure};

/// How long the application may take to be ready, in seconds.
const READY_TIMEOUT: u64 = 60;
/// How long a command may take, in seconds.
pub const TIMEOUT: u64 = 300;

/// The variables that the settings take secrets of databases from.
pub fn hidden(settings: &File) -> Vec<String> {
    let database = &settings.database;
    let values = [&database.url, &database.password_command, &settings.rehearsal.url];
    values.into_iter().flatten().flat_map(|value| expand::variables(value)).collect()
}

/// The commands of the file, of the variables and of the flags; `None` where there are none, and
/// where the application is to be left alone.
pub fn commands(
    shared: &Shared,
    file: CommandsTable,
    folder: &Path,
    hidden: Vec<String>,
) -> Result<Option<Settings>, Failure> {
    let typed = &shared.deploy;
    if typed.no_deploy {
        return Ok(None);
    }
    let choose = |typed: &Option<String>, file: Option<String>| match typed {
        Some(command) => Ok(Some(command.clone())),
        None => file.map(|it| expand::expand(&it)).transpose(),
    };
    let stop = choose(&typed.deploy_stop, file.stop)?;
    let swap = choose(&typed.deploy_swap, file.swap)?;
    let start = choose(&typed.deploy_start, file.start)?;
    let ready = choose(&typed.deploy_ready, file.ready)?;
    let version = choose(&typed.deploy_version, file.version)?;
    if [&stop, &swap, &start, &ready, &version].into_iter().all(Option::is_none) {
        return Ok(None);
    }
    let needed = |name: &str, command: Option<String>| {
        command.filter(|it| !it.trim().is_empty()).ok_or_else(|| {
            let text = format!("[deploy.commands] has no `{name}`");
            let failure = Failure::new(text, Exit::Usage);
            failure.hint("stop, swap and start are needed together; --no-deploy leaves the application alone")
        })
    };
    let seconds = |typed: Option<u64>, file: Option<u64>, default| {
        Duration::from_secs(typed.or(file).unwrap_or(default))
    };
    Ok(Some(Settings {
        stop: needed("stop", stop)?,
        swap: needed("swap", swap)?,
        start: needed("start", start)?,
        ready,
        version,
        ready_timeout: seconds(typed.deploy_ready_timeout, file.ready_timeout, READY_TIMEOUT),
        timeout: seconds(typed.deploy_timeout, file.timeout, TIMEOUT),
        folder: folder.to_owned(),
        hidden,
        redact,
    }))
}
