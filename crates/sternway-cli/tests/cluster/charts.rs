//! What people meet with Helm.

use std::fs;
use std::process::{Command, Stdio};
use std::thread::{self, sleep};
use std::time::Duration;

use crate::control::{serves, wait_until};
use crate::harbour::{Harbour, Helm, executable};
use crate::support::SECRET;

/// Refused beforehand: nothing was asked of the API that changes anything.
#[track_caller]
fn untouched(harbour: &Harbour) {
    harbour.is_at("1.2.1", 1);
    let changes = |it: &str| ["create", "update", "patch", "delete"].contains(&it);
    for it in harbour.asked() {
        let verb = it.what.split(' ').next().unwrap_or_default();
        let ours = it.agent.is_empty() || it.agent.starts_with("Helm");
        let after_install = it.at.as_str() > harbour.installed_at();
        assert!(!(changes(verb) && ours && after_install), "{it:?}");
    }
}

#[test]
fn a_failed_revision_is_left_by_going_back_first() {
    let Some(harbour) = Harbour::new("failed_revision") else { return };
    harbour.install("1.2.1", &[]);
    let archive = harbour.archive("harbour", "1.2.1");
    let never = r"controller.podAnnotations.stage\.sternway\.test/kind=never-ready";
    let upgrade = ["upgrade", "harbour", &archive, "--reuse-values", "--wait", "--timeout", "1s"];
    let failed = harbour.helm_command(&[&upgrade[..], &["--set", never]].concat()).output();
    assert!(!failed.expect("helm").status.success());
    assert_eq!(harbour.installed("harbour"), "failed harbour-1.2.1");
    let plan = harbour.run(&["plan", "--to", "1.1.2"]).ended(0);
    plan.says(&["revision 2", "is failed", "returns to revision 1 first"]);
    harbour.run(&["rollback", "--to", "1.1.2", "--yes"]).ended(0);
    harbour.is_at("1.1.2", 1);
    assert!(harbour.values("harbour")["controller"].is_null());
}

/// Scenario 29, traps 16 and 17.
#[test]
fn values_that_pin_the_image_or_do_not_fit_are_refused_beforehand() {
    let Some(harbour) = Harbour::new("values") else { return };
    harbour.install("1.2.1", &["--set", "tag=1.2.1,controller.tides=12h"]);
    let rollback = ["rollback", "--to", "1.1.2", "--yes"];
    harbour.run(&rollback).ended(3).explains(&[
        "its values do not fit chart version 1.1.2",
        "controller.tides is not a value of this chart",
        "`without = [\"KEY\"]`",
    ]);
    harbour.settings("", "without = [\"controller.tides\"]");
    harbour.run(&rollback).ended(3).explains(&[
        "the values pin the image",
        "deployment/harbour-controller would run registry.harbour.example/harbour/controller:1.2.1",
        "`without = [\"tag\"]`",
    ]);
    untouched(&harbour);
    harbour.settings("", "without = [\"tag\", \"controller.tides\"]");
    harbour.run(&rollback).ended(0);
    harbour.is_at("1.1.2", 1);
    let values = harbour.values("harbour");
    assert!(values["tag"].is_null() && values["controller"]["tides"].is_null(), "{values}");
    assert!(values["database"]["postgres"]["bundled"].is_object(), "{values}");
}

#[test]
fn a_field_that_somebody_else_has_set_is_named_and_not_taken_unasked() {
    let Some(harbour) = Harbour::new("conflict") else { return };
    harbour.install("1.2.1", &[]);
    let patch = r#"{"spec":{"template":{"spec":{"terminationGracePeriodSeconds":7}}}}"#;
    let hotfix = ["patch", "deployment/harbour-controller", "--field-manager=hotfix", "-p", patch];
    harbour.kubectl(&hotfix);
    harbour.is_ready();
    let rollback = ["rollback", "--to", "1.1.2", "--yes"];
    harbour.run(&rollback).ended(3).explains(&[
        "deployment/harbour-controller",
        "conflict with \"hotfix\"",
        ".terminationGracePeriodSeconds",
        "`force_conflicts = true`",
    ]);
    untouched(&harbour);
    let grace = ".spec.template.spec.terminationGracePeriodSeconds";
    assert_eq!(harbour.get("deployment/harbour-controller", grace), "7");
    harbour.settings("force_conflicts = true", "");
    harbour.run(&rollback).ended(0);
    harbour.is_at("1.1.2", 1);
    assert_eq!(harbour.get("deployment/harbour-controller", grace), "30");
}

