//! An application with a folder of releases and a database of any kind, and whose turn it is.

use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::both::Place;
use crate::both::server::Kind;
use crate::support::{Machine, Run};

pub struct Harbour<'a> {
    pub machine: Machine,
    pub place: &'a Place<'a>,
}

impl<'a> Harbour<'a> {
    pub fn on(place: &'a Place<'a>, files: &[(&str, &[&str], &str)]) -> Harbour<'a> {
        let machine = Machine::of("harbour", "db");
        for (file, releases, body) in files {
            for release in *releases {
                machine.write(&format!("releases/{release}/db/{file}"), body);
            }
            place.write(&format!("m/{file}"), body);
        }
        Harbour { machine, place }
    }

    pub fn url(&self) -> String {
        match self.place.pair.kind {
            Kind::Sqlite => format!("sqlite://{}", self.place.database_file().display()),
            _ => self.place.url(""),
        }
    }

    pub fn run(&self, arguments: &[&str]) -> Run {
        let mut command = self.machine.command(arguments);
        self.of(&mut command);
        Run::of(command)
    }

    /// Tells a command which database it is about.
    pub fn of(&self, command: &mut Command) {
        command.env("STERNWAY_DATABASE", self.url());
        if self.place.pair.kind == Kind::MariaDb {
            // There is none inside the process.
            command.env("STERNWAY_REHEARSAL", self.url());
        }
    }
}

/// Those that are in PostgreSQL's one database go one after the other.
pub fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}
