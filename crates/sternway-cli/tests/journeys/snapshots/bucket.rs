//! Snapshots in a bucket, on a server that speaks as S3 does.

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

/// A server with one bucket.
struct S3 {
    url: String,
    held: Arc<Mutex<Held>>,
}

impl S3 {
    fn start() -> S3 {
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
        S3 { url, held }
    }

    fn run(&self, port: &Port, arguments: &[&str]) -> Run {
        let mut command = port.command(arguments);
        command
            .env("STERNWAY_SNAPSHOT_STORE", "s3://b/snapshots/of")
            .env("AWS_ACCESS_KEY_ID", "key")
            .env("AWS_SECRET_ACCESS_KEY", "not-shown")
            .env("AWS_REGION", "eu-central-1")
            .env("AWS_ENDPOINT_URL", &self.url)
            .env("AWS_ALLOW_HTTP", "true");
        let run = Run::of(command);
        assert!(!run.stdout.contains("not-shown") && !run.stderr.contains("not-shown"));
        run
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
    let mut length = 0;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        let Some((name, value)) = header.trim().split_once(':') else { break };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let query: BTreeMap<&str, &str> =
        query.split('&').map(|it| it.split_once('=').unwrap_or((it, ""))).collect();
    let key = path.strip_prefix("/b").unwrap_or(path).trim_start_matches('/').to_owned();
    let held = &mut *held.lock().expect("a lock");
    let (mut status, mut said) = ("200 OK", Vec::new());
    match method.as_str() {
        "GET" if query.contains_key("list-type") => said = listing(held, &query),
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
            let parts: Vec<_> = held.parts.keys().filter(|(it, _)| *it == key).cloned().collect();
            let whole =
                parts.iter().flat_map(|it| held.parts.remove(it).unwrap_or_default()).collect();
            held.objects.insert(key, whole);
            said = b"<CompleteMultipartUploadResult><ETag>x</ETag></CompleteMultipartUploadResult>"
                .to_vec();
        }
        "PUT" if query.contains_key("partNumber") => {
            held.sent += 1;
            held.parts.insert((key, query["partNumber"].parse().ok()?), body);
        }
        "PUT" => drop(held.objects.insert(key, body)),
        "DELETE" if query.contains_key("uploadId") => held.parts.retain(|(it, _), _| *it != key),
        "DELETE" => {
            held.objects.remove(&key);
            status = "204 No Content";
        }
        _ => status = "501 Not Implemented",
    }
    let sent = if method == "HEAD" { &[][..] } else { &said };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nETag: \"x\"\r\nLast-Modified: Mon, 01 Jan 2024 00:00:00 GMT\r\n\r\n",
        said.len()
    );
    stream.write_all(head.as_bytes()).ok()?;
    stream.write_all(sent).ok()
}

fn listing(held: &Held, query: &BTreeMap<&str, &str>) -> Vec<u8> {
    let prefix = query.get("prefix").map(|it| it.replace("%2F", "/")).unwrap_or_default();
    let (mut contents, mut folders) = (String::new(), std::collections::BTreeSet::new());
    for (key, body) in held.objects.iter().filter(|(key, _)| key.starts_with(&prefix)) {
        match key[prefix.len()..].split_once('/').filter(|_| query.contains_key("delimiter")) {
            Some((folder, _)) => drop(folders.insert(format!("{prefix}{folder}/"))),
            None => contents.push_str(&format!(
                "<Contents><Key>{key}</Key><Size>{}</Size><LastModified>2024-01-01T00:00:00.000Z</LastModified><ETag>\"x\"</ETag></Contents>",
                body.len()
            )),
        }
    }
    let folders: String = folders
        .iter()
        .map(|it| format!("<CommonPrefixes><Prefix>{it}</Prefix></CommonPrefixes>"))
        .collect();
    format!("<ListBucketResult>{contents}{folders}</ListBucketResult>").into()
}

#[test]
fn a_bucket_keeps_snapshots_as_a_folder_does() {
    let Some((server, port)) = postgres::port("bucket") else { return };
    let s3 = S3::start();
    port.run(&["upgrade", "--to", "1.1.0", "--yes"]).ended(0);
    postgres::fill(&server.url);
    let count = || crate::support::ask(&server.url, "SELECT count(*)::text FROM ship");
    s3.run(&port, &["snapshot", "list"])
        .ended(0)
        .says(&["no snapshot of harbour in s3://b/snapshots/of"]);
    s3.run(&port, &["snapshot", "create", "--prove"]).ended(0).says(&["proven"]);
    s3.run(&port, &["snapshot", "create", "--prove", "--snapshot-jobs", "2"])
        .ended(0)
        .says(&["proven"]);
    assert!(
        s3.keys().iter().all(|it| it.starts_with("snapshots/of/harbour/20")),
        "{:?}",
        s3.keys()
    );
    crate::support::execute(&server.url, "DELETE FROM berth; DELETE FROM ship");
    s3.run(&port, &["snapshot", "restore", "latest", "--yes"]).ended(0).says(&["restored"]);
    assert_eq!(count(), "500");
    s3.run(&port, &["snapshot", "prune", "--keep", "1", "--databases", "--yes"])
        .ended(0)
        .says(&["removed snapshot"]);
    // One byte is another one.
    for (key, body) in &mut s3.held.lock().expect("a lock").objects {
        if key.ends_with(".dat.gz") || key.ends_with("toc.dat") {
            let middle = body.len() / 2;
            body[middle] ^= 1;
        }
    }
    s3.run(&port, &["snapshot", "restore", "latest", "--yes"]).ended(3).explains(&["is damaged"]);
    assert_eq!(count(), "500");
    s3.run(&port, &["snapshot", "prune", "--keep", "0", "--yes"]).ended(0);
    assert_eq!(s3.keys(), [""; 0]);
}

#[test]
fn a_large_file_goes_in_parts_and_a_bucket_that_is_away_is_told() {
    let port = sqlite::port();
    let s3 = S3::start();
    let file = port.machine.text("harbour.db");
    port.run(&["upgrade", "--to", "1.0.0", "--yes"]).ended(0);
    sqlite::execute(
        &file,
        "CREATE TABLE big (b blob); INSERT INTO big VALUES (zeroblob(40000000)), (zeroblob(30000000))",
    );
    s3.run(&port, &["snapshot", "create", "--prove"]).ended(0).says(&["proven"]);
    assert_eq!(s3.held.lock().expect("a lock").sent, 3);
    port.run(&["snapshot", "list", "--snapshot-store", "ftp://x"])
        .ended(2)
        .explains(&["none of s3://, gs:// and az://"]);
    let nobody = S3 { url: "http://127.0.0.1:1".to_owned(), held: Arc::default() };
    let mut command = port.command(&["snapshot", "list"]);
    command
        .env("STERNWAY_SNAPSHOT_STORE", "s3://b/snapshots")
        .env("AWS_ACCESS_KEY_ID", "key")
        .env("AWS_SECRET_ACCESS_KEY", "not-shown")
        .env("AWS_ENDPOINT_URL", &nobody.url)
        .env("AWS_ALLOW_HTTP", "true");
    Run::of(command).ended(1).explains(&["cannot list s3://b/snapshots"]);
}
