//! One application on its way: Sternway's journeys, some of which are cut short, upgrades by the application
//! itself, people who write in between; and what must hold after each.

use std::collections::BTreeSet;
use std::fs;

use sternway_database::Dialect;
use sternway_database::dialect::connect;
use sternway_database::port::prelude::*;
use sternway_engine::event::Quiet;
use sternway_engine::gather::{Settings, Source, gather};
use sternway_engine::journey::{
    Approval, JourneyError, Manner, Ports, abort, prepare, resume, the_run, travel,
};
use sternway_engine::run::{Outcome, RunError};
use sternway_engine::shadow::Shadow;
use sternway_engine::status::{Schema, Status, Verdict, status};
use sternway_model::catalog::{Enabled, Track};
use sternway_model::plan::{Course, Migrate, Request};
use sternway_model::policy::Policy;
use sternway_model::proof::{Comparison, Difference, ObjectName};
use sternway_source::{Layout, Location};
use sternway_testing::Random;
use tempfile::TempDir;

use super::model::{RELEASES, write};
use super::place::{Place, TRACKING};
use super::rows::{Rows, Spot, placed, spots};
use super::{Count, hands};
use crate::journey::Shelf;
use crate::support::dying::Dying;
use crate::support::{App, release};

/// The application's name.
const APP: &str = "random";

pub struct Case<'a> {
    place: &'a mut Place,
    count: &'a mut Count,
    random: Random,
    folder: TempDir,
    app: App,
    settings: Settings,
    shadow: Shadow,
    /// What a clean install of each release looks like.
    clean: Vec<BTreeSet<String>>,
    /// The columns that each has.
    spots: Vec<BTreeSet<Spot>>,
    rows: Rows,
    at: u64,
    name: String,
    /// What has happened so far.
    log: Vec<String>,
    /// Whether Sternway has brought it here, and nobody has changed its schema since.
    untouched: bool,
}

/// How a journey ended.
#[derive(Debug)]
enum End {
    /// Nothing was touched.
    Refused,
    /// It arrived, with this proof of the last hop where it was not cut short.
    Arrived(Option<Comparison>),
    TakenBack(Option<Comparison>),
}

/// Tries one application; what must not be is the error.
pub async fn case(seed: u64, place: &mut Place, count: &mut Count) -> Result<(), String> {
    let mut random = Random::new(seed);
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path(), place.dialect, &mut random);
    let track = Track {
        name: "core".into(),
        paths: vec!["m".into()],
        until: None,
        table: TRACKING.to_owned(),
        enabled: Enabled::Always,
        requires_extension: None,
    };
    let tag = "{version}".parse().expect("a pattern");
    let layout = Layout { app: APP.to_owned(), tag, tracks: vec![track] };
    let location = Location::Directory(folder.path().to_owned());
    let app = App::read(&location, &layout, Policy::default());
    let settings = Settings {
        app: APP.to_owned(),
        tracks: app.catalog.tracks.clone(),
        policy: Policy::default(),
        dialect: place.dialect,
        running: None,
        offline: false,
    };
    place.empty().await;
    let (mut clean, mut has) = (vec![place.look().await], vec![spots(place).await]);
    for step in 1..=RELEASES {
        // An application whose own up halves do not run is none.
        if place.run(&body(&folder, step)).await.is_err() {
            count.none += 1;
            return Ok(());
        }
        clean.push(place.look().await);
        has.push(spots(place).await);
    }
    place.empty().await;
    let shadow = place.shadow(seed);
    let (rows, at, name, log) = (Rows::none(), 0, format!("seed {seed}"), Vec::new());
    let mut case = Case {
        place,
        count,
        random,
        folder,
        app,
        settings,
        shadow,
        clean,
        spots: has,
        rows,
        at,
        name,
        log,
        untouched: true,
    };
    case.go().await.map_err(|error| {
        format!("{}: {error}\n{}\n{}", case.name, case.log.join("\n"), bodies(&case.folder))
    })
}

