//! What can happen on the way. Each ends at the start or at the target, with the application serving and
//! nothing lost.

use std::io::{BufRead, Read, Write};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::control::{Cluster, End, wait_until};
use crate::harbour::{Harbour, executable};
use crate::journey::was_away;
use crate::line::Line;
use crate::proxy::{Proxy, Strike};
use crate::support::{Run, Session, ask, block_on, variable};

const ROLLBACK: [&str; 4] = ["rollback", "--to", "1.1.2", "--yes"];
const VERSION: &str = "SELECT version::text FROM schema_migrations";
/// A session of Sternway waits for a lock.
const WAITS: &str = "EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'sternway' \
    AND wait_event_type = 'Lock' AND datname = current_database())";

/// Ends what a run has left unfinished, and checks that all is as before, or at the target.
#[track_caller]
fn settles(harbour: &Harbour, run: &Run, way: &str, pods: usize) -> &'static str {
    let mut unfinished = false;
    // The way through the cluster may have to be found anew.
    wait_until("the database is reached", || {
        let status = harbour.run(&["status", "--output", "json"]);
        if status.code != Some(0) {
            // A session of which nobody hears any more may hold what is asked for.
            harbour.run(&[way, "--yes", "--end-orphans"]);
            return false;
        }
        unfinished = !status.json("sternway.status/1")["unfinished"].is_null();
        true
    });
    if run.code != Some(0) && unfinished {
        harbour.ends(way);
    }
    let row = ask(&harbour.server.url, VERSION);
    let at = if row == "9" { "1.2.1" } else { "1.1.2" };
    harbour.is_at(at, pods);
    at
}

#[test]
fn killed_between_steps() {
    let Some(harbour) = Harbour::new("killed") else { return };
    harbour.install("1.2.1", &["--set", "controller.replicas=2"]);
    harbour.fill();
    let before = harbour.rows();
    let points = [
        ("record.ended:1", "abort"),
        ("app.ended:1", "resume"),
        ("app.ended:2", "abort"),
        ("app.begins:3", "resume"),
        ("app.ended:3", "abort"),
    ];
    let mut at = "1.2.1";
    for (point, way) in points {
        let to = if at == "1.2.1" { "1.1.2" } else { "1.2.1" };
        let course = if at == "1.2.1" { "rollback" } else { "upgrade" };
        harbour.killed(&[course, "--to", to, "--yes"], point);
        harbour.ends(way);
        at = if way == "resume" { to } else { at };
        harbour.is_at(at, 2);
    }
    assert_eq!(at, "1.2.1");
    harbour.has_rows(&before);
}

/// How many points of a journey are struck at with a word; all of them with `STERNWAY_TEST_EVERY_FAULT`.
const POINTS: usize = 6;

/// The forward of a journey breaks at requests to the database that are spread over all of it.
fn breaks(test: &str, points: usize, strike: fn(&Line)) {
    let Some(harbour) = Harbour::new(test) else { return };
    harbour.install("1.2.1", &[]);
    harbour.fill();
    let before = harbour.rows();
    let (_, port) = harbour.server.place().rsplit_once(':').expect("a port");
    let proxy = Proxy::to(port.parse().expect("a number"));
    harbour.forwards_to(proxy.port);
    let line = Line::to(&harbour);
    let through = |arguments: &[&str]| {
        let mut command = harbour.command(arguments);
        command.env("KUBECONFIG", &line.kubeconfig);
        Run::of(command)
    };
    let nothing = || Strike::Then(Arc::new(|| {}));
    wait_until("the forward leads through the proxy", || {
        proxy.arm(usize::MAX, nothing());
        harbour.run(&["status"]).ended(0);
        proxy.requests() > 0
    });
    // How many requests there are on the way.
    proxy.arm(usize::MAX, nothing());
    through(&ROLLBACK).ended(0);
    let all = proxy.requests();
    assert!(all > 50, "{all} requests");
    let every = std::env::var_os("STERNWAY_TEST_EVERY_FAULT").is_some();
    let points = if every { all } else { points };
    for (part, way) in (1..=points).zip(["resume", "abort"].into_iter().cycle()) {
        if ask(&harbour.server.url, VERSION) != "9" {
            harbour.run(&["upgrade", "--to", "1.2.1", "--yes"]).ended(0);
        }
        harbour.has_rows(&before);
        let (at, broken) = (all * part / (points + 1), line.clone());
        proxy.arm(at, Strike::Then(Arc::new(move || strike(&broken))));
        let run = through(&ROLLBACK);
        assert!(proxy.disarm().is_some(), "{at} of {all}: {}", run.stderr);
        settles(&harbour, &run, way, 1);
    }
    if ask(&harbour.server.url, VERSION) != "9" {
        harbour.run(&["upgrade", "--to", "1.2.1", "--yes"]).ended(0);
    }
    harbour.has_rows(&before);
}

/// Trap 14: the database is reached through the cluster alone.
#[test]
fn the_forward_is_cut() {
    breaks("forward_cut", POINTS, Line::cut);
}

#[test]
fn the_forward_dies_without_a_word() {
    breaks("forward_dead", 2, Line::hush);
}

