//! Where snapshots are kept: `APPLICATION/SNAPSHOT/FILE` in a folder.

use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use sternway_model::catalog::Digest;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};

use crate::error::SnapshotError;
use crate::manifest::{self, File, Manifest};
use crate::stream::Meter;

/// How much is read at once.
const PIECE: usize = 1 << 18;

/// Where snapshots are kept.
#[derive(Debug, Clone)]
pub enum Store {
    /// In this folder.
    Folder(PathBuf),
}

/// A snapshot that was found.
#[derive(Debug)]
pub struct Found {
    /// Its name.
    pub id: String,
    /// What it is of; an error where that cannot be read, or it is unfinished.
    pub manifest: Result<Manifest, SnapshotError>,
}

impl Store {
    /// Reads what was typed: a folder.
    ///
    /// # Errors
    /// When it is the address of something else.
    pub fn parse(text: &str) -> Result<Store, SnapshotError> {
        match text.split_once("://") {
            None => Ok(Store::Folder(PathBuf::from(text))),
            Some((scheme, _)) => Err(SnapshotError::store(
                "use the store for snapshots",
                format!("{scheme}:// is not known"),
            )),
        }
    }

    /// Where it is, for people.
    pub fn place(&self) -> String {
        match self {
            Store::Folder(folder) => folder.display().to_string(),
        }
    }

    /// The folder of a snapshot, where the store is one.
    pub(crate) fn folder(&self, app: &str, id: &str) -> Option<PathBuf> {
        match self {
            Store::Folder(folder) => Some(folder.join(plain(app)).join(id)),
        }
    }

