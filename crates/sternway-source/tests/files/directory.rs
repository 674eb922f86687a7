//! Folders of migration files on this machine.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::Instant;

use sternway_source::files::{Directory, Files, FilesError, directory, open, redacted};
use tempfile::TempDir;

fn folder() -> (TempDir, Directory) {
    let place = TempDir::new().expect("a folder");
    let files = directory(place.path());
    (place, files)
}

async fn refused(url: &str) -> String {
    match open(url).await {
        Ok(files) => panic!("{url} opened {}", files.place()),
        Err(error) => error.to_string(),
    }
}

#[tokio::test]
async fn files_are_listed_by_name_and_read_as_they_are() {
    let (place, files) = folder();
    for name in ["2_b.up.sql", "10_c.up.sql", "1_a.up.sql", "README", "12_é x.up.sql"] {
        fs::write(place.path().join(name), format!("\u{feff}{name}\r\n")).expect("a file");
    }
    fs::write(place.path().join("3_empty.up.sql"), "").expect("a file");
    fs::create_dir(place.path().join("4_folder.up.sql")).expect("a folder");
    fs::write(place.path().join("4_folder.up.sql/5_below.up.sql"), "").expect("a file");
    assert_eq!(
        files.list().await.expect("a listing"),
        ["10_c.up.sql", "12_é x.up.sql", "1_a.up.sql", "2_b.up.sql", "3_empty.up.sql", "README"]
    );
    let body = files.read("12_é x.up.sql").await.expect("a body");
    assert_eq!(body, "\u{feff}12_é x.up.sql\r\n".as_bytes());
    assert_eq!(files.read("3_empty.up.sql").await.expect("a body"), b"");
    assert_eq!(files.place(), place.path().display().to_string());
}

#[tokio::test]
async fn an_empty_folder_opens() {
    let (place, _) = folder();
    let files = open(&format!("file://{}", place.path().display())).await.expect("a folder");
    assert!(files.list().await.expect("a listing").is_empty());
}

#[tokio::test]
async fn links_are_followed_and_a_broken_one_is_not_passed_over() {
    let (place, files) = folder();
    let path = place.path();
    fs::create_dir(path.join("..data")).expect("a folder");
    fs::write(path.join("..data/1_a.up.sql"), "SELECT 1;").expect("a file");
    symlink("..data/1_a.up.sql", path.join("1_a.up.sql")).expect("a link");
    symlink("..data", path.join("2_folder.up.sql")).expect("a link");
    symlink("nowhere", path.join("3_broken.up.sql")).expect("a link");
    // One to a folder is listed as well: golang-migrate marks it as applied.
    let listed = ["1_a.up.sql", "2_folder.up.sql", "3_broken.up.sql"];
    assert_eq!(files.list().await.expect("a listing"), listed);
    assert_eq!(files.read("1_a.up.sql").await.expect("a body"), b"SELECT 1;");
    let error = files.read("3_broken.up.sql").await.expect_err("a broken link");
    assert!(matches!(error, FilesError::NoSuchFile { .. }), "{error}");
    let error = files.read("2_folder.up.sql").await.expect_err("a folder");
    assert!(error.to_string().ends_with("is not a regular file"), "{error}");
}

#[tokio::test]
async fn a_file_that_vanished_or_may_not_be_read_is_an_error() {
    let (place, files) = folder();
    fs::write(place.path().join("1_a.up.sql"), "SELECT 1;").expect("a file");
    fs::write(place.path().join("2_b.up.sql"), "SELECT 1;").expect("a file");
    assert_eq!(files.list().await.expect("a listing").len(), 2);
    fs::remove_file(place.path().join("1_a.up.sql")).expect("a file");
    let error = files.read("1_a.up.sql").await.expect_err("a vanished file").to_string();
    assert_eq!(error, format!("there is no file `1_a.up.sql` in {}", files.place()));

    let closed = fs::Permissions::from_mode(0o000);
    fs::set_permissions(place.path().join("2_b.up.sql"), closed).expect("permissions");
    // The administrator may read everything.
    if fs::read(place.path().join("2_b.up.sql")).is_err() {
        let error = files.read("2_b.up.sql").await.expect_err("a closed file");
        assert!(matches!(error, FilesError::File { .. }), "{error}");
    }
    // One whose reading starts and then fails: the memory of a process, from its start.
    let process = directory(Path::new("/proc/self"));
    if Path::new("/proc/self/mem").exists() {
        let error = process.read("mem").await.expect_err("no memory is there");
        assert!(matches!(error, FilesError::File { .. }), "{error}");
    }
}

#[tokio::test]
async fn only_a_bare_name_is_read() {
    let (place, files) = folder();
    fs::create_dir(place.path().join("below")).expect("a folder");
    fs::write(place.path().join("below/1_a.up.sql"), "").expect("a file");
    for name in ["below/1_a.up.sql", "below/../below/1_a.up.sql", "..", ".", "", "/etc/passwd"] {
        let error = files.read(name).await.expect_err(name);
        assert!(matches!(error, FilesError::NoSuchFile { .. }), "{name}: {error}");
    }
}

