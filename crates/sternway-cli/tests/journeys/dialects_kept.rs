//! `sternway archive` and `sternway doctor` on MariaDB and SQLite.

use serde_json::Value;

use crate::both::server::{Admin, Kind};
use crate::both::{Pair, Place};
use crate::support::{Machine, Run};

struct Harbour<'a> {
    machine: Machine,
    place: &'a Place<'a>,
}

impl<'a> Harbour<'a> {
    fn on(place: &'a Place<'a>, second: (&str, &str)) -> Harbour<'a> {
        let machine = Machine::of("harbour", "db");
        let first = "CREATE TABLE ship (id integer PRIMARY KEY, name varchar(80) NOT NULL, note varchar(80));";
        for release in ["1.0.0", "1.1.0"] {
            let at = |file: &str| format!("releases/{release}/db/{file}");
            machine.write(&at("1_ship.up.sql"), first);
            machine.write(&at("1_ship.down.sql"), "DROP TABLE ship;");
        }
        machine.write("releases/1.1.0/db/2_berth.up.sql", second.0);
        machine.write("releases/1.1.0/db/2_berth.down.sql", second.1);
        Harbour { machine, place }
    }

    fn run(&self, arguments: &[&str]) -> Run {
        let url = match self.place.pair.kind {
            Kind::Sqlite => format!("sqlite://{}", self.place.database_file().display()),
            _ => self.place.url(""),
        };
        let mut command = self.machine.command(arguments);
        command.env("STERNWAY_DATABASE", &url);
        if self.place.pair.kind == Kind::MariaDb {
            // There is none inside the process.
            command.env("STERNWAY_REHEARSAL", &url);
        }
        Run::of(command)
    }

    fn entries(&self) -> Vec<Value> {
        let list = self.run(&["archive", "list", "--output", "json"]).ended(0);
        list.json("sternway.archive.list/1")["entries"].as_array().expect("entries").clone()
    }

    fn id(&self, lost: &str) -> String {
        let entries = self.entries();
        let entry = entries.iter().find(|it| it["lost"] == lost);
        entry.unwrap_or_else(|| panic!("{lost}: {entries:?}"))["id"].to_string()
    }

    fn export(&self, lost: &str, format: &str) -> String {
        let id = self.id(lost);
        self.run(&["archive", "export", &id, "--format", format]).ended(0).quiet().stdout
    }
}

