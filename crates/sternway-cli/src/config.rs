//! The settings: a built-in profile, then `sternway.toml`, then the environment and the flags.
//!
//! Later ones win, key by key; tracks are taken as a whole. Values may contain `${VAR}`.

mod file;
mod expand;
mod deploy;
mod kubernetes;
mod checks;
mod redact;
mod snapshot;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use sternway_engine::shadow::Setup;
use sternway_model::catalog::{Enabled, Release, Track, TrackName};
use sternway_model::check::Check;
use sternway_model::policy::{Policy, Window};
use sternway_source::{Layout, Location, TagPattern};

use crate::args::Shared;
use crate::failure::{Exit, Failure};
pub use file::File;
pub use redact::holds_password;
pub use snapshot::Snapshots;

/// The settings of a command.
#[derive(Debug)]
pub struct Config {
    /// The folder of the settings file; empty where there is none.
    pub folder: PathBuf,
    /// The text of the settings file, where there is one.
    pub text: Option<String>,
    /// Where the releases are; `None` where only the database is asked.
    pub source: Option<(String, Location)>,
    /// What to look for there.
    pub layout: Layout,
    /// How to reach the database; otherwise what to do to have one.
    pub database: Result<DatabaseUrl, String>,
    /// What is allowed.
    pub policy: Policy,
    /// What others have made that may go, by name.
    pub accept: Vec<String>,
    /// The URL of a server to rehearse on, instead of the PostgreSQL inside this process.
    pub rehearsal: Option<Secret>,
    /// What is run on each database for rehearsals first.
    pub setup: Option<Setup>,
    /// After how many days it is mentioned that the archive still keeps something.
    pub warn_after_days: u64,
    /// How snapshots are made and where they are kept.
    pub snapshots: Snapshots,
    /// How the application is stopped, swapped and started, where that is said.
    pub deploy: Option<Deploy>,
    /// The variable of the application's container that says whether a track is on, by track.
    pub switches: BTreeMap<TrackName, String>,
    /// What the data has to be before and after a journey.
    pub checks: Vec<Check>,
}

/// How the application is moved.
#[derive(Debug, Clone)]
pub enum Deploy {
    /// By commands.
    Commands(sternway_deploy::commands::Settings),
    /// On a cluster.
    Kubernetes(Box<sternway_deploy::kubernetes::Settings>),
}

/// A text that may hold a secret, and is shown nowhere.
#[derive(Clone)]
pub struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// How to reach the database. It has no `Debug`, because it holds a secret.
pub struct DatabaseUrl {
    /// The URL.
    pub url: String,
    /// A command that prints the password.
    pub password_command: Option<String>,
}

impl std::fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DatabaseUrl(…)")
    }
}

/// The settings that come with Sternway.
const PROFILES: [(&str, &str); 1] = [("kagent", include_str!("config/kagent.toml"))];

/// After how many days the archive is mentioned, where nothing else is said.
const WARN_AFTER_DAYS: u64 = 90;

impl Config {
    /// Puts the settings together.
    pub fn load(shared: &Shared) -> Result<Config, Failure> {
        Self::read(shared, false)
    }

    /// The same for a page that somebody else follows: a profile's cluster is theirs, whatever is at hand here.
    pub fn for_page(shared: &Shared) -> Result<Config, Failure> {
        Self::read(shared, true)
    }

