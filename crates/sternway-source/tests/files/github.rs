//! Folders of migration files on GitHub and GitHub Enterprise, against a server that speaks alike.

#![cfg(feature = "hosts")]

use serde_json::{Value, json};
use sternway_source::files::{Environment, Files, FilesError, open_in};

use crate::server::{Reply, Request, Server, chain};

const BODY: &str = "SELECT 'one';\n";
const ENCODED: &str = "U0VMRUNUICdv\nbmUnOwo=\n";
const DIR: &str = "/repos/o/r/contents/db/sql";

async fn open(server: &Server, url: &str) -> Result<Box<dyn Files>, FilesError> {
    let environment = Environment::from_iter([("STERNWAY_GITHUB_API", server.url())]);
    open_in(url, &environment).await
}

async fn refused(server: &Server, url: &str) -> String {
    match open(server, url).await {
        Ok(files) => panic!("{url} opened {}", files.place()),
        Err(error) => chain(&error),
    }
}

fn file(host: &str, name: &str) -> Value {
    let download = format!("http://{host}/raw/{name}?token=download-secret");
    json!({ "type": "file", "name": name, "sha": format!("sha-{name}"), "size": BODY.len(),
        "download_url": download })
}

/// A repository `o/r` with a folder `db/sql`.
fn repository(request: &Request) -> Reply {
    let host = request.header("host").expect("a host");
    let listing = json!([
        file(host, "2_b.up.sql"),
        file(host, "1_a.up.sql"),
        { "type": "dir", "name": "3_dir.up.sql", "sha": "x", "size": 0, "download_url": null },
        { "type": "file", "name": "4_module.up.sql", "sha": "x", "size": 0, "download_url": null },
        { "type": "symlink", "name": "5_link.up.sql", "sha": "x", "size": 3,
          "download_url": format!("http://{host}/raw/5") },
    ]);
    match request.path() {
        DIR | "/api/v3/repos/o/r/contents/db/sql" => Reply::ok(listing.to_string()),
        "/repos/o/r/contents/README" => Reply::ok(json!({ "type": "file" }).to_string()),
        "/repos/o/r/contents/garbage" => Reply::ok("<html>secret page</html>"),
        "/repos/o/r/contents/cut" => Reply::ok(listing.to_string()).cut(40),
        "/repos/o/r/contents/broken" => Reply::status(500, "<html>"),
        "/raw/1_a.up.sql" => Reply::ok(BODY),
        "/repos/o/r/git/blobs/sha-1_a.up.sql" | "/api/v3/repos/o/r/git/blobs/sha-1_a.up.sql" => {
            Reply::ok(
                json!({ "content": ENCODED, "encoding": "base64", "size": BODY.len() }).to_string(),
            )
        }
        _ => Reply::status(404, json!({ "message": "Not Found" }).to_string()),
    }
}

#[tokio::test]
async fn a_public_folder_is_listed_once_and_downloaded() {
    let server = Server::start(repository).await;
    let files = open(&server, "GitHub://o/r/db/sql/").await.expect("a folder");
    assert_eq!(files.place(), "github://o/r/db/sql");
    let names = ["1_a.up.sql", "2_b.up.sql", "5_link.up.sql"];
    assert_eq!(files.list().await.expect("a listing"), names);
    assert_eq!(files.list().await.expect("a listing"), names);
    assert_eq!(files.read("1_a.up.sql").await.expect("a body"), BODY.as_bytes());
    assert_eq!(server.targets(), [DIR, "/raw/1_a.up.sql?token=download-secret"]);
    assert!(server.asked().iter().all(|request| request.header("authorization").is_none()));
    assert!(server.asked()[0].header("user-agent").is_some_and(|it| it.starts_with("sternway/")));

    let error = files.read("9_z.up.sql").await.expect_err("no such file").to_string();
    assert_eq!(error, "there is no file `9_z.up.sql` in github://o/r/db/sql");
    let error = files.read("5_link.up.sql").await.expect_err("a link");
    assert!(matches!(error, FilesError::NotAFile { .. }), "{error}");
}

