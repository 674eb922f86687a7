//! Which migrations are the same and which releases there are, through the program: by what they say and
//! make, on every kind of database.

use crate::both::server::Kind;
use crate::both::{Pair, Place, Tool};
use crate::harbour::Harbour;
use crate::support::Machine;

const SHIP: &str = "CREATE TABLE ship (id integer PRIMARY KEY);";
const BERTH: &str = "CREATE TABLE berth (id integer PRIMARY KEY, name varchar(10));";
const WIDER: &str = "CREATE TABLE berth (id integer PRIMARY KEY, name varchar(100));";
const FLAG: &str = "CREATE TABLE flag (id integer PRIMARY KEY);";

/// A file that was edited after it was published: in words alone in 1.0.1, and in what it makes in 1.1.0.
/// 2.0.0 has one file instead of three.
pub fn edited(kind: Kind, test: &str) {
    let Some(pair) = Pair::new(kind, test) else { return };
    let mut admin = pair.admin();
    let place = Place::new(&pair, &mut admin);
    let reworded =
        format!("-- One row a berth.\nBEGIN;\n{}\nCOMMIT;\n", BERTH.replace(" (", "\n("));
    let squashed = format!("{SHIP}\n{WIDER}\n{FLAG}");
    let (first, all): (&[&str], &[&str]) = (&["1.0.0", "1.0.1"], &["1.0.0", "1.0.1", "1.1.0"]);
    let files: [(&str, &[&str], &str); 14] = [
        ("1_ship.up.sql", all, SHIP),
        ("1_ship.down.sql", all, "DROP TABLE ship;"),
        ("2_berth.up.sql", &["1.0.0"], BERTH),
        ("2_berth.up.sql", &["1.0.1"], &reworded),
        ("2_berth.up.sql", &["1.1.0"], WIDER),
        ("2_berth.down.sql", &["1.0.0"], "DROP TABLE berth;"),
        ("2_berth.down.sql", &["1.0.1", "1.1.0"], "DROP TABLE IF EXISTS berth; -- whatever"),
        ("3_flag.up.sql", &["1.1.0"], FLAG),
        ("3_flag.down.sql", &["1.1.0"], "DROP TABLE flag;"),
        ("3_all.up.sql", &["2.0.0"], &squashed),
        ("3_all.down.sql", &["2.0.0"], "DROP TABLE flag; DROP TABLE berth; DROP TABLE ship;"),
        ("4_crew.up.sql", &["2.0.0"], "CREATE TABLE crew (id integer PRIMARY KEY);"),
        ("4_crew.down.sql", &["2.0.0"], "DROP TABLE crew;"),
        ("README.md", first, "no migration"),
    ];
    let harbour = Harbour::on(&place, &files);
    let run = |arguments: &[&str]| harbour.run(arguments);
    run(&["releases"]).ended(0).quiet().says(&["1.0.1    2     as 1.0.0", "1.1.0    3     new"]);
    run(&["upgrade", "--to", "1.0.0", "--yes"]).ended(0);
    place.execute(&mut admin, "INSERT INTO berth (id, name) VALUES (1, 'north')");
    run(&["status"]).ended(0).says(&["schema: of 2 releases, 1.0.0 to 1.0.1", "drift: none"]);
    run(&["upgrade", "--to", "1.0.1", "--yes"]).ended(0).says(&["schema: no change"]);
    // The down half that was reworded drops the same table.
    run(&["plan", "--to", "1.0.1", "--from", "1.0.0"]).ended(0);

    run(&["upgrade", "--to", "1.1.0", "--yes"]).ended(3).explains(&[
        "the up half of migration 2 of track `core` has different contents",
        "clean installs of the two do not have the same schema",
        "with --redo the way to 1.1.0 goes back to 1, the last that both have, and up again",
    ]);
    run(&["upgrade", "--to", "1.1.0", "--redo", "--yes"]).ended(0).says(&[
        "core 2 -> 1: 2_berth.down.sql",
        "core 1 -> 2: 2_berth.up.sql",
        "note: track `core` goes back to 1 and up again with the target's migrations; what no step",
        "ok 1.1.0: the schema is proved",
    ]);
    assert_eq!(admin.rows(&place, "SELECT name FROM berth"), ["north"]);
    run(&["status"]).ended(0).says(&["schema: of 1.1.0", "drift: none"]);

    run(&["upgrade", "--to", "2.0.0", "--yes"]).ended(0).says(&[
        "core 3 -> 4: 4_crew.up.sql",
        "differ in words; clean installs of both have the same schema",
        "note: the way back to 1.1.0 takes 1 migration",
        "ok 2.0.0: the schema is proved",
    ]);
    run(&["status"]).ended(0).says(&["schema: of 2.0.0", "drift: none"]);
    run(&["rollback", "--to", "1.1.0", "--yes"])
        .ended(0)
        .says(&["core 4 -> 3: 4_crew.down.sql", "ok 1.1.0: the schema is proved"]);
    run(&["rollback", "--to", "1.0.1", "--yes"]).ended(3).explains(&["--redo"]);
    run(&["rollback", "--to", "1.0.1", "--redo", "--yes"]).ended(0);
    assert_eq!(admin.rows(&place, "SELECT name FROM berth"), ["north"]);
    run(&["status"]).ended(0).says(&["schema: of 2 releases, 1.0.0 to 1.0.1", "drift: none"]);
}

