//! Sternway in golang-migrate's place: the same command line, files and database, and what both
//! did is compared: exit code, output, tracking rows, schema, data and files.
//!
//! Where Sternway differs on purpose, the case names the difference (`docs/golang-migrate.md` has
//! them all), and says what either does. `support::message` says how words are compared.
//!
//! `STERNWAY_TEST_CASES=TEXT` runs only the cases with the text in their names.
//! `STERNWAY_TEST_ITSELF=1` first runs each case with golang-migrate in Sternway's place.

#![cfg(feature = "embedded")]

#[path = "../both/mod.rs"]
mod both;
#[path = "../support/mod.rs"]
mod support;

mod case;
mod arguments;
mod bodies;
mod create;
mod differences;
mod files;
mod locks;
mod parameters;
mod states;
mod travel;

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use both::server::{Admin, Kind};
use both::state::State;
use both::{Pair, Place, Ran, Tool, message};
use case::{Case, Claim, Difference};

/// Who stands in Sternway's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Against {
    Sternway,
    /// golang-migrate itself: proves that whatever differs is Sternway's, and that golang-migrate
    /// does what `docs/golang-migrate.md` says of it.
    Itself,
}

#[test]
fn postgresql() {
    check(Kind::PostgreSql, "conformance on PostgreSQL");
}

#[test]
fn mariadb() {
    check(Kind::MariaDb, "conformance on MariaDB");
}

#[test]
fn sqlite() {
    check(Kind::Sqlite, "conformance on SQLite");
}

#[test]
fn without_a_database() {
    check(Kind::None, "conformance without a database");
}

#[test]
fn every_difference_is_documented_and_shown() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/golang-migrate.md");
    let text = fs::read_to_string(file).expect("the page");
    let rows = text.lines().filter_map(|line| line.strip_prefix("| D")?.split_once(' '));
    let documented: BTreeSet<String> = rows.map(|(id, _)| format!("D{id}")).collect();
    let cases = cases();
    let shown = cases.iter().flat_map(Case::differences).map(|it| it.id.to_owned());
    let elsewhere = differences::SHOWN_ELSEWHERE.iter().map(|&(id, _)| id.to_owned());
    assert_eq!(documented, shown.chain(elsewhere).collect());
}

#[test]
fn no_two_cases_have_one_name() {
    let cases = cases();
    let mut names = BTreeSet::new();
    for case in &cases {
        for kind in case.kinds {
            assert!(names.insert(format!("{kind:?} {}", case.name)), "{}", case.name);
        }
    }
    assert!(cases.len() > 260, "{}", cases.len());
}

fn cases() -> Vec<Case> {
    [
        travel::cases(),
        states::cases(),
        arguments::cases(),
        create::cases(),
        files::cases(),
        bodies::cases(),
        parameters::cases(),
        locks::cases(),
        differences::cases(),
    ]
    .concat()
}

/// Runs the cases of a kind, several at once; with `STERNWAY_TEST_ITSELF=1`, against golang-migrate
/// itself first.
fn check(kind: Kind, test: &str) {
    if std::env::var_os("STERNWAY_TEST_ITSELF").is_some_and(|it| it == "1") {
        check_against(kind, Against::Itself, test);
    }
    check_against(kind, Against::Sternway, test);
}

fn check_against(kind: Kind, against: Against, test: &str) {
    let Some(pair) = Pair::new(kind, test) else { return };
    let only = std::env::var("STERNWAY_TEST_CASES").unwrap_or_default();
    let chosen = |it: &Case| it.kinds.contains(&kind) && it.name.contains(&only);
    let cases: Vec<_> = cases().into_iter().filter(chosen).collect();
    let (next, failures) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut admin = pair.admin();
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let compared = || compare(case, &pair, &mut admin, against);
                    let compared = catch_unwind(AssertUnwindSafe(compared));
                    if let Err(why) = compared.unwrap_or_else(|_| Err("  it panicked\n".to_owned()))
                    {
                        let id = case.difference(kind).map_or("", |it| it.id);
                        let failure = format!("{}  [{kind:?} {id}]\n{why}", case.name);
                        failures.lock().expect("a list").push(failure);
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().expect("a list");
    let (failed, all) = (failures.len(), cases.len());
    assert!(failed == 0, "{against:?}: {failed} of {all} cases:\n\n{}", failures.join("\n"));
}

/// A run, and what there is after it.
struct Outcome<'a> {
    place: Place<'a>,
    ran: Ran,
    state: State,
}

