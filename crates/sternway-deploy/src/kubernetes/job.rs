//! A Job that executes a plan inside of the cluster: its manifests, and following it to its end.
//!
//! The Job carries no secret: it is given the database as the application's own pod is, by reference. It may be
//! started again at any time, on another node: the plan is in a ConfigMap, and how far it came is in the
//! database's journal.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::{AsyncBufReadExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::{Container, Pod as Object, PodSpec};
use kube::Api;
use kube::api::{DynamicObject, LogParams, PostParams};
use serde::Serialize;
use serde_json::{Value, json};
use sternway_model::app::Right;
use sternway_model::plan::Plan;
use tokio::time::{sleep, timeout};

use super::cluster::{Cluster, JOB, Refusal, resource};
use super::database::{Variable, container_of, pod};
use super::pods::{self, Pod};
use super::rights::roles_of;
use super::{Health, Settings, Swap};

/// What the Job's container is told with, as `sternway` reads it.
const FOLDER: &str = "/etc/sternway";
/// The account that the pod of a distroless image runs as.
const NOBODY: i64 = 65532;
/// How long to wait before looking again.
const PAUSE: Duration = Duration::from_secs(1);
/// How long a log may be silent before it is asked for again.
const SILENT: Duration = Duration::from_secs(30);
/// How much a ConfigMap holds, in bytes.
const MOST: usize = 1 << 20;
/// Exit codes after which starting again would not help: usage, refused, drift, dirty.
const FINAL: [i32; 4] = [2, 3, 4, 5];

/// How a plan is executed inside of a cluster.
#[derive(Debug, Clone)]
pub struct JobSettings {
    /// The image.
    pub image: String,
    /// The settings file's text, where there is one.
    pub settings: Option<String>,
    /// The profile, where one is taken.
    pub profile: Option<String>,
    /// An account that is there; without it one is made.
    pub service_account: Option<String>,
    /// A Secret and its key that hold the database's URL.
    pub database_secret: Option<(String, String)>,
    /// How often the pod is started again.
    pub retries: u32,
}

/// A Job that is ready to be created.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// Its name.
    pub name: String,
    /// All that it consists of, in the order in which it is created.
    pub manifests: Vec<Value>,
}

/// How a Job ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// The exit code of its last pod, where the cluster still tells it.
    pub code: Option<i32>,
    /// What the cluster says of it.
    pub words: String,
}

/// Makes the manifests of a Job for a plan.
///
/// # Errors
/// Where the application's pod does not say which database it uses, and where the plan needs what only this
/// machine has.
pub async fn job(settings: &Settings, plan: &Plan, how: &JobSettings) -> Result<Job, String> {
    let local =
        |chart: &str| !chart.contains("://") && (chart.starts_with('/') || chart.starts_with('.'));
    if let Some(it) = settings.helm.iter().find(|it| local(&it.chart)) {
        return Err(format!("chart {} is on this machine, and a Job cannot read it", it.chart));
    }
    if let Swap::Command(_) = settings.swap {
        return Err("the swap is a command of this machine, which a Job cannot run".to_owned());
    }
    let cluster = settings.access.cluster().await?;
    let text = plan.to_json();
    let name = format!("sternway-{}-{}", label(&plan.app), plan.digest().short());
    let names = Names { name: &name, namespace: cluster.namespace() };
    let mut data = json!({ "plan.json": text });
    if let Some(settings) = &how.settings {
        data["sternway.toml"] = json!(settings);
    }
    if data.to_string().len() >= MOST {
        return Err(
            "the plan is larger than a ConfigMap may be; execute it from outside".to_owned()
        );
    }
    let mut manifests = Vec::new();
    if how.service_account.is_none() {
        manifests.push(names.of("v1", "ServiceAccount", json!({})));
        // The way to the database is shorter from inside.
        let asks = matches!(settings.health, Some(Health::Http { .. }));
        let needed = |it: &&Right| asks || it.resource != "pods/portforward";
        let rights: Vec<Right> = plan.deployment.rights.iter().filter(needed).cloned().collect();
        for role in roles_of(&name, &rights) {
            let kind = role["kind"].as_str().unwrap_or_default().to_owned();
            manifests.push(role);
            manifests.push(names.of(
                "rbac.authorization.k8s.io/v1",
                if kind == "Role" { "RoleBinding" } else { "ClusterRoleBinding" },
                json!({
                    "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name },
                    "subjects": [{ "kind": "ServiceAccount", "name": name, "namespace": cluster.namespace() }],
                }),
            ));
        }
    }
    manifests.push(names.of("v1", "ConfigMap", json!({ "data": data })));
    let given = given(&cluster, settings, how).await?;
    manifests.push(names.of("batch/v1", "Job", json!({ "spec": spec(&name, how, given) })));
    Ok(Job { name, manifests })
}