/// A number below those that are applied already, which golang-migrate passes over for good.
pub fn lower(kind: Kind, test: &str) {
    let Some(pair) = Pair::new(kind, test) else { return };
    let mut admin = pair.admin();
    let place = Place::new(&pair, &mut admin);
    let (both, later): (&[&str], &[&str]) = (&["1.0.0", "1.1.0"], &["1.1.0"]);
    let files: [(&str, &[&str], &str); 8] = [
        ("1_ship.up.sql", both, SHIP),
        ("1_ship.down.sql", both, "DROP TABLE ship;"),
        ("3_flag.up.sql", later, FLAG),
        ("3_flag.down.sql", later, "DROP TABLE flag;"),
        ("5_berth.up.sql", both, BERTH),
        ("5_berth.down.sql", both, "DROP TABLE berth;"),
        ("9_crew.up.sql", later, "CREATE TABLE crew (id integer PRIMARY KEY);"),
        ("9_crew.down.sql", later, "DROP TABLE crew;"),
    ];
    let harbour = Harbour::on(&place, &files);
    let run = |arguments: &[&str]| harbour.run(arguments);
    run(&["upgrade", "--to", "1.0.0", "--yes"]).ended(0);
    place.execute(&mut admin, "INSERT INTO berth (id, name) VALUES (1, 'north')");
    run(&["upgrade", "--to", "1.1.0", "--yes"]).ended(3).explains(&[
        "track `core` cannot get to release 1.1.0: it lacks 3, below its own number",
        "with --redo the way to 1.1.0 goes back to 1",
    ]);
    let ran = place.migrate(Tool::GolangMigrate, "up");
    assert!(ran.stderr.contains("9/u crew"), "{}", ran.stderr);
    run(&["status"]).ended(4).says(&[
        "schema: of no release exactly",
        "lacking: 3 of track core, which 1.1.0 has below the row's number",
        "`sternway upgrade --to 1.1.0 --redo` goes back",
    ]);
    run(&["doctor"]).ended(4).says(&["lacking: 3 of track core", "--redo"]);
    // What is not there is not taken back.
    let back = run(&["rollback", "--to", "1.0.0", "--from", "1.1.0", "--yes"]).ended(0);
    back.says(&["core 9 -> 5: 9_crew.down.sql", "ok 1.0.0: the schema is proved"]);
    run(&["upgrade", "--to", "1.1.0", "--redo", "--yes"]).ended(0).says(&["[3/4]"]);
    assert_eq!(admin.rows(&place, "SELECT name FROM berth"), ["north"]);
    run(&["status"]).ended(0).says(&["schema: of 1.1.0", "drift: none"]);
}

#[test]
fn migrations_are_the_same_by_effect_on_mariadb() {
    edited(Kind::MariaDb, "edited files on MariaDB");
    lower(Kind::MariaDb, "a lower number on MariaDB");
}

#[test]
fn migrations_are_the_same_by_effect_on_sqlite() {
    edited(Kind::Sqlite, "edited files on SQLite");
    lower(Kind::Sqlite, "a lower number on SQLite");
}

/// A machine with these files, each in some releases, and a database in a file.
fn harbour(files: &[(&str, &[&str], &str)]) -> (Machine, String) {
    let machine = Machine::of("harbour", "db");
    for (file, releases, body) in files {
        for release in *releases {
            machine.write(&format!("releases/{release}/{file}"), body);
        }
    }
    let url = format!("sqlite://{}", machine.text("harbour.db"));
    (machine, url)
}