#[tokio::test]
async fn a_name_that_is_no_text_is_left_out() {
    let (place, files) = folder();
    let name = std::ffi::OsStr::from_bytes(b"1_\xff.up.sql");
    // Not every file system takes such a name.
    if fs::write(place.path().join(name), "").is_ok() {
        fs::write(place.path().join("2_b.up.sql"), "").expect("a file");
        assert_eq!(files.list().await.expect("a listing"), ["2_b.up.sql"]);
    }
}

#[tokio::test]
async fn a_pipe_is_not_waited_for() {
    let (place, files) = folder();
    let made = std::process::Command::new("mkfifo").arg(place.path().join("1_a.up.sql")).status();
    if made.is_ok_and(|status| status.success()) {
        let error = files.read("1_a.up.sql").await.expect_err("a pipe");
        assert!(matches!(error, FilesError::NotAFile { .. }), "{error}");
    }
}

#[tokio::test]
async fn file_urls_are_those_of_golang_migrate() {
    let (place, _) = folder();
    let path = place.path().join("a b#c");
    fs::create_dir(&path).expect("a folder");
    fs::write(path.join("1_a.up.sql"), "").expect("a file");
    let shown = path.display().to_string();
    let escaped = shown.replace(' ', "%20").replace('#', "%23");
    for url in [format!("file://{escaped}"), format!("FILE://{shown}"), format!("file:{shown}")] {
        let files = open(&url).await.expect(&url);
        assert_eq!(files.place(), shown);
        assert_eq!(files.list().await.expect(&url), ["1_a.up.sql"]);
    }
    // Tests run in the folder of their crate.
    let here = std::env::current_dir().expect("a folder");
    for url in ["file://", "file:", "file://.", "file://./", "file://src/.."] {
        let files = open(url).await.expect(url);
        assert!(files.list().await.expect(url).contains(&"Cargo.toml".to_owned()), "{url}");
    }
    for url in ["file://src/files", "file://./src/files", "file:src/files"] {
        let files = open(url).await.expect(url);
        assert_eq!(files.place(), here.join("src/files").display().to_string(), "{url}");
    }
    let above = here.parent().and_then(Path::parent).expect("a workspace");
    let name = here.file_name().and_then(|name| name.to_str()).expect("a name");
    let files = open(&format!("file://../{name}/src")).await.expect("a folder");
    assert!(files.list().await.expect("a listing").contains(&"lib.rs".to_owned()));
    assert!(above.join("Cargo.toml").exists());
    assert_eq!(directory(Path::new("")).path(), here);
}

#[tokio::test]
async fn what_is_no_folder_fails_when_it_is_opened() {
    let (place, _) = folder();
    let file = place.path().join("file");
    fs::write(&file, "").expect("a file");
    let missing = "open .: no such file or directory";
    assert_eq!(refused(&format!("file://{}/nodir", place.path().display())).await, missing);
    assert_eq!(refused("file://nodir").await, missing);
    assert_eq!(refused(&format!("file://{}", file.display())).await, "open .: not a directory");
    assert_eq!(
        refused(&format!("file://{}/below", file.display())).await,
        "open .: not a directory"
    );
    let error = directory(&file).list().await.expect_err("a file");
    assert_eq!(error.to_string(), "open .: not a directory");
}

#[tokio::test]
async fn other_urls_are_refused_in_the_words_of_golang_migrate() {
    let parse = "failed to parse scheme from source URL:";
    assert_eq!(refused("").await, format!("{parse} URL cannot be empty"));
    for url in ["nodir", ":x", "/a:b", "u@h:x"] {
        assert_eq!(refused(url).await, format!("{parse} no scheme"), "{url}");
    }
    let unknown = "source driver: unknown driver 'http' (forgotten import?)";
    assert_eq!(refused("HTTP://user:secret@q").await, unknown);
    assert_eq!(redacted("HTTP://user:secret@q"), "HTTP://***@q");
}

#[test]
fn opening_may_move_between_threads() {
    fn sent(_: impl Send) {}
    sent(open("file://"));
}

#[cfg(not(feature = "hosts"))]
#[tokio::test]
async fn a_scheme_that_was_not_built_is_told_apart() {
    let lacking = "source driver: this build lacks the driver 'github'";
    assert_eq!(refused("GitHub://o/r").await, lacking);
}

#[cfg(not(feature = "buckets"))]
#[tokio::test]
async fn a_bucket_that_was_not_built_is_told_apart() {
    assert_eq!(refused("gs://b").await, "source driver: this build lacks the driver 'gs'");
}

#[tokio::test]
async fn a_hundred_thousand_files_are_listed() {
    let (place, files) = folder();
    for number in 0..100_000 {
        fs::write(place.path().join(format!("{number}_a.up.sql")), "").expect("a file");
    }
    let start = Instant::now();
    let names = files.list().await.expect("a listing");
    let took = start.elapsed();
    assert_eq!(names.len(), 100_000);
    assert!(names.is_sorted());
    assert!(took.as_secs() < 30, "{took:?}");
}
