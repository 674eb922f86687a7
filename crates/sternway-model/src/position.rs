//! Where a track stands in its migrations.

use std::cmp::Ordering;
use std::fmt;

use serde::{Deserialize, Serialize};

/// Where a track stands: before its first migration, or at one of them. The order is that of the way up.
///
/// In JSON it is the migration's number, or `null`.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(from = "Option<u64>", into = "Option<u64>")]
pub enum Position {
    /// No migration is applied.
    #[default]
    Nothing,
    /// The migration of this number is the last one applied.
    At(u64),
}

impl Position {
    /// The number of the last migration applied; `None` when none is.
    pub fn number(self) -> Option<u64> {
        match self {
            Self::Nothing => None,
            Self::At(number) => Some(number),
        }
    }

    /// As golang-migrate writes it where it has to write something: nothing is -1.
    pub fn in_golang_migrate(self) -> String {
        self.number().map_or("-1".to_owned(), |number| number.to_string())
    }
}

impl From<u64> for Position {
    fn from(number: u64) -> Position {
        Self::At(number)
    }
}

impl From<Option<u64>> for Position {
    fn from(number: Option<u64>) -> Position {
        number.map_or(Self::Nothing, Self::At)
    }
}

impl From<Position> for Option<u64> {
    fn from(position: Position) -> Option<u64> {
        position.number()
    }
}

impl PartialEq<u64> for Position {
    fn eq(&self, number: &u64) -> bool {
        *self == Self::At(*number)
    }
}

/// A track stands at or above a migration where that one is applied.
impl PartialOrd<u64> for Position {
    fn partial_cmp(&self, number: &u64) -> Option<Ordering> {
        self.partial_cmp(&Self::At(*number))
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("nothing"),
            Self::At(number) => write!(f, "{number}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Position::{self, At, Nothing};

    #[test]
    fn the_order_is_that_of_the_way_up() {
        assert!(Nothing < At(0) && At(0) < At(7) && At(7) <= At(7));
        assert!(Nothing < 0 && At(7) >= 7 && At(7) < 8 && At(7) == 7 && Nothing != 0);
        assert_eq!([At(2), Nothing, At(1)].iter().min(), Some(&Nothing));
    }

    #[test]
    fn it_is_shown_and_written_as_it_always_was() {
        for (position, words, json, raw) in
            [(Nothing, "nothing", "null", "-1"), (At(0), "0", "0", "0"), (At(7), "7", "7", "7")]
        {
            assert_eq!(position.to_string(), words);
            assert_eq!(position.in_golang_migrate(), raw);
            assert_eq!(serde_json::to_string(&position).expect("JSON"), json);
            assert_eq!(serde_json::from_str::<Position>(json).expect("a position"), position);
        }
    }

    #[test]
    fn one_that_is_not_there_is_nothing() {
        #[derive(serde::Deserialize)]
        struct Row {
            at: Position,
        }
        assert_eq!(serde_json::from_str::<Row>("{}").expect("a row").at, Nothing);
    }
}
