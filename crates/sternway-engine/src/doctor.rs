//! What is wrong with a dirty or inconsistent database, whoever left it so, and the safe ways out.
//!
//! The schema is what tells: a body in doubt is run on a shadow, part by part, and the database is
//! held against what each part leads to. Only what a track's own migrations change is looked at, so
//! that foreign objects, other tracks and drift elsewhere play no role. Parts that change data alone
//! leave no sign; where they matter, that is said, and nothing is chosen.

mod trial;
mod ways;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use sternway_database::{
    Care, Database, DatabaseError, Done, Limits, LockError, Settings, StepError, Work,
};
use sternway_model::catalog::{Direction, TrackName};
use sternway_model::proof::{Fingerprint, ObjectName, compare};
use sternway_model::state::Position;
use thiserror::Error;

use crate::rehearse::{Material, Positions, RehearsalError, Shadow, expected_here};

/// What the tracking rows say.
pub type Rows = BTreeMap<TrackName, Position>;

/// A body whose end nobody saw.
#[derive(Debug, Clone, PartialEq)]
pub struct Doubt {
    /// The number of its migration.
    pub version: u64,
    /// Which half it is.
    pub direction: Direction,
    /// The file.
    pub file: String,
    /// What the row has to say if nothing of it took effect.
    pub undone: Option<u64>,
    /// What the row has to say if all of it did.
    pub done: Option<u64>,
    /// The parts of it that take effect by themselves: statements, and transactions of its own.
    pub parts: Vec<String>,
    /// Whether all of it takes effect at once, as long as nobody sends its statements one by one.
    pub at_once: bool,
    /// After how many of its parts the schema is the one that was found.
    pub took: Vec<usize>,
    /// The parts, from 1, that leave the schema as it is.
    pub silent: Vec<usize>,
    /// Indexes of it that a failed `CREATE INDEX CONCURRENTLY` left invalid.
    pub invalid: Vec<String>,
    /// Why it cannot be undone, where that was tried.
    pub stays: Option<Stays>,
}

/// Why the part of a body that took effect is not taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stays {
    /// All of it took effect: it is finished, and a rollback may follow.
    IsWhole,
    /// The other half's statements do not lead back from there.
    NoWayBack,
}

/// A way out.
#[derive(Debug, Clone, PartialEq)]
pub struct Exit {
    /// Which.
    pub way: Way,
    /// The file that it is about; empty where only the row moves.
    pub file: String,
    /// The migration.
    pub version: u64,
    /// Which half is run.
    pub direction: Direction,
    /// What is run before the row is written; empty where nothing is.
    pub sql: String,
    /// What the row says afterwards.
    pub to: Option<u64>,
    /// What it destroys beyond the archive's reach, in statements that run outside a transaction or
    /// beside such.
    pub unkept: Vec<String>,
}

/// The kinds of ways out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Run what is left of the body.
    Finish,
    /// Take back what took effect.
    Undo,
    /// Write into the row what the schema is.
    SetRow,
}

/// What was found out about one track.
#[derive(Debug, Clone, PartialEq)]
pub struct Diagnosis {
    /// The track.
    pub track: TrackName,
    /// Its tracking table.
    pub table: String,
    /// What its row says.
    pub row: Position,
    /// The positions whose clean install has the schema that was found.
    pub fits: Vec<Option<u64>>,
    /// Whether the row is right although no clean install says so: the application's own down
    /// migrations lead from a position that fits to it, and leave the schema as it is.
    pub by_downs: bool,
    /// The bodies that a dirty mark may mean.
    pub doubts: Vec<Doubt>,
    /// The ways out.
    pub exits: Vec<Exit>,
}

impl Diagnosis {
    /// Whether the row is not dirty and says what the schema is, or what nothing contradicts.
    pub fn is_well(&self) -> bool {
        !self.row.dirty && (self.by_downs || self.fits.contains(&self.row.version))
    }

    /// Whether the row is behind or ahead of the schema.
    pub fn is_out_of_step(&self) -> bool {
        !self.row.dirty && !self.is_well() && !self.fits.is_empty()
    }
}

