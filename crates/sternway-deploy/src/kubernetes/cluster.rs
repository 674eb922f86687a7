//! The connection to a cluster: which one, which namespace, and requests that end.

use std::ffi::OsString;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Namespace;
use kube::api::{ApiResource, DynamicObject, ListParams, Patch, PatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use serde_json::Value;
use sternway_model::app::Place;
use tokio::sync::OnceCell;
use tokio::time::{Instant, sleep, timeout};

/// How long one request may take.
const REQUEST: Duration = Duration::from_secs(20);
/// For how long the first request is repeated while the API server does not answer.
const FIRST: Duration = Duration::from_secs(3);
/// For how long later ones are: a server that is restarted is back by then.
const AWAY: Duration = Duration::from_secs(90);
/// How long to wait before a request is repeated.
const PAUSE: Duration = Duration::from_secs(1);
/// The name by which Sternway's writes are known in an object's `managedFields`.
pub(super) const MANAGER: &str = "sternway";

/// Which cluster and namespace to use. Its copies share one connection.
#[derive(Debug, Clone, Default)]
pub struct Access {
    /// The kubeconfig; without it those of `KUBECONFIG`, or `~/.kube/config`, or the service account of
    /// the pod that this process runs in.
    pub kubeconfig: Option<PathBuf>,
    /// The context; without it the kubeconfig's current one.
    pub context: Option<String>,
    /// The namespace; without it the context's.
    pub namespace: Option<String>,
    connected: Arc<OnceCell<Cluster>>,
}

impl Access {
    /// What is meant by these, where they are given.
    pub fn new(
        kubeconfig: Option<PathBuf>,
        context: Option<String>,
        namespace: Option<String>,
    ) -> Access {
        Access { kubeconfig, context, namespace, connected: Arc::default() }
    }

    /// The cluster; the first who asks connects.
    ///
    /// # Errors
    /// Where no kubeconfig can be used and this is no pod, and where the API server does not answer.
    pub(super) async fn cluster(&self) -> Result<Cluster, String> {
        self.connected.get_or_try_init(|| Cluster::connect(self)).await.cloned()
    }
}

/// Why a request was not answered as hoped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    /// There is no such object, or no such kind.
    NotFound,
    /// A right is missing; the server's words.
    Forbidden(String),
    /// Somebody else has changed the object, or has made it; the server's words.
    Conflict(String),
    /// Anything else, in words.
    Other(String),
}

impl From<Refusal> for String {
    fn from(refusal: Refusal) -> String {
        match refusal {
            Refusal::NotFound => "there is no such object".to_owned(),
            Refusal::Forbidden(text) | Refusal::Conflict(text) | Refusal::Other(text) => text,
        }
    }
}

/// A connected cluster.
#[derive(Clone)]
pub(super) struct Cluster {
    /// The connection.
    pub client: Client,
    /// Where the application is.
    pub place: Place,
    /// The kubeconfig's files, as `KUBECONFIG` lists them; none inside of the cluster.
    pub kubeconfig: Option<OsString>,
    /// Whether this process runs in a pod of the cluster.
    pub inside: bool,
    /// For how long a request is repeated.
    patience: Duration,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster").field("place", &self.place).finish_non_exhaustive()
    }
}

impl Cluster {
    /// Connects, and asks which cluster it is.
    async fn connect(access: &Access) -> Result<Cluster, String> {
        let (config, kubeconfig, context) = match configured(access)? {
            Some((merged, files)) => {
                let context = access.context.clone().or(merged.current_context.clone());
                let options = KubeConfigOptions { context: context.clone(), ..Default::default() };
                let config = Config::from_custom_kubeconfig(merged, &options).await;
                let config = config.map_err(|error| match &context {
                    Some(context) => {
                        format!("the context `{context}` of the kubeconfig cannot be used: {error}")
                    }
                    None => {
                        "the kubeconfig has no current context; name one with --context".to_owned()
                    }
                })?;
                (config, Some(files), context)
            }
            None => {
                let config = Config::incluster_env();
                (
                    config.map_err(|error| format!("the pod's account cannot be used: {error}"))?,
                    None,
                    None,
                )
            }
        };
        let namespace = access.namespace.clone().unwrap_or(config.default_namespace.clone());
        let server = config.cluster_url.to_string().trim_end_matches('/').to_owned();
        let client = Client::try_from(config)
            .map_err(|error| format!("the connection to {server} cannot be set up: {error}"))?;
        let place = Place { context, server, namespace, cluster: String::new() };
        let inside = kubeconfig.is_none();
        let mut cluster = Cluster { client, place, kubeconfig, inside, patience: FIRST };
        // Whoever may see only one namespace is not told this cluster's UID: then the URL has to do.
        let namespaces: Api<Namespace> = Api::all(cluster.client.clone());
        let system = cluster.ask(|| namespaces.get_opt("kube-system")).await;
        cluster.place.cluster = match system {
            Ok(Some(system)) => system.metadata.uid.unwrap_or_default(),
            Ok(None) | Err(Refusal::Forbidden(_)) => cluster.place.server.clone(),
            Err(refusal) => return Err(String::from(refusal)),
        };
        cluster.patience = AWAY;
        Ok(cluster)
    }

