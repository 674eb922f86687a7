//! Restoring: into a new database, which is compared with what was taken, and only then changes places with the
//! present one. That one stays, under another name, until somebody prunes it.
//!
//! Nothing is ever loaded over a database that is in use, as `pg_restore --clean` does: what the snapshot does not
//! have would stay, so that a schema that is newer than it became a mixture of two releases, and half a restore would
//! be all that is left.

use sternway_database::Whole;
use sternway_database::failpoint::{self, Point};
use sternway_model::journal::Record;

use crate::error::SnapshotError;
use crate::load::make;
use crate::manifest::Manifest;
use crate::names::Names;
use crate::{Progress, Settings, Watch};

/// How a snapshot is restored.
#[derive(Debug, Clone, Default)]
pub struct Way {
    /// Into a new database of this name, which stays beside the present one.
    pub into: Option<String>,
    /// Whether the sessions of others are ended.
    pub end_sessions: bool,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// The database that is what was taken now.
    pub database: String,
    /// What the one is called that was there, where it was swapped out.
    pub kept: Option<String>,
}

/// Restores a snapshot. No session of ours may be open on the database but `whole`.
///
/// # Errors
/// Where everything is as it was.
pub async fn restore(
    whole: &mut dyn Whole,
    manifest: &Manifest,
    way: &Way,
    settings: &Settings,
    watch: &mut dyn Watch,
) -> Result<Restored, SnapshotError> {
    failpoint::hit(Point::Snapshot);
    mend(whole).await?;
    let database = whole.identity().database.clone();
    if let Some(name) = &way.into {
        make(whole, manifest, name, settings, watch).await?;
        return Ok(Restored { database: name.clone(), kept: None });
    }
    // Better now than after an hour.
    whole.may_swap(way.end_sessions).await?;
    let names = Names::beside(whole.dialect(), &database);
    let (new, old) = (names.fresh(), names.old());
    make(whole, manifest, &new, settings, watch).await?;
    watch.tell(Progress::Doing(format!("letting `{new}` and `{database}` change places")));
    let swapped = swap(whole, &new, &old, settings, way).await;
    if swapped.is_err()
        && let Err(left) = whole.remove(&new).await
    {
        tracing::warn!("`{new}` stays, with the snapshot in it: {left}");
    }
    swapped?;
    Ok(Restored { database, kept: Some(old) })
}

async fn swap(
    whole: &mut dyn Whole,
    new: &str,
    old: &str,
    settings: &Settings,
    way: &Way,
) -> Result<(), SnapshotError> {
    whole.dress(new).await?;
    none_unfinished(&mut *whole.open(new).await?, &settings.app).await?;
    failpoint::hit(Point::Swapping);
    whole.swap(new, old, way.end_sessions).await?;
    failpoint::hit(Point::Swapped);
    Ok(())
}

/// Ends the run in the records of a database whose snapshot was taken in its midst: nobody is to go on with it.
async fn none_unfinished(made: &mut dyn Whole, app: &str) -> Result<(), SnapshotError> {
    match made.session().unfinished(app).await {
        Ok(Some(run)) => Ok(made.session().record(run.id, &Record::Abandoned).await?),
        Ok(None) => Ok(()),
        Err(error) => {
            tracing::warn!("whether a run is unfinished in the snapshot is not known: {error}");
            Ok(())
        }
    }
}

/// Makes up for swaps, and for rows on their way, that were cut short.
pub(crate) async fn mend(whole: &mut dyn Whole) -> Result<(), SnapshotError> {
    let here = whole.identity().database.clone();
    let names = Names::beside(whole.dialect(), &here);
    whole.mend(&here).await?;
    for old in whole.beside(&names.all_old()).await? {
        whole.mend(&old).await?;
    }
    Ok(())
}
