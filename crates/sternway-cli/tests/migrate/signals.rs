//! What a signal, a cut connection and a sudden end leave behind. The migration is held at a barrier
//! in its middle, so that nothing depends on time.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::both::server::{Admin, Kind};
use crate::both::state::State;
use crate::both::{Pair, Place, Tool, words};

const STOPPING: &str = "Stopping after this running migration ...";

/// A migration that makes a table and then stands at a barrier, and one that comes after it.
struct Scene<'a> {
    place: Place<'a>,
    admin: Admin,
    /// Who keeps the barrier closed.
    keeper: Admin,
}

impl<'a> Scene<'a> {
    fn new(pair: &'a Pair) -> Scene<'a> {
        let (mut admin, mut keeper) = (pair.admin(), pair.admin());
        let place = Place::new(pair, &mut admin);
        let barrier = match pair.kind {
            Kind::PostgreSql => {
                keeper.rows(&place, &format!("SELECT pg_advisory_lock({})::text", key(&place)));
                let key = key(&place);
                format!("SELECT pg_advisory_lock({key});\nSELECT pg_advisory_unlock({key})")
            }
            Kind::MariaDb => {
                keeper
                    .rows(&place, &format!("SELECT CAST(GET_LOCK('{}', 10) AS char)", place.name));
                // Where `DO` is ended, it succeeds.
                format!(
                    "INSERT INTO a SELECT GET_LOCK('{0}', 60);\nDO RELEASE_LOCK('{0}')",
                    place.name
                )
            }
            // Nothing to wait for: it counts for minutes.
            Kind::Sqlite | Kind::None => "WITH RECURSIVE n(x) AS
                (SELECT 1 UNION ALL SELECT x + 1 FROM n LIMIT 4000000000)
                INSERT INTO a SELECT count(*) FROM n"
                .to_owned(),
        };
        place.write("m/1_slow.up.sql", &format!("CREATE TABLE a (x int);\n{barrier};\n"));
        place.write("m/2_next.up.sql", "CREATE TABLE b (x int)");
        Scene { place, admin, keeper }
    }

    /// Starts the way up, and waits until it stands at the barrier.
    fn start(&mut self, tool: Tool) -> Running {
        let (program, first) = match tool {
            Tool::GolangMigrate => (self.place.pair.migrate.as_str(), ""),
            Tool::Sternway => (env!("CARGO_BIN_EXE_sternway"), "migrate"),
        };
        let told = match self.place.pair.kind {
            Kind::PostgreSql => format!("application_name={}", self.place.name),
            _ => String::new(),
        };
        let line = format!("{first} -verbose -path m -database {} up", self.place.url(&told));
        // Without `timeout` between, which would pass signals on in its own way.
        let mut child = Command::new(Path::new(program))
            .args(words(&line))
            .current_dir(self.place.work())
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program");
        let stderr = BufReader::new(child.stderr.take().expect("a standard error"));
        let mut running = Running { child, stderr, said: String::new() };
        running.until("Read and execute 1/u slow");
        let place = &self.place;
        let waiting = match place.pair.kind {
            Kind::PostgreSql => format!(
                "SELECT count(*)::text FROM pg_locks
                 WHERE locktype = 'advisory' AND objid = {} AND classid = 0 AND NOT granted",
                key(place)
            ),
            Kind::MariaDb => format!(
                "SELECT CAST(count(*) AS char) FROM information_schema.processlist
                 WHERE db = '{}' AND info LIKE 'INSERT%GET_LOCK%' AND state = 'User lock'",
                place.name
            ),
            Kind::Sqlite | Kind::None => {
                // The statement starts with the line that was read.
                std::thread::sleep(Duration::from_millis(300));
                return running;
            }
        };
        until(place, &mut self.admin, &waiting, "1");
        running
    }

    fn open(&mut self) {
        let sql = match self.place.pair.kind {
            Kind::PostgreSql => format!("SELECT pg_advisory_unlock({})::text", key(&self.place)),
            Kind::MariaDb => format!("SELECT CAST(RELEASE_LOCK('{}') AS char)", self.place.name),
            Kind::Sqlite | Kind::None => return,
        };
        self.keeper.rows(&self.place, &sql);
    }

    /// Waits until the server has noticed that nobody is there any more.
    fn gone(&mut self) {
        let place = &self.place;
        let query = match place.pair.kind {
            Kind::PostgreSql => format!(
                "SELECT count(*)::text FROM pg_stat_activity WHERE application_name = '{}'",
                place.name
            ),
            // The sessions of the test are there as well.
            Kind::MariaDb => format!(
                "SELECT CAST(count(*) - 2 AS char) FROM information_schema.processlist
                 WHERE db = '{}'",
                place.name
            ),
            Kind::Sqlite | Kind::None => return,
        };
        until(place, &mut self.admin, &query, "0");
    }

    #[track_caller]
    fn is(&mut self, tracking: &str, tables: &str) -> State {
        let state = State::of(&self.place, &mut self.admin, "schema_migrations");
        assert_eq!((state.tracking.as_str(), state.tables.as_str()), (tracking, tables));
        state
    }
}

/// A number of this place's own.
fn key(place: &Place) -> i64 {
    place.name.bytes().fold(11_i64, |sum, it| (sum * 31 + i64::from(it)) % 1_000_003)
}

/// Waits until a query has the answer, at most half a minute.
#[track_caller]
fn until(place: &Place, admin: &mut Admin, query: &str, answer: &str) {
    let start = Instant::now();
    loop {
        let rows = admin.rows(place, query);
        if rows == [answer] {
            return;
        }
        assert!(start.elapsed() < Duration::from_secs(30), "{query}: {rows:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A program at work, which is ended with the test.
struct Running {
    child: Child,
    stderr: BufReader<ChildStderr>,
    said: String,
}

impl Running {
    /// Reads what is said, up to a line with these words.
    #[track_caller]
    fn until(&mut self, words: &str) {
        loop {
            let from = self.said.len();
            let count = self.stderr.read_line(&mut self.said).expect("a line");
            assert!(count > 0, "it ended before {words:?}: {}", self.said);
            if self.said[from..].contains(words) {
                return;
            }
        }
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status();
        assert!(sent.expect("kill").success(), "{name}");
    }

    /// Waits for its end, at most half a minute.
    #[track_caller]
    fn end(mut self) -> (ExitStatus, String) {
        let start = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("a state") {
                break status;
            }
            assert!(start.elapsed() < Duration::from_secs(30), "it goes on: {}", self.said);
            std::thread::sleep(Duration::from_millis(20));
        };
        self.stderr.read_to_string(&mut self.said).expect("the rest");
        assert!(!self.said.contains("panicked"), "{}", self.said);
        (status, std::mem::take(&mut self.said))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const SERVERS: [Kind; 2] = [Kind::PostgreSql, Kind::MariaDb];
const ALL: [Kind; 3] = [Kind::PostgreSql, Kind::MariaDb, Kind::Sqlite];

fn on_each(kinds: &[Kind], test: &str, what: impl Fn(Scene)) {
    for pair in kinds.iter().filter_map(|kind| Pair::new(*kind, test)) {
        what(Scene::new(&pair));
    }
}

#[test]
fn a_first_signal_lets_the_running_migration_end() {
    let asked = [(Tool::GolangMigrate, "INT"), (Tool::Sternway, "INT"), (Tool::Sternway, "TERM")];
    for (tool, signal) in asked {
        on_each(&SERVERS, "a first signal", |mut scene| {
            let mut running = scene.start(tool);
            running.signal(signal);
            running.until(STOPPING);
            scene.open();
            let (status, said) = running.end();
            assert_eq!(status.code(), Some(0), "{tool:?} {signal}: {said}");
            assert!(said.contains("Finished 1/u slow"), "{said}");
            assert!(!said.contains("Finished 2/u next"), "{said}");
            scene.is("1", "a");
        });
    }
}

#[test]
fn golang_migrate_ends_at_once_by_sigterm() {
    on_each(&SERVERS, "golang-migrate and SIGTERM", |mut scene| {
        let running = scene.start(Tool::GolangMigrate);
        running.signal("TERM");
        let (status, _) = running.end();
        assert_eq!(status.signal(), Some(15));
        scene.open();
        scene.gone();
        let state = State::of(&scene.place, &mut scene.admin, "schema_migrations");
        assert_eq!(state.tracking, "1 dirty");
    });
}

#[test]
fn golang_migrate_swallows_a_second_signal() {
    on_each(&[Kind::PostgreSql], "golang-migrate and a second signal", |mut scene| {
        let mut running = scene.start(Tool::GolangMigrate);
        running.signal("INT");
        running.until(STOPPING);
        running.signal("INT");
        scene.open();
        assert_eq!(running.end().0.code(), Some(0));
        scene.is("1", "a");
    });
}

#[test]
fn a_second_signal_ends_the_statement() {
    for signal in ["INT", "TERM"] {
        on_each(&ALL, "a second signal", |mut scene| {
            let mut running = scene.start(Tool::Sternway);
            running.signal(signal);
            running.until(STOPPING);
            running.signal(signal);
            let (status, said) = running.end();
            assert_eq!(status.code(), Some(130), "{:?}: {said}", scene.place.pair.kind);
            assert!(said.contains("Ending the running statement ..."), "{said}");
            assert!(said.contains("error: migration failed: "), "{said}");
            match scene.place.pair.kind {
                Kind::MariaDb => {
                    let state = scene.is("1 dirty", "a");
                    assert!(state.progress.expect("a note").contains("'1_slow.up.sql','1','2'"));
                }
                _ => drop(scene.is("none", "")),
            }
        });
    }
}

#[test]
fn a_sudden_end_leaves_nothing_or_the_statement_under_way() {
    on_each(&ALL, "a sudden end", |mut scene| {
        let running = scene.start(Tool::Sternway);
        running.signal("KILL");
        let (status, _) = running.end();
        assert_eq!(status.signal(), Some(9));
        scene.open();
        scene.gone();
        let place = &scene.place;
        if place.pair.kind == Kind::MariaDb {
            let again = place.migrate(Tool::Sternway, "up");
            assert_eq!(again.code, Some(1));
            let words = "error: Dirty database version 1. Fix and force version.\n";
            assert!(again.stderr.starts_with(words), "{}", again.stderr);
            let line = "the statement under way was number 2 of 1_slow.up.sql: INSERT INTO a SELECT GET_LOCK(";
            assert!(again.stderr.contains(line), "{}", again.stderr);
            scene.is("1 dirty", "a");
        } else {
            scene.is("none", "");
            // And the same command does it.
            scene.place.write("m/1_slow.up.sql", "CREATE TABLE a (x int)");
            let again = scene.place.migrate(Tool::Sternway, "up");
            assert_eq!(again.code, Some(0), "{}", again.stderr);
            scene.is("2", "a b");
        }
    });
}

#[test]
fn a_cut_connection_leaves_nothing_or_the_statement_under_way() {
    on_each(&SERVERS, "a cut connection", |mut scene| {
        let running = scene.start(Tool::Sternway);
        let name = scene.place.name.clone();
        match scene.place.pair.kind {
            Kind::PostgreSql => {
                let cut = format!(
                    "SELECT pg_terminate_backend(pid)::text FROM pg_stat_activity
                     WHERE application_name = '{name}'"
                );
                scene.admin.rows(&scene.place, &cut);
            }
            _ => {
                let ids = format!(
                    "SELECT CAST(id AS char) FROM information_schema.processlist
                     WHERE db = '{name}' AND info LIKE 'INSERT%GET_LOCK%'"
                );
                for id in scene.admin.rows(&scene.place, &ids) {
                    scene.place.execute(&mut scene.admin, &format!("KILL {id}"));
                }
            }
        }
        let (status, said) = running.end();
        assert_eq!(status.code(), Some(1), "{said}");
        assert!(said.contains("error: "), "{said}");
        scene.open();
        scene.gone();
        match scene.place.pair.kind {
            Kind::MariaDb => {
                let again = scene.place.migrate(Tool::Sternway, "up");
                let line = "the statement under way was number 2 of 1_slow.up.sql: INSERT INTO a SELECT GET_LOCK(";
                assert!(again.stderr.contains(line), "{}", again.stderr);
                scene.is("1 dirty", "a");
            }
            _ => drop(scene.is("none", "")),
        }
    });
}
