//! Snapshots: copies of a whole database that are taken, proven, and restored beside the present one, which then
//! changes places with them.
//!
//! A snapshot is a folder in a [`Store`]: what the server's own program has written, and, last of all, a
//! [`Manifest`] that says what the database was. One without a manifest is unfinished. *Proven* means restored into a
//! scratch database and compared with its manifest: the schema's fingerprint, and the number and the checksum of the
//! rows of every table. A restore does the same before anything changes places, so that one that fails leaves
//! everything as it was; nothing is ever loaded into a database that is in use. On PostgreSQL it may be a database on the
//! server instead of files.

mod manifest;
mod error;
mod store;
mod programs;
mod seal;
mod stream;
mod dump;
mod take;
mod copy;
mod names;
mod load;
mod prove;
mod restore;
mod carry;
mod prune;

pub use carry::carry;
pub use copy::copy;
pub use error::SnapshotError;
pub use manifest::{File, Manifest, Proof};
pub use names::Names;
pub use programs::{Programs, Start};
pub use prove::{Since, prove, written_since};
pub use prune::{Leftovers, Pruned, Selection, leftovers, prune};
pub use restore::{Restored, Way, restore};
pub use store::{Found, Store};
pub use take::{About, estimate, take};

/// How snapshots are made and where they are kept.
pub struct Settings {
    /// Where they are kept.
    pub store: Store,
    /// The application that they are of.
    pub app: String,
    /// The server's own programs.
    pub programs: Programs,
    /// How many tables are written or read at the same time, where the program can do that.
    pub jobs: usize,
    /// How hard the program compresses, in its own words; its default where none.
    pub compression: Option<String>,
    /// For whom snapshots are encrypted, in age's words; not at all where there is nobody.
    pub recipients: Vec<String>,
    /// The file with the identity that decrypts them.
    pub identity: Option<std::path::PathBuf>,
}

/// What is told on the way.
#[derive(Debug, Clone, PartialEq)]
pub enum Progress {
    /// Something begins that has no measure.
    Doing(String),
    /// So many bytes have gone through.
    Bytes {
        /// How many.
        done: u64,
        /// How many there will be: exactly, or about as many as with the snapshot before; where anybody knows.
        of: Option<u64>,
        /// Since how many seconds.
        seconds: f64,
    },
}

/// Who is told.
pub trait Watch: Send {
    /// Tells it.
    fn tell(&mut self, progress: Progress);
}

/// For whoever wants to know nothing.
impl Watch for () {
    fn tell(&mut self, _: Progress) {}
}