#[test]
fn what_the_records_have_of_a_hotfix_that_is_not_applied_does_not_count() {
    let (hotfix, feature) = ("ALTER TABLE ship ADD COLUMN hotfix text;", FLAG);
    let (old, fixed, new): (&[&str], &[&str], &[&str]) =
        (&["1.0.0", "1.0.1", "1.1.0"], &["1.0.1"], &["1.1.0"]);
    let (machine, url) = harbour(&[
        ("db/1_ship.up.sql", old, SHIP),
        ("db/1_ship.down.sql", old, "DROP TABLE ship;"),
        ("db/2_hotfix.up.sql", fixed, hotfix),
        ("db/2_hotfix.down.sql", fixed, "ALTER TABLE ship DROP COLUMN hotfix;"),
        ("db/2_flag.up.sql", new, feature),
        ("db/2_flag.down.sql", new, "DROP TABLE flag;"),
        ("db/3_hotfix.up.sql", new, hotfix),
        ("db/3_hotfix.down.sql", new, "ALTER TABLE ship DROP COLUMN hotfix;"),
    ]);
    let on = |arguments: &[&str]| machine.on(&url, arguments);
    on(&["upgrade", "--to", "1.0.1", "--yes"]).ended(0);
    // By number it might be 1.1.0's migration 2; by what it made it is the hotfix.
    on(&["status"]).ended(0).says(&["schema: of 1.0.1", "drift: none"]);
    on(&["upgrade", "--to", "1.1.0", "--yes"]).ended(3).explains(&["--redo"]);
    on(&["rollback", "--to", "1.0.0", "--yes"]).ended(0);
    on(&["upgrade", "--to", "1.1.0", "--yes"]).ended(0).says(&["ok 1.1.0: the schema is proved"]);
    on(&["status"]).ended(0).says(&["schema: of 1.1.0", "drift: none"]);
    // The records do not say any more that 1.0.1 is made of what they have.
    on(&["plan", "--to", "1.0.1", "--offline"]).ended(2).explains(&["1.0.1 is not in the catalog"]);
    on(&["rollback", "--to", "1.0.0", "--offline", "--yes"]).ended(0);
}

#[test]
fn a_way_back_and_up_again_that_fails_is_taken_back() {
    let (old, new): (&[&str], &[&str]) = (&["1.0.0"], &["1.1.0"]);
    let (machine, url) = harbour(&[
        ("db/1_ship.up.sql", &["1.0.0", "1.1.0"], SHIP),
        ("db/1_ship.down.sql", &["1.0.0", "1.1.0"], "DROP TABLE ship;"),
        ("db/2_berth.up.sql", old, BERTH),
        ("db/2_berth.up.sql", new, WIDER),
        ("db/2_berth.down.sql", &["1.0.0", "1.1.0"], "DROP TABLE berth;"),
        ("db/3_unique.up.sql", new, "CREATE UNIQUE INDEX one_name ON berth (name);"),
        ("db/3_unique.down.sql", new, "DROP INDEX one_name;"),
    ]);
    let on = |arguments: &[&str]| machine.on(&url, arguments);
    let rows = |sql: &str| {
        let output =
            std::process::Command::new("sqlite3").arg(machine.path("harbour.db")).arg(sql).output();
        String::from_utf8(output.expect("sqlite3").stdout).expect("text")
    };
    on(&["upgrade", "--to", "1.0.0", "--yes"]).ended(0);
    rows("INSERT INTO berth VALUES (1, 'north'), (2, 'north')");
    on(&["upgrade", "--to", "1.1.0", "--redo", "--yes"]).ended(1).explains(&["UNIQUE"]);
    on(&["abort", "--yes"]).ended(0);
    assert_eq!(rows("SELECT name FROM berth"), "north\nnorth\n");
    on(&["status"]).ended(0).says(&["schema: of 1.0.0", "drift: none"]);
    on(&["upgrade", "--to", "1.1.0", "--redo", "--yes"]).ended(1);
    rows("UPDATE berth SET name = 'south' WHERE id = 2");
    on(&["resume", "--yes"]).ended(0).says(&["ok 1.1.0: the schema is proved"]);
    assert_eq!(rows("SELECT name FROM berth"), "north\nsouth\n");
}

