//! `[deploy.commands]`: where the application's steps stand in a plan, and what is asked of it.

use crate::support::{self, APP, CORE, Machine, SEARCH, SECRET};

const COMMANDS: &str = "[deploy.commands]\nstop = \"touch stopped\"\nswap = \"touch {version}\"\n\
    start = \"touch started\"\nversion = \"cat runs\"\n";

fn deployed(runs: &str, more: &str) -> Machine {
    let machine = Machine::new();
    machine.write("sternway.toml", &format!("{APP}{CORE}{SEARCH}{COMMANDS}{more}"));
    machine.write("runs", runs);
    machine
}

/// Where lines are in a text, in the order in which they are asked for.
fn order(text: &str, lines: &[&str]) {
    let mut rest = text;
    for line in lines {
        let at = rest.find(line).unwrap_or_else(|| panic!("`{line}` is not next in {text}"));
        rest = &rest[at + line.len()..];
    }
}

#[test]
fn a_plan_stops_first_and_swaps_and_starts_last() {
    let machine = deployed("v1.2.1\n", "");
    let ran = machine.run(&["plan", "--to", "1.0.3"]).ended(0).quiet();
    let lines = ["hop 1", "app: stop", "core 9 -> 8", "hop 2", "core 5 -> 4", "proof:"];
    order(&ran.stdout, &lines);
    order(&ran.stdout, &["proof:", "app: swap 1.2.1 for 1.0.3", "app: start 1.0.3, wait"]);
    assert_eq!(ran.stdout.matches("app: ").count(), 3, "{}", ran.stdout);
    let plan = machine.run(&["plan", "--to", "1.0.3", "--output", "json"]).ended(0);
    let plan = plan.json("sternway.plan/4");
    let kinds = |hop: usize| -> Vec<String> {
        let steps = plan["hops"][hop]["steps"].as_array().expect("steps");
        steps.iter().map(|step| step["kind"].as_str().expect("a kind").to_owned()).collect()
    };
    assert_eq!(kinds(0).first().map(String::as_str), Some("stop"));
    assert_eq!(kinds(1)[kinds(1).len() - 3..], ["prove", "swap", "start"]);
    // Asking changes nothing.
    assert!(!machine.path("stopped").exists() && !machine.path("1.0.3").exists());
}

#[test]
fn an_application_that_is_left_alone_is_not_asked() {
    let machine = deployed("1.2.1", "");
    let ran = machine.run(&["plan", "--to", "1.0.3", "--from", "1.1.0", "--no-deploy"]);
    let ran = ran.ended(0).quiet().says(&["rollback of harbour from 1.1.0 to 1.0.3"]);
    assert!(!ran.stdout.contains("app: stop"), "{}", ran.stdout);
}

#[test]
fn what_runs_and_what_was_typed_have_to_agree() {
    let machine = deployed("1.2.1", "");
    let refused = machine.run(&["plan", "--to", "1.0.3", "--from", "1.2.0"]).ended(3);
    refused.explains(&["release 1.2.1 runs, and --from says 1.2.0", "leave --from out"]);
    machine.run(&["plan", "--to", "1.0.3", "--from", "1.2.1"]).ended(0).quiet();
    machine.write("runs", "9.9.9");
    let unknown = machine.run(&["plan", "--to", "1.0.3"]).ended(2);
    unknown.explains(&["release 9.9.9 is not in the catalog"]);
}

#[test]
fn an_application_that_is_down_need_not_be_asked_where_from_is_given() {
    let machine = deployed("", "");
    std::fs::remove_file(machine.path("runs")).expect("a file");
    let ran = machine.run(&["plan", "--to", "1.0.3", "--from", "1.2.1"]).ended(0);
    ran.explains(&[
        "warning: cannot find out which release runs: `version` ended with exit status: 1",
    ])
    .says(&["app: swap 1.2.1 for 1.0.3"]);
    let url = machine.embedded();
    machine.on(&url, &["upgrade", "--to", "1.2.1", "--yes", "--no-deploy"]).ended(0);
    let refused = machine.on(&url, &["plan", "--to", "1.0.3"]).ended(2);
    refused.explains(&["it is not known which release of the application runs now", "--no-deploy"]);
}

#[test]
fn the_commands_are_flags_and_variables_too() {
    let machine = Machine::new();
    let mut command = machine.command(&["plan", "--to", "1.0.3", "--deploy-stop", "true"]);
    command.args(["--deploy-swap", "true", "--deploy-version", "echo 1.2.1"]);
    command.env("STERNWAY_DEPLOY_START", "true");
    support::Run::of(command).ended(0).quiet().says(&["app: stop", "app: start 1.0.3"]);
    let lacking = machine.run(&["plan", "--to", "1.0.3", "--deploy-stop", "true"]).ended(2);
    lacking.explains(&["[deploy.commands] has no `swap`", "--no-deploy"]);
}

#[test]
fn the_command_that_asks_gets_no_secret_and_none_of_its_own_is_shown() {
    let asks = "sh -c 'env >env; echo postgres://me:s3cr3t_w0rd@h/d >&2; exit 1'";
    let machine = deployed("", "");
    let settings = format!("{APP}[database]\nurl = \"${{HARBOUR_URL}}\"\n{CORE}{COMMANDS}");
    machine.write("sternway.toml", &settings.replace("cat runs", asks));
    let mut command = machine.command(&["plan", "--to", "1.0.3", "--verbose"]);
    for name in ["STERNWAY_DATABASE", "STERNWAY_REHEARSAL", "HARBOUR_URL"] {
        command.env(name, format!("postgres://me:{SECRET}@127.0.0.1:1/d"));
    }
    command.env("PGPASSWORD", SECRET).env("HARBOUR_NAME", "kept");
    // No database is there; that the password is not shown is looked at in every run.
    support::Run::of(command).ended(1);
    let mut command = machine.command(&["plan", "--to", "1.0.3", "--from", "1.2.1", "--verbose"]);
    command.env("PGPASSWORD", SECRET).env("HARBOUR_NAME", "kept");
    let ran = support::Run::of(command).ended(0);
    ran.explains(&["version: postgres://me:***********@h/d"]);
    let environment = machine.read("env");
    assert!(!environment.contains(SECRET) && environment.contains("HARBOUR_NAME=kept"));
}
