//! Sternway's records in the database: made when asked to, read back whole, and dispensable.

use sternway_database::port::prelude::*;
use sternway_database::postgres::Postgres;
use sternway_database::{DatabaseError, Work};
use sternway_model::catalog::{Digest, Release, TrackName};
use sternway_model::journal::{Progress, Reached, Record};
use sternway_model::plan::Course;
use sternway_model::state::{Records, RecordsAccess};

use crate::support::{self, at, everywhere, execute, fresh, holds, plan, track, up, whole};

const BODIES: [&str; 2] = ["CREATE TABLE a (x text DEFAULT 'it''s \\ $$')", "-- é\nVACUUM"];

async fn records(session: &mut Postgres, app: &str) -> Records {
    session.records(app).await.expect("records")
}

fn unavailable(access: &RecordsAccess) -> &str {
    match access {
        RecordsAccess::Unavailable(reason) => reason,
        RecordsAccess::Available => panic!("available"),
    }
}

fn release(text: &str) -> Release {
    text.parse().expect("a release")
}

#[tokio::test]
async fn only_preparing_makes_the_records() {
    for (mut session, _fresh) in everywhere().await {
        assert_eq!(records(&mut session, "app").await, Records::default());
        assert_eq!(session.history("app").await.expect("a history"), []);
        holds(&mut session, "to_regnamespace('sternway') IS NULL").await;
        for _ in 0..2 {
            let access = session.prepare_records().await.expect("records");
            assert_eq!(access, RecordsAccess::Available);
            holds(&mut session, "to_regclass('sternway.journal') IS NOT NULL").await;
        }
        assert_eq!(records(&mut session, "app").await, Records::default());
    }
}

#[tokio::test]
async fn migrations_and_releases_are_read_back() {
    for (mut session, _fresh) in everywhere().await {
        session.prepare_records().await.expect("records");
        let plan = plan("app", "1.2.0-rc.1", &BODIES);
        session.begin_run(&plan).await.expect("a run");
        let records = records(&mut session, "app").await;
        let track = TrackName::from("core");
        let found: Vec<_> = records.migrations[&track].iter().cloned().collect();
        assert_eq!(found, plan.migrations[&track]);
        assert_eq!(records.releases, plan.releases);
        let bodies = plan.bodies.iter().map(|(hash, body)| (*hash, body.as_str().into())).collect();
        assert_eq!(records.bodies, bodies);
        assert_eq!(records.arrived_at, None);
    }
}

#[tokio::test]
async fn a_later_plan_adds_to_what_is_known_of_a_migration() {
    for (mut session, _fresh) in everywhere().await {
        session.prepare_records().await.expect("records");
        let track = TrackName::from("core");
        let mut with_down = plan("app", "1.1.0", &BODIES);
        let body = "DROP TABLE a";
        let migrations = with_down.migrations.get_mut(&track).expect("a track");
        let mut down = migrations[0].up.take().expect("a half");
        down.hash = Digest::of_body(body);
        migrations[0].down = Some(down);
        with_down.bodies.insert(Digest::of_body(body), body.to_owned());
        session.begin_run(&plan("app", "1.0.0", &BODIES[..1])).await.expect("a run");
        session.begin_run(&with_down).await.expect("a run");
        let records = records(&mut session, "app").await;
        let first = records.migrations[&track].get(1).expect("a migration");
        assert!(first.up.is_some() && first.down.is_some(), "{first:?}");
        assert_eq!(records.migrations[&track].versions().collect::<Vec<_>>(), [1, 2]);
        assert_eq!(records.releases.len(), 2);
    }
}

#[tokio::test]
async fn the_history_tells_how_far_each_run_came() {
    for (mut session, _fresh) in everywhere().await {
        session.prepare_records().await.expect("records");
        let reason = "it's \\ \"quoted\" \\' $$ \u{1} é\n?";
        let first = session.begin_run(&plan("app", "1.0.0", &BODIES)).await.expect("a run");
        for record in
            [Record::Started { step: 0 }, Record::Failed { step: 0, reason: reason.to_owned() }]
        {
            session.record(first, &record).await.expect("a record");
        }
        let mut back = plan("app", "0.9.0", &BODIES);
        back.course = Course::Rollback;
        back.running = Some(release("1.0.0"));
        let second = session.begin_run(&back).await.expect("a run");
        for record in [Record::Started { step: 0 }, Record::Ended { step: 0 }, Record::Finished] {
            session.record(second, &record).await.expect("a record");
        }
        let history = session.history("app").await.expect("a history");
        let told: Vec<_> = history.iter().map(|run| (run.id, run.course, run.steps)).collect();
        assert_eq!(told, [(second, Course::Rollback, 2), (first, Course::Upgrade, 2)]);
        assert_eq!(history[0].progress, Progress::Finished);
        let (reason, reached) = (reason.to_owned(), Reached::default());
        assert_eq!(history[1].progress, Progress::Failed { step: 0, reason, reached });
        assert_eq!(history[0].from, Some(release("1.0.0")));
        assert_eq!((history[1].from.clone(), history[1].user.as_str()), (None, "postgres"));
        assert!(history.iter().all(|run| run.seconds >= 0.0 && run.started.len() == 19));
        assert_eq!(records(&mut session, "app").await.arrived_at, Some(release("0.9.0")));
    }
}

