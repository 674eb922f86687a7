//! A way from this machine to a port of a pod: each connection to a local port is one forward of its own.
//!
//! A forward that breaks closes its connection and no other. Whoever had it has lost a session, and connects
//! again: the next forward looks anew for a pod that is ready.

use std::net::SocketAddr;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod as Object;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::Api;
use kube::api::ListParams;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::cluster::Cluster;
use super::pods::Pod;

/// How long it may take until a forward stands.
const OPENING: Duration = Duration::from_secs(10);

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
        let (name, port) = pod(cluster, &target).await?;
        tracing::info!("{address} leads to port {port} of pod {name}");
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

/// Carries one connection to its end.
async fn carry(
    cluster: &Cluster,
    target: &Target,
    mut connection: TcpStream,
) -> Result<(), String> {
    let (name, port) = pod(cluster, target).await?;
    let pods: Api<Object> = Api::namespaced(cluster.client.clone(), &target.namespace);
    let opened = timeout(OPENING, pods.portforward(&name, &[port])).await;
    let opened =
        opened.map_err(|_| format!("pod {name} gave none within {} s", OPENING.as_secs()))?;
    let mut forward = opened.map_err(|error| format!("pod {name}: {error}"))?;
    let (stream, refused) = (forward.take_stream(port), forward.take_error(port));
    let mut stream = stream.ok_or("it has no stream")?;
    let refused = async {
        match refused {
            Some(refused) => refused.await,
            None => None,
        }
    };
    tokio::select! {
        ended = copy_bidirectional(&mut connection, &mut stream) => {
            ended.map(drop).map_err(|error| error.to_string())
        }
        // Without a word it has only closed that channel.
        Some(reason) = refused => Err(reason),
    }
}

/// A pod that is ready, and the port to reach in it.
async fn pod(cluster: &Cluster, target: &Target) -> Result<(String, u16), String> {
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
    Ok((pod.name().to_owned(), port))
}
