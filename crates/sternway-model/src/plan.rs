//! The plan: what to do to get from one release to another, computed before anything is touched.
//!
//! [`plan`] is a pure function of [`Facts`] and a [`Request`]: the same values give the same bytes.
//! It works on sets of migrations and not on their highest number, because two releases may share a
//! number and mean different things by it.
//!
//! `identity` says which migrations are the same, `holders` which releases have them. The stages stand in their order: `applied` finds out what is in the database, `course` which
//! way to go, `route` the hops, `steps` their migrations with the bodies to run, `frame` what is done
//! around these: checks, the application, the fence, `hazard` which borders it crosses, `way_back` what the
//! way back would take. `parts` are what a plan consists of, `basis` is what it
//! relies on.

mod identity;
mod holders;
mod applied;
mod course;
mod route;
mod steps;
mod frame;
mod hazard;
mod way_back;
mod can_run;
mod basis;
mod parts;
mod error;
mod text;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::app::Deployment;
use crate::body::BodyFacts;
use crate::catalog::{
    Catalog, Digest, Direction, Migration, MigrationSet, Minor, Release, ReleaseEntry, TrackName,
};
use crate::check::{Check, When};
use crate::effect::Loss;
use crate::fence::FenceRequest;
use crate::policy::{Policy, SnapshotRequest};
use crate::proof::{Difference, ObjectName};
use crate::state::{AppState, Numbers, RecordsAccess, State};

pub use basis::{Basis, Deviation};
pub use can_run::{Answer, CanRun, Reason, can_run};
pub use error::{Holder, PlanError};
use holders::Holders;
pub use identity::{Findings, Lineage, Question};
pub use parts::{BodyOrigin, Hop, Migrate, Note, Step, Taken};
pub use way_back::way_back;

/// The shape of a plan as JSON; a plan of another shape is not executed.
pub const FORMAT: &str = "sternway.plan/4";

/// All that a plan is computed from.
#[derive(Debug)]
pub struct Facts<'a> {
    /// What could be.
    pub catalog: &'a Catalog,
    /// What the bodies say, by hash: those of the catalog and those in the database's records.
    pub bodies: &'a BTreeMap<Digest, BodyFacts>,
    /// What is.
    pub state: &'a State,
    /// What is allowed.
    pub policy: &'a Policy,
    /// What the application runs.
    pub app: &'a AppState,
    /// What shadow databases told of migrations that differ in words.
    pub findings: &'a Findings,
    holders: Holders<'a>,
}

impl<'a> Facts<'a> {
    /// Puts them together.
    pub fn new(
        catalog: &'a Catalog,
        bodies: &'a BTreeMap<Digest, BodyFacts>,
        state: &'a State,
        policy: &'a Policy,
        app: &'a AppState,
        findings: &'a Findings,
    ) -> Facts<'a> {
        let holders = Holders::of(catalog, app.running.as_ref());
        Facts { catalog, bodies, state, policy, app, findings, holders }
    }
}

/// Which way a plan goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Course {
    /// Towards an older release: down steps only.
    Rollback,
    /// Towards a newer release: up steps only.
    Upgrade,
}

impl fmt::Display for Course {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rollback => "rollback",
            Self::Upgrade => "upgrade",
        })
    }
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The release to arrive at.
    pub target: Release,
    /// The way to go; `None` leaves it to the facts.
    pub course: Option<Course>,
    /// Take the schema back even where the target runs on the present one.
    pub reset_schema: bool,
    /// Install into a database that already has tables but no tracking table.
    pub adopt: bool,
    /// Where the database has other migrations than the target: go back to the last one that both have,
    /// and up again with the target's.
    pub redo: bool,
    /// Keep nothing of what the bodies destroy.
    pub discard: bool,
    /// The differences from a clean install that the target may end up with, and the objects of others
    /// that may go, by their names.
    pub accepted: Vec<String>,
    /// Keep nothing of what they destroy of these tables.
    pub discards: BTreeSet<String>,
    /// The hazards that were accepted, by their names.
    pub accepted_hazards: Vec<String>,
    /// Go on where the policy wants a way back and there is none.
    pub no_way_back: bool,
    /// Stop, swap and start the application as well.
    pub deploy: bool,
    /// What is done about the other clients of the database, if anything.
    pub fence: Option<FenceRequest>,
    /// What is asked of a snapshot before the schema is changed, if one is wanted.
    pub snapshot: Option<SnapshotRequest>,
    /// What the data has to be before and after.
    pub checks: Vec<Check>,
}

