//! `[deploy.kubernetes]`: the application on a cluster.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use sternway_deploy::kubernetes::{Access, HelmRelease, Hooks, Named, Settings, Swap, is_at_hand};
use sternway_model::catalog::TrackName;

use super::expand;
use super::file::CommandsTable;
use super::redact::redact;
use crate::args::Shared;
use crate::failure::{Exit, Failure};

/// How long the application may take to be ready, in seconds.
const READY_TIMEOUT: u64 = 300;
/// How long somebody else may take to put another release in place, in seconds.
const WAIT_TIMEOUT: u64 = 3600;

/// `[deploy.kubernetes]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KubernetesTable {
    pub kubeconfig: Option<PathBuf>,
    pub context: Option<String>,
    pub namespace: Option<String>,
    pub stop: Option<Vec<String>>,
    pub container: Option<String>,
    pub database: Option<Vec<String>>,
    pub swap: Option<SwapWord>,
    pub image: Option<String>,
    pub helm: Option<Vec<HelmTable>>,
    pub helm_binary: Option<String>,
    pub hooks: Option<HooksWord>,
    pub force_conflicts: Option<bool>,
    pub gitops: Option<GitopsWord>,
    pub export: Option<PathBuf>,
    pub ready_timeout: Option<u64>,
    pub wait_timeout: Option<u64>,
    pub health: Option<String>,
    pub tracks: Option<BTreeMap<TrackName, String>>,
    /// Whether this table comes from a profile: it then holds where a cluster is meant.
    #[serde(skip)]
    pub of_profile: bool,
}

/// `[[deploy.kubernetes.helm]]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HelmTable {
    release: String,
    chart: String,
    #[serde(default = "version")]
    version: String,
    repository: Option<String>,
    #[serde(default)]
    plain_http: bool,
    #[serde(default)]
    without: Vec<String>,
}

