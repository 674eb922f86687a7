//! Nothing is lost on any way back that kagent's real history or the demo's has: from a clean install
//! of each state of the schema, full of rows, to each earlier one, where an older release writes, and
//! up again. Every row is back, or in the archive and in the report, or was the older release's to
//! change.
//!
//! Runs on the server of `STERNWAY_TEST_PGVECTOR_URL`; kagent's history is read from the clone of
//! `STERNWAY_KAGENT_REPO`.

#![allow(clippy::print_stderr, reason = "the numbers of journeys and rows are to be read")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use sqlx::{Connection as _, PgConnection};
use sternway_database::failpoint::{Rule, break_rule};
use sternway_database::port::prelude::*;
use sternway_engine::event::{Event, Observer};
use sternway_engine::run::{Outcome, Run, run};
use sternway_model::archive::{Entry, Preserved, Restoration};
use sternway_model::catalog::{Direction, Enabled, Track};
use sternway_model::plan::{Course, Request};
use sternway_model::policy::Policy;
use sternway_source::{Layout, Location};
use sternway_testing::{
    Account, Computed, Fill, Finding, Journey, KeptRows, Others, Random, Snapshot, Stay, fill,
    old_release_writes, wander,
};
use tempfile::TempDir;

use crate::support::{self, App, fresh, needs, other_database, release, session};

/// How many rows a table gets, and how many of each the older release inserts, changes and deletes.
const ROWS: usize = 40;
const WRITES: usize = 6;
/// How many journeys are under way at a time.
const WORKERS: usize = 3;

/// What kagent's migrations 7 and 10 of the track `core` compute.
const OF_KAGENT: &[Computed<'static>] = &[
    Computed {
        table: "task",
        column: "user_id",
        row: &["session_id"],
        others: Some(Others { table: "session", column: "user_id", key: "id", by: "session_id" }),
    },
    Computed { table: "agent_instance", column: "operation", row: &["state"], others: None },
];

/// What the demo's migration 6 of the track `core` computes.
const OF_HARBOUR: &[Computed<'static>] = &[Computed {
    table: "port_call",
    column: "billed_to",
    row: &[],
    others: Some(Others { table: "cargo", column: "consignee", key: "port_call_id", by: "id" }),
}];

/// An application whose releases are the states that its schema has been in: release `0.N.0` is the
/// one of number N. `0.0.0` is from before there was any of them: it has nothing but a track of our
/// own that makes nothing, because a release without migrations says nothing of its schema.
struct History {
    app: App,
    states: usize,
    /// The columns that its migrations compute.
    computed: &'static [Computed<'static>],
    _folder: TempDir,
}

/// A track: its name, the table that tracks it, and whether its migrations need vectors.
type Line = (&'static str, &'static str, bool);

const BEFORE: Line = ("before", "before_schema_migrations", false);

impl History {
    /// Lays out the states, each with the number of the newest migration of every track; `files` gives
    /// the names and the texts of a track's migrations.
    fn new(
        name: &str,
        lines: &[Line],
        states: &[Vec<u64>],
        files: &dyn Fn(&str) -> Vec<(String, String)>,
    ) -> History {
        let folder = tempfile::tempdir().expect("a folder");
        let all: Vec<_> = lines.iter().map(|(track, ..)| files(track)).collect();
        for (number, state) in states.iter().enumerate() {
            let before = folder.path().join(name_of(number)).join(BEFORE.0);
            fs::create_dir_all(&before).expect("a folder");
            for half in ["up", "down"] {
                fs::write(before.join(format!("1_nothing.{half}.sql")), "SELECT 1")
                    .expect("a file");
            }
            for (((track, ..), files), newest) in lines.iter().zip(&all).zip(state) {
                let to = folder.path().join(name_of(number)).join(track);
                fs::create_dir_all(&to).expect("a folder");
                for (file, text) in files {
                    let number: u64 = file[..6].parse().expect("a number");
                    if number <= *newest {
                        fs::write(to.join(file), text).expect("a file");
                    }
                }
            }
        }
        let track = |(name, table, vectors): &Line| Track {
            name: (*name).into(),
            paths: vec![(*name).into()],
            until: None,
            table: (*table).to_owned(),
            enabled: Enabled::Always,
            requires_extension: vectors.then(|| "vector".to_owned()),
        };
        let layout = Layout {
            app: name.to_owned(),
            tag: "{version}".parse().expect("a pattern"),
            tracks: [&BEFORE].into_iter().chain(lines).map(track).collect(),
        };
        let app = App::read(&Location::Directory(folder.path().into()), &layout, Policy::default());
        History { app, states: states.len(), computed: &[], _folder: folder }
    }

