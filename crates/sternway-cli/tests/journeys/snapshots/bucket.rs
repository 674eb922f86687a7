//! Snapshots in a bucket, on a server that speaks as S3, Google's and Azure's do.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use super::{Port, postgres, sqlite};
use crate::support::Run;

/// What a bucket holds, and the parts of what is on its way.
#[derive(Default)]
struct Held {
    objects: BTreeMap<String, Vec<u8>>,
    parts: BTreeMap<(String, u32), Vec<u8>>,
    /// How many parts were sent.
    sent: usize,
}

/// Whose words are spoken. Google's are those of S3, but for credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    S3,
    Google,
    Azure,
}

/// A server with one bucket.
pub struct Server {
    kind: Kind,
    url: String,
    held: Arc<Mutex<Held>>,
}

impl Server {
    pub fn start(kind: Kind) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let held = Arc::new(Mutex::new(Held::default()));
        let shared = Arc::clone(&held);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let held = Arc::clone(&shared);
                std::thread::spawn(move || while answer(&stream, &held).is_some() {});
            }
        });
        Server { kind, url, held }
    }

    fn run(&self, port: &Port, arguments: &[&str]) -> Run {
        let mut command = port.command(arguments);
        command.env("STERNWAY_SNAPSHOT_STORE", self.place());
        command.envs(self.environment());
        let run = Run::of(command);
        assert!(!run.stdout.contains("not-shown") && !run.stderr.contains("not-shown"));
        run
    }

    /// What leads a program to it.
    pub fn environment(&self) -> Vec<(&'static str, &str)> {
        match self.kind {
            Kind::S3 => vec![
                ("AWS_ACCESS_KEY_ID", "key"),
                ("AWS_SECRET_ACCESS_KEY", "not-shown"),
                ("AWS_REGION", "eu-central-1"),
                ("AWS_ENDPOINT_URL", &self.url),
                ("AWS_ALLOW_HTTP", "true"),
            ],
            Kind::Google => vec![("STORAGE_EMULATOR_HOST", &self.url)],
            Kind::Azure => vec![
                ("AZURE_STORAGE_USE_EMULATOR", "true"),
                ("AZURITE_BLOB_STORAGE_URL", &self.url),
            ],
        }
    }

    /// Puts an object there.
    pub fn put(&self, key: &str, body: Vec<u8>) {
        self.held.lock().expect("a lock").objects.insert(key.to_owned(), body);
    }

    /// Where the snapshots are.
    fn place(&self) -> &'static str {
        match self.kind {
            Kind::S3 => "s3://b/snapshots/of",
            Kind::Google => "gs://b/snapshots/of",
            Kind::Azure => "az://b/snapshots/of",
        }
    }

    fn keys(&self) -> Vec<String> {
        self.held.lock().expect("a lock").objects.keys().cloned().collect()
    }
}

