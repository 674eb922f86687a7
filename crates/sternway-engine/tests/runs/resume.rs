//! Runs that are cut short, and then finished or taken back, on every kind of database.

#![allow(clippy::print_stderr, reason = "the number of deaths is to be read")]
use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use sqlx::Connection as _;
use sternway_database::dialect::{connect, create_shadow, remove_shadow};
use sternway_database::port::prelude::*;
use sternway_database::{Dialect, RunId, StepError};
use sternway_engine::event::{Observer, Quiet};
use sternway_engine::observe::observe;
use sternway_engine::rehearse::expectations;
use sternway_engine::run::{Outcome, Run, RunError, abort, resume, run};
use sternway_engine::shadow::{Checkpoints, Shadow, checkpoints};
use sternway_model::catalog::{Catalog, Enabled, Track};
use sternway_model::journal::{Progress, Record};
use sternway_model::plan::{Course, Facts, Plan, Request, Step, plan};
use sternway_model::policy::Policy;
use sternway_model::proof::{Expected, Fingerprint};
use sternway_model::state::{AppState, Position};
use sternway_source::{Layout, Location, read};
use tempfile::TempDir;

use crate::support::dying::{AppIs, Dying, Puppet};
use crate::support::{self, fresh, needs, release};

const OLD: &str = "1.0.0";
const NEW: &str = "1.2.0";
const LOCK_TIMEOUT: Duration = Duration::from_secs(20);

/// A database of a test's own, and the application that belongs to it.
struct Ground {
    dialect: Dialect,
    url: String,
    /// The server and the database to drop, where it is MariaDB's.
    shadow: Option<(String, String)>,
    catalog: Catalog,
    folder: TempDir,
}

/// The third migration: two statements that are rows and schema, and one in between that cannot run
/// in a transaction, or commits by itself.
fn third(dialect: Dialect) -> (&'static str, &'static str) {
    match dialect {
        Dialect::Postgres => (
            "CREATE TABLE log (n int); CREATE INDEX CONCURRENTLY ship_name ON ship (name);
             INSERT INTO log VALUES (1); BEGIN; INSERT INTO log VALUES (2); COMMIT;
             INSERT INTO log VALUES (3)",
            "DROP INDEX CONCURRENTLY ship_name; DROP TABLE log",
        ),
        Dialect::Sqlite => (
            "CREATE TABLE log (n int); CREATE INDEX ship_name ON ship (name); VACUUM;
             INSERT INTO log VALUES (1); BEGIN; INSERT INTO log VALUES (2); COMMIT;
             INSERT INTO log VALUES (3)",
            "DROP INDEX ship_name; DROP TABLE log",
        ),
        Dialect::MySql => (
            "CREATE TABLE log (n int); CREATE INDEX ship_name ON ship (name);
             INSERT INTO log VALUES (1); INSERT INTO log VALUES (2), (3)",
            "DROP INDEX ship_name ON ship; DROP TABLE log",
        ),
    }
}

