//! Opening the folder and the database that the options name.

use std::path::Path;

use sternway_database::{Database, dialect};
use sternway_engine::folder::Folder;
use sternway_source::files::{self, Files};

use super::flags::Given;
use super::log::Log;
use super::show::{self, Trouble};

/// Both.
pub struct Opened {
    pub folder: Folder,
    pub database: Box<dyn Database>,
}

/// Opens both, in golang-migrate's order: the forms of both URLs, the source, the database.
pub async fn both(given: &Given<'_>, log: &Log) -> Result<Opened, Trouble> {
    let url = given.text("database");
    let missing = |what| Trouble::new(format!("failed to parse scheme from database URL: {what}"));
    let (source, path) = (given.text("source"), given.text("path"));
    if source.is_empty() && path.is_empty() {
        let words = "failed to parse scheme from source URL: URL cannot be empty";
        return Err(Trouble::new(words).hint("-path names a folder of migrations, -source a URL of one; without either, a sternway.toml tells, but none lies here or above"));
    }
    if !source.is_empty() && !source.contains(':') || source.starts_with(':') {
        return Err(Trouble::new("failed to parse scheme from source URL: no scheme"));
    }
    if url.is_empty() {
        return Err(missing("URL cannot be empty").hint("-database names the database"));
    }
    if url.find(':').is_none_or(|at| at == 0) {
        return Err(missing("no scheme").hint("it looks like postgres://USER@HOST:PORT/DATABASE, mysql://USER@tcp(HOST:PORT)/DATABASE or sqlite://FILE"));
    }
    let folder = folder(source, path).await?;
    for miss in folder.near_misses() {
        log.tell(format!("warning: {miss}"));
    }
    let database = dialect::connect_like_golang_migrate(url, None).await;
    let database = database.map_err(show::database)?;
    Ok(Opened { folder, database })
}

/// Opens the folder; a source wins over a path.
async fn folder(source: &str, path: &str) -> Result<Folder, Trouble> {
    let (name, files): (String, Result<Box<dyn Files>, _>) = match source {
        "" => (format!("file://{path}"), Ok(Box::new(files::directory(Path::new(path))))),
        _ => (files::redacted(source), files::open(source).await),
    };
    let files = files.map_err(|cause| show::source(&name, cause.into()))?;
    Folder::open(files).await.map_err(|cause| show::source(&name, cause))
}
