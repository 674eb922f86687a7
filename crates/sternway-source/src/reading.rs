//! What comes out of a source: the catalog, and what was odd about it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use sternway_model::catalog::{
    Catalog, FileName, MigrationSet, Release, ReleaseEntry, Track, TrackName,
};
use thiserror::Error;

use crate::error::in_a_line;
use crate::folder::{File, Folder};
use crate::{Layout, SourceError};

/// What was read from a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// The releases and their migrations.
    pub catalog: Catalog,
    /// What was passed over.
    pub warnings: Vec<Warning>,
}

/// Something odd in a source that did not stop the reading.
#[derive(Debug, Clone, Error, PartialEq, Eq)]
pub enum Warning {
    /// Releases may be missing.
    #[error("`{path}` is a shallow clone: it may lack releases")]
    Shallow {
        /// The repository.
        path: PathBuf,
    },
    /// A repository on another host did not answer, and what is known of it is used.
    #[error("{place} did not answer, so the releases are those of {since}: {reason}")]
    Away {
        /// The location, without user and password.
        place: String,
        /// When it was read.
        since: String,
        /// Why there was no answer.
        reason: String,
    },
    /// A tag looks like a release, but leads to a file or a folder.
    #[error("the tag `{tag}` does not lead to a commit")]
    NotACommit {
        /// The tag.
        tag: String,
    },
    /// A track has no migrations anywhere.
    #[error("no release has the folder `{path}` of track `{track}`")]
    NoFolder {
        /// The track.
        track: TrackName,
        /// Its path; several as `one` or `other`.
        path: String,
    },
    /// A release cannot be read.
    #[error("release {release} is left out: {reason}")]
    LeftOut {
        /// The release.
        release: Release,
        /// What is wrong with it.
        reason: String,
    },
    /// Names that seem to be meant for releases and have no release number.
    #[error("{} left out: {} no release number", counted(.names), quoted(.names))]
    NoNumber {
        /// The tags or folders.
        names: Vec<String>,
    },
    /// Two tags stand for one release.
    #[error("the tag `{tag}` is left out: it stands for release {release}, as `{taken}` does")]
    SameRelease {
        /// The tag.
        tag: String,
        /// The release.
        release: Release,
        /// The tag that was taken.
        taken: String,
    },
    /// A file was left out.
    #[error("`{file}` in track `{track}` is a symbolic link and was not read, {}", of(.releases))]
    Link {
        /// The track.
        track: TrackName,
        /// The file.
        file: String,
        /// The releases that have it, in order.
        releases: Vec<Release>,
    },
    /// A file has a hash, but no body.
    #[error("`{file}` in track `{track}` is not UTF-8 and has no body, {}", of(.releases))]
    NotUtf8 {
        /// The track.
        track: TrackName,
        /// The file.
        file: String,
        /// The releases that have it, in order.
        releases: Vec<Release>,
    },
}

fn counted(names: &[String]) -> String {
    if names.len() == 1 { "1 name is".to_owned() } else { format!("{} names are", names.len()) }
}

/// The first names, as the beginning of a sentence about all of them.
fn quoted(names: &[String]) -> String {
    const NAMED: usize = 8;
    let first = names.iter().take(NAMED).map(|it| format!("`{it}`")).collect::<Vec<_>>().join(", ");
    match names.len() {
        1 => format!("{first} has"),
        2..=NAMED => format!("{first} have"),
        more => format!("{first} and {} more have", more - NAMED),
    }
}

fn of(releases: &[Release]) -> String {
    match releases {
        [] => "in no release".to_owned(),
        [release] => format!("in release {release}"),
        [first, rest @ ..] => format!("in release {first} and {} more", rest.len()),
    }
}

/// A reading under way. Releases are added in their order.
pub(crate) struct Builder<'l> {
    tracks: Vec<&'l Track>,
    found: Vec<bool>,
    catalog: Catalog,
    warnings: Vec<Warning>,
    links: BTreeMap<(TrackName, String), Vec<Release>>,
    not_utf8: BTreeMap<(TrackName, String), Vec<Release>>,
    /// What was looked through, by track and by where the files are.
    known: BTreeMap<(TrackName, usize), Known>,
    /// Why the first release was left out that was.
    first_error: Option<SourceError>,
}

/// What is in a folder.
#[derive(Clone)]
struct Known {
    /// Held, so that no other folder comes to be where they are.
    _files: Arc<[File]>,
    set: MigrationSet,
    /// The files that are symbolic links.
    links: Arc<[String]>,
    /// The files that are not UTF-8.
    not_utf8: Arc<[String]>,
}

/// One release as its source shows it.
pub(crate) struct Found {
    /// The tag or folder.
    pub label: String,
    /// The commit, where there is one.
    pub commit: Option<String>,
    /// For each track that is read, its folder if there is one.
    pub folders: Vec<Option<Folder>>,
}

