//! Bodies that run statement by statement outside a transaction: the program is killed at every point,
//! and again where it makes up for that. The demo has but one statement of that kind.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;

use sternway_database::dialect::connect;
use sternway_database::failpoint::Point;
use sternway_model::catalog::Digest;
use sternway_model::state::TrackingRow;

use crate::support::{Machine, Run, Server, ask, block_on, execute, is_killed};
use crate::voyage::NOWHERE;

/// Two releases; `alone` are statements that no transaction takes.
fn machine(alone: &str) -> Machine {
    let machine = Machine::of("ships", "db");
    let body = format!(
        "CREATE TABLE log (n integer); {alone}; INSERT INTO log VALUES (1);
         BEGIN; INSERT INTO log VALUES (2); COMMIT"
    );
    for (file, from, body) in [
        ("1_ship.up.sql", 0, "CREATE TABLE ship (id integer PRIMARY KEY, name text)"),
        ("1_ship.down.sql", 0, "DROP TABLE ship"),
        ("2_flag.up.sql", 1, "ALTER TABLE ship ADD COLUMN flag text"),
        ("2_flag.down.sql", 1, "ALTER TABLE ship DROP COLUMN flag"),
        ("3_log.up.sql", 1, &body),
        ("3_log.down.sql", 1, "DROP TABLE log"),
    ] {
        for release in &["1.0.0", "1.1.0"][from..] {
            machine.write(&format!("releases/{release}/db/{file}"), body);
        }
    }
    machine
}

/// A machine and a database of its own.
struct Ships<'a> {
    machine: &'a Machine,
    url: &'a str,
    /// Whether the program rehearses: on SQLite it does so in memory, and in no time.
    rehearses: bool,
    /// How often it was killed, by the point's name.
    kills: BTreeMap<String, usize>,
}

impl Ships<'_> {
    fn command(&self, arguments: &[&str]) -> Command {
        let mut arguments = arguments.to_vec();
        if arguments[0] != "status" {
            arguments.push("--yes");
        }
        if !self.rehearses && !["status", "abort"].contains(&arguments[0]) {
            arguments.push("--unproven");
        }
        let mut command = self.machine.command(&arguments);
        command.env("STERNWAY_DATABASE", self.url);
        if !self.rehearses {
            command.env("STERNWAY_REHEARSAL", NOWHERE);
        }
        command
    }

    /// Runs the program, to be killed at a point. Returns the point's name, if it was.
    fn run(&mut self, arguments: &[&str], at: Option<String>) -> Option<String> {
        let mut command = self.command(arguments);
        command.envs(at.map(|at| ("FAILPOINTS", at)));
        let output = command.output().expect("the program");
        let ran = Run::ended_as(format!("{command:?}"), &output);
        if output.status.signal().is_none() {
            ran.ended(0);
            return None;
        }
        let point = ran.stderr.lines().last().unwrap_or_default().replace("killed at ", "");
        *self.kills.entry(point.clone()).or_default() += 1;
        Some(point)
    }

    /// The schema, and where the track is.
    fn end(&self) -> (Digest, TrackingRow) {
        block_on(async {
            let mut database = connect(self.url, None).await.expect("a session");
            let table = "schema_migrations".to_owned();
            let row = database.track(&table).await.expect("a track").row();
            let schema = database.fingerprint(&[table]).await.expect("a fingerprint");
            (schema.digest(), row)
        })
    }

    fn last_run(&self) -> (u64, String) {
        let history = self.machine.on(self.url, &["history", "--output", "json"]).ended(0);
        let history = history.json("sternway.history/1");
        let run = &history["runs"][0];
        let progress = run["progress"]["progress"].as_str().unwrap_or_default();
        (run["run"].as_u64().unwrap_or(0), progress.to_owned())
    }

    /// Kills both ways of the journey at each point. Returns how often.
    fn killed_everywhere(mut self) -> usize {
        self.run(&["upgrade", "--to", "1.0.0"], None);
        let ends = ["1.0.0", "1.1.0"];
        let mut found = [Some(self.end()), None];
        let (mut at, mut next, mut faults) = (0, [Some(1), Some(1)], 0);
        while next.iter().any(Option::is_some) {
            let to = 1 - at;
            let journey = [["rollback", "upgrade"][to], "--to", ends[to]];
            let (before, _) = self.last_run();
            let killed = self.run(&journey, next[at].map(|n: usize| n.to_string()));
            let what = format!("{journey:?}, killed at {:?}", next[at]);
            next[at] = next[at].filter(|_| killed.is_some()).map(|n| n + 1);
            // What makes up for the k-th kill at a point is killed at its own k-th; where that leaves a
            // statement in doubt, there where it is reconciled.
            let mut again =
                killed.as_ref().map(|point| match (point.as_str(), self.kills[point]) {
                    ("statement.noted", k) => {
                        ["reconcile.begins", "reconcile.ended"][k % 2].to_owned()
                    }
                    (_, k) => k.to_string(),
                });
            let command = ["resume", "abort"][faults % 2];
            let mut tried = 0;
            faults += usize::from(killed.is_some());
            let arrived = loop {
                let (run, progress) = self.last_run();
                if run == before || ["finished", "aborted"].contains(&progress.as_str()) {
                    break run != before && progress == "finished";
                }
                assert!(tried < 3, "{what}: {command} does not come to its end: {progress}");
                tried += 1;
                self.run(&[command], again.take());
            };
            at = if arrived { to } else { at };
            let end = found[at].get_or_insert_with(|| self.end());
            assert_eq!(*end, self.end(), "{what}");
            assert!(!end.1.dirty, "{what}");
            if killed.is_none() {
                // What was found there every time is what belongs there.
                let mut status = self.machine.command(&["status", "--output", "json"]);
                status.env("STERNWAY_DATABASE", self.url);
                let status = Run::of(status).ended(0).json("sternway.status/1");
                assert_eq!(status["releases"], serde_json::json!([ends[at]]), "{what}");
                assert_eq!(status["comparison"]["drift"], serde_json::json!([]), "{what}");
                assert!(status["unfinished"].is_null(), "{what}");
            }
        }
        // There is no application here.
        let mut unknown = vec!["app.begins", "app.ended"];
        if !self.rehearses {
            unknown.extend(["proof.begins", "proof.ended"]);
        }
        let named = Point::ALL.map(Point::name).into_iter();
        let never: Vec<&str> = named.filter(|name| !self.kills.contains_key(*name)).collect();
        assert!(never.iter().all(|name| unknown.contains(name)), "{never:?}: {:?}", self.kills);
        self.kills.values().sum()
    }
}

