//! `sternway plan`

use std::io::Write as _;
use std::path::Path;

use sternway_database::Database;
use sternway_engine::rehearse::{effects, measure, with_effects};
use sternway_model::plan::Plan;

use super::execute::to_measure;
use super::journey::planned;
use crate::args::{PlanArgs, Shared};
use crate::failure::{Exit, Failure};
use crate::ui::Ui;
use crate::wiring::Setup;

pub async fn plan(ui: &Ui, shared: &Shared, args: &PlanArgs) -> Result<Exit, Failure> {
    let setup = Setup::new(ui, shared)?;
    let plan = match setup.config.database {
        Ok(_) => {
            let mut database = setup.connect().await?;
            let plan = planned(&setup, &mut *database, &args.to, None, args.way).await?;
            match args.no_effects || plan.is_app_only() {
                true => plan,
                false => with_numbers(&setup, plan, &mut *database).await?,
            }
        }
        Err(_) => setup.assume().await?.plan(&args.to, None, args.way)?,
    };
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

/// The plan with what its steps change and take away; as it is where no rehearsal can be made.
async fn with_numbers(
    setup: &Setup<'_>,
    plan: Plan,
    database: &mut dyn Database,
) -> Result<Plan, Failure> {
    match effects(&setup.shadow(), &plan).await {
        Ok(effects) => {
            let mut plan = with_effects(plan, effects);
            measure(&mut plan, database).await.map_err(to_measure)?;
            Ok(plan)
        }
        Err(error) => {
            let (_, causes, _) = Failure::to_rehearse(error).parts();
            let causes = causes.join(": ");
            setup.ui.note(format!(
                "note: what the steps change is told from their words alone; {causes}"
            ));
            Ok(plan)
        }
    }
}

/// The bodies of the steps, in order.
fn sql(plan: &Plan) -> String {
    let mut text = String::new();
    for step in plan.steps() {
        let body = plan.bodies.get(&step.hash).map_or("", String::as_str);
        text.push_str(&format!("\n-- {}: {}\n{}\n", step.track, step.file, body.trim_end()));
    }
    text
}

/// Writes the plan beside its place first: a half-written plan is never found there.
fn write(path: &Path, plan: &Plan) -> Result<(), Failure> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let written = tempfile::NamedTempFile::new_in(folder).and_then(|mut file| {
        file.write_all(plan.to_json().as_bytes())?;
        file.write_all(b"\n")?;
        file.persist(path).map_err(|error| error.error)
    });
    let written = written.map(drop);
    written
        .map_err(|error| Failure::of(format!("cannot write the plan to {}", path.display()), error))
}