#[test]
fn the_pod_behind_the_forward_goes() {
    let Some(harbour) = Harbour::new("pod_goes") else { return };
    harbour.install("1.2.1", &[]);
    harbour.fill();
    let before = harbour.rows();
    let run = block_on(async {
        let mut keeper = Session::open(&harbour.server.as_admin()).await;
        keeper.run("BEGIN; SELECT FROM port_call").await;
        let mut command = harbour.command(&[&ROLLBACK[..], &["--lock-wait", "0"]].concat());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().expect("the program");
        let mut watcher = Session::open(&harbour.server.as_admin()).await;
        watcher.until(WAITS).await;
        // Its node says nothing of that here; the session that waits would do so for ever.
        let labels = "--selector=app.kubernetes.io/component=database";
        harbour.kubectl(&["delete", "pods", labels]);
        let output = thread::spawn(move || child.wait_with_output().expect("an end"));
        let run = Run::ended_as("rollback".to_owned(), &output.join().expect("an end"));
        keeper.run("COMMIT").await;
        run
    });
    assert_ne!(run.code, Some(0), "{}", run.stdout);
    harbour.is_ready();
    assert_eq!(settles(&harbour, &run, "abort", 1), "1.2.1");
    harbour.has_rows(&before);
}

#[test]
fn a_writer_that_is_not_scaled_is_named() {
    let Some(harbour) = Harbour::new("writer") else { return };
    harbour.install("1.2.1", &[]);
    block_on(async {
        // Such as a second Deployment on the same database.
        let mut writer = Session::open(&harbour.server.url).await;
        writer.run("SET application_name = 'pilot-service'").await;
        let run = harbour.run(&ROLLBACK);
        assert_ne!(run.code, Some(0), "{}", run.stdout);
        run.explains(&["pilot-service"]);
    });
    harbour.is_at("1.2.1", 1);
}

#[test]
fn pods_take_a_minute_to_end() {
    let Some(harbour) = Harbour::new("long_end") else { return };
    let annotation = r"controller.podAnnotations.stage\.sternway\.test/end-after=1m";
    harbour.install("1.2.1", &["--set", annotation]);
    harbour.run(&ROLLBACK).ended(0);
    harbour.is_at("1.1.2", 1);
    was_away(&harbour, 1);
}

/// Scales the controller up again as soon as it is at zero, so often; for ever where none is said.
fn meddling(harbour: &Harbour, times: usize, run: impl FnOnce()) {
    let proxy = ApiProxy::new(&harbour.cluster);
    let path =
        format!("/apis/apps/v1/namespaces/{}/deployments/harbour-controller/scale", harbour.space);
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut left = times;
            while left > 0 && !over.load(Ordering::Relaxed) {
                // The API leaves a zero out.
                let answer = proxy.ask("GET", &path, "");
                if answer.contains("\"spec\":{}") {
                    let up = "{\"spec\":{\"replicas\":1}}";
                    proxy.ask("PATCH", &format!("{path}?fieldManager=tide-keeper"), up);
                    left -= 1;
                }
                thread::sleep(Duration::from_millis(50));
            }
        });
        let _end = End(&over);
        run();
    });
}

/// The API without TLS, for what has to be quick.
struct ApiProxy {
    kubectl: std::process::Child,
    place: String,
}

impl ApiProxy {
    fn new(cluster: &Cluster) -> ApiProxy {
        let mut kubectl = Command::new(cluster.binary("kubectl"));
        kubectl.arg("--kubeconfig").arg(cluster.kubeconfig()).args(["proxy", "--port=0"]);
        let mut kubectl = kubectl.stdout(Stdio::piped()).spawn().expect("kubectl");
        let mut line = String::new();
        let output = kubectl.stdout.take().expect("an output");
        std::io::BufReader::new(output).read_line(&mut line).expect("a line");
        let place = line.trim().rsplit(' ').next().expect("a place").to_owned();
        ApiProxy { kubectl, place }
    }

    fn ask(&self, verb: &str, path: &str, body: &str) -> String {
        let mut stream = std::net::TcpStream::connect(&self.place).expect("kubectl proxy");
        let request = format!(
            "{verb} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nAccept: application/json\r\n\
             Content-Type: application/merge-patch+json\r\nContent-Length: {}\r\n\r\n{body}",
            self.place,
            body.len()
        );
        stream.write_all(request.as_bytes()).expect("a write");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        answer
    }
}

impl Drop for ApiProxy {
    fn drop(&mut self) {
        let _ = self.kubectl.kill();
        let _ = self.kubectl.wait();
    }
}

#[test]
fn somebody_scales_up_again() {
    let Some(harbour) = Harbour::new("meddling") else { return };
    harbour.install("1.2.1", &[]);
    meddling(&harbour, usize::MAX, || {
        let run = harbour.run(&ROLLBACK);
        assert_ne!(run.code, Some(0), "{}", run.stderr);
        run.explains(&["is scaled up again each time it is scaled to zero, by somebody that the object does not name"]);
    });
    harbour.is_at("1.2.1", 1);
    // Whoever gives way is overruled.
    meddling(&harbour, 2, || drop(harbour.run(&ROLLBACK).ended(0)));
    harbour.is_at("1.1.2", 1);
    was_away(&harbour, 1);
}

