//! Folders of migration files on Bitbucket, against a server that speaks alike.

#![cfg(feature = "hosts")]

use serde_json::{Value, json};
use sternway_source::files::{Environment, Files, FilesError, open_in};

use crate::server::{Reply, Request, Server, chain};

async fn open(server: &Server, url: &str) -> Result<Box<dyn Files>, FilesError> {
    let api = format!("{}/2.0", server.url());
    open_in(url, &Environment::from_iter([("STERNWAY_BITBUCKET_API", api)])).await
}

async fn refused(server: &Server, url: &str) -> String {
    match open(server, url).await {
        Ok(files) => panic!("{url} opened {}", files.place()),
        Err(error) => chain(&error),
    }
}

/// A repository `o/r` with 150 entries in `sql`, in two pages.
fn repository(request: &Request) -> Reply {
    let entry = |number: usize| {
        let kind = if number == 3 { "commit_directory" } else { "commit_file" };
        let attributes = if number == 4 { json!(["link"]) } else { json!([]) };
        json!({ "type": kind, "path": format!("sql/{number}_a.up.sql"), "size": 9,
            "attributes": attributes, "commit": { "hash": "c0ffee" } })
    };
    match (request.path(), request.query("page")) {
        ("/2.0/repositories/o/r", _) => {
            Reply::ok(json!({ "mainbranch": { "name": "trunk" } }).to_string())
        }
        (
            "/2.0/repositories/o/r/refs/branches/feature/x"
            | "/2.0/repositories/o/r/refs/tags/sql/v1",
            _,
        ) => Reply::ok(json!({ "target": { "hash": "trunk" } }).to_string()),
        ("/2.0/repositories/o/r/src/trunk/sql/", None) => {
            let next = "https://api.bitbucket.org/2.0/repositories/o/r/src/c0ffee/sql/?page=a%3D";
            let values: Value = (0..100).map(entry).collect();
            Reply::ok(json!({ "values": values, "next": next }).to_string())
        }
        ("/2.0/repositories/o/r/src/trunk/sql/", Some("a%3D")) => {
            let values: Value = (100..150).map(entry).collect();
            Reply::ok(json!({ "values": values }).to_string())
        }
        ("/2.0/repositories/o/r/src/v1/sql/", _) => {
            Reply::ok(json!({ "values": [], "next": "http://h/?page=2" }).to_string())
        }
        ("/2.0/repositories/o/r/src/v1/README/", _) => Reply::ok("# A readme"),
        ("/2.0/repositories/o/r/src/c0ffee/sql/1_a.up.sql", _) => Reply::ok("SELECT 1;"),
        ("/2.0/repositories/o/r/src/c0ffee/sql/2_a.up.sql", _) => Reply::ok("SELECT 1;").cut(4),
        ("/2.0/repositories/o/r/src/c0ffee/sql/5_a.up.sql", _) => Reply::ok("SELECT"),
        ("/2.0/repositories/o/r/src/c0ffee/sql/6_a.up.sql", _) => Reply::status(500, "<html>"),
        _ => Reply::status(404, json!({ "error": { "message": "No such thing" } }).to_string()),
    }
}

#[tokio::test]
async fn every_page_is_read_and_bodies_come_from_the_same_commit() {
    let server = Server::start(repository).await;
    let files = open(&server, "bitbucket://u:p%40ss@o/r/sql").await.expect("a folder");
    assert_eq!(files.place(), "bitbucket://o/r/sql");
    let names = files.list().await.expect("a listing");
    assert_eq!(names.len(), 149);
    assert!(names.is_sorted() && !names.contains(&"3_a.up.sql".to_owned()));
    assert_eq!(files.read("1_a.up.sql").await.expect("a body"), b"SELECT 1;");
    assert_eq!(
        server.targets(),
        [
            "/2.0/repositories/o/r",
            "/2.0/repositories/o/r/src/trunk/sql/?pagelen=100",
            "/2.0/repositories/o/r/src/trunk/sql/?page=a%3D",
            "/2.0/repositories/o/r/src/c0ffee/sql/1_a.up.sql",
        ]
    );
    for request in server.asked() {
        assert_eq!(request.header("authorization"), Some("Basic dTpwQHNz"));
    }
}

#[tokio::test]
async fn a_branch_or_a_tag_with_a_slash_is_looked_up() {
    let server = Server::start(repository).await;
    for reference in ["feature/x", "sql/v1", "feature%2Fx"] {
        let url = format!("bitbucket://u:p@o/r/sql#{reference}");
        let files = open(&server, &url).await.expect(&url);
        assert_eq!(files.list().await.expect("a listing").len(), 149);
    }
    let text = refused(&server, "bitbucket://u:p@o/r/sql#no/such").await;
    assert!(text.contains("/refs/tags/no/such answered 404 Not Found"), "{text}");
}

#[tokio::test]
async fn what_is_no_body_is_an_error() {
    let server = Server::start(repository).await;
    let files = open(&server, "bitbucket://u:p@o/r/sql#trunk").await.expect("a folder");
    let read = async |name: &str| chain(&files.read(name).await.expect_err(name));
    assert!(read("2_a.up.sql").await.starts_with("no complete answer from "));
    assert!(read("4_a.up.sql").await.ends_with("is not a regular file"));
    assert!(read("5_a.up.sql").await.ends_with("has 9 bytes, of which 6 were received"));
    assert!(read("6_a.up.sql").await.ends_with("answered 500 Internal Server Error"));
    assert!(read("7_a.up.sql").await.ends_with("answered 404 Not Found: No such thing"));
    assert!(read("3_a.up.sql").await.starts_with("there is no file `3_a.up.sql` in"));
}

#[tokio::test]
async fn what_is_no_listing_fails_when_it_is_opened() {
    let server = Server::start(repository).await;
    let refused = async |url: &str| refused(&server, url).await;
    assert!(refused("bitbucket://u:s3cret@o/r/sql#v1").await.ends_with("itself as the next page"));
    assert!(refused("bitbucket://u:s3cret@o/r/README#v1").await.ends_with("the form expected"));
    let gone = refused("bitbucket://u:s3cret@o/r/gone").await;
    assert!(gone.ends_with("answered 404 Not Found: No such thing"), "{gone}");
    assert!(!gone.contains("s3cret"), "{gone}");
    assert_eq!(refused("bitbucket://o/r").await, "no username:password provided");
    assert_eq!(refused("bitbucket://u@o/r").await, "no password/app password");
    assert_eq!(refused("bitbucket://u:p@o").await, "invalid repo");
}
