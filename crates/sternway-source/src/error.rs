//! Why a source could not be read.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::path::PathBuf;

use sternway_model::catalog::{DuplicateFile, Release, TrackName};
use thiserror::Error;

use crate::TagPattern;

/// Why a source could not be read. Each variant carries what its reader has to look at.
#[derive(Debug, Error)]
pub enum SourceError {
    /// Nothing is there.
    #[error("`{path}` does not exist")]
    NoSuchPath {
        /// The place.
        path: PathBuf,
    },
    /// A git repository was asked for, and something else is there.
    #[error("`{path}` is not a git repository")]
    NotARepository {
        /// The place.
        path: PathBuf,
        /// What is missing there.
        source: Box<dyn StdError + Send + Sync>,
    },
    /// A folder was asked for, and something else is there.
    #[error("`{path}` is not a folder")]
    NotAFolder {
        /// The place.
        path: PathBuf,
    },
    /// A git repository is there, but its settings or its tags cannot be read.
    #[error("cannot read the git repository `{path}`")]
    Repository {
        /// The place.
        path: PathBuf,
        /// What went wrong.
        source: Box<dyn StdError + Send + Sync>,
    },
    /// A repository on another host cannot be read.
    #[error("cannot read `{place}`")]
    Remote {
        /// The location, without user and password.
        place: String,
        /// What went wrong.
        source: Box<dyn StdError + Send + Sync>,
    },
    /// A bundle cannot be read, or was changed since it was written.
    #[error("cannot read the bundle `{path}`: {reason}")]
    Bundle {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The repository has no tags.
    #[error("the git repository `{path}` has no tags")]
    NoTags {
        /// The repository.
        path: PathBuf,
    },
    /// The repository has tags, and none stands for a release.
    #[error("none of the {count} tags in `{path}` matches `{pattern}`{}", such_as(.examples))]
    NoMatchingTag {
        /// The repository.
        path: PathBuf,
        /// What a release's tag looks like.
        pattern: TagPattern,
        /// How many tags there are.
        count: usize,
        /// Up to three of them.
        examples: Vec<String>,
    },
    /// The repository is a shallow clone, and its tags stayed behind.
    #[error("`{path}` is a shallow clone without tags that match `{pattern}`")]
    ShallowWithoutTags {
        /// The repository.
        path: PathBuf,
        /// What a release's tag looks like.
        pattern: TagPattern,
    },
    /// The folder has no folders that stand for releases.
    #[error(
        "none of the {count} folders in `{path}` is named after a release, by its number or as \
         `{pattern}`{}", such_as(.examples)
    )]
    NoReleaseFolder {
        /// The folder.
        path: PathBuf,
        /// What a release's folder looks like, if it is not the bare number.
        pattern: TagPattern,
        /// How many folders there are.
        count: usize,
        /// Up to three of them.
        examples: Vec<String>,
    },
    /// Two folders stand for one release.
    #[error("release {release} has two folders: `{first}` and `{second}`")]
    TwoFolders {
        /// The release.
        release: Release,
        /// The first folder.
        first: String,
        /// The second folder.
        second: String,
    },
    /// No release has migrations where the tracks say they are.
    #[error("no release has a folder {}", quoted(.paths).join(" or "))]
    NoTrackFolder {
        /// The paths of the tracks.
        paths: Vec<String>,
    },
    /// A track's path could lead out of its release.
    #[error("the path `{path}` of track `{track}` contains `..`")]
    TrackPath {
        /// The track.
        track: TrackName,
        /// Its path.
        path: String,
    },
    /// A release needs an object that was never fetched, or was lost.
    #[error("cannot read tag `{tag}`: the object {object} is not in this clone, which is {clone}")]
    MissingObject {
        /// The tag.
        tag: String,
        /// The object's id in full hexadecimal.
        object: String,
        /// Why it may be missing.
        clone: CloneKind,
    },
    /// A release needs an object that cannot be decoded.
    #[error("cannot read tag `{tag}`: the object {object} is damaged")]
    DamagedObject {
        /// The tag.
        tag: String,
        /// The object's id in full hexadecimal.
        object: String,
        /// What went wrong.
        source: Box<dyn StdError + Send + Sync>,
    },
    /// Two files of a release claim the same half of a migration.
    #[error("cannot read track `{track}` of release {release}, in `{folder}`")]
    Duplicate {
        /// The release.
        release: Release,
        /// The track.
        track: TrackName,
        /// The folder of the track.
        folder: String,
        /// The two files.
        source: Box<DuplicateFile>,
    },
    /// A migration's number does not fit the tracking table; golang-migrate panics on it.
    #[error("the number of `{file}` in track `{track}` of release {release} is above {}", i64::MAX)]
    NumberTooLarge {
        /// The release.
        release: Release,
        /// The track.
        track: TrackName,
        /// The file.
        file: String,
    },
    /// A file or a folder cannot be read.
    #[error("cannot read `{path}`")]
    File {
        /// The file or folder.
        path: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
}

/// What is known about a clone that lacks objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloneKind {
    /// It was cloned with a filter and fetches objects when git needs them.
    Partial,
    /// Its history was cut off.
    Shallow,
    /// Neither, so it should have every object.
    Damaged,
}

impl fmt::Display for CloneKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Partial => "partial",
            Self::Shallow => "shallow",
            Self::Damaged => "damaged",
        })
    }
}

fn quoted(names: &[String]) -> Vec<String> {
    names.iter().map(|name| format!("`{name}`")).collect()
}

/// The examples as the end of a sentence.
fn such_as(names: &[String]) -> String {
    if names.is_empty() { String::new() } else { format!(": {}", quoted(names).join(", ")) }
}

/// An error with its causes, in one line.
pub(crate) fn in_a_line(error: &dyn StdError) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", in_a_line(source)),
        None => error.to_string(),
    }
}
