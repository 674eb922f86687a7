//! Checking that somebody else has migrated the database.

use sternway::{Error, NotReady, Position};

use crate::support::{Fresh, track};

fn reason(error: Error) -> NotReady {
    match error {
        Error::NotReady(reason) => reason,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_database_is_ready_when_every_track_is_up() {
    let Some(fresh) = Fresh::new().await else { return };
    let migrator = fresh.migrator([track("core", 2, &[]), track("search", 1, &[])]);
    let error = migrator.verify().await.expect_err("nothing there");
    assert_eq!(
        error.to_string(),
        "the database has not been migrated: track `core` has no tracking table \
         `core_schema_migrations` in schema `public`"
    );
    assert!(!fresh.has("core_schema_migrations").await, "verifying creates nothing");

    fresh.migrator([track("core", 2, &[])]).up().await.expect("up");
    let found = reason(migrator.verify().await.expect_err("no search"));
    assert!(matches!(&found, NotReady::NoTable { track, .. } if track.0 == "search"), "{found}");

    migrator.up().await.expect("up");
    migrator.verify().await.expect("ready");
}

#[tokio::test]
async fn a_database_behind_or_dirty_is_not_ready_and_one_ahead_is() {
    let Some(fresh) = Fresh::new().await else { return };
    let newer = fresh.migrator([track("core", 2, &[])]);
    let older = fresh.migrator([track("core", 1, &[])]);
    older.up().await.expect("up");
    let error = newer.verify().await.expect_err("behind");
    assert_eq!(error.to_string(), "track `core` is at 1, and this program needs 2");

    newer.up().await.expect("up");
    older.verify().await.expect("ahead is ready");

    fresh.execute("UPDATE core_schema_migrations SET dirty = true").await;
    let found = reason(newer.verify().await.expect_err("dirty"));
    assert!(matches!(found, NotReady::Dirty { at: Position::At(2), .. }), "{found}");
    reason(older.verify().await.expect_err("dirty and ahead"));

    fresh.execute("DELETE FROM core_schema_migrations").await;
    let found = reason(newer.verify().await.expect_err("empty"));
    assert!(
        matches!(found, NotReady::Behind { at: Position::Nothing, needed: Position::At(2), .. }),
        "{found}"
    );
}

#[tokio::test]
async fn a_role_that_may_only_read_can_verify() {
    let Some(mut fresh) = Fresh::new().await else { return };
    let migrator = fresh.migrator([track("core", 1, &[])]);
    migrator.up().await.expect("up");
    let (role, url) = fresh.role().await;
    fresh.execute(&format!("GRANT SELECT ON core_schema_migrations TO {role}")).await;
    let reader = sternway::Migrator::new(url);
    let up_to = |count| reader.clone().track(track("core", count, &[]));
    up_to(1).verify().await.expect("ready");
    reason(up_to(2).verify().await.expect_err("behind"));
    // A start that has nothing to do needs no more.
    assert_eq!(up_to(1).up().await.expect("up").applied(), 0);
    up_to(2).up().await.expect_err("it may create nothing");
}
