//! The tracking table under every name, and the tables that are dropped.

use std::time::Duration;

use sternway_database::port::prelude::*;
use sternway_database::{DatabaseError, Work};
use sternway_model::state::{TrackState, TrackingRow};

use crate::support::{
    self, GolangMigrate, TABLE, as_scheme, ask, at, execute, fresh, holds, session, track, up,
};

const FILES: [(&str, &str); 2] =
    [("1_a.up.sql", "CREATE TABLE a (x int)"), ("2_b.up.sql", "CREATE TABLE b (x int)")];

#[tokio::test]
async fn every_form_of_the_option_means_the_table_that_it_means_to_golang_migrate() {
    let Some(fresh) = fresh().await else { return };
    let Some(migrate) = GolangMigrate::with(&FILES) else { return };
    let mut watch = fresh.watch().await;
    execute(&mut watch, "CREATE SCHEMA other").await;
    for (parameters, schema, table) in [
        ("x-migrations-table=other.t", "public", "other.t"),
        ("x-migrations-table=Big", "public", "Big"),
        ("x-migrations-table-quoted=1&x-migrations-table=%22other%22.%22t%22", "other", "t"),
        ("x-migrations-table-quoted=1&x-migrations-table=%22other.q%22", "public", "other.q"),
    ] {
        let url = format!("{}&{parameters}", fresh.url());
        let mut session = session(&url).await;
        assert_eq!(session.tracking_table(), table);
        assert_eq!(session.track(table).await.expect("a track"), TrackState::NoTable);
        session.lock(&[table.to_owned()], Duration::ZERO).await.expect("the locks");
        session.prepare_track(table).await.expect("a table");
        let exists = format!("to_regclass('{schema}.\"{table}\"') IS NOT NULL");
        holds(&mut session, &exists).await;
        session.unlock().await.expect("no locks");
        let (success, said) = migrate.run_at(&url, &["goto", "1"]);
        assert!(success, "{said}");
        assert_eq!(session.track(table).await.expect("a track"), at(1), "{parameters}");
        let mut step = up(2, FILES[1].1);
        step.table = table.to_owned();
        session.migrate(&Work::of(&step, FILES[1].1, None)).await.expect("a step");
        assert_eq!(migrate.run_at(&url, &["version"]), (true, "2".to_owned()));
        session.set_track(table, TrackingRow::dirty(1)).await.expect("a row");
        assert_eq!(migrate.run_at(&url, &["version"]), (true, "1 (dirty)".to_owned()));
        // The table is nothing of the application's.
        let print = session.fingerprint(&[table.to_owned()]).await.expect("a fingerprint");
        let names: Vec<&str> = print.objects.keys().map(|it| it.name.as_str()).collect();
        assert_eq!(names, ["x", "x", "other", "a", "b"], "{print:?}");
        execute(&mut watch, &format!("DROP TABLE a, b, {schema}.\"{table}\"")).await;
    }
}

/// As the numbers say, golang-migrate waits for a session that has the table of another schema.
#[tokio::test]
async fn the_locks_are_those_of_the_tables_schema() {
    let Some(fresh) = fresh().await else { return };
    let mut watch = fresh.watch().await;
    execute(&mut watch, "CREATE SCHEMA other").await;
    let quoted = "x-migrations-table-quoted=1&x-migrations-table=%22other%22.%22t%22";
    let mut session = session(&format!("{}&{quoted}", fresh.url())).await;
    session.lock(&["t".to_owned()], Duration::ZERO).await.expect("the locks");
    let held: Vec<i64> = ask(
        &mut watch,
        "SELECT array_agg(objid::bigint ORDER BY objid) FROM pg_locks WHERE locktype = 'advisory'
         AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
    )
    .await;
    assert_eq!(held, sternway_database::postgres::ids("other", &fresh.name, &["t".to_owned()]));
}

/// golang-migrate takes the path for the database, even where a parameter names another.
#[tokio::test]
async fn a_path_that_is_not_the_databases_name_has_a_number_too() {
    let Some(fresh) = fresh().await else { return };
    let Some(migrate) = GolangMigrate::with(&FILES) else { return };
    let mut watch = fresh.watch().await;
    let mut url = fresh.address();
    url.set_path("/");
    let url = format!("{url}&dbname={}", fresh.name);
    let mut session = session(&url).await;
    assert_eq!(session.identity().database, fresh.name);
    session.lock(&[TABLE.to_owned()], Duration::ZERO).await.expect("the locks");
    let child = migrate.start_at(&url, &["up"]);
    let waiting = "EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
        AND objid = 2551455205
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))";
    support::until(&mut watch, waiting).await;
    session.unlock().await.expect("no locks");
    assert!(child.wait_with_output().expect("its end").status.success());
    assert_eq!(track(&mut session).await, at(2));
}

#[tokio::test]
async fn a_search_path_keeps_a_version_of_its_own() {
    let Some(fresh) = fresh().await else { return };
    let Some(migrate) = GolangMigrate::with(&FILES) else { return };
    execute(&mut fresh.watch().await, "CREATE SCHEMA foobar").await;
    let there = format!("{}&search_path=foobar", fresh.url());
    let (mut here, mut other) = (fresh.session().await, session(&there).await);
    here.migrate(&Work::of(&up(1, FILES[0].1), FILES[0].1, None)).await.expect("a step");
    assert_eq!(track(&mut other).await, TrackState::NoTable);
    let (success, said) = migrate.run_at(&there, &["up"]);
    assert!(success, "{said}");
    assert_eq!((track(&mut here).await, track(&mut other).await), (at(1), at(2)));
}

