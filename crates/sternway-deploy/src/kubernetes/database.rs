//! The database as the application's pod sees it.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, PodSpec, Service};
use kube::Api;

use super::cluster::Cluster;
use super::environment::{Sources, file, variables};
use super::forward::{Forward, Target};
use super::{Settings, pods, rights, workloads};

/// A variable that names the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Variable {
    /// It holds the URL.
    Url(String),
    /// It holds the path of a file that holds the URL.
    File(String),
}

impl From<&str> for Variable {
    /// Reads `DATABASE_URL`, or `file:DATABASE_URL_FILE`.
    fn from(text: &str) -> Variable {
        match text.strip_prefix("file:") {
            Some(name) => Variable::File(name.to_owned()),
            None => Variable::Url(text.to_owned()),
        }
    }
}

/// The database, and the way to it.
pub struct Found {
    /// Its URL as it is reached from here. It may hold a secret.
    pub url: String,
    /// What names it, for people: no secret.
    pub from: String,
    /// The forward that it is reached through, which ends with this; none where it is reached directly.
    pub forward: Option<Forward>,
}

impl std::fmt::Debug for Found {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Found").field("from", &self.from).finish_non_exhaustive()
    }
}

/// Finds the database that the application's pod is given, and a way to it.
///
/// # Errors
/// Where no variable names one, or what it names cannot be read or reached from here.
pub async fn find(settings: &Settings) -> Result<Found, String> {
    let cluster = settings.access.cluster().await?;
    let found = find_on(&cluster, settings).await;
    if found.is_err() {
        // Where a right is missing, that is the cause.
        rights::held(&cluster, &rights::to_look(&cluster, settings)).await?;
    }
    found
}

async fn find_on(cluster: &Cluster, settings: &Settings) -> Result<Found, String> {
    let (text, from) = url(cluster, settings).await?;
    let Ok(mut url) = url::Url::parse(&text) else {
        return Err(format!("{from} holds no URL"));
    };
    let host = url.host_str().unwrap_or_default().to_owned();
    let target = match cluster.inside {
        true => None,
        false => target(cluster, &host, url.port().or_else(|| usual_port(url.scheme()))).await?,
    };
    let Some(target) = target else { return Ok(Found { url: text, from, forward: None }) };
    rights::held(cluster, &rights::to_forward(cluster)).await?;
    let forward = Forward::open(cluster, target).await?;
    let place = forward.address();
    let moved = url.set_host(Some(&place.ip().to_string())).is_ok()
        && url.set_port(Some(place.port())).is_ok();
    match moved {
        true => Ok(Found { url: url.to_string(), from, forward: Some(forward) }),
        false => Err(format!("{from} holds a URL whose host cannot be replaced")),
    }
}

/// What variables of the application's container say, those that are set and can be read from here.
///
/// # Errors
/// Where there is no such container, or something that it needs cannot be read.
pub async fn variables_of(
    settings: &Settings,
    names: &[String],
) -> Result<BTreeMap<String, String>, String> {
    let cluster = settings.access.cluster().await?;
    let (spec, whose) = pod(&cluster, settings).await?;
    let container = container_of(&spec, settings, &whose)?;
    let mut known = variables(&mut Sources::of(&cluster), container).await?;
    known.retain(|name, _| names.contains(name));
    Ok(known.into_iter().filter_map(|(name, value)| Some((name, value.ok()?))).collect())
}

/// The container whose environment counts.
pub(super) fn container_of<'p>(
    spec: &'p PodSpec,
    settings: &Settings,
    whose: &str,
) -> Result<&'p Container, String> {
    let name = settings.container.as_deref();
    pods::container(spec, name)
        .ok_or_else(|| format!("{whose} has no container {}", name.unwrap_or("at all")))
}

/// The user as which the application connects, where that can be told.
pub(super) async fn user(cluster: &Cluster, settings: &Settings) -> Option<String> {
    let (text, _) = url(cluster, settings).await.ok()?;
    let url = url::Url::parse(&text).ok()?;
    Some(url.username().to_owned()).filter(|it| !it.is_empty())
}

fn usual_port(scheme: &str) -> Option<u16> {
    match scheme {
        "mysql" | "mariadb" => Some(3306),
        _ => Some(5432),
    }
}

