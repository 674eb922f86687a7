//! What is wrong with a dirty or inconsistent database, whoever left it so, and how to repair it safely.
//!
//! The schema is what tells: a body in doubt is run on a shadow, part by part, and the database is
//! held against what each part leads to. Only what a track's own migrations change is looked at, so
//! that foreign objects, other tracks and drift elsewhere play no role. Parts that change data alone
//! leave no sign; where they matter, that is said, and nothing is chosen.
//!
//! [`wait_for_orphans`] sees to it that nothing changes any more, [`examine_all`] finds out, [`Choice`]
//! picks one repair, [`carry_out`] runs it.

mod trial;
mod repairs;
mod orphans;
mod choice;
mod statements;
mod carry_out;

use std::collections::{BTreeMap, BTreeSet};

use sternway_database::{Database, Dialect};
use sternway_model::catalog::{Direction, Enabled, TrackName};
use sternway_model::plan::Facts;
use sternway_model::position::Position;
use sternway_model::proof::{Definition, Difference, Fingerprint, ObjectName, compare};
use sternway_model::state::{TrackState, TrackingRow};
use thiserror::Error;

pub use self::carry_out::{DoctorError, Examined, carry_out};
pub use self::choice::{Choice, ChoiceError};
pub use self::orphans::{Waited, wait_for_orphans};
pub use self::statements::{row_statement, statements};
use crate::material::InstallMaterial;
use crate::shadow::{Material, Positions, RehearsalError, Shadow, expected_here};
use crate::unanswered::Unanswered;
use crate::verify::fingerprint;

/// What the tracking rows say.
pub type Rows = BTreeMap<TrackName, TrackingRow>;

/// The rows of the tracks that take part.
pub fn rows(facts: &Facts<'_>) -> Rows {
    let tracks = facts.catalog.tracks.iter().filter(|it| it.enabled != Enabled::Never);
    let rows = tracks.map(|track| {
        let state = facts.state.tracks.get(&track.name).copied().unwrap_or(TrackState::NoTable);
        (track, state.row())
    });
    let on = rows
        .filter(|(track, row)| track.enabled == Enabled::Always || *row != TrackingRow::default());
    on.map(|(track, row)| (track.name.clone(), row)).collect()
}

/// A body whose end nobody saw.
#[derive(Debug, Clone, PartialEq)]
pub struct InDoubt {
    /// The number of its migration.
    pub version: u64,
    /// Which half it is.
    pub direction: Direction,
    /// The file.
    pub file: String,
    /// What the row has to say if nothing of it took effect.
    pub undone: Position,
    /// What the row has to say if all of it did.
    pub done: Position,
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

/// What makes the row of a track say what its schema is.
#[derive(Debug, Clone, PartialEq)]
pub struct Repair {
    /// How it does so.
    pub kind: RepairKind,
    /// The file that it is about; empty where only the row moves.
    pub file: String,
    /// The migration.
    pub version: u64,
    /// Which half is run.
    pub direction: Direction,
    /// What is run before the row is written; empty where nothing is.
    pub sql: String,
    /// What is run behind what the archive restores: each row has its value then.
    pub closed_by: Vec<String>,
    /// What the row says afterwards.
    pub to: Position,
    /// What it destroys beyond the archive's reach, in statements that run outside a transaction or
    /// beside such.
    pub unkept: Vec<String>,
}

/// The kinds of repairs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RepairKind {
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
    pub row: TrackingRow,
    /// The positions whose clean install has the schema that was found.
    pub fits: Vec<Position>,
    /// Whether the row is right although no clean install says so: the last journey has left the schema so,
    /// or the application's own down migrations lead from a position that fits to it, and leave the schema
    /// as it is.
    pub by_downs: bool,
    /// The bodies that a dirty mark may mean.
    pub in_doubt: Vec<InDoubt>,
    /// What may be done about it.
    pub repairs: Vec<Repair>,
}

impl Diagnosis {
    /// Whether the row is not dirty and says what the schema is, or what nothing contradicts.
    pub fn is_well(&self) -> bool {
        !self.row.dirty && (self.by_downs || self.fits.contains(&self.row.position))
    }

    /// Whether the row is behind or ahead of the schema.
    pub fn is_out_of_step(&self) -> bool {
        !self.row.dirty && !self.is_well() && !self.fits.is_empty()
    }
}

/// What a person knows and the schema does not tell.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reported {
    /// The file of the body that was under way.
    pub file: Option<String>,
    /// How many parts of it took effect.
    pub took: Option<usize>,
}

/// Finds out what each track has, and how to make its row say so. `left` is what the last journey is known
/// to have left otherwise.
///
/// # Errors
/// When the clean installs cannot be made.
pub async fn examine(
    shadow: &Shadow,
    material: &Material<'_>,
    rows: &Rows,
    found: &Fingerprint,
    left: &[Difference],
    reported: &Reported,
) -> Result<Vec<Diagnosis>, RehearsalError> {
    let mut diagnoses = Vec::new();
    for (track, table) in material.tracks {
        let row = rows.get(track).copied().unwrap_or_default();
        let positions = rows.iter().map(|(track, row)| (track.clone(), row.position));
        let others = positions.collect();
        let case = trial::Case { shadow, material, track, table, others, left };
        diagnoses.push(shadow.tidied(one(&case, row, found, reported).await).await?);
    }
    Ok(diagnoses)
}

