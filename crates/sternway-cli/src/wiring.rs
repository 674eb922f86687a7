//! The one file that chooses a source, a dialect and a way to deploy, and brings together what a plan
//! is made from.

use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use sternway_database::{Connect, Database, Dialect, Whole, dialect};
use sternway_deploy::commands::Commands;
use sternway_deploy::kubernetes::{Forward, Kubernetes, find_database, variables_of};
use sternway_engine::gather::{GatherError, Gathered, Settings, Source, gather};
use sternway_engine::journey::JourneyError;
use sternway_engine::shadow::{Cache, Shadow};
use sternway_model::app::App;
use sternway_model::catalog::{Catalog, Enabled, Release, Track};
use sternway_model::plan::{Course, Request};
use sternway_snapshot::{Programs, Settings as Snapshots, Store};

use crate::args::{FenceArgs, Shared, WayArgs};
use crate::config::{Config, DatabaseUrl, Deploy, Secret, holds_password, release};
use crate::failure::{BoxError, Exit, Failure, nearest};
use crate::terminal::Terminal;
use crate::ui::Ui;

/// The settings, and the ways that they choose.
pub struct Setup<'a> {
    pub ui: &'a Ui,
    pub shared: &'a Shared,
    pub config: Config,
    /// The way to the database, where it leads through the cluster: open for as long as this lives.
    forward: Option<Forward>,
    /// The catalog, once it was read from the source.
    catalog: OnceLock<Catalog>,
}

