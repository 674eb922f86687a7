//! Fields that somebody else has set and a chart sets otherwise. Helm 4 does not go over them: it would
//! fail when the application is stopped already, and so would the way back. So the API server is asked
//! beforehand, with applies that change nothing.

use std::collections::BTreeMap;

use kube::Api;
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams};
use serde_json::Value;
use sternway_model::app::{Workload, WorkloadKind};

use super::cluster::Cluster;
use super::helm::Rendered;
use super::rights::resources;

/// The name by which Helm's fields are known.
const HELM: &str = "helm";

/// Refuses where applying a chart's objects would meet a field of somebody else's, and names whose.
pub(super) async fn none(
    cluster: &Cluster,
    release: &str,
    rendered: &Rendered,
    stopped: &[Workload],
) -> Result<(), String> {
    let mut known: BTreeMap<String, Vec<(String, String, bool)>> = BTreeMap::new();
    let mut conflicts = Vec::new();
    for object in rendered.objects() {
        let text = |it: &Value| it.as_str().unwrap_or_default().to_owned();
        let (api, kind) = (text(&object["apiVersion"]), text(&object["kind"]));
        if !known.contains_key(&api) {
            known.insert(api.clone(), resources(cluster, &api).await?);
        }
        // A kind that the chart itself defines is not known yet, and has no objects.
        let Some((_, plural, namespaced)) = known[&api].iter().find(|it| it.0 == kind) else {
            continue;
        };
        let (group, version) = api.split_once('/').unwrap_or(("", &api));
        let resource = ApiResource {
            group: group.to_owned(),
            version: version.to_owned(),
            api_version: api.clone(),
            kind: kind.clone(),
            plural: plural.clone(),
        };
        let objects: Api<DynamicObject> = match namespaced {
            true => Api::namespaced_with(cluster.client.clone(), cluster.namespace(), &resource),
            false => Api::all_with(cluster.client.clone(), &resource),
        };
        let name = text(&object["metadata"]["name"]);
        let mut object = object.clone();
        if stopped.iter().any(|it| is(it, &kind, &name))
            && let Some(spec) = object["spec"].as_object_mut()
        {
            // Nobody owns the number any more after the way through zero.
            spec.remove("replicas");
        }
        let manner = PatchParams { dry_run: true, ..PatchParams::apply(HELM) };
        let change = Patch::Apply(&object);
        let conflict = cluster.ask(async || match objects.patch(&name, &manner, &change).await {
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(Some(status.message.clone())),
            // Whatever else is the matter with the object is Helm's to say.
            Err(kube::Error::Api(status)) if status.code < 500 => Ok(None),
            answer => answer.map(|_| None),
        });
        if let Some(words) = conflict.await? {
            conflicts.push(format!("{}/{name}: {words}", kind.to_ascii_lowercase()));
        }
    }
    match conflicts.is_empty() {
        true => Ok(()),
        false => Err(format!(
            "helm release {release}: somebody else has set fields that the chart sets: {}; take the change into the chart's values, or give these fields to Helm with `force_conflicts = true` in [deploy.kubernetes]",
            conflicts.join("; ")
        )),
    }
}

fn is(workload: &Workload, kind: &str, name: &str) -> bool {
    let kinds = match workload.kind {
        WorkloadKind::Deployment => "Deployment",
        WorkloadKind::StatefulSet => "StatefulSet",
        WorkloadKind::CronJob | WorkloadKind::Job => return false,
    };
    kinds == kind && workload.name == name
}
