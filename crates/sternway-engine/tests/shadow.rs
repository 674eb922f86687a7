//! What shadow databases answer is the same whether it is asked or remembered, for every pair of
//! releases; and what is remembered needs no server.

#![cfg(feature = "embedded")]
#![allow(clippy::print_stderr, reason = "the number of journeys is to be read")]

mod support;

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Debug;
use std::fs;
use std::path::{Path, PathBuf};

use sternway_database::Dialect;
use sternway_engine::diagnose::diagnose;
use sternway_engine::rehearse::{Rehearsal, rehearse};
use sternway_engine::shadow::{
    Cache, Checkpoints, Positions, RehearsalError, Shadow, checkpoints, clean_install,
    expected_here,
};
use sternway_model::catalog::{Enabled, Track, TrackName};
use sternway_model::plan::{Facts, Findings, Plan, PlanError, Request, plan};
use sternway_model::policy::Policy;
use sternway_model::position::Position;
use sternway_model::proof::{Expected, Fingerprint};
use sternway_model::state::{AppState, State, TrackState, TrackingRow};
use sternway_source::{Layout, Location};
use support::{App, release};
use tempfile::TempDir;

/// An application, and where a shadow database that speaks its dialect is made.
struct History {
    app: App,
    dialect: Dialect,
    /// The last one has a migration that does not run.
    releases: Vec<String>,
    _folder: TempDir,
}

impl History {
    /// Each release with the newest migration of its tracks `core` and `search`; `files` has the names and
    /// texts of a track's migrations.
    fn new(
        dialect: Dialect,
        releases: &[(&str, u64, u64)],
        files: &dyn Fn(&str) -> Vec<(String, String)>,
    ) -> History {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, core, search) in releases {
            for (track, newest) in [("core", core), ("search", search)] {
                let to = folder.path().join(name).join(track);
                for (file, text) in files(track) {
                    let number = file.split('_').next().expect("a number");
                    if number.parse::<u64>().expect("a number") <= *newest {
                        fs::create_dir_all(&to).expect("a folder");
                        fs::write(to.join(file), text).expect("a file");
                    }
                }
            }
        }
        let track = |name: &str| Track {
            name: name.into(),
            paths: vec![name.into()],
            until: None,
            table: format!("{name}_migrations"),
            enabled: Enabled::Always,
            requires_extension: None,
        };
        let layout = Layout {
            app: "harbour".to_owned(),
            tag: "{version}".parse().expect("a pattern"),
            tracks: ["core", "search"].map(track).into(),
        };
        let app = App::read(&Location::Directory(folder.path().into()), &layout, Policy::default());
        let releases = releases.iter().map(|(name, ..)| (*name).to_owned()).collect();
        History { app, dialect, releases, _folder: folder }
    }

    /// The demo's, a release for each state of its schema, and one more whose migration does not run.
    fn demo() -> History {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sternway-cli/demo/migrations");
        let releases = [
            ("1.0.0", 2, 0),
            ("1.0.2", 3, 0),
            ("1.0.3", 4, 0),
            ("1.1.0", 6, 2),
            ("1.1.2", 7, 2),
            ("1.2.0-rc1", 8, 2),
            ("1.2.0", 9, 3),
            ("1.3.0", 10, 3),
        ];
        History::new(Dialect::Postgres, &releases, &|track| {
            let files = fs::read_dir(folder.join(track)).expect("the demo");
            let files = files.map(|file| {
                let file = file.expect("a file");
                let text = fs::read_to_string(file.path()).expect("a body");
                (file.file_name().into_string().expect("a name"), text)
            });
            let mut files: Vec<_> = files.collect();
            if track == "core" {
                files.extend(pair(10, "broken", "CREATE TABLE t (n nowhere)", "DROP TABLE t"));
            }
            files
        })
    }

    fn on_sqlite() -> History {
        let releases = [("1.0.0", 1, 0), ("1.1.0", 2, 1), ("1.2.0", 3, 2), ("1.3.0", 4, 2)];
        History::new(Dialect::Sqlite, &releases, &|track| match track {
            "core" => [
                pair(1, "ship", "CREATE TABLE ship (n integer PRIMARY KEY)", "DROP TABLE ship"),
                pair(2, "name", "ALTER TABLE ship ADD COLUMN name text", "SELECT 1"),
                pair(
                    3,
                    "fill",
                    "UPDATE ship SET name = 'x'; CREATE INDEX ship_name ON ship (name)",
                    "DROP INDEX ship_name; DELETE FROM ship WHERE name = 'x'",
                ),
                pair(4, "broken", "CREATE TABLE ship (n integer)", "DROP TABLE ship"),
            ]
            .concat(),
            _ => [
                pair(1, "note", "CREATE TABLE note (body text)", "DROP TABLE note"),
                pair(2, "index", "CREATE INDEX note_body ON note (body)", "DROP INDEX note_body"),
            ]
            .concat(),
        })
    }

    fn shadow(&self, cache: Option<&Path>) -> Shadow {
        let cache = cache.map(|folder| Cache::at(folder.to_owned(), "test".to_owned()));
        Shadow::inside(self.dialect).with_cache(cache)
    }

    fn positions(&self, of: &str) -> Positions {
        let entry = &self.app.catalog.releases[&release(of)];
        let names = self.app.catalog.tracks.iter().map(|track| track.name.clone());
        names.map(|name| (name.clone(), entry.set(&name).last())).collect()
    }

    fn plan(&self, from: &str, to: &str) -> Result<Plan, PlanError> {
        let at = |version| TrackState::At(TrackingRow::clean(version));
        let tracks = self.positions(from).into_iter();
        let tracks: BTreeMap<TrackName, TrackState> =
            tracks.map(|(name, version)| (name, at(version))).collect();
        let state = State { tracks, ..State::default() };
        let texts = self.app.catalog.bodies.iter();
        let bodies = texts.map(|(hash, body)| (*hash, self.dialect.facts(body))).collect();
        let (catalog, policy) = (&self.app.catalog, &self.app.policy);
        let app = AppState { running: Some(release(from)) };
        let facts = Facts::new(catalog, &bodies, &state, policy, &app, Findings::none());
        plan(&facts, &Request { reset_schema: true, ..Request::to(release(to)) })
    }
}

