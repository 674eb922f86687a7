//! Definitions of custom resources that a chart no longer brings: Helm would delete them, and every object of
//! the kind with them. An annotation on the living object keeps both; the way back takes it off again.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;

use kube::Api;
use kube::api::{ApiResource, DynamicObject, ListParams, Patch, TypeMeta};
use serde_json::{Value, json};
use sternway_model::app::KeptKind;

use super::cluster::{Cluster, DEFINITION, Refusal, manner, resource};
use super::helm::Rendered;

/// What Helm reads from the living object before it deletes it.
const POLICY: &str = "helm.sh/resource-policy";
/// What keeps it from doing so.
const KEEP: &str = "keep";
/// How many objects are asked for at once.
const PAGE: u32 = 200;
/// Tells our annotation from somebody else's.
const OURS: &str = "sternway.dev/kept";

/// The kinds whose definition is there now and not in the target, with how many objects there are.
pub(super) async fn without_definition(
    cluster: &Cluster,
    present: &[Rendered],
    target: &[Rendered],
    exports: Option<&Path>,
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
        let export = exports.map(|folder| folder.join(format!("{}.json", it.name)));
        kept.push(KeptKind { definition: it.name, kind: it.kind, objects, export });
    }
    Ok(kept)
}

/// Writes definitions and their objects to the files that the plan names: lists that `kubectl apply` takes. Objects may
/// hold secrets, and their files are the user's alone.
pub(super) async fn export(cluster: &Cluster, kinds: &[KeptKind]) -> Result<(), String> {
    for it in kinds {
        let Some(file) = &it.export else { continue };
        let place = file.display();
        let Some(items) = of_kind(cluster, it).await? else { continue };
        let list = json!({ "apiVersion": "v1", "kind": "List", "items": items });
        let text = serde_json::to_vec_pretty(&list).map_err(|error| format!("{place}: {error}"))?;
        write(file, &text).map_err(|error| format!("{place} cannot be written: {error}"))?;
        tracing::info!("{} and its objects are written to {place}", it.definition);
    }
    Ok(())
}

/// A definition and every object of its kind; `None` where there is no such definition.
async fn of_kind(cluster: &Cluster, kind: &KeptKind) -> Result<Option<Vec<Value>>, String> {
    let name = &kind.definition;
    let definitions: Api<DynamicObject> =
        Api::all_with(cluster.client.clone(), &DEFINITION.resource());
    let found = cluster.ask(|| definitions.get_opt(name)).await;
    let Some(definition) = found.map_err(|refusal| words(name, refusal))? else { return Ok(None) };
    let spec = &definition.data["spec"];
    let versions = spec["versions"].as_array().into_iter().flatten();
    let stored = versions.filter(|it| it["storage"] == true).find_map(|it| it["name"].as_str());
    let (Some(group), Some(version), Some(plural)) =
        (spec["group"].as_str(), stored, spec["names"]["plural"].as_str())
    else {
        return Err(format!("definition {name}: it says no group, version or name of its objects"));
    };
    let resource = resource(&format!("{group}/{version}"), &kind.kind, plural);
    let objects: Api<DynamicObject> = Api::all_with(cluster.client.clone(), &resource);
    let mut items = vec![without_traces(definition, &DEFINITION.resource())];
    let mut page = ListParams::default().limit(PAGE);
    loop {
        let found = cluster.ask(|| objects.list(&page)).await;
        let found =
            found.map_err(|refusal| format!("{} objects: {}", kind.kind, String::from(refusal)))?;
        items.extend(found.items.into_iter().map(|it| without_traces(it, &resource)));
        match found.metadata.continue_.filter(|it| !it.is_empty()) {
            Some(next) => page = page.continue_token(&next),
            None => return Ok(Some(items)),
        }
    }
}

/// An object without what the API server alone may say of it.
fn without_traces(mut object: DynamicObject, resource: &ApiResource) -> Value {
    let of = &mut object.metadata;
    (of.managed_fields, of.resource_version, of.uid) = (None, None, None);
    (of.creation_timestamp, of.generation, of.self_link) = (None, None, None);
    // Objects of a list do not say what they are.
    object.types =
        Some(TypeMeta { api_version: resource.api_version.clone(), kind: resource.kind.clone() });
    json!(object)
}

/// Writes a private file whole, or not at all.
fn write(file: &Path, text: &[u8]) -> std::io::Result<()> {
    let folder = file.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let mut new = tempfile::NamedTempFile::new_in(folder)?;
    new.write_all(text)?;
    new.as_file().sync_all()?;
    new.persist(file)?;
    Ok(())
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
