//! Walking one track by its numbers, as golang-migrate does.
//!
//! The lock is held from before the first look at the tracking table until after the last write to
//! it. Every body that will run is read before the first one runs, so that a file that cannot be
//! read whole changes nothing.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use sternway_database::{Database, DatabaseError, LockError, Settings, StepError, Work};
use sternway_model::body::{BodyFacts, Mode};
use sternway_model::catalog::{Direction, TrackName};
use sternway_model::position::Position;
use sternway_model::state::{RecordsAccess, TrackState, TrackingRow};
use sternway_model::walk::{Goal, Leg, WalkError, walk as plan};
use thiserror::Error;

use crate::event::{Event, Observer};
use crate::folder::{Folder, FolderError};

/// Why a walk did not arrive.
#[derive(Debug, Error)]
pub enum MigrateError {
    /// Somebody else is at work.
    #[error(transparent)]
    Lock(LockError),
    /// The tracking table cannot be read or made: nothing has run.
    #[error(transparent)]
    Track(DatabaseError),
    /// There is nothing to do, or no way.
    #[error(transparent)]
    Walk(#[from] WalkError),
    /// A body that would have run cannot be read: none has run.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// A body that would have run cannot be run: none has run.
    #[error("`{file}` cannot be run: {obstacle}")]
    Obstacle {
        /// The file.
        file: String,
        /// What stands against it.
        obstacle: String,
    },
    /// A body failed.
    #[error(transparent)]
    Step(Box<Failed>),
    /// A question or a write of our own failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// Everything there was is applied, and it was less than asked for.
    #[error("limit {0} short")]
    Short(u64),
}

/// A leg that failed, with what is needed to show where.
#[derive(Debug, Error)]
#[error("migration {} failed on its way {}", .leg.version, .leg.direction)]
pub struct Failed {
    /// The leg.
    pub leg: Leg,
    /// What its file says.
    pub body: String,
    /// How it was run.
    pub mode: Mode,
    /// Why.
    #[source]
    pub source: StepError,
}

/// A track to walk on.
pub struct Track<'a> {
    /// Its tracking table.
    pub table: &'a str,
    /// Its files.
    pub folder: &'a Folder,
    /// The application and the track under which the migrations are recorded; none are without.
    pub recorded_as: Option<(&'a str, &'a TrackName)>,
    /// What becomes of the settings that a body leaves in the session.
    pub settings: Settings,
}

/// How a walk ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Walked {
    /// The legs that were done.
    pub legs: Vec<Leg>,
    /// Whether it was asked to stop before its end.
    pub interrupted: bool,
}

/// Takes a track to `goal`.
///
/// # Errors
/// When the lock is not obtained, there is nothing to do or no way, a body cannot be read, or one
/// fails. What was done before stays done.
pub async fn migrate(
    database: &mut dyn Database,
    track: &Track<'_>,
    goal: Goal,
    lock_timeout: Duration,
    observer: &mut dyn Observer,
) -> Result<Walked, MigrateError> {
    let tables = [track.table.to_owned()];
    lock(database, &tables, lock_timeout, observer).await.map_err(MigrateError::Lock)?;
    let ended = locked(database, track, goal, observer).await;
    // The error of the walk is what matters; with a lost connection there is no lock to give back.
    let unlocked = database.unlock().await;
    let walked = ended?;
    unlocked?;
    Ok(walked)
}

/// How long a wait for locks goes on before it is looked whether to stop.
const LOOK: Duration = Duration::from_millis(500);

/// Takes the locks. Asked to stop while others hold them, it gives up as if its time were up.
pub(crate) async fn lock(
    database: &mut dyn Database,
    tables: &[String],
    lock_timeout: Duration,
    observer: &mut dyn Observer,
) -> Result<(), LockError> {
    let start = Instant::now();
    loop {
        let left = lock_timeout.saturating_sub(start.elapsed());
        match database.lock(tables, left.min(LOOK)).await {
            Err(LockError::Held(_)) if left > LOOK && !observer.stop() => {}
            ended => return ended,
        }
    }
}