#[tokio::test]
async fn apps_and_schemas_do_not_mix() {
    let Some(fresh) = fresh().await else { return };
    execute(&mut fresh.watch().await, "CREATE SCHEMA other").await;
    let mut here = fresh.session().await;
    let mut there = support::session(&fresh.url_with("sslmode=disable&search_path=other")).await;
    here.prepare_records().await.expect("records");
    there.prepare_records().await.expect("records");
    for (session, app, target) in [(&mut here, "one", "1.0.0"), (&mut there, "one", "2.0.0")] {
        let run = session.begin_run(&plan(app, target, &BODIES)).await.expect("a run");
        session.record(run, &Record::Finished).await.expect("a record");
    }
    here.begin_run(&plan("two", "3.0.0", &BODIES[..1])).await.expect("a run");
    for (session, app, target, arrived) in
        [(&mut here, "one", "1.0.0", true), (&mut there, "one", "2.0.0", true)]
    {
        let found = records(session, app).await;
        assert_eq!(found.releases.keys().cloned().collect::<Vec<_>>(), [release(target)]);
        assert_eq!(found.arrived_at.is_some(), arrived);
        assert_eq!(session.history(app).await.expect("a history").len(), 1);
    }
    let two = records(&mut here, "two").await;
    assert_eq!((two.bodies.len(), two.arrived_at), (1, None));
    assert_eq!(records(&mut there, "two").await, Records::default());
}

#[tokio::test]
async fn a_user_who_may_not_create_schemas_still_migrates() {
    let Some(mut fresh) = fresh().await else { return };
    let (role, url) = fresh.role("secret").await;
    execute(&mut fresh.watch().await, &format!("GRANT ALL ON SCHEMA public TO {role}")).await;
    let mut session = support::session(url.as_str()).await;
    let found = records(&mut session, "app").await;
    assert!(unavailable(&found.access).contains(&role), "{found:?}");
    let access = session.prepare_records().await.expect("an answer");
    assert_eq!(access, found.access);
    assert_eq!(session.history("app").await.expect("a history"), []);
    for (version, body) in (1..).zip(BODIES) {
        session.migrate(&Work::of(&up(version, body), body, None)).await.expect("a step");
    }
    assert_eq!(track(&mut session).await, at(2));
    session.fingerprint(&[]).await.expect("a fingerprint");
    session
        .lock(&["schema_migrations".to_owned()], std::time::Duration::ZERO)
        .await
        .expect("a lock");
    holds(&mut session, "to_regnamespace('sternway') IS NULL").await;
}

/// Whoever may not read them is not told that there are none.
#[tokio::test]
async fn records_of_someone_else_are_read_or_it_is_said_that_they_cannot_be() {
    let Some(mut fresh) = fresh().await else { return };
    let (role, url) = fresh.role("secret").await;
    let mut owner = fresh.session().await;
    owner.prepare_records().await.expect("records");
    owner.begin_run(&plan("app", "1.0.0", &BODIES)).await.expect("a run");
    let mut watch = fresh.watch().await;
    let mut session = support::session(url.as_str()).await;
    for grant in ["SELECT 1".to_owned(), format!("GRANT USAGE ON SCHEMA sternway TO {role}")] {
        execute(&mut watch, &grant).await;
        let answers = [
            session.records("app").await.err(),
            session.prepare_records().await.err(),
            session.unfinished("app").await.err(),
            session.history("app").await.err(),
            session.archive("app").await.err(),
        ];
        for error in answers {
            assert!(matches!(error, Some(DatabaseError::RecordsUnreadable(_))), "{error:?}");
        }
    }
    let grant = format!("GRANT SELECT ON ALL TABLES IN SCHEMA sternway TO {role}");
    execute(&mut watch, &grant).await;
    let found = records(&mut session, "app").await;
    assert!(unavailable(&found.access).contains("may not write"), "{found:?}");
    assert_eq!(found.releases.len(), 1);
    unavailable(&session.prepare_records().await.expect("an answer"));
    assert!(session.unfinished("app").await.expect("an answer").is_some());
    assert_eq!(session.history("app").await.expect("a history").len(), 1);
    assert_eq!(session.archive("app").await.expect("an archive"), []);
    assert_eq!(session.fences("app").await.expect("fences"), []);
}

