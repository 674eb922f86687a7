//! A migrator that is killed: its statement is known, and its session is waited for.

use std::process::{Command, Stdio};
use std::time::Duration;

use sternway_database::LockError;
use sternway_database::port::prelude::*;

use crate::server::{ask, fresh, run, session, track, until};
use crate::support::{TABLE, dirty};

/// What the child runs; the parent names the database.
const CHILD: &str = "STERNWAY_TEST_MYSQL_CHILD";

const BODY: &str = "CREATE TABLE a (x int);\nINSERT INTO a VALUES (1);\n\
                    INSERT INTO a\n  SELECT SLEEP(3);\nCREATE TABLE b (x int);";

/// The child's part: it locks and migrates until it is killed.
#[tokio::test]
async fn child() {
    let Ok(url) = std::env::var(CHILD) else { return };
    let mut session = session(&url).await;
    session.lock(&[TABLE.to_owned()], Duration::ZERO).await.expect("the lock");
    let ran = run(&mut session, 1, BODY, sternway_database::Settings::Reset).await;
    ran.expect("to be killed before");
}

#[tokio::test]
async fn the_statement_under_way_is_known_and_its_session_holds_the_lock() {
    let Some(fresh) = fresh().await else { return };
    let mut watch = fresh.watch().await;
    let program = std::env::current_exe().expect("this program");
    let mut child = Command::new(program);
    child.args(["--exact", "killed::child", "--nocapture"]).env(CHILD, fresh.url());
    let child = child.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let mut child = child.expect("a child");
    let sleeps = "EXISTS (SELECT 1 FROM information_schema.PROCESSLIST
                          WHERE DB = DATABASE() AND INFO LIKE 'INSERT INTO a%SLEEP%')";
    until(&mut watch, sleeps).await;
    child.kill().expect("a kill");
    child.wait().expect("its end");
    assert_eq!(ask(&mut watch, &format!("SELECT {sleeps}")).await, "1", "the server goes on");
    let mut session = fresh.session().await;
    let tables = [TABLE.to_owned()];
    let error = session.lock(&tables, Duration::ZERO).await.expect_err("a lock");
    let LockError::Held(holders) = &error else { panic!("{error}") };
    assert_eq!(holders.len(), 1);
    assert!(!error.to_string().contains("SLEEP") && error.to_string().contains("user root"));
    session.lock(&tables, Duration::from_secs(20)).await.expect("the lock");
    assert_eq!(track(&mut session).await, dirty(1));
    let underway = session.underway(TABLE).await.expect("an answer").expect("a statement");
    assert_eq!((underway.statement, underway.to), (3, 1.into()));
    assert_eq!(
        (underway.text.as_str(), underway.file.as_str()),
        ("INSERT INTO a", "000001_step.up.sql")
    );
    let there = "SELECT COUNT(*) FROM information_schema.TABLES
                 WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = 'b'";
    assert_eq!(ask(&mut watch, there).await, "0");
}
