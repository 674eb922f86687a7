//! Many replicas, and operations that are stopped.

use std::time::Duration;

use sternway::{Event, Migrations, Track};

use crate::support::{self, Fresh, at, track};

#[tokio::test(flavor = "multi_thread")]
async fn twenty_that_start_at_once_apply_each_migration_once() {
    let Some(fresh) = Fresh::new().await else { return };
    let names = ["core", "search"];
    let migrator = fresh.migrator(names.map(|name| track(name, 3, &[]).schema("app")));
    let migrator = migrator.lock_timeout(Duration::from_secs(120)).keep_records("app");
    let starts: Vec<_> = (0..20)
        .map(|_| {
            let migrator = migrator.clone();
            tokio::spawn(async move { migrator.up().await.map(|done| done.applied()) })
        })
        .collect();
    let mut applied = 0;
    for start in starts {
        applied += start.await.expect("no panic").expect("up");
    }
    assert_eq!(applied, 6);
    migrator.verify().await.expect("ready");
}

#[tokio::test]
async fn a_lock_that_is_not_given_back_in_time_is_told_with_its_holder() {
    let Some(fresh) = Fresh::new().await else { return };
    let slow = fresh.migrator([track("core", 1, &[(1, "SELECT pg_sleep(3)")])]);
    let first = tokio::spawn(async move { slow.up().await.map(|done| done.applied()) });
    tokio::time::sleep(Duration::from_secs(1)).await;
    let hasty = fresh.migrator([track("core", 1, &[])]).lock_timeout(Duration::from_millis(300));
    let error = support::whole(&hasty.up().await.expect_err("locked"));
    assert!(error.contains("the locks were not obtained") && error.contains("sternway"), "{error}");
    assert_eq!(first.await.expect("no panic").expect("up"), 1);
}

#[tokio::test]
async fn a_stop_lets_the_migration_end_and_does_not_outlast_the_operation() {
    let Some(fresh) = Fresh::new().await else { return };
    let migrator = fresh.migrator([track("core", 3, &[]), track("search", 1, &[])]);
    let stop = migrator.stop_handle();
    let stopped = migrator.clone().on_event(move |event| {
        if matches!(event, Event::Starts { leg, .. } if leg.version == 2) {
            stop.stop();
        }
    });
    let done = stopped.up().await.expect("stopped");
    assert_eq!((done.applied(), done.interrupted, done.raised.len()), (2, true, 1));
    // Not sticky, as golang-migrate's is.
    assert_eq!(migrator.up().await.expect("up").applied(), 2);

    // Asked in between, it reaches the next operation, and that one only.
    migrator.stop_handle().stop();
    let core = migrator.on("core").expect("a track");
    let walked = core.down_all().await.expect("stopped");
    assert!(walked.interrupted && walked.legs.is_empty());
    assert_eq!(core.version().await.expect("a version"), at(3));
    assert_eq!(core.down(1).await.expect("down").legs.len(), 1);
}

#[tokio::test]
async fn a_start_that_is_dropped_leaves_nothing() {
    let Some(fresh) = Fresh::new().await else { return };
    let slow = "CREATE TABLE half (a int); SELECT pg_sleep(2)";
    let migrator = fresh.migrator([track("core", 2, &[(2, slow)])]);
    let cut = tokio::time::timeout(Duration::from_secs(1), migrator.up()).await;
    assert!(cut.is_err(), "it took its time");
    // The next one waits until the server has noticed.
    let repaired = fresh.migrator([track("core", 2, &[])]);
    assert_eq!(repaired.up().await.expect("up").applied(), 1);
    assert!(!fresh.has("half").await);
}

#[tokio::test]
async fn what_a_migration_sets_does_not_reach_another_track() {
    let Some(fresh) = Fresh::new().await else { return };
    let files =
        [("1_a.up.sql", "CREATE SCHEMA other; SET search_path TO other; CREATE TABLE a ()")];
    let first = Track::new("first", Migrations::from_files(files));
    let second = track("second", 1, &[]);
    fresh.migrator([first, second]).up().await.expect("up");
    assert!(fresh.has("other.a").await);
    assert!(fresh.has("public.second_1").await);
}

#[tokio::test]
async fn a_stop_ends_the_wait_for_a_lock() {
    let Some(fresh) = Fresh::new().await else { return };
    let slow = fresh.migrator([track("core", 1, &[(1, "SELECT pg_sleep(5)")])]);
    let first = tokio::spawn(async move { slow.up().await.map(|done| done.applied()) });
    tokio::time::sleep(Duration::from_secs(1)).await;
    let patient = fresh.migrator([track("core", 2, &[])]).lock_timeout(Duration::from_secs(60));
    for alone in [false, true] {
        let stop = patient.stop_handle();
        let waiting = patient.clone();
        let waiting = tokio::spawn(async move {
            match alone {
                true => waiting.on("core").expect("a track").up().await.map(drop),
                false => waiting.up().await.map(drop),
            }
        });
        tokio::time::sleep(Duration::from_millis(300)).await;
        stop.stop();
        let ended = tokio::time::timeout(Duration::from_secs(2), waiting).await;
        let error = ended.expect("no wait").expect("no panic").expect_err("locked");
        let error = support::whole(&error);
        assert!(error.contains("another migrator is at work"), "{error}");
    }
    assert_eq!(first.await.expect("no panic").expect("up"), 1);
}
