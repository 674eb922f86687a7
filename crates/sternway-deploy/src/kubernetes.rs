//! An application on Kubernetes: its workloads are scaled to zero and back, Helm or the API server puts
//! another release in place, and its pods tell when it is ready.
//!
//! Everything that an act needs is looked at beforehand, in [`App::survey`](sternway_model::app::App::survey):
//! what is remembered to be put back, what a chart would bring, who would undo it, and which rights are
//! missing. What was found is part of the plan, so that a run that is cut short can be finished or taken back
//! from any other machine.

mod cluster;
mod workloads;
mod pods;
mod autoscalers;
mod events;
mod gitops;
mod helm;
mod running;
mod survey;
mod definitions;
mod served;
mod conflicts;
mod images;
mod rights;
mod environment;
mod database;
mod tunnel;
mod forward;
mod health;
mod job;

use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use sternway_model::app::{App, AppError, ChartMove, Deployment, ImageMove};
use sternway_model::catalog::Release;

pub use cluster::{Access, is_at_hand};
pub use database::{Found, find as find_database, variables_of};
pub use forward::Forward;
pub use health::Health;
pub use job::{Ended, Job, JobSettings, follow, job};
pub use rights::roles;
pub use workloads::Named;

use crate::commands::{self, Commands};
use cluster::Cluster;
use helm::Helm;

/// What is moved, where, and how.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Which cluster and namespace.
    pub access: Access,
    /// What is stopped, in this order, and started in the opposite one.
    pub stop: Vec<Named>,
    /// The container whose image tells the release and whose environment names the database; the first
    /// one of the first workload where it is not named.
    pub container: Option<String>,
    /// How another release is put in place.
    pub swap: Swap,
    /// The Helm releases, in the order of an upgrade.
    pub helm: Vec<HelmRelease>,
    /// The program `helm`.
    pub helm_binary: String,
    /// What is done about hooks that a chart runs on an upgrade.
    pub hooks: Hooks,
    /// Whether Helm 4 takes over fields that somebody else has set.
    pub force_conflicts: bool,
    /// Whether somebody says that controllers which keep the namespace as a repository says are at rest.
    pub gitops_suspended: bool,
    /// The folder for objects of kinds that the target's charts do not have, where they are to be written to files too.
    pub export: Option<PathBuf>,
    /// How long the application may take to be ready.
    pub ready_timeout: Duration,
    /// How long somebody else may take to put another release in place.
    pub wait_timeout: Duration,
    /// What shows that the application is well, once its pods are ready.
    pub health: Option<Health>,
    /// The variables of the container that name the database, the most important first.
    pub database: Vec<database::Variable>,
}

impl Settings {
    /// The workloads that have a number of pods, in the order of `stop`.
    fn with_pods(&self) -> impl Iterator<Item = &Named> {
        self.stop.iter().filter(|it| workloads::scales(it.kind))
    }
}

/// How another release is put in place.
#[derive(Debug, Clone)]
pub enum Swap {
    /// By Helm, which brings other versions of its charts.
    Helm,
    /// By setting the container's image: this text with `{version}` in it.
    Image(String),
    /// By a command, as `[deploy.commands]` has it.
    Command(Box<commands::Settings>),
    /// By somebody else, such as a GitOps controller: it is waited for.
    Wait,
}

/// A Helm release, and where its chart comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HelmRelease {
    /// Its name.
    pub release: String,
    /// `oci://…`, a repository's name and a chart's, or a path; `{version}` may stand in it.
    pub chart: String,
    /// The chart's version: a text with `{version}` in it.
    pub version: String,
    /// The URL of a classic repository, where the chart is a bare name.
    pub repository: Option<String>,
    /// Whether the registry speaks HTTP without TLS.
    pub plain_http: bool,
    /// The user's values that are left out, by their paths: such as a pinned image tag.
    pub without: Vec<String>,
}

/// What is done about hooks that a chart runs on an upgrade: they may migrate by themselves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Hooks {
    /// A chart that has some is refused.
    #[default]
    Refuse,
    /// They run.
    Run,
    /// They are left out.
    Skip,
}

/// An application on a cluster.
pub struct Kubernetes {
    settings: Settings,
    connected: Option<Connected>,
}

/// What an act works with.
#[derive(Clone)]
struct Connected {
    cluster: Cluster,
    helm: Option<Helm>,
}

