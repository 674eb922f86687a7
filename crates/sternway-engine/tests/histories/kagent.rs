//! The way between any two releases of kagent, on PostgreSQL.
//!
//! Runs when `STERNWAY_KAGENT_REPO` is the path of a clone with tags.

#![allow(clippy::print_stderr, reason = "the matrix tells how long it took")]

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{LazyLock, Mutex};
use std::time::Instant;

use sternway_database::LockError;
use sternway_database::port::prelude::*;
use sternway_database::postgres::Postgres;
use sternway_engine::run::{Outcome, RunError};
use sternway_engine::shadow::Positions;
use sternway_model::catalog::{Enabled, Track};
use sternway_model::plan::{
    BodyOrigin, Course, Facts, Findings, Note, Plan, PlanError, Request, standing,
};
use sternway_model::policy::{Policy, Window};
use sternway_model::state::AppState;
use sternway_source::{Layout, Location};

use crate::support::rows::{fill, survive};
use crate::support::{
    App, LOCK_TIMEOUT, Proofs, Quiet, arrived, ask, at, embedded, empty, fresh, needs, release,
    session, steps,
};

/// The releases of the matrix, with the highest number of `core`. `vector` has 3 everywhere.
const RELEASES: [(&str, u64); 14] = [
    ("0.9.0", 3),
    ("0.9.1", 3),
    ("0.9.2", 3),
    ("0.9.3", 4),
    ("0.9.4", 4),
    ("0.9.5", 4),
    ("0.9.6", 4),
    ("0.9.7", 5),
    ("0.9.8", 5),
    ("0.9.9", 5),
    ("0.9.10", 5),
    ("0.9.11", 5),
    ("0.9.12", 5),
    ("0.10.0-rc3", 7),
];

/// The numbers of the locks that kagent's controller and golang-migrate's command take in a database
/// named `kagent`.
const LOCKS: [i64; 4] = [2_490_202_259, 3_499_628_047, 3_989_142_990, 4_062_176_615];

static PROOFS: LazyLock<Proofs> = LazyLock::new(Proofs::default);

fn kagent(repository: &str, vector: Enabled) -> App {
    static READ: Mutex<Option<App>> = Mutex::new(None);
    let mut read = READ.lock().expect("the lock");
    let app = read.get_or_insert_with(|| {
        let track = |name: &str, table: &str, extension: Option<&str>| Track {
            name: name.into(),
            paths: vec![format!("go/core/pkg/migrations/{name}").as_str().into()],
            until: None,
            table: table.to_owned(),
            enabled: Enabled::Always,
            requires_extension: extension.map(str::to_owned),
        };
        let layout = Layout {
            app: "kagent".to_owned(),
            tag: "v{version}".parse().expect("a pattern"),
            tracks: vec![
                track("core", "schema_migrations", None),
                track("vector", "vector_schema_migrations", Some("vector")),
            ],
        };
        let policy = Policy {
            window: Window::Minor,
            floor: Some(release("0.9.0")),
            ahead_ok_since: Some(release("0.9.9")),
            ..Policy::default()
        };
        App::read(&Location::Git(repository.into()), &layout, policy)
    });
    app.with("vector", vector)
}

fn core(of: &str) -> u64 {
    RELEASES.iter().find(|(name, _)| *name == of).expect("a release of the matrix").1
}

/// What a release's clean install stands at.
fn positions(core: u64, vector: bool) -> Positions {
    if vector { at(&[("core", core), ("vector", 3)]) } else { at(&[("core", core)]) }
}

/// The way that leads from one release to another.
fn course(from: &str, to: &str) -> Course {
    if release(to) < release(from) { Course::Rollback } else { Course::Upgrade }
}

/// One journey of the matrix.
#[derive(Debug, Clone, Copy)]
struct Pair<'a> {
    from: &'a str,
    to: &'a str,
    vector: bool,
    reset_schema: bool,
}