fn pair(number: u64, name: &str, up: &str, down: &str) -> Vec<(String, String)> {
    [("up", up), ("down", down)]
        .map(|(half, text)| (format!("{number}_{name}.{half}.sql"), text.to_owned()))
        .into()
}

/// An answer, or the words of a refusal.
type Answer<T> = Result<T, String>;

fn answer<T>(result: Result<T, RehearsalError>) -> Answer<T> {
    result.map_err(|error| {
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(error) = source {
            text.push_str(&format!(": {error}"));
            source = error.source();
        }
        text
    })
}

/// All that is asked about a journey.
#[derive(Debug, PartialEq)]
struct Journey {
    rehearsal: Answer<(Vec<Expected>, Vec<Option<sternway_model::effect::Effects>>)>,
    checkpoints: Answer<Checkpoints>,
}

/// Asks it, and how many databases had to be made. A failure is asked again each time, and that a step
/// cannot be undone is one that checkpoints live with.
async fn journey(shadow: &Shadow, plan: &Plan) -> (Journey, usize) {
    let rehearsal = answer(rehearse(shadow, plan).await);
    let rehearsal = rehearsal.map(|Rehearsal { expected, effects }| (expected, effects));
    let made = shadow.made();
    let checkpoints = answer(checkpoints(shadow, plan, plan.steps().count() / 2).await);
    (Journey { rehearsal, checkpoints }, made)
}

/// All that is asked about a database where it stands.
#[derive(Debug, PartialEq)]
struct Here {
    clean: Answer<Fingerprint>,
    expected: Answer<Expected>,
    fits: Answer<Vec<Position>>,
}

async fn here(history: &History, shadow: &Shadow, of: &str, newest: &str) -> Here {
    let (parts, at) = (history.app.parts(newest), history.positions(of));
    let material = parts.material();
    let clean = answer(clean_install(shadow, &material, &at).await);
    let found = clean.clone().unwrap_or_default();
    let expected = answer(expected_here(shadow, &material, &at).await);
    let fits = answer(diagnose(shadow, &material, &"core".into(), &at, &found).await);
    Here { clean, expected, fits }
}

fn same<T: PartialEq + Debug>(what: &str, asked: &T, remembered: &T) {
    assert!(asked == remembered, "{what}\nasked: {asked:#?}\nremembered: {remembered:#?}");
}

