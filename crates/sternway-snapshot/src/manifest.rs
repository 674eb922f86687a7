//! What a snapshot is of: written last, so that what has one is whole.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sternway_database::Contents;
use sternway_model::catalog::{Digest, Release, TrackName};
use sternway_model::state::TrackingRow;

/// The name of the file.
pub(crate) const NAME: &str = "manifest.json";

/// The file with the fingerprint, which says how a schema differs.
pub(crate) const SCHEMA: &str = "schema.json";

/// The file with the name of the database that a snapshot is which is kept on the server; written before that is made.
pub(crate) const COPY: &str = "copy";

/// The shape that is read and written here.
pub(crate) const FORMAT: u32 = 1;

/// What a snapshot is of. It holds no URL and nothing of any row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// The number of this shape.
    pub format: u32,
    /// The snapshot's name: when it was taken, in UTC.
    pub id: String,
    /// The application.
    pub app: String,
    /// When it was begun, in UTC, as `YYYY-MM-DD HH:MM:SS`.
    pub taken_at: String,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// The release whose schema the database had, if that was known.
    pub release: Option<Release>,
    /// What each track's tracking table said.
    pub tracks: BTreeMap<TrackName, TrackingRow>,
    /// The tracking tables, which are no part of the fingerprint.
    pub tables: Vec<String>,
    /// What the database speaks.
    pub dialect: String,
    /// The server and its version.
    pub server: String,
    /// The database's name.
    pub database: String,
    /// How large the database was, in bytes.
    pub database_bytes: u64,
    /// The program that wrote it, and its version.
    pub tool: String,
    /// The version of Sternway.
    pub sternway: String,
    /// The hash of the schema's fingerprint.
    pub fingerprint: Digest,
    /// How many rows each table had, and their checksum. Tables that were written to meanwhile are left out, where
    /// the server does not let two sessions look at the same moment.
    pub contents: Contents,
    /// Tables that were written to while it was taken.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub written_meanwhile: Vec<String>,
    /// Whether the files are a folder that the program reads as a whole.
    pub is_folder: bool,
    /// What the files are encrypted with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed: Option<String>,
    /// The database that it is, where it is kept on the server, and not in files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copy: Option<String>,
    /// The files.
    pub files: Vec<File>,
    /// The last time that it was restored into a scratch database and found to be what this says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proven: Option<Proof>,
}

/// A file of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// Its name.
    pub name: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// The hash of it as it lies there.
    pub sha256: Digest,
}

/// That a snapshot was restored and compared.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Proof {
    /// When, in UTC, as `YYYY-MM-DD HH:MM:SS`.
    pub at: String,
    /// How long that took, in seconds.
    pub seconds: f64,
    /// On which server.
    pub server: String,
}

impl File {
    /// A file with these bytes.
    pub(crate) fn of(name: &str, bytes: &[u8]) -> File {
        File { name: name.to_owned(), bytes: bytes.len() as u64, sha256: Digest::of_bytes(bytes) }
    }
}

impl Manifest {
    /// How large the snapshot is, in bytes.
    pub fn bytes(&self) -> u64 {
        match self.copy {
            Some(_) => self.database_bytes,
            None => self.files.iter().map(|it| it.bytes).sum(),
        }
    }

    /// How many rows it holds, Sternway's own among them.
    pub fn rows(&self) -> u64 {
        self.contents.values().map(|it| it.count).sum()
    }
}

/// Now, for people.
pub(crate) fn now() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M:%S").to_string()
}
