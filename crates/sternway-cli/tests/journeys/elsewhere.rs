//! Releases on other hosts and in bundles: served by git's own programs, read by the program from a folder
//! with nothing but settings.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use sternway_testing::{AUTHORITY, GitHost, Reply};

use crate::snapshots::bucket::{Kind, Server};
use crate::support::{APP, CORE, Machine, RELEASES, Run, skip, variable};

/// What the settings say of the source, and what a test names in its place.
const SOURCE: &str = "source = \"git+file:app\"";

/// A machine with the application's core track, and a folder with its repository `harbour/app.git`.
fn hosted() -> (Machine, PathBuf) {
    let machine = Machine::with_core();
    let root = machine.path("host");
    fs::create_dir_all(root.join("harbour")).expect("a folder");
    machine.git(".", &["clone", "--quiet", "--bare", "app", "host/harbour/app.git"]);
    (machine, root)
}

/// Settings whose releases are elsewhere, in a folder with nothing else.
fn away(source: &str) -> Machine {
    let machine = Machine::empty();
    let settings = format!("{APP}{CORE}");
    assert!(settings.contains(SOURCE), "{settings}");
    machine.write("sternway.toml", &settings.replace(SOURCE, &format!("source = \"{source}\"")));
    machine
}

const PLAN: [&str; 7] = ["plan", "--from", "1.2.1", "--to", "1.1.2", "--output", "json"];

fn run(machine: &Machine, variables: &[(&str, &str)], arguments: &[&str]) -> Run {
    let mut command = machine.command(arguments);
    command.envs(variables.iter().copied());
    Run::of(command)
}

#[test]
fn a_host_needs_no_clone() {
    let (near, root) = hosted();
    let expected = near.run(&PLAN).ended(0).stdout;
    let host = GitHost::serve(&root);
    let far = away("github://harbour/app");
    let at = [("STERNWAY_GITHUB_URL", &*host.url)];
    assert_eq!(run(&far, &at, &PLAN).ended(0).stdout, expected);
    let cold = host.asked();
    assert!(cold.len() <= 12, "{cold:#?}");
    assert_eq!(run(&far, &at, &PLAN).ended(0).stdout, expected);
    assert_eq!(host.asked().len(), 1);
    // A host that does not answer is told, with the time of what is known.
    for _ in 0..3 {
        host.next(Some(Reply::status("503 Service Unavailable")));
    }
    let offline = run(&far, &at, &PLAN).ended(0);
    assert!(
        offline.stderr.contains("did not answer, so the releases are those of 20"),
        "{}",
        offline.stderr
    );
    assert_eq!(offline.stdout, expected);
    // On a machine that knows nothing it is an error, with a way out.
    let other = away("github://harbour/app");
    for _ in 0..3 {
        host.next(Some(Reply::status("503 Service Unavailable")));
    }
    run(&other, &at, &PLAN).ended(1).explains(&["answered 503", "--source names a bundle"]);
}

#[test]
fn tokens_go_to_their_host_and_nowhere_else() {
    let (_near, root) = hosted();
    let (host, other) = (GitHost::serve(&root), GitHost::serve(&root));
    // x-access-token:s3cret and me:netrc
    host.asks_for(Some("Basic eC1hY2Nlc3MtdG9rZW46czNjcmV0"));
    let at = |token: &'static str| {
        [("STERNWAY_GITHUB_URL", host.url.clone()), ("GH_TOKEN", token.to_owned())]
    };
    let far = away("github://harbour/app");
    let with = |variables: &[(&str, String)]| {
        let mut command = far.command(&PLAN);
        command.envs(variables.iter().map(|(name, value)| (name, value)));
        Run::of(command)
    };
    with(&at("s3cret")).ended(0);
    fs::remove_dir_all(far.path("home/.cache")).expect("a cache");
    let refused = with(&at("stale"));
    refused.ended(1).explains(&["401 Unauthorized", "a private repository needs a token"]);
    // A token that is no longer good keeps nobody from what is public.
    host.asks_for(None);
    host.next(Some(Reply::status("401 Unauthorized")));
    host.asked();
    with(&at("stale")).ended(0);
    assert!(host.asked().iter().skip(1).all(|it| it.authorization.is_none()));
    // Another host is told nothing.
    fs::remove_dir_all(far.path("home/.cache")).expect("a cache");
    host.moves("/harbour", &format!("{}/harbour", other.url));
    with(&at("s3cret")).ended(0);
    assert!(other.asked().iter().all(|it| it.authorization.is_none()));
    // What `.netrc` has for a host.
    let far = away(&format!("git+{}/harbour/app.git", other.url));
    far.write("home/.netrc", "machine 127.0.0.1 login me password netrc\n");
    other.asks_for(Some("Basic bWU6bmV0cmM="));
    far.run(&PLAN).ended(0);
    // What the command line of the host has.
    let far = away("github://harbour/app");
    far.write("home/.config/gh/hosts.yml", "github.com:\n    user: me\n    oauth_token: s3cret\n");
    host.moves("/nowhere", "/");
    host.asks_for(Some("Basic eC1hY2Nlc3MtdG9rZW46czNjcmV0"));
    run(&far, &[("STERNWAY_GITHUB_URL", &host.url)], &PLAN).ended(0);
}