impl Request {
    /// The same, with the target written as the catalog writes it.
    fn as_known(&self, catalog: &Catalog) -> Request {
        let known = catalog.releases.get_key_value(&self.target);
        let target = known.map_or(&self.target, |(release, _)| release).clone();
        Request { target, ..self.clone() }
    }

    /// The way to `target`, with nothing special asked for.
    pub fn to(target: Release) -> Request {
        Request {
            target,
            course: None,
            reset_schema: false,
            adopt: false,
            redo: false,
            discard: false,
            accepted: Vec::new(),
            discards: BTreeSet::new(),
            accepted_hazards: Vec::new(),
            no_way_back: false,
            deploy: false,
            fence: None,
            snapshot: None,
            checks: Vec::new(),
        }
    }
}

/// What to do, in order, with everything needed to do it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// [`FORMAT`].
    pub format: String,
    /// The application's name.
    pub app: String,
    /// Which way it goes.
    pub course: Course,
    /// The release that runs now, if that is known.
    pub running: Option<Release>,
    /// The release whose schema the database has, if one fits.
    pub schema_of: Option<Release>,
    /// The release to arrive at.
    pub target: Release,
    /// What the database must still say.
    pub basis: Basis,
    /// The tracks that take part, in registration order, with their tracking tables.
    pub tracks: Vec<(TrackName, String)>,
    /// The tracks that take no part, with their tracking tables. They must still take none when the
    /// plan is executed.
    pub off: Vec<(TrackName, String)>,
    /// Every tracking table of the application, also of tracks that take no part: all are locked.
    pub tables: Vec<String>,
    /// Whether what the bodies destroy is kept in the archive.
    pub keeps: bool,
    /// The tables of which nothing is kept all the same.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub discards: BTreeSet<String>,
    /// What the data has to be, before and after.
    #[serde(default)]
    pub checks: Vec<Check>,
    /// The differences from a clean install, and the objects of others that go, that were accepted, by
    /// their names.
    pub accepted: Vec<String>,
    /// What others had made and a down half took along, this plan's or an earlier one's: it waits to be
    /// made again.
    pub taken: Vec<Taken>,
    /// The application as it was found, where it is moved as well.
    #[serde(default, skip_serializing_if = "Deployment::is_empty")]
    pub deployment: Deployment,
    /// The legs of the journey, in order.
    pub hops: Vec<Hop>,
    /// What no step shows.
    pub notes: Vec<Note>,
    /// Every migration that is applied or met on the way: kept in the database's records.
    pub migrations: BTreeMap<TrackName, Vec<Migration>>,
    /// What is applied before in the tracks of which these migrations are others.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub before: BTreeMap<TrackName, Vec<Migration>>,
    /// The releases made of these migrations alone. Those without numbers are forgotten: by one of
    /// their numbers another migration is known from now on.
    pub releases: BTreeMap<Release, Numbers>,
    /// The bodies of these migrations, by hash.
    pub bodies: BTreeMap<Digest, String>,
}

impl Plan {
    /// What differs from a clean install at the end, as the rehearsal says.
    pub fn leaves(&self) -> &[Difference] {
        self.hops.last().map_or(&[], |hop| &hop.leaves)
    }

    /// Whether a difference was there before the journey, or is known from an earlier one.
    pub fn was_there(&self, difference: &Difference) -> bool {
        let Deviation { differences, known, .. } = &self.basis.deviation;
        differences.contains(difference) || known.contains(difference)
    }

