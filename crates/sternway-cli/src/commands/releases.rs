//! `sternway releases`

use std::collections::BTreeMap;
use std::sync::Arc;

use sternway_model::catalog::Digest;
use sternway_view::releases::Releases;

use crate::args::{ReleasesArgs, Shared};
use crate::failure::{Exit, Failure};
use crate::ui::Ui;
use crate::wiring::Setup;

pub async fn releases(ui: &Ui, shared: &Shared, args: &ReleasesArgs) -> Result<Exit, Failure> {
    let setup = Setup::new(ui, shared)?;
    let catalog = match (&setup.config.source, &setup.config.database) {
        (Some(_), _) => setup.catalog()?,
        // Neither is named. A source is what this command is about, unless it may not be read.
        (None, Err(_)) if !shared.offline => setup.catalog()?,
        (None, _) => setup.know(&mut *setup.connect().await?).await?.catalog,
    };
    let dialect = setup.dialect();
    let normal = |(hash, body): (&Digest, &Arc<str>)| Some((*hash, dialect.facts(body).normal?));
    let normal: BTreeMap<Digest, Digest> = catalog.bodies.iter().filter_map(normal).collect();
    let same = |hash| normal.get(&hash).copied().unwrap_or(hash);
    let releases = Releases::of(&catalog, args.stable, same);
    ui.show(|_| releases.text(&catalog), &releases);
    Ok(Exit::Done)
}
