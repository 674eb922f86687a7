//! Bringing every track up, as an application does when it starts. The cases are those that kagent's
//! runner is tested by.

use sternway::Position::{At, Nothing};
use sternway::{Error, StartupError, TrackState};

use crate::support::{FAILS, Fresh, Told, at, stands, track, whole};

#[tokio::test]
async fn every_track_goes_up_and_a_second_start_does_nothing() {
    let Some(fresh) = Fresh::new().await else { return };
    let migrator = fresh.migrator([track("core", 2, &[]), track("search", 1, &[])]);
    let done = migrator.up().await.expect("up");
    assert_eq!((done.applied(), done.interrupted), (3, false));
    let ends: Vec<_> = done.raised.iter().map(|it| (it.track.0.as_str(), it.from, it.to)).collect();
    assert_eq!(ends, [("core", Nothing, At(2)), ("search", Nothing, At(1))]);
    assert!(fresh.has("core_2").await && fresh.has("search_1").await);

    let again = migrator.up().await.expect("up");
    assert_eq!(again.applied(), 0);
    assert_eq!(stands(&migrator, "core").await, TrackState::At(at(2)));
    migrator.verify().await.expect("ready");
}

/// kagent leaves the row dirty at the number that failed. Here the failed body leaves nothing, so the
/// row stays at the last good number and is not dirty: the next start goes on from there.
#[tokio::test]
async fn a_first_start_that_fails_stays_at_the_last_good_migration() {
    let Some(fresh) = Fresh::new().await else { return };
    let migrator = fresh.migrator([track("core", 3, &[(2, FAILS)])]);
    let error = migrator.up().await.expect_err("a failure");
    assert!(whole(&error).contains("division by zero"), "{}", whole(&error));
    let Error::Startup(StartupError::Failed { taken_back, .. }) = error else { panic!("{error}") };
    assert!(taken_back.is_empty());
    assert_eq!(stands(&migrator, "core").await, TrackState::At(at(1)));
    assert!(fresh.has("core_1").await && !fresh.has("half").await && !fresh.has("core_3").await);

    let repaired = fresh.migrator([track("core", 3, &[])]);
    assert_eq!(repaired.up().await.expect("up").applied(), 2);
}

#[tokio::test]
async fn a_track_that_fails_goes_back_to_where_it_stood() {
    let Some(fresh) = Fresh::new().await else { return };
    fresh.migrator([track("core", 1, &[])]).up().await.expect("up");
    let migrator = fresh.migrator([track("core", 3, &[(3, FAILS)])]);
    let error = migrator.up().await.expect_err("a failure");
    assert!(error.to_string().contains("track `core` was taken back to 1"), "{error}");
    assert_eq!(stands(&migrator, "core").await, TrackState::At(at(1)));
    assert!(fresh.has("core_1").await && !fresh.has("core_2").await);
}

#[tokio::test]
async fn a_database_ahead_is_accepted_with_a_warning() {
    let Some(fresh) = Fresh::new().await else { return };
    fresh.migrator([track("core", 3, &[])]).up().await.expect("up");
    let told = Told::default();
    let older = told.listen(fresh.migrator([track("core", 2, &[]), track("search", 1, &[])]));
    let done = older.up().await.expect("up");
    assert_eq!(done.raised[0].ahead_of, Some(At(2)));
    assert_eq!(told.lines(), ["search up 1", "core is at 3, ahead of 2"]);
    assert_eq!(stands(&older, "core").await, TrackState::At(at(3)));
    assert!(older.on("core").expect("a track").status().await.expect("a status").is_ahead());
}

#[tokio::test]
async fn a_database_ahead_has_nothing_to_be_taken_back() {
    let Some(fresh) = Fresh::new().await else { return };
    fresh.migrator([track("core", 3, &[])]).up().await.expect("up");
    let older = fresh.migrator([track("core", 2, &[]), track("vector", 1, &[(1, FAILS)])]);
    let error = older.up().await.expect_err("a failure");
    let Error::Startup(StartupError::Failed { track, taken_back, .. }) = error else {
        panic!("{error}")
    };
    assert_eq!((track.0.as_str(), taken_back.len()), ("vector", 0), "{taken_back:?}");
    assert_eq!(stands(&older, "core").await, TrackState::At(at(3)));
}

