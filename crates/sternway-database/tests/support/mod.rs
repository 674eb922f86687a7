//! A database of its own for each test, and what the tests look at it with.

#![allow(dead_code, reason = "each test uses its part")]

pub mod cases;
pub mod mariadb;
pub mod sqlite;

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fs;
use std::io::Write;
use std::ops::RangeInclusive;
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use sqlx::{AssertSqlSafe, Connection, PgConnection};
use sternway_database::port::prelude::*;
use sternway_database::postgres::statements::facts;
use sternway_database::postgres::{Postgres, connect};
use sternway_database::{Done, Limits, Preservation, StepError, Work};
use sternway_model::catalog::{Digest, Direction, Half, Migration, TrackName};
use sternway_model::effect::Effects;
use sternway_model::plan::{Basis, Course, FORMAT, Hop, Migrate, Plan, Step};
use sternway_model::position::Position;
use sternway_model::state::{State, TrackState, TrackingRow};
use tempfile::TempDir;
use url::Url;

/// The tracking table of the tests.
pub const TABLE: &str = "schema_migrations";

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

/// The seeds of random cases: `STERNWAY_TEST_SEED=n` asks for that one, `STERNWAY_TEST_SEEDS=m-n` for those and
/// `STERNWAY_TEST_SEEDS=n` for so many; where nobody asks, as many as is usual.
pub fn seeds(usual: u64) -> RangeInclusive<u64> {
    let number = |text: &str| text.parse().expect("a number of a seed");
    if let Ok(seed) = std::env::var("STERNWAY_TEST_SEED") {
        return number(&seed)..=number(&seed);
    }
    let Ok(text) = std::env::var("STERNWAY_TEST_SEEDS") else { return 1..=usual };
    let (first, last) = text.split_once('-').unwrap_or(("1", &text));
    number(first)..=number(last)
}

/// A database that goes away with this value, and so do the roles made for it.
pub struct Fresh {
    pub name: String,
    server: Url,
    roles: Vec<String>,
}

/// A new database on the server with TLS.
pub async fn fresh() -> Option<Fresh> {
    Fresh::on("STERNWAY_TEST_PG_URL").await
}

impl Fresh {
    /// A new database on the server that the variable names.
    pub async fn on(variable_name: &str) -> Option<Fresh> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("sternway_{}_{next}", std::process::id());
        Fresh::named(variable_name, &name).await
    }

    /// A new database of this name.
    pub async fn named(variable_name: &str, name: &str) -> Option<Fresh> {
        let server = Url::parse(&variable(variable_name)?).expect("a URL");
        let mut admin = open(server.as_str()).await;
        // A test that was stopped may have left it behind.
        execute(&mut admin, &format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await;
        execute(&mut admin, &format!("CREATE DATABASE {name} TEMPLATE template0")).await;
        Some(Fresh { name: name.to_owned(), server, roles: Vec::new() })
    }

    /// Its address, which tests change.
    pub fn address(&self) -> Url {
        let mut url = self.server.clone();
        url.set_path(&self.name);
        url
    }

    pub fn url(&self) -> String {
        self.address().into()
    }

    /// Its URL with other parameters.
    pub fn url_with(&self, parameters: &str) -> String {
        let mut url = self.address();
        url.set_query(Some(parameters));
        url.into()
    }

    /// The URL of a new role of its own, with this password.
    pub async fn role(&mut self, password: &str) -> (String, Url) {
        let role = format!("{}_role_{}", self.name, self.roles.len());
        let quoted = password.replace('\'', "''");
        execute(&mut self.watch().await, &format!("CREATE ROLE {role} LOGIN PASSWORD '{quoted}'"))
            .await;
        let mut url = self.address();
        url.set_username(&role).expect("a user");
        url.set_password(Some(&password.replace('%', "%25"))).expect("a password");
        self.roles.push(role.clone());
        (role, url)
    }

    /// A session of Sternway's.
    pub async fn session(&self) -> Postgres {
        session(&self.url()).await
    }

    /// A session that is not Sternway's.
    pub async fn watch(&self) -> PgConnection {
        open(&self.url()).await
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        let (server, name) = (self.server.to_string(), self.name.clone());
        let roles = std::mem::take(&mut self.roles);
        // Drop is not async, and the test's runtime is busy with the test.
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async {
                let mut connection = open(&server).await;
                execute(&mut connection, &format!("DROP DATABASE {name} WITH (FORCE)")).await;
                for role in roles {
                    execute(&mut connection, &format!("DROP ROLE {role}")).await;
                }
            });
        });
        let dropped = dropped.join();
        assert!(dropped.is_ok() || std::thread::panicking(), "{} was not dropped", self.name);
    }
}

