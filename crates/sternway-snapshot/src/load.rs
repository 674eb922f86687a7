//! Loading a snapshot into a new database beside the present one, and comparing what came of it.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use sternway_database::failpoint::{self, Point};
use sternway_database::{Dialect, Whole};

use crate::dump::mysql::options;
use crate::error::SnapshotError;
use crate::manifest::{self, File, Manifest};
use crate::prove;
use crate::stream::{Meter, Running};
use crate::take::{look_once, must_fit};
use crate::{Progress, Settings, Watch, seal, store};

/// Makes the database `name` of a snapshot, and compares it with what was taken. Where that is not the same, the
/// database is removed again.
pub(crate) async fn make(
    whole: &mut dyn Whole,
    manifest: &Manifest,
    name: &str,
    settings: &Settings,
    watch: &mut dyn Watch,
) -> Result<(), SnapshotError> {
    must_fit(manifest, whole.dialect())?;
    if !manifest.written_meanwhile.is_empty() {
        let (id, tables) = (manifest.id.clone(), manifest.written_meanwhile.clone());
        return Err(SnapshotError::WrittenMeanwhile { id, tables });
    }
    watch.tell(Progress::Doing("checking the files".to_owned()));
    settings.store.check(manifest, &mut Meter::new(watch, Some(manifest.bytes()))).await?;
    failpoint::hit(Point::Making);
    whole.create(name).await?;
    failpoint::hit(Point::Made);
    let made = fill(whole, manifest, name, settings, watch).await;
    if made.is_err()
        && let Err(left) = whole.remove(name).await
    {
        tracing::warn!("`{name}` stays, with part of the snapshot in it: {left}");
    }
    made
}

async fn fill(
    whole: &mut dyn Whole,
    manifest: &Manifest,
    name: &str,
    settings: &Settings,
    watch: &mut dyn Watch,
) -> Result<(), SnapshotError> {
    watch.tell(Progress::Doing(format!("loading the snapshot into `{name}`")));
    load(whole, manifest, name, settings, &mut Meter::new(watch, Some(manifest.bytes()))).await?;
    failpoint::hit(Point::Loaded);
    watch.tell(Progress::Doing("comparing schema and rows with what was taken".to_owned()));
    let schema = settings.store.read(&manifest.app, &manifest.id, manifest::SCHEMA).await?;
    let schema = serde_json::from_slice(&schema.unwrap_or_default()).map_err(|error| {
        let reason = format!("{} cannot be read: {error}", manifest::SCHEMA);
        SnapshotError::Damaged { id: manifest.id.clone(), reason }
    })?;
    let mut made = whole.open(name).await?;
    let found = look_once(&mut *made, &manifest.tables).await?;
    drop(made);
    let differences = prove::differences(manifest, &schema, &found);
    if differences.is_empty() {
        failpoint::hit(Point::Compared);
        return Ok(());
    }
    Err(SnapshotError::Differs { id: manifest.id.clone(), differences })
}

async fn load(
    whole: &mut dyn Whole,
    manifest: &Manifest,
    name: &str,
    settings: &Settings,
    meter: &mut Meter<'_>,
) -> Result<(), SnapshotError> {
    match whole.dialect() {
        Dialect::Postgres => postgres(whole, manifest, name, settings, meter).await,
        Dialect::MySql => mysql(whole, manifest, name, settings, meter).await,
        Dialect::Sqlite => sqlite(whole, manifest, name, settings, meter).await,
    }
}

/// The file of a snapshot that is one file.
fn only(manifest: &Manifest) -> Result<&File, SnapshotError> {
    let mut files = manifest.files.iter().filter(|it| it.name != manifest::SCHEMA);
    files.next().ok_or_else(|| SnapshotError::Damaged {
        id: manifest.id.clone(),
        reason: "it has no file".to_owned(),
    })
}

fn path(manifest: &Manifest, file: &File, settings: &Settings) -> PathBuf {
    let folder = settings.store.folder(&manifest.app, &manifest.id);
    folder.unwrap_or_default().join(&file.name)
}