impl Ground {
    async fn on(dialect: Dialect, test: &str) -> Option<Ground> {
        let folder = tempfile::tempdir().expect("a folder");
        let (url, shadow) = match dialect {
            Dialect::Postgres => {
                let name = format!("sternway_resume_{test}");
                (fresh(&needs(test, "STERNWAY_TEST_PG_URL")?, &name).await, None)
            }
            Dialect::MySql => {
                let server = needs(test, "STERNWAY_TEST_MARIADB")?;
                let made = create_shadow(&server, "", "").await.expect("a database");
                (format!("{server}{}", made.1), Some((server, made.1)))
            }
            Dialect::Sqlite => {
                (format!("sqlite://{}?mode=rwc", folder.path().join("db").display()), None)
            }
        };
        let (up, down) = third(dialect);
        let flag = match dialect {
            // Otherwise the table remembers each column that it ever had, up to some hundred.
            Dialect::MySql => (
                "ALTER TABLE ship ADD COLUMN flag varchar(2), ALGORITHM = COPY",
                "ALTER TABLE ship DROP COLUMN flag, ALGORITHM = COPY",
            ),
            _ => {
                ("ALTER TABLE ship ADD COLUMN flag varchar(2)", "ALTER TABLE ship DROP COLUMN flag")
            }
        };
        for (file, from, body) in [
            ("1_ship.up.sql", 0, "CREATE TABLE ship (id int PRIMARY KEY, name varchar(40))"),
            ("1_ship.down.sql", 0, "DROP TABLE ship"),
            ("2_flag.up.sql", 1, flag.0),
            ("2_flag.down.sql", 1, flag.1),
            ("3_log.up.sql", 2, up),
            ("3_log.down.sql", 2, down),
            ("4_tug.up.sql", 2, "CREATE TABLE tug (id int)"),
            ("4_tug.down.sql", 2, "DROP TABLE tug"),
        ] {
            for release in &[OLD, "1.1.0", NEW][from..] {
                let to = folder.path().join("releases").join(release).join("core");
                fs::create_dir_all(&to).expect("a folder");
                fs::write(to.join(file), body).expect("a file");
            }
        }
        let core = Track {
            name: "core".into(),
            paths: vec!["core".into()],
            until: None,
            table: "schema_migrations".to_owned(),
            enabled: Enabled::Always,
            requires_extension: None,
        };
        let tag = "{version}".parse().expect("a pattern");
        let layout = Layout { app: "ships".to_owned(), tag, tracks: vec![core] };
        let location = Location::Directory(folder.path().join("releases"));
        let catalog = read(&location, &layout, None).expect("a catalog").catalog;
        Some(Ground { dialect, url, shadow, catalog, folder })
    }

    fn shadow(&self) -> Shadow {
        match &self.shadow {
            Some((server, _)) => Shadow::on(self.dialect, server.clone()),
            None => Shadow::inside(self.dialect),
        }
    }

    async fn session(&self) -> Box<dyn Database> {
        connect(&self.url, None).await.expect("a session")
    }

    /// The way to a release, the application with it.
    async fn way(&self, from: Option<&str>, to: &str) -> Plan {
        let mut session = self.session().await;
        let state = observe(&mut *session, "ships", &self.catalog.tracks).await.expect("a state");
        let bodies = self.catalog.bodies.iter().chain(&state.records.bodies);
        let bodies = bodies.map(|(hash, body)| (*hash, self.dialect.facts(body))).collect();
        let request = Request { deploy: from.is_some(), ..Request::to(release(to)) };
        let facts = Facts {
            catalog: &self.catalog,
            bodies: &bodies,
            state: &state,
            policy: &Policy::default(),
            findings: sternway_model::plan::Findings::none(),
            app: &AppState { running: from.map(release) },
        };
        plan(&facts, &request).expect("a plan")
    }

    async fn installed(&self, to: &str) {
        let plan = self.way(None, to).await;
        let mut session = self.session().await;
        run(Run::of(&plan), &mut *session, &mut Quiet).await.expect("an install");
    }

    async fn fingerprint(&self) -> Fingerprint {
        let tables = ["schema_migrations".to_owned()];
        self.session().await.fingerprint(&tables).await.expect("a fingerprint")
    }

    async fn at(&self) -> Position {
        self.session().await.track("schema_migrations").await.expect("a position").position()
    }

    async fn execute(&self, sql: &str) {
        match self.dialect {
            Dialect::Postgres => {
                support::session(&self.url).await.execute(sql).await.expect(sql);
            }
            Dialect::MySql => {
                let session = sternway_database::mysql::connect(&self.url, None).await;
                session.expect("a session").execute(sql).await.expect(sql);
            }
            Dialect::Sqlite => {
                use sqlx::{AssertSqlSafe, Executor};
                let session = sqlx::SqliteConnection::connect(&self.url).await;
                let sql = AssertSqlSafe(sql.to_owned());
                session.expect("a session").execute(sql).await.expect("a statement");
            }
        }
    }