impl Pair<'_> {
    /// Whether the documentation says that the schema stays: it is the same, or ahead of a release
    /// that starts on it.
    fn is_app_only(&self) -> bool {
        let (from, to) = (core(self.from), core(self.to));
        let tolerated = release(self.to) >= release("0.9.9") && !self.reset_schema;
        from == to || (from > to && tolerated)
    }

    /// The steps that lead there.
    fn steps(&self) -> Vec<String> {
        let (from, to) = (core(self.from), core(self.to));
        match course(self.from, self.to) {
            _ if self.is_app_only() => Vec::new(),
            Course::Rollback => {
                (to + 1..=from).rev().map(|it| format!("core {it} down to {}", it - 1)).collect()
            }
            Course::Upgrade => (from + 1..=to).map(|it| format!("core {it} up to {it}")).collect(),
        }
    }

    /// Installs the first release on an empty database.
    async fn install(&self, repository: &str, database: &mut Postgres) {
        let installed = if self.vector { Enabled::Always } else { Enabled::Never };
        kagent(repository, installed).install(&PROOFS, database, self.from).await;
        fill(database).await.expect("rows");
    }

    /// Goes from the first release to the second, and looks at everything.
    async fn travel(&self, repository: &str, database: &mut Postgres) -> Result<(), String> {
        let check = |holds: bool, what: &dyn Fn() -> String| {
            if holds { Ok(()) } else { Err(what()) }
        };
        let app = kagent(repository, Enabled::Auto);
        let vector_before = vector_rows(database, self.vector).await;
        let state = app.observe(database).await;
        let request = Request {
            course: Some(course(self.from, self.to)),
            reset_schema: self.reset_schema,
            ..Request::to(release(self.to))
        };
        let plan = app.plan(&state, Some(self.from), &request).map_err(|it| it.to_string())?;
        check(steps(&plan) == self.steps(), &|| format!("the steps are {:?}", steps(&plan)))?;
        check(plan.is_app_only() == self.is_app_only(), &|| "app-only is not told".to_owned())?;
        let ended = PROOFS.run(&plan, database, &mut Quiet).await;
        let Ok(Outcome::Arrived { proofs, .. }) = ended else { return Err(format!("{ended:?}")) };
        for proof in proofs {
            let proof = proof.ok_or("a hop was not proved")?;
            check(proof.drift.is_empty() && proof.foreign.is_empty(), &|| format!("{proof:?}"))?;
            check(proof.of_the_migrations.is_empty(), &|| format!("{proof:?}"))?;
        }
        let end = if self.is_app_only() { core(self.from) } else { core(self.to) };
        let stands = app.positions(database).await;
        check(stands == positions(end, self.vector), &|| format!("it stands at {stands:?}"))?;
        // The release that has these numbers, installed by nobody's plan.
        let (of, _) = RELEASES.iter().find(|(_, core)| *core == end).expect("a release");
        let clean = PROOFS.clean(&app, of, &positions(end, self.vector)).await;
        let found = app.fingerprint(database).await;
        check(found.objects == clean.objects, &|| "the schema is not a clean install's".into())?;
        survive(database).await?;
        let vector_after = vector_rows(database, self.vector).await;
        check(vector_before == vector_after, &|| "the memory has changed".to_owned())
    }
}

/// The memories in every byte, and the extension they are made of.
async fn vector_rows(database: &mut Postgres, vector: bool) -> String {
    if !vector {
        let none =
            "SELECT count(*) FROM pg_class WHERE relname IN ('memory', 'vector_schema_migrations')";
        assert_eq!(ask(database, none).await, "0");
        let none = "SELECT count(*) FROM pg_extension WHERE extname = 'vector'";
        assert_eq!(ask(database, none).await, "0");
        return String::new();
    }
    let all = "SELECT count(*)::text || md5(string_agg(m::text, '|' ORDER BY id))
                   || (SELECT oid || extversion FROM pg_extension WHERE extname = 'vector')
               FROM memory m";
    ask(database, all).await
}

