//! Runs that do not go as planned, on the demo's application and on small ones.

use std::fs;
use std::path::Path;

use sternway_database::embedded::{Place, connect_in};
use sternway_database::port::prelude::*;
use sternway_database::postgres::Postgres;
use sternway_database::{Dialect, StepError};
use sternway_engine::diagnose::diagnose;
use sternway_engine::run::{Outcome, Run, RunError, run};
use sternway_engine::shadow::{Positions, Shadow};
use sternway_model::catalog::{Enabled, Track};
use sternway_model::journal::Progress;
use sternway_model::plan::{Course, Note, Plan, Step};
use sternway_model::policy::Policy;
use sternway_model::position::Position;
use sternway_model::proof::{Difference, ObjectName};
use sternway_model::state::RecordsAccess;
use sternway_source::{Layout, Location};
use tempfile::TempDir;

use crate::support::rows::{fill, survive};
use crate::support::{
    self, App, Proofs, Quiet, Seen, arrived, ask, at, embedded, empty, fresh, needs, session, steps,
};

/// The demo's application, with its releases as folders.
pub fn harbour() -> (App, TempDir) {
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sternway-cli/demo");
    let folder = tempfile::tempdir().expect("a folder");
    let history = fs::read_to_string(demo.join("releases.toml")).expect("the history");
    let history: toml::Table = history.parse().expect("a table");
    for release in history["release"].as_array().expect("releases") {
        let version = release["version"].as_str().expect("a version");
        for track in ["core", "search"] {
            let newest = release[track].as_integer().expect("a number");
            let to = folder.path().join(version).join(track);
            for file in fs::read_dir(demo.join("migrations").join(track)).expect("migrations") {
                let file = file.expect("a file");
                let name = file.file_name().into_string().expect("a name");
                let number: i64 = name[..6].parse().expect("a number");
                if number <= newest {
                    fs::create_dir_all(&to).expect("a folder");
                    fs::copy(file.path(), to.join(name)).expect("a copy");
                }
            }
        }
    }
    let tracks = vec![
        track("core", "schema_migrations", None),
        track("search", "search_schema_migrations", Some("vector")),
    ];
    (folders("harbour", folder.path(), tracks), folder)
}

fn track(name: &str, table: &str, extension: Option<&str>) -> Track {
    Track {
        name: name.into(),
        paths: vec![name.into()],
        until: None,
        table: table.to_owned(),
        enabled: Enabled::Always,
        requires_extension: extension.map(str::to_owned),
    }
}

fn folders(app: &str, folder: &Path, tracks: Vec<Track>) -> App {
    let layout =
        Layout { app: app.to_owned(), tag: "{version}".parse().expect("a pattern"), tracks };
    App::read(&Location::Directory(folder.into()), &layout, Policy::default())
}

/// A database with the demo's newest release and rows, and the way back to an old one.
struct Harbour {
    app: App,
    proofs: Proofs,
    database: Postgres,
    _folder: TempDir,
}

const NEW: &str = "1.2.1";
const OLD: &str = "1.0.3";

const WAY: [&str; 8] = [
    "search 3 down to 2",
    "core 9 down to 8",
    "core 8 down to 7",
    "search 2 down to 1",
    "search 1 down to nothing",
    "core 7 down to 6",
    "core 6 down to 5",
    "core 5 down to 4",
];

impl Harbour {
    async fn new() -> Harbour {
        let (app, folder) = harbour();
        let proofs = Proofs::default();
        let mut database = embedded(&["vector"]).await;
        app.install(&proofs, &mut database, NEW).await;
        fill(&mut database).await.expect("rows");
        Harbour { app, proofs, database, _folder: folder }
    }

    /// The way back from where the database is now.
    async fn back(&mut self) -> Plan {
        let plan = self.app.way(&mut self.database, Some(NEW), Course::Rollback, OLD).await;
        plan.expect("a plan")
    }

    async fn run(&mut self, plan: &Plan) -> Result<Outcome, RunError> {
        self.proofs.run(plan, &mut self.database, &mut Quiet).await
    }

    async fn positions(&mut self) -> Positions {
        self.app.positions(&mut self.database).await
    }

    /// The schema, the tracking rows, the rows and Sternway's own records.
    async fn whole(&mut self) -> (String, Positions, String, String) {
        survive(&mut self.database).await.expect("rows");
        let records = "SELECT (SELECT count(*) FROM sternway.run) || ' ' ||
                              (SELECT count(*) FROM sternway.journal)";
        (
            self.app.fingerprint(&mut self.database).await.digest().to_string(),
            self.positions().await,
            format!("{:?}", self.database.rows_per_table().await.expect("rows")),
            ask(&mut self.database, records).await,
        )
    }