    /// The namespace.
    pub fn namespace(&self) -> &str {
        &self.place.namespace
    }

    /// The objects of a kind in the namespace.
    pub fn objects(&self, kind: &Kind) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), self.namespace(), &kind.resource())
    }

    /// Makes a request. While the server cannot be reached it is repeated: every request that is made here
    /// may be.
    pub async fn ask<T, F>(&self, request: impl Fn() -> F) -> Result<T, Refusal>
    where
        F: Future<Output = kube::Result<T>>,
    {
        let end = Instant::now() + self.patience;
        loop {
            let reason = match timeout(REQUEST, request()).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(kube::Error::Api(status))) => match status.code {
                    404 => return Err(Refusal::NotFound),
                    401 | 403 => return Err(Refusal::Forbidden(status.message.clone())),
                    409 => return Err(Refusal::Conflict(status.message.clone())),
                    429 | 500..=599 => status.message.clone(),
                    _ => return Err(Refusal::Other(status.message.clone())),
                },
                Ok(Err(error @ (kube::Error::HyperError(_) | kube::Error::Service(_)))) => {
                    chain(&error)
                }
                Ok(Err(error)) => return Err(Refusal::Other(chain(&error))),
                Err(_) => format!("it did not answer within {} s", REQUEST.as_secs()),
            };
            if Instant::now() + PAUSE >= end {
                let server = &self.place.server;
                return Err(Refusal::Other(format!("the API server at {server}: {reason}")));
            }
            tracing::info!("the API server does not answer, it is asked again: {reason}");
            sleep(PAUSE).await;
        }
    }

    /// An object, if it is there.
    pub async fn get(&self, kind: &Kind, name: &str) -> Result<Option<DynamicObject>, Refusal> {
        let objects = self.objects(kind);
        self.ask(|| objects.get_opt(name)).await
    }

    /// The objects of a kind, those with these labels.
    pub async fn list(&self, kind: &Kind, labels: &str) -> Result<Vec<DynamicObject>, Refusal> {
        let objects = self.objects(kind);
        let which = ListParams::default().labels(labels);
        Ok(self.ask(|| objects.list(&which)).await?.items)
    }

    /// Changes a part of an object, named as a JSON merge patch.
    pub async fn patch(&self, kind: &Kind, name: &str, change: &Value) -> Result<(), Refusal> {
        let objects = self.objects(kind);
        let (manner, change) = (manner(), Patch::Merge(change));
        self.ask(|| objects.patch(name, &manner, &change)).await.map(drop)
    }
}

/// An error with its causes, each once.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let words = error.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        cause = error.source();
    }
    text
}

