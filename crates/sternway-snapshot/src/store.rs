//! Where snapshots are kept: `APPLICATION/SNAPSHOT/FILE` in a folder or in a bucket.

mod bucket;

use std::path::{Component, Path, PathBuf};

use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};

use crate::error::SnapshotError;
use crate::manifest::{self, File, Manifest};
use crate::stream::{Hashing, Meter};
use bucket::Bucket;

/// How much is read at once.
const PIECE: usize = 1 << 18;

/// Where snapshots are kept.
#[derive(Debug, Clone)]
pub enum Store {
    /// In this folder.
    Folder(PathBuf),
    /// In a bucket.
    Bucket(Bucket),
}

/// A snapshot that was found.
#[derive(Debug)]
pub struct Found {
    /// Its name.
    pub id: String,
    /// What it is of; an error where that cannot be read, or it is unfinished.
    pub manifest: Result<Manifest, SnapshotError>,
}

/// The files of a snapshot on this machine, which are what its manifest says.
pub(crate) struct Local {
    folder: PathBuf,
    _scratch: Option<TempDir>,
}

impl Local {
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub fn path(&self, file: &File) -> PathBuf {
        self.folder.join(&file.name)
    }
}

impl Store {
    /// Reads what was typed: a folder, or a bucket's address.
    ///
    /// # Errors
    /// When it is the address of something else, or what is set for it does not do.
    pub fn parse(text: &str) -> Result<Store, SnapshotError> {
        if !text.contains("://") {
            return Ok(Store::Folder(PathBuf::from(text)));
        }
        match Bucket::open(text)? {
            Some(bucket) => Ok(Store::Bucket(bucket)),
            None => {
                let why = "it is no folder, and begins with none of s3://, gs:// and az://";
                Err(SnapshotError::store(format!("use {text}"), why))
            }
        }
    }

    /// Where it is, for people.
    pub fn place(&self) -> String {
        match self {
            Store::Folder(folder) => folder.display().to_string(),
            Store::Bucket(bucket) => bucket.place.clone(),
        }
    }

    /// The folder of a snapshot, where the store is one.
    pub(crate) fn folder(&self, app: &str, id: &str) -> Option<PathBuf> {
        match self {
            Store::Folder(folder) => Some(folder.join(plain(app)).join(id)),
            Store::Bucket(_) => None,
        }
    }