    /// Where the last run stands.
    async fn progress(&mut self) -> Progress {
        let runs = self.database.history("harbour").await.expect("a history");
        runs.into_iter().next().expect("a run").progress
    }

    async fn sql(&mut self, sql: &str) {
        self.database.execute(sql).await.expect(sql);
    }

    /// Requires that the database is at the old release, with its rows.
    async fn is_back(&mut self) {
        assert_eq!(self.positions().await, at(&[("core", 4)]));
        let clean = self.proofs.clean(&self.app, OLD, &at(&[("core", 4)])).await;
        assert_eq!(self.app.fingerprint(&mut self.database).await.objects, clean.objects);
        survive(&mut self.database).await.expect("rows");
        assert_eq!(self.progress().await, Progress::Finished);
    }
}

#[tokio::test]
async fn the_way_back_of_the_demo() {
    let mut harbour = Harbour::new().await;
    let plan = harbour.back().await;
    assert_eq!(steps(&plan), WAY);
    for proof in arrived(harbour.run(&plan).await) {
        assert!(proof.holds() && proof.of_the_migrations.is_empty(), "{proof:?}");
        assert_eq!(proof.foreign, []);
    }
    harbour.is_back().await;
}

/// Executes `plan` on a database that is not what it was made for.
async fn is_refused_as_moved(harbour: &mut Harbour, plan: &Plan, reason: &str) {
    let before = harbour.whole().await;
    match harbour.run(plan).await {
        Err(RunError::Moved(reasons)) => {
            assert!(reasons.iter().any(|it| it.contains(reason)), "{reasons:?}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(harbour.whole().await, before);
}

#[tokio::test]
async fn another_version_than_the_plans_is_refused() {
    let mut harbour = Harbour::new().await;
    let plan = harbour.back().await;
    harbour.sql("UPDATE schema_migrations SET version = 8").await;
    is_refused_as_moved(&mut harbour, &plan, "track `core` was at 9 and is at 8").await;
    harbour.sql("UPDATE schema_migrations SET version = 9, dirty = true").await;
    let ended = harbour.run(&plan).await;
    assert!(matches!(ended, Err(RunError::Moved(_))), "{ended:?}");
    harbour.sql("DROP TABLE search_schema_migrations").await;
    harbour.sql("UPDATE schema_migrations SET dirty = false").await;
    is_refused_as_moved(&mut harbour, &plan, "track `search` was at 3 and is at nothing").await;
}

#[tokio::test]
async fn a_track_that_took_no_part_and_has_appeared_is_refused() {
    let (app, _folder) = harbour();
    let app = app.with("search", Enabled::Auto);
    let proofs = Proofs::default();
    let mut database = embedded(&["vector"]).await;
    app.install(&proofs, &mut database, NEW).await;
    let plan = app.way(&mut database, Some(NEW), Course::Rollback, OLD).await.expect("a plan");
    assert!(plan.steps().all(|step| step.track.0 == "core"));
    // Somebody switches the track on in between.
    let table = "CREATE TABLE search_schema_migrations (version bigint PRIMARY KEY, dirty boolean);
                 INSERT INTO search_schema_migrations VALUES (3, false)";
    database.execute(table).await.expect("a table");
    let ended = proofs.run(&plan, &mut database, &mut Quiet).await;
    assert!(matches!(ended, Err(RunError::Moved(_))), "{ended:?}");
    assert_eq!(app.positions(&mut database).await, at(&[("core", 9), ("search", 3)]));
}

#[tokio::test]
async fn another_schema_than_the_plans_is_refused() {
    let mut harbour = Harbour::new().await;
    let plan = harbour.back().await;
    for change in [
        "ALTER TABLE ship ADD COLUMN flag text",
        "CREATE INDEX ship_flag ON ship (flag)",
        "ALTER TABLE ship ALTER COLUMN flag SET NOT NULL",
        "CREATE TABLE tug (id int)",
    ] {
        if change.contains("SET NOT NULL") {
            harbour.sql("UPDATE ship SET flag = ''").await;
        }
        harbour.sql(change).await;
        is_refused_as_moved(&mut harbour, &plan, "the schema has changed").await;
    }
}

#[tokio::test]
async fn another_database_than_the_plans_is_refused() {
    let mut harbour = Harbour::new().await;
    let plan = harbour.back().await;
    let mut elsewhere = plan.clone();
    elsewhere.basis.identity.database = "harbour_of_hamburg".to_owned();
    is_refused_as_moved(&mut harbour, &elsewhere, "the plan is for database").await;

    let wanted = ["vector".to_owned()];
    let other = connect_in(&Place::Temporary, &wanted, "other").await;
    let mut other = other.expect("an embedded server");
    let relations = "SELECT count(*) FROM pg_class";
    let before = ask(&mut other, relations).await;
    let ended = harbour.proofs.run(&plan, &mut other, &mut Quiet).await;
    assert!(matches!(ended, Err(RunError::Moved(_))), "{ended:?}");
    assert_eq!(ask(&mut other, relations).await, before);
}

#[tokio::test]
async fn another_database_of_the_same_server_is_refused() {
    let test = "another database of the same server is refused";
    let Some(url) = needs(test, "STERNWAY_TEST_PG_URL") else { return };
    let (app, _folder) = harbour();
    let app = app.with("search", Enabled::Never);
    let proofs = Proofs::default();
    let mut databases = Vec::new();
    for name in ["sternway_engine_one", "sternway_engine_two"] {
        let mut database = session(&fresh(&url, name).await).await;
        app.install(&proofs, &mut database, NEW).await;
        databases.push(database);
    }
    let plan = app.way(&mut databases[0], Some(NEW), Course::Rollback, OLD).await.expect("a plan");
    let ended = proofs.run(&plan, &mut databases[1], &mut Quiet).await;
    assert!(matches!(ended, Err(RunError::Moved(_))), "{ended:?}");
    assert_eq!(app.positions(&mut databases[1]).await, at(&[("core", 9)]));
    arrived(proofs.run(&plan, &mut databases[0], &mut Quiet).await);
}

#[tokio::test]
async fn drift_is_found_by_the_proof() {
    let port_call = Some("port_call".to_owned());
    let remarks = ObjectName { kind: "column".into(), name: "remarks".into(), table: port_call };
    let cases = [
        ("DROP INDEX cargo_port_call_idx", ObjectName::new("index", "cargo_port_call_idx")),
        ("ALTER TABLE port_call ALTER COLUMN remarks SET DEFAULT 'none'", remarks),
    ];
    for (change, object) in cases {
        let mut harbour = Harbour::new().await;
        harbour.sql(change).await;
        let plan = harbour.back().await;
        let ended = harbour.run(&plan).await;
        let Err(RunError::Drift { release, comparison }) = ended else { panic!("{ended:?}") };
        assert_eq!(release, support::release("1.1.2"));
        match comparison.drift.as_slice() {
            [Difference::Missing { object: it, .. } | Difference::Changed { object: it, .. }] => {
                assert_eq!(*it, object);
            }
            other => panic!("{other:?}"),
        }
        assert!(comparison.foreign.is_empty() && comparison.of_the_migrations.is_empty());
        // The first hop is done and stays; its proof is what failed.
        assert_eq!(harbour.positions().await, at(&[("core", 7), ("search", 2)]));
        assert!(matches!(harbour.progress().await, Progress::Failed { step: 3, .. }));
        survive(&mut harbour.database).await.expect("rows");
    }
}

#[tokio::test]
async fn what_no_track_made_is_reported_and_left_alone() {
    let mut harbour = Harbour::new().await;
    harbour
        .sql(
            "CREATE TABLE tug (id int PRIMARY KEY, name text); INSERT INTO tug VALUES (1, 'Rhino')",
        )
        .await;
    harbour.sql("CREATE INDEX ship_by_name ON ship (name)").await;
    harbour.sql("CREATE VIEW big_ship AS SELECT id FROM ship WHERE length_m > 300").await;
    let plan = harbour.back().await;
    let proofs = arrived(harbour.run(&plan).await);
    for proof in proofs {
        assert!(proof.holds(), "{proof:?}");
        for object in [
            ObjectName::new("table", "tug"),
            ObjectName::new("index", "ship_by_name"),
            ObjectName::new("view", "big_ship"),
        ] {
            assert!(proof.foreign.contains(&object), "{object}: {:?}", proof.foreign);
        }
    }
    assert_eq!(ask(&mut harbour.database, "SELECT name FROM tug").await, "Rhino");
    assert_eq!(harbour.positions().await, at(&[("core", 4)]));
    survive(&mut harbour.database).await.expect("rows");
}

#[tokio::test]
async fn a_failed_step_leaves_what_came_before_and_the_same_command_goes_on() {
    let mut harbour = Harbour::new().await;
    // Migration 8's down half alters this table, and says nothing of its absence.
    harbour.sql("ALTER TABLE cargo RENAME TO cargo_away").await;
    let plan = harbour.back().await;
    match harbour.run(&plan).await {
        Err(RunError::Step { step: 2, of: 10, source: StepError::TakenBack { file, source } }) => {
            assert_eq!(file, "000008_cargo_hazard.down.sql");
            assert_eq!(source.code, "42P01");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(harbour.positions().await, at(&[("core", 8), ("search", 2)]));
    match harbour.progress().await {
        Progress::Failed { step: 2, reason, .. } => assert!(reason.contains("42P01"), "{reason}"),
        other => panic!("{other:?}"),
    }
    harbour.sql("ALTER TABLE cargo_away RENAME TO cargo").await;
    let plan = harbour.back().await;
    assert_eq!(steps(&plan), WAY[2..]);
    arrived(harbour.run(&plan).await);
    harbour.is_back().await;
}

#[tokio::test]
async fn a_failed_step_outside_a_transaction_leaves_its_mark() {
    let mut harbour = Harbour::new().await;
    // An index that a constraint needs is not dropped by `DROP INDEX CONCURRENTLY IF EXISTS`.
    harbour
        .sql(
            "DROP INDEX port_call_arrival_idx;
              ALTER TABLE port_call ADD CONSTRAINT port_call_arrival_idx UNIQUE (arrives_at, id)",
        )
        .await;
    let plan = harbour.back().await;
    // The proof of the first hop would find the drift, so nothing is proved.
    match run(Run::of(&plan), &mut harbour.database, &mut Quiet).await {
        Err(RunError::Step {
            step: 6,
            of: 10,
            source: StepError::Dirty { file, statement, .. },
        }) => {
            assert_eq!((file.as_str(), statement), ("000007_port_call_arrival_idx.down.sql", 1));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(
        ask(&mut harbour.database, "SELECT s::text FROM schema_migrations s").await,
        "(6,t)"
    );
    assert!(matches!(harbour.progress().await, Progress::Failed { step: 6, .. }));
    let refused = harbour.app.way(&mut harbour.database, Some(NEW), Course::Rollback, OLD).await;
    assert!(refused.is_err());

    // The schema is that of no number, and the number in the row is not its own.
    assert_eq!(diagnosis(&mut harbour).await, [Position::Nothing; 0]);
    harbour
        .sql(
            "ALTER TABLE port_call DROP CONSTRAINT port_call_arrival_idx;
              CREATE INDEX port_call_arrival_idx ON port_call (arrives_at, id)",
        )
        .await;
    assert_eq!(diagnosis(&mut harbour).await, [Position::At(7)]);
    harbour.sql("UPDATE schema_migrations SET version = 7, dirty = false").await;
    let plan = harbour.back().await;
    assert_eq!(steps(&plan), WAY[5..]);
    arrived(harbour.run(&plan).await);
    harbour.is_back().await;
}

#[tokio::test]
async fn a_run_stops_between_steps_and_a_new_plan_goes_on() {
    let mut harbour = Harbour::new().await;
    for after in 0..=WAY.len() {
        let extensions = ["vector"];
        empty(&mut harbour.database, &extensions).await;
        harbour.app.install(&harbour.proofs, &mut harbour.database, NEW).await;
        fill(&mut harbour.database).await.expect("rows");
        let plan = harbour.back().await;
        let mut seen = Seen { stop_after: Some(after), ..Seen::default() };
        let ended = harbour.proofs.run(&plan, &mut harbour.database, &mut seen).await;
        let Ok(Outcome::Interrupted { done, of: 10 }) = ended else { panic!("{ended:?}") };
        assert_eq!(seen.steps, WAY[..after]);
        assert_eq!(harbour.progress().await, Progress::Interrupted { step: done });
        // A proof that stands between two migrations is made by the next run.
        let all = plan.hops.iter().flat_map(|hop| &hop.steps).take(done);
        assert_eq!(all.filter(|it| matches!(it, Step::Migrate(_))).count(), after);

        let plan = harbour.back().await;
        assert_eq!(steps(&plan), WAY[after..]);
        arrived(harbour.run(&plan).await);
        harbour.is_back().await;
    }
}

#[tokio::test]
async fn without_the_right_to_keep_records_a_run_works_and_says_so() {
    let test = "a run without the right to keep records";
    let Some(url) = needs(test, "STERNWAY_TEST_PG_URL") else { return };
    let url = fresh(&url, "sternway_engine_rights").await;
    let mut admin = session(&url).await;
    let role = "DO $$ BEGIN
                    CREATE ROLE sternway_engine_clerk LOGIN PASSWORD 'tide';
                EXCEPTION WHEN duplicate_object THEN NULL; END $$;
                GRANT CREATE ON SCHEMA public TO sternway_engine_clerk";
    admin.execute(role).await.expect("a role");
    let (scheme, rest) = url.split_once("://").expect("a scheme");
    let (_, place) = rest.split_once('@').expect("a user");
    let mut clerk = session(&format!("{scheme}://sternway_engine_clerk:tide@{place}")).await;

    let (app, _folder) = harbour();
    let app = app.with("search", Enabled::Never);
    let proofs = Proofs::default();
    let reason = "user `sternway_engine_clerk` may not create the schema sternway in database \
                  `sternway_engine_rights`";
    for (course, to) in [(Course::Upgrade, NEW), (Course::Rollback, OLD)] {
        let mut plan = app.way(&mut clerk, None, course, to).await.expect("a plan");
        // What is lost could be kept nowhere.
        plan.keeps = false;
        assert_eq!(plan.notes, [Note::NoRecords { reason: reason.to_owned() }]);
        let mut seen = Seen::default();
        arrived(proofs.run(&plan, &mut clerk, &mut seen).await);
        assert_eq!(seen.access, Some(RecordsAccess::Unavailable(reason.to_owned())));
    }
    assert_eq!(app.positions(&mut clerk).await, at(&[("core", 4)]));
    assert_eq!(ask(&mut admin, "SELECT to_regnamespace('sternway') IS NULL").await, "true");
    assert_eq!(clerk.history("harbour").await.expect("a history"), []);
}

/// What the dirty track `core` has, the other one standing where its table says.
async fn diagnosis(harbour: &mut Harbour) -> Vec<Position> {
    let search = harbour.database.track("search_schema_migrations").await.expect("a position");
    let others: Positions = [("search".into(), search.row().position)].into();
    let found = harbour.app.fingerprint(&mut harbour.database).await;
    let parts = harbour.app.parts(NEW);
    let fits = diagnose(
        &Shadow::inside(Dialect::Postgres),
        &parts.material(),
        &"core".into(),
        &others,
        &found,
    )
    .await;
    fits.expect("a diagnosis")
}

#[tokio::test]
async fn a_dirty_track_is_told_from_its_schema() {
    let mut harbour = Harbour::new().await;
    let mut core = 9;
    for (at, marked, fits) in [
        // An up to 9 that took place and was not noted.
        (9, 9, vec![Position::At(9)]),
        // A down to 8 that did not take place.
        (9, 8, vec![Position::At(9)]),
        // An up to 9 that did not take place.
        (8, 9, vec![Position::At(8)]),
        // A down to 6 that did not take place, one that did, and an up to 7 that did not.
        (7, 6, vec![Position::At(7)]),
        (6, 6, vec![Position::At(6)]),
        (6, 7, vec![Position::At(6)]),
        // Migration 4 changes nothing that one can see on a clean install.
        (4, 4, vec![Position::At(3), Position::At(4)]),
        (3, 4, vec![Position::At(3), Position::At(4)]),
    ] {
        // The bodies run by hand, as another migrator's would.
        while core > at {
            let migration =
                harbour.app.catalog.releases[&support::release(NEW)].set(&"core".into());
            let half = migration.get(core).and_then(|it| it.down.clone()).expect("a down half");
            let body = harbour.app.catalog.bodies[&half.hash].to_string();
            harbour.sql(&body).await;
            core -= 1;
        }
        harbour
            .sql(&format!("UPDATE schema_migrations SET version = {marked}, dirty = true"))
            .await;
        assert_eq!(diagnosis(&mut harbour).await, fits, "marked {marked} at {at}");
    }
}

#[tokio::test]
async fn a_dirty_track_is_told_from_its_schema_beside_foreign_objects() {
    let mut harbour = Harbour::new().await;
    harbour.sql("CREATE TABLE tug (id int); CREATE INDEX ship_by_name ON ship (name)").await;
    harbour.sql("UPDATE schema_migrations SET version = 8, dirty = true").await;
    assert_eq!(diagnosis(&mut harbour).await, [Position::At(9)]);
    harbour.sql("ALTER TABLE cargo DROP COLUMN goods").await;
    assert_eq!(diagnosis(&mut harbour).await, [Position::Nothing; 0]);
}

#[tokio::test]
async fn nothing_applied_is_a_diagnosis_too() {
    let (app, _folder) = harbour();
    let mut database = embedded(&["vector"]).await;
    let found = app.fingerprint(&mut database).await;
    let parts = app.parts(NEW);
    let none = Positions::new();
    let fits = diagnose(
        &Shadow::inside(Dialect::Postgres),
        &parts.material(),
        &"core".into(),
        &none,
        &found,
    )
    .await;
    assert_eq!(fits.expect("a diagnosis"), [Position::Nothing]);
}

/// Writes one half of a migration into the folders of releases.
fn write(folder: &TempDir, releases: &[&str], name: &str, body: &str) {
    for release in releases {
        let folder = folder.path().join(release).join("core");
        fs::create_dir_all(&folder).expect("a folder");
        fs::write(folder.join(name), body).expect("a file");
    }
}

#[tokio::test]
async fn a_down_half_that_does_not_restore_is_the_applications_own_fault() {
    let folder = tempfile::tempdir().expect("a folder");
    let both = ["1.0.0", "1.1.0"];
    let table = "CREATE TABLE buoy (id int PRIMARY KEY, lit boolean NOT NULL, note text)";
    write(&folder, &both, "1_buoy.up.sql", table);
    write(&folder, &both, "1_buoy.down.sql", "DROP TABLE buoy");
    let up = "UPDATE buoy SET lit = false WHERE lit IS NULL;
              ALTER TABLE buoy ALTER COLUMN lit SET NOT NULL;
              CREATE INDEX buoy_lit ON buoy (lit);";
    let down = "ALTER TABLE buoy ALTER COLUMN lit DROP NOT NULL;";
    write(&folder, &both[1..], "2_lit.up.sql", up);
    write(&folder, &both[1..], "2_lit.down.sql", down);
    let app = folders("buoys", folder.path(), vec![track("core", "schema_migrations", None)]);
    let proofs = Proofs::default();
    let mut database = embedded(&[]).await;
    app.install(&proofs, &mut database, "1.1.0").await;
    fill(&mut database).await.expect("rows");
    let back = app.way(&mut database, Some("1.1.0"), Course::Rollback, "1.0.0").await;
    let back = back.expect("a plan");
    let [proof] = &arrived(proofs.run(&back, &mut database, &mut Quiet).await)[..] else {
        panic!("one hop has one proof")
    };
    assert!(proof.holds(), "{proof:?}");
    assert_eq!((proof.drift.len(), proof.foreign.len()), (0, 0), "{proof:?}");
    let lit = ObjectName { kind: "column".into(), name: "lit".into(), table: Some("buoy".into()) };
    match proof.of_the_migrations.as_slice() {
        [
            Difference::Changed { object: changed, .. },
            Difference::Unexpected { object: left, .. },
        ] => assert_eq!((changed, left), (&lit, &ObjectName::new("index", "buoy_lit"))),
        other => panic!("{other:?}"),
    }
    survive(&mut database).await.expect("rows");

    // What only this database has is drift beside it, also in the same table.
    let again = app.way(&mut database, Some("1.0.0"), Course::Upgrade, "1.1.0").await;
    assert!(again.is_ok());
    database.execute("DROP INDEX buoy_lit").await.expect("no index");
    arrived(proofs.run(&upgrade(&app, &mut database).await, &mut database, &mut Quiet).await);
    database.execute("ALTER TABLE buoy ALTER COLUMN note SET DEFAULT ''").await.expect("a default");
    let back = app.way(&mut database, Some("1.1.0"), Course::Rollback, "1.0.0").await;
    let ended = proofs.run(&back.expect("a plan"), &mut database, &mut Quiet).await;
    let Err(RunError::Drift { comparison, .. }) = ended else { panic!("{ended:?}") };
    assert_eq!((comparison.drift.len(), comparison.of_the_migrations.len()), (1, 2));
}

async fn upgrade(app: &App, database: &mut Postgres) -> Plan {
    app.way(database, Some("1.0.0"), Course::Upgrade, "1.1.0").await.expect("a plan")
}