#[test]
fn hooks_run_only_where_somebody_has_said_so() {
    let Some(harbour) = Harbour::new("hooks") else { return };
    harbour.install("1.2.1", &["--set", "migrateJob.enabled=true"]);
    let refused = harbour.run(&["rollback", "--to", "1.1.2", "--yes"]).ended(3);
    refused.explains(&[
        "version 1.1.2 runs hooks on an upgrade",
        "job/harbour-migrate",
        "`hooks = \"skip\"`",
    ]);
    untouched(&harbour);
    let job = ["get", "job/harbour-migrate"];
    harbour.settings("hooks = \"skip\"", "");
    harbour.run(&["rollback", "--to", "1.1.2", "--yes"]).ended(0);
    harbour.is_at("1.1.2", 1);
    assert!(!harbour.kubectl_does(&job));
    harbour.settings("hooks = \"run\"", "");
    harbour.run(&["upgrade", "--to", "1.2.1", "--yes"]).ended(0);
    harbour.is_at("1.2.1", 1);
    assert!(harbour.kubectl_does(&job));
}

#[test]
fn a_helm_or_a_chart_that_cannot_be_had_is_told_beforehand() {
    let Some(harbour) = Harbour::new("no_helm") else { return };
    harbour.install("1.2.1", &[]);
    let plan = ["plan", "--to", "1.1.2"];
    let set = |helm: &str| {
        let text = harbour.machine.read("sternway.toml");
        harbour.machine.write("sternway.toml", &text.replace("\"helm4\"", &format!("\"{helm}\"")));
    };
    set("helm-that-is-not-there");
    harbour
        .run(&plan)
        .ended(3)
        .explains(&["`helm-that-is-not-there` cannot be run", "`helm_binary`"]);
    harbour.settings("", "");
    let old = harbour.machine.path("helm-old");
    harbour.machine.write("helm-old", "#!/bin/sh\necho v3.2.0\n");
    executable(&old);
    set(&old.display().to_string());
    harbour.run(&plan).ended(3).explains(&["is Helm v3.2.0", "3.8 or later"]);
    harbour.settings("", "version = \"{version}-absent\"");
    harbour.run(&plan).ended(3).explains(&["there is no chart at", "harbour-1.1.2-absent.tgz"]);
    let registry = harbour.cluster.registry();
    harbour.settings_of(
        "",
        &format!(
            "[[deploy.kubernetes.helm]]\nrelease = \"harbour\"\nplain_http = true\n\
             chart = \"oci://{registry}/charts/harbour\"\nversion = \"{{version}}-absent\"\n"
        ),
    );
    let refused = harbour.run(&["rollback", "--to", "1.1.2", "--yes"]).ended(3);
    refused.explains(&["has no version 1.1.2-absent that can be had", "not found"]);
    untouched(&harbour);
}

/// Leaves a release in the middle of a change: Helm is killed while it waits for a hook.
fn stuck(harbour: &Harbour, arguments: &[&str], status: &str) {
    let mut helm: Command = harbour.helm_command(arguments);
    let mut child = helm.spawn().expect("helm");
    wait_until("Helm waits", || harbour.installed("harbour").starts_with(status));
    sleep(Duration::from_millis(300));
    child.kill().expect("a kill");
    child.wait().expect("an end");
}

const EXTERNAL: &str = r"migrateJob.podAnnotations.stage\.sternway\.test/kind=external";

/// As if Helm had been killed an hour ago.
fn long_ago(harbour: &Harbour, revision: u64) {
    let secret = format!("secret/sh.helm.release.v1.harbour.v{revision}");
    let payload = harbour.get(&secret, ".data.release");
    harbour.machine.write("record", &payload);
    let sh = "base64 -d <record | base64 -d | gunzip | \
        sed 's/\"last_deployed\":\"[^\"]*\"/\"last_deployed\":\"2026-01-01T00:00:00Z\"/' | \
        gzip | base64 -w 0 | base64 -w 0";
    let output = Command::new("sh").args(["-c", sh]).current_dir(harbour.machine.path("")).output();
    let payload = String::from_utf8(output.expect("sh").stdout).expect("UTF-8");
    let patch = format!("{{\"data\":{{\"release\":\"{payload}\"}}}}");
    harbour.kubectl(&["patch", &secret, "--type=merge", "-p", &patch]);
}

