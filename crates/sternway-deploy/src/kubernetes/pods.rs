//! Pods: whose they are, whether they have ended or are ready, and what keeps them.

use k8s_openapi::api::core::v1::{Container, ContainerStatus, Pod as Object, PodSpec};
use kube::Api;
use kube::api::{DynamicObject, ListParams};
use serde_json::Value;
use sternway_model::app::WorkloadKind;

use super::cluster::{Cluster, JOB, Refusal};

/// A pod as it was found.
#[derive(Debug, Clone)]
pub(super) struct Pod(pub Object);

impl Pod {
    pub fn name(&self) -> &str {
        self.0.metadata.name.as_deref().unwrap_or_default()
    }

    /// Whether its processes have ended, though the object may still be there.
    pub fn has_ended(&self) -> bool {
        let phase = self.0.status.as_ref().and_then(|it| it.phase.as_deref());
        matches!(phase, Some("Succeeded" | "Failed"))
    }

    /// Whether it was told to end.
    pub fn is_ending(&self) -> bool {
        self.0.metadata.deletion_timestamp.is_some()
    }

    /// For how long its processes may take to end, in seconds.
    pub fn grace(&self) -> i64 {
        let own = self.0.spec.as_ref().and_then(|it| it.termination_grace_period_seconds);
        self.0.metadata.deletion_grace_period_seconds.or(own).unwrap_or(30)
    }

    pub fn is_ready(&self) -> bool {
        let conditions = self.0.status.iter().flat_map(|it| it.conditions.iter().flatten());
        !self.is_ending()
            && conditions.into_iter().any(|it| it.type_ == "Ready" && it.status == "True")
    }

    /// The image of a container, or of the first one.
    pub fn image(&self, container: Option<&str>) -> Option<&str> {
        self::container(self.0.spec.as_ref()?, container)?.image.as_deref()
    }

    /// Where it stands and why, for an error.
    pub fn words(&self) -> String {
        let status = self.0.status.as_ref();
        let node = self.0.spec.as_ref().and_then(|it| it.node_name.as_deref());
        let on = node.map_or(String::new(), |node| format!(" on node {node}"));
        let mut words = format!("pod {}{on}", self.name());
        if self.is_ending() {
            words.push_str(" was told to end and has not ended");
            let finalizers = self.0.metadata.finalizers.iter().flatten();
            let finalizers: Vec<&str> = finalizers.map(String::as_str).collect();
            if !finalizers.is_empty() {
                words.push_str(&format!(" (finalizers: {})", finalizers.join(", ")));
            }
            return words;
        }
        let phase = status.and_then(|it| it.phase.as_deref()).unwrap_or("unknown");
        let statuses = status.iter().flat_map(|it| it.container_statuses.iter().flatten());
        let reasons: Vec<String> = statuses.filter_map(reason).collect();
        let conditions = status.iter().flat_map(|it| it.conditions.iter().flatten());
        let unscheduled = conditions
            .filter(|it| it.type_ == "PodScheduled" && it.status == "False")
            .find_map(|it| it.message.clone());
        match (reasons.is_empty(), unscheduled) {
            (false, _) => words.push_str(&format!(": {}", reasons.join(", "))),
            (true, Some(message)) => words.push_str(&format!(" is not scheduled: {message}")),
            (true, None) if self.is_ready() => words.push_str(" is ready"),
            (true, None) => words.push_str(&format!(" is {phase} and not ready")),
        }
        words
    }
}

/// A container of a pod by its name, or the first one.
pub(super) fn container<'p>(pod: &'p PodSpec, name: Option<&str>) -> Option<&'p Container> {
    match name {
        Some(name) => pod.containers.iter().find(|it| it.name == name),
        None => pod.containers.first(),
    }
}

/// The same of a workload's template.
pub(super) fn in_template<'o>(workload: &'o Value, name: Option<&str>) -> Option<&'o Value> {
    let containers = workload["spec"]["template"]["spec"]["containers"].as_array()?;
    match name {
        Some(name) => containers.iter().find(|it| it["name"] == name),
        None => containers.first(),
    }
}