async fn locked(
    database: &mut dyn Database,
    track: &Track<'_>,
    goal: Goal,
    observer: &mut dyn Observer,
) -> Result<Walked, MigrateError> {
    let state = database.track(track.table).await.map_err(MigrateError::Track)?;
    if state == TrackState::NoTable {
        writable(database).await?;
        // As with golang-migrate, whoever sets out has a tracking table, wherever he arrives.
        database.prepare_track(track.table).await.map_err(MigrateError::Track)?;
    }
    let steps = Steps::plan(database, track.folder, state.row(), goal, observer).await?;
    writable(database).await?;
    if let Some(names) = track.recorded_as {
        record(database, names, track.folder, &steps).await?;
    }
    let walked = go(database, track.table, &steps, track.settings, observer).await?;
    match steps.short {
        0 => Ok(walked),
        _ if walked.interrupted => Ok(walked),
        short => Err(MigrateError::Short(short)),
    }
}

/// The legs of a walk, with what each runs.
pub struct Steps {
    /// The legs.
    pub legs: Vec<Leg>,
    /// By how many the folder falls short of the limit.
    pub short: u64,
    /// The bodies, by file, with how they are run and how long they took to read.
    bodies: HashMap<String, (String, BodyFacts, Duration)>,
}

impl Steps {
    /// Plans the way from `position` to `goal`, and reads every body on it.
    ///
    /// # Errors
    /// When there is nothing to do, no way, or a body that cannot be read or run.
    pub async fn plan(
        database: &mut dyn Database,
        folder: &Folder,
        row: TrackingRow,
        goal: Goal,
        observer: &mut dyn Observer,
    ) -> Result<Steps, MigrateError> {
        let walk = plan(folder.set(), row, goal)?;
        let mut bodies = HashMap::new();
        for leg in &walk.legs {
            observer.tell(&Event::LegPlanned(leg));
            let Some(file) = &leg.file else { continue };
            let start = Instant::now();
            let body = folder.body(file).await?;
            let facts = database.facts(&body);
            if let Some(obstacle) = facts.obstacle {
                return Err(MigrateError::Obstacle { file: file.clone(), obstacle });
            }
            bodies.insert(file.clone(), (body, facts, start.elapsed()));
        }
        Ok(Steps { legs: walk.legs, short: walk.short, bodies })
    }

    /// What a leg runs, and what that says.
    pub fn body(&self, leg: &Leg) -> Option<(&str, &BodyFacts)> {
        let (body, facts, _) = self.bodies.get(leg.file.as_ref()?)?;
        Some((body, facts))
    }
}

/// Refuses a session that may only look, before a body fails for it.
async fn writable(database: &mut dyn Database) -> Result<(), DatabaseError> {
    match database.read_only().await? {
        Some(why) => Err(DatabaseError::ReadOnly(why)),
        None => Ok(()),
    }
}

/// Records the migrations of a walk under an application and a track, where records can be kept.
pub(crate) async fn record(
    database: &mut dyn Database,
    (app, track): (&str, &TrackName),
    folder: &Folder,
    steps: &Steps,
) -> Result<(), MigrateError> {
    if database.prepare_records().await? != RecordsAccess::Available {
        return Ok(());
    }
    let versions: Vec<u64> = steps.legs.iter().map(|leg| leg.version).collect();
    let (migrations, bodies) = folder.migrations(&versions).await?;
    Ok(database.record_migrations(app, track, &migrations, &bodies).await?)
}

