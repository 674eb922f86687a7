//! A database of its own for each test.

use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use sqlx::mysql::{MySqlConnectOptions, MySqlConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Row};
use sternway_database::mysql::{MySql, connect};
use sternway_database::port::prelude::*;
use sternway_database::{Settings, SqlError, StepError, Work};
use sternway_model::body::Mode;
use sternway_model::state::TrackState;
use tempfile::TempDir;

use crate::support::{TABLE, variable, whole};

/// A database that goes away with this value.
pub struct Fresh {
    pub name: String,
    /// The server's URL up to and with its slash.
    server: String,
}

pub async fn fresh() -> Option<Fresh> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let server = variable("STERNWAY_TEST_MARIADB")?;
    let server = server[..=server.rfind('/').expect("a slash")].to_owned();
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    let fresh = Fresh { name: format!("sternway_{}_{next}", std::process::id()), server };
    let mut admin = fresh.admin().await;
    execute(&mut admin, &format!("DROP DATABASE IF EXISTS {0}; CREATE DATABASE {0}", fresh.name))
        .await;
    Some(fresh)
}

impl Fresh {
    pub fn url(&self) -> String {
        format!("{}{}", self.server, self.name)
    }

    pub fn url_with(&self, parameters: &str) -> String {
        format!("{}?{parameters}", self.url())
    }

    /// The URL for another user.
    pub fn url_of(&self, user: &str, password: &str) -> String {
        let address = self.server.rsplit_once('@').expect("a user").1;
        format!("mysql://{user}:{password}@{address}{}", self.name)
    }

    pub async fn session(&self) -> MySql {
        session(&self.url()).await
    }

    /// A session that is not Sternway's.
    pub async fn watch(&self) -> MySqlConnection {
        let mut watch = self.admin().await;
        execute(&mut watch, &format!("USE {}", self.name)).await;
        watch
    }

    async fn admin(&self) -> MySqlConnection {
        let (user, address) = self.server["mysql://".len()..].rsplit_once('@').expect("a user");
        let (user, password) = user.split_once(':').unwrap_or((user, ""));
        let address = address.trim_start_matches("tcp(").trim_end_matches(")/");
        let (host, port) = address.split_once(':').expect("a port");
        let options = MySqlConnectOptions::new().host(host).port(port.parse().expect("a port"));
        options.username(user).password(password).connect().await.expect("a connection")
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        let name = std::mem::take(&mut self.name);
        if name.is_empty() {
            return;
        }
        let again = Fresh { name: String::new(), server: self.server.clone() };
        // Drop is not async, and the test's runtime is busy with the test.
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async {
                let mut admin = again.admin().await;
                execute(&mut admin, &format!("DROP DATABASE IF EXISTS {name}")).await;
            });
        });
        let dropped = dropped.join();
        assert!(dropped.is_ok() || std::thread::panicking(), "a database was not dropped");
    }
}

pub async fn session(url: &str) -> MySql {
    connect(url, None).await.unwrap_or_else(|error| panic!("{}", whole(&error)))
}

pub async fn execute(connection: &mut MySqlConnection, sql: &str) {
    let done = sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(connection).await;
    done.unwrap_or_else(|error| panic!("{sql}: {error}"));
}

/// The one value that a query gives, as text.
pub async fn ask(connection: &mut MySqlConnection, sql: &str) -> String {
    let row = sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).fetch_one(connection).await;
    let row = row.unwrap_or_else(|error| panic!("{sql}: {error}"));
    row.try_get_unchecked::<Option<String>, _>(0).expect("a text").unwrap_or_default()
}

/// Asks until the answer is yes.
pub async fn until(connection: &mut MySqlConnection, condition: &str) {
    let start = Instant::now();
    while ask(connection, &format!("SELECT {condition}")).await != "1" {
        assert!(start.elapsed() < Duration::from_secs(20), "never came true: {condition}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The half of a migration that arrives at `version`.
pub async fn run(
    session: &mut MySql,
    version: u64,
    body: &str,
    settings: Settings,
) -> Result<(), StepError> {
    let mode = Mode::Dirty { reason: String::new() };
    let file = format!("{version:06}_step.up.sql");
    let work = Work {
        table: TABLE,
        from: version.checked_sub(1).into(),
        to: version.into(),
        file: &file,
        body,
        mode: &mode,
        journal: None,
        settings,
        durable: true,
        first: 1,
        closed_by: &[],
        undoing: false,
        dirty: false,
    };
    session.migrate(&work).await
}

pub async fn run_up(session: &mut MySql, version: u64, body: &str) {
    let done = run(session, version, body, Settings::Reset).await;
    done.unwrap_or_else(|error| panic!("{body}: {}", whole(&error)));
}

/// The statement that failed, and why.
pub async fn left_dirty(session: &mut MySql, version: u64, body: &str) -> (usize, SqlError) {
    let error = run(session, version, body, Settings::Reset).await.expect_err(body);
    let StepError::Dirty { statement, source, .. } = error else { panic!("{}", whole(&error)) };
    assert_eq!(track(session).await, crate::support::dirty(version), "{body}");
    (statement, source)
}

pub async fn track(session: &mut MySql) -> TrackState {
    session.track(TABLE).await.expect("a track")
}

/// golang-migrate's own command line, over a folder of migrations.
pub struct GolangMigrate {
    program: String,
    folder: TempDir,
}

impl GolangMigrate {
    pub fn with(files: &[(&str, &str)]) -> Option<GolangMigrate> {
        let program = variable("STERNWAY_TEST_MIGRATE")?;
        let folder = tempfile::tempdir().expect("a folder");
        for (name, body) in files {
            std::fs::write(folder.path().join(name), body).expect("a file");
        }
        Some(GolangMigrate { program, folder })
    }

    pub fn start(&self, url: &str, arguments: &[&str]) -> Child {
        let mut command = Command::new(&self.program);
        command.arg("-path").arg(self.folder.path()).arg("-database").arg(url).args(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().expect("golang-migrate")
    }

    /// Whether it succeeded, and what it said.
    pub fn run(&self, url: &str, arguments: &[&str]) -> (bool, String) {
        let output = self.start(url, arguments).wait_with_output().expect("its end");
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&said).trim().to_owned())
    }
}
