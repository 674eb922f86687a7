//! Folders of migration files in buckets, against a server that speaks as S3 does. Google Cloud
//! Storage speaks the same.

#![cfg(feature = "buckets")]

use sternway_source::files::{Environment, Files, FilesError, open_in};

use crate::server::{Reply, Request, Server, chain};

async fn open(server: &Server, url: &str) -> Result<Box<dyn Files>, FilesError> {
    let environment = Environment::from_iter([
        ("AWS_ACCESS_KEY_ID", "key"),
        ("AWS_SECRET_ACCESS_KEY", "s3cret"),
        ("AWS_REGION", "eu-central-1"),
        ("AWS_ENDPOINT_URL", &server.url()),
        ("AWS_ALLOW_HTTP", "true"),
        ("AWS_NO_SUCH_THING", "x"),
        ("AWS_SESSION_TOKEN", ""),
        ("STORAGE_EMULATOR_HOST", &server.host),
    ]);
    open_in(url, &environment).await
}

async fn names(server: &Server, url: &str) -> Vec<String> {
    open(server, url).await.expect(url).list().await.expect(url)
}

/// The keys of the bucket `b`.
fn keys() -> Vec<String> {
    let many = (0..2500).map(|number| format!("many/{number}_a.up.sql"));
    let few = ["0_root.up.sql", "p/", "p/1_a.up.sql", "p/2_é x%20+.up.sql", "p/deeper/3_c.up.sql"];
    let others = ["p2/4_d.up.sql", "pq.up.sql", "a/b/5_e.up.sql"];
    let mut keys: Vec<String> = many.chain(few.into_iter().chain(others).map(Into::into)).collect();
    keys.sort();
    keys
}

/// ListObjectsV2 in pages of 1,000, and GetObject.
fn storage(request: &Request) -> Reply {
    let key = match request.path().strip_prefix("/b") {
        Some("" | "/") => return listing(request),
        Some(key) => unescape(key.trim_start_matches('/')),
        None => {
            let error = "<Error><Code>NoSuchBucket</Code><Message>no bucket</Message></Error>";
            return Reply::status(404, error);
        }
    };
    if key == "p/9_broken.up.sql" {
        return Reply::status(500, "<Error><Code>InternalError</Code></Error>");
    }
    if !keys().contains(&key) {
        return Reply::status(404, "<Error><Code>NoSuchKey</Code></Error>");
    }
    object(format!("-- {key}\n"))
}

fn object(body: impl Into<Vec<u8>>) -> Reply {
    Reply::ok(body)
        .with("Last-Modified", "Mon, 01 Jan 2024 00:00:00 GMT")
        .with("ETag", "\"x\"")
        .with("x-goog-generation", "1")
}

fn listing(request: &Request) -> Reply {
    assert_eq!(request.query("list-type"), Some("2"));
    assert_eq!(request.query("delimiter"), Some("%2F"));
    let prefix = unescape(request.query("prefix").unwrap_or_default());
    let after = unescape(request.query("continuation-token").unwrap_or_default());
    let (mut contents, mut folders, mut count, mut next) =
        (String::new(), Vec::new(), 0, String::new());
    for key in keys().into_iter().filter(|key| key.starts_with(&prefix) && **key > *after) {
        if let Some((folder, _)) = key[prefix.len()..].split_once('/') {
            let folder = format!("{prefix}{folder}/");
            if !folders.contains(&folder) {
                folders.push(folder);
            }
            continue;
        }
        if count == 1000 {
            break;
        }
        count += 1;
        contents.push_str(&format!(
            "<Contents><Key>{key}</Key><Size>{}</Size>\
             <LastModified>2024-01-01T00:00:00.000Z</LastModified><ETag>\"x\"</ETag></Contents>",
            key.len() + 4
        ));
        next = key;
    }
    let more = if count == 1000 {
        format!("<NextContinuationToken>{next}</NextContinuationToken>")
    } else {
        String::new()
    };
    let folders: String = folders
        .iter()
        .map(|it| format!("<CommonPrefixes><Prefix>{it}</Prefix></CommonPrefixes>"))
        .collect();
    Reply::ok(format!("<ListBucketResult>{contents}{folders}{more}</ListBucketResult>"))
}

fn unescape(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digits = [rest.next(), rest.next()].map(|it| it.expect("a digit"));
                let digits = str::from_utf8(&digits).expect("digits").to_owned();
                u8::from_str_radix(&digits, 16).expect("a byte")
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).expect("UTF-8")
}

