//! golang-migrate and Sternway on one database: in turns, at once, and while the other works.

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::both::server::{Admin, Kind};
use crate::both::state::State;
use crate::both::{self, Pair, Place, Tool};

/// Numbers that look random and are the same in each run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        // Knuth's multiplier; the low bits are the weak ones.
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) % sides
    }
}

/// The versions of `example`.
const VERSIONS: [i64; 6] = [2, 3, 5, 8, 13, 20240101000000];

/// Migrations, each of which makes a table, and writes into one that stays that it did.
fn example(place: &Place) {
    let mut before = 0;
    for version in VERSIONS {
        let audit = |what: &str| format!("INSERT INTO audit (said) VALUES ('{version} {what}');\n");
        let up = format!(
            "CREATE TABLE t{version} (x int);\nINSERT INTO t{version} VALUES ({before});\n"
        );
        // The first has no way down that does anything, the third none at all.
        place.write(&format!("m/{version}_step.up.sql"), &format!("{up}{}", audit("up")));
        if version != 5 {
            let down = format!("DROP TABLE t{version};\n{}", audit("down"));
            place.write(&format!("m/{version}_step.down.sql"), &down);
        } else {
            let up = "CREATE TABLE IF NOT EXISTS t5 (x int);\n";
            place.write("m/5_step.up.sql", &format!("{up}{}", audit("up")));
        }
        before = version;
    }
}

fn audit(place: &Place, admin: &mut Admin) {
    let number = match place.pair.kind {
        Kind::PostgreSql => "n serial PRIMARY KEY",
        Kind::MariaDb => "n int AUTO_INCREMENT PRIMARY KEY",
        Kind::Sqlite | Kind::None => "n INTEGER PRIMARY KEY",
    };
    place.execute(admin, &format!("CREATE TABLE audit ({number}, said varchar(40) NOT NULL)"));
}

/// 500 operations that succeed, as command lines.
fn operations() -> Vec<String> {
    let mut dice = Dice(20261123);
    let mut at = 0; // How many are applied.
    let all = VERSIONS.len();
    let mut operations = Vec::new();
    while operations.len() < 500 {
        let version = |at: usize| VERSIONS[at - 1];
        let operation = match dice.roll(12) {
            0..=3 if at < all => {
                at += 1;
                "up 1".to_owned()
            }
            4..=6 if at > 0 => {
                at -= 1;
                "down 1".to_owned()
            }
            7 => {
                at = all;
                "up".to_owned()
            }
            8..=9 => {
                at = 1 + dice.roll(all as u64) as usize;
                format!("goto {}", version(at))
            }
            10 if at > 0 => format!("force {}", version(at)),
            11 if at > 0 && dice.roll(4) == 0 => {
                at = 0;
                "down -all".to_owned()
            }
            _ => continue,
        };
        operations.push(operation);
    }
    operations
}

/// Carries out the operations, and tells what was there after each fiftieth.
fn walk(pair: &Pair, admin: &mut Admin, mut tool: impl FnMut() -> Tool) -> Vec<State> {
    let place = Place::new(pair, admin);
    example(&place);
    audit(&place, admin);
    let mut states = Vec::new();
    for (index, operation) in operations().iter().enumerate() {
        let tool = tool();
        let ran = place.migrate(tool, operation);
        assert_eq!(ran.code, Some(0), "{index}: {operation} by {tool:?}: {}", ran.stderr);
        if index % 50 == 49 {
            states.push(State::of(&place, admin, "schema_migrations"));
        }
    }
    states
}

fn turns(kind: Kind, test: &str) {
    let Some(pair) = Pair::new(kind, test) else { return };
    let walks = std::thread::scope(|scope| {
        let alone = |tool| {
            scope.spawn({
                let pair = &pair;
                move || walk(pair, &mut pair.admin(), || tool)
            })
        };
        let (golang, sternway) = (alone(Tool::GolangMigrate), alone(Tool::Sternway));
        let mut dice = Dice(7);
        let mut both = || if dice.roll(2) == 0 { Tool::Sternway } else { Tool::GolangMigrate };
        let turns = walk(&pair, &mut pair.admin(), &mut both);
        [turns, golang.join().expect("a walk"), sternway.join().expect("a walk")]
    });
    let [turns, golang, sternway] = walks;
    for (index, theirs) in golang.iter().enumerate() {
        assert_eq!(&sternway[index], theirs, "Sternway alone, after {}", (index + 1) * 50);
        assert_eq!(&turns[index], theirs, "in turns, after {}", (index + 1) * 50);
    }
}

