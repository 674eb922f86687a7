//! What the acts would meet and do, found out before anything is touched.

use serde_json::Value;
use sternway_model::app::{ChartMove, Deployment, Right, Workload};
use sternway_model::catalog::Release;

use super::helm::{Entry, Helm, LONGEST, Rendered, Status, deployed};
use super::running::{release_of, release_of_image};
use super::served::Served;
use super::{Connected, HelmRelease, Hooks, Settings, Swap};
use super::{conflicts, database, definitions, gitops, images, pods, rights, workloads};

/// Looks at everything that the acts on the way from one release to another would touch.
pub(super) async fn survey(
    connected: &Connected,
    settings: &Settings,
    from: Option<&Release>,
    to: &Release,
) -> Result<Deployment, String> {
    let Connected { cluster, helm } = connected;
    let mut found = Deployment {
        place: Some(cluster.place.clone()),
        to: Some(to.clone()),
        ..Deployment::default()
    };
    let mut looks = rights::to_look(cluster, settings);
    if settings.stop.iter().any(|it| workloads::scales(it.kind)) {
        looks.extend(rights::to_look_for_keda(cluster).await?);
    }
    rights::held(cluster, &looks).await?;
    for named in &settings.stop {
        found.workloads.push(workloads::look(cluster, named).await?);
    }
    let mut wanted = rights::to_act(cluster, settings, &found.workloads);
    let moves = from != Some(to);
    match &settings.swap {
        Swap::Helm if moves => {
            if let Some(helm) = helm {
                charts(connected, settings, helm, from, to, &mut found, &mut wanted).await?;
            }
        }
        Swap::Image(pattern) if moves => {
            found.images = images::moves(cluster, settings, pattern, to).await?;
        }
        Swap::Helm | Swap::Image(_) | Swap::Command(_) | Swap::Wait => {}
    }
    if let (Swap::Wait, true) = (&settings.swap, moves) {
        let names: Vec<String> = found.workloads.iter().map(Workload::id).collect();
        found.awaits = Some(format!(
            "commit release {to} for {} where the cluster is kept, and let its controller go on; it is waited for {} s",
            names.join(", "),
            settings.wait_timeout.as_secs()
        ));
    }
    if !settings.gitops_suspended {
        nobody_undoes_it(connected, settings, &found).await?;
    }
    rights::held(cluster, &wanted).await?;
    found.rights = looks.into_iter().chain(wanted).collect();
    found.rights.sort();
    found.rights.dedup();
    found.user = database::user(cluster, settings).await;
    Ok(found)
}

/// Refuses where a controller would put everything back as a repository says.
async fn nobody_undoes_it(
    Connected { cluster, .. }: &Connected,
    settings: &Settings,
    found: &Deployment,
) -> Result<(), String> {
    let waits = matches!(settings.swap, Swap::Wait);
    let refuse = |what: String, keeper: gitops::Keeper| {
        let gitops::Keeper { words, way, heals } = keeper;
        if waits && !heals {
            return Ok(());
        }
        if waits {
            return Err(format!(
                "{what} is kept as a repository says by {words}, which would scale it up again while the database moves: {way}, and let it go on once you are told to commit"
            ));
        }
        Err(format!(
            "{what} is kept as a repository says by {words}, which would undo the swap: {way}; or commit the target there yourself and let Sternway do the rest, with `swap = \"wait\"` in [deploy.kubernetes]"
        ))
    };
    for named in &settings.stop {
        let kind = workloads::kind(named.kind);
        let Some(object) = cluster.get(kind, &named.name).await? else { continue };
        if let Some(keeper) = gitops::keeper(cluster, kind, &object).await? {
            refuse(named.to_string(), keeper)?;
        }
    }
    for chart in &found.charts {
        if let Some(keeper) = gitops::keeper_of_release(cluster, chart).await? {
            refuse(format!("helm release {}", chart.release), keeper)?;
        }
    }
    Ok(())
}

/// What Helm would do to each of its releases.
async fn charts(
    Connected { cluster, .. }: &Connected,
    settings: &Settings,
    helm: &Helm,
    from: Option<&Release>,
    to: &Release,
    found: &mut Deployment,
    wanted: &mut Vec<Right>,
) -> Result<(), String> {
    let (mut present, mut target, mut served) = (Vec::new(), Vec::new(), Served::default());
    for chart in &settings.helm {
        let (moved, rendered) = chart_move(helm, settings, chart, from, to, found).await?;
        if let Some(revision) = &moved.from {
            present.push(helm.manifest(&moved.release, revision.revision).await?);
        }
        wanted.extend(rights::of_chart(cluster, &mut served, &rendered).await?);
        if !settings.force_conflicts && helm.applies(&moved.release).await? {
            let (release, stopped) = (&moved.release, &found.workloads);
            conflicts::none(cluster, &mut served, release, &rendered, stopped).await?;
        }
        target.push(rendered);
        found.charts.push(moved);
    }
    runs_target(settings, &present, &target, to)?;
    let exports = settings.export.as_deref();
    found.kept_kinds = definitions::without_definition(cluster, &present, &target, exports).await?;
    Ok(())
}

