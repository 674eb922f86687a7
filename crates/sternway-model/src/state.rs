//! The state: what a database says of itself at one moment, and what the application runs.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::catalog::{Catalog, Digest, MigrationSet, Release, ReleaseEntry, Track, TrackName};
use crate::plan::Taken;
use crate::position::Position;
use crate::proof::Difference;

/// Which database this is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Identity {
    /// The engine and its version as the server gives it, such as `PostgreSQL 15.8`.
    pub server: String,
    /// The database's name.
    pub database: String,
    /// The schema that unqualified names are created in.
    pub schema: String,
    /// The collation that its tables take over, where the server says it; empty otherwise.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub collation: String,
    /// The user connected as.
    pub user: String,
}

/// The row of a track's tracking table; the default is the empty table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TrackingRow {
    /// Where the track stands.
    #[serde(rename = "version")]
    pub position: Position,
    /// golang-migrate's mark for "a migration started and did not finish".
    pub dirty: bool,
}

impl TrackingRow {
    /// One without the mark.
    pub fn clean(position: impl Into<Position>) -> TrackingRow {
        TrackingRow { position: position.into(), dirty: false }
    }

    /// One with the mark.
    pub fn dirty(position: impl Into<Position>) -> TrackingRow {
        TrackingRow { position: position.into(), dirty: true }
    }
}

impl fmt::Display for TrackingRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.position)?;
        if self.dirty { f.write_str(" (dirty)") } else { Ok(()) }
    }
}

/// What the database says of one track.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrackState {
    /// The tracking table does not exist.
    NoTable,
    /// The tracking table exists and says this.
    At(TrackingRow),
}

impl TrackState {
    /// What the table says; an empty row where there is no table.
    pub fn row(self) -> TrackingRow {
        match self {
            Self::NoTable => TrackingRow::default(),
            Self::At(row) => row,
        }
    }
}

/// Whether Sternway's own records can be kept in the database.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordsAccess {
    /// They exist, or can be created.
    #[default]
    Available,
    /// They cannot be created or written, for this reason.
    Unavailable(String),
}

/// The numbers of the migrations that a release has, per track. Releases with the same ones share them.
pub type Numbers = BTreeMap<TrackName, Arc<[u64]>>;

/// What the database itself knows of the application: Sternway's records.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Records {
    /// Whether they can be kept.
    pub access: RecordsAccess,
    /// The migrations that were applied or met, with both bodies' hashes.
    pub migrations: BTreeMap<TrackName, MigrationSet>,
    /// Their bodies, by hash.
    pub bodies: BTreeMap<Digest, Arc<str>>,
    /// The releases all of whose migrations are among them, with their numbers per track.
    pub releases: BTreeMap<Release, Numbers>,
    /// The release that the last finished run arrived at.
    pub arrived_at: Option<Release>,
    /// How that run left the schema other than a clean install.
    pub leaves: Vec<Difference>,
    /// What others had made, was taken along, and waits to be made again.
    pub taken: Vec<Taken>,
}

/// A database at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct State {
    /// Which database.
    pub identity: Identity,
    /// Each configured track that is not switched off.
    pub tracks: BTreeMap<TrackName, TrackState>,
    /// The tables in the current schema, tracking tables left out; `None` when nobody looked.
    pub tables: Option<BTreeSet<String>>,
    /// The extensions that the server offers; `None` when nobody looked.
    pub extensions: Option<BTreeSet<String>>,
    /// Sternway's records.
    pub records: Records,
    /// The hash of the schema's fingerprint, if it was taken.
    pub fingerprint: Option<Digest>,
    /// The users of the other sessions, where it was asked who is connected.
    pub clients: BTreeSet<String>,
}

/// What is known of the running application.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AppState {
    /// The release it runs, if anyone said so.
    pub running: Option<Release>,
}

impl Records {
    /// The catalog that the records alone make: every release whose migrations they have.
    pub fn catalog(&self, app: &str, tracks: &[Track]) -> Catalog {
        let none = MigrationSet::default();
        let entry = |numbers: &Numbers| {
            let tracks = numbers.iter().map(|(track, numbers)| {
                let known = self.migrations.get(track).unwrap_or(&none);
                let set = numbers.iter().filter_map(|number| known.get(*number).cloned());
                (track.clone(), set.collect())
            });
            let label = "the database's records".to_owned();
            ReleaseEntry { label, commit: None, tracks: tracks.collect() }
        };
        let whole = |numbers: &Numbers| {
            numbers.iter().all(|(track, numbers)| {
                let known = self.migrations.get(track).unwrap_or(&none);
                numbers.iter().all(|number| known.get(*number).is_some())
            })
        };
        // One without numbers is not told of any more.
        let known = self.releases.iter().filter(|(_, numbers)| !numbers.is_empty());
        let releases = known.filter(|(_, numbers)| whole(numbers));
        Catalog {
            app: app.to_owned(),
            tracks: tracks.to_vec(),
            releases: releases.map(|(release, it)| (release.clone(), entry(it))).collect(),
            left_out: BTreeMap::new(),
            bodies: self.bodies.clone(),
        }
    }
}
