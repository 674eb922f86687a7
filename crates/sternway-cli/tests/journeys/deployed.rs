//! `[deploy.commands]` at work: the application is stopped, swapped and started around the schema by
//! scripts that write down what was asked of them.

#![cfg(unix)]

use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::support::{Machine, Run, Server, ask, execute, settings};

const COMMANDS: &str = r#"
[deploy.commands]
stop = "./app stop"
swap = "./app swap {version}"
start = "./app start {version}"
ready = "./app ready"
version = "cat installed 2>/dev/null || true"
"#;

/// The application: one line a command in `log`; what is in `refuse` it
/// does not do, and at what is in `hang` it stays.
const APP: &str = r#"#!/bin/sh
echo "$*" >>log
if grep -qx "$*" refuse 2>/dev/null; then echo "no $1 today" >&2; exit 1; fi
if grep -qx "$*" hang 2>/dev/null; then echo $$ >hangs; sleep 60; fi
case $1 in
stop) rm -f runs ;;
swap) echo "$2" >installed ;;
start) [ "$(cat installed)" = "$2" ] && touch runs ;;
ready) [ -f runs ] ;;
esac
"#;

struct Shop {
    machine: Machine,
    server: Server,
}

impl Shop {
    /// A shop without anything in its database; `None` where there is no server.
    fn new(test: &str) -> Option<Shop> {
        let server = Server::new(test)?;
        let machine = Machine::empty();
        machine.write("sternway.toml", &(settings("shop", "m") + COMMANDS));
        machine.write("app", APP);
        let done = std::process::Command::new("chmod").arg("+x").arg(machine.path("app")).status();
        assert!(done.expect("chmod").success());
        for release in ["1.0.0", "1.1.0"] {
            let at = |file: &str| format!("releases/v{release}/m/{file}");
            machine.write(&at("1_item.up.sql"), "CREATE TABLE item (id int PRIMARY KEY);");
            machine.write(&at("1_item.down.sql"), "DROP TABLE item;");
        }
        let at = |file: &str| format!("releases/v1.1.0/m/{file}");
        machine.write(&at("2_price.up.sql"), "ALTER TABLE item ADD COLUMN price int;");
        machine.write(&at("2_price.down.sql"), "ALTER TABLE item DROP COLUMN price;");
        Some(Shop { machine, server })
    }

    /// A shop that runs release 1.1.0, with two items.
    fn open(test: &str) -> Option<Shop> {
        let shop = Shop::new(test)?;
        shop.on(&["upgrade", "--to", "1.1.0", "--yes"]).ended(0);
        execute(&shop.server.url, "INSERT INTO item VALUES (1, 7), (2, NULL)");
        shop.machine.write("log", "");
        Some(shop)
    }

    #[track_caller]
    fn on(&self, arguments: &[&str]) -> Run {
        self.machine.on(&self.server.url, arguments)
    }

    fn log(&self) -> Vec<String> {
        let log = self.machine.read("log").lines().map(str::to_owned).collect();
        self.machine.write("log", "");
        log
    }

    /// That the application runs this release, on its schema, with all that was in it.
    #[track_caller]
    fn runs(&self, release: &str) {
        assert_eq!(self.machine.read("installed").trim(), release);
        assert!(self.machine.path("runs").exists(), "{release} does not run");
        let (version, rows) = match release {
            "1.0.0" => ("1 false", "1:,2:"),
            _ => ("2 false", "1:7,2:"),
        };
        let row = "SELECT version || ' ' || dirty FROM schema_migrations";
        assert_eq!(ask(&self.server.url, row), version);
        let items = "SELECT string_agg(id || ':' || coalesce(to_jsonb(item)->>'price', ''), ',' ORDER BY id) FROM item";
        assert_eq!(ask(&self.server.url, items), rows);
    }

    /// Starts a run, and kills it, and what it had asked for, while it waits for that.
    fn killed_at(&self, command: &str, arguments: &[&str]) {
        self.machine.write("hang", &format!("{command}\n"));
        let mut program = self.machine.command(arguments);
        program.env("STERNWAY_DATABASE", &self.server.url);
        let mut child =
            program.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the program");
        let start = Instant::now();
        while !self.machine.path("hangs").exists() {
            assert!(start.elapsed() < Duration::from_secs(60), "`{command}` is never asked for");
            std::thread::sleep(Duration::from_millis(20));
        }
        child.kill().expect("a kill");
        child.wait().expect("an end");
        let group = self.machine.read("hangs").trim().to_owned();
        let _ = std::process::Command::new("kill").args(["-9", &group]).status();
        std::fs::remove_file(self.machine.path("hangs")).expect("a file");
        std::fs::remove_file(self.machine.path("hang")).expect("a file");
    }
}

