//! The rights that a journey needs: each is asked for before anything is touched, and all of them are what
//! a Role for it has.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::try_join_all;
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use kube::Api;
use kube::api::PostParams;
use serde_json::{Value, json};
use sternway_model::app::{Deployment, Right, Workload, WorkloadKind};

use super::cluster::{Cluster, Kind, SCALED_OBJECT};
use super::helm::Rendered;
use super::served::Served;
use super::{Health, Settings, Swap, workloads};

/// How many rights are asked for at once.
const AT_ONCE: usize = 8;

/// A right in the application's namespace.
fn right(cluster: &Cluster, group: &str, resource: &str, name: Option<&str>, verb: &str) -> Right {
    Right {
        namespace: Some(cluster.namespace().to_owned()),
        group: group.to_owned(),
        resource: resource.to_owned(),
        name: name.map(str::to_owned),
        verb: verb.to_owned(),
    }
}

/// What looking at the application needs.
pub(super) fn to_look(cluster: &Cluster, settings: &Settings) -> Vec<Right> {
    let mut rights = vec![right(cluster, "", "pods", None, "list")];
    for named in &settings.stop {
        let kind = workloads::kind(named.kind);
        rights.push(right(cluster, kind.group, kind.plural, Some(&named.name), "get"));
        match named.kind {
            WorkloadKind::Deployment | WorkloadKind::StatefulSet => {
                rights.push(right(
                    cluster,
                    "autoscaling",
                    "horizontalpodautoscalers",
                    None,
                    "list",
                ));
            }
            WorkloadKind::CronJob => rights.push(right(cluster, "batch", "jobs", None, "list")),
            WorkloadKind::Job => {}
        }
    }
    match &settings.health {
        Some(Health::Http { .. }) => rights.extend(to_forward(cluster)),
        Some(Health::Log(_)) => rights.push(right(cluster, "", "pods/log", None, "get")),
        None => {}
    }
    if !cluster.inside && !settings.database.is_empty() {
        // The way to the database that the pod is given.
        rights.extend(to_forward(cluster));
        rights.push(right(cluster, "", "services", None, "get"));
        rights.push(right(cluster, "", "secrets", None, "get"));
        rights.push(right(cluster, "", "configmaps", None, "get"));
    }
    if matches!(settings.swap, Swap::Helm) && !settings.helm.is_empty() {
        // Helm lists its Secrets by label, which a Role cannot narrow to a name.
        rights.extend(["get", "list"].map(|verb| right(cluster, "", "secrets", None, verb)));
    }
    rights
}

/// What a forward needs: it is asked for with either verb, according to the server's version.
pub(super) fn to_forward(cluster: &Cluster) -> [Right; 2] {
    ["get", "create"].map(|verb| right(cluster, "", "pods/portforward", None, verb))
}

/// What stopping, swapping and starting needs, but for the objects of charts.
pub(super) fn to_act(cluster: &Cluster, settings: &Settings, found: &[Workload]) -> Vec<Right> {
    let mut rights = Vec::new();
    for it in found {
        let kind = workloads::kind(it.kind);
        let resource = match it.kind {
            WorkloadKind::Deployment | WorkloadKind::StatefulSet => {
                format!("{}/scale", kind.plural)
            }
            WorkloadKind::CronJob | WorkloadKind::Job => kind.plural.to_owned(),
        };
        rights.push(right(cluster, kind.group, &resource, Some(&it.name), "patch"));
        if let Some(paused) = &it.paused {
            let name = Some(paused.name.as_str());
            rights.push(right(cluster, "keda.sh", "scaledobjects", name, "patch"));
        }
        if matches!(settings.swap, Swap::Image(_)) {
            rights.push(right(cluster, kind.group, kind.plural, Some(&it.name), "patch"));
        }
    }
    if matches!(settings.swap, Swap::Helm) && !settings.helm.is_empty() {
        // Without `update` Helm leaves its record pending, without `delete` it cannot prune it.
        let verbs = ["create", "update", "delete"];
        rights.extend(verbs.map(|verb| right(cluster, "", "secrets", None, verb)));
    }
    rights
}

/// What Helm needs to bring the objects of a chart.
pub(super) async fn of_chart(
    cluster: &Cluster,
    served: &mut Served,
    rendered: &Rendered,
) -> Result<Vec<Right>, String> {
    let mut rights = Vec::new();
    for (api, kind) in rendered.kinds() {
        let Some(kind) = served.kind(cluster, &api, &kind).await? else { continue };
        let group = api.split_once('/').map_or("", |(group, _)| group);
        for verb in ["get", "create", "patch", "delete"] {
            let it = right(cluster, group, &kind.plural, None, verb);
            let namespace = it.namespace.clone().filter(|_| kind.namespaced);
            rights.push(Right { namespace, ..it });
        }
    }
    Ok(rights)
}

/// What looking for autoscalers of KEDA needs, where there is KEDA.
pub(super) async fn to_look_for_keda(cluster: &Cluster) -> Result<Option<Right>, String> {
    let Kind { group, kind, plural, .. } = SCALED_OBJECT;
    let mut served = Served::default();
    let served = served.kind(cluster, &SCALED_OBJECT.api(), kind).await?;
    Ok(served.map(|_| right(cluster, group, plural, None, "list")))
}