fn goes_on_from_a_killed(test: &str, helm: Helm) {
    let Some(mut harbour) = Harbour::new(test) else { return };
    harbour.helm = helm;
    harbour.settings("hooks = \"skip\"", "");
    harbour.install("1.2.1", &[]);
    let archive = harbour.archive("harbour", "1.2.1");
    let upgrade =
        ["upgrade", "harbour", &archive, "--reuse-values", "--set", "migrateJob.enabled=true"];
    stuck(&harbour, &[&upgrade[..], &["--set", EXTERNAL]].concat(), "pending-upgrade");
    // Somebody may be at work: the application is not stopped for that.
    let refused = harbour.run(&["rollback", "--to", "1.1.2", "--yes"]).ended(3);
    refused.explains(&["revision 2", "pending-upgrade", "at work"]);
    harbour.serves("1.2.1", 1);
    long_ago(&harbour, 2);
    let plan = harbour.run(&["plan", "--to", "1.1.2"]).ended(0);
    plan.says(&["pending-upgrade", "returns to revision 1 first"]);
    harbour.run(&["rollback", "--to", "1.1.2", "--yes"]).ended(0);
    harbour.is_at("1.1.2", 1);
}

#[test]
fn a_release_that_a_killed_helm_3_left_pending_goes_on() {
    goes_on_from_a_killed("pending_3", Helm::Three);
}

#[test]
fn a_release_that_a_killed_helm_4_left_pending_goes_on() {
    goes_on_from_a_killed("pending_4", Helm::Four);
}

#[test]
fn a_rollback_that_a_killed_helm_left_pending_goes_on() {
    let Some(harbour) = Harbour::new("pending_rollback") else { return };
    harbour.settings("hooks = \"skip\"", "");
    let hooks =
        ["--set", "migrateJob.enabled=true,migrateJob.hooks=pre-rollback", "--set", EXTERNAL];
    harbour.install("1.2.1", &hooks);
    let archive = harbour.archive("harbour", "1.2.1");
    harbour.helm(&["upgrade", "harbour", &archive, "--reuse-values"]);
    stuck(&harbour, &["rollback", "harbour", "1"], "pending-rollback");
    long_ago(&harbour, 3);
    harbour.run(&["rollback", "--to", "1.1.2", "--yes"]).ended(0);
    harbour.is_at("1.1.2", 1);
}

#[test]
fn helm_killed_in_mid_upgrade_leaves_the_start() {
    let Some(harbour) = Harbour::new("helm_killed") else { return };
    harbour.install("1.2.1", &["--set", "migrateJob.enabled=true", "--set", EXTERNAL]);
    harbour.kubectl(&["delete", "job", "--all"]);
    // Helm stands at the hook when it is killed.
    let wrapper = harbour.machine.path("helm");
    let helm = harbour.cluster.binary("helm4").display().to_string();
    let text = format!(
        "#!/bin/sh\ncase $1 in upgrade) exec timeout -s KILL 3 {helm} \"$@\" ;; esac\nexec {helm} \"$@\"\n"
    );
    harbour.machine.write("helm", &text);
    executable(&wrapper);
    harbour.settings("hooks = \"run\"", "");
    let settings = harbour.machine.read("sternway.toml");
    let settings = settings.replace("\"helm4\"", &format!("\"{}\"", wrapper.display()));
    harbour.machine.write("sternway.toml", &settings);
    let run = harbour.run(&["rollback", "--to", "1.1.2", "--yes"]);
    assert_ne!(run.code, Some(0), "{}", run.stderr);
    run.explains(&["`helm upgrade`"]);
    harbour.is_at("1.2.1", 1);
}

/// A release whose upgrade stands at a hook until the test ends that, with a Helm that a wrapper runs.
fn stands_at_a_hook(test: &str, upgrade: &str) -> Option<Harbour> {
    let harbour = Harbour::new(test)?;
    harbour.install("1.2.1", &["--set", "migrateJob.enabled=true", "--set", EXTERNAL]);
    harbour.kubectl(&["delete", "job", "--all"]);
    let helm = harbour.cluster.binary("helm4").display().to_string();
    let text = format!("#!/bin/sh\ncase $1 in upgrade) {upgrade} ;; esac\nexec {helm} \"$@\"\n");
    harbour.machine.write("helm", &text.replace("HELM", &helm));
    executable(&harbour.machine.path("helm"));
    harbour.settings("hooks = \"run\"", "");
    let settings = harbour.machine.read("sternway.toml");
    let wrapper = format!("\"{}\"", harbour.machine.text("helm"));
    harbour.machine.write("sternway.toml", &settings.replace("\"helm4\"", &wrapper));
    Some(harbour)
}

