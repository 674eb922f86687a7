//! The release commands on every kind of database, with golang-migrate's hands on it in between.

use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::both::server::Kind;
use crate::both::{Pair, Place, Tool};
use crate::half_bodies::{half_way, half_way_with_rows};
use crate::harbour::{ALL, Harbour, LATER, alone, with};
use crate::identity;
use crate::support::Run;

/// Each file, and the releases that have it.
pub const FILES: [(&str, &[&str], &str); 6] = [
    (
        "1_ship.up.sql",
        &["1.0.0", "1.1.0", "1.2.0"],
        "CREATE TABLE ship (id integer PRIMARY KEY, name varchar(80) NOT NULL);",
    ),
    ("1_ship.down.sql", &["1.0.0", "1.1.0", "1.2.0"], "DROP TABLE ship;"),
    (
        "2_berth.up.sql",
        &["1.1.0", "1.2.0"],
        "CREATE TABLE berth (id integer PRIMARY KEY, ship integer REFERENCES ship (id));\n\
         CREATE INDEX berth_ship ON berth (ship);",
    ),
    ("2_berth.down.sql", &["1.1.0", "1.2.0"], "DROP TABLE berth;"),
    ("3_flag.up.sql", &["1.2.0"], "ALTER TABLE ship ADD COLUMN flag varchar(2);"),
    ("3_flag.down.sql", &["1.2.0"], "ALTER TABLE ship DROP COLUMN flag;"),
];

fn journey(kind: Kind, test: &str) {
    let Some(pair) = Pair::new(kind, test) else { return };
    let mut admin = pair.admin();
    let place = Place::new(&pair, &mut admin);
    let harbour = Harbour::on(&place, &FILES);
    let theirs = |command: &str, code: i32, says: &str| {
        let ran = place.migrate(Tool::GolangMigrate, command);
        assert_eq!(ran.code, Some(code), "{}", ran.stderr);
        assert!(ran.stderr.contains(says), "{}", ran.stderr);
    };
    harbour.run(&["status"]).ended(0).quiet().says(&["not installed"]);
    harbour.run(&["upgrade", "--to", "1.2.0", "--yes"]).ended(0).quiet().says(&[
        "[3/3] core: 3_flag.up.sql",
        "upgraded to 1.2.0; the schema is that of a clean install of core 3",
    ]);
    theirs("version", 0, "3");
    place.execute(&mut admin, "INSERT INTO ship (id, name) VALUES (1, 'Anna')");
    theirs("down 1", 0, "3/d flag");
    harbour.run(&["status"]).ended(0).quiet().says(&["schema: of 1.1.0", "drift: none"]);
    theirs("up", 0, "3/u flag");
    // The source is gone: the database carries its own way back.
    let back = harbour.run(&["rollback", "--to", "1.0.0", "--offline", "--yes"]).ended(0);
    let back = match kind {
        // We are connected ourselves, and nobody is kept from writing there.
        Kind::MariaDb => back.explains(&["warning: others are connected", "--end-sessions"]),
        _ => back.quiet(),
    };
    back.says(&[
        "destroys column ",
        "hop 2 of 2: to 1.0.0",
        "(from the database's records",
        "rolled back to 1.0.0; the schema is that of a clean install of core 1",
    ]);
    assert_eq!(admin.rows(&place, "SELECT name FROM ship"), ["Anna"]);
    theirs("version", 0, "1");
    harbour.run(&["history"]).ended(0).quiet().says(&["rollback to 1.0.0", "finished"]);
    // A change behind the back of both is seen, before anything is written, and expected to stay.
    place.execute(&mut admin, "ALTER TABLE ship ADD COLUMN stray integer");
    harbour.run(&["status"]).ended(4).says(&["drift", "stray"]);
    harbour.run(&["upgrade", "--to", "1.1.0", "--yes"]).ended(0).says(&[
        "column `stray` of `ship` should not be there: int",
        "(known from before)",
        "the schema is as rehearsed, and not that of a clean install",
        "upgraded to 1.1.0; the schema is that of a clean install of core 2 but for 1 difference",
    ]);
}

