//! The way between any two releases of the crate sqlxmq, whose migrations were written for another
//! migrator, and with their mistakes.
//!
//! Runs when `STERNWAY_TEST_SQLXMQ` is a folder with `VERSION/migrations/*.sql` of every release. The
//! embedded PostgreSQL has plain functions for the extension uuid-ossp, which they need: the clean installs and
//! the journeys that a run is held against are made on a real server too.

#![allow(clippy::print_stderr, reason = "the matrix tells how long it took")]

use std::collections::BTreeMap;
use std::time::Instant;

use sternway_database::postgres::Postgres;
use sternway_engine::run::{Run, run};
use sternway_model::catalog::{Enabled, Track};
use sternway_model::plan::{Course, Plan, PlanError};
use sternway_model::policy::Policy;
use sternway_model::proof::{Comparison, Difference, Expected, Fingerprint};
use sternway_model::state::Identity;
use sternway_source::{Layout, Location};

use crate::support::rows::{fill, survive};
use crate::support::{self, App, Quiet, arrived, empty, fresh, needs, session, steps};

const EXTENSION: &str = "uuid-ossp";

/// The releases by what they have, oldest first: the first two wrote their only migration anew under
/// its old number, and so did the third, which then went on from there.
const RELEASES: [(Line, &[&str]); 6] = [
    (Line::First, &["0.1.0", "0.1.1", "0.1.2", "0.2.0", "0.2.1", "0.2.2"]),
    (Line::Second, &["0.3.0"]),
    (Line::Third(2), &["0.3.1"]),
    (Line::Third(3), &["0.3.3", "0.3.4"]),
    (Line::Third(4), &["0.3.5", "0.4.0", "0.4.1"]),
    (Line::Third(5), &["0.5.0", "0.6.0"]),
];

/// One history, of several that share a number; the last one with how many migrations it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Line {
    First,
    Second,
    Third(usize),
}

impl Line {
    /// How many migrations lie between; `None` where one number means two things.
    fn distance(self, other: Line) -> Option<usize> {
        match (self, other) {
            (Self::Third(one), Self::Third(other)) => Some(one.abs_diff(other)),
            (one, other) => (one == other).then_some(0),
        }
    }

    /// The functions that the way down leaves as they are in the newer release. Read in the files:
    /// the down half of the fifth migration of the third line is empty, and its up half replaces both
    /// functions of the second.
    fn not_restored(self, to: Line) -> &'static [&'static str] {
        match (self, to) {
            (Self::Third(5), Self::Third(2..=4)) => {
                &["mq_clear(channel_names text[])", "mq_clear_all()"]
            }
            _ => &[],
        }
    }
}

fn sqlxmq(folder: String) -> App {
    let track = Track {
        name: "sqlxmq".into(),
        paths: vec!["migrations".into()],
        until: None,
        table: "schema_migrations".to_owned(),
        enabled: Enabled::Always,
        requires_extension: Some(EXTENSION.to_owned()),
    };
    let layout = Layout {
        app: "sqlxmq".to_owned(),
        tag: "{version}".parse().expect("a pattern"),
        tracks: vec![track],
    };
    App::read(&Location::Directory(folder.into()), &layout, Policy::default())
}

/// Makes the database a clean install of a release.
async fn install(app: &App, database: &mut Postgres, of: &str) -> Fingerprint {
    empty(database, &[EXTENSION]).await;
    let plan = app.way(database, None, Course::Upgrade, of).await.expect("a plan to install");
    run(Run::of(&plan), database, &mut Quiet).await.expect("an install");
    app.fingerprint(database).await
}

