//! A user's machine in a temporary folder: a home, settings, the demo's application in a git
//! repository, and databases. Every run of the program is looked through for the password.

#![allow(dead_code, reason = "each test uses its part")]

use std::env;
use std::fs;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use sqlx::{Connection, PgConnection, Row};
use sternway_database::embedded;
use tempfile::TempDir;

/// The password of every test database: it may be printed nowhere.
pub const SECRET: &str = "s3cr3t_w0rd";

/// The releases of the demo's application, with the highest number of each track.
pub const RELEASES: [(&str, u64, u64); 10] = [
    ("1.0.0", 2, 0),
    ("1.0.1", 2, 0),
    ("1.0.2", 3, 0),
    ("1.0.3", 4, 0),
    ("1.1.0", 6, 2),
    ("1.1.1", 6, 2),
    ("1.1.2", 7, 2),
    ("1.2.0-rc1", 8, 2),
    ("1.2.0", 9, 3),
    ("1.2.1", 9, 3),
];

/// The settings of an application in the repository `app`.
pub const APP: &str = "[app]\nname = \"harbour\"\nsource = \"git+file:app\"\n";
/// Its tracks.
pub const CORE: &str =
    "[[track]]\nname = \"core\"\npath = \"migrations/core\"\ntable = \"schema_migrations\"\n";
pub const SEARCH: &str = "[[track]]\nname = \"search\"\npath = \"migrations/search\"\n\
    table = \"search_schema_migrations\"\nrequires_extension = \"vector\"\n";

/// A machine.
pub struct Machine {
    folder: TempDir,
}

/// The settings of an application whose releases are folders with a track in `path`.
pub fn settings(app: &str, path: &str) -> String {
    format!(
        "[app]\nname = \"{app}\"\nsource = \"dir:releases\"\n\n\
         [[track]]\nname = \"core\"\npath = \"{path}\"\n"
    )
}

impl Machine {
    /// One that has never seen Sternway.
    pub fn bare() -> Machine {
        let machine = Machine { folder: tempfile::tempdir().expect("a folder") };
        fs::create_dir(machine.path("home")).expect("a folder");
        fs::create_dir(machine.path("tmp")).expect("a folder");
        machine
    }

    /// One with nothing on it, where the embedded PostgreSQL was unpacked before.
    pub fn empty() -> Machine {
        let machine = Machine::bare();
        let unpacked = Path::new(env!("CARGO_TARGET_TMPDIR")).join("embedded");
        fs::create_dir_all(&unpacked).expect("a folder");
        fs::create_dir(machine.path("home/.cache")).expect("a folder");
        let its_own = machine.path("home/.cache/pglite-oxide");
        std::os::unix::fs::symlink(&unpacked, its_own).expect("a link");
        machine
    }

    /// One with the settings of an application whose releases are folders with a track in `path`.
    pub fn of(app: &str, path: &str) -> Machine {
        let machine = Machine::empty();
        machine.write("sternway.toml", &settings(app, path));
        machine
    }

    /// One with the application, and settings for both of its tracks.
    pub fn new() -> Machine {
        let machine = Machine::empty();
        machine.write("sternway.toml", &format!("{APP}{CORE}{SEARCH}"));
        machine.git(".", &["init", "--quiet", "app"]);
        for (release, core, search) in RELEASES {
            machine.files("core", core);
            machine.files("search", search);
            machine.release(&format!("v{release}"));
        }
        machine
    }

    /// One with the application's core track only, which needs no extension.
    pub fn with_core() -> Machine {
        let machine = Machine::new();
        machine.write("sternway.toml", &format!("{APP}{CORE}"));
        machine
    }

    /// Puts a track's migrations into the application's work tree, up to `newest`.
    fn files(&self, track: &str, newest: u64) {
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("demo/migrations").join(track);
        let to = self.path("app/migrations").join(track);
        for file in fs::read_dir(from).expect("a folder") {
            let file = file.expect("a file");
            let name = file.file_name().into_string().expect("text");
            let number: u64 = name.split('_').next().expect("a part").parse().expect("a number");
            if number <= newest {
                fs::create_dir_all(&to).expect("a folder");
                fs::copy(file.path(), to.join(name)).expect("a copy");
            }
        }
    }

