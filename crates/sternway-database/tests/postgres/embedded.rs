//! The PostgreSQL inside the process.

#![cfg(feature = "embedded")]

use sternway_database::Connect;
use sternway_database::Work;
use sternway_database::embedded::{Place, connect, connect_in, description};
use sternway_database::port::prelude::*;
use sternway_database::postgres::Postgres;

use crate::support::{at, holds, track, up};

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
