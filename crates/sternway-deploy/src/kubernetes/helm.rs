//! The `helm` program, 3.x and 4.x: what is installed, what a chart would bring, and moving a release.
//!
//! Helm's own record decides what is installed, and every change goes through Helm. A release's values go to it
//! on its standard input, and no secret is ever on its command line.

mod program;
mod record;
mod render;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;
use sternway_model::app::{ChartMove, Revision};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use super::cluster::Cluster;
use super::{HelmRelease, Hooks};
use program::Program;
pub(super) use record::{Entry, LONGEST, Status, deployed};
pub(super) use render::Rendered;

/// How long a change may take that waits for nothing but the API server and hooks.
const CHANGE: Duration = Duration::from_secs(300);
/// How long to wait before looking again.
const PAUSE: Duration = Duration::from_secs(1);

/// Helm, for one namespace of one cluster.
#[derive(Clone)]
pub(super) struct Helm {
    program: Program,
    hooks: Hooks,
    force_conflicts: bool,
    /// Charts that were fetched, for as long as this process lives.
    charts: Arc<TempDir>,
    /// The releases of which a change of this process's own has ended badly.
    ended_badly: Arc<Mutex<BTreeSet<String>>>,
}

impl Helm {
    /// Looks which Helm is there.
    ///
    /// # Errors
    /// Where there is none, and where it is too old.
    pub async fn find(
        cluster: &Cluster,
        binary: &str,
        hooks: Hooks,
        force_conflicts: bool,
    ) -> Result<Helm, String> {
        let program = Program::find(cluster, binary).await?;
        let charts = TempDir::with_prefix("sternway-charts-")
            .map_err(|error| format!("no folder can be made for charts: {error}"))?;
        let (charts, ended_badly) = (Arc::new(charts), Arc::default());
        Ok(Helm { program, hooks, force_conflicts, charts, ended_badly })
    }

    /// The revisions of a release, the newest last; none where it is not installed.
    pub async fn history(&self, release: &str) -> Result<Vec<Entry>, String> {
        record::history(&self.program, release).await
    }

    /// The newest revision that was deployed well.
    pub async fn deployed(&self, release: &str) -> Result<Option<Revision>, String> {
        Ok(deployed(&self.history(release).await?).map(Entry::revision))
    }

    /// The user's values of a revision, without those of `without`; none where there are none.
    pub async fn values(
        &self,
        release: &str,
        revision: u64,
        without: &[String],
    ) -> Result<Option<Value>, String> {
        let revision = revision.to_string();
        let words = ["get", "values", release, "--revision", &revision, "--output", "json"];
        let text = self.program.ask(&words).await?;
        let mut values: Value = serde_json::from_str(program::json(&text))
            .map_err(|error| format!("the values of {release} cannot be read: {error}"))?;
        for path in without {
            take_away(&mut values, path);
        }
        Ok(Some(values).filter(|it| !it.is_null()))
    }

    /// The chart of a release in one version, as an archive or folder of this machine.
    pub async fn chart(&self, release: &HelmRelease, version: &str) -> Result<PathBuf, String> {
        let place = release.chart.replace("{version}", version);
        // A remote one has a scheme, or is a repository's name and a chart's.
        let local = PathBuf::from(&place);
        if local.exists() {
            return Ok(local);
        }
        let looks_local = place.starts_with('.') || place.starts_with('/');
        if looks_local {
            return Err(format!("there is no chart at {place}"));
        }
        let name = render::chart_name(&place);
        let archive = self.charts.path().join(format!("{name}-{version}.tgz"));
        if archive.is_file() {
            return Ok(archive);
        }
        let folder = self.charts.path().display().to_string();
        let mut words = vec!["pull", &place, "--version", version, "--destination", &folder];
        if let Some(repository) = &release.repository {
            words.extend(["--repo", repository]);
        }
        if release.plain_http {
            words.push("--plain-http");
        }
        let pulled = self.program.ask(&words).await;
        pulled.map_err(|reason| {
            format!("chart {place} has no version {version} that can be had: {reason}")
        })?;
        match archive.is_file() {
            true => Ok(archive),
            false => Err(format!(
                "helm fetched {place} {version} under another name than {name}-{version}.tgz"
            )),
        }
    }

    /// What a chart would bring with these values.
    pub async fn render(
        &self,
        release: &str,
        chart: &std::path::Path,
        values: Option<&Value>,
    ) -> Result<Rendered, String> {
        let chart = chart.display().to_string();
        let mut words = vec!["template", release, &chart, "--is-upgrade", "--include-crds"];
        let values = values.map(Value::to_string);
        if values.is_some() {
            words.extend(["--values", "-"]);
        }
        let text = self.program.asked(&words, values.as_deref()).await?;
        Rendered::of(&text)
    }

    /// What a revision has brought.
    pub async fn manifest(&self, release: &str, revision: u64) -> Result<Rendered, String> {
        let revision = revision.to_string();
        let text = self.program.ask(&["get", "manifest", release, "--revision", &revision]).await?;
        Rendered::of(&text)
    }

    /// Whether Helm changes a release by server-side apply, which respects what others have set: Helm 4 does
    /// for those that it has installed.
    pub async fn applies(&self, release: &str) -> Result<bool, String> {
        if !self.program.is_four() {
            return Ok(false);
        }
        let text = match self.program.ask(&["get", "metadata", release, "--output", "json"]).await {
            Ok(text) => text,
            Err(reason) if reason.contains("release: not found") => return Ok(false),
            Err(reason) => return Err(reason),
        };
        let metadata: Value = serde_json::from_str(program::json(&text))
            .map_err(|error| format!("what helm says of {release} cannot be read: {error}"))?;
        Ok(metadata["applyMethod"] == "ssa")
    }

