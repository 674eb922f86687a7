//! `sternway migrate` where golang-migrate has nothing to compare with: what it has beyond, and bad
//! input, of which no word may be a password and none `panicked`.

use std::fs;

use crate::both::server::{Admin, Kind};
use crate::both::state::State;
use crate::both::{Pair, Place, Ran, Tool, message, words};
use crate::support::variable;

const KINDS: [Kind; 3] = [Kind::PostgreSql, Kind::MariaDb, Kind::Sqlite];

/// A server for these tests, which run without golang-migrate.
fn pair(kind: Kind) -> Option<Pair> {
    let test = "what sternway migrate has beyond";
    let admin = match kind {
        Kind::PostgreSql => Some(variable("STERNWAY_TEST_PG_URL", test)?),
        Kind::MariaDb => Some(variable("STERNWAY_TEST_MARIADB", test)?),
        Kind::Sqlite | Kind::None => None,
    };
    Some(Pair { migrate: String::new(), kind, admin })
}

/// Does something on an empty place of each kind of database.
fn on_each(kinds: &[Kind], what: impl Fn(&Place, &mut Admin)) {
    for pair in kinds.iter().filter_map(|kind| pair(*kind)) {
        let mut admin = pair.admin();
        let place = Place::new(&pair, &mut admin);
        what(&place, &mut admin);
    }
}

/// 1 both, 3 up, 5 down.
fn example(place: &Place) {
    for (name, text) in [
        ("1_a.up.sql", "CREATE TABLE a (x int);\n"),
        ("1_a.down.sql", "DROP TABLE a;\n"),
        ("3_b.up.sql", "CREATE TABLE b (x int);\n"),
        ("5_d.down.sql", "DROP TABLE b;\n"),
    ] {
        place.write(&format!("m/{name}"), text);
    }
}

/// Runs a command, options first.
#[track_caller]
fn run(place: &Place, options: &str, command: &str) -> Ran {
    let line = format!("{options} -path m -database {} {command}", place.url(""));
    let ran = place.run(Tool::Sternway, &words(&line), "");
    assert!(!ran.stderr.contains("panicked"), "{}", ran.stderr);
    ran
}

/// Checks an answer whole, without durations.
#[track_caller]
fn says(place: &Place, ran: &Ran, code: i32, stdout: &str, stderr: &str) {
    let said = message::plain(place, &ran.stderr).lines.join("\n");
    assert_eq!((ran.code, said.as_str()), (Some(code), stderr.trim_end()));
    assert_eq!(ran.stdout, stdout);
}

#[track_caller]
fn is(place: &Place, admin: &mut Admin, tracking: &str, tables: &str) {
    let state = State::of(place, admin, "schema_migrations");
    assert_eq!((state.tracking.as_str(), state.tables.as_str()), (tracking, tables));
}

#[test]
fn status_lists_every_migration_and_changes_nothing() {
    on_each(&KINDS, |place, admin| {
        example(place);
        let pending = "0 applied, 3 pending\n  1  a  pending\n  3  b  pending  no down file\n  \
                       5  d  pending  no up file\n";
        says(place, &run(place, "", "status"), 0, pending, "");
        is(place, admin, "absent", "");
        assert_eq!(run(place, "", "up 2").code, Some(0));
        let half = "2 applied (at 3), 1 pending\n  1  a  applied\n  3  b  applied  no down file\n  \
                    5  d  pending  no up file\n";
        says(place, &run(place, "", "status"), 0, half, "");
        place.execute(admin, "UPDATE schema_migrations SET dirty = true");
        let dirty = half.replace("(at 3)", "(at 3 (dirty))").replace("b  applied", "b  dirty  ");
        says(place, &run(place, "", "status"), 0, &dirty, "");
        place.execute(admin, "UPDATE schema_migrations SET version = 8, dirty = false");
        let said = run(place, "", "status").stdout;
        let ahead = "3 applied, 0 pending (the database is at 8, ahead of these files)";
        assert_eq!(said.lines().next(), Some(ahead));
        is(place, admin, "8", "a b");
    });
}

