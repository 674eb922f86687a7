//! A local git repository whose tags are releases.
//!
//! Tags are resolved and trees are read from the object database. Only the repository's own
//! settings count: no replacement objects, no environment variables, no settings of the user.

mod objects;

use std::collections::BTreeMap;
use std::path::Path;

use gix::ObjectId;
use sternway_model::catalog::Release;

use crate::cache::{Blob, Cache, Commit, Id};
use crate::folder::{Body, File, Folder};
use crate::layout::path_parts;
use crate::reading::{Builder, Found};
use crate::{CloneKind, Layout, Reading, SourceError, Warning};
use objects::{ObjectError, Objects};

/// A tag, and the object that it holds: a commit, or an annotation that leads to one.
struct Tag {
    name: String,
    target: ObjectId,
}

/// Whether a git repository is at `path`, without looking upwards.
pub(crate) fn is_repository(path: &Path) -> bool {
    path.join(".git").exists() || gix::discover::is_git(path).is_ok()
}

/// Reads the repository at `path`.
pub(crate) fn read(
    path: &Path,
    layout: &Layout,
    cache: Option<&Path>,
) -> Result<Reading, SourceError> {
    let repository = open(path)?;
    let broken =
        |cause: gix::Error| SourceError::Repository { path: path.into(), source: cause.into() };
    let tags = tags(&repository).map_err(broken)?;
    let shallow = repository.is_shallow().map_err(broken)?;
    let releases = releases(path, layout, tags, shallow)?;

    let mut builder = Builder::new(layout);
    if shallow {
        builder.warn(Warning::Shallow { path: path.into() });
    }
    let common = repository.common_dir();
    let common = common.canonicalize().unwrap_or_else(|_| common.to_owned());
    let paths: Vec<&str> = layout.read_tracks().map(|track| track.path.as_str()).collect();
    let cache = Cache::open(cache, &common, paths.iter().copied());
    let mut reader = Reader { objects: Objects::new(&repository), cache, paths };
    for (release, tag) in releases {
        let found = reader.release(&tag).map_err(|error| explain(&repository, &tag, error))?;
        match found {
            Some(found) => builder.add(release, found)?,
            None => builder.warn(Warning::NotACommit { tag: tag.name }),
        }
    }
    reader.cache.save();
    builder.finish()
}

fn open(path: &Path) -> Result<gix::Repository, SourceError> {
    if !is_repository(path) {
        let cause = gix::discover::is_git(path).err().map(Into::into);
        let source = cause.unwrap_or_else(|| "it lacks what a repository has".into());
        return Err(SourceError::NotARepository { path: path.into(), source });
    }
    let options = gix::open::Options::isolated().config_overrides(["core.useReplaceRefs=false"]);
    let repository = gix::open_opts(path, options)
        .map_err(|cause| SourceError::Repository { path: path.into(), source: cause.into() })?;
    // Such a repository would seem to have no tags.
    match repository.config_snapshot().string("extensions.refStorage") {
        Some(storage) if storage != "files" => {
            let source = format!("its references are stored as `{storage}`, not as files").into();
            Err(SourceError::Repository { path: path.into(), source })
        }
        _ => Ok(repository),
    }
}

/// Every tag, by name.
fn tags(repository: &gix::Repository) -> gix::Result<Vec<Tag>> {
    let mut tags = Vec::new();
    for reference in repository.references()?.tags()? {
        let reference = reference?;
        let full = reference.name().as_bstr();
        let name = String::from_utf8_lossy(full.strip_prefix(b"refs/tags/").unwrap_or(full));
        let target = match reference.try_id() {
            Some(id) => id.detach(),
            // A tag that names another reference.
            None => repository.find_reference(reference.name())?.into_fully_peeled_id()?.detach(),
        };
        tags.push(Tag { name: name.into_owned(), target });
    }
    tags.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(tags)
}

/// The tags that stand for releases. The pattern gives no two tags the same release.
fn releases(
    path: &Path,
    layout: &Layout,
    tags: Vec<Tag>,
    shallow: bool,
) -> Result<BTreeMap<Release, Tag>, SourceError> {
    let count = tags.len();
    let examples = tags.iter().take(3).map(|tag| tag.name.clone()).collect();
    let releases: BTreeMap<Release, Tag> =
        tags.into_iter().filter_map(|tag| Some((layout.tag.release(&tag.name)?, tag))).collect();
    let (path, pattern) = (path.to_owned(), layout.tag.clone());
    match (releases.is_empty(), shallow, count) {
        (false, _, _) => Ok(releases),
        (true, true, _) => Err(SourceError::ShallowWithoutTags { path, pattern }),
        (true, false, 0) => Err(SourceError::NoTags { path }),
        (true, false, _) => Err(SourceError::NoMatchingTag { path, pattern, count, examples }),
    }
}

/// Reads releases, each object once.
struct Reader<'r> {
    objects: Objects<'r>,
    cache: Cache,
    paths: Vec<&'r str>,
}

impl Reader<'_> {
    /// The release at `tag`; `None` if it does not lead to a commit.
    fn release(&mut self, tag: &Tag) -> Result<Option<Found>, ObjectError> {
        let Self { objects, cache, paths } = self;
        let commit = cache.commits.get_or_read(Id(tag.target), || {
            let Some((commit, tree)) = objects.commit(tag.target)? else { return Ok(None) };
            let mut folders = Vec::new();
            for path in paths.iter() {
                folders.push(objects.folder(tree, path_parts(path))?.map(Id));
            }
            Ok(Some(Commit { id: Id(commit), folders }))
        })?;
        let Some(Commit { id, folders }) = commit.clone() else { return Ok(None) };
        let mut found =
            Found { label: tag.name.clone(), commit: Some(id.to_string()), folders: Vec::new() };
        for tree in folders {
            found.folders.push(match tree {
                Some(tree) => Some(self.folder(tree)?),
                None => None,
            });
        }
        Ok(Some(found))
    }

    fn folder(&mut self, tree: Id) -> Result<Folder, ObjectError> {
        let Self { objects, cache, .. } = self;
        let mut folder = Folder::new();
        for Blob { name, id } in cache.folders.get_or_read(tree, || objects.files(tree.0))? {
            let body = match *id {
                Some(id) => {
                    let read = || Ok(Body::of(&objects.blob(id.0)?));
                    Some(cache.bodies.get_or_read(id, read)?.clone())
                }
                None => None,
            };
            folder.push(File { name: name.clone(), body });
        }
        Ok(folder)
    }
}

/// The error with what a reader of the repository knows about it.
fn explain(repository: &gix::Repository, tag: &Tag, error: ObjectError) -> SourceError {
    let tag = tag.name.clone();
    match error {
        ObjectError::Missing(id) => SourceError::MissingObject {
            tag,
            object: id.to_string(),
            clone: clone_kind(repository),
        },
        ObjectError::Damaged(id, source) => {
            SourceError::DamagedObject { tag, object: id.to_string(), source }
        }
    }
}

fn clone_kind(repository: &gix::Repository) -> CloneKind {
    if is_partial(repository) {
        CloneKind::Partial
    } else if repository.is_shallow().unwrap_or(false) {
        CloneKind::Shallow
    } else {
        CloneKind::Damaged
    }
}

/// Whether objects were left with the remote: git marks the packs of such a clone.
fn is_partial(repository: &gix::Repository) -> bool {
    let packs = repository.common_dir().join("objects/pack");
    let entries = packs.read_dir().into_iter().flatten().flatten();
    entries
        .map(|entry| entry.path())
        .any(|path| path.extension().is_some_and(|it| it == "promisor"))
}
