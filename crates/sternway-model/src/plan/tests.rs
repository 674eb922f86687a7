use super::*;
use crate::position::Position;
use crate::state::{Identity, TrackState, TrackingRow};

fn state(database: &str, core: impl Into<Position>, dirty: bool) -> State {
    let row = TrackingRow { position: core.into(), dirty };
    State {
        identity: Identity {
            server: "PostgreSQL 17.5".to_owned(),
            database: database.to_owned(),
            schema: "public".to_owned(),
            collation: String::new(),
            user: "planner".to_owned(),
        },
        tracks: [("core".into(), TrackState::At(row))].into(),
        fingerprint: Some(Digest::of_bytes(b"the schema")),
        ..State::default()
    }
}

fn check(before: &State, now: &State, moved: &[&str]) {
    assert_eq!(Basis::of(before).moved(now), moved);
}

#[test]
fn a_database_that_says_the_same_has_not_moved() {
    let before = state("shop", 7, false);
    check(&before, &before, &[]);
    let mut now = before.clone();
    now.identity.user = "executor".to_owned();
    now.identity.server = "PostgreSQL 17.6".to_owned();
    check(&before, &now, &[]);
    now.fingerprint = None; // It was not taken, which says nothing.
    check(&before, &now, &[]);
}

#[test]
fn a_track_that_moved_is_told() {
    let before = state("shop", 7, false);
    check(&before, &state("shop", 6, false), &["track `core` was at 7 and is at 6"]);
    check(&before, &state("shop", 7, true), &["track `core` was at 7 and is at 7 (dirty)"]);
    let mut now = before.clone();
    now.tracks.clear();
    check(&before, &now, &["track `core` was at 7 and is at nothing"]);
    let empty = state("shop", Position::Nothing, false);
    now.tracks.insert("core".into(), TrackState::NoTable);
    check(&empty, &now, &["track `core` has lost its tracking table"]);
    check(&now, &empty, &["track `core` has a tracking table now"]);
}

#[test]
fn another_database_or_another_schema_is_told() {
    let before = state("shop", 7, false);
    let other = "the plan is for database `shop`, schema `public`; this is database `test`, schema `public`";
    check(&before, &state("test", 7, false), &[other]);
    let mut now = before.clone();
    now.fingerprint = Some(Digest::of_bytes(b"another"));
    check(&before, &now, &["the schema has changed"]);
    // A plan from an assumed state is for any database that stands there.
    check(&state("", 7, false), &before, &[]);
}

#[test]
fn a_text_that_is_no_plan_is_refused() {
    let check = |text: &str, sentence: &str| {
        assert_eq!(Plan::from_json(text).unwrap_err().to_string(), sentence);
    };
    check("", "not a plan");
    check("{}", "not a plan");
    check(&format!(r#"{{"format": "{FORMAT}"}}"#), "not a plan");
    let sentence =
        "the plan has the format `sternway.plan/1`, and this version reads `sternway.plan/4`";
    check(r#"{"format": "sternway.plan/1", "legs": []}"#, sentence);
}
