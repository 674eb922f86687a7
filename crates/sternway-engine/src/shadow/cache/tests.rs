//! What is believed, and what goes first.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::thread;

use tempfile::TempDir;

use super::*;

fn digest(text: &str) -> Digest {
    Digest::of_bytes(text.as_bytes())
}

/// A cache in a folder that is yet to be made, with one answer to the question `a`.
fn cache() -> (TempDir, Cache) {
    let place = tempfile::tempdir().expect("a folder");
    let cache = Cache::at(place.path().join("cache/shadow"), "test".to_owned());
    cache.put(digest("a"), &"true".to_owned());
    assert_eq!(cache.get(digest("a")), Some("true".to_owned()));
    (place, cache)
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("permissions");
}

fn believed(cache: &Cache) -> bool {
    let answer: Option<String> = cache.get(digest("a"));
    assert!(answer.as_deref().is_none_or(|it| it == "true"), "{answer:?}");
    answer.is_some()
}

#[test]
fn folder_and_files_are_the_users_alone() {
    let (_place, cache) = cache();
    let bits = |path: &Path| fs::metadata(path).expect("it").permissions().mode() & 0o777;
    assert_eq!(bits(&cache.folder), 0o700);
    assert_eq!(bits(&cache.path(digest("a"))), 0o600);
}

#[test]
fn what_is_damaged_is_not_believed() {
    let (_place, cache) = cache();
    let path = cache.path(digest("a"));
    let whole = fs::read(&path).expect("the file");
    for length in 0..whole.len() {
        fs::write(&path, &whole[..length]).expect("the file");
        assert!(!believed(&cache), "the first {length} bytes");
    }
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        fs::write(&path, bytes).expect("the file");
        assert!(!believed(&cache), "byte {at} changed");
    }
    fs::write(&path, &whole).expect("the file");
    assert!(believed(&cache));
    fs::write(&path, vec![b'x'; LARGEST as usize + 1]).expect("the file");
    assert!(!believed(&cache));
}

#[test]
fn what_answers_another_question_is_not_believed() {
    let (_place, cache) = cache();
    cache.put(digest("b"), &"false".to_owned());
    fs::copy(cache.path(digest("b")), cache.path(digest("a"))).expect("a copy");
    assert!(!believed(&cache));
    // Another shape of the right key's answer is none either.
    cache.put(digest("a"), &3);
    assert!(!believed(&cache));
}

#[test]
fn what_others_may_touch_is_not_believed() {
    let (place, cache) = cache();
    let path = cache.path(digest("a"));
    for open in [0o604, 0o602, 0o640, 0o620, 0o666] {
        mode(&path, open);
        assert!(!believed(&cache), "a file with {open:o}");
    }
    mode(&path, 0o600);
    for open in [0o701, 0o705, 0o770, 0o777] {
        mode(&cache.folder, open);
        assert!(!believed(&cache), "a folder with {open:o}");
        cache.put(digest("b"), &"b".to_owned());
        assert!(!cache.path(digest("b")).exists(), "written into a folder with {open:o}");
    }
    mode(&cache.folder, 0o700);
    assert!(believed(&cache));

    let elsewhere = place.path().join("elsewhere");
    fs::rename(&path, &elsewhere).expect("another place");
    symlink(&elsewhere, &path).expect("a link");
    assert!(!believed(&cache), "a link to a file");
    fs::remove_file(&path).expect("no link");
    fs::rename(&elsewhere, &path).expect("the place");
    fs::rename(&cache.folder, &elsewhere).expect("another place");
    symlink(&elsewhere, &cache.folder).expect("a link");
    assert!(!believed(&cache), "a link to a folder");
}

#[test]
fn somebody_elses_is_not_believed() {
    let (_place, cache) = cache();
    let path = cache.path(digest("a"));
    let chown = |path: &Path| std::os::unix::fs::chown(path, Some(65534), None);
    // Only root can give a file away.
    if rustix::process::geteuid().is_root() {
        chown(&path).expect("another owner");
        assert!(!believed(&cache));
        fs::remove_file(&path).expect("no file");
        cache.put(digest("a"), &"true".to_owned());
        assert!(believed(&cache));
        chown(&cache.folder).expect("another owner");
        assert!(!believed(&cache));
    } else {
        assert!(read(Path::new("/"), Path::new("/etc/passwd")).is_err());
    }
}

#[test]
fn it_may_go_at_any_time() {
    let (_place, cache) = cache();
    fs::remove_dir_all(&cache.folder).expect("no folder");
    assert!(!believed(&cache));
    cache.put(digest("a"), &"true".to_owned());
    assert!(believed(&cache));
}

#[test]
fn the_oldest_goes_first_and_what_is_not_ours_stays() {
    let (_place, cache) = cache();
    let now = SystemTime::now();
    let aged = |name: &str, days: u64| {
        let path = cache.folder.join(name);
        fs::write(&path, [0; 100]).expect("a file");
        let file = fs::File::options().write(true).open(&path).expect("the file");
        file.set_modified(now - Duration::from_secs(days * 24 * 60 * 60)).expect("an age");
    };
    fs::remove_file(cache.path(digest("a"))).expect("none");
    for days in [3, 1, 2, 59, 61] {
        aged(&format!("{days}{ENDING}"), days);
    }
    aged(&format!("{UNDER_WAY}old"), 2);
    aged(&format!("{UNDER_WAY}new"), 0);
    aged("notes.txt", 400);
    let names = || {
        let entries = fs::read_dir(&cache.folder).expect("the folder");
        let names = entries.map(|it| it.expect("an entry").file_name().into_string());
        let mut names: Vec<String> = names.map(|it| it.expect("a name")).collect();
        names.sort();
        names.join(" ")
    };
    keep_within(&cache.folder, 1000, 10, now).expect("tidied");
    assert_eq!(names(), ".under-way-new 1.answer 2.answer 3.answer 59.answer notes.txt");
    keep_within(&cache.folder, 350, 10, now).expect("tidied");
    assert_eq!(names(), ".under-way-new 1.answer 2.answer notes.txt");
    keep_within(&cache.folder, 350, 2, now).expect("tidied");
    assert_eq!(names(), ".under-way-new 1.answer notes.txt");
}

#[test]
fn what_is_used_is_young() {
    let (_place, cache) = cache();
    let path = cache.path(digest("a"));
    let then = SystemTime::now() - 2 * USED;
    let file = fs::File::options().write(true).open(&path).expect("the file");
    file.set_modified(then).expect("an age");
    assert!(believed(&cache));
    assert!(fs::metadata(&path).expect("it").modified().expect("a time") > then + USED);
}

#[test]
fn many_write_and_read_at_once() {
    let (_place, cache) = cache();
    let keys: Vec<Digest> = (0..50).map(|it| digest(&format!("k{it}"))).collect();
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for key in &keys {
                    let answer: Option<String> = cache.get(*key);
                    assert!(answer.is_none_or(|it| it == key.to_string()));
                    cache.put(*key, &key.to_string());
                    keep_within(&cache.folder, 40 * 150, 40, SystemTime::now()).expect("tidied");
                }
            });
        }
    });
    assert!(fs::read_dir(&cache.folder).expect("the folder").count() <= 41);
}