fn pairs() -> Vec<(&'static str, &'static str)> {
    let all = RELEASES.iter().flat_map(|(from, _)| RELEASES.iter().map(|(to, _)| (*from, *to)));
    all.filter(|(from, to)| from != to).collect()
}

#[test]
fn every_release_leads_to_every_other() {
    let Some(repository) = needs("kagent matrix", "STERNWAY_KAGENT_REPO") else { return };
    let start = Instant::now();
    let mut journeys = Vec::new();
    for vector in [false, true] {
        for (from, to) in pairs() {
            let pair = Pair { from, to, vector, reset_schema: false };
            journeys.push(pair);
            if pair.is_app_only() && course(from, to) == Course::Rollback {
                journeys.push(Pair { reset_schema: true, ..pair });
            }
        }
    }
    journeys.sort_by_key(|pair| (pair.vector, pair.from, !pair.is_app_only()));
    let next = AtomicUsize::new(0);
    let failures = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                runtime.expect("a runtime").block_on(async {
                    let mut database = embedded(&["vector"]).await;
                    let mut stands_at = None;
                    while let Some(pair) = journeys.get(next.fetch_add(1, Ordering::SeqCst)) {
                        if stands_at != Some((pair.from, pair.vector)) {
                            empty(&mut database, &["vector"]).await;
                            pair.install(&repository, &mut database).await;
                        }
                        // Where the schema stays, the next journey can begin.
                        stands_at = pair.is_app_only().then_some((pair.from, pair.vector));
                        if let Err(error) = pair.travel(&repository, &mut database).await {
                            failures.lock().expect("the lock").push(format!("{pair:?}: {error}"));
                        }
                    }
                });
            });
        }
    });
    let failures = failures.into_inner().expect("the lock");
    eprintln!(
        "kagent: {} pairs with and without vector, {} journeys, {} failures, {:.1} s",
        pairs().len(),
        journeys.len(),
        failures.len(),
        start.elapsed().as_secs_f64()
    );
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[tokio::test]
async fn twenty_pairs_on_a_real_server() {
    let test = "kagent on a real server";
    let Some(repository) = needs(test, "STERNWAY_KAGENT_REPO") else { return };
    let Some(url) = needs(test, "STERNWAY_TEST_PGVECTOR_URL") else { return };
    // Every ninth, from the middle of the first nine: all the numbers of `core`, both directions.
    let chosen: Vec<_> = pairs().into_iter().skip(4).step_by(9).take(20).collect();
    assert_eq!(chosen.len(), 20);
    let ways: BTreeSet<String> =
        chosen.iter().map(|(from, to)| course(from, to).to_string()).collect();
    assert_eq!(ways.len(), 2);
    for (index, (from, to)) in chosen.into_iter().enumerate() {
        let url = fresh(&url, &format!("sternway_engine_kagent_{index}")).await;
        let pair = Pair { from, to, vector: true, reset_schema: index % 2 == 0 };
        let mut database = session(&url).await;
        pair.install(&repository, &mut database).await;
        let travelled = pair.travel(&repository, &mut database).await;
        assert_eq!(travelled, Ok(()), "{pair:?}");
    }
}

/// An embedded database at a release, with rows.
async fn standing_at(of: &str, app: &App) -> Postgres {
    let mut database = embedded(&["vector"]).await;
    app.install(&PROOFS, &mut database, of).await;
    fill(&mut database).await.expect("rows");
    database
}

/// Everything that a refusal must leave alone.
async fn whole(database: &mut Postgres, app: &App) -> (String, Positions, String, String) {
    survive(database).await.expect("rows");
    (
        app.fingerprint(database).await.digest().to_string(),
        app.positions(database).await,
        ask(database, "SELECT count(*) FROM pg_class").await,
        format!("{:?}", database.rows_per_table().await.expect("rows")),
    )
}