#[tokio::test]
async fn a_dirty_database_ahead_is_refused() {
    let Some(fresh) = Fresh::new().await else { return };
    fresh.migrator([track("core", 3, &[])]).up().await.expect("up");
    fresh.execute("UPDATE core_schema_migrations SET dirty = true").await;
    let older = fresh.migrator([track("first", 1, &[]), track("core", 2, &[])]);
    let error = older.up().await.expect_err("dirty");
    let Error::Startup(StartupError::DirtyAhead { at, last, .. }) = &error else {
        panic!("{error}")
    };
    assert_eq!((*at, *last), (At(3), At(2)));
    assert!(!fresh.has("first_schema_migrations").await);
}

#[tokio::test]
async fn a_dirty_track_is_refused_with_what_may_have_been_under_way() {
    let Some(fresh) = Fresh::new().await else { return };
    fresh.migrator([track("core", 2, &[])]).up().await.expect("up");
    fresh.execute("UPDATE core_schema_migrations SET dirty = true").await;
    let migrator = fresh.migrator([track("first", 1, &[]), track("core", 3, &[])]);
    let error = migrator.up().await.expect_err("dirty");
    let words = error.to_string();
    for part in [
        "track `core` is dirty at 2",
        "`000002_step.up.sql` may not have ended",
        "at 1 if nothing of it took effect, and at 2 if all of it did; table `core_2` is there",
        "`000003_step.down.sql` may not have ended",
        "table `core_3` is not there",
    ] {
        assert!(words.contains(part), "{part}: {words}");
    }
    let Error::Startup(StartupError::Dirty { suspects, .. }) = error else { panic!("{words}") };
    assert_eq!(suspects.len(), 2);
    // Nothing was touched, and a start does not repair it.
    assert!(!fresh.has("first_schema_migrations").await);
    migrator.up().await.expect_err("still dirty");
    migrator.on("core").expect("a track").force(2).await.expect("forced");
    assert_eq!(migrator.up().await.expect("up").applied(), 2);
}

#[tokio::test]
async fn an_earlier_track_that_did_not_move_is_kept() {
    let Some(fresh) = Fresh::new().await else { return };
    fresh.migrator([track("core", 2, &[])]).up().await.expect("up");
    let migrator = fresh.migrator([track("core", 2, &[]), track("vector", 1, &[(1, FAILS)])]);
    let error = migrator.up().await.expect_err("a failure");
    let Error::Startup(StartupError::Failed { track, taken_back, .. }) = error else {
        panic!("{error}")
    };
    assert_eq!((track.0.as_str(), taken_back.len()), ("vector", 0));
    assert_eq!(stands(&migrator, "core").await, TrackState::At(at(2)));
}

#[tokio::test]
async fn an_earlier_track_that_moved_is_taken_back() {
    let Some(fresh) = Fresh::new().await else { return };
    fresh.migrator([track("core", 1, &[])]).up().await.expect("up");
    let migrator = fresh.migrator([track("core", 3, &[]), track("vector", 1, &[(1, FAILS)])]);
    let error = migrator.up().await.expect_err("a failure");
    assert!(error.to_string().contains("track `core` was taken back to 1"), "{error}");
    assert_eq!(stands(&migrator, "core").await, TrackState::At(at(1)));
    assert!(fresh.has("core_1").await && !fresh.has("core_2").await);
}

#[tokio::test]
async fn an_earlier_track_that_stood_at_nothing_is_kept() {
    let Some(fresh) = Fresh::new().await else { return };
    let migrator = fresh.migrator([track("core", 2, &[]), track("vector", 1, &[(1, FAILS)])]);
    migrator.up().await.expect_err("a failure");
    assert_eq!(stands(&migrator, "core").await, TrackState::At(at(2)));
    assert_eq!(stands(&migrator, "vector").await, TrackState::At(at(None)));
}

#[tokio::test]
async fn three_tracks_go_up_in_order_and_back_in_the_opposite_one() {
    let Some(fresh) = Fresh::new().await else { return };
    let names = ["one", "two", "three"];
    fresh.migrator(names.map(|it| track(it, 1, &[]))).up().await.expect("up");
    let told = Told::default();
    let last = track("three", 3, &[(3, FAILS)]);
    let migrator = [track("one", 2, &[]), track("two", 2, &[]), last];
    let migrator = told.listen(fresh.migrator(migrator));
    migrator.up().await.expect_err("a failure");
    let expected =
        ["one up 2", "two up 2", "three up 2", "three down 2", "two down 2", "one down 2"];
    assert_eq!(told.lines(), expected);
    for name in names {
        assert_eq!(stands(&migrator, name).await, TrackState::At(at(1)), "{name}");
    }
}

