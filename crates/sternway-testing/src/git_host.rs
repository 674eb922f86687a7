//! A host of git repositories: git's own server program behind HTTP, which can also answer otherwise.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// The certificate of an authority that nobody trusts but for these tests, in PEM. Its key is gone.
pub const AUTHORITY: &str = include_str!("git_host/authority.pem");

/// A request that came.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Such as `GET /app.git/info/refs`.
    pub what: String,
    /// The value of `Authorization`, where there was one.
    pub authorization: Option<String>,
    /// How many bytes were answered.
    pub answered: usize,
}

/// An answer in place of git's.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The status, such as `503 Service Unavailable`.
    pub status: &'static str,
    /// Headers, one line each.
    pub headers: Vec<String>,
    /// The body.
    pub body: Vec<u8>,
    /// How often the body is sent; an answer without an end has a large number.
    pub times: usize,
    /// How long to wait before each byte of the body.
    pub drip: Duration,
}

impl Reply {
    /// An answer with a status and nothing else.
    pub fn status(status: &'static str) -> Reply {
        Reply { status, headers: Vec::new(), body: Vec::new(), times: 1, drip: Duration::ZERO }
    }

    /// With one header more.
    pub fn with(mut self, header: &str) -> Reply {
        self.headers.push(header.to_owned());
        self
    }
}

#[derive(Default)]
struct State {
    asked: Vec<Asked>,
    replies: VecDeque<Option<Reply>>,
    /// A path that has moved, and where to.
    moved: Option<(String, String)>,
    /// `Basic …`, without which nobody is let in.
    login: Option<String>,
    latency: Duration,
    filters: bool,
}

/// A host on a port of its own. Its threads end with the test.
pub struct GitHost {
    /// Such as `http://127.0.0.1:1234`.
    pub url: String,
    /// The same without a scheme.
    pub authority: String,
    state: Arc<Mutex<State>>,
}

impl GitHost {
    /// Serves the repositories in a folder.
    pub fn serve(root: &Path) -> GitHost {
        Self::listen(root, None)
    }

    /// The same over TLS, with a certificate of [`AUTHORITY`].
    pub fn serve_tls(root: &Path) -> GitHost {
        let provider = rustls::crypto::ring::default_provider();
        let certificate = CertificateDer::from(&include_bytes!("git_host/certificate.der")[..]);
        let key = PrivatePkcs8KeyDer::from(&include_bytes!("git_host/key.der")[..]);
        let config = ServerConfig::builder_with_provider(provider.into())
            .with_safe_default_protocol_versions()
            .and_then(|it| it.with_no_client_auth().with_single_cert(vec![certificate], key.into()))
            .expect("a configuration of TLS");
        Self::listen(root, Some(Arc::new(config)))
    }

    fn listen(root: &Path, tls: Option<Arc<ServerConfig>>) -> GitHost {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let authority = listener.local_addr().expect("an address").to_string();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let state = Arc::new(Mutex::new(State { filters: true, ..State::default() }));
        let host =
            GitHost { url: format!("{scheme}://{authority}"), authority, state: state.clone() };
        let root = root.canonicalize().expect("a folder");
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (state, root, tls) = (state.clone(), root.clone(), tls.clone());
                thread::spawn(move || match tls {
                    None => answer(stream, &root, &state),
                    Some(config) => {
                        if let Ok(session) = ServerConnection::new(config) {
                            answer(StreamOwned::new(session, stream), &root, &state);
                        }
                    }
                });
            }
        });
        host
    }

    /// Every request until now, and none from now on.
    pub fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.state().asked)
    }

    /// Answers the next request so; `None` lets git answer one.
    pub fn next(&self, reply: Option<Reply>) {
        self.state().replies.push_back(reply);
    }

    /// Sends everybody who asks below one path to another.
    pub fn moves(&self, from: &str, to: &str) {
        self.state().moved = Some((from.to_owned(), to.to_owned()));
    }

    /// Lets nobody in but with this value of `Authorization`.
    pub fn asks_for(&self, authorization: Option<&str>) {
        self.state().login = authorization.map(str::to_owned);
    }

    /// Waits so long before each answer.
    pub fn takes(&self, latency: Duration) {
        self.state().latency = latency;
    }

    /// Sends whole histories only.
    pub fn never_filters(&self) {
        self.state().filters = false;
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("no thread broke down")
    }
}