#[tokio::test]
async fn the_prefix_is_trimmed_and_only_its_own_level_is_seen() {
    let server = Server::start(storage).await;
    let own = ["1_a.up.sql", "2_é x%20+.up.sql"];
    for scheme in ["s3", "gcs", "gs", "S3"] {
        for url in ["b/p", "b/p/", "b//p//"] {
            assert_eq!(names(&server, &format!("{scheme}://{url}")).await, own, "{scheme} {url}");
        }
        for url in ["b", "b/"] {
            let root = ["0_root.up.sql", "pq.up.sql"];
            assert_eq!(names(&server, &format!("{scheme}://{url}")).await, root, "{scheme} {url}");
        }
        assert_eq!(names(&server, &format!("{scheme}://b/a/b")).await, ["5_e.up.sql"]);
        assert!(names(&server, &format!("{scheme}://b/none")).await.is_empty());
    }
    let files = open(&server, "gs://b/p/").await.expect("a folder");
    assert_eq!(files.place(), "gs://b/p");
}

#[tokio::test]
async fn more_than_a_thousand_keys_are_listed() {
    let server = Server::start(storage).await;
    for url in ["s3://b/many", "gcs://b/many"] {
        let before = server.asked().len();
        let names = names(&server, url).await;
        assert_eq!(names.len(), 2500);
        assert!(names.is_sorted());
        assert_eq!(server.asked().len() - before, 3, "{url}");
    }
}

#[tokio::test]
async fn objects_are_read_whatever_their_names() {
    let server = Server::start(storage).await;
    for url in ["s3://b/p", "gcs://b/p"] {
        let files = open(&server, url).await.expect(url);
        for name in files.list().await.expect(url) {
            let body = files.read(&name).await.expect(&name);
            assert_eq!(body, format!("-- p/{name}\n").as_bytes());
        }
        let error = files.read("deeper/3_c.up.sql").await.expect_err("not a bare name");
        assert!(matches!(error, FilesError::NoSuchFile { .. }), "{error}");
    }
    let root = open(&server, "s3://b").await.expect("a bucket");
    assert_eq!(root.read("0_root.up.sql").await.expect("a body"), b"-- 0_root.up.sql\n");
    let signed = |request: &Request| request.header("authorization").is_some();
    let asked = server.asked();
    assert!(asked.iter().any(|it| signed(it) && it.header("x-amz-date").is_some()));
    assert!(asked.iter().any(|it| !signed(it)), "an emulator is asked without credentials");
}

#[tokio::test]
async fn an_object_that_vanished_or_breaks_off_is_an_error() {
    let cut = |request: &Request| match &*unescape(request.path()) {
        "/b/p/1_a.up.sql" => storage(request).cut(3),
        "/b/p/2_é x%20+.up.sql" => Reply::status(404, "<Error/>"),
        _ => storage(request),
    };
    let server = Server::start(cut).await;
    for url in ["s3://b/p", "gcs://b/p"] {
        let files = open(&server, url).await.expect(url);
        let error = files.read("1_a.up.sql").await.expect_err("a cut body");
        assert!(matches!(error, FilesError::Bucket { .. }), "{}", chain(&error));
        let error = files.read("2_é x%20+.up.sql").await.expect_err("a vanished object");
        assert!(matches!(error, FilesError::NoSuchFile { .. }), "{}", chain(&error));
    }
}

#[tokio::test]
async fn an_object_without_end_is_not_read_to_its_end() {
    let server = Server::start(|request| match &*unescape(request.path()) {
        "/b/p/1_a.up.sql" => object(vec![b' '; (64 << 20) + 1]),
        _ => storage(request),
    })
    .await;
    for url in ["s3://b/p", "gcs://b/p"] {
        let files = open(&server, url).await.expect(url);
        let error = chain(&files.read("1_a.up.sql").await.expect_err("a body"));
        assert_eq!(error, format!("cannot read {url}: `1_a.up.sql` has more than 64 MB"));
    }
}

#[tokio::test]
async fn what_is_no_listing_fails_when_it_is_opened() {
    let server = Server::start(|request| match request.path() {
        "/garbage" | "/garbage/" => Reply::ok("<html>"),
        "/denied" | "/denied/" => Reply::status(403, "<Error><Code>AccessDenied</Code></Error>"),
        "/broken" | "/broken/" => Reply::status(500, "<Error/>"),
        "/cut" | "/cut/" => Reply::ok("<ListBucketResult></ListBucketResult>").cut(9),
        _ => storage(request),
    })
    .await;
    for scheme in ["s3", "gs"] {
        for bucket in ["garbage", "denied", "broken", "cut", "missing"] {
            let url = format!("{scheme}://us3r:s3cret@{bucket}/p");
            let text = chain(&open(&server, &url).await.err().expect(&url));
            assert!(text.starts_with(&format!("cannot read {scheme}://{bucket}/p: ")), "{text}");
            assert!(!text.contains("s3cret") && !text.contains("us3r"), "{text}");
        }
        let error = open(&server, &format!("{scheme}:///p")).await.err().expect("no bucket");
        assert_eq!(error.to_string(), "invalid host");
    }
}