/// What a person knows and the schema does not tell.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Told {
    /// The file of the body that was under way.
    pub file: Option<String>,
    /// How many parts of it took effect.
    pub took: Option<usize>,
}

/// Finds out what each track has, and how to make its row say so.
///
/// # Errors
/// When the clean installs cannot be made.
pub async fn examine(
    shadow: &Shadow,
    material: &Material<'_>,
    rows: &Rows,
    found: &Fingerprint,
    told: &Told,
) -> Result<Vec<Diagnosis>, RehearsalError> {
    let mut diagnoses = Vec::new();
    for (track, table) in material.tracks {
        let row = rows.get(track).copied().unwrap_or_default();
        let positions = rows.iter().map(|(track, row)| (track.clone(), row.version));
        let case = trial::Case { shadow, material, track, table, others: positions.collect() };
        diagnoses.push(shadow.tidied(one(&case, row, found, told).await).await?);
    }
    Ok(diagnoses)
}

async fn one(
    case: &trial::Case<'_>,
    row: Position,
    found: &Fingerprint,
    told: &Told,
) -> Result<Diagnosis, RehearsalError> {
    let installs = case.installs().await?;
    let mut trials = Vec::new();
    if row.dirty {
        for doubt in case.suspects(row.version) {
            trials.push(case.try_out(doubt).await?);
        }
    }
    let tried = trials.iter().flat_map(|trial| trial.after.iter().flatten());
    let signs = Signs::of(installs.iter().map(|(_, it)| it).chain(tried), found);
    let fitting = installs.iter().filter(|(_, install)| signs.fit(install));
    let mut diagnosis = Diagnosis {
        track: case.track.clone(),
        table: case.table.to_owned(),
        row,
        fits: fitting.map(|(version, _)| *version).collect(),
        by_downs: false,
        doubts: Vec::new(),
        exits: Vec::new(),
    };
    if row.dirty {
        for mut trial in trials {
            trial.judge(&signs);
            if told.file.as_ref().is_none_or(|file| *file == trial.doubt.file) {
                let exits = ways::out_of(case, &mut trial, told).await?;
                // Two bodies may come to the same, such as 7 up done and 8 down done.
                let new = exits.into_iter().filter(|exit| {
                    !diagnosis.exits.iter().any(|it| (it.to, &it.sql) == (exit.to, &exit.sql))
                });
                let new: Vec<Exit> = new.collect();
                diagnosis.exits.extend(new);
            }
            diagnosis.doubts.push(trial.doubt);
        }
    } else if diagnosis.is_out_of_step() {
        diagnosis.by_downs = case.downs_leave(row.version, &diagnosis.fits, found).await;
        if !diagnosis.by_downs {
            diagnosis.exits = diagnosis.fits.iter().map(|to| ways::set_row(*to)).collect();
        }
    }
    Ok(diagnosis)
}

/// The tracks whose rows are behind or ahead of the schema. A schema that is that of no position at
/// all is drift of another kind, and not told here.
///
/// # Errors
/// When the clean installs cannot be made.
pub async fn out_of_step(
    shadow: &Shadow,
    material: &Material<'_>,
    rows: &Rows,
    found: &Fingerprint,
) -> Result<Vec<Diagnosis>, RehearsalError> {
    let positions: Positions =
        rows.iter().map(|(track, row)| (track.clone(), row.version)).collect();
    let expected = expected_here(shadow, material, &positions).await?;
    if compare(&expected, found).holds() {
        return Ok(Vec::new());
    }
    let diagnoses = examine(shadow, material, rows, found, &Told::default()).await?;
    Ok(diagnoses.into_iter().filter(|it| it.is_out_of_step()).collect())
}

/// What tells the states of one track apart: the objects that not all of them have alike.
struct Signs {
    found: BTreeMap<ObjectName, Option<String>>,
    /// Indexes that are there and invalid, and are not in any state.
    invalid: BTreeSet<ObjectName>,
}

