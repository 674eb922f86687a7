//! What an application says of itself over HTTP, once its pods are ready.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::cluster::Cluster;
use super::forward::{Forward, Target};
use super::{Settings, pods, workloads};

/// How long one answer may take.
const ANSWER: Duration = Duration::from_secs(5);
/// How long to wait before asking again.
const PAUSE: Duration = Duration::from_millis(500);

/// Where an application is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// The port of its pods.
    pub port: u16,
    /// The path, such as `/health`.
    pub path: String,
}

impl std::str::FromStr for Health {
    type Err = String;

    /// Reads `8083/health`.
    fn from_str(text: &str) -> Result<Health, String> {
        let (port, path) = text.split_once('/').unwrap_or((text, ""));
        let port = port.parse().map_err(|_| format!("`{text}` is no PORT/PATH"))?;
        Ok(Health { port, path: format!("/{path}") })
    }
}

/// Waits until a pod of the first workload answers with success.
pub(super) async fn well(
    cluster: &Cluster,
    settings: &Settings,
    health: &Health,
    limit: Duration,
) -> Result<(), String> {
    let Some(named) = settings.with_pods().next() else { return Ok(()) };
    let Some(object) = cluster.get(workloads::kind(named.kind), &named.name).await? else {
        return Ok(());
    };
    if object.data["spec"]["replicas"] == 0 {
        return Ok(());
    }
    let labels = pods::words(&object.data["spec"]["selector"]).unwrap_or_default();
    let target = Target {
        namespace: cluster.namespace().to_owned(),
        labels,
        port: None,
        default: health.port,
        words: named.to_string(),
    };
    let forward = Forward::open(cluster, target).await?;
    let url = format!("http://{}{}", forward.address(), health.path);
    let client = reqwest::Client::builder().timeout(ANSWER).no_proxy().build();
    let client = client.map_err(|error| format!("HTTP cannot be spoken: {error}"))?;
    let end = Instant::now() + limit;
    loop {
        let reason = match client.get(&url).send().await {
            Ok(answer) if answer.status().is_success() => return Ok(()),
            Ok(answer) => format!("it answers with {}", answer.status()),
            Err(error) if error.is_timeout() => "it does not answer".to_owned(),
            Err(_) => "the connection was closed".to_owned(),
        };
        if Instant::now() >= end {
            let (Health { port, path }, seconds) = (health, limit.as_secs());
            return Err(format!(
                "it is not well after {seconds} s, at {path} of port {port}: {reason}"
            ));
        }
        sleep(PAUSE).await;
    }
}
