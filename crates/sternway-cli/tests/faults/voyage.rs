//! The demo's application with rows in every table, on its way between two neighbouring releases while
//! something goes wrong, and what has to hold afterwards.

use std::fmt;
use std::process::Command;

use sqlx::{Connection, PgConnection};
use sternway_database::port::prelude::*;
use sternway_database::postgres::connect;
use sternway_model::catalog::Digest;
use sternway_model::state::TrackingRow;
use sternway_testing::{Fill, Snapshot, fill};

use crate::support::{APP, CORE, Machine, Run, SEARCH, Session, block_on};

/// The neighbouring releases of the demo between which the schema moves, the newest first.
pub const NEIGHBOURS: [[&str; 2]; 6] = [
    ["1.2.0-rc1", "1.2.0"],
    ["1.1.2", "1.2.0-rc1"],
    ["1.1.1", "1.1.2"],
    ["1.0.3", "1.1.0"],
    ["1.0.2", "1.0.3"],
    ["1.0.1", "1.0.2"],
];

/// An application behind commands that leave in a file which release runs.
const DEPLOY: &str = "[deploy.commands]\nstop = \"rm -f runs\"\nswap = \"printf %s {version} > installed\"\n\
    start = \"cp installed runs\"\nversion = \"cat installed\"\n";

/// No server listens there.
pub const NOWHERE: &str = "postgres://nobody@127.0.0.1:1/nothing?sslmode=disable";

/// Something that goes wrong at the n-th of some kind of point.
pub trait Fault {
    /// Runs the program, and makes it happen. Returns where it happened; `None` where the program came
    /// to its end before.
    fn strike(&mut self, program: Command, n: usize) -> (Option<String>, Run);

    /// How many points the program came by when it came to its end, fewer than `n`.
    fn points(&self, n: usize) -> usize;
}

/// The application and its database.
pub struct Harbour {
    machine: Machine,
    /// The program's way to the database.
    url: String,
    /// The test's.
    admin: String,
    /// A server to rehearse on that nothing happens to.
    shadow: String,
    /// Whether the server falls.
    falls: bool,
}

/// What is found at one end of a journey.
struct End {
    release: &'static str,
    rows: Snapshot,
    schema: Digest,
    tracks: Vec<TrackingRow>,
}

/// How many faults there were, and what they came to.
#[derive(Default)]
pub struct Tally {
    pub faults: usize,
    /// Of those, how many in a `resume` or an `abort`.
    pub while_recovering: usize,
    pub resumed: usize,
    pub aborted: usize,
    /// Nothing had begun, or everything had ended.
    pub nothing_to_do: usize,
    /// How many points the journeys have, as far as that is known.
    pub points: usize,
    /// How many rows were there.
    pub rows: u64,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tally { faults, while_recovering, resumed, aborted, nothing_to_do, points, rows } =
            self;
        write!(
            f,
            "{faults} faults injected, {while_recovering} of them while making up for one; {resumed} runs \
             resumed, {aborted} taken back, {nothing_to_do} had not begun or had ended; the journeys \
             have {points} points; {rows} rows are what they were"
        )
    }
}

impl Harbour {
    /// The demo's newest release, with rows in every table. What is rehearsed is so on the same server,
    /// unless that one falls.
    pub fn new(url: String, admin: String, shadow: Option<String>) -> Harbour {
        let falls = shadow.is_some();
        let shadow = shadow.unwrap_or_else(|| admin.clone());
        let machine = Machine::new();
        machine.write("sternway.toml", &format!("{APP}{CORE}{SEARCH}{DEPLOY}"));
        machine.write("installed", "1.0.0");
        let harbour = Harbour { machine, url, admin, shadow, falls };
        harbour.go("upgrade", "1.2.0");
        block_on(async {
            let mut connection = PgConnection::connect(&harbour.admin).await.expect("a session");
            fill(&mut connection, "public", &Fill::new(4, 14).without(&tracking())).await;
        });
        harbour
    }

