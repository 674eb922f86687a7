//! Repositories on other hosts, served by git itself.

#![cfg(feature = "git")]

use std::path::Path;
use std::time::{Duration, Instant};

use sternway_source::{Location, Reading, SourceError, Warning, read};
use sternway_testing::{GitHost, Reply};

use crate::common::{Place, chain, files, layout, read_git};

/// A folder with the repository `owner/app.git` of three releases, and its host.
fn hosted() -> (Place, Place, GitHost) {
    let place = Place::one_release();
    place.write("sql/core/2_b.up.sql", "SELECT 2;\n");
    place.write("docs/large.txt", "x".repeat(1 << 20));
    place.commit();
    place.git(&["tag", "--annotate", "v1.1.0", "--message", "a release"]);
    place.write("sql/core/3_c.up.sql", b"\xff");
    place.release("v1.2.0");
    place.git(&["tag", "nightly"]);
    let root = Place::empty();
    place.git(&[
        "clone",
        "--quiet",
        "--bare",
        ".",
        &root.join("owner/app.git").display().to_string(),
    ]);
    let host = GitHost::serve(root.path());
    (place, root, host)
}

fn at(host: &GitHost) -> Location {
    format!("git+{}/owner/app.git", host.url).parse().expect("a location")
}

fn reading(location: &Location, cache: Option<&Path>) -> Result<Reading, SourceError> {
    read(location, &layout(), cache)
}

#[test]
fn it_is_read_as_a_clone_is() {
    let (place, _root, host) = hosted();
    let expected = read_git(place.path()).expect("a repository");
    assert_eq!(reading(&at(&host), None).expect("a host"), expected);
    // Two to begin, the commits, three levels of trees, and the files.
    let asked = host.asked();
    assert!(asked.len() <= 7, "{asked:#?}");
    let answered: usize = asked.iter().map(|it| it.answered).sum();
    assert!(answered < 10_000, "the large file was sent: {answered} bytes");
}

#[test]
fn a_host_that_sends_all_or_nothing_is_read_too() {
    let (place, _root, host) = hosted();
    host.never_filters();
    assert_eq!(
        reading(&at(&host), None).expect("a host"),
        read_git(place.path()).expect("a repository")
    );
    assert_eq!(host.asked().len(), 3);
}

#[test]
fn what_is_known_is_not_asked_for_again() {
    let (place, root, host) = hosted();
    let cache = Place::empty();
    let first = reading(&at(&host), Some(cache.path())).expect("a host");
    host.asked();
    assert_eq!(reading(&at(&host), Some(cache.path())).expect("a host"), first);
    assert_eq!(host.asked().len(), 1);
    place.write("sql/core/4_d.up.sql", "SELECT 4;\n");
    place.release("v1.3.0");
    place.git(&["push", "--quiet", &root.join("owner/app.git").display().to_string(), "v1.3.0"]);
    let second = reading(&at(&host), Some(cache.path())).expect("a host");
    assert_eq!(second, read_git(place.path()).expect("a repository"));
    assert!(host.asked().len() <= 6);
}

