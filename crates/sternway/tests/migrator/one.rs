//! One track: golang-migrate's operations, with the results of its own tests.

use sternway::{
    Direction, Error, MigrateError, Migrations, Migrator, OnTrack, Position, Track, TrackingRow,
    Walked,
};

use crate::support::{self, FAILS, Fresh, at, whole};

/// golang-migrate's reference folder: 1 both, 3 up, 4 both, 5 down, 7 both. Each body notes itself.
fn reference() -> Track {
    let names =
        ["1_a.up", "1_a.down", "3_b.up", "4_c.up", "4_c.down", "5_d.down", "7_e.up", "7_e.down"];
    let body = |name: &str| {
        format!("CREATE TABLE IF NOT EXISTS ran (file text); INSERT INTO ran VALUES ('{name}')")
    };
    let files = names.iter().map(|name| (format!("{name}.sql"), body(name)));
    Track::new("core", Migrations::from_files(files))
}

/// A walk as `1 3 4` or `3→1 1→nil`; an error as its last cause.
fn told(walked: Result<Walked, Error>) -> String {
    let nil = |at: Position| at.number().map_or("nil".to_owned(), |it| it.to_string());
    let walked = match walked {
        Ok(walked) if walked.legs.is_empty() => return "no change".to_owned(),
        Ok(walked) => walked,
        Err(error) => return whole(&error).rsplit(": ").next().unwrap_or_default().to_owned(),
    };
    let leg = |leg: &sternway::Leg| match leg.direction {
        Direction::Up => nil(leg.to),
        Direction::Down => format!("{}→{}", nil(leg.from), nil(leg.to)),
    };
    walked.legs.iter().map(leg).collect::<Vec<_>>().join(" ")
}

async fn from(track: OnTrack<'_>, version: Option<u64>) {
    track.force(version).await.expect("forced");
    assert_eq!(track.version().await.expect("a version"), at(version));
}

#[tokio::test]
async fn the_reference_results_of_golang_migrate_hold() {
    const NONE: &str = "file does not exist";
    let Some(fresh) = Fresh::new().await else { return };
    let migrator = fresh.migrator([reference()]);
    let track = migrator.on("core").expect("a track");
    let table: [(Option<u64>, [&str; 6]); 6] = [
        (None, ["1 3 4 5 7", "1", "1 3", "no change", NONE, NONE]),
        (Some(1), ["3 4 5 7", "3", "3 4", "1→nil", "1→nil", "limit 1 short"]),
        (Some(3), ["4 5 7", "4", "4 5", "3→1 1→nil", "3→1", "3→1 1→nil"]),
        (Some(4), ["5 7", "5", "5 7", "4→3 3→1 1→nil", "4→3", "4→3 3→1"]),
        (Some(5), ["7", "7", "limit 1 short", "5→4 4→3 3→1 1→nil", "5→4", "5→4 4→3"]),
        (Some(7), ["no change", NONE, NONE, "7→5 5→4 4→3 3→1 1→nil", "7→5", "7→5 5→4"]),
    ];
    for (start, expected) in table {
        let mut found = Vec::new();
        for operation in 0..6 {
            from(track, start).await;
            found.push(told(match operation {
                0 => track.up().await,
                1 => track.steps(1).await,
                2 => track.steps(2).await,
                3 => track.down_all().await,
                4 => track.steps(-1).await,
                _ => track.down(2).await,
            }));
        }
        assert_eq!(found, expected, "from {start:?}");
    }
    for start in [0, 2, 6, 8] {
        from(track, Some(start)).await;
        let words = format!("no migration found for version {start}");
        assert_eq!(told(track.up().await), words);
        assert_eq!(told(track.down_all().await), words);
        assert_eq!(told(track.goto(1).await), words);
        from(track, Some(4)).await;
        assert_eq!(told(track.goto(start).await), words);
    }
}

#[tokio::test]
async fn goto_walks_number_by_number_and_runs_what_there_is() {
    let Some(fresh) = Fresh::new().await else { return };
    let migrator = fresh.migrator([reference()]);
    let track = migrator.on("core").expect("a track");
    assert_eq!(told(track.goto(5).await), "1 3 4 5");
    assert_eq!(told(track.goto(5).await), "no change");
    assert_eq!(told(track.goto(7).await), "7");
    assert_eq!(told(track.goto(1).await), "7→5 5→4 4→3 3→1");
    assert_eq!(told(track.goto(None).await), "1→nil");
    assert_eq!(told(track.steps(0).await), "no change");
    let ran = "1_a.up 3_b.up 4_c.up 7_e.up 7_e.down 5_d.down 4_c.down 1_a.down";
    assert!(fresh.holds(&format!("(SELECT string_agg(file, ' ') FROM ran) = '{ran}'")).await);
}

/// What there was is applied, and the error says how much was missing.
#[tokio::test]
async fn a_limit_that_is_too_great_is_an_error_at_the_end() {
    let Some(fresh) = Fresh::new().await else { return };
    let migrator = fresh.migrator([reference()]);
    let track = migrator.on("core").expect("a track");
    let error = track.steps(7).await.expect_err("short");
    assert!(matches!(error, Error::Track { source: MigrateError::Short(2), .. }), "{error}");
    assert_eq!(track.version().await.expect("a version"), at(7));
}