    /// Commits what is in `app` and tags it.
    pub fn release(&self, tag: &str) {
        self.git("app", &["add", "--all"]);
        self.git("app", &["commit", "--quiet", "--allow-empty", "--message", "a change"]);
        self.git("app", &["tag", tag]);
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    pub fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        fs::write(path, text).expect("a file");
    }

    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).expect(name)
    }

    /// Runs git, with no settings but its own.
    pub fn git(&self, folder: &str, arguments: &[&str]) {
        let mut git = self.program(Path::new("git"));
        git.current_dir(self.path(folder))
            .args(["-c", "user.name=Test", "-c", "user.email=test@example.org"])
            .args(["-c", "core.autocrlf=false", "-c", "protocol.file.allow=always"])
            .args(arguments)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1");
        let output = git.output().expect("git");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {errors}");
    }

    /// A program in an environment that has nothing of the developer's.
    pub fn program(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.path("home"))
            .env("XDG_CACHE_HOME", self.path("home/.cache"))
            .env("TMPDIR", self.path("tmp"))
            .current_dir(self.folder.path())
            .stdin(Stdio::null());
        command
    }

    /// The program under test.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.program(Path::new(env!("CARGO_BIN_EXE_sternway")));
        command.args(arguments);
        command
    }

    /// Runs the program to its end.
    pub fn run(&self, arguments: &[&str]) -> Run {
        Run::of(self.command(arguments))
    }

    /// Runs the program on a database.
    pub fn on(&self, url: &str, arguments: &[&str]) -> Run {
        let mut command = self.command(arguments);
        command.env("STERNWAY_DATABASE", url);
        Run::of(command)
    }

    /// As [`Machine::on`], as if rows came after it has been asked which are there.
    pub fn on_before_rows(&self, url: &str, arguments: &[&str]) -> Run {
        let mut command = self.command(arguments);
        command.env("STERNWAY_DATABASE", url).env("BROKEN_RULE", "RowsAsked");
        Run::of(command)
    }

    /// A database in this folder, inside the process that uses it.
    pub fn embedded(&self) -> String {
        format!("embedded:{}", self.text("db"))
    }

    /// An embedded database with a release installed.
    pub fn installed(&self, release: &str) -> String {
        let url = self.embedded();
        self.on(&url, &["upgrade", "--to", release, "--yes"]).ended(0);
        url
    }
}

/// What a run of the program came to.
pub struct Run {
    pub what: String,
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Run {
    pub fn of(mut command: Command) -> Run {
        let output = command.output().expect("the program");
        Run::ended_as(format!("{command:?}"), &output)
    }

    pub fn ended_as(what: String, output: &std::process::Output) -> Run {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
        let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
        let run = Run { what, code: output.status.code(), stdout, stderr };
        assert!(!run.stdout.contains(SECRET), "the password is shown: {}", run.all());
        assert!(!run.stderr.contains(SECRET), "the password is shown: {}", run.all());
        assert!(!run.stderr.contains("panicked"), "{}", run.all());
        run
    }

    fn all(&self) -> String {
        format!("{}\n--- out\n{}\n--- err\n{}", self.what, self.stdout, self.stderr)
    }

    /// Checks the exit code.
    #[track_caller]
    pub fn ended(self, code: i32) -> Run {
        assert_eq!(self.code, Some(code), "{}", self.all());
        self
    }

    /// Checks what standard error says, however its lines are broken.
    #[track_caller]
    pub fn explains(self, parts: &[&str]) -> Run {
        let text = flat(&self.stderr);
        for part in parts {
            assert!(text.contains(&flat(part)), "`{part}` is not said: {}", self.all());
        }
        self
    }

    /// Checks what standard output says.
    #[track_caller]
    pub fn says(self, parts: &[&str]) -> Run {
        for part in parts {
            assert!(self.stdout.contains(part), "`{part}` is not said: {}", self.all());
        }
        self
    }

    /// Checks that nothing was told beside the result.
    #[track_caller]
    pub fn quiet(self) -> Run {
        assert_eq!(self.stderr, "", "{}", self.all());
        self
    }

    /// Reads standard output as one JSON document of this format.
    #[track_caller]
    pub fn json(&self, format: &str) -> serde_json::Value {
        self.parsed(&self.stdout, format)
    }

    /// Reads the JSON of a failure, which ends standard error.
    #[track_caller]
    pub fn failure(&self) -> serde_json::Value {
        assert_eq!(self.stdout, "", "{}", self.all());
        let lines = self.stderr.split_inclusive('\n').skip_while(|line| *line != "{\n");
        self.parsed(&lines.collect::<String>(), "sternway.error/1")
    }

    #[track_caller]
    fn parsed(&self, text: &str, format: &str) -> serde_json::Value {
        let value: serde_json::Value = serde_json::from_str(text)
            .unwrap_or_else(|error| panic!("not JSON: {error}: {}", self.all()));
        assert_eq!(value["format"], format, "{}", self.all());
        value
    }
}

/// The words, without the frame and the line breaks that a terminal gets.
fn flat(text: &str) -> String {
    let words = text.split_whitespace().filter(|word| !matches!(*word, "│" | "×" | "╰─▶" | "├─▶"));
    words.collect::<Vec<_>>().join(" ")
}

/// The value of a variable that `dev/test` sets; without it the test is skipped, and this says so.
pub fn variable(name: &str, test: &str) -> Option<String> {
    let value = env::var(name).ok();
    if value.is_none() {
        skip(test, &format!("{name} is not set"));
    }
    value
}

/// Runs a command, to be killed at its n-th point; else it has to end well. Whether it was killed.
#[track_caller]
pub fn is_killed(mut command: Command, at: Option<usize>) -> bool {
    command.envs(at.map(|at| ("FAILPOINTS", at.to_string())));
    let output = command.output().expect("the program");
    let killed = output.status.signal().is_some();
    let ran = Run::ended_as(format!("{command:?}, killed at {at:?}"), &output);
    if !killed {
        ran.ended(0);
    }
    killed
}

/// Says that a test cannot run here, and why.
pub fn skip(test: &str, why: &str) {
    let line = format!("sternway-cli, {test}: {why}\n");
    let _ = write!(std::io::stderr(), "skipped {line}");
    if let Some(file) = env::var_os("STERNWAY_SKIPPED") {
        let file = fs::OpenOptions::new().create(true).append(true).open(file);
        file.and_then(|mut it| it.write_all(line.as_bytes())).expect("a file");
    }
}

/// A database of a test's own on a PostgreSQL server, with a user of its own.
pub struct Server {
    /// As the superuser, who must not be the one that a test is about.
    admin: String,
    /// What the user is called, and the database.
    pub name: String,
    /// The user's URL, with the password.
    pub url: String,
    /// The user's URL, without.
    pub open_url: String,
}

impl Server {
    /// A database that belongs to its user; `None` where there is no server.
    pub fn new(test: &str) -> Option<Server> {
        let server = Server::for_guest(test)?;
        let name = &server.name;
        execute(&server.admin, &format!("ALTER DATABASE {name} OWNER TO {name}"));
        Some(server)
    }

