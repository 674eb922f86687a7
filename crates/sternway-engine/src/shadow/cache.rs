//! What shadow databases answered, kept between commands.
//!
//! An answer is found by the hash of everything that decides it, so it cannot go stale, and it carries a
//! checksum that takes in that hash, so it can be neither half there nor another question's. The folder
//! is the user's own and nobody else may look into it. What does not fit is not believed and is asked
//! anew; what cannot be written is done without. Against the user's own account there is no protection:
//! whoever may write here may also change what the shadow database answers.

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use serde::Serialize;
use serde::de::DeserializeOwned;
use sternway_model::catalog::Digest;

/// How much the folder may hold, in bytes; what was not used for longest goes first.
const ROOM: u64 = 64 << 20;
/// How many answers the folder may hold.
const ANSWERS: usize = 20_000;
/// How large one answer may be, in bytes: a larger one is asked each time.
const LARGEST: u64 = 8 << 20;
/// How long an answer stays that nobody uses.
const UNUSED: Duration = Duration::from_secs(60 * 24 * 60 * 60);
/// How exactly it is known when an answer was last used: a read does not write each time.
const USED: Duration = Duration::from_secs(24 * 60 * 60);
/// After how many answers written by this process the folder is looked through again.
const OFTEN: usize = 256;

/// A folder of answers.
#[derive(Debug)]
pub struct Cache {
    folder: PathBuf,
    build: String,
    written: AtomicUsize,
}

impl Cache {
    /// The cache in `folder`, which is made where it is not there. `build` tells this program from
    /// others that might see a schema with other eyes: what those wrote is not believed.
    pub fn at(folder: PathBuf, build: String) -> Cache {
        Cache { folder, build, written: AtomicUsize::new(0) }
    }

    /// Tells this program from others.
    pub(super) fn build(&self) -> &str {
        &self.build
    }

    /// The answer found by `key`, if there is one to believe.
    pub(super) fn get<T: DeserializeOwned>(&self, key: Digest) -> Option<T> {
        let path = self.path(key);
        match read(&self.folder, &path) {
            Ok(bytes) => {
                let answer = open(key, &bytes);
                if answer.is_none() {
                    tracing::debug!(file = %path.display(), "the answer is damaged and not believed");
                }
                answer
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                tracing::debug!(file = %path.display(), %error, "the answer is not believed");
                None
            }
        }
    }

    /// Writes down an answer.
    pub(super) fn put<T: Serialize>(&self, key: Digest, answer: &T) {
        let written = seal(key, answer).and_then(|bytes| self.write(&self.path(key), &bytes));
        if let Err(error) = written {
            tracing::debug!(folder = %self.folder.display(), %error, "an answer was not written");
            return;
        }
        if self.written.fetch_add(1, Ordering::Relaxed).is_multiple_of(OFTEN)
            && let Err(error) = keep_within(&self.folder, ROOM, ANSWERS, SystemTime::now())
        {
            tracing::debug!(folder = %self.folder.display(), %error, "the cache was not tidied");
        }
    }

    fn path(&self, key: Digest) -> PathBuf {
        self.folder.join(format!("{key}{ENDING}"))
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        private::make(&self.folder)?;
        // Readers see the whole file or none: the rename is atomic, whoever else writes the same.
        let mut file = tempfile::Builder::new().prefix(UNDER_WAY).tempfile_in(&self.folder)?;
        file.write_all(bytes)?;
        file.persist(path)?;
        Ok(())
    }
}

/// How the names of answers end.
const ENDING: &str = ".answer";
/// How the names of files begin that are not written to their end.
const UNDER_WAY: &str = ".under-way-";

/// A checksum of key and content in a line, and the content.
fn seal<T: Serialize>(key: Digest, answer: &T) -> io::Result<Vec<u8>> {
    let content = serde_json::to_vec(answer)?;
    let bytes = [checksum(key, &content).to_string().as_bytes(), b"\n", &content].concat();
    match bytes.len() as u64 > LARGEST {
        true => Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is too large to be kept")),
        false => Ok(bytes),
    }
}