    /// The names of all snapshots of an application, the oldest first.
    async fn ids(&self, app: &str) -> Result<Vec<String>, SnapshotError> {
        let Store::Folder(folder) = self;
        let folder = folder.join(plain(app));
        let failed = |source| SnapshotError::store(format!("list {}", folder.display()), source);
        let mut entries = match tokio::fs::read_dir(&folder).await {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed(error)),
        };
        let mut ids = Vec::new();
        while let Some(entry) = entries.next_entry().await.map_err(failed)? {
            let is_folder = entry.file_type().await.is_ok_and(|it| it.is_dir());
            ids.extend(entry.file_name().into_string().ok().filter(|_| is_folder));
        }
        ids.sort();
        Ok(ids)
    }

    /// All snapshots of an application, the oldest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn list(&self, app: &str) -> Result<Vec<Found>, SnapshotError> {
        let mut all = Vec::new();
        for id in self.ids(app).await? {
            let manifest = self.manifest(app, &id).await;
            all.push(Found { id, manifest });
        }
        Ok(all)
    }

    /// What a snapshot is of. `latest` means the last one that is whole.
    ///
    /// # Errors
    /// When there is none of that name, or it is not whole.
    pub async fn find(&self, app: &str, id: &str) -> Result<Manifest, SnapshotError> {
        if id == "latest" {
            let all = self.list(app).await?.into_iter().rev();
            return all
                .filter_map(|it| it.manifest.ok())
                .next()
                .ok_or_else(|| SnapshotError::NotFound { id: id.to_owned(), app: app.to_owned() });
        }
        if !self.ids(app).await?.iter().any(|it| it == id) {
            return Err(SnapshotError::NotFound { id: id.to_owned(), app: app.to_owned() });
        }
        self.manifest(app, id).await
    }

    async fn manifest(&self, app: &str, id: &str) -> Result<Manifest, SnapshotError> {
        let Some(text) = self.read(app, id, manifest::NAME).await? else {
            return Err(SnapshotError::Unfinished(id.to_owned()));
        };
        let wrong = |reason: String| SnapshotError::Manifest { id: id.to_owned(), reason };
        #[derive(serde::Deserialize)]
        struct Format {
            format: u32,
        }
        let format: Format = serde_json::from_slice(&text).map_err(|it| wrong(it.to_string()))?;
        if format.format != manifest::FORMAT {
            return Err(wrong(format!("its format is {}", format.format)));
        }
        let read: Manifest = serde_json::from_slice(&text).map_err(|it| wrong(it.to_string()))?;
        // What it names is beneath it, whoever wrote it.
        let is_inside = |name: &str| {
            !name.is_empty()
                && Path::new(name)
                    .components()
                    .all(|it| matches!(it, std::path::Component::Normal(_)))
        };
        match read.files.iter().find(|it| !is_inside(&it.name)) {
            Some(file) => Err(wrong(format!("it names the file `{}`", file.name))),
            None if read.id != id => Err(wrong(format!("it is that of `{}`", read.id))),
            None => Ok(read),
        }
    }

    /// Reads a small file.
    pub(crate) async fn read(
        &self,
        app: &str,
        id: &str,
        name: &str,
    ) -> Result<Option<Vec<u8>>, SnapshotError> {
        let Some(folder) = self.folder(app, id) else { return Ok(None) };
        match tokio::fs::read(folder.join(name)).await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => {
                Err(SnapshotError::store(format!("read {name} of snapshot `{id}`"), error))
            }
        }
    }

    /// Writes a small file beside its place first: half of it is never found there.
    pub(crate) async fn write(
        &self,
        app: &str,
        id: &str,
        name: &str,
        bytes: &[u8],
    ) -> Result<(), SnapshotError> {
        let Some(folder) = self.folder(app, id) else { return Ok(()) };
        let write = || -> std::io::Result<()> {
            use std::io::Write as _;
            let mut file = tempfile::NamedTempFile::new_in(&folder)?;
            file.write_all(bytes)?;
            file.as_file().sync_all()?;
            file.persist(folder.join(name)).map_err(|error| error.error)?;
            sync(&folder)
        };
        write().map_err(|error| {
            SnapshotError::store(format!("write {name} of snapshot `{id}`"), error)
        })
    }

    /// Makes the place of a new snapshot, which nobody but its owner may read; returns its name.
    pub(crate) async fn begin(&self, app: &str) -> Result<String, SnapshotError> {
        let now = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string();
        let taken = self.ids(app).await?;
        let mut names = std::iter::once(now.clone()).chain((2..).map(|it| format!("{now}-{it}")));
        let id = names.find(|it| !taken.contains(it)).unwrap_or(now);
        let Some(folder) = self.folder(app, &id) else { return Ok(id) };
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&folder).map_err(|error| {
            SnapshotError::store(format!("make the folder {}", folder.display()), error)
        })?;
        Ok(id)
    }

    /// Writes all that `from` gives into a file of a snapshot.
    pub(crate) async fn put(
        &self,
        app: &str,
        id: &str,
        name: &str,
        from: &mut (dyn AsyncRead + Unpin + Send),
        meter: &mut Meter<'_>,
    ) -> Result<File, SnapshotError> {
        let failed =
            |error| SnapshotError::store(format!("write {name} of snapshot `{id}`"), error);
        let read =
            |error| SnapshotError::store(format!("read what is to be written into {name}"), error);
        let path = self.folder(app, id).unwrap_or_default().join(name);
        let mut file = private(&path).await.map_err(failed)?;
        let (mut hash, mut bytes, mut piece) = (Sha256::new(), 0, vec![0; PIECE]);
        loop {
            let length = from.read(&mut piece).await.map_err(read)?;
            if length == 0 {
                break;
            }
            hash.update(&piece[..length]);
            file.write_all(&piece[..length]).await.map_err(failed)?;
            bytes += length as u64;
            meter.passed(length);
        }
        file.flush().await.map_err(failed)?;
        file.sync_all().await.map_err(failed)?;
        Ok(File { name: name.to_owned(), bytes, sha256: digest(hash) })
    }

    /// Looks whether a snapshot's files are what its manifest says.
    ///
    /// # Errors
    /// Where one is not, which names the first.
    pub(crate) async fn check(
        &self,
        manifest: &Manifest,
        meter: &mut Meter<'_>,
    ) -> Result<(), SnapshotError> {
        let (app, id) = (&manifest.app, &manifest.id);
        let damaged = |reason: String| SnapshotError::Damaged { id: id.clone(), reason };
        let folder = self.folder(app, id).unwrap_or_default();
        for File { name, bytes, sha256 } in &manifest.files {
            let path = folder.join(name);
            let failed = |error: std::io::Error| match error.kind() {
                std::io::ErrorKind::NotFound => damaged(format!("{name} is missing")),
                _ => SnapshotError::store(format!("read {name} of snapshot `{id}`"), error),
            };
            let mut file = tokio::fs::File::open(&path).await.map_err(failed)?;
            let found = file.metadata().await.map_err(failed)?.len();
            if found != *bytes {
                return Err(damaged(format!("{name} has {found} bytes, and had {bytes}")));
            }
            let (mut hash, mut piece) = (Sha256::new(), vec![0; PIECE]);
            loop {
                let length = file.read(&mut piece).await.map_err(failed)?;
                if length == 0 {
                    break;
                }
                hash.update(&piece[..length]);
                meter.passed(length);
            }
            if digest(hash) != *sha256 {
                return Err(damaged(format!(
                    "the checksum of {name} is not the one that it was written with"
                )));
            }
        }
        Ok(())
    }

    /// Removes a snapshot, its manifest first: what is left by a crash is an unfinished one.
    pub(crate) async fn remove(&self, app: &str, id: &str) -> Result<(), SnapshotError> {
        let Some(folder) = self.folder(app, id) else { return Ok(()) };
        let gone = |result: std::io::Result<()>| match result {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(SnapshotError::store(format!("remove {}", folder.display()), error))
            }
            _ => Ok(()),
        };
        gone(tokio::fs::remove_file(folder.join(manifest::NAME)).await)?;
        gone(tokio::fs::remove_dir_all(&folder).await)
    }
}