/// One release: what it has, what it gets, and whether the target's chart takes the values that it has.
async fn chart_move(
    helm: &Helm,
    settings: &Settings,
    chart: &HelmRelease,
    from: Option<&Release>,
    to: &Release,
    found: &mut Deployment,
) -> Result<(ChartMove, Rendered), String> {
    let release = &chart.release;
    let history = helm.history(release).await?;
    let newest = history.last();
    if let Some(newest) = newest.filter(|it| it.may_be_under_way()) {
        return Err(format!(
            "helm release {release}: revision {} is {} since {}, so that somebody's Helm may be at work: try again when it has ended; one that was killed is taken for that after {} s",
            newest.revision,
            newest.word,
            newest.updated,
            LONGEST.as_secs()
        ));
    }
    let deployed = deployed(&history).map(Entry::revision);
    if let (Some(newest), None) = (newest, &deployed) {
        return Err(format!(
            "helm release {release} has never been deployed well (revision {} is {}): `helm uninstall {release}` and install it first",
            newest.revision, newest.word
        ));
    }
    // What runs may be a revision that Helm calls failed: its pods never became ready.
    let runs = |version: &str| from.is_some() && release_of(version).as_ref() == from;
    let running = newest.filter(|it| it.status == Status::Failed && runs(&it.version));
    if let Some(newest) = newest.filter(|it| it.status != Status::Deployed) {
        found.remarks.push(format!(
            "helm release {release}: revision {} of {} is {}; the swap returns to revision {} first, and goes on from there",
            newest.revision,
            newest.updated,
            newest.word,
            deployed.as_ref().map_or(0, |it| it.revision),
        ));
    }
    let version = chart.version.replace("{version}", &to.to_string());
    let archive = helm
        .chart(chart, &version)
        .await
        .map_err(|reason| format!("helm release {release}: {reason}"))?;
    let values = match &deployed {
        Some(it) => helm.values(release, it.revision, &chart.without).await?,
        None => None,
    };
    let rendered = helm.render(release, &archive, values.as_ref()).await.map_err(|reason| {
        format!(
            "helm release {release}: its values do not fit chart version {version}: {reason}; `without = [\"KEY\"]` in its [[deploy.kubernetes.helm]] leaves a value out"
        )
    })?;
    let hooks = rendered.hooks();
    if !hooks.is_empty() && settings.hooks == Hooks::Refuse {
        return Err(format!(
            "helm release {release}: version {version} runs hooks on an upgrade, which may migrate by themselves: {}; `hooks = \"skip\"` or `\"run\"` in [deploy.kubernetes] decides",
            hooks.join(", ")
        ));
    }
    let known = helm.keys(&archive).await?;
    let given = values.as_ref().and_then(Value::as_object).into_iter().flatten();
    let unknown: Vec<&str> = given
        .map(|(key, _)| key.as_str())
        .filter(|it| !known.contains(*it) && *it != "global")
        .collect();
    if !unknown.is_empty() {
        found.remarks.push(format!(
            "helm release {release}: chart version {version} does not know the values {}",
            unknown.join(", ")
        ));
    }
    let from = running.map(Entry::revision).or(deployed);
    let moved =
        ChartMove { release: release.clone(), chart: chart.chart.clone(), from, to: version };
    Ok((moved, rendered))
}

/// Refuses a swap after which the same image would run as before.
fn runs_target(
    settings: &Settings,
    present: &[Rendered],
    target: &[Rendered],
    to: &Release,
) -> Result<(), String> {
    for named in settings.with_pods() {
        let kind = workloads::kind(named.kind).kind;
        let container = settings.container.as_deref();
        let find = |all: &[Rendered]| {
            let object = all.iter().find_map(|it| it.object(kind, &named.name))?;
            pods::in_template(object, container)?["image"].as_str().map(str::to_owned)
        };
        let Some(will) = find(target) else { continue };
        let means = release_of_image(&will);
        let same = find(present).as_ref() == Some(&will);
        if same || means.as_ref().is_some_and(|it| it != to) {
            return Err(format!(
                "the values pin the image: {named} would run {will}, which is not {to}; `without = [\"tag\"]`, or whichever key pins it, in its [[deploy.kubernetes.helm]] leaves that value out"
            ));
        }
    }
    Ok(())
}