    /// Whether it was accepted by its name that this object goes or is another one.
    pub fn accepts(&self, object: &ObjectName) -> bool {
        self.accepted.iter().any(|name| object.is_called(name))
    }

    /// What others have made and a migration takes along.
    pub fn takes_foreign<'a>(&'a self, step: &'a Migrate) -> impl Iterator<Item = &'a ObjectName> {
        let foreign = &self.basis.deviation.foreign;
        let destroyed = step.effects.iter().flat_map(|it| &it.destroyed);
        destroyed.filter(|it| foreign.contains(*it))
    }

    /// What others had made and it makes again.
    pub fn rebuilds(&self) -> impl Iterator<Item = &Taken> {
        self.all_steps().flat_map(|(_, step)| match step {
            Step::Rebuild { taken } => taken.as_slice(),
            _ => &[],
        })
    }

    /// The body that a migration runs; an empty one where all that it makes is there already.
    pub fn body(&self, step: &Migrate) -> Option<&str> {
        match step.is_there {
            true => Some(""),
            false => self.bodies.get(&step.hash).map(String::as_str),
        }
    }

    /// The migrations that it runs, in order.
    pub fn steps(&self) -> impl Iterator<Item = &Migrate> {
        self.hops.iter().flat_map(Hop::migrations)
    }

    /// The migration of which a step runs a half.
    pub fn migration_of(&self, step: &Migrate) -> Option<&Migration> {
        // What is taken back is what was there before.
        let lineages = match step.direction {
            Direction::Up => [&self.migrations, &self.before],
            Direction::Down => [&self.before, &self.migrations],
        };
        let known = lineages.into_iter().filter_map(|it| it.get(&step.track));
        let mut known = known.flatten().filter(|it| it.version == step.version);
        // A body that was fitted to the schema has another hash than its file.
        let is_it = |file: &str, hash| hash == step.hash || (step.is_fitted() && file == step.file);
        known.find(|it| it.half(step.direction).is_some_and(|half| is_it(&half.file, half.hash)))
    }

    /// The body of the other half of the migration of which a step runs one, if it is known.
    pub fn other_half(&self, step: &Migrate) -> Option<&str> {
        let half = self.migration_of(step)?.half(step.direction.opposite())?;
        self.bodies.get(&half.hash).map(String::as_str)
    }

    /// The same, to be changed.
    pub fn migrations_mut(&mut self) -> impl Iterator<Item = &mut Migrate> {
        let steps = self.hops.iter_mut().flat_map(|hop| &mut hop.steps);
        steps.filter_map(|step| match step {
            Step::Migrate(migrate) => Some(&mut **migrate),
            _ => None,
        })
    }

    /// Every step in order, with the hop that it belongs to. A run counts its steps so, from 0.
    pub fn all_steps(&self) -> impl Iterator<Item = (&Hop, &Step)> {
        self.hops.iter().flat_map(|hop| hop.steps.iter().map(move |step| (hop, step)))
    }

    /// Its steps up to before the migration that follows the first `migrations`: with what is made again
    /// after the last of them.
    pub fn on_the_way(&self, migrations: usize) -> impl Iterator<Item = &Step> {
        let mut done = 0;
        self.all_steps().map(|(_, step)| step).take_while(move |step| {
            done += usize::from(step.migration().is_some());
            done <= migrations
        })
    }

    /// How many of its first `steps` steps run a migration.
    pub fn migrations_before(&self, steps: usize) -> usize {
        self.all_steps().take(steps).filter(|(_, step)| step.migration().is_some()).count()
    }

    /// The fence that stands once the first `steps` steps are done; none before it goes up and after it
    /// came down.
    pub fn fence_at(&self, steps: usize) -> Option<&FenceRequest> {
        self.all_steps().take(steps).fold(None, |stands, (_, step)| match step {
            Step::Fence(request) => Some(request),
            Step::Unfence => None,
            _ => stands,
        })
    }