async fn go(app: &App, database: &mut Postgres, from: &str, to: &str) -> Plan {
    let plan = app.way(database, Some(from), course(from, to), to).await.expect("a plan");
    arrived(PROOFS.run(&plan, database, &mut Quiet).await);
    plan
}

#[tokio::test]
async fn scenario_02_the_same_schema_is_left_alone() {
    let Some(repository) = needs("kagent scenario 2", "STERNWAY_KAGENT_REPO") else { return };
    let app = kagent(&repository, Enabled::Never);
    let mut database = standing_at("0.9.9", &app).await;
    let before = whole(&mut database, &app).await;
    let plan = go(&app, &mut database, "0.9.9", "0.9.12").await;
    assert!(plan.is_app_only());
    assert_eq!(plan.notes, []);
    assert_eq!(whole(&mut database, &app).await, before);
}

#[tokio::test]
async fn scenario_06_a_release_that_tolerates_a_schema_ahead_goes_back_alone() {
    let Some(repository) = needs("kagent scenario 6", "STERNWAY_KAGENT_REPO") else { return };
    let app = kagent(&repository, Enabled::Never);
    let mut database = standing_at("0.10.0-rc3", &app).await;
    let before = whole(&mut database, &app).await;
    let plan = go(&app, &mut database, "0.10.0-rc3", "0.9.12").await;
    assert!(plan.is_app_only());
    let stays = Note::SchemaStaysAhead { track: "core".into(), at: 7.into(), target: 5.into() };
    assert_eq!(plan.notes, [stays]);
    assert_eq!(app.positions(&mut database).await, at(&[("core", 7)]));
    assert_eq!(whole(&mut database, &app).await, before);
}

#[tokio::test]
async fn scenario_07_a_release_that_does_not_needs_its_own_schema() {
    let Some(repository) = needs("kagent scenario 7", "STERNWAY_KAGENT_REPO") else { return };
    let app = kagent(&repository, Enabled::Never);
    let mut database = standing_at("0.10.0-rc3", &app).await;
    let before = whole(&mut database, &app).await;
    let refused = app.way(&mut database, None, Course::Upgrade, "0.9.8").await;
    let reason = PlanError::AheadOfTarget {
        target: release("0.9.8"),
        track: "core".into(),
        at: 7.into(),
        has: 5.into(),
    };
    assert_eq!(refused.map(|plan| steps(&plan)), Err(reason));
    assert_eq!(whole(&mut database, &app).await, before);
    let plan = go(&app, &mut database, "0.10.0-rc3", "0.9.8").await;
    assert_eq!(steps(&plan), ["core 7 down to 6", "core 6 down to 5"]);
    assert_eq!(app.positions(&mut database).await, at(&[("core", 5)]));
    survive(&mut database).await.expect("rows");
}

#[tokio::test]
async fn scenario_08_the_documented_example() {
    let Some(repository) = needs("kagent scenario 8", "STERNWAY_KAGENT_REPO") else { return };
    let app = kagent(&repository, Enabled::Always);
    let mut database = standing_at("0.9.9", &app).await;
    let plan = go(&app, &mut database, "0.9.9", "0.9.3").await;
    assert_eq!(steps(&plan), ["core 5 down to 4"]);
    assert!(!plan.is_app_only());
    let destroyed: BTreeSet<String> =
        plan.steps().flat_map(|step| &step.destroys).map(|it| it.what.to_string()).collect();
    let columns = ["column push_notification.protocol_version", "column task.protocol_version"];
    assert_eq!(destroyed, BTreeSet::from(columns.map(str::to_owned)));
    let text = plan.to_string();
    assert!(columns.iter().all(|column| text.contains(column)), "{text}");
    assert_eq!(app.positions(&mut database).await, at(&[("core", 4), ("vector", 3)]));
    survive(&mut database).await.expect("rows");
}

