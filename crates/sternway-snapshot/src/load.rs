//! Loading a snapshot into a new database beside the present one, and comparing what came of it.

use std::path::Path;
use std::process::Stdio;

use sternway_database::failpoint::{self, Point};
use sternway_database::{Dialect, Whole};

use crate::dump::mysql::{CLIENTS, client, options, own_first};
use crate::error::SnapshotError;
use crate::manifest::{self, File, Manifest};
use crate::prove;
use crate::store::Local;
use crate::stream::{Meter, Running};
use crate::take::{look_once, must_fit};
use crate::{Progress, Settings, Watch, copy, seal, store};

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
    let mut meter = Meter::new(watch, manifest.copy.is_none().then(|| manifest.bytes()));
    let local = settings.store.fetch(manifest, &mut meter).await?;
    failpoint::hit(Point::Making);
    match &manifest.copy {
        Some(copy) => copy::make(whole, manifest, copy, name).await?,
        None => whole.create(name).await?,
    }
    failpoint::hit(Point::Made);
    let from = Source { manifest, local: &local, settings };
    let made = fill(whole, from, name, watch).await;
    if made.is_err()
        && let Err(left) = whole.remove(name).await
    {
        tracing::warn!("`{name}` stays, with part of the snapshot in it: {left}");
    }
    made
}

/// What is loaded.
#[derive(Clone, Copy)]
struct Source<'a> {
    manifest: &'a Manifest,
    local: &'a Local,
    settings: &'a Settings,
}

async fn fill(
    whole: &mut dyn Whole,
    from: Source<'_>,
    name: &str,
    watch: &mut dyn Watch,
) -> Result<(), SnapshotError> {
    let Source { manifest, local, .. } = from;
    if manifest.copy.is_none() {
        watch.tell(Progress::Doing(format!("loading the snapshot into `{name}`")));
        load(whole, from, name, &mut Meter::new(watch, Some(manifest.bytes()))).await?;
    }
    failpoint::hit(Point::Loaded);
    watch.tell(Progress::Doing("comparing schema and rows with what was taken".to_owned()));
    let schema = tokio::fs::read(local.folder().join(manifest::SCHEMA)).await.unwrap_or_default();
    let schema = serde_json::from_slice(&schema).map_err(|error| {
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
    from: Source<'_>,
    name: &str,
    meter: &mut Meter<'_>,
) -> Result<(), SnapshotError> {
    match whole.dialect() {
        Dialect::Postgres => postgres(whole, from, name, meter).await,
        Dialect::MySql => mysql(whole, from, name, meter).await,
        Dialect::Sqlite => sqlite(whole, from, name, meter).await,
    }
}

/// The files of a snapshot that are of the database, in the order in which they are loaded.
fn data_files(manifest: &Manifest) -> impl Iterator<Item = &File> {
    manifest.files.iter().filter(|it| it.name != manifest::SCHEMA)
}

/// The file of a snapshot that is one file.
fn only(manifest: &Manifest) -> Result<&File, SnapshotError> {
    data_files(manifest).next().ok_or_else(|| SnapshotError::Damaged {
        id: manifest.id.clone(),
        reason: "it has no file".to_owned(),
    })
}

async fn postgres(
    whole: &mut dyn Whole,
    from: Source<'_>,
    name: &str,
    meter: &mut Meter<'_>,
) -> Result<(), SnapshotError> {
    let Source { manifest, local, settings } = from;
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
        let data = match only(manifest)?.name.starts_with("data/") {
            true => Some(local.folder().join("data")),
            false => {
                for file in data_files(manifest) {
                    let to = file.name.strip_prefix("data-").unwrap_or(&file.name);
                    unsealed(from, file, &scratch.path().join(to), meter).await?;
                }
                Some(scratch.path().to_owned())
            }
        };
        command.args(["--format=directory", "--jobs", &jobs]).args(data);
        return Running::start(&program.name, command, Stdio::null())?.end().await;
    }
    let file = only(manifest)?;
    if settings.jobs > 1 && manifest.sealed.is_none() {
        command.args(["--format=custom", "--jobs", &jobs]).arg(local.path(file));
        return Running::start(&program.name, command, Stdio::null())?.end().await;
    }
    command.arg("--format=custom");
    feed(from, file, &program.name, command, meter).await
}

async fn mysql(
    whole: &mut dyn Whole,
    from: Source<'_>,
    name: &str,
    meter: &mut Meter<'_>,
) -> Result<(), SnapshotError> {
    let Source { manifest, settings, .. } = from;
    let server = whole.identity().server.clone();
    let program = settings.programs.any(&own_first(CLIENTS, &server), &server).await?;
    let options = options(&whole.told(name).options.unwrap_or_default())?;
    only(manifest)?;
    for file in data_files(manifest) {
        let mut command = client(settings, &program, &options);
        command.arg("--batch").arg(format!("--database={name}"));
        feed(from, file, &program.name, command, meter).await?;
    }
    Ok(())
}

async fn sqlite(
    whole: &mut dyn Whole,
    from: Source<'_>,
    name: &str,
    meter: &mut Meter<'_>,
) -> Result<(), SnapshotError> {
    let to = Path::new(name);
    unsealed(from, only(from.manifest)?, to, meter).await?;
    // Whoever may use the file now may do so then.
    let failed = |error| SnapshotError::store(format!("set the rights of {name}"), error);
    if let Ok(now) = std::fs::metadata(&whole.identity().database) {
        std::fs::set_permissions(to, now.permissions()).map_err(failed)?;
    }
    Ok(())
}

/// Gives a program the file of a snapshot to read, decrypted where it has to be.
async fn feed(
    from: Source<'_>,
    file: &File,
    name: &str,
    command: tokio::process::Command,
    meter: &mut Meter<'_>,
) -> Result<(), SnapshotError> {
    let Source { manifest, local, settings } = from;
    let from = local.path(file);
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
    from: Source<'_>,
    file: &File,
    to: &Path,
    meter: &mut Meter<'_>,
) -> Result<(), SnapshotError> {
    let Source { manifest, local, settings } = from;
    let from = local.path(file);
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
