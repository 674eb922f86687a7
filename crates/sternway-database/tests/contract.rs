//! What the port promises, asked of every dialect through the port alone.
//!
//! A dialect takes part with a [`Ground`]: what makes fresh databases, by its URLs. SQLite has one
//! always, PostgreSQL and MariaDB where the variables of their servers are set.

#[path = "contract/archive.rs"]
mod archive;
#[path = "contract/canary.rs"]
mod canary;
#[path = "contract/fence.rs"]
mod fence;
#[path = "contract/kinds.rs"]
mod kinds;
#[path = "contract/newer.rs"]
mod newer;
#[path = "contract/query.rs"]
mod query;
#[path = "contract/random.rs"]
mod random;
#[path = "contract/reconcile.rs"]
mod reconcile;
#[path = "contract/statements_from.rs"]
mod statements_from;
#[path = "contract/tracking.rs"]
mod tracking;
mod support;

use std::time::{Duration, Instant};

use sternway_database::dialect::{connect, create_shadow, remove_shadow};
use sternway_database::port::prelude::*;
use sternway_database::{DatabaseError, Dialect, LockError, Settings, StepError, Work};
use sternway_model::body::Mode;
use sternway_model::catalog::{Digest, Half, Migration, TrackName};
use sternway_model::journal::{Progress, Reached, Record};
use sternway_model::position::Position;
use sternway_model::proof::{Action, Facts, ForeignKey};
use sternway_model::state::{Records, RecordsAccess, TrackState, TrackingRow};
use support::mariadb::MariaDb;
use support::{Fresh, TABLE, at, dirty, fresh, plan, whole};
use tempfile::TempDir;

type Session = Box<dyn Database>;

/// A fresh database, which goes away with this value.
struct Ground {
    url: String,
    /// What its sessions do that they must not.
    sin: Option<canary::Sin>,
    keeps: Keeps,
}

#[allow(dead_code, reason = "kept for what happens when they are dropped")]
enum Keeps {
    File(TempDir),
    Postgres(Fresh),
    MariaDb(Box<MariaDb>),
}

/// One for each dialect.
async fn grounds() -> Vec<Ground> {
    let (file, postgres, mariadb) =
        (Ground::file(), Ground::postgres().await, Ground::mariadb().await);
    [Some(file), postgres, mariadb].into_iter().flatten().collect()
}

impl Ground {
    fn file() -> Ground {
        let folder = tempfile::tempdir().expect("a folder");
        let url = format!("sqlite3://{}/app.db", folder.path().display());
        Ground { url, sin: None, keeps: Keeps::File(folder) }
    }

    async fn postgres() -> Option<Ground> {
        let fresh = fresh().await?;
        Some(Ground { url: fresh.url(), sin: None, keeps: Keeps::Postgres(fresh) })
    }

    async fn mariadb() -> Option<Ground> {
        let (url, database) = MariaDb::fresh().await?;
        Some(Ground { url, sin: None, keeps: Keeps::MariaDb(Box::new(database)) })
    }

    /// Another fresh database of the same dialect.
    async fn another(&self) -> Ground {
        let another = match self.keeps {
            Keeps::File(_) => Some(Ground::file()),
            Keeps::Postgres(_) => Ground::postgres().await,
            Keeps::MariaDb(_) => Ground::mariadb().await,
        };
        Ground { sin: self.sin, ..another.expect("the server of the first one") }
    }

    async fn session(&self) -> Session {
        let session = open(&self.url).await;
        match self.sin {
            Some(sin) => Box::new(canary::Sinner { session, sin }),
            None => session,
        }
    }
}

async fn open(url: &str) -> Session {
    connect(url, None).await.unwrap_or_else(|error| panic!("{}", whole(&error)))
}

/// Runs a body that goes from one number to another.
async fn go(
    session: &mut Session,
    from: impl Into<Position>,
    to: impl Into<Position>,
    body: &str,
    journal: Option<(i64, usize)>,
) -> Result<(), StepError> {
    on(session, TABLE, (from.into(), to.into()), body, journal).await
}

