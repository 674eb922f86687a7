//! What the tests share: an application read from its source, and the way from a look at a database
//! to a proof.

#![allow(dead_code, reason = "each test uses its part")]
#![allow(clippy::print_stderr, reason = "a skipped test says so")]

pub mod dying;
pub mod rows;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::Mutex;
use std::time::Duration;

use sternway_database::embedded::{Place, connect};
use sternway_database::port::prelude::*;
use sternway_database::postgres::Postgres;
use sternway_database::{DatabaseError, Dialect, postgres};
use sternway_engine::event::{Event, Observer};
use sternway_engine::observe::observe;
use sternway_engine::rehearse::expectations;
use sternway_engine::run::{Outcome, Run, RunError, run};
use sternway_engine::shadow::{Material, Positions, Shadow, clean_install};
use sternway_model::body::BodyFacts;
use sternway_model::catalog::{Catalog, Digest, Enabled, Migration, Release, TrackName};
use sternway_model::plan::{Course, Facts, Findings, Migrate, Plan, PlanError, Request, plan};
use sternway_model::policy::Policy;
use sternway_model::position::Position;
use sternway_model::proof::{Comparison, Expected, Fingerprint};
use sternway_model::state::{AppState, RecordsAccess, State};
use sternway_source::{Layout, Location, read};

/// What an environment variable says. Where it is absent, the run's list of skipped tests says so.
pub fn needs(test: &str, variable: &str) -> Option<String> {
    let value = std::env::var(variable).ok().filter(|value| !value.is_empty());
    if value.is_none() {
        skipped(test, &format!("{variable} is not set"));
    }
    value
}

/// Notes that a test cannot run.
pub fn skipped(test: &str, reason: &str) {
    eprintln!("skipped {test}: {reason}");
    let Some(list) = std::env::var_os("STERNWAY_SKIPPED") else { return };
    let list = std::fs::OpenOptions::new().create(true).append(true).open(list);
    // In one write: other tests add to it at the same time.
    let line = format!("{test}: {reason}\n");
    list.expect("the list of skipped tests").write_all(line.as_bytes()).expect("a line in it");
}

pub fn release(text: &str) -> Release {
    text.parse().expect(text)
}

/// Where each track named stands.
pub fn at(tracks: &[(&str, u64)]) -> Positions {
    tracks
        .iter()
        .map(|(track, version)| (TrackName::from(*track), Position::At(*version)))
        .collect()
}

/// How long a run waits for its locks.
pub const LOCK_TIMEOUT: Duration = Duration::from_millis(300);

/// An application: what its releases have, and what is allowed.
#[derive(Clone)]
pub struct App {
    pub catalog: Catalog,
    pub policy: Policy,
}

impl App {
    pub fn read(location: &Location, layout: &Layout, policy: Policy) -> App {
        let reading = read(location, layout, None).expect("a catalog");
        App { catalog: reading.catalog, policy }
    }

    /// The same with one track switched.
    pub fn with(&self, track: &str, enabled: Enabled) -> App {
        let mut app = self.clone();
        let track = app.catalog.tracks.iter_mut().find(|it| it.name.0 == track);
        track.expect("a track").enabled = enabled;
        app
    }

    pub fn tables(&self) -> Vec<String> {
        self.catalog.tracks.iter().map(|track| track.table.clone()).collect()
    }

    pub async fn observe(&self, database: &mut dyn Database) -> State {
        observe(database, &self.catalog.app, &self.catalog.tracks).await.expect("a state")
    }

    pub async fn fingerprint(&self, database: &mut dyn Database) -> Fingerprint {
        database.fingerprint(&self.tables()).await.expect("a fingerprint")
    }

    /// Where the tracks stand that have a version.
    pub async fn positions(&self, database: &mut dyn Database) -> Positions {
        let mut positions = Positions::new();
        for track in &self.catalog.tracks {
            let state = database.track(&track.table).await.expect("a position");
            assert!(!state.row().dirty, "{} is dirty", track.name);
            let position = state.row().position;
            if position != Position::Nothing {
                positions.insert(track.name.clone(), position);
            }
        }
        positions
    }

