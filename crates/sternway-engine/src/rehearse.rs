//! What a plan should lead to, found out on a shadow database before the real one is touched: on the
//! PostgreSQL inside this process, or on a server of the user's where that one lacks an extension.
//!
//! For each hop a clean install is made of what the hop ends at. The journey itself is gone too, from
//! a clean install of where it starts: where its end differs from the clean install, the
//! application's own migrations are to blame, and not the database that is about to change.

mod half;
mod touched;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use sternway_database::dialect::{create_shadow, remove_shadow};
#[cfg(feature = "embedded")]
use sternway_database::embedded;
use sternway_database::{
    Care, Connect, Database, DatabaseError, Dialect, Limits, Settings, StepError, Work,
};
use sternway_model::body::Mode;
use sternway_model::catalog::{Digest, Direction, Migration, TrackName};
use sternway_model::effect::{Effects, Loss};
use sternway_model::plan::{BodyOrigin, Migrate, Plan, Step};
use sternway_model::proof::{Expected, Fingerprint, ObjectName};
use thiserror::Error;

pub(crate) use half::Half as HalfDone;
pub use half::way_back;
use touched::Touched;

/// Where each track stands.
pub type Positions = BTreeMap<TrackName, Option<u64>>;

/// Why it cannot be told what a plan should lead to.
#[derive(Debug, Error)]
pub enum RehearsalError {
    /// This process has no server of that kind to make a clean install on.
    #[error("there is no {0} inside this program to make a clean install on")]
    NotInside(Dialect),
    /// There is no database to rehearse in.
    #[error("there is no database to rehearse in")]
    Server(#[source] Connect),
    /// A question to it failed.
    #[error("the rehearsal's database did not answer")]
    Database(#[from] DatabaseError),
    /// A body does not run on an empty database of that server.
    #[error("a clean install fails")]
    Install(#[source] Box<StepError>),
    /// A step of the journey does not run.
    #[error("the journey fails on a clean install")]
    Journey(#[source] Box<StepError>),
    /// The up body of a migration is not known.
    #[error("the up body of migration {version} of track `{track}` is not known")]
    BodyUnknown {
        /// The track.
        track: TrackName,
        /// The migration.
        version: u64,
    },
}

/// The material that clean installs are made of.
#[derive(Debug, Clone)]
pub struct Material<'a> {
    /// The tracks in registration order, with their tracking tables.
    pub tracks: &'a [(TrackName, String)],
    /// Their migrations.
    pub migrations: &'a BTreeMap<TrackName, Vec<Migration>>,
    /// The bodies.
    pub bodies: &'a BTreeMap<Digest, String>,
    /// Every tracking table of the application.
    pub tables: &'a [String],
    /// The schema that the application lives in.
    pub schema: &'a str,
}

impl<'a> Material<'a> {
    /// What a plan brings with it.
    pub fn of(plan: &'a Plan) -> Material<'a> {
        Material {
            tracks: &plan.tracks,
            migrations: &plan.migrations,
            bodies: &plan.bodies,
            tables: &plan.tables,
            schema: match plan.basis.identity.schema.as_str() {
                "" => "public",
                schema => schema,
            },
        }
    }

    /// The steps of a clean install, tracks in registration order.
    fn install(&self, ends_at: &Positions) -> Result<Vec<Migrate>, RehearsalError> {
        let mut steps = Vec::new();
        for (track, table) in self.tracks {
            let end = ends_at.get(track).copied().flatten();
            let migrations = self.migrations.get(track).into_iter().flatten();
            for migration in migrations.filter(|it| Some(it.version) <= end) {
                steps.push(self.up(track, table, migration)?);
            }
        }
        Ok(steps)
    }

    /// The number before one of a track's.
    fn before(&self, track: &TrackName, version: u64) -> Option<u64> {
        let versions = self.migrations.get(track)?.iter().map(|migration| migration.version);
        versions.filter(|it| *it < version).max()
    }

    /// The up step of one migration.
    pub(crate) fn up(
        &self,
        track: &TrackName,
        table: &str,
        migration: &Migration,
    ) -> Result<Migrate, RehearsalError> {
        let version = migration.version;
        let half = migration.up.as_ref().filter(|half| self.bodies.contains_key(&half.hash));
        let half =
            half.ok_or_else(|| RehearsalError::BodyUnknown { track: track.clone(), version })?;
        Ok(Migrate {
            track: track.clone(),
            table: table.to_owned(),
            version,
            direction: Direction::Up,
            from: self.before(track, version),
            to: Some(version),
            file: half.file.clone(),
            hash: half.hash,
            origin: BodyOrigin::Records,
            mode: Mode::Transaction, // The dialect says better in `ShadowDatabase::run`.
            destroys: Vec::new(),
            effects: None,
        })
    }
}

/// The database that SQLite rehearses in.
const IN_MEMORY: &str = "sqlite://:memory:";

/// Where clean installs are made.
pub struct Shadow {
    /// What it has to speak.
    dialect: Dialect,
    /// The server's URL; a database inside this process where there is none.
    url: Option<String>,
    /// The databases made on that server.
    made: Mutex<Vec<String>>,
}

impl Shadow {
    /// Shadow databases inside this process: the embedded PostgreSQL, or SQLite in memory.
    pub fn inside(dialect: Dialect) -> Shadow {
        Shadow { dialect, url: None, made: Mutex::default() }
    }

    /// Shadow databases on the server that `url` leads to, in databases of its own, which it drops again.
    pub fn on(dialect: Dialect, url: String) -> Shadow {
        Shadow { dialect, url: Some(url), made: Mutex::default() }
    }

    /// What it speaks.
    pub(crate) fn dialect(&self) -> Dialect {
        self.dialect
    }

    async fn database(&self, material: &Material<'_>) -> Result<Box<dyn Database>, RehearsalError> {
        let url = match (&self.url, self.dialect) {
            (Some(url), _) => url,
            (None, Dialect::Postgres) => return inside(material).await,
            (None, Dialect::Sqlite) => IN_MEMORY,
            (None, Dialect::MySql) => return Err(RehearsalError::NotInside(self.dialect)),
        };
        let created = create_shadow(url, material.schema).await;
        let (database, name) = created.map_err(RehearsalError::Server)?;
        self.made.lock().unwrap_or_else(PoisonError::into_inner).push(name);
        Ok(database)
    }

    /// Drops what was made, after `result` was had from it.
    pub(crate) async fn tidied<T>(&self, result: T) -> T {
        let made = std::mem::take(&mut *self.made.lock().unwrap_or_else(PoisonError::into_inner));
        for name in made {
            let url = self.url.as_deref().unwrap_or(IN_MEMORY);
            if let Err(error) = remove_shadow(url, &name).await {
                tracing::warn!("the database `{name}` is left behind: {error}");
            }
        }
        result
    }
}

/// An empty database inside this process, which offers the extensions that the material makes.
#[cfg(feature = "embedded")]
async fn inside(material: &Material<'_>) -> Result<Box<dyn Database>, RehearsalError> {
    let facts = sternway_database::postgres::statements::facts;
    let bodies = material.bodies.values();
    let wanted: BTreeSet<String> = bodies.flat_map(|body| facts(body).creates_extensions).collect();
    let wanted: Vec<String> = wanted.into_iter().collect();
    let database =
        embedded::connect_in(&embedded::Place::Temporary, &wanted, material.schema).await;
    Ok(Box::new(database.map_err(RehearsalError::Server)?))
}

#[cfg(not(feature = "embedded"))]
async fn inside(_: &Material<'_>) -> Result<Box<dyn Database>, RehearsalError> {
    Err(RehearsalError::NotInside(Dialect::Postgres))
}

/// An empty database to make one clean install in.
pub(crate) struct ShadowDatabase<'a> {
    database: Box<dyn Database>,
    material: Material<'a>,
}

impl<'a> ShadowDatabase<'a> {
    pub async fn open(
        shadow: &Shadow,
        material: &Material<'a>,
    ) -> Result<ShadowDatabase<'a>, RehearsalError> {
        let database = shadow.database(material).await?;
        Ok(ShadowDatabase { database, material: material.clone() })
    }

    pub async fn run(&mut self, step: &Migrate) -> Result<(), StepError> {
        let body = self.material.bodies.get(&step.hash).map_or("", String::as_str);
        stays(&mut *self.database, step, body).await?;
        let mode = &self.database.facts(body).mode;
        let work = Work { mode, ..Work::of(step, body, None) };
        self.database.migrate(&work).await
    }

    /// As [`ShadowDatabase::run`], and finds out what the step changes.
    async fn rehearse(
        &mut self,
        app: &str,
        step: &Migrate,
    ) -> Result<Option<Effects>, RehearsalError> {
        let body = self.material.bodies.get(&step.hash).map_or("", String::as_str);
        let stays = stays(&mut *self.database, step, body).await;
        stays.map_err(|it| RehearsalError::Journey(Box::new(it)))?;
        let facts = self.database.facts(body);
        let touched = match facts.changes.is_empty() && facts.fills.is_empty() {
            true => Touched::default(),
            false => Touched::by(&facts, &self.fingerprint().await?, self.material.schema),
        };
        let work = Work { mode: &facts.mode, ..Work::of(step, body, None) };
        let care = Care {
            app,
            track: &step.track,
            version: step.version,
            direction: step.direction,
            keep: false,
            planned: None,
            each_lock: true,
            limits: Limits::default(),
        };
        let done = self.database.migrate_with_care(&work, &care).await;
        let done = done.map_err(|it| RehearsalError::Journey(Box::new(it)))?;
        let Some(mut effects) = done.effects else { return Ok(None) };
        touched.add_to(&mut effects);
        effects.unforeseen.extend(facts.unforeseen);
        if touched::writes(&effects) {
            let mut called = touched::called(&effects, &self.fingerprint().await?);
            called.retain(|it| !effects.unforeseen.contains(it));
            effects.unforeseen.extend(called);
        }
        Ok(Some(effects))
    }

    /// Runs a part of a step's body, and takes no settings of its back.
    pub async fn run_text(&mut self, step: &Migrate, text: &str) -> Result<(), StepError> {
        stays(&mut *self.database, step, text).await?;
        let mode = &self.database.facts(text).mode;
        let settings = Settings::Kept;
        let work = Work { mode, settings, ..Work::of(step, text, None) };
        self.database.migrate(&work).await
    }

    pub async fn install(&mut self, ends_at: &Positions) -> Result<(), RehearsalError> {
        for step in self.material.install(ends_at)? {
            self.run(&step).await.map_err(|it| RehearsalError::Install(Box::new(it)))?;
        }
        Ok(())
    }

    pub async fn fingerprint(&mut self) -> Result<Fingerprint, RehearsalError> {
        Ok(self.database.fingerprint(self.material.tables).await?)
    }
}

/// Refuses a body that would not keep to the rehearsal's database.
async fn stays(database: &mut dyn Database, step: &Migrate, body: &str) -> Result<(), StepError> {
    let file = || step.file.clone();
    match database.reaches_out(body).await {
        Ok(None) => Ok(()),
        Ok(Some(what)) => Err(StepError::ReachesOut { file: file(), what }),
        Err(source) => Err(StepError::Database { file: file(), source }),
    }
}

/// The fingerprint of a clean install.
///
/// # Errors
/// When it cannot be made.
pub async fn clean_install(
    shadow: &Shadow,
    material: &Material<'_>,
    ends_at: &Positions,
) -> Result<Fingerprint, RehearsalError> {
    shadow.tidied(install(shadow, material, ends_at).await).await
}

async fn install(
    shadow: &Shadow,
    material: &Material<'_>,
    ends_at: &Positions,
) -> Result<Fingerprint, RehearsalError> {
    let mut shadow = ShadowDatabase::open(shadow, material).await?;
    shadow.install(ends_at).await?;
    shadow.fingerprint().await
}

/// What a rehearsal of a plan found out.
#[derive(Debug, Clone)]
pub struct Rehearsal {
    /// What each hop should lead to, in order.
    pub expected: Vec<Expected>,
    /// What each migration changes, in order; `None` where the shadow could not find that out.
    pub effects: Vec<Option<Effects>>,
}

/// What each hop of a plan should lead to, in order.
///
/// # Errors
/// When a clean install or the journey cannot be made.
pub async fn expectations(shadow: &Shadow, plan: &Plan) -> Result<Vec<Expected>, RehearsalError> {
    Ok(rehearse(shadow, plan).await?.expected)
}

/// Goes the journey of a plan on a shadow.
///
/// # Errors
/// When a clean install or the journey cannot be made.
pub async fn rehearse(shadow: &Shadow, plan: &Plan) -> Result<Rehearsal, RehearsalError> {
    shadow.tidied(journey(shadow, plan, Proving::Hops).await).await
}

/// What each migration of a plan changes, without any clean install of where the hops end.
///
/// # Errors
/// When the journey cannot be made.
pub async fn effects(shadow: &Shadow, plan: &Plan) -> Result<Vec<Option<Effects>>, RehearsalError> {
    Ok(shadow.tidied(journey(shadow, plan, Proving::Nothing).await).await?.effects)
}

/// Writes into a plan what its migrations change. The numbers are those of the shadow, whose tables
/// are empty, and are left out: [`measure`] asks the database itself.
pub fn with_effects(mut plan: Plan, effects: Vec<Option<Effects>>) -> Plan {
    let steps = plan.hops.iter_mut().flat_map(|hop| &mut hop.steps);
    let migrations = steps.filter_map(|step| match step {
        Step::Migrate(migrate) => Some(migrate),
        Step::Prove | Step::Stop | Step::Swap { .. } | Step::Start { .. } => None,
    });
    for (migrate, effects) in migrations.zip(effects) {
        migrate.effects = effects.map(|mut effects| {
            for loss in &mut effects.losses {
                (loss.rows, loss.bytes, loss.estimated) = (None, None, false);
            }
            effects
        });
    }
    plan
}

/// Asks the database how much a plan's migrations would take away there. Nothing is changed.
///
/// # Errors
/// When it cannot be asked.
pub async fn measure(plan: &mut Plan, database: &mut dyn Database) -> Result<(), DatabaseError> {
    let lost = plan.losses().cloned();
    let mut losses: Vec<Loss> = lost.collect();
    if losses.is_empty() {
        return Ok(());
    }
    database.measure(&mut losses).await?;
    let mut measured = losses.into_iter();
    for step in plan.hops.iter_mut().flat_map(|hop| &mut hop.steps) {
        let Step::Migrate(migrate) = step else { continue };
        for loss in migrate.effects.iter_mut().flat_map(|it| &mut it.losses) {
            if let Some(measured) = measured.next() {
                *loss = measured;
            }
        }
    }
    Ok(())
}

/// Whether clean installs are made of where the hops end.
#[derive(Clone, Copy, PartialEq)]
enum Proving {
    Hops,
    Nothing,
}

async fn journey(
    shadow: &Shadow,
    plan: &Plan,
    proving: Proving,
) -> Result<Rehearsal, RehearsalError> {
    let material = Material::of(plan);
    let start = start(plan);
    let mut journey = ShadowDatabase::open(shadow, &material).await?;
    journey.install(&start).await?;
    let mut effects = Vec::new();
    if proving == Proving::Nothing {
        for step in plan.steps() {
            effects.push(journey.rehearse(&plan.app, step).await?);
        }
        return Ok(Rehearsal { expected: Vec::new(), effects });
    }
    let mut now = journey.fingerprint().await?;
    let mut known: BTreeSet<_> = now.objects.keys().cloned().collect();
    let mut made = BTreeMap::from([(start, now.clone())]);
    let mut expected = Vec::new();
    for hop in &plan.hops {
        let mut moved = false;
        for step in hop.migrations() {
            effects.push(journey.rehearse(&plan.app, step).await?);
            moved = true;
        }
        if moved {
            now = journey.fingerprint().await?;
        }
        let clean = match made.get(&hop.ends_at) {
            Some(clean) => clean.clone(),
            None => install(shadow, &material, &hop.ends_at).await?,
        };
        made.insert(hop.ends_at.clone(), clean.clone());
        known.extend(clean.objects.keys().chain(now.objects.keys()).cloned());
        let journey = (now.objects != clean.objects).then(|| now.clone());
        expected.push(Expected { clean, journey, known: BTreeSet::new() });
    }
    for each in &mut expected {
        each.known.clone_from(&known);
    }
    Ok(Rehearsal { expected, effects })
}

/// What the schema should be around the place where a run was left, on a clean install of where its
/// plan starts.
#[derive(Debug, Clone)]
pub struct Landmarks {
    /// Before the run.
    pub start: Fingerprint,
    /// How many migrations were done where it was left, and the schema then. Of the one that may
    /// have ended after all, the next one tells.
    along: BTreeMap<usize, Fingerprint>,
    /// After all of that was undone, where the other halves of the migrations are known.
    back: Option<Fingerprint>,
    /// Everything that the application's migrations create on the way.
    known: BTreeSet<ObjectName>,
}

impl Landmarks {
    /// The schema after this many migrations, if that is one of the landmarks.
    pub fn at(&self, migrations: usize) -> Option<&Fingerprint> {
        self.along.get(&migrations)
    }

    /// What a run that was taken back should lead to.
    pub fn taken_back(&self) -> Expected {
        Expected {
            clean: self.start.clone(),
            journey: self.back.clone().filter(|back| back.objects != self.start.objects),
            known: self.known.clone(),
        }
    }
}

/// What the schema should be after `migrations` of the plan's migrations, and after the next one.
///
/// # Errors
/// When a clean install or the journey cannot be made.
pub async fn landmarks(
    shadow: &Shadow,
    plan: &Plan,
    migrations: usize,
) -> Result<Landmarks, RehearsalError> {
    shadow.tidied(around(shadow, plan, migrations).await).await
}

async fn around(
    shadow: &Shadow,
    plan: &Plan,
    migrations: usize,
) -> Result<Landmarks, RehearsalError> {
    let material = Material::of(plan);
    let mut shadow = ShadowDatabase::open(shadow, &material).await?;
    shadow.install(&start(plan)).await?;
    let first = shadow.fingerprint().await?;
    let mut known: BTreeSet<_> = first.objects.keys().cloned().collect();
    let mut along = BTreeMap::from([(0, first.clone())]);
    let mut gone = Vec::new();
    for (index, step) in plan.steps().enumerate().take(migrations + 1) {
        // The next one may not run; then the run did not come by it either.
        match shadow.run(step).await {
            Err(error) if index < migrations => {
                return Err(RehearsalError::Journey(Box::new(error)));
            }
            Err(_) => break,
            Ok(()) => gone.push(step),
        }
        let done = index + 1;
        if done >= migrations {
            let now = shadow.fingerprint().await?;
            known.extend(now.objects.keys().cloned());
            along.insert(done, now);
        }
    }
    let back = undone(&mut shadow, plan, &gone).await;
    Ok(Landmarks { start: first, along, back, known })
}

/// The schema after these steps were undone, the last one first.
async fn undone(
    shadow: &mut ShadowDatabase<'_>,
    plan: &Plan,
    gone: &[&Migrate],
) -> Option<Fingerprint> {
    for step in gone.iter().rev() {
        let direction = match step.direction {
            Direction::Up => Direction::Down,
            Direction::Down => Direction::Up,
        };
        let mut migrations = plan.migrations.get(&step.track)?.iter();
        let half = migrations.find(|it| it.version == step.version)?.half(direction)?;
        let (from, to) = (step.to, step.from);
        let (file, hash) = (half.file.clone(), half.hash);
        let other = Migrate { direction, from, to, file, hash, ..(*step).clone() };
        shadow.run(&other).await.ok()?;
    }
    shadow.fingerprint().await.ok()
}

/// Where each track stands before a plan is executed.
fn start(plan: &Plan) -> Positions {
    let position = |track: &TrackName| plan.basis.tracks.get(track).map(|it| it.position());
    let tracks = plan.tracks.iter();
    tracks.map(|(track, _)| (track.clone(), position(track).and_then(|it| it.version))).collect()
}

/// What a database should have whose tracks stand at `positions`. The material may go further than
/// that: what its later migrations create is then known to be the application's.
///
/// # Errors
/// When a clean install cannot be made.
pub async fn expected_here(
    shadow: &Shadow,
    material: &Material<'_>,
    positions: &Positions,
) -> Result<Expected, RehearsalError> {
    shadow.tidied(here(shadow, material, positions).await).await
}

async fn here(
    shadow: &Shadow,
    material: &Material<'_>,
    positions: &Positions,
) -> Result<Expected, RehearsalError> {
    let mut shadow = ShadowDatabase::open(shadow, material).await?;
    shadow.install(positions).await?;
    let clean = shadow.fingerprint().await?;
    let mut known: BTreeSet<_> = clean.objects.keys().cloned().collect();
    for (track, table) in material.tracks {
        let at = positions.get(track).copied().flatten();
        let migrations = material.migrations.get(track).into_iter().flatten();
        for migration in migrations.filter(|it| Some(it.version) > at) {
            // A later migration that does not run here tells nothing, and is no reason to stop.
            let Ok(step) = material.up(track, table, migration) else { continue };
            if shadow.run(&step).await.is_err() {
                break;
            }
        }
    }
    known.extend(shadow.fingerprint().await?.objects.into_keys());
    Ok(Expected { clean, journey: None, known })
}
