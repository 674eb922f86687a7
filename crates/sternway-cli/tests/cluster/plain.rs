//! An application without Helm: its manifests are the test's, and one object a kind of workload.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::control::{End, serves, wait_until};
use crate::harbour::Harbour;
use crate::support::ask;

pub const IMAGE: &str = "registry.harbour.example/harbour/controller";
const ROLLBACK: [&str; 4] = ["rollback", "--to", "1.1.2", "--yes"];

/// Settings that swap by setting the image, of what is stopped: a list as TOML has it.
pub fn by_image(harbour: &Harbour, stop: &str, more: &str) {
    harbour.settings_of(&format!("stop = {stop}\nimage = \"{IMAGE}:{{version}}\"\n{more}"), "");
}

/// A pod of the controller that is given the database's URL.
pub fn template(url: &str, annotations: &Value) -> Value {
    json!({
        "metadata": {
            "labels": { "app.kubernetes.io/component": "controller" },
            "annotations": annotations,
        },
        "spec": { "containers": [{
            "name": "controller",
            "image": format!("{IMAGE}:1.2.1"),
            "env": [{ "name": "POSTGRES_DATABASE_URL", "value": url }],
        }] },
    })
}

/// A Deployment or StatefulSet of such pods.
pub fn workload(kind: &str, replicas: u32, template: Value) -> Value {
    let mut spec = json!({
        "replicas": replicas,
        "selector": { "matchLabels": { "app.kubernetes.io/component": "controller" } },
        "template": template,
    });
    if kind == "StatefulSet" {
        spec["serviceName"] = json!("harbour-controller");
    }
    json!({ "apiVersion": "apps/v1", "kind": kind, "metadata": { "name": "harbour-controller" }, "spec": spec })
}

/// The database at 1.2.1, and a namespace with these objects.
pub fn made(test: &str, objects: impl FnOnce(&Harbour) -> Vec<Value>) -> Option<Harbour> {
    let harbour = Harbour::new(test)?;
    harbour.migrate("1.2.1");
    harbour.cluster.kubectl(&["create", "namespace", &harbour.space]);
    for object in objects(&harbour) {
        harbour.apply(&object.to_string());
    }
    Some(harbour)
}

fn deployment(harbour: &Harbour, replicas: u32) -> Vec<Value> {
    vec![workload("Deployment", replicas, template(&harbour.server.url, &json!({})))]
}

/// Tells kwok something about every pod, as soon as there is one.
fn for_each_pod(harbour: &Harbour, over: &AtomicBool, kind: &str, spec: &Value) {
    while !over.load(Ordering::Relaxed) {
        let pods = harbour.kubectl(&["get", "pods", "-o", "name"]);
        for pod in pods.lines().filter_map(|it| it.strip_prefix("pod/")) {
            let object = json!({
                "apiVersion": "kwok.x-k8s.io/v1alpha1", "kind": kind, "metadata": { "name": pod }, "spec": spec,
            });
            harbour.apply(&object.to_string());
        }
        thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn the_image_is_set() {
    let Some(harbour) = made("image", |harbour| deployment(harbour, 2)) else { return };
    by_image(&harbour, "[\"deployment/harbour-controller\"]", "");
    harbour.serves("1.2.1", 2);
    harbour.run(&["plan", "--to", "1.1.2"]).ended(0).says(&[&format!("{IMAGE}:1.1.2")]);
    harbour.run(&ROLLBACK).ended(0);
    harbour.runs("1.1.2", 2);
    by_image(&harbour, "[\"deployment/harbour-controller\"]", "ready_timeout = 3");
    let run = harbour.run(&["rollback", "--to", "1.1.1-broken", "--yes"]);
    assert_ne!(run.code, Some(0), "{}", run.stderr);
    harbour.runs("1.1.2", 2);
}

#[test]
fn the_log_says_that_it_is_well() {
    let Some(harbour) = made("log", |harbour| deployment(harbour, 1)) else { return };
    let more = "health = \"log:moored\"\nready_timeout = 5";
    by_image(&harbour, "[\"deployment/harbour-controller\"]", more);
    harbour.serves("1.2.1", 1);
    // What every pod of the application writes, as soon as there is one.
    let writes = |line: &str| {
        let line = format!("2026-08-01T00:00:00.000000000Z stdout F {line}\n");
        harbour.machine.write("log", &line);
    };
    writes("casting off");
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let log =
                json!({ "containers": ["controller"], "logsFile": harbour.machine.text("log") });
            for_each_pod(&harbour, &over, "Logs", &json!({ "logs": [log] }));
        });
        let _end = End(&over);
        let run = harbour.run(&ROLLBACK);
        assert_ne!(run.code, Some(0), "{}", run.stdout);
        run.explains(&["no line with `moored` is in the log of pod harbour-controller-"]);
        writes("moored");
        harbour.ends("abort");
        harbour.runs("1.2.1", 1);
        harbour.run(&ROLLBACK).ended(0);
    });
    harbour.runs("1.1.2", 1);
}