/// What keeps a container from running, in the kubelet's words.
fn reason(status: &ContainerStatus) -> Option<String> {
    let name = &status.name;
    let state = status.state.as_ref()?;
    let ended = status.last_state.as_ref().and_then(|it| it.terminated.as_ref());
    let ended = ended.map_or(String::new(), |it| {
        let reason = it.reason.as_deref().map_or(String::new(), |it| format!(", {it}"));
        format!("; it ended before with exit code {}{reason}", it.exit_code)
    });
    if let Some(waiting) = &state.waiting {
        let reason = waiting.reason.as_deref().unwrap_or("waiting");
        let message = waiting.message.as_deref().map_or(String::new(), |it| format!(" ({it})"));
        return Some(format!("container {name} is in {reason}{message}{ended}"));
    }
    state
        .terminated
        .as_ref()
        .map(|it| format!("container {name} ended with exit code {}", it.exit_code))
}

/// The pods of a workload, by the selector that its controller uses; those of a CronJob are those of the
/// Jobs that it has started.
pub(super) async fn of(
    cluster: &Cluster,
    kind: WorkloadKind,
    workload: &DynamicObject,
) -> Result<Vec<Pod>, Refusal> {
    if kind == WorkloadKind::CronJob {
        let mut pods = Vec::new();
        for job in cluster.list(&JOB, "").await? {
            let owners = job.metadata.owner_references.iter().flatten();
            if owners.into_iter().any(|it| Some(&it.uid) == workload.metadata.uid.as_ref()) {
                pods.extend(selected(cluster, &job).await?);
            }
        }
        return Ok(pods);
    }
    selected(cluster, workload).await
}

async fn selected(cluster: &Cluster, workload: &DynamicObject) -> Result<Vec<Pod>, Refusal> {
    let selector = &workload.data["spec"]["selector"];
    let Some(labels) = words(selector) else {
        return Err(Refusal::Other("it has no selector".to_owned()));
    };
    with_labels(cluster, &labels).await
}

/// The pods with these labels.
pub(super) async fn with_labels(cluster: &Cluster, labels: &str) -> Result<Vec<Pod>, Refusal> {
    let pods: Api<Object> = Api::namespaced(cluster.client.clone(), cluster.namespace());
    let which = ListParams::default().labels(labels);
    let found = cluster.ask(|| pods.list(&which)).await?;
    Ok(found.items.into_iter().map(Pod).collect())
}

/// A label selector as the API server reads it in a query; nothing where it selects nothing.
pub(super) fn words(selector: &Value) -> Option<String> {
    let text = |it: &Value| it.as_str().unwrap_or_default().to_owned();
    let mut parts = Vec::new();
    for (key, value) in selector["matchLabels"].as_object().into_iter().flatten() {
        parts.push(format!("{key}={}", text(value)));
    }
    for it in selector["matchExpressions"].as_array().into_iter().flatten() {
        let key = text(&it["key"]);
        let values: Vec<String> = it["values"].as_array().into_iter().flatten().map(text).collect();
        let values = values.join(",");
        parts.push(match it["operator"].as_str()? {
            "In" => format!("{key} in ({values})"),
            "NotIn" => format!("{key} notin ({values})"),
            "Exists" => key,
            "DoesNotExist" => format!("!{key}"),
            _ => return None,
        });
    }
    (!parts.is_empty()).then(|| parts.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_selector_is_written_as_a_query() {
        let selector = json!({
            "matchLabels": { "app": "harbour", "tier": "control" },
            "matchExpressions": [
                { "key": "track", "operator": "NotIn", "values": ["canary", "test"] },
                { "key": "old", "operator": "DoesNotExist" },
            ],
        });
        let expected = "app=harbour,tier=control,track notin (canary,test),!old";
        assert_eq!(words(&selector).as_deref(), Some(expected));
        assert_eq!(words(&json!({})), None);
    }
}