/// As [`go`], on a track of one's own.
async fn on(
    session: &mut Session,
    table: &str,
    (from, to): (Position, Position),
    body: &str,
    journal: Option<(i64, usize)>,
) -> Result<(), StepError> {
    let mode = session.facts(body).mode;
    let (file, settings) = ("000001_a.up.sql", Settings::Reset);
    let durable = true;
    let work = Work {
        table,
        from,
        to,
        file,
        body,
        mode: &mode,
        journal,
        settings,
        durable,
        first: 1,
        closed_by: &[],
        undoing: false,
        dirty: false,
    };
    session.migrate(&work).await
}

async fn went(
    session: &mut Session,
    from: impl Into<Position>,
    to: impl Into<Position>,
    body: &str,
) {
    let to = to.into();
    let went = go(session, from, to, body, None).await;
    went.unwrap_or_else(|error| panic!("{}: {body}: {}", session.identity().server, whole(&error)));
    assert_eq!(track(session).await, at(to), "{body}");
}

async fn track(session: &mut Session) -> TrackState {
    session.track(TABLE).await.expect("a track")
}

async fn tables(session: &mut Session) -> Vec<String> {
    session.tables(&[TABLE.to_owned()]).await.expect("tables").into_iter().collect()
}

async fn digest(session: &mut Session) -> Digest {
    session.fingerprint(&[TABLE.to_owned()]).await.expect("a fingerprint").digest()
}

#[tokio::test]
async fn a_query_is_answered_and_may_only_look() {
    for ground in grounds().await {
        let mut session = ground.session().await;
        went(&mut session, None, Some(1), "CREATE TABLE t (a int, b varchar(9))").await;
        went(&mut session, Some(1), Some(2), "INSERT INTO t VALUES (1, 'x'), (2, NULL)").await;
        let server = session.identity().server.clone();
        for (query, most, wanted) in [
            ("SELECT b FROM t ORDER BY a", 9, vec![Some("x"), None]),
            ("SELECT a FROM t WHERE a = 1;\n", 9, vec![Some("1")]),
            ("SELECT a FROM t -- both", 1, vec![Some("1")]),
            ("SELECT a FROM t WHERE a > 2", 9, vec![]),
        ] {
            let found = session.query(query, most).await;
            let found = found.unwrap_or_else(|error| panic!("{server}: {query}: {error:?}"));
            let found: Vec<Option<&str>> = found.iter().map(Option::as_deref).collect();
            assert_eq!(found, wanted, "{server}: {query}");
        }
        let holds = session.query("SELECT count(*) = 2 FROM t", 1).await.expect("an answer");
        assert!(["true", "1"].contains(&holds[0].as_deref().expect("a value")), "{holds:?}");
        for wrong in ["SELECT a FROM nothing", "DELETE FROM t", "SELECT a, b FROM t WHERE"] {
            assert!(session.query(wrong, 1).await.is_err(), "{server}: {wrong}");
        }
        // The session goes on as before.
        went(&mut session, Some(2), Some(3), "INSERT INTO t VALUES (3, 'z')").await;
        assert_eq!(
            session.query("SELECT count(*) FROM t", 1).await.expect("3")[0],
            Some("3".into())
        );
    }
}

#[tokio::test]
async fn a_fresh_database_has_nothing_and_asking_changes_nothing() {
    for ground in grounds().await {
        let mut session = ground.session().await;
        assert_eq!(session.tracking_table(), TABLE);
        assert!(!session.identity().server.is_empty() && !session.identity().database.is_empty());
        for _ in 0..2 {
            assert_eq!(track(&mut session).await, TrackState::NoTable);
            assert_eq!(session.tables(&[]).await.expect("tables"), [].into());
            assert_eq!(session.records("app").await.expect("records"), Records::default());
            assert_eq!(session.history("app").await.expect("a history"), []);
            session.extensions().await.expect("extensions");
            let fingerprint = session.fingerprint(&[]).await.expect("a fingerprint");
            assert_eq!(fingerprint.objects.len(), 0, "{fingerprint:?}");
        }
    }
}