    /// The keys of a chart's own values.
    pub async fn keys(&self, chart: &std::path::Path) -> Result<BTreeSet<String>, String> {
        let chart = chart.display().to_string();
        let text = self.program.ask(&["show", "values", &chart]).await?;
        let values: Value = serde_saphyr::from_str(&text).unwrap_or_default();
        Ok(values.as_object().into_iter().flatten().map(|(key, _)| key.clone()).collect())
    }

    /// Waits until nobody is in the middle of changing a release, and returns its revisions.
    ///
    /// Whoever has made the plan has seen that nobody was. So what is under way is what a Sternway has begun that
    /// was cut short, and its Helm may go on without it, where it is on another machine, for as long as a Helm takes.
    async fn settled(&self, release: &str) -> Result<Vec<Entry>, String> {
        let end = Instant::now() + LONGEST;
        let mut told = false;
        loop {
            let history = self.history(release).await?;
            let ended = self.ended_badly().contains(release) || Instant::now() >= end;
            let Some(newest) = history.last().filter(|it| it.may_be_under_way() && !ended) else {
                return Ok(history);
            };
            if !std::mem::replace(&mut told, true) {
                tracing::warn!(
                    "helm release {release}: revision {} is {} since {}, and its Helm may still be at work; this is waited for, at most until it is {} s old",
                    newest.revision,
                    newest.word,
                    newest.updated,
                    LONGEST.as_secs()
                );
            }
            sleep(PAUSE).await;
        }
    }

    /// Brings a release to the chart version of `chart`, with the values of the revision that is deployed.
    /// Does nothing where it is there already; a change that was cut short is left by `helm rollback` first.
    pub async fn upgrade(
        &self,
        settings: &HelmRelease,
        chart: &ChartMove,
        why: &str,
    ) -> Result<(), String> {
        let release = &chart.release;
        let history = self.settled(release).await?;
        let newest = history.last();
        if newest.is_some_and(|it| it.status == Status::Deployed && it.version == chart.to) {
            return Ok(());
        }
        let archive = self.chart(settings, &chart.to).await?;
        let deployed = deployed(&history);
        // An upgrade from a failed revision would leave for ever what only that one has brought.
        let broken = newest.is_some_and(|it| it.status != Status::Deployed);
        let mut values = None;
        if let Some(deployed) = deployed {
            if broken {
                self.roll_back(release, deployed.revision, why).await?;
            }
            values = self.values(release, deployed.revision, &settings.without).await?;
        }
        let values = values.map(|it| it.to_string());
        let archive = archive.display().to_string();
        let mut words = vec!["upgrade", release, &archive, "--install", "--description", why];
        if deployed.is_some() {
            words.push("--reset-values");
        }
        if values.is_some() {
            words.extend(["--values", "-"]);
        }
        if self.hooks == Hooks::Skip {
            words.push("--no-hooks");
        }
        if self.force_conflicts && self.program.is_four() {
            words.push("--force-conflicts");
        }
        self.change(release, &words, values.as_deref()).await
    }

    /// Brings a release back to the revision that it had, unless what is deployed is that already.
    pub async fn back(&self, chart: &ChartMove, why: &str) -> Result<(), String> {
        let Some(from) = &chart.from else { return Ok(()) };
        let history = self.settled(&chart.release).await?;
        let untouched = history.last().is_some_and(|it| it.revision == from.revision);
        let is_back = history
            .last()
            .is_some_and(|it| it.status == Status::Deployed && it.description.contains(why));
        match untouched || is_back {
            true => Ok(()),
            false => self.roll_back(&chart.release, from.revision, why).await,
        }
    }

    async fn roll_back(&self, release: &str, revision: u64, why: &str) -> Result<(), String> {
        let revision = revision.to_string();
        let mut words = vec!["rollback", release, &revision];
        // Its hooks are those of the older revision, and may migrate.
        if self.hooks != Hooks::Run {
            words.push("--no-hooks");
        }
        if self.force_conflicts && self.program.is_four() {
            words.push("--force-conflicts");
        }
        tracing::info!("helm release {release} goes back to revision {revision}: {why}");
        self.change(release, &words, None).await
    }

    /// Has Helm change a release.
    async fn change(
        &self,
        release: &str,
        words: &[&str],
        input: Option<&str>,
    ) -> Result<(), String> {
        let changed = self.program.change(words, input, CHANGE).await;
        if changed.is_err() {
            self.ended_badly().insert(release.to_owned());
        }
        changed
    }

    fn ended_badly(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.ended_badly.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes the value at a path such as `controller.image.tag` away.
fn take_away(values: &mut Value, path: &str) {
    let (parents, last) = path.rsplit_once('.').unwrap_or(("", path));
    let mut parents = parents.split('.').filter(|it| !it.is_empty());
    let parent = parents.try_fold(values, |it, key| it.get_mut(key));
    if let Some(Value::Object(parent)) = parent {
        parent.remove(last);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_value_is_taken_away_by_its_path() {
        let mut values =
            json!({ "tag": "1.2.0", "controller": { "image": { "tag": "x", "name": "y" } } });
        take_away(&mut values, "tag");
        take_away(&mut values, "controller.image.tag");
        take_away(&mut values, "controller.nothing.here");
        assert_eq!(values, json!({ "controller": { "image": { "name": "y" } } }));
    }
}
