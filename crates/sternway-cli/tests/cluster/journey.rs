//! The whole journey, both ways over four releases, and its end on another machine.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::control::Asked;
use crate::harbour::{Harbour, Helm};
use crate::support::{Machine, Run, ask, execute};

/// The requests that set the controller's number of pods, each with the number.
fn scaled(asked: &[Asked]) -> Vec<(&Asked, i64)> {
    let what = "patch deployments/harbour-controller/scale";
    let of = asked.iter().filter(|it| it.what == what);
    of.map(|it| (it, it.body["spec"]["replicas"].as_i64().unwrap_or(-1))).collect()
}

/// Checks that the controller was at zero, and none of its pods left, before the first half of a
/// migration, and that none came before the last one had ended. Traps 4 (the application runs on), 9 (nobody waits
/// until it has stopped) and 21 (a pod that migrates is killed at it).
#[track_caller]
pub fn was_away(harbour: &Harbour, pods: usize) {
    let (asked, journal) = (harbour.asked(), harbour.journal());
    let when = |event: &str, step: u64| {
        let record = journal.iter().find(|(_, it)| it["event"] == event && it["step"] == step);
        record.unwrap_or_else(|| panic!("step {step} has not {event}: {journal:?}")).0.as_str()
    };
    let steps = journal.iter().filter_map(|(_, it)| it["step"].as_u64()).max().expect("steps") + 1;
    // Stop comes first, swap and start come last.
    let (begun, first, swap) = (when("started", 0), when("started", 1), when("started", steps - 2));
    let stopped = scaled(&asked).into_iter().find(|(it, _)| it.at.as_str() > begun);
    let (stopped, number) = stopped.expect("a request to scale");
    assert_eq!(number, 0);
    assert!(stopped.at.as_str() < first, "{} is after {first}", stopped.at);
    let within = |it: &&Asked| begun < it.at.as_str() && it.at.as_str() < swap;
    let ended = |it: &&Asked| it.what.starts_with("delete pods/harbour-controller-");
    let ended: Vec<&str> = asked.iter().filter(within).filter(ended).map(|it| &*it.at).collect();
    assert!(ended.len() >= pods, "{pods} pods ended: {ended:?}");
    assert!(ended.iter().all(|at| *at < first), "{ended:?} are not all before {first}");
    let made = |it: &&Asked| {
        let name = it.body["metadata"]["generateName"].as_str().unwrap_or_default();
        it.what.starts_with("create pods") && name.starts_with("harbour-controller-")
    };
    let moving = |it: &&Asked| first < it.at.as_str() && it.at.as_str() < swap;
    let made: Vec<&Asked> = asked.iter().filter(moving).filter(made).collect();
    assert!(made.is_empty(), "pods were made while the schema moved: {made:?}");
}

