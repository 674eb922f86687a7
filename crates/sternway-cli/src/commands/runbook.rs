//! `sternway runbook`

use sternway_database::Dialect;
use sternway_deploy::kubernetes::Swap;
use sternway_model::plan::Plan;
use sternway_source::{Location, Transport, is_repository};
use sternway_view::runbook::{Chart, Client, Cluster, Files, Ground, Moves, Runbook};

use super::plan::{assumed, looked};
use crate::args::{FenceArgs, PageFormat, RunbookArgs, Shared};
use crate::config::Deploy;
use crate::failure::{Exit, Failure};
use crate::ui::Ui;
use crate::wiring::Setup;

pub async fn runbook(ui: &Ui, shared: &Shared, args: &RunbookArgs) -> Result<Exit, Failure> {
    let setup = Setup::for_page(ui, shared)?;
    let request = setup.request(&args.to, None, &args.way, &FenceArgs::default())?;
    // Whoever follows the page moves the application: it is not looked at here.
    let plan = match setup.config.database {
        Ok(_) => looked(&setup, &request, false, None).await?,
        Err(_) => assumed(&setup, &request, None).await?,
    };
    let catalog = match setup.config.source {
        Some(_) => setup.catalog()?,
        None => setup.know(&mut *setup.connect().await?).await?.catalog,
    };
    let client = match setup.dialect() {
        Dialect::MySql => Client::MySql,
        Dialect::Sqlite => Client::Sqlite,
        _ => Client::PostgreSql,
    };
    let ground =
        Ground { catalog: &catalog, files: files(&setup), client, moves: moves(&setup, &plan) };
    let runbook = Runbook::of(&plan, &ground);
    let page = |_| match args.format {
        PageFormat::Text => runbook.text(),
        PageFormat::Markdown => runbook.markdown(),
        PageFormat::Html => runbook.html(),
    };
    ui.show(page, &runbook);
    Ok(Exit::Done)
}

/// Where somebody else gets the files of migrations.
fn files(setup: &Setup<'_>) -> Files {
    let whole = |path: &std::path::Path| {
        path.canonicalize().unwrap_or_else(|_| path.to_owned()).display().to_string()
    };
    match &setup.config.source {
        Some((_, Location::Remote(remote))) => {
            let scheme = match remote.transport {
                Transport::Https => "https",
                Transport::Http => "http",
                Transport::Ssh => "ssh",
            };
            let user = remote.user.as_ref().filter(|_| remote.transport == Transport::Ssh);
            let user = user.map(|it| format!("{it}@")).unwrap_or_default();
            Files::Repository(format!("{scheme}://{user}{}/{}", remote.authority, remote.path))
        }
        Some((_, Location::Git(path))) => Files::Repository(format!("file://{}", whole(path))),
        Some((_, Location::Directory(path))) => Files::Folder(whole(path)),
        Some((_, Location::Path(path))) if is_repository(path) => {
            Files::Repository(format!("file://{}", whole(path)))
        }
        Some((_, Location::Path(path))) if path.is_dir() => Files::Folder(whole(path)),
        _ => Files::Page,
    }
}

/// How somebody else moves the application.
fn moves(setup: &Setup<'_>, plan: &Plan) -> Moves {
    let to = plan.target.to_string();
    match &setup.config.deploy {
        _ if !plan.deploys() => Moves::Nothing,
        None => Moves::Nothing,
        Some(Deploy::Commands(it)) => Moves::Commands {
            stop: it.stop.clone(),
            swap: it.swap.clone(),
            start: it.start.clone(),
            ready: it.ready.clone(),
        },
        Some(Deploy::Kubernetes(it)) => {
            let chart = |it: &sternway_deploy::kubernetes::HelmRelease| Chart {
                release: it.release.clone(),
                chart: it.chart.replace("{version}", &to),
                version: it.version.replace("{version}", &to),
                repository: it.repository.clone(),
            };
            let container = it.container.clone().unwrap_or_else(|| "*".to_owned());
            let (mut image, mut command, mut charts) = (None, None, Vec::new());
            match &it.swap {
                Swap::Image(name) => image = Some((name.clone(), container)),
                Swap::Command(commands) => command = Some(commands.swap.clone()),
                Swap::Helm => charts = it.helm.iter().map(chart).collect(),
                Swap::Wait => {
                    command = Some(
                        "# commit the release that is to run, and wait until the cluster has it"
                            .to_owned(),
                    )
                }
            }
            Moves::Cluster(Cluster {
                context: it.access.context.clone(),
                namespace: it.access.namespace.clone(),
                stop: it.stop.iter().map(ToString::to_string).collect(),
                charts,
                image,
                command,
            })
        }
    }
}
