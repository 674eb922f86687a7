//! Runs that are cut short, and then finished or taken back, on every kind of database.

mod deaths;
mod ground;

use sternway_database::{Dialect, StepError};
use sternway_engine::event::{Observer, Quiet};
use sternway_engine::run::{Outcome, Run, RunError, run};
use sternway_model::journal::{Progress, Record};
use sternway_model::plan::{Course, Plan};
use sternway_model::state::TrackingRow;

use self::ground::{Ground, NEW, OLD};
use crate::support::dying::{AppIs, Dying, Puppet};
use crate::support::{self, needs};

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
                    assert_eq!(ground.at().await, TrackingRow::clean(2));
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
    let dirty = TrackingRow::dirty(3);
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
    assert_eq!(ground.at().await.position, 4);
    back.keeps = false;
    run(Run::of(&back), &mut *ground.session().await, &mut Quiet).await.expect("the way back");
    ground.execute("DROP OWNED BY sternway_resume_clerk").await;
}