#[tokio::test]
async fn a_token_is_sent_to_the_service_and_the_reference_is_asked_for() {
    let server = Server::start(repository).await;
    let url = "github://anybody:my%2Ftoken@o/r/db/sql#feature/x";
    let files = open(&server, url).await.expect("a folder");
    assert_eq!(files.place(), "github://o/r/db/sql#feature/x");
    assert_eq!(files.read("1_a.up.sql").await.expect("a body"), BODY.as_bytes());
    assert_eq!(
        server.targets(),
        [format!("{DIR}?ref=feature%2Fx"), "/repos/o/r/git/blobs/sha-1_a.up.sql".to_owned()]
    );
    for request in server.asked() {
        assert_eq!(request.header("authorization"), Some("Bearer my/token"));
    }
}

#[tokio::test]
async fn an_error_page_is_no_migration() {
    let server = Server::start(repository).await;
    let files = open(&server, "github://o/r/db/sql").await.expect("a folder");
    let error = files.read("2_b.up.sql").await.expect_err("it cannot be downloaded");
    let expected = format!(
        "invalid response: {}/raw/2_b.up.sql answered 404 Not Found: Not Found",
        server.url()
    );
    assert_eq!(chain(&error), expected);
}

#[tokio::test]
async fn a_body_that_breaks_off_is_no_migration() {
    let cut = |request: &Request| match repository(request) {
        reply if request.path() == DIR => reply,
        reply => reply.cut(5),
    };
    let server = Server::start(cut).await;
    for url in ["github://o/r/db/sql", "github://u:token@o/r/db/sql"] {
        let files = open(&server, url).await.expect(url);
        let error = files.read("1_a.up.sql").await.expect_err("a cut body");
        assert!(chain(&error).starts_with("no complete answer from http://"), "{error}");
        assert!(!chain(&error).contains("secret"), "{error}");
    }
    let short = |request: &Request| match request.path() {
        DIR => repository(request),
        _ => Reply::ok("SELECT"),
    };
    let server = Server::start(short).await;
    let files = open(&server, "github://o/r/db/sql").await.expect("a folder");
    let error = files.read("1_a.up.sql").await.expect_err("a short body").to_string();
    let expected = "`1_a.up.sql` in github://o/r/db/sql has 14 bytes, of which 6 were received";
    assert_eq!(error, expected);
}

#[tokio::test]
async fn what_is_no_listing_fails_when_it_is_opened() {
    let server = Server::start(repository).await;
    let url = server.url();
    let invalid = format!("invalid response: {url}/repos/o/r/contents");
    let refused = async |path: &str| refused(&server, &format!("github://o/r/{path}")).await;
    assert_eq!(refused("README").await, "no directory");
    assert_eq!(refused("gone").await, format!("{invalid}/gone answered 404 Not Found: Not Found"));
    assert_eq!(
        refused("broken").await,
        format!("{invalid}/broken answered 500 Internal Server Error")
    );
    assert_eq!(
        refused("garbage").await,
        format!("{invalid}/garbage answered something else than JSON of the form expected")
    );
    assert!(refused("cut").await.starts_with("no complete answer from"));
}

#[tokio::test]
async fn no_secret_is_told() {
    let server = Server::start(repository).await;
    for path in ["README", "gone", "broken", "garbage", "cut"] {
        let text = refused(&server, &format!("github://us3r:t0ken@o/r/{path}")).await;
        assert!(!text.contains("us3r") && !text.contains("t0ken"), "{text}");
    }
    let elsewhere = [("STERNWAY_GITHUB_API", "http://us3r:t0ken@127.0.0.1:1/")];
    let error = open_in("github://us3r:t0ken@o/r", &Environment::from_iter(elsewhere)).await;
    let text = chain(&error.err().expect("nobody is there"));
    assert!(text.starts_with("no complete answer from http://127.0.0.1:1/repos/o/r"), "{text}");
    assert!(!text.contains("us3r") && !text.contains("t0ken"), "{text}");
}

#[tokio::test]
async fn urls_without_a_token_or_a_repository_are_refused() {
    let server = Server::start(repository).await;
    let refused = async |url: &str| refused(&server, url).await;
    assert_eq!(refused("github://user@o/r").await, "no username:token provided");
    assert_eq!(refused("github://user:@o/r").await, "no username:token provided");
    assert_eq!(refused("github://o").await, "invalid repo");
    assert_eq!(refused("github:///r").await, "invalid host");
    assert_eq!(refused("github-ee://host/o/r").await, "no username:token provided");
    assert_eq!(refused("github-ee://u:t@host/o").await, "invalid repo");
    assert_eq!(refused("github-ee://u:t@host").await, "invalid repo");
    for url in ["github:o/r", "github://u:t/t@o/r"] {
        assert!(refused(url).await.starts_with("the source URL has no `//`"), "{url}");
    }
    let environment = Environment::from_iter([("STERNWAY_GITHUB_API", "t0ken")]);
    let error = open_in("github://o/r", &environment).await.err().expect("no URL");
    assert_eq!(error.to_string(), "`STERNWAY_GITHUB_API` is not a URL");
    assert!(server.asked().is_empty());
}