struct Names<'a> {
    name: &'a str,
    namespace: &'a str,
}

impl Names<'_> {
    fn of(&self, api: &str, kind: &str, rest: Value) -> Value {
        let mut object = json!({
            "apiVersion": api,
            "kind": kind,
            "metadata": { "name": self.name, "labels": { "app.kubernetes.io/managed-by": "sternway" } },
        });
        if kind != "ClusterRoleBinding" {
            object["metadata"]["namespace"] = json!(self.namespace);
        }
        if let (Some(object), Value::Object(rest)) = (object.as_object_mut(), rest) {
            object.extend(rest);
        }
        object
    }
}

/// A name's letters and digits, as Kubernetes allows them.
fn label(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    name.chars().map(plain).take(30).collect()
}

/// What a container needs to be told the database: variables, mounts and volumes.
#[derive(Default)]
struct Given {
    env: Vec<Value>,
    env_from: Vec<Value>,
    mounts: Vec<Value>,
    volumes: Vec<Value>,
}

/// The database as the application's own pod is told it, by reference.
async fn given(cluster: &Cluster, settings: &Settings, how: &JobSettings) -> Result<Given, String> {
    let mut given = Given::default();
    if let Some((name, key)) = &how.database_secret {
        given.env.push(json!({
            "name": "STERNWAY_DATABASE",
            "valueFrom": { "secretKeyRef": { "name": name, "key": key } },
        }));
        return Ok(given);
    }
    let (spec, whose) = pod(cluster, settings).await?;
    let container = container_of(&spec, settings, &whose)?;
    for variable in &settings.database {
        let (Variable::Url(name) | Variable::File(name)) = variable;
        let env = container.env.iter().flatten();
        let set = env.into_iter().any(|it| it.name == *name && it.value.as_deref() != Some(""));
        // Whether a ConfigMap or Secret that is taken whole has it, its pod will see.
        if !set && container.env_from.iter().flatten().next().is_none() {
            continue;
        }
        if !set && settings.database.last() != Some(variable) {
            continue;
        }
        given.env_from = container.env_from.iter().flatten().map(json).collect();
        given.env = needed(container, name);
        let value = format!("$({name})");
        match variable {
            Variable::Url(_) => {
                given.env.push(json!({ "name": "STERNWAY_DATABASE", "value": value }))
            }
            Variable::File(_) => {
                given.env.push(json!({ "name": "STERNWAY_DATABASE_URL_FILE", "value": value }));
                (given.mounts, given.volumes) = mounted(&spec, container);
            }
        }
        return Ok(given);
    }
    Err(format!("{whose} is given no database; --database-secret NAME/KEY names one"))
}

/// An object of the API as JSON.
fn json(object: &impl Serialize) -> Value {
    serde_json::to_value(object).unwrap_or_default()
}

/// A variable of a container with those that its value refers to, in their order.
fn needed(container: &Container, name: &str) -> Vec<Value> {
    let env: Vec<_> = container.env.iter().flatten().collect();
    let mut wanted = BTreeSet::from([name.to_owned()]);
    for it in env.iter().rev() {
        if !wanted.contains(&it.name) {
            continue;
        }
        let mut rest = it.value.as_deref().unwrap_or_default();
        while let Some((_, after)) = rest.split_once("$(") {
            let Some((name, after)) = after.split_once(')') else { break };
            wanted.insert(name.to_owned());
            rest = after;
        }
    }
    env.into_iter().filter(|it| wanted.contains(&it.name)).map(json).collect()
}