#[test]
fn certificates_and_proxies_of_ones_own() {
    let (_near, root) = hosted();
    let host = GitHost::serve_tls(&root);
    let far = away(&format!("git+{}/harbour/app.git", host.url));
    run(&far, &[], &PLAN).ended(1).explains(&["no complete answer"]);
    far.write("own.pem", AUTHORITY);
    run(&far, &[("SSL_CERT_FILE", &far.text("own.pem"))], &PLAN).ended(0);
    let proxy = GitHost::serve(&root);
    let far = away("git+http://git.example.org/harbour/app.git");
    run(&far, &[("HTTP_PROXY", &proxy.url), ("http_proxy", &proxy.url)], &PLAN).ended(0);
    assert!(
        proxy.asked().iter().all(|it| it.what.contains("http://git.example.org/harbour/app.git/"))
    );
}

/// Whoever sends a byte a second, or never ends, is given up: in bounded time and memory, with words.
#[test]
fn slow_and_endless_answers_are_given_up() {
    let (_near, root) = hosted();
    let host = GitHost::serve_tls(&root);
    let far = away(&format!("git+{}/harbour/app.git", host.url));
    far.write("own.pem", AUTHORITY);
    let authority = far.text("own.pem");
    let trusting = [("SSL_CERT_FILE", &*authority), ("STERNWAY_HTTP_TIMEOUT", "2")];
    let in_time = |most: u64, run: &dyn Fn() -> Run| {
        let begun = std::time::Instant::now();
        let ended = run();
        let took = begun.elapsed();
        assert!(took < Duration::from_secs(most), "{took:?}: {}", ended.stderr);
        ended
    };
    // The greeting, the tags, and the objects.
    let drip = Reply {
        body: b"000eversion 2\n0000".repeat(100),
        drip: Duration::from_secs(1),
        ..Reply::status("200 OK")
    };
    for before in 0..3 {
        (0..before).for_each(|_| host.next(None));
        host.next(Some(drip.clone()));
        in_time(20, &|| run(&far, &trusting, &PLAN))
            .ended(1)
            .explains(&["no complete answer from https://127.0.0.1", "--source names a bundle"]);
        host.asked();
    }
    // A list of tags without an end, of which each is one; in no more memory than half a gigabyte.
    let tag = format!("{} refs/tags/v0.0.1-x\n", "a".repeat(40));
    let tags = format!("{:04x}{tag}", tag.len() + 4).repeat(10_000);
    let endless = Reply { body: tags.into_bytes(), times: 100_000, ..Reply::status("200 OK") };
    host.next(None);
    host.next(Some(endless));
    in_time(60, &|| {
        let mut limited = far.program("sh".as_ref());
        let limit = "ulimit -v 1000000; exec \"$@\"";
        limited.args(["-c", limit, "sh", env!("CARGO_BIN_EXE_sternway")]).args(PLAN);
        limited.env("SSL_CERT_FILE", &authority);
        Run::of(limited)
    })
    .ended(1)
    .explains(&["more than 64 MB"]);
    // The same over ssh, whose program is the user's.
    let far = away("git+ssh://127.0.0.1/harbour/app.git");
    far.write("drip", "#!/bin/sh\nwhile :; do printf 0; sleep 1; printf 0; sleep 1; printf 0; sleep 1; printf 4; sleep 1; done\n");
    far.write("endless", "#!/bin/sh\nexec yes 0005x0005x0005x0005x | tr -d '\\n'\n");
    for (program, words) in [("drip", "no whole answer in 2 s"), ("endless", "more than 64 MB")] {
        let command = format!("sh {}", far.text(program));
        let variables = [
            ("GIT_SSH_COMMAND", &*command),
            ("STERNWAY_HTTP_TIMEOUT", if program == "drip" { "2" } else { "60" }),
        ];
        in_time(60, &|| run(&far, &variables, &PLAN)).ended(1).explains(&[words]);
    }
}

