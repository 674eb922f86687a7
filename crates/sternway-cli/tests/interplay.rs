//! golang-migrate's own command line and Sternway take turns on one database.

#![cfg(feature = "embedded")]

mod support;

use std::path::Path;

use support::{Machine, Run, Server, variable};

/// A machine with golang-migrate and a database.
struct Both {
    machine: Machine,
    server: Server,
    migrate: String,
}

impl Both {
    fn new(test: &str) -> Option<Both> {
        let migrate = variable("STERNWAY_TEST_MIGRATE", test)?;
        Some(Both { server: Server::new(test)?, machine: Machine::with_core(), migrate })
    }

    /// Runs golang-migrate on the migrations of the newest release.
    #[track_caller]
    fn migrate(&self, arguments: &[&str]) {
        let mut command = self.machine.program(Path::new(&self.migrate));
        command.args(["-path", "app/migrations/core", "-database", &self.server.url]);
        command.args(arguments);
        let output = command.output().expect("migrate");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "migrate {arguments:?}: {errors}");
    }

    fn sternway(&self, arguments: &[&str]) -> Run {
        self.machine.on(&self.server.url, arguments)
    }

    /// The one row of the tracking table.
    #[track_caller]
    fn is_at(&self, row: &str) {
        let rows = "SELECT string_agg(version || ' ' || dirty, ', ') FROM schema_migrations";
        assert_eq!(support::ask(&self.server.url, rows), row);
    }
}

#[test]
fn they_take_turns() {
    let Some(both) = Both::new("turns") else { return };
    both.migrate(&["up"]);
    both.is_at("9 false");
    both.sternway(&["status"])
        .ended(0)
        .says(&["schema: of 2 releases, 1.2.0 to 1.2.1", "drift: none"]);
    both.sternway(&["rollback", "--to", "1.0.3", "--yes"]).ended(0);
    both.is_at("4 false");
    both.migrate(&["up", "3"]);
    both.is_at("7 false");
    let run = both.sternway(&["upgrade", "--to", "1.2.1", "--yes"]).ended(0);
    run.says(&["upgraded to 1.2.1; the schema is that of a clean install of core 9"]);
    both.is_at("9 false");
    both.migrate(&["goto", "2"]);
    both.is_at("2 false");
    both.sternway(&["status"])
        .ended(0)
        .says(&["schema: of 2 releases, 1.0.0 to 1.0.1", "drift: none"]);
    both.migrate(&["goto", "9"]);
    both.sternway(&["rollback", "--to", "1.0.0", "--yes"]).ended(0).says(&["rolled back to 1.0.0"]);
}

#[test]
fn what_golang_migrate_leaves_dirty_is_repaired() {
    let Some(both) = Both::new("dirty") else { return };
    both.migrate(&["goto", "4"]);
    // Its file 5 cannot be carried out, and golang-migrate marks it all the same.
    both.machine.write("app/migrations/core/000005_reported_via.up.sql", "SELECT nothing;\n");
    let mut command = both.machine.program(Path::new(&both.migrate));
    command.args(["-path", "app/migrations/core", "-database", &both.server.url, "up"]);
    assert!(!command.output().expect("migrate").status.success());
    both.is_at("5 true");
    let status = both.sternway(&["status"]).ended(5);
    let status = status.says(&["dirty; the schema is that of 3 or 4"]);
    let repair = status.stdout.lines().find_map(|line| line.strip_prefix("repair: "));
    support::execute(&both.server.url, repair.expect("a statement"));
    both.is_at("4 false");
    both.sternway(&["upgrade", "--to", "1.1.0", "--yes"]).ended(0);
    both.is_at("6 false");
}

#[test]
fn the_records_are_in_nobodys_way() {
    let Some(both) = Both::new("drop") else { return };
    both.sternway(&["upgrade", "--to", "1.0.3", "--yes"]).ended(0);
    both.migrate(&["drop", "-f"]);
    both.sternway(&["status"]).ended(0).says(&["not installed", "the last run arrived at 1.0.3"]);
    both.migrate(&["up", "2"]);
    both.sternway(&["status"])
        .ended(0)
        .says(&["schema: of 2 releases, 1.0.0 to 1.0.1", "drift: none"]);
    both.sternway(&["upgrade", "--to", "1.0.3", "--yes"]).ended(0);
    both.is_at("4 false");
}
