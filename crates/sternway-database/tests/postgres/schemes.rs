//! The schemes of golang-migrate's URLs, and their parameters, beside golang-migrate itself.

use sternway_database::port::prelude::*;
use sternway_database::postgres::{connect, connect_like_golang_migrate};
use sternway_database::{Connect, Work, dialect};
use sternway_model::body::Mode;

use crate::support::{
    self, GolangMigrate, as_scheme, ask, at, execute, fresh, holds, session, up, variable,
};

const SCHEMES: [&str; 12] = [
    "postgres",
    "postgresql",
    "pgx",
    "pgx4",
    "pgx5",
    "cockroach",
    "cockroachdb",
    "crdb-postgres",
    "yugabyte",
    "yugabytedb",
    "ysql",
    "redshift",
];

#[tokio::test]
async fn every_scheme_migrates() {
    for scheme in SCHEMES {
        let Some(fresh) = fresh().await else { return };
        let url = as_scheme(scheme, &fresh.url(), "");
        let mut database = dialect::connect(&url, None).await.expect(scheme);
        let table = database.tracking_table().to_owned();
        let default = if matches!(scheme, "yugabyte" | "yugabytedb" | "ysql") {
            "migrations"
        } else {
            "schema_migrations"
        };
        assert_eq!(table, default, "{scheme}");
        database.prepare_track(&table).await.expect(scheme);
        let mut step = up(1, "CREATE TABLE a (x int); SET search_path TO nowhere");
        step.table = table.clone();
        let body = "CREATE TABLE a (x int); SET search_path TO nowhere";
        database.migrate(&Work::of(&step, body, None)).await.expect(scheme);
        assert_eq!(database.track(&table).await.expect(scheme), at(1), "{scheme}");
        let mut step = up(2, "VACUUM");
        step.table = table.clone();
        database.migrate(&Work::of(&step, "VACUUM", None)).await.expect(scheme);
        assert_eq!(database.track(&table).await.expect(scheme), at(2), "{scheme}");
    }
}

#[tokio::test]
async fn a_bad_value_is_refused_in_golang_migrates_words() {
    let Some(fresh) = fresh().await else { return };
    let Some(migrate) = GolangMigrate::with(&[("1_a.up.sql", "SELECT 1")]) else { return };
    for parameters in [
        "x-migrations-table-quoted=yeppers",
        "x-multi-statement=yes",
        "x-multi-statement-max-size=1k",
        "x-statement-timeout=abc",
        "x-statement-timeout=99999999999999999999",
        "x-migrations-table-quoted=1&x-migrations-table=a",
        "x-migrations-table-quoted=T&x-migrations-table=%22a",
        "x-migrations-table-quoted=1&x-migrations-table=%22a%22.%22b%22.%22c%22",
    ] {
        let url = format!("{}&{parameters}", fresh.url());
        let (success, said) = migrate.run_at(&url, &["version"]);
        let Some(Connect::Url(text)) = connect(&url, None).await.err() else {
            panic!("{parameters} was to be refused")
        };
        assert!(!success && said.ends_with(&format!("database: {text}")), "{said}\n{text}");
    }
    // Where golang-migrate panics.
    let url = format!("{}&x-migrations-table-quoted=true", fresh.url());
    let error = connect(&url, None).await.err().expect("a refusal").to_string();
    assert!(error.contains("x-migrations-table must be quoted"), "{error}");
}

#[tokio::test]
async fn parameters_with_an_x_never_reach_the_server() {
    let Some(fresh) = fresh().await else { return };
    session(&format!("{}&x-custom=foobar", fresh.url())).await;
    let error = connect(&format!("{}&custom=foobar", fresh.url()), None).await.err();
    let Some(Connect::Setting { reason, .. }) = error else { panic!("{error:?}") };
    assert_eq!(reason, "unrecognized configuration parameter \"custom\"");
}

#[tokio::test]
async fn without_an_sslmode_a_server_without_tls_is_refused_where_golang_migrate_refuses_it() {
    let Some(fresh) = support::Fresh::on("STERNWAY_TEST_PGVECTOR_URL").await else { return };
    let mut address = fresh.address();
    address.set_query(None);
    for scheme in SCHEMES {
        let url = as_scheme(scheme, address.as_str(), "");
        connect(&url, None).await.expect("a session");
        let strictly = connect_like_golang_migrate(&url, None).await;
        if scheme.starts_with("pgx") {
            strictly.expect("a session");
        } else {
            assert!(matches!(strictly.err(), Some(Connect::Tls { .. })), "{scheme}");
        }
        let url = as_scheme(scheme, address.as_str(), "?sslmode=disable");
        connect_like_golang_migrate(&url, None).await.expect("a session");
    }
    let Some(migrate) = GolangMigrate::with(&[("1_a.up.sql", "SELECT 1")]) else { return };
    let (success, said) = migrate.run_at(address.as_str(), &["up"]);
    assert!(!success && said.contains("SSL is not enabled on the server"), "{said}");
}

