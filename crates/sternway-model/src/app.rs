//! The port to a deployed application: what a run asks of it, and what a plan remembers of it.
//!
//! The ways to deploy implement it in `sternway_deploy`; nothing here carries anything out.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::catalog::Release;

/// Why the application did not do what it was asked.
#[derive(Debug, Error)]
#[error("cannot {doing}: {reason}")]
pub struct AppError {
    /// What was being done, such as `stop the application`.
    pub doing: String,
    /// Why it failed, with all that the tool said that may be shown: no secrets.
    pub reason: String,
}

/// A deployed application. Each of its acts may be repeated: asking for what is so already is no
/// error, because a run that was killed does not know how far it came.
#[async_trait]
pub trait App: Send {
    /// What it is, in a few words, for the plan: `commands` or `deployment/kagent-controller`.
    fn describe(&self) -> String;

    /// The release that runs, where that can be found out.
    async fn running(&mut self) -> Result<Option<Release>, AppError>;

    /// Looks what the acts would meet and what they would do on the way from one release to another,
    /// and changes nothing.
    ///
    /// # Errors
    /// Whatever is known to stop one of them: a right that is missing, a chart that is not there,
    /// another controller that would undo it.
    async fn survey(
        &mut self,
        from: Option<&Release>,
        to: &Release,
    ) -> Result<Deployment, AppError>;

    /// Stops it. Returns when it has stopped.
    async fn stop(&mut self, known: &Deployment) -> Result<(), AppError>;

    /// Puts `to` where `from` was. What that starts by itself waits for the migrators' locks, if it
    /// migrates at all; on the way back, when the schema is yet to be taken back, it is stopped again.
    async fn swap(
        &mut self,
        known: &Deployment,
        from: Option<&Release>,
        to: &Release,
    ) -> Result<(), AppError>;

    /// Starts it. Returns when it is ready.
    async fn start(&mut self, known: &Deployment, release: &Release) -> Result<(), AppError>;
}

/// An application as it was found when the journey was planned: what its acts will do, and what is put
/// back where the journey is taken back. It is part of the plan and of the journal, and holds no secret.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Deployment {
    /// Where it runs, if that is a cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
    /// The release that the acts put in place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<Release>,
    /// What is stopped and started, in the order in which it is stopped.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub workloads: Vec<Workload>,
    /// The Helm releases that are moved, in the order of an upgrade.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub charts: Vec<ChartMove>,
    /// The images that are set, where that is the way to swap.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<ImageMove>,
    /// The kinds of objects that the target does not know, and that stay with all their objects.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub kept_kinds: Vec<KeptKind>,
    /// What somebody else has to do at the swap, where it is left to them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub awaits: Option<String>,
    /// The user as which the application connects to the database, where that was found out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// What the account needs to be allowed, all of which was asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rights: Vec<Right>,
    /// What else the reader of the plan should know.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remarks: Vec<String>,
}

impl Deployment {
    /// Whether nothing is known of it.
    pub fn is_empty(&self) -> bool {
        *self == Deployment::default()
    }
}

impl Deployment {
    /// How what was found now differs from this, as far as it matters to the acts; the account that looks,
    /// and from where, does not.
    pub fn moved(&self, now: &Deployment) -> Vec<String> {
        let mut moved = Vec::new();
        if let (Some(was), Some(is)) = (&self.place, &now.place)
            && !was.is(is)
        {
            moved.push(format!("it was {was}, and is {is}"));
        }
        for was in &self.workloads {
            let is = now.workloads.iter().find(|it| it.id() == was.id());
            // What an autoscaler moves need not stand where it stood.
            let same = is.is_some_and(|is| {
                was.was == is.was || (was.autoscaler.is_some() && was.autoscaler == is.autoscaler)
            });
            if !same {
                let is = is.map_or("is not named any more".to_owned(), |is| format!("is {is}"));
                moved.push(format!("{was} {is}"));
            }
        }
        for was in &self.charts {
            let is = now.charts.iter().find(|it| it.release == was.release);
            let revision = |it: Option<&ChartMove>| it.and_then(|it| it.from.clone());
            if revision(is) != was.from {
                let number = |it: Option<Revision>| it.map_or(0, |it| it.revision);
                moved.push(format!(
                    "helm release {} was at revision {}, and is at {}",
                    was.release,
                    number(was.from.clone()),
                    number(revision(is))
                ));
            }
        }
        for was in &self.images {
            let is = now.images.iter().find(|it| it.workload == was.workload);
            if is.is_none_or(|is| is.from != was.from) {
                moved.push(format!("{} has another image than {}", was.workload, was.from));
            }
        }
        moved
    }
}

/// A namespace of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The kubeconfig's name for it; none inside of the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
    /// The URL of its API server.
    pub server: String,
    /// The namespace.
    pub namespace: String,
    /// What tells this cluster from every other one: the UID of its namespace `kube-system`, or the server's
    /// URL where the account may not see that.
    pub cluster: String,
}