/// One after the other: they are in one database, and its fingerprint has every schema.
#[test]
fn all_journeys_on_postgresql() {
    let _alone = alone();
    journey(Kind::PostgreSql, "a journey on PostgreSQL");
    on_the_move(Kind::PostgreSql, "a schema on the move on PostgreSQL");
    triggered(Kind::PostgreSql, "a trigger on PostgreSQL", UNFORESEEN);
    half_way(Kind::PostgreSql, "half a body on PostgreSQL");
    half_way_with_rows(Kind::PostgreSql, "half a body with rows on PostgreSQL");
    tried_again(Kind::PostgreSql, "a statement that waits on PostgreSQL");
    rows_in_errors(Kind::PostgreSql, "rows in errors on PostgreSQL");
    identity::edited(Kind::PostgreSql, "edited files on PostgreSQL");
    identity::lower(Kind::PostgreSql, "a lower number on PostgreSQL");
}

#[test]
fn a_journey_on_mariadb() {
    journey(Kind::MariaDb, "a journey on MariaDB");
}

#[test]
fn a_journey_on_sqlite() {
    journey(Kind::Sqlite, "a journey on SQLite");
}

/// What a server repeats of rows is for whoever sits at the terminal, and not for the records.
fn rows_in_errors(kind: Kind, test: &str) {
    let Some(pair) = Pair::new(kind, test) else { return };
    let number = match kind {
        Kind::MariaDb => "ALTER TABLE ship MODIFY name integer NOT NULL;",
        _ => "ALTER TABLE ship ALTER COLUMN name TYPE integer USING name::integer;",
    };
    // Each refuses the row in words of its own: as a key, as a value, as a whole.
    for body in [
        "CREATE UNIQUE INDEX ship_name ON ship (name);",
        number,
        "UPDATE ship SET id = NULL WHERE id = 1;",
    ] {
        let mut admin = pair.admin();
        let place = Place::new(&pair, &mut admin);
        let mut files = FILES.to_vec();
        files.extend([
            ("4_name.up.sql", &["1.3.0"][..], body),
            ("4_name.down.sql", &["1.3.0"], "SELECT 1;"),
        ]);
        for file in &mut files[..6] {
            file.1 = &["1.2.0", "1.3.0"];
        }
        let harbour = Harbour::on(&place, &files);
        harbour.run(&["upgrade", "--to", "1.2.0", "--yes"]).ended(0);
        let rows = "INSERT INTO ship (id, name) VALUES (1, 'anna4711'), (2, 'anna4711')";
        place.execute(&mut admin, rows);
        let failed = harbour.run_before_rows(&["upgrade", "--to", "1.3.0", "--yes"]);
        assert_ne!(failed.code, Some(0), "{body}");
        // This one names the column alone.
        let named = kind == Kind::MariaDb && body.contains("NULL WHERE");
        assert!(named || failed.stderr.contains("anna4711"), "{body}: {}", failed.stderr);
        let history = harbour.run(&["history", "--output", "json"]).ended(0);
        assert!(history.stdout.contains("4_name.up.sql"), "{}", history.stdout);
        assert!(!history.stdout.contains("anna4711"), "{}", history.stdout);
        let recorded = match kind {
            Kind::MariaDb => "SELECT record FROM sternway_journal UNION ALL SELECT plan FROM sternway_run",
            _ => {
                "SELECT query_to_xml(format('SELECT * FROM %s', oid::regclass), true, true, '')::text
                 FROM pg_class WHERE relnamespace = 'sternway'::regnamespace AND relkind = 'r'"
            }
        };
        let recorded = admin.rows(&place, recorded).concat();
        assert!(recorded.contains("failed") && !recorded.contains("anna4711"), "{recorded}");
    }
}

#[test]
fn rows_in_errors_on_mariadb() {
    rows_in_errors(Kind::MariaDb, "rows in errors on MariaDB");
}