#[test]
fn they_take_turns_on_postgresql() {
    turns(Kind::PostgreSql, "turns on PostgreSQL");
}

#[test]
fn they_take_turns_on_mariadb() {
    turns(Kind::MariaDb, "turns on MariaDB");
}

#[test]
fn they_take_turns_on_sqlite() {
    turns(Kind::Sqlite, "turns on SQLite");
}

/// Starts a program and does not wait for it.
fn start(place: &Place, tool: Tool, options: &str, command: &str) -> Child {
    let told = match place.pair.kind {
        Kind::PostgreSql => format!("application_name={}", place.name),
        _ => String::new(),
    };
    let line = format!("{options} -path m -database {} {command}", place.url(&told));
    let mut program = place.command(tool, &both::words(&line));
    program.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    program.spawn().expect("the program")
}

/// Waits for a program, and checks its exit code.
#[track_caller]
fn end(child: Child, code: i32) -> String {
    let output = child.wait_with_output().expect("the program");
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{errors}");
    errors
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

/// A lock that a test holds, and that a migration has to pass.
struct Gate {
    close: String,
    open: String,
    /// What the migration does.
    pass: String,
    /// A query for how many stand before it.
    waiting: String,
}

impl Gate {
    fn new(place: &Place) -> Gate {
        let name = &place.name;
        if place.pair.kind == Kind::MariaDb {
            return Gate {
                close: format!("SELECT CAST(GET_LOCK('{name}', 10) AS char)"),
                open: format!("SELECT CAST(RELEASE_LOCK('{name}') AS char)"),
                pass: format!("DO GET_LOCK('{name}', 60); DO RELEASE_LOCK('{name}');"),
                waiting: format!(
                    "SELECT CAST(count(*) AS char) FROM information_schema.processlist
                     WHERE db = '{name}' AND info LIKE 'DO GET_LOCK%' AND state = 'User lock'"
                ),
            };
        }
        // A number of this place's own.
        let key = name.bytes().fold(7_i64, |sum, it| (sum * 31 + i64::from(it)) % 1_000_003);
        Gate {
            close: format!("SELECT pg_advisory_lock({key})::text"),
            open: format!("SELECT pg_advisory_unlock({key})::text"),
            pass: format!("SELECT pg_advisory_lock({key}); SELECT pg_advisory_unlock({key});"),
            waiting: format!(
                "SELECT count(*)::text FROM pg_locks
                 WHERE locktype = 'advisory' AND objid = {key} AND classid = 0 AND NOT granted"
            ),
        }
    }
}

/// Waits until so many programs are connected to a place; then looks for a while whether one that
/// has to wait does.
#[track_caller]
fn waits(place: &Place, admin: &mut Admin, programs: usize, waiting: &mut Child) {
    let count = match place.pair.kind {
        Kind::PostgreSql => format!(
            "SELECT (count(*) >= {programs})::text FROM pg_stat_activity
             WHERE application_name = '{}'",
            place.name
        ),
        // The sessions of the test are there as well, the one that asks and the one that keeps.
        _ => format!(
            "SELECT IF(count(*) >= {programs} + 2, 'true', 'false')
             FROM information_schema.processlist WHERE db = '{}'",
            place.name
        ),
    };
    until(place, admin, &count, "true");
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(1) {
        assert!(waiting.try_wait().expect("a state").is_none(), "it did not wait");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// One program is in the middle of a migration; the other waits for its end.
fn lock(kind: Kind, test: &str) {
    let Some(pair) = Pair::new(kind, test) else { return };
    for first in [Tool::GolangMigrate, Tool::Sternway] {
        let second = if first == Tool::Sternway { Tool::GolangMigrate } else { Tool::Sternway };
        let (mut admin, mut keeper) = (pair.admin(), pair.admin());
        let place = Place::new(&pair, &mut admin);
        audit(&place, &mut admin);
        let gate = Gate::new(&place);
        let slow = format!("INSERT INTO audit (said) VALUES ('slow'); {}", gate.pass);
        place.write("m/1_slow.up.sql", &slow);
        place.write("m/2_next.up.sql", "INSERT INTO audit (said) VALUES ('next')");
        keeper.rows(&place, &gate.close);
        let slow = start(&place, first, "", "up 1");
        until(&place, &mut admin, &gate.waiting, "1");
        let mut next = start(&place, second, "-lock-timeout 50", "up 1");
        waits(&place, &mut admin, 2, &mut next);
        if second == Tool::Sternway {
            // golang-migrate has no limit here (PostgreSQL), or one of its own (MariaDB).
            let timeout = start(&place, second, "-lock-timeout 1", "up 1");
            let said = end(timeout, 1);
            assert!(said.contains("timeout: can't acquire database lock"), "{said}");
            assert_eq!(end(start(&place, second, "", "version"), 0), "1 (dirty)\n");
        }
        keeper.rows(&place, &gate.open);
        end(slow, 0);
        let said = end(next, 0);
        assert!(said.starts_with("2/u next ("), "{second:?} after {first:?}: {said}");
        let rows = admin.rows(&place, "SELECT said FROM audit ORDER BY n");
        assert_eq!(rows, ["slow", "next"], "{second:?} after {first:?}");
    }
}

#[test]
fn a_lock_that_is_held_on_postgresql() {
    lock(Kind::PostgreSql, "lock on PostgreSQL");
}

#[test]
fn a_lock_that_is_held_on_mariadb() {
    lock(Kind::MariaDb, "lock on MariaDB");
}

/// Twenty start at once on an empty database; each migration is applied once.
fn crowd(kind: Kind, test: &str, tools: [Tool; 2]) {
    let Some(pair) = Pair::new(kind, test) else { return };
    let mut admin = pair.admin();
    let place = Place::new(&pair, &mut admin);
    example(&place);
    audit(&place, &mut admin);
    let programs: Vec<_> = (0..20).map(|it| start(&place, tools[it % 2], "", "up")).collect();
    let mut lines: Vec<String> = Vec::new();
    for program in programs {
        let said = end(program, 0);
        lines.extend(said.lines().filter(|it| *it != "no change").map(str::to_owned));
    }
    assert_eq!(lines.len(), VERSIONS.len(), "{lines:?}");
    let rows = admin.rows(&place, "SELECT said FROM audit ORDER BY n");
    assert_eq!(rows, VERSIONS.map(|it| format!("{it} up")));
    let state = State::of(&place, &mut admin, "schema_migrations");
    assert_eq!(state.tracking, VERSIONS[VERSIONS.len() - 1].to_string());
}

#[test]
fn a_crowd_on_postgresql() {
    crowd(Kind::PostgreSql, "crowd on PostgreSQL", [Tool::GolangMigrate, Tool::Sternway]);
}

#[test]
fn a_crowd_on_mariadb() {
    crowd(Kind::MariaDb, "crowd on MariaDB", [Tool::GolangMigrate, Tool::Sternway]);
}

/// golang-migrate takes no lock on SQLite.
#[test]
fn a_crowd_on_sqlite() {
    crowd(Kind::Sqlite, "crowd on SQLite", [Tool::Sternway, Tool::Sternway]);
}

/// The server waits for everyone's snapshot: one who waits for the lock may hold none. Where
/// golang-migrate waits, it holds one, and the server ends the index as a deadlock.
#[test]
fn an_index_is_built_while_another_waits() {
    let Some(pair) = Pair::new(Kind::PostgreSql, "an index while another waits") else { return };
    let (mut admin, mut keeper) = (pair.admin(), pair.admin());
    let place = Place::new(&pair, &mut admin);
    place.write("m/1_table.up.sql", "CREATE TABLE t (x int)");
    place.write("m/2_index.up.sql", "CREATE INDEX CONCURRENTLY i ON t (x)");
    let table = start(&place, Tool::Sternway, "", "up 1");
    end(table, 0);
    place.execute(&mut keeper, "BEGIN; INSERT INTO t VALUES (1)");
    let index = start(&place, Tool::Sternway, "", "up");
    let building = format!(
        "SELECT count(*)::text FROM pg_stat_activity WHERE application_name = '{}'
         AND query LIKE 'CREATE INDEX%' AND wait_event_type = 'Lock'",
        place.name
    );
    until(&place, &mut admin, &building, "1");
    let mut other = start(&place, Tool::Sternway, "-lock-timeout 50", "up");
    waits(&place, &mut admin, 2, &mut other);
    place.execute(&mut keeper, "COMMIT");
    end(index, 0);
    assert_eq!(end(other, 0), "no change\n");
    let valid = "SELECT indisvalid::text FROM pg_index WHERE indexrelid = 'i'::regclass";
    assert_eq!(admin.rows(&place, valid), ["true"]);
}
