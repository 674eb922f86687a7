//! What an application says of itself once its pods are ready: over HTTP, or in its log.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod as Object;
use kube::Api;
use kube::api::{DynamicObject, LogParams};
use sternway_model::catalog::Release;
use tokio::time::{Instant, sleep};

use super::cluster::{Cluster, Refusal};
use super::forward::{Forward, Target};
use super::workloads::{self, Named};
use super::{Settings, pods};

/// How long one answer may take.
const ANSWER: Duration = Duration::from_secs(5);
/// How much of an answer is read, in bytes.
const MOST: usize = 64 << 10;
/// How long to wait before asking again.
const PAUSE: Duration = Duration::from_millis(500);

/// What shows that an application is well. `{version}` in a text stands for the release that was started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// It answers with success.
    Http {
        /// The port of its pods.
        port: u16,
        /// The path, such as `/health`.
        path: String,
        /// A text that the answer has in it.
        says: Option<String>,
    },
    /// Each of its pods has written a line with this text in it.
    Log(String),
}

impl std::str::FromStr for Health {
    type Err = String;

    /// Reads `8083/health`, `8083/version TEXT`, or `log:TEXT`.
    fn from_str(text: &str) -> Result<Health, String> {
        match text.strip_prefix("log:") {
            Some("") => return Err("`log:` has no text behind it".to_owned()),
            Some(text) => return Ok(Health::Log(text.to_owned())),
            None => {}
        }
        let (place, says) = text.split_once(' ').unwrap_or((text, ""));
        let (port, path) = place.split_once('/').unwrap_or((place, ""));
        let port =
            port.parse().map_err(|_| format!("`{text}` is no PORT/PATH, and no log:TEXT"))?;
        let says = Some(says.trim()).filter(|it| !it.is_empty()).map(str::to_owned);
        Ok(Health::Http { port, path: format!("/{path}"), says })
    }
}

/// Waits until the first workload shows that a release is well.
pub(super) async fn well(
    cluster: &Cluster,
    settings: &Settings,
    health: &Health,
    release: &Release,
    limit: Duration,
) -> Result<(), String> {
    let Some(named) = settings.with_pods().next() else { return Ok(()) };
    let Some(object) = cluster.get(workloads::kind(named.kind), &named.name).await? else {
        return Ok(());
    };
    if object.data["spec"]["replicas"] == 0 {
        return Ok(());
    }
    let end = Instant::now() + limit;
    let of_release = |text: &String| text.replace("{version}", &release.to_string());
    match health {
        Health::Http { port, path, says } => {
            let labels = pods::words(&object.data["spec"]["selector"]).unwrap_or_default();
            let target = Target {
                namespace: cluster.namespace().to_owned(),
                labels,
                port: None,
                default: *port,
                words: named.to_string(),
            };
            let forward = Forward::open(cluster, target).await?;
            let (url, says) = (format!("http://{}{path}", forward.address()), says.as_ref());
            answers(&url, says.map(of_release), end).await.map_err(|reason| {
                let seconds = limit.as_secs();
                format!("it is not well after {seconds} s, at {path} of port {port}: {reason}")
            })
        }
        Health::Log(text) => {
            let text = of_release(text);
            loop {
                let silent = silent(cluster, settings, named, &object, &text).await?;
                if silent.is_empty() {
                    return Ok(());
                }
                if Instant::now() >= end {
                    return Err(format!(
                        "it is not well after {} s: no line with `{text}` is in the log of {}",
                        limit.as_secs(),
                        silent.join(", ")
                    ));
                }
                sleep(PAUSE).await;
            }
        }
    }
}

/// Waits for an answer with success that has a text in it. The error is why there was none until `end`.
async fn answers(url: &str, says: Option<String>, end: Instant) -> Result<(), String> {
    let client = reqwest::Client::builder().timeout(ANSWER).no_proxy().build();
    let client = client.map_err(|error| format!("HTTP cannot be spoken: {error}"))?;
    loop {
        let reason = match (client.get(url).send().await, &says) {
            (Ok(answer), _) if !answer.status().is_success() => {
                format!("it answers with {}", answer.status())
            }
            (Ok(_), None) => return Ok(()),
            (Ok(answer), Some(text)) => match has(answer, text).await {
                Ok(true) => return Ok(()),
                Ok(false) => format!("its answer has no `{text}` in it"),
                Err(_) => "its answer broke off".to_owned(),
            },
            (Err(error), _) if error.is_timeout() => "it does not answer".to_owned(),
            (Err(_), _) => "the connection was closed".to_owned(),
        };
        if Instant::now() >= end {
            return Err(reason);
        }
        sleep(PAUSE).await;
    }
}

/// Whether a text is in the beginning of an answer.
async fn has(mut answer: reqwest::Response, text: &str) -> reqwest::Result<bool> {
    let mut read = Vec::new();
    while let Some(piece) = answer.chunk().await? {
        read.extend_from_slice(&piece);
        if read.len() >= MOST {
            break;
        }
    }
    Ok(String::from_utf8_lossy(&read).contains(text))
}

/// The pods that have not written such a line.
async fn silent(
    cluster: &Cluster,
    settings: &Settings,
    named: &Named,
    object: &DynamicObject,
    text: &str,
) -> Result<Vec<String>, String> {
    let all: Api<Object> = Api::namespaced(cluster.client.clone(), cluster.namespace());
    let mut silent = Vec::new();
    for pod in pods::of(cluster, named.kind, object).await?.iter().filter(|it| it.is_ready()) {
        let which = LogParams { container: settings.container.clone(), ..LogParams::default() };
        let log = match cluster.ask(|| all.logs(pod.name(), &which)).await {
            Ok(log) => log,
            Err(Refusal::NotFound) => continue,
            Err(Refusal::Forbidden(reason)) => {
                return Err(format!("the log of pod {}: {reason}", pod.name()));
            }
            // One that has only just begun may have none yet.
            Err(refusal) => {
                silent.push(format!("pod {} ({})", pod.name(), String::from(refusal)));
                continue;
            }
        };
        if !log.lines().any(|line| line.contains(text)) {
            silent.push(format!("pod {}", pod.name()));
        }
    }
    Ok(silent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_of_health_are_read() {
        let http = |path: &str, says: Option<&str>| Health::Http {
            port: 8083,
            path: path.to_owned(),
            says: says.map(str::to_owned),
        };
        assert_eq!("8083/health".parse(), Ok(http("/health", None)));
        let version = http("/version", Some("\"v{version}\""));
        assert_eq!("8083/version \"v{version}\"".parse(), Ok(version));
        assert_eq!("log:schema is ahead".parse(), Ok(Health::Log("schema is ahead".to_owned())));
        assert!("health".parse::<Health>().is_err() && "log:".parse::<Health>().is_err());
    }
}