    /// The program, on this database. Where it has no shadow it can prove nothing, and is much faster.
    fn command(&self, arguments: &[&str], proves: bool) -> Command {
        let mut arguments = [arguments, &["--yes"]].concat();
        if !proves && arguments[0] != "abort" {
            arguments.push("--unproven");
        }
        let shadow = if proves { &self.shadow } else { NOWHERE };
        let mut command = self.machine.command(&arguments);
        command.env("STERNWAY_DATABASE", &self.url).env("STERNWAY_REHEARSAL", shadow);
        command
    }

    fn go(&self, way: &str, to: &str) {
        Run::of(self.command(&[way, "--to", to], true)).ended(0);
    }

    /// The number of the last run, and how far it is.
    fn last_run(&self) -> (u64, String) {
        let mut command = self.machine.command(&["history", "--output", "json"]);
        command.env("STERNWAY_DATABASE", &self.admin);
        let history = Run::of(command).ended(0).json("sternway.history/1");
        let run = &history["runs"][0];
        let progress = run["progress"]["progress"].as_str().unwrap_or("none");
        (run["run"].as_u64().unwrap_or(0), progress.to_owned())
    }

    /// Waits until the server has noticed that the program is gone.
    fn wait(&self) {
        block_on(async {
            let mut session = Session::open(&self.admin).await;
            let gone = "NOT EXISTS (SELECT FROM pg_stat_activity
                WHERE application_name = 'sternway' AND datname = current_database())";
            session.until(gone).await;
        });
    }

    fn end(&self, release: &'static str) -> End {
        let (rows, schema, tracks) = block_on(async {
            let mut connection = PgConnection::connect(&self.admin).await.expect("a session");
            let rows = Snapshot::of(&mut connection, "public", &tracking()).await;
            let mut database = connect(&self.admin, None).await.expect("a session");
            let schema = database.fingerprint(&tracking()).await.expect("a fingerprint");
            let mut tracks = Vec::new();
            for table in tracking() {
                tracks.push(database.track(&table).await.expect("a track").row());
            }
            (rows, schema.digest(), tracks)
        });
        End { release, rows, schema, tracks }
    }

    /// Checks that schema, rows and application are as they are at an end of the journey.
    #[track_caller]
    fn is_at(&self, end: &End, what: &str) {
        let found = self.end(end.release);
        assert_eq!(found.tracks, end.tracks, "{what}");
        assert!(found.tracks.iter().all(|track| !track.dirty), "{what}");
        let differences: Vec<String> =
            end.rows.differences(&found.rows).iter().map(ToString::to_string).collect();
        assert!(differences.is_empty(), "{what}: {}", differences.join("\n"));
        for (name, next) in &end.rows.sequences {
            let now = found.rows.sequences.get(name);
            // A server that falls passes over numbers: it has noted some in advance.
            let fits = if self.falls { now >= Some(next) } else { now == Some(next) };
            assert!(fits, "{what}: sequence {name} would give {next}, and now {now:?}");
        }
        assert_eq!(found.schema, end.schema, "{what}");
        assert_eq!(self.machine.read("installed"), end.release, "{what}");
        assert_eq!(self.machine.read("runs"), end.release, "{what}");
    }

    /// Checks that a clean install of the release has the same schema.
    #[track_caller]
    fn has_no_drift(&self) {
        let status = Run::of(self.machine_status()).ended(0).json("sternway.status/1");
        assert_eq!(status["comparison"]["drift"], serde_json::json!([]), "{status}");
        assert!(status["unfinished"].is_null(), "{status}");
    }

    fn machine_status(&self) -> Command {
        let mut command = self.machine.command(&["status", "--output", "json"]);
        command.env("STERNWAY_DATABASE", &self.admin).env("STERNWAY_REHEARSAL", &self.shadow);
        command
    }

    /// Goes down and up between all neighbours with a fault at every `stride`-th point, and makes up
    /// for each by `resume` and `abort` in turns.
    pub fn sail(&self, stride: usize, fault: &mut dyn Fault) -> Tally {
        let home = self.end("1.2.0");
        let mut tally = Tally { rows: home.rows.rows(), ..Tally::default() };
        for (index, [low, high]) in NEIGHBOURS.into_iter().enumerate() {
            if self.machine.read("installed") != high {
                self.go("rollback", high);
            }
            let ends = [None, Some(self.end(high))];
            let mut voyage = Voyage { harbour: self, releases: [low, high], ends };
            // Each journey begins elsewhere, or the first points would be struck more often than others.
            let first = |way: usize| 1 + (2 * index + way) * stride / (2 * NEIGHBOURS.len());
            voyage.sail(stride, [first(0), first(1)], fault, &mut tally);
            self.go("rollback", low);
        }
        self.go("upgrade", "1.2.0");
        self.is_at(&home, "home again");
        self.has_no_drift();
        tally
    }
}