#[test]
fn ssh_is_the_programs_own() {
    let (_near, root) = hosted();
    let Some(ssh) = Ssh::start() else { return };
    let far = away(&format!("git+ssh://127.0.0.1:{}{}/harbour/app.git", ssh.port, root.display()));
    let command = ssh.command();
    run(&far, &[("GIT_SSH_COMMAND", &command)], &PLAN).ended(0);
    let none =
        away(&format!("git+ssh://127.0.0.1:{}{}/harbour/none.git", ssh.port, root.display()));
    run(&none, &[("GIT_SSH_COMMAND", &command)], &PLAN)
        .ended(1)
        .explains(&["`ssh` ended before the answer did"]);
}

#[test]
fn a_bundle_needs_no_network() {
    let (near, _root) = hosted();
    let expected = near.run(&PLAN).ended(0).stdout;
    near.run(&["bundle", "--out", "app.bundle"]).ended(0);
    let bytes = fs::read(near.path("app.bundle")).expect("a bundle");
    let far = away("bundle:app.bundle");
    fs::write(far.path("app.bundle"), &bytes).expect("a file");
    assert_eq!(far.run(&PLAN).ended(0).stdout, expected);
    far.run(&["bundle", "--out", "again.bundle"]).ended(0);
    assert_eq!(fs::read(far.path("again.bundle")).expect("a bundle"), bytes);
    fs::write(far.path("app.bundle"), &bytes[..bytes.len() - 9]).expect("a file");
    far.run(&PLAN).ended(1).explains(&["changed or cut short"]);
    far.run(&["bundle", "--out", "none/at/all", "--source", "again.bundle"])
        .ended(1)
        .explains(&["none/at/all"]);
}

/// A folder for each release, or a bundle.
#[test]
fn a_bucket_has_releases_as_a_disk_does() {
    let near = Machine::with_core();
    let of_git = near.run(&PLAN).ended(0).stdout;
    near.run(&["bundle", "--out", "app.bundle"]).ended(0);
    let bundle = fs::read(near.path("app.bundle")).expect("a bundle");
    let mut files = Vec::new();
    for (release, _, _) in RELEASES {
        let folder = format!("../releases/v{release}");
        near.git("app", &["worktree", "add", "--quiet", &folder, &format!("v{release}")]);
        all_files(&near.path("releases"), &near.path(&format!("releases/v{release}")), &mut files);
    }
    let local = away("dir:releases");
    for (key, body) in &files {
        local.write(&format!("releases/{key}"), &String::from_utf8_lossy(body));
    }
    let of_folders = local.run(&PLAN).ended(0).stdout;
    for (kind, scheme) in [(Kind::S3, "s3"), (Kind::Google, "gs"), (Kind::Azure, "az")] {
        let bucket = Server::start(kind);
        let plan =
            |key: &str| run(&away(&format!("{scheme}://b/{key}")), &bucket.environment(), &PLAN);
        plan("of/app/releases").ended(1).explains(&["nothing has a key that begins so"]);
        for (key, body) in &files {
            bucket.put(&format!("of/app/releases/{key}"), body.clone());
        }
        assert_eq!(plan("of/app/releases").ended(0).stdout, of_folders, "{scheme}");
        bucket.put("of/app.bundle", bundle.clone());
        assert_eq!(plan("of/app.bundle").ended(0).stdout, of_git, "{scheme}");
        bucket.put("of/app.bundle", bundle[..bundle.len() - 9].to_vec());
        plan("of/app.bundle").ended(1).explains(&["changed or cut short", "of/app.bundle"]);
    }
    let nobody = [
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:1"),
        ("AWS_ALLOW_HTTP", "true"),
        ("AWS_ACCESS_KEY_ID", "key"),
        ("AWS_SECRET_ACCESS_KEY", "not-shown"),
    ];
    let away = run(&away("s3://b/releases"), &nobody, &PLAN).ended(1);
    assert!(!away.stderr.contains("not-shown"), "{}", away.stderr);
    away.explains(&["cannot read `s3://b/releases`", "--source names a bundle"]);
}

