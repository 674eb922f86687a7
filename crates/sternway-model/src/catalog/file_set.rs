//! The migration files of one folder, by number, known by their names alone.
//!
//! This is what golang-migrate's command line works on: no release, no hash, and no body is read
//! before it is needed.

use crate::position::Position;
use std::collections::BTreeMap;

use thiserror::Error;

use super::{Direction, FileName};

/// The two files of one number; either may be missing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FilePair {
    /// The file that takes the schema to this number.
    pub up: Option<String>,
    /// The file that takes the schema from this number to the one before it.
    pub down: Option<String>,
}

impl FilePair {
    /// The file for `direction`, if there is one.
    pub fn file(&self, direction: Direction) -> Option<&str> {
        match direction {
            Direction::Up => self.up.as_deref(),
            Direction::Down => self.down.as_deref(),
        }
    }
}

/// Why a folder's files make no track.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum FileSetError {
    /// golang-migrate refuses it in these words, and names the second file only.
    #[error("duplicate migration file: {second} (`{first}` has the same number)")]
    Duplicate {
        /// The file met first.
        first: String,
        /// The file met second.
        second: String,
    },
    /// A tracking table cannot hold the number. golang-migrate ends in a panic, or an endless loop.
    #[error(
        "the number of `{file}` is greater than {}, the highest that a tracking table can hold",
        i64::MAX
    )]
    Number {
        /// The file.
        file: String,
    },
}

/// A file that is read, or passed over, where its author may have meant the opposite.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NearMiss {
    /// It looks like a migration and is none.
    #[error(
        "`{0}` is passed over: a migration is called NUMBER_TITLE.up.EXTENSION or NUMBER_TITLE.down.EXTENSION"
    )]
    PassedOver(String),
    /// It looks like a copy of a migration and is one.
    #[error("`{0}` counts as a migration, although it looks like an editor's copy of one")]
    Copy(String),
}

/// The files of one folder by number.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FileSet(BTreeMap<u64, FilePair>);

impl FileSet {
    /// Sorts the names of a folder's files.
    ///
    /// # Errors
    /// When two files claim the same half of the same migration, or a number is too great.
    pub fn of<'a>(
        names: impl IntoIterator<Item = &'a str>,
    ) -> Result<(FileSet, Vec<NearMiss>), FileSetError> {
        let mut set = FileSet::default();
        let mut misses = Vec::new();
        for file in names {
            let Some(name) = FileName::parse(file) else {
                if looks_like_one(file) {
                    misses.push(NearMiss::PassedOver(file.to_owned()));
                }
                continue;
            };
            if name.version > i64::MAX.unsigned_abs() {
                return Err(FileSetError::Number { file: file.to_owned() });
            }
            if looks_like_a_copy(&name.extension) {
                misses.push(NearMiss::Copy(file.to_owned()));
            }
            let pair = set.0.entry(name.version).or_default();
            let slot = match name.direction {
                Direction::Up => &mut pair.up,
                Direction::Down => &mut pair.down,
            };
            if let Some(first) = slot {
                let (first, second) = (first.clone(), file.to_owned());
                return Err(FileSetError::Duplicate { first, second });
            }
            *slot = Some(file.to_owned());
        }
        Ok((set, misses))
    }

    /// The files of a number.
    pub fn get(&self, version: u64) -> Option<&FilePair> {
        self.0.get(&version)
    }

    /// The lowest number.
    pub fn first(&self) -> Option<u64> {
        self.0.keys().next().copied()
    }

    /// Where a track stands that has them all.
    pub fn last(&self) -> Position {
        self.0.keys().next_back().copied().into()
    }

    /// The number after a position, which need not be in the set.
    pub fn after(&self, position: Position) -> Option<u64> {
        let Position::At(version) = position else { return self.first() };
        let next = version.checked_add(1)?;
        self.0.range(next..).next().map(|(number, _)| *number)
    }

    /// Where a track stands before `version`, which need not be in the set.
    pub fn before(&self, version: u64) -> Position {
        self.0.range(..version).next_back().map(|(number, _)| *number).into()
    }

    /// The numbers with their files, ascending.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (u64, &FilePair)> {
        self.0.iter().map(|(number, pair)| (*number, pair))
    }

    /// How many numbers there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Whether a name that golang-migrate passes over seems to be meant for it.
fn looks_like_one(file: &str) -> bool {
    let lower = file.to_ascii_lowercase();
    let says_direction = [".up.", ".down."].iter().any(|it| lower.contains(it))
        || [".up", ".down"].iter().any(|it| lower.ends_with(it));
    let numbered =
        lower.trim_start_matches([' ', '-', 'v']).starts_with(|it: char| it.is_ascii_digit());
    says_direction || (numbered && lower.ends_with(".sql"))
}

/// Whether an extension is that of a copy which an editor or a person keeps.
fn looks_like_a_copy(extension: &str) -> bool {
    let lower = extension.to_ascii_lowercase();
    lower.ends_with('~')
        || [".bak", ".orig", ".swp", ".tmp", ".old", ".save", ".rej"]
            .iter()
            .any(|it| lower.ends_with(it))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::position::Position::{At, Nothing};

    #[test]
    fn files_find_their_numbers() {
        let names = ["0010_b.down.sql", "10_b.up.sql", "9_a.up.sql", "README.md"];
        let (set, misses) = FileSet::of(names).expect("a set");
        assert_eq!(set.iter().map(|(number, _)| number).collect::<Vec<_>>(), [9, 10]);
        assert_eq!(set.get(10).and_then(|it| it.file(Direction::Down)), Some("0010_b.down.sql"));
        assert_eq!(set.get(9).and_then(|it| it.file(Direction::Down)), None);
        assert_eq!([10, 9, 99].map(|it| set.before(it)), [At(9), Nothing, At(10)]);
        assert_eq!([Nothing, At(9), At(10)].map(|it| set.after(it)), [Some(9), Some(10), None]);
        assert_eq!(set.after(At(u64::MAX)), None);
        assert!(misses.is_empty());
    }

    #[test]
    fn the_second_file_of_a_half_is_refused_in_golang_migrates_words() {
        let error = FileSet::of(["001_b.up.sql", "1_a.up.sql"]).expect_err("a duplicate");
        assert!(error.to_string().starts_with("duplicate migration file: 1_a.up.sql"), "{error}");
    }

    #[test]
    fn numbers_that_no_tracking_table_can_hold_are_refused() {
        assert!(FileSet::of(["9223372036854775807_a.up.sql"]).is_ok());
        for file in ["9223372036854775808_a.up.sql", "18446744073709551615_a.up.sql"] {
            assert_eq!(FileSet::of([file]), Err(FileSetError::Number { file: file.to_owned() }));
        }
    }

    #[test]
    fn near_misses_are_told() {
        for file in ["1_A.UP.SQL", "1.up.sql", "1_a.sql", " 9_x.up.sql", "x.down.sql", "1_a.up"] {
            let (set, misses) = FileSet::of([file]).expect("a set");
            assert!(set.is_empty());
            assert_eq!(misses, [NearMiss::PassedOver(file.to_owned())], "{file}");
        }
        for file in ["1_a.up.sql~", "1_a.up.sql.bak"] {
            let (set, misses) = FileSet::of([file]).expect("a set");
            assert_eq!((set.len(), misses), (1, vec![NearMiss::Copy(file.to_owned())]), "{file}");
        }
        for file in ["README.md", "schema.sql", "embed.go"] {
            assert_eq!(FileSet::of([file]), Ok((FileSet::default(), Vec::new())), "{file}");
        }
    }
}
