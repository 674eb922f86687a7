//! Folders of migration files on GitLab, against a server that speaks alike.

#![cfg(feature = "hosts")]

use serde_json::{Value, json};
use sternway_source::files::{Environment, Files, FilesError, open_in};

use crate::server::{Reply, Request, Server, chain};

const TREE: &str = "/api/v4/projects/12/repository/tree";

async fn open(server: &Server, url: &str) -> Result<Box<dyn Files>, FilesError> {
    let api = format!("{}/api/v4", server.url());
    open_in(url, &Environment::from_iter([("STERNWAY_GITLAB_API", api)])).await
}

async fn refused(server: &Server, url: &str) -> String {
    match open(server, url).await {
        Ok(files) => panic!("{url} opened {}", files.place()),
        Err(error) => chain(&error),
    }
}

fn entries(range: std::ops::Range<usize>) -> Value {
    let entry = |number| {
        let (kind, mode) = match number {
            3 => ("tree", "040000"),
            4 => ("blob", "120000"),
            _ => ("blob", "100644"),
        };
        json!({ "name": format!("{number}_a.up.sql"), "type": kind, "mode": mode })
    };
    range.map(entry).collect()
}

/// A project 12 with 250 entries in `sql` and in its root.
fn project(request: &Request) -> Reply {
    let page: usize = request.query("page").and_then(|page| page.parse().ok()).unwrap_or(1);
    match request.path() {
        TREE => {
            assert_eq!(request.query("per_page"), Some("100"));
            let page_entries = entries((page - 1) * 100..(page * 100).min(250));
            let next = if page < 3 { (page + 1).to_string() } else { String::new() };
            Reply::ok(page_entries.to_string()).with("X-Next-Page", next)
        }
        "/api/v4/projects/12/repository/files/sql%2F1_a.up.sql"
        | "/api/v4/projects/12/repository/files/1_a.up.sql" => Reply::ok(
            json!({ "content": "U0VMRUNUIDE7", "encoding": "base64", "size": 9 }).to_string(),
        ),
        "/api/v4/projects/12/repository/files/sql%2F2_a.up.sql" => {
            Reply::ok(json!({ "content": "U0VMRUNU", "encoding": "base64", "size": 9 }).to_string())
        }
        "/api/v4/projects/12/repository/files/sql%2F5_a.up.sql" => {
            Reply::ok(json!({ "content": "U0VMRUNUIDE7", "encoding": "base64" }).to_string())
                .cut(20)
        }
        "/api/v4/projects/12/repository/files/sql%2F6_a.up.sql" => {
            let text = json!({ "content": "!", "encoding": "base64", "size": 1 });
            Reply::ok(text.to_string())
        }
        _ => Reply::status(404, json!({ "message": "404 Project Not Found" }).to_string()),
    }
}

#[tokio::test]
async fn every_page_is_read_and_bodies_are_decoded() {
    let server = Server::start(project).await;
    let files = open(&server, "gitlab://u:t0ken@ignored/12/sql#v1/x").await.expect("a folder");
    assert_eq!(files.place(), "gitlab://ignored/12/sql#v1/x");
    let names = files.list().await.expect("a listing");
    assert_eq!(names.len(), 249);
    assert!(names.is_sorted() && !names.contains(&"3_a.up.sql".to_owned()));
    assert_eq!(files.read("1_a.up.sql").await.expect("a body"), b"SELECT 1;");
    let targets = server.targets();
    assert_eq!(targets.len(), 4);
    assert_eq!(targets[0], format!("{TREE}?per_page=100&page=1&path=sql&ref=v1%2Fx"));
    assert!(targets[3].ends_with("sql%2F1_a.up.sql?ref=v1%2Fx"), "{}", targets[3]);
    for request in server.asked() {
        assert_eq!(request.header("private-token"), Some("t0ken"));
    }
}

#[tokio::test]
async fn the_root_of_a_project_can_be_read() {
    let server = Server::start(project).await;
    let files = open(&server, "gitlab://u:t@/12").await.expect("a folder");
    assert_eq!(files.read("1_a.up.sql").await.expect("a body"), b"SELECT 1;");
    assert!(server.targets()[3].ends_with("files/1_a.up.sql?ref=HEAD"));
}

