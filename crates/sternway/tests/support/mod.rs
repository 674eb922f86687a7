//! A database of its own for each test, and what the tests look at it with.

#![allow(dead_code, reason = "each test uses its part")]

use std::error::Error;
use std::fs;
use std::io::Write;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use sqlx::{AssertSqlSafe, Connection, PgConnection};
use sternway::{Event, Migrations, Migrator, Position, Track, TrackState, TrackingRow};
use url::Url;

/// A variable of the environment; where it is absent, the test that asks is noted as skipped.
#[allow(clippy::print_stderr, reason = "for whoever runs the tests")]
pub fn variable(name: &str) -> Option<String> {
    if let Ok(value) = std::env::var(name) {
        return Some(value);
    }
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    eprintln!("skipped {test}: {name} is not set");
    if let Ok(file) = std::env::var("STERNWAY_SKIPPED") {
        let file = fs::OpenOptions::new().create(true).append(true).open(file);
        let line = format!("{test}: {name} is not set\n");
        file.and_then(|mut file| file.write_all(line.as_bytes())).expect("the list of skipped");
    }
    None
}

/// A database that goes away with this value, and so does the role made for it.
pub struct Fresh {
    pub name: String,
    server: Url,
    role: Option<String>,
}

impl Fresh {
    /// A new database on the server.
    pub async fn new() -> Option<Fresh> {
        Fresh::on("STERNWAY_TEST_PG_URL").await
    }

    /// A new database on the server that the variable names.
    pub async fn on(variable_name: &str) -> Option<Fresh> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("sternway_lib_{}_{next}", std::process::id());
        let server = Url::parse(&variable(variable_name)?).expect("a URL");
        let mut admin = open(server.as_str()).await;
        execute(&mut admin, &format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await;
        execute(&mut admin, &format!("CREATE DATABASE {name} TEMPLATE template0")).await;
        Some(Fresh { name, server, role: None })
    }

    pub fn url(&self) -> String {
        let mut url = self.server.clone();
        url.set_path(&self.name);
        url.into()
    }

    /// The URL of a new role, which may do nothing yet.
    pub async fn role(&mut self) -> (String, String) {
        let role = format!("{}_reader", self.name);
        self.execute(&format!("CREATE ROLE {role} LOGIN PASSWORD 'reader'")).await;
        let mut url = Url::parse(&self.url()).expect("a URL");
        url.set_username(&role).expect("a user");
        url.set_password(Some("reader")).expect("a password");
        self.role = Some(role.clone());
        (role, url.into())
    }

    pub async fn execute(&self, sql: &str) {
        execute(&mut open(&self.url()).await, sql).await;
    }

    /// Whether a condition holds.
    pub async fn holds(&self, condition: &str) -> bool {
        let sql = format!("SELECT ({condition})::bool");
        let mut connection = open(&self.url()).await;
        let value = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut connection).await;
        value.unwrap_or_else(|error| panic!("{condition}: {error}"))
    }

    /// Whether a table is there.
    pub async fn has(&self, table: &str) -> bool {
        self.holds(&format!("to_regclass('{table}') IS NOT NULL")).await
    }

    /// A migrator for this database with these tracks.
    pub fn migrator(&self, tracks: impl IntoIterator<Item = Track>) -> Migrator {
        tracks.into_iter().fold(Migrator::new(self.url()), Migrator::track)
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        let (server, name, role) = (self.server.to_string(), self.name.clone(), self.role.take());
        // Drop is not async, and the test's runtime is busy with the test.
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async {
                let mut connection = open(&server).await;
                execute(&mut connection, &format!("DROP DATABASE {name} WITH (FORCE)")).await;
                if let Some(role) = role {
                    execute(&mut connection, &format!("DROP ROLE {role}")).await;
                }
            });
        });
        let dropped = dropped.join();
        assert!(dropped.is_ok() || std::thread::panicking(), "{} was not dropped", self.name);
    }
}

async fn open(url: &str) -> PgConnection {
    PgConnection::connect(url).await.expect("a connection")
}

async fn execute(connection: &mut PgConnection, sql: &str) {
    let done = sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(connection).await;
    done.unwrap_or_else(|error| panic!("{sql}: {error}"));
}

/// A body that fails.
pub const FAILS: &str = "CREATE TABLE half (a int); SELECT 1 / 0";

/// A track whose migration N creates the table `NAME_N`, or runs what `other` says for it.
pub fn track(name: &str, count: u64, other: &[(u64, &str)]) -> Track {
    let mut files = Vec::new();
    for number in 1..=count {
        let table = format!("{}_{number}", name.replace('-', "_"));
        let create = format!("CREATE TABLE {table} (a int)");
        let said = other.iter().find(|(it, _)| *it == number).map(|(_, body)| (*body).to_owned());
        files.push((format!("{number:06}_step.up.sql"), said.unwrap_or(create)));
        files.push((format!("{number:06}_step.down.sql"), format!("DROP TABLE {table}")));
    }
    let table = format!("{name}_schema_migrations");
    Track::new(name, Migrations::from_files(files)).table(table)
}

pub fn at(position: impl Into<Position>) -> TrackingRow {
    TrackingRow::clean(position)
}

/// Where a track stands.
pub async fn stands(migrator: &Migrator, track: &str) -> TrackState {
    migrator.on(track).expect("a track").status().await.expect("a status").state
}

/// An error and its causes.
pub fn whole(error: &dyn Error) -> String {
    let causes = std::iter::successors(Some(error), |&cause| cause.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// What a migrator told, a line for each event.
#[derive(Clone, Default)]
pub struct Told(Arc<Mutex<Vec<String>>>);

impl Told {
    pub fn listen(&self, migrator: Migrator) -> Migrator {
        let lines = Arc::clone(&self.0);
        migrator.on_event(move |event| {
            let line = match event {
                Event::Ends { track, leg, .. } => {
                    format!("{track} {} {}", leg.direction, leg.version)
                }
                Event::Ahead { track, at, last } => {
                    format!("{track} is at {at}, ahead of {last}")
                }
                Event::NearMiss { track, miss } => format!("{track}: {miss}"),
                _ => return,
            };
            lines.lock().expect("the lines").push(line);
        })
    }

    pub fn lines(&self) -> Vec<String> {
        self.0.lock().expect("the lines").clone()
    }
}