/// A control plane of the test's own.
struct Own {
    cluster: Cluster,
    scripts: std::path::PathBuf,
    _folder: tempfile::TempDir,
}

impl Own {
    fn new(test: &str) -> Option<Own> {
        let shared = Cluster::of(test)?;
        let url = variable("STERNWAY_TEST_PG_URL", test)?;
        let (_, place) = url.split_once('@')?;
        let place = place.split('/').next()?;
        let folder = tempfile::Builder::new()
            .prefix("sternway-cluster-")
            .tempdir_in("/tmp")
            .expect("a folder");
        let scripts = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../dev/cluster");
        let cluster = Cluster::at(folder.path().join("own"));
        let programs = shared.folder().join("bin").canonicalize().expect("programs");
        let mut start = Command::new(scripts.join("start"));
        start.arg(cluster.folder()).env("STERNWAY_CLUSTER_PG", place);
        start.env("STERNWAY_CLUSTER_PROGRAMS", programs).stdout(Stdio::null());
        let own = Own { cluster, scripts, _folder: folder };
        assert!(start.status().expect("dev/cluster/start").success());
        Some(own)
    }

    fn api(&self, what: &str) {
        let mut api = Command::new(self.scripts.join("api"));
        assert!(api.arg(self.cluster.folder()).arg(what).status().expect("api").success());
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        let _ = Command::new(self.scripts.join("stop")).arg(self.cluster.folder()).status();
    }
}

#[test]
fn the_api_server_is_away_in_the_middle() {
    let Some(own) = Own::new("api_away") else { return };
    let Some(harbour) = Harbour::on(own.cluster.clone(), "api_away") else { return };
    let slowly = r"controller.podAnnotations.stage\.sternway\.test/start-after=3s";
    harbour.install("1.2.1", &["--set", slowly]);
    harbour.fill();
    let before = harbour.rows();
    // While the database moves: the forward leads through the API server.
    let run = block_on(async {
        // Not as the application does, whose sessions have to be gone.
        let mut keeper = Session::open(&harbour.server.as_admin()).await;
        let mut watcher = Session::open(&harbour.server.as_admin()).await;
        keeper.run("BEGIN; SELECT FROM port_call").await;
        let mut command = harbour.command(&[&ROLLBACK[..], &["--lock-wait", "0"]].concat());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().expect("the program");
        watcher.until(WAITS).await;
        own.api("stop");
        let output = thread::spawn(move || child.wait_with_output().expect("an end"));
        thread::sleep(Duration::from_secs(1));
        keeper.run("COMMIT").await;
        own.api("start");
        Run::ended_as("rollback".to_owned(), &output.join().expect("an end"))
    });
    assert_eq!(settles(&harbour, &run, "resume", 1), "1.1.2");
    // While Helm is at work: it has no patience of its own.
    let helm = harbour.cluster.binary("helm4").display().to_string();
    let (api, folder) = (own.scripts.join("api"), own.cluster.folder().display().to_string());
    let text = format!(
        "#!/bin/sh\ncase $1 in upgrade) if mkdir away 2>/dev/null; then {0} {folder} stop; \
         (sleep 2; {0} {folder} start) >/dev/null 2>&1 & fi ;; esac\nexec {helm} \"$@\"\n",
        api.display()
    );
    harbour.machine.write("helm", &text);
    executable(&harbour.machine.path("helm"));
    let settings = harbour.machine.read("sternway.toml");
    let wrapper = harbour.machine.text("helm");
    harbour
        .machine
        .write("sternway.toml", &settings.replace("\"helm4\"", &format!("\"{wrapper}\"")));
    let run = harbour.run(&["upgrade", "--to", "1.2.1", "--yes"]);
    assert!(harbour.machine.path("away").exists());
    wait_until("the API answers", || harbour.kubectl_does(&["get", "pods"]));
    settles(&harbour, &run, "resume", 1);
    harbour.settings("", "");
    if ask(&harbour.server.url, VERSION) != "9" {
        harbour.run(&["upgrade", "--to", "1.2.1", "--yes"]).ended(0);
    }
    harbour.has_rows(&before);
    // While the target starts.
    let mut command = harbour.command(&ROLLBACK);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().expect("the program");
    let steps = "SELECT count(*)::text FROM sternway.journal WHERE run = (SELECT max(id) FROM sternway.run) \
                 AND record::json->>'event' = 'started' AND (record::json->>'step')::int = \
                 (SELECT steps - 1 FROM sternway.run ORDER BY id DESC LIMIT 1)";
    wait_until("it starts", || ask(&harbour.server.as_admin(), steps) == "1");
    own.api("stop");
    own.api("start");
    let run = Run::ended_as("rollback".to_owned(), &child.wait_with_output().expect("an end"));
    if settles(&harbour, &run, "resume", 1) == "1.2.1" {
        harbour.has_rows(&before);
    }
}
