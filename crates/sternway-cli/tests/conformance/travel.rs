//! The ways between versions, on the reference's example: every `goto`, `up` and `down`.

use super::case::{ALL, Case, case, says};

/// What the example's versions are called; `None` is nothing applied.
const VERSIONS: [Option<u64>; 6] = [None, Some(1), Some(3), Some(4), Some(5), Some(7)];

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for from in VERSIONS {
        for to in 0..=8 {
            let case = travel(from, &format!("goto {to}"));
            let there = VERSIONS.contains(&Some(to));
            cases.push(if there { case } else { missing(case, to) });
        }
        for count in [0, 1, 2, 5, 9] {
            cases.push(travel(from, &format!("up {count}")));
            cases.push(travel(from, &format!("down {count}")));
        }
        cases.push(travel(from, "up"));
        cases.push(travel(from, "down -all"));
        cases.push(travel(from, "down").input("y\n"));
        cases.push(travel(from, "force 4"));
        cases.push(travel(from, "force 6"));
        cases.push(travel(from, "force -- -1"));
        cases.push(travel(from, "drop -f"));
        if from.is_some() {
            cases.push(travel(from, "version"));
        }
    }
    cases
}

fn travel(from: Option<u64>, command: &str) -> Case {
    match from {
        None => case(format!("from nothing, {command}"), ALL).reference().run(command),
        Some(version) => case(format!("from {version}, {command}"), ALL)
            .reference()
            .after(&format!("goto {version}"))
            .run(command),
    }
}

/// A version that is not in the source: golang-migrate says so twice, in one line.
pub fn missing(case: Case, version: u64) -> Case {
    let text = format!("error: no migration found for version {version}");
    let twice = format!("{text}: read down for version {version} .: file does not exist");
    case.differs("D5", says(&format!("{twice}{twice}")), says(&text).lacks("existerror"))
}