/// What each hop of `plan` should lead to, found out on a second database.
async fn expected(app: &App, plan: &Plan, from: &str, second: &mut Postgres) -> Vec<Expected> {
    let mut expected = Vec::new();
    for hop in &plan.hops {
        let clean = install(app, second, &hop.to.to_string()).await;
        let mut known: Vec<_> = clean.objects.keys().cloned().collect();
        known.extend(install(app, second, from).await.objects.into_keys());
        let mut way = plan.clone();
        way.hops.truncate(expected.len() + 1);
        way.basis.identity = Identity::default();
        run(Run::of(&way), second, &mut Quiet).await.expect("the journey");
        let journey = app.fingerprint(second).await;
        let journey = (journey.objects != clean.objects).then_some(journey);
        let known = known.into_iter().collect();
        expected.push(Expected { clean, journey, known, ..Expected::default() });
    }
    expected
}

/// The functions that an end differs in because of the migrations.
fn left(proof: &Comparison) -> Vec<&str> {
    let names = proof.of_the_migrations.iter().filter_map(|difference| match difference {
        Difference::Changed { object, .. } if object.kind == "function" => {
            Some(object.name.as_str())
        }
        // Their down halves leave what later releases say of them.
        Difference::Unexpected { object, .. } if object.kind == "comment" => None,
        other => panic!("{other}"),
    });
    names.collect()
}

#[tokio::test]
async fn every_release_leads_to_every_other() {
    let test = "sqlxmq matrix";
    let Some(folder) = needs(test, "STERNWAY_TEST_SQLXMQ") else { return };
    let Some(url) = needs(test, "STERNWAY_TEST_PG_URL") else { return };
    let start = Instant::now();
    let app = sqlxmq(folder);
    let releases: Vec<(Line, &str)> =
        RELEASES.iter().flat_map(|(line, all)| all.iter().map(|it| (*line, *it))).collect();
    assert!(
        app.catalog.releases.keys().map(ToString::to_string).eq(releases.iter().map(|it| it.1))
    );
    let mut database = session(&fresh(&url, "sternway_engine_sqlxmq_1").await).await;
    let mut second = session(&fresh(&url, "sternway_engine_sqlxmq_2").await).await;
    let mut made: BTreeMap<String, Vec<Expected>> = BTreeMap::new();
    let (mut executed, mut refused, mut unfaithful) = (0, 0, 0);
    let mut stands_at = None;
    for (from_line, from) in &releases {
        for (to_line, to) in releases.iter().filter(|it| it.1 != *from) {
            if stands_at != Some(from) {
                install(&app, &mut database, from).await;
                fill(&mut database).await.expect("rows");
                stands_at = Some(from);
            }
            let older = support::release(to) < support::release(from);
            let course = if older { Course::Rollback } else { Course::Upgrade };
            let plan = app.way(&mut database, Some(from), course, to).await;
            let Some(distance) = from_line.distance(*to_line) else {
                // One number, two contents: nobody can tell what leads from one to the other.
                assert!(matches!(plan, Err(PlanError::Contents { .. })), "{from} {to}: {plan:?}");
                refused += 1;
                continue;
            };
            stands_at = None;
            let plan = plan.expect("a plan");
            assert_eq!(steps(&plan).len(), distance, "{from} {to}");
            let key = format!("{:?} {:?}", from_line, plan.hops);
            if !made.contains_key(&key) {
                made.insert(key.clone(), expected(&app, &plan, from, &mut second).await);
            }
            let ended = {
                let run_it = Run { expected: Some(&made[&key]), ..Run::of(&plan) };
                run(run_it, &mut database, &mut Quiet).await
            };
            let proofs = arrived(ended);
            let last = proofs.last().expect("a proof");
            assert!(last.drift.is_empty() && last.foreign.is_empty(), "{from} {to}: {last:?}");
            assert_eq!(left(last), from_line.not_restored(*to_line), "{from} {to}");
            unfaithful += usize::from(!last.of_the_migrations.is_empty());
            survive(&mut database).await.expect("rows");
            executed += 1;
        }
    }
    eprintln!(
        "sqlxmq: {executed} pairs executed, {refused} refused, {unfaithful} of the executed are not \
         restored by their down halves, {:.1} s",
        start.elapsed().as_secs_f64()
    );
    assert_eq!((executed, refused, unfaithful), (86, 124, 12));
}