#[tokio::test]
async fn a_down_that_fails_is_told_beside_the_failure() {
    let Some(fresh) = Fresh::new().await else { return };
    fresh.migrator([track("core", 1, &[])]).up().await.expect("up");
    let core = track("core", 2, &[(2, "CREATE TABLE other_name (a int)")]);
    let migrator = fresh.migrator([core, track("vector", 1, &[(1, FAILS)])]);
    let error = whole(&migrator.up().await.expect_err("a failure"));
    assert!(error.contains("track `core` was not taken back"), "{error}");
    assert!(error.contains("core_2") && error.contains("division by zero"), "{error}");
}

#[tokio::test]
async fn a_required_extension_is_asked_for_before_anything_is_created() {
    let Some(fresh) = Fresh::new().await else { return };
    let needy = track("needy", 1, &[]).requires_extension("no_such").schema("later");
    let migrator = fresh.migrator([track("core", 1, &[]), needy]);
    let error = migrator.up().await.expect_err("no extension");
    assert!(error.to_string().contains("requires the extension `no_such`"), "{error}");
    assert!(!fresh.has("core_schema_migrations").await);
    assert!(!fresh.holds("EXISTS (SELECT FROM pg_namespace WHERE nspname = 'later')").await);
}

#[tokio::test]
async fn a_required_extension_that_is_offered_is_no_obstacle() {
    let Some(fresh) = Fresh::on("STERNWAY_TEST_PGVECTOR_URL").await else { return };
    let body = "CREATE EXTENSION IF NOT EXISTS vector; CREATE TABLE note (at vector(3))";
    let vector = track("vector", 1, &[(1, body)]).requires_extension("vector");
    fresh.migrator([vector]).up().await.expect("up");
    assert!(fresh.has("note").await);
}

#[tokio::test]
async fn a_track_with_a_schema_keeps_to_it() {
    let Some(fresh) = Fresh::new().await else { return };
    // The same table name twice: the schemas tell them apart.
    let inner = track("core", 1, &[(1, "CREATE TABLE core_1 (b text)")]).schema("inner_one");
    let inner = inner.table("schema_migrations");
    let renamed = sternway::Track::clone(&inner);
    let outer = track("outer", 1, &[]).table("schema_migrations");
    let migrator = fresh.migrator([outer, renamed]);
    migrator.verify().await.expect_err("nothing there");
    assert!(!fresh.holds("EXISTS (SELECT FROM pg_namespace WHERE nspname = 'inner_one')").await);
    migrator.up().await.expect("up");
    for table in ["public.schema_migrations", "inner_one.schema_migrations", "inner_one.core_1"] {
        assert!(fresh.has(table).await, "{table}");
    }
    assert!(!fresh.has("public.core_1").await);
    migrator.verify().await.expect("ready");
    let dropped = migrator.on("core").expect("a track").drop_tables().await.expect("dropped");
    assert_eq!(dropped, ["core_1", "schema_migrations"]);
    assert!(fresh.has("public.outer_1").await);
}

#[tokio::test]
async fn a_new_schema_has_room_for_the_table_of_the_locks() {
    let Some(fresh) = Fresh::new().await else { return };
    let mut url = url::Url::parse(&fresh.url().replacen("postgres", "pgx", 1)).expect("a URL");
    url.query_pairs_mut().append_pair("x-lock-strategy", "table");
    let tracks = [track("outer", 1, &[]), track("core", 1, &[]).schema("inner_two")];
    let migrator = tracks.into_iter().fold(sternway::Migrator::new(url), sternway::Migrator::track);
    assert_eq!(migrator.up().await.expect("up").applied(), 2);
    assert!(fresh.has("inner_two.core_1").await);
    assert!(fresh.holds("(SELECT count(*) FROM inner_two.schema_lock) = 0").await);
}

#[tokio::test]
async fn a_schema_that_turns_out_to_be_the_connections_is_a_collision() {
    let Some(fresh) = Fresh::new().await else { return };
    let one = track("one", 1, &[]).table("t");
    let two = track("two", 1, &[]).table("t").schema("public");
    let error = fresh.migrator([one, two]).up().await.expect_err("a collision");
    let words = "tracks `one` and `two` share the tracking table `t` in schema `public`";
    assert_eq!(error.to_string(), words);
    assert!(!fresh.has("t").await);
}

#[tokio::test]
async fn records_are_kept_where_they_are_asked_for() {
    let Some(fresh) = Fresh::new().await else { return };
    let migrator = fresh.migrator([track("core", 2, &[])]);
    migrator.up().await.expect("up");
    assert!(!fresh.has("sternway.migration").await);
    let migrator = fresh.migrator([track("core", 3, &[])]).keep_records("bees");
    migrator.up().await.expect("up");
    assert!(fresh.holds("(SELECT count(*) FROM sternway.migration) = 1").await);
}