#[test]
fn a_dry_run_shows_the_sql_and_runs_nothing() {
    on_each(&KINDS, |place, admin| {
        example(place);
        let outside = "outside a transaction: MySQL commits each change to the schema by itself";
        let how = if place.pair.kind == Kind::MariaDb { outside } else { "in a transaction" };
        let none = "no file: only the version moves";
        let up = format!(
            "-- 1/u a ({how})\nCREATE TABLE a (x int);\n-- 3/u b ({how})\nCREATE TABLE b (x int);\n\
             -- 5/u <empty> ({none})\n\n"
        );
        says(place, &run(place, "-dry-run", "up"), 0, &up, "");
        is(place, admin, "absent", "");
        assert_eq!(run(place, "", "up").code, Some(0));
        let down = format!(
            "-- 5/d d ({how})\nDROP TABLE b;\n-- 3/d <empty> ({none})\n\n-- 1/d a ({how})\n\
             DROP TABLE a;\n"
        );
        // Nothing is asked where nothing is done.
        says(place, &run(place, "-dry-run", "down"), 0, &down, "");
        says(place, &run(place, "-dry-run", "goto nil"), 0, &down, "");
        says(place, &run(place, "-dry-run", "up"), 0, "", "no change");
        let forced = "would set schema_migrations to 3\n";
        says(place, &run(place, "-dry-run", "force 3"), 0, forced, "");
        let dropped =
            "would drop table a\nwould drop table b\nwould drop table schema_migrations\n";
        says(place, &run(place, "-dry-run", "drop"), 0, dropped, "");
        is(place, admin, "5", "a b");
    });
}

#[test]
fn goto_nil_takes_everything_back() {
    on_each(&KINDS, |place, admin| {
        example(place);
        assert_eq!(run(place, "", "goto 5").code, Some(0));
        let said = "5/d d (T)\n3/d <empty> (T)\n1/d a (T)";
        says(place, &run(place, "", "goto nil"), 0, "", said);
        is(place, admin, "none", "");
        says(place, &run(place, "", "goto nil"), 0, "", "no change");
    });
}

#[test]
fn results_are_to_be_had_for_machines() {
    on_each(&KINDS, |place, admin| {
        example(place);
        let json = |command: &str| -> serde_json::Value {
            let ran = run(place, "-output json", command);
            assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{command}");
            serde_json::from_str(&ran.stdout).expect(command)
        };
        let ran = json("up 2");
        assert_eq!(ran["format"], "sternway.migrate/1");
        assert_eq!((&ran["command"], &ran["outcome"]), (&"up".into(), &"done".into()));
        assert_eq!(
            ran["tracks"][0]["migrations"],
            serde_json::json!([
                { "version": 1, "direction": "up", "file": "1_a.up.sql", "to": 1 },
                { "version": 3, "direction": "up", "file": "3_b.up.sql", "to": 3 },
            ])
        );
        assert_eq!(
            json("version"),
            serde_json::json!({ "format": "sternway.migrate.version/1",
                "tracks": [{ "name": null, "table": "schema_migrations", "version": 3, "dirty": false }] })
        );
        let status = json("status");
        assert_eq!((&status["applied"], &status["pending"]), (&2.into(), &1.into()));
        assert_eq!(
            status["tracks"][0]["migrations"][2],
            serde_json::json!({ "version": 5, "title": "d", "applied": false, "up": false, "down": true })
        );
        assert_eq!(json("goto 3")["outcome"], "no_change");
        let dry = json("-dry-run down 1");
        assert_eq!((&dry["outcome"], &dry["tracks"][0]["version"]), (&"dry_run".into(), &1.into()));
        assert_eq!(json("force 3")["tracks"][0]["version"], 3);
        let failed = run(place, "-output json", "goto 9");
        let error: serde_json::Value = serde_json::from_str(&failed.stderr).expect("an error");
        assert_eq!((failed.code, failed.stdout.as_str()), (Some(1), ""));
        assert_eq!(error["format"], "sternway.error/1");
        let words =
            "no migration found for version 9: read down for version 9 .: file does not exist";
        assert_eq!((&error["error"], &error["exit"]), (&words.into(), &1.into()));
        is(place, admin, "3", "a b");
    });
}

#[test]
fn a_name_that_is_nearly_right_is_warned_of() {
    on_each(&[Kind::Sqlite], |place, admin| {
        example(place);
        place.write("m/6_E.UP.sql", "SELECT 1");
        place.write("m/README.md", "words");
        let warning = "warning: `6_E.UP.sql` is passed over: a migration is called \
                       NUMBER_TITLE.up.EXTENSION or NUMBER_TITLE.down.EXTENSION";
        let said = format!("{warning}\n1/u a (T)");
        says(place, &run(place, "", "up 1"), 0, "", &said);
        is(place, admin, "1", "a");
    });
}

#[test]
fn a_dirty_database_without_transactions_names_the_statement_under_way() {
    on_each(&[Kind::MariaDb], |place, admin| {
        example(place);
        place.write("m/3_b.up.sql", "CREATE TABLE b (x int);\nUPDATE nowhere SET x = 1;\n");
        let failed = run(place, "", "up");
        assert_eq!(failed.code, Some(1));
        is(place, admin, "3 dirty", "a b");
        let again = run(place, "", "up");
        assert_eq!(again.code, Some(1));
        let said: Vec<&str> = again.stderr.lines().collect();
        assert_eq!(said[0], "error: Dirty database version 3. Fix and force version.");
        let line = "the statement under way was number 2 of 3_b.up.sql: UPDATE nowhere SET x = 1";
        assert!(said.contains(&line), "{}", again.stderr);
        // Somebody mends it; the note goes with the next body that ends well.
        place.execute(admin, "DROP TABLE b");
        place.write("m/3_b.up.sql", "CREATE TABLE b (x int)");
        assert_eq!(run(place, "", "force 1").code, Some(0));
        assert_eq!(run(place, "", "up 1").code, Some(0));
        let state = State::of(place, admin, "schema_migrations");
        assert_eq!((state.tracking.as_str(), state.progress), ("3", None));
    });
}

