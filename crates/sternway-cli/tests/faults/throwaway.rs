//! A server of a test's own that can be made to fall and to rise again.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};

use crate::support::{SECRET, ask, variable};

/// A PostgreSQL that goes away with this value, and with this process.
pub struct Throwaway {
    /// Stops the server when nobody holds the other end of its input any more, and removes the folder.
    keeper: Child,
    folder: PathBuf,
    programs: PathBuf,
    pub port: u16,
}

impl Throwaway {
    /// A new cluster, made by the programs of the server that has pgvector, as the user that it runs as.
    pub fn new(test: &str) -> Option<Throwaway> {
        let url = variable("STERNWAY_TEST_PGVECTOR_URL", test)?;
        let programs = ask(&url, "SELECT setting FROM pg_config WHERE name = 'BINDIR'");
        let folder = tempfile::Builder::new().prefix("sternway-faults-").tempdir_in("/tmp");
        let folder = folder.expect("a folder").keep();
        fs::write(folder.join("password"), SECRET).expect("a file");
        let programs = PathBuf::from(programs);
        let keeper = keeper(&programs, &folder);
        let mut server = Throwaway { keeper, folder, programs, port: 0 };
        if is_root() {
            let user = server_user();
            let chown = Command::new("chown").args(["-R", user]).arg(&server.folder).status();
            assert!(chown.expect("chown").success());
        }
        let password = server.folder.join("password");
        let initdb = ["--username=postgres", "--auth=scram-sha-256", "--encoding=UTF8"];
        let initdb = [&initdb[..], &["--locale=C.UTF-8", "--no-sync", "--pwfile"]].concat();
        server.run("initdb", &[&initdb[..], &[&password.display().to_string()]].concat());
        server.port = free_port();
        let options = format!(
            "-p {} -c listen_addresses=127.0.0.1 -c fsync=off -c unix_socket_directories={}",
            server.port,
            server.folder.display()
        );
        let log = server.folder.join("log").display().to_string();
        server.run("pg_ctl", &["start", "--wait", "--log", &log, "--options", &options]);
        Some(server)
    }

    /// The URL of its superuser.
    pub fn url(&self, port: u16) -> String {
        format!("postgres://postgres:{SECRET}@127.0.0.1:{port}/postgres?sslmode=disable")
    }

    /// What lets it fall, as without power, and rise again.
    pub fn restart(&self) -> impl Fn() + Send + Sync + 'static {
        let (programs, folder) = (self.programs.clone(), self.folder.clone());
        move || {
            let log = folder.join("log").display().to_string();
            let restart = ["restart", "--wait", "--mode=immediate", "--log", &log];
            run(&programs, &folder, "pg_ctl", &restart);
        }
    }

    fn run(&self, program: &str, arguments: &[&str]) {
        run(&self.programs, &self.folder, program, arguments);
    }
}

impl Drop for Throwaway {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
        let _ = fs::remove_dir(&self.folder);
    }
}

/// In a session of its own, which a signal to the tests does not end.
fn keeper(programs: &Path, folder: &Path) -> Child {
    let text = "read _; [ ! -e \"$2/data/postmaster.pid\" ] ||
        \"$1/pg_ctl\" stop --wait --mode=immediate --pgdata \"$2/data\"; rm -rf \"$2\"/*";
    let mut command = as_server(Path::new("setsid"));
    command.args(["sh", "-c", text, "keeper"]).arg(programs).arg(folder).current_dir("/");
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("setsid")
}

/// The programs refuse root.
fn as_server(program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("runuser");
    command.args(["-u", server_user(), "--"]).arg(program);
    command
}

fn run(programs: &Path, folder: &Path, program: &str, arguments: &[&str]) {
    let mut command = as_server(&programs.join(program));
    command.args(arguments).arg("--pgdata").arg(folder.join("data")).current_dir(folder);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let status = command.status().expect(program);
    let log = fs::read_to_string(folder.join("log")).unwrap_or_default();
    assert!(status.success(), "{program} {arguments:?}: {log}");
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().expect("id");
    id.stdout == b"0\n"
}

fn server_user() -> &'static str {
    let known = Command::new("id").arg("postgres").output().expect("id").status.success();
    if known { "postgres" } else { "nobody" }
}

/// Below the ports that the system gives to outgoing connections, which a restart would find taken.
fn free_port() -> u16 {
    static TAKEN: AtomicU16 = AtomicU16::new(0);
    let first = 20_000 + u16::try_from(std::process::id() % 11_000).unwrap_or(0);
    loop {
        let port = first + TAKEN.fetch_add(1, Ordering::Relaxed);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