    /// Goes to a state of the schema, and tells what the run reported.
    async fn go(
        &self,
        database: &mut dyn Database,
        from: Option<usize>,
        to: usize,
        discard: bool,
    ) -> Result<Report, String> {
        let course = match from {
            Some(from) if to < from => Course::Rollback,
            _ => Course::Upgrade,
        };
        let state = self.app.observe(database).await;
        let request = Request {
            course: Some(course),
            reset_schema: true,
            discard,
            ..Request::to(release(&name_of(to)))
        };
        let running = from.map(name_of);
        let plan = self.app.plan(&state, running.as_deref(), &request);
        let plan = plan.map_err(|error| format!("no plan: {error}"))?;
        let mut report = Report::default();
        match run(Run::of(&plan), database, &mut report).await {
            Ok(Outcome::Arrived { .. }) => Ok(report),
            other => Err(format!("{plan}\n{other:?}")),
        }
    }
}

/// The release that stands for a state.
fn name_of(state: usize) -> String {
    format!("0.{state}.0")
}

/// What a run reports of the archive.
#[derive(Default)]
struct Report {
    steps: usize,
    kept: Vec<Preserved>,
    restored: Vec<Restoration>,
}

impl Observer for Report {
    fn tell(&mut self, event: &Event<'_>) {
        let Event::Migrated { done, .. } = event else { return };
        self.steps += 1;
        self.kept.extend(done.kept.iter().cloned());
        self.restored.extend(done.restored.iter().cloned());
    }
}

/// kagent's history: what its last release has, and what its main branch has had since. Every state
/// that one of its releases is in is among these.
fn kagent(repository: &str) -> History {
    let git = |arguments: &[&str]| {
        let mut git = Command::new("git");
        let output = git.arg("-C").arg(repository).args(arguments).output().expect("git");
        output.status.success().then(|| String::from_utf8(output.stdout).expect("a text"))
    };
    let branches = ["main", "origin/main", "v0.10.0-rc3"];
    let newest = branches.into_iter().find(|it| git(&["rev-parse", "--verify", it]).is_some());
    let newest = newest.expect("a branch or a tag of kagent's");
    let files = |track: &str| {
        let folder = format!("go/core/pkg/migrations/{track}/");
        let names = git(&["ls-tree", "--name-only", newest, &folder]).expect("the files");
        let text = |path: &str| {
            let text = git(&["show", &format!("{newest}:{path}")]).expect("a file");
            (path[folder.len()..].to_owned(), text)
        };
        names.lines().map(text).collect::<Vec<_>>()
    };
    let last = files("core").len() as u64 / 2;
    if last < 13 {
        support::skipped("kagent's migrations 8 to 13", "the clone has no branch main");
    }
    let lines =
        [("core", "schema_migrations", false), ("vector", "vector_schema_migrations", true)];
    let states: Vec<Vec<u64>> = (0..=last).map(|core| vec![core, core.min(3)]).collect();
    History { computed: OF_KAGENT, ..History::new("kagent", &lines, &states, &files) }
}

/// The demo's history.
fn harbour() -> History {
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sternway-cli/demo");
    let releases = fs::read_to_string(demo.join("releases.toml")).expect("the history");
    let releases: toml::Table = releases.parse().expect("a table");
    let mut states = vec![vec![0, 0]];
    for it in releases["release"].as_array().expect("releases") {
        let newest = |track: &str| it[track].as_integer().and_then(|it| u64::try_from(it).ok());
        let state = ["core", "search"].map(|track| newest(track).expect("a number"));
        states.push(state.to_vec());
    }
    states.dedup();
    let files = |track: &str| {
        let files = fs::read_dir(demo.join("migrations").join(track)).expect("migrations");
        let read = |file: std::io::Result<fs::DirEntry>| {
            let file = file.expect("a file");
            let name = file.file_name().into_string().expect("a name");
            (name, fs::read_to_string(file.path()).expect("a text"))
        };
        files.map(read).collect::<Vec<_>>()
    };
    let lines =
        [("core", "schema_migrations", false), ("search", "search_schema_migrations", true)];
    History { computed: OF_HARBOUR, ..History::new("harbour", &lines, &states, &files) }
}

/// A server, and the databases of one test on it.
struct Ground<'a> {
    history: &'a History,
    server: String,
    test: &'static str,
}

