//! `sternway can-run`

use sternway_engine::identity::resolve;
use sternway_model::plan::{Answer, can_run as found};
use sternway_view::can_run::CanRun;

use crate::args::{CanRunArgs, Shared};
use crate::failure::{Exit, Failure};
use crate::ui::Ui;
use crate::wiring::Setup;

pub async fn can_run(ui: &Ui, shared: &Shared, args: &CanRunArgs) -> Result<Exit, Failure> {
    let setup = Setup::new(ui, shared)?.found().await?;
    let attempt = format!("cannot tell whether {} can run", args.release);
    let release = setup.target(&args.release, &attempt)?;
    let mut database = setup.connect().await?;
    let (mut known, shadow) = (setup.know(&mut *database).await?, setup.shadow());
    resolve(&mut known, &shadow, &mut *database).await?;
    let found = found(&known.facts(), &release)
        .map_err(|cause| Failure::to_plan(&release, &known, cause))?;
    let shape = CanRun::of(&known.catalog.app, &found);
    ui.show(|_| shape.text(), &shape);
    Ok(match found.answer {
        Answer::Yes => Exit::Done,
        Answer::No => Exit::Refused,
        Answer::Unknown => Exit::Drift,
    })
}