    /// The checks of that time.
    pub fn checks_at(&self, at: When) -> impl Iterator<Item = &Check> {
        self.checks.iter().filter(move |check| check.at == at)
    }

    /// Has these checks asked before anything else.
    pub fn ask_before(&mut self, checks: Vec<Check>) {
        let at = When::Before;
        let is_asked = self.all_steps().any(|(_, step)| *step == Step::Check { at });
        if let Some(first) = self.hops.first_mut().filter(|_| !is_asked && !checks.is_empty()) {
            first.steps.insert(0, Step::Check { at });
        }
        self.checks.extend(checks);
    }

    /// The data that its bodies take away, as far as a rehearsal found it out.
    pub fn losses(&self) -> impl Iterator<Item = &Loss> {
        self.steps().filter_map(|step| step.effects.as_ref()).flat_map(|it| &it.losses)
    }

    /// Whether it leaves the schema as it is.
    pub fn is_app_only(&self) -> bool {
        self.steps().next().is_none()
    }

    /// Whether it stops, swaps or starts the application as well.
    pub fn deploys(&self) -> bool {
        self.all_steps().any(|(_, step)| step.is_deployment())
    }

    /// The plan as JSON, the same bytes for the same plan.
    pub fn to_json(&self) -> String {
        // A struct of maps with text keys always has a JSON form.
        serde_json::to_string_pretty(self).unwrap_or_default()
    }

    /// The hash that names this plan.
    pub fn digest(&self) -> Digest {
        Digest::of_bytes(self.to_json().as_bytes())
    }

    /// Reads a plan back from [`Plan::to_json`].
    ///
    /// # Errors
    /// When the text is no plan, has another format, or a body does not have the hash it is under.
    pub fn from_json(text: &str) -> Result<Plan, PlanFileError> {
        #[derive(Deserialize)]
        struct Head {
            format: String,
        }
        let head: Head = serde_json::from_str(text).map_err(PlanFileError::Json)?;
        if head.format != FORMAT {
            return Err(PlanFileError::Format(head.format));
        }
        let plan: Plan = serde_json::from_str(text).map_err(PlanFileError::Json)?;
        for (hash, body) in &plan.bodies {
            if Digest::of_body(body) != *hash {
                return Err(PlanFileError::Tampered(*hash));
            }
        }
        let lost = plan.steps().find(|step| !plan.bodies.contains_key(&step.hash));
        match lost {
            Some(step) => Err(PlanFileError::BodyMissing(step.file.clone())),
            None => Ok(plan),
        }
    }
}

/// Why a text is no plan.
#[derive(Debug, thiserror::Error)]
pub enum PlanFileError {
    /// It is no JSON, or a part is missing.
    #[error("not a plan")]
    Json(#[source] serde_json::Error),
    /// It was written by another version.
    #[error("the plan has the format `{0}`, and this version reads `{FORMAT}`")]
    Format(String),
    /// A body was changed after the plan was made.
    #[error("the body {0:?} was changed after the plan was made")]
    Tampered(Digest),
    /// A step has no body.
    #[error("the body of `{0}` is not in the plan")]
    BodyMissing(String),
}

/// Finds the way to the requested release.
///
/// # Errors
/// The first reason to refuse, in the order of the stages; nothing has been touched.
pub fn plan(facts: &Facts<'_>, request: &Request) -> Result<Plan, PlanError> {
    let request = &request.as_known(facts.catalog);
    let target = course::target(facts, &request.target)?;
    let applied = applied::applied(facts)?;
    let (course, gaps) = course::course(facts, request, target, &applied)?;
    let mut notes = course::notes(facts, request, &applied, &gaps);
    let route = route::route(facts, request, course, &applied, &gaps, &mut notes)?;
    let way = steps::steps(facts, course, &applied, route)?;
    let app = if request.deploy { Some(frame::Deployment::of(facts, &applied)?) } else { None };
    let mut plan = steps::pack(facts, request, course, &applied, way, notes);
    let fence = frame::for_whom(request.fence.as_ref(), facts);
    frame::frame(&mut plan, app.as_ref(), fence, request.snapshot);
    let hazards = hazard::crossed(facts, request, &plan)?;
    plan.notes.extend(hazards);
    Ok(plan)
}

/// What a database and its application are at, without going anywhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// What is applied in each track that takes part.
    pub applied: BTreeMap<TrackName, MigrationSet>,
    /// The releases that have exactly this schema, oldest first.
    pub releases: Vec<Release>,
    /// Where no release has this schema: what the newest one with the number of a track's row has below it
    /// and the database has not.
    pub lacking: BTreeMap<TrackName, (Release, Vec<u64>)>,
    /// The lowest minor that has all that is applied.
    pub minor: Option<Minor>,
    /// Whether the running release is known to work on this schema; `None` when none is known.
    pub runs: Option<bool>,
}