async fn postgres(
    whole: &mut dyn Whole,
    manifest: &Manifest,
    name: &str,
    settings: &Settings,
    meter: &mut Meter<'_>,
) -> Result<(), SnapshotError> {
    // What was written by a later version is read by that one.
    let major = |text: &str| crate::programs::major(text).unwrap_or(0);
    let server = &whole.identity().server;
    let wanted = [server, &manifest.tool].into_iter().max_by_key(|it| major(it));
    let program = settings.programs.of_postgres("pg_restore", wanted.unwrap_or(server)).await?;
    let mut command = settings.programs.command(&program.path);
    command.envs(whole.told(name).environment).args(["--exit-on-error", "--no-password"]);
    let quoted = name.replace('\\', "\\\\").replace('\'', "\\'");
    command.arg(format!("--dbname=dbname='{quoted}'"));
    let jobs = settings.jobs.to_string();
    if manifest.is_folder {
        let scratch = tempfile::tempdir();
        let scratch = scratch.map_err(|error| SnapshotError::store("make a folder", error))?;
        let data = match &manifest.sealed {
            None => path(manifest, only(manifest)?, settings).parent().map(Path::to_owned),
            Some(_) => {
                for file in manifest.files.iter().filter(|it| it.name != manifest::SCHEMA) {
                    let to = file.name.strip_prefix("data-").unwrap_or(&file.name);
                    unsealed(manifest, file, &scratch.path().join(to), settings, meter).await?;
                }
                Some(scratch.path().to_owned())
            }
        };
        command.args(["--format=directory", "--jobs", &jobs]).args(data);
        return Running::start(&program.name, command, Stdio::null())?.end().await;
    }
    let file = only(manifest)?;
    if settings.jobs > 1 && manifest.sealed.is_none() {
        command.args(["--format=custom", "--jobs", &jobs]).arg(path(manifest, file, settings));
        return Running::start(&program.name, command, Stdio::null())?.end().await;
    }
    command.arg("--format=custom");
    feed(manifest, file, &program.name, command, settings, meter).await
}

async fn mysql(
    whole: &mut dyn Whole,
    manifest: &Manifest,
    name: &str,
    settings: &Settings,
    meter: &mut Meter<'_>,
) -> Result<(), SnapshotError> {
    let server = whole.identity().server.clone();
    let mut names = ["mariadb", "mysql"];
    if !server.starts_with("MariaDB") {
        names.reverse();
    }
    let program = settings.programs.any(&names, &server).await?;
    let options = options(&whole.told(name).options.unwrap_or_default())?;
    let mut command = settings.programs.command(&program.path);
    command.arg(format!("--defaults-extra-file={}", options.path().display()));
    command.args(["--batch", "--default-character-set=utf8mb4"]).arg(format!("--database={name}"));
    feed(manifest, only(manifest)?, &program.name, command, settings, meter).await
}

async fn sqlite(
    whole: &mut dyn Whole,
    manifest: &Manifest,
    name: &str,
    settings: &Settings,
    meter: &mut Meter<'_>,
) -> Result<(), SnapshotError> {
    let to = Path::new(name);
    unsealed(manifest, only(manifest)?, to, settings, meter).await?;
    // Whoever may use the file now may do so then.
    let failed = |error| SnapshotError::store(format!("set the rights of {name}"), error);
    if let Ok(now) = std::fs::metadata(&whole.identity().database) {
        std::fs::set_permissions(to, now.permissions()).map_err(failed)?;
    }
    Ok(())
}

/// Gives a program the file of a snapshot to read, decrypted where it has to be.
async fn feed(
    manifest: &Manifest,
    file: &File,
    name: &str,
    command: tokio::process::Command,
    settings: &Settings,
    meter: &mut Meter<'_>,
) -> Result<(), SnapshotError> {
    let from = path(manifest, file, settings);
    let failed = |error| SnapshotError::store(format!("read {}", from.display()), error);
    let mut from = tokio::fs::File::open(&from).await.map_err(failed)?;
    let failed = |error| SnapshotError::store(format!("read {}", file.name), error);
    if manifest.sealed.is_none() {
        let mut program = Running::start(name, command, Stdio::piped())?;
        program.feed(&mut from, meter).await.map_err(failed)?;
        return program.end().await;
    }
    let mut seal = seal::unseal(settings, manifest, Stdio::piped())?;
    let program = Running::start(name, command, seal.output()?)?;
    seal.feed(&mut from, meter).await.map_err(failed)?;
    // What could not be decrypted is the reason for what could not be read.
    let (unsealed, ended) = (seal.end().await, program.end().await);
    unsealed?;
    ended
}

/// Writes the file of a snapshot as a new file of its own, decrypted where it has to be.
async fn unsealed(
    manifest: &Manifest,
    file: &File,
    to: &Path,
    settings: &Settings,
    meter: &mut Meter<'_>,
) -> Result<(), SnapshotError> {
    let from = path(manifest, file, settings);
    let reading = |error| SnapshotError::store(format!("read {}", from.display()), error);
    let writing = |error| SnapshotError::store(format!("write {}", to.display()), error);
    let mut out = store::private(to).await.map_err(writing)?;
    if manifest.sealed.is_none() {
        let mut file = tokio::fs::File::open(&from).await.map_err(reading)?;
        tokio::io::copy(&mut file, &mut out).await.map_err(writing)?;
        meter.passed(usize::try_from(manifest.bytes()).unwrap_or(0));
    } else {
        let file = std::fs::File::open(&from).map_err(reading)?;
        let mut seal = seal::unseal(settings, manifest, Stdio::from(file))?;
        let mut reader = seal.reader()?;
        let copied = tokio::io::copy(&mut reader, &mut out).await;
        drop(reader);
        seal.end().await?;
        copied.map_err(writing)?;
    }
    out.sync_all().await.map_err(writing)
}
