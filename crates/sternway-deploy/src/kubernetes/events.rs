//! Events on the objects that were touched, so that `kubectl describe` tells who stopped them. They are a
//! courtesy, kept for an hour or so: the journal is the record, and an Event that cannot be written is passed over.

use kube::api::{DynamicObject, PostParams};
use serde_json::json;
use sternway_model::app::Workload;

use super::cluster::{Cluster, EVENT, MANAGER};
use super::workloads;

/// Tells of a workload what was done with it: `action` in one word, and a sentence.
pub(super) async fn tell(cluster: &Cluster, workload: &Workload, action: &str, note: &str) {
    let kind = workloads::kind(workload.kind);
    let Ok(Some(object)) = cluster.get(kind, &workload.name).await else { return };
    let now = jiff::Timestamp::now();
    let event = json!({
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {
            "generateName": format!("{}-", workload.name),
            "namespace": cluster.namespace(),
        },
        "eventTime": format!("{now:.6}"),
        "reportingController": "sternway.dev/sternway",
        "reportingInstance": MANAGER,
        "action": action,
        "reason": format!("Sternway{action}"),
        "type": "Normal",
        "note": note,
        // `kubectl describe` shows those with the object's own UID alone.
        "regarding": {
            "apiVersion": kind.api(),
            "kind": kind.kind,
            "namespace": cluster.namespace(),
            "name": workload.name,
            "uid": object.metadata.uid,
        },
    });
    let Ok(event) = serde_json::from_value::<DynamicObject>(event) else { return };
    let events = cluster.objects(&EVENT);
    if let Err(error) = events.create(&PostParams::default(), &event).await {
        tracing::debug!("an event on {} was not written: {error}", workload.id());
    }
}