#[tokio::test]
async fn a_socket_needs_no_tls() {
    let Some(fresh) = fresh().await else { return };
    let Some(folder) = variable("STERNWAY_TEST_PG_SOCKET") else { return };
    let address = fresh.address();
    let (port, password) = (address.port().expect("a port"), address.password().expect("one"));
    let url = format!("postgres://postgres:{password}@/{}?host={folder}&port={port}", fresh.name);
    let mut session = connect_like_golang_migrate(&url, None).await.expect("a session");
    holds(&mut session, "inet_server_addr() IS NULL").await;
}

/// What a body finds in the session is what it finds in golang-migrate's.
#[tokio::test]
async fn a_session_has_golang_migrates_settings() {
    let Some(mut fresh) = fresh().await else { return };
    let mut watch = fresh.watch().await;
    let look = |name: &str| format!("CREATE TABLE {name} AS SELECT name, setting FROM pg_settings");
    let (role, mut url) = fresh.role("secret").await;
    execute(&mut watch, &format!("GRANT ALL ON SCHEMA public TO {role}")).await;
    let database = format!("ALTER DATABASE {} SET timezone TO 'Europe/Berlin'", fresh.name);
    let user = format!("ALTER ROLE {role} SET timezone TO 'Asia/Kolkata'");
    let query = url.query().unwrap_or_default().to_owned();
    for (change, parameters, zone) in [
        ("SELECT 1", "", "Etc/UTC"),
        (database.as_str(), "", "Europe/Berlin"),
        (user.as_str(), "", "Asia/Kolkata"),
        ("SELECT 1", "&TimeZone=America/Lima", "America/Lima"),
        ("SELECT 1", "&options=-c%20timezone%3DAsia/Tokyo", "Asia/Tokyo"),
    ] {
        execute(&mut watch, change).await;
        url.set_query(Some(&format!("{query}{parameters}")));
        let Some(migrate) = GolangMigrate::with(&[("1_a.up.sql", &look("theirs"))]) else { return };
        let (success, said) = migrate.run_at(url.as_str(), &["up"]);
        assert!(success, "{said}");
        let mut session = session(url.as_str()).await;
        let body = look("ours");
        for version in 2..4 {
            let done = session.migrate(&Work::of(&up(version, &body), &body, None)).await;
            done.expect("a body");
            let found: String =
                ask(&mut watch, "SELECT setting FROM ours WHERE name = 'TimeZone'").await;
            assert_eq!(found, zone, "{parameters}");
            let differing: Vec<String> = ask(
                &mut watch,
                "SELECT coalesce(array_agg(name || ' ' || o.setting || ' ' || t.setting), '{}')
                 FROM ours o JOIN theirs t USING (name)
                 WHERE o.setting <> t.setting AND name <> 'application_name'",
            )
            .await;
            assert!(differing.is_empty(), "{parameters}: {differing:?}");
            execute(&mut watch, "DROP TABLE ours").await;
        }
        execute(&mut watch, "DROP TABLE theirs, schema_migrations").await;
    }
}

#[tokio::test]
async fn in_multi_statement_mode_each_statement_is_sent_by_itself() {
    let Some(fresh) = fresh().await else { return };
    let url = format!("{}&x-multi-statement=true&x-multi-statement-max-size=1", fresh.url());
    let mut session = session(&url).await;
    let body = "CREATE TABLE a (x int); CREATE INDEX CONCURRENTLY i ON a (x);\n\
                INSERT INTO a VALUES (1); SELECT 'a;b' FROM nowhere";
    let mut step = up(1, body);
    step.mode = session.facts("SELECT 1").mode;
    assert!(matches!(&step.mode, Mode::Dirty { reason } if reason.contains("x-multi-statement")));
    session.migrate(&Work::of(&step, body, None)).await.expect_err("no such table");
    holds(&mut session, "(SELECT x = 1 FROM a) AND to_regclass('i') IS NOT NULL").await;
    let one = support::session(&fresh.url()).await;
    assert_eq!(one.facts("SELECT 1").mode, Mode::Transaction);
}
