//! The walk: which migrations of one folder take a track from one number to another.
//!
//! This is golang-migrate's arithmetic (`up`, `down`, `goto` and their limits), for those who know no
//! releases. Where a number has no file for the direction, the leg has none either: the tracking row
//! moves and nothing runs.

use thiserror::Error;

use crate::catalog::{Direction, FileSet};
use crate::state::Position;

/// Where to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Goal {
    /// Up: so many migrations, or all.
    Up(Option<u64>),
    /// Down: so many migrations, or all.
    Down(Option<u64>),
    /// To this number, whichever way it lies; `None` is below the first migration.
    To(Option<u64>),
}

/// One migration of a walk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leg {
    /// Its number.
    pub version: u64,
    /// Which half runs.
    pub direction: Direction,
    /// What the tracking row says before.
    pub from: Option<u64>,
    /// What the tracking row says afterwards.
    pub to: Option<u64>,
    /// The file; `None` where the number has none for this direction.
    pub file: Option<String>,
}

/// The migrations to run, in order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Walk {
    /// They.
    pub legs: Vec<Leg>,
    /// By how many the folder falls short of the limit. golang-migrate runs what there is, and then
    /// fails.
    pub short: u64,
}

/// Why there is no walk. The words are golang-migrate's, as far as scripts may look for them.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum WalkError {
    /// The track is dirty; the number that golang-migrate shows for nothing is -1.
    #[error("Dirty database version {}. Fix and force version.", shown(.0))]
    Dirty(Option<u64>),
    /// The folder does not have the number where the track stands, or the one to go to.
    #[error("no migration found for version {0}")]
    Unknown(u64),
    /// The track is there already.
    #[error("no change")]
    NoChange,
    /// The folder holds no migration at all.
    #[error("first .: file does not exist")]
    Empty,
    /// There is none left to go on with.
    #[error("file does not exist")]
    End,
}

fn shown(version: &Option<u64>) -> String {
    version.map_or_else(|| "-1".to_owned(), |version| version.to_string())
}

/// Plans the way from `position` to `goal`.
///
/// # Errors
/// When there is nothing to do, or no way.
pub fn walk(set: &FileSet, position: Position, goal: Goal) -> Result<Walk, WalkError> {
    if matches!(goal, Goal::Up(Some(0)) | Goal::Down(Some(0))) {
        return Err(WalkError::NoChange);
    }
    if position.dirty {
        return Err(WalkError::Dirty(position.version));
    }
    let here = position.version;
    for number in [here, if let Goal::To(there) = goal { there } else { None }] {
        if let Some(number) = number.filter(|it| set.get(*it).is_none()) {
            return Err(WalkError::Unknown(number));
        }
    }
    match goal {
        Goal::Up(limit) => up(set, here, limit),
        Goal::Down(limit) => down(set, here, limit),
        Goal::To(there) if there == here => Err(WalkError::NoChange),
        Goal::To(there) => Ok(to(set, here, there)),
    }
}

fn up(set: &FileSet, here: Option<u64>, limit: Option<u64>) -> Result<Walk, WalkError> {
    let mut legs = Legs { set, here };
    let walk: Vec<Leg> = std::iter::from_fn(|| legs.up()).take(most(limit)).collect();
    match (walk.is_empty(), here, limit) {
        (true, None, _) => Err(WalkError::Empty),
        (true, _, None) => Err(WalkError::NoChange),
        (true, _, Some(_)) => Err(WalkError::End),
        (false, _, limit) => Ok(whole(walk, limit)),
    }
}

fn down(set: &FileSet, here: Option<u64>, limit: Option<u64>) -> Result<Walk, WalkError> {
    match (here, limit) {
        (None, None) => return Err(WalkError::NoChange),
        (None, Some(_)) => return Err(WalkError::End),
        (Some(_), _) => {}
    }
    let mut legs = Legs { set, here };
    Ok(whole(std::iter::from_fn(|| legs.down()).take(most(limit)).collect(), limit))
}

fn to(set: &FileSet, here: Option<u64>, there: Option<u64>) -> Walk {
    let mut legs = Legs { set, here };
    let next = || {
        if legs.here < there {
            legs.up()
        } else if legs.here > there {
            legs.down()
        } else {
            None
        }
    };
    Walk { legs: std::iter::from_fn(next).collect(), short: 0 }
}

fn most(limit: Option<u64>) -> usize {
    limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX))
}

fn whole(legs: Vec<Leg>, limit: Option<u64>) -> Walk {
    let short = limit.map_or(0, |limit| limit.saturating_sub(legs.len() as u64));
    Walk { legs, short }
}

/// Goes through a set number by number.
struct Legs<'a> {
    set: &'a FileSet,
    here: Option<u64>,
}

