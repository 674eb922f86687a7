//! Whole journeys, through the program and nothing else.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::{self, APP, CORE, Machine, Run, SEARCH, SECRET, Server};

#[test]
fn a_clean_install_goes_up_and_comes_back() {
    let machine = Machine::new();
    let url = machine.embedded();
    let on = |arguments: &[&str]| machine.on(&url, arguments).ended(0);
    on(&["upgrade", "--to", "1.0.0", "--yes"]).quiet().says(&[
        "now: nothing installed",
        "upgraded to 1.0.0; the schema is that of a clean install of core 2",
    ]);
    on(&["status"]).quiet().says(&["schema: of 2 releases, 1.0.0 to 1.0.1", "drift: none"]);
    on(&["plan", "--to", "1.2.1", "--from", "1.0.0", "--out", "plan.json", "--sql"])
        .explains(&["written to plan.json; `sternway apply plan.json` executes it"])
        .says(&["hop 2 of 2: to 1.2.1", "-- core: 000003_port_call_priority.up.sql"]);
    on(&["apply", "plan.json", "--yes"]).quiet().says(&["[10/10] search", "ok 1.1.2", "ok 1.2.1"]);
    on(&["rollback", "--to", "1.0.3", "--from", "1.2.1", "--yes"])
        .quiet()
        .says(&["(from the database's records;", "rolled back to 1.0.3"]);
    on(&["history"]).quiet().says(&[
        "upgrade to 1.0.0",
        "upgrade 1.0.0 -> 1.2.1",
        "rollback 1.2.1 -> 1.0.3",
    ]);
    on(&["status", "--from", "1.0.3"]).quiet().says(&[
        "schema: of 1.0.3",
        "application: 1.0.3; it runs on this schema",
        "records: 12 migrations; the last run arrived at 1.0.3",
    ]);
}

#[test]
fn every_command_speaks_to_machines_in_one_document() {
    let machine = Machine::new();
    let url = machine.embedded();
    let on = |arguments: &[&str], format: &str| {
        let arguments = [arguments, &["--output", "json"]].concat();
        machine.on(&url, &arguments).ended(0).quiet().json(format)
    };
    let run = on(&["upgrade", "--to", "1.1.2", "--yes"], "sternway.run/1");
    assert_eq!(run["outcome"], "arrived");
    assert_eq!(run["plan"]["target"], "1.1.2");
    assert_eq!(run["proofs"][0]["drift"], serde_json::json!([]));
    let plan = on(&["plan", "--to", "1.0.3"], "sternway.plan/4");
    assert_eq!(plan["course"], "rollback");
    let releases = on(&["releases"], "sternway.releases/1");
    assert_eq!(releases["releases"][1]["schema_of"], "1.0.0");
    let status = on(&["status"], "sternway.status/1");
    assert_eq!(status["releases"], serde_json::json!(["1.1.2"]));
    let stable = on(&["releases", "--stable"], "sternway.releases/1");
    assert_eq!(stable["releases"].as_array().map(Vec::len), Some(9));
    let history = on(&["history"], "sternway.history/1");
    assert_eq!(history["runs"][0]["progress"]["progress"], "finished");
    let run = machine.on(&url, &["plan", "--to", "9.9.9", "--output", "json"]).ended(2);
    let failure = run.failure();
    assert_eq!(failure["causes"][0], "release 9.9.9 is not in the catalog");
    assert_eq!(failure["exit"], 2);
}

#[test]
fn the_way_back_needs_no_source() {
    let machine = Machine::new();
    let url = machine.installed("1.2.1");
    std::fs::remove_dir_all(machine.path("app")).expect("a folder");
    let rollback = ["rollback", "--to", "1.1.2", "--yes"];
    machine.on(&url, &rollback).ended(1).explains(&["/app` does not exist"]);
    let offline = [&rollback[..], &["--offline"]].concat();
    machine.on(&url, &offline).ended(0).quiet().says(&["rolled back to 1.1.2; the schema is that"]);
    machine.on(&url, &["releases", "--offline"]).ended(0).says(&["1.1.2"]);
}

#[test]
fn the_same_facts_give_the_same_bytes() {
    let machine = Machine::new();
    let url = machine.installed("1.2.1");
    for output in ["text", "json"] {
        let arguments = ["plan", "--to", "1.0.0", "--output", output];
        let plan = || machine.on(&url, &arguments).ended(0).stdout;
        assert_eq!(plan(), plan());
    }
    machine.on(&url, &["plan", "--to", "1.0.0", "--out", "one.json"]).ended(0);
    let printed = machine.on(&url, &["plan", "--to", "1.0.0", "--output", "json"]).ended(0).stdout;
    assert_eq!(machine.read("one.json"), printed);
}