/// Scenario 29: `/version` agrees.
#[test]
fn the_application_says_which_release_it_is() {
    let Some(harbour) = made("version", |harbour| deployment(harbour, 1)) else { return };
    let said = harbour.machine.path("said");
    fs::create_dir(&said).expect("a folder");
    let place = serves(said.clone());
    let port: u16 = place.rsplit(':').next().and_then(|it| it.parse().ok()).expect("a port");
    let says = |release: &str| {
        fs::write(said.join("version"), format!("{{\"version\": \"v{release}\"}}"))
            .expect("a file");
    };
    let more = "health = '8083/version \"v{version}\"'\nready_timeout = 5";
    by_image(&harbour, "[\"deployment/harbour-controller\"]", more);
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let target = json!({ "address": "127.0.0.1", "port": port });
            let forwards = json!({ "forwards": [{ "ports": [8083], "target": target }] });
            for_each_pod(&harbour, &over, "PortForward", &forwards);
        });
        let _end = End(&over);
        let run = harbour.run(&ROLLBACK);
        assert_ne!(run.code, Some(0), "{}", run.stdout);
        run.explains(&["at /version of port 8083: it answers with 404 Not Found"]);
        says("1.2.1");
        harbour.ends("abort");
        harbour.runs("1.2.1", 1);
        let run = harbour.run(&ROLLBACK);
        assert_ne!(run.code, Some(0), "{}", run.stdout);
        run.explains(&["at /version of port 8083: its answer has no `\"v1.1.2\"` in it"]);
        harbour.runs("1.2.1", 1);
        says("1.1.2");
        harbour.run(&ROLLBACK).ended(0);
    });
    harbour.runs("1.1.2", 1);
}

#[test]
fn a_command_swaps() {
    let Some(harbour) = made("command", |harbour| deployment(harbour, 1)) else { return };
    let space = &harbour.space;
    let command = format!(
        "[deploy.commands]\nswap = \"kubectl -n {space} set image deployment/harbour-controller controller={IMAGE}:{{version}}\"\n"
    );
    harbour.settings_of("swap = \"command\"", &command);
    harbour.run(&ROLLBACK).ended(0);
    harbour.runs("1.1.2", 1);
}