/// The files below a folder, by their paths from `root`, without git's own.
fn all_files(root: &Path, folder: &Path, files: &mut Vec<(String, Vec<u8>)>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("a file").path();
        let key = path.strip_prefix(root).expect("below it").display().to_string();
        match path.is_dir() {
            true => all_files(root, &path, files),
            false if !key.ends_with(".git") => {
                files.push((key, fs::read(&path).expect("a file")));
            }
            false => {}
        }
    }
}

/// Scenario of the upgrade page: an empty folder and the profile alone.
#[test]
#[allow(clippy::print_stderr, reason = "the figures are to be read")]
fn kagent_needs_an_empty_folder() {
    let Some(clone) = variable("STERNWAY_KAGENT_REPO", "kagent on a host") else { return };
    let machine = Machine::empty();
    fs::create_dir_all(machine.path("host/kagent-dev")).expect("a folder");
    std::os::unix::fs::symlink(clone, machine.path("host/kagent-dev/kagent.git")).expect("a link");
    let host = GitHost::serve(&machine.path("host"));
    host.takes(Duration::from_millis(20));
    let at = [("STERNWAY_GITHUB_URL", &*host.url)];
    let plan = ["--profile", "kagent", "plan", "--from", "0.9.9", "--to", "0.9.3", "--no-deploy"];
    let cold = run(&machine, &at, &plan).ended(0);
    assert!(cold.stdout.contains("core 5"), "{}", cold.stdout);
    let asked = host.asked();
    assert!(asked.len() <= 12, "{asked:#?}");
    let bytes: usize = asked.iter().map(|it| it.answered).sum();
    eprintln!("all of kagent: {} requests, {bytes} bytes", asked.len());
    assert_eq!(run(&machine, &at, &plan).ended(0).stdout, cold.stdout);
    assert_eq!(host.asked().len(), 1);
    run(&machine, &at, &["--profile", "kagent", "bundle", "--out", "kagent.bundle"]).ended(0);
    let size = fs::metadata(machine.path("kagent.bundle")).expect("a bundle").len();
    eprintln!("its bundle: {size} bytes");
    assert!(size < 64 << 10, "{size}");
}

/// A server of `ssh` on a port of its own, for one key.
struct Ssh {
    folder: tempfile::TempDir,
    port: u16,
    server: Child,
}

impl Drop for Ssh {
    fn drop(&mut self) {
        self.server.kill().ok();
        self.server.wait().ok();
    }
}

impl Ssh {
    fn start() -> Option<Ssh> {
        let program = "/usr/sbin/sshd";
        if !Path::new(program).exists() {
            skip("releases over ssh", "sshd is not installed");
            return None;
        }
        let folder = tempfile::tempdir().expect("a folder");
        for key in ["host", "me"] {
            let made = Command::new("ssh-keygen")
                .args(["-q", "-t", "ed25519", "-N", "", "-f"])
                .arg(folder.path().join(key))
                .status();
            assert!(made.expect("ssh-keygen").success());
        }
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        drop(listener);
        let settings = format!(
            "ListenAddress 127.0.0.1:{port}\nHostKey {0}/host\nAuthorizedKeysFile {0}/me.pub\nStrictModes no\n\
             UsePAM no\nPermitRootLogin yes\nAcceptEnv GIT_PROTOCOL\nPidFile none\n",
            folder.path().display()
        );
        fs::write(folder.path().join("settings"), settings).expect("a file");
        // As root it wants this folder.
        fs::create_dir_all("/run/sshd").ok();
        let server = Command::new(program)
            .args(["-D", "-f"])
            .arg(folder.path().join("settings"))
            .stderr(Stdio::null())
            .spawn()
            .expect("sshd");
        let ssh = Ssh { folder, port, server };
        for _ in 0..100 {
            if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return Some(ssh);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("sshd does not listen");
    }

    fn command(&self) -> String {
        format!(
            "ssh -i {}/me -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR -o BatchMode=yes",
            self.folder.path().display()
        )
    }
}