#[tokio::test]
async fn scenario_09_an_application_that_does_not_start_on_the_schema() {
    let Some(repository) = needs("kagent scenario 9", "STERNWAY_KAGENT_REPO") else { return };
    let app = kagent(&repository, Enabled::Never);
    let mut database = standing_at("0.9.3", &app).await;
    let state = app.observe(&mut database).await;
    let bodies = app.facts(&state);
    let runs = |running: &str| {
        let app_state = AppState { running: Some(release(running)) };
        let (catalog, policy) = (&app.catalog, &app.policy);
        let facts = Facts::new(catalog, &bodies, &state, policy, &app_state, Findings::none());
        standing(&facts).expect("a standing").runs
    };
    assert_eq!(runs("0.9.0"), Some(false));
    assert_eq!(runs("0.9.3"), Some(true));

    // One way out: forwards, to a release that starts on what is there and brings the rest itself.
    let forwards = app.way(&mut database, Some("0.9.0"), Course::Upgrade, "0.9.9").await;
    assert_eq!(forwards.map(|plan| steps(&plan)), Ok(vec!["core 5 up to 5".to_owned()]));
    // The other: the schema goes back to the release that is stuck. The down half does nothing.
    let back = app.way(&mut database, Some("0.9.0"), Course::Rollback, "0.9.0").await;
    let back = back.expect("a plan");
    assert_eq!(steps(&back), ["core 4 down to 3"]);
    assert!(back.steps().all(|step| step.destroys.is_empty()));
    arrived(PROOFS.run(&back, &mut database, &mut Quiet).await);
    assert_eq!(app.positions(&mut database).await, at(&[("core", 3)]));
    survive(&mut database).await.expect("rows");
}

#[tokio::test]
async fn scenario_09_on_a_schema_further_ahead_the_next_release_that_starts_needs_nothing() {
    let Some(repository) = needs("kagent scenario 9", "STERNWAY_KAGENT_REPO") else { return };
    let app = kagent(&repository, Enabled::Never);
    let mut database = standing_at("0.10.0-rc3", &app).await;
    let before = whole(&mut database, &app).await;
    for to in ["0.9.9", "0.9.12"] {
        let plan = go(&app, &mut database, "0.9.8", to).await;
        assert!(plan.is_app_only());
        assert_eq!(whole(&mut database, &app).await, before);
    }
    let back = app.way(&mut database, Some("0.9.8"), Course::Rollback, "0.9.8").await;
    let back = back.expect("a plan");
    assert_eq!(steps(&back), ["core 7 down to 6", "core 6 down to 5"]);
}

#[tokio::test]
async fn scenario_10_a_second_rollback_finds_the_bodies_where_the_number_is() {
    let Some(repository) = needs("kagent scenario 10", "STERNWAY_KAGENT_REPO") else { return };
    let app = kagent(&repository, Enabled::Always);
    let mut database = standing_at("0.10.0-rc3", &app).await;
    // As if kagent had migrated by itself: nothing is recorded.
    database.execute("DROP SCHEMA sternway CASCADE").await.expect("no records");
    let plan = go(&app, &mut database, "0.9.12", "0.9.6").await;
    assert_eq!(steps(&plan), ["core 7 down to 6", "core 6 down to 5", "core 5 down to 4"]);
    let origins: Vec<&BodyOrigin> = plan.steps().map(|step| &step.origin).collect();
    let [newest, running] = ["0.10.0-rc3", "0.9.12"].map(|it| BodyOrigin::Release(release(it)));
    assert_eq!(origins, [&newest, &newest, &running]);
    assert_eq!(app.positions(&mut database).await, at(&[("core", 4), ("vector", 3)]));
    survive(&mut database).await.expect("rows");
}