impl Ground<'_> {
    fn full(&self, state: usize) -> String {
        format!("sternway_lossless_{}_{state}", self.test)
    }

    async fn admin(&self, sql: &str) {
        let mut admin = session(&self.server).await;
        admin.execute(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }

    /// Makes a clean install of a state, full of rows.
    async fn fill(&self, state: usize) {
        let url = fresh(&self.server, &self.full(state)).await;
        let mut database = session(&url).await;
        let installed = self.history.go(&mut database, None, state, false).await;
        assert!(installed.is_ok(), "{:?}", installed.err());
        let mut watch = PgConnection::connect(&url).await.expect("a connection");
        let how = Fill::new(state as u64, ROWS).without(&self.history.app.tables());
        let filled = fill(&mut watch, "public", &how).await;
        let empty: Vec<_> = filled.0.iter().filter(|(_, rows)| **rows == 0).collect();
        assert!(empty.is_empty() && !filled.0.is_empty(), "no rows for {empty:?}");
        if state + 1 == self.history.states {
            varied(&Snapshot::of(&mut watch, "public", &how.except).await);
        }
    }

    /// Goes down and up again, and accounts for every row each time.
    async fn journey(&self, from: usize, to: usize, discard: bool) -> Result<Vec<Account>, String> {
        let name = format!("{}_to_{to}", self.full(from));
        self.admin(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await;
        self.admin(&format!("CREATE DATABASE {name} TEMPLATE {}", self.full(from))).await;
        let url = other_database(&self.server, &name);
        let ended = self.travel(&url, from, to, discard).await;
        self.admin(&format!("DROP DATABASE {name} WITH (FORCE)")).await;
        ended
    }

    async fn travel(
        &self,
        url: &str,
        from: usize,
        to: usize,
        discard: bool,
    ) -> Result<Vec<Account>, String> {
        let (history, tables) = (self.history, self.history.app.tables());
        let mut database = session(url).await;
        let mut watch = PgConnection::connect(url).await.expect("a connection");
        let clean = history.app.fingerprint(&mut database).await;
        let mut before = Snapshot::of(&mut watch, "public", &tables).await;
        let (mut accounts, mut last, mut owed) = (Vec::new(), 0, Vec::new());
        // To the state before and to the very first one, twice: every entry of the archive is then of
        // one of several rollbacks.
        let times = if to == 0 || to + 1 == from { 2 } else { 1 };
        for time in 0..times {
            let down = history.go(&mut database, Some(from), to, discard).await?;
            let seed = (from * 1000 + to * 10 + time) as u64;
            let how = Fill::new(seed, WRITES).without(&tables);
            let written = old_release_writes(&mut watch, "public", &how).await;
            let up = history.go(&mut database, Some(to), from, discard).await?;
            let after = Snapshot::of(&mut watch, "public", &tables).await;
            if history.app.fingerprint(&mut database).await.objects != clean.objects {
                return Err("the schema is another one".to_owned());
            }
            let entries = database.archive(&history.app.catalog.app).await.expect("the archive");
            let mut kept = Vec::new();
            for entry in entries.into_iter().filter(|it| it.id > last) {
                reported(&entry, &down, &up)?;
                let page = database.archive_page(entry.id, 0, 1_000_000).await.expect("a page");
                kept.push(KeptRows::new(entry, vec![page]));
            }
            let journey = Journey {
                before: &before,
                written: &written,
                after: &after,
                kept: &kept,
                owed: &owed,
                seeds: &[],
                computed: history.computed,
                carried: &[],
            };
            let mut account = journey.account();
            account.try_conflicts(&mut watch, "public").await;
            accounts.push(account);
            last = kept.iter().map(|it| it.entry.id).max().unwrap_or(last);
            owed = kept.into_iter().filter(|it| it.entry.direction == Direction::Up).collect();
            before = after;
        }
        Ok(accounts)
    }
}

/// Goes down and up several times, of which the application goes those up by itself but for the last:
/// then it starts as the newer release, and somebody works with it. How often is by chance.
async fn wanders(ground: &Ground<'_>, from: usize, to: usize) -> Result<Vec<Finding>, String> {
    let name = format!("{}_wanders_to_{to}", ground.full(from));
    ground.admin(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await;
    ground.admin(&format!("CREATE DATABASE {name} TEMPLATE {}", ground.full(from))).await;
    let url = other_database(&ground.server, &name);
    let ended = wander_on(ground, &url, from, to).await;
    ground.admin(&format!("DROP DATABASE {name} WITH (FORCE)")).await;
    ended
}

async fn wander_on(
    ground: &Ground<'_>,
    url: &str,
    from: usize,
    to: usize,
) -> Result<Vec<Finding>, String> {
    let (history, tables) = (ground.history, ground.history.app.tables());
    let mut database = session(url).await;
    let mut watch = PgConnection::connect(url).await.expect("a connection");
    let mut random = Random::new((from * 100 + to) as u64);
    let rounds = 2 + random.below(3);
    let (mut stays, mut found) = (Vec::new(), Snapshot::default());
    for round in 0..rounds {
        let left = Snapshot::of(&mut watch, "public", &tables).await;
        history.go(&mut database, Some(from), to, false).await?;
        let how = |random: &mut Random| Fill::new(random.number(), WRITES).without(&tables);
        let below = Snapshot::of(&mut watch, "public", &tables).await;
        old_release_writes(&mut watch, "public", &how(&mut random)).await;
        stays.push(Stay { found, left, below });
        found = Snapshot::default();
        if round + 1 < rounds {
            // Its own runner knows no archive.
            history.go(&mut database, Some(to), from, true).await?;
            found = Snapshot::of(&mut watch, "public", &tables).await;
            old_release_writes(&mut watch, "public", &how(&mut random)).await;
        }
    }
    history.go(&mut database, Some(to), from, false).await?;
    let after = Snapshot::of(&mut watch, "public", &tables).await;
    let mut kept = Vec::new();
    for entry in database.archive(&history.app.catalog.app).await.expect("the archive") {
        let page = database.archive_page(entry.id, 0, 1_000_000).await.expect("a page");
        kept.push(KeptRows::new(entry, vec![page]));
    }
    Ok(wander(&stays, &after, &kept))
}

/// What nobody can account for on the ways from each state to the one before it and to the first one.
fn all_wander(ground: &Ground<'_>, broken: Option<Rule>) -> Vec<String> {
    let states = 1..ground.history.states;
    let pairs: Vec<(usize, usize)> = states
        .flat_map(|from| BTreeSet::from([from - 1, 0]).into_iter().map(move |to| (from, to)))
        .collect();
    let (next_state, next) = (AtomicUsize::new(1), AtomicUsize::new(0));
    let failures = Mutex::new(Vec::new());
    parallel(async || {
        while let Some(state) = Some(next_state.fetch_add(1, Ordering::Relaxed))
            .filter(|it| *it < ground.history.states)
        {
            ground.fill(state).await;
        }
    });
    parallel(async || {
        break_rule(broken);
        while let Some((from, to)) = pairs.get(next.fetch_add(1, Ordering::Relaxed)) {
            let found = match wanders(ground, *from, *to).await {
                Ok(found) => found.iter().map(ToString::to_string).collect(),
                Err(error) => vec![error],
            };
            let told = found.into_iter().map(|it| format!("{from} to {to}: {it}"));
            failures.lock().expect("the lock").extend(told);
        }
    });
    failures.into_inner().expect("the lock")
}

/// The application migrates up by itself between the rollbacks: nothing that was written is lost, and
/// nothing older is in its place.
#[test]
fn nothing_newer_is_overwritten_where_the_application_migrates_by_itself() {
    let Some(server) = needs("lossless demo", "STERNWAY_TEST_PGVECTOR_URL") else { return };
    let history = harbour();
    let found = all_wander(&Ground { history: &history, server, test: "wander" }, None);
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn nothing_newer_of_kagents_is_overwritten_where_its_controller_migrates_by_itself() {
    let Some(repository) = needs("lossless kagent", "STERNWAY_KAGENT_REPO") else { return };
    let Some(server) = needs("lossless kagent", "STERNWAY_TEST_PGVECTOR_URL") else { return };
    let history = kagent(&repository);
    let found = all_wander(&Ground { history: &history, server, test: "kagent_wander" }, None);
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// The check must be able to fail: older entries go over newer values where nothing keeps them.
#[test]
fn without_its_rule_what_is_newer_is_overwritten() {
    let Some(server) = needs("lossless canary", "STERNWAY_TEST_PGVECTOR_URL") else { return };
    let history = harbour();
    let ground = Ground { history: &history, server, test: "wander_canary" };
    assert!(!all_wander(&ground, Some(Rule::NewerStays)).is_empty());
}

/// The rows must have all that could be lost on the way.
fn varied(rows: &Snapshot) {
    let has = |what: &dyn Fn(&Option<String>) -> bool| {
        rows.tables.values().flat_map(|table| table.rows.iter().flatten()).any(what)
    };
    let text = |what: fn(&str) -> bool| move |it: &Option<String>| it.as_deref().is_some_and(what);
    assert!(has(&Option::is_none), "no value is null");
    assert!(has(&text(|it| !it.is_ascii())), "no value has more than ASCII");
    assert!(has(&text(|it| it.len() > 8_192)), "no value is larger than a page");
    let mut columns = rows.tables.values().flat_map(|table| &table.columns);
    assert!(columns.any(|it| it.words.starts_with("vector(")), "no value is a vector");
}

/// What the archive says of an entry must be what the runs reported.
fn reported(entry: &Entry, down: &Report, up: &Report) -> Result<(), String> {
    let told = match entry.direction {
        Direction::Down => &down.kept,
        Direction::Up => &up.kept,
    };
    let told = told.iter().find(|it| it.id == entry.id).map(|it| (it.rows, it.estimated));
    if told != Some((entry.rows, false)) {
        return Err(format!("{told:?} was reported of what is kept: {entry:?}"));
    }
    let back = up.restored.iter().find(|it| it.id == entry.id).map(|it| &it.restored);
    if back != entry.restored.as_ref() || (entry.direction == Direction::Down && back.is_none()) {
        return Err(format!("{back:?} was reported of what became of it: {entry:?}"));
    }
    Ok(())
}

/// All journeys of a history, some at a time. Tells of each from where to where it led.
fn all(ground: &Ground<'_>, discard: bool) -> Vec<(usize, usize, Result<Vec<Account>, String>)> {
    let pairs: Vec<(usize, usize)> =
        (1..ground.history.states).flat_map(|from| (0..from).map(move |to| (from, to))).collect();
    let (next_state, next) = (AtomicUsize::new(1), AtomicUsize::new(0));
    let ended = Mutex::new(Vec::new());
    parallel(async || {
        loop {
            let state = next_state.fetch_add(1, Ordering::Relaxed);
            if state >= ground.history.states {
                break;
            }
            ground.fill(state).await;
        }
    });
    parallel(async || {
        while let Some((from, to)) = pairs.get(next.fetch_add(1, Ordering::Relaxed)) {
            let journey = ground.journey(*from, *to, discard).await;
            ended.lock().expect("the lock").push((*from, *to, journey));
        }
    });
    ended.into_inner().expect("the lock")
}

/// Does the same on some threads at once.
fn parallel(work: impl AsyncFn() + Sync) {
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                runtime.expect("a runtime").block_on(work());
            });
        }
    });
}

