//! Where the migrations of an application's tracks are read from.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use sternway_engine::folder::Folder;
use sternway_model::catalog::{Catalog, Digest, MigrationSet, Release, Track};
use sternway_source::files::{self, Files, FilesError};

use super::told;
use crate::migrate::log::Log;
use crate::migrate::show::{self, Trouble};
use crate::wiring::Setup;

/// The place chosen.
pub enum Chosen {
    /// The folders of the tracks, where the settings file lies.
    Here,
    /// A release of the application's source.
    Release(Box<Catalog>, Release),
}

/// Chooses: the release that was named; or the folders where the settings lie, if any of them is there;
/// or the newest stable release.
pub fn choose(setup: &Setup<'_>, release: &str, log: &Log) -> Result<Chosen, Trouble> {
    let tracks = &setup.config.layout.tracks;
    let here = |track: &Track| folder(setup, track).is_dir();
    if release.is_empty() && tracks.iter().any(here) {
        return Ok(Chosen::Here);
    }
    let catalog = setup.catalog().map_err(told)?;
    let with_migrations = || catalog.releases.iter().filter(|(_, entry)| !entry.is_empty());
    let chosen = match release {
        "" => {
            let stable = with_migrations().rfind(|(release, _)| !release.is_prerelease());
            stable.or_else(|| with_migrations().next_back()).map(|(release, _)| release.clone())
        }
        text => {
            let release: Release = text
                .parse()
                .map_err(|error| Trouble::new(format!("cannot use -release {text}: {error}")))?;
            catalog.releases.contains_key(&release).then_some(release)
        }
    };
    let Some(chosen) = chosen else {
        let words = match release {
            "" => "no release has migrations".to_owned(),
            text => format!("release {text} is not in the catalog"),
        };
        return Err(Trouble::new(words).hint("`sternway releases` lists them all"));
    };
    if release.is_empty() {
        log.tell(format!("the migrations are those of release {chosen}; -release names another"));
    }
    Ok(Chosen::Release(Box::new(catalog), chosen))
}

/// The folder of a track where the settings lie: the first that is there.
fn folder(setup: &Setup<'_>, track: &Track) -> PathBuf {
    let mut folders = track.paths.iter().map(|it| setup.config.folder.join(&it.path));
    let first = folders.next().unwrap_or_default();
    if first.is_dir() { first } else { folders.find(|it| it.is_dir()).unwrap_or(first) }
}

impl Chosen {
    /// The files of a track.
    pub async fn folder(&self, setup: &Setup<'_>, track: &Track) -> Result<Folder, Trouble> {
        let files: Box<dyn Files> = match self {
            Chosen::Here => Box::new(files::directory(&folder(setup, track))),
            Chosen::Release(catalog, release) => Box::new(Released {
                place: format!("release {release}"),
                set: catalog
                    .releases
                    .get(release)
                    .map(|it| it.set(&track.name))
                    .unwrap_or_default(),
                bodies: catalog.bodies.clone(),
            }),
        };
        let place = files.place();
        Folder::open(files).await.map_err(|cause| show::source(&place, cause))
    }
}

/// The files of one track in one release.
struct Released {
    place: String,
    set: MigrationSet,
    bodies: BTreeMap<Digest, Arc<str>>,
}

#[async_trait]
impl Files for Released {
    fn place(&self) -> String {
        self.place.clone()
    }

    async fn list(&self) -> Result<Vec<String>, FilesError> {
        let halves = self.set.iter().flat_map(|it| [&it.up, &it.down]).flatten();
        Ok(halves.map(|half| half.file.clone()).collect())
    }

    async fn read(&self, name: &str) -> Result<Vec<u8>, FilesError> {
        let mut halves = self.set.iter().flat_map(|it| [&it.up, &it.down]).flatten();
        let half = halves.find(|half| half.file == name);
        let body = half.and_then(|half| self.bodies.get(&half.hash));
        body.map(|body| body.as_bytes().to_vec())
            .ok_or_else(|| FilesError::NoSuchFile { place: self.place(), name: name.to_owned() })
    }
}
