//! The PostgreSQL inside the process.

#![cfg(feature = "embedded")]

use sternway_database::Connect;
use sternway_database::Work;
use sternway_database::embedded::{Place, connect, connect_in, description};
use sternway_database::port::prelude::*;
use sternway_database::postgres::Postgres;

use crate::support::{TABLE, at, holds, track, up, whole};

/// What is remembered of the server is remembered by its version.
#[test]
fn the_description_names_the_version_that_is_built_in() {
    let lock = include_str!("../../../../Cargo.lock");
    let described = description();
    let (name, version) = described.split_once(' ').expect("a name and a version");
    let version = version.split(' ').next().expect("a version");
    assert!(lock.contains(&format!("name = \"{name}\"\nversion = \"{version}\"\n")), "{described}");
}

const VECTOR: &str = "EXISTS (SELECT FROM pg_extension WHERE extname = 'vector')";

async fn opened(place: &Place) -> Postgres {
    let wanted = ["vector".to_owned(), "no_such_extension".to_owned()];
    connect(place, &wanted).await.expect("the embedded PostgreSQL")
}

#[tokio::test]
async fn two_at_once_know_nothing_of_each_other() {
    let wanted = ["vector".to_owned()];
    let (one, two) = tokio::join!(
        connect(&Place::Temporary, &wanted),
        connect_in(&Place::Temporary, &[], "My app")
    );
    let (mut one, mut two) = (one.expect("one"), two.expect("two"));
    one.migrate(&Work::of(&up(1, "CREATE EXTENSION vector"), "CREATE EXTENSION vector", None))
        .await
        .expect("a step");
    assert_eq!(one.identity().schema, "public");
    assert!(one.identity().server.starts_with("PostgreSQL 17"), "{:?}", one.identity());
    assert!(one.extensions().await.expect("extensions").contains("vector"));

    // Another schema, also after a body that sets the search path.
    assert_eq!(two.identity().schema, "My app");
    let body = "SET search_path TO public; CREATE TABLE a (x int)";
    two.migrate(&Work::of(&up(2, body), body, None)).await.expect("a step");
    two.migrate(&Work::of(&up(3, "CREATE TABLE b (x int)"), "CREATE TABLE b (x int)", None))
        .await
        .expect("a step");
    assert_eq!(track(&mut two).await, at(3));
    holds(&mut two, "current_schema() = 'My app' AND to_regclass('\"My app\".b') IS NOT NULL")
        .await;
    assert_eq!(
        two.tables(&[]).await.expect("tables").into_iter().collect::<Vec<_>>(),
        ["b", "schema_migrations"]
    );
    assert_eq!(track(&mut one).await, at(1));
}

#[tokio::test]
async fn what_is_kept_is_there_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let place = Place::Kept(folder.path().join("data"));
    for round in 1..=4 {
        let mut session = opened(&place).await;
        let (body, expected) = match round {
            1 => ("CREATE EXTENSION vector; CREATE TABLE t AS SELECT '[1,2]'::vector AS v", false),
            2 => ("DROP TABLE t; DROP EXTENSION vector", true),
            3 => ("CREATE EXTENSION vector", false),
            _ => ("SELECT '[1,2]'::vector", true),
        };
        holds(&mut session, &format!("{VECTOR} = {expected}")).await;
        if round > 1 {
            assert_eq!(track(&mut session).await, at(round - 1));
        }
        session.migrate(&Work::of(&up(round, body), body, None)).await.expect(body);
    }
    // Opened without a wish, it still has what it has.
    let mut session = connect(&place, &[]).await.expect("the embedded PostgreSQL");
    holds(&mut session, VECTOR).await;
    session.execute("SELECT '[1,2]'::vector").await.expect("a vector");
}

#[tokio::test]
async fn a_kept_one_is_open_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let place = Place::Kept(folder.path().join("data"));
    let session = connect(&place, &[]).await.expect("the embedded PostgreSQL");
    let error = connect(&place, &[]).await.err().expect("a refusal");
    assert!(matches!(error, Connect::Embedded(_)), "{error:?}");
    drop(session);
    connect(&place, &[]).await.expect("the embedded PostgreSQL");
}

