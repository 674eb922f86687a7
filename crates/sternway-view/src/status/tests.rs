use sternway_engine::status::RecordsStatus;
use sternway_model::archive::Restored;
use sternway_model::catalog::Direction;
use sternway_model::effect::Lost;
use sternway_model::plan::{PlanError, Standing};
use sternway_model::proof::{Difference, ObjectName};
use sternway_model::state::TrackingRow;

use super::*;

fn track(name: &str, version: u64, dirty: bool) -> TrackStatus {
    TrackStatus {
        track: name.into(),
        table: format!("{name}_migrations"),
        state: TrackState::At(TrackingRow { position: version.into(), dirty }),
        takes_part: true,
        newest: 9.into(),
        schema_at: None,
    }
}

fn status(tracks: Vec<TrackStatus>, verdict: Verdict) -> engine::Status {
    let database = Identity {
        server: "PostgreSQL 16.4".to_owned(),
        database: "harbour".to_owned(),
        schema: "public".to_owned(),
        collation: String::new(),
        user: "me".to_owned(),
    };
    let records = RecordsStatus {
        access: RecordsAccess::Available,
        migrations: 12,
        arrived_at: None,
        taken: Vec::new(),
    };
    engine::Status {
        app: "harbour".to_owned(),
        database,
        dialect: Dialect::Postgres,
        tracks,
        running: None,
        verdict,
        unfinished: None,
        fences: Vec::new(),
        records,
        archive: Vec::new(),
        placed: Vec::new(),
    }
}

fn release(text: &str) -> Release {
    text.parse().expect("a release")
}

fn standing(releases: &[&str], schema: Schema) -> Verdict {
    let releases = releases.iter().map(|it| release(it)).collect();
    let standing = Standing {
        applied: Default::default(),
        releases,
        lacking: Default::default(),
        minor: None,
        runs: Some(true),
    };
    Verdict::Stands { standing, schema }
}

#[test]
fn a_schema_that_has_drifted_is_told_with_what_differs() {
    let object =
        ObjectName { kind: "column".to_owned(), name: "a".to_owned(), table: Some("t".to_owned()) };
    let drift = vec![Difference::Missing { object, expected: "integer".to_owned() }];
    let comparison = Comparison { drift, ..Comparison::default() };
    let entry = Entry {
        id: 1,
        run: None,
        track: "core".into(),
        version: 3,
        direction: Direction::Down,
        since: "2026-01-02 03:04:05".to_owned(),
        age: 0.0,
        lost: Lost::Table { table: "t".to_owned() },
        columns: Vec::new(),
        rows: 3,
        bytes: 8192,
        restored: Some(Restored::default()),
    };
    let mut status = status(
        vec![track("core", 7, false)],
        standing(&["1.0.0", "1.1.0"], Schema::Compared(comparison)),
    );
    status.running = Some(release("1.1.0"));
    status.archive = vec![entry];
    let shape = Status::of(&status, 90);
    assert_eq!(
        shape.text(Paint::Plain),
        "harbour in database `harbour`, schema `public`, PostgreSQL 16.4\n\
         TRACK  TABLE            AT  NEWEST  STATE\n\
         core   core_migrations  7   9       clean\n\
         schema: of 2 releases, 1.0.0 to 1.1.0\n\
         application: 1.1.0; it runs on this schema\n\
         drift:\n  \
           drift: column `a` of `t` is missing: integer\n\
         records: 12 migrations\n\
         archive: 1 entry, 0 rows nowhere else, 8.0 kB\n"
    );
    assert!(shape.text(Paint::Coloured).starts_with("\x1b[1mharbour in"));
}

#[test]
fn a_dirty_track_is_told_with_the_statement_that_repairs_it() {
    let problem = || PlanError::Dirty { track: "core".into(), at: 7.into() };
    let dirty = TrackStatus { schema_at: Some(vec![5.into(), 6.into()]), ..track("core", 7, true) };
    let shape = |dialect| {
        let verdict = Verdict::Dirty { problem: problem(), unknown: None };
        let status = engine::Status { dialect, ..status(vec![dirty.clone()], verdict) };
        Status::of(&status, 90)
    };
    let text = shape(Dialect::Postgres).text(Paint::Plain);
    let told = "core   core_migrations  7   9       dirty; the schema is that of 5 or 6\n\
                problem: track `core` is dirty at migration 7\n\
                repair: UPDATE \"public\".\"core_migrations\" SET version = 6, dirty = false;\n\
                records: 12 migrations\n";
    assert!(text.ends_with(told), "{text}");
    let repair = "UPDATE `public`.`core_migrations` SET version = 6, dirty = false;";
    assert_eq!(shape(Dialect::MySql).repair, [repair]);
}

#[test]
fn the_shape_keeps_the_order_of_its_fields() {
    let status = status(Vec::new(), standing(&[], Schema::OfAnotherApp));
    let json = serde_json::to_string(&Status::of(&status, 90)).expect("JSON");
    let names = [
        "format",
        "app",
        "database",
        "tracks",
        "releases",
        "running",
        "runs_on_this_schema",
        "comparison",
        "unproven",
        "problem",
        "repair",
        "unfinished",
        "fences",
        "records",
        "archive",
    ];
    let places: Vec<_> = names.iter().map(|it| json.find(&format!("\"{it}\":"))).collect();
    assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{json}");
    assert!(json.contains("this may be the database of another application"));
}
