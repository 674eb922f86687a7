//! `sternway plan`

use std::path::Path;

use sternway_engine::gather::{Source, assume};
use sternway_engine::identity::planned;
use sternway_engine::journey::{JourneyError, Ports, way, with_deployment, with_numbers};
use sternway_model::app::App;
use sternway_model::plan::{Plan, Request};
use sternway_view::plan::sql;

use super::snapshot::estimated;
use crate::args::{PlanArgs, Shared};
use crate::failure::{Exit, Failure};
use crate::terminal::Terminal;
use crate::ui::Ui;
use crate::wiring::Setup;

pub async fn plan(ui: &Ui, shared: &Shared, args: &PlanArgs) -> Result<Exit, Failure> {
    let setup = Setup::new(ui, shared)?.found().await?;
    let request = setup.request(&args.to, None, &args.way, &args.others)?;
    let request = estimated(&setup, request).await?;
    let plan = match setup.config.database {
        Ok(_) => looked(&setup, &request, args.no_effects, setup.app()).await?,
        Err(_) => assumed(&setup, &request, setup.app()).await?,
    };
    if args.rbac {
        if plan.deployment.rights.is_empty() {
            return Err(Failure::new("this journey does nothing on a cluster", Exit::Usage).hint(
                "[deploy.kubernetes] of sternway.toml says how the application is moved there",
            ));
        }
        let roles = sternway_deploy::kubernetes::roles(&plan.app, &plan.deployment);
        ui.out(sternway_deploy::kubernetes::yaml(&roles).trim_end());
        return Ok(Exit::Done);
    }
    ui.say(ui.plan(&plan.to_string()).trim_end());
    if args.sql {
        ui.say(sql(&plan).trim_end());
    }
    ui.json(&plan);
    if let Some(path) = &args.out {
        write(path, &plan)?;
        ui.note(format!("written to {}; `sternway apply {0}` executes it", path.display()));
    }
    Ok(Exit::Done)
}

/// The plan from where the database is.
pub async fn looked(
    setup: &Setup<'_>,
    request: &Request,
    no_effects: bool,
    mut app: Option<Box<dyn App>>,
) -> Result<Plan, Failure> {
    let mut database = setup.connect().await?;
    let (mut source, shadow) = (setup.source(), setup.shadow());
    let mut terminal = Terminal::new(setup.ui);
    let mut ports = Ports {
        source: source.as_mut().map(|it| it as &mut dyn Source),
        database: &mut *database,
        app: app.as_deref_mut(),
        snapshots: None,
        shadow: &shadow,
        observer: &mut terminal,
    };
    let failed = |cause| setup.to_prepare(&request.target, cause);
    let time = setup.lock_timeout();
    let plan = way(&setup.settings()?, request, time, &mut ports).await.map_err(failed)?;
    let plan = with_deployment(plan, ports.app.as_deref_mut()).await.map_err(failed)?;
    if no_effects {
        return Ok(plan);
    }
    let (plan, unknown) = with_numbers(plan, &mut ports).await.map_err(failed)?;
    if let Some(error) = unknown {
        let (_, causes, _) = Failure::to_rehearse(error).parts();
        let causes = causes.join(": ");
        setup
            .ui
            .note(format!("note: what the steps change is told from their words alone; {causes}"));
    }
    Ok(plan)
}

/// The plan from the schema of the running release, which nobody has looked at.
pub async fn assumed(
    setup: &Setup<'_>,
    request: &Request,
    mut app: Option<Box<dyn App>>,
) -> Result<Plan, Failure> {
    let mut source = setup.source();
    let source = source.as_mut().map(|it| it as &mut dyn Source);
    let mut terminal = Terminal::new(setup.ui);
    let gathered = assume(&setup.settings()?, source, app.as_deref_mut(), &mut terminal).await;
    let mut gathered = gathered.map_err(|cause| setup.to_gather(cause))?;
    planned(&mut gathered, request, &setup.shadow()).await.map_err(|cause| {
        let (gathered, dirty) = (Box::new(gathered), None);
        setup.to_prepare(&request.target, JourneyError::Plan { cause, gathered, dirty })
    })
}

/// Writes the plan down.
fn write(path: &Path, plan: &Plan) -> Result<(), Failure> {
    super::write_whole(path, (plan.to_json() + "\n").as_bytes())
        .map_err(|error| Failure::of(format!("cannot write the plan to {}", path.display()), error))
}
