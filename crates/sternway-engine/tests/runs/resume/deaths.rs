//! A run that dies at each of its calls, before it and after it, is finished or taken back.

#![allow(clippy::print_stderr, reason = "the number of deaths is to be read")]

use std::collections::BTreeMap;

use sternway_database::Dialect;
use sternway_engine::event::Quiet;
use sternway_engine::rehearse::expectations;
use sternway_engine::run::{Outcome, Run, abort, resume, run};
use sternway_engine::shadow::{Checkpoints, checkpoints};
use sternway_model::journal::Progress;
use sternway_model::plan::Plan;
use sternway_model::proof::Expected;

use super::ground::{Ground, LOCK_TIMEOUT, NEW, OLD};
use crate::support::dying::{AppIs, Dying, Puppet};

/// What is found out once about the way in each direction.
struct Way {
    plan: Plan,
    expected: Vec<Expected>,
    checkpoints: BTreeMap<usize, Checkpoints>,
}

impl Way {
    async fn new(ground: &Ground, from: &str, to: &str) -> Way {
        let plan = ground.way(Some(from), to).await;
        let expected = expectations(&ground.shadow(), &plan).await.expect("expectations");
        let mut known = BTreeMap::new();
        for done in 0..=plan.steps().count() {
            let checkpoints =
                checkpoints(&ground.shadow(), &plan, done).await.expect("checkpoints");
            known.insert(done, checkpoints);
        }
        Way { plan, expected, checkpoints: known }
    }

    fn checkpoints(&self, progress: &Progress) -> &Checkpoints {
        let done = match progress {
            Progress::Before { step }
            | Progress::InDoubt { step, .. }
            | Progress::Failed { step, .. }
            | Progress::Interrupted { step } => *step,
            Progress::Aborting { left, .. } => *left,
            over => panic!("{over:?}"),
        };
        &self.checkpoints[&self.plan.migrations_before(done)]
    }
}

/// Lets a run die at each of its calls, before it and after it; then it is finished or taken back,
/// and that dies too, once.
async fn dies_everywhere(dialect: Dialect, test: &str) {
    let Some(ground) = Ground::on(dialect, test).await else { return };
    ground.installed(OLD).await;
    let old = ground.fingerprint().await;
    let up = Way::new(&ground, OLD, NEW).await;
    ground.installed(NEW).await;
    let new = ground.fingerprint().await;
    let down = Way::new(&ground, NEW, OLD).await;

    let (mut deaths, mut finished, mut back) = (0, 0, 0);
    for (way, from, to) in [(&down, NEW, OLD), (&up, OLD, NEW)] {
        let mut calls = 0;
        let mut arrived = false;
        while !arrived {
            calls += 1;
            for after in [false, true] {
                let aborts = (calls % 2 == 0) == after;
                if ground.at().await.position
                    != way.plan.basis.tracks[&"core".into()].row().position
                {
                    ground.installed_by(from).await;
                }
                let at =
                    format!("{dialect:?} to {to}, call {calls}, after {after}, aborts {aborts}");
                let plan = ground.way(Some(from), to).await;
                let mut app = Puppet::at(from);
                let mut dying = Dying { calls, after, ..Dying::never(ground.session().await) };
                let it = Run {
                    expected: Some(&way.expected),
                    app: Some(&mut app),
                    lock_timeout: LOCK_TIMEOUT,
                    ..Run::of(&plan)
                };
                let ended = run(it, &mut dying, &mut Quiet).await;
                let died = dying.calls == 0;
                drop(dying);
                if !died {
                    ended.expect("an end");
                    arrived = true;
                    break;
                }
                deaths += 1;
                let mut dies_again = Some(calls % 9 + 1);
                while let Some((id, progress)) = ground.unfinished().await {
                    let mut dying = Dying::never(ground.session().await);
                    if let Some(calls) = dies_again.take() {
                        (dying.calls, dying.after) = (calls, !after);
                    }
                    let again = dying.calls < usize::MAX;
                    let it = Run {
                        expected: Some(&way.expected),
                        checkpoints: Some(way.checkpoints(&progress)),
                        app: Some(&mut app),
                        lock_timeout: LOCK_TIMEOUT,
                        ..Run::of(&plan)
                    };
                    let ended = match aborts {
                        true => abort(it, id, &mut dying, &mut Quiet).await,
                        false => resume(it, id, &mut dying, &mut Quiet).await,
                    };
                    assert!(again || ended.is_ok(), "{at}: {progress:?}: {ended:?}");
                    if let Ok(Outcome::TakenBack { comparison }) = &ended {
                        let comparison = comparison.as_ref().expect("a comparison");
                        assert!(comparison.holds(), "{at}: {comparison:?}");
                    }
                    deaths += usize::from(ended.is_err());
                }
                let row = ground.at().await;
                assert!(!row.dirty, "{at}");
                let here = ground.fingerprint().await;
                let (is_old, is_new) = (here.objects == old.objects, here.objects == new.objects);
                assert!(is_old || is_new, "{at}: {row}");
                let release = if is_old { OLD } else { NEW };
                let is = AppIs { release: release.to_owned(), runs: true };
                assert_eq!(app.is(), is, "{at}");
                if is_new {
                    ground.log_is_whole().await;
                }
                if release == to { finished += 1 } else { back += 1 }
            }
        }
    }
    eprintln!("{dialect:?}: {deaths} deaths, {finished} times finished, {back} times as before");
    assert!(deaths > 150 && finished > 30 && back > 30, "{deaths} {finished} {back}");
    ground.gone().await;
}

#[tokio::test]
async fn a_run_that_dies_anywhere_is_finished_or_taken_back_on_postgresql() {
    dies_everywhere(Dialect::Postgres, "dies").await;
}

#[tokio::test]
async fn a_run_that_dies_anywhere_is_finished_or_taken_back_on_sqlite() {
    dies_everywhere(Dialect::Sqlite, "dies").await;
}

#[tokio::test]
async fn a_run_that_dies_anywhere_is_finished_or_taken_back_on_mariadb() {
    dies_everywhere(Dialect::MySql, "dies").await;
}
