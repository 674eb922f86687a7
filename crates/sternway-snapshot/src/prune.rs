//! Removing what is not wanted any more: snapshots, and the databases that restores have left beside the present one.

use sternway_database::Whole;
use sternway_database::failpoint::{self, Point};

use crate::Settings;
use crate::error::SnapshotError;
use crate::manifest;
use crate::names::Names;
use crate::restore::mend;

/// What is removed.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// These snapshots.
    pub ids: Vec<String>,
    /// All whole ones but so many of the newest.
    pub keep: Option<usize>,
    /// All that were taken more days ago.
    pub older_than: Option<u64>,
    /// Those without a manifest. One that is being taken has none yet.
    pub unfinished: bool,
    /// The databases that were swapped out, and those that never came into their place.
    pub databases: bool,
}

/// The databases that restores have left.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Leftovers {
    /// Those that were swapped out.
    pub swapped_out: Vec<String>,
    /// Those that never came into their place: a restore or a proof was cut short, or is under way.
    pub unfinished: Vec<String>,
}

/// What is to be removed, or was.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pruned {
    /// The snapshots.
    pub snapshots: Vec<String>,
    /// The databases.
    pub databases: Vec<String>,
    /// The databases that such snapshots are which are kept on the server.
    pub copies: Vec<String>,
}

/// The databases that restores have left beside this one.
///
/// # Errors
/// When the server does not say.
pub async fn leftovers(whole: &mut dyn Whole) -> Result<Leftovers, SnapshotError> {
    let names = Names::beside(whole.dialect(), &whole.identity().database);
    let swapped_out = whole.beside(&names.all_old()).await?;
    let unfinished = whole.beside(&names.all_new()).await?;
    Ok(Leftovers { swapped_out, unfinished })
}

impl Selection {
    /// What it means.
    ///
    /// # Errors
    /// When the store or the server cannot be asked, or there is no such snapshot.
    pub async fn meant(
        &self,
        whole: Option<&mut Box<dyn Whole>>,
        settings: &Settings,
    ) -> Result<Pruned, SnapshotError> {
        let all = settings.store.list(&settings.app).await?;
        if let Some(id) = self.ids.iter().find(|id| !all.iter().any(|it| it.id == **id)) {
            return Err(SnapshotError::NotFound { id: id.clone(), app: settings.app.clone() });
        }
        let before = self.older_than.map(|days| {
            let hours = i64::try_from(days.saturating_mul(24)).unwrap_or(i64::MAX);
            let span = jiff::SignedDuration::from_hours(hours.min(24 * 366 * 1000));
            let then = jiff::Timestamp::now().checked_sub(span).unwrap_or(jiff::Timestamp::MIN);
            then.strftime("%Y%m%dT%H%M%SZ").to_string()
        });
        let whole_ones: Vec<&str> =
            all.iter().filter(|it| it.manifest.is_ok()).map(|it| it.id.as_str()).collect();
        let beyond = self.keep.map(|keep| &whole_ones[..whole_ones.len().saturating_sub(keep)]);
        let is_meant = |id: &str, is_unfinished: bool| {
            self.ids.iter().any(|it| it == id)
                || self.unfinished && is_unfinished
                || !is_unfinished && before.as_ref().is_some_and(|before| id < before.as_str())
                || beyond.is_some_and(|beyond| beyond.contains(&id))
        };
        let is_unfinished =
            |it: &crate::Found| matches!(it.manifest, Err(SnapshotError::Unfinished(_)));
        let snapshots = all.iter().filter(|it| is_meant(&it.id, is_unfinished(it)));
        let snapshots: Vec<String> = snapshots.map(|it| it.id.clone()).collect();
        let mut copies = Vec::new();
        for id in &snapshots {
            let copy = settings.store.read(&settings.app, id, manifest::COPY).await?;
            let copy = copy.map(|it| String::from_utf8_lossy(&it).into_owned());
            copies.extend(copy.filter(|it| Names::is_copy(it, id)));
        }
        let databases = match whole {
            Some(whole) if self.databases => {
                let Leftovers { swapped_out, unfinished } = leftovers(&mut **whole).await?;
                [swapped_out, unfinished].concat()
            }
            _ => Vec::new(),
        };
        Ok(Pruned { snapshots, databases, copies })
    }
}

/// Removes these; returns what was there to be removed. Where there are databases or copies among them, it takes `whole`.
///
/// # Errors
/// When something stays; what comes before it is gone.
pub async fn prune(
    what: &Pruned,
    whole: Option<&mut Box<dyn Whole>>,
    settings: &Settings,
) -> Result<Pruned, SnapshotError> {
    failpoint::hit(Point::Snapshot);
    let mut done = Pruned::default();
    if let Some(whole) = whole {
        // What would be dropped may be half of a swap that was cut short.
        mend(&mut **whole).await?;
        for name in what.copies.iter().chain(&what.databases) {
            if whole.beside(name).await?.contains(name) {
                whole.remove(name).await?;
                done.databases.push(name.clone());
            } else {
                tracing::warn!("there is no database `{name}` on this server");
            }
        }
    }
    // Their manifests are the last: what is dropped without one would be nobody's.
    for id in &what.snapshots {
        settings.store.remove(&settings.app, id).await?;
        done.snapshots.push(id.clone());
    }
    Ok(done)
}