    fn read(shared: &Shared, for_page: bool) -> Result<Config, Failure> {
        let file = match &shared.config {
            Some(path) => Some(path.clone()),
            // A profile means that application, whatever lies around here.
            None if shared.profile.is_some() => None,
            None => find(),
        };
        let mut settings = match &shared.profile {
            Some(name) => profile(name)?,
            None => File::default(),
        };
        let (mut folder, mut text) = (PathBuf::new(), None);
        if let Some(path) = &file {
            tracing::debug!("settings are read from {}", path.display());
            let (file, read) = File::read(path)?;
            settings = file.over(settings);
            text = Some(read);
            folder = path.parent().map(Path::to_owned).unwrap_or_default();
        }
        if file.is_none() && shared.profile.is_none() && shared.track.is_empty() {
            let failure = Failure::new("nothing says which application this is", Exit::Usage);
            return Err(failure.hint(
                "write a sternway.toml, name one with --config, take --profile kagent, or give --source and --track; `sternway demo` needs none of it",
            ));
        }
        let hidden = deploy::hidden(&settings);
        let expand = |value: Option<String>| value.map(|it| expand::expand(&it)).transpose();
        let tracks = tracks(settings.track, shared)?;
        let name = shared.app.clone().or(expand(settings.app.name)?);
        let tag = shared.tag.clone().or(expand(settings.app.tag)?);
        let tag: TagPattern = parse("tag", tag.as_deref().unwrap_or("v{version}"))?;
        let source = match (&shared.source, settings.app.source) {
            _ if shared.offline => None,
            (Some(text), _) => Some((text.clone(), located(text)?)),
            (None, Some(text)) => {
                let text = expand::expand(&text)?;
                let location = located(&text)?.relative_to(&folder);
                Some((text, location))
            }
            (None, None) => None,
        };
        let policy = Policy {
            window: match &shared.window {
                Some(text) => window(text)?,
                None => settings.policy.window.unwrap_or_default(),
            },
            floor: release("--floor", &shared.floor)?.or(settings.policy.floor),
            ahead_ok_since: release("--ahead-ok-since", &shared.ahead_ok_since)?
                .or(settings.policy.ahead_ok_since),
            require_way_back: shared.require_way_back
                || settings.policy.require_way_back.unwrap_or_default(),
            hazards: settings.hazard.into_iter().map(file::HazardTable::into_hazard).collect(),
        };
        let accept = settings.policy.accept.unwrap_or_default();
        let setup = settings.rehearsal.setup.map(|path| setup(&folder.join(path))).transpose()?;
        let app = name.unwrap_or_else(|| "application".to_owned());
        let database = database(shared, settings.database, &folder)?;
        let switches = settings.deploy.kubernetes.as_ref().and_then(|it| it.tracks.clone());
        let mut deploy = settings.deploy;
        let is_meant =
            |it: &kubernetes::KubernetesTable| for_page || it.is_meant(shared, database.is_ok());
        deploy.kubernetes = deploy.kubernetes.filter(is_meant);
        let deploy = moved_by(shared, deploy, &folder, hidden, database.is_ok())?;
        let warn_after_days = shared.warn_after_days.or(settings.archive.warn_after_days);
        let checks = checks::checks(settings.check, &tracks)?;
        let before = settings.policy.snapshot;
        let snapshots = Snapshots::of(&shared.snapshots, settings.snapshot, before, &folder)?;
        Ok(Config {
            checks,
            snapshots,
            switches: switches.unwrap_or_default(),
            folder,
            text,
            warn_after_days: warn_after_days.unwrap_or(WARN_AFTER_DAYS),
            source,
            layout: Layout { app, tag, tracks },
            database,
            policy,
            accept,
            setup,
            rehearsal: shared.rehearsal.clone().or(expand(settings.rehearsal.url)?).map(Secret),
            deploy,
        })
    }
}

/// How the application is moved, where that is said. Commands that stop and start it go before a profile's
/// cluster.
fn moved_by(
    shared: &Shared,
    tables: file::DeployTable,
    folder: &Path,
    hidden: Vec<String>,
    names_database: bool,
) -> Result<Option<Deploy>, Failure> {
    let (commands, typed) = (tables.commands, &shared.deploy);
    let by_commands = typed.deploy_stop.is_some() || commands.stop.is_some();
    match tables.kubernetes {
        table if typed.no_deploy && !names_database => {
            // The database is still the application's.
            let settings = table.map(|it| it.settings(shared, &commands, folder, hidden));
            Ok(settings.transpose()?.map(|it| Deploy::Kubernetes(Box::new(it))))
        }
        _ if typed.no_deploy => Ok(None),
        Some(table) if by_commands && !table.of_profile => {
            let text =
                "[deploy.kubernetes] and [deploy.commands] both say how the application is stopped";
            Err(Failure::new(text, Exit::Usage)
                .hint("of [deploy.commands] only `swap` goes together with a cluster"))
        }
        Some(table) if !by_commands => {
            let settings = table.settings(shared, &commands, folder, hidden)?;
            Ok(Some(Deploy::Kubernetes(Box::new(settings))))
        }
        _ => Ok(deploy::commands(shared, commands, folder, hidden)?.map(Deploy::Commands)),
    }
}