#[tokio::test]
async fn a_folder_above_the_limit_of_the_contents_is_read_from_its_tree() {
    let many = |request: &Request| {
        let host = request.header("host").expect("a host");
        match request.path() {
            DIR => {
                let first = (0..1000).map(|number| file(host, &format!("{number}_a.up.sql")));
                Reply::ok(Value::from_iter(first).to_string())
            }
            "/repos/o/r/commits/HEAD" => {
                Reply::ok(json!({ "commit": { "tree": { "sha": "root" } } }).to_string())
            }
            "/repos/o/r/git/trees/root" | "/repos/o/r/git/trees/root-db" => {
                let path = if request.path().ends_with("db") { "sql" } else { "db" };
                let sha = format!("root-{path}");
                let entry = json!({ "path": path, "mode": "040000", "type": "tree", "sha": sha });
                Reply::ok(json!({ "tree": [entry], "truncated": false }).to_string())
            }
            "/repos/o/r/git/trees/root-sql" => {
                let all = (0..1500).map(|number| {
                    let name = format!("{number}_a.up.sql");
                    json!({ "path": name, "mode": if number == 7 { "120000" } else { "100644" },
                        "type": "blob", "sha": format!("sha-{name}"), "size": BODY.len() })
                });
                Reply::ok(json!({ "tree": Value::from_iter(all) }).to_string())
            }
            _ => repository(request),
        }
    };
    let server = Server::start(many).await;
    let files = open(&server, "github://o/r/db/sql").await.expect("a folder");
    assert_eq!(files.list().await.expect("a listing").len(), 1500);
    assert_eq!(files.read("1_a.up.sql").await.err().map(|it| it.to_string()).as_deref(), None);
    let error = files.read("7_a.up.sql").await.expect_err("a link");
    assert!(matches!(error, FilesError::NotAFile { .. }), "{error}");
    assert_eq!(server.asked().len(), 6);
}

#[tokio::test]
async fn a_failure_that_passes_is_tried_again() {
    use std::sync::atomic::{AtomicUsize, Ordering};
    let count = AtomicUsize::new(0);
    let shaky = move |request: &Request| match count.fetch_add(1, Ordering::SeqCst) {
        0 | 1 => Reply::status(503, ""),
        _ => repository(request),
    };
    let server = Server::start(shaky).await;
    let files = open(&server, "github://o/r/db/sql").await.expect("a folder");
    assert_eq!(files.list().await.expect("a listing").len(), 3);
    assert_eq!(server.asked().len(), 3);
}

#[tokio::test]
async fn enterprise_is_asked_with_a_user_and_a_token() {
    let server = Server::start_tls(repository).await;
    let url = format!("github-ee://u:t@{}/o/r/db/sql?verify-tls=false#main", server.host);
    let files = open(&server, &url).await.expect("a folder");
    assert_eq!(files.place(), format!("github-ee://{}/o/r/db/sql#main", server.host));
    assert_eq!(files.read("1_a.up.sql").await.expect("a body"), BODY.as_bytes());
    let targets = server.targets();
    assert_eq!(targets[0], "/api/v3/repos/o/r/contents/db/sql?ref=main");
    assert_eq!(targets[1], "/api/v3/repos/o/r/git/blobs/sha-1_a.up.sql");
    for request in server.asked() {
        assert_eq!(request.header("authorization"), Some("Basic dTp0"));
    }

    for query in ["", "?verify-tls=true", "?verify-tls=nonsense"] {
        let url = format!("github-ee://u:t@{}/o/r/db/sql{query}", server.host);
        let text = refused(&server, &url).await;
        assert!(text.starts_with("no complete answer from https://"), "{text}");
        assert!(text.contains("certificate"), "{text}");
    }
    assert_eq!(server.asked().len(), 2);
}
