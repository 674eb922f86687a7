//! What comes out of a source: the catalog, and what was odd about it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use sternway_model::catalog::{
    Catalog, FileName, MigrationSet, Release, ReleaseEntry, Track, TrackName,
};
use thiserror::Error;

use crate::folder::Folder;
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
        /// Its path.
        path: String,
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
        }
    }

    /// Adds a warning.
    #[cfg(feature = "git")]
    pub fn warn(&mut self, warning: Warning) {
        self.warnings.push(warning);
    }

    /// Adds a release.
    pub fn add(&mut self, release: Release, found: Found) -> Result<(), SourceError> {
        let mut tracks = BTreeMap::new();
        for (number, folder) in found.folders.iter().enumerate() {
            let (Some(&track), Some(folder)) = (self.tracks.get(number), folder) else { continue };
            self.found[number] = true;
            let set = self.set(&release, track, folder)?;
            tracks.insert(track.name.clone(), set);
        }
        let entry = ReleaseEntry { label: found.label, commit: found.commit, tracks };
        self.catalog.releases.insert(release, entry);
        Ok(())
    }

    fn set(
        &mut self,
        release: &Release,
        track: &'l Track,
        folder: &Folder,
    ) -> Result<MigrationSet, SourceError> {
        let mut set = MigrationSet::default();
        for file in folder {
            let Some(name) = FileName::parse(&file.name) else { continue };
            if i64::try_from(name.version).is_err() {
                return Err(SourceError::NumberTooLarge {
                    release: release.clone(),
                    track: track.name.clone(),
                    file: file.name.clone(),
                });
            }
            let key = || (track.name.clone(), file.name.clone());
            let Some(body) = &file.body else {
                self.links.entry(key()).or_default().push(release.clone());
                continue;
            };
            set.add(&file.name, &name, body.digest).map_err(|source| SourceError::Duplicate {
                release: release.clone(),
                track: track.name.clone(),
                folder: track.path.clone(),
                source: source.into(),
            })?;
            match &body.text {
                Some(text) => {
                    self.catalog.bodies.entry(body.digest).or_insert_with(|| text.clone());
                }
                None => self.not_utf8.entry(key()).or_default().push(release.clone()),
            }
        }
        Ok(set)
    }

    /// The reading, once every release was added.
    pub fn finish(self) -> Result<Reading, SourceError> {
        let Self { tracks, found, catalog, mut warnings, links, not_utf8 } = self;
        let mut missing = tracks.iter().zip(&found).filter(|(_, found)| !**found).peekable();
        if missing.peek().is_some() && !found.contains(&true) {
            let paths = missing.map(|(track, _)| track.path.clone()).collect();
            return Err(SourceError::NoTrackFolder { paths });
        }
        warnings.extend(missing.map(|(track, _)| Warning::NoFolder {
            track: track.name.clone(),
            path: track.path.clone(),
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