#[tokio::test]
async fn a_lock_keeps_a_second_session_out_until_it_is_given_back() {
    for ground in grounds().await {
        let tables = [TABLE.to_owned(), "other".to_owned()];
        let (mut one, mut two) = (ground.session().await, ground.session().await);
        let start = Instant::now();
        for _ in 0..2 {
            one.lock(&tables, Duration::ZERO).await.expect("a lock");
            // It is held already, which is no reason to fail.
            one.lock(&tables, Duration::ZERO).await.expect("the same lock");
            let refused = two.lock(&tables, Duration::from_millis(200)).await.expect_err("held");
            let LockError::Held(holders) = refused else { panic!("{refused:?}") };
            assert_eq!(holders.len(), 1, "{holders:?}");
            one.unlock().await.expect("unlocked");
            two.lock(&tables, Duration::from_secs(5)).await.expect("a lock");
            two.unlock().await.expect("unlocked");
            two.unlock().await.expect("nothing to give back");
        }
        two.lock(&tables, Duration::ZERO).await.expect("a lock");
        drop(two);
        one.lock(&tables, Duration::from_secs(10)).await.expect("the lock of one that is gone");
        assert!(start.elapsed() < Duration::from_secs(15));
    }
}

#[tokio::test]
async fn a_position_is_read_back_as_it_was_written() {
    for ground in grounds().await {
        let mut session = ground.session().await;
        for (version, is_dirty) in [
            (Some(1), true),
            (Some(1), true),
            (Some(2), false),
            (Some(2), false),
            (None, true),
            (None, false),
            (Some(0), false),
            (Some(20_260_705_123_456), false),
            (Some(i64::MAX as u64), true),
        ] {
            let row = TrackingRow { position: version.into(), dirty: is_dirty };
            session.set_track(TABLE, row).await.expect("written");
            assert_eq!(track(&mut session).await, TrackState::At(row));
            assert_eq!(track(&mut ground.session().await).await, TrackState::At(row));
        }
    }
}

#[tokio::test]
async fn a_tracking_table_is_prepared_once_and_keeps_what_it_says() {
    for ground in grounds().await {
        let mut session = ground.session().await;
        for table in [TABLE, "other_migrations", "With-Dash"] {
            session.prepare_track(table).await.expect(table);
            assert_eq!(session.track(table).await.expect(table), at(None));
            let row = TrackingRow::clean(7);
            session.set_track(table, row).await.expect(table);
            session.prepare_track(table).await.expect(table);
            let mut second = ground.session().await;
            second.prepare_track(table).await.expect(table);
            assert_eq!(second.track(table).await.expect(table), at(7));
        }
    }
}

#[tokio::test]
async fn bodies_go_up_and_down() {
    for ground in grounds().await {
        let mut session = ground.session().await;
        went(&mut session, None, Some(1), "CREATE TABLE a (x INT)").await;
        went(&mut session, Some(1), Some(3), "CREATE TABLE b (x INT);\nINSERT INTO b VALUES (1);")
            .await;
        assert_eq!(tables(&mut session).await, ["a", "b"]);
        // The first number, nothing at all, and nothing but a comment.
        for body in ["", " \n;\n", "-- nothing\n"] {
            went(&mut session, Some(3), Some(3), body).await;
        }
        went(&mut session, Some(3), Some(1), "DROP TABLE b").await;
        went(&mut session, Some(1), None, "DROP TABLE a;").await;
        assert_eq!(tables(&mut session).await, [""; 0]);
    }
}

#[tokio::test]
async fn a_body_that_fails_leaves_what_its_mode_promises() {
    for ground in grounds().await {
        let mut session = ground.session().await;
        went(&mut session, None, Some(1), "CREATE TABLE a (x INT)").await;
        let body = "CREATE TABLE b (x INT);\nINSERT INTO nowhere VALUES (1)";
        let mode = session.facts(body).mode;
        let error = go(&mut session, Some(1), Some(2), body, None).await.expect_err("a failure");
        match (mode, error) {
            (Mode::Transaction, StepError::TakenBack { source, file }) => {
                assert_eq!(source.at.map(|(line, _)| line), Some(2), "{source}");
                assert_eq!(file, "000001_a.up.sql");
                assert_eq!(track(&mut session).await, at(1));
                assert_eq!(tables(&mut session).await, ["a"]);
            }
            (Mode::Dirty { .. }, StepError::Dirty { statement, .. }) => {
                assert_eq!(statement, 2);
                assert_eq!(track(&mut session).await, dirty(2));
                assert_eq!(tables(&mut session).await, ["a", "b"]);
                let row = TrackingRow::clean(1);
                session.set_track(TABLE, row).await.expect("repaired");
            }
            (mode, error) => panic!("{mode:?}: {}", whole(&error)),
        }
        // The session is of use afterwards.
        went(&mut session, Some(1), Some(2), "CREATE TABLE c (x INT)").await;
    }
}