/// Whoever looks while somebody else's migrator is at work sees one state or the other, or is told that
/// the migrator is at work; whoever acts has planned for a schema that is gone. Nobody fails.
fn on_the_move(kind: Kind, test: &str) {
    let Some(pair) = Pair::new(kind, test) else { return };
    let mut admin = pair.admin();
    let place = Place::new(&pair, &mut admin);
    let harbour = Harbour::on(&place, &FILES);
    harbour.run(&["upgrade", "--to", "1.2.0", "--yes"]).ended(0);
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut ends = ["goto 1", "goto 3"].into_iter().cycle();
            while !over.load(Ordering::SeqCst) {
                // It finds the place taken where one of ours has acted.
                place.migrate(Tool::GolangMigrate, ends.next().expect("one of two"));
            }
        });
        let runs: Vec<Run> = (0..5)
            .flat_map(|_| {
                let commands = [
                    &["status"][..],
                    &["plan", "--to", "1.0.0"],
                    &["doctor"],
                    &["archive", "list"],
                    &["history"],
                    &["rollback", "--to", "1.0.0", "--yes", "--unproven"],
                ];
                commands.map(|command| harbour.run(command))
            })
            .collect();
        over.store(true, Ordering::SeqCst);
        for run in runs {
            assert!(run.code != Some(1), "{}: {}{}", run.what, run.stdout, run.stderr);
        }
    });
}

#[test]
fn a_schema_on_the_move_on_mariadb() {
    on_the_move(Kind::MariaDb, "a schema on the move on MariaDB");
}

#[test]
fn a_schema_on_the_move_on_sqlite() {
    on_the_move(Kind::Sqlite, "a schema on the move on SQLite");
}

/// What the body of the second release writes sets off a trigger that changes other rows: an empty
/// database does not show it.
fn triggered(kind: Kind, test: &str, foreseen: &str) {
    let Some(pair) = Pair::new(kind, test) else { return };
    let mut admin = pair.admin();
    let place = Place::new(&pair, &mut admin);
    let counts = match kind {
        Kind::PostgreSql => {
            "CREATE FUNCTION tally() RETURNS trigger LANGUAGE plpgsql AS
                 $$ BEGIN UPDATE total SET sum = sum + 1; RETURN NULL; END $$;
             CREATE TRIGGER counted AFTER INSERT ON ship FOR EACH ROW EXECUTE FUNCTION tally();"
        }
        Kind::Sqlite => {
            "CREATE TRIGGER counted AFTER INSERT ON ship
             BEGIN UPDATE total SET sum = sum + 1; END;"
        }
        Kind::MariaDb | Kind::None => {
            "CREATE TRIGGER counted AFTER INSERT ON ship
             FOR EACH ROW UPDATE total SET sum = sum + 1;"
        }
    };
    let base = format!(
        "CREATE TABLE ship (id integer PRIMARY KEY);
         CREATE TABLE total (id integer PRIMARY KEY, sum integer); {counts}"
    );
    let tally = if kind == Kind::PostgreSql { "DROP FUNCTION tally();" } else { "" };
    let gone = format!("DROP TABLE ship; DROP TABLE total; {tally}");
    let files: [(&str, &[&str], &str); 4] = [
        ("1_ship.up.sql", &["1.0.0", "1.1.0"], &base),
        ("1_ship.down.sql", &["1.0.0", "1.1.0"], &gone),
        ("2_first.up.sql", &["1.1.0"], "INSERT INTO ship VALUES (9);"),
        ("2_first.down.sql", &["1.1.0"], "DELETE FROM ship WHERE id = 9;"),
    ];
    let harbour = Harbour::on(&place, &files);
    harbour.run(&["upgrade", "--to", "1.0.0", "--yes"]).ended(0);
    place.execute(&mut admin, "INSERT INTO total VALUES (1, 100)");
    harbour.run(&["plan", "--to", "1.1.0"]).ended(0).says(&[foreseen]);
    let up = harbour.run(&["upgrade", "--to", "1.1.0", "--yes"]).ended(0);
    up.says(&[foreseen, "kept rows of total"]);
    assert_eq!(admin.rows(&place, "SELECT sum FROM total"), ["101"]);
    // What a body has overwritten is put back by its other half.
    harbour.run(&["rollback", "--to", "1.0.0", "--yes"]).ended(0);
    assert_eq!(admin.rows(&place, "SELECT sum FROM total"), ["100"]);
}

const UNFORESEEN: &str = "nobody can foresee what the trigger counted of ship does";

#[test]
fn a_trigger_on_mariadb() {
    triggered(Kind::MariaDb, "a trigger on MariaDB", "rows of total: at most");
}

