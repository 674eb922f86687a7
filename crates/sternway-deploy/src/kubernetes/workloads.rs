//! What is stopped and started: how it is, how it is made to stand at zero, and how it comes back.
//!
//! Numbers are set through the `scale` subresource alone: after a way through zero nobody owns them, and a
//! later `helm upgrade` finds no conflict.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use kube::api::{DynamicObject, Patch};
use serde_json::{Value, json};
use sternway_model::app::{Paused, Was, Workload, WorkloadKind};
use tokio::time::{Instant, sleep};

use super::autoscalers;
use super::cluster::{CRON_JOB, Cluster, DEPLOYMENT, JOB, Kind, Refusal, STATEFUL_SET, manner};
use super::pods;

/// How long to wait before looking again.
const PAUSE: Duration = Duration::from_millis(500);
/// How long pods may take beyond their own grace period.
const BEYOND: i64 = 60;
/// For how long nothing may come back before it is taken to be stopped.
const STEADY: Duration = Duration::from_secs(1);
/// How often a number is set to zero again that somebody raises.
const TIMES: usize = 5;

/// A workload as settings name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// Its kind.
    pub kind: WorkloadKind,
    /// Its name.
    pub name: String,
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind.word(), self.name)
    }
}

impl std::str::FromStr for Named {
    type Err = String;

    /// Reads `deployment/kagent-controller`.
    fn from_str(text: &str) -> Result<Named, String> {
        let (kind, name) = text.split_once('/').unwrap_or((text, ""));
        let kind = match kind.to_ascii_lowercase().as_str() {
            "deployment" | "deployments" | "deploy" => WorkloadKind::Deployment,
            "statefulset" | "statefulsets" | "sts" => WorkloadKind::StatefulSet,
            "cronjob" | "cronjobs" | "cj" => WorkloadKind::CronJob,
            "job" | "jobs" => WorkloadKind::Job,
            _ => {
                return Err(format!(
                    "`{text}` is none of deployment/NAME, statefulset/NAME, cronjob/NAME and job/NAME"
                ));
            }
        };
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c);
        match !name.is_empty() && name.chars().all(plain) {
            true => Ok(Named { kind, name: name.to_owned() }),
            false => Err(format!("`{text}` has no name that Kubernetes allows")),
        }
    }
}

/// How the API server is asked for workloads of a kind.
pub(super) fn kind(kind: WorkloadKind) -> &'static Kind {
    match kind {
        WorkloadKind::Deployment => &DEPLOYMENT,
        WorkloadKind::StatefulSet => &STATEFUL_SET,
        WorkloadKind::CronJob => &CRON_JOB,
        WorkloadKind::Job => &JOB,
    }
}

/// Whether a kind has a number of pods.
pub(super) fn scales(it: WorkloadKind) -> bool {
    matches!(it, WorkloadKind::Deployment | WorkloadKind::StatefulSet)
}

/// The workload as it is, with what would start it again by itself.
///
/// # Errors
/// Where it cannot be read, and where stopping it would take something away for good.
pub(super) async fn look(cluster: &Cluster, named: &Named) -> Result<Workload, String> {
    let Named { kind: it, name } = named;
    let object = cluster.get(kind(*it), name).await?;
    let mut workload =
        Workload { kind: *it, name: name.clone(), was: Was::Gone, paused: None, autoscaler: None };
    let Some(object) = object else { return Ok(workload) };
    let spec = &object.data["spec"];
    if !scales(*it) {
        workload.was = Was::Suspended(spec["suspend"].as_bool().unwrap_or(false));
        return Ok(workload);
    }
    if spec["persistentVolumeClaimRetentionPolicy"]["whenScaled"] == "Delete" {
        return Err(format!(
            "{} deletes its volumes when it is scaled to zero (persistentVolumeClaimRetentionPolicy.whenScaled is Delete); set that to Retain first",
            workload.id()
        ));
    }
    workload.was = Was::Replicas(i32::try_from(number(&object)).unwrap_or(i32::MAX));
    workload.paused = autoscalers::scaled_object(cluster, kind(*it).kind, name).await?;
    workload.autoscaler = autoscalers::horizontal(cluster, kind(*it).kind, name).await?;
    Ok(workload)
}