/// All that an application consists of, to be read.
fn bodies(folder: &TempDir) -> String {
    let mut text = String::new();
    for step in 2..=RELEASES {
        for half in ["up", "down"] {
            let file = format!("{step}_m.{half}.sql");
            let path = folder.path().join(format!("1.{RELEASES}.0/m/{file}"));
            text += &format!("-- {file}\n{}", fs::read_to_string(path).expect("a body"));
        }
    }
    text
}

fn body(folder: &TempDir, step: u64) -> String {
    let file = format!("1.{RELEASES}.0/m/{step}_m.up.sql");
    fs::read_to_string(folder.path().join(file)).expect("a body")
}

impl Case<'_> {
    async fn go(&mut self) -> Result<(), String> {
        self.journey(RELEASES, Course::Upgrade).await?;
        self.rows.write(self.place, &mut self.random).await;
        if self.random.once_in(2) {
            hands::drift(self.place, &mut self.random).await;
            self.untouched = false;
        }
        if self.random.once_in(2) {
            hands::others(self.place, &mut self.random).await;
            self.untouched = false;
        }
        for way in 1..=5 {
            let up = self.at < RELEASES && (self.at < 2 || self.random.once_in(2));
            let to = match up {
                true => self.at + 1 + self.random.number() % (RELEASES - self.at),
                false => 1 + self.random.number() % (self.at - 1),
            };
            let (course, by_itself) = match up {
                true => (Course::Upgrade, self.random.once_in(4) && self.at > 0),
                false => (Course::Rollback, false),
            };
            let how = if by_itself { " by itself" } else { "" };
            let seed = self.name.split(',').next().unwrap_or_default();
            self.name = format!("{seed}, way {way}: {course} from {} to {to}{how}", self.at);
            if by_itself {
                self.by_itself(to).await?
            } else {
                self.journey(to, course).await?
            }
            if !self.random.once_in(3) {
                self.rows.write(self.place, &mut self.random).await;
            }
        }
        Ok(())
    }

    /// The application migrates up when it starts, as golang-migrate does, and stops where a body fails.
    async fn by_itself(&mut self, to: u64) -> Result<(), String> {
        for step in self.at + 1..=to {
            let body = body(&self.folder, step);
            // MySQL takes no empty statement.
            let body = body.trim_end().trim_end_matches(';');
            let sql = format!("BEGIN; {body}\n; UPDATE {TRACKING} SET version = {step}; COMMIT");
            if self.place.run(&sql).await.is_err() {
                let _ = self.place.run("ROLLBACK").await;
                break;
            }
            self.at = step;
        }
        let mut database = connect(&self.place.url, None).await.expect("a session");
        self.rows.forget(self.place, &mut *database).await;
        self.untouched = false;
        let look = self.place.look().await;
        self.agrees(&mut *database, &look, false).await
    }

    async fn journey(&mut self, to: u64, course: Course) -> Result<(), String> {
        let (before, others) = (self.place.look().await, self.place.of_others().await);
        let there = placed(self.place).await;
        let mut accepted = Vec::new();
        let ended = loop {
            match self.attempt(to, course, &accepted).await? {
                Ok(end) => break end,
                Err(error) => {
                    let look = self.place.look().await;
                    if look != before || self.place.of_others().await != others {
                        return Err(format!("refused after a write: {error}"));
                    }
                    self.is_refused_rightly(course, &error, &before)?;
                    let wants: Vec<String> = match &error {
                        JourneyError::TakesForeign { objects, .. } => plain(objects.iter()),
                        JourneyError::Lacks { lacks, .. } if !self.random.once_in(3) => {
                            plain(lacks.iter().map(|it| it.object()))
                        }
                        JourneyError::RowsForbid { adds, .. } if !self.random.once_in(3) => {
                            plain(adds.iter())
                        }
                        _ => Vec::new(),
                    };
                    let more: Vec<String> =
                        wants.into_iter().filter(|it| !accepted.contains(it)).collect();
                    if more.is_empty() {
                        self.log.push(format!("{}: {}", self.name, chain(&error)));
                        self.count.refused(&error, &self.name);
                        break End::Refused;
                    }
                    accepted.extend(more);
                }
            }
        };
        let mut database = connect(&self.place.url, None).await.expect("a session");
        if let Some(left) = database.unfinished(APP).await.expect("records") {
            return Err(format!("a run is left: {:?}", left.progress));
        }
        self.log.push(format!("{}: {ended:?} {accepted:?}", self.name));
        let look = self.place.look().await;
        let track = database.track(TRACKING).await.expect("a track").row();
        if track.dirty {
            return Err("it is dirty".to_owned());
        }
        let was = std::mem::replace(&mut self.at, track.position.number().unwrap_or(0));
        match &ended {
            End::Arrived(proof) => {
                if self.at != to {
                    return Err(format!("it arrived at {}", self.at));
                }
                let is_clean = look == self.clean[to as usize];
                if let Some(proof) = proof
                    && proof.is_clean_install() != is_clean
                {
                    return Err(format!("its proof is wrong: {}", self.differs(&look, to, proof)));
                }
                self.untouched |= is_clean && others.is_empty();
                // What somebody has accepted is not what Sternway would have left.
                self.untouched &= is_clean || accepted.is_empty();
                self.count.arrived(is_clean, &accepted);
            }
            End::TakenBack(comparison) => {
                let is_back = look == before && self.at == was;
                let says = comparison.as_ref().map(Comparison::is_clean_install);
                if says.is_some_and(|it| it != is_back) {
                    let differ: Vec<&String> = look.symmetric_difference(&before).collect();
                    return Err(format!("taken back: {comparison:?}, and {differ:#?}"));
                }
                self.count.taken_back += 1;
            }
            End::Refused if self.at != was => return Err("refused, and it moved".to_owned()),
            End::Refused => {}
        }
        let mut findings = self.rows.findings(self.place, &mut *database).await;
        if accepted.is_empty() {
            let now = placed(self.place).await;
            // What each release on the way has is nothing that any of them takes away.
            let stays = |at: &Spot| {
                self.spots[to.min(was) as usize..=to.max(was) as usize]
                    .iter()
                    .all(|it| it.contains(at))
            };
            let gone = there.iter().filter(|(mark, at)| stays(at) && !now.contains_key(mark));
            findings.extend(gone.map(|(mark, at)| format!("{mark} is no longer in {at:?}")));
        }
        if !findings.is_empty() {
            return Err(format!("{findings:#?}"));
        }
        let whole = matches!(ended, End::Arrived(_));
        self.agrees(&mut *database, &look, whole).await?;
        self.nothing_of_others_is_lost(&mut *database, &others, &accepted).await
    }

    /// What Sternway itself has left is no reason, and neither is what it can generate.
    fn is_refused_rightly(
        &self,
        course: Course,
        error: &JourneyError,
        before: &BTreeSet<String>,
    ) -> Result<(), String> {
        let told = |why: &str| Err(format!("refused though {why}: {}", chain(error)));
        match error {
            JourneyError::Rehearse { .. } if course == Course::Upgrade && self.untouched => {
                told("the way up is from where Sternway left it")
            }
            JourneyError::Lacks { lacks, .. } if lacks.iter().all(|it| can_be_made(it, before)) => {
                told("all that is missing can be made")
            }
            _ => Ok(()),
        }
    }

    fn differs(&self, look: &BTreeSet<String>, to: u64, proof: &Comparison) -> String {
        let differ: Vec<&String> = look.symmetric_difference(&self.clean[to as usize]).collect();
        format!("{proof:#?}\nand {differ:#?}")
    }

    /// Prepares a journey and makes it; where it is cut short, or fails, it is ended one way or the other.
    async fn attempt(
        &mut self,
        to: u64,
        course: Course,
        accepted: &[String],
    ) -> Result<Result<End, JourneyError>, String> {
        let session = connect(&self.place.url, None).await.expect("a session");
        let mut dying = Dying::never(session);
        let target = release(&format!("1.{to}.0"));
        let accepted = accepted.to_vec();
        let request = Request { course: Some(course), accepted, ..Request::to(target) };
        let (mut source, mut quiet, manner) =
            (Shelf(self.app.catalog.clone()), Quiet, Manner::default());
        let shadow = &self.shadow;
        let mut ports = without_app(Some(&mut source), &mut dying, shadow, &mut quiet);
        let journey = match prepare(&self.settings, &request, &manner, &mut ports).await {
            Ok(journey) => journey,
            Err(error) => return Ok(Err(error)),
        };
        self.log.push(journey.plan().to_string());
        let fitted = journey.plan().all_steps();
        let fitted = fitted.map(|(_, it)| it.migration().is_some_and(Migrate::is_fitted));
        let fitted: Vec<bool> = fitted.collect();
        if self.random.once_in(5) {
            dying.calls = 1 + self.random.below(24);
            dying.after = self.random.once_in(2);
        }
        let mut ports = without_app(Some(&mut source), &mut dying, shadow, &mut quiet);
        let ended = travel(journey, &manner, |_| Approval::Given, &mut ports).await;
        let was_cut = dying.calls == 0;
        drop(dying);
        match ended {
            Ok((_, Outcome::Arrived { proofs, .. })) => {
                Ok(Ok(End::Arrived(proofs.into_iter().next_back().flatten())))
            }
            Ok((_, other)) => Err(format!("{other:?}")),
            Err(error) if was_cut || matches!(error, JourneyError::Run(_)) => {
                if !was_cut {
                    self.count.failed(&error, &self.name);
                    if is_for_want_of_a_value(&chain(&error)) {
                        return Err(format!("it was not foreseen: {}", chain(&error)));
                    }
                    let failed = match &error {
                        JourneyError::Run(RunError::Step { step, .. }) => fitted.get(*step),
                        _ => None,
                    };
                    if failed == Some(&true) {
                        return Err(format!("what was generated fails: {}", chain(&error)));
                    }
                }
                self.end(to, &error).await.map(Ok)
            }
            Err(error) => Ok(Err(error)),
        }
    }

    /// Ends a run that stopped: by going on where that works, and else by taking it back.
    async fn end(&mut self, to: u64, why: &JourneyError) -> Result<End, String> {
        self.count.cut += 1;
        let mut told = format!("it stopped: {}", chain(why));
        self.log.push(told.clone());
        for goes_on in [self.random.once_in(2), false] {
            let mut database = connect(&self.place.url, None).await.expect("a session");
            let run = match the_run(APP, &mut *database).await {
                Ok(run) => run,
                // It was cut before its beginning, or after its end.
                Err(JourneyError::NothingUnfinished) => {
                    let at = database.track(TRACKING).await.expect("a track").row().position;
                    return Ok(match at == to {
                        true => End::Arrived(None),
                        false => End::TakenBack(None),
                    });
                }
                Err(error) => return Err(format!("{told}; {}", chain(&error))),
            };
            let (mut quiet, manner) = (Quiet, Manner::default());
            let mut ports = without_app(None, &mut *database, &self.shadow, &mut quiet);
            let ended = match goes_on {
                true => resume(&run, &manner, |_| Approval::Given, &mut ports).await,
                false => abort(&run, &manner, || Approval::Given, &mut ports).await,
            };
            match ended {
                Ok(Outcome::Arrived { proofs, .. }) => {
                    return Ok(End::Arrived(proofs.into_iter().next_back().flatten()));
                }
                Ok(Outcome::TakenBack { comparison }) => return Ok(End::TakenBack(comparison)),
                Ok(other) => return Err(format!("{told}; {other:?}")),
                Err(error) => {
                    let what = if goes_on { "resume" } else { "abort" };
                    told = format!("{told}; {what}: {}", chain(&error));
                }
            }
        }
        Err(format!("it cannot be ended: {told}"))
    }

    async fn status(&mut self, database: &mut dyn Database) -> Status {
        let (mut source, mut quiet) = (Shelf(self.app.catalog.clone()), Quiet);
        let gathered = gather(&self.settings, Some(&mut source), database, None, &mut quiet).await;
        let gathered = gathered.expect("facts");
        status(&gathered.facts(), &self.shadow, database).await.expect("a status")
    }

    /// Whether `status` says what the look finds; after a run of Sternway's, that nothing has drifted.
    async fn agrees(
        &mut self,
        database: &mut dyn Database,
        look: &BTreeSet<String>,
        after_run: bool,
    ) -> Result<(), String> {
        let found = self.status(database).await;
        let is_clean = *look == self.clean[self.at as usize];
        match found.verdict {
            Verdict::Stands { schema: Schema::Compared(comparison), .. } => {
                if comparison.is_clean_install() != is_clean {
                    let differs = self.differs(look, self.at, &comparison);
                    return Err(format!("status is wrong: {differs}"));
                }
                if after_run && !comparison.holds() {
                    return Err(format!("status tells of drift: {comparison:#?}"));
                }
                Ok(())
            }
            Verdict::Stands { schema: Schema::NotInstalled, .. } if self.at == 0 => Ok(()),
            // MySQL takes nothing back of a body that the application itself failed in.
            Verdict::Stands { schema: Schema::OfAnotherApp, .. }
                if self.place.dialect == Dialect::MySql && !after_run =>
            {
                Ok(())
            }
            other => Err(format!("status: {other:?}")),
        }
    }

    /// What others have made is there, or somebody has agreed that it goes and it waits to be made again.
    async fn nothing_of_others_is_lost(
        &mut self,
        database: &mut dyn Database,
        before: &BTreeSet<String>,
        accepted: &[String],
    ) -> Result<(), String> {
        let there = self.place.of_others().await;
        let taken = plain(self.status(database).await.records.taken.iter());
        let lost: Vec<&String> =
            before.iter().filter(|it| !there.contains(*it) && !taken.contains(it)).collect();
        if !lost.is_empty() {
            return Err(format!("{lost:?} of others is lost: {taken:?}"));
        }
        // An index says nothing that is not made again.
        let unasked = before.difference(&there);
        let mut unasked = unasked.filter(|it| !it.starts_with("hand_i") && !accepted.contains(it));
        match unasked.next() {
            Some(object) => Err(format!("{object} of others went unasked")),
            None => Ok(()),
        }
    }
}