#[test]
fn a_trigger_on_sqlite() {
    triggered(Kind::Sqlite, "a trigger on SQLite", UNFORESEEN);
}

/// A rehearsal has a database of its own: what a body does elsewhere would be done in earnest.
fn rehearsed(kind: Kind, test: &str, elsewhere: impl Fn(&Place<'_>) -> String, says: &str) {
    let Some(pair) = Pair::new(kind, test) else { return };
    let mut admin = pair.admin();
    let place = Place::new(&pair, &mut admin);
    let down = elsewhere(&place);
    let files: [(&str, &[&str], &str); 4] = [
        ("1_ship.up.sql", &["1.0.0", "1.1.0"], "CREATE TABLE ship (id integer PRIMARY KEY);"),
        ("1_ship.down.sql", &["1.0.0", "1.1.0"], "DROP TABLE ship;"),
        ("2_berth.up.sql", &["1.1.0"], "CREATE TABLE berth (id integer PRIMARY KEY);"),
        ("2_berth.down.sql", &["1.1.0"], &down),
    ];
    let harbour = Harbour::on(&place, &files);
    harbour.run(&["upgrade", "--to", "1.1.0", "--yes"]).ended(0);
    place.execute(&mut admin, "INSERT INTO ship VALUES (1)");
    let plan = (&["plan", "--to", "1.0.0"][..], 0);
    for (command, code) in [plan, (&["rollback", "--to", "1.0.0", "--yes"], 3)] {
        harbour
            .run(command)
            .ended(code)
            .explains(&["`2_berth.down.sql` cannot be rehearsed", says]);
        assert_eq!(admin.rows(&place, "SELECT id FROM ship"), ["1"]);
    }
}

#[test]
fn what_reaches_out_of_its_database_is_not_rehearsed_on_mariadb() {
    let delete =
        |place: &Place<'_>| format!("DELETE FROM `{}` . ship; DROP TABLE berth;", place.name);
    rehearsed(Kind::MariaDb, "a body that names its database", delete, "it names the database `c");
}

#[test]
fn what_reaches_out_of_its_database_is_not_rehearsed_on_sqlite() {
    let delete = |place: &Place<'_>| {
        let file = place.database_file();
        format!("ATTACH '{}' AS o; DELETE FROM o.ship; DETACH o; DROP TABLE berth;", file.display())
    };
    rehearsed(Kind::Sqlite, "a body that attaches a database", delete, "it says ATTACH");
}

/// The tables by which a database is known may all have other names by now, or be in another schema.
#[test]
fn a_database_is_known_by_what_ran_there() {
    for (kind, first, second, back) in [
        (
            Kind::Sqlite,
            "CREATE TABLE ship (id integer);",
            "ALTER TABLE ship RENAME TO boat;",
            "ALTER TABLE boat RENAME TO ship;",
        ),
        (
            Kind::MariaDb,
            "CREATE TABLE ship (id integer);",
            "RENAME TABLE ship TO boat;",
            "RENAME TABLE boat TO ship;",
        ),
    ] {
        let Some(pair) = Pair::new(kind, "a database whose table has another name") else {
            continue;
        };
        let mut admin = pair.admin();
        let place = Place::new(&pair, &mut admin);
        let files: [(&str, &[&str], &str); 4] = [
            ("1_ship.up.sql", &["1.0.0", "1.1.0"], first),
            ("1_ship.down.sql", &["1.0.0", "1.1.0"], "DROP TABLE ship;"),
            ("2_boat.up.sql", &["1.1.0"], second),
            ("2_boat.down.sql", &["1.1.0"], back),
        ];
        let harbour = Harbour::on(&place, &files);
        harbour.run(&["upgrade", "--to", "1.1.0", "--yes"]).ended(0);
        harbour.run(&["rollback", "--to", "1.0.0", "--yes"]).ended(0);
    }
}

