//! The folder of one track in one release, as every kind of source hands it over.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sternway_model::catalog::{Digest, FileName, without_mark};

/// The migration files of a folder, by name. Other files have been left out.
#[derive(Debug)]
pub(crate) struct Folder {
    /// Where it lies, from the root of the release.
    pub path: String,
    /// Its files; releases with the same folder share them.
    pub files: Arc<[File]>,
}

/// Of several places of a track, the first that has migrations: one that has none any more, or not yet, is not where
/// they are. Where none has any, the first that is there.
pub(crate) fn first<T, E>(
    places: impl Iterator<Item = Result<Option<T>, E>>,
    has_any: impl Fn(&T) -> bool,
) -> Result<Option<T>, E> {
    let mut found = None;
    for place in places {
        let Some(folder) = place? else { continue };
        if has_any(&folder) {
            return Ok(Some(folder));
        }
        found.get_or_insert(folder);
    }
    Ok(found)
}

/// One migration file.
#[derive(Debug, Clone)]
pub(crate) struct File {
    /// The bare name.
    pub name: String,
    /// What it holds; `None` for a symbolic link that was not followed.
    pub body: Option<Body>,
}

/// What a migration file holds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Body {
    /// The hash of the text, or of the bytes where there is no text.
    pub digest: Digest,
    /// The text without a byte-order mark; `None` if the bytes are not UTF-8.
    pub text: Option<Arc<str>>,
}

impl Body {
    /// The body that `bytes` are.
    pub fn of(bytes: &[u8]) -> Body {
        match str::from_utf8(bytes) {
            Ok(text) => {
                Body { digest: Digest::of_body(text), text: Some(without_mark(text).into()) }
            }
            Err(_) => Body { digest: Digest::of_bytes(bytes), text: None },
        }
    }
}

/// Whether a file of this name is a migration.
pub(crate) fn is_migration(name: &str) -> bool {
    FileName::parse(name).is_some()
}