#[test]
fn each_kind_of_workload_is_stopped_in_its_own_way() {
    let cron = |name: &str, suspend: bool| {
        json!({
            "apiVersion": "batch/v1", "kind": "CronJob", "metadata": { "name": name },
            "spec": { "schedule": "0 0 1 1 *", "suspend": suspend, "jobTemplate": { "spec": { "template": {
                "metadata": { "annotations": { "stage.sternway.test/run-for": "6s" } },
                "spec": { "restartPolicy": "Never", "containers": [{ "name": "tide", "image": "tide:1" }] },
            } } } },
        })
    };
    let job = json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": { "name": "harbour-load" },
        "spec": { "template": {
            "metadata": { "annotations": { "stage.sternway.test/kind": "external" } },
            "spec": { "restartPolicy": "Never", "containers": [{ "name": "load", "image": "load:1" }] },
        } },
    });
    let objects = |harbour: &Harbour| {
        let pods = template(&harbour.server.url, &json!({}));
        vec![
            workload("StatefulSet", 2, pods),
            cron("harbour-tide", false),
            cron("harbour-rest", true),
            job,
        ]
    };
    let Some(harbour) = made("kinds", objects) else { return };
    let stop = "[\"statefulset/harbour-controller\", \"cronjob/harbour-tide\", \"cronjob/harbour-rest\", \"job/harbour-load\"]";
    by_image(&harbour, stop, "");
    harbour.serves("1.2.1", 2);
    let of_job = "-l=batch.kubernetes.io/job-name=harbour-load";
    let active = || harbour.get("job/harbour-load", ".status.ready");
    wait_until("the job runs", || active() == "1");
    let loading = harbour.kubectl(&["get", "pods", of_job, "-o", "name"]);
    harbour.kubectl(&["create", "job", "tide-1", "--from=cronjob/harbour-tide"]);
    wait_until("the tide runs", || harbour.get("job/tide-1", ".status.ready") == "1");
    harbour.run(&ROLLBACK).ended(0);
    harbour.runs("1.1.2", 2);
    // What a CronJob had begun came to its own end; a Job's pod was ended, and another one goes on.
    assert_eq!(harbour.get("job/tide-1", ".status.succeeded"), "1");
    assert_eq!(harbour.get("cronjob/harbour-tide", ".spec.suspend"), "false");
    assert_eq!(harbour.get("cronjob/harbour-rest", ".spec.suspend"), "true");
    assert_eq!(harbour.get("job/harbour-load", ".spec.suspend"), "false");
    wait_until("the job runs again", || active() == "1");
    assert_ne!(harbour.kubectl(&["get", "pods", of_job, "-o", "name"]), loading);
    let (asked, journal) = (harbour.asked(), harbour.journal());
    let first = journal.iter().find(|(_, it)| it["event"] == "started" && it["step"] == 1);
    let first = &first.expect("a step").0;
    let before = |what: &str, is: &dyn Fn(&Value) -> bool| {
        let it = asked.iter().find(|it| it.what.starts_with(what) && is(&it.body));
        let at = &it.unwrap_or_else(|| panic!("{what} was never asked")).at;
        assert!(at < first, "{what} at {at} is after {first}");
    };
    before("patch cronjobs/harbour-tide", &|it| it["spec"]["suspend"] == true);
    before("patch jobs/harbour-load", &|it| it["spec"]["suspend"] == true);
    before("patch pods/tide-1-", &|it| it["status"]["phase"] == "Succeeded");
    before("patch statefulsets/harbour-controller/scale", &|it| it["spec"]["replicas"] == 0);
}

#[test]
fn volumes_that_would_go_with_the_pods_are_a_reason_to_refuse() {
    let objects = |harbour: &Harbour| {
        let pods = template(&harbour.server.url, &json!({}));
        let mut set = workload("StatefulSet", 1, pods);
        set["spec"]["persistentVolumeClaimRetentionPolicy"] = json!({ "whenScaled": "Delete" });
        vec![set]
    };
    let Some(harbour) = made("claims", objects) else { return };
    by_image(&harbour, "[\"statefulset/harbour-controller\"]", "");
    let refused = harbour.run(&ROLLBACK);
    assert_ne!(refused.code, Some(0));
    refused.explains(&["deletes its volumes when it is scaled to zero", "Retain"]);
    harbour.runs("1.2.1", 1);
}

/// A kind of objects of a controller that is not here.
pub fn definition(group: &str, version: &str, kind: &str, plural: &str) -> Value {
    let schema = json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true });
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": { "name": format!("{plural}.{group}") },
        "spec": {
            "group": group, "scope": "Namespaced", "names": { "kind": kind, "plural": plural },
            "versions": [{
                "name": version, "served": true, "storage": true, "subresources": { "status": {} },
                "schema": { "openAPIV3Schema": schema },
            }],
        },
    })
}

