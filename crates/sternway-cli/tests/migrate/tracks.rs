//! `sternway migrate` with the settings of an application that has two tracks. The cases are those
//! that kagent's `db migrate` is tested by.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::support::{self, Machine, Run, Server, execute};

/// A machine whose settings name the tracks `alpha`, of two migrations, and `beta`, of one.
struct Tracks {
    machine: Machine,
    server: Server,
}

fn machine() -> Machine {
    let machine = Machine::empty();
    let mut settings = "[app]\nname = \"two\"\nsource = \"dir:.\"\n".to_owned();
    for (track, count) in [("alpha", 2), ("beta", 1)] {
        settings.push_str(&format!(
            "[[track]]\nname = \"{track}\"\npath = \"{track}\"\ntable = \"{track}_migrations\"\n"
        ));
        for number in 1..=count {
            let table = format!("{track}_{number}");
            let file = format!("{track}/{number:06}_make");
            let up = format!("CREATE TABLE IF NOT EXISTS {table} (id int)");
            machine.write(&format!("{file}.up.sql"), &up);
            machine.write(&format!("{file}.down.sql"), &format!("DROP TABLE IF EXISTS {table}"));
        }
    }
    machine.write("sternway.toml", &settings);
    machine
}

impl Tracks {
    fn new() -> Option<Tracks> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let test = format!("tracks{}", NEXT.fetch_add(1, Ordering::Relaxed));
        Some(Tracks { server: Server::new(&test)?, machine: machine() })
    }

    fn run(&self, arguments: &[&str]) -> Run {
        let arguments: Vec<&str> =
            std::iter::once("migrate").chain(arguments.iter().copied()).collect();
        self.machine.on(&self.server.url, &arguments)
    }

    /// Runs a command that has to succeed with exactly this result.
    #[track_caller]
    fn prints(&self, arguments: &[&str], expected: &str) {
        let run = self.run(arguments).ended(0);
        assert_eq!(run.stdout, expected, "{arguments:?}: {}", run.stderr);
    }

    /// Runs a command that has to be refused in these words, without a result.
    #[track_caller]
    fn refuses(&self, arguments: &[&str], words: &str) {
        let run = self.run(arguments).ended(1).explains(&[words]);
        assert_eq!(run.stdout, "", "{arguments:?}");
    }

    fn dirty(&self, track: &str) {
        execute(&self.server.url, &format!("UPDATE {track}_migrations SET dirty = true"));
    }
}

#[test]
fn wrong_arguments_are_refused_before_any_database_is_asked() {
    let machine = machine();
    let nowhere = "postgres://localhost:1/none";
    for (arguments, words) in [
        (&["down", "abc"][..], "expected a positive integer for N, got \"abc\""),
        (&["down", "0"], "expected a positive integer for N, got \"0\""),
        (&["goto", "abc"], "expected a non-negative integer for V, got \"abc\""),
        (&["goto", "--", "-1"], "expected a non-negative integer for V, got \"-1\""),
        (&["force", "abc"], "expected a non-negative integer for V, got \"abc\""),
        (
            &["-track", "gamma", "version"],
            "track \"gamma\" is not registered; registered tracks: alpha, beta",
        ),
        (&["drop"], "drop is for one database"),
    ] {
        let arguments: Vec<&str> =
            std::iter::once("migrate").chain(arguments.iter().copied()).collect();
        let run = machine.on(nowhere, &arguments);
        assert_ne!(run.code, Some(0), "{arguments:?}");
        run.explains(&[words]);
    }
    let run = machine.on(nowhere, &["migrate", "-output", "yaml", "status"]).explains(&["-output"]);
    assert_ne!(run.code, Some(0));
}

#[test]
fn a_command_without_a_database_says_so() {
    let run = machine().run(&["migrate", "version"]).ended(1);
    assert_eq!(run.stdout, "");
    run.explains(&["nothing says which database", "STERNWAY_DATABASE"]);
}

#[test]
fn every_track_goes_up_and_is_listed() {
    let Some(tracks) = Tracks::new() else { return };
    tracks.prints(&["up"], "applied 3 migration(s); schema is up to date\n");
    tracks.prints(&["up"], "no pending migrations; schema is up to date\n");
    let status = tracks.run(&["status"]).ended(0);
    let lines: Vec<&str> = status.stdout.lines().collect();
    for line in [
        "3 migration(s) applied, 0 pending",
        "alpha: 2 applied (at 2), 0 pending",
        "beta: 1 applied (at 1), 0 pending",
    ] {
        assert!(lines.contains(&line), "{line}: {}", status.stdout);
    }
    tracks.prints(&["version"], "alpha: 2\nbeta: 1\n");
    tracks.prints(&["-track", "alpha", "version"], "2\n");
}