#[tokio::test]
async fn an_administrator_may_make_the_schema_for_a_user() {
    let Some(mut fresh) = fresh().await else { return };
    let (role, url) = fresh.role("secret").await;
    execute(&mut fresh.watch().await, &format!("CREATE SCHEMA sternway AUTHORIZATION {role}"))
        .await;
    let mut session = support::session(url.as_str()).await;
    assert_eq!(records(&mut session, "app").await.access, RecordsAccess::Available);
    let access = session.prepare_records().await.expect("records");
    assert_eq!(access, RecordsAccess::Available);
    session.begin_run(&plan("app", "1.0.0", &BODIES)).await.expect("a run");
}

#[tokio::test]
async fn records_on_a_server_that_only_reads_are_unavailable() {
    let Some(fresh) = fresh().await else { return };
    let mut session =
        support::session(&fresh.url_with("sslmode=disable&default_transaction_read_only=on")).await;
    let access = session.prepare_records().await.expect("an answer");
    assert!(unavailable(&access).contains("read-only"), "{access:?}");
}

#[tokio::test]
async fn records_of_a_later_format_are_left_alone() {
    for (mut session, _fresh) in everywhere().await {
        session.execute("CREATE SCHEMA sternway; CREATE TABLE sternway.about (format integer); INSERT INTO sternway.about VALUES (9)").await.expect("records");
        let errors = [
            session.records("app").await.expect_err("a later format"),
            session.prepare_records().await.expect_err("a later format"),
            session.history("app").await.expect_err("a later format"),
        ];
        for error in errors {
            assert!(
                matches!(error, DatabaseError::RecordsFormat { found: 9, known: 1 }),
                "{}",
                whole(&error)
            );
        }
        holds(
            &mut session,
            "(SELECT count(*) FROM pg_class WHERE relnamespace = 'sternway'::regnamespace) = 1",
        )
        .await;
    }
}

#[tokio::test]
async fn a_body_without_its_hash_is_noticed() {
    for (mut session, _fresh) in everywhere().await {
        session.prepare_records().await.expect("records");
        session.begin_run(&plan("app", "1.0.0", &BODIES)).await.expect("a run");
        session
            .execute("UPDATE sternway.migration SET up_body = up_body || ' ' WHERE version = 2")
            .await
            .expect("damage");
        let error = session.records("app").await.expect_err("damage");
        assert!(matches!(error, DatabaseError::RecordsDamaged(_)), "{}", whole(&error));
        assert!(error.to_string().contains("000002_step.up.sql"), "{error}");
        assert_eq!(records(&mut session, "other").await, Records::default());
    }
}

#[tokio::test]
async fn without_its_records_everything_begins_anew() {
    for (mut session, _fresh) in everywhere().await {
        session.prepare_records().await.expect("records");
        session.migrate(&Work::of(&up(1, "SELECT 1"), "SELECT 1", None)).await.expect("a step");
        session.execute("DROP SCHEMA sternway CASCADE").await.expect("no records");
        assert_eq!(records(&mut session, "app").await, Records::default());
        assert_eq!(track(&mut session).await, at(1));
        session.prepare_records().await.expect("records");
        session.begin_run(&plan("app", "1.0.0", &BODIES)).await.expect("a run");
    }
}

#[tokio::test]
async fn a_table_of_the_records_that_is_lost_is_made_again() {
    for (mut session, _fresh) in everywhere().await {
        session.prepare_records().await.expect("records");
        session.begin_run(&plan("app", "1.0.0", &BODIES)).await.expect("a run");
        session.execute("DROP TABLE sternway.journal, sternway.run").await.expect("a loss");
        assert_eq!(records(&mut session, "app").await, Records::default());
        session.prepare_records().await.expect("records");
        assert_eq!(records(&mut session, "app").await.bodies.len(), 2);
    }
}

#[tokio::test]
async fn a_run_that_cannot_be_noted_keeps_nothing() {
    for (mut session, _fresh) in everywhere().await {
        session.prepare_records().await.expect("records");
        session
            .execute("ALTER TABLE sternway.run ADD CHECK (target <> '1.0.0')")
            .await
            .expect("a check");
        session.begin_run(&plan("app", "1.0.0", &BODIES)).await.expect_err("a refusal");
        holds(&mut session, "NOT EXISTS (SELECT FROM sternway.migration)").await;
        session.begin_run(&plan("app", "1.1.0", &BODIES)).await.expect("a run");
    }
}

#[tokio::test]
async fn a_lost_connection_is_not_a_damaged_record() {
    let Some(fresh) = fresh().await else { return };
    let mut session = fresh.session().await;
    session.execute("SELECT pg_terminate_backend(pg_backend_pid())").await.expect_err("an end");
    let error = session.records("app").await.expect_err("an end");
    assert!(matches!(error, DatabaseError::Query { .. }), "{}", whole(&error));
}
