//! The files of a track: compiled in, in a folder, or from anywhere else.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use sternway_source::files::{Files, FilesError, directory};

/// The migration files of one track, called `NUMBER_TITLE.up.sql` and `NUMBER_TITLE.down.sql`.
///
/// Other files are passed over, as golang-migrate passes over them; a warning tells of those that look
/// as if they were meant.
#[derive(Clone)]
pub struct Migrations(Arc<dyn Files>);

impl Migrations {
    /// The files that `include_dir!` compiled in. Folders in the folder are left out.
    #[cfg(feature = "include_dir")]
    pub fn embedded(folder: &include_dir::Dir<'_>) -> Migrations {
        let name =
            |file: &include_dir::File<'_>| Some(file.path().file_name()?.to_str()?.to_owned());
        let files = folder.files().filter_map(|file| Some((name(file)?, file.contents())));
        Migrations::named(folder.path().display().to_string(), files)
    }

    /// Names of files with what they say.
    pub fn from_files<N: Into<String>, B: AsRef<[u8]>>(
        files: impl IntoIterator<Item = (N, B)>,
    ) -> Migrations {
        Migrations::named(String::new(), files)
    }

    fn named<N: Into<String>, B: AsRef<[u8]>>(
        place: String,
        files: impl IntoIterator<Item = (N, B)>,
    ) -> Migrations {
        let place = match place.as_str() {
            "" => "the program".to_owned(),
            folder => format!("{folder} in the program"),
        };
        let files = files.into_iter().map(|(name, body)| (name.into(), body.as_ref().to_vec()));
        let mut files: Vec<(String, Vec<u8>)> = files.collect();
        files.sort();
        Migrations(Arc::new(Compiled { place, files }))
    }

    /// A folder of this machine, read when it is needed.
    pub fn directory(path: impl AsRef<Path>) -> Migrations {
        Migrations(Arc::new(directory(path.as_ref())))
    }

    /// Files that a type of the application's reads.
    pub fn from_source(files: impl Files + 'static) -> Migrations {
        Migrations(Arc::new(files))
    }
}

impl fmt::Debug for Migrations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Migrations").field(&self.0.place()).finish()
    }
}

#[async_trait]
impl Files for Migrations {
    fn place(&self) -> String {
        self.0.place()
    }

    async fn list(&self) -> Result<Vec<String>, FilesError> {
        self.0.list().await
    }

    async fn read(&self, name: &str) -> Result<Vec<u8>, FilesError> {
        self.0.read(name).await
    }
}

/// Files in memory.
struct Compiled {
    place: String,
    files: Vec<(String, Vec<u8>)>,
}

#[async_trait]
impl Files for Compiled {
    fn place(&self) -> String {
        self.place.clone()
    }

    async fn list(&self) -> Result<Vec<String>, FilesError> {
        Ok(self.files.iter().map(|(name, _)| name.clone()).collect())
    }

    async fn read(&self, name: &str) -> Result<Vec<u8>, FilesError> {
        let found = self.files.iter().find(|(file, _)| file == name);
        let missing = || FilesError::NoSuchFile { place: self.place(), name: name.to_owned() };
        found.map(|(_, body)| body.clone()).ok_or_else(missing)
    }
}
