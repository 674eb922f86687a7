//! golang-migrate and Sternway on the same database.

use std::time::{Duration, Instant};

use sternway_database::mysql::connect;
use sternway_database::port::prelude::*;
use sternway_database::{Connect, LockError, dialect};

use crate::server::{GolangMigrate, ask, execute, fresh, run_up, session, track, until};
use crate::support::{TABLE, at, dirty, whole};

fn tables() -> [String; 1] {
    [TABLE.to_owned()]
}

#[tokio::test]
async fn each_goes_on_where_the_other_stopped() {
    let Some(fresh) = fresh().await else { return };
    let Some(golang) = GolangMigrate::with(&[
        ("1_a.up.sql", "CREATE TABLE a (x int)"),
        ("1_a.down.sql", "DROP TABLE a"),
        ("2_b.up.sql", "CREATE TABLE b (x int)"),
        ("2_b.down.sql", "DROP TABLE b"),
        ("3_c.up.sql", "CREATE TABLE c (x int); SELECT nope"),
    ]) else {
        return;
    };
    let mut session = fresh.session().await;
    run_up(&mut session, 1, "CREATE TABLE a (x int)").await;
    let (good, said) = golang.run(&fresh.url(), &["up", "1"]);
    assert!(good, "{said}");
    assert_eq!(track(&mut session).await, at(2));
    let (good, _) = golang.run(&fresh.url(), &["up"]);
    assert!(!good);
    assert_eq!(track(&mut session).await, dirty(3));
    assert_eq!(session.underway(TABLE).await.expect("an answer"), None);
    let clean = sternway_model::state::TrackingRow::clean(2);
    session.set_track(TABLE, clean).await.expect("a track");
    let (good, said) = golang.run(&fresh.url(), &["down", "-all"]);
    assert!(good, "{said}");
    assert_eq!(track(&mut session).await, at(None));
    let mut watch = fresh.watch().await;
    let theirs = ask(&mut watch, "SELECT GROUP_CONCAT(COLUMN_TYPE, IS_NULLABLE, COLUMN_KEY ORDER BY ORDINAL_POSITION) FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = 'schema_migrations'").await;
    assert_eq!(theirs, "bigint(20)NOPRI,tinyint(1)NO");
}

#[tokio::test]
async fn they_keep_each_other_out() {
    let Some(fresh) = fresh().await else { return };
    let Some(golang) = GolangMigrate::with(&[("1_a.up.sql", "SELECT SLEEP(2)")]) else { return };
    let (mut session, mut watch) = (fresh.session().await, fresh.watch().await);
    let running = golang.start(&fresh.url(), &["up"]);
    until(&mut watch, "EXISTS (SELECT 1 FROM information_schema.PROCESSLIST WHERE DB = DATABASE() AND INFO = 'SELECT SLEEP(2)')").await;
    let error = session.lock(&tables(), Duration::ZERO).await.expect_err("a lock");
    assert!(matches!(&error, LockError::Held(holders) if holders.len() == 1), "{error}");
    session.lock(&tables(), Duration::from_secs(20)).await.expect("the lock");
    assert!(running.wait_with_output().expect("its end").status.success());
    let start = Instant::now();
    let (good, said) = golang.run(&fresh.url(), &["version"]);
    assert!(!good && said.contains("can't acquire lock"), "{said}");
    assert!(start.elapsed() >= Duration::from_secs(9));
    session.unlock().await.expect("no lock");
    let (good, said) = golang.run(&fresh.url(), &["version"]);
    assert!(good, "{said}");
    session.lock(&tables(), Duration::ZERO).await.expect("a second time");
    drop(session);
    let mut free = crate::server::session(&fresh.url_with("x-no-lock=true")).await;
    free.lock(&tables(), Duration::ZERO).await.expect("no lock is taken");
}

#[tokio::test]
async fn all_locks_are_had_or_none() {
    let Some(fresh) = fresh().await else { return };
    let (mut one, mut two) = (fresh.session().await, fresh.session().await);
    let both = ["a".to_owned(), "b".to_owned()];
    one.lock(&both[1..], Duration::ZERO).await.expect("a lock");
    two.lock(&both, Duration::ZERO).await.expect_err("a lock");
    let mut three = fresh.session().await;
    three.lock(&both[..1], Duration::ZERO).await.expect("it was given back");
    three.unlock().await.expect("no lock");
    one.lock(&both, Duration::ZERO).await.expect("the other too");
    one.unlock().await.expect("no lock");
    two.lock(&both, Duration::ZERO).await.expect("both");
}

#[tokio::test]
async fn a_name_that_only_looks_like_the_tracking_table_is_none() {
    let Some(fresh) = fresh().await else { return };
    execute(&mut fresh.watch().await, "CREATE TABLE schemaXmigrations (x int)").await;
    let mut session = fresh.session().await;
    assert_eq!(track(&mut session).await, sternway_model::state::TrackState::NoTable);
    run_up(&mut session, 1, "SELECT 1").await;
    assert_eq!(track(&mut session).await, at(1));
}

#[tokio::test]
async fn what_keeps_a_session_from_being_had_is_told_without_the_password() {
    let Some(fresh) = fresh().await else { return };
    let error = connect(&fresh.url_of("root", "s3cret"), None).await.err().expect("a refusal");
    assert!(matches!(error, Connect::Refused { .. }) && !whole(&error).contains("s3cret"));
    let missing = fresh.url().replace(&fresh.name, "sternway_missing");
    let error = connect(&missing, None).await.err().expect("a refusal");
    assert!(matches!(error, Connect::NoDatabase { .. }), "{}", whole(&error));
    let none = fresh.url().replace(&fresh.name, "");
    let error = connect(&none, None).await.err().expect("a refusal").to_string();
    assert!(error.contains("no database name"), "{error}");
    let error = connect("mysql://u:s3cret@tcp(127.0.0.1:1)/db", None).await.err().expect("nobody");
    assert!(matches!(error, Connect::Unreachable { .. }) && !whole(&error).contains("s3cret"));
    let url = fresh.url_with("no_such_setting=1");
    assert!(matches!(connect(&url, None).await.err(), Some(Connect::Setting { .. })));
    let server = session(&fresh.url_with("sql_mode=%27ANSI%27&x-migrations-table=t")).await;
    assert_eq!(server.tracking_table(), "t");
    assert!(server.identity().server.starts_with("MariaDB 1"), "{:?}", server.identity());
    assert_eq!(server.identity().database, fresh.name);
}

#[tokio::test]
async fn an_empty_database_to_rehearse_in_comes_and_goes() {
    let Some(fresh) = fresh().await else { return };
    let (mut shadow, name) =
        dialect::create_shadow(&fresh.url(), "", "").await.expect("a database");
    assert!(name.starts_with("sternway_rehearsal_"));
    assert_eq!(shadow.identity().database, name);
    assert!(shadow.tables(&[]).await.expect("tables").is_empty());
    drop(shadow);
    dialect::remove_shadow(&fresh.url(), &name).await.expect("it goes");
    let gone =
        format!("SELECT COUNT(*) FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = '{name}'");
    assert_eq!(ask(&mut fresh.watch().await, &gone).await, "0");
}