    /// What the bodies say: the catalog's and those of the records.
    pub fn facts(&self, state: &State) -> BTreeMap<Digest, BodyFacts> {
        let texts = self.catalog.bodies.iter().chain(&state.records.bodies);
        texts.map(|(hash, body)| (*hash, postgres::statements::facts(body))).collect()
    }

    pub fn plan(
        &self,
        state: &State,
        running: Option<&str>,
        request: &Request,
    ) -> Result<Plan, PlanError> {
        let bodies = self.facts(state);
        let app = AppState { running: running.map(release) };
        let (catalog, policy) = (&self.catalog, &self.policy);
        let facts = Facts::new(catalog, &bodies, state, policy, &app, Findings::none());
        plan(&facts, request)
    }

    /// Looks at the database and plans.
    pub async fn way(
        &self,
        database: &mut dyn Database,
        running: Option<&str>,
        course: Course,
        to: &str,
    ) -> Result<Plan, PlanError> {
        let state = self.observe(database).await;
        self.plan(&state, running, &Request { course: Some(course), ..Request::to(release(to)) })
    }

    /// Brings an empty database to a release.
    pub async fn install(&self, proofs: &Proofs, database: &mut dyn Database, to: &str) {
        let plan = self.way(database, None, Course::Upgrade, to).await.expect("a plan to install");
        let ended = proofs.run(&plan, database, &mut Quiet).await;
        assert!(matches!(ended, Ok(Outcome::Arrived { .. })), "installing {to}: {ended:?}");
    }

    /// All that a release has, for clean installs.
    pub fn parts(&self, of: &str) -> Parts {
        let entry = &self.catalog.releases[&release(of)];
        let tracks = self.catalog.tracks.iter();
        let sets = entry.tracks.iter();
        let bodies = self.catalog.bodies.iter();
        Parts {
            tracks: tracks.map(|it| (it.name.clone(), it.table.clone())).collect(),
            migrations: sets.map(|(it, set)| (it.clone(), set.iter().cloned().collect())).collect(),
            bodies: bodies.map(|(hash, body)| (*hash, body.to_string())).collect(),
            tables: self.tables(),
        }
    }
}

/// What a [`Material`] borrows from.
pub struct Parts {
    tracks: Vec<(TrackName, String)>,
    migrations: BTreeMap<TrackName, Vec<Migration>>,
    bodies: BTreeMap<Digest, String>,
    tables: Vec<String>,
}

impl Parts {
    pub fn material(&self) -> Material<'_> {
        Material {
            tracks: &self.tracks,
            migrations: &self.migrations,
            bodies: &self.bodies,
            tables: &self.tables,
            schema: "public",
            collation: "",
        }
    }
}

/// What clean installs and journeys lead to, each found out once.
#[derive(Default)]
pub struct Proofs {
    expected: Mutex<BTreeMap<String, Vec<Expected>>>,
    clean: Mutex<BTreeMap<String, Fingerprint>>,
}

impl Proofs {
    /// What each hop of `plan` should lead to.
    pub async fn expected(&self, plan: &Plan) -> Vec<Expected> {
        let mut key = format!("{:?}", plan.tables);
        for (track, migrations) in &plan.migrations {
            let at = plan.basis.tracks.get(track).map(|it| it.row());
            write!(key, "{track} from {at:?} with {migrations:?}").expect("a text");
        }
        for hop in &plan.hops {
            let steps = hop.migrations().map(|it| (&it.track, it.version, it.direction));
            write!(key, "{:?} {:?}", steps.collect::<Vec<_>>(), hop.ends_at).expect("a text");
        }
        let known = self.expected.lock().expect("the lock").get(&key).cloned();
        if let Some(known) = known {
            return known;
        }
        let expected =
            expectations(&Shadow::inside(Dialect::Postgres), plan).await.expect("expectations");
        self.expected.lock().expect("the lock").insert(key, expected.clone());
        expected
    }

    /// A clean install of a release, of the tracks that `at` names, made beside any plan.
    pub async fn clean(&self, app: &App, of: &str, at: &Positions) -> Fingerprint {
        let key = format!("{of} {at:?}");
        let known = self.clean.lock().expect("the lock").get(&key).cloned();
        if let Some(known) = known {
            return known;
        }
        let clean =
            clean_install(&Shadow::inside(Dialect::Postgres), &app.parts(of).material(), at)
                .await
                .expect("a clean install");
        self.clean.lock().expect("the lock").insert(key, clean.clone());
        clean
    }