impl<'a> Outcome<'a> {
    fn of(case: &Case, pair: &'a Pair, admin: &mut Admin, tool: Tool) -> Outcome<'a> {
        let place = Place::new(pair, admin);
        case.prepare(&place, admin);
        let ran = case.act(&place, tool);
        let mut state = case.state(&place, admin);
        if ran.stderr.starts_with("panic:") {
            // Golang-migrate reads files while it writes: what its panic interrupts is left to chance.
            state.files.retain(|it| !it.starts_with("db.sqlite-journal"));
        }
        Outcome { place, ran, state }
    }

    /// What of a claim is not so.
    fn misses(&self, claim: &Claim) -> Vec<String> {
        let mut missed = Vec::new();
        let mut must = |holds: bool, what: String| {
            if !holds {
                missed.push(what);
            }
        };
        let text = message::plain(&self.place, &self.ran.stderr).lines.join("\n");
        claim.code.into_iter().for_each(|it| must(self.ran.code == Some(it), format!("exit {it}")));
        claim.says.iter().for_each(|it| must(text.contains(it), format!("says {it:?}")));
        claim.lacks.iter().for_each(|it| must(!text.contains(it), format!("does not say {it:?}")));
        let at = &self.state.tracking;
        claim.tracking.iter().for_each(|it| must(at == it, format!("is at {it}")));
        let indexes = self.state.schema.iter().filter(|it| it.starts_with("index ")).count();
        claim.indexes.iter().for_each(|it| must(indexes == *it, format!("has {it} indexes")));
        claim.tables.iter().for_each(|it| must(self.state.tables == *it, format!("tables {it}")));
        for name in claim.files.iter().flatten() {
            let found = self.state.files.iter().any(|it| it.starts_with(name));
            must(found, format!("file {name}"));
        }
        for name in &claim.no_files {
            let found = self.state.files.iter().any(|it| it.starts_with(name));
            must(!found, format!("no file {name}"));
        }
        missed
    }
}

/// Both on the same case.
fn compare(case: &Case, pair: &Pair, admin: &mut Admin, against: Against) -> Result<(), String> {
    let second = match against {
        Against::Sternway => Tool::Sternway,
        Against::Itself => Tool::GolangMigrate,
    };
    let difference = case.difference(pair.kind);
    let golang = Outcome::of(case, pair, admin, Tool::GolangMigrate);
    let mut wrong = String::new();
    if let Some(difference) = difference {
        for missed in golang.misses(&difference.golang) {
            let _ = writeln!(wrong, "  golang-migrate does not do what is claimed: {missed}");
        }
    }
    if difference.is_none() || against == Against::Sternway {
        let sternway = Outcome::of(case, pair, admin, second);
        if let Some(difference) = difference {
            for missed in sternway.misses(&difference.sternway) {
                let _ = writeln!(wrong, "  Sternway does not do what is documented: {missed}");
            }
        }
        alike(case, difference, &golang, &sternway, &mut wrong);
        if !wrong.is_empty() {
            let State { tracking, tables, .. } = &sternway.state;
            let _ = writeln!(wrong, "  second {:?} {tracking} ({tables})", sternway.ran);
        }
    }
    if wrong.is_empty() {
        return Ok(());
    }
    let _ = writeln!(wrong, "  golang-migrate {:?} {}", golang.ran, golang.state.tracking);
    Err(wrong)
}

/// Compares what no difference is claimed for.
fn alike(
    case: &Case,
    difference: Option<&Difference>,
    golang: &Outcome,
    sternway: &Outcome,
    wrong: &mut String,
) {
    let claims = difference.iter().flat_map(|it| [&it.golang, &it.sternway]);
    let claims: Vec<_> = claims.collect();
    let free = |about: fn(&Claim) -> bool| !claims.iter().any(|it| about(it));
    let mut same = |what: &str, ours: &dyn std::fmt::Debug, theirs: &dyn std::fmt::Debug| {
        let (ours, theirs) = (format!("{ours:?}"), format!("{theirs:?}"));
        if ours != theirs {
            let _ = writeln!(wrong, "  {what}: {ours}\n    instead of {theirs}");
        }
    };
    let (ours, theirs) = (&sternway.state, &golang.state);
    // Sternway's note of where a body failed is there only beside a dirty mark (D30).
    let marked = ours.tracking.contains("dirty") || ours.tracking == "absent";
    same("a note", &(ours.progress.is_some() && !marked), &theirs.progress.is_some());
    same("stdout", &sternway.ran.stdout, &golang.ran.stdout);
    if free(|it| it.code.is_some()) {
        same("exit", &sternway.ran.code, &golang.ran.code);
    }
    if free(|it| it.tracking.is_some()) {
        same("tracking", &ours.tracking, &theirs.tracking);
    }
    if free(|it| it.tables.is_some()) {
        same("tables", &ours.tables, &theirs.tables);
        same("rows", &ours.rows, &theirs.rows);
        // The tracking table itself may be claimed to be there for one of them only.
        let own = |it: &Claim| it.tracking.as_ref().is_some_and(|it| it == "absent");
        if free(|it| it.indexes.is_some()) && !claims.iter().any(|it| own(it)) {
            same("schema", &ours.schema, &theirs.schema);
        }
    }
    if free(|it| it.files.is_some()) {
        same("files", &ours.files, &theirs.files);
    }
    if free(|it| !it.says.is_empty() || !it.lacks.is_empty()) {
        let said = |it: &Ran| !it.stderr.is_empty();
        if case.usage {
            same("an answer", &said(&sternway.ran), &said(&golang.ran));
            return;
        }
        let expected = message::expected(&golang.place, &golang.ran);
        if !message::agrees(&expected, &sternway.place, &sternway.ran) {
            let ours = message::plain(&sternway.place, &sternway.ran.stderr);
            same("stderr", &ours, &expected);
        }
    }
}
