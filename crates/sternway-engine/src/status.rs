//! Where a database stands: each track, the releases whose schema that is, and whether the schema is
//! the one that they have. Nothing is changed.

use sternway_database::{Database, DatabaseError, Dialect, Raised, Unfinished};
use sternway_model::archive::{Entry, EntryId};
use sternway_model::catalog::{Enabled, Release, TrackName};
use sternway_model::plan::{Facts, PlanError, Standing, standing};
use sternway_model::position::Position;
use sternway_model::proof::{Comparison, ObjectName, compare};
use sternway_model::state::{Identity, RecordsAccess, TrackState, TrackingRow};

use crate::archive::placed;
use crate::diagnose::diagnose;
use crate::locks::at_work;
use crate::material::InstallMaterial;
use crate::observe::tables;
use crate::shadow::{Positions, RehearsalError, Shadow, expected_here};
use crate::unanswered::Unanswered;
use crate::verify::fingerprint;

/// Where a database stands.
#[derive(Debug)]
pub struct Status {
    /// The application.
    pub app: String,
    /// The database.
    pub database: Identity,
    /// What it speaks.
    pub dialect: Dialect,
    /// The tracks in the order of the settings, without those that are switched off.
    pub tracks: Vec<TrackStatus>,
    /// The release that the application runs, if anybody said so.
    pub running: Option<Release>,
    /// What its schema is.
    pub verdict: Verdict,
    /// The run that nobody has ended, if its plan can be read.
    pub unfinished: Option<Unfinished>,
    /// The fences that stand though nobody is at work.
    pub fences: Vec<Raised>,
    /// What Sternway keeps in the database for itself.
    pub records: RecordsStatus,
    /// What the archive keeps, the oldest first.
    pub archive: Vec<Entry>,
    /// Those of it that wait and have a place to go to.
    pub placed: Vec<EntryId>,
}

/// Where one track stands.
#[derive(Debug, Clone, PartialEq)]
pub struct TrackStatus {
    /// Its name.
    pub track: TrackName,
    /// Its tracking table.
    pub table: String,
    /// What that table says.
    pub state: TrackState,
    /// False for a track that is used where its table has a version, and here has none.
    pub takes_part: bool,
    /// Where a track stands that has every migration of any release.
    pub newest: Position,
    /// For a dirty track that was looked into: the positions whose clean install has its schema.
    pub schema_at: Option<Vec<Position>>,
}

impl TrackStatus {
    /// What the row says; nothing applied where there is none.
    pub fn row(&self) -> TrackingRow {
        self.state.row()
    }

    /// What a dirty track's row has to say. Where several positions fit, their schemas are the same, and
    /// the one nearest to the mark is meant.
    pub fn repaired(&self) -> Option<Position> {
        let number = |at: Position| at.number().unwrap_or(0);
        let mark = number(self.row().position);
        let fits = self.schema_at.iter().flatten().copied();
        fits.min_by_key(|at| number(*at).abs_diff(mark))
    }
}

/// What Sternway keeps in the database for itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordsStatus {
    /// Whether records can be kept.
    pub access: RecordsAccess,
    /// How many migrations are carried.
    pub migrations: usize,
    /// The release that the last finished run arrived at.
    pub arrived_at: Option<Release>,
    /// What others had made, was taken along by a down half, and waits to be made again.
    pub taken: Vec<ObjectName>,
}

/// What the schema of a database is, as far as its tracking rows allow to tell.
#[derive(Debug)]
pub enum Verdict {
    /// The rows lead to known migrations.
    Stands {
        /// What is applied, and which releases have exactly that.
        standing: Standing,
        /// The schema beside a clean install of it.
        schema: Schema,
    },
    /// A track is dirty.
    Dirty {
        /// Which, and where.
        problem: PlanError,
        /// Why it is not known what the schema has; else [`TrackStatus::schema_at`] says it.
        unknown: Option<Unknown>,
    },
    /// What is applied cannot be told.
    Refused(PlanError),
}

/// The schema of a database beside a clean install of what its rows say.
#[derive(Debug)]
pub enum Schema {
    /// Nothing is applied, so that there is nothing to compare.
    NotInstalled,
    /// It was compared.
    Compared(Comparison),
    /// The tracking tables are there, and no table that the migrations make.
    OfAnotherApp,
    /// No clean install could be made.
    Unproven(RehearsalError),
}

/// Why the schema of a dirty track is not known.
#[derive(Debug)]
pub enum Unknown {
    /// A migrator is at work, and the track is dirty until it is done.
    AtWork,
    /// No clean install could be made.
    Unproven(RehearsalError),
}

/// Finds out where a database stands.
///
/// # Errors
/// When the database does not answer. What cannot be rehearsed is part of the answer.
pub async fn status(
    facts: &Facts<'_>,
    shadow: &Shadow,
    database: &mut dyn Database,
) -> Result<Status, Unanswered> {
    let app = &facts.catalog.app;
    let tables = tables(&facts.catalog.tracks);
    let unfinished = unfinished(database, app).await?;
    let fences = forgotten_fences(database, app, &tables).await?;
    let mut tracks = tracks(facts);
    let verdict = match standing(facts) {
        Ok(standing) => {
            let schema = compare_with_clean_install(facts, shadow, &standing, database).await?;
            Verdict::Stands { standing, schema }
        }
        Err(problem @ PlanError::Dirty { .. }) => {
            let unknown = if at_work(database, &tables).await? {
                Some(Unknown::AtWork)
            } else {
                let dirty = look_into_dirty(facts, shadow, database).await?;
                tracks = dirty.tracks;
                dirty.unknown.map(Unknown::Unproven)
            };
            Verdict::Dirty { problem, unknown }
        }
        Err(problem) => Verdict::Refused(problem),
    };
    let archive = database.archive(app).await.map_err(Unanswered::to("read the archive"))?;
    let placed = placed(&archive, database, &tables).await?;
    let records = &facts.state.records;
    let records = RecordsStatus {
        access: records.access.clone(),
        migrations: records.migrations.values().map(|set| set.iter().count()).sum(),
        arrived_at: records.arrived_at.clone(),
        taken: records.taken.iter().map(|it| it.object.clone()).collect(),
    };
    Ok(Status {
        app: app.clone(),
        database: facts.state.identity.clone(),
        dialect: shadow.dialect(),
        tracks,
        running: facts.app.running.clone(),
        verdict,
        unfinished,
        fences,
        records,
        archive,
        placed,
    })
}