/// Each statement that waits too long for a lock is tried again, and those who hold it are named; what
/// others wrote before it took effect is not lost. The second statement goes on where the first is done.
fn tried_again(kind: Kind, test: &str) {
    let Some(pair) = Pair::new(kind, test) else { return };
    let mut admin = pair.admin();
    let place = Place::new(&pair, &mut admin);
    let mut files = FILES;
    files[4].2 =
        "ALTER TABLE ship ADD COLUMN flag varchar(2); ALTER TABLE berth ADD COLUMN depth integer;";
    let alone = "DROP INDEX CONCURRENTLY IF EXISTS none_such; ";
    let (alone, second) = if kind == Kind::PostgreSql { (alone, 3) } else { ("", 2) };
    let down =
        format!("{alone}ALTER TABLE ship DROP COLUMN flag; ALTER TABLE berth DROP COLUMN depth;");
    files[5].2 = &down;
    let harbour = Harbour::on(&place, &files);
    harbour.run(&["upgrade", "--to", "1.2.0", "--yes"]).ended(0);
    place.execute(&mut admin, "INSERT INTO ship (id, name, flag) VALUES (1, 'Anna', 'se')");
    for table in ["ship", "berth"] {
        place.execute(&mut admin, &format!("START TRANSACTION; SELECT * FROM {table}"));
        let mut command = harbour.machine.command(&["rollback", "--to", "1.1.0", "--yes"]);
        harbour.of(&mut command);
        command.args(["--lock-wait", "1"]).stdout(Stdio::piped());
        let child = command.stderr(Stdio::piped()).spawn().expect("a run");
        let waits = waiting(&place, &format!("ALTER TABLE {table}"));
        until(|| !admin.rows(&place, &waits).is_empty());
        until(|| admin.rows(&place, &waits).is_empty());
        // Between two tries: after the copy that the first one made.
        if table == "ship" {
            place.execute(&mut admin, "UPDATE ship SET flag = 'de'");
        }
        place.execute(&mut admin, "COMMIT");
        let output = child.wait_with_output().expect("an end");
        let ran = Run::ended_as(format!("rollback while {table} is read"), &output).ended(0);
        ran.explains(&["waits for a lock", "is tried again in", "held by session "]);
        harbour.run(&["upgrade", "--to", "1.2.0", "--yes"]).ended(0);
        assert_eq!(admin.rows(&place, "SELECT flag FROM ship"), ["de"], "{table}");
    }
    // Who waits no longer is told who has it, and goes on afterwards.
    place.execute(&mut admin, "START TRANSACTION; SELECT * FROM berth");
    let lock_timeout = ["--lock-wait", "1", "--lock-retries", "0"];
    let back = [&["rollback", "--to", "1.1.0", "--yes"], &lock_timeout[..]].concat();
    harbour.run(&back).ended(5).explains(&[&format!("failed in statement {second}"), "session "]);
    place.execute(&mut admin, "COMMIT");
    harbour.run(&["resume", "--yes"]).ended(0);
    harbour.run(&["upgrade", "--to", "1.2.0", "--yes"]).ended(0);
    assert_eq!(admin.rows(&place, "SELECT flag FROM ship"), ["de"]);
}

#[test]
fn a_statement_that_waits_for_a_lock_is_tried_again_on_mariadb() {
    tried_again(Kind::MariaDb, "a statement that waits on MariaDB");
}

/// The sessions that wait with an `ALTER TABLE` that begins like this.
pub fn waiting(place: &Place<'_>, begins: &str) -> String {
    if place.pair.kind == Kind::PostgreSql {
        // What sessions are at does not change within a transaction; who waits does.
        let table = begins.split(' ').nth(2).unwrap_or_default();
        return format!(
            "SELECT pid FROM pg_locks WHERE NOT granted AND relation = '{table}'::regclass"
        );
    }
    format!(
        "SELECT ID FROM information_schema.PROCESSLIST WHERE DB = '{}' AND INFO LIKE '{begins}%'",
        place.name
    )
}