/// One request and its answer.
fn answer(mut stream: &TcpStream, held: &Mutex<Held>) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
    let mut words = line.split_whitespace();
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let (mut length, mut is_azure) = (0, false);
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        let Some((name, value)) = header.trim().split_once(':') else { break };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().ok()?;
        }
        is_azure |= name.eq_ignore_ascii_case("x-ms-version");
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let query: BTreeMap<&str, &str> =
        query.split('&').map(|it| it.split_once('=').unwrap_or((it, ""))).collect();
    let key = path.strip_prefix("/devstoreaccount1").unwrap_or(path);
    let key = decoded(key.strip_prefix("/b").unwrap_or(key).trim_start_matches('/'));
    let held = &mut *held.lock().expect("a lock");
    let (mut status, mut said) = ("200 OK", Vec::new());
    let mut kind = "application/xml";
    match (method.as_str(), query.get("comp")) {
        ("GET", Some(&"list")) => said = listing(held, &query, true),
        ("PUT", Some(&"block")) => {
            held.sent += 1;
            held.parts.insert((format!("{key} {}", decoded(query["blockid"])), 0), body);
            status = "201 Created";
        }
        ("PUT", Some(&"blocklist")) => {
            // They come in any order.
            let text = String::from_utf8(body).ok()?;
            let ids = text.split("<Uncommitted>").skip(1).filter_map(|it| it.split('<').next());
            let part = |id: &str| held.parts.remove(&(format!("{key} {id}"), 0));
            let whole = ids.map(part).collect::<Option<Vec<_>>>()?.concat();
            held.objects.insert(key, whole);
            status = "201 Created";
        }
        // A list of requests, each of which removes one.
        ("POST", Some(&"batch")) => {
            let text = String::from_utf8(body).ok()?;
            let names = text.lines().filter_map(|it| it.strip_prefix("DELETE "));
            for (number, line) in names.enumerate() {
                let name = line.split(' ').next()?.trim_start_matches('/');
                let name = name.strip_prefix("devstoreaccount1/").unwrap_or(name);
                let gone = held.objects.remove(name.strip_prefix("b/")?).is_some();
                let code = if gone { "202 Accepted" } else { "404 Not Found" };
                let part = format!(
                    "--x\r\nContent-Type: application/http\r\nContent-ID: {number}\r\n\r\nHTTP/1.1 {code}\r\n\r\n\r\n"
                );
                said.extend(part.into_bytes());
            }
            said.extend(b"--x--\r\n");
            (status, kind) = ("202 Accepted", "multipart/mixed; boundary=x");
        }
        ("PUT", None) if is_azure => {
            held.objects.insert(key, body);
            status = "201 Created";
        }
        (_, Some(_)) => status = "501 Not Implemented",
        (method, None) => match method {
            "GET" if query.contains_key("list-type") => said = listing(held, &query, false),
            "GET" | "HEAD" => match held.objects.get(&key) {
                Some(found) => said.clone_from(found),
                None => status = "404 Not Found",
            },
            "POST" if query.contains_key("delete") => {
                let text = String::from_utf8(body).ok()?;
                let keys = text.split("<Key>").skip(1).filter_map(|it| it.split("</Key>").next());
                let gone = keys.map(|key| {
                    held.objects.remove(key);
                    format!("<Deleted><Key>{key}</Key></Deleted>")
                });
                said = format!("<DeleteResult>{}</DeleteResult>", gone.collect::<String>()).into();
            }
            "POST" if query.contains_key("uploads") => {
                said = format!("<InitiateMultipartUploadResult><UploadId>{}</UploadId></InitiateMultipartUploadResult>", key.len()).into();
            }
            "POST" if query.contains_key("uploadId") => {
                assemble(held, key);
                said = b"<CompleteMultipartUploadResult><ETag>x</ETag></CompleteMultipartUploadResult>"
                .to_vec();
            }
            "PUT" if query.contains_key("partNumber") => {
                held.sent += 1;
                held.parts.insert((key, query["partNumber"].parse().ok()?), body);
            }
            "PUT" => drop(held.objects.insert(key, body)),
            "DELETE" if query.contains_key("uploadId") => {
                held.parts.retain(|(it, _), _| *it != key)
            }
            "DELETE" => {
                held.objects.remove(&key);
                status = "204 No Content";
            }
            _ => status = "501 Not Implemented",
        },
    }
    let sent = if method == "HEAD" { &[][..] } else { &said };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nETag: \"x\"\r\nLast-Modified: Mon, 01 Jan 2024 00:00:00 GMT\r\n\r\n",
        said.len()
    );
    stream.write_all(head.as_bytes()).ok()?;
    stream.write_all(sent).ok()
}

/// A text without its escapes.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let digits: Vec<u8> =
            if byte == b'%' { rest.by_ref().take(2).collect() } else { Vec::new() };
        let code = String::from_utf8(digits).ok().and_then(|it| u8::from_str_radix(&it, 16).ok());
        bytes.push(code.unwrap_or(byte));
    }
    String::from_utf8(bytes).expect("UTF-8")
}

/// Makes an object of its parts.
fn assemble(held: &mut Held, key: String) {
    let parts: Vec<_> = held.parts.keys().filter(|(it, _)| *it == key).cloned().collect();
    let whole = parts.iter().flat_map(|it| held.parts.remove(it).unwrap_or_default()).collect();
    held.objects.insert(key, whole);
}

fn listing(held: &Held, query: &BTreeMap<&str, &str>, is_azure: bool) -> Vec<u8> {
    let prefix = query.get("prefix").map(|it| decoded(it)).unwrap_or_default();
    let (mut contents, mut folders) = (String::new(), std::collections::BTreeSet::new());
    for (key, body) in held.objects.iter().filter(|(key, _)| key.starts_with(&prefix)) {
        match key[prefix.len()..].split_once('/').filter(|_| query.contains_key("delimiter")) {
            Some((folder, _)) => drop(folders.insert(format!("{prefix}{folder}/"))),
            None if is_azure => contents.push_str(&format!(
                "<Blob><Name>{key}</Name><Properties><Last-Modified>Mon, 01 Jan 2024 00:00:00 GMT</Last-Modified><Content-Length>{}</Content-Length><Content-Type>x</Content-Type><Etag>\"x\"</Etag></Properties></Blob>",
                body.len()
            )),
            None => contents.push_str(&format!(
                "<Contents><Key>{key}</Key><Size>{}</Size><LastModified>2024-01-01T00:00:00.000Z</LastModified><ETag>\"x\"</ETag></Contents>",
                body.len()
            )),
        }
    }
    let folders: String = folders
        .iter()
        .map(|it| match is_azure {
            true => format!("<BlobPrefix><Name>{it}</Name></BlobPrefix>"),
            false => format!("<CommonPrefixes><Prefix>{it}</Prefix></CommonPrefixes>"),
        })
        .collect();
    if is_azure {
        return format!(
            "<EnumerationResults><Blobs>{contents}{folders}</Blobs></EnumerationResults>"
        )
        .into();
    }
    format!("<ListBucketResult>{contents}{folders}</ListBucketResult>").into()
}