/// Scenario 29, but for pinned images: see `values_that_pin_the_image_or_do_not_fit_are_refused_beforehand`. Scenario 30
/// and trap 19: a kind that the older chart does not have. Traps 8 (nobody scales up again) and 18 (values of both charts).
fn there_and_back(test: &str, helm: Helm) {
    let Some(mut harbour) = Harbour::new(test) else { return };
    harbour.helm = helm;
    harbour.settings_for_kinds();
    harbour.install_with_kinds("1.2.1", &["--set", "controller.replicas=2"]);
    // By hand, and through zero: otherwise Helm 4 would find a conflict.
    harbour.kubectl(&["scale", "deployment/harbour-controller", "--replicas=0"]);
    harbour.kubectl(&["scale", "deployment/harbour-controller", "--replicas=3"]);
    let (group, cranes) = (&harbour.group, format!("cranes.{}", harbour.group));
    harbour.apply(&format!(
        "{{apiVersion: {group}/v1, kind: Crane, metadata: {{name: big}}, spec: {{tonnes: 40}}}}"
    ));
    harbour.fill();
    harbour.serves("1.2.1", 3);
    let (before, values) = (harbour.rows(), harbour.values("harbour"));
    let plan = harbour.run(&["plan", "--to", "1.0.3"]).ended(0);
    plan.says(&[
        &harbour.space,
        "context `admin`",
        "deployment/harbour-controller (3 replicas)",
        "harbour-crds",
        "Crane",
    ]);
    harbour.run(&["rollback", "--to", "1.0.3", "--yes"]).ended(0);
    harbour.is_at("1.0.3", 3);
    was_away(&harbour, 3);
    assert_eq!(harbour.values("harbour"), values);
    assert_eq!(harbour.installed("harbour-crds"), "deployed harbour-crds-1.0.3");
    let policy =
        || harbour.get(&format!("crd/{cranes}"), ".metadata.annotations.helm\\.sh/resource-policy");
    assert_eq!(policy(), "keep");
    assert_eq!(harbour.get(&format!("{cranes}/big"), ".spec.tonnes"), "40");
    // What the older release writes is there afterwards, too.
    execute(
        &harbour.server.url,
        "INSERT INTO ship (imo_number, name, operator, length_m) VALUES (9, 'Elbe', 'us', 10)",
    );
    harbour.run(&["upgrade", "--to", "1.2.1", "--yes"]).ended(0);
    harbour.is_at("1.2.1", 3);
    was_away(&harbour, 3);
    assert_eq!(harbour.values("harbour"), values);
    assert_eq!(policy(), "");
    assert_eq!(harbour.get(&format!("{cranes}/big"), ".spec.tonnes"), "40");
    execute(&harbour.server.url, "DELETE FROM ship WHERE imo_number = 9");
    harbour.has_rows(&before);
    // Nothing is left that would stand in the way of the user's next upgrade.
    let archive = harbour.archive("harbour", "1.2.1");
    harbour.helm(&["upgrade", "harbour", &archive, "--reuse-values"]);
}

#[test]
fn helm_4_goes_there_and_back() {
    there_and_back("helm_4_journey", Helm::Four);
}

#[test]
fn helm_3_goes_there_and_back() {
    there_and_back("helm_3_journey", Helm::Three);
}

/// Trap 9.
#[test]
fn an_autoscaler_is_as_it_was() {
    let Some(harbour) = Harbour::new("autoscaler") else { return };
    harbour.install("1.2.1", &["--set", "controller.autoscaling.enabled=true"]);
    harbour.serves("1.2.1", 2);
    let spec = || harbour.get("hpa/harbour-controller", ".spec");
    let before = spec();
    harbour.run(&["rollback", "--to", "1.1.2", "--yes"]).ended(0);
    harbour.is_at("1.1.2", 2);
    assert_eq!(spec(), before);
    let numbers: Vec<i64> = scaled(&harbour.asked()).into_iter().map(|(_, it)| it).collect();
    // The autoscaler's own, then Sternway's; nobody but Sternway went up from zero.
    assert_eq!(numbers.iter().filter(|it| **it == 0).count(), 1, "{numbers:?}");
}

/// Trap 22: what was killed may have left a session that holds its locks.
#[test]
fn a_run_that_was_killed_is_ended_from_another_machine() {
    let Some(harbour) = Harbour::new("elsewhere") else { return };
    harbour.install("1.2.1", &["--set", "controller.replicas=2"]);
    harbour.fill();
    let before = harbour.rows();
    // After the application was stopped, and after the swap.
    for (point, command, ends) in
        [("body.committed:2", "abort", "1.2.1"), ("app.ended:2", "resume", "1.1.2")]
    {
        harbour.killed(&["rollback", "--to", "1.1.2", "--yes"], point);
        let machine = Machine::empty();
        machine.write("sternway.toml", &harbour.machine.read("sternway.toml"));
        let kubeconfig = std::fs::read_to_string(harbour.cluster.kubeconfig()).expect("a file");
        machine.write("home/.kube/config", &kubeconfig);
        let mut there = machine.command(&[command, "--yes", "--end-orphans"]);
        harbour.cluster.equip(&mut there).env_remove("KUBECONFIG");
        harbour.rehearse(&mut there);
        Run::of(there).ended(0);
        harbour.is_at(ends, 2);
        if ends == "1.2.1" {
            harbour.has_rows(&before);
        }
    }
}