    /// Requires a row for each number from 1 in `log`, and no more.
    async fn log_is_whole(&self) {
        // It fails where a number is there twice.
        self.execute("CREATE UNIQUE INDEX log_n ON log (n)").await;
        let drop = match self.dialect {
            Dialect::MySql => "DROP INDEX log_n ON log",
            _ => "DROP INDEX log_n",
        };
        self.execute(drop).await;
        let whole = "INSERT INTO ship (id) SELECT 1 - 3 / (SELECT count(*) FROM log)";
        self.execute(whole).await;
        self.execute("DELETE FROM ship WHERE id = 0").await;
    }

    async fn unfinished(&self) -> Option<(RunId, Progress)> {
        let found = self.session().await.unfinished("ships").await.expect("records");
        found.map(|it| (it.id, it.progress))
    }

    async fn checkpoints(&self, plan: &Plan, progress: &Progress) -> Checkpoints {
        let done = match progress {
            Progress::Before { step }
            | Progress::InDoubt { step, .. }
            | Progress::Failed { step, .. }
            | Progress::Interrupted { step } => *step,
            Progress::Aborting { left, .. } => *left,
            over => panic!("{over:?}"),
        };
        let done = plan.migrations_before(done);
        checkpoints(&self.shadow(), plan, done).await.expect("checkpoints")
    }

    async fn resume(&self, plan: &Plan, app: Option<&mut Puppet>) -> Result<Outcome, RunError> {
        self.end(plan, app, false).await
    }

    async fn abort(&self, plan: &Plan, app: Option<&mut Puppet>) -> Result<Outcome, RunError> {
        self.end(plan, app, true).await
    }

    /// Finishes the run, or takes it `back`.
    async fn end(
        &self,
        plan: &Plan,
        app: Option<&mut Puppet>,
        back: bool,
    ) -> Result<Outcome, RunError> {
        let (id, progress) = self.unfinished().await.expect("an unfinished run");
        let checkpoints = self.checkpoints(plan, &progress).await;
        let app = app.map(|it| it as &mut dyn sternway_model::app::App);
        let run = Run {
            checkpoints: Some(&checkpoints),
            app,
            lock_timeout: LOCK_TIMEOUT,
            ..Run::of(plan)
        };
        let mut session = self.session().await;
        match back {
            true => abort(run, id, &mut *session, &mut Quiet).await,
            false => resume(run, id, &mut *session, &mut Quiet).await,
        }
    }

    async fn gone(self) {
        if let Some((server, name)) = &self.shadow {
            remove_shadow(server, name).await.expect("no database");
        }
        drop(self.folder);
    }
}

/// What is found out once about the way in each direction.
struct Way {
    plan: Plan,
    expected: Vec<Expected>,
    checkpoints: BTreeMap<usize, Checkpoints>,
}

impl Way {
    async fn new(ground: &Ground, from: &str, to: &str) -> Way {
        let plan = ground.way(Some(from), to).await;
        let expected = expectations(&ground.shadow(), &plan).await.expect("expectations");
        let mut known = BTreeMap::new();
        for done in 0..=plan.steps().count() {
            let checkpoints =
                checkpoints(&ground.shadow(), &plan, done).await.expect("checkpoints");
            known.insert(done, checkpoints);
        }
        Way { plan, expected, checkpoints: known }
    }

    fn checkpoints(&self, progress: &Progress) -> &Checkpoints {
        let done = match progress {
            Progress::Before { step }
            | Progress::InDoubt { step, .. }
            | Progress::Failed { step, .. }
            | Progress::Interrupted { step } => *step,
            Progress::Aborting { left, .. } => *left,
            over => panic!("{over:?}"),
        };
        let steps = self.plan.hops.iter().flat_map(|hop| &hop.steps).take(done);
        let done = steps.filter(|step| matches!(step, Step::Migrate(_))).count();
        &self.checkpoints[&done]
    }
}

