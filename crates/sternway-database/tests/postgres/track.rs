//! The tracking table, read and written by Sternway and by golang-migrate in turn.

use sternway_database::port::prelude::*;
use sternway_database::{DatabaseError, Work};
use sternway_model::state::TrackState;

use crate::support::{
    self, GolangMigrate, TABLE, ask, at, dirty, down, everywhere, execute, fresh, track, up,
};

const FILES: [(&str, &str); 6] = [
    ("1_a.up.sql", "CREATE TABLE a (x int)"),
    ("1_a.down.sql", "DROP TABLE missing"),
    ("2_b.up.sql", "CREATE TABLE b (x int)"),
    ("2_b.down.sql", "DROP TABLE b"),
    ("3_c.up.sql", "SELECT 1/0"),
    ("3_c.down.sql", "SELECT 1"),
];

#[tokio::test]
async fn what_golang_migrate_writes_is_read() {
    let Some(fresh) = fresh().await else { return };
    let Some(migrate) = GolangMigrate::with(&FILES) else { return };
    let mut session = fresh.session().await;
    assert_eq!(track(&mut session).await, TrackState::NoTable);
    let states = [
        (vec!["version"], false, at(None)),
        (vec!["up", "2"], true, at(2)),
        (vec!["up"], false, dirty(3)),
        (vec!["force", "2"], true, at(2)),
        (vec!["down", "1"], true, at(1)),
        (vec!["down", "1"], false, dirty(None)),
        (vec!["force", "--", "-1"], true, at(None)),
    ];
    for (arguments, succeeds, state) in states {
        let (success, said) = migrate.run(&fresh, &arguments);
        assert_eq!(success, succeeds, "{arguments:?}: {said}");
        assert_eq!(track(&mut session).await, state, "{arguments:?}: {said}");
    }
}

#[tokio::test]
async fn what_sternway_writes_is_read_by_golang_migrate() {
    let Some(fresh) = fresh().await else { return };
    let Some(migrate) = GolangMigrate::with(&FILES) else { return };
    let mut session = fresh.session().await;
    let version = || migrate.run(&fresh, &["version"]).1;
    for (step, body) in [
        (up(7, "CREATE TABLE a (x int)"), "CREATE TABLE a (x int)"),
        (up(8, ""), ""),
        (down(8, Some(7), "VACUUM a"), "VACUUM a"),
    ] {
        session.migrate(&Work::of(&step, body, None)).await.expect("a step");
        assert_eq!(version(), step.to.number().map(|it| it.to_string()).unwrap_or_default());
    }
    let failed = session.migrate(&Work::of(&up(9, "VACUUM missing"), "VACUUM missing", None)).await;
    failed.expect_err("a missing table");
    assert_eq!(version(), "9 (dirty)");
    session.migrate(&Work::of(&down(7, None, ""), "", None)).await.expect("a step");
    assert_eq!(version(), "error: no migration");
}

#[tokio::test]
async fn golang_migrate_goes_on_where_sternway_stopped() {
    let Some(fresh) = fresh().await else { return };
    let Some(migrate) = GolangMigrate::with(&FILES) else { return };
    let mut session = fresh.session().await;
    session.migrate(&Work::of(&up(1, FILES[0].1), FILES[0].1, None)).await.expect("a step");
    let (success, said) = migrate.run(&fresh, &["up", "1"]);
    assert!(success, "{said}");
    assert_eq!(track(&mut session).await, at(2));
    session
        .migrate(&Work::of(&down(2, Some(1), FILES[3].1), FILES[3].1, None))
        .await
        .expect("a step");
    assert_eq!(track(&mut session).await, at(1));
}

#[tokio::test]
async fn asking_creates_nothing() {
    let Some(fresh) = fresh().await else { return };
    let mut watch = fresh.watch().await;
    let count = "SELECT count(*) FROM pg_class";
    let before: i64 = ask(&mut watch, count).await;
    let mut session = fresh.session().await;
    assert_eq!(track(&mut session).await, TrackState::NoTable);
    session.tables(&[]).await.expect("tables");
    session.extensions().await.expect("extensions");
    session.fingerprint(&[]).await.expect("a fingerprint");
    session.records("app").await.expect("records");
    session.history("app").await.expect("a history");
    assert_eq!(ask::<i64>(&mut watch, count).await, before);
}

#[tokio::test]
async fn a_tracking_table_in_another_schema_is_not_this_one() {
    let Some(fresh) = fresh().await else { return };
    let other = "CREATE SCHEMA other; CREATE TABLE other.schema_migrations AS SELECT 5::bigint AS version, false AS dirty";
    execute(&mut fresh.watch().await, other).await;
    assert_eq!(track(&mut fresh.session().await).await, TrackState::NoTable);
    let mut other = support::session(&fresh.url_with("sslmode=disable&search_path=other")).await;
    assert_eq!(track(&mut other).await, at(5));
}

#[tokio::test]
async fn what_no_migrator_writes_is_an_error() {
    for (mut session, _fresh) in everywhere().await {
        let create = "CREATE TABLE schema_migrations (version bigint not null primary key, dirty boolean not null)";
        session.execute(create).await.expect("a table");
        assert_eq!(track(&mut session).await, at(None));
        session
            .execute("INSERT INTO schema_migrations VALUES (1, false), (2, false)")
            .await
            .expect("rows");
        let error = session.track(TABLE).await.expect_err("two rows");
        assert!(
            matches!(&error, DatabaseError::SeveralRows { table } if table == TABLE),
            "{error:?}"
        );
        session
            .execute(
                "DELETE FROM schema_migrations; INSERT INTO schema_migrations VALUES (-2, true)",
            )
            .await
            .expect("a row");
        let error = session.track(TABLE).await.expect_err("a negative number");
        assert!(matches!(error, DatabaseError::Version { version: -2, .. }), "{error:?}");
    }
}

#[tokio::test]
async fn a_table_is_named_as_it_is() {
    for (mut session, _fresh) in everywhere().await {
        let mut step = up(3, "SELECT 1");
        step.table = "a.\"B c".to_owned();
        session.migrate(&Work::of(&step, "SELECT 1", None)).await.expect("a step");
        assert_eq!(session.track(&step.table).await.expect("a track"), at(3));
    }
}

#[tokio::test]
async fn a_user_who_owns_the_tables_and_may_create_none_goes_back() {
    let Some(mut fresh) = fresh().await else { return };
    let (role, url) = fresh.role("secret").await;
    let mut watch = fresh.watch().await;
    for sql in [
        "CREATE TABLE schema_migrations (version bigint not null primary key, dirty boolean not null)".to_owned(),
        "INSERT INTO schema_migrations VALUES (2, false)".to_owned(),
        "CREATE TABLE a (x int, y int)".to_owned(),
        format!("ALTER TABLE schema_migrations OWNER TO {role}"),
        format!("ALTER TABLE a OWNER TO {role}"),
        "REVOKE CREATE ON SCHEMA public FROM PUBLIC".to_owned(),
    ] {
        execute(&mut watch, &sql).await;
    }
    let mut session = support::session(url.as_str()).await;
    assert_eq!(track(&mut session).await, at(2));
    let step = down(2, Some(1), "ALTER TABLE a DROP COLUMN y");
    session.migrate(&Work::of(&step, "ALTER TABLE a DROP COLUMN y", None)).await.expect("the step");
    assert_eq!(track(&mut session).await, at(1));
}
