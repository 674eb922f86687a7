//! Bodies that others stand in the way of: how long they wait, what is left of them, and who is named.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use sqlx::PgConnection;
use sternway_database::port::prelude::*;
use sternway_database::postgres::Postgres;
use sternway_database::{Limits, Preservation, Session, StepError, Work};
use sternway_model::catalog::Direction;
use sternway_model::plan::Migrate;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::{
    self, ask, at, dirty, everywhere, execute, fresh, holds, session, track, until, up, whole,
};

fn waits(milliseconds: u64) -> Limits {
    Limits { lock: Some(Duration::from_millis(milliseconds)), statement: None }
}

async fn careful(
    session: &mut Postgres,
    step: &Migrate,
    body: &str,
    limits: Limits,
) -> Result<(), StepError> {
    let care =
        Preservation { keep: false, limits, ..support::care("app", step.version, Direction::Up) };
    session.migrate_preserving(&Work::of(step, body, None), &care).await.map(drop)
}

fn blockers(error: StepError) -> Vec<Session> {
    let StepError::Blocked { blockers, .. } = error else { panic!("{}", whole(&error)) };
    blockers
}

/// Reads `task` over and over until it is told to stop; how long the slowest read took.
async fn slowest_read(
    connection: &mut PgConnection,
    stop: &tokio::task::JoinHandle<()>,
) -> Duration {
    let mut slowest = Duration::ZERO;
    while !stop.is_finished() {
        let start = Instant::now();
        ask::<i64>(connection, "SELECT count(*) FROM task").await;
        slowest = slowest.max(start.elapsed());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    slowest
}

#[tokio::test]
async fn scenario_27_a_long_lock_is_not_waited_for_and_its_holder_is_named() {
    let Some(fresh) = fresh().await else { return };
    let mut migrator = fresh.session().await;
    let first = "CREATE TABLE task (id int PRIMARY KEY, owner text)";
    careful(&mut migrator, &up(6, first), first, waits(5000)).await.expect("a step");
    let mut holder =
        support::open(&fresh.url_with("application_name=report&sslmode=disable")).await;
    let pid: i32 = ask(&mut holder, "SELECT pg_backend_pid()").await;
    execute(&mut holder, "BEGIN").await;
    execute(&mut holder, "  SELECT count(*) FROM task -- of all\n WHERE true").await;
    let limit = Duration::from_millis(600);
    let mut reader = fresh.watch().await;
    let over = tokio::spawn(tokio::time::sleep(Duration::from_millis(1500)));
    let body = "CREATE TABLE before_it (x int); ALTER TABLE task ADD COLUMN reviewer text";
    let step = up(7, body);
    let start = Instant::now();
    let work = async {
        let ended = careful(&mut migrator, &step, body, waits(600)).await;
        (ended, start.elapsed())
    };
    let ((ended, took), slowest) = tokio::join!(work, slowest_read(&mut reader, &over));
    assert!(took >= limit && took < limit * 3, "{took:?}");
    assert!(slowest < limit + Duration::from_millis(400), "a reader waited {slowest:?}");
    assert!(slowest > Duration::from_millis(100), "nobody was in anybody's way: {slowest:?}");
    let error = ended.expect_err("a lock");
    let text = error.to_string();
    assert!(text.contains("waited 600 ms") && text.contains("(report)"), "{text}");
    assert!(!text.contains("SELECT"), "errors are written into journals: {text}");
    let blockers = blockers(error);
    assert_eq!(blockers.len(), 1, "{blockers:?}");
    let blocker = &blockers[0];
    assert_eq!((blocker.pid, blocker.application.as_str()), (i64::from(pid), "report"));
    assert_eq!(
        (blocker.user.as_str(), blocker.state.as_str()),
        ("postgres", "idle in transaction")
    );
    assert_eq!(blocker.query, "SELECT count(*) FROM task -- of all");
    assert_eq!(blocker.from, "127.0.0.1");
    assert!(blocker.seconds.is_some_and(|it| it > 0.5 && it < 30.0), "{:?}", blocker.seconds);
    assert!(blocker.with_query().ends_with("-- of all"), "{}", blocker.with_query());
    // It was taken back whole, and goes well once nobody is in the way.
    assert_eq!(track(&mut migrator).await, at(6));
    holds(&mut migrator, "to_regclass('before_it') IS NULL").await;
    holds(&mut migrator, "current_setting('lock_timeout') = '0'").await;
    execute(&mut holder, "COMMIT").await;
    careful(&mut migrator, &step, body, waits(600)).await.expect("a step");
    assert_eq!(track(&mut migrator).await, at(7));
    let mine = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
                AND application_name = 'sternway'";
    until(&mut reader, &format!("({mine}) = 1")).await;
}

#[tokio::test]
async fn whoever_holds_up_the_one_in_the_way_is_named_too() {
    let Some(fresh) = fresh().await else { return };
    let (mut migrator, mut watch) = (fresh.session().await, fresh.watch().await);
    execute(&mut watch, "CREATE TABLE t (x int)").await;
    let (mut root, mut queued) = (fresh.watch().await, fresh.watch().await);
    execute(&mut root, "SET application_name = 'root'; BEGIN; INSERT INTO t VALUES (1)").await;
    execute(&mut queued, "SET application_name = 'queued'; BEGIN").await;
    let queue =
        tokio::spawn(async move { execute(&mut queued, "LOCK TABLE t IN SHARE MODE").await });
    until(
        &mut watch,
        "EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'queued'
           AND datname = current_database() AND wait_event_type = 'Lock')",
    )
    .await;
    let body = "ALTER TABLE t ADD COLUMN y int";
    let error = careful(&mut migrator, &up(1, body), body, waits(400)).await.expect_err("a lock");
    let names: Vec<String> = blockers(error).into_iter().map(|it| it.application).collect();
    assert!(
        names.contains(&"root".to_owned()) && names.contains(&"queued".to_owned()),
        "{names:?}"
    );
    execute(&mut root, "ROLLBACK").await;
    queue.abort();
}

