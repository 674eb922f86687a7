//! How snapshots are made, and where they are kept.

use std::path::{Path, PathBuf};

use sternway_model::policy::SnapshotRequest;

use super::expand;
use super::file::SnapshotTable;
use crate::args::SnapshotOptions;
use crate::failure::{Exit, Failure};

/// How snapshots are made, and where they are kept.
#[derive(Debug, Clone)]
pub struct Snapshots {
    /// Where; nowhere, where nobody has said so.
    pub store: Option<String>,
    pub jobs: usize,
    pub compression: Option<String>,
    pub recipients: Vec<String>,
    pub identity: Option<PathBuf>,
    pub tools: Option<PathBuf>,
    /// What is wanted before a journey changes the schema.
    pub before: Before,
}

/// What is wanted before a journey changes the schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Before {
    /// Nothing.
    None,
    /// A snapshot.
    Taken,
    /// One that is proven.
    Proven,
}

impl Before {
    fn read(text: &str) -> Result<Before, Failure> {
        match text {
            "none" => Ok(Before::None),
            "taken" => Ok(Before::Taken),
            "proven" => Ok(Before::Proven),
            _ => {
                let text = format!("`{text}` says nothing of a snapshot");
                Err(Failure::new(text, Exit::Usage).hint("none: without one; taken: a copy of the whole database; proven: restored on trial as well"))
            }
        }
    }

    /// What the planner is asked.
    pub fn request(self) -> Option<SnapshotRequest> {
        let proven = self == Before::Proven;
        (self != Before::None).then_some(SnapshotRequest { proven, seconds: None })
    }
}

impl Snapshots {
    /// Paths of the file begin at its folder.
    pub fn of(
        typed: &SnapshotOptions,
        table: SnapshotTable,
        before: Option<String>,
        folder: &Path,
    ) -> Result<Snapshots, Failure> {
        let beside = |path: PathBuf| folder.join(path);
        let store = table.store.map(|it| expand::expand(&it)).transpose()?;
        let store = store.map(|it| match it.contains("://") {
            true => it,
            false => folder.join(it).display().to_string(),
        });
        let before = typed.snapshot.clone().or(before);
        let before = before.as_deref().map_or(Ok(Before::None), Before::read)?;
        let recipients = table.recipients.unwrap_or_default();
        let recipients: Result<Vec<String>, Failure> =
            recipients.iter().map(|it| expand::expand(it)).collect();
        Ok(Snapshots {
            before,
            store: typed.snapshot_store.clone().or(store),
            jobs: typed.snapshot_jobs.or(table.jobs).unwrap_or(1),
            compression: typed.snapshot_compression.clone().or(table.compression),
            recipients: match typed.snapshot_recipient.is_empty() {
                true => recipients?,
                false => typed.snapshot_recipient.clone(),
            },
            identity: typed.snapshot_identity.clone().or(table.identity.map(beside)),
            tools: typed.snapshot_tools.clone().or(table.tools.map(beside)),
        })
    }
}
