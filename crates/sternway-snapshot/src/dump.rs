//! Writing what a snapshot is made of, by the server's own program. Each dialect has a file.

mod postgres;
pub(crate) mod mysql;
mod sqlite;

use std::path::{Path, PathBuf};
use std::process::Stdio;

use sternway_database::{Dialect, Whole};
use tokio::io::AsyncRead;

use crate::error::SnapshotError;
use crate::manifest::File;
use crate::programs::Program;
use crate::store::written;
use crate::stream::{Meter, Running};
use crate::{Settings, seal};

/// What writes, and what it is called.
pub(crate) enum Tool {
    /// A program.
    Program(Program),
    /// The library inside this process.
    Inside(String),
}

impl Tool {
    pub fn words(&self) -> String {
        match self {
            Tool::Program(program) => program.words(),
            Tool::Inside(words) => words.clone(),
        }
    }
}

/// What fits the server; looked for before anything is done.
pub(crate) async fn tool(
    whole: &mut dyn Whole,
    settings: &Settings,
) -> Result<Tool, SnapshotError> {
    let server = whole.identity().server.clone();
    if !settings.recipients.is_empty() {
        settings.programs.any(&[seal::AGE], "snapshots that are encrypted").await?;
    }
    Ok(match whole.dialect() {
        Dialect::Postgres => {
            settings.programs.of_postgres("pg_restore", &server).await?;
            Tool::Program(settings.programs.of_postgres("pg_dump", &server).await?)
        }
        Dialect::MySql => Tool::Program(mysql::tool(settings, &server).await?),
        Dialect::Sqlite => Tool::Inside(server),
    })
}

/// What was written.
pub(crate) struct Dumped {
    pub files: Vec<File>,
    pub is_folder: bool,
}

/// Where a snapshot is written to.
pub(crate) struct Place<'a> {
    pub settings: &'a Settings,
    pub id: &'a str,
}

/// Writes the database. `moment` is what the server calls the moment that others look at.
pub(crate) async fn dump(
    whole: &mut dyn Whole,
    tool: &Tool,
    moment: Option<&str>,
    place: &Place<'_>,
    meter: &mut Meter<'_>,
) -> Result<Dumped, SnapshotError> {
    match (whole.dialect(), tool) {
        (Dialect::Postgres, Tool::Program(program)) => {
            postgres::dump(whole, program, moment, place, meter).await
        }
        (Dialect::MySql, Tool::Program(program)) => mysql::dump(whole, program, place, meter).await,
        _ => sqlite::dump(whole, place, meter).await,
    }
}

/// A folder with files that are to be stored.
struct Draft {
    folder: PathBuf,
    /// Where it is not the store's own, in which files stay as they are.
    scratch: Option<tempfile::TempDir>,
}

impl Place<'_> {
    fn is_sealed(&self) -> bool {
        !self.settings.recipients.is_empty()
    }

    /// Stores what a program writes, encrypted where that is wanted. Only once it has ended well is it a file.
    async fn store_output(
        &self,
        name: &str,
        mut program: Running,
        meter: &mut Meter<'_>,
    ) -> Result<File, SnapshotError> {
        if !self.is_sealed() {
            let mut reader = program.reader()?;
            let stored = self.put(name, &mut reader, meter).await;
            drop(reader);
            return ended(stored, program.end().await);
        }
        let mut seal = seal::seal(self.settings, program.output()?)?;
        let mut reader = seal.reader()?;
        let stored = self.put(name, &mut reader, meter).await;
        drop(reader);
        // What has failed first says why.
        let dumped = program.end().await;
        let sealed = seal.end().await;
        dumped?;
        ended(stored, sealed)
    }

    /// A folder for what is written there before it is stored.
    fn draft(&self) -> Result<Draft, SnapshotError> {
        let Settings { store, app, .. } = self.settings;
        if let Some(folder) = store.folder(app, self.id).filter(|_| !self.is_sealed()) {
            return Ok(Draft { folder, scratch: None });
        }
        let scratch = tempfile::tempdir();
        let scratch = scratch.map_err(|error| SnapshotError::store("make a folder", error))?;
        Ok(Draft { folder: scratch.path().to_owned(), scratch: Some(scratch) })
    }

    /// Stores a file of a draft.
    async fn store_draft(
        &self,
        draft: &Draft,
        name: &str,
        meter: &mut Meter<'_>,
    ) -> Result<File, SnapshotError> {
        match draft.scratch {
            None => written(&draft.folder, name, meter).await,
            // Elsewhere a file has a name without a folder.
            Some(_) => {
                self.store_file(&name.replace('/', "-"), &draft.folder.join(name), meter).await
            }
        }
    }

    /// Stores a file, encrypted where that is wanted.
    async fn store_file(
        &self,
        name: &str,
        from: &Path,
        meter: &mut Meter<'_>,
    ) -> Result<File, SnapshotError> {
        let failed = |error| SnapshotError::store(format!("read {}", from.display()), error);
        if !self.is_sealed() {
            let mut file = tokio::fs::File::open(from).await.map_err(failed)?;
            return self.put(name, &mut file, meter).await;
        }
        let file = std::fs::File::open(from).map_err(failed)?;
        let mut seal = seal::seal(self.settings, Stdio::from(file))?;
        let mut reader = seal.reader()?;
        let stored = self.put(name, &mut reader, meter).await;
        drop(reader);
        ended(stored, seal.end().await)
    }

    async fn put(
        &self,
        name: &str,
        from: &mut (dyn AsyncRead + Unpin + Send),
        meter: &mut Meter<'_>,
    ) -> Result<File, SnapshotError> {
        let Settings { store, app, .. } = self.settings;
        store.put(app, self.id, name, from, meter).await
    }
}

/// The file, where the program has ended well. A store that takes no more ends the program: its reason counts.
fn ended(
    stored: Result<File, SnapshotError>,
    program: Result<(), SnapshotError>,
) -> Result<File, SnapshotError> {
    let file = stored?;
    program?;
    Ok(file)
}