#[tokio::test]
async fn everything_is_dropped() {
    for ground in grounds().await {
        let mut session = ground.session().await;
        let body = "CREATE TABLE a (x INT PRIMARY KEY);
                    CREATE TABLE b (x INT, FOREIGN KEY (x) REFERENCES a (x));
                    INSERT INTO a VALUES (1); INSERT INTO b VALUES (1)";
        went(&mut session, None, Some(1), body).await;
        let mut dropped = session.drop_tables().await.expect("dropped");
        dropped.sort_unstable();
        assert_eq!(dropped, ["a", "b", TABLE]);
        assert_eq!(track(&mut session).await, TrackState::NoTable);
        assert_eq!(session.drop_tables().await.expect("nothing to drop"), [""; 0]);
        went(&mut session, None, Some(1), body).await;
    }
}

#[tokio::test]
async fn a_parameter_of_golang_migrates_reaches_no_server() {
    for ground in grounds().await {
        let with = if ground.url.contains('?') { '&' } else { '?' };
        let mut session = open(&format!("{}{with}x-custom=foobar", ground.url)).await;
        assert_eq!(track(&mut session).await, TrackState::NoTable);
    }
}

#[tokio::test]
async fn records_are_read_back_by_their_application() {
    for ground in grounds().await {
        let mut session = ground.session().await;
        for _ in 0..2 {
            let access = session.prepare_records().await.expect("records");
            assert_eq!(access, RecordsAccess::Available);
        }
        assert_eq!(session.records("app").await.expect("records"), Records::default());
        let bodies = ["CREATE TABLE a (x text DEFAULT 'it''s \\ $$ ?')", "-- é\nSELECT 1"];
        let plan = plan("app", "1.2.0-rc.1", &bodies);
        session.begin_run(&plan).await.expect("a run");
        let track = TrackName::from("core");
        let body = "DROP TABLE a";
        let down = Half { file: "000001_step.down.sql".to_owned(), hash: Digest::of_body(body) };
        let down = Migration { version: 1, up: None, down: Some(down) };
        let bodies = [(Digest::of_body(body), body.to_owned())].into();
        let kept =
            session.record_migrations("app", &track, std::slice::from_ref(&down), &bodies).await;
        kept.expect("kept");
        let records = ground.session().await.records("app").await.expect("records");
        let first = records.migrations[&track].get(1).expect("a migration");
        assert_eq!(first.down, down.down);
        assert_eq!(first.up, plan.migrations[&track][0].up);
        assert_eq!(records.migrations[&track].versions().collect::<Vec<_>>(), [1, 2]);
        assert_eq!(records.releases, plan.releases);
        for (hash, body) in plan.bodies.iter().chain(&bodies) {
            assert_eq!(&*records.bodies[hash], body);
        }
        assert_eq!(session.records("other").await.expect("records"), Records::default());
        // They are no part of the application's schema.
        assert_eq!(session.tables(&[]).await.expect("tables"), [].into());
        let fingerprint = session.fingerprint(&[]).await.expect("a fingerprint");
        assert_eq!(fingerprint.objects.len(), 0, "{fingerprint:?}");
    }
}