/// A URL with another scheme, and with more parameters.
pub fn as_scheme(scheme: &str, url: &str, more: &str) -> String {
    let (_, rest) = url.split_once(':').expect("a scheme");
    format!("{scheme}:{rest}{more}")
}

pub async fn session(url: &str) -> Postgres {
    connect(url, None).await.expect("a session")
}

pub async fn open(url: &str) -> PgConnection {
    PgConnection::connect(url).await.expect("a connection")
}

pub async fn execute(connection: &mut PgConnection, sql: &str) {
    let done = sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(connection).await;
    done.unwrap_or_else(|error| panic!("{sql}: {error}"));
}

/// The one value that a query gives.
pub async fn ask<T>(connection: &mut PgConnection, sql: &str) -> T
where
    T: for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres> + Send + Unpin,
{
    let value = sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_one(connection).await;
    value.unwrap_or_else(|error| panic!("{sql}: {error}"))
}

/// Asks until the answer is yes.
pub async fn until(connection: &mut PgConnection, condition: &str) {
    let start = Instant::now();
    while !ask::<bool>(connection, &format!("SELECT {condition}")).await {
        assert!(start.elapsed() < Duration::from_secs(20), "never came true: {condition}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Fails unless the condition holds in the session.
pub async fn holds(session: &mut Postgres, condition: &str) {
    let sql = format!("DO $do$ BEGIN ASSERT ({condition}); END $do$");
    session.execute(&sql).await.unwrap_or_else(|error| panic!("{condition}: {error:?}"));
}

/// An error and its causes, for people and for programmers.
pub fn whole(error: &dyn Error) -> String {
    let causes = std::iter::successors(error.source(), |&cause| cause.source());
    let texts: Vec<String> = causes.map(|cause| cause.to_string()).collect();
    format!("{error}: {}\n{error:?}", texts.join(": "))
}

/// A session with the server and one with the PostgreSQL inside the process.
pub async fn everywhere() -> Vec<(Postgres, Option<Fresh>)> {
    let mut sessions = Vec::new();
    if let Some(fresh) = fresh().await {
        sessions.push((fresh.session().await, Some(fresh)));
    }
    #[cfg(feature = "embedded")]
    {
        use sternway_database::embedded::{self, Place};
        let embedded = embedded::connect(&Place::Temporary, &[]).await;
        sessions.push((embedded.expect("the embedded PostgreSQL"), None));
    }
    sessions
}

pub fn at(position: impl Into<Position>) -> TrackState {
    TrackState::At(TrackingRow::clean(position))
}

pub fn dirty(position: impl Into<Position>) -> TrackState {
    TrackState::At(TrackingRow::dirty(position))
}

/// The step that runs `body` to arrive at `version`.
pub fn up(version: u64, body: &str) -> Migrate {
    step(version, Direction::Up, version.into(), body)
}

/// The step that runs `body` to leave `version`.
pub fn down(version: u64, to: impl Into<Position>, body: &str) -> Migrate {
    step(version, Direction::Down, to.into(), body)
}

fn step(version: u64, direction: Direction, to: Position, body: &str) -> Migrate {
    let from = match direction {
        Direction::Down => version.into(),
        Direction::Up => version.checked_sub(1).into(),
    };
    let file = format!("{version:06}_step.{direction}.sql");
    Migrate {
        version,
        direction,
        to,
        hash: Digest::of_body(body),
        mode: facts(body).mode,
        ..Migrate::staying("core".into(), TABLE.to_owned(), from, &file)
    }
}

/// A plan for `app` that goes up to `target` through these bodies, one a migration.
pub fn plan(app: &str, target: &str, bodies: &[&str]) -> Plan {
    let target: sternway_model::catalog::Release = target.parse().expect("a release");
    let track = TrackName::from("core");
    let numbers: Vec<u64> = (1..).take(bodies.len()).collect();
    let steps = numbers.iter().zip(bodies).map(|(number, body)| up(*number, body));
    let steps: Vec<Step> = steps.map(|step| Step::Migrate(Box::new(step))).collect();
    let migration = |(number, body): (&u64, &&str)| {
        let half = |direction| Half {
            file: format!("{number:06}_step.{direction}.sql"),
            hash: Digest::of_body(body),
        };
        Migration { version: *number, up: Some(half(Direction::Up)), down: None }
    };
    let migrations = numbers.iter().zip(bodies).map(migration).collect();
    Plan {
        format: FORMAT.to_owned(),
        app: app.to_owned(),
        course: Course::Upgrade,
        running: None,
        schema_of: None,
        target: target.clone(),
        basis: Basis::of(&State::default()),
        tracks: vec![(track.clone(), TABLE.to_owned())],
        off: Vec::new(),
        tables: vec![TABLE.to_owned()],
        checks: Vec::new(),
        accepted: Vec::new(),
        taken: Vec::new(),
        deployment: Default::default(),
        keeps: true,
        discards: BTreeSet::new(),
        hops: vec![Hop { to: target.clone(), steps, ends_at: BTreeMap::new(), leaves: Vec::new() }],
        notes: Vec::new(),
        migrations: BTreeMap::from([(track.clone(), migrations)]),
        before: BTreeMap::new(),
        releases: BTreeMap::from([(target, BTreeMap::from([(track, numbers.into())]))]),
        bodies: bodies.iter().map(|body| (Digest::of_body(body), (*body).to_owned())).collect(),
    }
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
            fs::write(folder.path().join(name), body).expect("a file");
        }
        Some(GolangMigrate { program, folder })
    }

    pub fn start(&self, fresh: &Fresh, arguments: &[&str]) -> Child {
        self.start_at(&fresh.url(), arguments)
    }

    /// As [`GolangMigrate::start`], with another URL.
    pub fn start_at(&self, url: &str, arguments: &[&str]) -> Child {
        let mut command = Command::new(&self.program);
        command.arg("-path").arg(self.folder.path()).arg("-database").arg(url);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().expect("golang-migrate")
    }

    /// Whether it succeeded, and what it said.
    pub fn run(&self, fresh: &Fresh, arguments: &[&str]) -> (bool, String) {
        self.run_at(&fresh.url(), arguments)
    }

    /// As [`GolangMigrate::run`], with another URL.
    pub fn run_at(&self, url: &str, arguments: &[&str]) -> (bool, String) {
        let output = self.start_at(url, arguments).wait_with_output().expect("its end");
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&said).trim().to_owned())
    }
}