/// Kills a journey back while its Helm stands at the hook.
fn killed_at_the_hook(harbour: &Harbour) {
    let mut command = harbour.command(&["rollback", "--to", "1.1.2", "--yes"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("a program");
    wait_until("Helm waits", || harbour.installed("harbour").starts_with("pending-upgrade"));
    wait_until("the hook is there", || harbour.kubectl_does(&["get", "job/harbour-migrate"]));
    child.kill().expect("a kill");
    child.wait().expect("an end");
}

#[test]
fn helm_ends_with_a_sternway_that_is_killed() {
    let Some(harbour) = stands_at_a_hook("helm_ends", "") else { return };
    killed_at_the_hook(&harbour);
    wait_until("Helm has ended", || harbour.installed("harbour").starts_with("failed"));
    harbour.ends("abort");
    harbour.is_at("1.2.1", 1);
}

#[test]
fn a_helm_that_goes_on_alone_is_waited_for() {
    // As on another machine: nobody tells it that Sternway is gone.
    let alone = "exec 3<&0; setsid HELM \"$@\" <&3 & wait; exit";
    let Some(harbour) = stands_at_a_hook("helm_alone", alone) else { return };
    killed_at_the_hook(&harbour);
    thread::scope(|scope| {
        let abort = scope.spawn(|| harbour.run(&["abort", "--yes", "--end-orphans"]));
        sleep(Duration::from_secs(8));
        // Nothing was done beside it.
        assert!(harbour.installed("harbour").starts_with("pending-upgrade harbour-1.1.2"));
        assert!(!abort.is_finished());
        let pod = "--selector=batch.kubernetes.io/job-name=harbour-migrate";
        let pod = harbour.kubectl(&["get", "pods", pod, "-o", "name"]);
        let done = "{\"status\":{\"phase\":\"Succeeded\"}}";
        harbour.kubectl(&["patch", pod.trim(), "--subresource=status", "-p", done]);
        abort.join().expect("an end").ended(0);
    });
    harbour.is_at("1.2.1", 1);
}

#[test]
fn charts_come_from_a_classic_repository() {
    let Some(harbour) = Harbour::new("classic") else { return };
    let folder = harbour.machine.path("repository");
    fs::create_dir(&folder).expect("a folder");
    let place = serves(folder.clone());
    for release in ["1.1.2", "1.2.1"] {
        let archive = format!("harbour-{release}.tgz");
        fs::copy(harbour.archive("harbour", release), folder.join(archive)).expect("a copy");
    }
    harbour.helm(&["repo", "index", "repository", "--url", &format!("http://{place}")]);
    let chart = |chart: &str, more: &str| {
        format!("[[deploy.kubernetes.helm]]\nrelease = \"harbour\"\nchart = \"{chart}\"\n{more}")
    };
    // A bare name with the repository's URL.
    let repository = format!("repository = \"http://{place}\"\n");
    harbour.settings_of("", &chart("harbour", &repository));
    harbour.install("1.2.1", &[]);
    let absent = harbour.run(&["plan", "--to", "1.0.3"]).ended(3);
    absent.explains(&["chart harbour has no version 1.0.3 that can be had"]);
    harbour.run(&["rollback", "--to", "1.1.2", "--yes"]).ended(0);
    harbour.is_at("1.1.2", 1);
    // A repository that Helm knows by a name.
    let mut add = harbour.helm_command(&["repo", "add", "quay", &format!("http://{place}")]);
    harbour.rehearse(&mut add);
    assert!(add.status().expect("helm").success());
    harbour.settings_of("", &chart("quay/harbour", ""));
    harbour.run(&["upgrade", "--to", "1.2.1", "--yes"]).ended(0);
    harbour.is_at("1.2.1", 1);
}

/// Trap 15.
#[test]
fn no_secret_is_on_a_command_line_or_left_in_a_file() {
    let Some(harbour) = stands_at_a_hook("secrets", "") else { return };
    let helm = harbour.cluster.binary("helm4").display().to_string();
    harbour.machine.write("helm", &format!("#!/bin/sh\necho \"$@\" >>said\nexec {helm} \"$@\"\n"));
    let settings = harbour.machine.read("sternway.toml").replace("\"run\"", "\"skip\"");
    harbour.machine.write("sternway.toml", &settings);
    harbour.run(&["rollback", "--to", "1.1.2", "--yes"]).ended(0);
    harbour.is_at("1.1.2", 1);
    assert_eq!(harbour.values("harbour")["database"]["postgres"]["bundled"]["password"], SECRET);
    let said = harbour.machine.read("said");
    assert!(said.contains("upgrade harbour") && !said.contains(SECRET), "{said}");
    let left = fs::read_dir(harbour.machine.path("tmp")).expect("a folder").count();
    assert_eq!(left, 0, "files are left");
}