#[tokio::test]
async fn a_run_is_told_from_its_journal() {
    for ground in grounds().await {
        let mut session = ground.session().await;
        session.prepare_records().await.expect("records");
        let bodies =
            ["CREATE TABLE a (x INT)", "CREATE TABLE b (x INT); INSERT INTO nowhere VALUES (1)"];
        let plan = plan("app", "1.0.0", &bodies);
        let run = session.begin_run(&plan).await.expect("a run");
        let progress = async |session: &mut Session| {
            session.history("app").await.expect("a history")[0].progress.clone()
        };
        assert_eq!(progress(&mut session).await, Progress::START);
        session.record(run, &Record::Started { step: 0 }).await.expect("a record");
        let doubt = Progress::InDoubt { step: 0, reached: Reached::default() };
        assert_eq!(progress(&mut session).await, doubt);
        let went = go(&mut session, None, Some(1), bodies[0], Some((run, 0))).await;
        went.expect("a step");
        assert_eq!(progress(&mut session).await, Progress::Before { step: 1 });
        session.record(run, &Record::Started { step: 1 }).await.expect("a record");
        go(&mut session, Some(1), Some(2), bodies[1], Some((run, 1))).await.expect_err("a failure");
        let done = match session.facts(bodies[1]).mode {
            Mode::Transaction => 0,
            Mode::Dirty { .. } => 1,
        };
        let reached = Reached { statement: None, done, failed: false };
        assert_eq!(progress(&mut session).await, Progress::InDoubt { step: 1, reached });
        let reason = "it's \\ \"no\" é".to_owned();
        let failed = Record::Failed { step: 1, reason: reason.clone() };
        session.record(run, &failed).await.expect("a record");
        assert_eq!(progress(&mut session).await, Progress::Failed { step: 1, reason, reached });
        assert_eq!(session.records("app").await.expect("records").arrived_at, None);

        let second = session.begin_run(&plan).await.expect("a run");
        session.record(second, &Record::Finished).await.expect("a record");
        let history = ground.session().await.history("app").await.expect("a history");
        assert_eq!(history.iter().map(|it| it.id).collect::<Vec<_>>(), [second, run]);
        assert_eq!((history[0].steps, &history[0].target), (2, &plan.target));
        assert_eq!((history[0].course, &history[0].from), (plan.course, &None));
        assert_eq!(history[0].started.len(), "2026-07-05 12:34:56".len());
        assert!((0.0..60.0).contains(&history[0].seconds), "{}", history[0].seconds);
        let records = session.records("app").await.expect("records");
        assert_eq!(records.arrived_at, Some(plan.target.clone()));
        assert_eq!(session.history("other").await.expect("a history"), []);
    }
}

#[tokio::test]
async fn a_fingerprint_comes_back_when_the_schema_does() {
    for ground in grounds().await {
        let mut session = ground.session().await;
        went(&mut session, None, Some(1), "CREATE TABLE a (x INT NOT NULL, y VARCHAR(9))").await;
        let before = digest(&mut session).await;
        for (up, down) in [
            ("CREATE TABLE b (x INT PRIMARY KEY)", "DROP TABLE b"),
            ("ALTER TABLE a ADD COLUMN z INT DEFAULT 3", "ALTER TABLE a DROP COLUMN z"),
            ("CREATE VIEW v AS SELECT x FROM a", "DROP VIEW v"),
            ("ALTER TABLE a RENAME TO c", "ALTER TABLE c RENAME TO a"),
            ("ALTER TABLE a RENAME COLUMN y TO w", "ALTER TABLE a RENAME COLUMN w TO y"),
        ] {
            went(&mut session, Some(1), Some(2), up).await;
            assert_ne!(digest(&mut session).await, before, "{up}");
            went(&mut session, Some(2), Some(1), down).await;
            assert_eq!(digest(&mut session).await, before, "{down}");
        }
        went(&mut session, Some(1), Some(2), "INSERT INTO a VALUES (1, 'a')").await;
        assert_eq!(digest(&mut session).await, before);
    }
}

#[tokio::test]
async fn a_fingerprint_says_where_a_foreign_key_leads() {
    let body = "CREATE TABLE a (id integer PRIMARY KEY);
        CREATE TABLE b (id integer PRIMARY KEY, a_id integer,
            CONSTRAINT b_a FOREIGN KEY (a_id) REFERENCES a (id) ON DELETE CASCADE ON UPDATE SET NULL);
        CREATE INDEX b_i ON b (a_id)";
    for ground in grounds().await {
        let mut session = ground.session().await;
        went(&mut session, None, Some(1), body).await;
        let found = session.fingerprint(&[TABLE.to_owned()]).await.expect("a fingerprint");
        let keys = found.objects.iter().filter_map(|(name, it)| match &it.facts {
            Facts::ForeignKey(key) => Some((name.table.as_deref(), key.clone())),
            _ => None,
        });
        let key = ForeignKey {
            columns: vec!["a_id".to_owned()],
            parent: "a".to_owned(),
            parent_columns: vec!["id".to_owned()],
            on_update: Action::SetNull,
            on_delete: Action::Cascade,
        };
        assert_eq!(keys.collect::<Vec<_>>(), [(Some("b"), key)], "{found:?}");
        let mut indexes = found.objects.iter().filter(|(name, _)| name.name == "b_i");
        let (name, index) = indexes.next().expect("an index");
        assert_eq!(index.facts, Facts::Index { unique: false, valid: true });
        assert!(!found.is_invalid(name));
    }
}