#[tokio::test]
async fn scenario_10_the_database_carries_its_own_way_back() {
    let Some(repository) = needs("kagent scenario 10", "STERNWAY_KAGENT_REPO") else { return };
    let source = kagent(&repository, Enabled::Always);
    let mut database = standing_at("0.10.0-rc3", &source).await;
    go(&source, &mut database, "0.10.0-rc3", "0.9.12").await;
    let records = source.observe(&mut database).await.records;
    assert_eq!(records.arrived_at, Some(release("0.9.12")));
    let catalog = records.catalog("kagent", &source.catalog.tracks);
    assert!(catalog.releases.contains_key(&release("0.10.0-rc3")));
    let alone = App { catalog, policy: source.policy.clone() };
    let plan = go(&alone, &mut database, "0.9.12", "0.9.6").await;
    assert_eq!(steps(&plan), ["core 7 down to 6", "core 6 down to 5", "core 5 down to 4"]);
    assert!(plan.steps().all(|step| step.origin == BodyOrigin::Records));
    let stands = positions(4, true);
    assert_eq!(source.positions(&mut database).await, stands);
    let clean = PROOFS.clean(&source, "0.9.6", &stands).await;
    assert_eq!(source.fingerprint(&mut database).await.objects, clean.objects);
    survive(&mut database).await.expect("rows");
}

#[tokio::test]
async fn scenario_13_the_vector_track_never_moves() {
    let Some(repository) = needs("kagent scenario 13", "STERNWAY_KAGENT_REPO") else { return };
    let app = kagent(&repository, Enabled::Auto);
    let always = kagent(&repository, Enabled::Always);
    let mut database = standing_at("0.10.0-rc3", &always).await;
    assert_eq!(ask(&mut database, "SELECT count(*) FROM memory").await, "2");
    let before = vector_rows(&mut database, true).await;
    for (from, to) in [("0.10.0-rc3", "0.9.12"), ("0.9.12", "0.9.0"), ("0.9.0", "0.10.0-rc3")] {
        let plan = go(&app, &mut database, from, to).await;
        assert!(plan.steps().all(|step| step.track.0 == "core"));
        assert_eq!(vector_rows(&mut database, true).await, before);
    }
}

#[tokio::test]
async fn scenario_14_without_vectors_nothing_makes_them() {
    let Some(repository) = needs("kagent scenario 14", "STERNWAY_KAGENT_REPO") else { return };
    for enabled in [Enabled::Never, Enabled::Auto] {
        let app = kagent(&repository, enabled);
        let mut database = standing_at("0.10.0-rc3", &app).await;
        for (from, to) in [("0.10.0-rc3", "0.9.12"), ("0.9.12", "0.9.6"), ("0.9.6", "0.10.0-rc3")] {
            go(&app, &mut database, from, to).await;
            assert_eq!(vector_rows(&mut database, false).await, "");
        }
    }
}

#[tokio::test]
async fn scenario_16_a_rollback_never_goes_up() {
    let Some(repository) = needs("kagent scenario 16", "STERNWAY_KAGENT_REPO") else { return };
    let app = kagent(&repository, Enabled::Always);
    let mut database = standing_at("0.9.6", &app).await;
    let before = whole(&mut database, &app).await;
    for running in [None, Some("0.9.12"), Some("0.10.0-rc3")] {
        let refused = app.way(&mut database, running, Course::Rollback, "0.9.8").await;
        let reason = PlanError::WrongWay {
            course: Course::Rollback,
            target: release("0.9.8"),
            behind: Some(("core".into(), 4.into(), 5.into())),
        };
        assert_eq!(refused.map(|plan| steps(&plan)), Err(reason));
    }
    assert_eq!(whole(&mut database, &app).await, before);
}

#[tokio::test]
async fn scenario_17_an_empty_database_is_not_kagents() {
    let Some(repository) = needs("kagent scenario 17", "STERNWAY_KAGENT_REPO") else { return };
    for vector in [Enabled::Always, Enabled::Auto, Enabled::Never] {
        let app = kagent(&repository, vector);
        let mut database = embedded(&["vector"]).await;
        let relations =
            "SELECT count(*) || ' ' || (SELECT count(*) FROM pg_namespace) FROM pg_class";
        let before = ask(&mut database, relations).await;
        for running in [None, Some("0.9.9")] {
            let refused = app.way(&mut database, running, Course::Rollback, "0.9.3").await;
            assert!(matches!(refused, Err(PlanError::NotThisApp { .. })), "{refused:?}");
        }
        assert_eq!(ask(&mut database, relations).await, before);
    }
}

