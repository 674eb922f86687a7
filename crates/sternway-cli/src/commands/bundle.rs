//! `sternway bundle`

use sternway_view::bundle::Written;

use crate::args::{BundleArgs, Shared};
use crate::failure::{Exit, Failure};
use crate::ui::Ui;
use crate::wiring::Setup;

pub fn bundle(ui: &Ui, shared: &Shared, args: &BundleArgs) -> Result<Exit, Failure> {
    let setup = Setup::new(ui, shared)?;
    let catalog = setup.catalog()?;
    let to_write =
        |error| Failure::of(format!("cannot write the bundle to {}", args.out.display()), error);
    let bytes = sternway_source::bundle(&catalog).map_err(to_write)?;
    super::write_whole(&args.out, &bytes).map_err(to_write)?;
    let written = Written::of(&catalog, args.out.display().to_string(), bytes.len());
    ui.show(|_| written.text(), &written);
    ui.note(format!("--source bundle:{} reads it, without any network", args.out.display()));
    Ok(Exit::Done)
}