impl std::fmt::Debug for Kubernetes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kubernetes").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Kubernetes {
    /// An application that is moved so. Nothing is connected yet.
    pub fn new(settings: Settings) -> Kubernetes {
        Kubernetes { settings, connected: None }
    }

    async fn connected(&mut self) -> Result<Connected, String> {
        if let Some(connected) = &self.connected {
            return Ok(connected.clone());
        }
        let cluster = self.settings.access.cluster().await?;
        let Settings { helm_binary, hooks, force_conflicts, .. } = &self.settings;
        let helm = match (&self.settings.swap, self.settings.helm.is_empty()) {
            (Swap::Helm, false) => {
                Some(Helm::find(&cluster, helm_binary, *hooks, *force_conflicts).await?)
            }
            _ => None,
        };
        let connected = Connected { cluster, helm };
        self.connected = Some(connected.clone());
        Ok(connected)
    }

    /// Connects, and refuses a cluster that is not the one of the plan.
    async fn the_same(&mut self, known: &Deployment) -> Result<Connected, String> {
        let connected = self.connected().await?;
        let (is, planned) = (&connected.cluster.place, known.place.as_ref());
        match planned.filter(|it| !it.is(is)) {
            Some(planned) => Err(format!("this is {is}, and the plan was made for {planned}")),
            None => Ok(connected),
        }
    }

    async fn put(
        &mut self,
        known: &Deployment,
        from: Option<&Release>,
        to: &Release,
    ) -> Result<(), String> {
        let Connected { cluster, helm } = self.the_same(known).await?;
        let forward = known.to.as_ref() == Some(to);
        let older = from.is_some_and(|from| to < from);
        match &self.settings.swap {
            Swap::Helm => {
                let Some(helm) = helm else { return Ok(()) };
                let ordered: Vec<&ChartMove> = match older {
                    true => known.charts.iter().rev().collect(),
                    false => known.charts.iter().collect(),
                };
                let what = if forward { "to" } else { "back to" };
                let why = format!("sternway: {what} {to}");
                if forward {
                    definitions::export(&cluster, &known.kept_kinds).await?;
                }
                definitions::keep(&cluster, &known.kept_kinds).await?;
                for chart in ordered {
                    let settings = self.settings.helm.iter().find(|it| it.release == chart.release);
                    let moved = match (forward, settings) {
                        (true, Some(settings)) => helm.upgrade(settings, chart, &why).await,
                        (true, None) => {
                            Err("[[deploy.kubernetes.helm]] does not name it".to_owned())
                        }
                        (false, _) => helm.back(chart, &why).await,
                    };
                    moved.map_err(|reason| format!("helm release {}: {reason}", chart.release))?;
                }
                for chart in &known.charts {
                    // What a chart brings again needs nobody's protection.
                    let Some(is) = helm.deployed(&chart.release).await? else { continue };
                    let brings = helm.manifest(&chart.release, is.revision).await?;
                    definitions::let_go(&cluster, &brings).await?;
                }
                Ok(())
            }
            Swap::Image(_) => {
                for it in &known.images {
                    let ImageMove { from, to, .. } = it;
                    images::set(&cluster, it, if forward { to } else { from }).await?;
                }
                Ok(())
            }
            Swap::Command(settings) => {
                let mut commands = Commands::new((**settings).clone());
                let swapped = commands.swap(known, from, to).await;
                swapped.map_err(|error| error.reason)
            }
            Swap::Wait => images::arrived(&cluster, &self.settings, to).await,
        }
    }
}

#[async_trait]
impl App for Kubernetes {
    fn describe(&self) -> String {
        let names = self.settings.stop.iter().map(Named::to_string);
        names.collect::<Vec<_>>().join(", ")
    }

    async fn running(&mut self) -> Result<Option<Release>, AppError> {
        let doing = "find out which release runs";
        let (cluster, helm) = match self.connected().await {
            Ok(Connected { cluster, helm }) => (cluster, helm),
            // The pods tell it without Helm too; what is the matter with that is said where it is needed.
            Err(_) => {
                let cluster = self.settings.access.cluster().await;
                (cluster.map_err(|reason| failed(doing, reason))?, None)
            }
        };
        let evidence = running::evidence(&cluster, &self.settings, helm.as_ref()).await;
        let agreed = evidence.and_then(|it| running::agreed(&it));
        agreed.map_err(|reason| failed(doing, reason))
    }

    async fn survey(
        &mut self,
        from: Option<&Release>,
        to: &Release,
    ) -> Result<Deployment, AppError> {
        let doing = format!("move the application to {to}");
        let connected = self.connected().await.map_err(|reason| failed(&doing, reason))?;
        let surveyed = survey::survey(&connected, &self.settings, from, to).await;
        surveyed.map_err(|reason| failed(doing, reason))
    }

    async fn stop(&mut self, known: &Deployment) -> Result<(), AppError> {
        let doing = "stop the application";
        let connected = self.the_same(known).await.map_err(|reason| failed(doing, reason))?;
        let stopped = workloads::stop(&connected.cluster, &known.workloads).await;
        stopped.map_err(|reason| failed(doing, reason))?;
        let to =
            known.to.as_ref().map_or(String::new(), |to| format!(" on the way to release {to}"));
        for workload in &known.workloads {
            let note = format!("stopped by Sternway{to}; it was {workload}");
            events::tell(&connected.cluster, workload, "Stopped", &note).await;
        }
        Ok(())
    }

    async fn swap(
        &mut self,
        known: &Deployment,
        from: Option<&Release>,
        to: &Release,
    ) -> Result<(), AppError> {
        let doing = || format!("put release {to} in place");
        self.put(known, from, to).await.map_err(|reason| failed(doing(), reason))?;
        if known.to.as_ref() == Some(to) {
            return Ok(());
        }
        // What a swap starts by itself does not fit the schema, which is yet to be taken back.
        self.stop(known).await
    }

    async fn start(&mut self, known: &Deployment, release: &Release) -> Result<(), AppError> {
        let doing = || format!("start release {release}");
        let started = async {
            let Connected { cluster, .. } = self.the_same(known).await?;
            let limit = self.settings.ready_timeout;
            workloads::start(&cluster, &known.workloads, limit).await?;
            images::run(&cluster, &self.settings, known, release).await?;
            if let Some(health) = &self.settings.health {
                health::well(&cluster, &self.settings, health, release, limit).await?;
            }
            for workload in &known.workloads {
                let note = format!("release {release} was started by Sternway");
                events::tell(&cluster, workload, "Started", &note).await;
            }
            Ok(())
        };
        started.await.map_err(|reason: String| failed(doing(), reason))
    }
}

/// Manifests as YAML, one document each.
pub fn yaml(manifests: &[serde_json::Value]) -> String {
    let documents = manifests.iter().map(|it| {
        // A JSON value always has a YAML form.
        serde_saphyr::to_string(it).unwrap_or_default()
    });
    documents.map(|it| format!("---\n{it}")).collect()
}

fn failed(doing: impl Into<String>, reason: impl Into<String>) -> AppError {
    AppError { doing: doing.into(), reason: reason.into() }
}
