//! Sternway's records beside the application's tables.

use std::collections::BTreeMap;

use sternway_database::port::prelude::*;
use sternway_database::{DatabaseError, Work};
use sternway_model::journal::{Progress, Reached, Record};
use sternway_model::state::RecordsAccess;

use crate::server::{ask, execute, fresh, session};
use crate::support::{plan, up};

#[tokio::test]
async fn what_is_kept_is_read_again_and_the_journal_says_what_is_under_way() {
    let Some(fresh) = fresh().await else { return };
    let mut session = fresh.session().await;
    assert_eq!(session.records("app").await.expect("records"), Default::default());
    assert_eq!(session.prepare_records().await.expect("records"), RecordsAccess::Available);
    let first = "CREATE TABLE a (x int);\n-- \\ ' é \u{1F6A2}\nCREATE TABLE b (x int)";
    let second = "SELECT 1; SELECT nope; SELECT 2";
    let plan = plan("app", "1.0.0", &[first, second]);
    let run = session.begin_run(&plan).await.expect("a run");
    for (step, body) in [first, second].into_iter().enumerate() {
        session.record(run, &Record::Started { step }).await.expect("a record");
        let work = up(step as u64 + 1, body);
        let ran = session.migrate(&Work::of(&work, body, Some((run, step)))).await;
        assert_eq!(ran.is_ok(), step == 0, "{ran:?}");
    }
    let history = session.history("app").await.expect("a history");
    assert_eq!(history.len(), 1);
    assert_eq!(
        history[0].progress,
        Progress::InDoubt { step: 1, reached: Reached { statement: None, done: 1, failed: false } }
    );
    assert_eq!((history[0].steps, history[0].user.as_str()), (2, "root"));
    assert!(history[0].seconds >= 0.0 && history[0].started.len() == 19);
    let failed = Record::Failed { step: 1, reason: "it's \\ a \"reason\"".to_owned() };
    session.record(run, &failed).await.expect("a record");
    let records = session.records("app").await.expect("records");
    assert_eq!(records.migrations.len(), 1);
    assert!(records.bodies.values().any(|body| &**body == first));
    assert_eq!((records.releases.len(), records.arrived_at), (1, None));
    let other = session.records("another").await.expect("records");
    assert!(other.migrations.is_empty() && session.history("x").await.expect("none").is_empty());
    assert_eq!(session.tables(&["schema_migrations".to_owned()]).await.expect("tables").len(), 2);
}

#[tokio::test]
async fn a_number_that_cannot_be_read_is_told_and_not_taken_for_none() {
    let Some(fresh) = fresh().await else { return };
    let mut session = fresh.session().await;
    session.prepare_records().await.expect("records");
    let run = session.begin_run(&plan("app", "1.0.0", &["SELECT 1"])).await.expect("a run");
    let mut other = fresh.watch().await;
    execute(&mut other, "ALTER TABLE sternway_run MODIFY steps varchar(20) NOT NULL").await;
    execute(&mut other, "UPDATE sternway_run SET steps = 'many'").await;
    let error = session.history("app").await.expect_err("no number").to_string();
    let words = format!("`steps` of the row with the id {run} in `sternway_run` is `many`");
    assert!(error.contains(&words), "{error}");

    execute(&mut other, "ALTER TABLE sternway_run MODIFY id varchar(20) NOT NULL").await;
    execute(&mut other, "UPDATE sternway_run SET id = 'first'").await;
    let error = session.unfinished("app").await.expect_err("no number").to_string();
    assert!(error.contains("`id` in `sternway_run` is `first`, and no number"), "{error}");

    execute(&mut other, "ALTER TABLE sternway_about MODIFY format varchar(20) NOT NULL").await;
    execute(&mut other, "UPDATE sternway_about SET format = 'new'").await;
    let error = session.records("app").await.expect_err("no number").to_string();
    assert!(error.contains("`format` in `sternway_about` is `new`, and no number"), "{error}");
}

#[tokio::test]
async fn many_migrations_are_kept_at_once() {
    let Some(fresh) = fresh().await else { return };
    let mut session = fresh.session().await;
    session.prepare_records().await.expect("records");
    let bodies: Vec<String> =
        (0..500).map(|n| format!("SELECT {n} -- {}", "x".repeat(n * 30))).collect();
    let bodies: Vec<&str> = bodies.iter().map(String::as_str).collect();
    let plan = plan("app", "1.0.0", &bodies);
    for (track, migrations) in &plan.migrations {
        for _ in 0..2 {
            session.record_migrations("app", track, migrations, &plan.bodies).await.expect("kept");
            session
                .record_migrations("app", track, migrations, &BTreeMap::new())
                .await
                .expect("kept");
        }
    }
    assert_eq!(session.records("app").await.expect("records").bodies.len(), 500);
}

#[tokio::test]
async fn a_user_who_may_not_is_told_why() {
    let Some(fresh) = fresh().await else { return };
    let mut watch = fresh.watch().await;
    let user = format!("{}_u", fresh.name);
    let grant = format!(
        "CREATE USER {user}@'%' IDENTIFIED BY 'p'; GRANT SELECT ON {0}.* TO {user}@'%'",
        fresh.name
    );
    execute(&mut watch, &grant).await;
    let mut poor = session(&fresh.url_of(&user, "p")).await;
    let access = poor.prepare_records().await.expect("an answer");
    assert!(matches!(access, RecordsAccess::Unavailable(_)), "{access:?}");
    let mut owner = fresh.session().await;
    owner.prepare_records().await.expect("records");
    owner.begin_run(&plan("app", "1.0.0", &["SELECT 1"])).await.expect("a run");
    let found = poor.records("app").await.expect("an answer");
    assert!(matches!(found.access, RecordsAccess::Unavailable(_)), "{found:?}");
    assert_eq!(found.releases.len(), 1);
    assert!(poor.unfinished("app").await.expect("an answer").is_some());
    assert_eq!(poor.history("app").await.expect("a history").len(), 1);
    // Whoever may not read them is not told that there are none.
    let grant = format!(
        "REVOKE SELECT ON {0}.* FROM {user}@'%'; GRANT SELECT ON {0}.sternway_about TO {user}@'%'",
        fresh.name
    );
    execute(&mut watch, &grant).await;
    let mut poor = session(&fresh.url_of(&user, "p")).await;
    let answers = [
        poor.records("app").await.err(),
        poor.unfinished("app").await.err(),
        poor.history("app").await.err(),
    ];
    for error in answers {
        assert!(matches!(error, Some(DatabaseError::RecordsUnreadable(_))), "{error:?}");
    }
    execute(&mut watch, &format!("DROP USER {user}@'%'")).await;
    execute(&mut watch, "UPDATE sternway_about SET format = 99").await;
    fresh.session().await.records("app").await.expect_err("a later format");
    assert_eq!(ask(&mut watch, "SELECT COUNT(*) FROM sternway_migration").await, "1");
}
