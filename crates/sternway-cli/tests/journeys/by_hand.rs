//! The runbook: its blocks are taken out of the page and typed, with the real golang-migrate and the
//! databases' own clients. The end is the one that the program reaches by itself.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use crate::both::server::Kind;
use crate::both::{Pair, Place};
use crate::support::{Machine, Run, Server, ask, execute, script, skip, variable};

/// Types a script in a folder of the machine, with what its variables ask for.
#[track_caller]
fn typed(machine: &Machine, script: &str, variables: &[(&str, &str)]) {
    fs::create_dir_all(machine.path("hand")).expect("a folder");
    fs::write(machine.path("hand/script"), script).expect("a file");
    let migrate = std::env::var("STERNWAY_TEST_MIGRATE").expect("golang-migrate");
    let folder = std::path::Path::new(&migrate).parent().expect("a folder").to_owned();
    let mut bash: Command = machine.program("bash".as_ref());
    let path = std::env::var("PATH").unwrap_or_default();
    bash.arg("script")
        .current_dir(machine.path("hand"))
        .env("PATH", format!("{}:{path}", folder.display()));
    bash.envs(variables.iter().copied());
    let output = bash.output().expect("bash");
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{script}\n--- out\n{out}\n--- err\n{err}");
}

fn has_migrate(test: &str) -> bool {
    variable("STERNWAY_TEST_MIGRATE", test).is_some()
}

/// What a schema of PostgreSQL is, without Sternway's own.
fn schema_of(machine: &Machine, url: &str) -> String {
    let mut dump = machine.program("pg_dump".as_ref());
    dump.args(["--schema-only", "--no-owner", "--exclude-schema=sternway", "--dbname", url]);
    let output = dump.output().expect("pg_dump");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("text");
    // A key of this run.
    let lines =
        text.lines().filter(|it| !it.starts_with("\\restrict") && !it.starts_with("\\unrestrict"));
    lines.collect::<Vec<_>>().join("\n")
}

const ROWS: &str = "SELECT string_agg(version || ' ' || dirty, ',') FROM schema_migrations";

/// Every way back between kagent's releases: 91 pairs.
#[test]
fn every_pair_of_kagent() {
    let Some(clone) = variable("STERNWAY_KAGENT_REPO", "runbooks of kagent") else { return };
    if !has_migrate("runbooks of kagent") {
        return;
    }
    let Some(server) = Server::new("by_hand_kagent") else { return };
    let machine = Machine::empty();
    let settings = ["--profile", "kagent", "--source", &clone];
    let mut releases: Vec<String> = (0..=12).map(|patch| format!("0.9.{patch}")).collect();
    releases.push("0.10.0-rc3".to_owned());
    let on = |arguments: &[&str]| machine.on(&server.url, &[arguments, &settings].concat());
    // What the program makes of each way between two positions.
    let mut made: BTreeMap<(String, String), (String, String)> = BTreeMap::new();
    let mut pairs = 0;
    for newer in 1..releases.len() {
        for older in 0..newer {
            let (from, to) = (&releases[newer], &releases[older]);
            on(&["upgrade", "--to", from, "--no-deploy", "--yes"]).ended(0);
            execute(&server.url, "DROP SCHEMA IF EXISTS sternway CASCADE");
            let page =
                [&["runbook", "--from", from, "--to", to, "--format", "markdown"], &settings[..]]
                    .concat();
            let page = machine.run(&page).ended(0).stdout;
            let began = ask(&server.url, ROWS);
            // The application's part has a test of its own, on a cluster.
            let script = without_the_cluster(&script(&page, "Way 1"));
            typed(&machine, &script, &[("DATABASE_URL", &server.url)]);
            let by_hand = (ask(&server.url, ROWS), schema_of(&machine, &server.url));
            let key = (began, by_hand.0.clone());
            if !made.contains_key(&key) {
                on(&["upgrade", "--to", from, "--no-deploy", "--yes"]).ended(0);
                on(&["rollback", "--from", from, "--to", to, "--no-deploy", "--yes"]).ended(0);
                let by_program = (ask(&server.url, ROWS), schema_of(&machine, &server.url));
                made.insert(key.clone(), by_program);
            }
            assert_eq!(by_hand, made[&key], "{from} to {to}");
            pairs += 1;
        }
    }
    assert_eq!(pairs, 91);
}