/// What [`seal`] sealed under the same key.
fn open<T: DeserializeOwned>(key: Digest, bytes: &[u8]) -> Option<T> {
    let line = bytes.iter().position(|byte| *byte == b'\n')?;
    let (sum, content) = (&bytes[..line], &bytes[line + 1..]);
    let fits = sum == checksum(key, content).to_string().as_bytes();
    if fits { serde_json::from_slice(content).ok() } else { None }
}

fn checksum(key: Digest, content: &[u8]) -> Digest {
    Digest::of_bytes(&[key.to_string().as_bytes(), b"\n", content].concat())
}

/// Reads a file that is the user's own, in a folder that is.
fn read(folder: &Path, path: &Path) -> io::Result<Vec<u8>> {
    private::check(&fs::symlink_metadata(folder)?, true)?;
    let file = private::open(path)?;
    // The open file, and not whatever has its name by now.
    let about = file.metadata()?;
    private::check(&about, false)?;
    if about.len() > LARGEST {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is too large"));
    }
    let mut bytes = Vec::with_capacity(about.len() as usize);
    (&file).take(LARGEST).read_to_end(&mut bytes)?;
    let now = SystemTime::now();
    if about.modified()? + USED < now {
        // For what is thrown away first; the file may be gone already.
        drop(file.set_modified(now));
    }
    Ok(bytes)
}

/// Removes answers that were not used for long, and then those not used for longest until the others
/// have room.
fn keep_within(folder: &Path, room: u64, answers: usize, now: SystemTime) -> io::Result<()> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        // Another process may have removed it, and what is not ours stays.
        let Ok(about) = entry.metadata() else { continue };
        if !about.is_file() || !(name.ends_with(ENDING) || name.starts_with(UNDER_WAY)) {
            continue;
        }
        files.push((about.modified()?, about.len(), entry.path(), name.starts_with(UNDER_WAY)));
    }
    files.sort_by_key(|(used, ..)| std::cmp::Reverse(*used));
    let (mut taken, mut count) = (0, 0);
    for (used, size, path, under_way) in files {
        let age = now.duration_since(used).unwrap_or_default();
        let stays = match under_way {
            true => age < USED,
            false => age < UNUSED && taken + size <= room && count < answers,
        };
        if stays {
            (taken, count) = (taken + size, count + 1);
        } else if let Err(error) = fs::remove_file(&path)
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(error);
        }
    }
    Ok(())
}

/// What belongs to the user alone.
#[cfg(unix)]
mod private {
    use std::fs::{DirBuilder, File, Metadata, OpenOptions, symlink_metadata};
    use std::io;
    use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
    use std::path::Path;

    use rustix::fs::OFlags;

    /// Makes a folder that only the user may enter, unless it is there already.
    pub fn make(folder: &Path) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        check(&symlink_metadata(folder)?, true)
    }

    /// Opens a file, and no link to one.
    pub fn open(path: &Path) -> io::Result<File> {
        // A pipe would keep us waiting.
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        OpenOptions::new().read(true).custom_flags(flags.bits() as i32).open(path)
    }

    /// Refuses what is not the user's own, what others may read or write, and what is no `folder` or no
    /// file.
    pub fn check(about: &Metadata, folder: bool) -> io::Result<()> {
        let kind = if folder { about.is_dir() } else { about.is_file() };
        let own = about.uid() == rustix::process::geteuid().as_raw();
        match kind && own && about.mode() & 0o077 == 0 {
            true => Ok(()),
            false => Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                "it is not the user's own, or open to others",
            )),
        }
    }
}

/// Elsewhere it is not known what belongs to the user alone, and nothing is kept.
#[cfg(not(unix))]
mod private {
    use std::fs::{File, Metadata};
    use std::io;
    use std::path::Path;

    pub fn make(_: &Path) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub fn open(_: &Path) -> io::Result<File> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub fn check(_: &Metadata, _: bool) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

#[cfg(all(test, unix))]
mod tests;