/// Works out where a database stands.
///
/// # Errors
/// As [`plan`] does, where what is applied cannot be told.
pub fn standing(facts: &Facts<'_>) -> Result<Standing, PlanError> {
    let applied = applied::applied(facts)?;
    let catalog = facts.catalog;
    let fits = |release: &Release, entry: &ReleaseEntry| {
        applied::fits(facts, &applied.sets, release, entry)
    };
    let releases = holders::that(&catalog.releases, fits);
    let releases: Vec<Release> = releases.map(|(release, _)| release.clone()).collect();
    let runs = facts.app.running.as_ref().and_then(|running| {
        let entry = catalog.releases.get(running)?;
        let gaps = match course::gaps(facts, &applied.tracks, &applied.sets, running, false) {
            Ok(gaps) => gaps,
            Err(apart) => return apart.differs().then_some(false),
        };
        let ahead = gaps.values().all(|gap| *gap != course::Gap::Behind);
        let tolerated = || facts.policy.tolerates(running, applied.minor?, catalog).then_some(());
        Some(fits(running, entry) || (ahead && tolerated().is_some()))
    });
    let lacking = match releases.is_empty() {
        true => lacking(facts, &applied.sets),
        false => BTreeMap::new(),
    };
    Ok(Standing { minor: applied.minor, applied: applied.sets, releases, lacking, runs })
}

/// What the newest release with the number of a tracking row has below it and is not applied: a migrator
/// that knows numbers alone passes it over.
fn lacking(
    facts: &Facts<'_>,
    sets: &BTreeMap<TrackName, MigrationSet>,
) -> BTreeMap<TrackName, (Release, Vec<u64>)> {
    let lacks = sets.iter().filter_map(|(track, set)| {
        let last = set.last().number()?;
        let mut holders = facts.holders.in_track(track).iter().rev();
        let (release, theirs) = holders.find(|(_, theirs)| theirs.get(last).is_some())?;
        let theirs = theirs.up_to(set.last());
        let lacking = theirs.versions().filter(|it| set.get(*it).is_none());
        let lacking: Vec<u64> = lacking.collect();
        let is_other = !lacking.is_empty() && !facts.same(track, set, &theirs);
        is_other.then(|| (track.clone(), ((*release).clone(), lacking)))
    });
    lacks.collect()
}

/// What has to be found out of a database before it is known what is applied.
pub fn doubts(facts: &Facts<'_>) -> Vec<Question> {
    applied::doubts(facts)
}

/// What has to be found out before it is known which releases a database is at: whether those that
/// mean something else by its numbers lead to the same schema.
pub fn lookalikes(facts: &Facts<'_>) -> Vec<Question> {
    let applied = applied::applied(facts);
    applied.map_or(Vec::new(), |applied| applied::lookalikes(facts, &applied.sets))
}

/// Whether the records can be kept, as a note where they cannot.
fn records_note(access: &RecordsAccess) -> Option<Note> {
    match access {
        RecordsAccess::Available => None,
        RecordsAccess::Unavailable(reason) => Some(Note::NoRecords { reason: reason.clone() }),
    }
}
