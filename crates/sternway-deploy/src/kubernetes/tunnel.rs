//! One connection to a port of a pod: a WebSocket through the API server to the pod's kubelet, with a sign of life.
//!
//! The forward that `kube` has never asks whether anybody is there: a line that dies without a word leaves whoever
//! uses it waiting for ever. This one asks every few seconds. The kubelet itself answers, so that an answer speaks for
//! the whole line, and nothing on the way takes it for idle.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use k8s_openapi::api::core::v1::Pod;
use kube::Resource as _;
use kube::api::Request;
use kube::client::Connection;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_tungstenite::tungstenite::{Bytes, Message};

use super::cluster::Cluster;

/// How often the other end is asked.
const PULSE: Duration = Duration::from_secs(5);
/// After how long without a word it is taken for dead.
const SILENCE: Duration = Duration::from_secs(30);
/// How much is carried at once, in bytes.
const PIECE: usize = 64 << 10;
/// The channel of what is carried; the one behind it says why that cannot be.
const DATA: u8 = 0;

/// Opens a connection to a port of a pod.
pub(super) async fn open(
    cluster: &Cluster,
    namespace: &str,
    pod: &str,
    port: u16,
) -> kube::Result<Connection> {
    let request = Request::new(Pod::url_path(&(), Some(namespace))).portforward(pod, &[port]);
    cluster.client.connect(request.map_err(kube::Error::BuildRequest)?).await
}

/// Carries a local connection to its end, or to that of the far one.
///
/// # Errors
/// Where the far end cannot be reached, breaks off, or is not heard of any more.
pub(super) async fn carry(far: Connection, near: TcpStream) -> Result<(), String> {
    let (mut to_far, mut from_far) = far.into_stream().split();
    let (mut from_near, mut to_near) = near.into_split();
    let there = async {
        let mut pulse = interval(PULSE);
        pulse.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut piece = vec![DATA; 1 + PIECE];
        loop {
            let message = tokio::select! {
                _ = pulse.tick() => Message::Ping(Bytes::new()),
                read = from_near.read(&mut piece[1..]) => match read {
                    Ok(0) | Err(_) => return Ok(()),
                    Ok(length) => Message::binary(piece[..=length].to_vec()),
                },
            };
            to_far.send(message).await.map_err(|error| error.to_string())?;
        }
    };
    let back = async {
        let mut is_open = [false; 2];
        loop {
            let heard = timeout(SILENCE, from_far.next()).await;
            let heard = heard.map_err(|_| {
                format!("nothing was heard of the other end for {} s", SILENCE.as_secs())
            })?;
            let bytes = match heard.transpose().map_err(|error| error.to_string())? {
                None | Some(Message::Close(_)) => return Ok(()),
                Some(Message::Binary(bytes)) => bytes,
                Some(_) => continue,
            };
            let Some((channel, bytes)) = bytes.split_first() else { continue };
            let Some(is_open) = is_open.get_mut(usize::from(*channel)) else { continue };
            // The first words of a channel are the port's number.
            if !std::mem::replace(is_open, true) {
                continue;
            }
            if *channel != DATA {
                return Err(String::from_utf8_lossy(bytes).into_owned());
            }
            if to_near.write_all(bytes).await.is_err() {
                return Ok(());
            }
        }
    };
    tokio::select! {
        ended = there => ended,
        ended = back => ended,
    }
}
