//! SQLite: a copy of the file as of one moment, which SQLite itself writes.

use sternway_database::Whole;

use super::{Dumped, Place};
use crate::error::SnapshotError;
use crate::store::written;
use crate::stream::Meter;

/// What the copy is called.
const NAME: &str = "database.sqlite";

pub(super) async fn dump(
    whole: &mut dyn Whole,
    place: &Place<'_>,
    meter: &mut Meter<'_>,
) -> Result<Dumped, SnapshotError> {
    let settings = place.settings;
    let in_place = settings.store.folder(&settings.app, place.id).filter(|_| !place.is_sealed());
    let scratch = tempfile::tempdir();
    let scratch = scratch.map_err(|error| SnapshotError::store("make a folder", error))?;
    let folder = in_place.as_deref().unwrap_or(scratch.path());
    whole.copy_into(&folder.join(NAME)).await?;
    let file = match in_place {
        Some(_) => written(folder, NAME, meter).await?,
        None => place.store_file(NAME, &folder.join(NAME), meter).await?,
    };
    Ok(Dumped { files: vec![file], is_folder: false })
}