#[test]
fn going_to_where_one_is_changes_nothing() {
    let machine = Machine::new();
    let url = machine.installed("1.0.3");
    let run = machine.on(&url, &["upgrade", "--to", "1.0.3", "--yes"]).ended(0);
    run.says(&["schema: no change", "ok 1.0.3: the schema is proved"]);
    let plan = machine.on(&url, &["plan", "--to", "1.0.3", "--output", "json"]).ended(0);
    let plan = plan.json("sternway.plan/4");
    assert_eq!(plan["hops"][0]["steps"], serde_json::json!([{ "kind": "prove" }]));
}

#[test]
fn a_schema_that_may_stay_ahead_stays_unless_told() {
    let machine = Machine::with_core();
    let policy = "[policy]\nwindow = \"minor\"\nahead_ok_since = \"1.0.0\"\n";
    machine.write("sternway.toml", &format!("{APP}{CORE}{policy}"));
    let url = machine.installed("1.1.2");
    let plan = ["plan", "--to", "1.0.3", "--from", "1.1.2"];
    let run = machine.on(&url, &plan).ended(0);
    run.says(&["schema: no change", "note: track `core` stays at 7, ahead of the target's 4"]);
    let reset = [&plan[..], &["--reset-schema"]].concat();
    machine.on(&url, &reset).ended(0).says(&["core 7 -> 6: 000007_port_call_arrival_idx.down.sql"]);
    let strict = [&plan[..], &["--window", "none"]].concat();
    machine
        .on(&url, &strict)
        .ended(0)
        .says(&["core 7 -> 6: 000007_port_call_arrival_idx.down.sql"]);
}

#[test]
fn a_track_can_be_switched() {
    let machine = Machine::new();
    let auto = format!("{APP}{CORE}{SEARCH}enabled = \"auto\"\n");
    machine.write("sternway.toml", &auto);
    let plan = |more: &[&str]| {
        let arguments = [&["plan", "--from", "1.2.1", "--to", "1.0.3"], more].concat();
        machine.run(&arguments).ended(0).stdout
    };
    assert!(plan(&["--enable", "search"]).contains("search 3 -> 2"));
    assert!(!plan(&["--disable", "search"]).contains("search"));
    let url = machine.embedded();
    let run = machine.on(&url, &["upgrade", "--to", "1.1.0", "--yes"]).ended(0);
    run.says(&["note: track `search` has no version in this database and takes no part"]);
    let run =
        machine.on(&url, &["upgrade", "--to", "1.1.0", "--yes", "--enable", "search"]).ended(0);
    run.says(&["search 1 -> 2", "a clean install of core 6, search 2"]);
    machine
        .on(&url, &["status"])
        .ended(0)
        .says(&["search  search_schema_migrations  2   3       clean"]);
}

// --- settings

#[test]
fn settings_are_the_same_wherever_they_come_from() {
    let machine = Machine::new();
    let policy = "[policy]\nwindow = \"minor\"\nfloor = \"1.0.2\"\nahead_ok_since = \"1.2.0\"\n";
    let app = "[app]\nname = \"harbour\"\nsource = \"git+file:app\"\ntag = \"v{version}\"\n";
    let vector = "enabled = \"auto\"\n";
    machine.write("sternway.toml", &format!("{app}{policy}{CORE}{SEARCH}{vector}"));
    let plan = ["plan", "--to", "1.0.3", "--output", "json"];
    let by_file = machine.run(&[&plan[..], &["--from", "1.2.1"]].concat()).ended(0).stdout;
    std::fs::remove_file(machine.path("sternway.toml")).expect("a file");

    let core = "name=core,path=migrations/core,table=schema_migrations";
    let search = "name=search,path=migrations/search,table=search_schema_migrations,\
        enabled=auto,requires_extension=vector";
    let values = [
        ("app", "STERNWAY_APP", "harbour"),
        ("source", "STERNWAY_SOURCE", "git+file:app"),
        ("tag", "STERNWAY_TAG", "v{version}"),
        ("window", "STERNWAY_WINDOW", "minor"),
        ("floor", "STERNWAY_FLOOR", "1.0.2"),
        ("ahead-ok-since", "STERNWAY_AHEAD_OK_SINCE", "1.2.0"),
        ("from", "STERNWAY_FROM", "1.2.1"),
    ];
    let mut flags = machine.command(&plan);
    let mut variables = machine.command(&plan);
    for (flag, variable, value) in values {
        flags.arg(format!("--{flag}")).arg(value);
        variables.env(variable, value);
    }
    flags.args(["--track", core, "--track", search]);
    variables.env("STERNWAY_TRACKS", format!("{core};{search}"));
    assert_eq!(Run::of(flags).ended(0).stdout, by_file);
    assert_eq!(Run::of(variables).ended(0).stdout, by_file);

    let mut both = machine.command(&["releases", "--source", "app", "--track", core]);
    both.env("STERNWAY_SOURCE", "nowhere");
    Run::of(both).ended(0); // A flag wins over a variable.
}

