//! A folder of this machine.
//!
//! Symbolic links are followed, as golang-migrate follows them: Kubernetes mounts files that way.
//! The folder is read on the calling thread: it is local, and a body is small.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{self, Path, PathBuf};

use async_trait::async_trait;

use super::{Files, FilesError};
use crate::url::unescaped;

/// A folder of migration files on this machine. Nothing is kept between two calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directory {
    path: PathBuf,
}

/// The folder at `path`, which is a path and not a URL: `#`, `?`, `%` and `:` mean themselves. Only a
/// text that starts with `file://` is read as [`open`](super::open) reads it. An empty path is the
/// working directory. Whether the folder is there shows when it is listed.
pub fn directory(path: &Path) -> Directory {
    let scheme = path.to_str().and_then(|text| text.split_at_checked("file://".len()));
    match scheme {
        Some((scheme, _)) if scheme.eq_ignore_ascii_case("file://") => {
            let text = path.to_str().unwrap_or_default();
            Directory::of_url(&text["file:".len()..])
        }
        _ => Directory::at(path),
    }
}

impl Directory {
    /// The folder at `path`, also when the working directory changes.
    fn at(path: &Path) -> Self {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        Self { path: path::absolute(path).unwrap_or_else(|_| path.to_owned()) }
    }

    /// The folder that `rest` names after `file:`.
    ///
    /// First as golang-migrate reads it: as a URL, whose path is its host and its path together.
    /// If there is no such folder, it may be a path that was put behind `file://` as it is.
    pub(super) fn of_url(rest: &str) -> Self {
        let url = Self::at(Path::new(&path_of_url(rest)));
        let literal = Self::at(Path::new(rest.strip_prefix("//").unwrap_or(rest)));
        if !url.path.exists() && literal.path.exists() { literal } else { url }
    }

    /// The path of the folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            if is_folder(&entry)? {
                continue;
            }
            match entry.file_name().into_string() {
                Ok(name) => names.push(name),
                Err(name) => tracing::warn!(
                    folder = %self.path.display(),
                    file = %name.display(),
                    "the file was left out: its name is not UTF-8"
                ),
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn content(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        let path = self.path.join(name);
        // A pipe or a device would block.
        if !fs::metadata(&path)?.is_file() {
            return Ok(None);
        }
        fs::read(&path).map(Some)
    }
}

#[async_trait]
impl Files for Directory {
    fn place(&self) -> String {
        self.path.display().to_string()
    }

    async fn list(&self) -> Result<Vec<String>, FilesError> {
        self.names().map_err(|source| {
            let path = self.path.clone();
            match source.kind() {
                ErrorKind::NotFound => FilesError::NoSuchFolder { path },
                ErrorKind::NotADirectory => FilesError::NotAFolder { path },
                _ => FilesError::Folder { path, source },
            }
        })
    }

    async fn read(&self, name: &str) -> Result<Vec<u8>, FilesError> {
        let (place, file) = (self.place(), name.to_owned());
        // Anything but a bare name would lead out of the folder.
        if Path::new(name).file_name() != Some(name.as_ref()) {
            return Err(FilesError::NoSuchFile { place, name: file });
        }
        match self.content(name) {
            Ok(Some(content)) => Ok(content),
            Ok(None) => Err(FilesError::NotAFile { place, name: file }),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                Err(FilesError::NoSuchFile { place, name: file })
            }
            Err(source) => Err(FilesError::File { place, name: file, source }),
        }
    }
}

/// Whether an entry is a folder. A link counts as a file, wherever it leads, so that reading one that
/// leads nowhere or to a folder fails: golang-migrate takes it for a migration without a body.
fn is_folder(entry: &fs::DirEntry) -> io::Result<bool> {
    Ok(entry.file_type()?.is_dir())
}

/// The path that golang-migrate takes from what follows `file:`.
fn path_of_url(rest: &str) -> String {
    let rest = rest.split(['#', '?']).next().unwrap_or_default();
    let Some(rest) = rest.strip_prefix("//") else {
        // `file:q` is taken as it is, `file:/q` has a path.
        return if rest.starts_with('/') { unescaped(rest) } else { rest.to_owned() };
    };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = authority.rsplit('@').next().unwrap_or_default();
    format!("{host}{}", unescaped(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_a_url_is_that_of_golang_migrate() {
        let cases = [
            ("//rel/dir", "rel/dir"),
            ("//./rel", "./rel"),
            ("//../rel", "../rel"),
            ("///abs/a%20b", "/abs/a b"),
            ("/abs", "/abs"),
            ("q", "q"),
            ("a%20b", "a%20b"),
            ("//", ""),
            ("", ""),
            ("///a#b?c", "/a"),
            ("///a?b", "/a"),
            ("//user@rel/a@b", "rel/a@b"),
            ("//~/a", "~/a"),
            ("///100%", "/100%"),
            ("//C:\\a", "C:\\a"),
        ];
        for (rest, path) in cases {
            assert_eq!(path_of_url(rest), path, "{rest}");
        }
    }

    #[test]
    fn a_path_is_no_url() {
        for path in ["/a#b", "/a?b", "/a%20b", "/a:b", "/file:", "/a@b"] {
            assert_eq!(directory(Path::new(path)).path(), Path::new(path));
        }
        assert_eq!(directory(Path::new("file:///a%20b")).path(), Path::new("/a b"));
        assert_eq!(directory(Path::new("FILE:///a")).path(), Path::new("/a"));
        assert!(directory(Path::new("file:x")).path().ends_with("file:x"));
    }
}
