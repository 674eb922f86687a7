//! The server's own programs: which ones are here, and which of them fits the server.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

use crate::error::SnapshotError;

/// How a program is started: such that it ends with this process, where there is a way.
pub type Start = fn(&OsStr) -> Command;

/// Where programs are looked for.
#[derive(Clone)]
pub struct Programs {
    /// In this folder and nowhere else.
    pub folder: Option<PathBuf>,
    /// How they are started.
    pub start: Start,
}

/// A program that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Program {
    pub path: PathBuf,
    pub name: String,
    /// What it says of its version.
    pub version: String,
}

impl Program {
    /// Its name and version.
    pub fn words(&self) -> String {
        format!("{} {}", self.name, self.version)
    }

    /// The first number of its version.
    fn major(&self) -> Option<u32> {
        major(&self.version)
    }
}

/// The first number of a version, such as of `PostgreSQL 15.3`.
pub(crate) fn major(version: &str) -> Option<u32> {
    let begin = version.find(|it: char| it.is_ascii_digit())?;
    let rest = &version[begin..];
    let end = rest.find(|it: char| !it.is_ascii_digit()).unwrap_or(rest.len());
    rest[..end].parse().ok()
}

impl Programs {
    /// A command that runs a program.
    pub(crate) fn command(&self, program: &Path) -> Command {
        (self.start)(program.as_os_str())
    }

    /// The program of PostgreSQL's that fits: of the server's own version, else of the next later one. A later one
    /// writes and reads what an older server may not know; an older one refuses a newer server.
    pub(crate) async fn of_postgres(
        &self,
        name: &str,
        server: &str,
    ) -> Result<Program, SnapshotError> {
        let wanted = major(server).unwrap_or(0);
        let found = self.all(name).await;
        let fitting = found.iter().filter(|it| it.major().is_some_and(|it| it >= wanted));
        if let Some(program) = fitting.min_by_key(|it| it.major()) {
            return Ok(program.clone());
        }
        let versions: BTreeSet<String> = found.iter().map(Program::words).collect();
        let found = match versions.is_empty() {
            true => format!("there is none in {}", self.places()),
            false => {
                let versions: Vec<String> = versions.into_iter().collect();
                format!("there is only {}, which is too old", versions.join(", "))
            }
        };
        Err(SnapshotError::NoProgram { program: name.to_owned(), server: server.to_owned(), found })
    }

    /// The first of these programs that there is.
    pub(crate) async fn any(&self, names: &[&str], server: &str) -> Result<Program, SnapshotError> {
        for name in names {
            if let Some(program) = self.all(name).await.into_iter().next() {
                return Ok(program);
            }
        }
        Err(SnapshotError::NoProgram {
            program: names.join(" or "),
            server: server.to_owned(),
            found: format!("there is none in {}", self.places()),
        })
    }

    fn places(&self) -> String {
        match &self.folder {
            Some(folder) => folder.display().to_string(),
            None => "PATH, nor in /usr/lib/postgresql/*/bin".to_owned(),
        }
    }

    /// Every program of a name, in the order in which they are looked for.
    async fn all(&self, name: &str) -> Vec<Program> {
        let mut found: Vec<Program> = Vec::new();
        for path in self.folders().into_iter().map(|it| it.join(name)) {
            if path.is_file()
                && let Some(version) = self.version(&path).await
            {
                found.push(Program { path, name: name.to_owned(), version });
            }
        }
        found
    }

    fn folders(&self) -> Vec<PathBuf> {
        if let Some(folder) = &self.folder {
            return vec![folder.clone()];
        }
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
        // Debian keeps the programs of each version apart.
        let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
        let mut versions: Vec<PathBuf> = versions.map(|it| it.path().join("bin")).collect();
        versions.sort();
        folders.extend(versions);
        folders
    }

    /// What a program says of its version: what stands in its first line from the first digit on.
    async fn version(&self, path: &Path) -> Option<String> {
        let output =
            self.command(path).arg("--version").stdin(Stdio::null()).output().await.ok()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let line = text.lines().next().filter(|_| output.status.success())?;
        let begin = line.find(|it: char| it.is_ascii_digit())?;
        Some(line[begin..].trim().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::major;

    #[test]
    fn the_first_number_of_a_version_is_found() {
        assert_eq!(major("PostgreSQL 15.14"), Some(15));
        assert_eq!(major("9.6.24 (Debian)"), Some(9));
        assert_eq!(major("17beta2"), Some(17));
        assert_eq!(major("none"), None);
    }
}