/// The file that is looked for upwards from here.
pub fn find() -> Option<PathBuf> {
    let here = std::env::current_dir().ok()?;
    here.ancestors().map(|folder| folder.join("sternway.toml")).find(|path| path.is_file())
}

fn setup(path: &Path) -> Result<Setup, Failure> {
    let file = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|error| {
        let failure =
            Failure::usage(format!("cannot read the script for rehearsals {file}"), error);
        failure.hint("`setup` in [rehearsal] names it, beside the settings or as a full path")
    })?;
    Ok(Setup { file, text })
}

fn profile(name: &str) -> Result<File, Failure> {
    match PROFILES.iter().find(|(known, _)| *known == name) {
        Some((_, text)) => {
            let mut file = File::parse(&format!("profile {name}"), text)?;
            if let Some(table) = &mut file.deploy.kubernetes {
                table.of_profile = true;
            }
            Ok(file)
        }
        None => {
            let known: Vec<&str> = PROFILES.iter().map(|(name, _)| *name).collect();
            let failure = Failure::new(format!("there is no profile `{name}`"), Exit::Usage);
            Err(failure.hint(format!("there is {}", known.join(", "))))
        }
    }
}

fn parse<T: std::str::FromStr>(what: &str, text: &str) -> Result<T, Failure>
where
    T::Err: std::error::Error + Send + Sync + 'static,
{
    text.parse().map_err(|error| Failure::usage(format!("cannot use the value of {what}"), error))
}

/// Reads a release that was typed.
pub fn release(what: &str, text: &Option<String>) -> Result<Option<Release>, Failure> {
    text.as_deref().map(|text| parse(what, text)).transpose()
}

fn window(text: &str) -> Result<Window, Failure> {
    match text {
        "none" => Ok(Window::None),
        "minor" => Ok(Window::Minor),
        _ => {
            let failure = Failure::new(format!("`{text}` is no window"), Exit::Usage);
            Err(failure.hint(
                "none: a release runs on its own schema only; minor: on the next minor's too",
            ))
        }
    }
}

fn located(text: &str) -> Result<Location, Failure> {
    parse("source", text).map_err(|failure: Failure| {
        failure.hint("such as github://OWNER/REPOSITORY, git+https://HOST/PATH, git+ssh://USER@HOST/PATH, git+file:PATH, dir:PATH, bundle:FILE, or a path")
    })
}

/// The tracks: those of the flags, or those of the file; then those switched on and off.
fn tracks(settings: Vec<Track>, shared: &Shared) -> Result<Vec<Track>, Failure> {
    let mut tracks = settings;
    if !shared.track.is_empty() {
        tracks = shared.track.iter().map(|text| track(text)).collect::<Result<_, _>>()?;
    }
    if tracks.is_empty() {
        let failure = Failure::new("the settings name no track", Exit::Usage);
        return Err(failure
            .hint("a [[track]] has a name, the path of its migrations and its tracking table"));
    }
    for (index, track) in tracks.iter().enumerate() {
        let mut before = tracks[..index].iter();
        if before.any(|it| it.name == track.name || it.table == track.table) {
            let text = format!("track `{}` has the name or the table of one before it", track.name);
            return Err(Failure::new(text, Exit::Usage));
        }
    }
    let switches = shared.enable.iter().map(|it| (it, Enabled::Always));
    for (name, enabled) in switches.chain(shared.disable.iter().map(|it| (it, Enabled::Never))) {
        match tracks.iter_mut().find(|track| track.name == *name) {
            Some(track) => track.enabled = enabled,
            None => return Err(no_such_track(name, &tracks)),
        }
    }
    if tracks.iter().all(|track| track.enabled == Enabled::Never) {
        let failure = Failure::new("every track is switched off", Exit::Usage);
        return Err(failure.hint("--enable TRACK switches one on"));
    }
    Ok(tracks)
}

