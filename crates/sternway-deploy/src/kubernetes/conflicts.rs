//! Fields that somebody else has set and a chart sets otherwise. Helm 4 does not go over them: it would
//! fail when the application is stopped already, and so would the way back. So the API server is asked
//! beforehand, with applies that change nothing.

use kube::Api;
use kube::api::{DynamicObject, Patch, PatchParams};
use serde_json::Value;
use sternway_model::app::Workload;

use super::cluster::{Cluster, resource};
use super::helm::Rendered;
use super::served::{Kind, Served};
use super::workloads;

/// The name by which Helm's fields are known.
const HELM: &str = "helm";

/// Refuses where applying a chart's objects would meet a field of somebody else's, and names whose.
pub(super) async fn none(
    cluster: &Cluster,
    served: &mut Served,
    release: &str,
    rendered: &Rendered,
    stopped: &[Workload],
) -> Result<(), String> {
    let mut conflicts = Vec::new();
    for object in rendered.objects() {
        let text = |it: &Value| it.as_str().unwrap_or_default().to_owned();
        let (api, kind) = (text(&object["apiVersion"]), text(&object["kind"]));
        let Some(Kind { plural, namespaced, .. }) = served.kind(cluster, &api, &kind).await? else {
            continue;
        };
        let resource = resource(&api, &kind, plural);
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
    let scales = workloads::scales(workload.kind);
    scales && workloads::kind(workload.kind).kind == kind && workload.name == name
}
