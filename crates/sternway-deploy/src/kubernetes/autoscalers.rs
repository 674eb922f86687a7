//! What would scale a workload up by itself, and how it is made to rest.
//!
//! A HorizontalPodAutoscaler rests while its target is at zero. KEDA's ScaledObject rests while an
//! annotation says so, and takes its HorizontalPodAutoscaler away meanwhile.

use std::collections::BTreeMap;
use std::time::Duration;

use kube::api::DynamicObject;
use serde_json::{Value, json};
use sternway_model::app::Paused;
use tokio::time::{Instant, sleep};

use super::cluster::{AUTOSCALER, Cluster, Refusal, SCALED_OBJECT};

/// The annotations by which KEDA pauses a ScaledObject.
const PAUSES: [&str; 2] = ["autoscaling.keda.sh/paused", "autoscaling.keda.sh/paused-replicas"];
/// How long KEDA may take to have seen that it is to rest.
const LIMIT: Duration = Duration::from_secs(60);
/// How long to wait before looking again.
const PAUSE: Duration = Duration::from_millis(500);

/// Whether an autoscaler's target is this workload.
fn targets(object: &DynamicObject, kind: &str, name: &str) -> bool {
    let target = &object.data["spec"]["scaleTargetRef"];
    target["name"] == name && target["kind"].as_str().unwrap_or("Deployment") == kind
}

/// The name of the HorizontalPodAutoscaler of a workload.
///
/// # Errors
/// Where there is one that scales up from zero by itself: it would start the application in the middle.
pub(super) async fn horizontal(
    cluster: &Cluster,
    kind: &str,
    name: &str,
) -> Result<Option<String>, String> {
    let all = match cluster.list(&AUTOSCALER, "").await {
        Ok(all) => all,
        Err(Refusal::NotFound) => return Ok(None),
        Err(refusal) => return Err(refusal.into()),
    };
    let Some(it) = all.into_iter().find(|it| targets(it, kind, name)) else { return Ok(None) };
    let own = it.metadata.name.clone().unwrap_or_default();
    let conditions = it.data["status"]["conditions"].as_array().into_iter().flatten();
    let from_zero =
        conditions.into_iter().any(|it| it["type"] == "ScaledToZero" && it["status"] == "True");
    match from_zero {
        true => Err(format!(
            "horizontalpodautoscaler/{own} has scaled {name} to zero and scales it up from there by itself; set its minReplicas to 1 first"
        )),
        false => Ok(Some(own)),
    }
}

/// The ScaledObject of a workload, with its annotations about pauses as they are.
pub(super) async fn scaled_object(
    cluster: &Cluster,
    kind: &str,
    name: &str,
) -> Result<Option<Paused>, String> {
    let all = match cluster.list(&SCALED_OBJECT, "").await {
        Ok(all) => all,
        // There is no KEDA in this cluster: the right to look was asked for where there is.
        Err(Refusal::NotFound | Refusal::Forbidden(_)) => return Ok(None),
        Err(refusal) => return Err(refusal.into()),
    };
    let it = all.into_iter().find(|it| targets(it, kind, name));
    Ok(it.map(|it| {
        let annotations = it.metadata.annotations.unwrap_or_default();
        let before = PAUSES.iter().map(|key| ((*key).to_owned(), annotations.get(*key).cloned()));
        Paused { name: it.metadata.name.unwrap_or_default(), annotations: before.collect() }
    }))
}

/// Pauses a ScaledObject with its target at zero, and waits until KEDA has seen it.
pub(super) async fn pause(cluster: &Cluster, name: &str) -> Result<(), String> {
    let annotations: BTreeMap<&str, Option<&str>> =
        [(PAUSES[0], None), (PAUSES[1], Some("0"))].into();
    annotate(cluster, name, &json!(annotations)).await?;
    let end = Instant::now() + LIMIT;
    loop {
        let object = cluster.get(&SCALED_OBJECT, name).await?;
        let Some(object) = object else { return Ok(()) };
        let conditions = object.data["status"]["conditions"].as_array().into_iter().flatten();
        let paused =
            conditions.into_iter().any(|it| it["type"] == "Paused" && it["status"] == "True");
        // The condition comes first, and the autoscaler goes after it.
        let own = format!("keda-hpa-{name}");
        let own = object.data["status"]["hpaName"].as_str().unwrap_or(&own);
        if paused && cluster.get(&AUTOSCALER, own).await?.is_none() {
            return Ok(());
        }
        if Instant::now() >= end {
            return Err(format!(
                "KEDA has not paused scaledobject/{name} after {} s; is its operator running?",
                LIMIT.as_secs()
            ));
        }
        sleep(PAUSE).await;
    }
}

/// Gives a ScaledObject its annotations back as they were.
pub(super) async fn restore(
    cluster: &Cluster,
    name: &str,
    annotations: &BTreeMap<String, Option<String>>,
) -> Result<(), String> {
    annotate(cluster, name, &json!(annotations)).await
}

async fn annotate(cluster: &Cluster, name: &str, annotations: &Value) -> Result<(), String> {
    let change = json!({ "metadata": { "annotations": annotations } });
    match cluster.patch(&SCALED_OBJECT, name, &change).await {
        Ok(()) | Err(Refusal::NotFound) => Ok(()),
        Err(refusal) => Err(format!("scaledobject/{name}: {}", String::from(refusal))),
    }
}
