//! What a plan consists of: hops, their steps, and notes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::body::{Destruction, Mode};
use crate::catalog::{Digest, Direction, Minor, Release, TrackName};
use crate::check::When;
use crate::effect::Effects;
use crate::fence::FenceRequest;
use crate::policy::SnapshotRequest;
use crate::position::Position;
use crate::proof::{Difference, ObjectName};

/// Where the body of a step was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BodyOrigin {
    /// In the database's own records.
    Records,
    /// In this release of the catalog.
    Release(Release),
}

/// What others had made and a down half took along.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// The track whose migration took it.
    pub track: TrackName,
    /// The migration, whose up half makes again what it needs.
    pub version: u64,
    /// What it is.
    pub object: ObjectName,
    /// What makes it again.
    pub statements: Vec<String>,
    /// What gives it back its options, grants, comments and owner.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attributes: Vec<String>,
}

/// One migration to run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Migrate {
    /// Its track.
    pub track: TrackName,
    /// The track's tracking table.
    pub table: String,
    /// Its number.
    pub version: u64,
    /// Which body runs.
    pub direction: Direction,
    /// Where its track stands before.
    pub from: Position,
    /// Where it stands afterwards.
    pub to: Position,
    /// The name of the file.
    pub file: String,
    /// The hash of the body, which is in [`Plan::bodies`].
    pub hash: Digest,
    /// Where the body was found.
    pub origin: BodyOrigin,
    /// How it is run.
    pub mode: Mode,
    /// The statements that take something away.
    pub destroys: Vec<Destruction>,
    /// Statements at the body's end that the file does not have: a down half leaves out what they make, or
    /// what an up half meets lacks it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub completed_by: Vec<String>,
    /// Statements behind what the archive restores: each row has its value then, and needs it from there on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub closed_by: Vec<String>,
    /// Statements of the file that are passed over: what an up half makes is there already, or a down half
    /// takes what the clean install behind it has.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub leaves_out: Vec<String>,
    /// Statements of the file that make a column among rows, and run without its `NOT NULL`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub opened: Vec<String>,
    /// Statements of the file among [`Migrate::closed_by`]: rows fit them only once the archive has restored
    /// what it keeps.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deferred: Vec<String>,
    /// Statements of the file that do not run, for rows do not fit them, which was accepted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unfit: Vec<String>,
    /// Whether all that it makes is there already, so that only the tracking row is written.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_there: bool,
    /// What it really changes, once that was found out by a rehearsal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effects: Option<Effects>,
}

impl Migrate {
    /// Whether it runs something else than its file says: it was completed, or what is there is left out, or
    /// rows that are there are heeded.
    pub fn is_fitted(&self) -> bool {
        let Migrate { completed_by, closed_by, leaves_out, opened, unfit, .. } = self;
        [completed_by, closed_by, leaves_out, opened, unfit].iter().any(|it| !it.is_empty())
    }

    /// What runs a statement that is no migration's: the track stays where it is.
    pub fn staying(track: TrackName, table: String, at: Position, file: &str) -> Migrate {
        Migrate {
            track,
            table,
            version: at.number().unwrap_or(0),
            direction: Direction::Up,
            from: at,
            to: at,
            file: file.to_owned(),
            hash: Digest::of_bytes(&[]),
            origin: BodyOrigin::Records,
            mode: Mode::Transaction,
            destroys: Vec::new(),
            completed_by: Vec::new(),
            closed_by: Vec::new(),
            leaves_out: Vec::new(),
            opened: Vec::new(),
            deferred: Vec::new(),
            unfit: Vec::new(),
            is_there: false,
            effects: None,
        }
    }
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Step {
    /// Ask the plan's checks of that time.
    Check {
        /// Which of them.
        at: When,
    },
    /// Stop the application.
    Stop,
    /// Keep other clients of the database from writing.
    Fence(FenceRequest),
    /// Copy the whole database, so that there is a way back to it.
    Snapshot(SnapshotRequest),
    /// Run one half of a migration.
    Migrate(Box<Migrate>),
    /// Make again what others had made and an earlier down half took along.
    Rebuild {
        /// Each object.
        taken: Vec<Taken>,
    },
    /// Compare the schema with a clean install of what the hop ends at.
    Prove,
    /// Let other clients in again.
    Unfence,
    /// Put another release of the application in place.
    Swap {
        /// The one that is there; none where nothing was installed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<Release>,
        /// The one to put there.
        to: Release,
    },
    /// Start the application, and wait until it is ready.
    Start {
        /// The release that is in place.
        release: Release,
    },
}

impl Step {
    /// The migration that it runs, if it runs one.
    pub fn migration(&self) -> Option<&Migrate> {
        if let Self::Migrate(migrate) = self { Some(migrate) } else { None }
    }

