//! Throwaway repositories and folders for the tests.

#![allow(dead_code, reason = "each test uses its part")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use sternway_model::catalog::{Enabled, Release, Track};
use sternway_source::{Layout, Location, Reading, SourceError, read};
use tempfile::TempDir;

/// A folder that goes away, usually with a repository in it.
pub struct Place {
    folder: TempDir,
}

impl Place {
    /// An empty folder.
    pub fn empty() -> Place {
        Place { folder: tempfile::tempdir().expect("a folder") }
    }

    /// A repository without commits.
    pub fn repository() -> Place {
        let place = Place::empty();
        place.git(&["init", "--quiet", "--initial-branch=main", "."]);
        place
    }

    /// A repository with `core` migration 1 at `v1.0.0`.
    pub fn one_release() -> Place {
        let place = Place::repository();
        place.write("sql/core/1_a.up.sql", "SELECT 1;\n");
        place.write("sql/core/1_a.down.sql", "SELECT 0;\n");
        place.release("v1.0.0");
        place
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn join(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        fs::write(path, content).expect("a file");
    }

    /// Commits everything.
    pub fn commit(&self) {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--allow-empty", "--message", "a change"]);
    }

    /// Commits everything and tags it.
    pub fn release(&self, tag: &str) {
        self.commit();
        self.git(&["tag", tag]);
    }

    /// Runs git here and returns what it prints.
    pub fn git(&self, arguments: &[&str]) -> String {
        git_in(self.path(), arguments)
    }

    /// Runs git here with something to read, and returns what it prints.
    pub fn git_with(&self, arguments: &[&str], input: &str) -> String {
        let mut program = Command::new("git")
            .current_dir(self.path())
            .args(arguments)
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .expect("git");
        let mut into = program.stdin.take().expect("an input");
        std::io::Write::write_all(&mut into, input.as_bytes()).expect("git reads");
        drop(into);
        let output = program.wait_with_output().expect("git");
        assert!(output.status.success(), "{arguments:?}");
        String::from_utf8(output.stdout).expect("text").trim().to_owned()
    }

    /// Takes away every object of the repository.
    pub fn forget_objects(&self) {
        fs::remove_dir_all(self.join(".git/objects")).expect("objects");
        fs::create_dir(self.join(".git/objects")).expect("a folder");
    }
}

/// Runs git in a folder, with no settings but its own.
pub fn git_in(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .current_dir(folder)
        .args(["-c", "user.name=Test", "-c", "user.email=test@example.org"])
        .args(["-c", "core.autocrlf=false", "-c", "protocol.file.allow=always"])
        .args(arguments)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env_remove("GIT_DIR")
        .output()
        .expect("git");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text").trim().to_owned()
}

pub fn track(name: &str, path: &str) -> Track {
    Track {
        name: name.into(),
        paths: vec![path.into()],
        until: None,
        table: "unread".to_owned(),
        enabled: Enabled::Always,
        requires_extension: None,
    }
}

/// Tags `v{version}`, and one track `core` in `sql/core`.
pub fn layout() -> Layout {
    Layout {
        app: "app".to_owned(),
        tag: "v{version}".parse().expect("a pattern"),
        tracks: vec![track("core", "sql/core")],
    }
}

pub fn release(text: &str) -> Release {
    text.parse().expect("a release")
}

pub fn read_git(path: &Path) -> Result<Reading, SourceError> {
    read(&Location::Git(path.into()), &layout(), None)
}

/// The releases and their files in `core`, one line each.
pub fn files(reading: &Reading) -> Vec<String> {
    let releases = reading.catalog.releases.iter();
    let lines = releases.map(|(release, entry)| {
        let set = entry.set(&"core".into());
        let halves = set.iter().flat_map(|it| [it.up.as_ref(), it.down.as_ref()]).flatten();
        let names: Vec<String> = halves.map(|half| half.file.clone()).collect();
        format!("{release}: {}", names.join(" ")).trim().to_owned()
    });
    lines.collect()
}

/// An error and its causes, in one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", chain(source)),
        None => error.to_string(),
    }
}
