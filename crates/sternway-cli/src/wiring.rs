//! The one file that chooses a source, a dialect and a way to deploy, and brings together what a plan
//! is made from.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use sternway_database::{Connect, Database, Dialect, dialect};
use sternway_deploy::commands::Commands;
use sternway_engine::observe::observe;
use sternway_engine::rehearse::{Landmarks, Shadow, landmarks};
use sternway_model::app::App;
use sternway_model::body::BodyFacts;
use sternway_model::catalog::{Catalog, Digest, Enabled, Release};
use sternway_model::journal::Progress;
use sternway_model::plan::{Course, Facts, Plan, Request, Step, plan};
use sternway_model::policy::Policy;
use sternway_model::state::{AppState, Position, State, TrackState};

use crate::args::{Shared, WayArgs};
use crate::config::{Config, DatabaseUrl, Secret, holds_password, release};
use crate::failure::{Exit, Failure, nearest};
use crate::ui::Ui;

/// All that a plan is computed from, read once.
pub struct Known {
    pub catalog: Catalog,
    pub bodies: BTreeMap<Digest, BodyFacts>,
    pub state: State,
    pub policy: Policy,
    pub app: AppState,
    /// Whether the application is moved as well.
    pub deploys: bool,
    /// Where what should be is found out.
    pub shadow: Shadow,
}

impl Known {
    pub fn facts(&self) -> Facts<'_> {
        Facts {
            catalog: &self.catalog,
            bodies: &self.bodies,
            state: &self.state,
            policy: &self.policy,
            app: &self.app,
        }
    }

    /// Plans the way to the release that was typed.
    pub fn plan(&self, to: &str, course: Option<Course>, way: WayArgs) -> Result<Plan, Failure> {
        let target: Release = to.parse().map_err(|error| {
            let attempt = format!("cannot plan the way to release {to}");
            Failure::usage(attempt, error).hint(nearest(to, &self.catalog))
        })?;
        let request = Request {
            target: target.clone(),
            course,
            reset_schema: way.reset_schema,
            adopt: way.adopt,
            discard: way.discard,
            deploy: self.deploys,
        };
        plan(&self.facts(), &request).map_err(|cause| Failure::to_plan(&target, self, cause))
    }
}

/// The settings, and the ways that they choose.
pub struct Setup<'a> {
    pub ui: &'a Ui,
    pub shared: &'a Shared,
    pub config: Config,
}