    /// The names of all snapshots of an application, the oldest first.
    async fn ids(&self, app: &str) -> Result<Vec<String>, SnapshotError> {
        let mut ids = match self {
            Store::Folder(folder) => folders(&folder.join(plain(app))).await?,
            Store::Bucket(bucket) => bucket.folders(&[&plain(app)]).await?,
        };
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
        let not_found = || SnapshotError::NotFound { id: id.to_owned(), app: app.to_owned() };
        if id == "latest" {
            let all = self.list(app).await?.into_iter().rev();
            return all.filter_map(|it| it.manifest.ok()).next().ok_or_else(not_found);
        }
        match self.ids(app).await?.iter().any(|it| it == id) {
            true => self.manifest(app, id).await,
            false => Err(not_found()),
        }
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
            let mut parts = Path::new(name).components();
            !name.is_empty() && parts.all(|it| matches!(it, Component::Normal(_)))
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
        let folder = match self {
            Store::Folder(folder) => folder.join(plain(app)).join(id),
            Store::Bucket(bucket) => return bucket.read(&[&plain(app), id, name]).await,
        };
        match tokio::fs::read(folder.join(name)).await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => {
                Err(SnapshotError::store(format!("read {name} of snapshot `{id}`"), error))
            }
        }
    }

    /// Writes a small file: half of it is never found there.
    pub(crate) async fn write(
        &self,
        app: &str,
        id: &str,
        name: &str,
        bytes: &[u8],
    ) -> Result<(), SnapshotError> {
        let folder = match self {
            Store::Folder(folder) => folder.join(plain(app)).join(id),
            Store::Bucket(bucket) => return bucket.write(&[&plain(app), id, name], bytes).await,
        };
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
        let folder = match self {
            Store::Folder(folder) => folder.join(plain(app)).join(id),
            Store::Bucket(bucket) => {
                let put = bucket.put(&[&plain(app), id, name], from, meter).await;
                return put.map(|it| it.file(name));
            }
        };
        let failed =
            |error| SnapshotError::store(format!("write {name} of snapshot `{id}`"), error);
        let read =
            |error| SnapshotError::store(format!("read what is to be written into {name}"), error);
        let mut file = private(&folder.join(name)).await.map_err(failed)?;
        let (mut hashing, mut piece) = (Hashing::default(), vec![0; PIECE]);
        loop {
            let length = from.read(&mut piece).await.map_err(read)?;
            if length == 0 {
                break;
            }
            hashing.update(&piece[..length]);
            file.write_all(&piece[..length]).await.map_err(failed)?;
            meter.passed(length);
        }
        file.flush().await.map_err(failed)?;
        file.sync_all().await.map_err(failed)?;
        Ok(hashing.file(name))
    }

    /// The files of a snapshot, fetched where they are elsewhere, once they are found to be what its manifest says.
    ///
    /// # Errors
    /// Where one is not, which names the first.
    pub(crate) async fn fetch(
        &self,
        manifest: &Manifest,
        meter: &mut Meter<'_>,
    ) -> Result<Local, SnapshotError> {
        let (app, id) = (&manifest.app, &manifest.id);
        let scratch = match self {
            Store::Folder(_) => None,
            Store::Bucket(_) => {
                let made = tempfile::tempdir();
                Some(made.map_err(|error| SnapshotError::store("make a folder", error))?)
            }
        };
        let here = scratch.as_ref().map(|it| it.path().to_owned());
        let folder = self.folder(app, id).or(here).unwrap_or_default();
        for wanted in &manifest.files {
            let path = folder.join(&wanted.name);
            let found = match self {
                Store::Folder(_) => match hashed(&path, &wanted.name, meter).await {
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
                    found => Some(found.map_err(|error| {
                        SnapshotError::store(
                            format!("read {} of snapshot `{id}`", wanted.name),
                            error,
                        )
                    })?),
                },
                Store::Bucket(bucket) => {
                    let mut file = private(&path).await.map_err(|error| {
                        SnapshotError::store(format!("write {}", path.display()), error)
                    })?;
                    let app = plain(app);
                    let fetched = bucket.fetch(&[&app, id, &wanted.name], &mut file, meter).await;
                    fetched?.map(|it| it.file(&wanted.name))
                }
            };
            differs(found.as_ref(), wanted)
                .map_or(Ok(()), |reason| Err(SnapshotError::Damaged { id: id.clone(), reason }))?;
        }
        Ok(Local { folder, _scratch: scratch })
    }

    /// Removes a snapshot, its manifest first: what is left by a crash is an unfinished one.
    pub(crate) async fn remove(&self, app: &str, id: &str) -> Result<(), SnapshotError> {
        let folder = match self {
            Store::Folder(folder) => folder.join(plain(app)).join(id),
            Store::Bucket(bucket) => {
                return bucket.remove(&[&plain(app), id], manifest::NAME).await;
            }
        };
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

/// How a file is not what a manifest says.
fn differs(found: Option<&File>, wanted: &File) -> Option<String> {
    let name = &wanted.name;
    match found {
        None => Some(format!("{name} is missing")),
        Some(it) if it.bytes != wanted.bytes => {
            Some(format!("{name} has {} bytes, and had {}", it.bytes, wanted.bytes))
        }
        Some(it) if it.sha256 != wanted.sha256 => {
            Some(format!("the checksum of {name} is not the one that it was written with"))
        }
        Some(_) => None,
    }
}

/// The names of the folders in one; none where it is not there.
async fn folders(folder: &Path) -> Result<Vec<String>, SnapshotError> {
    let failed = |source| SnapshotError::store(format!("list {}", folder.display()), source);
    let mut entries = match tokio::fs::read_dir(folder).await {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut names = Vec::new();
    while let Some(entry) = entries.next_entry().await.map_err(failed)? {
        let is_folder = entry.file_type().await.is_ok_and(|it| it.is_dir());
        names.extend(entry.file_name().into_string().ok().filter(|_| is_folder));
    }
    Ok(names)
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
async fn hashed(path: &Path, name: &str, meter: &mut Meter<'_>) -> std::io::Result<File> {
    let mut file = tokio::fs::File::open(path).await?;
    let (mut hashing, mut piece) = (Hashing::default(), vec![0; PIECE]);
    loop {
        let length = file.read(&mut piece).await?;
        if length == 0 {
            return Ok(hashing.file(name));
        }
        hashing.update(&piece[..length]);
        meter.passed(length);
    }
}

/// Hashes a file that others have just written, and sees to it that it lies not only in memory.
pub(crate) async fn written(
    folder: &Path,
    name: &str,
    meter: &mut Meter<'_>,
) -> Result<File, SnapshotError> {
    let path = folder.join(name);
    let failed = |error| SnapshotError::store(format!("read {}", path.display()), error);
    let file = hashed(&path, name, meter).await.map_err(failed)?;
    tokio::fs::File::open(&path).await.map_err(failed)?.sync_all().await.map_err(failed)?;
    Ok(file)
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
        let names =
            [("harbour", "harbour"), ("../x", "_.._x"), ("a/b c", "a_b_c"), ("", "_"), (".", "_.")];
        for (app, name) in names {
            assert_eq!(plain(app), name);
        }
    }
}
