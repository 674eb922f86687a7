//! The walk: which migrations of one folder take a track from one number to another.
//!
//! This is golang-migrate's arithmetic (`up`, `down`, `goto` and their limits), for those who know no
//! releases. Where a number has no file for the direction, the leg has none either: the tracking row
//! moves and nothing runs.

use thiserror::Error;

use crate::catalog::{Direction, FileSet};
use crate::position::Position;
use crate::state::TrackingRow;

/// Where to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Goal {
    /// Up: so many migrations, or all.
    Up(Option<u64>),
    /// Down: so many migrations, or all.
    Down(Option<u64>),
    /// There, whichever way it lies.
    To(Position),
}

/// One migration of a walk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leg {
    /// Its number.
    pub version: u64,
    /// Which half runs.
    pub direction: Direction,
    /// What the tracking row says before.
    pub from: Position,
    /// What the tracking row says afterwards.
    pub to: Position,
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
    /// The track is dirty.
    #[error("Dirty database version {}. Fix and force version.", .0.in_golang_migrate())]
    Dirty(Position),
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

/// Plans the way to `goal` of a track whose row that is.
///
/// # Errors
/// When there is nothing to do, or no way.
pub fn walk(set: &FileSet, row: TrackingRow, goal: Goal) -> Result<Walk, WalkError> {
    if matches!(goal, Goal::Up(Some(0)) | Goal::Down(Some(0))) {
        return Err(WalkError::NoChange);
    }
    if row.dirty {
        return Err(WalkError::Dirty(row.position));
    }
    let here = row.position;
    let there = if let Goal::To(there) = goal { there } else { here };
    for number in [here, there].into_iter().filter_map(Position::number) {
        if set.get(number).is_none() {
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

fn up(set: &FileSet, here: Position, limit: Option<u64>) -> Result<Walk, WalkError> {
    let mut legs = Legs { set, here };
    let walk: Vec<Leg> = std::iter::from_fn(|| legs.up()).take(most(limit)).collect();
    match (walk.is_empty(), here, limit) {
        (true, Position::Nothing, _) => Err(WalkError::Empty),
        (true, _, None) => Err(WalkError::NoChange),
        (true, _, Some(_)) => Err(WalkError::End),
        (false, _, limit) => Ok(whole(walk, limit)),
    }
}

fn down(set: &FileSet, here: Position, limit: Option<u64>) -> Result<Walk, WalkError> {
    match (here, limit) {
        (Position::Nothing, None) => return Err(WalkError::NoChange),
        (Position::Nothing, Some(_)) => return Err(WalkError::End),
        (Position::At(_), _) => {}
    }
    let mut legs = Legs { set, here };
    Ok(whole(std::iter::from_fn(|| legs.down()).take(most(limit)).collect(), limit))
}

fn to(set: &FileSet, here: Position, there: Position) -> Walk {
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
    here: Position,
}

impl Legs<'_> {
    fn up(&mut self) -> Option<Leg> {
        let version = self.set.after(self.here)?;
        Some(self.leg(version, Direction::Up, version.into()))
    }

    fn down(&mut self) -> Option<Leg> {
        let version = self.here.number()?;
        Some(self.leg(version, Direction::Down, self.set.before(version)))
    }

    fn leg(&mut self, version: u64, direction: Direction, to: Position) -> Leg {
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
    fn told(from: impl Into<Position>, goal: Goal) -> String {
        let walk = match walk(&folder(), TrackingRow::clean(from), goal) {
            Ok(walk) => walk,
            Err(error) => return error.to_string(),
        };
        let nil = |at: Position| at.number().map_or("nil".to_owned(), |it| it.to_string());
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
            (Position::Nothing, ["1 3 4 5 7", "1", "1 3", "no change", NONE, NONE]),
            (Position::At(1), ["3 4 5 7", "3", "3 4", "1→nil", "1→nil", "1→nil short 1"]),
            (Position::At(3), ["4 5 7", "4", "4 5", "3→1 1→nil", "3→1", "3→1 1→nil"]),
            (Position::At(4), ["5 7", "5", "5 7", "4→3 3→1 1→nil", "4→3", "4→3 3→1"]),
            (Position::At(5), ["7", "7", "7 short 1", "5→4 4→3 3→1 1→nil", "5→4", "5→4 4→3"]),
            (Position::At(7), ["no change", NONE, NONE, "7→5 5→4 4→3 3→1 1→nil", "7→5", "7→5 5→4"]),
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
            for goal in [Goal::Up(None), Goal::Up(Some(1)), Goal::Down(None), Goal::To(1.into())] {
                let expected = format!("no migration found for version {from}");
                assert_eq!(told(from, goal), expected);
            }
        }
    }

    #[test]
    fn goto_walks_number_by_number() {
        let to = |version: u64| Goal::To(version.into());
        let nothing = Position::Nothing;
        assert_eq!(told(7, to(1)), "7→5 5→4 4→3 3→1");
        assert_eq!(told(nothing, to(5)), "1 3 4 5");
        assert_eq!(told(4, to(4)), "no change");
        assert_eq!(told(4, to(6)), "no migration found for version 6");
        assert_eq!(told(4, Goal::To(nothing)), "4→3 3→1 1→nil");
        assert_eq!(told(nothing, Goal::To(nothing)), "no change");
    }

    #[test]
    fn bodies_are_those_of_the_direction() {
        let files = |row, goal| {
            let legs = walk(&folder(), row, goal).expect("a walk").legs;
            legs.into_iter().filter_map(|leg| leg.file).collect::<Vec<_>>()
        };
        let up = ["1_a.up.sql", "3_b.up.sql", "4_c.up.sql", "7_e.up.sql"];
        assert_eq!(files(TrackingRow::default(), Goal::Up(None)), up);
        let down = ["7_e.down.sql", "5_d.down.sql", "4_c.down.sql", "1_a.down.sql"];
        assert_eq!(files(TrackingRow::clean(7), Goal::Down(None)), down);
    }

    #[test]
    fn a_dirty_track_goes_nowhere() {
        let rows = [(Position::At(3), "version 3."), (Position::Nothing, "version -1.")];
        for (position, words) in rows {
            let error =
                walk(&folder(), TrackingRow::dirty(position), Goal::Up(None)).expect_err("dirty");
            assert!(error.to_string().contains(words), "{error}");
        }
        let dirty = TrackingRow::dirty(3);
        assert_eq!(walk(&folder(), dirty, Goal::Up(Some(0))), Err(WalkError::NoChange));
    }

    #[test]
    fn an_empty_folder_has_no_first() {
        let empty = FileSet::default();
        let nothing = TrackingRow::default();
        assert_eq!(walk(&empty, nothing, Goal::Up(None)), Err(WalkError::Empty));
        assert_eq!(walk(&empty, nothing, Goal::Up(Some(2))), Err(WalkError::Empty));
        assert_eq!(walk(&empty, nothing, Goal::Down(None)), Err(WalkError::NoChange));
    }
}
