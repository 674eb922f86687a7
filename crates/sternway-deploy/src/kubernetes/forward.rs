//! A way from this machine to a port of a pod: each connection to a local port is one forward of its own.
//!
//! A forward that breaks, or is not heard of any more, closes its connection and no other. Whoever had it has lost a
//! session, and connects again: the next forward looks anew for a pod that is ready.

use std::net::SocketAddr;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod as Object;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::Api;
use kube::api::ListParams;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::cluster::Cluster;
use super::pods::Pod;
use super::tunnel;

/// How long it may take until a forward stands.
const OPENING: Duration = Duration::from_secs(10);
/// How often it is looked whether a pod is still there.
const LOOK: Duration = Duration::from_secs(10);

/// What is forwarded to.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub namespace: String,
    /// Which pods.
    pub labels: String,
    /// The port of the container, by its number or name.
    pub port: Option<IntOrString>,
    /// The port where none is named.
    pub default: u16,
    /// What it is, for errors.
    pub words: String,
}

/// An open way; it is closed when this is dropped.
#[derive(Debug)]
pub struct Forward {
    address: SocketAddr,
    listener: JoinHandle<()>,
}

impl Drop for Forward {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

impl Forward {
    /// Opens a way, and tries it.
    pub(super) async fn open(cluster: &Cluster, target: Target) -> Result<Forward, String> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await;
        let listener = listener.map_err(|error| format!("no local port can be opened: {error}"))?;
        let address = listener.local_addr().map_err(|error| error.to_string())?;
        let (pod, port) = pod(cluster, &target).await?;
        tracing::info!("{address} leads to port {port} of pod {}", pod.name());
        let cluster = cluster.clone();
        let listener = tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                let (cluster, target) = (cluster.clone(), target.clone());
                tokio::spawn(async move {
                    if let Err(reason) = carry(&cluster, &target, connection).await {
                        tracing::warn!("the forward to {} ended: {reason}", target.words);
                    }
                });
            }
        });
        Ok(Forward { address, listener })
    }

    /// Where it begins on this machine.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Carries one connection to its end. It ends with its pod, too, whatever the node says of that.
async fn carry(cluster: &Cluster, target: &Target, connection: TcpStream) -> Result<(), String> {
    let (pod, port) = pod(cluster, target).await?;
    let name = pod.name();
    let opened = timeout(OPENING, tunnel::open(cluster, &target.namespace, name, port)).await;
    let opened =
        opened.map_err(|_| format!("pod {name} gave none within {} s", OPENING.as_secs()))?;
    let opened = opened.map_err(|error| format!("pod {name}: {error}"))?;
    tokio::select! {
        ended = tunnel::carry(opened, connection) => ended,
        () = gone(cluster, target, &pod) => Err(format!("pod {name} is gone")),
    }
}

/// Returns when a pod has ended or is not there any more. An API server that does not answer says neither.
async fn gone(cluster: &Cluster, target: &Target, pod: &Pod) {
    let pods: Api<Object> = Api::namespaced(cluster.client.clone(), &target.namespace);
    let which = ListParams::default().fields(&format!("metadata.name={}", pod.name()));
    loop {
        sleep(LOOK).await;
        let Ok(found) = cluster.ask(|| pods.list(&which)).await else { continue };
        let mut left = found.items.into_iter().map(Pod).filter(|it| !it.has_ended());
        if !left.any(|it| it.0.metadata.uid == pod.0.metadata.uid) {
            return;
        }
    }
}

/// A pod that is ready, and the port to reach in it.
async fn pod(cluster: &Cluster, target: &Target) -> Result<(Pod, u16), String> {
    let pods: Api<Object> = Api::namespaced(cluster.client.clone(), &target.namespace);
    let which = ListParams::default().labels(&target.labels);
    let found = cluster.ask(|| pods.list(&which)).await?;
    let mut ready = found.items.into_iter().map(Pod).filter(Pod::is_ready);
    let Some(pod) = ready.next() else {
        return Err(format!("no pod of {} is ready", target.words));
    };
    let containers = pod.0.spec.iter().flat_map(|it| &it.containers);
    let mut ports = containers.flat_map(|it| it.ports.iter().flatten());
    let port = match &target.port {
        None => Some(target.default),
        Some(IntOrString::Int(port)) => u16::try_from(*port).ok(),
        Some(IntOrString::String(name)) => {
            let it = ports.find(|it| it.name.as_ref() == Some(name));
            it.and_then(|it| u16::try_from(it.container_port).ok())
        }
    };
    let port = port.ok_or_else(|| format!("pod {} has no such port", pod.name()))?;
    Ok((pod, port))
}