/// Trap 19: a word that Helm does not heed protects nothing.
#[test]
fn a_kind_stays_whatever_somebody_has_said_of_it() {
    let Some(harbour) = Harbour::new("kind_stays") else { return };
    harbour.settings_for_kinds();
    harbour.install_with_kinds("1.2.1", &[]);
    let (group, cranes) = (&harbour.group, format!("cranes.{}", harbour.group));
    harbour.apply(&format!(
        "{{apiVersion: {group}/v1, kind: Crane, metadata: {{name: big}}, spec: {{tonnes: 40}}}}"
    ));
    harbour.cluster.kubectl(&[
        "annotate",
        &format!("crd/{cranes}"),
        "helm.sh/resource-policy=delete",
    ]);
    let back = ["rollback", "--to", "1.0.3", "--yes", "--export-objects", "cranes"];
    let file = harbour.machine.text(&format!("cranes/{cranes}.json"));
    harbour.run(&back).ended(0).says(&["1 Crane", &format!("writes them to {file}")]);
    harbour.is_at("1.0.3", 1);
    assert_eq!(harbour.get(&format!("{cranes}/big"), ".spec.tonnes"), "40");
    // What is written is all of it, for this user's eyes alone.
    assert_eq!(fs::metadata(&file).expect("a file").permissions().mode() & 0o077, 0);
    harbour.kubectl(&["delete", &format!("{cranes}/big")]);
    harbour.cluster.kubectl(&["apply", "--server-side", "--force-conflicts", "-f", &file]);
    assert_eq!(harbour.get(&format!("{cranes}/big"), ".spec.tonnes"), "40");
    // Nobody else's word is taken away.
    harbour.run(&["upgrade", "--to", "1.2.1", "--yes"]).ended(0);
    let crd = format!("crd/{cranes}");
    harbour.cluster.kubectl(&["annotate", &crd, "helm.sh/resource-policy=keep"]);
    harbour.run(&["rollback", "--to", "1.0.3", "--yes"]).ended(0);
    harbour.run(&["upgrade", "--to", "1.2.1", "--yes"]).ended(0);
    let policy = ".metadata.annotations.helm\\.sh/resource-policy";
    assert_eq!(harbour.get(&crd, policy), "keep");
}

#[test]
fn the_time_without_an_application_is_told() {
    let Some(harbour) = Harbour::new("away") else { return };
    harbour.install("1.2.1", &[]);
    harbour.fill();
    // Once, so that the rehearsal is known.
    harbour.run(&["plan", "--to", "1.1.2"]).ended(0);
    let rollback = ["rollback", "--to", "1.1.2", "--yes", "--output", "json"];
    let run = harbour.run(&rollback).ended(0).json("sternway.run/1");
    harbour.is_at("1.1.2", 1);
    let told = &run["away"];
    let part = |name: &str| told[name].as_f64().expect("seconds");
    let parts = ["stop", "database", "swap", "start"].map(part);
    assert!((parts.iter().sum::<f64>() - part("seconds")).abs() < 0.01, "{told}");
    // By the audit log, from the last pod gone to the first one ready.
    let asked = harbour.asked();
    let of_pods =
        |it: &&Asked, verb: &str| it.what.starts_with(&format!("{verb} pods/harbour-controller-"));
    let gone = asked.iter().rev().find(|it| of_pods(it, "delete")).expect("a pod that goes");
    let ready = asked.iter().filter(|it| it.at > gone.at && of_pods(it, "patch")).find(|it| {
        let conditions = it.body["status"]["conditions"].as_array().into_iter().flatten();
        conditions.into_iter().any(|it| it["type"] == "Ready" && it["status"] == "True")
    });
    let (gone, ready) = (&gone.at, &ready.expect("a pod that is ready").at);
    let seconds =
        format!("SELECT extract(epoch FROM '{ready}'::timestamptz - '{gone}'::timestamptz)::text");
    let seconds: f64 = ask(&harbour.server.url, &seconds).parse().expect("seconds");
    println!("without an application for {seconds:.1} s; the run tells {told}");
    assert!(seconds <= part("seconds"), "{seconds}: {told}");
}
