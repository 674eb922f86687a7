//! Opening a session: the URLs of golang-migrate's two SQLite drivers, and the parameters of the
//! clients behind them (mattn's `_foreign_keys=1`, modernc's `_pragma=foreign_keys(1)`).
//!
//! A file that is not there is made when something is written, and not by asking.

mod url;

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, SqliteConnection};
use sternway_model::state::Identity;

use super::interrupt::Flag;
use super::{Sqlite, failed};
use crate::port::{Connect, DatabaseError};

pub(super) use self::url::Options;

/// Reads a URL to its end, and opens nothing.
pub fn check(url: &str) -> Result<(), Connect> {
    Options::read(url).map(drop)
}

/// Opens a session with the database that `url` names. SQLite knows no passwords.
///
/// # Errors
/// When the URL is not valid, or what it names is no database that can be opened.
pub async fn connect(url: &str) -> Result<Sqlite, Connect> {
    session(Options::read(url)?).await
}

/// Opens a session. Where the file is absent, the session is with an empty database in memory until
/// something is written.
pub(super) async fn session(options: Options) -> Result<Sqlite, Connect> {
    let path = options.path();
    let absent = path.as_deref().is_some_and(|path| !path.exists());
    let explain = |source: sqlx::Error| match &path {
        Some(path) => Connect::File { path: path.clone(), reason: explain(path, &source) },
        None => Connect::Session {
            place: "memory".to_owned(),
            source: failed("open a database in memory")(source),
        },
    };
    if let (true, Some(path)) = (absent, &path) {
        may_make(path, &options)?;
    }
    let interrupted = Flag::default();
    let mut connection = open(&options, absent, &interrupted).await.map_err(explain)?;
    // The first look at the file, which tells whether it is a database.
    let version: String = sqlx::query_scalar(
        "SELECT sqlite_version() FROM (SELECT count(*) FROM main.sqlite_schema)",
    )
    .fetch_one(&mut connection)
    .await
    .map_err(explain)?;
    let user = ["USER", "LOGNAME", "USERNAME"].iter().find_map(|name| std::env::var(name).ok());
    let identity = Identity {
        server: format!("SQLite {version}"),
        database: path.map_or_else(|| ":memory:".to_owned(), |path| path.display().to_string()),
        schema: "main".to_owned(),
        collation: String::new(),
        user: user.unwrap_or_default(),
    };
    let tracked = Default::default();
    Ok(Sqlite { connection, options, identity, tracked, lock: None, interrupted, absent })
}

/// Opens the file, or a database in memory in its place.
async fn open(
    options: &Options,
    in_memory: bool,
    interrupted: &Flag,
) -> sqlx::Result<SqliteConnection> {
    let mut connect = options.connect.clone().create_if_missing(options.create);
    let path = options.path().filter(|_| !in_memory);
    connect = connect.read_only(options.read_only && path.is_some());
    connect = match path {
        Some(path) => connect.filename(path),
        None => connect.filename(":memory:"),
    };
    let mut connection = connect.disable_statement_logging().connect().await?;
    interrupted.watch(&mut connection).await?;
    Ok(connection)
}

/// Goes over to the file, once it is there or something is `written`.
pub(super) async fn use_file(sqlite: &mut Sqlite, written: bool) -> Result<(), DatabaseError> {
    let there = || sqlite.options.path().is_some_and(|path| path.exists());
    if sqlite.absent && (written || there()) {
        let opened = open(&sqlite.options, false, &sqlite.interrupted).await;
        sqlite.connection = opened.map_err(failed("open the database file"))?;
        sqlite.absent = false;
    }
    Ok(())
}

/// Whether a file that is absent could be made.
fn may_make(path: &Path, options: &Options) -> Result<(), Connect> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    let reason = match fs::metadata(folder) {
        Ok(it) if !it.is_dir() => format!("{} is not a directory", folder.display()),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            format!("the directory {} does not exist", folder.display())
        }
        Err(error) => error.to_string(),
        Ok(_) if !options.create || options.read_only => "it does not exist".to_owned(),
        Ok(_) => return Ok(()),
    };
    Err(Connect::File { path: path.to_owned(), reason })
}

/// Why a file cannot be opened. SQLite says little.
fn explain(path: &Path, source: &sqlx::Error) -> String {
    if path.is_dir() {
        return "it is a directory".to_owned();
    }
    match source {
        sqlx::Error::Database(error) => error.message().to_owned(),
        other => other.to_string(),
    }
}

/// The one name of a file that may not be there yet.
fn canonical(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    if let Ok(path) = fs::canonicalize(&absolute) {
        return path;
    }
    let (folder, name) = (absolute.parent(), absolute.file_name());
    match (folder.map(fs::canonicalize), name) {
        (Some(Ok(folder)), Some(name)) => folder.join(name),
        _ => absolute,
    }
}

/// What the driver starts from: as golang-migrate's clients do, without foreign keys.
fn plain() -> SqliteConnectOptions {
    SqliteConnectOptions::new().foreign_keys(false)
}