/// Why a database could not be examined.
#[derive(Debug, Error)]
pub enum ExamineError {
    /// It did not answer.
    #[error(transparent)]
    Unanswered(#[from] Unanswered),
    /// No clean install could be made.
    #[error(transparent)]
    Rehearsal(#[from] RehearsalError),
}

/// A database that was examined.
#[derive(Debug)]
pub struct Examination {
    /// The application.
    pub app: String,
    /// What the database speaks.
    pub dialect: Dialect,
    /// The schema that the application lives in.
    pub schema: String,
    /// Every tracking table of the application.
    pub tables: Vec<String>,
    /// The schema that was found.
    pub found: Fingerprint,
    /// What was found out of each track that takes part.
    pub diagnoses: Vec<Diagnosis>,
}

/// Finds out what each track of a database has that takes part, and how to make its row say so.
///
/// # Errors
/// When the schema cannot be read, or the clean installs cannot be made.
pub async fn examine_all(
    facts: &Facts<'_>,
    shadow: &Shadow,
    database: &mut dyn Database,
    reported: &Reported,
) -> Result<Examination, ExamineError> {
    let rows = rows(facts);
    let install = InstallMaterial::newest(facts, &rows);
    let found = fingerprint(database, &install.tables).await?;
    let (material, left) = (install.material(), &facts.state.records.leaves);
    let diagnoses = examine(shadow, &material, &rows, &found, left, reported).await?;
    Ok(Examination {
        app: facts.catalog.app.clone(),
        dialect: shadow.dialect(),
        schema: facts.state.identity.schema.clone(),
        tables: install.tables,
        found,
        diagnoses,
    })
}

async fn one(
    case: &trial::Case<'_>,
    row: TrackingRow,
    found: &Fingerprint,
    reported: &Reported,
) -> Result<Diagnosis, RehearsalError> {
    let installs = case.installs().await?;
    let mut trials = Vec::new();
    // Without a mark, too: somebody has said that it is done, or it passed over an index that was there.
    let in_doubt = row.dirty || is_half_built(&installs, row, found);
    if in_doubt {
        for in_doubt in case.suspects(row.position) {
            trials.push(case.try_out(in_doubt).await?);
        }
    }
    let tried = trials.iter().flat_map(|trial| trial.after.iter().flatten());
    let signs = Signs::of(installs.iter().map(|(_, it)| it).chain(tried), found);
    let fitting = installs.iter().filter(|(_, install)| signs.fit(install));
    let mut diagnosis = Diagnosis {
        track: case.track.clone(),
        table: case.table.to_owned(),
        row,
        fits: fitting.map(|(position, _)| *position).collect(),
        by_downs: false,
        in_doubt: Vec::new(),
        repairs: Vec::new(),
    };
    if in_doubt {
        for mut trial in trials {
            trial.judge(&signs);
            if reported.file.as_ref().is_none_or(|file| *file == trial.in_doubt.file) {
                for repair in repairs::of(case, &mut trial, reported).await? {
                    // Two bodies may come to the same, such as 7 up done and 8 down done.
                    let same = |it: &Repair| (it.to, &it.sql) == (repair.to, &repair.sql);
                    if !diagnosis.repairs.iter().any(same) {
                        diagnosis.repairs.push(repair);
                    }
                }
            }
            diagnosis.in_doubt.push(trial.in_doubt);
        }
    }
    if !row.dirty && diagnosis.repairs.is_empty() && diagnosis.is_out_of_step() {
        diagnosis.by_downs = case.is_as_left(&installs, row.position, found)
            || case.downs_leave(row.position, &diagnosis.fits, found).await;
        if !diagnosis.by_downs {
            diagnosis.repairs = diagnosis.fits.iter().map(|to| repairs::set_row(*to)).collect();
        }
    }
    Ok(diagnosis)
}

/// Whether an index is there and invalid that is valid in a clean install of where the row is.
fn is_half_built(
    installs: &[(Position, Fingerprint)],
    row: TrackingRow,
    found: &Fingerprint,
) -> bool {
    let here = installs.iter().filter(|(position, _)| *position == row.position);
    here.flat_map(|(_, install)| install.objects.keys().map(move |name| (install, name)))
        .any(|(install, name)| found.is_invalid(name) && !install.is_invalid(name))
}

/// The tracks whose rows are behind or ahead of the schema. What the last journey has `left` otherwise is no
/// sign of that. A schema that is that of no position at
/// all is drift of another kind, and not told here.
///
/// # Errors
/// When the clean installs cannot be made.
pub async fn out_of_step(
    shadow: &Shadow,
    material: &Material<'_>,
    rows: &Rows,
    found: &Fingerprint,
    left: &[Difference],
) -> Result<Vec<Diagnosis>, RehearsalError> {
    let positions: Positions =
        rows.iter().map(|(track, row)| (track.clone(), row.position)).collect();
    let expected = expected_here(shadow, material, &positions).await?;
    if compare(&expected, found).holds() {
        return Ok(Vec::new());
    }
    let diagnoses = examine(shadow, material, rows, found, left, &Reported::default()).await?;
    Ok(diagnoses.into_iter().filter(|it| it.is_out_of_step()).collect())
}

/// What tells the states of one track apart: the objects that not all of them have alike.
pub(crate) struct Signs {
    found: BTreeMap<ObjectName, Option<Definition>>,
    /// Indexes that are there and invalid, and are not in any state.
    invalid: BTreeSet<ObjectName>,
}

impl Signs {
    pub(crate) fn of<'a>(
        states: impl Iterator<Item = &'a Fingerprint> + Clone,
        found: &Fingerprint,
    ) -> Signs {
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

    pub(crate) fn fit(&self, state: &Fingerprint) -> bool {
        self.found.iter().all(|(name, found)| state.objects.get(name) == found.as_ref())
    }
}