/// Lets a run die at each of its calls, before it and after it; then it is finished or taken back,
/// and that dies too, once.
async fn dies_everywhere(dialect: Dialect, test: &str) {
    let Some(ground) = Ground::on(dialect, test).await else { return };
    ground.installed(OLD).await;
    let old = ground.fingerprint().await;
    let up = Way::new(&ground, OLD, NEW).await;
    ground.installed(NEW).await;
    let new = ground.fingerprint().await;
    let down = Way::new(&ground, NEW, OLD).await;

    let (mut deaths, mut finished, mut back) = (0, 0, 0);
    for (way, from, to) in [(&down, NEW, OLD), (&up, OLD, NEW)] {
        let mut calls = 0;
        let mut arrived = false;
        while !arrived {
            calls += 1;
            for after in [false, true] {
                let aborts = (calls % 2 == 0) == after;
                if ground.at().await.version
                    != way.plan.basis.tracks[&"core".into()].position().version
                {
                    ground.installed_by(from).await;
                }
                let at =
                    format!("{dialect:?} to {to}, call {calls}, after {after}, aborts {aborts}");
                let plan = ground.way(Some(from), to).await;
                let mut app = Puppet::at(from);
                let mut dying = Dying { calls, after, ..Dying::never(ground.session().await) };
                let it = Run {
                    expected: Some(&way.expected),
                    app: Some(&mut app),
                    lock_timeout: LOCK_TIMEOUT,
                    ..Run::of(&plan)
                };
                let ended = run(it, &mut dying, &mut Quiet).await;
                let died = dying.calls == 0;
                drop(dying);
                if !died {
                    ended.expect("an end");
                    arrived = true;
                    break;
                }
                deaths += 1;
                let mut dies_again = Some(calls % 9 + 1);
                while let Some((id, progress)) = ground.unfinished().await {
                    let mut dying = Dying::never(ground.session().await);
                    if let Some(calls) = dies_again.take() {
                        (dying.calls, dying.after) = (calls, !after);
                    }
                    let again = dying.calls < usize::MAX;
                    let it = Run {
                        expected: Some(&way.expected),
                        checkpoints: Some(way.checkpoints(&progress)),
                        app: Some(&mut app),
                        lock_timeout: LOCK_TIMEOUT,
                        ..Run::of(&plan)
                    };
                    let ended = match aborts {
                        true => abort(it, id, &mut dying, &mut Quiet).await,
                        false => resume(it, id, &mut dying, &mut Quiet).await,
                    };
                    assert!(again || ended.is_ok(), "{at}: {progress:?}: {ended:?}");
                    if let Ok(Outcome::TakenBack { comparison }) = &ended {
                        let comparison = comparison.as_ref().expect("a comparison");
                        assert!(comparison.holds(), "{at}: {comparison:?}");
                    }
                    deaths += usize::from(ended.is_err());
                }
                let position = ground.at().await;
                assert!(!position.dirty, "{at}");
                let here = ground.fingerprint().await;
                let (is_old, is_new) = (here.objects == old.objects, here.objects == new.objects);
                assert!(is_old || is_new, "{at}: {position}");
                let release = if is_old { OLD } else { NEW };
                let is = AppIs { release: release.to_owned(), runs: true };
                assert_eq!(app.is(), is, "{at}");
                if is_new {
                    ground.log_is_whole().await;
                }
                if release == to { finished += 1 } else { back += 1 }
            }
        }
    }
    eprintln!("{dialect:?}: {deaths} deaths, {finished} times finished, {back} times as before");
    assert!(deaths > 150 && finished > 30 && back > 30, "{deaths} {finished} {back}");
    ground.gone().await;
}