    /// Executes and proves.
    pub async fn run(
        &self,
        plan: &Plan,
        database: &mut dyn Database,
        observer: &mut dyn Observer,
    ) -> Result<Outcome, RunError> {
        // What is executed is always what was read from a file.
        let plan = Plan::from_json(&plan.to_json()).expect("a plan");
        let expected = self.expected(&plan).await;
        let expected = Some(&expected[..]);
        run(Run { expected, lock_timeout: LOCK_TIMEOUT, ..Run::of(&plan) }, database, observer)
            .await
    }
}

/// Nobody observes.
pub use sternway_engine::event::Quiet;

/// What was told while a run went on, and when to stop it.
#[derive(Default)]
pub struct Seen {
    pub stop_after: Option<usize>,
    pub access: Option<RecordsAccess>,
    pub steps: Vec<String>,
}

impl Observer for Seen {
    fn tell(&mut self, event: &Event<'_>) {
        match event {
            Event::Begins { access, .. } => self.access = Some((*access).clone()),
            Event::Migrated { step, .. } => self.steps.push(step_name(step)),
            _ => {}
        }
    }

    fn stop(&mut self) -> bool {
        self.stop_after.is_some_and(|after| self.steps.len() >= after)
    }
}

/// A step as `core 5 down to 4`.
pub fn step_name(step: &Migrate) -> String {
    format!("{} {} {} to {}", step.track, step.version, step.direction, step.to)
}

/// The steps of a plan.
pub fn steps(plan: &Plan) -> Vec<String> {
    plan.steps().map(step_name).collect()
}

/// The comparisons of a run that arrived.
pub fn arrived(ended: Result<Outcome, RunError>) -> Vec<Comparison> {
    match ended {
        Ok(Outcome::Arrived { proofs, .. }) => {
            proofs.into_iter().map(|it| it.expect("a proof")).collect()
        }
        other => panic!("it did not arrive: {other:?}"),
    }
}

/// An empty embedded database.
pub async fn embedded(extensions: &[&str]) -> Postgres {
    let wanted: Vec<String> = extensions.iter().map(|it| (*it).to_owned()).collect();
    connect(&Place::Temporary, &wanted).await.expect("an embedded server")
}

/// Makes a database as empty as a new one.
pub async fn empty(database: &mut Postgres, extensions: &[&str]) {
    let mut sql = "DROP SCHEMA IF EXISTS sternway CASCADE; DROP SCHEMA public CASCADE;
                   CREATE SCHEMA public; DROP TABLE IF EXISTS pg_temp.kept;"
        .to_owned();
    for extension in extensions {
        write!(sql, "DROP EXTENSION IF EXISTS \"{extension}\" CASCADE;").expect("a text");
    }
    database.execute(&sql).await.expect("an empty database");
}

/// The answer to a question with one value.
///
/// The port only executes; an exception carries the answer out.
pub async fn ask(database: &mut Postgres, sql: &str) -> String {
    let sql = format!("DO $ask$ BEGIN RAISE EXCEPTION '%', (SELECT ({sql})::text); END $ask$");
    match database.execute(&sql).await.expect_err("an answer") {
        DatabaseError::Query { source: sqlx::Error::Database(error), .. }
            if error.code().as_deref() == Some("P0001") =>
        {
            error.message().to_owned()
        }
        other => panic!("{other:?}: {sql}"),
    }
}

/// The URL of another database on the same server.
pub fn other_database(url: &str, name: &str) -> String {
    let (rest, parameters) = url.split_once('?').unwrap_or((url, ""));
    let (server, _) = rest.rsplit_once('/').expect("a database in the URL");
    format!("{server}/{name}?{parameters}")
}

/// Makes an empty database on a real server; returns its URL.
pub async fn fresh(url: &str, name: &str) -> String {
    let mut admin = postgres::connect(url, None).await.expect("a server");
    let drop = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
    admin.execute(&drop).await.expect("no such database");
    admin.execute(&format!("CREATE DATABASE {name}")).await.expect("a database");
    other_database(url, name)
}

pub async fn session(url: &str) -> Postgres {
    postgres::connect(url, None).await.expect("a session")
}