/// What the tracking table says.
pub async fn track(session: &mut Postgres) -> TrackState {
    session.track(TABLE).await.expect("a track")
}

/// The track of the tests.
pub static CORE: LazyLock<TrackName> = LazyLock::new(|| TrackName::from("core"));

/// The care that is taken of a migration: all that it destroys is kept, and nothing else is asked for.
pub fn care(app: &str, version: u64, direction: Direction) -> Preservation<'_> {
    Preservation {
        app,
        track: &CORE,
        version,
        direction,
        keep: true,
        planned: None,
        other: None,
        discards: &sternway_database::NOTHING_DISCARDED,
        each_lock: false,
        limits: Limits::default(),
    }
}

/// Runs a half of a migration with care.
pub async fn careful(
    session: &mut dyn Database,
    care: &Preservation<'_>,
    body: &str,
) -> Result<Done, StepError> {
    let Preservation { version, direction, .. } = *care;
    let mut step = match direction {
        Direction::Up => up(version, body),
        Direction::Down => down(version, version.checked_sub(1), body),
    };
    step.mode = session.facts(body).mode;
    session.migrate_preserving(&Work::of(&step, body, None), care).await
}

/// Runs the body of migration 2 of the application `app` in one direction, with care.
pub async fn go(
    session: &mut dyn Database,
    direction: Direction,
    body: &str,
    keep: bool,
    planned: Option<&Effects>,
    each_lock: bool,
) -> Result<Done, StepError> {
    let care = Preservation { keep, planned, each_lock, ..care("app", 2, direction) };
    careful(session, &care, body).await
}