impl Signs {
    fn of<'a>(states: impl Iterator<Item = &'a Fingerprint> + Clone, found: &Fingerprint) -> Signs {
        let names: BTreeSet<&ObjectName> =
            states.clone().flat_map(|state| state.objects.keys()).collect();
        let mut signs = Signs { found: BTreeMap::new(), invalid: BTreeSet::new() };
        for name in names {
            let mut definitions = states.clone().map(|state| state.objects.get(name));
            let first = definitions.next().flatten();
            if definitions.all(|it| it == first) {
                continue;
            }
            let half_built =
                found.is_invalid(name) && !states.clone().any(|it| it.is_invalid(name));
            if half_built {
                signs.invalid.insert(name.clone());
            }
            // What never became valid has not taken effect.
            let definition = found.objects.get(name).filter(|_| !half_built);
            signs.found.insert(name.clone(), definition.cloned());
        }
        signs
    }

    fn fit(&self, state: &Fingerprint) -> bool {
        self.found.iter().all(|(name, found)| state.objects.get(name) == found.as_ref())
    }
}

/// Why a way out was not gone to its end.
#[derive(Debug, Error)]
pub enum DoctorError {
    /// Somebody else is at work.
    #[error("the locks were not obtained")]
    Lock(#[source] LockError),
    /// The database is not what was examined.
    #[error("the database has changed since it was examined")]
    Moved,
    /// What was to be run failed.
    #[error("the statements failed")]
    Step(#[source] StepError),
    /// A question or a write of our own failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// What was examined, and must still be so when a way out is gone.
#[derive(Debug, Clone, Copy)]
pub struct Examined<'a> {
    /// The application, whose archive keeps what is destroyed.
    pub app: &'a str,
    /// Every tracking table: all are locked.
    pub tables: &'a [String],
    /// The schema.
    pub found: &'a Fingerprint,
    /// Whether what cannot be kept ([`Exit::unkept`]) may go.
    pub discard: bool,
}

/// Goes a way out, under the locks, and looks again under them.
///
/// # Errors
/// When the locks are not obtained, the database has moved, or a statement fails.
pub async fn go(
    exit: &Exit,
    diagnosis: &Diagnosis,
    examined: Examined<'_>,
    database: &mut dyn Database,
    lock_timeout: Duration,
) -> Result<Done, DoctorError> {
    database.lock(examined.tables, lock_timeout).await.map_err(DoctorError::Lock)?;
    let went = locked(exit, diagnosis, examined, database).await;
    let unlocked = database.unlock().await;
    let done = went?;
    unlocked?;
    Ok(done)
}

async fn locked(
    exit: &Exit,
    diagnosis: &Diagnosis,
    examined: Examined<'_>,
    database: &mut dyn Database,
) -> Result<Done, DoctorError> {
    let row = database.track(&diagnosis.table).await?.position();
    let now = database.fingerprint(examined.tables).await?;
    if row != diagnosis.row || now.objects != examined.found.objects {
        return Err(DoctorError::Moved);
    }
    if exit.sql.is_empty() {
        let position = Position { version: exit.to, dirty: false };
        database.set_track(&diagnosis.table, position).await?;
        return Ok(Done::default());
    }
    let mode = database.facts(&exit.sql).mode;
    let work = Work {
        table: &diagnosis.table,
        from: row.version,
        dirty: row.dirty,
        to: exit.to,
        file: &exit.file,
        body: &exit.sql,
        mode: &mode,
        journal: None,
        settings: Settings::Reset,
        durable: true,
        first: 1,
        undoing: false,
    };
    let care = Care {
        app: examined.app,
        track: &diagnosis.track,
        version: exit.version,
        direction: exit.direction,
        // Beside what cannot be kept nothing is.
        keep: exit.unkept.is_empty() || !examined.discard,
        planned: None,
        each_lock: false,
        limits: Limits::default(),
    };
    database.migrate_with_care(&work, &care).await.map_err(DoctorError::Step)
}