#[test]
fn a_file_is_found_upwards_and_its_paths_begin_where_it_stands() {
    let machine = Machine::new();
    machine.write("deep/down/readme", "");
    let mut command = machine.command(&["releases"]);
    command.current_dir(machine.path("deep/down"));
    Run::of(command).ended(0).says(&["1.2.1"]);
    let settings = machine.text("sternway.toml");
    let mut command = machine.command(&["releases", "--config", &settings]);
    command.current_dir("/");
    Run::of(command).ended(0).says(&["1.2.1"]);
    machine.write("other.toml", &format!("[app]\nname = \"${{NAME}}\"\nsource = \"app\"\n{CORE}"));
    let mut command = machine.command(&["releases", "--output", "json"]);
    command.env("STERNWAY_CONFIG", "other.toml").env("NAME", "quay");
    assert_eq!(Run::of(command).ended(0).json("sternway.releases/1")["app"], "quay");
}

#[test]
fn a_profile_can_be_laid_under_a_file() {
    let machine = Machine::with_core();
    machine
        .write("sternway.toml", &format!("{APP}{CORE}[database]\npassword_command = \"true\"\n"));
    let laid = ["status", "--profile", "kagent", "--config", "sternway.toml"];
    let mut command = machine.command(&laid);
    command.env("POSTGRES_DATABASE_URL", machine.embedded());
    Run::of(command).ended(0).says(&["harbour in database"]);
    // A file that only lies around is another application's.
    let empty = Machine::empty();
    for machine in [&machine, &empty] {
        let mut command = machine.command(&["releases", "--profile", "kagent"]);
        // Nobody listens there.
        command.env("STERNWAY_GITHUB_URL", "http://127.0.0.1:9");
        let words =
            ["cannot read the releases from github://kagent-dev/kagent", "--source names a bundle"];
        Run::of(command).ended(1).explains(&words);
    }
    let Some(kagent) = support::variable("STERNWAY_KAGENT_REPO", "profile_kagent") else {
        return;
    };
    let journey = ["plan", "--from", "0.9.9", "--to", "0.9.3"];
    let source = ["--profile", "kagent", "--source", &kagent];
    empty.run(&[&journey[..], &source].concat()).ended(0).says(&["rollback of kagent from 0.9.9"]);
}

#[test]
fn a_password_comes_from_where_nobody_sees_it() {
    let Some(server) = Server::new("password") else { return };
    let machine = Machine::with_core();
    machine.write("url", &format!("{}\n", server.url));
    machine.write("secret", SECRET);
    let (host, port) = server.place().split_once(':').expect("a port");
    machine.write("pgpass", &format!("{host}:{port}:*:{}:{SECRET}\n", server.name));
    let mut private = Command::new("chmod");
    assert!(private.arg("600").arg(machine.path("pgpass")).status().expect("chmod").success());

    machine.run(&["status", "-v", "--database-url-file", "url"]).ended(0);
    let command = ["status", "-v", "--password-command", "cat secret"];
    machine.on(&server.open_url, &command).ended(0);
    let mut passfile = machine.command(&["status", "-v"]);
    passfile.env("STERNWAY_DATABASE", &server.open_url).env("PGPASSFILE", machine.path("pgpass"));
    Run::of(passfile).ended(0);
    let mut everything = machine.command(&["upgrade", "--to", "1.0.3", "--yes"]);
    everything.env("STERNWAY_DATABASE", &server.url).env("STERNWAY_LOG", "trace");
    Run::of(everything).ended(0);
    machine.on(&server.url, &["plan", "--to", "1.0.0", "--out", "plan.json"]).ended(0);
    assert!(!machine.read("plan.json").contains(SECRET));
    let kept = support::ask(
        &server.url,
        "SELECT query_to_xml('SELECT * FROM sternway.run', true, true, '')::text",
    );
    assert!(!kept.contains(SECRET), "{kept}");

    for settings in [
        "url_file = \"url\"\n",
        &format!("url = \"{}\"\npassword_command = \"cat secret\"\n", server.open_url),
    ] {
        machine.write("sternway.toml", &format!("{APP}{CORE}[database]\n{settings}"));
        machine.run(&["status"]).ended(0).quiet();
    }
    // A flag wins over a variable, also where they are two ways to say the same.
    let run = machine.on("embedded:", &["status", "--database-url-file", "url"]).ended(0);
    run.says(&[&format!("in database `{}`", server.name)]);
    let run = machine.on(&server.open_url, &["status", "--password-command", "echo no; exit 3"]);
    run.ended(1).explains(&["cannot get the password", "exit status: 3"]);
}

