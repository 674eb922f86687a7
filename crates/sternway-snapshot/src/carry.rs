//! Bringing rows over that were written since a snapshot, from the database that was swapped out.

use sternway_database::failpoint::{self, Point};
use sternway_database::{Carried, Whole};

use crate::error::SnapshotError;
use crate::restore::mend;
use crate::{Progress, Watch};

/// Brings over into this database what `from` has and it has not, or has otherwise: every table but the tracking
/// tables `tables` and Sternway's own. Called again, it finds everything the same.
///
/// # Errors
/// When nothing was brought over.
pub async fn carry(
    whole: &mut dyn Whole,
    from: &str,
    tables: &[String],
    watch: &mut dyn Watch,
) -> Result<Vec<Carried>, SnapshotError> {
    failpoint::hit(Point::Snapshot);
    mend(whole).await?;
    watch.tell(Progress::Doing(format!("comparing every row with those of `{from}`")));
    Ok(whole.carry(from, tables).await?)
}
