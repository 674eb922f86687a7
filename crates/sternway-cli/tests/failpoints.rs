//! The program killed at every named point of a journey, and at every point of what makes up for it.
//! Only in a build with the feature `failpoints`.

#![cfg(all(feature = "failpoints", feature = "embedded", unix))]

mod support;

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;

use sternway_database::failpoint::Point;
use support::{Machine, Run, Server};

const SETTINGS: &str = "[app]\nname = \"ships\"\nsource = \"dir:releases\"\n
[[track]]\nname = \"core\"\npath = \"db\"\ntable = \"schema_migrations\"\n";

fn machine(alone: &str) -> Machine {
    let machine = Machine::empty();
    machine.write("sternway.toml", SETTINGS);
    let body = format!(
        "CREATE TABLE log (n integer); {alone}; INSERT INTO log VALUES (1);
         BEGIN; INSERT INTO log VALUES (2); COMMIT"
    );
    for (file, from, body) in [
        ("1_ship.up.sql", 0, "CREATE TABLE ship (id integer PRIMARY KEY, name text)"),
        ("1_ship.down.sql", 0, "DROP TABLE ship"),
        ("2_flag.up.sql", 1, "ALTER TABLE ship ADD COLUMN flag text"),
        ("2_flag.down.sql", 1, "ALTER TABLE ship DROP COLUMN flag"),
        ("3_log.up.sql", 1, &body),
        ("3_log.down.sql", 1, "DROP TABLE log"),
    ] {
        for release in &["1.0.0", "1.1.0"][from..] {
            machine.write(&format!("releases/{release}/db/{file}"), body);
        }
    }
    machine
}

/// Kills both ways of the journey at each point, as often as it is come by.
fn killed_everywhere(machine: &Machine, url: &str) {
    let run = |arguments: &[&str], points: &str| {
        let mut command = machine.command(&[arguments, &["--yes"]].concat());
        command.env("STERNWAY_DATABASE", url).env("FAILPOINTS", points);
        let output = command.output().expect("the program");
        let killed = output.status.signal().is_some();
        (killed, Run::ended_as(format!("{command:?}, {points}"), &output))
    };
    let unfinished = || {
        let status = machine.on(url, &["status", "--output", "json"]).ended(0);
        let status = status.json("sternway.status/1");
        assert_eq!(status["comparison"]["drift"], serde_json::json!([]));
        let going_back = status["unfinished"]["progress"]["progress"] == "aborting";
        (!status["unfinished"].is_null()).then_some(going_back)
    };
    run(&["upgrade", "--to", "1.0.0"], "").1.ended(0);
    let mut kills: BTreeMap<&str, usize> = BTreeMap::new();
    let journeys = [["upgrade", "1.0.0", "1.1.0"], ["rollback", "1.1.0", "1.0.0"]];
    for point in Point::ALL {
        // What settles comes by only after a kill that leaves a statement in doubt.
        let settles = matches!(point, Point::Settling | Point::Settled);
        let most = if settles { 2 } else { 1000 };
        for [way, from, to] in journeys {
            for hit in 1..=most {
                // From where the journey starts, wherever the last one ended.
                for way in ["rollback", "upgrade"] {
                    let _ = run(&[way, "--to", from], "");
                }
                let points = match hit {
                    1 => format!("{}=return", point.name()),
                    _ if settles => format!("{}=return", point.name()),
                    _ => format!("{}={}*off->return", point.name(), hit - 1),
                };
                let points = match settles {
                    true => format!("statement.noted=return;{points}"),
                    false => points,
                };
                let (killed, ended) = run(&[way, "--to", to], &points);
                if !killed {
                    ended.ended(0);
                    break;
                }
                if !settles {
                    *kills.entry(point.name()).or_default() += 1;
                }
                let mut points = points;
                // The status of a dirty track is no success, and the run is unfinished then.
                for _ in 0..3 {
                    let history = machine.on(url, &["history"]).ended(0).stdout;
                    let last = history.lines().nth(1).unwrap_or_default().to_owned();
                    let going_back = last.contains("being taken back");
                    let over =
                        last.ends_with("finished") || (last.ends_with("taken back") && !going_back);
                    if over || history.contains("has not run") {
                        break;
                    }
                    let back = going_back || hit % 2 == 0;
                    let (killed, ended) = run(&[if back { "abort" } else { "resume" }], &points);
                    if killed {
                        *kills.entry(point.name()).or_default() += 1;
                    } else {
                        ended.ended(0);
                    }
                    points.clear();
                }
                assert_eq!(unfinished(), None, "{point:?}, {hit}");
            }
        }
    }
    let total: usize = kills.values().sum();
    println!("{total} kills: {kills:?}");
    let never: Vec<&str> =
        Point::ALL.map(Point::name).into_iter().filter(|it| !kills.contains_key(it)).collect();
    // No application is moved here; nothing of it is in doubt in every build.
    let expected = ["app.begins", "app.ended"];
    assert!(never.iter().all(|it| expected.contains(it)), "never come by: {never:?}");
}

#[test]
fn killed_at_every_point_on_postgresql() {
    let Some(server) = Server::new("failpoints") else { return };
    let machine = machine(
        "CREATE INDEX CONCURRENTLY ship_name ON ship (name); DROP INDEX CONCURRENTLY ship_name",
    );
    killed_everywhere(&machine, &server.url);
}

#[test]
fn killed_at_every_point_on_sqlite() {
    let machine = machine("VACUUM");
    let url = format!("sqlite://{}", machine.text("ships.db"));
    killed_everywhere(&machine, &url);
}