/// The Secrets, ConfigMaps and projections that a container has mounted.
fn mounted(spec: &PodSpec, container: &Container) -> (Vec<Value>, Vec<Value>) {
    let readable = |name: &str| {
        let mut volumes = spec.volumes.iter().flatten();
        volumes.find(|it| it.name == name && (it.secret.is_some() || it.config_map.is_some()))
    };
    let mounts = container.volume_mounts.iter().flatten().filter(|it| readable(&it.name).is_some());
    let mounts: Vec<_> = mounts.collect();
    let names: BTreeSet<&str> = mounts.iter().map(|it| it.name.as_str()).collect();
    let volumes = names.into_iter().filter_map(readable).map(json).collect();
    (mounts.into_iter().map(json).collect(), volumes)
}

fn spec(name: &str, how: &JobSettings, given: Given) -> Value {
    let Given { mut env, env_from, mut mounts, mut volumes } = given;
    // Helm's folders, and those of what was learned: nothing of it has to outlive the pod.
    env.push(json!({ "name": "HOME", "value": "/tmp" }));
    mounts.push(json!({ "name": "sternway", "mountPath": FOLDER, "readOnly": true }));
    mounts.push(json!({ "name": "tmp", "mountPath": "/tmp" }));
    volumes.push(json!({ "name": "sternway", "configMap": { "name": name } }));
    volumes.push(json!({ "name": "tmp", "emptyDir": {} }));
    let mut words = vec!["sternway".to_owned()];
    if how.settings.is_some() {
        words.extend(["--config".to_owned(), format!("{FOLDER}/sternway.toml")]);
    }
    if let Some(profile) = &how.profile {
        words.extend(["--profile".to_owned(), profile.clone()]);
    }
    let apply = ["apply", &format!("{FOLDER}/plan.json"), "--yes", "--or-resume"];
    words.extend(apply.map(str::to_owned));
    json!({
        "backoffLimit": how.retries,
        // A second pod beside a dying one would only wait for its locks.
        "podReplacementPolicy": "Failed",
        "podFailurePolicy": { "rules": [
            { "action": "FailJob", "onExitCodes": { "containerName": "sternway", "operator": "In", "values": FINAL } },
            // An eviction is nobody's failure.
            { "action": "Ignore", "onPodConditions": [{ "type": "DisruptionTarget", "status": "True" }] },
        ] },
        "template": {
            "metadata": {
                "labels": { "app.kubernetes.io/name": "sternway" },
                "annotations": { "sidecar.istio.io/inject": "false" },
            },
            "spec": {
                "serviceAccountName": how.service_account.as_deref().unwrap_or(name),
                "restartPolicy": "Never",
                // A statement that is under way may end.
                "terminationGracePeriodSeconds": 120,
                "securityContext": {
                    "runAsNonRoot": true, "runAsUser": NOBODY, "fsGroup": NOBODY,
                    "seccompProfile": { "type": "RuntimeDefault" },
                },
                "containers": [{
                    "name": "sternway",
                    "image": how.image,
                    "command": words,
                    "env": env,
                    "envFrom": env_from,
                    "volumeMounts": mounts,
                    "resources": {
                        "requests": { "cpu": "100m", "memory": "256Mi" },
                        "limits": { "memory": "1Gi" },
                    },
                    "securityContext": {
                        "allowPrivilegeEscalation": false,
                        "capabilities": { "drop": ["ALL"] },
                    },
                }],
                "volumes": volumes,
            },
        },
    })
}

/// Creates a Job, or finds the one of the same plan that is there, and follows it to its end. Each line that its
/// pods print is given to `line`.
///
/// # Errors
/// Where something cannot be created, or the API server is gone for long. The Job goes on then.
pub async fn follow(
    settings: &Settings,
    job: &Job,
    mut line: impl FnMut(&str),
) -> Result<Ended, String> {
    let cluster = settings.access.cluster().await?;
    for manifest in &job.manifests {
        create(&cluster, manifest).await?;
    }
    let mut logs: BTreeMap<String, Shown> = BTreeMap::new();
    loop {
        let Some(object) = cluster.get(&JOB, &job.name).await? else {
            return Err(format!("job/{} was deleted", job.name));
        };
        let pods = pods::with_labels(&cluster, &format!("job-name={}", job.name)).await?;
        for pod in &pods {
            let shown = logs.entry(pod.name().to_owned()).or_default();
            show(&cluster, pod, shown, &mut line).await;
        }
        if let Some(words) = ended(&object) {
            let newest = pods.iter().max_by_key(|it| it.0.metadata.creation_timestamp.clone());
            return Ok(Ended { code: newest.and_then(exit_code), words });
        }
        sleep(PAUSE).await;
    }
}