impl Ground {
    /// Brings the database to a release, whatever was before.
    async fn installed_by(&self, to: &str) {
        let plan = self.way(None, to).await;
        let ended = run(Run::of(&plan), &mut *self.session().await, &mut Quiet).await;
        ended.expect("a way");
    }
}

#[tokio::test]
async fn a_run_that_dies_anywhere_is_finished_or_taken_back_on_postgresql() {
    dies_everywhere(Dialect::Postgres, "dies").await;
}

#[tokio::test]
async fn a_run_that_dies_anywhere_is_finished_or_taken_back_on_sqlite() {
    dies_everywhere(Dialect::Sqlite, "dies").await;
}

#[tokio::test]
async fn a_run_that_dies_anywhere_is_finished_or_taken_back_on_mariadb() {
    dies_everywhere(Dialect::MySql, "dies").await;
}

const ALL: [Dialect; 3] = [Dialect::Postgres, Dialect::MySql, Dialect::Sqlite];

#[tokio::test]
async fn a_failing_swap_or_start_takes_application_and_schema_back() {
    for dialect in ALL {
        for refused in ["swap 1.2.0", "start 1.2.0"] {
            let Some(ground) = Ground::on(dialect, "back").await else { continue };
            ground.installed(OLD).await;
            let before = ground.fingerprint().await;
            let plan = ground.way(Some(OLD), NEW).await;
            let mut app = Puppet::at(OLD);
            app.refuses.push(refused.to_owned());
            let it = Run { app: Some(&mut app), ..Run::of(&plan) };
            let ended = run(it, &mut *ground.session().await, &mut Quiet).await;
            let Err(RunError::WentBack(cause)) = ended else { panic!("{ended:?}") };
            assert!(matches!(*cause, RunError::App { .. }), "{cause:?}");
            assert_eq!(app.is(), AppIs { release: OLD.to_owned(), runs: true });
            assert_eq!(ground.fingerprint().await, before);
            let history = ground.session().await.history("ships").await.expect("a history");
            assert_eq!(history[0].progress, Progress::Aborted);

            // And where going back fails too, the error says both, and it can be gone on with.
            let plan = ground.way(Some(OLD), NEW).await;
            app.refuses.push("start 1.0.0".to_owned());
            let it = Run { app: Some(&mut app), ..Run::of(&plan) };
            let ended = run(it, &mut *ground.session().await, &mut Quiet).await;
            let Err(error @ RunError::NotBack { .. }) = ended else { panic!("{ended:?}") };
            assert!(error.to_string().contains("it will not"), "{error}");
            assert_eq!(ground.fingerprint().await, before);
            let (_, progress) = ground.unfinished().await.expect("an unfinished run");
            assert!(matches!(progress, Progress::Aborting { left: 1, .. }), "{progress:?}");
            let resumed = ground.resume(&plan, Some(&mut app)).await;
            assert!(matches!(resumed, Err(RunError::GoingBack(_))), "{resumed:?}");
            app.refuses.clear();
            ground.abort(&plan, Some(&mut app)).await.expect("the rest of the way back");
            assert_eq!(app.is(), AppIs { release: OLD.to_owned(), runs: true });
            ground.gone().await;
        }
    }
}

/// Stops a run before the step that this is the number of.
struct Stop(usize);

impl Observer for Stop {
    fn stop(&mut self) -> bool {
        let stops = self.0 == 0;
        self.0 = self.0.saturating_sub(1);
        stops
    }
}