#[test]
fn a_squashed_history_is_reached_by_the_last_release_before_it() {
    let (first, long): (&[&str], &[&str]) = (&["0.9.0", "1.0.0"], &["1.0.0"]);
    let (machine, url) = harbour(&[
        ("db/1_ship.up.sql", first, SHIP),
        ("db/1_ship.down.sql", first, "DROP TABLE ship;"),
        ("db/2_flag.up.sql", long, FLAG),
        ("db/2_flag.down.sql", long, "DROP TABLE flag;"),
        ("db/2_all.up.sql", &["2.0.0"], &format!("{SHIP}{FLAG}")),
        ("db/2_all.down.sql", &["2.0.0"], "DROP TABLE flag; DROP TABLE ship;"),
        ("db/3_berth.up.sql", &["2.0.0"], BERTH),
        ("db/3_berth.down.sql", &["2.0.0"], "DROP TABLE berth;"),
    ]);
    let on = |arguments: &[&str]| machine.on(&url, arguments);
    on(&["upgrade", "--to", "0.9.0", "--yes"]).ended(0);
    on(&["upgrade", "--to", "2.0.0", "--yes"]).ended(3).explains(&[
        "it has 1, between the release's",
        "`sternway upgrade --to 1.0.0` may lead to where 2.0.0 goes on",
    ]);
    on(&["upgrade", "--to", "1.0.0", "--yes"]).ended(0);
    on(&["upgrade", "--to", "2.0.0", "--yes"]).ended(0).says(&["ok 2.0.0: the schema is proved"]);
    on(&["rollback", "--to", "0.9.0", "--yes"]).ended(0).says(&["ok 0.9.0: the schema is proved"]);
}

#[test]
fn a_lower_number_that_changes_rows_alone_is_not_passed_over() {
    let (both, later): (&[&str], &[&str]) = (&["1.0.0", "1.1.0"], &["1.1.0"]);
    let (machine, url) = harbour(&[
        ("db/1_ship.up.sql", both, SHIP),
        ("db/1_ship.down.sql", both, "DROP TABLE ship;"),
        ("db/2_mend.up.sql", later, "UPDATE ship SET id = id + 1;"),
        ("db/2_mend.down.sql", later, "UPDATE ship SET id = id - 1;"),
        ("db/3_flag.up.sql", both, FLAG),
        ("db/3_flag.down.sql", both, "DROP TABLE flag;"),
    ]);
    machine.on(&url, &["upgrade", "--to", "1.0.0", "--yes"]).ended(0);
    machine.on(&url, &["upgrade", "--to", "1.1.0", "--yes"]).ended(3).explains(&[
        "it lacks 2, below its own number",
        "clean installs of the two have the same schema, but",
    ]);
    machine.on(&url, &["status"]).ended(0).says(&["schema: of 1.0.0"]);
}

#[test]
fn an_old_release_that_cannot_be_read_hides_no_other() {
    let (good, bad): (&[&str], &[&str]) = (&["1.0.0", "1.1"], &["0.9.0"]);
    let (machine, url) = harbour(&[
        ("db/1_ship.up.sql", good, SHIP),
        ("db/1_ship.down.sql", good, "DROP TABLE ship;"),
        ("db/1_ship.up.sql", bad, SHIP),
        ("db/1_berth.up.sql", bad, BERTH),
        ("db/2_flag.up.sql", &["1.1"], FLAG),
        ("db/2_flag.down.sql", &["1.1"], "DROP TABLE flag;"),
    ]);
    let on = |arguments: &[&str]| machine.on(&url, arguments);
    let warning = "warning: release 0.9.0 is left out: cannot read track `core` of release 0.9.0, in \
                   `db`: two files hold the up half of migration 1";
    let releases = on(&["releases"]).ended(0).explains(&[warning]);
    releases.says(&["1.1      2     new", "1 release is left out: 0.9.0"]);
    let json = on(&["releases", "--output", "json"]).ended(0).json("sternway.releases/1");
    assert!(json["left_out"]["0.9.0"].as_str().is_some_and(|it| it.contains("two files")));
    on(&["upgrade", "--to", "1.1.0", "--yes"]).ended(0).says(&["upgraded to 1.1;"]);
    on(&["rollback", "--to", "1", "--yes"]).ended(0).says(&["rolled back to 1.0.0;"]);
    let refused = on(&["rollback", "--to", "0.9.0", "--yes"]).ended(3);
    refused.explains(&["release 0.9.0 is left out", "mend that release in the source"]);
    let refused = on(&["plan", "--from", "0.9.0", "--to", "1.0.0"]).ended(3);
    refused.explains(&["release 0.9.0 is left out", "without --from the schema"]);
}

