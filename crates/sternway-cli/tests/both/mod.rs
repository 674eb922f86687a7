//! golang-migrate and Sternway in its place, each on a database of its own or both on one, and what
//! a run of either came to.

#![allow(dead_code, reason = "each test uses its part")]

pub mod message;
pub mod server;
pub mod state;

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::variable;
use server::{Admin, Kind};

/// Which program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tool {
    GolangMigrate,
    Sternway,
}

/// The programs, and the server for one kind of database.
pub struct Pair {
    pub migrate: String,
    pub kind: Kind,
    pub admin: Option<String>,
}

impl Pair {
    /// `None` where golang-migrate or the server is absent, which is told.
    pub fn new(kind: Kind, test: &str) -> Option<Pair> {
        let migrate = variable("STERNWAY_TEST_MIGRATE", test)?;
        let admin = match kind {
            Kind::PostgreSql => Some(variable("STERNWAY_TEST_PG_URL", test)?),
            Kind::MariaDb => Some(variable("STERNWAY_TEST_MARIADB", test)?),
            Kind::Sqlite | Kind::None => None,
        };
        Some(Pair { migrate, kind, admin })
    }

    /// A session with the server.
    pub fn admin(&self) -> Admin {
        Admin::new(self.kind, self.admin.as_deref())
    }

    /// The program and the arguments before the user's.
    fn program(&self, tool: Tool) -> (&Path, &[&str]) {
        match tool {
            Tool::GolangMigrate => (Path::new(&self.migrate), &[]),
            Tool::Sternway => (Path::new(env!("CARGO_BIN_EXE_sternway")), &["migrate"]),
        }
    }
}

/// A folder with migrations in `m`, and a database: a schema of its own on PostgreSQL, a database
/// on MariaDB, the file `db.sqlite` in the folder.
pub struct Place<'a> {
    pub pair: &'a Pair,
    pub name: String,
    folder: tempfile::TempDir,
}

/// What a run came to, before anything is read into it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ran {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl<'a> Place<'a> {
    pub fn new(pair: &'a Pair, admin: &mut Admin) -> Place<'a> {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        // All names are equally long, so that no position in a text depends on them.
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("c{:07}_{number:05}", std::process::id());
        let place = Place { pair, name, folder: tempfile::tempdir().expect("a folder") };
        fs::create_dir_all(place.path("work/m")).expect("a folder");
        fs::create_dir(place.path("home")).expect("a folder");
        admin.create(&place.name);
        place
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The folder that programs run in.
    pub fn work(&self) -> PathBuf {
        self.path("work")
    }

    pub fn database_file(&self) -> PathBuf {
        self.path("work/db.sqlite")
    }

    /// Writes a file of the folder that programs run in.
    pub fn write(&self, name: &str, text: &str) {
        let path = self.work().join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        fs::write(path, text).expect("a file");
    }

    /// Host, port and database of the server.
    pub fn server(&self) -> String {
        let admin = self.pair.admin.as_deref().unwrap_or_default();
        let (_, place) = admin.split_once('@').unwrap_or_default();
        place.split('?').next().expect("a part").to_owned()
    }

    /// The database's URL, with more parameters.
    pub fn url(&self, parameters: &str) -> String {
        let admin = self.pair.admin.as_deref().unwrap_or_default();
        let (mut url, first) = match self.pair.kind {
            Kind::PostgreSql => (format!("{admin}&search_path={}", self.name), '&'),
            Kind::MariaDb => (format!("{admin}{}", self.name), '?'),
            Kind::Sqlite => ("sqlite://db.sqlite".to_owned(), '?'),
            Kind::None => (String::new(), '?'),
        };
        if !parameters.is_empty() {
            url.push(first);
            url.push_str(parameters);
        }
        url
    }

    /// Replaces the names in braces.
    pub fn fill(&self, text: &str, parameters: &str) -> String {
        text.replace("{url}", &self.url(parameters))
            .replace("{db}", &self.name)
            .replace("{server}", &self.server())
            .replace("{dir}", &self.work().display().to_string())
    }

    /// The program, which is ended after a minute.
    pub fn command<I: AsRef<OsStr>>(&self, tool: Tool, arguments: &[I]) -> Command {
        let (program, first) = self.pair.program(tool);
        let mut command = Command::new("timeout");
        command
            .args(["--kill-after=1", "60"])
            .arg(program)
            .args(first)
            .args(arguments)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.path("home"))
            .env("TMPDIR", self.path("home"))
            .current_dir(self.work());
        command
    }

    /// Runs the program to its end.
    pub fn run<I: AsRef<OsStr>>(&self, tool: Tool, arguments: &[I], input: &str) -> Ran {
        let mut command = self.command(tool, arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program");
        // One that does not read its input may have ended before it is written.
        let _ = child.stdin.take().expect("an input").write_all(input.as_bytes());
        let output = child.wait_with_output().expect("the program");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ran {
            code: output.status.code(),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
        }
    }

    /// Runs a command on the migrations and the database of this place.
    pub fn migrate(&self, tool: Tool, command: &str) -> Ran {
        let line = format!("-path m -database {} {command}", self.url(""));
        self.run(tool, &words(&line), "")
    }

    /// Carries out SQL on this database.
    pub fn execute(&self, admin: &mut Admin, sql: &str) {
        admin.execute(self, sql);
    }
}

/// The words of a command line; one in single quotes may hold blanks, or nothing.
pub fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (index, part) in line.split('\'').enumerate() {
        if index % 2 == 1 {
            words.push(part.to_owned());
        } else {
            words.extend(part.split(' ').filter(|word| !word.is_empty()).map(str::to_owned));
        }
    }
    words
}
