//! Snapshots: taken, proven, restored beside the database and swapped in, with the programs of each server.

mod postgres;
mod sqlite;
mod mariadb;
mod killed;
mod carried;
mod before;
pub mod bucket;
mod on_server;

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::support::{Machine, Run, ask, execute};

/// The migrations of three releases, whose later ones have more.
const FILES: [(&str, &[&str], &str); 6] = [
    (
        "1_ship.up.sql",
        &["1.0.0", "1.1.0", "1.2.0"],
        "CREATE TABLE ship (id integer PRIMARY KEY, name varchar(80) NOT NULL, kind varchar(9) CHECK (kind IN ('tug', 'ferry')));",
    ),
    ("1_ship.down.sql", &["1.0.0", "1.1.0", "1.2.0"], "DROP TABLE ship;"),
    (
        "2_berth.up.sql",
        &["1.1.0", "1.2.0"],
        "CREATE TABLE berth (id integer PRIMARY KEY, ship integer REFERENCES ship (id), depth real);\n\
         CREATE INDEX berth_ship ON berth (ship);",
    ),
    ("2_berth.down.sql", &["1.1.0", "1.2.0"], "DROP TABLE berth;"),
    ("3_flag.up.sql", &["1.2.0"], "ALTER TABLE ship ADD COLUMN flag varchar(2);"),
    ("3_flag.down.sql", &["1.2.0"], "ALTER TABLE ship DROP COLUMN flag;"),
];

/// A machine with the application's releases.
fn harbour() -> Machine {
    let machine = Machine::of("harbour", "db");
    for (file, releases, body) in FILES {
        for release in releases {
            machine.write(&format!("releases/{release}/db/{file}"), body);
        }
    }
    machine
}

/// The application on a database, with a store for its snapshots.
struct Port {
    machine: Machine,
    url: String,
    /// A server to rehearse on, where that takes one.
    rehearsal: Option<String>,
    /// As whom to drop, in the end, what has been made beside the database of this name.
    admin: Option<(String, String)>,
}

impl Drop for Port {
    fn drop(&mut self) {
        let Some((url, name)) = &self.admin else { return };
        let like = "SELECT coalesce(string_agg(datname, ' '), '') FROM pg_database WHERE starts_with(datname, '{}_')";
        for name in ask(url, &like.replace("{}", name)).split_whitespace() {
            execute(url, &format!("DROP DATABASE \"{name}\" WITH (FORCE)"));
        }
    }
}

impl Port {
    fn new(url: impl FnOnce(&Machine) -> String) -> Port {
        let machine = harbour();
        let url = url(&machine);
        Port { machine, url, rehearsal: None, admin: None }
    }

    fn command(&self, arguments: &[&str]) -> std::process::Command {
        let mut command = self.machine.command(arguments);
        command.env("STERNWAY_DATABASE", &self.url);
        command.env("STERNWAY_SNAPSHOT_STORE", self.store());
        command.envs(self.rehearsal.iter().map(|url| ("STERNWAY_REHEARSAL", url)));
        command
    }

    fn run(&self, arguments: &[&str]) -> Run {
        Run::of(self.command(arguments))
    }

    fn json(&self, format: &str, arguments: &[&str]) -> Value {
        self.run(&[arguments, &["--output", "json"]].concat()).ended(0).json(format)
    }

    fn store(&self) -> PathBuf {
        self.machine.path("snapshots")
    }

    /// Takes a snapshot; returns its name.
    fn take(&self, more: &[&str]) -> String {
        let taken = self.json("sternway.snapshot/1", &[&["snapshot", "create"], more].concat());
        taken["id"].as_str().expect("a name").to_owned()
    }

    /// The largest file of a snapshot.
    fn file(&self, id: &str) -> PathBuf {
        let folder = self.store().join("harbour").join(id);
        let files = fs::read_dir(folder).expect("a folder").map(|it| it.expect("a file").path());
        let size = |it: &PathBuf| fs::metadata(it).expect("a size").len();
        let is_data = |it: &PathBuf| {
            it.file_name().is_some_and(|it| it.to_string_lossy().starts_with("database"))
        };
        files.filter(is_data).max_by_key(size).expect("a file")
    }

    /// What `list` says of the databases beside this one.
    fn left(&self, which: &str) -> Vec<String> {
        let list = self.json("sternway.snapshot.list/1", &["snapshot", "list"]);
        let names = list["databases"][which].as_array().expect("names").iter();
        names.map(|it| it.as_str().expect("a name").to_owned()).collect()
    }
}

/// One byte in the middle of a file becomes another one.
fn corrupt(path: &std::path::Path) {
    let mut bytes = fs::read(path).expect("a file");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).expect("a file");
}