#[test]
fn without_an_answer_what_is_known_counts_and_that_is_told() {
    let (_place, _root, host) = hosted();
    let cache = Place::empty();
    let location = at(&host);
    let first = reading(&location, Some(cache.path())).expect("a host");
    let limited = Reply::status("429 Too Many Requests").with("Retry-After: 30");
    let limited_by_github = Reply::status("403 Forbidden")
        .with("X-RateLimit-Remaining: 0")
        .with("X-RateLimit-Reset: 4102444800");
    for (reply, words) in [
        (limited, "was asked too often, and answers again at"),
        (limited_by_github, "was asked too often, and answers again at 2100-01-01 00:00:00 UTC"),
        (Reply::status("500 Internal Server Error"), "answered 500"),
    ] {
        host.next(Some(reply.clone()));
        let offline = reading(&location, Some(cache.path())).expect("what is known");
        assert_eq!(offline.catalog, first.catalog);
        let away = offline.warnings.iter().find(|it| matches!(it, Warning::Away { .. }));
        assert!(away.is_some_and(|it| it.to_string().contains(words)), "{:?}", offline.warnings);
        // Without a cache it is an error, with the same words.
        host.next(Some(reply));
        let error = chain(&reading(&location, None).expect_err("nothing is known"));
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn a_failure_that_passes_is_not_noticed() {
    let (place, _root, host) = hosted();
    host.next(Some(Reply::status("503 Service Unavailable")));
    host.next(Some(Reply::status("502 Bad Gateway")));
    assert_eq!(
        reading(&at(&host), None).expect("a host"),
        read_git(place.path()).expect("a repository")
    );
}

#[test]
fn a_repository_that_has_moved_is_followed() {
    let (_place, _root, host) = hosted();
    let cache = Place::empty();
    let first = reading(&at(&host), Some(cache.path())).expect("a host");
    let old: Location = format!("git+{}/before/app.git", host.url).parse().expect("a location");
    host.moves("/before", "/owner");
    let moved = reading(&old, Some(cache.path())).expect("a host");
    assert_eq!(moved.catalog, first.catalog);
    host.asked();
    // It is known where it is now.
    assert_eq!(reading(&old, Some(cache.path())).expect("a host").catalog, first.catalog);
    assert_eq!(
        host.asked().iter().map(|it| &*it.what).collect::<Vec<_>>(),
        ["POST /owner/app.git/git-upload-pack"]
    );
    // And found anew where it was known to be.
    host.moves("/owner", "/third");
    std::fs::rename(_root.join("owner"), _root.join("third")).expect("a folder");
    assert_eq!(reading(&at(&host), Some(cache.path())).expect("a host").catalog, first.catalog);
}

#[test]
fn who_asks_is_told_to_the_host_alone() {
    let (_place, _root, host) = hosted();
    host.asks_for(Some("Basic bWU6cyEkcmV0"));
    let named = format!("git+http://me:s!$ret@{}/owner/app.git", host.authority);
    reading(&named.parse().expect("a location"), None).expect("it is let in");
    for wrong in [
        format!("git+http://me:wrong@{}/owner/app.git", host.authority),
        format!("git+{}/owner/app.git", host.url),
    ] {
        let error =
            chain(&reading(&wrong.parse().expect("a location"), None).expect_err("not let in"));
        assert!(error.contains("401 Unauthorized") && !error.contains("wrong"), "{error}");
    }
    // Led elsewhere, nobody is told.
    let other = GitHost::serve(_root.path());
    host.asked();
    host.moves("/owner", &format!("{}/owner", other.url));
    reading(&named.parse().expect("a location"), None).expect("anybody may read there");
    assert!(other.asked().iter().all(|it| it.authorization.is_none()));
}

#[test]
fn what_is_not_a_repository_is_named() {
    let (_place, _root, host) = hosted();
    let missing: Location = format!("git+{}/owner/none.git", host.url).parse().expect("a location");
    let error = chain(&reading(&missing, None).expect_err("nothing is there"));
    assert!(error.contains("answered 404"), "{error}");
    for (body, words) in [
        ("<html>a page</html>", "something else than packets"),
        ("001e# service=git-upload-pack\n0000", "an older version of git's protocol"),
        ("0019object-format=sha256\n0000", "SHA-256"),
        ("00ffversion 2", "breaks off"),
    ] {
        host.next(Some(Reply { body: body.into(), ..Reply::status("200 OK") }));
        let error = chain(&reading(&at(&host), None).expect_err("no repository"));
        assert!(error.contains(words), "{body}: {error}");
    }
}

#[test]
fn an_answer_without_an_end_is_given_up() {
    let (_place, _root, host) = hosted();
    let endless = Reply { body: vec![b'a'; 1 << 20], times: 100_000, ..Reply::status("200 OK") };
    let begun = Instant::now();
    host.next(Some(endless));
    let error = chain(&reading(&at(&host), None).expect_err("no end"));
    assert!(error.contains("more than 64 MB"), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(60));
}

#[test]
fn odd_trees_lead_nowhere() {
    let place = Place::one_release();
    // Names that no folder can have, a link, and a repository inside of this one.
    let blob = place.git(&["hash-object", "-w", "sql/core/1_a.up.sql"]);
    let head = place.git(&["rev-parse", "HEAD"]);
    let core = place.git_with(&["mktree"], &format!("100644 blob {blob}\t1_a.up.sql\n120000 blob {blob}\t2_b.up.sql\n160000 commit {head}\t3_c.up.sql\n"));
    let sql = place.git_with(&["mktree"], &format!("040000 tree {core}\tcore\n"));
    let tree = place.git_with(&["mktree"], &format!("040000 tree {sql}\tsql\n"));
    let commit = place.git(&["commit-tree", &tree, "-m", "odd"]);
    place.git(&["tag", "v1.1.0", &commit]);
    let root = Place::empty();
    place.git(&["clone", "--quiet", "--bare", ".", &root.join("app.git").display().to_string()]);
    let host = GitHost::serve(root.path());
    let location: Location = format!("git+{}/app.git", host.url).parse().expect("a location");
    let found = reading(&location, None).expect("a host");
    assert_eq!(found, read_git(place.path()).expect("a repository"));
    assert_eq!(files(&found), ["1.0.0: 1_a.up.sql 1_a.down.sql", "1.1.0: 1_a.up.sql"]);
}

#[test]
fn a_pack_that_lies_is_refused() {
    let (_place, _root, host) = hosted();
    // An object that says it has terabytes, one that unpacks to more than it says, and a pack without objects.
    let zeros = {
        use std::io::Write;
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(&vec![0; 32 << 20]).expect("memory");
        encoder.finish().expect("memory")
    };
    let pack = |object: &[u8]| [b"PACK\0\0\0\x02\0\0\0\x01", object].concat();
    let huge = pack(&[0xbf, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]);
    let bomb = pack(&[&[0x3a][..], &zeros].concat());
    let empty = b"PACK\0\0\0\x02\0\0\0\0".to_vec();
    for (pack, words) in
        [(huge, "bytes, more than 64 MB"), (bomb, "it is damaged"), (empty, "without the object")]
    {
        host.next(None);
        host.next(None);
        let mut body = b"000dpackfile\n".to_vec();
        for part in pack.chunks(60_000) {
            body.extend(format!("{:04x}\x01", part.len() + 5).as_bytes());
            body.extend(part);
        }
        body.extend(b"0000");
        host.next(Some(Reply { body, ..Reply::status("200 OK") }));
        let error = chain(&reading(&at(&host), None).expect_err("a lie"));
        assert!(error.contains(words), "{words}: {error}");
    }
}