#[test]
fn a_bucket_keeps_snapshots_as_a_folder_does() {
    kept_in(Kind::S3);
}

#[test]
fn a_bucket_of_google_keeps_snapshots_as_a_folder_does() {
    kept_in(Kind::Google);
}

#[test]
fn a_container_of_azure_keeps_snapshots_as_a_folder_does() {
    kept_in(Kind::Azure);
}

fn kept_in(kind: Kind) {
    let test = format!("bucket_{kind:?}").to_lowercase();
    let Some((server, port)) = postgres::port(&test) else { return };
    let bucket = Server::start(kind);
    port.run(&["upgrade", "--to", "1.1.0", "--yes"]).ended(0);
    postgres::fill(&server.url);
    let count = || crate::support::ask(&server.url, "SELECT count(*)::text FROM ship");
    bucket
        .run(&port, &["snapshot", "list"])
        .ended(0)
        .says(&[&format!("no snapshot of harbour in {}", bucket.place())]);
    bucket.run(&port, &["snapshot", "create", "--prove"]).ended(0).says(&["proven"]);
    bucket
        .run(&port, &["snapshot", "create", "--prove", "--snapshot-jobs", "2"])
        .ended(0)
        .says(&["proven"]);
    assert!(
        bucket.keys().iter().all(|it| it.starts_with("snapshots/of/harbour/20")),
        "{:?}",
        bucket.keys()
    );
    crate::support::execute(&server.url, "DELETE FROM berth; DELETE FROM ship");
    bucket.run(&port, &["snapshot", "restore", "latest", "--yes"]).ended(0).says(&["restored"]);
    assert_eq!(count(), "500");
    bucket
        .run(&port, &["snapshot", "prune", "--keep", "1", "--databases", "--yes"])
        .ended(0)
        .says(&["removed snapshot"]);
    // One byte is another one.
    for (key, body) in &mut bucket.held.lock().expect("a lock").objects {
        if key.ends_with(".dat.gz") || key.ends_with("toc.dat") {
            let middle = body.len() / 2;
            body[middle] ^= 1;
        }
    }
    bucket
        .run(&port, &["snapshot", "restore", "latest", "--yes"])
        .ended(3)
        .explains(&["is damaged"]);
    assert_eq!(count(), "500");
    bucket.run(&port, &["snapshot", "prune", "--keep", "0", "--yes"]).ended(0);
    assert_eq!(bucket.keys(), [""; 0]);
}

#[test]
fn a_large_file_goes_in_parts_and_a_bucket_that_is_away_is_told() {
    let port = sqlite::port();
    let file = port.machine.text("harbour.db");
    port.run(&["upgrade", "--to", "1.0.0", "--yes"]).ended(0);
    sqlite::execute(
        &file,
        "CREATE TABLE big (b blob); INSERT INTO big VALUES (zeroblob(40000000)), (zeroblob(30000000))",
    );
    for kind in [Kind::S3, Kind::Google, Kind::Azure] {
        let bucket = Server::start(kind);
        bucket.run(&port, &["snapshot", "create", "--prove"]).ended(0).says(&["proven"]);
        assert_eq!(bucket.held.lock().expect("a lock").sent, 3, "{kind:?}");
    }
    port.run(&["snapshot", "list", "--snapshot-store", "ftp://x"])
        .ended(2)
        .explains(&["none of s3://, gs:// and az://"]);
    let mut command = port.command(&["snapshot", "list"]);
    command
        .env("STERNWAY_SNAPSHOT_STORE", "s3://b/snapshots")
        .env("AWS_ACCESS_KEY_ID", "key")
        .env("AWS_SECRET_ACCESS_KEY", "not-shown")
        .env("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
        .env("AWS_ALLOW_HTTP", "true");
    Run::of(command).ended(1).explains(&["cannot list s3://b/snapshots"]);
}
