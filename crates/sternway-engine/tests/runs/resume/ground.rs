//! An application of three releases on a database of a test's own, of any kind.

use std::fs;
use std::time::Duration;

use sqlx::Connection as _;
use sternway_database::dialect::{connect, create_shadow, remove_shadow};
use sternway_database::port::prelude::*;
use sternway_database::{Dialect, RunId};
use sternway_engine::event::Quiet;
use sternway_engine::observe::observe;
use sternway_engine::run::{Outcome, Run, RunError, abort, resume, run};
use sternway_engine::shadow::{Checkpoints, Shadow, checkpoints};
use sternway_model::catalog::{Catalog, Enabled, Track};
use sternway_model::journal::Progress;
use sternway_model::plan::{Facts, Findings, Plan, Request, plan};
use sternway_model::policy::Policy;
use sternway_model::proof::Fingerprint;
use sternway_model::state::{AppState, TrackingRow};
use sternway_source::{Layout, Location, read};
use tempfile::TempDir;

use crate::support::dying::Puppet;
use crate::support::{self, fresh, needs, release};

pub const OLD: &str = "1.0.0";
pub const NEW: &str = "1.2.0";
pub const LOCK_TIMEOUT: Duration = Duration::from_secs(20);

/// A database of a test's own, and the application that belongs to it.
pub struct Ground {
    pub dialect: Dialect,
    pub url: String,
    /// The server and the database to drop, where it is MariaDB's.
    pub shadow: Option<(String, String)>,
    pub catalog: Catalog,
    pub folder: TempDir,
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
    pub async fn on(dialect: Dialect, test: &str) -> Option<Ground> {
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

    pub fn shadow(&self) -> Shadow {
        match &self.shadow {
            Some((server, _)) => Shadow::on(self.dialect, server.clone()),
            None => Shadow::inside(self.dialect),
        }
    }

    pub async fn session(&self) -> Box<dyn Database> {
        connect(&self.url, None).await.expect("a session")
    }

    /// The way to a release, the application with it.
    pub async fn way(&self, from: Option<&str>, to: &str) -> Plan {
        let mut session = self.session().await;
        let state = observe(&mut *session, "ships", &self.catalog.tracks).await.expect("a state");
        let bodies = self.catalog.bodies.iter().chain(&state.records.bodies);
        let bodies = bodies.map(|(hash, body)| (*hash, self.dialect.facts(body))).collect();
        let request = Request { deploy: from.is_some(), ..Request::to(release(to)) };
        let (policy, app) = (Policy::default(), AppState { running: from.map(release) });
        let facts = Facts::new(&self.catalog, &bodies, &state, &policy, &app, Findings::none());
        plan(&facts, &request).expect("a plan")
    }

    pub async fn installed(&self, to: &str) {
        let plan = self.way(None, to).await;
        let mut session = self.session().await;
        run(Run::of(&plan), &mut *session, &mut Quiet).await.expect("an install");
    }

    pub async fn fingerprint(&self) -> Fingerprint {
        let tables = ["schema_migrations".to_owned()];
        self.session().await.fingerprint(&tables).await.expect("a fingerprint")
    }

    pub async fn at(&self) -> TrackingRow {
        self.session().await.track("schema_migrations").await.expect("a position").row()
    }

    pub async fn execute(&self, sql: &str) {
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
    pub async fn log_is_whole(&self) {
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

    pub async fn unfinished(&self) -> Option<(RunId, Progress)> {
        let found = self.session().await.unfinished("ships").await.expect("records");
        found.map(|it| (it.id, it.progress))
    }

    pub async fn checkpoints(&self, plan: &Plan, progress: &Progress) -> Checkpoints {
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

    pub async fn resume(&self, plan: &Plan, app: Option<&mut Puppet>) -> Result<Outcome, RunError> {
        self.end(plan, app, false).await
    }

    pub async fn abort(&self, plan: &Plan, app: Option<&mut Puppet>) -> Result<Outcome, RunError> {
        self.end(plan, app, true).await
    }

    /// Finishes the run, or takes it `back`.
    pub async fn end(
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

    /// Brings the database to a release, whatever was before.
    pub async fn installed_by(&self, to: &str) {
        let plan = self.way(None, to).await;
        let ended = run(Run::of(&plan), &mut *self.session().await, &mut Quiet).await;
        ended.expect("a way");
    }

    pub async fn gone(self) {
        if let Some((server, name)) = &self.shadow {
            remove_shadow(server, name).await.expect("no database");
        }
        drop(self.folder);
    }
}
