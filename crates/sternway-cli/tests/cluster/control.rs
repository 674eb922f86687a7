//! The tests' control plane, its charts, and what was asked of it.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::variable;

/// The releases that there are charts of. The pods of the one that is broken are never ready.
pub const RELEASES: [(&str, u64); 5] =
    [("1.0.3", 4), ("1.1.1-broken", 6), ("1.1.2", 7), ("1.2.0", 9), ("1.2.1", 9)];

/// A control plane, as its folder tells.
#[derive(Clone)]
pub struct Cluster {
    folder: PathBuf,
}

impl Cluster {
    /// The one that all tests share; `None` where there is none.
    pub fn of(test: &str) -> Option<Cluster> {
        variable("STERNWAY_TEST_CLUSTER", test).map(Cluster::at)
    }

    /// The one of a folder.
    pub fn at(folder: impl Into<PathBuf>) -> Cluster {
        Cluster { folder: folder.into() }
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub fn kubeconfig(&self) -> PathBuf {
        self.folder.join("kubeconfig")
    }

    /// A program of the cluster's.
    pub fn binary(&self, name: &str) -> PathBuf {
        self.folder.join("bin").join(name)
    }

    /// The registry's host and port.
    pub fn registry(&self) -> String {
        let text = fs::read_to_string(self.folder.join("registry")).expect("a registry");
        text.trim().to_owned()
    }

    /// The settings of a program that works with this cluster, found in a folder of its own.
    pub fn equip<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let own = [self.folder.join("bin")].into_iter();
        let path = std::env::join_paths(own.chain(std::env::split_paths(&path))).expect("a PATH");
        command.env("PATH", path).env("KUBECONFIG", self.kubeconfig())
    }

    fn kubectl_command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.binary("kubectl"));
        command.args(["--kubeconfig"]).arg(self.kubeconfig());
        command.args(["--cache-dir"]).arg(self.folder.join("kubectl")).args(arguments);
        command
    }

    /// Runs `kubectl`, which has to succeed.
    #[track_caller]
    pub fn kubectl(&self, arguments: &[&str]) -> String {
        let output = self.kubectl_command(arguments).stdin(Stdio::null()).output();
        let output = output.expect("kubectl");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "kubectl {arguments:?}: {errors}");
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    /// Whether `kubectl` succeeds.
    pub fn kubectl_does(&self, arguments: &[&str]) -> bool {
        let mut command = self.kubectl_command(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().expect("kubectl").success()
    }

    /// Waits until a kind of object that was just defined can be made. At first the definition says nothing of that, which
    /// `kubectl wait` takes for an error.
    #[track_caller]
    pub fn established(&self, definition: &str) {
        let definition = format!("crd/{definition}");
        let wait = ["wait", &definition, "--for=condition=Established", "--timeout=10s"];
        for _ in 0..30 {
            if self.kubectl_does(&wait) {
                return;
            }
            std::thread::sleep(std::time::Duration::from_secs(1));
        }
        self.kubectl(&wait);
    }

    /// Applies a manifest.
    #[track_caller]
    pub fn apply(&self, namespace: &str, manifest: &str) {
        let mut command = self.kubectl_command(&["-n", namespace, "apply", "-f", "-"]);
        command.stdin(Stdio::piped()).stdout(Stdio::null());
        let mut child = command.spawn().expect("kubectl");
        let mut input = child.stdin.take().expect("an input");
        input.write_all(manifest.as_bytes()).expect("a write");
        drop(input);
        assert!(child.wait().expect("an end").success(), "{manifest}");
    }

    /// What was asked of the API about a namespace, in the order in which it was answered.
    pub fn asked(&self, namespace: &str) -> Vec<Asked> {
        let log = fs::read_to_string(self.folder.join("audit.log")).expect("a log");
        let mark = format!("\"namespace\":\"{namespace}\"");
        let events = log.lines().filter(|line| line.contains(&mark));
        let events = events.filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let mut asked: Vec<Asked> = events
            .filter(|event| event["objectRef"]["namespace"] == namespace)
            .filter(|event| event["stage"] == "ResponseComplete")
            // What was only tried.
            .filter(|event| !event["requestURI"].as_str().is_some_and(|it| it.contains("dryRun=")))
            .map(|event| Asked::of(&event))
            .collect();
        asked.sort_by(|one, other| one.at.cmp(&other.at));
        asked
    }
}

/// A request that was answered.
#[derive(Debug)]
pub struct Asked {
    /// When it was answered, to the microsecond, in UTC.
    pub at: String,
    pub user: String,
    pub agent: String,
    /// Such as `patch deployments/harbour-controller/scale`.
    pub what: String,
    pub body: Value,
}

impl Asked {
    fn of(event: &Value) -> Asked {
        let text = |it: &Value| it.as_str().unwrap_or_default().to_owned();
        let object = &event["objectRef"];
        let parts = [&object["resource"], &object["name"], &object["subresource"]].map(text);
        let parts: Vec<String> = parts.into_iter().filter(|it| !it.is_empty()).collect();
        Asked {
            at: text(&event["stageTimestamp"]),
            user: text(&event["user"]["username"]),
            agent: text(&event["userAgent"]),
            what: format!("{} {}", text(&event["verb"]), parts.join("/")),
            body: event["requestObject"].clone(),
        }
    }
}

/// The charts, packaged for every release, which are in the registry too.
pub fn charts(cluster: &Cluster) -> &'static Path {
    static CHARTS: OnceLock<PathBuf> = OnceLock::new();
    CHARTS.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cluster/charts");
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cluster/charts");
        let helm = |arguments: &[&str]| {
            let mut command = Command::new(cluster.binary("helm4"));
            command.env("HOME", &folder).current_dir(&from).args(arguments);
            let output = command.output().expect("helm4");
            let errors = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{arguments:?}: {errors}");
        };
        fs::create_dir_all(&folder).expect("a folder");
        let to = folder.display().to_string();
        let registry = format!("oci://{}/charts", cluster.registry());
        for (release, _) in RELEASES {
            helm(&["package", "-d", &to, "--version", release, "harbour", "harbour-crds"]);
            for chart in ["harbour", "harbour-crds"] {
                let archive = format!("{to}/{chart}-{release}.tgz");
                helm(&["push", "--plain-http", &archive, &registry]);
            }
        }
        folder
    })
}

/// Ends what goes on beside a test, also where the test fails.
pub struct End<'a>(pub &'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Waits until something is so, at most for three minutes: a machine may be busy with other tests.
#[track_caller]
pub fn wait_until(what: &str, mut is: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(180);
    while !is() {
        assert!(Instant::now() < end, "it never came to be: {what}");
        sleep(Duration::from_millis(100));
    }
}

/// Serves the files of a folder over HTTP. It ends with the process.
pub fn serves(folder: PathBuf) -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let place = listener.local_addr().expect("an address").to_string();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            let mut line = String::new();
            let read = BufReader::new(&stream).read_line(&mut line);
            let name = line.split(' ').nth(1).unwrap_or_default().trim_start_matches('/');
            let (status, body) = match read.map(|_| fs::read(folder.join(name))) {
                Ok(Ok(body)) => ("200 OK", body),
                _ => ("404 Not Found", Vec::new()),
            };
            let head = format!(
                "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
                body.len()
            );
            let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
        }
    });
    place
}
