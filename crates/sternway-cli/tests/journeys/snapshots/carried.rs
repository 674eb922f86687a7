//! `--then-carry`: every row of either database is accounted for. What it should come to is found out by SQL of our
//! own, on both databases.

use std::cell::RefCell;
use std::collections::BTreeMap;

use sternway_testing::Random;

use super::killed::killed_everywhere;
use super::{Port, mariadb, postgres, sqlite};
use crate::both::server::Kind;
use crate::both::{Pair, Place};
use crate::support::{ask, execute};

/// Tables with keys of one and of two columns, one that refers to itself and another one, a trigger that would change
/// what it sees, a computed column, and a unique value that only some have.
const SCHEMA: &str = "
CREATE TABLE port (id integer PRIMARY KEY, parent integer REFERENCES port (id), code varchar(20) UNIQUE, size integer);
CREATE TABLE visit (port integer REFERENCES port (id), day integer, note varchar(40),
    twice integer GENERATED ALWAYS AS (day * 2) STORED, PRIMARY KEY (port, day));
CREATE TABLE scribble (words varchar(40))";

/// Writes at random, as an application would; returns the statements.
fn writes(random: &mut Random, number: usize) -> Vec<String> {
    let mut statements = Vec::new();
    for _ in 0..number {
        let (id, other, day) = (random.below(60), random.below(60), random.below(9));
        statements.push(match random.below(7) {
            0 | 1 => format!("INSERT INTO port SELECT {id}, (SELECT max(id) FROM port WHERE id = {other}), 'code {other}', {day}
                 FROM (SELECT 1 AS one) AS one WHERE NOT EXISTS (SELECT 1 FROM port WHERE id = {id} OR code = 'code {other}')"),
            2 => format!("INSERT INTO visit (port, day, note) SELECT id, {day}, 'note {other}' FROM port WHERE id = {id}
                 AND NOT EXISTS (SELECT 1 FROM visit WHERE port = {id} AND day = {day})"),
            3 => format!("UPDATE port SET size = {other}, code = NULL WHERE id = {id}"),
            4 => format!("UPDATE visit SET note = 'changed {other}' WHERE port = {id}"),
            5 => format!("DELETE FROM visit WHERE port = {id} AND day = {day}"),
            _ => format!("DELETE FROM port WHERE id = {id} AND NOT EXISTS (SELECT 1 FROM visit WHERE port = {id})
                 AND NOT EXISTS (SELECT 1 FROM port c WHERE c.parent = {id})"),
        });
    }
    statements
}

/// The rows of a table by their key.
type Rows = BTreeMap<String, String>;

/// What carrying from one state to another comes to: same, inserted or unfit, updated or unfit, only in the snapshot.
fn expected(then: &Rows, now: &Rows) -> [u64; 4] {
    let count = |it: usize| it as u64;
    let same = now.iter().filter(|(key, row)| then.get(*key) == Some(row)).count();
    let new = now.keys().filter(|key| !then.contains_key(*key)).count();
    let only = then.keys().filter(|key| !now.contains_key(*key)).count();
    [count(same), count(new), count(now.len() - same - new), count(only)]
}

/// What is told of a table's rows.
fn of(table: &str, shape: &serde_json::Value) -> serde_json::Value {
    let is_it = |it: &&serde_json::Value| {
        it["table"].as_str().and_then(|it| it.rsplit('.').next()) == Some(table)
    };
    let mut found = shape.as_array().expect("tables").iter().filter(is_it);
    found.next().unwrap_or_else(|| panic!("no {table}: {shape}")).clone()
}

fn number(row: &serde_json::Value, name: &str) -> u64 {
    row[name].as_u64().expect("a number")
}

fn carried(port: &Port, run: impl Fn(&str), read: impl Fn(&str) -> Rows, seed: u64) {
    let mut random = Random::new(seed);
    run(SCHEMA);
    writes(&mut random, 250).iter().for_each(|it| run(it));
    let tables = ["port", "visit"];
    let then: Vec<Rows> = tables.map(&read).into();
    let id = port.take(&[]);
    writes(&mut random, 250).iter().for_each(|it| run(it));
    run("INSERT INTO scribble VALUES ('nobody knows')");
    run("CREATE TABLE later (id integer PRIMARY KEY)");
    run("INSERT INTO later VALUES (1), (2)");
    run("ALTER TABLE port ADD COLUMN harbour varchar(9)");
    let now: Vec<Rows> = tables.map(&read).into();
    let restored = port.json(
        "sternway.snapshot.restored/1",
        &["snapshot", "restore", &id, "--then-carry", "--yes"],
    );
    for (place, table) in tables.iter().enumerate() {
        let row = of(table, &restored["carried"]);
        let [same, new, changed, only] = expected(&then[place], &now[place]);
        let told =
            ["same", "inserted", "updated", "only_in_snapshot", "unfit"].map(|it| number(&row, it));
        assert_eq!((told[0], told[3]), (same, only), "{seed} {table}: {row}");
        assert_eq!(told[1] + told[2] + told[4], new + changed, "{seed} {table}: {row}");
        assert_eq!(
            told[0] + told[1] + told[2] + told[4],
            now[place].len() as u64,
            "{seed} {table}: {row}"
        );
        // What is there now is what was then, with what was carried over.
        let here = read(table);
        assert_eq!(here.len() as u64, then[place].len() as u64 + told[1], "{seed} {table}");
        let as_now =
            now[place].iter().filter(|(key, row)| here.get(*key) == Some(row)).count() as u64;
        assert_eq!(as_now, told[0] + told[1] + told[2], "{seed} {table}: {row}");
        assert_eq!(
            row["unfit_rows"].as_array().expect("rows").len() as u64,
            told[4].min(100),
            "{row}"
        );
    }
    assert_eq!(of("port", &restored["carried"])["left_columns"], serde_json::json!(["harbour"]));
    assert_eq!(number(&of("later", &restored["carried"]), "unfit"), 2);
    let scribble = of("scribble", &restored["carried"]);
    assert_eq!(number(&scribble, "unfit"), 1, "{scribble}");
    assert!(
        scribble["unfit_rows"][0]["reason"].as_str().is_some_and(|it| it.contains("no key")),
        "{scribble}"
    );
    // Again there is nothing to do.
    let again = port.json("sternway.snapshot.carried/1", &["snapshot", "carry", "--yes"]);
    for table in tables {
        let row = of(table, &again["tables"]);
        assert_eq!((number(&row, "inserted"), number(&row, "updated")), (0, 0), "{row}");
    }
    port.run(&["snapshot", "prune", "--databases", "--yes"]).ended(0);
}

/// What tells a row of a table from others, and what it has beside that.
fn key_and_row(table: &str) -> (&'static str, &'static str) {
    match table {
        "port" => ("id", "concat_ws('|', parent, code, size)"),
        _ => ("concat(port, ' ', day)", "concat_ws('|', note, twice)"),
    }
}

#[test]
fn every_row_is_accounted_for_on_postgresql() {
    for seed in 1..=2 {
        let Some((server, port)) = postgres::port(&format!("carried{seed}")) else { return };
        port.run(&["upgrade", "--to", "1.0.0", "--yes"]).ended(0);
        execute(
            &server.url,
            "CREATE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.name := upper(NEW.name); RETURN NEW; END';
             CREATE TRIGGER shout BEFORE INSERT OR UPDATE ON ship FOR EACH ROW EXECUTE FUNCTION shout();
             CREATE TABLE numbered (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, n int)",
        );
        let read = |table: &str| -> Rows {
            let (key, row) = key_and_row(table);
            let all = ask(
                &server.url,
                &format!(
                    "SELECT coalesce(json_object_agg({key}, coalesce({row}, ''))::text, '{{}}') FROM {table}"
                ),
            );
            serde_json::from_str(&all).expect("rows")
        };
        // One session for all of it.
        carried(&port, |sql| execute(&server.url, sql), read, seed);
        // What gives numbers goes on, and triggers are as they were.
        let id = port.take(&[]);
        execute(
            &server.url,
            "INSERT INTO numbered (n) VALUES (1), (2); INSERT INTO ship (id, name) VALUES (1, 'anna')",
        );
        execute(
            &server.url,
            "ALTER TABLE ship DISABLE TRIGGER shout; UPDATE ship SET name = 'quiet'; ALTER TABLE ship ENABLE TRIGGER shout",
        );
        port.run(&["snapshot", "restore", &id, "--then-carry", "--yes"]).ended(0);
        assert_eq!(ask(&server.url, "SELECT name FROM ship"), "quiet");
        execute(
            &server.url,
            "INSERT INTO numbered (n) VALUES (3); INSERT INTO ship (id, name) VALUES (2, 'loud')",
        );
        assert_eq!(ask(&server.url, "SELECT max(id)::text FROM numbered"), "3");
        assert_eq!(ask(&server.url, "SELECT name FROM ship WHERE id = 2"), "LOUD");
        // What is too long is refused, and not cut.
        let id = port.take(&[]);
        execute(
            &server.url,
            "ALTER TABLE ship ALTER kind TYPE text, DROP CONSTRAINT ship_kind_check; UPDATE ship SET kind = 'a ferry of old' WHERE id = 1",
        );
        let restore = ["snapshot", "restore", &id, "--then-carry", "--yes"];
        let restored = port.json("sternway.snapshot.restored/1", &restore);
        let ship = of("ship", &restored["carried"]);
        assert_eq!((number(&ship, "updated"), number(&ship, "unfit")), (0, 1), "{ship}");
        assert_eq!(
            ask(&server.url, "SELECT coalesce(kind, 'none') FROM ship WHERE id = 1"),
            "none"
        );
        port.run(&["snapshot", "prune", "--databases", "--yes"]).ended(0);
    }
}

#[test]
fn every_row_is_accounted_for_on_sqlite() {
    for seed in 1..=3 {
        let port = sqlite::port();
        let file = port.machine.text("harbour.db");
        port.run(&["upgrade", "--to", "1.0.0", "--yes"]).ended(0);
        let trigger = "CREATE TABLE seen (id integer PRIMARY KEY);
            CREATE TRIGGER seen AFTER INSERT ON ship BEGIN INSERT INTO seen VALUES (NEW.id + 1000); END;";
        sqlite::execute(&file, trigger);
        let read = |table: &str| -> Rows {
            let (key, row) = key_and_row(table);
            let all =
                sqlite::ask(&file, &format!("SELECT json_group_object({key}, {row}) FROM {table}"));
            serde_json::from_str(&all).expect("rows")
        };
        carried(&port, |sql| sqlite::execute(&file, sql), read, seed);
        let id = port.take(&[]);
        sqlite::execute(&file, "INSERT INTO ship (id, name) VALUES (1, 'anna'); DELETE FROM seen");
        port.run(&["snapshot", "restore", &id, "--then-carry", "--yes"]).ended(0);
        let count = "SELECT (SELECT count(*) FROM ship) || ' ' || (SELECT count(*) FROM seen)";
        assert_eq!(sqlite::ask(&file, count), "1 0");
        sqlite::execute(&file, "INSERT INTO ship (id, name) VALUES (2, 'b')");
        assert_eq!(sqlite::ask(&file, count), "2 1");
    }
}

/// Whatever a collation calls the same, and whatever a key is made of.
#[test]
fn values_are_compared_bit_by_bit_on_sqlite() {
    let port = sqlite::port();
    let file = port.machine.text("harbour.db");
    port.run(&["upgrade", "--to", "1.0.0", "--yes"]).ended(0);
    sqlite::execute(
        &file,
        "CREATE TABLE word (id blob PRIMARY KEY, word text COLLATE NOCASE, n integer);
         INSERT INTO word VALUES (x'ff00', 'a', 1), (x'fe', 'b', 1), ('text', 'c', 1);
         CREATE TABLE name (name text COLLATE NOCASE PRIMARY KEY, n integer); INSERT INTO name VALUES ('Anna', 1)",
    );
    let id = port.take(&[]);
    sqlite::execute(
        &file,
        "UPDATE word SET word = 'A' WHERE id = x'ff00'; DELETE FROM word WHERE id = x'fe'; UPDATE name SET name = 'ANNA'",
    );
    let restored = port.json(
        "sternway.snapshot.restored/1",
        &["snapshot", "restore", &id, "--then-carry", "--yes"],
    );
    let (word, name) = (of("word", &restored["carried"]), of("name", &restored["carried"]));
    let told = ["same", "inserted", "updated", "only_in_snapshot", "unfit"];
    assert_eq!(told.map(|it| number(&word, it)), [1, 0, 1, 1, 0], "{word}");
    assert_eq!(word["only_in_snapshot_keys"], serde_json::json!(["X'FE'"]));
    assert_eq!(sqlite::ask(&file, "SELECT word FROM word WHERE id = x'ff00'"), "A");
    // The schema holds one of the two, and that one stays.
    assert_eq!(told.map(|it| number(&name, it)), [0, 0, 0, 1, 1], "{name}");
    port.run(&["snapshot", "prune", "--databases", "--yes"]).ended(0);
}

#[test]
fn every_row_is_accounted_for_on_mariadb() {
    let Some(pair) = Pair::new(Kind::MariaDb, "rows that are carried over on MariaDB") else {
        return;
    };
    for seed in 1..=2 {
        let admin = RefCell::new(pair.admin());
        let place = Place::new(&pair, &mut admin.borrow_mut());
        let port = mariadb::port(&place);
        let run = |sql: &str| mariadb::write(&mut admin.borrow_mut(), &place, sql);
        port.run(&["upgrade", "--to", "1.0.0", "--yes"]).ended(0);
        run("CREATE TRIGGER loud BEFORE INSERT ON ship FOR EACH ROW SET NEW.name = UPPER(NEW.name);
             CREATE TRIGGER loud_too BEFORE UPDATE ON ship FOR EACH ROW SET NEW.name = UPPER(NEW.name)");
        let read = |table: &str| -> Rows {
            let (key, row) = key_and_row(table);
            let sql = format!("SELECT CONCAT({key}, '\t', {row}) FROM {table}");
            let lines = mariadb::read(&mut admin.borrow_mut(), &place, &sql);
            let pair = |it: String| it.split_once('\t').map(|(key, row)| (key.into(), row.into()));
            lines.into_iter().map(|it| pair(it).expect("a key and a row")).collect()
        };
        carried(&port, run, read, seed);
    }
}

/// Values of all kinds, by keys of all kinds; triggers, and what gives numbers.
#[test]
fn values_of_all_kinds_are_carried_over_on_mariadb() {
    let Some(pair) = Pair::new(Kind::MariaDb, "values that are carried over on MariaDB") else {
        return;
    };
    let admin = RefCell::new(pair.admin());
    let place = Place::new(&pair, &mut admin.borrow_mut());
    let port = mariadb::port(&place);
    let run = |sql: &str| mariadb::write(&mut admin.borrow_mut(), &place, sql);
    let rows = |sql: &str| mariadb::read(&mut admin.borrow_mut(), &place, sql);
    port.run(&["upgrade", "--to", "1.0.0", "--yes"]).ended(0);
    run("CREATE TABLE everything (id binary(4) PRIMARY KEY, b blob, t timestamp(3) NULL, d decimal(20,5), j json, n int,
            g int GENERATED ALWAYS AS (n + 1) STORED, s set('x','y'), e enum('é','f'), bits bit(5), f float, p point,
            l varchar(9) CHARACTER SET latin1, day date, touched timestamp NULL ON UPDATE CURRENT_TIMESTAMP);
         INSERT INTO everything (id, n) VALUES (x'01000000', 1), (x'02000000', 2), (x'03000000', 3);
         CREATE TABLE named (name varchar(9) PRIMARY KEY, n int); INSERT INTO named VALUES ('Anna', 1), ('Bert', 1);
         CREATE TABLE numbered (id bigint AUTO_INCREMENT PRIMARY KEY, n varchar(9)); INSERT INTO numbered VALUES (NULL, 'one');
         CREATE TABLE old (id int PRIMARY KEY) ENGINE = MyISAM; INSERT INTO old VALUES (1);
         CREATE TABLE worded (id int PRIMARY KEY, n int); INSERT INTO worded VALUES (1, 1), (2, 2), (3, 3);
         CREATE SEQUENCE counter; SELECT NEXTVAL(counter);
         CREATE TRIGGER loud BEFORE INSERT ON ship FOR EACH ROW SET NEW.name = UPPER(NEW.name)");
    let id = port.take(&[]);
    run("UPDATE everything SET b = x'00ff27', t = '2026-10-25 00:30:00.678', d = 1.50000, j = '{\"a\": 1}', n = 7,
            s = 'x,y', e = 'é', bits = b'10101', f = 16777217, p = POINT(1, 2), l = 'Bérta', day = '2026-01-02',
            touched = '2020-01-01' WHERE id = x'01000000';
         SET SESSION sql_mode = ''; UPDATE everything SET day = '0000-00-00' WHERE id = x'02000000'; SET SESSION sql_mode = DEFAULT;
         UPDATE named SET name = 'ANNA' WHERE name = 'Anna'; UPDATE named SET n = 2 WHERE name = 'Bert';
         INSERT INTO numbered VALUES (NULL, 'two'), (NULL, 'three'); DELETE FROM numbered WHERE id = 3;
         SET SESSION sql_mode = 'NO_AUTO_VALUE_ON_ZERO'; INSERT INTO numbered VALUES (0, 'zero'); SET SESSION sql_mode = DEFAULT;
         INSERT INTO old VALUES (2);
         ALTER TABLE worded MODIFY n varchar(9); UPDATE worded SET n = 'three' WHERE id = 3; UPDATE worded SET n = '22' WHERE id = 2;
         SELECT NEXTVAL(counter), NEXTVAL(counter); INSERT INTO ship (id, name) VALUES (1, 'anna'); UPDATE ship SET name = 'quiet'");
    let whole = "SELECT CONCAT_WS(' ', HEX(id), HEX(b), t, d, j, n, g, s, e, HEX(bits), f + 0e0, HEX(ST_AsText(p)), l, day,
        touched) FROM everything ORDER BY id";
    let since = rows(whole);
    let restored = port.json(
        "sternway.snapshot.restored/1",
        &["snapshot", "restore", &id, "--then-carry", "--yes"],
    );
    let told = |table: &str| {
        let row = of(table, &restored["carried"]);
        ["same", "inserted", "updated", "only_in_snapshot", "unfit"].map(|it| number(&row, it))
    };
    assert_eq!(rows(whole), since);
    assert_eq!(told("everything"), [1, 0, 2, 0, 0]);
    // The schema holds one of the two names that its collation calls the same, and that one stays.
    assert_eq!(told("named"), [0, 0, 1, 1, 1], "{}", restored["carried"]);
    assert_eq!(rows("SELECT name, n FROM named ORDER BY name"), ["Anna|1", "Bert|2"]);
    assert_eq!(told("numbered"), [1, 2, 0, 0, 0]);
    assert_eq!(told("worded"), [1, 0, 1, 0, 1]);
    assert_eq!(rows("SELECT n FROM worded ORDER BY id"), ["1", "22", "3"]);
    let old = of("old", &restored["carried"]);
    assert_eq!(told("old"), [1, 0, 0, 0, 1]);
    let reason = old["unfit_rows"][0]["reason"].as_str().expect("a reason");
    assert!(reason.contains("MyISAM, which has no transactions"), "{reason}");
    // Triggers did not run, and are there again; numbers go on.
    assert_eq!(rows("SELECT name FROM ship"), ["quiet"]);
    run("INSERT INTO numbered (n) VALUES ('next'); INSERT INTO ship (id, name) VALUES (2, 'loud')");
    assert_eq!(rows("SELECT max(id) FROM numbered"), ["4"]);
    assert_eq!(rows("SELECT NEXTVAL(counter) >= 4"), ["1"]);
    assert_eq!(rows("SELECT name FROM ship WHERE id = 2"), ["LOUD"]);
    // Killed anywhere, and called again: triggers are there, and everything is carried over.
    run("INSERT INTO numbered (n) VALUES ('since'); UPDATE ship SET name = 'since'");
    port.run(&["snapshot", "restore", &id, "--yes"]).ended(0);
    let carry = ["snapshot", "carry", "--yes"];
    killed_everywhere(&port, &carry, |point| {
        port.take(&[]);
        let triggers = rows(
            "SELECT count(*) FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = DATABASE()",
        );
        assert_eq!(triggers, ["1"], "{point}");
    });
    assert_eq!(rows("SELECT name FROM ship WHERE id = 2"), ["since"]);
    // Whoever is connected would write past the triggers.
    admin.borrow_mut().rows(&place, "SELECT 1");
    port.run(&carry).ended(3).explains(&["others are connected", "then `sternway snapshot carry"]);
    run("DROP TRIGGER loud");
    admin.borrow_mut().rows(&place, "SELECT 1");
    port.run(&carry).ended(0);
    run("SELECT 1");
    port.run(&["snapshot", "prune", "--databases", "--yes"]).ended(0);
    port.run(&[&carry[..], &["--out-of", "nowhere"]].concat()).ended(1).explains(&["nowhere"]);
}

/// Killed before it is committed, nothing is carried over, and `carry` does it.
#[test]
fn carrying_that_is_killed_is_made_up_for() {
    let Some((server, port)) = postgres::port("cut") else { return };
    port.run(&["upgrade", "--to", "1.0.0", "--yes"]).ended(0);
    let id = port.take(&[]);
    execute(&server.url, "INSERT INTO ship (id, name) VALUES (1, 'since')");
    let count = || ask(&server.url, "SELECT count(*)::text FROM ship");
    let mut command = port.command(&["snapshot", "restore", &id, "--then-carry", "--yes"]);
    command.env("FAILPOINTS", "carry.ended");
    assert!(crate::support::Run::of(command).stderr.contains("killed at carry.ended"));
    assert_eq!(count(), "0");
    port.run(&["snapshot", "carry", "--yes"]).ended(0).says(&["public.ship", "INSERTED"]);
    assert_eq!(count(), "1");
    port.run(&["snapshot", "prune", "--databases", "--yes"]).ended(0);
    port.run(&["snapshot", "carry", "--yes"]).ended(2).explains(&["no database was swapped out"]);
}
