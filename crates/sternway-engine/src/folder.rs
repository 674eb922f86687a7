//! A folder of migration files: listed once, its bodies read when they are needed.

use std::collections::BTreeMap;

use sternway_model::catalog::{
    Digest, FilePair, FileSet, FileSetError, Half, Migration, NearMiss, without_mark,
};
use sternway_source::files::{Files, FilesError};
use thiserror::Error;

/// Why a folder or a file of it is of no use.
#[derive(Debug, Error)]
pub enum FolderError {
    /// It cannot be listed, or a file cannot be read to its end.
    #[error(transparent)]
    Files(#[from] FilesError),
    /// Its files make no track.
    #[error(transparent)]
    Set(#[from] FileSetError),
    /// A body is not text.
    #[error("`{file}` is not UTF-8 text: its byte {at} fits nothing")]
    NotText {
        /// The file.
        file: String,
        /// The first byte that is wrong, from 1.
        at: usize,
    },
}

/// A folder of migration files.
pub struct Folder {
    files: Box<dyn Files>,
    set: FileSet,
    near_misses: Vec<NearMiss>,
}

impl Folder {
    /// Lists a folder. No body is read.
    ///
    /// # Errors
    /// When it cannot be listed, or golang-migrate would refuse it.
    pub async fn open(files: Box<dyn Files>) -> Result<Folder, FolderError> {
        let names = files.list().await?;
        let (set, near_misses) = FileSet::of(names.iter().map(String::as_str))?;
        Ok(Folder { files, set, near_misses })
    }

    /// What to call it in messages.
    pub fn place(&self) -> String {
        self.files.place()
    }

    /// Its migrations.
    pub fn set(&self) -> &FileSet {
        &self.set
    }

    /// Files that are read, or passed over, where their author may have meant the opposite.
    pub fn near_misses(&self) -> &[NearMiss] {
        &self.near_misses
    }

    /// The body in a file, without its byte-order mark.
    ///
    /// # Errors
    /// When it cannot be read to its end, or is not UTF-8.
    pub async fn body(&self, file: &str) -> Result<String, FolderError> {
        let bytes = self.files.read(file).await?;
        let text = String::from_utf8(bytes).map_err(|error| FolderError::NotText {
            file: file.to_owned(),
            at: error.utf8_error().valid_up_to() + 1,
        })?;
        Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
    }

    /// The migrations with these numbers and their bodies, for Sternway's records.
    ///
    /// # Errors
    /// When a body cannot be read.
    pub async fn migrations(
        &self,
        versions: &[u64],
    ) -> Result<(Vec<Migration>, BTreeMap<Digest, String>), FolderError> {
        let (mut migrations, mut bodies) = (Vec::new(), BTreeMap::new());
        for &version in versions {
            let Some(FilePair { up, down }) = self.set.get(version) else { continue };
            let mut halves = [None, None];
            for (slot, file) in halves.iter_mut().zip([up, down]) {
                let Some(file) = file else { continue };
                let body = without_mark(&self.body(file).await?).to_owned();
                let hash = Digest::of_body(&body);
                bodies.insert(hash, body);
                *slot = Some(Half { file: file.clone(), hash });
            }
            let [up, down] = halves;
            migrations.push(Migration { version, up, down });
        }
        Ok((migrations, bodies))
    }
}