#[test]
fn a_body_outside_a_transaction_is_killed_on_postgresql() {
    let Some(server) = Server::new("statements") else { return };
    let machine = machine(
        "CREATE INDEX CONCURRENTLY ship_name ON ship (name); DROP INDEX CONCURRENTLY ship_name",
    );
    let ships =
        Ships { machine: &machine, url: &server.url, rehearses: false, kills: BTreeMap::new() };
    let kills = ships.killed_everywhere();
    println!("{kills} faults injected: kills between statements on PostgreSQL");
}

#[test]
fn a_body_outside_a_transaction_is_killed_on_sqlite() {
    let machine = machine("VACUUM");
    let url = format!("sqlite://{}", machine.text("ships.db"));
    let ships = Ships { machine: &machine, url: &url, rehearses: true, kills: BTreeMap::new() };
    let kills = ships.killed_everywhere();
    println!("{kills} faults injected: kills between statements on SQLite");
}

/// Values that a body adds to an enum can only be used once that is committed: what waits for them is
/// restored in a transaction of its own, which may never begin.
#[test]
fn what_is_restored_after_the_commit_is_restored_wherever_the_program_is_killed() {
    let Some(server) = Server::new("enum") else { return };
    let machine = Machine::of("jobs", "migrations");
    let halves = [
        (
            "1_job.up.sql",
            "CREATE TYPE state AS ENUM ('open', 'done'); CREATE TABLE job (id int PRIMARY KEY, s state)",
        ),
        ("1_job.down.sql", "DROP TABLE job; DROP TYPE state"),
        ("2_more.up.sql", "ALTER TYPE state ADD VALUE 'late'"),
        (
            "2_more.down.sql",
            "UPDATE job SET s = 'done' WHERE s = 'late'; ALTER TYPE state RENAME TO old_state;
             CREATE TYPE state AS ENUM ('open', 'done');
             ALTER TABLE job ALTER COLUMN s TYPE state USING s::text::state; DROP TYPE old_state",
        ),
    ];
    for (name, sql) in halves {
        for release in ["1.0.0", "1.1.0"] {
            if release == "1.1.0" || name.starts_with('1') {
                machine.write(&format!("releases/{release}/migrations/{name}"), sql);
            }
        }
    }
    let on = |arguments: &[&str], at: Option<usize>| {
        let mut command = machine.command(arguments);
        command.env("STERNWAY_DATABASE", &server.url);
        is_killed(command, at)
    };
    on(&["upgrade", "--to", "1.1.0", "--yes", "--unproven"], None);
    execute(&server.url, "INSERT INTO job VALUES (1, 'open'), (2, 'late'), (3, 'late')");
    let mut kills = 0;
    for at in 1.. {
        on(&["rollback", "--to", "1.0.0", "--yes", "--unproven"], None);
        let upgrade = ["upgrade", "--to", "1.1.0", "--yes", "--unproven"];
        let killed = on(&upgrade, Some(at));
        if killed {
            kills += 1;
            let status = machine.on(&server.url, &["status", "--output", "json"]);
            let status = status.json("sternway.status/1");
            if !status["unfinished"].is_null() {
                let end: [&[&str]; 2] = [&["resume", "--yes", "--unproven"], &["abort", "--yes"]];
                on(end[at % 2], None);
            }
            if ask(&server.url, "SELECT version::text FROM schema_migrations") == "1" {
                on(&upgrade, None);
            }
        }
        let jobs = "SELECT string_agg(id || ' ' || s, ', ' ORDER BY id) FROM job";
        assert_eq!(ask(&server.url, jobs), "1 open, 2 late, 3 late", "killed at {at}");
        assert_eq!(ask(&server.url, "SELECT dirty::text FROM schema_migrations"), "false");
        if !killed {
            break;
        }
    }
    println!("{kills} faults injected: kills around a transaction of the archive's own");
}
