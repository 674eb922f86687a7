//! `sternway status`

use sternway_engine::identity::resolve;
use sternway_engine::status::{self as engine, Schema, Verdict};
use sternway_view::status::Status;

use super::archive::warn_of;
use crate::args::Shared;
use crate::failure::{Exit, Failure};
use crate::ui::Ui;
use crate::wiring::Setup;

pub async fn status(ui: &Ui, shared: &Shared) -> Result<Exit, Failure> {
    let setup = Setup::new(ui, shared)?.found().await?;
    let mut database = setup.connect().await?;
    let (mut known, shadow) = (setup.know(&mut *database).await?, setup.shadow());
    resolve(&mut known, &shadow, &mut *database).await?;
    let status = engine::status(&known.facts(), &shadow, &mut *database).await?;
    warn_of(&setup, &status.archive);
    let shape = Status::of(&status, setup.config.warn_after_days);
    ui.show(|paint| shape.text(paint), &shape);
    Ok(exit(&status.verdict))
}

fn exit(verdict: &Verdict) -> Exit {
    match verdict {
        // A migrator has passed something over.
        Verdict::Stands { standing, .. } if !standing.lacking.is_empty() => Exit::Drift,
        Verdict::Stands { schema, .. } => match schema {
            Schema::NotInstalled | Schema::Unproven(_) => Exit::Done,
            Schema::Compared(comparison) if comparison.holds() => Exit::Done,
            Schema::Compared(_) => Exit::Drift,
            Schema::OfAnotherApp => Exit::Refused,
        },
        Verdict::Dirty { .. } => Exit::Dirty,
        Verdict::Refused(_) => Exit::Refused,
    }
}