/// Nothing runs, and the error is this.
#[track_caller]
fn refused(place: &Place, admin: &mut Admin, error: &str, tracking: &str) {
    let ran = run(place, "", "up");
    assert!(ran.stderr.starts_with(&format!("error: {error}")), "{}", ran.stderr);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""));
    is(place, admin, tracking, "");
}

#[test]
fn a_body_that_cannot_be_read_whole_fails_before_anything_runs() {
    use std::os::unix::fs::symlink;
    on_each(&KINDS, |place, admin| {
        place.write("m/1_a.up.sql", "CREATE TABLE a (x int)");
        let body = place.work().join("m/2_b.up.sql");
        symlink("vanished", &body).expect("a link");
        refused(place, admin, "there is no file `2_b.up.sql` in ", "none");
        fs::remove_file(&body).expect("a link");
        // Its reading starts, and then fails: the memory of a process, from its start.
        symlink("/proc/self/mem", &body).expect("a link");
        refused(place, admin, "cannot read `2_b.up.sql` in ", "none");
        fs::remove_file(&body).expect("a link");
        fs::create_dir(place.work().join("folder")).expect("a folder");
        symlink("../folder", &body).expect("a link");
        refused(place, admin, "`2_b.up.sql` in ", "none");
        fs::remove_file(&body).expect("a link");
        fs::write(&body, b"SELECT '\xff'").expect("a file");
        refused(place, admin, "`2_b.up.sql` is not UTF-8 text: its byte 9 fits nothing\n", "none");
    });
}

#[test]
fn numbers_at_the_limits_of_64_bits() {
    on_each(&KINDS, |place, admin| {
        let highest = i64::MAX;
        place.write(&format!("m/{highest}_a.up.sql"), "CREATE TABLE a (x int)");
        let said = format!("{highest}/u a (T)");
        says(place, &run(place, "", &format!("goto {highest}")), 0, "", &said);
        is(place, admin, &highest.to_string(), "a");
        assert_eq!(run(place, "", &format!("force {highest}")).code, Some(0));
        for wrong in ["9223372036854775808", "18446744073709551616"] {
            for (command, words) in [
                ("goto", "can't read version argument V"),
                ("force", "can't read version argument V"),
                ("up", "can't read limit argument N"),
                ("down", "can't read limit argument N"),
            ] {
                let ran = run(place, "", &format!("{command} {wrong}"));
                assert!(ran.stderr.starts_with(&format!("error: {words}\n")), "{}", ran.stderr);
                assert_eq!(ran.code, Some(1));
            }
        }
        place.write("m/9223372036854775808_b.up.sql", "CREATE TABLE b (x int)");
        let ran = run(place, "", "up");
        assert!(ran.stderr.contains("9223372036854775808_b.up.sql"), "{}", ran.stderr);
        assert_eq!(ran.code, Some(1));
        is(place, admin, &highest.to_string(), "a");
    });
}

#[test]
fn a_folder_of_a_hundred_thousand_files_and_a_body_of_fifty_megabytes() {
    on_each(&[Kind::Sqlite, Kind::PostgreSql], |place, admin| {
        if place.pair.kind == Kind::Sqlite {
            for number in 0..50_000 {
                let path = place.work().join(format!("m/{number}_x"));
                for direction in ["up", "down"] {
                    let path = path.with_extension(format!("{direction}.sql"));
                    fs::write(path, "SELECT 1;").expect("a file");
                }
            }
            let ran = run(place, "", "up 2");
            says(place, &ran, 0, "", "0/u x (T)\n1/u x (T)");
            let status = run(place, "", "status").stdout;
            assert!(status.starts_with("2 applied (at 1), 49998 pending\n"), "{:.99}", status);
            fs::remove_dir_all(place.work().join("m")).expect("a folder");
        }
        let middle =
            "INSERT INTO big VALUES ('some words; that are no statement');\n".repeat(2_000);
        let comment = "-- words that nobody needs, and many of them: it goes on for ever\n";
        let large = comment.repeat(50_000_000 / comment.len());
        place.write("m/1_a.up.sql", &format!("CREATE TABLE big (x text);\n{middle}{large}"));
        let ran =
            run(place, "", if place.pair.kind == Kind::Sqlite { "force -- -1" } else { "up" });
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        if place.pair.kind == Kind::Sqlite {
            says(place, &run(place, "", "up"), 0, "", "1/u a (T)");
        }
        is(place, admin, "1", "big");
        let count = admin.rows(place, "SELECT CAST(count(*) AS text) FROM big");
        assert_eq!(count, ["2000"]);
    });
}

