//! An application that plain commands stop, swap and start: under systemd, Compose, or by a script.
//!
//! Each command runs through `sh`, in the folder of the settings, in a process group of its own. It
//! gets the releases as `{version}` and `{from}` and as the variables `STERNWAY_VERSION` and
//! `STERNWAY_FROM`, and none of the database's secrets.

mod shell;
mod text;
mod stop;
mod swap;
mod start;

use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use sternway_model::app::{App, AppError, Deployment};
use sternway_model::catalog::Release;

use shell::Shell;

/// What to run, where, and for how long at most.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Stops the application.
    pub stop: String,
    /// Puts another release in place.
    pub swap: String,
    /// Starts the application.
    pub start: String,
    /// Succeeds once the application is ready; without it, it is ready once `start` has succeeded.
    pub ready: Option<String>,
    /// Prints the release that runs, or nothing.
    pub version: Option<String>,
    /// How long it may take until `ready` succeeds.
    pub ready_timeout: Duration,
    /// How long each command may take.
    pub timeout: Duration,
    /// Where the commands run; the working directory where it is empty.
    pub folder: PathBuf,
    /// Variables that the commands do not get, beside those that are always kept from them.
    pub hidden: Vec<String>,
    /// What takes secrets out of the commands' words before they are repeated.
    pub redact: fn(&str) -> String,
}

/// An application behind commands.
#[derive(Debug)]
pub struct Commands {
    settings: Settings,
    shell: Shell,
}

impl Commands {
    /// An application that these commands move.
    pub fn new(settings: Settings) -> Commands {
        let Settings { folder, hidden, redact, .. } = &settings;
        let shell = Shell { folder: folder.clone(), hidden: hidden.clone(), redact: *redact };
        Commands { settings, shell }
    }
}

#[async_trait]
impl App for Commands {
    fn describe(&self) -> String {
        "commands".to_owned()
    }

    async fn running(&mut self) -> Result<Option<Release>, AppError> {
        let doing = "find out which release runs";
        let Some(command) = &self.settings.version else { return Ok(None) };
        let said = self.shell.ask("version", command, self.settings.timeout).await;
        let said = said.map_err(|reason| failed(doing, reason))?;
        match said.trim() {
            "" => Ok(None),
            text => {
                let release = text.parse();
                release.map(Some).map_err(|error| failed(doing, format!("`version`: {error}")))
            }
        }
    }

    /// Commands are not asked what they would do.
    async fn survey(
        &mut self,
        _from: Option<&Release>,
        _to: &Release,
    ) -> Result<Deployment, AppError> {
        Ok(Deployment::default())
    }

    async fn stop(&mut self, _known: &Deployment) -> Result<(), AppError> {
        stop::stop(&self.shell, &self.settings).await
    }

    async fn swap(
        &mut self,
        _known: &Deployment,
        from: Option<&Release>,
        to: &Release,
    ) -> Result<(), AppError> {
        swap::swap(&self.shell, &self.settings, from, to).await
    }

    async fn start(&mut self, _known: &Deployment, release: &Release) -> Result<(), AppError> {
        start::start(&self.shell, &self.settings, release).await
    }
}

fn failed(doing: impl Into<String>, reason: impl Into<String>) -> AppError {
    AppError { doing: doing.into(), reason: reason.into() }
}