#[tokio::test]
async fn the_tracking_row_can_be_in_somebodys_hands_as_well() {
    let Some(fresh) = fresh().await else { return };
    let (mut migrator, mut holder) = (fresh.session().await, fresh.watch().await);
    let body = "CREATE TABLE a (x int)";
    careful(&mut migrator, &up(1, body), body, waits(400)).await.expect("a step");
    execute(&mut holder, "BEGIN; LOCK TABLE schema_migrations IN SHARE MODE").await;
    let body = "CREATE TABLE b (x int)";
    let error = careful(&mut migrator, &up(2, body), body, waits(400)).await.expect_err("a lock");
    assert_eq!(blockers(error).len(), 1);
    execute(&mut holder, "ROLLBACK").await;
    assert_eq!(track(&mut migrator).await, at(1));
    holds(&mut migrator, "to_regclass('b') IS NULL").await;
}

#[tokio::test]
async fn a_statement_that_takes_too_long_is_taken_back_and_says_why() {
    for (mut session, _fresh) in everywhere().await {
        let embedded = session.identity().server.contains("embedded");
        let limits = Limits { lock: None, statement: Some(Duration::from_millis(300)) };
        // Each statement has the limit for itself.
        let body = "SELECT pg_sleep(0.2); SELECT pg_sleep(0.2); CREATE TABLE a (x int)";
        careful(&mut session, &up(1, body), body, limits).await.expect("a step");
        if embedded {
            continue; // It has no clock to interrupt it.
        }
        let body = "CREATE TABLE b (x int); SELECT pg_sleep(5)";
        let error = careful(&mut session, &up(2, body), body, limits).await.expect_err("a limit");
        let StepError::TakenBack { source, .. } = error else { panic!("{}", whole(&error)) };
        assert_eq!(source.code, "57014");
        assert!(source.to_string().contains("longer than the 300 ms"), "{source}");
        assert_eq!(track(&mut session).await, at(1));
        holds(
            &mut session,
            "to_regclass('b') IS NULL AND current_setting('statement_timeout') = '0'",
        )
        .await;
    }
}

