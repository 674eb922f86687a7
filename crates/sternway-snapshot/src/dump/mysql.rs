//! MySQL and MariaDB: `mariadb-dump` or `mysqldump`, whose statements are written as they come.

use std::io::Write as _;
use std::process::Stdio;

use sternway_database::Whole;

use super::{Dumped, Place};
use crate::Settings;
use crate::error::SnapshotError;
use crate::programs::Program;
use crate::stream::{Meter, Running};

/// The server's own program first; the other one does as well.
pub(super) async fn tool(settings: &Settings, server: &str) -> Result<Program, SnapshotError> {
    settings.programs.any(&own_first(CLIENTS, server), server).await?;
    settings.programs.any(&own_first(["mariadb-dump", "mysqldump"], server), server).await
}

/// MariaDB's program and MySQL's that run statements.
pub(crate) const CLIENTS: [&str; 2] = ["mariadb", "mysql"];

/// MariaDB's program and MySQL's, the server's own first.
pub(crate) fn own_first<'n>([mariadb, mysql]: [&'n str; 2], server: &str) -> [&'n str; 2] {
    if server.starts_with("MariaDB") { [mariadb, mysql] } else { [mysql, mariadb] }
}

/// A file of options that nobody else may read, and that goes when this is dropped.
pub(crate) fn options(text: &str) -> Result<tempfile::NamedTempFile, SnapshotError> {
    let write = || -> std::io::Result<_> {
        let mut file = tempfile::NamedTempFile::new()?;
        file.write_all(text.as_bytes())?;
        Ok(file)
    };
    write().map_err(|error| SnapshotError::store("write the options of a program", error))
}

pub(super) async fn dump(
    whole: &mut dyn Whole,
    program: &Program,
    place: &Place<'_>,
    meter: &mut Meter<'_>,
) -> Result<Dumped, SnapshotError> {
    let database = whole.identity().database.clone();
    let options = options(&whole.told(&database).options.unwrap_or_default())?;
    let mut command = place.settings.programs.command(&program.path);
    // It has to be the first one.
    command.arg(format!("--defaults-extra-file={}", options.path().display()));
    command.args(["--single-transaction", "--routines", "--triggers", "--events", "--hex-blob"]);
    // Nothing is dropped where it is loaded, whatever that is.
    command.args(["--skip-add-drop-table", "--no-tablespaces", "--default-character-set=utf8mb4"]);
    if !program.version.contains("MariaDB") {
        command.args(["--set-gtid-purged=OFF", "--column-statistics=0"]);
    }
    command.arg("--").arg(&database);
    let running = Running::start(&program.name, command, Stdio::null())?;
    let file = place.store_output("database.sql", running, meter).await?;
    Ok(Dumped { files: vec![file], is_folder: false })
}