impl<'a> Setup<'a> {
    pub fn new(ui: &'a Ui, shared: &'a Shared) -> Result<Setup<'a>, Failure> {
        Ok(Setup::with(ui, shared, Config::load(shared)?))
    }

    /// The settings for a page that somebody else follows.
    pub fn for_page(ui: &'a Ui, shared: &'a Shared) -> Result<Setup<'a>, Failure> {
        Ok(Setup::with(ui, shared, Config::for_page(shared)?))
    }

    fn with(ui: &'a Ui, shared: &'a Shared, config: Config) -> Setup<'a> {
        Setup { ui, shared, config, forward: None, catalog: OnceLock::new() }
    }

    /// How long to wait for locks.
    pub fn lock_timeout(&self) -> Duration {
        Duration::from_secs(self.shared.lock_timeout)
    }

    /// Where to rehearse.
    pub fn shadow(&self) -> Shadow {
        let rehearsal = self.config.rehearsal.clone();
        let shadow = match (rehearsal, &self.config.database) {
            (Some(Secret(url)), _) => Shadow::on(self.dialect(), url),
            // In memory, and with the settings of the session: foreign keys act where they are on.
            (None, Ok(database)) if self.dialect() == Dialect::Sqlite => {
                Shadow::on(Dialect::Sqlite, database.url.clone())
            }
            (None, _) => Shadow::inside(self.dialect()),
        };
        let cache = cache_folder().map(|folder| Cache::at(folder.join("shadow"), build()));
        shadow.with_cache(cache).with_setup(self.config.setup.clone())
    }

    /// The application, where the settings say how it is moved.
    pub fn app(&self) -> Option<Box<dyn App>> {
        if self.shared.deploy.no_deploy {
            return None;
        }
        Some(match self.config.deploy.clone()? {
            Deploy::Commands(settings) => Box::new(Commands::new(settings)),
            Deploy::Kubernetes(settings) => Box::new(Kubernetes::new(*settings)),
        })
    }

    /// The same, with the database that the application's pod is given where nothing else names one.
    pub async fn found(mut self) -> Result<Setup<'a>, Failure> {
        let Some(Deploy::Kubernetes(settings)) = &self.config.deploy else { return Ok(self) };
        let failed = |text: &str, reason: String| {
            let failure = Failure::new(format!("{text}: {reason}"), Exit::Failed);
            failure.hint("mend the cause, or say it yourself: --database names the database, --enable and --disable switch tracks")
        };
        let switches = &self.config.switches;
        let is_open = |it: &Track| it.enabled == Enabled::Auto && switches.contains_key(&it.name);
        if self.config.layout.tracks.iter().any(is_open) {
            let names: Vec<String> = switches.values().cloned().collect();
            let said = variables_of(settings, &names).await.map_err(|reason| {
                failed("it cannot be told on the cluster which tracks are on", reason)
            })?;
            for track in self.config.layout.tracks.iter_mut().filter(|it| is_open(it)) {
                let value = switches.get(&track.name).and_then(|name| said.get(name));
                track.enabled = match value.map(String::as_str) {
                    Some("1" | "t" | "T" | "true" | "TRUE" | "True") => Enabled::Always,
                    Some("0" | "f" | "F" | "false" | "FALSE" | "False") => Enabled::Never,
                    _ => Enabled::Auto,
                };
            }
        }
        if self.config.database.is_ok() || settings.database.is_empty() {
            return Ok(self);
        }
        let found = find_database(settings).await.map_err(|reason| {
            failed("the database of the application cannot be found on the cluster", reason)
        })?;
        tracing::info!("the database is the one of {}", found.from);
        self.config.database = Ok(DatabaseUrl { url: found.url, password_command: None });
        self.forward = found.forward;
        Ok(self)
    }

    /// The settings as the engine takes them.
    pub fn settings(&self) -> Result<Settings, Failure> {
        let layout = &self.config.layout;
        Ok(Settings {
            app: layout.app.clone(),
            tracks: layout.tracks.clone(),
            policy: self.config.policy.clone(),
            dialect: self.dialect(),
            running: release("--from", &self.shared.from)?,
            offline: self.shared.offline,
        })
    }

    /// The release that was typed, by its number or its tag.
    pub fn target(&self, to: &str, attempt: &str) -> Result<Release, Failure> {
        let tagged = self.config.layout.tag.release(to).map(Ok);
        tagged.unwrap_or_else(|| to.parse()).map_err(|error| {
            let hint = self.catalog().map(|catalog| nearest(to, &catalog));
            let failure = Failure::usage(attempt, error);
            match hint {
                Ok(hint) => failure.hint(hint),
                Err(_) => failure,
            }
        })
    }

    /// What is asked for on the way to the release that was typed.
    pub fn request(
        &self,
        to: &str,
        course: Option<Course>,
        way: &WayArgs,
        others: &FenceArgs,
    ) -> Result<Request, Failure> {
        let target = self.target(to, &format!("cannot plan the way to release {to}"))?;
        let consent = &way.consent;
        Ok(Request {
            target,
            course,
            reset_schema: way.reset_schema,
            adopt: way.adopt,
            redo: consent.redo,
            discard: consent.discard.as_ref().is_some_and(Vec::is_empty),
            discards: consent.discard.iter().flatten().cloned().collect(),
            accepted: [&self.config.accept[..], &consent.accept, &consent.accept_difference]
                .concat(),
            accepted_hazards: consent.accept_hazard.clone(),
            no_way_back: consent.no_way_back,
            deploy: self.config.deploy.is_some() && !self.shared.deploy.no_deploy,
            fence: others.request(),
            snapshot: self.config.snapshots.before.request(),
            checks: self.config.checks.clone(),
        })
    }

    /// Where the catalog is read from, if anywhere.
    pub fn source(&self) -> Option<Releases<'_>> {
        self.config.source.is_some().then_some(Releases { setup: self })
    }

    /// What the database speaks; PostgreSQL where there is none.
    pub fn dialect(&self) -> Dialect {
        let url = self.config.database.as_ref().map(|database| Dialect::of(&database.url));
        url.ok().and_then(Result::ok).unwrap_or(Dialect::Postgres)
    }

    /// The catalog of the source, which is read once.
    pub fn catalog(&self) -> Result<Catalog, Failure> {
        if let Some(known) = self.catalog.get() {
            return Ok(known.clone());
        }
        let Some((text, location)) = &self.config.source else {
            return Err(self.no_source());
        };
        let cache = cache_folder();
        let reading = sternway_source::read(location, &self.config.layout, cache.as_deref());
        let reading = reading.map_err(|cause| Failure::to_read(text, cause))?;
        for warning in &reading.warnings {
            self.ui.note(format!("warning: {warning}"));
        }
        Ok(self.catalog.get_or_init(|| reading.catalog).clone())
    }

    /// Opens a session with the database.
    pub async fn connect(&self) -> Result<Box<dyn Database>, Failure> {
        self.open(self.database()?).await
    }

    fn database(&self) -> Result<&DatabaseUrl, Failure> {
        let database = self.config.database.as_ref();
        database.map_err(|hint| Failure::new("nothing says which database", Exit::Usage).hint(hint))
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
        let password = password_of(database).await?;
        let connected = dialect::connect(&database.url, password.as_deref()).await;
        connected.map_err(Failure::to_connect)
    }

    /// Opens a session for the whole of the database.
    pub async fn whole(&self) -> Result<Box<dyn Whole>, Failure> {
        let database = self.database()?;
        let password = password_of(database).await?;
        if database.url.starts_with("embedded:") {
            let text = "the embedded PostgreSQL has no server that pg_dump could reach";
            return Err(Failure::new(text, Exit::Refused)
                .hint("its folder is the database: end what uses it, and copy the folder"));
        }
        let opened = dialect::whole(&database.url, password.as_deref()).await;
        opened.map_err(Failure::to_connect)
    }

    /// How snapshots are made, and where they are kept: `to`, where that is given.
    pub fn snapshots(&self, to: Option<&str>) -> Result<Snapshots, Failure> {
        let settings = &self.config.snapshots;
        let Some(store) = to.or(settings.store.as_deref()) else {
            let failure = Failure::new("nothing says where snapshots are kept", Exit::Usage);
            return Err(failure.hint("give --snapshot-store, STERNWAY_SNAPSHOT_STORE, or store in [snapshot] of sternway.toml: a folder, or s3://BUCKET, gs://BUCKET, az://CONTAINER"));
        };
        let store = Store::parse(store).map_err(|cause| {
            Failure::usage("cannot use the store for snapshots", cause).hint("it is a folder, s3://BUCKET/PREFIX, gs://BUCKET/PREFIX or az://CONTAINER/PREFIX; credentials come from the environment: AWS_…, GOOGLE_…, AZURE_…")
        })?;
        Ok(Snapshots {
            store,
            app: self.config.layout.app.clone(),
            programs: Programs {
                folder: settings.tools.clone(),
                start: |program| sternway_deploy::leash::command(program),
            },
            jobs: settings.jobs,
            compression: settings.compression.clone(),
            recipients: settings.recipients.clone(),
            identity: settings.identity.clone(),
        })
    }

    /// Looks at the database and reads the catalog: from the source, or from the database's records.
    pub async fn know(&self, database: &mut dyn Database) -> Result<Gathered, Failure> {
        let (mut source, mut app) = (self.source(), self.app());
        let source = source.as_mut().map(|it| it as &mut dyn Source);
        let (settings, mut terminal) = (self.settings()?, Terminal::new(self.ui));
        let gathered = gather(&settings, source, database, app.as_deref_mut(), &mut terminal).await;
        gathered.map_err(|cause| self.to_gather(cause))
    }

    /// Why the facts could not be gathered.
    pub fn to_gather(&self, cause: GatherError) -> Failure {
        let text = cause.to_string();
        match cause {
            GatherError::Unanswered(cause) => cause.into(),
            GatherError::NoRecords => {
                Failure::new(text, Exit::Refused).hint("leave --offline out, and name a source")
            }
            GatherError::NoSource => self.no_source(),
            GatherError::Source(cause) => match cause.downcast::<Failure>() {
                Ok(failure) => *failure,
                Err(cause) => Failure::of("cannot read the releases", cause),
            },
            GatherError::RunsAnother { found, named } => {
                let text = format!("release {found} runs, and --from says {named}");
                Failure::new(text, Exit::Refused).hint("leave --from out, or mend what says so (the command `version` of [deploy.commands], or the cluster); --no-deploy asks nothing and leaves the application alone")
            }
            GatherError::RunsUnknown { running, catalog } => {
                let text = match (&self.shared.from, &self.config.database) {
                    (_, Err(_)) => format!("release {running} is not in the catalog"),
                    (Some(_), Ok(_)) => {
                        format!("release {running}, named with --from, is not in the catalog")
                    }
                    (None, Ok(_)) => text,
                };
                match catalog.left_out.get(&running) {
                    Some(reason) => {
                        let text = format!("release {running} is left out: {reason}");
                        Failure::new(text, Exit::Refused)
                            .hint("mend that release in the source; without --from the schema of the database tells where it is")
                    }
                    None => Failure::new(text, Exit::Usage)
                        .hint(nearest(&running.to_string(), &catalog)),
                }
            }
            GatherError::NothingKnown => {
                let hint = self.config.database.as_ref().err().cloned().unwrap_or_default();
                Failure::new(text, Exit::Usage).hint(format!("{hint}. With --from RELEASE a plan needs none: it takes that release's schema for granted"))
            }
        }
    }

    /// Why there is no journey.
    pub fn to_prepare(&self, target: &Release, cause: JourneyError) -> Failure {
        match cause {
            JourneyError::Gather(cause) => self.to_gather(cause),
            cause => Failure::to_prepare(target, cause),
        }
    }

    fn no_source(&self) -> Failure {
        Failure::new("nothing says where the releases are", Exit::Usage).hint("give --source, or source in [app] of sternway.toml; --offline plans from what the database carries")
    }
}

/// The releases of the settings' source.
pub struct Releases<'a> {
    setup: &'a Setup<'a>,
}

impl Source for Releases<'_> {
    fn catalog(&mut self) -> Result<Catalog, BoxError> {
        Ok(self.setup.catalog()?)
    }
}

/// Where what was learned of repositories is kept; nowhere where there is no home.
fn cache_folder() -> Option<PathBuf> {
    let folder = |name: &str| std::env::var_os(name).filter(|it| !it.is_empty()).map(PathBuf::from);
    let cache = folder("XDG_CACHE_HOME").or_else(|| Some(folder("HOME")?.join(".cache")))?;
    Some(cache.join("sternway"))
}

/// Tells this program from others of its version, which may see a schema with other eyes.
fn build() -> String {
    let file = std::env::current_exe().and_then(std::fs::metadata);
    let file = file.map(|it| (it.len(), it.modified().ok()));
    format!("{} {file:?}", env!("CARGO_PKG_VERSION"))
}

/// The password that is not in the URL, where a command has it.
async fn password_of(database: &DatabaseUrl) -> Result<Option<String>, Failure> {
    match &database.password_command {
        Some(command) => Ok(Some(password(command).await?)),
        None => Ok(None),
    }
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