/// What can be said of the tracks without asking further.
fn tracks(facts: &Facts<'_>) -> Vec<TrackStatus> {
    let newest = |track: &TrackName| {
        let releases = facts.catalog.releases.values();
        releases.map(|entry| entry.set(track).last()).max().unwrap_or_default()
    };
    let tracks = facts.catalog.tracks.iter().filter(|track| track.enabled != Enabled::Never);
    let status = tracks.map(|track| {
        let state = facts.state.tracks.get(&track.name).copied().unwrap_or(TrackState::NoTable);
        let off = track.enabled == Enabled::Auto && state.row() == TrackingRow::default();
        TrackStatus {
            track: track.name.clone(),
            table: track.table.clone(),
            state,
            takes_part: !off,
            newest: newest(&track.name),
            schema_at: None,
        }
    });
    status.collect()
}

/// The run that nobody has ended; none where its plan is of another version and cannot be read.
async fn unfinished(
    database: &mut dyn Database,
    app: &str,
) -> Result<Option<Unfinished>, Unanswered> {
    match database.unfinished(app).await {
        Err(DatabaseError::PlanUnreadable { .. }) => Ok(None),
        found => found.map_err(Unanswered::to("look for an unfinished run")),
    }
}

/// The fences that stand though nobody is at work: an end that came before they were taken away has
/// left them, and until somebody does that, the application cannot write.
///
/// # Errors
/// When the database does not answer.
pub async fn forgotten_fences(
    database: &mut dyn Database,
    app: &str,
    tables: &[String],
) -> Result<Vec<Raised>, Unanswered> {
    let fences = database.fences(app).await;
    let fences = fences.map_err(Unanswered::to("tell whether a fence stands"))?;
    if fences.is_empty() || at_work(database, tables).await? {
        return Ok(Vec::new());
    }
    Ok(fences)
}

/// Compares the schema with a clean install of where the tracks stand.
///
/// # Errors
/// When the schema cannot be read.
pub async fn compare_with_clean_install(
    facts: &Facts<'_>,
    shadow: &Shadow,
    standing: &Standing,
    database: &mut dyn Database,
) -> Result<Schema, Unanswered> {
    let positions = standing.applied.iter().map(|(track, set)| (track.clone(), set.last()));
    let positions: Positions = positions.collect();
    if positions.values().all(|it| *it == Position::Nothing) {
        return Ok(Schema::NotInstalled);
    }
    let install = InstallMaterial::whole(facts, &standing.applied);
    let mut expected = match expected_here(shadow, &install.material(), &positions).await {
        Ok(expected) => expected,
        Err(error) => return Ok(Schema::Unproven(error)),
    };
    let found = fingerprint(database, &install.tables).await?;
    let mut made = expected.clean.objects.keys().filter(|it| it.kind == "table").peekable();
    if made.peek().is_some() && !made.any(|table| found.objects.contains_key(table)) {
        return Ok(Schema::OfAnotherApp);
    }
    let left = facts.state.records.leaves.iter().map(|it| it.object().clone());
    expected.known.extend(left);
    let mut comparison = compare(&expected, &found);
    comparison.know(&facts.state.records.leaves);
    Ok(Schema::Compared(comparison))
}

/// The tracks of a database of which one is dirty.
#[derive(Debug)]
pub struct DirtyTracks {
    /// What the database speaks.
    pub dialect: Dialect,
    /// The schema that the application lives in.
    pub schema: String,
    /// All of them; the dirty ones with what their schema is.
    pub tracks: Vec<TrackStatus>,
    /// Why that is not known, where it is not.
    pub unknown: Option<RehearsalError>,
}

/// Finds out what the schema of dirty tracks really has.
///
/// # Errors
/// When the schema cannot be read.
pub async fn look_into_dirty(
    facts: &Facts<'_>,
    shadow: &Shadow,
    database: &mut dyn Database,
) -> Result<DirtyTracks, Unanswered> {
    let (mut tracks, mut unknown) = (tracks(facts), None);
    let rows = tracks.iter().filter(|it| it.takes_part);
    let positions: Positions = rows.map(|it| (it.track.clone(), it.row().position)).collect();
    let install = InstallMaterial::of_the_newest(facts, positions.keys());
    let found = fingerprint(database, &install.tables).await?;
    for track in tracks.iter_mut().filter(|it| it.row().dirty) {
        let fits = diagnose(shadow, &install.material(), &track.track, &positions, &found).await;
        match fits {
            Ok(at) => track.schema_at = Some(at),
            Err(error) => unknown = Some(error),
        }
    }
    let (dialect, schema) = (shadow.dialect(), facts.state.identity.schema.clone());
    Ok(DirtyTracks { dialect, schema, tracks, unknown })
}