/// The kubeconfig that is meant, made of all its files; none in a pod that is given none.
///
/// A file of the list that is not there is passed over, as `kubectl` and `helm` do.
fn configured(access: &Access) -> Result<Option<(Kubeconfig, OsString)>, String> {
    let listed = std::env::var_os("KUBECONFIG").filter(|it| !it.is_empty());
    let paths: Vec<PathBuf> = match (&access.kubeconfig, listed) {
        (Some(path), _) => vec![path.clone()],
        (None, Some(list)) => std::env::split_paths(&list).collect(),
        (None, None) if in_a_pod() => return Ok(None),
        (None, None) => home().map(|home| home.join(".kube/config")).into_iter().collect(),
    };
    let files: Vec<&PathBuf> = paths.iter().filter(|it| it.is_file()).collect();
    let mut merged: Option<Kubeconfig> = None;
    for path in &files {
        let read = Kubeconfig::read_from(path);
        let read =
            read.map_err(|error| format!("the kubeconfig {}: {}", path.display(), chain(&error)))?;
        merged = Some(match merged {
            None => read,
            Some(before) => before
                .merge(read)
                .map_err(|error| format!("the kubeconfig {}: {error}", path.display()))?,
        });
    }
    match merged {
        Some(merged) => {
            let files = std::env::join_paths(files)
                .map_err(|error| format!("the kubeconfig's files: {error}"))?;
            Ok(Some((merged, files)))
        }
        None if access.kubeconfig.is_none() && in_a_pod() => Ok(None),
        None => {
            let names: Vec<String> = paths.iter().map(|it| it.display().to_string()).collect();
            Err(format!(
                "there is no kubeconfig ({}): name one with --kubeconfig",
                names.join(", ")
            ))
        }
    }
}

/// Whether something says which cluster is meant: a kubeconfig that is there, or a pod's account.
pub fn is_at_hand() -> bool {
    let listed = std::env::var_os("KUBECONFIG").filter(|it| !it.is_empty());
    let listed = listed.is_some_and(|list| std::env::split_paths(&list).any(|it| it.is_file()));
    listed || in_a_pod() || home().is_some_and(|home| home.join(".kube/config").is_file())
}

fn in_a_pod() -> bool {
    std::env::var_os("KUBERNETES_SERVICE_HOST").is_some()
        && Path::new("/var/run/secrets/kubernetes.io/serviceaccount/token").is_file()
}

fn home() -> Option<PathBuf> {
    std::env::var_os("HOME").filter(|it| !it.is_empty()).map(PathBuf::from)
}

/// A kind of objects that the API server is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kind {
    pub group: &'static str,
    pub version: &'static str,
    pub kind: &'static str,
    pub plural: &'static str,
}

impl Kind {
    const fn of(
        group: &'static str,
        version: &'static str,
        kind: &'static str,
        plural: &'static str,
    ) -> Kind {
        Kind { group, version, kind, plural }
    }

    /// The group and the version, as an object has them.
    pub fn api(&self) -> String {
        match self.group {
            "" => self.version.to_owned(),
            group => format!("{group}/{}", self.version),
        }
    }

    pub fn resource(&self) -> ApiResource {
        resource(&self.api(), self.kind, self.plural)
    }
}

/// How the API server is asked for objects of a kind, whose API an object has as `apps/v1`.
pub(super) fn resource(api: &str, kind: &str, plural: &str) -> ApiResource {
    let (group, version) = api.split_once('/').unwrap_or(("", api));
    ApiResource {
        group: group.to_owned(),
        version: version.to_owned(),
        api_version: api.to_owned(),
        kind: kind.to_owned(),
        plural: plural.to_owned(),
    }
}

/// How Sternway changes a part of an object.
pub(super) fn manner() -> PatchParams {
    PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() }
}

pub(super) const DEPLOYMENT: Kind = Kind::of("apps", "v1", "Deployment", "deployments");
pub(super) const STATEFUL_SET: Kind = Kind::of("apps", "v1", "StatefulSet", "statefulsets");
pub(super) const CRON_JOB: Kind = Kind::of("batch", "v1", "CronJob", "cronjobs");
pub(super) const JOB: Kind = Kind::of("batch", "v1", "Job", "jobs");
pub(super) const EVENT: Kind = Kind::of("events.k8s.io", "v1", "Event", "events");
pub(super) const AUTOSCALER: Kind =
    Kind::of("autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers");
pub(super) const SCALED_OBJECT: Kind =
    Kind::of("keda.sh", "v1alpha1", "ScaledObject", "scaledobjects");
pub(super) const APPLICATION: Kind =
    Kind::of("argoproj.io", "v1alpha1", "Application", "applications");
pub(super) const HELM_RELEASE: Kind =
    Kind::of("helm.toolkit.fluxcd.io", "v2", "HelmRelease", "helmreleases");
pub(super) const KUSTOMIZATION: Kind =
    Kind::of("kustomize.toolkit.fluxcd.io", "v1", "Kustomization", "kustomizations");
pub(super) const DEFINITION: Kind =
    Kind::of("apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions");
