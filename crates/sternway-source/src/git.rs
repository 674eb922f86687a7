//! A git repository whose tags are releases: one on this machine here, one elsewhere in `remote.rs`.
//!
//! Tags are resolved and trees are read from the object database. Only the repository's own
//! settings count: no replacement objects, no environment variables, no settings of the user.

mod objects;
pub(crate) mod remote;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use gix::ObjectId;
use sternway_model::catalog::Release;

use crate::cache::{Blob, Cache, Commit, Id};
use crate::folder::{Body, File, Folder, first};
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
pub fn is_repository(path: &Path) -> bool {
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
    let common = repository.common_dir();
    let common = common.canonicalize().unwrap_or_else(|_| common.to_owned());
    let paths = layout.read_tracks().flat_map(|track| &track.paths);
    let paths: Vec<&str> = paths.map(|it| it.path.as_str()).collect();
    let cache = Cache::open(cache, &common, paths.iter().copied());
    let reader =
        Reader { objects: Objects::new(&repository), cache, paths, files: BTreeMap::new() };
    let warnings = if shallow { vec![Warning::Shallow { path: path.into() }] } else { Vec::new() };
    read_tags(path, layout, tags, reader, warnings, Some(&repository))
}

/// Reads the releases among tags.
fn read_tags(
    path: &Path,
    layout: &Layout,
    tags: Vec<Tag>,
    mut reader: Reader<'_>,
    warnings: Vec<Warning>,
    repository: Option<&gix::Repository>,
) -> Result<Reading, SourceError> {
    let mut builder = Builder::new(layout);
    let missed = tags.iter().map(|tag| tag.name.clone());
    let missed: Vec<String> = missed.filter(|name| layout.tag.is_missed_by(name)).collect();
    let shallow = warnings.iter().any(|it| matches!(it, Warning::Shallow { .. }));
    let releases = releases(path, layout, tags, shallow)?;
    if !missed.is_empty() {
        builder.warn(Warning::NoNumber { names: missed });
    }
    for warning in warnings {
        builder.warn(warning);
    }
    let mut read: BTreeMap<Release, Result<Found, SourceError>> = BTreeMap::new();
    for (release, tag) in releases {
        match reader.release(layout, &release, &tag) {
            Ok(None) => builder.warn(Warning::NotACommit { tag: tag.name }),
            Ok(Some(found)) => match read.get_key_value(&release) {
                // The one that says more comes first.
                Some((release, Ok(taken))) => builder.warn(Warning::SameRelease {
                    tag: tag.name,
                    release: release.clone(),
                    taken: taken.label.clone(),
                }),
                _ => drop(read.insert(release, Ok(found))),
            },
            Err(error) => {
                let error = explain(repository, &tag, error);
                read.entry(release).or_insert(Err(error));
            }
        }
    }
    reader.cache.save();
    for (release, found) in without_abbreviations(read, &mut builder) {
        builder.add(release, found);
    }
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

/// The releases without those tags that only follow a line, such as `v1` beside `v1.4.2` at one commit.
fn without_abbreviations(
    read: BTreeMap<Release, Result<Found, SourceError>>,
    builder: &mut Builder<'_>,
) -> Vec<(Release, Result<Found, SourceError>)> {
    // By commit, of which there may be thousands: each release is held against few others.
    let mut at_commit: HashMap<Option<String>, Vec<(Release, String)>> = HashMap::new();
    for (release, found) in &read {
        if let Ok(found) = found {
            let there = at_commit.entry(found.commit.clone()).or_default();
            there.push((release.clone(), found.label.clone()));
        }
    }
    let stands_for = |release: &Release, found: &Found| {
        let mut others = at_commit.get(&found.commit)?.iter();
        others.find(|(it, _)| release.abbreviates(it))
    };
    let mut kept = Vec::new();
    for (release, found) in read {
        match found.as_ref().ok().and_then(|found| Some((found, stands_for(&release, found)?))) {
            Some((found, (release, taken))) => builder.warn(Warning::SameRelease {
                tag: found.label.clone(),
                release: release.clone(),
                taken: taken.clone(),
            }),
            None => kept.push((release, found)),
        }
    }
    kept
}

/// The tags that stand for releases, in their order; of those that stand for one, the longest first.
fn releases(
    path: &Path,
    layout: &Layout,
    tags: Vec<Tag>,
    shallow: bool,
) -> Result<Vec<(Release, Tag)>, SourceError> {
    let count = tags.len();
    let examples = tags.iter().take(3).map(|tag| tag.name.clone()).collect();
    let releases = tags.into_iter().filter_map(|tag| Some((layout.tag.release(&tag.name)?, tag)));
    let mut releases: Vec<(Release, Tag)> = releases.collect();
    releases.sort_by(|(a, _), (b, _)| a.cmp(b).then(b.parts().cmp(&a.parts())));
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
    /// The files of the trees that were met.
    files: BTreeMap<Id, Arc<[File]>>,
}

impl Reader<'_> {
    /// The release at `tag`; `None` if it does not lead to a commit.
    fn release(
        &mut self,
        layout: &Layout,
        release: &Release,
        tag: &Tag,
    ) -> Result<Option<Found>, ObjectError> {
        let Self { objects, cache, paths, .. } = self;
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
        let trees: BTreeMap<&str, Option<Id>> =
            self.paths.iter().copied().zip(folders.iter().copied()).collect();
        for track in layout.read_tracks() {
            let places = track.paths_in(release).map(|path| {
                let Some(tree) = trees.get(path).copied().flatten() else { return Ok(None) };
                Ok(Some(Folder { path: path.to_owned(), files: self.files(tree)? }))
            });
            found
                .folders
                .push(first::<_, ObjectError>(places, |it: &Folder| !it.files.is_empty())?);
        }
        Ok(Some(found))
    }

    /// Objects without which the release cannot be read; none where all are there, and one after another where
    /// only the first shows which is the next.
    fn lacks(&mut self, layout: &Layout, release: &Release, tag: &Tag) -> Vec<ObjectId> {
        let Self { objects, cache, paths, .. } = self;
        let mut lacking = Vec::new();
        let mut note = |error| match error {
            ObjectError::Missing(id) => lacking.push(id),
            // Whoever reads it says so.
            ObjectError::Damaged(..) => {}
        };
        let folders: Vec<Option<Id>> = match cache.commits.get(Id(tag.target)) {
            Some(commit) => commit.iter().flat_map(|it| it.folders.clone()).collect(),
            None => {
                let tree = match objects.commit(tag.target) {
                    Ok(Some((_, tree))) => tree,
                    Ok(None) => return lacking,
                    Err(error) => {
                        note(error);
                        return lacking;
                    }
                };
                let mut folder = |path: &&str| objects.folder(tree, path_parts(path));
                paths
                    .iter()
                    .map(|path| {
                        folder(path)
                            .unwrap_or_else(|error| {
                                note(error);
                                None
                            })
                            .map(Id)
                    })
                    .collect()
            }
        };
        let trees: BTreeMap<&str, Option<Id>> = paths.iter().copied().zip(folders).collect();
        let tracks = layout.read_tracks();
        for tree in
            tracks.flat_map(|track| track.paths_in(release).filter_map(|path| *trees.get(path)?))
        {
            let read;
            let blobs = match cache.folders.get(tree) {
                Some(blobs) => blobs,
                None => match objects.files(tree.0) {
                    Ok(blobs) => {
                        read = blobs;
                        &read
                    }
                    Err(error) => {
                        note(error);
                        continue;
                    }
                },
            };
            let unknown = |id: &Id| cache.bodies.get(*id).is_none() && !objects.has(id.0);
            blobs
                .iter()
                .filter_map(|it| it.id)
                .filter(unknown)
                .for_each(|id| note(ObjectError::Missing(id.0)));
        }
        lacking
    }

    fn files(&mut self, tree: Id) -> Result<Arc<[File]>, ObjectError> {
        let Self { objects, cache, files, .. } = self;
        if let Some(known) = files.get(&tree) {
            return Ok(known.clone());
        }
        let mut folder = Vec::new();
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
        Ok(files.entry(tree).or_insert(folder.into()).clone())
    }
}

/// The error with what a reader of the repository knows about it.
fn explain(repository: Option<&gix::Repository>, tag: &Tag, error: ObjectError) -> SourceError {
    let tag = tag.name.clone();
    match error {
        ObjectError::Missing(id) => SourceError::MissingObject {
            tag,
            object: id.to_string(),
            clone: repository.map_or(CloneKind::Partial, clone_kind),
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