fn everywhere(test: &str, what: impl Fn(Kind, &Place<'_>, &mut Admin)) {
    for kind in [Kind::MariaDb, Kind::Sqlite] {
        let Some(pair) = Pair::new(kind, test) else { continue };
        let mut admin = pair.admin();
        let place = Place::new(&pair, &mut admin);
        what(kind, &place, &mut admin);
    }
}

#[test]
fn what_is_kept_is_listed_shown_exported_restored_and_dropped() {
    everywhere("the archive of every dialect", |kind, place, admin| {
        let up = "CREATE TABLE berth (id integer PRIMARY KEY, name varchar(80), data blob);
             ALTER TABLE ship ADD COLUMN flag varchar(8);";
        let down = "DROP TABLE berth;\nALTER TABLE ship DROP COLUMN flag;\n\
             UPDATE ship SET name = 'gone' WHERE id < 3;\nDELETE FROM ship WHERE id = 4;";
        let harbour = Harbour::on(place, (up, down));
        harbour.run(&["upgrade", "--to", "1.1.0", "--yes"]).ended(0);
        let fill = "INSERT INTO ship VALUES (1, 'Anna', NULL, 'NO'), (2, 'It''s', 'x', NULL), (3, 'C', '', 'DK'), (4, 'Dora', 'y', 'SE');
             INSERT INTO berth VALUES (1, 'a, \"b\"', X'00FF27'), (2, NULL, NULL), (3, 'X''00''', NULL)";
        place.execute(admin, fill);
        let (ships, berths) = match kind {
            Kind::Sqlite => (
                "SELECT id || '|' || name || '|' || coalesce(note, '-') || '|' || coalesce(flag, '-') FROM ship ORDER BY id",
                "SELECT id || '|' || coalesce(name, '-') || '|' || coalesce(typeof(data) || hex(data), '-') FROM berth ORDER BY id",
            ),
            _ => (
                "SELECT concat_ws('|', id, name, coalesce(note, '-'), coalesce(flag, '-')) FROM ship ORDER BY id",
                "SELECT concat_ws('|', id, coalesce(name, '-'), coalesce(hex(data), '-')) FROM berth ORDER BY id",
            ),
        };
        let before = (admin.rows(place, ships), admin.rows(place, berths));
        harbour.run(&["rollback", "--to", "1.0.0", "--yes"]).ended(0);
        let entries = harbour.entries();
        let mut kept: Vec<(String, u64)> = entries
            .iter()
            .map(|it| (it["lost"].to_string(), it["rows"].as_u64().expect("rows")))
            .collect();
        kept.sort();
        assert_eq!(
            kept,
            [("\"column\"".to_owned(), 3), ("\"rows\"".to_owned(), 3), ("\"table\"".to_owned(), 3)],
            "{kind:?}"
        );
        let list = harbour.run(&["archive", "list"]).ended(0).quiet();
        list.says(&["table berth", "column ship.flag", "rows of ship", "core 2 down", "waiting"]);
        harbour.run(&["archive", "show", &harbour.id("table")]).ended(0).says(&["a, \"b\""]);
        // What programs read.
        let csv = harbour.export("table", "csv");
        assert!(csv.starts_with("\"id\",\"name\",\"data\"\r\n\"1\",\"a, \"\"b\"\"\","), "{csv}");
        assert!(csv.contains("\r\n\"2\",,\r\n"), "{csv}");
        // What an operator runs by hand, in any order and again.
        let scripts = ["rows", "table", "column"].map(|lost| harbour.export(lost, "sql"));
        place.execute(admin, up);
        for script in &scripts {
            place.execute(admin, script);
        }
        place.execute(admin, &scripts[0]);
        let after = (admin.rows(place, ships), admin.rows(place, berths));
        assert_eq!(after, before, "{kind:?}: {scripts:?}");
        // And what the program does of it.
        place.execute(admin, "DELETE FROM berth WHERE id > 1");
        let id = harbour.id("table");
        let restored = harbour.run(&["archive", "restore", &id, "--yes", "--output", "json"]);
        let restored = restored.ended(0).json("sternway.archive.restore/1");
        let back = restored["restored"]["back"].as_u64().expect("rows");
        let left = restored["restored"]["misfits"].as_array().expect("misfits").len();
        assert_eq!((back, left), (3, 0), "{kind:?}: {restored}");
        assert_eq!(admin.rows(place, berths), before.1, "{kind:?}");
        harbour.run(&["archive", "restore", &id, "--yes"]).ended(3);
        harbour.run(&["archive", "drop", &id, "--yes"]).ended(0).says(&["dropped: table berth"]);
        assert_eq!(harbour.entries().len(), 2);
        harbour.run(&["archive", "drop", "--older-than", "0", "--yes"]).ended(0);
        harbour.run(&["archive", "list"]).ended(0).says(&["the archive is empty"]);
    });
}

#[test]
fn what_is_exported_as_sql_is_loaded_whatever_its_names_and_values() {
    everywhere("exports of every dialect", |kind, place, admin| {
        let up =
            "CREATE TABLE `my order` (id integer PRIMARY KEY, `in` varchar(8), f float, e blob);
            CREATE TABLE `order` (id integer PRIMARY KEY, `a.b` varchar(8), c integer);";
        let down = "DROP TABLE `my order`; ALTER TABLE `order` DROP COLUMN `a.b`; DELETE FROM `order` WHERE id = 2;";
        let harbour = Harbour::on(place, (up, down));
        harbour.run(&["upgrade", "--to", "1.1.0", "--yes"]).ended(0);
        place.execute(admin, "INSERT INTO `my order` VALUES (1, 'x', 1.23456789, X''), (2, NULL, 16777215, X'00'); INSERT INTO `order` VALUES (1, 'y', 1), (2, 'z', 2)");
        let shown = match kind {
            Kind::Sqlite => "SELECT id || '|' || f || '|' || hex(e) FROM `my order` ORDER BY id",
            _ => "SELECT concat_ws('|', id, f + 0e0, hex(e)) FROM `my order` ORDER BY id",
        };
        let before = admin.rows(place, shown);
        harbour.run(&["rollback", "--to", "1.0.0", "--yes"]).ended(0);
        let scripts = ["rows", "table", "column"].map(|lost| harbour.export(lost, "sql"));
        place.execute(
            admin,
            "CREATE TABLE `my order` (id integer PRIMARY KEY, `in` varchar(8), f float, e blob)",
        );
        place.execute(admin, "ALTER TABLE `order` ADD COLUMN `a.b` varchar(8)");
        for script in &scripts {
            place.execute(admin, script);
        }
        assert_eq!(admin.rows(place, shown), before, "{kind:?}: {scripts:?}");
        let orders = admin.rows(place, "SELECT `a.b` FROM `order` ORDER BY id");
        assert_eq!(orders, ["y", "z"], "{kind:?}: {scripts:?}");
    });
}

/// The one track of a diagnosis, and the names of its repairs.
fn track(run: &Run) -> (Value, Vec<String>) {
    let track = run.json("sternway.doctor/1")["tracks"][0].clone();
    let exits = track["exits"].as_array().expect("exits").iter();
    let names = exits.map(|it| it["exit"].as_str().expect("a name").to_owned()).collect();
    (track, names)
}

#[test]
fn the_doctor_finds_the_ways_out_on_every_dialect() {
    everywhere("the doctor of every dialect", |kind, place, admin| {
        let up = "CREATE TABLE berth (id integer PRIMARY KEY);\nALTER TABLE ship ADD COLUMN flag varchar(8);\nCREATE INDEX by_flag ON ship (flag);";
        let down = "ALTER TABLE ship DROP COLUMN flag;\nDROP TABLE berth;";
        let harbour = Harbour::on(place, (up, down));
        harbour.run(&["upgrade", "--to", "1.0.0", "--yes"]).ended(0);
        harbour.run(&["doctor"]).ended(0);
        if kind == Kind::Sqlite {
            // A body is there whole or not at all.
            place.execute(admin, "UPDATE schema_migrations SET version = 2, dirty = true");
            let (found, names) = track(&harbour.run(&["doctor", "--output", "json"]).ended(5));
            assert_eq!(names, ["undo", "finish"], "{found}");
            harbour.run(&["doctor", "--undo", "--yes"]).ended(0);
            harbour.run(&["status"]).ended(0).says(&["schema: of 1.0.0", "drift: none"]);
            place.execute(admin, "UPDATE schema_migrations SET version = 2, dirty = true");
            harbour.run(&["doctor", "--finish", "--yes"]).ended(0);
            harbour.run(&["status"]).ended(0).says(&["schema: of 1.1.0", "drift: none"]);
            place.execute(admin, "UPDATE schema_migrations SET version = 1");
            let (_, names) = track(&harbour.run(&["doctor", "--output", "json"]).ended(4));
            assert_eq!(names, ["set_row"]);
            harbour.run(&["doctor", "--set-row", "2", "--yes"]).ended(0);
            harbour.run(&["status"]).ended(0).says(&["schema: of 1.1.0", "drift: none"]);
            return;
        }
        // What another migrator leaves that dies in the middle of a body.
        place.execute(admin, "CREATE TABLE berth (id integer PRIMARY KEY)");
        place.execute(admin, "ALTER TABLE ship ADD COLUMN flag varchar(8)");
        place.execute(admin, "INSERT INTO ship VALUES (1, 'Anna', NULL, 'NO')");
        place.execute(admin, "UPDATE schema_migrations SET version = 2, dirty = true");
        let (found, names) = track(&harbour.run(&["doctor", "--output", "json"]).ended(5));
        assert_eq!(names, ["undo", "finish"], "{kind:?}: {found}");
        harbour.run(&["doctor", "--finish", "--yes"]).ended(0);
        harbour.run(&["status"]).ended(0).says(&["schema: of 1.1.0", "drift: none"]);
        // The same, undone: what the rows had is kept.
        let indexed =
            if kind == Kind::MariaDb { "DROP INDEX by_flag ON ship" } else { "DROP INDEX by_flag" };
        place.execute(admin, indexed);
        place.execute(admin, "UPDATE schema_migrations SET version = 2, dirty = true");
        harbour.run(&["doctor", "--undo", "--yes"]).ended(0);
        harbour.run(&["status"]).ended(0).says(&["schema: of 1.0.0", "drift: none"]);
        let kept: Vec<Value> = harbour.entries().iter().map(|it| it["lost"].clone()).collect();
        assert!(kept.contains(&Value::from("column")), "{kind:?}: {kept:?}");
        harbour.run(&["upgrade", "--to", "1.1.0", "--yes"]).ended(0);
        assert_eq!(admin.rows(place, "SELECT flag FROM ship"), ["NO"], "{kind:?}");
        // A row that is behind its schema.
        place.execute(admin, "UPDATE schema_migrations SET version = 1");
        let (found, names) = track(&harbour.run(&["doctor", "--output", "json"]).ended(4));
        assert_eq!(names, ["set_row"], "{kind:?}: {found}");
        // As this server has names.
        place.execute(admin, found["exits"][0]["sql"].as_str().expect("a statement"));
        place.execute(admin, "UPDATE schema_migrations SET version = 1");
        harbour.run(&["doctor", "--set-row", "2", "--yes"]).ended(0);
        harbour.run(&["status"]).ended(0).says(&["schema: of 1.1.0", "drift: none"]);
    });
}

/// The application starts as the newer release and migrates up by itself: what waits is told, and put back
/// where nobody has written since.
#[test]
fn what_waits_after_the_application_has_migrated_by_itself_is_told_and_put_back() {
    everywhere("a runner of the application's own", |kind, place, admin| {
        let up = "ALTER TABLE ship ADD COLUMN flag varchar(8);\nCREATE TABLE berth (id integer PRIMARY KEY, name varchar(80));";
        let down = "DROP TABLE berth;\nALTER TABLE ship DROP COLUMN flag;";
        let harbour = Harbour::on(place, (up, down));
        harbour.run(&["upgrade", "--to", "1.1.0", "--yes"]).ended(0);
        let fill = "INSERT INTO ship (id, name, flag) VALUES (1, 'Anna', 'NO'), (2, 'Bo', 'SE'), (3, 'C', NULL);
             INSERT INTO berth VALUES (1, 'north'), (2, 'south')";
        place.execute(admin, fill);
        harbour.run(&["rollback", "--to", "1.0.0", "--yes"]).ended(0);
        let tells = || harbour.run(&["status"]).ended(0).stdout.contains("restore --waiting");
        assert!(!tells(), "{kind:?}");
        place.execute(admin, &format!("{up} UPDATE schema_migrations SET version = 2"));
        place.execute(
            admin,
            "UPDATE ship SET flag = 'FI' WHERE id = 1; INSERT INTO berth VALUES (2, 'new')",
        );
        assert!(tells(), "{kind:?}");
        let restored =
            harbour.run(&["archive", "restore", "--waiting", "--yes", "--output", "json"]);
        let restored = restored.ended(0).json("sternway.archive.restore.waiting/1");
        let mut left: Vec<(u64, String)> = restored["restored"]
            .as_array()
            .expect("entries")
            .iter()
            .map(|it| {
                let misfits = &it["restored"]["misfits"];
                (it["restored"]["back"].as_u64().expect("rows"), misfits[0]["reason"].to_string())
            })
            .collect();
        left.sort();
        let reasons = [
            (1, "\"a row with its key is there\""),
            (2, "\"the row has another value there now\""),
        ];
        assert_eq!(left, reasons.map(|(back, why)| (back, why.to_owned())), "{kind:?}");
        let flags = "SELECT flag FROM ship WHERE id < 3 ORDER BY id";
        assert_eq!(admin.rows(place, flags), ["FI", "SE"], "{kind:?}");
        assert_eq!(admin.rows(place, "SELECT name FROM berth ORDER BY id"), ["north", "new"]);
        assert!(!tells(), "{kind:?}");
        let again = harbour.run(&["archive", "restore", "--waiting", "--yes"]).ended(0);
        again.says(&["nothing waits in the archive"]);
    });
}
