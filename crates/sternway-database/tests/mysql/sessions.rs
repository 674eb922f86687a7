//! Others at work on the same database.

use std::time::{Duration, Instant};

use sternway_database::port::prelude::*;
use sternway_database::{Limits, Preservation, StepError, Work};
use sternway_model::catalog::Direction;

use crate::server::{execute, fresh};
use crate::support::{self, up, whole};

fn care(limits: Limits) -> Preservation<'static> {
    Preservation { keep: false, limits, ..support::care("app", 1, Direction::Up) }
}

#[tokio::test]
async fn a_table_in_use_is_waited_for_no_longer_than_allowed() {
    let Some(fresh) = fresh().await else { return };
    let (mut session, mut holder) = (fresh.session().await, fresh.watch().await);
    execute(&mut holder, "CREATE TABLE task (id int); INSERT INTO task VALUES (1)").await;
    execute(&mut holder, "BEGIN").await;
    execute(&mut holder, "SELECT * FROM task").await;
    let found = session.sessions().await.expect("the sessions");
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].seconds.is_some() && found[0].user == "root", "{found:?}");
    let body = "ALTER TABLE task ADD COLUMN x int";
    let step = up(1, body);
    let mode = session.facts(body).mode;
    let work = Work { mode: &mode, ..Work::of(&step, body, None) };
    let limits = Limits { lock: Some(Duration::from_millis(900)), statement: None };
    let start = Instant::now();
    let error = session.migrate_preserving(&work, &care(limits)).await.expect_err("a lock");
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    let StepError::Dirty { statement: 1, source, .. } = error else { panic!("{}", whole(&error)) };
    let detail = source.detail.unwrap_or_default();
    assert!(source.code.starts_with("1205"), "{}", source.code);
    let named = format!("session {} of", found[0].pid);
    assert!(detail.contains("waited 900 ms") && detail.contains(&named), "{detail}");
    // Whoever is in the way is ended, and the body runs; the limits have ended with the first one.
    session.end_sessions(&found).await.expect("an end");
    session.end_sessions(&found).await.expect("nobody is left");
    sqlx::raw_sql("SELECT 1").execute(&mut holder).await.expect_err("an end");
    let done = session.migrate_preserving(&work, &care(Limits::default())).await;
    done.unwrap_or_else(|error| panic!("{}", whole(&error)));
}

#[tokio::test]
async fn a_statement_runs_no_longer_than_allowed() {
    let Some(fresh) = fresh().await else { return };
    let mut session = fresh.session().await;
    let body = "CREATE TABLE a (x int); SELECT SLEEP(20)";
    let step = up(1, body);
    let mode = session.facts(body).mode;
    let work = Work { mode: &mode, ..Work::of(&step, body, None) };
    let limits = Limits { lock: None, statement: Some(Duration::from_millis(600)) };
    let start = Instant::now();
    let ended = session.migrate_preserving(&work, &care(limits)).await;
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    let error = ended.expect_err("a limit");
    let StepError::Dirty { statement: 2, source, .. } = error else { panic!("{}", whole(&error)) };
    assert!(source.detail.unwrap_or_default().contains("longer than the 600 ms"));
}
