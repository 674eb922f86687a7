//! `--then-carry`: every row of either database is accounted for. What it should come to is found out by SQL of our
//! own, on both databases.

use std::collections::BTreeMap;

use sternway_testing::Random;

use super::{Port, postgres, sqlite};
use crate::support::{ask, execute};

/// Tables with keys of one and of two columns, one that refers to itself and another one, a trigger that would change
/// what it sees, a computed column, and a unique value that only some have.
const SCHEMA: &str = "
CREATE TABLE port (id integer PRIMARY KEY, parent integer REFERENCES port (id), code varchar(20) UNIQUE, size integer);
CREATE TABLE visit (port integer REFERENCES port (id), day integer, note varchar(40),
    twice integer GENERATED ALWAYS AS (day * 2) STORED, PRIMARY KEY (port, day));
CREATE TABLE scribble (words varchar(40));";

/// Writes at random, as an application would; returns the statements.
fn writes(random: &mut Random, number: usize) -> Vec<String> {
    let mut statements = Vec::new();
    for _ in 0..number {
        let (id, other, day) = (random.below(60), random.below(60), random.below(9));
        statements.push(match random.below(7) {
            0 | 1 => format!("INSERT INTO port SELECT {id}, (SELECT max(id) FROM port WHERE id = {other}), 'code {other}', {day}
                 WHERE NOT EXISTS (SELECT 1 FROM port WHERE id = {id} OR code = 'code {other}')"),
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
    let of = |table: &str, shape: &serde_json::Value| {
        let plain = |it: &serde_json::Value| {
            it["table"]
                .as_str()
                .expect("a name")
                .rsplit('.')
                .next()
                .map(|it| it.trim_matches('"').to_owned())
        };
        let mut found = shape
            .as_array()
            .expect("tables")
            .iter()
            .filter(|it| plain(it).as_deref() == Some(table));
        found.next().unwrap_or_else(|| panic!("no {table}: {shape}")).clone()
    };
    let number = |row: &serde_json::Value, name: &str| row[name].as_u64().expect("a number");
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