/// The way between two releases, the lower one first.
struct Voyage<'a> {
    harbour: &'a Harbour,
    releases: [&'static str; 2],
    /// What was found where the journey ended for the first time.
    ends: [Option<End>; 2],
}

impl Voyage<'_> {
    /// Begins and ends at the higher release.
    fn sail(&mut self, stride: usize, first: [usize; 2], fault: &mut dyn Fault, tally: &mut Tally) {
        let mut at = 1;
        let mut next = first.map(Some);
        while at == 0 || next.iter().any(Option::is_some) {
            let to = 1 - at;
            let way = ["rollback", "upgrade"][to];
            let release = self.releases[to];
            let Some(n) = next[at] else {
                self.harbour.go(way, release);
                at = to;
                continue;
            };
            let (before, _) = self.harbour.last_run();
            let program = self.harbour.command(&[way, "--to", release], tally.faults % 8 == 5);
            let (struck, ran) = fault.strike(program, n);
            let what = format!("{way} to {release}, fault {n} at {struck:?}\n{}", ran.stderr);
            if struck.is_none() {
                ran.ended(0);
                tally.points += fault.points(n - 1);
                next[at] = None;
                at = to;
            } else {
                tally.faults += 1;
                next[at] = Some(n + stride);
                at = if self.recover(before, &what, fault, tally) { to } else { at };
            }
            match &self.ends[at] {
                Some(end) => self.harbour.is_at(end, &what),
                None => {
                    self.harbour.has_no_drift();
                    self.ends[at] = Some(self.harbour.end(self.releases[at]));
                }
            }
        }
    }

    /// Makes up for a fault. Returns whether the journey came to its end.
    fn recover(&self, before: u64, what: &str, fault: &mut dyn Fault, tally: &mut Tally) -> bool {
        let count = tally.faults;
        let command = ["abort", "resume"][count % 2];
        // Every third time that goes wrong as well, and then it has to work.
        let mut again = count.is_multiple_of(3).then_some(count / 3 % 40 + 1);
        // Two of eight look for what has changed behind the run, and prove the end.
        let program = || self.harbour.command(&[command], count % 8 < 2);
        let mut tried = 0;
        loop {
            self.harbour.wait();
            let (run, progress) = self.harbour.last_run();
            let over = run == before || ["finished", "aborted"].contains(&progress.as_str());
            if over {
                match (tried, command) {
                    (0, _) => tally.nothing_to_do += 1,
                    (_, "abort") => tally.aborted += 1,
                    _ => tally.resumed += 1,
                }
                let arrived = run != before && progress == "finished";
                assert!(tried == 0 || arrived == (command == "resume"), "{what}: {progress}");
                return arrived;
            }
            assert!(tried < 3, "{what}: {command} does not come to its end: {progress}");
            tried += 1;
            match again.take() {
                Some(n) => {
                    let (struck, ran) = fault.strike(program(), n);
                    if struck.is_some() {
                        tally.faults += 1;
                        tally.while_recovering += 1;
                    } else {
                        ran.ended(0);
                    }
                }
                None => {
                    let ran = Run::of(program());
                    assert_eq!(
                        ran.code,
                        Some(0),
                        "{what}\n{command}: {}{}",
                        ran.stdout,
                        ran.stderr
                    );
                }
            }
        }
    }
}

/// The tracking tables, which are looked at by themselves.
fn tracking() -> Vec<String> {
    ["schema_migrations", "search_schema_migrations"].map(str::to_owned).to_vec()
}