/// On MariaDB each statement commits by itself: what others write between the copy of a column and its
/// end would be lost. A locked account keeps them out, also after a kill, and until that is made up for.
#[test]
fn a_fence_on_mariadb() {
    let Some(pair) = Pair::new(Kind::MariaDb, "a fence on MariaDB") else { return };
    let mut admin = pair.admin();
    let place = Place::new(&pair, &mut admin);
    let mut files = FILES;
    files[5].2 = "ALTER TABLE ship DROP COLUMN flag; ALTER TABLE berth ADD COLUMN depth integer;";
    let harbour = Harbour::on(&place, &files);
    harbour.run(&["upgrade", "--to", "1.2.0", "--yes"]).ended(0);
    place.execute(&mut admin, "INSERT INTO ship (id, name, flag) VALUES (1, 'Anna', 'se')");
    let app = format!("{}_app", place.name);
    let user = format!("CREATE USER {app}@'%' IDENTIFIED BY 'x'");
    place.execute(&mut admin, &user);
    let locked = format!(
        "SELECT COALESCE(JSON_VALUE(Priv, '$.account_locked'), '0') FROM mysql.global_priv WHERE User = '{app}'"
    );
    let fence = |kind| ["--fence", kind, "--fence-role", &app];
    let back = ["rollback", "--to", "1.1.0", "--yes", "--unproven", "--lock-wait", "0"];
    let refused = harbour.run(&[&back[..], &fence("read-only")].concat()).ended(1);
    refused.explains(&["no fence of the kind", "`no-connect`"]);
    // Killed while its second statement waits for somebody who reads.
    place.execute(&mut admin, "START TRANSACTION; SELECT * FROM berth");
    let mut command = harbour.machine.command(&[&back[..], &fence("no-connect")].concat());
    command.env("STERNWAY_DATABASE", harbour.url());
    let mut child = command.stdout(Stdio::null()).spawn().expect("a run");
    let waits = waiting(&place, "ALTER TABLE berth");
    until(|| !admin.rows(&place, &waits).is_empty());
    child.kill().expect("a kill");
    child.wait().expect("an end");
    let orphan = admin.rows(&place, &waits).join("");
    place.execute(&mut admin, &format!("KILL CONNECTION {orphan}"));
    until(|| admin.rows(&place, &waits).is_empty());
    assert_eq!(admin.rows(&place, &locked), ["1"]);
    let stands = format!("a fence stands: no connections for {app}, since ");
    harbour.run(&["status"]).ended(5).says(&[&stands]);
    // Who cannot make up for it leaves the fence alone.
    let resume = ["resume", "--yes", "--unproven", "--lock-wait", "1", "--lock-retries", "0"];
    harbour.run(&resume).ended(5).explains(&["the fence still stands (no connections for "]);
    assert_eq!(admin.rows(&place, &locked), ["1"]);
    place.execute(&mut admin, "COMMIT");
    harbour.run(&resume).ended(0).says(&["took away a fence that a run left at"]);
    assert_eq!(admin.rows(&place, &locked), ["0"]);
    // Without a kill it comes down by itself; and what it guarded is back.
    place.execute(&mut admin, "ALTER TABLE berth DROP COLUMN depth");
    let up = [&["upgrade", "--to", "1.2.0", "--yes"], &fence("no-connect")[..]].concat();
    let up = harbour.run(&up).ended(0);
    up.says(&[&format!("the fence stands: no connections for {app}"), "may write again"]);
    assert_eq!(admin.rows(&place, &locked), ["0"]);
    assert_eq!(admin.rows(&place, "SELECT flag FROM ship"), ["se"]);
    place.execute(&mut admin, &format!("DROP USER {app}@'%'"));
}

#[track_caller]
pub fn until(mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed().as_secs() < 60, "it never came about");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A session that may only read is refused before its first write.
#[test]
fn a_file_that_is_only_read_is_refused_on_sqlite() {
    let files: [(&str, &[&str], &str); 4] = [
        ("1_a.up.sql", ALL, "CREATE TABLE a (id integer PRIMARY KEY);"),
        ("1_a.down.sql", ALL, "DROP TABLE a;"),
        ("2_b.up.sql", LATER, "CREATE TABLE b (id integer PRIMARY KEY);"),
        ("2_b.down.sql", LATER, "DROP TABLE b;"),
    ];
    with(Kind::Sqlite, "a file that is only read on SQLite", &files, |harbour, _| {
        harbour.run(&["upgrade", "--to", "1.0.0", "--yes"]).ended(0);
        let mut command = harbour.machine.command(&["upgrade", "--to", "1.1.0", "--yes"]);
        command.env("STERNWAY_DATABASE", format!("{}?mode=ro", harbour.url()));
        Run::of(command).ended(3).explains(&["the database file is read-only"]);
        harbour.run(&["status"]).ended(0).says(&["schema: of 1.0.0"]);
    });
}