/// Asks without a cache, with one that learns, and with one that knows.
async fn same_answers(history: &History) {
    let cache = tempfile::tempdir().expect("a folder");
    let folder: PathBuf = cache.path().join("shadow");
    let (mut journeys, mut refused, mut asked_again) = (0, 0, 0);
    let (broken, whole) = history.releases.split_last().expect("releases");
    let last = whole.last().expect("a release");
    for from in whole {
        let beyond = if from == last { broken } else { last };
        for newest in [from, beyond] {
            let asked = here(history, &history.shadow(None), from, newest).await;
            let learned = here(history, &history.shadow(Some(&folder)), from, newest).await;
            let shadow = history.shadow(Some(&folder));
            let known = here(history, &shadow, from, newest).await;
            same(&format!("at {from} of {newest}"), &asked, &learned);
            same(&format!("at {from} of {newest}"), &asked, &known);
            let fine = asked.clean.is_ok() && asked.expected.is_ok() && asked.fits.is_ok();
            assert!(!fine || shadow.made() == 0, "a database was made at {from}");
        }
        let others = whole.iter().filter(|to| *to != from);
        for to in others.chain((from == last).then_some(broken)) {
            let Ok(plan) = history.plan(from, to) else {
                refused += 1;
                continue;
            };
            let (asked, _) = journey(&history.shadow(None), &plan).await;
            let (learned, _) = journey(&history.shadow(Some(&folder)), &plan).await;
            let (known, made) = journey(&history.shadow(Some(&folder)), &plan).await;
            same(&format!("{from} to {to}"), &asked, &learned);
            same(&format!("{from} to {to}"), &asked, &known);
            journeys += 1;
            match asked.rehearsal.is_ok() {
                true => assert_eq!(made, 0, "a database was made from {from} to {to}"),
                false => asked_again += 1,
            }
        }
    }
    eprintln!(
        "{:?}: {journeys} journeys, {asked_again} of them fail; {refused} have no plan",
        history.dialect
    );
    assert!(journeys > asked_again && asked_again > 0);
}

#[tokio::test]
async fn what_is_remembered_of_the_demo_is_what_is_asked() {
    same_answers(&History::demo()).await;
}

#[tokio::test]
async fn what_is_remembered_of_sqlite_is_what_is_asked() {
    same_answers(&History::on_sqlite()).await;
}

/// What decides an answer is in the question: another table to leave out, another program.
#[tokio::test]
async fn another_question_has_another_answer() {
    let history = History::on_sqlite();
    let folder = tempfile::tempdir().expect("a folder");
    let cache = |build: &str| Some(Cache::at(folder.path().join("shadow"), build.to_owned()));
    let (parts, at) = (history.app.parts("1.1.0"), history.positions("1.1.0"));
    let made = async |build: &str, material| {
        let shadow = Shadow::inside(Dialect::Sqlite).with_cache(cache(build));
        clean_install(&shadow, &material, &at).await.expect("a clean install");
        shadow.made()
    };
    assert_eq!(made("test", parts.material()).await, 1);
    assert_eq!(made("test", parts.material()).await, 0);
    assert_eq!(made("another", parts.material()).await, 1);
    let mut other = parts.material();
    other.tables = &[];
    assert_eq!(made("test", other).await, 1);
    let foreign_keys = Shadow::on(Dialect::Sqlite, "sqlite://:memory:?_foreign_keys=1".to_owned());
    let foreign_keys = foreign_keys.with_cache(cache("test"));
    clean_install(&foreign_keys, &parts.material(), &at).await.expect("a clean install");
    assert_eq!(foreign_keys.made(), 1);
}

/// Many processes learn the same at the same time: each of them gets the right answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_learn_at_once() {
    let history = History::on_sqlite();
    let folder = tempfile::tempdir().expect("a folder");
    let plan = history.plan("1.2.0", "1.0.0").expect("a plan");
    let asked = rehearse(&history.shadow(None), &plan).await.expect("a rehearsal");
    let learns = async |turn: usize| {
        if turn % 3 == 2 {
            // Somebody throws it all away.
            drop(fs::remove_dir_all(folder.path().join("shadow")));
        }
        let shadow = history.shadow(Some(&folder.path().join("shadow")));
        let learned = rehearse(&shadow, &plan).await.expect("a rehearsal");
        assert_eq!(learned.expected, asked.expected);
        assert_eq!(learned.effects, asked.effects);
    };
    for turn in 0..5 {
        let all = [0, 1, 2].map(|it| learns(3 * turn + it));
        let [a, b, c] = all;
        tokio::join!(a, b, c);
    }
}