#[tokio::test]
async fn a_place_that_cannot_be_is_refused() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let error = connect(&Place::Kept(file.path().to_owned()), &[]).await.err().expect("a refusal");
    assert!(matches!(error, Connect::Embedded(_)), "{error:?}");
}

#[test]
fn a_place_is_read_from_a_url() {
    assert_eq!(Place::parse("embedded:"), Some(Place::Temporary));
    assert_eq!(Place::parse("embedded:a/b"), Some(Place::Kept("a/b".into())));
    assert_eq!(Place::parse("postgres://h/embedded:"), None);
}

/// Known answers: RFC 2202 and 4231, FIPS 180, and what the extensions' own documentation computes.
#[tokio::test]
async fn what_stands_in_for_an_extension_does_what_it_does_or_says_that_it_cannot() {
    let mut session = connect(&Place::Temporary, &[]).await.expect("the embedded PostgreSQL");
    let body = "CREATE SCHEMA other; CREATE EXTENSION \"uuid-ossp\"; CREATE EXTENSION IF NOT EXISTS pgcrypto WITH SCHEMA other;
        CREATE TABLE t (id uuid PRIMARY KEY DEFAULT uuid_generate_v4(), h bytea GENERATED ALWAYS AS (other.digest('x', 'sha1')) STORED);
        INSERT INTO t DEFAULT VALUES";
    session.migrate(&Work::of(&up(1, body), body, None)).await.expect("a step");
    for condition in [
        "other.digest('abc', 'sha1') = '\\xa9993e364706816aba3e25717850c26c9cd0d89d'",
        "other.digest('', 'sha1') = '\\xda39a3ee5e6b4b0d3255bfef95601890afd80709'",
        "other.digest(repeat('a', 119), 'sha1') = '\\xee971065aaa017e0632a8ca6c77bb3bf8b1dfc56'",
        "other.digest('abc'::bytea, 'MD5') = '\\x900150983cd24fb0d6963f7d28e17f72'",
        "other.hmac('what do ya want for nothing?', 'Jefe', 'sha1') = '\\xeffcdf6ae5eb2fa2d27416d5f184df9c259a7c79'",
        "other.hmac('what do ya want for nothing?', 'Jefe', 'sha256') = '\\x5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843'",
        "other.hmac('Test Using Larger Than Block-Size Key - Hash Key First'::bytea, decode(repeat('aa', 131), 'hex'), 'sha512')
            = '\\x80b24263c7c1a3ebb71493c1dd7be8b49b46d1f41b4aeec1121b013783f8f3526b56d037e05f2598bd0fd2215d6a1e5295e64f73f63f0aec8b915a985d786598'",
        "length(other.gen_random_bytes(100)) = 100",
        "uuid_generate_v5(uuid_ns_dns(), 'www.example.com') = '2ed6657d-e927-568b-95e1-2665a8aea6a2'",
        "uuid_generate_v3(uuid_ns_dns(), 'www.example.com') = '5df41881-3aed-3515-88a7-2f4a814cf09e'",
        "uuid_generate_v1()::text LIKE '________-____-1___-____-____________'",
        "uuid_nil()::text = '00000000-0000-0000-0000-000000000000'",
        "(SELECT count(*) = 1 FROM t)",
    ] {
        holds(&mut session, condition).await;
    }
    let body = "SELECT other.crypt('secret', other.gen_salt('bf'))";
    let error = session.migrate(&Work::of(&up(2, body), body, None)).await.expect_err("no crypt");
    assert!(whole(&error).contains("has no gen_salt() of the extension pgcrypto"), "{error:?}");
    let found = session.fingerprint(&[TABLE.to_owned()]).await.expect("a fingerprint");
    let kinds = |kind: &str| -> Vec<String> {
        let objects = found.objects.keys().filter(|it| it.kind == kind);
        objects.map(|it| it.name.clone()).collect()
    };
    assert_eq!(kinds("extension"), ["\"uuid-ossp\"", "pgcrypto"]);
    assert_eq!(kinds("function"), [""; 0], "{found:?}");
}
