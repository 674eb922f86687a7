//! Definitions of custom resources that a chart no longer brings: Helm would delete them, and every object of
//! the kind with them. An annotation on the living object keeps both; the way back takes it off again.

use std::collections::BTreeMap;

use kube::Api;
use kube::api::{DynamicObject, ListParams, Patch};
use serde_json::json;
use sternway_model::app::KeptKind;

use super::cluster::{Cluster, DEFINITION, Refusal, manner, resource};
use super::helm::Rendered;

/// What Helm reads from the living object before it deletes it.
const POLICY: &str = "helm.sh/resource-policy";
/// What keeps it from doing so.
const KEEP: &str = "keep";
/// Tells our annotation from somebody else's.
const OURS: &str = "sternway.dev/kept";

/// The kinds whose definition is there now and not in the target, with how many objects there are.
pub(super) async fn without_definition(
    cluster: &Cluster,
    present: &[Rendered],
    target: &[Rendered],
) -> Result<Vec<KeptKind>, String> {
    let stays =
        |name: &str| target.iter().flat_map(Rendered::definitions).any(|it| it.name == name);
    let mut kept = Vec::new();
    for it in present.iter().flat_map(Rendered::definitions).filter(|it| !stays(&it.name)) {
        let resource = resource(&format!("{}/{}", it.group, it.version), &it.kind, &it.plural);
        let objects: Api<DynamicObject> = Api::all_with(cluster.client.clone(), &resource);
        let all = ListParams::default();
        let objects = match cluster.ask(|| objects.list_metadata(&all)).await {
            Ok(list) => u64::try_from(list.items.len()).ok(),
            Err(Refusal::NotFound) => Some(0),
            Err(Refusal::Forbidden(_)) => None,
            Err(refusal) => return Err(refusal.into()),
        };
        kept.push(KeptKind { definition: it.name, kind: it.kind, objects });
    }
    Ok(kept)
}

/// Has Helm leave the definitions where they are.
pub(super) async fn keep(cluster: &Cluster, kinds: &[KeptKind]) -> Result<(), String> {
    for it in kinds {
        let Some(annotations) = annotations(cluster, &it.definition).await? else { continue };
        // Somebody else's stays theirs. Helm heeds this word alone.
        if annotations.get(POLICY).is_none_or(|it| !it.trim().eq_ignore_ascii_case(KEEP)) {
            annotate(cluster, &it.definition, Some(KEEP)).await?;
        }
    }
    Ok(())
}

/// Takes that back for the definitions that a chart brings again, where it was Sternway that had said so.
pub(super) async fn let_go(cluster: &Cluster, brings: &Rendered) -> Result<(), String> {
    for it in brings.definitions() {
        let annotations = annotations(cluster, &it.name).await?;
        if annotations.is_some_and(|them| them.contains_key(OURS)) {
            annotate(cluster, &it.name, None).await?;
        }
    }
    Ok(())
}

/// The annotations of a definition, where there is one.
async fn annotations(
    cluster: &Cluster,
    name: &str,
) -> Result<Option<BTreeMap<String, String>>, String> {
    let objects: Api<DynamicObject> = Api::all_with(cluster.client.clone(), &DEFINITION.resource());
    let object = cluster.ask(|| objects.get_opt(name)).await;
    let object = object.map_err(|refusal| words(name, refusal))?;
    Ok(object.map(|it| it.metadata.annotations.unwrap_or_default()))
}

async fn annotate(cluster: &Cluster, name: &str, value: Option<&str>) -> Result<(), String> {
    let objects: Api<DynamicObject> = Api::all_with(cluster.client.clone(), &DEFINITION.resource());
    let change = json!({ "metadata": { "annotations": { POLICY: value, OURS: value } } });
    let (manner, change) = (manner(), Patch::Merge(change));
    let changed = cluster.ask(|| objects.patch(name, &manner, &change)).await;
    changed.map(drop).map_err(|refusal| words(name, refusal))
}

fn words(name: &str, refusal: Refusal) -> String {
    format!("definition {name}: {}", String::from(refusal))
}