// --- what happens around a run

#[test]
#[cfg(unix)]
fn an_interrupted_run_stops_between_steps_and_goes_on_later() {
    let Some(server) = Server::new("interrupted") else { return };
    let machine = Machine::with_core();
    machine.on(&server.url, &["upgrade", "--to", "1.0.0", "--yes"]).ended(0);
    let run = support::block_on(async {
        // Step 1 alters this table, and waits until nobody reads it any more.
        let mut reader = support::Session::open(&server.url).await;
        reader.run("BEGIN; SELECT FROM port_call").await;
        let mut command =
            machine.command(&["upgrade", "--to", "1.0.3", "--yes", "--lock-wait", "0"]);
        command.env("STERNWAY_DATABASE", &server.url);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().expect("the program");
        let waiting = "EXISTS (SELECT FROM pg_stat_activity
            WHERE application_name = 'sternway' AND wait_event_type = 'Lock'
              AND datname = current_database())";
        let mut watcher = support::Session::open(&server.url).await;
        watcher.until(waiting).await;
        let pid = child.id().to_string();
        let kill = Command::new("kill").args(["-INT", &pid]).status().expect("kill");
        assert!(kill.success());
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        reader.run("COMMIT").await;
        Run::ended_as(format!("{command:?}"), &child.wait_with_output().expect("an end"))
    });
    run.ended(130).says(&[
        "[1/2] core: 000003_port_call_priority.up.sql",
        "interrupted after 1 of 2 steps; `sternway resume` goes on from there",
    ]);
    machine.on(&server.url, &["history"]).ended(0).says(&["interrupted before step 2"]);
    let run = machine.on(&server.url, &["resume", "--yes"]).ended(0);
    run.says(&[
        "1  done          core: 000003_port_call_priority.up.sql",
        "000004_pilotage_narrow_key.up.sql (",
        "upgraded to 1.0.3; the schema is that of a clean install",
    ]);
}

#[test]
fn a_reader_who_leaves_early_is_no_reason_to_fail() {
    let machine = Machine::new();
    for output in ["text", "json"] {
        let mut command = machine.command(&["releases", "--output", output]);
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("a run");
        drop(child.stdout.take());
        let mut errors = String::new();
        child.stderr.take().expect("a pipe").read_to_string(&mut errors).expect("text");
        assert_eq!(errors, "");
        assert!(child.wait().expect("an end").success());
    }
}

/// Runs the program on a terminal, where someone types `typed`; `None` where nothing makes terminals.
fn on_terminal(machine: &Machine, arguments: &str, no_colour: bool, typed: &str) -> Option<Run> {
    const SCRIPT: &str = "/usr/bin/script"; // Runs a command on a terminal of its own.
    if !Path::new(SCRIPT).exists() {
        return None;
    }
    let mut command = machine.program(Path::new(SCRIPT));
    let program = env!("CARGO_BIN_EXE_sternway");
    command.args(["-q", "-e", "-c", &format!("{program} {arguments}"), "/dev/null"]);
    command.env("TERM", "xterm-256color").env("SHELL", "/bin/sh");
    if no_colour {
        command.env("NO_COLOR", "1");
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("script");
    let mut keyboard = child.stdin.take().expect("a pipe");
    keyboard.write_all(typed.as_bytes()).expect("to be read");
    let output = child.wait_with_output().expect("an end");
    Some(Run::ended_as(format!("{command:?}"), &output))
}

#[test]
fn colour_is_for_terminals_that_want_it() {
    let machine = Machine::new();
    assert!(!machine.run(&["plan", "--from", "1.2.1", "--to", "1.0.3"]).stdout.contains('\x1b'));
    for arguments in ["plan --from 1.2.1 --to 1.0.3", "plan --from 1.2.1 --to 9.9.9"] {
        for no_colour in [false, true] {
            let Some(run) = on_terminal(&machine, arguments, no_colour, "") else { return };
            assert_eq!(run.stdout.contains("\x1b["), !no_colour, "{}", run.stdout);
        }
    }
}

#[test]
fn on_a_terminal_the_user_is_asked() {
    let machine = Machine::with_core();
    let upgrade = format!("upgrade --to 1.0.0 --database {}", machine.embedded());
    let Some(run) = on_terminal(&machine, &upgrade, true, "n\n") else { return };
    run.ended(3).says(&["Go ahead with 2 steps? [y/N]", "not confirmed; nothing was touched"]);
    machine.on(&machine.embedded(), &["status"]).ended(0).says(&["not installed"]);
    let run = on_terminal(&machine, &upgrade, true, "y\n").expect("a terminal");
    run.ended(0).says(&["upgraded to 1.0.0"]);
}
