//! The images that run: setting them, where that is the way to swap, and finding out whether the target's do.

use std::time::Duration;

use serde_json::json;
use sternway_model::app::{Deployment, ImageMove};
use sternway_model::catalog::Release;
use tokio::time::{Instant, sleep};

use super::cluster::Cluster;
use super::running::release_of_image;
use super::workloads::{self, Named};
use super::{Settings, pods};

/// How long to wait before looking again.
const PAUSE: Duration = Duration::from_secs(1);

/// The images that are to be set: `pattern` with the release in it, in the container of each workload.
pub(super) async fn moves(
    cluster: &Cluster,
    settings: &Settings,
    pattern: &str,
    to: &Release,
) -> Result<Vec<ImageMove>, String> {
    let wanted = pattern.replace("{version}", &to.to_string());
    let mut moves = Vec::new();
    for named in settings.with_pods() {
        let object = cluster.get(workloads::kind(named.kind), &named.name).await?;
        let Some(object) = object else { return Err(format!("{named} is not there")) };
        let container = settings.container.as_deref();
        let Some(it) = pods::in_template(&object.data, container) else {
            return Err(format!("{named} has no container {}", container.unwrap_or("at all")));
        };
        let text = |key: &str| it[key].as_str().unwrap_or_default().to_owned();
        moves.push(ImageMove {
            workload: named.to_string(),
            container: text("name"),
            from: text("image"),
            to: wanted.clone(),
        });
    }
    Ok(moves)
}

/// Sets the image of a container.
pub(super) async fn set(cluster: &Cluster, it: &ImageMove, image: &str) -> Result<(), String> {
    let named: Named = it.workload.parse()?;
    let kind = workloads::kind(named.kind);
    let words = |reason: String| format!("{}: {reason}", it.workload);
    let Some(object) = cluster.get(kind, &named.name).await? else {
        return Err(words("it is not there".to_owned()));
    };
    // A merge patch replaces a list as a whole.
    let mut containers = object.data["spec"]["template"]["spec"]["containers"].clone();
    let known = containers.as_array_mut().into_iter().flatten();
    match known.into_iter().find(|them| them["name"] == it.container.as_str()) {
        Some(container) => container["image"] = json!(image),
        None => return Err(words(format!("it has no container {}", it.container))),
    }
    let change = json!({
        "metadata": { "resourceVersion": object.metadata.resource_version },
        "spec": { "template": { "spec": { "containers": containers } } },
    });
    cluster.patch(kind, &named.name, &change).await.map_err(|refusal| words(refusal.into()))
}

/// Refuses where pods that are ready run another image than the target's.
pub(super) async fn run(
    cluster: &Cluster,
    settings: &Settings,
    known: &Deployment,
    release: &Release,
) -> Result<(), String> {
    for named in settings.with_pods() {
        let Some(object) = cluster.get(workloads::kind(named.kind), &named.name).await? else {
            continue;
        };
        let id = named.to_string();
        let set =
            known.images.iter().find(|it| it.workload == id && known.to.as_ref() == Some(release));
        for pod in pods::of(cluster, named.kind, &object).await? {
            let Some(image) = pod.image(settings.container.as_deref()) else { continue };
            if pod.has_ended() || pod.is_ending() {
                continue;
            }
            let other = match set {
                Some(set) => set.to != image,
                None => release_of_image(image).is_some_and(|it| it != *release),
            };
            if other {
                return Err(format!("{} runs {image}, which is not {release}", pod.words()));
            }
        }
    }
    Ok(())
}

/// Waits until the templates have the target's image.
pub(super) async fn arrived(
    cluster: &Cluster,
    settings: &Settings,
    to: &Release,
) -> Result<(), String> {
    let end = Instant::now() + settings.wait_timeout;
    loop {
        let mut others = Vec::new();
        for named in settings.with_pods() {
            let object = cluster.get(workloads::kind(named.kind), &named.name).await?;
            let image = object.as_ref().and_then(|it| {
                pods::in_template(&it.data, settings.container.as_deref())?["image"].as_str()
            });
            if image.and_then(release_of_image).as_ref() != Some(to) {
                others.push(format!("{named} has {}", image.unwrap_or("no such container")));
            }
        }
        if others.is_empty() {
            return Ok(());
        }
        if Instant::now() >= end {
            let seconds = settings.wait_timeout.as_secs();
            return Err(format!(
                "the cluster was not given release {to} within {seconds} s: {}",
                others.join("; ")
            ));
        }
        sleep(PAUSE).await;
    }
}
