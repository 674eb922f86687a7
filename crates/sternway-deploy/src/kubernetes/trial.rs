//! What the API server would say to the objects of a chart: each is sent as Helm would send it, for a trial, and
//! nothing of it is kept. Helm itself finds out only in the middle of an upgrade that a field cannot be changed
//! or belongs to somebody else.

use std::collections::BTreeMap;

use kube::Api;
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams};
use serde_json::Value;
use sternway_model::app::Workload;

use super::cluster::{Cluster, Refusal};
use super::helm::Rendered;
use super::rights::{Resource, resources};
use super::workloads;

/// The name by which Helm's writes are known.
const HELM: &str = "helm";

/// What the API server would refuse of a chart's objects, in words.
///
/// Where `takes_over` is false, a field that somebody else has set is a reason, if Helm has applied the
/// object on the server's side: otherwise Helm overwrites it.
pub(super) async fn refused(
    cluster: &Cluster,
    stopped: &[Workload],
    rendered: &Rendered,
    takes_over: bool,
) -> Result<Vec<String>, String> {
    let mut known: BTreeMap<String, Vec<Resource>> = BTreeMap::new();
    let mut refused = Vec::new();
    for object in rendered.objects() {
        let text = |it: &Value| it.as_str().unwrap_or_default().to_owned();
        let (api, kind) = (text(&object["apiVersion"]), text(&object["kind"]));
        if !known.contains_key(&api) {
            known.insert(api.clone(), resources(cluster, &api).await?);
        }
        // A kind that the chart itself defines is not known yet.
        let Some(resource) = known[&api].iter().find(|it| it.kind == kind) else { continue };
        let name = text(&object["metadata"]["name"]);
        let objects = objects(cluster, &api, resource, object);
        let live = match cluster.ask(|| objects.get_opt(&name)).await {
            Ok(live) => live,
            Err(Refusal::Forbidden(_)) => continue,
            Err(refusal) => return Err(refusal.into()),
        };
        let mut object = object.clone();
        let is_stopped =
            stopped.iter().any(|it| it.name == name && workloads::kind(it.kind).kind == kind);
        if let (true, Some(spec)) = (is_stopped, object["spec"].as_object_mut()) {
            // Nobody owns the number any more once it has been zero.
            spec.remove("replicas");
        }
        let manner = PatchParams {
            dry_run: true,
            force: takes_over || !live.as_ref().is_some_and(is_applied),
            field_manager: Some(HELM.to_owned()),
            ..PatchParams::default()
        };
        let change = Patch::Apply(&object);
        match cluster.ask(|| objects.patch(&name, &manner, &change)).await {
            Ok(_) | Err(Refusal::NotFound | Refusal::Forbidden(_)) => {}
            Err(Refusal::Conflict(reason) | Refusal::Other(reason)) => {
                refused.push(format!("{}/{name}: {reason}", kind.to_lowercase()));
            }
        }
    }
    Ok(refused)
}

fn objects(
    cluster: &Cluster,
    api: &str,
    resource: &Resource,
    object: &Value,
) -> Api<DynamicObject> {
    let (group, version) = api.split_once('/').unwrap_or(("", api));
    let kind = ApiResource {
        group: group.to_owned(),
        version: version.to_owned(),
        api_version: api.to_owned(),
        kind: resource.kind.clone(),
        plural: resource.plural.clone(),
    };
    let namespace = object["metadata"]["namespace"].as_str().unwrap_or(cluster.namespace());
    match resource.namespaced {
        true => Api::namespaced_with(cluster.client.clone(), namespace, &kind),
        false => Api::all_with(cluster.client.clone(), &kind),
    }
}

/// Whether Helm has applied an object on the server's side.
fn is_applied(object: &DynamicObject) -> bool {
    let fields = object.metadata.managed_fields.iter().flatten();
    let mut fields = fields.into_iter();
    fields.any(|it| it.manager.as_deref() == Some(HELM) && it.operation.as_deref() == Some("Apply"))
}