#[tokio::test]
async fn what_changed_behind_a_run_stops_it_and_is_told() {
    for dialect in ALL {
        let Some(ground) = Ground::on(dialect, "behind").await else { continue };
        ground.installed(OLD).await;
        let plan = ground.way(None, NEW).await;
        let ended = run(Run::of(&plan), &mut *ground.session().await, &mut Stop(1)).await;
        assert!(matches!(ended, Ok(Outcome::Interrupted { done: 1, .. })), "{ended:?}");
        for (change, back, told) in [
            (
                "UPDATE schema_migrations SET version = 1",
                "UPDATE schema_migrations SET version = 2",
                "track `core` was left at 2 and is at 1",
            ),
            (
                "ALTER TABLE ship ADD COLUMN mast varchar(9)",
                "ALTER TABLE ship DROP COLUMN mast",
                "column `mast` of `ship` should not be there",
            ),
            ("CREATE TABLE quay (id int)", "DROP TABLE quay", "table `quay`"),
            (
                "UPDATE schema_migrations SET dirty = true",
                "UPDATE schema_migrations SET dirty = false",
                "track `core` was left at 2 and is at 2 (dirty)",
            ),
        ] {
            ground.execute(change).await;
            for aborts in [true, false] {
                let ended = match aborts {
                    true => ground.abort(&plan, None).await,
                    false => ground.resume(&plan, None).await,
                };
                let Err(RunError::MovedSince { what, .. }) = ended else { panic!("{ended:?}") };
                assert!(what.iter().any(|it| it.contains(told)), "{dialect:?}: {what:?}");
            }
            ground.execute(back).await;
        }
        ground.resume(&plan, None).await.expect("the rest of the way");
        ground.log_is_whole().await;
        ground.gone().await;
    }
}

#[tokio::test]
async fn what_differed_before_a_run_is_no_reason_to_stop_it() {
    for dialect in ALL {
        let Some(ground) = Ground::on(dialect, "before").await else { continue };
        ground.installed(OLD).await;
        ground.execute("CREATE TABLE quay (id int)").await;
        for aborts in [true, false] {
            let plan = ground.way(None, NEW).await;
            let ended = run(Run::of(&plan), &mut *ground.session().await, &mut Stop(1)).await;
            assert!(matches!(ended, Ok(Outcome::Interrupted { .. })), "{ended:?}");
            match aborts {
                true => ground.abort(&plan, None).await.expect("the way back"),
                false => ground.resume(&plan, None).await.expect("the rest of the way"),
            };
        }
        ground.gone().await;
    }
}

#[tokio::test]
async fn a_body_that_failed_half_way_goes_on_from_there_or_is_undone_whole() {
    for dialect in ALL {
        let Some(ground) = Ground::on(dialect, "half").await else { continue };
        ground.installed("1.1.0").await;
        let before = ground.fingerprint().await;
        for aborts in [true, false] {
            // The index's name is taken: the body fails after its first statement.
            let (take, free) = match dialect {
                Dialect::MySql => {
                    ("CREATE INDEX ship_name ON ship (flag)", "DROP INDEX ship_name ON ship")
                }
                _ => ("CREATE INDEX ship_name ON ship (flag)", "DROP INDEX ship_name"),
            };
            ground.execute(take).await;
            let plan = ground.way(None, NEW).await;
            let ended = run(Run::of(&plan), &mut *ground.session().await, &mut Quiet).await;
            let Err(RunError::Step { step: 0, source: StepError::Dirty { .. }, .. }) = ended else {
                panic!("{dialect:?}: {ended:?}")
            };
            let (_, progress) = ground.unfinished().await.expect("an unfinished run");
            let Progress::Failed { reached, .. } = progress else { panic!("{progress:?}") };
            assert_eq!(reached.done, 1, "{dialect:?}");
            ground.execute(free).await;
            match aborts {
                true => {
                    let ended = ground.abort(&plan, None).await.expect("the way back");
                    let Outcome::TakenBack { comparison } = ended else { panic!("{ended:?}") };
                    assert!(comparison.expect("a comparison").holds());
                    assert_eq!(ground.fingerprint().await, before);
                    assert_eq!(ground.at().await, Position { version: Some(2), dirty: false });
                }
                false => {
                    ground.resume(&plan, None).await.expect("the rest of the way");
                    ground.log_is_whole().await;
                }
            }
        }
        ground.gone().await;
    }
}