#[tokio::test]
async fn force_writes_the_row_and_runs_nothing() {
    let Some(fresh) = Fresh::new().await else { return };
    let migrator = fresh.migrator([reference()]);
    let track = migrator.on("core").expect("a track");
    assert_eq!(track.version().await.expect("a version"), TrackingRow::default());
    assert!(!fresh.has("schema_migrations").await, "asking creates nothing");
    from(track, Some(99)).await;
    fresh.execute("UPDATE schema_migrations SET dirty = true").await;
    assert!(track.version().await.expect("a version").dirty);
    let error = track.up().await.expect_err("dirty");
    let words = "Dirty database version 99. Fix and force version.";
    assert!(whole(&error).ends_with(words), "{}", whole(&error));
    from(track, Some(3)).await;
    from(track, None).await;
    assert!(fresh.holds("NOT EXISTS (SELECT FROM schema_migrations)").await);
    assert!(!fresh.has("ran").await);
}

#[tokio::test]
async fn a_body_that_fails_in_its_middle_leaves_nothing() {
    let Some(fresh) = Fresh::new().await else { return };
    let files = [("1_a.up.sql", "CREATE TABLE a ()"), ("2_b.up.sql", FAILS)];
    let track = Track::new("core", Migrations::from_files(files));
    let migrator = fresh.migrator([track]);
    let track = migrator.on("core").expect("a track");
    let error = track.up().await.expect_err("a failure");
    let Error::Track { source: MigrateError::Step(failed), .. } = &error else { panic!("{error}") };
    assert_eq!(failed.leg.version, 2);
    assert_eq!(track.version().await.expect("a version"), at(1));
    assert!(fresh.has("a").await && !fresh.has("half").await);
}

#[tokio::test]
async fn a_body_outside_a_transaction_leaves_the_track_dirty_and_says_which() {
    let Some(fresh) = Fresh::new().await else { return };
    let body = "CREATE TABLE a (b int); CREATE INDEX CONCURRENTLY i ON a (no_such)";
    let files = Migrations::from_files([("1_a.up.sql", body)]);
    let migrator = fresh.migrator([Track::new("core", files)]);
    let track = migrator.on("core").expect("a track");
    track.up().await.expect_err("a failure");
    assert!(track.version().await.expect("a version").dirty);
    let Err(Error::Track { suspects, .. }) = track.up().await else { panic!("not dirty") };
    assert_eq!(suspects[0].signs, [("a".to_owned(), true)]);
}

/// Whatever a body does to a table, the diagnosis says whether the table is there.
#[tokio::test]
async fn a_diagnosis_tells_which_tables_are_there() {
    let Some(fresh) = Fresh::new().await else { return };
    let body = "DROP TABLE a; CREATE TABLE b (c int); CREATE INDEX CONCURRENTLY i ON b (no_such)";
    let files = [("1_a.up.sql", "CREATE TABLE a ()"), ("2_b.up.sql", body)];
    let migrator = fresh.migrator([Track::new("core", Migrations::from_files(files))]);
    let track = migrator.on("core").expect("a track");
    track.up().await.expect_err("a failure");
    let Err(Error::Track { suspects, .. }) = track.up().await else { panic!("not dirty") };
    let told = suspects[0].to_string();
    assert!(told.ends_with("; table `b` is there; table `a` is not there"), "{told}");
}

#[tokio::test]
async fn status_lists_every_migration() {
    let Some(fresh) = Fresh::new().await else { return };
    let migrator = fresh.migrator([reference()]);
    let track = migrator.on("core").expect("a track");
    track.goto(4).await.expect("gone");
    let status = track.status().await.expect("a status");
    let applied: Vec<_> = status.migrations.iter().map(|it| (it.version, it.applied)).collect();
    assert_eq!(applied, [(1, true), (3, true), (4, true), (5, false), (7, false)]);
    assert_eq!((status.pending(), status.is_ahead()), (2, false));
    assert_eq!(migrator.status().await.expect("a status"), [status]);
}

#[tokio::test]
async fn migrations_come_from_a_folder_too() {
    let Some(fresh) = Fresh::new().await else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, body: &str| std::fs::write(folder.path().join(name), body);
    write("1_a.up.sql", "\u{feff}CREATE TABLE a ();\r\n").expect("a file");
    write("1_a.sql", "no migration").expect("a file");
    let told = support::Told::default();
    let track = Track::new("core", Migrations::directory(folder.path()));
    told.listen(fresh.migrator([track])).up().await.expect("up");
    assert!(fresh.has("a").await);
    assert!(told.lines()[0].contains("`1_a.sql` is passed over"), "{:?}", told.lines());
}

#[tokio::test]
async fn no_error_repeats_the_url() {
    let migrator = Migrator::new("postgres://me:s3cret@localhost:1/none").track(reference());
    let error = migrator.up().await.expect_err("nobody there");
    let words = format!("{} {error:?} {migrator:?}", whole(&error));
    assert!(!words.contains("s3cret"), "{words}");
}

#[test]
fn every_operation_can_be_spawned() {
    fn sent<T: Send>(_: T) {}
    let migrator = Migrator::new("postgres://localhost:1/none").track(reference());
    let track = migrator.on("core").expect("a track");
    sent(migrator.up());
    sent(migrator.verify());
    sent(migrator.status());
    sent(migrator.check());
    sent(track.up());
    sent(track.goto(1));
    sent(track.force(1));
    sent(track.status());
    sent(track.drop_tables());
}
