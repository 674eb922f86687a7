//! PostgreSQL: `pg_dump`, whose custom format is one file and is written as it comes, or whose folder is written by
//! several at once.

use std::process::Stdio;

use sternway_database::Whole;

use super::{Dumped, Place};
use crate::error::SnapshotError;
use crate::programs::Program;
use crate::stream::{Meter, Running};

pub(super) async fn dump(
    whole: &mut dyn Whole,
    program: &Program,
    moment: Option<&str>,
    place: &Place<'_>,
    meter: &mut Meter<'_>,
) -> Result<Dumped, SnapshotError> {
    let settings = place.settings;
    let mut command = settings.programs.command(&program.path);
    command.envs(whole.told(&whole.identity().database.clone()).environment);
    command.args(["--no-password", "--lock-wait-timeout=30s"]);
    command.args(moment.map(|it| format!("--snapshot={it}")));
    command.args(settings.compression.as_ref().map(|it| format!("--compress={it}")));
    if settings.jobs <= 1 {
        command.arg("--format=custom");
        let running = Running::start(&program.name, command, Stdio::null())?;
        let file = place.store_output("database.dump", running, meter).await?;
        return Ok(Dumped { files: vec![file], is_folder: false });
    }
    command.args(["--format=directory", "--jobs", &settings.jobs.to_string(), "--file"]);
    let draft = place.draft()?;
    let data = draft.folder.join("data");
    command.arg(&data);
    Running::start(&program.name, command, Stdio::null())?.end().await?;
    let mut names = Vec::new();
    let failed = |error| SnapshotError::store(format!("list {}", data.display()), error);
    for entry in std::fs::read_dir(&data).map_err(failed)? {
        names.push(format!("data/{}", entry.map_err(failed)?.file_name().to_string_lossy()));
    }
    names.sort();
    let mut files = Vec::new();
    for name in &names {
        files.push(place.store_draft(&draft, name, meter).await?);
    }
    Ok(Dumped { files, is_folder: true })
}
