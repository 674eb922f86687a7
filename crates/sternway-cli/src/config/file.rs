//! `sternway.toml`: its keys, and errors that point into it.

use std::path::{Path, PathBuf};

use miette::{NamedSource, SourceSpan};
use serde::Deserialize;
use sternway_model::catalog::{Enabled, Release, Track, TrackName, TrackPath};
use sternway_model::check::Severity;
use sternway_model::policy::{Hazard, Window};

use super::checks::CheckTable;
use super::closest;
use super::kubernetes::KubernetesTable;
use super::redact::redact;
use crate::failure::{Exit, Failure};

/// The file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct File {
    pub app: AppTable,
    pub database: DatabaseTable,
    pub policy: PolicyTable,
    pub rehearsal: RehearsalTable,
    pub archive: ArchiveTable,
    pub snapshot: SnapshotTable,
    pub deploy: DeployTable,
    #[serde(deserialize_with = "read_tracks")]
    pub track: Vec<Track>,
    pub check: Vec<CheckTable>,
    pub hazard: Vec<HazardTable>,
}

/// `[app]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AppTable {
    pub name: Option<String>,
    pub source: Option<String>,
    pub tag: Option<String>,
}

/// `[database]`
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DatabaseTable {
    pub url: Option<String>,
    pub url_file: Option<String>,
    pub password_command: Option<String>,
}

impl std::fmt::Debug for DatabaseTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DatabaseTable(…)")
    }
}

impl DatabaseTable {
    /// `url` and `url_file` are one choice; a password command goes with either.
    fn over(self, base: DatabaseTable) -> DatabaseTable {
        let (url, url_file) = match (self.url, self.url_file) {
            (None, None) => (base.url, base.url_file),
            chosen => chosen,
        };
        let password_command = self.password_command.or(base.password_command);
        DatabaseTable { url, url_file, password_command }
    }
}

/// `[policy]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PolicyTable {
    pub window: Option<Window>,
    pub floor: Option<Release>,
    pub ahead_ok_since: Option<Release>,
    pub accept: Option<Vec<String>>,
    pub require_way_back: Option<bool>,
    pub snapshot: Option<String>,
}

/// `[[hazard]]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HazardTable {
    name: String,
    between: (Release, Release),
    #[serde(default)]
    severity: Severity,
    message: String,
}

impl HazardTable {
    /// What the planner is told.
    pub fn into_hazard(self) -> Hazard {
        let HazardTable { name, between: (one, other), severity, message } = self;
        let between = if one <= other { (one, other) } else { (other, one) };
        Hazard { name, between, refuses: severity == Severity::Refuse, message }
    }
}

/// `[rehearsal]`
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RehearsalTable {
    pub url: Option<String>,
    pub setup: Option<PathBuf>,
}

impl std::fmt::Debug for RehearsalTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RehearsalTable(…)")
    }
}

/// `[archive]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ArchiveTable {
    pub warn_after_days: Option<u64>,
}

/// `[snapshot]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SnapshotTable {
    pub store: Option<String>,
    pub jobs: Option<usize>,
    pub compression: Option<String>,
    pub recipients: Option<Vec<String>>,
    pub identity: Option<PathBuf>,
    pub tools: Option<PathBuf>,
}

impl SnapshotTable {
    fn over(self, base: SnapshotTable) -> SnapshotTable {
        SnapshotTable {
            store: self.store.or(base.store),
            jobs: self.jobs.or(base.jobs),
            compression: self.compression.or(base.compression),
            recipients: self.recipients.or(base.recipients),
            identity: self.identity.or(base.identity),
            tools: self.tools.or(base.tools),
        }
    }
}

/// `[deploy]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DeployTable {
    pub commands: CommandsTable,
    pub kubernetes: Option<KubernetesTable>,
}

impl DeployTable {
    fn over(self, base: DeployTable) -> DeployTable {
        let kubernetes = match (self.kubernetes, base.kubernetes) {
            (Some(table), Some(base)) => Some(table.over(base)),
            (table, base) => table.or(base),
        };
        DeployTable { commands: self.commands.over(base.commands), kubernetes }
    }
}

/// `[deploy.commands]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CommandsTable {
    pub stop: Option<String>,
    pub swap: Option<String>,
    pub start: Option<String>,
    pub ready: Option<String>,
    pub version: Option<String>,
    pub ready_timeout: Option<u64>,
    pub timeout: Option<u64>,
}

impl CommandsTable {
    fn over(self, base: CommandsTable) -> CommandsTable {
        CommandsTable {
            stop: self.stop.or(base.stop),
            swap: self.swap.or(base.swap),
            start: self.start.or(base.start),
            ready: self.ready.or(base.ready),
            version: self.version.or(base.version),
            ready_timeout: self.ready_timeout.or(base.ready_timeout),
            timeout: self.timeout.or(base.timeout),
        }
    }
}

/// `[[track]]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrackTable {
    name: String,
    #[serde(deserialize_with = "read_paths")]
    path: Vec<TrackPath>,
    until: Option<Release>,
    #[serde(default = "default_table")]
    table: String,
    #[serde(default)]
    enabled: Switch,
    requires_extension: Option<String>,
}

