//! Reads catalogs: the releases of an application and, per track, their migrations.
//!
//! A [`Location`] says where to read and a [`Layout`] what to look for; [`read()`] turns the two into
//! a [`Reading`]. Nothing is checked out or written, apart from a cache that never changes a result:
//! a git repository is read from its object database, one on another host over git's protocol, a folder of
//! releases file by file, here or in a bucket, and a bundle whole.
//!
//! [`files`] is another matter: a single folder of migrations without releases, here or elsewhere.

mod address;
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
#[cfg(feature = "git")]
mod bundle;
#[cfg(all(feature = "git", feature = "buckets"))]
mod bucket;
mod folder;
mod reading;
mod error;
mod url;
#[cfg(any(feature = "hosts", feature = "buckets"))]
mod web;
pub mod files;

use std::path::Path;

#[cfg(feature = "git")]
pub use bundle::bundle;
pub use error::{CloneKind, SourceError};
pub use git::is_repository;
pub use layout::{InvalidTagPattern, Layout, TagPattern};
pub use location::{Bucket, Host, InvalidLocation, Location, Remote, Transport};
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
    let path = match location {
        Location::Remote(remote) => return git::remote::read(remote, layout, cache),
        #[cfg(all(feature = "git", feature = "buckets"))]
        Location::Bucket(bucket) => return bucket::read(bucket, layout),
        #[cfg(not(all(feature = "git", feature = "buckets")))]
        Location::Bucket(bucket) => {
            let source = files::FilesError::NotBuilt { scheme: bucket.scheme.clone() };
            return Err(SourceError::Remote { place: bucket.to_string(), source: source.into() });
        }
        Location::Git(path)
        | Location::Directory(path)
        | Location::Bundle(path)
        | Location::Path(path) => path,
    };
    let exists =
        path.try_exists().map_err(|source| SourceError::File { path: path.into(), source })?;
    if !exists {
        return Err(SourceError::NoSuchPath { path: path.into() });
    }
    match location {
        Location::Git(_) => git::read(path, layout, cache),
        #[cfg(feature = "git")]
        Location::Bundle(_) => bundle::read(path, layout),
        #[cfg(feature = "git")]
        Location::Path(_) if bundle::is_bundle(path) => bundle::read(path, layout),
        Location::Path(_) if git::is_repository(path) => git::read(path, layout, cache),
        _ => directory::read(path, layout),
    }
}