#[tokio::test]
async fn outside_a_transaction_the_holder_is_told_and_the_limit_ends_with_the_body() {
    let Some(fresh) = fresh().await else { return };
    let (mut migrator, mut holder) = (fresh.session().await, fresh.watch().await);
    execute(&mut holder, "CREATE TABLE t (x int)").await;
    execute(&mut holder, "BEGIN; LOCK TABLE t IN SHARE MODE").await;
    let body = "VACUUM FULL t";
    let error = careful(&mut migrator, &up(1, body), body, waits(400)).await.expect_err("a lock");
    let StepError::Dirty { statement: 1, source, .. } = error else { panic!("{}", whole(&error)) };
    let detail = source.detail.as_deref().unwrap_or_default();
    assert!(source.code == "55P03" && detail.starts_with("it was held by session"), "{source}");
    assert_eq!(track(&mut migrator).await, dirty(1));
    holds(&mut migrator, "current_setting('lock_timeout') = '0'").await;
    // An index that is built concurrently waits for whoever writes, and is in nobody's way.
    execute(&mut holder, "ROLLBACK; BEGIN; INSERT INTO t VALUES (1)").await;
    let body = "CREATE INDEX CONCURRENTLY i ON t (x)";
    let step = up(2, body);
    let commit = async {
        tokio::time::sleep(Duration::from_millis(700)).await;
        execute(&mut holder, "COMMIT").await;
    };
    let (built, ()) = tokio::join!(careful(&mut migrator, &step, body, waits(200)), commit);
    built.expect("an index");
    holds(&mut migrator, "(SELECT indisvalid FROM pg_index WHERE indexrelid = 'i'::regclass)")
        .await;
}

#[tokio::test]
async fn a_body_that_is_quick_or_has_no_limit_opens_no_second_connection() {
    let Some(fresh) = fresh().await else { return };
    let mut watch = fresh.watch().await;
    // With room for one more there is no second one.
    execute(&mut watch, &format!("ALTER DATABASE {} CONNECTION LIMIT 2", fresh.name)).await;
    let mut fresh = fresh;
    let (role, url) = fresh.role("secret").await;
    execute(&mut watch, &format!("GRANT CREATE ON SCHEMA public TO {role}")).await;
    let mut migrator = session(url.as_str()).await;
    for (version, limits) in (1..).zip([waits(5000), Limits::default()]) {
        let body = format!("CREATE TABLE t{version} (x int)");
        careful(&mut migrator, &up(version, &body), &body, limits).await.expect("a step");
    }
    // Where there is no room for the second one, the body goes on all the same.
    execute(&mut watch, "BEGIN; LOCK TABLE t1 IN SHARE MODE").await;
    let body = "ALTER TABLE t1 ADD COLUMN y int";
    let error = careful(&mut migrator, &up(3, body), body, waits(400)).await.expect_err("a lock");
    assert!(blockers(error).is_empty());
}

/// A slow way to a server, which tells it of nobody who has left. Beside its port, what each client said last.
async fn line(server: String) -> (u16, Arc<Mutex<Vec<Vec<u8>>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let last = Arc::new(Mutex::new(Vec::new()));
    let all = Arc::clone(&last);
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(&server).await.expect("the server");
            let (mut from_client, mut to_client) = client.into_split();
            let (mut from_server, mut to_server) = server.into_split();
            tokio::spawn(async move {
                let mut piece = vec![0; 65536];
                while let Ok(1..) = from_server.peek(&mut piece[..1]).await {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    let read = from_server.read(&mut piece).await.expect("the server");
                    let _ = to_client.write_all(&piece[..read]).await;
                }
            });
            let all = Arc::clone(&all);
            tokio::spawn(async move {
                let number = {
                    let mut all = all.lock().expect("words");
                    all.push(Vec::new());
                    all.len() - 1
                };
                let mut piece = vec![0; 65536];
                while let Ok(read @ 1..) = from_client.read(&mut piece).await {
                    all.lock().expect("words")[number] = piece[..read].to_vec();
                    to_server.write_all(&piece[..read]).await.expect("the server");
                }
                std::future::pending::<()>().await;
            });
        }
    });
    (port, last)
}

#[tokio::test]
async fn whoever_watched_says_goodbye_even_in_the_middle_of_the_password() {
    let Some(fresh) = fresh().await else { return };
    let mut url = fresh.address();
    let (port, last) = line(format!("127.0.0.1:{}", url.port().expect("a port"))).await;
    url.set_port(Some(port)).expect("a port");
    let mut migrator = session(url.as_str()).await;
    for (version, seconds) in [(1, 0.25), (2, 0.4), (3, 0.6)] {
        let body = format!("SELECT pg_sleep({seconds})");
        let step = up(version, &body);
        careful(&mut migrator, &step, &body, waits(5000)).await.expect("a step");
    }
    let watched = || last.lock().expect("words")[1..].to_vec();
    assert_eq!(watched().len(), 3);
    let goodbye = b"X\0\0\0\x04";
    let start = Instant::now();
    while !watched().iter().all(|it| it == goodbye) {
        assert!(start.elapsed() < Duration::from_secs(20), "{:?}", watched());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