/// Whether a step failed since rows have no value for what each needs one for.
fn is_for_want_of_a_value(error: &str) -> bool {
    let words =
        ["contains null values", "Cannot add a NOT NULL column", "NOT NULL constraint failed"];
    words.iter().any(|it| error.contains(it))
}

/// Whether a difference is that something is missing which may be made among rows that nobody knows, or that
/// are there `before` and can be asked.
fn can_be_made(difference: &Difference, before: &BTreeSet<String>) -> bool {
    let Difference::Missing { object, expected } = difference else { return false };
    let plain = |name: &str| name.replace('"', "").replace("public.", "");
    let is_there = || {
        let tables = before.iter().filter_map(|it| it.strip_prefix("table ")?.split(' ').next());
        object.table.as_ref().is_some_and(|of| tables.map(plain).any(|it| it == plain(of)))
    };
    match object.kind.as_str() {
        "column" => !object.needs_value(expected) || is_there(),
        "constraint" | "check" => false,
        _ => true,
    }
}

fn plain<'a>(objects: impl Iterator<Item = &'a ObjectName>) -> Vec<String> {
    objects.map(ObjectName::plain).collect()
}

/// An error with its reasons.
pub fn chain(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", chain(source)),
        None => error.to_string(),
    }
}

/// What a journey without an application works with.
fn without_app<'p>(
    source: Option<&'p mut dyn Source>,
    database: &'p mut dyn Database,
    shadow: &'p Shadow,
    observer: &'p mut Quiet,
) -> Ports<'p> {
    Ports { source, database, app: None, snapshots: None, shadow, observer }
}