/// One request on a connection.
fn answer(mut stream: impl Read + Write, root: &Path, state: &Mutex<State>) {
    let Some((head, body)) = request(&mut stream) else { return };
    let mut first = head.first().map(String::as_str).unwrap_or_default().split(' ');
    let (method, target) = (first.next().unwrap_or_default(), first.next().unwrap_or_default());
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    // A proxy is asked for the whole address.
    let whole = path;
    let path = path
        .split_once("://")
        .map_or(path, |(_, rest)| rest.find('/').map_or("/", |at| &rest[at..]));
    let header = |name: &str| {
        let mut lines = head.iter().filter_map(|line| line.split_once(": "));
        lines.find(|(it, _)| it.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned())
    };
    let authorization = header("authorization");
    let (reply, latency, filters) = {
        let mut state = state.lock().expect("no thread broke down");
        let what = format!("{method} {whole}");
        state.asked.push(Asked { what, authorization: authorization.clone(), answered: 0 });
        let scripted = state.replies.pop_front().flatten();
        let elsewhere = state.moved.as_ref().and_then(|(from, to)| {
            let rest = path.strip_prefix(from.as_str())?;
            let query = if query.is_empty() { String::new() } else { format!("?{query}") };
            Some(
                Reply::status("301 Moved Permanently")
                    .with(&format!("Location: {to}{rest}{query}")),
            )
        });
        let out = state.login.is_some() && state.login != authorization;
        let refused = out.then(|| {
            Reply::status("401 Unauthorized").with("WWW-Authenticate: Basic realm=\"git\"")
        });
        (scripted.or(elsewhere).or(refused), state.latency, state.filters)
    };
    thread::sleep(latency);
    let sent = match reply {
        Some(reply) => send(&mut stream, &reply),
        None => {
            let git = Git { root: root.to_owned(), filters };
            let answered = git.answer(method, path, query, &header, &body);
            stream.write_all(&answered).map(|()| answered.len()).unwrap_or_default()
        }
    };
    stream.flush().ok();
    if let Some(asked) = state.lock().expect("no thread broke down").asked.last_mut() {
        asked.answered = sent;
    }
}

/// The lines of a request's head, and its body.
fn request(stream: &mut impl Read) -> Option<(Vec<String>, Vec<u8>)> {
    let mut reader = BufReader::new(stream);
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|it| *it > 0)?;
        match line.trim_end() {
            "" => break,
            line => head.push(line.to_owned()),
        }
    }
    let length = head
        .iter()
        .find_map(|it| it.to_ascii_lowercase().strip_prefix("content-length: ").map(str::to_owned));
    let mut body = vec![0; length.and_then(|it| it.parse().ok()).unwrap_or(0)];
    reader.read_exact(&mut body).ok()?;
    Some((head, body))
}

fn send(stream: &mut impl Write, reply: &Reply) -> usize {
    let length = reply.body.len() * reply.times;
    let head =
        format!("HTTP/1.1 {}\r\nConnection: close\r\nContent-Length: {length}\r\n", reply.status);
    let headers: String = reply.headers.iter().map(|it| format!("{it}\r\n")).collect();
    let mut sent = 0;
    if stream.write_all(format!("{head}{headers}\r\n").as_bytes()).is_err() {
        return sent;
    }
    for _ in 0..reply.times {
        let parts = if reply.drip.is_zero() { reply.body.len().max(1) } else { 1 };
        for part in reply.body.chunks(parts) {
            thread::sleep(reply.drip);
            if stream.write_all(part).and_then(|()| stream.flush()).is_err() {
                return sent;
            }
            sent += part.len();
        }
    }
    sent
}

/// Git's own server program.
struct Git {
    root: PathBuf,
    filters: bool,
}

impl Git {
    /// What it answers, with the head of an answer of HTTP.
    fn answer(
        &self,
        method: &str,
        path: &str,
        query: &str,
        header: &dyn Fn(&str) -> Option<String>,
        body: &[u8],
    ) -> Vec<u8> {
        let mut program = Command::new("git")
            .arg("http-backend")
            .env("GIT_PROJECT_ROOT", &self.root)
            .env("GIT_HTTP_EXPORT_ALL", "1")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_COUNT", "2")
            .env("GIT_CONFIG_KEY_0", "uploadpack.allowFilter")
            .env("GIT_CONFIG_VALUE_0", self.filters.to_string())
            .env("GIT_CONFIG_KEY_1", "safe.directory")
            .env("GIT_CONFIG_VALUE_1", "*")
            .env("REQUEST_METHOD", method)
            .env("PATH_INFO", path)
            .env("QUERY_STRING", query)
            .env("CONTENT_LENGTH", body.len().to_string())
            .env("CONTENT_TYPE", header("content-type").unwrap_or_default())
            .env("GIT_PROTOCOL", header("git-protocol").unwrap_or_default())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("git");
        let mut input = program.stdin.take().expect("an input");
        let body = body.to_vec();
        let writer = thread::spawn(move || input.write_all(&body).ok());
        let output = program.wait_with_output().expect("git").stdout;
        writer.join().ok();
        let status =
            output.strip_prefix(b"Status: ").and_then(|it| it.split(|it| *it == b'\r').next());
        let status = status.map(|it| String::from_utf8_lossy(it).into_owned());
        let body = output
            .windows(4)
            .position(|it| it == b"\r\n\r\n")
            .map_or(0, |at| output.len() - at - 4);
        let status = status.as_deref().unwrap_or("200 OK");
        let head = format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {body}\r\n");
        [head.as_bytes(), &output].concat()
    }
}
