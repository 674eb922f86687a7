//! The grammar of file names, and the walks over what it makes: no panic, and a walk ends where it
//! says.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sternway_model::catalog::{FileName, FileSet};
use sternway_model::position::Position;
use sternway_model::state::TrackingRow;
use sternway_model::walk::{Goal, walk};

fuzz_target!(|input: (&str, Option<u64>, u8, Option<u64>)| {
    let (names, version, goal, number) = input;
    for name in names.lines() {
        if let Some(read) = FileName::parse(name) {
            let again = format!("{}_{}.{}.{}", read.version, read.title, read.direction, read.extension);
            assert_eq!(FileName::parse(&again).as_ref(), Some(&read), "{name}");
        }
    }
    let Ok((set, _)) = FileSet::of(names.lines()) else { return };
    let goal = match goal % 3 {
        0 => Goal::Up(number),
        1 => Goal::Down(number),
        _ => Goal::To(number.into()),
    };
    if let Ok(walk) = walk(&set, TrackingRow::clean(version), goal) {
        let mut at = Position::from(version);
        for leg in &walk.legs {
            assert_eq!(leg.from, at);
            at = leg.to;
        }
        if let Goal::To(there) = goal {
            assert_eq!(at, there);
        }
    }
});
