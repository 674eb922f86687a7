//! Which release runs: from the pods, from what would start, and from Helm's record, in this order of
//! belief. Nothing of it needs a pod that is healthy.

use kube::api::DynamicObject;
use sternway_model::app::WorkloadKind;
use sternway_model::catalog::Release;

use super::cluster::{Cluster, Kind};
use super::helm::Helm;
use super::workloads::{self, Named};
use super::{Settings, pods};

const REPLICA_SET: Kind =
    Kind { group: "apps", version: "v1", kind: "ReplicaSet", plural: "replicasets" };

/// What one place says of the release that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Evidence {
    /// Who says so.
    pub place: String,
    /// What it says, such as an image or a chart's version.
    pub says: String,
    /// The release that this means, where it can be told.
    pub release: Option<Release>,
}

/// Everything that says which release runs, the most believable first.
pub(super) async fn evidence(
    cluster: &Cluster,
    settings: &Settings,
    helm: Option<&Helm>,
) -> Result<Vec<Evidence>, String> {
    let mut found = Vec::new();
    if let Some(named) = settings.with_pods().next() {
        found.extend(of_workload(cluster, settings, named).await?);
    }
    if let (Some(helm), Some(chart)) = (helm, settings.helm.last()) {
        match helm.deployed(&chart.release).await {
            Ok(Some(revision)) => found.push(Evidence {
                place: format!("helm release {} (revision {})", chart.release, revision.revision),
                release: release_of(&revision.version),
                says: format!("chart {}", revision.version),
            }),
            Ok(None) => {}
            Err(reason) => tracing::info!("helm release {}: {reason}", chart.release),
        }
    }
    Ok(found)
}

async fn of_workload(
    cluster: &Cluster,
    settings: &Settings,
    named: &Named,
) -> Result<Vec<Evidence>, String> {
    let container = settings.container.as_deref();
    let kind = workloads::kind(named.kind);
    let Some(object) = cluster.get(kind, &named.name).await? else {
        return of_replica_sets(cluster, settings, named).await;
    };
    let mut found: Vec<Evidence> = Vec::new();
    for pod in pods::of(cluster, named.kind, &object).await? {
        let Some(image) = pod.image(container).filter(|_| !pod.has_ended()) else { continue };
        let place = pod.words();
        found.push(Evidence { place, says: image.to_owned(), release: release_of_image(image) });
    }
    if found.is_empty() {
        let word = format!("{named}, which has no pods");
        found.extend(of_template(&object, container, word));
    }
    Ok(found)
}

/// The newest ReplicaSet that a Deployment which is gone may have left.
async fn of_replica_sets(
    cluster: &Cluster,
    settings: &Settings,
    named: &Named,
) -> Result<Vec<Evidence>, String> {
    if named.kind != WorkloadKind::Deployment {
        return Ok(Vec::new());
    }
    let mut sets = cluster.list(&REPLICA_SET, "").await?;
    sets.retain(|it| {
        let owners = it.metadata.owner_references.iter().flatten();
        owners.into_iter().any(|it| it.kind == "Deployment" && it.name == named.name)
    });
    let revision = |it: &DynamicObject| {
        let annotations = it.metadata.annotations.as_ref()?;
        annotations.get("deployment.kubernetes.io/revision")?.parse::<u64>().ok()
    };
    let newest = sets.into_iter().max_by_key(revision);
    let name = newest.as_ref().and_then(|it| it.metadata.name.clone()).unwrap_or_default();
    let word = format!("replicaset/{name}, whose deployment is gone");
    Ok(newest
        .and_then(|it| of_template(&it, settings.container.as_deref(), word))
        .into_iter()
        .collect())
}

fn of_template(object: &DynamicObject, container: Option<&str>, place: String) -> Option<Evidence> {
    let image = pods::in_template(&object.data, container)?["image"].as_str()?;
    Some(Evidence { place, says: image.to_owned(), release: release_of_image(image) })
}

/// The release that an image's tag names: `ghcr.io/harbour/controller:v1.2.3`.
pub(super) fn release_of_image(image: &str) -> Option<Release> {
    let name = image.split('@').next().unwrap_or_default();
    let (_, tag) = name.rsplit('/').next()?.split_once(':')?;
    release_of(tag)
}

/// The release that a tag or a chart's version names.
pub(super) fn release_of(version: &str) -> Option<Release> {
    version.strip_prefix('v').unwrap_or(version).parse().ok()
}

/// The release that all evidence means.
///
/// # Errors
/// Where two places mean different ones, in words that name them all.
pub(super) fn agreed(evidence: &[Evidence]) -> Result<Option<Release>, String> {
    let mut releases = evidence.iter().filter_map(|it| it.release.as_ref());
    let first = releases.next();
    if releases.all(|it| Some(it) == first) {
        return Ok(first.cloned());
    }
    let each: Vec<String> =
        evidence.iter().map(|Evidence { place, says, .. }| format!("{place}: {says}")).collect();
    Err(format!("the places that tell it do not agree; --from decides\n{}", each.join("\n")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_names_its_release_by_its_tag() {
        let of = |image: &str| release_of_image(image).map(|it| it.to_string());
        assert_eq!(of("ghcr.io/harbour/controller:v1.2.3").as_deref(), Some("1.2.3"));
        assert_eq!(of("localhost:5000/controller:1.2.3@sha256:ab").as_deref(), Some("1.2.3"));
        assert_eq!(of("localhost:5000/controller"), None);
        assert_eq!(of("controller@sha256:ab"), None);
        assert_eq!(of("controller:latest"), None);
    }

    #[test]
    fn evidence_that_does_not_agree_is_told_whole() {
        let say = |place: &str, release: Option<&str>| Evidence {
            place: place.to_owned(),
            says: release.unwrap_or("latest").to_owned(),
            release: release.and_then(release_of),
        };
        let same = [say("a", Some("1.2.0")), say("b", None), say("c", Some("v1.2.0"))];
        assert_eq!(agreed(&same), Ok(release_of("1.2.0")));
        let other = [say("pod a", Some("1.2.0")), say("helm", Some("1.3.0"))];
        let words = agreed(&other).expect_err("two releases");
        assert!(words.contains("pod a: 1.2.0") && words.contains("helm: 1.3.0"), "{words}");
    }
}