    /// A database whose user may make tables in the schema `public`, and no schema.
    pub fn for_guest(test: &str) -> Option<Server> {
        Server::on("STERNWAY_TEST_PG_URL", test)
    }

    /// A database on a server that has pgvector.
    pub fn with_vector(test: &str) -> Option<Server> {
        Server::on("STERNWAY_TEST_PGVECTOR_URL", test)
    }

    fn on(server: &str, test: &str) -> Option<Server> {
        let admin = variable(server, test)?;
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("cli_{test}_{}_{number}", std::process::id());
        execute(&admin, &format!("CREATE ROLE {name} LOGIN PASSWORD '{SECRET}'"));
        execute(&admin, &format!("CREATE DATABASE {name}"));
        let (server, _) = admin.split_once('@').and_then(|(_, it)| it.split_once('/'))?;
        let url = format!("postgres://{name}:{SECRET}@{server}/{name}?sslmode=disable");
        let open_url = format!("postgres://{name}@{server}/{name}?sslmode=disable");
        let server = Server { admin, name, url, open_url };
        execute(&server.as_admin(), &format!("GRANT ALL ON SCHEMA public TO {}", server.name));
        Some(server)
    }

    /// The superuser's URL of this database.
    pub fn as_admin(&self) -> String {
        self.admin.replace("/postgres?", &format!("/{}?", self.name))
    }

    /// Host and port.
    pub fn place(&self) -> &str {
        let (_, rest) = self.open_url.split_once('@').expect("a user");
        rest.split('/').next().expect("a host")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let (admin, name) = (&self.admin, &self.name);
        execute(admin, &format!("DROP DATABASE {name} WITH (FORCE)"));
        execute(admin, &format!("DROP ROLE {name}"));
    }
}

/// Carries out SQL, a statement at a time if there are several.
pub fn execute(url: &str, sql: &str) {
    block_on(async {
        match embedded::Place::parse(url) {
            Some(place) => {
                let mut database = embedded::connect(&place, &[]).await.expect("a database");
                database.execute(sql).await.expect(sql);
            }
            None => Session::open(url).await.run(sql).await,
        }
    });
}

/// Asks a server for one text.
pub fn ask(url: &str, sql: &str) -> String {
    block_on(async { Session::open(url).await.ask(sql).await })
}

pub fn block_on<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(work)
}

/// A session with a server.
pub struct Session {
    connection: PgConnection,
}

impl Session {
    pub async fn open(url: &str) -> Session {
        Session { connection: PgConnection::connect(url).await.expect("a session") }
    }

    pub async fn run(&mut self, sql: &str) {
        use sqlx::{AssertSqlSafe, Executor};
        self.connection.execute(AssertSqlSafe(sql.to_owned())).await.expect(sql);
    }

    pub async fn ask(&mut self, sql: &str) -> String {
        use sqlx::AssertSqlSafe;
        let row = sqlx::query(AssertSqlSafe(sql.to_owned())).fetch_one(&mut self.connection).await;
        row.expect(sql).try_get(0).expect("a text")
    }

    /// Waits until a condition holds, at most half a minute.
    pub async fn until(&mut self, condition: &str) {
        for _ in 0..600 {
            if self.ask(&format!("SELECT ({condition})::text")).await == "true" {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        panic!("it never came to be: {condition}");
    }
}

/// The blocks of commands of one way of a runbook in Markdown, as one script.
pub fn script(page: &str, way: &str) -> String {
    let begins = page.find(&format!("## {way}")).unwrap_or_else(|| panic!("no {way}: {page}"));
    let rest = &page[begins + 3..];
    let part = rest.find("\n## ").map_or(rest, |end| &rest[..end]);
    let mut script = "set -eu\n".to_owned();
    let mut inside = false;
    for line in part.lines() {
        match line {
            "```sh" => inside = true,
            "```" => inside = false,
            line if inside => script.push_str(&format!("{line}\n")),
            _ => {}
        }
    }
    script
}