/// Leaves a run on PostgreSQL in the second statement of its third migration, as a killed client does.
async fn in_the_index(ground: &Ground, plan: &Plan) {
    let mut session = ground.session().await;
    assert_eq!(session.prepare_records().await.expect("records").to_owned(), Default::default());
    let id = session.begin_run(plan).await.expect("a run");
    let dirty = Position { version: Some(3), dirty: true };
    session.set_track("schema_migrations", dirty).await.expect("a mark");
    ground.execute("CREATE TABLE log (n int)").await;
    for record in [
        Record::Started { step: 0 },
        Record::StatementDone { step: 0, statement: 1 },
        Record::Statement { step: 0, statement: 2, schema: None },
    ] {
        session.record(id, &record).await.expect("a record");
    }
}

#[tokio::test]
async fn an_index_in_doubt_is_looked_for() {
    for (name, left) in [
        ("absent", ""),
        ("valid", "CREATE INDEX ship_name ON ship (name)"),
        (
            "invalid",
            "CREATE INDEX ship_name ON ship (name);
             UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'ship_name'::regclass",
        ),
    ] {
        let Some(ground) = Ground::on(Dialect::Postgres, "doubt").await else { return };
        ground.installed("1.1.0").await;
        let before = ground.fingerprint().await;
        for aborts in [true, false] {
            let plan = ground.way(None, NEW).await;
            in_the_index(&ground, &plan).await;
            if !left.is_empty() {
                ground.execute(left).await;
            }
            if aborts {
                ground.abort(&plan, None).await.expect(name);
                assert_eq!(ground.fingerprint().await, before, "{name}");
            } else {
                ground.resume(&plan, None).await.expect(name);
                ground.log_is_whole().await;
                let valid =
                    "SELECT indisvalid FROM pg_index WHERE indexrelid = 'ship_name'::regclass";
                let mut session = support::session(&ground.url).await;
                assert_eq!(support::ask(&mut session, valid).await, "true", "{name}");
            }
        }
        ground.gone().await;
    }
}

#[tokio::test]
async fn a_step_that_is_blocked_is_tried_again() {
    let ground = Ground::on(Dialect::Sqlite, "blocked").await.expect("a ground");
    ground.installed(OLD).await;
    let plan = ground.way(None, "1.1.0").await;
    let never = Dying::never(ground.session().await);
    let mut dying = Dying { blocked: 2, waits_at: Some(2), ..never };
    let it = Run { retries: 2, ..Run::of(&plan) };
    let ended = run(it, &mut dying, &mut Quiet).await;
    let Err(RunError::Step { source: StepError::Blocked { .. }, .. }) = ended else {
        panic!("{ended:?}")
    };
    // What comes before the statement that waits is not done again.
    assert_eq!(dying.firsts, [1, 2, 2]);
    let (_, progress) = ground.unfinished().await.expect("an unfinished run");
    assert!(matches!(progress, Progress::Failed { step: 0, .. }), "{progress:?}");
    ground.resume(&plan, None).await.expect("the rest of the way");

    let plan = ground.way(None, NEW).await;
    let mut dying = Dying { blocked: 1, ..Dying::never(ground.session().await) };
    run(Run { retries: 1, ..Run::of(&plan) }, &mut dying, &mut Quiet).await.expect("an end");
    assert!(ground.unfinished().await.is_none());
}

