//! What a tracking table is told, and what it says then.

use sternway_database::Dialect;

use super::{Ground, go, track, went};
use crate::support::{TABLE, plan};

/// A trigger or a rule of the tracking table that swallows what is written there, or changes it, is noticed.
pub async fn what_a_tracking_table_swallows_is_noticed(ground: &Ground) {
    let mut session = ground.session().await;
    let swallows = match Dialect::of(&ground.url).expect("a dialect") {
        Dialect::Postgres => {
            format!("CREATE RULE swallow AS ON INSERT TO {TABLE} DO INSTEAD NOTHING")
        }
        Dialect::MySql => format!(
            "CREATE TRIGGER swallow BEFORE INSERT ON {TABLE} FOR EACH ROW SET NEW.version = 1"
        ),
        Dialect::Sqlite => format!(
            "CREATE TRIGGER swallow BEFORE INSERT ON {TABLE} BEGIN SELECT RAISE(IGNORE); END"
        ),
    };
    went(&mut session, None, Some(1), "CREATE TABLE a (id int)").await;
    // What is written for this one is swallowed already.
    let _ = go(&mut session, Some(1), Some(1), &swallows, None).await;
    let from = track(&mut session).await.row().position;
    session.prepare_records().await.expect("records");
    let body = "CREATE TABLE t (id int)";
    let run = session.begin_run(&plan("app", "1.0.0", &[body])).await.expect("a run");
    let ran = go(&mut session, from, Some(2), body, Some((run, 0))).await;
    assert!(ran.is_err(), "{}: a row that is not there is taken for written", ground.url);
}