/// Where lines are in a text, in the order in which they are asked for.
#[track_caller]
fn order(text: &str, lines: &[&str]) {
    let mut rest = text;
    for line in lines {
        let at = rest.find(line).unwrap_or_else(|| panic!("`{line}` is not next in {text}"));
        rest = &rest[at + line.len()..];
    }
}

const BACK: [&str; 4] = ["stop", "swap 1.0.0", "start 1.0.0", "ready"];

#[test]
fn a_journey_goes_round_the_application_in_order() {
    let Some(shop) = Shop::new("deployed_journey") else { return };
    // Nothing is there to be stopped.
    let plan = shop.on(&["plan", "--to", "1.1.0"]).ended(0).quiet();
    plan.says(&["app: put 1.1.0 in place", "app: start 1.1.0, wait until ready"]);
    shop.on(&["upgrade", "--to", "1.1.0", "--yes"]).ended(0).quiet();
    assert_eq!(shop.log(), ["swap 1.1.0", "start 1.1.0", "ready"]);
    execute(&shop.server.url, "INSERT INTO item VALUES (1, 7), (2, NULL)");
    shop.runs("1.1.0");
    let back = shop.on(&["rollback", "--to", "1.0.0", "--yes"]).ended(0).quiet();
    let done = [
        "app: stop (",
        "] core: 2_price.down.sql (",
        "app: swap 1.1.0 for 1.0.0 (",
        "app: start 1.0.0 (",
        "the application was away for ",
    ];
    order(&back.stdout, &done);
    assert_eq!(shop.log(), BACK);
    shop.runs("1.0.0");
    shop.on(&["upgrade", "--to", "1.1.0", "--yes"]).ended(0).quiet();
    assert_eq!(shop.log(), ["stop", "swap 1.1.0", "start 1.1.0", "ready"]);
    shop.runs("1.1.0");
}

#[test]
fn a_first_install_that_fails_leaves_nothing() {
    let Some(shop) = Shop::new("deployed_first") else { return };
    shop.machine.write("refuse", "start 1.1.0\n");
    shop.on(&["upgrade", "--to", "1.1.0", "--yes"]).ended(1).explains(&["no start today"]);
    assert_eq!(shop.log(), ["swap 1.1.0", "start 1.1.0", "stop"]);
    assert_eq!(ask(&shop.server.url, "SELECT coalesce(to_regclass('item')::text, 'none')"), "none");
    std::fs::remove_file(shop.machine.path("refuse")).expect("a file");
}

#[test]
fn a_swap_or_start_that_fails_takes_application_and_schema_back() {
    let Some(shop) = Shop::open("deployed_fails") else { return };
    shop.machine.write("refuse", "start 1.0.0\n");
    let failed = shop.on(&["rollback", "--to", "1.0.0", "--yes"]).ended(1);
    failed.explains(&["no start today"]);
    assert_eq!(
        shop.log(),
        ["stop", "swap 1.0.0", "start 1.0.0", "stop", "swap 1.1.0", "start 1.1.0", "ready"]
    );
    shop.runs("1.1.0");
    shop.machine.write("refuse", "swap 1.0.0\n");
    shop.on(&["rollback", "--to", "1.0.0", "--yes"]).ended(1).explains(&["no swap today"]);
    shop.runs("1.1.0");
    shop.log();
    // One that cannot be stopped is started again: a part of it may have stopped.
    shop.machine.write("refuse", "stop\n");
    shop.on(&["rollback", "--to", "1.0.0", "--yes"]).ended(1).explains(&["no stop today"]);
    assert_eq!(shop.log(), ["stop", "start 1.1.0", "ready"]);
    shop.runs("1.1.0");
    shop.machine.write("refuse", "");
    shop.on(&["rollback", "--to", "1.0.0", "--yes"]).ended(0);
    shop.runs("1.0.0");
}

#[test]
fn a_run_that_is_killed_at_the_application_is_finished_or_taken_back() {
    let Some(shop) = Shop::open("deployed_killed") else { return };
    let rollback = ["rollback", "--to", "1.0.0", "--yes"];
    for at in ["stop", "swap 1.0.0", "start 1.0.0"] {
        shop.killed_at(at, &rollback);
        shop.on(&["resume", "--yes", "--end-orphans"]).ended(0);
        shop.runs("1.0.0");
        shop.on(&["upgrade", "--to", "1.1.0", "--yes"]).ended(0);
        shop.runs("1.1.0");
        shop.killed_at(at, &rollback);
        shop.on(&["abort", "--yes", "--end-orphans"]).ended(0);
        shop.runs("1.1.0");
    }
}