/// Reads `path = "db"`, or a list of such, each alone or as `{ path = "db", since = "1.2.0" }`.
fn read_paths<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Vec<TrackPath>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum One {
        Path(String),
        Since(Since),
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Since {
        path: String,
        since: Option<Release>,
    }
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        One(One),
        Several(Vec<One>),
    }
    let paths = match Either::deserialize(from) {
        Ok(Either::One(one)) => vec![one],
        Ok(Either::Several(several)) if !several.is_empty() => several,
        _ => {
            let wrong = "`path` is a folder, or a list of folders, each of which may be { path = FOLDER, since = RELEASE }";
            return Err(serde::de::Error::custom(wrong));
        }
    };
    let path = |one| {
        let (path, since) = match one {
            One::Path(path) => (path, None),
            One::Since(Since { path, since }) => (path, since),
        };
        TrackPath { path: path.trim_matches('/').to_owned(), since }
    };
    Ok(paths.into_iter().map(path).collect())
}

/// `enabled = true`, `false` or `"auto"`.
#[derive(Debug, Default)]
struct Switch(Enabled);

impl<'de> Deserialize<'de> for Switch {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Either {
            Bool(bool),
            Text(String),
        }
        let enabled = match Either::deserialize(deserializer) {
            Ok(Either::Bool(true)) => Enabled::Always,
            Ok(Either::Bool(false)) => Enabled::Never,
            Ok(Either::Text(text)) if text == "auto" => Enabled::Auto,
            Ok(Either::Text(text)) if text == "true" || text == "always" => Enabled::Always,
            Ok(Either::Text(text)) if text == "false" || text == "never" => Enabled::Never,
            _ => return Err(serde::de::Error::custom("`enabled` is true, false or \"auto\"")),
        };
        Ok(Switch(enabled))
    }
}

fn default_table() -> String {
    "schema_migrations".to_owned()
}

impl TrackTable {
    /// The track that it describes.
    pub fn into_track(self) -> Track {
        Track {
            name: TrackName(self.name),
            paths: self.path,
            until: self.until,
            table: self.table,
            enabled: self.enabled.0,
            requires_extension: self.requires_extension,
        }
    }
}

fn read_tracks<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Vec<Track>, D::Error> {
    let tables = Vec::<TrackTable>::deserialize(from)?;
    Ok(tables.into_iter().map(TrackTable::into_track).collect())
}

impl File {
    /// Reads a file, and returns its text as well.
    pub fn read(path: &Path) -> Result<(File, String), Failure> {
        let name = path.display().to_string();
        let text = std::fs::read_to_string(path);
        let text = text.map_err(|error| {
            Failure::usage(format!("cannot read the settings in {name}"), error)
        })?;
        Ok((File::parse(&name, &text)?, text))
    }

    /// Reads the text of the file `name`.
    pub fn parse(name: &str, text: &str) -> Result<File, Failure> {
        toml::from_str(text).map_err(|error: toml::de::Error| {
            let message = redact(error.message());
            let (message, hint) = explain(&message);
            let mut failure = Failure::new(format!("{name}: {message}"), Exit::Usage);
            if let Some(span) = error.span() {
                failure.at = Some(SourceSpan::from(span));
                failure.snippet = Some(NamedSource::new(name, redact(text)));
            }
            match hint {
                Some(hint) => failure.hint(hint),
                None => failure,
            }
        })
    }

    /// Lays this file over `base`: what it says wins.
    pub fn over(self, base: File) -> File {
        File {
            app: AppTable {
                name: self.app.name.or(base.app.name),
                source: self.app.source.or(base.app.source),
                tag: self.app.tag.or(base.app.tag),
            },
            database: self.database.over(base.database),
            policy: PolicyTable {
                window: self.policy.window.or(base.policy.window),
                floor: self.policy.floor.or(base.policy.floor),
                ahead_ok_since: self.policy.ahead_ok_since.or(base.policy.ahead_ok_since),
                accept: self.policy.accept.or(base.policy.accept),
                require_way_back: self.policy.require_way_back.or(base.policy.require_way_back),
                snapshot: self.policy.snapshot.or(base.policy.snapshot),
            },
            archive: ArchiveTable {
                warn_after_days: self.archive.warn_after_days.or(base.archive.warn_after_days),
            },
            rehearsal: RehearsalTable {
                url: self.rehearsal.url.or(base.rehearsal.url),
                setup: self.rehearsal.setup.or(base.rehearsal.setup),
            },
            snapshot: self.snapshot.over(base.snapshot),
            deploy: self.deploy.over(base.deploy),
            track: if self.track.is_empty() { base.track } else { self.track },
            check: if self.check.is_empty() { base.check } else { self.check },
            hazard: if self.hazard.is_empty() { base.hazard } else { self.hazard },
        }
    }
}

/// Puts serde's words about an unknown key into ours, and suggests the nearest one.
fn explain(message: &str) -> (String, Option<String>) {
    let mut words = message.split('`').skip(1).step_by(2);
    let (Some(key), true) = (words.next(), message.starts_with("unknown field")) else {
        return (message.to_owned(), None);
    };
    let known: Vec<&str> = words.collect();
    let hint = match closest(key, &known) {
        _ if key == "password" => {
            "write ${VAR} into the URL, or use url_file, password_command or PGPASSFILE".to_owned()
        }
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("known here: {}", known.join(", ")),
    };
    (format!("the key `{key}` is not known"), Some(hint))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_key_gets_a_suggestion() {
        let error =
            File::parse("sternway.toml", "[policy]\nwindov = \"minor\"\n").expect_err("a key");
        let (text, _, hint) = error.parts();
        assert_eq!(text, "sternway.toml: the key `windov` is not known");
        assert_eq!(hint, Some("did you mean `window`?"));
        assert_eq!(error.at.map(|at| at.offset()), Some(9));
    }
}