#[tokio::test]
async fn a_shadow_database_is_empty_and_has_the_same_fingerprint() {
    for ground in grounds().await {
        let mut session = ground.session().await;
        let body = "CREATE TABLE a (x INT PRIMARY KEY, y VARCHAR(9) DEFAULT 'z')";
        went(&mut session, None, Some(1), body).await;
        let schema = session.identity().schema.clone();
        let shadow = create_shadow(&ground.url, &schema, "").await;
        let (mut shadow, name) = shadow.unwrap_or_else(|error| panic!("{}", whole(&error)));
        assert_eq!(track(&mut shadow).await, TrackState::NoTable);
        went(&mut shadow, None, Some(1), body).await;
        assert_eq!(digest(&mut shadow).await, digest(&mut session).await);
        drop(shadow);
        remove_shadow(&ground.url, &name).await.expect("removed");
        assert_eq!(track(&mut session).await, at(1));
    }
}

#[tokio::test]
async fn what_a_body_sets_does_not_reach_the_next() {
    for ground in grounds().await {
        let mut session = ground.session().await;
        let set = match session.identity().server.split(' ').next() {
            Some("SQLite") => "PRAGMA query_only = on; PRAGMA case_sensitive_like = on",
            Some("PostgreSQL") => "SET search_path TO pg_catalog",
            _ => "SET SESSION sql_mode = 'ANSI_QUOTES'",
        };
        went(&mut session, None, Some(1), set).await;
        went(&mut session, Some(1), Some(2), "CREATE TABLE a (x INT DEFAULT '1')").await;
        assert_eq!(tables(&mut session).await, ["a"]);
    }
}

#[tokio::test]
async fn a_temporary_table_does_not_reach_the_next_body() {
    for ground in grounds().await {
        let mut session = ground.session().await;
        let body = "CREATE TEMPORARY TABLE brief (x int); INSERT INTO brief VALUES (1)";
        for version in 1..4 {
            went(&mut session, (version > 1).then(|| version - 1), Some(version), body).await;
        }
    }
}

#[tokio::test]
async fn a_table_that_is_no_tracking_table_is_called_that() {
    for ground in grounds().await {
        let mut session = ground.session().await;
        let server = session.identity().server.clone();
        for columns in [
            "version varchar(20)",
            "version decimal(10, 2), dirty boolean",
            "version bigint, dirty boolean",
        ] {
            let (value, columns_named) = match columns {
                "version varchar(20)" => ("'a'", "version"),
                "version decimal(10, 2), dirty boolean" => ("1.5, false", "version, dirty"),
                _ => ("1, NULL", "version, dirty"),
            };
            let make = format!(
                "CREATE TABLE {TABLE} ({columns}); INSERT INTO {TABLE} ({columns_named}) VALUES ({value})"
            );
            on(&mut session, "other", (Position::Nothing, 1.into()), &make, None)
                .await
                .expect("a table");
            let error = session.track(TABLE).await.expect_err(columns);
            assert!(matches!(error, DatabaseError::ForeignTrack { .. }), "{server}: {error:?}");
            on(
                &mut session,
                "other",
                (1.into(), Position::Nothing),
                &format!("DROP TABLE {TABLE}"),
                None,
            )
            .await
            .expect("no table");
        }
    }
}

#[tokio::test]
async fn a_body_that_drops_the_tracking_table_is_told_so() {
    for ground in grounds().await {
        let mut session = ground.session().await;
        went(&mut session, None, Some(1), "CREATE TABLE t (a int)").await;
        let error = go(&mut session, Some(1), Some(2), &format!("DROP TABLE {TABLE}"), None).await;
        let text = whole(&error.expect_err("no row"));
        assert!(text.contains("drops"), "{}: {text}", session.identity().server);
    }
}

