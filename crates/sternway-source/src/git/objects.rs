//! Commits, trees and blobs, read from the object database.

use std::collections::HashMap;
use std::error::Error as StdError;

use gix::ObjectId;
use gix::objs::tree::EntryKind;
use gix::objs::{CommitRefIter, Kind, TagRefIter, TreeRefIter};

use super::remote::Found;
use crate::cache::{Blob, Id};
use crate::folder::is_migration;

/// An object that cannot be read.
pub(super) enum ObjectError {
    /// It is not in the database.
    Missing(ObjectId),
    /// It is, but makes no sense.
    Damaged(ObjectId, Box<dyn StdError + Send + Sync>),
}

/// Where objects are.
enum Store<'r> {
    Repository(&'r gix::Repository),
    Fetched(Found),
}

/// Objects, and the trees that were read on the way to folders.
pub(super) struct Objects<'r> {
    store: Store<'r>,
    trees: HashMap<ObjectId, Vec<u8>>,
}

impl<'r> Objects<'r> {
    /// The object database of a repository.
    pub fn new(repository: &'r gix::Repository) -> Self {
        Self { store: Store::Repository(repository), trees: HashMap::new() }
    }

    /// What is fetched from elsewhere.
    pub fn fetched() -> Self {
        Self { store: Store::Fetched(Found::new()), trees: HashMap::new() }
    }

    /// Adds what was fetched.
    pub fn add(&mut self, found: Found) {
        if let Store::Fetched(all) = &mut self.store {
            all.extend(found);
        }
    }

    /// Whether an object was fetched.
    pub fn has(&self, id: ObjectId) -> bool {
        matches!(&self.store, Store::Fetched(all) if all.contains_key(&id))
    }

    fn hash(&self) -> gix::hash::Kind {
        match &self.store {
            Store::Repository(repository) => repository.object_hash(),
            Store::Fetched(_) => gix::hash::Kind::Sha1,
        }
    }

    /// The commit that `id` leads to through any number of tags, and the tree of that commit;
    /// `None` if it leads to something else.
    pub fn commit(&self, mut id: ObjectId) -> Result<Option<(ObjectId, ObjectId)>, ObjectError> {
        let hash = self.hash();
        loop {
            let (kind, data) = self.read(id)?;
            match kind {
                Kind::Tag => {
                    id = TagRefIter::from_bytes(&data, hash)
                        .target_id()
                        .map_err(|cause| ObjectError::Damaged(id, cause.into()))?;
                }
                Kind::Commit => {
                    let tree = CommitRefIter::from_bytes(&data, hash)
                        .tree_id()
                        .map_err(|cause| ObjectError::Damaged(id, cause.into()))?;
                    return Ok(Some((id, tree)));
                }
                Kind::Tree | Kind::Blob => return Ok(None),
            }
        }
    }

    /// The tree at a path below `root`; `None` if there is nothing, or something else.
    pub fn folder<'p>(
        &mut self,
        root: ObjectId,
        parts: impl Iterator<Item = &'p str>,
    ) -> Result<Option<ObjectId>, ObjectError> {
        let mut tree = root;
        for part in parts {
            let mut below = None;
            for entry in self.tree(tree)? {
                let entry = entry.map_err(|cause| ObjectError::Damaged(tree, cause.into()))?;
                if entry.filename == part.as_bytes() && entry.mode.is_tree() {
                    below = Some(entry.oid.to_owned());
                    break;
                }
            }
            match below {
                Some(id) => tree = id,
                None => return Ok(None),
            }
        }
        Ok(Some(tree))
    }

    /// The migration files directly in a tree. A name that is not UTF-8 is shown as well as it can
    /// be; its number and direction are plain ASCII in any case.
    pub fn files(&mut self, tree: ObjectId) -> Result<Vec<Blob>, ObjectError> {
        let mut files = Vec::new();
        for entry in self.tree(tree)? {
            let entry = entry.map_err(|cause| ObjectError::Damaged(tree, cause.into()))?;
            let id = match entry.mode.kind() {
                EntryKind::Blob | EntryKind::BlobExecutable => Some(Id(entry.oid.to_owned())),
                EntryKind::Link => None,
                EntryKind::Tree | EntryKind::Commit => continue,
            };
            let name = String::from_utf8_lossy(entry.filename).into_owned();
            if is_migration(&name) {
                files.push(Blob { name, id });
            }
        }
        Ok(files)
    }

    /// The bytes of a blob.
    pub fn blob(&self, id: ObjectId) -> Result<Vec<u8>, ObjectError> {
        self.read_as(Kind::Blob, id)
    }

    fn tree(&mut self, id: ObjectId) -> Result<TreeRefIter<'_>, ObjectError> {
        let hash = self.hash();
        if !self.trees.contains_key(&id) {
            let data = self.read_as(Kind::Tree, id)?;
            self.trees.insert(id, data);
        }
        let data = self.trees.get(&id).map_or(&[][..], Vec::as_slice);
        Ok(TreeRefIter::from_bytes(data, hash))
    }

    fn read_as(&self, expected: Kind, id: ObjectId) -> Result<Vec<u8>, ObjectError> {
        match self.read(id)? {
            (kind, data) if kind == expected => Ok(data),
            (kind, _) => {
                let cause = format!("it is a {kind}, not a {expected}");
                Err(ObjectError::Damaged(id, cause.into()))
            }
        }
    }

    fn read(&self, id: ObjectId) -> Result<(Kind, Vec<u8>), ObjectError> {
        let repository = match &self.store {
            Store::Repository(repository) => repository,
            Store::Fetched(all) => return all.get(&id).cloned().ok_or(ObjectError::Missing(id)),
        };
        match repository.try_find_object(id) {
            Ok(Some(object)) => Ok((object.kind, object.detach().data)),
            Ok(None) => Err(ObjectError::Missing(id)),
            Err(cause) => Err(ObjectError::Damaged(id, cause.into())),
        }
    }
}
