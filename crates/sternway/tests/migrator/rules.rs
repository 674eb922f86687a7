//! What is refused before any database is asked, and the rules that an application's tests check.

use sternway::{Breach, Error, Migrations, Migrator, Rules, SetupError, Track, Violation};

use crate::support::{Fresh, track};

/// A server that nobody has.
const NOWHERE: &str = "postgres://localhost:1/none";

fn one(body: &str) -> Migrations {
    Migrations::from_files([("1_a.up.sql", body)])
}

async fn refused(tracks: Vec<Track>) -> SetupError {
    let migrator = tracks.into_iter().fold(Migrator::new(NOWHERE), Migrator::track);
    match migrator.up().await {
        Err(Error::Setup(error)) => error,
        other => panic!("{other:?}"),
    }
}

async fn check(tracks: &[(&str, &[(&str, &str)])], rules: Rules) -> Vec<String> {
    let mut migrator = Migrator::new(NOWHERE).rules(rules);
    for (name, files) in tracks {
        let files = Migrations::from_files(files.iter().map(|(name, body)| (*name, *body)));
        migrator = migrator.track(Track::new(*name, files).table(format!("{name}_t")));
    }
    migrator.check().await.expect("a check").iter().map(Violation::to_string).collect()
}

#[tokio::test]
async fn names_tables_and_schemas_are_checked() {
    for name in ["", "Core", "1core", "-core", "co re", "core.x", "kär"] {
        let error = refused(vec![track(name, 1, &[])]).await;
        assert!(matches!(error, SetupError::Name { .. }), "{name}: {error}");
    }
    for schema in ["", "S", "1s", "a-b", "a b", &"s".repeat(64)] {
        let error = refused(vec![track("core", 1, &[]).schema(schema)]).await;
        assert!(matches!(error, SetupError::Schema { .. }), "{schema}: {error}");
    }
    let error = refused(vec![track("core", 1, &[]).table("")]).await;
    assert!(matches!(error, SetupError::Table { .. }), "{error}");
    assert_eq!(refused(Vec::new()).await, SetupError::NoTracks);
    for name in ["core", "a", "core-two", "a_1"] {
        let migrator = Migrator::new(NOWHERE).track(track(name, 1, &[]).schema("_a1"));
        assert!(matches!(migrator.up().await, Err(Error::Connect(_))), "{name}");
    }
}

#[tokio::test]
async fn tracks_that_collide_are_refused() {
    let error = refused(vec![track("core", 1, &[]), track("core", 2, &[]).table("other")]).await;
    assert_eq!(error.to_string(), "track `core` is registered twice");
    let both = |table: &str, schema: &str| {
        ["a", "b"].map(|name| track(name, 1, &[]).table(table).schema(schema)).to_vec()
    };
    let error = refused(both("t", "s")).await;
    assert_eq!(error.to_string(), "tracks `a` and `b` share the tracking table `t` in schema `s`");
    let defaults = ["a", "b"].map(|name| Track::new(name, one("SELECT 1"))).to_vec();
    assert!(matches!(refused(defaults).await, SetupError::Shared { table: None, .. }));
}

#[tokio::test]
async fn migrations_that_are_not_there_are_refused() {
    let none = Migrations::from_files([("README.md", "nothing")]);
    let error = refused(vec![Track::new("core", none)]).await;
    assert_eq!(error.to_string(), "track `core` has no migrations in the program");
    let folder = tempfile::tempdir().expect("a folder");
    let missing = Migrations::directory(folder.path().join("none"));
    let error = Migrator::new(NOWHERE).track(Track::new("core", missing)).up().await;
    assert!(matches!(error, Err(Error::Migrations { .. })), "{error:?}");
    let twice = Migrations::from_files([("1_a.up.sql", ""), ("01_b.up.sql", "")]);
    let error = Migrator::new(NOWHERE).track(Track::new("core", twice)).up().await;
    assert!(matches!(error, Err(Error::Migrations { .. })), "{error:?}");
}

#[tokio::test]
async fn a_track_that_is_not_registered_is_refused() {
    let migrator = Migrator::new(NOWHERE).track(track("core", 1, &[])).track(track("b", 1, &[]));
    let error = migrator.on("search").expect_err("unknown");
    assert_eq!(error.to_string(), "track `search` is not registered; registered tracks: core, b");
}