/// Plays KEDA for one ScaledObject, as its documentation tells: a pause sets a condition, takes the
/// autoscaler away, and the end of the pause brings it back. The real operator is not here.
fn plays_keda(harbour: &Harbour, autoscaler: &str, over: &AtomicBool) {
    let paused = |it: bool| {
        let status = json!({ "status": { "conditions": [{ "type": "Paused", "status": if it { "True" } else { "False" } }] } });
        harbour.kubectl(&[
            "patch",
            "scaledobject/tides",
            "--subresource=status",
            "--type=merge",
            "-p",
            &status.to_string(),
        ]);
    };
    let mut was = false;
    while !over.load(Ordering::Relaxed) {
        let text = harbour.get("scaledobject/tides", ".metadata.annotations");
        let is = text.contains("autoscaling.keda.sh/paused");
        if is && !was {
            paused(true);
            harbour.kubectl(&["scale", "deployment/harbour-controller", "--replicas=0"]);
            harbour.kubectl(&["delete", "hpa/keda-hpa-tides"]);
        }
        if was && !is {
            harbour.apply(autoscaler);
            paused(false);
        }
        was = is;
        thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn a_scaled_object_of_keda_is_paused_and_put_back() {
    let target =
        json!({ "apiVersion": "apps/v1", "kind": "Deployment", "name": "harbour-controller" });
    let autoscaler = json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": { "name": "keda-hpa-tides" },
        "spec": { "scaleTargetRef": target, "minReplicas": 2, "maxReplicas": 4 },
    })
    .to_string();
    let Some(harbour) = made("keda", |harbour| deployment(harbour, 2)) else { return };
    harbour.apply(&definition("keda.sh", "v1alpha1", "ScaledObject", "scaledobjects").to_string());
    harbour.cluster.established("scaledobjects.keda.sh");
    let object = json!({
        "apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject",
        "metadata": { "name": "tides", "annotations": { "team": "quay" } },
        "spec": { "scaleTargetRef": { "name": "harbour-controller" } },
    });
    harbour.apply(&object.to_string());
    harbour.apply(&autoscaler);
    by_image(&harbour, "[\"deployment/harbour-controller\"]", "");
    harbour.serves("1.2.1", 2);
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| plays_keda(&harbour, &autoscaler, &over));
        let _end = End(&over);
        let plan = harbour.run(&["plan", "--to", "1.1.2"]).ended(0);
        plan.says(&["scaledobject/tides paused"]);
        harbour.run(&ROLLBACK).ended(0);
        harbour.runs("1.1.2", 2);
        wait_until("the autoscaler is back", || {
            harbour.kubectl_does(&["get", "hpa/keda-hpa-tides"])
        });
    });
    let annotations = harbour.get("scaledobject/tides", ".metadata.annotations");
    assert!(
        !annotations.contains("keda.sh/paused") && annotations.contains("quay"),
        "{annotations}"
    );
}

#[test]
fn another_keeps_the_cluster_and_is_waited_for() {
    let Some(harbour) = made("waits", |harbour| deployment(harbour, 1)) else { return };
    harbour.settings_of("swap = \"wait\"\nwait_timeout = 60", "");
    let plan = harbour.run(&["plan", "--to", "1.1.2"]).ended(0);
    plan.says(&["commit release 1.1.2 for deployment/harbour-controller"]);
    thread::scope(|scope| {
        let controller = scope.spawn(|| {
            // It is told to when the database is where the target wants it.
            let row = "SELECT version::text FROM schema_migrations";
            wait_until("the schema is the target's", || ask(&harbour.server.url, row) == "7");
            let image = format!("controller={IMAGE}:1.1.2");
            harbour.kubectl(&["set", "image", "deployment/harbour-controller", &image]);
        });
        harbour.run(&ROLLBACK).ended(0);
        controller.join().expect("a controller");
    });
    harbour.runs("1.1.2", 1);
}