#[tokio::test]
async fn a_user_who_may_create_nothing_needs_no_right_where_the_table_is() {
    let Some(mut fresh) = fresh().await else { return };
    let (role, url) = fresh.role("secret").await;
    let mut watch = fresh.watch().await;
    execute(&mut watch, "REVOKE CREATE ON SCHEMA public FROM PUBLIC").await;
    let error = session(url.as_str()).await.prepare_track(TABLE).await.expect_err("no right");
    let DatabaseError::Query { source, .. } = error else { panic!("{error:?}") };
    assert!(source.to_string().contains("permission denied for schema public"), "{source}");
    fresh.session().await.prepare_track(TABLE).await.expect("a table");
    execute(&mut watch, &format!("GRANT ALL ON schema_migrations TO {role}")).await;
    let mut session = session(url.as_str()).await;
    session.prepare_track(TABLE).await.expect("the table");
    assert_eq!(track(&mut session).await, at(None));
    let mut session = support::session(url.as_str()).await;
    let forced = TrackingRow::clean(3);
    session.set_track(TABLE, forced).await.expect("a row");
    assert_eq!(track(&mut session).await, at(3));
}

#[tokio::test]
async fn thirty_make_the_table_at_once() {
    let Some(fresh) = fresh().await else { return };
    let mut opened = Vec::new();
    for _ in 0..30 {
        let url = fresh.url();
        opened.push(tokio::spawn(async move {
            let mut session = session(&url).await;
            session.prepare_track(TABLE).await
        }));
    }
    for made in opened {
        made.await.expect("an end").expect("the table");
    }
}

#[tokio::test]
async fn positions_are_written_and_read_back() {
    let Some(fresh) = fresh().await else { return };
    let mut session = fresh.session().await;
    for (version, dirty) in [
        (Some(1), true),
        (Some(1), true),
        (Some(2), false),
        (Some(2), false),
        (None, true),
        (None, false),
    ] {
        let row = TrackingRow { position: version.into(), dirty };
        session.set_track(TABLE, row).await.expect("a row");
        assert_eq!(track(&mut session).await, TrackState::At(row));
    }
}

#[tokio::test]
async fn what_golang_migrate_drops_is_dropped() {
    let things = "CREATE TABLE a (x int PRIMARY KEY); CREATE TABLE \"B b\" (x int REFERENCES a);
        CREATE VIEW above AS SELECT * FROM a; CREATE VIEW apart AS SELECT 1 AS x;
        CREATE TYPE mood AS ENUM ('calm'); CREATE SCHEMA other; CREATE TABLE other.c (x int)";
    let left = "SELECT array_agg(relname::text ORDER BY 1) FROM pg_class
        WHERE relnamespace IN ('public'::regnamespace, 'other'::regnamespace)";
    let mut lefts = Vec::new();
    for ours in [true, false] {
        let Some(fresh) = fresh().await else { return };
        let Some(migrate) = GolangMigrate::with(&FILES) else { return };
        let mut session = fresh.session().await;
        session.migrate(&Work::of(&up(1, things), things, None)).await.expect("a step");
        if ours {
            let mut dropped = session.drop_tables().await.expect("no tables");
            dropped.sort();
            assert_eq!(dropped, ["B b", "a", "schema_migrations"]);
            assert_eq!(track(&mut session).await, TrackState::NoTable);
            assert_eq!(session.drop_tables().await.expect("no tables"), [""; 0]);
        } else {
            let (success, said) = migrate.run(&fresh, &["drop", "-f"]);
            assert!(success, "{said}");
            execute(&mut fresh.watch().await, "DROP TABLE IF EXISTS schema_migrations").await;
        }
        lefts.push(ask::<Vec<String>>(&mut fresh.watch().await, left).await);
    }
    assert_eq!(lefts, [["apart", "c"], ["apart", "c"]]);
}

#[tokio::test]
async fn lock_tables_and_views_are_dropped_as_each_driver_does() {
    for (scheme, more, expected) in [
        ("pgx", "&x-lock-strategy=table", vec!["a"]),
        ("cockroach", "", vec!["a", "apart", "schema_lock"]),
        ("yugabyte", "", vec!["a", "migrations_locks"]),
    ] {
        // INT is what golang-migrate gives CockroachDB, and too narrow here for most numbers.
        let Some(fresh) = support::Fresh::named("STERNWAY_TEST_PG_URL", "sternway_drop_11").await
        else {
            return;
        };
        execute(&mut fresh.watch().await, "CREATE TABLE a (x int); CREATE VIEW apart AS SELECT 1")
            .await;
        let mut session = session(&as_scheme(scheme, &fresh.url(), more)).await;
        session.lock(&[TABLE.to_owned()], Duration::ZERO).await.expect("the locks");
        assert_eq!(session.tables(&[]).await.expect("tables").len(), 1, "{scheme}");
        assert_eq!(session.drop_tables().await.expect("no tables"), expected, "{scheme}");
        session.unlock().await.expect("no locks");
    }
}