/// Stops the workloads, and returns when no pod of theirs is left.
pub(super) async fn stop(cluster: &Cluster, workloads: &[Workload]) -> Result<(), String> {
    for workload in workloads {
        if let Some(Paused { name, .. }) = &workload.paused {
            autoscalers::pause(cluster, name).await?;
        }
        halt(cluster, workload).await?;
    }
    let mut raised = vec![0; workloads.len()];
    loop {
        for (workload, raised) in workloads.iter().zip(&mut raised) {
            gone(cluster, workload, raised).await?;
        }
        // A controller that keeps the number brings it back within the second.
        sleep(STEADY).await;
        if !raised_again(cluster, workloads).await? {
            return Ok(());
        }
    }
}

/// Whether somebody has given one of these workloads pods again.
async fn raised_again(cluster: &Cluster, workloads: &[Workload]) -> Result<bool, String> {
    for workload in workloads.iter().filter(|it| scales(it.kind)) {
        let object = cluster.get(kind(workload.kind), &workload.name).await?;
        if object.is_some_and(|it| number(&it) > 0) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// How many pods a workload is to have; what is absent is 1 in the object itself.
fn number(object: &DynamicObject) -> i64 {
    object.data["spec"]["replicas"].as_i64().unwrap_or(1)
}

/// Tells a workload to have no pods.
async fn halt(cluster: &Cluster, workload: &Workload) -> Result<(), String> {
    let told = match scales(workload.kind) {
        true => scale(cluster, workload, 0).await,
        false => suspend(cluster, workload, true).await,
    };
    told.map_err(|refusal| format!("{}: {}", workload.id(), String::from(refusal)))
}

/// Sets the number of pods; where the workload is not there, there is nothing to set.
pub(super) async fn scale(
    cluster: &Cluster,
    workload: &Workload,
    replicas: i32,
) -> Result<(), Refusal> {
    let objects = cluster.objects(kind(workload.kind));
    let (manner, change) = (manner(), Patch::Merge(json!({ "spec": { "replicas": replicas } })));
    match cluster.ask(|| objects.patch_scale(&workload.name, &manner, &change)).await {
        Ok(_) | Err(Refusal::NotFound) => Ok(()),
        Err(refusal) => Err(refusal),
    }
}

/// Suspends a workload or lets it go on; where it is not there, there is nothing to say.
async fn suspend(cluster: &Cluster, workload: &Workload, it: bool) -> Result<(), Refusal> {
    let change = json!({ "spec": { "suspend": it } });
    match cluster.patch(kind(workload.kind), &workload.name, &change).await {
        Err(Refusal::NotFound) => Ok(()),
        told => told,
    }
}

/// Waits until no pod of a workload is left. Whoever raises its number meanwhile is overruled a few
/// times, and then named.
async fn gone(cluster: &Cluster, workload: &Workload, raised: &mut usize) -> Result<(), String> {
    let mut end: Option<Instant> = None;
    loop {
        let Some(object) = cluster.get(kind(workload.kind), &workload.name).await? else {
            return Ok(());
        };
        if scales(workload.kind) && number(&object) > 0 {
            *raised += 1;
            if *raised > TIMES {
                return Err(format!(
                    "{} is scaled up again each time it is scaled to zero, by {}; stop that first",
                    workload.id(),
                    raised_by(&object)
                ));
            }
            halt(cluster, workload).await?;
        }
        let left = pods::of(cluster, workload.kind, &object).await?;
        let left: Vec<&pods::Pod> = left.iter().filter(|it| !it.has_ended()).collect();
        let seen = object.data["status"]["observedGeneration"].as_i64();
        let current = seen.is_none() || seen >= object.metadata.generation;
        if left.is_empty() && current {
            return Ok(());
        }
        let grace = left.iter().map(|it| it.grace()).max().unwrap_or(0) + BEYOND;
        let grace = Duration::from_secs(u64::try_from(grace).unwrap_or_default());
        let end = *end.get_or_insert_with(|| Instant::now() + grace);
        if Instant::now() >= end {
            let pods: Vec<String> = left.iter().map(|it| it.words()).collect();
            return Err(format!(
                "{} still has pods after {} s: {}",
                workload.id(),
                grace.as_secs(),
                pods.join("; ")
            ));
        }
        sleep(PAUSE).await;
    }
}

/// Who has set the number, as the object's `managedFields` tell.
fn raised_by(object: &DynamicObject) -> String {
    let fields = object.metadata.managed_fields.iter().flatten();
    let owners = fields.filter(|it| {
        let fields = it.fields_v1.as_ref().map_or(&Value::Null, |it| &it.0);
        !fields["f:spec"]["f:replicas"].is_null()
    });
    let owners: BTreeSet<&str> = owners.filter_map(|it| it.manager.as_deref()).collect();
    match owners.is_empty() {
        true => "somebody that the object does not name".to_owned(),
        false => owners.into_iter().collect::<Vec<_>>().join(", "),
    }
}

/// Brings the workloads back to how they were, and returns when their pods are ready.
pub(super) async fn start(
    cluster: &Cluster,
    workloads: &[Workload],
    limit: Duration,
) -> Result<(), String> {
    for Paused { name, annotations } in workloads.iter().filter_map(|it| it.paused.as_ref()) {
        autoscalers::restore(cluster, name, annotations).await?;
    }
    for workload in workloads.iter().rev() {
        bring_back(cluster, workload)
            .await
            .map_err(|refusal| format!("{}: {}", workload.id(), String::from(refusal)))?;
    }
    let end = Instant::now() + limit;
    for workload in workloads.iter().rev().filter(|it| scales(it.kind)) {
        ready(cluster, workload, end, limit).await?;
    }
    Ok(())
}

async fn bring_back(cluster: &Cluster, workload: &Workload) -> Result<(), Refusal> {
    match workload.was {
        Was::Gone => Ok(()),
        Was::Suspended(suspended) => suspend(cluster, workload, suspended).await,
        Was::Replicas(wanted) => {
            let object = cluster.get(kind(workload.kind), &workload.name).await?;
            let is = object.as_ref().map(number);
            match is {
                None => Ok(()),
                Some(is) if is == i64::from(wanted) => Ok(()),
                // What an autoscaler has made of it meanwhile is its to say.
                Some(is)
                    if is > 0 && (workload.autoscaler.is_some() || workload.paused.is_some()) =>
                {
                    Ok(())
                }
                // From zero on, nobody owns the number: see the top of this file.
                Some(is) => {
                    if is > 0 {
                        scale(cluster, workload, 0).await?;
                    }
                    scale(cluster, workload, wanted).await
                }
            }
        }
    }
}

/// Waits until all pods of a workload are of its present template, and ready.
async fn ready(
    cluster: &Cluster,
    workload: &Workload,
    end: Instant,
    limit: Duration,
) -> Result<(), String> {
    loop {
        let object = cluster.get(kind(workload.kind), &workload.name).await?;
        let Some(object) = object else {
            return match workload.was {
                Was::Gone => Ok(()),
                _ => Err(format!("{} is not there", workload.id())),
            };
        };
        let pods = pods::of(cluster, workload.kind, &object).await?;
        if rolled_out(&object) && pods.iter().all(|it| it.has_ended() || !it.is_ending()) {
            return Ok(());
        }
        if Instant::now() + PAUSE >= end {
            let troubles: Vec<String> =
                pods.iter().filter(|it| !it.is_ready()).map(pods::Pod::words).collect();
            let troubles = match troubles.is_empty() {
                true => "it has no pod".to_owned(),
                false => troubles.join("; "),
            };
            return Err(format!(
                "{} is not ready after {} s: {troubles}",
                workload.id(),
                limit.as_secs()
            ));
        }
        sleep(PAUSE).await;
    }
}

/// Whether the controller has seen the present template, and all its pods are ready.
fn rolled_out(object: &DynamicObject) -> bool {
    let status = &object.data["status"];
    let wanted = number(object);
    let count = |name: &str| status[name].as_i64().unwrap_or(0);
    let seen = count("observedGeneration") >= object.metadata.generation.unwrap_or(0);
    let all = |name: &str| count(name) == wanted;
    let updated = match status["updateRevision"].as_str() {
        // A StatefulSet counts none as updated once all are.
        Some(update) if status["currentRevision"] == update => true,
        _ => all("updatedReplicas"),
    };
    seen && updated && all("replicas") && all("readyReplicas")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_kubectl_writes_them() {
        let read = |text: &str| text.parse::<Named>().map(|it| (it.kind, it.name));
        let controller = (WorkloadKind::Deployment, "a-controller".to_owned());
        assert_eq!(read("deployment/a-controller"), Ok(controller.clone()));
        assert_eq!(read("deploy/a-controller"), Ok(controller));
        assert!(read("daemonset/a").is_err());
        assert!(read("deployment/").is_err());
        assert!(read("deployment/a b").is_err());
    }
}
