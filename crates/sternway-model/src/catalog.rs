//! The catalog: every release of an application with, per track, its migrations and their hashes.
//!
//! A catalog is read by `sternway_source`; this module only says what one is. Two halves of
//! migrations are the same when their [`Digest`]s are, whatever their line endings.

mod digest;
mod file_name;
mod file_set;
mod release;

use crate::position::Position;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use digest::{Digest, InvalidDigest, without_mark};
pub use file_name::FileName;
pub use file_set::{FilePair, FileSet, FileSetError, NearMiss};
pub use release::{InvalidRelease, Minor, Release};

/// The name of a track, such as `core`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TrackName(pub String);

impl fmt::Display for TrackName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&str> for TrackName {
    fn from(name: &str) -> Self {
        Self(name.to_owned())
    }
}

/// Which of its two bodies a migration runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// Towards newer schemas.
    Up,
    /// Towards older schemas.
    Down,
}

impl Direction {
    /// The other one.
    pub fn opposite(self) -> Direction {
        match self {
            Self::Up => Self::Down,
            Self::Down => Self::Up,
        }
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Up => "up",
            Self::Down => "down",
        })
    }
}

/// When a track takes part in plans.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Enabled {
    /// Always.
    #[default]
    Always,
    /// Never: nothing of it is read or changed.
    Never,
    /// When the database has its tracking table and a version in it.
    Auto,
}

/// A folder in which a track's migrations lie, or lay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrackPath {
    /// The folder, from the root of a release; parts joined by `/`.
    pub path: String,
    /// The first release of which it counts.
    pub since: Option<Release>,
}

impl From<&str> for TrackPath {
    fn from(path: &str) -> Self {
        Self { path: path.to_owned(), since: None }
    }
}

impl Track {
    /// The folders that count in a release, in the order in which they are looked for.
    pub fn paths_in<'t>(&'t self, release: &'t Release) -> impl Iterator<Item = &'t str> {
        let has = self.until.as_ref().is_none_or(|until| release <= until);
        let counts = move |it: &&TrackPath| has && it.since.as_ref().is_none_or(|it| it <= release);
        self.paths.iter().filter(counts).map(|it| it.path.as_str())
    }
}

/// One ordered list of migrations with its own tracking table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Track {
    /// How people call it.
    pub name: TrackName,
    /// The folders of its migration files: the first that a release has counts.
    pub paths: Vec<TrackPath>,
    /// The last release that has it, where there is one.
    pub until: Option<Release>,
    /// The tracking table, unqualified: it lives in the connection's current schema.
    pub table: String,
    /// When it takes part.
    pub enabled: Enabled,
    /// An extension that the database must offer before the track can go up.
    pub requires_extension: Option<String>,
}

/// One half of a migration: the file that holds it, and the hash of what it says.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Half {
    /// The bare file name, such as `000007_task_owner.down.sql`.
    pub file: String,
    /// The hash of its content.
    pub hash: Digest,
}

/// A numbered pair of bodies; golang-migrate's grammar lets either be missing.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Migration {
    /// Its number, unique in its track.
    pub version: u64,
    /// What takes the schema to this number.
    pub up: Option<Half>,
    /// What takes the schema from this number to the one before it.
    pub down: Option<Half>,
}

impl Migration {
    /// The half for `direction`, if there is one.
    pub fn half(&self, direction: Direction) -> Option<&Half> {
        match direction {
            Direction::Up => self.up.as_ref(),
            Direction::Down => self.down.as_ref(),
        }
    }

    /// The words of its file name, such as `task_owner`; empty where the name has none.
    pub fn title(&self) -> String {
        let file = self.up.as_ref().or(self.down.as_ref()).map_or("", |half| half.file.as_str());
        FileName::parse(file).map(|name| name.title).unwrap_or_default()
    }
}

/// The migrations that a release has in one track, by number. Most releases have those of the one before: a copy
/// shares them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MigrationSet(Arc<BTreeMap<u64, Arc<Migration>>>);