#[test]
fn the_shape_for_machines_does_not_change() {
    let Some(tracks) = Tracks::new() else { return };
    tracks.prints(
        &["-output", "json", "-track", "beta", "status"],
        r#"{
  "format": "sternway.migrate.status/1",
  "applied": 0,
  "pending": 1,
  "tracks": [
    {
      "name": "beta",
      "table": "beta_migrations",
      "applied": 0,
      "pending": 1,
      "version": null,
      "dirty": false,
      "ahead": false,
      "migrations": [
        {
          "version": 1,
          "title": "make",
          "applied": false,
          "up": true,
          "down": true
        }
      ]
    }
  ]
}
"#,
    );
    let up = tracks.run(&["-output", "json", "up"]).ended(0);
    let up = up.json("sternway.migrate/1");
    assert_eq!((&up["outcome"], &up["tracks"][1]["version"]), (&"done".into(), &1.into()));
    assert_eq!(up["tracks"][0]["migrations"].as_array().map(Vec::len), Some(2));
    let status = tracks.run(&["-output", "json", "status"]).ended(0);
    let status = status.json("sternway.migrate.status/1");
    assert_eq!((&status["applied"], &status["pending"]), (&3.into(), &0.into()));
    assert_eq!(status["tracks"].as_array().map(Vec::len), Some(2));
}

#[test]
fn one_track_goes_where_it_is_sent() {
    let Some(tracks) = Tracks::new() else { return };
    tracks.run(&["up"]).ended(0);
    tracks.refuses(&["down", "1"], "registered tracks: alpha, beta; pass -track");
    tracks.prints(&["-track", "alpha", "down", "1"], "rolled back 1 migration(s)\n");
    tracks.prints(&["-track", "alpha", "version"], "1\n");
    tracks.prints(&["-track", "alpha", "goto", "2"], "schema is at version 2\n");
    tracks.prints(&["-track", "beta", "goto", "0"], "schema is at version 0 (empty)\n");
    tracks.prints(&["-track", "beta", "version"], "0 (no migrations applied)\n");
    tracks.prints(&["-track", "beta", "down", "1"], "no migrations to roll back\n");
    tracks.prints(&["up"], "applied 1 migration(s); schema is up to date\n");
}

#[test]
fn a_dirty_track_is_refused_until_it_is_forced() {
    let Some(tracks) = Tracks::new() else { return };
    tracks.run(&["up"]).ended(0);
    tracks.prints(&["-track", "beta", "goto", "0"], "schema is at version 0 (empty)\n");
    tracks.dirty("alpha");
    for arguments in
        [&["up"][..], &["-track", "alpha", "down", "1"], &["-track", "alpha", "goto", "1"]]
    {
        tracks.refuses(arguments, "track \"alpha\" is dirty at 2: a migration did not end");
    }
    tracks.run(&["status"]).ended(0).says(&["alpha: 2 applied (at 2 (dirty)), 0 pending"]);
    tracks.prints(&["-track", "alpha", "force", "2"], "version 2 marked as applied\n");
    tracks.prints(&["up"], "applied 1 migration(s); schema is up to date\n");
}

#[test]
fn force_takes_a_number_that_there_is() {
    let Some(tracks) = Tracks::new() else { return };
    tracks.run(&["up"]).ended(0);
    let words = "version 99 is not a migration of track \"alpha\"; valid versions are 1, 2";
    tracks.refuses(&["-track", "alpha", "force", "99"], words);
    let cleared = "version record cleared (no migrations applied)\n";
    tracks.prints(&["-track", "alpha", "force", "0"], cleared);
    tracks.prints(&["up"], "applied 2 migration(s); schema is up to date\n");
}

#[test]
fn a_database_ahead_is_told_and_left_alone() {
    let Some(tracks) = Tracks::new() else { return };
    tracks.run(&["up"]).ended(0);
    execute(&tracks.server.url, "UPDATE alpha_migrations SET version = 7");
    tracks.run(&["status"]).ended(0).says(&["the database is at 7, ahead of these files"]);
    let run = tracks.run(&["up"]).ended(0).explains(&["alpha is ahead of these files"]);
    assert_eq!(run.stdout, "no pending migrations; schema is up to date\n");
    tracks.prints(&["-track", "alpha", "version"], "7\n");
}

#[test]
fn names_that_are_no_migrations_do_not_count() {
    let Some(tracks) = Tracks::new() else { return };
    for file in ["000003foo.up.sql", "notes.up.sql", "README.md"] {
        tracks.machine.write(&format!("alpha/{file}"), "SELECT 1 / 0");
    }
    tracks.prints(&["up"], "applied 3 migration(s); schema is up to date\n");
}

#[test]
fn asking_creates_nothing() {
    let Some(tracks) = Tracks::new() else { return };
    tracks.run(&["status"]).ended(0).says(&["0 migration(s) applied, 3 pending"]);
    tracks.run(&["version"]).ended(0);
    let count = support::ask(
        &tracks.server.url,
        "SELECT count(*)::text FROM pg_tables WHERE schemaname = 'public'",
    );
    assert_eq!(count, "0");
}

#[test]
fn a_track_that_fails_takes_the_others_back() {
    let Some(tracks) = Tracks::new() else { return };
    tracks.run(&["up"]).ended(0);
    tracks.run(&["-track", "alpha", "down", "1"]).ended(0);
    tracks.machine.write("beta/000002_fails.up.sql", "SELECT 1 / 0");
    tracks.refuses(&["up"], "alpha was taken back to 1");
    tracks.prints(&["version"], "alpha: 1\nbeta: 1\n");
}
