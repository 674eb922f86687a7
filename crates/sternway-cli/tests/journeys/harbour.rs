//! An application with a folder of releases and a database of any kind, and whose turn it is.

use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::both::server::Kind;
use crate::both::{Pair, Place};
use crate::support::{Machine, Run};

/// In each release.
pub const ALL: &[&str] = &["1.0.0", "1.1.0", "1.2.0"];
/// Not in the first one.
pub const LATER: &[&str] = &["1.1.0", "1.2.0"];

/// A database of a kind, with these files; nothing where there is no server of it.
pub fn with(
    kind: Kind,
    test: &str,
    files: &[(&str, &[&str], &str)],
    what: impl FnOnce(&Harbour<'_>, &mut dyn FnMut(&str) -> Vec<String>),
) {
    let Some(pair) = Pair::new(kind, test) else { return };
    let mut admin = pair.admin();
    let place = Place::new(&pair, &mut admin);
    let harbour = Harbour::on(&place, files);
    what(&harbour, &mut |sql| {
        if sql.starts_with("SELECT") {
            return admin.rows(&place, sql);
        }
        place.execute(&mut admin, sql);
        Vec::new()
    });
}

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

    /// As [`Harbour::run`], as if rows came after it has been asked which are there.
    pub fn run_before_rows(&self, arguments: &[&str]) -> Run {
        let mut command = self.machine.command(arguments);
        self.of(&mut command);
        command.env("BROKEN_RULE", "RowsAsked");
        Run::of(command)
    }

    /// That the way back to 1.0.0 is refused with these words, when it is planned and when it is gone.
    #[track_caller]
    pub fn refuses_back(&self, words: &[&str]) {
        for command in [&["plan", "--to", "1.0.0"][..], &["rollback", "--to", "1.0.0", "--yes"]] {
            self.run(command).ended(3).explains(words);
        }
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