impl<'a> Setup<'a> {
    pub fn new(ui: &'a Ui, shared: &'a Shared) -> Result<Setup<'a>, Failure> {
        Ok(Setup { ui, shared, config: Config::load(shared)? })
    }

    /// How long to wait for locks.
    pub fn lock_timeout(&self) -> Duration {
        Duration::from_secs(self.shared.lock_timeout)
    }

    /// Where to rehearse.
    pub fn shadow(&self) -> Shadow {
        let rehearsal = self.config.rehearsal.clone();
        match (rehearsal, &self.config.database) {
            (Some(Secret(url)), _) => Shadow::on(self.dialect(), url),
            // In memory, and with the settings of the session: foreign keys act where they are on.
            (None, Ok(database)) if self.dialect() == Dialect::Sqlite => {
                Shadow::on(Dialect::Sqlite, database.url.clone())
            }
            (None, _) => Shadow::inside(self.dialect()),
        }
    }

    /// The application, where the settings say how it is moved.
    pub fn app(&self) -> Option<Box<dyn App>> {
        let settings = self.config.deploy.clone()?;
        Some(Box::new(Commands::new(settings)))
    }

    /// What the schema should be where a run was left. Without it a run goes on all the same: its
    /// proofs find out later.
    pub async fn landmarks(&self, plan: &Plan, progress: &Progress) -> Option<Landmarks> {
        let done = match progress {
            Progress::Before { step }
            | Progress::InDoubt { step, .. }
            | Progress::Failed { step, .. }
            | Progress::Interrupted { step } => *step,
            Progress::Aborting { left, .. } => *left,
            Progress::Finished | Progress::Aborted | Progress::Abandoned => return None,
        };
        let steps = plan.hops.iter().flat_map(|hop| &hop.steps).take(done);
        let done = steps.filter(|step| matches!(step, Step::Migrate(_))).count();
        match landmarks(&self.shadow(), plan, done).await {
            Ok(landmarks) => Some(landmarks),
            Err(error) => {
                tracing::info!("what the schema should be here is not known: {error}");
                None
            }
        }
    }

    /// The release that runs, as --from says or the application itself.
    async fn running(&self) -> Result<Option<Release>, Failure> {
        let named = release("--from", &self.shared.from)?;
        let Some(mut app) = self.app() else { return Ok(named) };
        let found = match app.running().await {
            Ok(found) => found,
            // It may be down, and need not be up for a plan.
            Err(error) => {
                self.ui.note(format!("warning: {error}"));
                None
            }
        };
        match (named, found) {
            (Some(named), Some(found)) if named != found => {
                let text = format!("release {found} runs, and --from says {named}");
                let failure = Failure::new(text, Exit::Refused);
                Err(failure.hint("leave --from out, or mend the command `version` of [deploy.commands]; --no-deploy asks nothing and leaves the application alone"))
            }
            (named, found) => Ok(named.or(found)),
        }
    }

    /// What the database speaks; PostgreSQL where there is none.
    pub fn dialect(&self) -> Dialect {
        let url = self.config.database.as_ref().map(|database| Dialect::of(&database.url));
        url.ok().and_then(Result::ok).unwrap_or(Dialect::Postgres)
    }

    /// Reads the catalog from the source.
    pub fn catalog(&self) -> Result<Catalog, Failure> {
        let Some((text, location)) = &self.config.source else {
            let failure = Failure::new("nothing says where the releases are", Exit::Usage);
            return Err(failure.hint("give --source, or source in [app] of sternway.toml; --offline plans from what the database carries"));
        };
        let cache = cache_folder();
        let reading = sternway_source::read(location, &self.config.layout, cache.as_deref());
        let reading = reading.map_err(|cause| Failure::to_read(text, cause))?;
        for warning in &reading.warnings {
            self.ui.note(format!("warning: {warning}"));
        }
        Ok(reading.catalog)
    }

    /// Opens a session with the database.
    pub async fn connect(&self) -> Result<Box<dyn Database>, Failure> {
        match &self.config.database {
            Ok(database) => self.open(database).await,
            Err(hint) => Err(Failure::new("nothing says which database", Exit::Usage).hint(hint)),
        }
    }

    async fn open(&self, database: &DatabaseUrl) -> Result<Box<dyn Database>, Failure> {
        #[cfg(feature = "embedded")]
        if let Some(place) = sternway_database::embedded::Place::parse(&database.url) {
            let tracks = self.config.layout.tracks.iter();
            let wanted: Vec<String> =
                tracks.filter_map(|it| it.requires_extension.clone()).collect();
            let connected = sternway_database::embedded::connect(&place, &wanted).await;
            return Ok(Box::new(connected.map_err(Failure::to_connect)?));
        }
        let scheme = database.url.split(':').next().unwrap_or_default();
        if scheme == "embedded" {
            let text = "the embedded PostgreSQL is not in this build".to_owned();
            return Err(Failure::to_connect(Connect::Embedded(text)));
        }
        if self.shared.database_typed && holds_password(&database.url) {
            self.ui.note("note: others on this machine can see the password in --database; the variable STERNWAY_DATABASE keeps it to yourself");
        }
        let password = match &database.password_command {
            Some(command) => Some(password(command).await?),
            None => None,
        };
        let connected = dialect::connect(&database.url, password.as_deref()).await;
        connected.map_err(Failure::to_connect)
    }

    /// Looks at the database and reads the catalog: from the source, or from the database's records.
    pub async fn know(&self, database: &mut dyn Database) -> Result<Known, Failure> {
        let layout = &self.config.layout;
        let state = observe(database, &layout.app, &layout.tracks).await;
        let state = state.map_err(|cause| Failure::to_ask("cannot look at the database", cause))?;
        let catalog = match (self.shared.offline, &self.config.source) {
            (true, _) | (false, None) => {
                let catalog = state.records.catalog(&layout.app, &layout.tracks);
                if catalog.releases.is_empty() {
                    return match self.shared.offline {
                        true => Err(Failure::new(
                            "the database carries no releases: Sternway has never run on it",
                            Exit::Refused,
                        )
                        .hint("leave --offline out, and name a source")),
                        false => Err(self.catalog().err().unwrap_or_else(|| {
                            Failure::new("nothing says where the releases are", Exit::Usage)
                        })),
                    };
                }
                catalog
            }
            (false, Some(_)) => self.catalog()?,
        };
        let running = self.running().await?;
        self.known(catalog, state, running)
    }

    /// Takes the schema of the running release for granted, where there is no database to look at.
    pub async fn assume(&self) -> Result<Known, Failure> {
        let catalog = self.catalog()?;
        let running = self.running().await?;
        let Some(from) = running else {
            let hint = self.config.database.as_ref().err().cloned().unwrap_or_default();
            return Err(Failure::new("nothing says which database", Exit::Usage)
                .hint(format!("{hint}. With --from RELEASE a plan needs none: it takes that release's schema for granted")));
        };
        let Some(entry) = catalog.releases.get(&from) else {
            let failure =
                Failure::new(format!("release {from} is not in the catalog"), Exit::Usage);
            return Err(failure.hint(nearest(&from.to_string(), &catalog)));
        };
        let mut state = State::default();
        for track in catalog.tracks.iter().filter(|track| track.enabled != Enabled::Never) {
            let position = Position { version: entry.set(&track.name).last(), dirty: false };
            state.tracks.insert(track.name.clone(), TrackState::At(position));
        }
        self.known(catalog, state, Some(from))
    }

    fn known(
        &self,
        catalog: Catalog,
        state: State,
        running: Option<Release>,
    ) -> Result<Known, Failure> {
        if let Some(running) = &running
            && !catalog.releases.contains_key(running)
        {
            let text = match self.shared.from {
                Some(_) => format!("release {running}, named with --from, is not in the catalog"),
                None => format!("release {running}, which runs now, is not in the catalog"),
            };
            return Err(
                Failure::new(text, Exit::Usage).hint(nearest(&running.to_string(), &catalog))
            );
        }
        let texts = catalog.bodies.iter().chain(&state.records.bodies);
        let dialect = self.dialect();
        let bodies = texts.map(|(hash, body)| (*hash, dialect.facts(body))).collect();
        let policy = self.config.policy.clone();
        let (app, deploys, shadow) =
            (AppState { running }, self.config.deploy.is_some(), self.shadow());
        Ok(Known { catalog, bodies, state, policy, app, deploys, shadow })
    }
}

/// Where what was learned of repositories is kept; nowhere where there is no home.
fn cache_folder() -> Option<PathBuf> {
    let folder = |name: &str| std::env::var_os(name).filter(|it| !it.is_empty()).map(PathBuf::from);
    let cache = folder("XDG_CACHE_HOME").or_else(|| Some(folder("HOME")?.join(".cache")))?;
    Some(cache.join("sternway"))
}

/// Runs the command that prints the password. What it prints is told to nobody.
async fn password(command: &str) -> Result<String, Failure> {
    let attempt = "cannot get the password from the password command";
    let output = tokio::process::Command::new("sh")
        .args(["-c", command])
        .stdin(std::process::Stdio::null())
        .stderr(std::process::Stdio::inherit())
        .output()
        .await
        .map_err(|error| Failure::of(attempt, error))?;
    if !output.status.success() {
        let failure =
            Failure::new(format!("{attempt}: it ended with {}", output.status), Exit::Failed);
        return Err(failure.hint("its own words, if it had any, are above"));
    }
    let text = String::from_utf8(output.stdout)
        .map_err(|_| Failure::new(format!("{attempt}: it is no text"), Exit::Failed))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}
