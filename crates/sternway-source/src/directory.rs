//! A folder with one folder for each release.
//!
//! Symbolic links are followed, as golang-migrate follows them: Kubernetes mounts files that way.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;

use sternway_model::catalog::Release;

use crate::folder::{Body, File, Folder, first, is_migration};
use crate::layout::{bare_release, path_parts};
use crate::reading::{Builder, Found};
use crate::{Layout, Reading, SourceError, Warning};

/// Reads the folder at `path`.
pub(crate) fn read(path: &Path, layout: &Layout) -> Result<Reading, SourceError> {
    if !path.is_dir() {
        return Err(SourceError::NotAFolder { path: path.into() });
    }
    let mut folders = Vec::new();
    for name in names(path)? {
        if is_folder(&path.join(&name))? {
            folders.push(name.to_string_lossy().into_owned());
        }
    }
    let Labels { releases, missed } = labels(path, &folders, layout)?;
    let mut builder = Builder::new(layout);
    if !missed.is_empty() {
        builder.warn(Warning::NoNumber { names: missed });
    }
    for (release, labels) in releases {
        let found = only(&release, &labels).and_then(|it| found(path, layout, &release, it));
        builder.add(release, found);
    }
    builder.finish()
}

/// What the folders of a place stand for.
pub(crate) struct Labels {
    /// The folders of each release: one, or it is not known which.
    pub releases: BTreeMap<Release, Vec<String>>,
    /// Those that look like a release's and have no number.
    pub missed: Vec<String>,
}

/// Finds out which folders stand for releases.
pub(crate) fn labels(
    place: &Path,
    folders: &[String],
    layout: &Layout,
) -> Result<Labels, SourceError> {
    let mut found = Labels { releases: BTreeMap::new(), missed: Vec::new() };
    for name in folders {
        match layout.tag.release(name).or_else(|| bare_release(name)) {
            Some(release) => found.releases.entry(release).or_default().push(name.clone()),
            None if layout.tag.is_missed_by(name) => found.missed.push(name.clone()),
            None => {}
        }
    }
    if found.releases.is_empty() {
        return Err(SourceError::NoReleaseFolder {
            path: place.into(),
            pattern: layout.tag.clone(),
            count: folders.len(),
            examples: folders.iter().take(3).cloned().collect(),
        });
    }
    Ok(found)
}

/// The one folder of a release.
pub(crate) fn only<'l>(release: &Release, labels: &'l [String]) -> Result<&'l str, SourceError> {
    match labels {
        [first, second, ..] => Err(SourceError::TwoFolders {
            release: release.clone(),
            first: first.clone(),
            second: second.clone(),
        }),
        labels => Ok(labels.first().map_or("", String::as_str)),
    }
}

/// The release in the folder `label`.
fn found(
    path: &Path,
    layout: &Layout,
    release: &Release,
    label: &str,
) -> Result<Found, SourceError> {
    let root = path.join(label);
    let mut folders = Vec::new();
    for track in layout.read_tracks() {
        let places = track.paths_in(release).map(|path| {
            let folder = path_parts(path).fold(root.clone(), |path, part| path.join(part));
            let is_there = is_folder(&folder)?;
            let files = is_there.then(|| files(&folder)).transpose()?;
            Ok::<_, SourceError>(files.map(|it| Folder { path: path.to_owned(), files: it.into() }))
        });
        folders.push(first(places, |it: &Folder| !it.files.is_empty())?);
    }
    Ok(Found { label: label.to_owned(), commit: None, folders })
}

/// The migration files of a folder.
fn files(folder: &Path) -> Result<Vec<File>, SourceError> {
    let mut files = Vec::new();
    for os_name in names(folder)? {
        let name = os_name.to_string_lossy().into_owned();
        if !is_migration(&name) {
            continue;
        }
        let path = folder.join(&os_name);
        let failed = |source| SourceError::File { path: path.clone(), source };
        // A pipe or a device of that name would block; golang-migrate takes files alone.
        if fs::metadata(&path).map_err(failed)?.is_file() {
            let bytes = fs::read(&path).map_err(failed)?;
            files.push(File { name, body: Some(Body::of(&bytes)) });
        }
    }
    Ok(files)
}

/// Whether a folder is there. One that may not be looked at is an error, not an absence.
fn is_folder(path: &Path) -> Result<bool, SourceError> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(metadata.is_dir()),
        Err(error) => match error.kind() {
            ErrorKind::NotFound | ErrorKind::NotADirectory => Ok(false),
            _ => Err(SourceError::File { path: path.into(), source: error }),
        },
    }
}

/// The names in a folder, sorted.
fn names(folder: &Path) -> Result<Vec<OsString>, SourceError> {
    let list = || -> io::Result<Vec<OsString>> {
        let entries = fs::read_dir(folder)?;
        let mut names: Vec<OsString> =
            entries.map(|entry| Ok(entry?.file_name())).collect::<io::Result<_>>()?;
        names.sort();
        Ok(names)
    };
    list().map_err(|source| SourceError::File { path: folder.into(), source })
}