/// The first URL that the variables name, and what names it.
async fn url(cluster: &Cluster, settings: &Settings) -> Result<(String, String), String> {
    if settings.database.is_empty() {
        return Err("`database` in [deploy.kubernetes] names no variable".to_owned());
    }
    let (spec, whose) = pod(cluster, settings).await?;
    let container = container_of(&spec, settings, &whose)?;
    let mut sources = Sources::of(cluster);
    let known = variables(&mut sources, container).await?;
    for variable in &settings.database {
        let (Variable::Url(name) | Variable::File(name)) = variable;
        let from = format!("{name} of {whose}, container {}", container.name);
        let value = match known.get(name) {
            None => continue,
            Some(Ok(value)) if value.is_empty() => continue,
            Some(Ok(value)) => value,
            Some(Err(reason)) => return Err(format!("{from}: {reason}")),
        };
        let text = match variable {
            Variable::Url(_) => value.clone(),
            Variable::File(_) => {
                let text = file(&mut sources, &spec, container, value).await;
                text.map_err(|reason| format!("{from}: {reason}"))?
            }
        };
        return Ok((text.trim().to_owned(), from));
    }
    let names =
        settings.database.iter().map(|(Variable::Url(it) | Variable::File(it))| it.as_str());
    let names: Vec<&str> = names.collect();
    Err(format!("{whose} has none of the variables {}", names.join(", ")))
}

/// The pod that runs, or the one that would start.
pub(super) async fn pod(
    cluster: &Cluster,
    settings: &Settings,
) -> Result<(PodSpec, String), String> {
    for named in settings.with_pods() {
        let Some(object) = cluster.get(workloads::kind(named.kind), &named.name).await? else {
            continue;
        };
        let found = pods::of(cluster, named.kind, &object).await?;
        let live = found.into_iter().find(|it| !it.has_ended() && !it.is_ending());
        if let Some((name, spec)) = live.and_then(|it| Some((it.name().to_owned(), it.0.spec?))) {
            return Ok((spec, format!("pod {name}")));
        }
        let template = object.data["spec"]["template"]["spec"].clone();
        let spec = serde_json::from_value(template)
            .map_err(|error| format!("the template of {} cannot be read: {error}", named.name))?;
        return Ok((spec, named.to_string()));
    }
    Err("`stop` in [deploy.kubernetes] names no workload that is there".to_owned())
}

/// Where a host of the cluster leads to; nothing where the host is none of the cluster's.
async fn target(
    cluster: &Cluster,
    host: &str,
    port: Option<u16>,
) -> Result<Option<Target>, String> {
    let mut parts = host.split('.');
    let (name, namespace) = (parts.next().unwrap_or_default(), parts.next());
    let rest: Vec<&str> = parts.collect();
    let of_cluster = rest.is_empty() || rest[0] == "svc";
    if name.is_empty() || !of_cluster || host.parse::<std::net::IpAddr>().is_ok() {
        return Ok(None);
    }
    let namespace = namespace.unwrap_or(cluster.namespace());
    let services: Api<Service> = Api::namespaced(cluster.client.clone(), namespace);
    let service = cluster.ask(|| services.get_opt(name)).await;
    let service = service.map_err(|it| format!("Service `{name}`: {}", String::from(it)))?;
    let Some(spec) = service.and_then(|it| it.spec) else {
        // A name without dots may be one of the machine's own.
        return match rest.is_empty() {
            true => Ok(None),
            false => Err(format!("Service `{name}` of namespace `{namespace}` is not there")),
        };
    };
    let Some(selector) = spec.selector.filter(|it| !it.is_empty()) else {
        return match spec.external_name {
            Some(_) => Ok(None),
            None => Err(format!("Service `{name}` selects no pods that could be forwarded to")),
        };
    };
    let labels: Vec<String> =
        selector.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let wanted = i32::from(port.unwrap_or(5432));
    let ports = spec.ports.into_iter().flatten().find(|it| it.port == wanted);
    Ok(Some(Target {
        namespace: namespace.to_owned(),
        labels: labels.join(","),
        port: ports.and_then(|it| it.target_port),
        default: port.unwrap_or(5432),
        words: format!("service {name}"),
    }))
}