impl Place {
    /// Whether both are the same place, whatever the way there.
    pub fn is(&self, other: &Place) -> bool {
        // An account that may not see the UID knows the server's URL instead, which is another one inside.
        let known = |it: &Place| !it.cluster.contains("://");
        let apart = known(self) && known(other) && self.cluster != other.cluster;
        !apart && self.namespace == other.namespace
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Place { context, server, namespace, cluster: _ } = self;
        write!(f, "namespace `{namespace}` of the cluster at {server}")?;
        match context {
            Some(context) => write!(f, " (context `{context}`)"),
            None => Ok(()),
        }
    }
}

/// Something that an account is allowed to do.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Right {
    /// The namespace; none for what belongs to the whole cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The API group; empty for the oldest one.
    pub group: String,
    /// The resource, with a subresource behind a slash: `deployments/scale`.
    pub resource: String,
    /// The one object that is meant; any where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What may be done.
    pub verb: String,
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Right { namespace, group, resource, name, verb } = self;
        write!(f, "{verb} {resource}")?;
        if !group.is_empty() {
            write!(f, ".{group}")?;
        }
        if let Some(name) = name {
            write!(f, " `{name}`")?;
        }
        match namespace {
            Some(namespace) => write!(f, " in namespace `{namespace}`"),
            None => f.write_str(" in the whole cluster"),
        }
    }
}

/// The kinds of workload that can be stopped and started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WorkloadKind {
    /// Scaled to zero.
    Deployment,
    /// Scaled to zero.
    StatefulSet,
    /// Suspended; the Jobs that it has started are waited for.
    CronJob,
    /// Suspended, which ends its pods.
    Job,
}

impl WorkloadKind {
    /// As it is written in settings: `deployment`.
    pub fn word(self) -> &'static str {
        match self {
            WorkloadKind::Deployment => "deployment",
            WorkloadKind::StatefulSet => "statefulset",
            WorkloadKind::CronJob => "cronjob",
            WorkloadKind::Job => "job",
        }
    }
}

/// Something that is stopped and started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Workload {
    /// Its kind.
    pub kind: WorkloadKind,
    /// Its name.
    pub name: String,
    /// How it was: what `start` brings it back to.
    pub was: Was,
    /// The ScaledObject of KEDA that is paused meanwhile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<Paused>,
    /// The HorizontalPodAutoscaler that moves the number; it rests while that is zero.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub autoscaler: Option<String>,
}

impl Workload {
    /// As settings write it: `deployment/kagent-controller`.
    pub fn id(&self) -> String {
        format!("{}/{}", self.kind.word(), self.name)
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.id())?;
        match self.was {
            Was::Replicas(1) => f.write_str(" (1 replica)"),
            Was::Replicas(number) => write!(f, " ({number} replicas)"),
            Was::Suspended(true) => f.write_str(" (suspended already)"),
            Was::Suspended(false) => Ok(()),
            Was::Gone => f.write_str(" (not there)"),
        }?;
        match &self.paused {
            Some(paused) => write!(f, ", with scaledobject/{} paused", paused.name),
            None => Ok(()),
        }
    }
}

/// How a workload was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Was {
    /// So many pods were wanted.
    Replicas(i32),
    /// Whether it was suspended.
    Suspended(bool),
    /// It was not there: the swap may bring it, and it then has what that says.
    Gone,
}

/// A ScaledObject that is paused while the application is stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Paused {
    /// Its name.
    pub name: String,
    /// Its annotations about pauses, as they were.
    pub annotations: BTreeMap<String, Option<String>>,
}

/// A Helm release that is moved to another version of its chart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChartMove {
    /// The release's name.
    pub release: String,
    /// Where its chart comes from.
    pub chart: String,
    /// The revision to return to, and the version of its chart; none where nothing is installed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Revision>,
    /// The version of the chart to put in place.
    pub to: String,
}

/// A revision of a Helm release that was deployed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revision {
    /// Its number.
    pub revision: u64,
    /// The version of its chart.
    pub version: String,
}

/// A container that gets another image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageMove {
    /// The workload, as settings write it.
    pub workload: String,
    /// The container.
    pub container: String,
    /// The image that it had.
    pub from: String,
    /// The image that it gets.
    pub to: String,
}

/// A kind of objects whose definition the target's chart does not bring. It is kept, because Helm would
/// delete it together with every object of the kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptKind {
    /// The name of the CustomResourceDefinition.
    pub definition: String,
    /// The kind.
    pub kind: String,
    /// How many objects there are in all namespaces; none where that could not be counted.
    pub objects: Option<u64>,
    /// The file that the definition and its objects are written to before the swap, where that is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub export: Option<PathBuf>,
}
