//! The cache saves work and changes nothing.

#![cfg(feature = "git")]

use proptest::prelude::*;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use sternway_source::{Location, Reading, SourceError, read};

use crate::common::{Place, files, git_in, layout, read_git, track};

fn read_cached(place: &Place, cache: &Path) -> Result<Reading, SourceError> {
    read(&Location::Git(place.path().into()), &layout(), Some(cache))
}

fn only_file(cache: &Path) -> PathBuf {
    let mut files: Vec<PathBuf> =
        fs::read_dir(cache).expect("a folder").map(|it| it.expect("an entry").path()).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    files.remove(0)
}

#[test]
fn a_known_repository_is_read_without_its_objects() {
    let place = Place::one_release();
    place.write("sql/core/2_b.up.sql", b"\xff");
    place.commit();
    place.git(&["tag", "--annotate", "v1.1.0", "--message", "a release"]);
    place.git(&["tag", "v1.2.0", "HEAD^{tree}"]);
    let cache = Place::empty();
    let folder = cache.join("new/folder");
    let first = read_cached(&place, &folder).expect("a repository");
    assert_eq!(first.warnings.len(), 2);
    let written = fs::read(only_file(&folder)).expect("a cache");
    place.forget_objects();
    assert!(read_git(place.path()).is_err());
    assert_eq!(read_cached(&place, &folder).expect("a cache"), first);
    assert_eq!(fs::read(only_file(&folder)).expect("a cache"), written);
}

#[test]
fn a_cache_that_does_not_fit_is_written_anew() {
    let place = Place::one_release();
    let cache = Place::empty();
    let expected = read_cached(&place, cache.path()).expect("a repository");
    let file = only_file(cache.path());
    let good = fs::read(&file).expect("a cache");
    let text = String::from_utf8(good.clone()).expect("text");
    let changed = [
        String::new(),
        "\n".to_owned(),
        "{}\n{}".to_owned(),
        text[..text.len() / 2].to_owned(),
        text.replace("SELECT 1", "SELECT 7"),
        text.replace("\"format\":1", "\"format\":0"),
        text.replace("\"version\":\"", "\"version\":\"9"),
        format!("{text} "),
    ];
    for bad in changed {
        assert_ne!(bad.as_bytes(), good);
        fs::write(&file, &bad).expect("a file");
        assert_eq!(read_cached(&place, cache.path()).expect("a repository"), expected, "{bad}");
        assert_eq!(fs::read(only_file(cache.path())).expect("a cache"), good);
    }
}

#[test]
fn moved_and_removed_tags_are_picked_up() {
    let place = Place::one_release();
    let cache = Place::empty();
    read_cached(&place, cache.path()).expect("a repository");
    let old = place.git(&["rev-parse", "v1.0.0"]);
    place.write("sql/core/2_b.up.sql", "SELECT 2;\n");
    place.commit();
    place.git(&["tag", "--force", "v1.0.0"]);
    let reading = read_cached(&place, cache.path()).expect("a repository");
    assert_eq!(files(&reading), ["1.0.0: 1_a.up.sql 1_a.down.sql 2_b.up.sql"]);
    assert_eq!(reading, read_git(place.path()).expect("a repository"));
    let text = fs::read_to_string(only_file(cache.path())).expect("a cache");
    assert!(!text.contains(&old));

    let mut other = layout();
    other.tracks = vec![track("core", "sql")];
    let reading = read(&Location::Git(place.path().into()), &other, Some(cache.path()));
    assert_eq!(files(&reading.expect("a repository")), ["1.0.0:"]);
    assert_eq!(fs::read_dir(cache.path()).expect("a folder").count(), 2);
}

#[test]
fn a_cache_that_cannot_be_written_is_done_without() {
    let place = Place::one_release();
    let expected = read_git(place.path()).expect("a repository");
    place.write("file", "in the way");
    assert_eq!(read_cached(&place, &place.join("file")).expect("a repository"), expected);
    assert_eq!(read_cached(&place, &place.join("file/below")).expect("a repository"), expected);
}

#[test]
fn readers_at_the_same_time_agree() {
    let place = Place::one_release();
    let cache = Place::empty();
    let expected = read_git(place.path()).expect("a repository");
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let reading = read_cached(&place, cache.path()).expect("a repository");
                assert_eq!(reading, expected);
            });
        }
    });
    only_file(cache.path());
}

/// A release to be: a patch number, and files with their content.
type Draft = (u8, Vec<(u8, bool, Vec<u8>)>);

fn draft() -> impl Strategy<Value = Draft> {
    let content = prop_oneof![
        3 => "[ -~\r\n]{0,12}".prop_map(String::into_bytes),
        1 => prop::collection::vec(any::<u8>(), 0..6),
    ];
    (0..4u8, prop::collection::vec((0..4u8, any::<bool>(), content), 0..4))
}

/// Commits and tags every draft; a later one moves the tag of an earlier one.
fn import(place: &Place, drafts: &[Draft]) {
    let mut stream = Vec::new();
    for (patch, files) in drafts {
        stream.extend(b"commit refs/heads/main\ncommitter A <a@b> 1 +0000\ndata 0\n\ndeleteall\n");
        stream.extend(b"M 100644 inline sql/core/README\ndata 0\n\n");
        for (number, up, content) in files {
            let half = if *up { "up" } else { "down" };
            let header = format!("M 100644 inline sql/core/{number}_x.{half}.sql\n");
            stream.extend(header.bytes());
            stream.extend(format!("data {}\n", content.len()).bytes());
            stream.extend(content);
            stream.push(b'\n');
        }
        stream.extend(format!("reset refs/tags/v1.0.{patch}\nfrom refs/heads/main\n\n").bytes());
    }
    let mut git = Command::new("git")
        .args(["fast-import", "--quiet", "--force"])
        .current_dir(place.path())
        .stdin(Stdio::piped())
        .spawn()
        .expect("git");
    git.stdin.take().expect("a pipe").write_all(&stream).expect("a pipe");
    assert!(git.wait().expect("git").success());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..Default::default() })]

    #[test]
    fn a_reading_with_the_cache_equals_one_without(
        first in prop::collection::vec(draft(), 1..4),
        second in prop::collection::vec(draft(), 0..4),
    ) {
        let place = Place::repository();
        let cache = Place::empty();
        for drafts in [&first, &second] {
            import(&place, drafts);
            let expected = read_git(place.path()).expect("a repository");
            for _ in 0..2 {
                prop_assert_eq!(&read_cached(&place, cache.path()).expect("a repository"), &expected);
            }
        }
        // Packing changes where objects are, not what they say.
        git_in(place.path(), &["repack", "-adq"]);
        let packed = read_git(place.path()).expect("a repository");
        prop_assert_eq!(&read_cached(&place, cache.path()).expect("a repository"), &packed);
    }
}