#[test]
fn a_database_that_does_not_open_is_told_without_its_password() {
    let secret = "hush4711";
    let unreadable = [
        "postgres://u:hush4711@127.0.0.1:1/x?sslmode=disable",
        "postgres://u:hush4711@127.0.0.1:port/x",
        "postgres://u:hush4711@no-such-host.invalid/x?sslmode=disable",
        "postgres://u:hush4711@[::1/x",
        "postgres://u:hush4711%zz@127.0.0.1:1/x",
        "postgres://u:hush4711@127.0.0.1:1/x?sslmode=maybe",
        "postgres://u:hush4711@127.0.0.1:1/x?x-statement-timeout=soon",
        "postgres:u:hush4711@h",
        "hush4711://u@h/x",
        "mysql://u:hush4711@tcp(127.0.0.1:1)/x",
        "mysql://u:hush4711@tcp(127.0.0.1:1/x",
        "mysql://u:hush4711@tcp(no-such-host.invalid:3306)/x",
        "mysql://u:hush4711@127.0.0.1:port/x",
        "mysql://u:hush4711@tcp(127.0.0.1:1)",
        "mysql://u:hush4711@tcp(127.0.0.1:1)/x?x-no-lock=hush4711x",
        "sqlite://u:hush4711@no/such/folder/x.db",
        "sqlite:x.db",
        "sqlite://",
        ":",
        "://",
        "\u{0}",
        "postgres://\u{1f4a9}",
    ];
    let pair = Pair { migrate: String::new(), kind: Kind::None, admin: None };
    let place = Place::new(&pair, &mut pair.admin());
    example(&place);
    for url in unreadable.iter().filter(|it| !it.contains('\u{0}')) {
        for command in ["up", "version", "status", "drop -f"] {
            let mut line = vec!["-path", "m", "-database", url];
            line.extend(command.split(' '));
            let ran = place.run(Tool::Sternway, &line, "");
            assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""), "{url}: {}", ran.stderr);
            assert!(ran.stderr.starts_with("error: failed to "), "{url}: {}", ran.stderr);
            // Where the secret stands as the scheme or as a truth value, it is no password.
            let known = url.starts_with(secret) || url.contains("x-no-lock");
            let told = ran.stderr.contains(secret) && !known && !url.starts_with("sqlite");
            assert!(!told && !ran.stderr.contains("panicked"), "{url}: {}", ran.stderr);
        }
    }
}

#[test]
fn a_wrong_password_and_a_user_who_may_only_read() {
    on_each(&[Kind::PostgreSql], |place, admin| {
        example(place);
        assert_eq!(run(place, "", "up 1").code, Some(0));
        let (name, server) = (&place.name, place.server());
        place.execute(
            admin,
            &format!(
                "CREATE ROLE {name} LOGIN PASSWORD 'hush4711'; GRANT USAGE ON SCHEMA {name} TO {name};
                 GRANT SELECT ON ALL TABLES IN SCHEMA {name} TO {name}"
            ),
        );
        let reads = |password: &str, command: &str| {
            let url =
                format!("postgres://{name}:{password}@{server}?sslmode=disable&search_path={name}");
            let line = format!("-path m -database {url} {command}");
            let ran = place.run(Tool::Sternway, &words(&line), "");
            assert!(!ran.stderr.contains("hush4711"), "{}", ran.stderr);
            assert!(!ran.stderr.contains("panicked"), "{}", ran.stderr);
            ran
        };
        let wrong = reads("wrong4711", "version");
        assert!(wrong.stderr.starts_with("error: failed to open database: "), "{}", wrong.stderr);
        assert!(!wrong.stderr.contains("wrong4711"), "{}", wrong.stderr);
        assert_eq!(wrong.code, Some(1));
        let status = "1 applied (at 1), 2 pending\n  1  a  applied\n  3  b  pending  no down file\n  \
                      5  d  pending  no up file\n";
        says(place, &reads("hush4711", "status"), 0, status, "");
        says(place, &reads("hush4711", "version"), 0, "", "1");
        for command in ["up", "down 1", "goto 3", "force 3", "drop -f"] {
            let ran = reads("hush4711", command);
            assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""), "{command}");
            assert!(ran.stderr.starts_with("error: "), "{command}: {}", ran.stderr);
            assert!(
                ran.stderr.contains("permission denied") || ran.stderr.contains("must be owner"),
                "{command}: {}",
                ran.stderr
            );
        }
        is(place, admin, "1", "a");
    });
}
