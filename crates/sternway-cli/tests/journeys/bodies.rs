//! What bodies do to the transaction, the session and the database that they run in, and what is made of
//! it on a journey.

use crate::both::server::Kind;
use crate::both::{Pair, Place};
use crate::harbour::{Harbour, alone};
use crate::support::{Machine, Server, ask, execute};

const BOTH: &[&str] = &["1.0.0", "1.1.0"];
const SECOND: &[&str] = &["1.1.0"];

/// Two releases of a harbour, whose second one has one migration more.
fn files<'a>(
    first: [&'a str; 2],
    second: [&'a str; 2],
) -> [(&'static str, &'static [&'static str], &'a str); 4] {
    [
        ("1_one.up.sql", BOTH, first[0]),
        ("1_one.down.sql", BOTH, first[1]),
        ("2_two.up.sql", SECOND, second[0]),
        ("2_two.down.sql", SECOND, second[1]),
    ]
}

/// The same for a PostgreSQL of its own.
fn pier(first: [&str; 2], second: [&str; 2]) -> Machine {
    let machine = Machine::of("pier", "m");
    for (file, releases, body) in files(first, second) {
        for release in releases {
            machine.write(&format!("releases/{release}/m/{file}"), body);
        }
    }
    machine
}

/// On PostgreSQL and SQLite it commits with its row, and leaves nothing where it fails over the rows
/// that are there.
fn wrapped(kind: Kind, test: &str) {
    let Some(pair) = Pair::new(kind, test) else { return };
    let mut admin = pair.admin();
    let place = Place::new(&pair, &mut admin);
    let ship = ["CREATE TABLE ship (id integer PRIMARY KEY, name text)", "DROP TABLE ship"];
    let rate = [
        "BEGIN;\nCREATE TABLE rate (name text NOT NULL);\n\nINSERT INTO rate SELECT name FROM ship;\n\
         COMMIT;\n",
        "BEGIN;\nDROP TABLE rate;\nEND;\n",
    ];
    let harbour = Harbour::on(&place, &files(ship, rate));
    harbour.run(&["upgrade", "--to", "1.0.0", "--yes"]).ended(0);
    let plan = harbour.run(&["plan", "--to", "1.1.0"]).ended(0);
    plan.says(&["2_two.up.sql (from 1.1.0; one transaction)"]);
    place.execute(&mut admin, "INSERT INTO ship VALUES (1, NULL)");
    let failed = harbour.run_before_rows(&["upgrade", "--to", "1.1.0", "--yes"]).ended(1);
    failed.explains(&["`2_two.up.sql` failed and was taken back whole"]);
    let tracked = "SELECT version || ' ' || CASE WHEN dirty THEN 'dirty' ELSE 'clean' END FROM schema_migrations";
    assert_eq!(admin.rows(&place, tracked), ["1 clean"]);
    place.execute(&mut admin, "UPDATE ship SET name = 'Anna'");
    harbour.run(&["resume", "--yes"]).ended(0);
    assert_eq!(admin.rows(&place, "SELECT name FROM rate"), ["Anna"]);
    let back = harbour.run(&["rollback", "--to", "1.0.0", "--yes"]).ended(0);
    back.says(&["kept table rate: 1 row"]);
    harbour.run(&["status"]).ended(0).says(&["clean", "drift: none"]);
}

#[test]
fn a_body_that_is_one_transaction_is_one_with_its_row() {
    wrapped(Kind::Sqlite, "a wrapped body on SQLite");
    let _alone = alone();
    wrapped(Kind::PostgreSql, "a wrapped body on PostgreSQL");
}

#[test]
fn a_virtual_table_with_rows_is_refused_before_the_run_and_let_go_by_its_name() {
    let Some(pair) = Pair::new(Kind::Sqlite, "virtual tables") else { return };
    let mut admin = pair.admin();
    let place = Place::new(&pair, &mut admin);
    let first =
        ["CREATE TABLE page (id integer PRIMARY KEY, text text NOT NULL)", "DROP TABLE page"];
    let second = [
        "CREATE VIRTUAL TABLE words USING fts5(text, content='page', content_rowid='id');
         CREATE VIRTUAL TABLE notes USING fts5(text);
         CREATE TABLE plain (id integer PRIMARY KEY);",
        "DROP TABLE plain; DROP TABLE notes; DROP TABLE words;",
    ];
    let harbour = Harbour::on(&place, &files(first, second));
    harbour.run(&["upgrade", "--to", "1.1.0", "--yes"]).ended(0);
    place.execute(
        &mut admin,
        "INSERT INTO page VALUES (1, 'a'); INSERT INTO words (words) VALUES ('rebuild');
         INSERT INTO notes VALUES ('b'); INSERT INTO plain VALUES (7)",
    );
    let why = "the virtual table `notes` holds its rows elsewhere";
    let plan = harbour.run(&["plan", "--to", "1.0.0"]).ended(0);
    plan.says(&[&format!("cannot be kept: {why}"), "table plain: 1 row"]);
    let back = ["rollback", "--to", "1.0.0", "--yes"];
    let refused = harbour.run(&back).ended(3);
    refused.explains(&["cannot roll back to 1.0.0", why, "nothing was touched", "--discard notes"]);
    // No run was begun.
    harbour.run(&["status"]).ended(0).says(&["schema: of 1.1.0", "drift: none"]);
    assert_eq!(admin.rows(&place, "SELECT text FROM notes"), ["b"]);
    let unknown = harbour.run(&[&back[..], &["--discard", "nothing,notes"]].concat()).ended(2);
    unknown.explains(&["no step takes anything of nothing"]);
    let gone = harbour.run(&[&back[..], &["--discard", "notes"]].concat()).ended(0);
    gone.says(&[&format!("{why}; LOST"), "table plain: 1 row", "kept table plain: 1 row"]);
    harbour.run(&["upgrade", "--to", "1.1.0", "--yes"]).ended(0);
    assert_eq!(admin.rows(&place, "SELECT CAST(id AS text) FROM plain"), ["7"]);
}

#[test]
fn what_is_let_go_by_its_name_leaves_the_rest_in_the_archive() {
    let first = ["CREATE TABLE kept (a int)", "DROP TABLE kept"];
    let second = [
        "CREATE TABLE gone (a int); CREATE TABLE also (a int); ALTER TABLE kept ADD COLUMN b int",
        "ALTER TABLE kept DROP COLUMN b; DROP TABLE also; DROP TABLE gone",
    ];
    let Some(server) = Server::new("bodies_discard") else { return };
    let machine = pier(first, second);
    let on = |arguments: &[&str]| machine.on(&server.url, arguments);
    on(&["upgrade", "--to", "1.1.0", "--yes"]).ended(0);
    execute(
        &server.url,
        "INSERT INTO gone VALUES (1); INSERT INTO also VALUES (2); INSERT INTO kept VALUES (3, 4)",
    );
    let back = on(&["rollback", "--to", "1.0.0", "--yes", "--discard", "gone"]).ended(0);
    back.says(&[
        "table gone: 1 row",
        "LOST",
        "kept table also: 1 row",
        "kept column kept.b: 1 row",
    ]);
    on(&["upgrade", "--to", "1.1.0", "--yes"]).ended(0);
    let found = "SELECT concat_ws(' ', (SELECT count(*) FROM gone), (SELECT a FROM also), (SELECT b FROM kept))";
    assert_eq!(ask(&server.url, found), "0 2 4");
    // Without a name, everything.
    on(&["rollback", "--to", "1.0.0", "--yes", "--discard"]).ended(0);
    on(&["upgrade", "--to", "1.1.0", "--yes"]).ended(0);
    assert_eq!(ask(&server.url, found), "0");
}

#[test]
fn a_word_in_a_comment_of_a_definition_means_nothing() {
    let Some(pair) = Pair::new(Kind::Sqlite, "words in comments") else { return };
    let mut admin = pair.admin();
    let place = Place::new(&pair, &mut admin);
    let first = [
        "CREATE TABLE ship (\n  -- no autoincrement here, and on conflict nothing\n  id INTEGER PRIMARY KEY, name text DEFAULT 'AUTOINCREMENT')",
        "DROP TABLE ship",
    ];
    let harbour = Harbour::on(&place, &files(first, ["DROP TABLE ship", first[0]]));
    harbour.run(&["upgrade", "--to", "1.0.0", "--yes"]).ended(0);
    place.execute(&mut admin, "INSERT INTO ship VALUES (1, 'Anna')");
    harbour.run(&["upgrade", "--to", "1.1.0", "--yes"]).ended(0);
    harbour.run(&["rollback", "--to", "1.0.0", "--yes"]).ended(0);
    assert_eq!(admin.rows(&place, "SELECT name FROM ship"), ["Anna"]);
}

/// What a database, a role or a server's version makes of how definitions are printed is no difference.
#[test]
fn settings_of_the_database_and_its_version_make_no_drift() {
    let Some(server) = Server::new("bodies_settings") else { return };
    let first = ["CREATE TABLE a (id int PRIMARY KEY)", "DROP TABLE a"];
    let second = [
        "CREATE TABLE c (id int PRIMARY KEY, d date DEFAULT '2024-02-01', i interval DEFAULT '1 day 2:00', \
             b bytea DEFAULT '\\x00ff', f float8 DEFAULT 0.1);
         ALTER TABLE a ADD COLUMN n int;
         CREATE TABLE ev (id bigint GENERATED ALWAYS AS IDENTITY, at date NOT NULL, PRIMARY KEY (id, at))
             PARTITION BY RANGE (at);
         CREATE TABLE ev_default PARTITION OF ev DEFAULT;
         CREATE TYPE span AS RANGE (subtype = float8);
         CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
         CREATE TRIGGER touch BEFORE INSERT ON ev FOR EACH ROW EXECUTE FUNCTION touch();",
        "DROP TABLE ev; DROP FUNCTION touch(); DROP TYPE span; ALTER TABLE a DROP COLUMN n; DROP TABLE c",
    ];
    let machine = pier(first, second);
    let on = |arguments: &[&str]| machine.on(&server.url, arguments);
    let database = ask(&server.url, "SELECT current_database()::text");
    for setting in [
        "quote_all_identifiers TO on",
        "datestyle TO 'SQL, DMY'",
        "intervalstyle TO iso_8601",
        "bytea_output TO escape",
        "extra_float_digits TO '-5'",
        "timezone TO 'Asia/Tokyo'",
        "idle_in_transaction_session_timeout TO '100ms'",
        "default_transaction_isolation TO 'serializable'",
    ] {
        execute(&server.url, &format!("ALTER DATABASE \"{database}\" SET {setting}"));
    }
    on(&["upgrade", "--to", "1.1.0", "--yes"]).ended(0).quiet();
    execute(
        &server.url,
        "INSERT INTO a VALUES (1, 5); INSERT INTO c (id) VALUES (1); INSERT INTO ev (at) VALUES ('2024-01-01')",
    );
    on(&["rollback", "--to", "1.0.0", "--yes"]).ended(0).quiet();
    on(&["upgrade", "--to", "1.1.0", "--yes"]).ended(0).quiet();
    on(&["status"]).ended(0).says(&["drift: none"]);
    let found =
        "SELECT concat_ws(' ', n, (SELECT count(*) FROM c), (SELECT count(*) FROM ev)) FROM a";
    assert_eq!(ask(&server.url, found), "5 1 1");
}

#[test]
fn a_connection_that_can_only_read_is_refused_before_the_run() {
    let Some(server) = Server::new("bodies_read_only") else { return };
    let machine = pier(["CREATE TABLE a (id int)", "DROP TABLE a"], ["SELECT 1", "SELECT 1"]);
    let database = ask(&server.url, "SELECT current_database()::text");
    let set = format!("ALTER DATABASE \"{database}\" SET default_transaction_read_only TO on");
    execute(&server.url, &set);
    let refused = machine.on(&server.url, &["upgrade", "--to", "1.0.0", "--yes"]).ended(3);
    refused.explains(&[
        "this connection can only read: default_transaction_read_only is on for this session",
        "nothing was touched",
    ]);
    let folder = machine.path("releases/1.0.0/m");
    let folder = folder.to_str().expect("a path");
    let run = machine.run(&["migrate", "-path", folder, "-database", &server.url, "up"]).ended(1);
    run.explains(&["this connection can only read"]);
}

#[test]
fn an_exception_that_the_inner_server_does_not_survive_is_not_laid_on_the_migration() {
    let Some(server) = Server::new("bodies_caught") else { return };
    let kind = "DO $$ BEGIN CREATE TYPE kind AS ENUM ('a'); EXCEPTION WHEN duplicate_object THEN NULL; END $$;";
    let first = [kind, "DROP TYPE kind"];
    let machine = pier(first, [kind, "SELECT 1"]);
    machine.on(&server.url, &["upgrade", "--to", "1.0.0", "--yes"]).ended(0);
    let refused = machine.on(&server.url, &["upgrade", "--to", "1.1.0", "--yes"]).ended(3);
    refused.explains(&[
        "the PostgreSQL inside this program does not survive an exception that code catches",
        "`2_two.up.sql`",
        "--rehearsal names a server that survives it",
    ]);
    let rehearsed = ["--rehearsal", &server.as_admin(), "upgrade", "--to", "1.1.0", "--yes"];
    machine.on(&server.url, &rehearsed).ended(0);
}

/// A failure that has nothing to do with extensions has no hint about them.
#[test]
fn the_hint_fits_the_failure() {
    let Some(server) = Server::new("bodies_hints") else { return };
    let first = ["CREATE TABLE a (id int)", "DROP TABLE a"];
    let upgrade = ["upgrade", "--to", "1.1.0", "--yes"];
    let machine = pier(first, ["CREATE TABLE b (id int); SELECT 1 / 0", "DROP TABLE b"]);
    let failed = machine.on(&server.url, &upgrade).ended(3);
    assert!(!failed.stderr.contains("extension"), "{}", failed.stderr);
    failed.explains(&["division by zero", "Mend the migration", "--rehearsal"]);
    let machine =
        pier(first, ["CREATE TABLE b (id uuid DEFAULT no_such_function())", "DROP TABLE b"]);
    machine.on(&server.url, &upgrade).ended(3).explains(&["Where an extension is lacking"]);
}