fn no_such_track(name: &TrackName, tracks: &[Track]) -> Failure {
    let failure = Failure::new(format!("there is no track `{name}`"), Exit::Usage);
    let names: Vec<&str> = tracks.iter().map(|track| track.name.0.as_str()).collect();
    match closest(&name.0, &names) {
        Some(near) => failure.hint(format!("did you mean `{near}`?")),
        None => failure.hint(format!("there is {}", names.join(", "))),
    }
}

/// The nearest of some words, if one is near enough to be meant.
pub fn closest<'a>(word: &str, among: &[&'a str]) -> Option<&'a str> {
    let near = among.iter().map(|it| (strsim::damerau_levenshtein(word, it), *it));
    let (distance, near) = near.min()?;
    (distance <= 1 + word.len() / 3).then_some(near)
}

/// Reads `name=core,path=…,table=…`; several paths are looked for in their order.
fn track(text: &str) -> Result<Track, Failure> {
    const KEYS: [&str; 6] = ["name", "path", "table", "until", "enabled", "requires_extension"];
    let wrong = |what: String| {
        let failure = Failure::new(format!("--track {text}: {what}"), Exit::Usage);
        failure.hint("a track looks like name=core,path=db/migrations,table=schema_migrations")
    };
    let (mut lines, mut paths) = (String::new(), Vec::new());
    for part in text.split(',') {
        let (key, value) =
            part.split_once('=').ok_or_else(|| wrong(format!("`{part}` is no key=value")))?;
        if !KEYS.contains(&key.trim()) {
            return Err(wrong(format!("`{key}` is none of {}", KEYS.join(", "))));
        }
        match key.trim() {
            "path" => paths.push(value.trim()),
            key => lines.push_str(&format!("{key} = {}\n", toml::Value::from(value.trim()))),
        }
    }
    if !paths.is_empty() {
        lines.push_str(&format!("path = {}\n", toml::Value::from(paths)));
    }
    toml::from_str::<file::TrackTable>(&lines)
        .map(file::TrackTable::into_track)
        .map_err(|error| wrong(error.message().to_owned()))
}

fn database(
    shared: &Shared,
    settings: file::DatabaseTable,
    folder: &Path,
) -> Result<Result<DatabaseUrl, String>, Failure> {
    let password_command = match &shared.password_command {
        Some(command) => Some(command.clone()),
        None => settings.password_command.map(|it| expand::expand(&it)).transpose()?,
    };
    let from_file = |path: &Path| {
        let text = std::fs::read_to_string(path).map_err(|error| {
            Failure::usage(format!("cannot read the database's URL from {}", path.display()), error)
        });
        text.map(|text| text.trim().to_owned())
    };
    let url = if let Some(url) = &shared.database {
        url.clone()
    } else if let Some(path) = &shared.database_url_file {
        from_file(path)?
    } else if let Some(url) = settings.url {
        match expand::expand(&url) {
            Ok(url) => url,
            // A profile names a variable that need not be set: then there is no database.
            Err(_) if expand::is_variable(&url) => {
                let name = url.trim_matches(['$', '{', '}']);
                return Ok(Err(format!(
                    "set {name}, which the settings take the URL from, or give --database"
                )));
            }
            Err(failure) => return Err(failure),
        }
    } else if let Some(path) = settings.url_file {
        from_file(&folder.join(expand::expand(&path)?))?
    } else {
        return Ok(Err("give --database, STERNWAY_DATABASE, or url in [database] of sternway.toml; embedded: is a PostgreSQL inside this process".to_owned()));
    };
    Ok(Ok(DatabaseUrl { url, password_command }))
}