impl<'l> Builder<'l> {
    /// A reading without releases.
    pub fn new(layout: &'l Layout) -> Self {
        let tracks: Vec<&Track> = layout.read_tracks().collect();
        let catalog = Catalog {
            app: layout.app.clone(),
            tracks: layout.tracks.clone(),
            ..Catalog::default()
        };
        Self {
            found: vec![false; tracks.len()],
            tracks,
            catalog,
            warnings: Vec::new(),
            links: BTreeMap::new(),
            not_utf8: BTreeMap::new(),
            known: BTreeMap::new(),
            first_error: None,
        }
    }

    /// Adds a warning.
    pub fn warn(&mut self, warning: Warning) {
        self.warnings.push(warning);
    }

    /// Adds a release; one that cannot be read is left out, and matters only to who wants to go there.
    pub fn add(&mut self, release: Release, found: Result<Found, SourceError>) {
        match found.and_then(|found| self.entry(&release, found)) {
            Ok(entry) => drop(self.catalog.releases.insert(release, entry)),
            Err(error) => {
                self.leave_out(release, in_a_line(&error));
                self.first_error.get_or_insert(error);
            }
        }
    }

    /// Names a release that cannot be read.
    pub fn leave_out(&mut self, release: Release, reason: String) {
        self.warn(Warning::LeftOut { release: release.clone(), reason: reason.clone() });
        self.catalog.left_out.insert(release, reason);
    }

    fn entry(&mut self, release: &Release, found: Found) -> Result<ReleaseEntry, SourceError> {
        let mut tracks = BTreeMap::new();
        for (number, folder) in found.folders.iter().enumerate() {
            let (Some(&track), Some(folder)) = (self.tracks.get(number), folder) else { continue };
            self.found[number] = true;
            let set = self.set(release, track, folder)?;
            tracks.insert(track.name.clone(), set);
        }
        Ok(ReleaseEntry { label: found.label, commit: found.commit, tracks })
    }

    /// The migrations in a folder. A folder that an earlier release has too is not looked through again.
    fn set(
        &mut self,
        release: &Release,
        track: &'l Track,
        folder: &Folder,
    ) -> Result<MigrationSet, SourceError> {
        let key = (track.name.clone(), folder.files.as_ptr() as usize);
        let known = match self.known.get(&key) {
            Some(known) => known.clone(),
            None => {
                let known = self.look_through(release, track, folder)?;
                self.known.entry(key).or_insert(known).clone()
            }
        };
        for (found, odd) in [(&known.links, &mut self.links), (&known.not_utf8, &mut self.not_utf8)]
        {
            for file in found.iter() {
                odd.entry((track.name.clone(), file.clone())).or_default().push(release.clone());
            }
        }
        Ok(known.set)
    }

    fn look_through(
        &mut self,
        release: &Release,
        track: &'l Track,
        folder: &Folder,
    ) -> Result<Known, SourceError> {
        let (mut set, mut links, mut not_utf8) = (MigrationSet::default(), Vec::new(), Vec::new());
        for file in folder.files.iter() {
            let Some(name) = FileName::parse(&file.name) else { continue };
            if i64::try_from(name.version).is_err() {
                return Err(SourceError::NumberTooLarge {
                    release: release.clone(),
                    track: track.name.clone(),
                    file: file.name.clone(),
                });
            }
            let Some(body) = &file.body else {
                links.push(file.name.clone());
                continue;
            };
            set.add(&file.name, &name, body.digest).map_err(|source| SourceError::Duplicate {
                release: release.clone(),
                track: track.name.clone(),
                folder: folder.path.clone(),
                source: source.into(),
            })?;
            match &body.text {
                Some(text) => {
                    self.catalog.bodies.entry(body.digest).or_insert_with(|| text.clone());
                }
                None => not_utf8.push(file.name.clone()),
            }
        }
        let files = folder.files.clone();
        Ok(Known { _files: files, set, links: links.into(), not_utf8: not_utf8.into() })
    }

    /// The reading, once every release was added.
    pub fn finish(self) -> Result<Reading, SourceError> {
        let Self { tracks, found, catalog, mut warnings, links, not_utf8, first_error, .. } = self;
        if let (true, Some(error)) = (catalog.releases.is_empty(), first_error) {
            return Err(error);
        }
        let mut missing = tracks.iter().zip(&found).filter(|(_, found)| !**found).peekable();
        if missing.peek().is_some() && !found.contains(&true) {
            let paths = missing.flat_map(|(track, _)| track.paths.iter().map(|it| it.path.clone()));
            let paths = paths.collect();
            return Err(SourceError::NoTrackFolder { paths });
        }
        warnings.extend(missing.map(|(track, _)| Warning::NoFolder {
            track: track.name.clone(),
            path: track.paths.iter().map(|it| it.path.as_str()).collect::<Vec<_>>().join("` or `"),
        }));
        warnings.extend(links.into_iter().map(|((track, file), releases)| Warning::Link {
            track,
            file,
            releases,
        }));
        warnings.extend(not_utf8.into_iter().map(|((track, file), releases)| Warning::NotUtf8 {
            track,
            file,
            releases,
        }));
        Ok(Reading { catalog, warnings })
    }
}