/// Refuses where one of these rights is missing, and names all that are.
pub(super) async fn held(cluster: &Cluster, rights: &[Right]) -> Result<(), String> {
    let rights: BTreeSet<&Right> = rights.iter().collect();
    let rights: Vec<&Right> = rights.into_iter().collect();
    let mut missing = Vec::new();
    for some in rights.chunks(AT_ONCE) {
        let held = try_join_all(some.iter().map(|right| may(cluster, right))).await?;
        let lacks = some.iter().zip(held).filter(|(_, held)| !held);
        missing.extend(lacks.map(|(right, _)| right.to_string()));
    }
    match missing.is_empty() {
        true => Ok(()),
        false => Err(format!(
            "this account of {} lacks rights: {}; `sternway plan --rbac` of somebody who has them prints a Role",
            cluster.place,
            missing.join("; ")
        )),
    }
}

async fn may(cluster: &Cluster, right: &Right) -> Result<bool, String> {
    let (resource, subresource) = match right.resource.split_once('/') {
        Some((resource, subresource)) => (resource, Some(subresource.to_owned())),
        None => (right.resource.as_str(), None),
    };
    let review = SelfSubjectAccessReview {
        spec: SelfSubjectAccessReviewSpec {
            resource_attributes: Some(ResourceAttributes {
                namespace: right.namespace.clone(),
                verb: Some(right.verb.clone()),
                group: Some(right.group.clone()),
                resource: Some(resource.to_owned()),
                subresource,
                name: right.name.clone(),
                ..ResourceAttributes::default()
            }),
            ..SelfSubjectAccessReviewSpec::default()
        },
        ..SelfSubjectAccessReview::default()
    };
    let reviews: Api<SelfSubjectAccessReview> = Api::all(cluster.client.clone());
    let manner = PostParams::default();
    let answer = cluster.ask(|| reviews.create(&manner, &review)).await?;
    Ok(answer.status.is_some_and(|it| it.allowed))
}

/// A Role, and a ClusterRole where something of the whole cluster is needed, with just the rights of a plan:
/// manifests as JSON objects.
pub fn roles(app: &str, deployment: &Deployment) -> Vec<Value> {
    roles_of(&format!("sternway-{app}"), &deployment.rights)
}

/// The same, of these rights and under this name.
pub(super) fn roles_of(name: &str, rights: &[Right]) -> Vec<Value> {
    let namespaces: BTreeSet<Option<&String>> =
        rights.iter().map(|it| it.namespace.as_ref()).collect();
    let role = |namespace: Option<&String>| {
        let here: Vec<&Right> =
            rights.iter().filter(|it| it.namespace.as_ref() == namespace).collect();
        let mut rules: BTreeMap<(&str, &str, Option<&str>), Vec<&str>> = BTreeMap::new();
        for it in &here {
            // What may be done to all objects may be done to this one.
            let all = Right { name: None, ..(*it).clone() };
            if it.name.is_some() && here.contains(&&all) {
                continue;
            }
            let key = (it.group.as_str(), it.resource.as_str(), it.name.as_deref());
            rules.entry(key).or_default().push(&it.verb);
        }
        let rules: Vec<Value> = rules
            .into_iter()
            .map(|((group, resource, name), verbs)| {
                let mut rule =
                    json!({ "apiGroups": [group], "resources": [resource], "verbs": verbs });
                if let Some(name) = name {
                    rule["resourceNames"] = json!([name]);
                }
                rule
            })
            .collect();
        let mut role = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": if namespace.is_some() { "Role" } else { "ClusterRole" },
            "metadata": { "name": name },
            "rules": rules,
        });
        if let Some(namespace) = namespace {
            role["metadata"]["namespace"] = json!(namespace);
        }
        role
    };
    namespaces.into_iter().map(role).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_has_just_the_rights_of_the_plan() {
        let right =
            |namespace: Option<&str>, resource: &str, name: Option<&str>, verb: &str| Right {
                namespace: namespace.map(str::to_owned),
                group: "apps".to_owned(),
                resource: resource.to_owned(),
                name: name.map(str::to_owned),
                verb: verb.to_owned(),
            };
        let deployment = Deployment {
            rights: vec![
                right(Some("harbour"), "deployments", Some("controller"), "get"),
                right(Some("harbour"), "deployments", Some("controller"), "patch"),
                right(None, "things", None, "get"),
                right(Some("harbour"), "pods", None, "get"),
                right(Some("harbour"), "pods", Some("one"), "get"),
                right(Some("harbour"), "pods", Some("one"), "patch"),
            ],
            ..Deployment::default()
        };
        let roles = roles("harbour", &deployment);
        assert_eq!(roles.len(), 2);
        assert_eq!(roles[0]["kind"], "ClusterRole");
        let rules: Vec<(&Value, &Value)> = roles[1]["rules"]
            .as_array()
            .expect("rules")
            .iter()
            .map(|it| (&it["resourceNames"], &it["verbs"]))
            .collect();
        let expected = [
            (json!(["controller"]), json!(["get", "patch"])),
            (json!(null), json!(["get"])),
            (json!(["one"]), json!(["patch"])),
        ];
        assert_eq!(rules, expected.each_ref().map(|(names, verbs)| (names, verbs)));
    }
}