/// Makes a new file that nobody but its owner may read.
pub(crate) async fn private(path: &Path) -> std::io::Result<tokio::fs::File> {
    let mut options = tokio::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    options.mode(0o600);
    options.open(path).await
}

/// Hashes a file that is there already.
pub(crate) async fn hashed(
    folder: &Path,
    name: &str,
    meter: &mut Meter<'_>,
) -> Result<File, SnapshotError> {
    let failed = |error| SnapshotError::store(format!("read {name}"), error);
    let mut file = tokio::fs::File::open(folder.join(name)).await.map_err(failed)?;
    let (mut hash, mut bytes, mut piece) = (Sha256::new(), 0, vec![0; PIECE]);
    loop {
        let length = file.read(&mut piece).await.map_err(failed)?;
        if length == 0 {
            break;
        }
        hash.update(&piece[..length]);
        bytes += length as u64;
        meter.passed(length);
    }
    // It may lie nowhere but in memory yet.
    file.sync_all().await.map_err(failed)?;
    Ok(File { name: name.to_owned(), bytes, sha256: digest(hash) })
}

fn digest(hash: Sha256) -> Digest {
    // Sixty-four digits are a hash.
    hex::encode(hash.finalize()).parse().unwrap_or_else(|_| Digest::of_bytes(b""))
}

fn sync(folder: &Path) -> std::io::Result<()> {
    #[cfg(unix)]
    std::fs::File::open(folder)?.sync_all()?;
    #[cfg(not(unix))]
    let _ = folder;
    Ok(())
}

/// An application's name as a folder's.
fn plain(app: &str) -> String {
    let plain = |it: char| if it.is_alphanumeric() || "._-".contains(it) { it } else { '_' };
    let name: String = app.chars().map(plain).collect();
    if name.starts_with('.') || name.is_empty() { format!("_{name}") } else { name }
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn no_name_of_an_application_leads_elsewhere() {
        for (app, name) in
            [("harbour", "harbour"), ("../x", "_.._x"), ("a/b c", "a_b_c"), ("", "_"), (".", "_.")]
        {
            assert_eq!(plain(app), name);
        }
    }
}