/// Takes a session-level advisory lock if it is free.
async fn try_lock(database: &mut Postgres, lock: i64) -> bool {
    ask(database, &format!("SELECT pg_try_advisory_lock({lock})")).await == "true"
}

#[tokio::test]
async fn scenario_26_nobody_else_migrates_meanwhile() {
    let test = "kagent scenario 26";
    let Some(repository) = needs(test, "STERNWAY_KAGENT_REPO") else { return };
    let Some(url) = needs(test, "STERNWAY_TEST_PG_URL") else { return };
    let app = kagent(&repository, Enabled::Auto);
    let url = fresh(&url, "kagent").await;
    let mut database = session(&url).await;
    app.install(&PROOFS, &mut database, "0.10.0-rc3").await;
    fill(&mut database).await.expect("rows");
    let before = whole(&mut database, &app).await;
    let plan = app.way(&mut database, Some("0.10.0-rc3"), Course::Rollback, "0.9.8").await;
    let plan = plan.expect("a plan");
    let is_held = |ended: &Result<Outcome, RunError>| matches!(ended, Err(RunError::Lock(LockError::Held(holders))) if holders.len() == 1);

    // kagent's controller while it starts, golang-migrate's command, and the same for vector.
    for lock in LOCKS {
        let mut other = session(&url).await;
        other.execute(&format!("SELECT pg_advisory_lock({lock})")).await.expect("the lock");
        let ended = PROOFS.run(&plan, &mut database, &mut Quiet).await;
        assert!(is_held(&ended), "{lock}: {ended:?}");
        assert_eq!(whole(&mut database, &app).await, before);
        other.execute(&format!("SELECT pg_advisory_unlock({lock})")).await.expect("no lock");
        // A refused run has left none behind.
        for lock in LOCKS {
            assert!(try_lock(&mut other, lock).await);
        }
        other.execute("SELECT pg_advisory_unlock_all()").await.expect("no locks");
    }

    // A second Sternway, that holds them all and does nothing yet.
    let mut second = session(&url).await;
    second.lock(&plan.tables, LOCK_TIMEOUT).await.expect("the locks");
    let ended = PROOFS.run(&plan, &mut database, &mut Quiet).await;
    assert!(is_held(&ended), "{ended:?}");
    second.unlock().await.expect("no locks");
    assert_eq!(whole(&mut database, &app).await, before);

    // While a run is under way, held up by a reader of the table that it changes.
    let mut reader = session(&url).await;
    reader.execute("BEGIN; LOCK TABLE task IN ACCESS SHARE MODE").await.expect("a reader");
    let watching = async {
        let mut observer = session(&url).await;
        let waits = "SELECT count(*) FROM pg_stat_activity
                     WHERE datname = current_database() AND wait_event_type = 'Lock'";
        while ask(&mut observer, waits).await == "0" {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        for lock in LOCKS {
            assert!(!try_lock(&mut observer, lock).await, "{lock} is free");
        }
        let ended = PROOFS.run(&plan, &mut second, &mut Quiet).await;
        assert!(is_held(&ended), "{ended:?}");
        reader.execute("COMMIT").await.expect("no reader");
        for lock in LOCKS {
            observer.execute(&format!("SELECT pg_advisory_lock({lock})")).await.expect("a lock");
        }
    };
    let mut quiet = Quiet;
    let (ended, ()) = tokio::join!(PROOFS.run(&plan, &mut database, &mut quiet), watching);
    arrived(ended);
    assert_eq!(app.positions(&mut database).await, at(&[("core", 5)]));
    survive(&mut database).await.expect("rows");
}
