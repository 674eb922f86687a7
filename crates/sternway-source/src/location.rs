//! Where a catalog is read from, as the `source` setting says it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use thiserror::Error;

/// A place on this machine that holds releases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// A git repository: a work tree, a linked work tree, a bare repository or a `.git` folder.
    Git(PathBuf),
    /// A folder with one folder for each release.
    Directory(PathBuf),
    /// A path without a scheme: a git repository if it is one, else a folder of releases.
    Path(PathBuf),
}

/// A text that is no location. None of these repeats more of the text than its scheme, because the
/// rest may hold a password.
#[derive(Debug, Clone, Error, PartialEq, Eq)]
pub enum InvalidLocation {
    /// There is nothing in it.
    #[error("the source is empty")]
    Empty,
    /// The scheme stands alone.
    #[error("no path follows `{scheme}:`")]
    NoPath {
        /// The scheme, such as `dir`.
        scheme: String,
    },
    /// `//` is followed by a host or a relative path.
    #[error("what follows `{scheme}://` is not an absolute path on this machine")]
    NotAbsolute {
        /// The scheme, such as `dir`.
        scheme: String,
    },
    /// The scheme has a meaning, but no reader in this version.
    #[error("a `{scheme}:` source cannot be read yet by this version")]
    NotYet {
        /// The scheme, such as `github`.
        scheme: String,
    },
    /// The scheme has no meaning.
    #[error("`{scheme}:` is not a kind of source; known are {}", known())]
    UnknownScheme {
        /// The scheme, in lower case.
        scheme: String,
    },
    /// A host without a scheme, as in `git@host:path`.
    #[error("a source on another host needs a scheme; known are {}", known())]
    NoScheme,
}

/// The schemes that have a meaning but no reader yet.
const NOT_YET: [&str; 5] = ["github", "git+https", "bundle", "s3", "gs"];

fn known() -> String {
    let known = ["git+file", "dir"].into_iter().chain(NOT_YET);
    known.map(|scheme| format!("`{scheme}:`")).collect::<Vec<_>>().join(", ")
}

impl Location {
    /// The path, whatever it leads to.
    pub fn path(&self) -> &Path {
        match self {
            Self::Git(path) | Self::Directory(path) | Self::Path(path) => path,
        }
    }

    /// The same location with a relative path taken from `folder`, such as that of the settings.
    pub fn relative_to(&self, folder: &Path) -> Location {
        match self {
            Self::Git(path) => Self::Git(folder.join(path)),
            Self::Directory(path) => Self::Directory(folder.join(path)),
            Self::Path(path) => Self::Path(folder.join(path)),
        }
    }
}

impl FromStr for Location {
    type Err = InvalidLocation;

    /// Reads `git+file:PATH`, `dir:PATH`, either with `//` before an absolute path, or a bare path.
    /// Paths are taken as they are written: nothing is unescaped, and nothing is looked up.
    fn from_str(text: &str) -> Result<Self, InvalidLocation> {
        if text.is_empty() {
            return Err(InvalidLocation::Empty);
        }
        let (scheme, rest) = match text.split_once(':') {
            Some((scheme, rest)) if is_scheme(scheme) => (scheme.to_ascii_lowercase(), rest),
            _ if names_a_host(text) => return Err(InvalidLocation::NoScheme),
            _ => return Ok(Self::Path(text.into())),
        };
        match scheme.as_str() {
            "git+file" => Ok(Self::Git(local_path(&scheme, rest)?)),
            "dir" => Ok(Self::Directory(local_path(&scheme, rest)?)),
            known if NOT_YET.contains(&known) => Err(InvalidLocation::NotYet { scheme }),
            // What looks like a scheme may be a user name: `user:password@host`.
            _ if !rest.starts_with("//") && names_a_host(text) => Err(InvalidLocation::NoScheme),
            _ => Err(InvalidLocation::UnknownScheme { scheme }),
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Git(path) => write!(f, "git+file:{}", path.display()),
            Self::Directory(path) => write!(f, "dir:{}", path.display()),
            Self::Path(path) => path.display().fmt(f),
        }
    }
}

/// Whether `text` may be the scheme of a URL (RFC 3986 section 3.1); one letter is a Windows drive.
fn is_scheme(text: &str) -> bool {
    text.len() > 1
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
}

/// Whether `text` looks like `user@host:path`.
fn names_a_host(text: &str) -> bool {
    !text.starts_with(['.', '/']) && text.contains('@') && text.contains(':')
}

fn local_path(scheme: &str, rest: &str) -> Result<PathBuf, InvalidLocation> {
    let path = match rest.strip_prefix("//") {
        None => rest,
        Some(after) => match after.strip_prefix("localhost").unwrap_or(after) {
            absolute if absolute.starts_with('/') => absolute,
            _ => return Err(InvalidLocation::NotAbsolute { scheme: scheme.to_owned() }),
        },
    };
    if path.is_empty() {
        return Err(InvalidLocation::NoPath { scheme: scheme.to_owned() });
    }
    Ok(path.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemes_and_bare_paths_are_read() {
        let read = |text: &str| text.parse::<Location>().expect(text);
        assert_eq!(read("git+file:../app"), Location::Git("../app".into()));
        assert_eq!(read("git+file:///srv/app"), Location::Git("/srv/app".into()));
        assert_eq!(read("git+file://localhost/srv/app"), Location::Git("/srv/app".into()));
        assert_eq!(read("GIT+FILE:/srv/app"), Location::Git("/srv/app".into()));
        assert_eq!(read("dir:releases"), Location::Directory("releases".into()));
        assert_eq!(read("dir:///srv/releases"), Location::Directory("/srv/releases".into()));
        assert_eq!(read("/srv/app@home:1"), Location::Path("/srv/app@home:1".into()));
        assert_eq!(read("."), Location::Path(".".into()));
        assert_eq!(read("C:\\app"), Location::Path("C:\\app".into()));
        assert_eq!(
            read("dir:a").relative_to("/etc".as_ref()),
            Location::Directory("/etc/a".into())
        );
        assert_eq!(read("dir:/a").relative_to("/etc".as_ref()), Location::Directory("/a".into()));
        for text in ["git+file:../app", "dir:/srv", "app"] {
            assert_eq!(read(text).to_string(), text);
        }
    }

    #[test]
    fn other_locations_are_refused_without_their_secrets() {
        let refused = |text: &str| text.parse::<Location>().expect_err(text).to_string();
        assert_eq!(refused(""), "the source is empty");
        assert_eq!(refused("dir:"), "no path follows `dir:`");
        for text in ["github://a/b", "git+https://u:secret@h/a", "bundle:x", "s3://x", "gs://x"] {
            let scheme = text.split(':').next().expect("a scheme");
            let expected = format!("a `{scheme}:` source cannot be read yet by this version");
            assert_eq!(refused(text), expected);
        }
        assert_eq!(
            refused("https://user:secret@host/app"),
            "`https:` is not a kind of source; known are `git+file:`, `dir:`, `github:`, \
             `git+https:`, `bundle:`, `s3:`, `gs:`"
        );
        for text in ["git+file://user:secret@host/app", "git+file://host/app", "git+file://app"] {
            assert_eq!(
                refused(text),
                "what follows `git+file://` is not an absolute path on this machine"
            );
        }
        for text in ["user:secret@host/app", "git@host:app"] {
            assert!(refused(text).starts_with("a source on another host needs a scheme"));
        }
    }
}