    /// Whether it does something with the application.
    pub fn is_deployment(&self) -> bool {
        matches!(self, Self::Stop | Self::Swap { .. } | Self::Start { .. })
    }
}

/// One leg of the journey.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hop {
    /// The release it arrives at.
    pub to: Release,
    /// What is done, in order.
    pub steps: Vec<Step>,
    /// Where each track stands afterwards.
    pub ends_at: BTreeMap<TrackName, Position>,
    /// What differs from a clean install then, as the rehearsal says.
    pub leaves: Vec<Difference>,
}

impl Hop {
    /// The migrations that it runs, in order.
    pub fn migrations(&self) -> impl Iterator<Item = &Migrate> {
        self.steps.iter().filter_map(Step::migration)
    }
}

/// Something that the reader of a plan must know and no step shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "note")]
pub enum Note {
    /// The schema stays ahead of the target, which tolerates that.
    SchemaStaysAhead {
        /// The track.
        track: TrackName,
        /// Where it stays.
        at: Position,
        /// What the target has.
        target: Position,
    },
    /// A track is below the target and a rollback does not raise it.
    TrackBelow {
        /// The track.
        track: TrackName,
        /// Where it stays.
        at: Position,
        /// What the target has.
        target: Position,
    },
    /// A track is ahead of the target, which tolerates that, and an upgrade does not lower it.
    TrackAhead {
        /// The track.
        track: TrackName,
        /// Where it stays.
        at: Position,
        /// What the target has.
        target: Position,
    },
    /// A minor has no stable release to stop at.
    MinorSkipped {
        /// The minor.
        minor: Minor,
    },
    /// The target is a prerelease.
    PrereleaseTarget,
    /// The target has a track no longer; it is left where it is.
    TrackRetired {
        /// The track.
        track: TrackName,
        /// Where it stays.
        at: Position,
    },
    /// A release in between has other migrations than the journey comes by.
    StopSkipped {
        /// The release.
        release: Release,
    },
    /// What is applied and what the target has differ in words and lead to the same schema.
    SameByEffect {
        /// The track.
        track: TrackName,
        /// Up to which number.
        at: Position,
    },
    /// Several lineages lead to what the tracking row says; the schema told which one it is.
    SchemaDecided {
        /// The track.
        track: TrackName,
        /// What its tracking row says.
        version: u64,
    },
    /// What the database has and the target has not is taken back, and the target's is run.
    Redone {
        /// The track.
        track: TrackName,
        /// The last place where both have the same.
        shared: Position,
    },
    /// Releases differ in a migration; the running release decided.
    RunningReleaseDecided {
        /// The track.
        track: TrackName,
        /// The migration.
        version: u64,
    },
    /// A track with no version in its tracking table takes no part.
    TrackOff {
        /// The track.
        track: TrackName,
    },
    /// Sternway's records cannot be kept.
    NoRecords {
        /// Why.
        reason: String,
    },
    /// The state was assumed from the running release; nobody looked at the database.
    AssumedState,
    /// The journey crosses a border that no schema shows.
    Hazard {
        /// What it is called.
        name: String,
        /// What happens there.
        message: String,
        /// Whether it was accepted by its name.
        accepted: bool,
    },
    /// What a later rollback to the present release would do.
    WayBack {
        /// The present release.
        to: Release,
        /// How many migrations it takes.
        migrations: usize,
        /// What their bodies take away, as they say it.
        takes: Vec<String>,
        /// Whether it has to be asked for with redo: the two have other migrations.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        redo: bool,
    },
    /// There is no way back to the present release.
    NoWayBack {
        /// The present release.
        to: Release,
        /// Why.
        reason: String,
    },
    /// The database has tables that no track accounts for.
    Adopted {
        /// How many.
        tables: usize,
    },
}
