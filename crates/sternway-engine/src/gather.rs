//! What a plan is computed from, read once: the catalog from its source, the state from the database, and
//! what runs from the application. Nothing is changed.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;

use sternway_database::{Database, DatabaseError, Dialect};
use sternway_model::app::App;
use sternway_model::body::BodyFacts;
use sternway_model::catalog::{Catalog, Digest, Enabled, Release, Track};
use sternway_model::plan::{Facts, Findings};
use sternway_model::policy::Policy;
use sternway_model::state::{AppState, State, TrackState, TrackingRow};
use thiserror::Error;

use crate::event::{Event, Observer};
use crate::observe::observe;
use crate::unanswered::Unanswered;

/// What the settings say of an application.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Its name.
    pub app: String,
    /// Its tracks, in the order in which they go up.
    pub tracks: Vec<Track>,
    /// What is allowed.
    pub policy: Policy,
    /// What the database speaks.
    pub dialect: Dialect,
    /// The release that runs now, where somebody says so.
    pub running: Option<Release>,
    /// Whether the catalog is what the database carries, although there is a source.
    pub offline: bool,
}

/// Where catalogs are read from. The engine knows no git and no hosts.
pub trait Source: Send {
    /// Reads the catalog.
    ///
    /// # Errors
    /// Whatever keeps it from being read, in the reader's own words.
    fn catalog(&mut self) -> Result<Catalog, Box<dyn Error + Send + Sync>>;
}

/// All that a plan is computed from, as it was found.
#[derive(Debug, Clone)]
pub struct Gathered {
    /// What could be.
    pub catalog: Catalog,
    /// What the bodies say, by hash.
    pub bodies: BTreeMap<Digest, BodyFacts>,
    /// What is.
    pub state: State,
    /// What is allowed.
    pub policy: Policy,
    /// What the application runs.
    pub app: AppState,
    /// What shadow databases told of migrations that differ in words.
    pub findings: Findings,
}

impl Gathered {
    /// As the planner takes them.
    pub fn facts(&self) -> Facts<'_> {
        let Gathered { catalog, bodies, state, policy, app, findings } = self;
        Facts::new(catalog, bodies, state, policy, app, findings)
    }
}

/// Why there are no facts to plan from.
#[derive(Debug, Error)]
pub enum GatherError {
    /// The database did not answer.
    #[error(transparent)]
    Unanswered(#[from] Unanswered),
    /// There is no source, or none is to be read, and Sternway has never run on the database.
    #[error("the database carries no releases: Sternway has never run on it")]
    NoRecords,
    /// Nothing says where the releases are.
    #[error("nothing says where the releases are")]
    NoSource,
    /// The source cannot be read.
    #[error("the releases cannot be read")]
    Source(#[source] Box<dyn Error + Send + Sync>),
    /// What runs is not what was said to run.
    #[error("release {found} runs, and it was said that {named} does")]
    RunsAnother {
        /// What the application says.
        found: Release,
        /// What was said.
        named: Release,
    },
    /// What runs is no release of the catalog.
    #[error("release {running}, which runs now, is not in the catalog")]
    RunsUnknown {
        /// What runs.
        running: Release,
        /// The catalog.
        catalog: Box<Catalog>,
    },
    /// Nobody looked at a database, and nothing says which release runs.
    #[error("nothing says which database")]
    NothingKnown,
}

/// Reads the facts: the catalog from `source`, or from the database's records where there is none or
/// the settings say so.
///
/// # Errors
/// When the database does not answer, no catalog can be had, or what runs does not fit.
pub async fn gather(
    settings: &Settings,
    source: Option<&mut (dyn Source + '_)>,
    database: &mut dyn Database,
    app: Option<&mut (dyn App + 'static)>,
    observer: &mut dyn Observer,
) -> Result<Gathered, GatherError> {
    let state = observe(database, &settings.app, &settings.tracks).await;
    let mut state = state.map_err(Unanswered::to("look at the database"))?;
    state.clients = clients(database).await.map_err(Unanswered::to("tell who is connected"))?;
    let (reads, has_source) = (!settings.offline, source.is_some());
    let catalog = match source {
        Some(source) if reads => source.catalog().map_err(GatherError::Source)?,
        _ => {
            let catalog = state.records.catalog(&settings.app, &settings.tracks);
            match (catalog.releases.is_empty(), settings.offline, has_source) {
                (false, ..) => catalog,
                (true, true, _) => return Err(GatherError::NoRecords),
                (true, false, _) => return Err(GatherError::NoSource),
            }
        }
    };
    let running = running(settings, app, observer).await?;
    gathered(settings, catalog, state, running)
}

/// Takes the schema of the running release for granted, where there is no database to look at.
///
/// # Errors
/// When no catalog can be had, or what runs is not known.
pub async fn assume(
    settings: &Settings,
    source: Option<&mut (dyn Source + '_)>,
    app: Option<&mut (dyn App + 'static)>,
    observer: &mut dyn Observer,
) -> Result<Gathered, GatherError> {
    let source = source.ok_or(GatherError::NoSource)?;
    let catalog = source.catalog().map_err(GatherError::Source)?;
    let Some(from) = running(settings, app, observer).await? else {
        return Err(GatherError::NothingKnown);
    };
    let mut state = State::default();
    if let Some(entry) = catalog.releases.get(&from) {
        for track in catalog.tracks.iter().filter(|track| track.enabled != Enabled::Never) {
            let row = TrackingRow::clean(entry.set(&track.name).last());
            state.tracks.insert(track.name.clone(), TrackState::At(row));
        }
    }
    gathered(settings, catalog, state, Some(from))
}

/// The users of the other sessions.
async fn clients(database: &mut dyn Database) -> Result<BTreeSet<String>, DatabaseError> {
    let users = database.sessions().await?.into_iter().map(|session| session.user);
    Ok(users.filter(|user| !user.is_empty()).collect())
}

/// The release that runs, as somebody says or the application itself.
async fn running(
    settings: &Settings,
    app: Option<&mut (dyn App + 'static)>,
    observer: &mut dyn Observer,
) -> Result<Option<Release>, GatherError> {
    let named = settings.running.clone();
    let Some(app) = app else { return Ok(named) };
    let found = match app.running().await {
        Ok(found) => found,
        // It may be down, and need not be up for a plan.
        Err(error) => {
            observer.tell(&Event::AppSilent(&error));
            None
        }
    };
    match (named, found) {
        (Some(named), Some(found)) if named != found => {
            Err(GatherError::RunsAnother { found, named })
        }
        (named, found) => Ok(named.or(found)),
    }
}

fn gathered(
    settings: &Settings,
    catalog: Catalog,
    state: State,
    running: Option<Release>,
) -> Result<Gathered, GatherError> {
    // As the catalog writes it.
    let known = running.as_ref().and_then(|it| catalog.releases.get_key_value(it));
    let running = known.map(|(release, _)| release.clone()).or(running);
    if let Some(running) = running.clone().filter(|it| !catalog.releases.contains_key(it)) {
        return Err(GatherError::RunsUnknown { running, catalog: Box::new(catalog) });
    }
    let texts = catalog.bodies.iter().chain(&state.records.bodies);
    let bodies = texts.map(|(hash, body)| (*hash, settings.dialect.facts(body))).collect();
    let policy = settings.policy.clone();
    let (app, findings) = (AppState { running }, Findings::default());
    Ok(Gathered { catalog, bodies, state, policy, app, findings })
}