fn version() -> String {
    "{version}".to_owned()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SwapWord {
    Helm,
    Image,
    Command,
    Wait,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HooksWord {
    Refuse,
    Run,
    Skip,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GitopsWord {
    Refuse,
    Suspended,
}

impl KubernetesTable {
    /// Lays this table over `base`; the Helm releases are taken as a whole.
    pub fn over(self, base: KubernetesTable) -> KubernetesTable {
        KubernetesTable {
            kubeconfig: self.kubeconfig.or(base.kubeconfig),
            context: self.context.or(base.context),
            namespace: self.namespace.or(base.namespace),
            stop: self.stop.or(base.stop),
            container: self.container.or(base.container),
            database: self.database.or(base.database),
            swap: self.swap.or(base.swap),
            image: self.image.or(base.image),
            helm: self.helm.or(base.helm),
            helm_binary: self.helm_binary.or(base.helm_binary),
            hooks: self.hooks.or(base.hooks),
            force_conflicts: self.force_conflicts.or(base.force_conflicts),
            gitops: self.gitops.or(base.gitops),
            export: self.export.or(base.export),
            ready_timeout: self.ready_timeout.or(base.ready_timeout),
            wait_timeout: self.wait_timeout.or(base.wait_timeout),
            health: self.health.or(base.health),
            tracks: self.tracks.or(base.tracks),
            of_profile: self.of_profile && base.of_profile,
        }
    }

    /// Whether a cluster is meant. A profile's table holds where one is named, or where nothing else says
    /// which database is meant and a kubeconfig is there.
    pub fn is_meant(&self, shared: &Shared, names_database: bool) -> bool {
        let typed = &shared.cluster;
        let named =
            typed.kubeconfig.is_some() || typed.context.is_some() || typed.namespace.is_some();
        !self.of_profile || named || (!names_database && is_at_hand())
    }

    /// What it says, with what was typed over it.
    ///
    /// # Errors
    /// Where something that is needed is missing, or does not go together.
    pub fn settings(
        self,
        shared: &Shared,
        commands: &CommandsTable,
        folder: &Path,
        hidden: Vec<String>,
    ) -> Result<Settings, Failure> {
        let typed = &shared.cluster;
        let expand = |value: Option<String>| value.map(|it| expand::expand(&it)).transpose();
        let wrong = |what: &str| Failure::new(format!("[deploy.kubernetes] {what}"), Exit::Usage);
        let stop = self.stop.unwrap_or_default().into_iter().map(|it| it.parse::<Named>());
        let stop: Vec<Named> =
            stop.collect::<Result<_, _>>().map_err(|reason| wrong(&format!("`stop`: {reason}")))?;
        if stop.is_empty() {
            return Err(wrong("has no `stop`")
                .hint("it lists what is scaled to zero, such as stop = [\"deployment/harbour\"]"));
        }
        let helm = self.helm.unwrap_or_default().into_iter().map(|it| {
            Ok(HelmRelease {
                release: expand::expand(&it.release)?,
                chart: beside(folder, expand::expand(&it.chart)?),
                version: it.version,
                repository: it.repository,
                plain_http: it.plain_http,
                without: it.without,
            })
        });
        let helm = helm.collect::<Result<Vec<_>, Failure>>()?;
        let image = expand(self.image)?;
        let word = match (self.swap, &image, helm.is_empty(), &commands.swap) {
            (Some(word), ..) => word,
            (None, Some(_), ..) => SwapWord::Image,
            (None, None, false, _) => SwapWord::Helm,
            (None, None, true, Some(_)) => SwapWord::Command,
            (None, None, true, None) => {
                return Err(wrong("does not say how another release is put in place").hint(
                    "[[deploy.kubernetes.helm]] names charts, `image` an image, `swap` of [deploy.commands] a command; swap = \"wait\" leaves it to somebody else",
                ));
            }
        };
        let swap = match word {
            SwapWord::Helm if helm.is_empty() => {
                return Err(wrong(
                    "says swap = \"helm\", and no [[deploy.kubernetes.helm]] names a chart",
                ));
            }
            SwapWord::Helm => Swap::Helm,
            SwapWord::Image => match image {
                Some(image) if image.contains("{version}") => Swap::Image(image),
                Some(_) => return Err(wrong("`image` has no {version}")),
                None => return Err(wrong("says swap = \"image\" and has no `image`")),
            },
            SwapWord::Command => {
                let command = shared.deploy.deploy_swap.clone().or(expand(commands.swap.clone())?);
                let Some(swap) = command else {
                    return Err(wrong(
                        "says swap = \"command\", and [deploy.commands] has no `swap`",
                    ));
                };
                Swap::Command(Box::new(sternway_deploy::commands::Settings {
                    stop: String::new(),
                    swap,
                    start: String::new(),
                    ready: None,
                    version: None,
                    ready_timeout: Duration::ZERO,
                    timeout: Duration::from_secs(
                        commands.timeout.unwrap_or(super::deploy::TIMEOUT),
                    ),
                    folder: folder.to_owned(),
                    hidden,
                    redact,
                }))
            }
            SwapWord::Wait => Swap::Wait,
        };
        let health = self.health.map(|it| it.parse()).transpose();
        let health = health.map_err(|reason: String| wrong(&format!("`health`: {reason}")))?;
        let database = self.database.unwrap_or_default();
        let ready = shared.deploy.deploy_ready_timeout.or(self.ready_timeout);
        Ok(Settings {
            access: Access::new(
                typed.kubeconfig.clone().or(self.kubeconfig.map(|it| folder.join(it))),
                typed.context.clone().or(expand(self.context)?),
                typed.namespace.clone().or(expand(self.namespace)?),
            ),
            stop,
            container: self.container,
            swap,
            helm,
            helm_binary: expand(self.helm_binary)?.unwrap_or_else(|| "helm".to_owned()),
            hooks: match self.hooks {
                None | Some(HooksWord::Refuse) => Hooks::Refuse,
                Some(HooksWord::Run) => Hooks::Run,
                Some(HooksWord::Skip) => Hooks::Skip,
            },
            force_conflicts: self.force_conflicts.unwrap_or(false),
            export: exports(typed.export_objects.as_deref(), self.export.as_deref(), folder),
            gitops_suspended: self.gitops == Some(GitopsWord::Suspended),
            ready_timeout: Duration::from_secs(ready.unwrap_or(READY_TIMEOUT)),
            wait_timeout: Duration::from_secs(self.wait_timeout.unwrap_or(WAIT_TIMEOUT)),
            health,
            database: database.iter().map(|it| it.as_str().into()).collect(),
        })
    }
}

/// Where objects are written to: what is typed begins at the working directory.
fn exports(typed: Option<&Path>, set: Option<&Path>, folder: &Path) -> Option<PathBuf> {
    let typed = typed.map(|it| std::path::absolute(it).unwrap_or_else(|_| it.to_owned()));
    typed.or(set.map(|it| folder.join(it)))
}

/// A chart that is a path begins at the folder of the settings.
fn beside(folder: &Path, chart: String) -> String {
    match chart.starts_with("./") || chart.starts_with("../") {
        true => folder.join(chart).display().to_string(),
        false => chart,
    }
}