#[tokio::test]
async fn a_repair_is_a_statement_of_the_dialect() {
    for ground in grounds().await {
        let mut session = ground.session().await;
        let table = "With-Dash";
        let row = TrackingRow::dirty(3);
        session.set_track(table, row).await.expect("a row");
        for (row, to) in [(true, Some(2)), (true, None), (false, Some(4)), (true, Some(5))] {
            let dialect = Dialect::of(&ground.url).expect("a dialect");
            let repair = dialect.repair(&session.identity().schema, table, row, to.into());
            let ran = go(&mut session, None, None, &repair, None).await;
            ran.unwrap_or_else(|error| panic!("{repair}: {}", whole(&error)));
            assert_eq!(session.track(table).await.expect("a track"), at(to), "{repair}");
        }
    }
}

/// Promises that a canary breaks too: see `contract/canary.rs`.
#[tokio::test]
async fn a_session_that_is_lost_is_renewed_without_its_locks() {
    for ground in grounds().await {
        let (mut one, mut two) = (ground.session().await, ground.session().await);
        let tables = [TABLE.to_owned()];
        one.lock(&tables, Duration::ZERO).await.expect("a lock");
        let (end, number) = match Dialect::of(&ground.url).expect("a dialect") {
            Dialect::Postgres => ("SELECT pg_terminate_backend", "SELECT pg_backend_pid()::text"),
            Dialect::MySql => ("KILL", "SELECT CONNECTION_ID()"),
            // A file is not lost.
            Dialect::Sqlite => {
                one.renew().await.expect("the same session");
                assert!(one.read_only().await.is_ok());
                continue;
            }
        };
        let id = one.query(number, 1).await.expect("a number").remove(0).expect("a number");
        went(&mut two, None, Some(1), &format!("{end} ({id})")).await;
        assert!(one.read_only().await.is_err(), "{}", one.identity().server);
        let identity = one.identity().clone();
        one.renew().await.expect("a new session");
        assert_eq!(*one.identity(), identity);
        two.lock(&tables, Duration::from_secs(5)).await.expect("the lock is nobody's");
        let refused = one.lock(&tables, Duration::ZERO).await.expect_err("held");
        assert!(matches!(refused, LockError::Held(_)), "{refused:?}");
        two.unlock().await.expect("an end");
        one.lock(&tables, Duration::from_secs(5)).await.expect("a lock");
    }
}

macro_rules! promised {
    ($($part:ident::$promise:ident;)*) => {
        $(#[tokio::test]
        async fn $promise() {
            for ground in grounds().await {
                $part::$promise(&ground).await;
            }
        })*
    };
}

promised! {
    archive::what_one_half_destroys_the_other_restores;
    archive::an_entry_is_restored_and_dropped_by_its_number;
    archive::nothing_is_destroyed_that_the_plan_does_not_say;
    archive::what_there_is_to_lose_is_counted;
    kinds::a_kept_copy_does_not_depend_on_what_goes_with_it;
    newer::what_somebody_wrote_since_is_not_overwritten;
    newer::what_is_there_without_the_body_is_not_overwritten;
    newer::what_a_body_computes_is_told_from_what_somebody_wrote;
    newer::a_value_from_another_table_is_as_fresh_as_that;
    newer::what_a_body_renames_is_not_overwritten;
    newer::a_table_that_a_body_fills_is_as_fresh_as_its_source;
    newer::a_seed_that_somebody_changed_comes_back;
    newer::values_of_a_deleted_row_go_to_no_other;
    newer::rows_that_are_made_anew_are_there_once;
    newer::a_table_that_is_numbered_anew_has_its_own_numbers;
    newer::values_come_back_over_what_is_computed_of_them;
    newer::values_change_places;
    newer::a_seed_gives_way_by_its_name;
    newer::what_is_made_no_more_is_not_restored;
    newer::what_is_left_is_not_restored_by_itself;
    random::the_last_value_of_every_row_comes_back;
    random::a_random_ledger_is_as_fresh_as_its_rows;
    tracking::what_a_tracking_table_swallows_is_noticed;
    reconcile::a_statement_that_took_effect_is_told_from_one_that_did_not;
    fence::a_fence_stands_until_it_is_lowered;
    query::a_query_writes_nothing_whatever_it_says;
}