/// Two files that claim the same half of the same migration.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("two files hold the {direction} half of migration {version}: `{first}` and `{second}`")]
pub struct DuplicateFile {
    /// The number that both have.
    pub version: u64,
    /// The half that both have.
    pub direction: Direction,
    /// The file met first.
    pub first: String,
    /// The file met second.
    pub second: String,
}

impl MigrationSet {
    /// Adds the half that `name` and `hash` describe.
    ///
    /// # Errors
    /// When the set has that half already: golang-migrate refuses such a folder too.
    pub fn add(&mut self, file: &str, name: &FileName, hash: Digest) -> Result<(), DuplicateFile> {
        let version = name.version;
        let all = Arc::make_mut(&mut self.0);
        let none = || Arc::new(Migration { version, up: None, down: None });
        let migration = Arc::make_mut(all.entry(version).or_insert_with(none));
        let slot = match name.direction {
            Direction::Up => &mut migration.up,
            Direction::Down => &mut migration.down,
        };
        if let Some(half) = slot {
            return Err(DuplicateFile {
                version,
                direction: name.direction,
                first: half.file.clone(),
                second: file.to_owned(),
            });
        }
        *slot = Some(Half { file: file.to_owned(), hash });
        Ok(())
    }

    /// Puts a whole migration in, in place of one with the same number.
    pub fn insert(&mut self, migration: Migration) {
        Arc::make_mut(&mut self.0).insert(migration.version, Arc::new(migration));
    }

    /// The migration with this number.
    pub fn get(&self, version: u64) -> Option<&Migration> {
        self.0.get(&version).map(|it| &**it)
    }

    /// The numbers, ascending.
    pub fn versions(&self) -> impl DoubleEndedIterator<Item = u64> + '_ {
        self.0.keys().copied()
    }

    /// The migrations, by ascending number.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Migration> {
        self.0.values().map(|it| &**it)
    }

    /// Where a track stands that has them all.
    pub fn last(&self) -> Position {
        self.0.keys().next_back().copied().into()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The migrations that a track has which stands there.
    pub fn up_to(&self, position: impl Into<Position>) -> MigrationSet {
        let position = position.into();
        if self.last() <= position {
            return self.clone();
        }
        let Position::At(version) = position else { return MigrationSet::default() };
        let below = self.0.range(..=version).map(|(number, it)| (*number, it.clone()));
        Self(Arc::new(below.collect()))
    }

    /// Whether both have the same numbers.
    pub fn same_versions(&self, other: &MigrationSet) -> bool {
        self.0.len() == other.0.len() && self.0.keys().eq(other.0.keys())
    }
}

impl FromIterator<Migration> for MigrationSet {
    fn from_iter<I: IntoIterator<Item = Migration>>(migrations: I) -> Self {
        Self(Arc::new(migrations.into_iter().map(|it| (it.version, Arc::new(it))).collect()))
    }
}

/// A release as its source shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseEntry {
    /// What the source calls it: a tag, or a folder.
    pub label: String,
    /// The commit it was read at, in full hexadecimal, where the source has commits.
    pub commit: Option<String>,
    /// Its migrations; a track whose folder does not exist is missing.
    pub tracks: BTreeMap<TrackName, MigrationSet>,
}

impl ReleaseEntry {
    /// The migrations of one track; none where the release does not have it.
    pub fn set(&self, track: &TrackName) -> MigrationSet {
        self.tracks.get(track).cloned().unwrap_or_default()
    }

    /// Whether no track has a migration.
    pub fn is_empty(&self) -> bool {
        self.tracks.values().all(MigrationSet::is_empty)
    }
}

/// What is told of releases that depends on their migrations alone. Most releases have the very migrations of the one
/// before: of releases in a row that have the same ones, only the first is asked.
pub fn once_in_a_row<'r, T: Clone>(
    mut of: impl FnMut(&'r Release, &'r ReleaseEntry) -> T,
) -> impl FnMut(&'r Release, &'r ReleaseEntry) -> T {
    let mut before: Option<(&ReleaseEntry, T)> = None;
    move |release, entry| match &before {
        Some((known, told)) if known.tracks == entry.tracks => told.clone(),
        _ => {
            let told = of(release, entry);
            before = Some((entry, told.clone()));
            told
        }
    }
}

