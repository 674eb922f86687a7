//! MySQL and MariaDB: `mariadb-dump` or `mysqldump`, whose statements are written as they come, and what they write too
//! short.

use std::io::{Seek as _, Write as _};
use std::process::Stdio;

use sternway_database::Whole;
use tempfile::NamedTempFile;
use tokio::process::Command;

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
pub(crate) fn options(text: &str) -> Result<NamedTempFile, SnapshotError> {
    let write = || -> std::io::Result<_> {
        let mut file = NamedTempFile::new()?;
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
    let start = |more: &[&str]| {
        let mut command = client(place.settings, program, &options);
        command.args(["--single-transaction", "--hex-blob", "--no-tablespaces"]);
        // Nothing is dropped where it is loaded, whatever that is.
        command.arg("--skip-add-drop-table");
        if !program.version.contains("MariaDB") {
            command.args(["--set-gtid-purged=OFF", "--column-statistics=0"]);
        }
        command.args(more).arg("--").arg(&database);
        Running::start(&program.name, command, Stdio::null())
    };
    let mut what = vec!["--routines", "--events"];
    if whole.has_earlier_rows().await? {
        what.push("--dump-history");
    }
    let exact = whole.exact().await?;
    what.push(if exact.is_some() { "--skip-triggers" } else { "--triggers" });
    let mut files = vec![place.store_output("database.sql", start(&what)?, meter).await?];
    if let Some(questions) = exact {
        let answers = answers(whole, &questions, place.settings, &options).await?;
        files.push(place.store_output("exact.sql", answers, meter).await?);
        // What gives values exactly is to set none off.
        let triggers = start(&["--triggers", "--no-create-info", "--no-data"])?;
        files.push(place.store_output("triggers.sql", triggers, meter).await?);
    }
    Ok(Dumped { files, is_folder: false })
}

/// A command of the server's own programs, which reads nothing but these options.
pub(crate) fn client(settings: &Settings, program: &Program, options: &NamedTempFile) -> Command {
    let mut command = settings.programs.command(&program.path);
    // It has to be the first one.
    command.arg(format!("--defaults-extra-file={}", options.path().display()));
    command.arg("--default-character-set=utf8mb4");
    command
}

/// What the database answers to questions, line by line.
async fn answers(
    whole: &mut dyn Whole,
    questions: &str,
    settings: &Settings,
    options: &NamedTempFile,
) -> Result<Running, SnapshotError> {
    let server = &whole.identity().server;
    let program = settings.programs.any(&own_first(CLIENTS, server), server).await?;
    let mut command = client(settings, &program, options);
    command.args(["--batch", "--raw", "--quick", "--skip-column-names"]);
    command.arg(format!("--database={}", whole.identity().database));
    let failed = |error| SnapshotError::store("ask for values exactly", error);
    let mut from = tempfile::tempfile().map_err(failed)?;
    from.write_all(questions.as_bytes()).and_then(|()| from.rewind()).map_err(failed)?;
    Running::start(&program.name, command, Stdio::from(from))
}
