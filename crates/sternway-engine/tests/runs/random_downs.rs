//! Random applications whose down halves are incomplete or mistaken, on databases that somebody has changed
//! and others have built on: a journey is refused before its first write, or it ends, whatever cuts it
//! short; it says "proved" where an independent look finds a clean install and nowhere else; `status`
//! agrees with it; every value that people have written is there or in the archive, and none comes back
//! over a newer one.
//!
//! `STERNWAY_TEST_DOWNS=FIRST..LAST` tries others than the suite does, and says what they came to.

#![allow(clippy::print_stderr, reason = "what long runs came to is to be read")]

mod canary;
mod case;
mod hands;
mod model;
mod place;
mod rows;

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Instant;

use sternway_database::Dialect;
use sternway_engine::journey::JourneyError;

use case::{case, chain};
use place::Place;

/// What the cases came to.
#[derive(Debug, Default)]
pub struct Count {
    /// Applications whose own up halves do not run.
    none: u64,
    proved: u64,
    told: u64,
    accepted: u64,
    cut: u64,
    taken_back: u64,
    refusals: BTreeMap<String, u64>,
    examples: BTreeMap<String, String>,
}

impl Count {
    fn arrived(&mut self, is_clean: bool, accepted: &[String]) {
        match is_clean {
            true => self.proved += 1,
            false => self.told += 1,
        }
        self.accepted += u64::from(!accepted.is_empty());
    }

    fn refused(&mut self, error: &JourneyError, case: &str) {
        self.met("refused", error, case);
    }

    fn failed(&mut self, error: &JourneyError, case: &str) {
        self.met("failed", error, case);
    }

    fn met(&mut self, what: &str, error: &JourneyError, case: &str) {
        let text = chain(error);
        let text = text.split(['`', ':']).take(3).collect::<String>();
        let text: String = text.chars().filter(|it| !it.is_ascii_digit()).take(90).collect();
        let kind = format!("{what} {text}");
        *self.refusals.entry(kind.clone()).or_default() += 1;
        self.examples.entry(kind).or_insert(format!("{case}: {}", chain(error)));
    }
}

/// The seeds that were asked for.
fn asked() -> Option<Range<u64>> {
    let text = std::env::var("STERNWAY_TEST_DOWNS").ok()?;
    let (first, last) = text.split_once("..").expect("FIRST..LAST");
    Some(first.parse().expect("a number")..last.parse().expect("a number"))
}

async fn cases(dialect: Dialect, test: &str, seeds: Range<u64>) -> Option<Count> {
    let (asked, start) = (asked(), Instant::now());
    // Several may run at a time.
    let name = asked.as_ref().map_or(test.to_owned(), |seeds| format!("{test}_{}", seeds.start));
    let mut place = Place::on(dialect, &name).await?;
    let (mut count, mut failures) = (Count::default(), Vec::new());
    for seed in asked.clone().unwrap_or(seeds) {
        if asked.is_some() && seed.is_multiple_of(10) {
            eprintln!("{test}: at seed {seed} after {:?}", start.elapsed());
        }
        if let Err(error) = case(seed, &mut place, &mut count).await {
            if asked.is_some() {
                eprintln!("{error}\n");
            }
            failures.push(error);
        }
        if failures.len() > 20 {
            break;
        }
    }
    if asked.is_some() {
        eprintln!("{test}: {count:#?} in {:?}", start.elapsed());
    }
    assert!(failures.is_empty(), "{} failed\n{}", failures.len(), failures.join("\n\n"));
    Some(count)
}

#[tokio::test]
async fn random_applications_on_sqlite() {
    let count = cases(Dialect::Sqlite, "sqlite", 0..340).await;
    // Each kind of end is met.
    let many = |it: &Count| it.proved > 500 && it.told > 300 && it.taken_back > 50;
    assert!(asked().is_some() || count.as_ref().is_none_or(many), "{count:?}");
}

/// The same on other threads.
#[tokio::test]
async fn more_random_applications_on_sqlite() {
    cases(Dialect::Sqlite, "more", 340..690).await;
}

#[tokio::test]
async fn random_applications_on_postgres() {
    cases(Dialect::Postgres, "postgres", 100..108).await;
}

#[tokio::test]
async fn random_applications_on_mariadb() {
    cases(Dialect::MySql, "mariadb", 95..98).await;
}
