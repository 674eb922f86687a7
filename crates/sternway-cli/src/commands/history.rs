//! `sternway history`

use sternway_view::history::History;

use crate::args::Shared;
use crate::failure::{Exit, Failure};
use crate::ui::Ui;
use crate::wiring::Setup;

pub async fn history(ui: &Ui, shared: &Shared) -> Result<Exit, Failure> {
    let setup = Setup::new(ui, shared)?.found().await?;
    let mut database = setup.connect().await?;
    let runs = database.history(&setup.config.layout.app).await;
    let runs = runs.map_err(|cause| Failure::to_ask("cannot read the history", cause))?;
    let history = History::of(runs);
    ui.show(|_| history.text(), &history);
    Ok(Exit::Done)
}