#[tokio::test]
async fn a_track_leaves_the_tables_of_others_alone() {
    let core: (&str, &[(&str, &str)]) = (
        "core",
        &[
            ("1_a.up.sql", "CREATE TABLE task (id int)"),
            ("2_b.up.sql", "ALTER TABLE task ADD b int; CREATE INDEX ON task (b)"),
        ],
    );
    let breach = "which track `core` creates";
    for (body, doing) in [
        ("SELECT 1;\nALTER TABLE task ADD c int", "it alters the table `task`"),
        ("\nalter table if exists only \"task\" drop b", "it alters the table `task`"),
        ("\nCREATE INDEX i ON task (id)", "it creates an index on the table `task`"),
        ("\nCREATE INDEX CONCURRENTLY ON public.task (id)", "it creates an index on"),
        ("\nDROP TABLE IF EXISTS task", "it drops the table `task`"),
        ("DO $$\nBEGIN ALTER TABLE task ADD c int; END $$", "it alters the table `task`"),
    ] {
        let found = check(&[core, ("search", &[("1_c.up.sql", body)])], Rules::default()).await;
        assert_eq!(found.len(), 1, "{body}: {found:?}");
        assert!(found[0].starts_with("track `search`, `1_c.up.sql`, line 2: "), "{found:?}");
        assert!(found[0].contains(doing) && found[0].ends_with(breach), "{found:?}");
    }
    for body in [
        "CREATE TABLE note (task int REFERENCES task (id)); ALTER TABLE note ADD c int",
        "-- ALTER TABLE task ADD c int\nSELECT 'ALTER TABLE task ADD c int'",
        "CREATE TEMP TABLE x (); ALTER TABLE unknown ADD a int",
        "CREATE TABLE other.task (); ALTER TABLE other.task ADD a int",
    ] {
        let found = check(&[core, ("search", &[("1_c.up.sql", body)])], Rules::default()).await;
        assert_eq!(found, [""; 0], "{body}");
    }
}

#[tokio::test]
async fn guards_and_schemas_are_rules_to_opt_in() {
    let files: &[(&str, &str)] = &[
        (
            "1_a.up.sql",
            "CREATE TABLE t (id int);\nCREATE INDEX i ON t (id);\nCREATE EXTENSION e;\n\
             ALTER TABLE t ADD COLUMN c int",
        ),
        ("1_a.down.sql", "ALTER TABLE t DROP c;\nDROP EXTENSION e;\nDROP INDEX i;\nDROP TABLE t"),
        (
            "2_b.up.sql",
            "CREATE TABLE IF NOT EXISTS u (id int); CREATE INDEX IF NOT EXISTS j ON u (id);
             ALTER TABLE u ADD COLUMN IF NOT EXISTS d int, ADD CONSTRAINT k CHECK (d > 0)",
        ),
        ("2_b.down.sql", "DROP INDEX IF EXISTS j; DROP TABLE IF EXISTS u"),
        (
            "3_c.up.sql",
            "CREATE SCHEMA s;\nSET search_path TO s;\nCREATE TABLE IF NOT EXISTS s.v ()",
        ),
    ];
    assert_eq!(check(&[("core", files)], Rules::default()).await, [""; 0]);
    let guards = Rules { guards: true, ..Rules::default() };
    let found = check(&[("core", files)], guards).await;
    assert_eq!(
        found,
        [
            "track `core`, `1_a.up.sql`, line 1: it creates the table `t` without IF NOT EXISTS",
            "track `core`, `1_a.up.sql`, line 2: it creates the index `i` without IF NOT EXISTS",
            "track `core`, `1_a.up.sql`, line 3: it creates the extension `e` without IF NOT EXISTS",
            "track `core`, `1_a.up.sql`, line 4: it adds the column `c` without IF NOT EXISTS",
            "track `core`, `1_a.down.sql`, line 1: it drops the column `c` without IF EXISTS",
            "track `core`, `1_a.down.sql`, line 2: it drops the extension `e` without IF EXISTS",
            "track `core`, `1_a.down.sql`, line 3: it drops the index `i` without IF EXISTS",
            "track `core`, `1_a.down.sql`, line 4: it drops the table `t` without IF EXISTS",
        ]
    );
    let schemas = Rules { no_schemas: true, ..Rules::default() };
    let found = check(&[("core", files)], schemas).await;
    assert_eq!(
        found,
        [
            "track `core`, `3_c.up.sql`, line 1: it names a schema: CREATE SCHEMA s",
            "track `core`, `3_c.up.sql`, line 2: it names a schema: search_path",
            "track `core`, `3_c.up.sql`, line 3: it names a schema: s.v",
        ]
    );
}

#[tokio::test]
async fn a_start_refuses_what_would_touch_another_track() {
    let Some(fresh) = Fresh::new().await else { return };
    let meddling = || track("search", 1, &[(1, "ALTER TABLE core_1 ADD b int")]);
    let migrator = fresh.migrator([track("core", 1, &[]), meddling()]);
    let error = migrator.up().await.expect_err("refused");
    let Error::Rules(found) = &error else { panic!("{error}") };
    assert!(matches!(found[0].breach, Breach::OtherTrack { .. }), "{error}");
    assert!(!fresh.has("core_schema_migrations").await);

    // What is long applied cannot be changed any more, and does not stop a start.
    fresh.migrator([track("core", 1, &[])]).up().await.expect("up");
    fresh.migrator([meddling()]).up().await.expect("up");
    assert_eq!(migrator.up().await.expect("up").applied(), 0);
    assert_eq!(migrator.check().await.expect("a check").len(), 1);

    // The same name in another schema is another table.
    let apart = track("apart", 1, &[(1, "CREATE TABLE core_1 (); ALTER TABLE core_1 ADD c int")]);
    let migrator = fresh.migrator([track("core", 1, &[]), apart.schema("apart")]);
    assert_eq!(migrator.up().await.expect("up").applied(), 1);
}