/// Runs the legs. The lock is held, and the tracking table is there.
pub(crate) async fn go(
    database: &mut dyn Database,
    table: &str,
    steps: &Steps,
    settings: Settings,
    observer: &mut dyn Observer,
) -> Result<Walked, MigrateError> {
    let mut legs = Vec::new();
    for (index, leg) in steps.legs.iter().enumerate() {
        if observer.stop() {
            make_durable(database, table, &legs).await?;
            return Ok(Walked { legs, interrupted: true });
        }
        observer.tell(&Event::LegStarts(leg));
        let start = Instant::now();
        let body = leg.file.as_ref().and_then(|file| steps.bodies.get(file));
        match (&leg.file, body) {
            (Some(file), Some((body, facts, _))) => {
                let work = Work {
                    table,
                    from: leg.from,
                    to: leg.to,
                    file,
                    body,
                    mode: &facts.mode,
                    journal: None,
                    settings,
                    // The last commit takes those before it to the disk.
                    durable: index + 1 == steps.legs.len(),
                    first: 1,
                    closed_by: &[],
                    undoing: false,
                    dirty: false,
                };
                if let Err(source) = database.migrate(&work).await {
                    if matches!(source, StepError::TakenBack { .. }) {
                        // The failure of the body is what has to be told.
                        if let Err(error) = make_durable(database, table, &legs).await {
                            tracing::warn!(%error, "what ran before may not be on the disk yet");
                        }
                    }
                    let (body, mode) = (body.clone(), facts.mode.clone());
                    let failed = Failed { leg: leg.clone(), body, mode, source };
                    return Err(MigrateError::Step(Box::new(failed)));
                }
            }
            _ => {
                let row = TrackingRow::clean(leg.to);
                database.set_track(table, row).await?;
            }
        }
        let read = body.map_or(Duration::ZERO, |(_, _, read)| *read);
        observer.tell(&Event::LegEnded { leg, read, ran: start.elapsed() });
        legs.push(leg.clone());
    }
    Ok(Walked { legs, interrupted: false })
}

/// Takes to the disk what was done before a walk ended early: with one more commit, which says again
/// where the track stands.
async fn make_durable(
    database: &mut dyn Database,
    table: &str,
    done: &[Leg],
) -> Result<(), DatabaseError> {
    let Some(last) = done.last() else { return Ok(()) };
    database.set_track(table, TrackingRow::clean(last.to)).await
}

/// Writes a position into the tracking table, and runs nothing.
///
/// # Errors
/// When the lock is not obtained or the row cannot be written.
pub async fn force(
    database: &mut dyn Database,
    table: &str,
    position: Position,
    lock_timeout: Duration,
) -> Result<(), MigrateError> {
    database.lock(&[table.to_owned()], lock_timeout).await.map_err(MigrateError::Lock)?;
    let written = database.set_track(table, TrackingRow::clean(position)).await;
    let unlocked = database.unlock().await;
    written?;
    Ok(unlocked?)
}

/// Drops every table, the tracking table among them. Returns what was dropped.
///
/// # Errors
/// When the lock is not obtained or a table cannot be dropped.
pub async fn drop_tables(
    database: &mut dyn Database,
    table: &str,
    lock_timeout: Duration,
) -> Result<Vec<String>, MigrateError> {
    database.lock(&[table.to_owned()], lock_timeout).await.map_err(MigrateError::Lock)?;
    let dropped = database.drop_tables().await;
    let unlocked = database.unlock().await;
    let dropped = dropped?;
    unlocked?;
    Ok(dropped)
}

/// One line of a status: a number, its title, and whether it is applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The number.
    pub version: u64,
    /// The up file, or the down file where there is no other.
    pub file: String,
    /// The halves that there are.
    pub halves: Vec<Direction>,
    /// Whether the tracking row says that it is applied.
    pub applied: bool,
}

/// Every migration of a folder, as a tracking row has it.
pub fn standings(folder: &Folder, row: TrackingRow) -> Vec<Standing> {
    let standing = |(version, pair): (u64, &sternway_model::catalog::FilePair)| {
        let halves = [Direction::Up, Direction::Down];
        let file = pair.up.as_ref().or(pair.down.as_ref()).cloned().unwrap_or_default();
        Standing {
            version,
            file,
            halves: halves.into_iter().filter(|it| pair.file(*it).is_some()).collect(),
            applied: row.position >= version,
        }
    };
    folder.set().iter().map(standing).collect()
}
