//! Reads catalogs: the releases of an application and, per track, their migrations.
//!
//! A [`Location`] says where to read and a [`Layout`] what to look for; [`read()`] turns the two into
//! a [`Reading`]. Nothing is checked out or written, apart from a cache that never changes a result:
//! a git repository is read from its object database, a folder of releases file by file.
//!
//! [`files`] is another matter: a single folder of migrations without releases, here or elsewhere.

mod location;
mod layout;
#[cfg(feature = "git")]
mod git;
#[cfg(not(feature = "git"))]
#[path = "no_git.rs"]
mod git;
#[cfg(feature = "git")]
mod cache;
mod directory;
mod folder;
mod reading;
mod error;
pub mod files;

use std::path::Path;

pub use error::{CloneKind, SourceError};
pub use layout::{InvalidTagPattern, Layout, TagPattern};
pub use location::{InvalidLocation, Location};
pub use reading::{Reading, Warning};

/// Reads every release at `location` that `layout` describes.
///
/// `cache` is a folder for what was learned about a git repository, so that the next reading only
/// has to resolve its tags. It is created when needed, may be shared between processes and may be
/// deleted at any time. It has no effect on folders of releases.
///
/// # Errors
/// When the location holds no releases, when a release cannot be read in full, or when
/// golang-migrate would not accept its files.
pub fn read(
    location: &Location,
    layout: &Layout,
    cache: Option<&Path>,
) -> Result<Reading, SourceError> {
    layout.check()?;
    let path = location.path();
    let exists =
        path.try_exists().map_err(|source| SourceError::File { path: path.into(), source })?;
    if !exists {
        return Err(SourceError::NoSuchPath { path: path.into() });
    }
    match location {
        Location::Git(path) => git::read(path, layout, cache),
        Location::Directory(path) => directory::read(path, layout),
        Location::Path(path) if git::is_repository(path) => git::read(path, layout, cache),
        Location::Path(path) => directory::read(path, layout),
    }
}
