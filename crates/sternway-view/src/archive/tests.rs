use sternway_model::archive::Conflict;
use sternway_model::catalog::Direction;

use super::*;

fn entry(restored: Option<Restored>) -> Entry {
    Entry {
        id: 4,
        run: Some(2),
        track: "core".into(),
        version: 7,
        direction: Direction::Down,
        since: "2026-01-02 03:04:05".to_owned(),
        age: 3.0 * 86_400.0,
        lost: Lost::Column { table: "t".to_owned(), column: "a".to_owned() },
        columns: Vec::new(),
        rows: 12,
        bytes: 8192,
        restored,
    }
}

fn partly() -> Restored {
    let conflicts = vec![Conflict { reason: "the row was deleted meanwhile".to_owned(), rows: 2 }];
    Restored { back: 10, conflicts }
}

#[test]
fn entries_are_listed_with_what_became_of_them() {
    let whole = Restored { back: 12, conflicts: Vec::new() };
    let entries = vec![entry(None), entry(Some(whole)), entry(Some(partly()))];
    let archive = Archive::of("harbour".to_owned(), entries, 90);
    let states: Vec<EntryState> = archive.entries.iter().map(|it| it.state).collect();
    assert_eq!(states, [EntryState::Waiting, EntryState::Restored, EntryState::Partly]);
    let lines: Vec<String> = archive.text().lines().map(str::to_owned).collect();
    assert!(lines[1].ends_with("8.0 kB  waiting"), "{lines:?}");
    assert!(lines[2].ends_with("8.0 kB  put back"), "{lines:?}");
    assert!(lines[3].ends_with("put back but 2: the row was deleted meanwhile (2)"), "{lines:?}");
    assert_eq!(serde_json::to_value(&archive.entries[1]).expect("JSON")["state"], "back");
}

#[test]
fn before_entries_go_it_is_said_what_is_lost_with_them() {
    assert_eq!(
        drop_question(&[entry(None)]),
        "LOST for good, and nowhere else: column t.a (12 rows in the archive alone, 8.0 kB). Drop 1 entry?"
    );
    let back = || entry(Some(Restored { back: 12, conflicts: Vec::new() }));
    let question = "Every row is back where it was. Drop 2 entries?";
    assert_eq!(drop_question(&[back(), back()]), question);
}

#[test]
fn only_what_is_old_is_warned_of() {
    let entries = [entry(None)];
    assert_eq!(warning(&entries, 3), None);
    let told = warning(&entries, 2).expect("a warning");
    assert!(
        told.starts_with("warning: the archive has kept 1 entry for more than 2 days"),
        "{told}"
    );
}

#[test]
fn a_value_is_shown_on_its_line() {
    let shown = |text: &str| cell(&Some(text.to_owned()));
    assert_eq!(cell(&None), "NULL");
    assert_eq!(shown("NULL"), "\"NULL\"");
    assert_eq!(shown("it's\ntwo"), "it's\\ntwo");
    assert_eq!(shown(&"x".repeat(50)), format!("{}…", "x".repeat(40)));
}
