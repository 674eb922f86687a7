//! SQLite: a copy of the file as of one moment, which SQLite itself writes.

use sternway_database::Whole;

use super::{Dumped, Place};
use crate::error::SnapshotError;
use crate::stream::Meter;

/// What the copy is called.
const NAME: &str = "database.sqlite";

pub(super) async fn dump(
    whole: &mut dyn Whole,
    place: &Place<'_>,
    meter: &mut Meter<'_>,
) -> Result<Dumped, SnapshotError> {
    let draft = place.draft()?;
    whole.copy_into(&draft.folder.join(NAME)).await?;
    let file = place.store_draft(&draft, NAME, meter).await?;
    Ok(Dumped { files: vec![file], is_folder: false })
}
