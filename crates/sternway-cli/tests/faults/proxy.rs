//! A line to a server that breaks when it is told to: at the n-th request, before the server has got
//! it or before the client has got the answer.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// What happens at a request.
#[derive(Clone)]
pub enum Strike {
    /// The line breaks; the server never hears of the request.
    Lost,
    /// The line breaks when the server has the request, and the client hears no more.
    Unanswered,
    /// This is done when the server has the request; what becomes of the line is the server's doing.
    Then(Arc<dyn Fn() + Send + Sync>),
}

/// A line to one server, for as many connections as want it.
pub struct Proxy {
    /// Where it listens, on this machine.
    pub port: u16,
    line: Arc<Line>,
}

#[derive(Default)]
struct Line {
    armed: Mutex<Option<(usize, Strike)>>,
    requests: AtomicUsize,
    struck: Mutex<Option<String>>,
    /// Held while it strikes.
    striking: Mutex<()>,
}

impl Proxy {
    /// A line to a server on this machine.
    pub fn to(server: u16) -> Proxy {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let line = Arc::new(Line::default());
        let shared = line.clone();
        // They end with the process.
        thread::spawn(move || {
            for client in listener.incoming() {
                let (Ok(client), Ok(server)) = (client, TcpStream::connect(("127.0.0.1", server)))
                else {
                    continue;
                };
                let _ = (client.set_nodelay(true), server.set_nodelay(true));
                let line = shared.clone();
                thread::spawn(move || line.carry(&client, &server));
            }
        });
        Proxy { port, line }
    }

    /// Counts from one again, and strikes at the n-th request.
    pub fn arm(&self, n: usize, strike: Strike) {
        *self.line.struck.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.line.requests.store(0, Ordering::SeqCst);
        *self.line.armed.lock().unwrap_or_else(PoisonError::into_inner) = Some((n, strike));
    }

    /// Strikes no more, once it has done so. Returns what the request said that was struck at, if any was.
    pub fn disarm(&self) -> Option<String> {
        let _done = self.line.striking.lock();
        *self.line.armed.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.line.struck.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// How many requests there were since it was armed.
    pub fn requests(&self) -> usize {
        self.line.requests.load(Ordering::SeqCst)
    }
}

impl Line {
    /// Carries one connection to its end.
    fn carry(&self, client: &TcpStream, server: &TcpStream) {
        let mute = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                answers(server, client, &mute);
                let _ = client.shutdown(Shutdown::Both);
            });
            self.requests_of(client, server, &mute);
            let _ = server.shutdown(Shutdown::Write);
        });
    }

    fn requests_of(&self, client: &TcpStream, mut server: &TcpStream, mute: &AtomicBool) {
        let mut requests = Requests::new(client);
        while let Some(request) = requests.next() {
            let number = self.requests.fetch_add(1, Ordering::SeqCst) + 1;
            let armed = self.armed.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let strike = armed.filter(|(at, _)| *at == number).map(|(_, strike)| strike);
            let _striking = strike.is_some().then(|| self.striking.lock());
            if strike.is_some() {
                let mut struck = self.struck.lock().unwrap_or_else(PoisonError::into_inner);
                *struck = Some(words(&request));
            }
            match strike {
                Some(Strike::Lost) => {
                    let _ = (server.shutdown(Shutdown::Both), client.shutdown(Shutdown::Both));
                    return;
                }
                Some(Strike::Unanswered) => {
                    mute.store(true, Ordering::SeqCst);
                    let _ = server.write_all(&request);
                    let _ = client.shutdown(Shutdown::Both);
                    return;
                }
                Some(Strike::Then(what)) => {
                    let _ = server.write_all(&request);
                    what();
                }
                None if server.write_all(&request).is_err() => return,
                None => {}
            }
        }
    }
}

/// Carries what the server says, until it says no more. Where nobody hears it any more it is read on,
/// so that the server does not wait.
fn answers(mut server: &TcpStream, mut client: &TcpStream, mute: &AtomicBool) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok(length @ 1..) = server.read(&mut buffer) {
        if !mute.load(Ordering::SeqCst) {
            let _ = client.write_all(&buffer[..length]);
        }
    }
}

/// The requests of a client: all messages up to one that the server answers.
struct Requests<'a> {
    client: &'a TcpStream,
    started: bool,
}

impl Requests<'_> {
    fn new(client: &TcpStream) -> Requests<'_> {
        Requests { client, started: false }
    }

    fn next(&mut self) -> Option<Vec<u8>> {
        let mut request = Vec::new();
        loop {
            // The first message has no letter; nor has the one after a refused question for TLS.
            let letter = if self.started { self.bytes(1, &mut request)?[0] } else { 0 };
            let length = self.bytes(4, &mut request)?;
            let length = u32::from_be_bytes(length.try_into().ok()?) as usize;
            let body = self.bytes(length.checked_sub(4)?, &mut request)?;
            if !self.started {
                self.started = !body.starts_with(&80_877_103_u32.to_be_bytes());
                return Some(request);
            }
            // A query, a synchronisation, a flush, a password, an end of rows, a farewell.
            if b"QSHpcfX".contains(&letter) {
                return Some(request);
            }
        }
    }

    fn bytes(&mut self, count: usize, request: &mut Vec<u8>) -> Option<Vec<u8>> {
        let mut bytes = vec![0; count];
        self.client.read_exact(&mut bytes).ok()?;
        request.extend_from_slice(&bytes);
        Some(bytes)
    }
}

/// What can be read of a request, for a failed test.
fn words(request: &[u8]) -> String {
    let text = request.iter().map(|byte| match byte {
        b' '..=b'~' => char::from(*byte),
        _ => ' ',
    });
    text.take(200).collect()
}
