//! Controllers that keep a namespace as a repository says: they would undo what a journey does.
//!
//! They are recognised by the marks that they leave on the objects which they apply. There is no
//! reference from these to the controller's own object, so that is looked for by its name; one that may
//! not be looked at is taken to be at work.

use kube::Api;
use kube::api::DynamicObject;
use serde_json::Value;
use sternway_model::app::ChartMove;

use super::cluster::{APPLICATION, Cluster, HELM_RELEASE, KUSTOMIZATION, Kind, Refusal};

/// The annotation by which Argo CD knows its objects.
const TRACKING: &str = "argocd.argoproj.io/tracking-id";

/// A controller at work on the application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Keeper {
    /// What it is, such as `Argo CD's Application argocd/harbour`.
    pub words: String,
    /// How it is told to rest.
    pub way: String,
    /// Whether it would scale up again what is stopped, and not only undo a swap.
    pub heals: bool,
}

/// Who keeps this object as a repository says, if anyone does and is not suspended.
pub(super) async fn keeper(
    cluster: &Cluster,
    kind: &Kind,
    object: &DynamicObject,
) -> Result<Option<Keeper>, String> {
    let name = object.metadata.name.as_deref().unwrap_or_default();
    let annotations = object.metadata.annotations.iter().flatten();
    let tracking = annotations.into_iter().find(|(key, _)| *key == TRACKING).map(|(_, it)| it);
    // A copy of an object has the mark too, and names the original.
    let itself = format!("{}/{}:{}/{name}", kind.group, kind.kind, cluster.namespace());
    if let Some((application, _)) =
        tracking.and_then(|it| it.split_once(':')).filter(|(_, it)| *it == itself)
    {
        return argo(cluster, application).await;
    }
    let label = |key: &str| {
        let labels = object.metadata.labels.iter().flatten();
        labels.into_iter().find(|(it, _)| *it == key).map(|(_, value)| value.clone())
    };
    for (controller, kind) in [("helm", &HELM_RELEASE), ("kustomize", &KUSTOMIZATION)] {
        let name = label(&format!("{controller}.toolkit.fluxcd.io/name"));
        let namespace = label(&format!("{controller}.toolkit.fluxcd.io/namespace"));
        if let (Some(name), Some(namespace)) = (name, namespace) {
            return flux(cluster, kind, &namespace, &name).await;
        }
    }
    Ok(None)
}

/// The HelmRelease of Flux that moves a release of Helm, where its objects do not tell.
pub(super) async fn keeper_of_release(
    cluster: &Cluster,
    chart: &ChartMove,
) -> Result<Option<Keeper>, String> {
    let all = match cluster.list(&HELM_RELEASE, "").await {
        Ok(all) => all,
        Err(Refusal::NotFound | Refusal::Forbidden(_)) => return Ok(None),
        Err(refusal) => return Err(refusal.into()),
    };
    let text = |it: &Value| it.as_str().map(str::to_owned);
    let moves = |it: &DynamicObject| {
        let own = it.metadata.name.clone().unwrap_or_default();
        let spec = &it.data["spec"];
        let within = text(&spec["targetNamespace"]).map(|space| format!("{space}-{own}"));
        text(&spec["releaseName"]).or(within).unwrap_or(own) == chart.release
    };
    match all.iter().find(|it| moves(it)) {
        Some(it) => {
            let name = it.metadata.name.clone().unwrap_or_default();
            Ok(at_work(&HELM_RELEASE, cluster.namespace(), &name, Some(it)))
        }
        None => Ok(None),
    }
}

async fn argo(cluster: &Cluster, application: &str) -> Result<Option<Keeper>, String> {
    // An Application of another namespace is written NAMESPACE_NAME.
    let (namespace, name) = application.split_once('_').unwrap_or(("argocd", application));
    let objects: Api<DynamicObject> =
        Api::namespaced_with(cluster.client.clone(), namespace, &APPLICATION.resource());
    let words = format!("Argo CD's Application {namespace}/{name}");
    match cluster.ask(|| objects.get_opt(name)).await {
        Ok(Some(it)) => {
            let automated = &it.data["spec"]["syncPolicy"]["automated"];
            let is_off = automated.is_null() || automated["enabled"] == false;
            let skips = it.metadata.annotations.iter().flatten().any(|(key, value)| {
                key == "argocd.argoproj.io/skip-reconcile" && value == "true"
            });
            let heals = automated["selfHeal"] == true;
            Ok((!is_off && !skips).then(|| Keeper {
                words,
                heals,
                way: format!(
                    "switch its automated sync off (`argocd app set {name} --sync-policy none`; where an ApplicationSet or a parent writes it, there)"
                ),
            }))
        }
        // It may be in another cluster: nobody knows that it rests.
        Ok(None) | Err(Refusal::NotFound | Refusal::Forbidden(_)) => Ok(Some(Keeper {
            words: format!("{words}, which cannot be looked at from here"),
            heals: false,
            way: "switch its automated sync off, then say so with `gitops = \"suspended\"` in [deploy.kubernetes]".to_owned(),
        })),
        Err(refusal) => Err(refusal.into()),
    }
}

async fn flux(
    cluster: &Cluster,
    kind: &Kind,
    namespace: &str,
    name: &str,
) -> Result<Option<Keeper>, String> {
    let objects: Api<DynamicObject> =
        Api::namespaced_with(cluster.client.clone(), namespace, &kind.resource());
    match cluster.ask(|| objects.get_opt(name)).await {
        Ok(found) => Ok(at_work(kind, namespace, name, found.as_ref())),
        Err(Refusal::NotFound | Refusal::Forbidden(_)) => Ok(at_work(kind, namespace, name, None)),
        Err(refusal) => Err(refusal.into()),
    }
}

fn at_work(
    kind: &Kind,
    namespace: &str,
    name: &str,
    object: Option<&DynamicObject>,
) -> Option<Keeper> {
    let words = format!("Flux's {} {namespace}/{name}", kind.kind);
    let command = kind.kind.to_ascii_lowercase();
    // A HelmRelease leaves alone what it has not moved itself, as long as nothing else is asked of it.
    let heals = kind == &KUSTOMIZATION
        || object.is_some_and(|it| it.data["spec"]["driftDetection"]["mode"] == "enabled");
    match object {
        Some(it) if it.data["spec"]["suspend"] == true => None,
        Some(_) => Some(Keeper {
            words,
            heals,
            way: format!("suspend it (`flux suspend {command} {name} -n {namespace}`)"),
        }),
        None => Some(Keeper {
            words: format!("{words}, which cannot be looked at"),
            heals,
            way: "suspend it, then say so with `gitops = \"suspended\"` in [deploy.kubernetes]"
                .to_owned(),
        }),
    }
}