impl Legs<'_> {
    fn up(&mut self) -> Option<Leg> {
        let version = self.set.after(self.here)?;
        Some(self.leg(version, Direction::Up, Some(version)))
    }

    fn down(&mut self) -> Option<Leg> {
        let version = self.here?;
        Some(self.leg(version, Direction::Down, self.set.before(version)))
    }

    fn leg(&mut self, version: u64, direction: Direction, to: Option<u64>) -> Leg {
        let from = std::mem::replace(&mut self.here, to);
        let file = self.set.get(version).and_then(|pair| pair.file(direction));
        Leg { version, direction, from, to, file: file.map(str::to_owned) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// golang-migrate's reference folder: 1 both, 3 up, 4 both, 5 down, 7 both.
    fn folder() -> FileSet {
        let names = [
            "1_a.up.sql",
            "1_a.down.sql",
            "3_b.up.sql",
            "4_c.up.sql",
            "4_c.down.sql",
            "5_d.down.sql",
            "7_e.up.sql",
            "7_e.down.sql",
        ];
        FileSet::of(names).expect("a folder").0
    }

    /// A walk as `1 3 4` or `3→1 1→nil`, with ` short 1` where the limit was greater.
    fn told(from: Option<u64>, goal: Goal) -> String {
        let position = Position { version: from, dirty: false };
        let walk = match walk(&folder(), position, goal) {
            Ok(walk) => walk,
            Err(error) => return error.to_string(),
        };
        let nil = |version: Option<u64>| version.map_or("nil".to_owned(), |it| it.to_string());
        let mut told: Vec<String> = walk
            .legs
            .iter()
            .map(|leg| match leg.direction {
                Direction::Up => nil(leg.to),
                Direction::Down => format!("{}→{}", nil(leg.from), nil(leg.to)),
            })
            .collect();
        if walk.short > 0 {
            told.push(format!("short {}", walk.short));
        }
        told.join(" ")
    }

    #[test]
    fn the_reference_results_of_golang_migrate_hold() {
        const NONE: &str = "file does not exist";
        let table = [
            (None, ["1 3 4 5 7", "1", "1 3", "no change", NONE, NONE]),
            (Some(1), ["3 4 5 7", "3", "3 4", "1→nil", "1→nil", "1→nil short 1"]),
            (Some(3), ["4 5 7", "4", "4 5", "3→1 1→nil", "3→1", "3→1 1→nil"]),
            (Some(4), ["5 7", "5", "5 7", "4→3 3→1 1→nil", "4→3", "4→3 3→1"]),
            (Some(5), ["7", "7", "7 short 1", "5→4 4→3 3→1 1→nil", "5→4", "5→4 4→3"]),
            (Some(7), ["no change", NONE, NONE, "7→5 5→4 4→3 3→1 1→nil", "7→5", "7→5 5→4"]),
        ];
        for (from, expected) in table {
            let goals = [
                Goal::Up(None),
                Goal::Up(Some(1)),
                Goal::Up(Some(2)),
                Goal::Down(None),
                Goal::Down(Some(1)),
                Goal::Down(Some(2)),
            ];
            for (goal, expected) in goals.into_iter().zip(expected) {
                assert_eq!(told(from, goal), expected, "{goal:?} from {from:?}");
            }
        }
        for from in [0, 2, 6, 8] {
            for goal in [Goal::Up(None), Goal::Up(Some(1)), Goal::Down(None), Goal::To(Some(1))] {
                let expected = format!("no migration found for version {from}");
                assert_eq!(told(Some(from), goal), expected);
            }
        }
    }

    #[test]
    fn goto_walks_number_by_number() {
        let to = |version| Goal::To(Some(version));
        assert_eq!(told(Some(7), to(1)), "7→5 5→4 4→3 3→1");
        assert_eq!(told(None, to(5)), "1 3 4 5");
        assert_eq!(told(Some(4), to(4)), "no change");
        assert_eq!(told(Some(4), to(6)), "no migration found for version 6");
        assert_eq!(told(Some(4), Goal::To(None)), "4→3 3→1 1→nil");
        assert_eq!(told(None, Goal::To(None)), "no change");
    }

    #[test]
    fn bodies_are_those_of_the_direction() {
        let files = |from, goal| {
            let position = Position { version: from, dirty: false };
            let legs = walk(&folder(), position, goal).expect("a walk").legs;
            legs.into_iter().filter_map(|leg| leg.file).collect::<Vec<_>>()
        };
        let up = ["1_a.up.sql", "3_b.up.sql", "4_c.up.sql", "7_e.up.sql"];
        assert_eq!(files(None, Goal::Up(None)), up);
        let down = ["7_e.down.sql", "5_d.down.sql", "4_c.down.sql", "1_a.down.sql"];
        assert_eq!(files(Some(7), Goal::Down(None)), down);
    }

    #[test]
    fn a_dirty_track_goes_nowhere() {
        for (version, words) in [(Some(3), "version 3."), (None, "version -1.")] {
            let position = Position { version, dirty: true };
            let error = walk(&folder(), position, Goal::Up(None)).expect_err("dirty");
            assert!(error.to_string().contains(words), "{error}");
        }
        let dirty = Position { version: Some(3), dirty: true };
        assert_eq!(walk(&folder(), dirty, Goal::Up(Some(0))), Err(WalkError::NoChange));
    }

    #[test]
    fn an_empty_folder_has_no_first() {
        let empty = FileSet::default();
        let nothing = Position::default();
        assert_eq!(walk(&empty, nothing, Goal::Up(None)), Err(WalkError::Empty));
        assert_eq!(walk(&empty, nothing, Goal::Up(Some(2))), Err(WalkError::Empty));
        assert_eq!(walk(&empty, nothing, Goal::Down(None)), Err(WalkError::NoChange));
    }
}