/// Every release that a source has, and what the bodies of their migrations say.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Catalog {
    /// The application's name.
    pub app: String,
    /// The tracks in registration order: the order in which they go up.
    pub tracks: Vec<Track>,
    /// The releases in the order of their numbers.
    pub releases: BTreeMap<Release, ReleaseEntry>,
    /// The releases that could not be read, and why. They matter only where a journey begins or ends at one.
    pub left_out: BTreeMap<Release, String>,
    /// The bodies by hash. One that could not be read is missing.
    pub bodies: BTreeMap<Digest, Arc<str>>,
}

impl Catalog {
    /// The track of that name.
    pub fn track(&self, name: &TrackName) -> Option<&Track> {
        self.tracks.iter().find(|track| track.name == *name)
    }

    /// The minors that have releases with migrations, ascending.
    pub fn minors(&self) -> Vec<Minor> {
        let with_migrations = self.releases.iter().filter(|(_, entry)| !entry.is_empty());
        let mut minors: Vec<Minor> = with_migrations.map(|(release, _)| release.minor()).collect();
        minors.dedup();
        minors
    }

    /// The newest stable release of a minor that has migrations.
    pub fn newest_stable(&self, minor: Minor) -> Option<&Release> {
        let releases = self.releases.iter().rev();
        let mut stable = releases.filter(|(release, entry)| {
            release.minor() == minor && !release.is_prerelease() && !entry.is_empty()
        });
        stable.next().map(|(release, _)| release)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(files: &[&str]) -> Result<MigrationSet, DuplicateFile> {
        let mut set = MigrationSet::default();
        for file in files {
            let name = FileName::parse(file).unwrap();
            set.add(file, &name, Digest::of_body(file))?;
        }
        Ok(set)
    }

    #[test]
    fn the_halves_of_a_migration_find_each_other_by_number() {
        let set = set(&["10_b.down.sql", "9_a.up.sql", "010_b.up.sql"]).unwrap();
        assert_eq!(set.versions().collect::<Vec<_>>(), [9, 10]);
        assert_eq!(set.last(), Position::At(10));
        let migration = set.get(10).unwrap();
        assert_eq!(migration.half(Direction::Up).unwrap().file, "010_b.up.sql");
        assert_eq!(migration.half(Direction::Down).unwrap().file, "10_b.down.sql");
        assert_eq!(migration.title(), "b");
        assert_eq!(set.get(9).unwrap().half(Direction::Down), None);
    }

    #[test]
    fn two_files_for_one_half_are_refused_by_name() {
        let error = set(&["7_task.up.sql", "7_task.down.sql", "007_owner.up.sql"]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "two files hold the up half of migration 7: `7_task.up.sql` and `007_owner.up.sql`"
        );
    }

    #[test]
    fn a_set_is_cut_after_a_number_that_it_need_not_have() {
        let set = set(&["0_a.up.sql", "2_b.up.sql", "18446744073709551615_c.up.sql"]).unwrap();
        let up_to = |position: Position| set.up_to(position).versions().collect::<Vec<_>>();
        assert_eq!(up_to(Position::Nothing), [0; 0]);
        assert_eq!(up_to(0.into()), [0]);
        assert_eq!(up_to(1.into()), [0]);
        assert_eq!(up_to(2.into()), [0, 2]);
        assert_eq!(up_to(u64::MAX.into()), [0, 2, u64::MAX]);
        assert!(set.same_versions(&set.up_to(set.last())));
        assert!(!set.same_versions(&set.up_to(2)));
        assert!(MigrationSet::default().is_empty());
        assert_eq!(MigrationSet::default().last(), Position::Nothing);
    }
}