#[test]
fn a_track_that_the_target_has_no_longer_is_left_alone() {
    let (first, both): (&[&str], &[&str]) = (&["1.0.0"], &["1.0.0", "1.1.0"]);
    let (machine, url) = harbour(&[
        ("db/1_ship.up.sql", both, SHIP),
        ("db/1_ship.down.sql", both, "DROP TABLE ship;"),
        ("db/2_flag.up.sql", &["1.1.0"], FLAG),
        ("db/2_flag.down.sql", &["1.1.0"], "DROP TABLE flag;"),
        ("jobs/1_job.up.sql", both, "CREATE TABLE job (id integer);"),
        ("jobs/1_job.down.sql", both, "DROP TABLE job;"),
        ("README.md", first, ""),
    ]);
    let jobs = "[[track]]\nname = \"jobs\"\npath = \"jobs\"\ntable = \"jobs_migrations\"\n";
    let core = machine.read("sternway.toml");
    machine.write("sternway.toml", &format!("{core}\n{jobs}"));
    let on = |arguments: &[&str]| machine.on(&url, arguments);
    on(&["upgrade", "--to", "1.0.0", "--yes"]).ended(0);
    on(&["plan", "--to", "1.1.0"]).ended(0).says(&["jobs stays at 1"]);
    // The folder is still there, and nobody uses it.
    machine.write("sternway.toml", &format!("{core}\n{jobs}until = \"1.0\"\n"));
    on(&["upgrade", "--to", "1.1.0", "--yes"]).ended(0).says(&[
        "note: the target has no migrations of track `jobs`, which older releases have: it is left at 1",
        "the schema is that of a clean install of core 2, jobs 1",
    ]);
    on(&["status"]).ended(0).says(&["schema: of 1.1.0", "drift: none"]);
    on(&["rollback", "--to", "1.0.0", "--yes"]).ended(0);
    on(&["status"]).ended(0).says(&["schema: of 1.0.0", "drift: none"]);
}

#[test]
fn a_folder_that_has_moved_is_found_where_it_was() {
    let (old, new): (&[&str], &[&str]) = (&["1.0.0"], &["1.1.0"]);
    let (machine, url) = harbour(&[
        ("migrations/1_ship.up.sql", old, SHIP),
        ("migrations/1_ship.down.sql", old, "DROP TABLE ship;"),
        ("db/1_ship.up.sql", new, SHIP),
        ("db/1_ship.down.sql", new, "DROP TABLE ship;"),
        ("db/2_flag.up.sql", new, FLAG),
        ("db/2_flag.down.sql", new, "DROP TABLE flag;"),
    ]);
    let on = |arguments: &[&str]| machine.on(&url, arguments);
    on(&["upgrade", "--to", "1.1.0", "--yes"]).ended(0);
    on(&["releases"]).ended(0).says(&["1 more release has no migrations in `db`"]);
    on(&["rollback", "--to", "1.0.0", "--yes"]).ended(3).explains(&[
        "it has no folder `db`. If they lay elsewhere then, `path` of the track takes a list",
    ]);
    let settings = machine.read("sternway.toml");
    let with = |path: &str| {
        machine.write("sternway.toml", &settings.replace("path = \"db\"", path));
        machine
            .on(&url, &["plan", "--to", "1.0.0"])
            .ended(0)
            .says(&["core 2 -> 1: 2_flag.down.sql"])
    };
    with("path = [\"db\", \"migrations\"]");
    with("path = [{ path = \"db\", since = \"1.1\" }, \"migrations\"]");
    on(&["rollback", "--to", "1.0.0", "--yes"]).ended(0).says(&["ok 1.0.0: the schema is proved"]);
    let flag = ["--track", "name=core,path=db,path=migrations,until=1.1.0"];
    on(&[&["releases"][..], &flag].concat()).ended(0).quiet().says(&["1.0.0    1     new"]);
    machine.write("sternway.toml", &settings.replace("path = \"db\"", "path = []"));
    on(&["releases"]).ended(2).explains(&["`path` is a folder, or a list of folders"]);
}