fn nothing_is_lost(history: &History, server: String, test: &'static str) {
    let start = Instant::now();
    let journeys = all(&Ground { history, server, test }, false);
    let (mut sum, mut failures) = (Account::default(), Vec::new());
    let (mut number, ways) = (0, journeys.len());
    for (from, to, ended) in journeys {
        let accounts = ended.unwrap_or_else(|error| {
            failures.push(format!("{from} to {to}: {error}"));
            Vec::new()
        });
        for account in accounts {
            number += 1;
            if !account.is_whole() {
                failures.push(format!("{from} to {to}: {account}"));
            }
            sum.add(account);
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    eprintln!(
        "{test}: {ways} ways back, {number} journeys, {} failed, {seconds:.1} s; {sum}",
        failures.len()
    );
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(sum.back > 0 && sum.left > 0 && sum.written > 0 && sum.intact > 0, "{sum}");
}

#[test]
fn nothing_of_kagents_is_lost_on_any_way_back() {
    let test = "kagent";
    let Some(repository) = needs("lossless kagent", "STERNWAY_KAGENT_REPO") else { return };
    let Some(server) = needs("lossless kagent", "STERNWAY_TEST_PGVECTOR_URL") else { return };
    nothing_is_lost(&kagent(&repository), server, test);
}

#[test]
fn nothing_of_the_demos_is_lost_on_any_way_back() {
    let Some(server) = needs("lossless demo", "STERNWAY_TEST_PGVECTOR_URL") else { return };
    nothing_is_lost(&harbour(), server, "demo");
}

/// The check must be able to fail: without the archive, rows are unaccounted for on every way that
/// destroys any.
#[test]
fn without_the_archive_rows_are_unaccounted_for() {
    let Some(server) = needs("lossless canary", "STERNWAY_TEST_PGVECTOR_URL") else { return };
    let history = harbour();
    let journeys = all(&Ground { history: &history, server, test: "canary" }, true);
    let mut lossy = 0;
    for (from, to, ended) in &journeys {
        let accounts = ended.as_ref().unwrap_or_else(|error| panic!("{from} to {to}: {error}"));
        let account = &accounts[0];
        assert_eq!(account.is_whole(), account.destroyed == 0, "{from} to {to}: {account}");
        lossy += usize::from(!account.is_whole());
    }
    let number = journeys.len();
    eprintln!("without the archive: {lossy} of {number} journeys leave rows unaccounted for");
    assert!(lossy > number / 2, "{lossy} of {number}");
}