/// The steps of a script that are not the application's.
fn without_the_cluster(script: &str) -> String {
    let is_away =
        |line: &&str| !["kubectl", "helm", "umask", "values-"].iter().any(|it| line.contains(it));
    script.lines().filter(is_away).collect::<Vec<_>>().join("\n") + "\n"
}

/// The example of kagent's upgrade page, to the word.
#[test]
fn the_page_of_kagent_has_nothing_left_to_look_up() {
    let Some(clone) = variable("STERNWAY_KAGENT_REPO", "the runbook of 0.9.9 to 0.9.3") else {
        return;
    };
    let machine = Machine::empty();
    let page =
        ["runbook", "--profile", "kagent", "--source", &clone, "--from", "0.9.9", "--to", "0.9.3"];
    let text = machine.run(&page).ended(0).stdout;
    for part in [
        "--branch v0.9.9",
        "source-v0.9.9/go/core/pkg/migrations/core",
        "x-migrations-table=schema_migrations",
        "goto 4",
        "000004_",
        "Track vector does not move",
        "scale deployment/kagent-controller --replicas=0",
        "sslmode=disable where the server has no TLS",
        "helm upgrade kagent oci://ghcr.io/kagent-dev/kagent/helm/kagent --version 0.9.3",
        "Way 2: to a dump",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let (app, kinds) = (
        text.find("helm upgrade kagent ").expect("a chart"),
        text.find("helm upgrade kagent-crds").expect("a chart"),
    );
    assert!(app < kinds, "{text}");
    let html = machine.run(&[&page[..], &["--format", "html"]].concat()).ended(0).stdout;
    assert!(html.starts_with("<!doctype html>") && !html.contains("<script"), "{html}");
}

#[test]
fn both_ways_on_postgresql() {
    if !has_migrate("the runbook on PostgreSQL") {
        return;
    }
    let Some(server) = Server::new("by_hand") else { return };
    let machine = Machine::with_core();
    let on = |arguments: &[&str]| machine.on(&server.url, arguments);
    on(&["upgrade", "--to", "1.1.2", "--yes"]).ended(0);
    execute(
        &server.url,
        "INSERT INTO ship (imo_number, name, operator, length_m) SELECT 9000000 + n, 'ship ' || n, 'us', 90 FROM generate_series(1, 7) n",
    );
    let mut dump = machine.program("pg_dump".as_ref());
    dump.args(["--format=custom", "--dbname", &server.url, "--file"]).arg(machine.path("before"));
    assert!(dump.status().expect("pg_dump").success());
    on(&["upgrade", "--to", "1.2.1", "--yes"]).ended(0);
    let page = on(&["runbook", "--from", "1.2.1", "--to", "1.1.2", "--format", "markdown"])
        .ended(0)
        .stdout;
    // What is lost is told in numbers where the database is looked at.
    assert!(page.contains("What is lost this way"), "{page}");
    typed(&machine, &script(&page, "Way 1"), &[("DATABASE_URL", &server.url)]);
    let by_hand = (ask(&server.url, ROWS), schema_of(&machine, &server.url));
    on(&["upgrade", "--to", "1.2.1", "--yes"]).ended(0);
    on(&["rollback", "--to", "1.1.2", "--yes"]).ended(0);
    assert_eq!(by_hand, (ask(&server.url, ROWS), schema_of(&machine, &server.url)));
    // To the dump, by somebody who may make databases.
    on(&["upgrade", "--to", "1.2.1", "--yes"]).ended(0);
    let admin = server.as_admin();
    let other = format!("{}_restored", server.name);
    let variables = [
        ("DATABASE_URL", admin.clone()),
        ("RESTORED_URL", admin.replace(&format!("/{}?", server.name), &format!("/{other}?"))),
        ("SERVER_URL", admin.replace(&format!("/{}?", server.name), "/postgres?")),
        ("DATABASE", server.name.clone()),
        ("RESTORED", other),
        ("DUMP", machine.text("before")),
    ];
    let variables: Vec<(&str, &str)> =
        variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    typed(&machine, &script(&page, "Way 2"), &variables);
    assert_eq!(ask(&admin, ROWS), by_hand.0);
    assert_eq!(ask(&admin, "SELECT count(*)::text FROM ship"), "7");
    execute(variables[2].1, &format!("DROP DATABASE \"{} before\"", server.name));
}

/// An application whose down file leaves something out and drops what others need: the page says other words.
fn fitted(machine: &Machine) {
    let files: [(&str, &[&str], &str); 4] = [
        (
            "1_item.up.sql",
            &["1.0.0", "1.1.0"],
            "CREATE TABLE item (id integer PRIMARY KEY, name varchar(20));",
        ),
        ("1_item.down.sql", &["1.0.0", "1.1.0"], "DROP TABLE item;"),
        (
            "2_price.up.sql",
            &["1.1.0"],
            "ALTER TABLE item ADD COLUMN price integer;\nCREATE INDEX item_by_name ON item (name);",
        ),
        (
            "2_price.down.sql",
            &["1.1.0"],
            "DROP INDEX item_by_name;\nALTER TABLE item DROP COLUMN price;",
        ),
    ];
    for (file, releases, body) in files {
        for release in releases {
            machine.write(&format!("releases/{release}/m/{file}"), body);
        }
    }
}

#[test]
fn it_is_typed_on_mariadb() {
    let test = "the runbook on MariaDB";
    let Some(pair) = Pair::new(Kind::MariaDb, test) else { return };
    if !has_migrate(test) {
        return;
    }
    let mut admin = pair.admin();
    let place = Place::new(&pair, &mut admin);
    let machine = Machine::of("shop", "m");
    fitted(&machine);
    // MySQL drops an index of a table.
    machine.write(
        "releases/1.1.0/m/2_price.down.sql",
        "DROP INDEX item_by_name ON item;\nALTER TABLE item DROP COLUMN price;",
    );
    let url = place.url("");
    let on = |arguments: &[&str]| {
        let mut command = machine.command(arguments);
        command.env("STERNWAY_DATABASE", &url).env("STERNWAY_REHEARSAL", &url);
        Run::of(command)
    };
    on(&["upgrade", "--to", "1.1.0", "--yes"]).ended(0);
    let page = on(&["runbook", "--from", "1.1.0", "--to", "1.0.0", "--format", "markdown"])
        .ended(0)
        .stdout;
    let server = pair.admin.clone().expect("a server");
    let (user, rest) =
        server.split_once("://").and_then(|(_, it)| it.split_once('@')).expect("a user");
    let (user, password) = user.split_once(':').unwrap_or((user, ""));
    let port: String =
        rest.rsplit_once(':').expect("a port").1.chars().take_while(char::is_ascii_digit).collect();
    let options = format!("--host=127.0.0.1 --port={port} --user={user}");
    let password = if password.is_empty() { "none" } else { password };
    typed(
        &machine,
        &script(&page, "Way 1"),
        &[
            ("DATABASE_URL", &url),
            ("MYSQL_PWD", password),
            ("MYSQL_OPTIONS", &options),
            ("DATABASE", &place.name),
        ],
    );
    on(&["status", "--from", "1.0.0"]).ended(0);
    assert_eq!(admin.rows(&place, "SELECT CONCAT(version, '') FROM schema_migrations"), ["1"]);
}

#[test]
fn it_is_typed_on_sqlite() {
    let test = "the runbook on SQLite";
    if !has_migrate(test) {
        return;
    }
    if Command::new("sqlite3").arg("--version").output().is_err() {
        return skip(test, "sqlite3 is not installed");
    }
    let machine = Machine::of("shop", "m");
    fitted(&machine);
    let url = format!("sqlite://{}", machine.text("shop.db"));
    machine.on(&url, &["upgrade", "--to", "1.1.0", "--yes"]).ended(0);
    let page = machine
        .on(&url, &["runbook", "--from", "1.1.0", "--to", "1.0.0", "--format", "markdown"])
        .ended(0)
        .stdout;
    typed(&machine, &script(&page, "Way 1"), &[("DATABASE_FILE", &machine.text("shop.db"))]);
    machine.on(&url, &["status", "--from", "1.0.0"]).ended(0);
}