#[tokio::test]
async fn a_step_without_a_way_back_is_refused_before_anything_is_undone() {
    let ground = Ground::on(Dialect::Sqlite, "no way back").await.expect("a ground");
    ground.installed(OLD).await;
    let mut plan = ground.way(None, NEW).await;
    let migrations = plan.migrations.get_mut(&"core".into()).expect("a track");
    migrations.iter_mut().find(|it| it.version == 2).expect("a migration").down = None;
    let ended = run(Run::of(&plan), &mut *ground.session().await, &mut Stop(3)).await;
    assert!(matches!(ended, Ok(Outcome::Interrupted { .. })), "{ended:?}");
    let before = ground.fingerprint().await;
    let ended = ground.abort(&plan, None).await;
    let Err(RunError::NoWayBack { version: 2, reason, .. }) = ended else { panic!("{ended:?}") };
    assert_eq!(reason, "its down half is missing");
    assert_eq!(ground.fingerprint().await, before);
    ground.resume(&plan, None).await.expect("the rest of the way");
}

#[tokio::test]
async fn an_application_that_nobody_can_reach_is_named_before_anything_is_done() {
    let ground = Ground::on(Dialect::Sqlite, "no app").await.expect("a ground");
    ground.installed(OLD).await;
    let plan = ground.way(Some(OLD), NEW).await;
    let ended = run(Run::of(&plan), &mut *ground.session().await, &mut Quiet).await;
    assert!(matches!(ended, Err(RunError::NoApp)), "{ended:?}");
    assert_eq!(ground.unfinished().await, None);
}

#[tokio::test]
async fn a_plan_of_another_version_is_told_with_its_author() {
    for dialect in ALL {
        let Some(ground) = Ground::on(dialect, "version").await else { continue };
        ground.installed(OLD).await;
        let plan = ground.way(None, NEW).await;
        let ended = run(Run::of(&plan), &mut *ground.session().await, &mut Stop(1)).await;
        assert!(matches!(ended, Ok(Outcome::Interrupted { .. })), "{ended:?}");
        let table = match dialect {
            Dialect::Postgres => "sternway.run",
            _ => "sternway_run",
        };
        let sql = format!(
            "UPDATE {table} SET sternway = '0.0.9',
             plan = replace(plan, 'sternway.plan/', 'sternway.plan/0')"
        );
        ground.execute(&sql).await;
        let error = ground.session().await.unfinished("ships").await.expect_err("a refusal");
        let text = error.to_string();
        assert!(text.contains("Sternway 0.0.9"), "{text}");
        ground.gone().await;
    }
}

#[tokio::test]
async fn without_a_place_to_keep_what_goes_nothing_is_done() {
    let Some(url) = needs("no place", "STERNWAY_TEST_PG_URL") else { return };
    let ground = Ground::on(Dialect::Postgres, "no_place").await.expect("a ground");
    ground.execute("DROP ROLE IF EXISTS sternway_resume_clerk").await;
    let role = "CREATE ROLE sternway_resume_clerk LOGIN PASSWORD 'tide';
                GRANT CREATE ON SCHEMA public TO sternway_resume_clerk";
    ground.execute(role).await;
    let (_, place) = url.split_once('@').expect("a user");
    let (server, rest) = place.split_once('/').expect("a database");
    let (_, parameters) = rest.split_once('?').unwrap_or((rest, ""));
    let clerk = format!(
        "postgres://sternway_resume_clerk:tide@{server}/sternway_resume_no_place?{parameters}"
    );
    let ground = Ground { url: clerk, ..ground };
    let plan = ground.way(None, NEW).await;
    run(Run::of(&plan), &mut *ground.session().await, &mut Quiet).await.expect("an install");
    let mut back = ground.way(None, OLD).await;
    assert_eq!(back.course, Course::Rollback);
    let ended = run(Run::of(&back), &mut *ground.session().await, &mut Quiet).await;
    assert!(matches!(ended, Err(RunError::NoArchive(_))), "{ended:?}");
    assert_eq!(ground.at().await.version, Some(4));
    back.keeps = false;
    run(Run::of(&back), &mut *ground.session().await, &mut Quiet).await.expect("the way back");
    ground.execute("DROP OWNED BY sternway_resume_clerk").await;
}