/// What was shown of a pod's log.
#[derive(Default)]
struct Shown {
    lines: usize,
    is_all: bool,
}

/// Creates an object, unless it is there.
async fn create(cluster: &Cluster, manifest: &Value) -> Result<(), String> {
    let text = |key: &str| manifest[key].as_str().unwrap_or_default().to_owned();
    let (api_version, kind) = (text("apiVersion"), text("kind"));
    let resource = resource(&api_version, &kind, &format!("{}s", kind.to_lowercase()));
    let objects: Api<DynamicObject> = match manifest["metadata"]["namespace"].as_str() {
        Some(namespace) => Api::namespaced_with(cluster.client.clone(), namespace, &resource),
        None => Api::all_with(cluster.client.clone(), &resource),
    };
    let object: DynamicObject = serde_json::from_value(manifest.clone())
        .map_err(|error| format!("{kind} cannot be written: {error}"))?;
    let manner = PostParams::default();
    match cluster.ask(|| objects.create(&manner, &object)).await {
        // The same plan has the same name.
        Ok(_) | Err(Refusal::Conflict(_)) => Ok(()),
        Err(refusal) => Err(format!("{kind} cannot be created: {}", String::from(refusal))),
    }
}

/// What the Job's own condition says, once its last pod has ended.
fn ended(job: &DynamicObject) -> Option<String> {
    let conditions = job.data["status"]["conditions"].as_array()?;
    let is = |it: &&Value, name: &str| it["type"] == name && it["status"] == "True";
    if conditions.iter().any(|it| is(&it, "Complete")) {
        return Some("it completed".to_owned());
    }
    let failed = conditions.iter().find(|it| is(it, "Failed"))?;
    let text = |key: &str| failed[key].as_str().unwrap_or_default().to_owned();
    Some(format!("it failed: {} ({})", text("message"), text("reason")))
}

fn exit_code(pod: &Pod) -> Option<i32> {
    let statuses = pod.0.status.as_ref()?.container_statuses.as_ref()?;
    let own = statuses.iter().find(|it| it.name == "sternway")?;
    own.state.as_ref()?.terminated.as_ref().map(|it| it.exit_code)
}

/// Shows what is new in a pod's log, for as long as the connection holds: what is cut off, or silent for long,
/// is read again from its beginning.
async fn show(cluster: &Cluster, pod: &Pod, shown: &mut Shown, line: &mut impl FnMut(&str)) {
    let is_pending = pod.0.status.as_ref().and_then(|it| it.phase.as_deref()) == Some("Pending");
    if is_pending || shown.is_all {
        return;
    }
    let pods: Api<Object> = Api::namespaced(cluster.client.clone(), cluster.namespace());
    let which = LogParams { follow: true, ..LogParams::default() };
    let stream = match timeout(SILENT, pods.log_stream(pod.name(), &which)).await {
        Ok(Ok(stream)) => stream,
        // A container that has only just begun may have none yet.
        _ if !pod.has_ended() => return,
        _ => {
            shown.is_all = true;
            return line(&format!("the log of pod {} cannot be read", pod.name()));
        }
    };
    let (mut lines, mut at) = (stream.lines(), 0);
    let is_whole = loop {
        match timeout(SILENT, lines.try_next()).await {
            Ok(Ok(Some(text))) => {
                at += 1;
                if at > shown.lines {
                    line(&text);
                    shown.lines = at;
                }
            }
            Ok(Ok(None)) => break true,
            Ok(Err(_)) | Err(_) => break false,
        }
    };
    shown.is_all = is_whole && pod.has_ended();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_is_taken_with_those_that_it_refers_to() {
        let container: Container = serde_json::from_value(json!({
            "name": "controller",
            "env": [
                { "name": "PASSWORD", "valueFrom": { "secretKeyRef": { "name": "db", "key": "password" } } },
                { "name": "OTHER", "value": "x" },
                { "name": "URL", "value": "postgres://harbour:$(PASSWORD)@db/harbour" },
            ],
        }))
        .expect("a container");
        let names: Vec<Value> =
            needed(&container, "URL").iter().map(|it| it["name"].clone()).collect();
        assert_eq!(names, ["PASSWORD", "URL"]);
    }
}
