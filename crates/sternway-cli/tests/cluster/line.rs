//! The way to the API server, which can break: with a word, or without one.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use crate::harbour::Harbour;

/// A way for as many connections as want it. Those that come after a break are whole.
#[derive(Clone)]
pub struct Line {
    open: Arc<Mutex<Vec<Connection>>>,
    /// A kubeconfig that leads through it.
    pub kubeconfig: PathBuf,
}

struct Connection {
    ends: [TcpStream; 2],
    is_mute: Arc<AtomicBool>,
}

impl Line {
    /// A way to the cluster of an application, with a kubeconfig on its machine.
    pub fn to(harbour: &Harbour) -> Line {
        let server = std::fs::read_to_string(harbour.cluster.folder().join("server"));
        let server = server.expect("an address").trim().replace("https://", "");
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let here = listener.local_addr().expect("an address").to_string();
        let text = std::fs::read_to_string(harbour.cluster.kubeconfig()).expect("a kubeconfig");
        harbour.machine.write("kubeconfig", &text.replace(&server, &here));
        let line = Line { open: Arc::default(), kubeconfig: harbour.machine.path("kubeconfig") };
        let shared = line.clone();
        // They end with the process.
        thread::spawn(move || {
            for near in listener.incoming() {
                let (Ok(near), Ok(far)) = (near, TcpStream::connect(&server)) else { continue };
                let is_mute = Arc::new(AtomicBool::new(false));
                for (from, to) in [(&near, &far), (&far, &near)] {
                    let (from, to) = (copy(from), copy(to));
                    let is_mute = is_mute.clone();
                    thread::spawn(move || carry(from, to, &is_mute));
                }
                let mut open = shared.open.lock().unwrap_or_else(PoisonError::into_inner);
                open.push(Connection { ends: [near, far], is_mute });
            }
        });
        line
    }

    /// Breaks what is open, so that both ends are told.
    pub fn cut(&self) {
        for it in self.open.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            let _ = it.ends.map(|end| end.shutdown(Shutdown::Both));
        }
    }

    /// Carries nothing any more of what is open, and tells nobody.
    pub fn hush(&self) {
        for it in self.open.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            it.is_mute.store(true, Ordering::SeqCst);
        }
    }
}

fn copy(stream: &TcpStream) -> TcpStream {
    let _ = stream.set_nodelay(true);
    stream.try_clone().expect("a stream")
}

/// Carries one direction. What nobody is to hear is read all the same: a sender is not to notice.
fn carry(mut from: TcpStream, mut to: TcpStream, is_mute: &AtomicBool) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        if !is_mute.load(Ordering::SeqCst) && to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}
