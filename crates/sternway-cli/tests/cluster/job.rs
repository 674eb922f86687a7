//! A journey as a Job inside of the cluster. No kubelet is here: the test runs what the Job's pod would run, with its
//! account, its environment and its files, and tells the cluster how that ended.

use std::fs;
use std::path::Path;
use std::thread;

use serde_json::{Value, json};

use crate::control::wait_until;
use crate::harbour::Harbour;
use crate::journey::was_away;
use crate::support::Run;

/// Of a tag whose pods run until somebody says how they ended.
const IMAGE: &str = "registry.harbour.example/sternway:1-broken";

const JOB: [&str; 7] = ["job", "--to", "1.1.2", "--image", IMAGE, "--apply", "--yes"];

/// The node of a Job's pods.
struct Node<'h>(&'h Harbour);

impl Node<'_> {
    /// Waits for a pod of a Job that has not ended, other than the last one.
    fn pod(&self, last: Option<&Value>) -> Value {
        let mut found = Value::Null;
        wait_until("a pod of the Job runs", || {
            let label = "--selector=app.kubernetes.io/name=sternway";
            let pods = self.0.kubectl(&["get", "pods", label, "-o", "json"]);
            let pods: Value = serde_json::from_str(&pods).expect("pods");
            let new = |it: &&Value| {
                it["status"]["phase"] == "Running"
                    && it["metadata"]["deletionTimestamp"].is_null()
                    && last.is_none_or(|last| last["metadata"]["uid"] != it["metadata"]["uid"])
            };
            found = pods["items"].as_array().expect("pods").iter().find(new).cloned().into();
            !found.is_null()
        });
        found
    }

    /// Runs what a pod's container runs, and gives the pod the log of that.
    fn runs(&self, pod: &Value, point: Option<&str>) -> Run {
        let harbour = self.0;
        let (name, spec) = (text(&pod["metadata"]["name"]), &pod["spec"]);
        let container = &spec["containers"][0];
        let folder = harbour.machine.text("etc");
        let volumes = spec["volumes"].as_array().expect("volumes").iter();
        for map in volumes.map(|it| text(&it["configMap"]["name"])) {
            // The authority's is mounted by `inside`.
            if !map.starts_with("sternway-") {
                continue;
            }
            let data = harbour.kubectl(&["get", "configmap", &map, "-o", "jsonpath={.data}"]);
            let data: Value = serde_json::from_str(&data).expect("data");
            for (file, content) in data.as_object().expect("files") {
                harbour.machine.write(&format!("etc/{file}"), &text(content));
            }
        }
        let inside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../dev/cluster/inside");
        let mut command = harbour.machine.program(&inside);
        harbour.cluster.equip(&mut command);
        command.arg(harbour.cluster.folder()).arg(&harbour.space);
        command.arg(text(&spec["serviceAccountName"])).arg(env!("CARGO_BIN_EXE_sternway"));
        let words = container["command"].as_array().expect("words").iter().skip(1);
        command.args(words.map(|it| text(it).replace("/etc/sternway", &folder)));
        command.envs(self.environment(container));
        harbour.rehearse(&mut command);
        if let Some(point) = point {
            command.env("FAILPOINTS", point);
        }
        let run = Run::of(command);
        let lines = run.stdout.lines().chain(run.stderr.lines());
        let line = |it: &str| format!("2026-08-01T00:00:00.000000000Z stdout F {it}\n");
        harbour.machine.write(&name, &lines.map(line).collect::<String>());
        let log = json!({ "containers": ["sternway"], "logsFile": harbour.machine.text(&name), "follow": false });
        let logs = json!({
            "apiVersion": "kwok.x-k8s.io/v1alpha1", "kind": "Logs", "metadata": { "name": name },
            "spec": { "logs": [log] },
        });
        harbour.apply(&logs.to_string());
        run
    }

    /// A container's variables, as a kubelet makes them.
    fn environment(&self, container: &Value) -> Vec<(String, String)> {
        let mut known: Vec<(String, String)> = Vec::new();
        for it in container["env"].as_array().into_iter().flatten() {
            let secret = &it["valueFrom"]["secretKeyRef"];
            let value = match secret.is_null() {
                false => {
                    let key = format!(
                        "go-template={{{{index .data \"{}\" | base64decode}}}}",
                        text(&secret["key"])
                    );
                    self.0.kubectl(&["get", "secret", &text(&secret["name"]), "-o", &key])
                }
                true => known.iter().fold(text(&it["value"]), |value, (name, other)| {
                    value.replace(&format!("$({name})"), other)
                }),
            };
            known.push((text(&it["name"]), value));
        }
        // Names of services mean nothing on this machine.
        let service = format!("harbour-postgresql.{}.svc:5432", self.0.space);
        let reached = |value: String| value.replace(&service, self.0.server.place());
        known.into_iter().map(|(name, value)| (name, reached(value))).collect()
    }

    /// The container of a pod has ended.
    fn ended(&self, pod: &Value, code: i32) {
        let phase = if code == 0 { "Succeeded" } else { "Failed" };
        let state =
            json!({ "running": null, "terminated": { "exitCode": code, "reason": "Ended" } });
        let container = json!({
            "name": "sternway", "image": IMAGE, "imageID": "x", "ready": false, "restartCount": 0, "state": state,
        });
        let status =
            json!({ "status": { "phase": phase, "containerStatuses": [container] } }).to_string();
        let name = text(&pod["metadata"]["name"]);
        self.0.kubectl(&["patch", "pod", &name, "--subresource=status", "-p", &status]);
    }

    /// The node is to be emptied.
    fn evict(&self, pod: &Value) {
        let name = text(&pod["metadata"]["name"]);
        let eviction = json!({
            "apiVersion": "policy/v1", "kind": "Eviction",
            "metadata": { "name": name, "namespace": self.0.space },
        });
        self.0.machine.write("eviction.json", &eviction.to_string());
        let path = format!("/api/v1/namespaces/{}/pods/{name}/eviction", self.0.space);
        self.0.kubectl(&["create", "--raw", &path, "-f", &self.0.machine.text("eviction.json")]);
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn installed(test: &str) -> Option<Harbour> {
    let harbour = Harbour::new(test)?;
    harbour.settings_for_kinds();
    harbour.install_with_kinds("1.2.1", &["--set", "controller.replicas=2"]);
    harbour.fill();
    Some(harbour)
}

#[test]
fn a_job_arrives_though_its_pod_is_evicted_and_one_that_was_printed_goes_back_up() {
    let Some(harbour) = installed("job") else { return };
    let (node, before) = (Node(&harbour), harbour.rows());
    thread::scope(|scope| {
        let followed = scope.spawn(|| harbour.run(&JOB));
        let first = node.pod(None);
        // Everything that it is given is by reference.
        assert!(!first.to_string().contains(crate::support::SECRET));
        let killed = node.runs(&first, Some("body.committed:2"));
        assert_eq!(killed.code, None, "{}", killed.stderr);
        node.evict(&first);
        let second = node.pod(Some(&first));
        let run = node.runs(&second, None).ended(0);
        let last = run.stdout.lines().last().expect("words").to_owned();
        node.ended(&second, 0);
        followed.join().expect("an end").ended(0).says(&[&last]);
    });
    harbour.is_at("1.1.2", 2);
    was_away(&harbour, 2);
    let printed = harbour.run(&["job", "--to", "1.2.1", "--image", IMAGE]).ended(0).stdout;
    harbour.kubectl(&["delete", "jobs", "--all"]);
    harbour.apply(&printed);
    let pod = node.pod(None);
    node.runs(&pod, None).ended(0);
    node.ended(&pod, 0);
    harbour.is_at("1.2.1", 2);
    was_away(&harbour, 2);
    harbour.has_rows(&before);
    for role in ["clusterrole", "clusterrolebinding"] {
        let ours = harbour.cluster.kubectl(&["get", role, "-o", "name"]);
        for name in ours.lines().filter(|it| it.contains("/sternway-harbour-")) {
            let of = harbour.cluster.kubectl(&["get", name, "-o", "json"]);
            if role == "clusterrole" || of.contains(&harbour.space) {
                harbour.cluster.kubectl_does(&["delete", name]);
            }
        }
    }
}

#[test]
fn a_job_ends_as_its_pod_does() {
    let Some(harbour) = installed("job_code") else { return };
    let node = Node(&harbour);
    thread::scope(|scope| {
        let followed = scope.spawn(|| harbour.run(&JOB));
        let pod = node.pod(None);
        // Somebody else was faster: the plan is not for what is there now.
        harbour.run(&["rollback", "--to", "1.2.0", "--yes"]).ended(0);
        let run = node.runs(&pod, None);
        let code = run.code.expect("a code");
        assert_ne!(code, 0, "{}", run.stdout);
        node.ended(&pod, code);
        let followed = followed.join().expect("an end");
        assert_eq!(followed.code, Some(code), "{}", followed.stderr);
        followed.explains(&[&format!("its last pod ended with exit code {code}")]);
    });
    harbour.is_at("1.2.0", 2);
    fs::metadata(harbour.machine.path("etc/plan.json")).expect("it was given the plan");
}
