//! What was learned about a git repository, kept between readings.
//!
//! Everything in it is keyed by the id of a git object, so it cannot go stale, and it carries a
//! checksum, so it cannot be half there. A cache that does not fit is ignored and written anew;
//! one that cannot be written is done without.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use gix::ObjectId;
use serde::{Deserialize, Serialize};
use sternway_model::catalog::Digest;

use crate::folder::Body;

/// Raised when the content changes its shape. Another version of this crate is not trusted either:
/// it may have passed over other file names.
const FORMAT: u32 = 1;
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The id of a git object, written in hexadecimal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Id(pub ObjectId);

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<Id> for String {
    fn from(id: Id) -> String {
        id.to_string()
    }
}

impl TryFrom<String> for Id {
    type Error = gix::Error;

    fn try_from(text: String) -> Result<Self, gix::Error> {
        Ok(Id(ObjectId::from_hex(text.as_bytes())?))
    }
}

/// A release in a repository.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Commit {
    /// Its own id.
    pub id: Id,
    /// For each path asked for, the tree there if there is one.
    pub folders: Vec<Option<Id>>,
}

/// A migration file in a tree.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Blob {
    /// Its name.
    pub name: String,
    /// The blob; `None` for a symbolic link.
    pub id: Option<Id>,
}

/// What a repository on another host said of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Seen {
    /// When, in seconds since 1970.
    pub at: i64,
    /// Where it answered.
    pub base: String,
    /// Whether it sends parts of its history.
    pub filters: bool,
    /// Its tags: their names and what they lead to.
    pub tags: Vec<(String, Id)>,
}

/// Objects by id: those known from an earlier reading, and those that this one met.
#[derive(Debug)]
pub(crate) struct Kept<V> {
    known: BTreeMap<Id, V>,
    met: BTreeMap<Id, V>,
    learned: bool,
}

impl<V> Kept<V> {
    fn new(known: BTreeMap<Id, V>) -> Self {
        Self { known, met: BTreeMap::new(), learned: false }
    }

    /// The object, read with `read` when it is met for the first time.
    pub fn get_or_read<E>(&mut self, id: Id, read: impl FnOnce() -> Result<V, E>) -> Result<&V, E> {
        let vacant = match self.met.entry(id) {
            Entry::Occupied(entry) => return Ok(entry.into_mut()),
            Entry::Vacant(vacant) => vacant,
        };
        let value = match self.known.remove(&id) {
            Some(value) => value,
            None => {
                let value = read()?;
                self.learned = true;
                value
            }
        };
        Ok(vacant.insert(value))
    }

    /// The object, where it is known or was met.
    pub fn get(&self, id: Id) -> Option<&V> {
        self.met.get(&id).or_else(|| self.known.get(&id))
    }

    /// Whether what was met differs from what was known.
    fn changed(&self) -> bool {
        self.learned || !self.known.is_empty()
    }
}

/// The cache of one repository and one list of paths.
#[derive(Debug)]
pub(crate) struct Cache {
    file: Option<PathBuf>,
    /// What the repository said the last time, where it is on another host.
    pub seen: Option<Seen>,
    /// What each tag leads to, by the id that the tag holds; `None` if that is not a commit.
    pub commits: Kept<Option<Commit>>,
    /// The migration files of each tree.
    pub folders: Kept<Vec<Blob>>,
    /// What each blob holds.
    pub bodies: Kept<Body>,
}

/// The first line of the file.
#[derive(Serialize, Deserialize)]
struct Header {
    format: u32,
    version: String,
    sha256: Digest,
}

/// The second line of the file.
#[derive(Default, Deserialize)]
struct Content {
    #[serde(default)]
    seen: Option<Seen>,
    commits: BTreeMap<Id, Option<Commit>>,
    folders: BTreeMap<Id, Vec<Blob>>,
    bodies: BTreeMap<Id, Body>,
}

/// The same, to write.
#[derive(Serialize)]
struct ContentRef<'c> {
    #[serde(skip_serializing_if = "Option::is_none")]
    seen: Option<&'c Seen>,
    commits: &'c BTreeMap<Id, Option<Commit>>,
    folders: &'c BTreeMap<Id, Vec<Blob>>,
    bodies: &'c BTreeMap<Id, Body>,
}

impl Cache {
    /// The cache in `folder` for the repository at `path` and the `paths` of its tracks. Without a
    /// folder it lasts for one reading.
    pub fn open<'p>(
        folder: Option<&Path>,
        path: &Path,
        paths: impl Iterator<Item = &'p str>,
    ) -> Self {
        let file = folder.map(|folder| {
            let mut key = path.as_os_str().as_encoded_bytes().to_vec();
            for path in paths {
                key.push(0);
                key.extend_from_slice(path.as_bytes());
            }
            folder.join(format!("{}.json", Digest::of_bytes(&key)))
        });
        let content = file.as_deref().and_then(load).unwrap_or_default();
        Self {
            file,
            seen: content.seen,
            commits: Kept::new(content.commits),
            folders: Kept::new(content.folders),
            bodies: Kept::new(content.bodies),
        }
    }

    /// Writes down what was met, unless that was known already. What was not met is dropped.
    pub fn save(&self) {
        let Some(file) = &self.file else { return };
        if !(self.seen.is_some()
            || self.commits.changed()
            || self.folders.changed()
            || self.bodies.changed())
        {
            return;
        }
        if let Err(error) = self.write(file) {
            tracing::debug!(file = %file.display(), %error, "the cache was not written");
        }
    }

    fn write(&self, file: &Path) -> io::Result<()> {
        let content = ContentRef {
            seen: self.seen.as_ref(),
            commits: &self.commits.met,
            folders: &self.folders.met,
            bodies: &self.bodies.met,
        };
        let content = serde_json::to_vec(&content)?;
        let sha256 = Digest::of_bytes(&content);
        let header =
            serde_json::to_vec(&Header { format: FORMAT, version: VERSION.to_owned(), sha256 })?;
        let folder = file.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder)?;
        // Readers see the old file or the new one: the rename is atomic, whoever else writes.
        let mut written = tempfile::NamedTempFile::new_in(folder)?;
        written.write_all(&header)?;
        written.write_all(b"\n")?;
        written.write_all(&content)?;
        written.persist(file)?;
        Ok(())
    }
}

/// The content of a cache file; `None` if there is none to rely on.
fn load(file: &Path) -> Option<Content> {
    let bytes = match fs::read(file) {
        Ok(bytes) => bytes,
        Err(error) => {
            tracing::debug!(file = %file.display(), %error, "there is no cache");
            return None;
        }
    };
    let content = parse(&bytes);
    if content.is_none() {
        tracing::debug!(file = %file.display(), "the cache is damaged or of another version");
    }
    content
}

fn parse(bytes: &[u8]) -> Option<Content> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    let (header, content) = (&bytes[..end], &bytes[end + 1..]);
    let header: Header = serde_json::from_slice(header).ok()?;
    let fits = header.format == FORMAT
        && header.version == VERSION
        && header.sha256 == Digest::of_bytes(content);
    if fits { serde_json::from_slice(content).ok() } else { None }
}