#[tokio::test]
async fn a_server_that_names_no_next_page_is_asked_until_a_page_is_not_full() {
    let bare = |request: &Request| {
        let page: usize = request.query("page").and_then(|page| page.parse().ok()).unwrap_or(1);
        Reply::ok(entries((page - 1) * 100..(page * 100).min(250)).to_string())
    };
    let server = Server::start(bare).await;
    let files = open(&server, "gitlab://u:t@h/12/sql").await.expect("a folder");
    assert_eq!(files.list().await.expect("a listing").len(), 249);

    let total = |request: &Request| {
        let page: usize = request.query("page").and_then(|page| page.parse().ok()).unwrap_or(1);
        Reply::ok(entries(page * 10..page * 10 + 2).to_string()).with("X-Total-Pages", "2")
    };
    let server = Server::start(total).await;
    let files = open(&server, "gitlab://u:t@h/12/sql").await.expect("a folder");
    assert_eq!(files.list().await.expect("a listing").len(), 4);
}

#[tokio::test]
async fn what_is_no_body_is_an_error() {
    let server = Server::start(project).await;
    let files = open(&server, "gitlab://u:t@h/12/sql").await.expect("a folder");
    let read = async |name: &str| chain(&files.read(name).await.expect_err(name));
    let invalid = "invalid response: ";
    assert!(read("2_a.up.sql").await.ends_with("a body of another size than it says"));
    assert!(read("5_a.up.sql").await.starts_with("no complete answer from "));
    assert!(read("6_a.up.sql").await.ends_with("a body not in base64"));
    let gone = read("7_a.up.sql").await;
    assert!(gone.starts_with(invalid) && gone.ends_with("404 Project Not Found"), "{gone}");
    assert_eq!(read("4_a.up.sql").await, "`4_a.up.sql` in gitlab://h/12/sql is not a regular file");
    assert_eq!(read("3_a.up.sql").await, "there is no file `3_a.up.sql` in gitlab://h/12/sql");
}

#[tokio::test]
async fn the_token_does_not_follow_a_redirection() {
    let thief = Server::start(|_| Reply::ok("[]")).await;
    let target = thief.url();
    let server =
        Server::start(move |_| Reply::status(302, "").with("Location", target.clone())).await;
    let text = refused(&server, "gitlab://u:t0ken@h/12").await;
    assert!(text.contains("302 Found") && !text.contains("t0ken"), "{text}");
    assert!(thief.asked().is_empty());
}

#[tokio::test]
async fn urls_without_a_token_or_a_project_are_refused() {
    let server = Server::start(project).await;
    let refused = async |url: &str| refused(&server, url).await;
    assert_eq!(refused("gitlab://h/12").await, "no username:token provided");
    assert_eq!(refused("gitlab://u@h/12").await, "no access token");
    assert_eq!(refused("gitlab://u:t@h/").await, "invalid project id");
    assert!(server.asked().is_empty());
    let text = refused("gitlab://u:t0ken@h/13").await;
    assert!(text.ends_with("answered 404 Not Found: 404 Project Not Found"), "{text}");
    let text = refused("gitlab://u:t0%0Aken@h/12").await;
    assert!(text.starts_with("no complete answer") && !text.contains("ken@"), "{text}");
    let error = open_in("gitlab://u:t@h h/12", &Environment::default()).await.err();
    assert_eq!(error.expect("no host").to_string(), "invalid host");
}

#[tokio::test]
async fn an_answer_without_end_is_not_read_to_its_end() {
    let server = Server::start(|request| match request.path() {
        TREE => Reply::ok(entries(0..2).to_string()),
        _ => Reply::ok(vec![b' '; (64 << 20) + 1]),
    })
    .await;
    let files = open(&server, "gitlab://u:t0ken@ignored/12/sql").await.expect("a folder");
    let error = chain(&files.read("1_a.up.sql").await.expect_err("a body"));
    assert!(error.ends_with("1_a.up.sql answered more than 64 MB"), "{error}");
}
