//! Where a catalog is read from, as the `source` setting says it.

mod remote;
mod bucket;

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use thiserror::Error;

pub use bucket::Bucket;
pub use remote::{Host, Remote, Transport};

/// A place that holds releases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// A git repository: a work tree, a linked work tree, a bare repository or a `.git` folder.
    Git(PathBuf),
    /// A folder with one folder for each release.
    Directory(PathBuf),
    /// A file that holds releases, as [`crate::bundle`] writes it.
    Bundle(PathBuf),
    /// A git repository on another host.
    Remote(Remote),
    /// Releases in a bucket.
    Bucket(Bucket),
    /// A path without a scheme: a git repository if it is one, a bundle if it is a file, else a folder of
    /// releases.
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
    /// The scheme is known, and what follows has another form.
    #[error("the source is not of the form {form}")]
    Form {
        /// What a location of that scheme looks like.
        form: &'static str,
    },
    /// Something follows `#` or `?`.
    #[error(
        "a `{scheme}:` source ends with the repository: every release is read, and `tag` says which tags are releases"
    )]
    OneRelease {
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

fn known() -> String {
    let known = ["git+file", "dir", "bundle"].into_iter().chain(remote::schemes());
    let known = known.chain(bucket::SCHEMES);
    known.map(|scheme| format!("`{scheme}:`")).collect::<Vec<_>>().join(", ")
}

impl Location {
    /// The path on this machine, whatever it leads to.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Git(path) | Self::Directory(path) | Self::Bundle(path) | Self::Path(path) => {
                Some(path)
            }
            Self::Remote(_) | Self::Bucket(_) => None,
        }
    }

    /// The same location with a relative path taken from `folder`, such as that of the settings.
    pub fn relative_to(&self, folder: &Path) -> Location {
        match self {
            Self::Git(path) => Self::Git(folder.join(path)),
            Self::Directory(path) => Self::Directory(folder.join(path)),
            Self::Bundle(path) => Self::Bundle(folder.join(path)),
            Self::Remote(remote) => Self::Remote(remote.clone()),
            Self::Bucket(bucket) => Self::Bucket(bucket.clone()),
            Self::Path(path) => Self::Path(folder.join(path)),
        }
    }
}

impl FromStr for Location {
    type Err = InvalidLocation;

    /// Reads `git+file:PATH`, `dir:PATH`, `bundle:PATH`, each with `//` before an absolute path, a repository on
    /// another host, a bucket, or a bare path. Paths are taken as they are written: nothing is unescaped, and nothing is looked up.
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
            "bundle" => Ok(Self::Bundle(local_path(&scheme, rest)?)),
            known if remote::schemes().any(|it| it == known) => {
                Ok(Self::Remote(Remote::parse(&scheme, rest)?))
            }
            known if bucket::SCHEMES.contains(&known) => {
                Ok(Self::Bucket(Bucket::parse(&scheme, rest)?))
            }
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
            Self::Bundle(path) => write!(f, "bundle:{}", path.display()),
            Self::Remote(remote) => remote.fmt(f),
            Self::Bucket(bucket) => bucket.fmt(f),
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
        for text in ["git+file:../app", "dir:/srv", "app", "s3://b/a/b", "gs://b", "az://b/a"] {
            assert_eq!(read(text).to_string(), text);
        }
    }

    #[test]
    fn other_locations_are_refused_without_their_secrets() {
        let refused = |text: &str| text.parse::<Location>().expect_err(text).to_string();
        assert_eq!(refused(""), "the source is empty");
        assert_eq!(refused("dir:"), "no path follows `dir:`");
        for text in ["s3:x", "s3://", "s3://me:secret@b/x", "s3://b/x?secret", "s3://b/a/../x"] {
            assert_eq!(refused(text), "the source is not of the form s3://BUCKET/PREFIX");
        }
        assert_eq!(
            refused("https://user:secret@host/app"),
            "`https:` is not a kind of source; known are `git+file:`, `dir:`, `bundle:`, `github:`, \
             `github-ee:`, `gitlab:`, `bitbucket:`, `git+https:`, `git+http:`, `git+ssh:`, `s3:`, `gs:`, `az:`"
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
    #[test]
    fn repositories_on_other_hosts_are_read_and_shown_without_their_secrets() {
        let remote = |text: &str| match text.parse::<Location>().expect(text) {
            Location::Remote(remote) => remote,
            other => panic!("{other:?}"),
        };
        let kagent = remote("github://kagent-dev/kagent");
        assert_eq!((&*kagent.authority, &*kagent.path), ("github.com", "kagent-dev/kagent"));
        assert_eq!((kagent.host, kagent.transport), (Host::GitHub, Transport::Https));
        let own = remote("gitlab://me:se%2Fcret@git.example.org:8443/a/b/c");
        assert_eq!((own.name(), &*own.path), ("git.example.org", "a/b/c"));
        assert_eq!(own.password.as_deref(), Some("se/cret"));
        assert_eq!(own.to_string(), "gitlab://git.example.org:8443/a/b/c");
        assert!(!format!("{own:?}").contains("cret"));
        let ssh = remote("git+ssh://git@host:2222/srv/app.git");
        assert_eq!((ssh.transport, ssh.user.as_deref()), (Transport::Ssh, Some("git")));
        assert_eq!(remote("git+https://github.com/a/b.git").host, Host::GitHub);
        let refused = |text: &str| text.parse::<Location>().expect_err(text).to_string();
        for text in [
            "github://kagent-dev",
            "github:a/b",
            "github://a/b/c",
            "github://-oProxy/x",
            "github://u:s#e@a/b",
        ] {
            assert_eq!(refused(text), "the source is not of the form github://OWNER/REPOSITORY");
        }
        assert!(
            refused("github://a/b#v1").starts_with("a `github:` source ends with the repository")
        );
        assert!(refused("git+ssh://-oProxyCommand=x/a").contains("git+ssh://USER@HOST/PATH"));
    }
}
