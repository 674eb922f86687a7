//! The archive of an application: looking into it, and changing it while nobody migrates.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use sternway_database::{Database, DatabaseError, LockError, is_no_place};
use sternway_model::archive::{Entry, EntryId, EntryState, Page, Restoration};
use sternway_model::catalog::{Direction, Track, TrackName};
use sternway_model::effect::Lost;
use sternway_model::proof::ObjectName;
use sternway_model::state::TrackingRow;
use thiserror::Error;

use crate::locks::under_locks;
use crate::observe::tables;
use crate::unanswered::Unanswered;
use crate::verify::fingerprint;

/// About how many bytes are read at once, and at most how many rows.
const PAGE_BYTES: u64 = 4 << 20;
const PAGE_ROWS: u64 = 20_000;

/// Why the archive was not changed.
#[derive(Debug, Error)]
pub enum ArchiveError {
    /// There is nothing of the entry to restore.
    #[error("entry {0} of the archive is back already")]
    IsBack(EntryId),
    /// The archive could not be looked into.
    #[error(transparent)]
    Unanswered(#[from] Unanswered),
    /// The locks were not obtained.
    #[error("cannot change the archive")]
    Lock(#[from] LockError),
    /// The change failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// What the archive keeps for the application `app`, the oldest first.
///
/// # Errors
/// When it cannot be read.
pub async fn entries(database: &mut dyn Database, app: &str) -> Result<Vec<Entry>, Unanswered> {
    database.archive(app).await.map_err(Unanswered::to("read the archive"))
}

/// One entry of the archive.
///
/// # Errors
/// When the archive cannot be read, and with [`DatabaseError::NoEntry`] where it has no such entry.
pub async fn entry(
    database: &mut dyn Database,
    app: &str,
    id: EntryId,
) -> Result<Entry, Unanswered> {
    let found = entries(database, app).await?.into_iter().find(|entry| entry.id == id);
    found.ok_or_else(|| missing(id))
}

fn missing(id: EntryId) -> Unanswered {
    Unanswered::to("look into the archive")(DatabaseError::NoEntry(id))
}

/// The first rows of an entry, `limit` at most.
///
/// # Errors
/// When they cannot be read.
pub async fn first_rows(
    database: &mut dyn Database,
    id: EntryId,
    limit: u64,
) -> Result<Page, Unanswered> {
    database.archive_page(id, 0, limit).await.map_err(Unanswered::to("read the entry"))
}

/// The rows of an entry of any size, read a page at a time: all of it takes no more memory than a page.
#[derive(Debug)]
pub struct Pages {
    id: EntryId,
    /// How many rows are read at once.
    size: u64,
    /// How many were read so far.
    read: u64,
    ended: bool,
}

impl Pages {
    /// The pages of an entry.
    pub fn of(entry: &Entry) -> Pages {
        let width = entry.bytes / entry.waiting().max(1);
        let size = (PAGE_BYTES / width.max(1)).clamp(1, PAGE_ROWS);
        Pages { id: entry.id, size, read: 0, ended: false }
    }

    /// The next page; `None` after the last. The first one is there even where the entry has no rows.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn next(&mut self, database: &mut dyn Database) -> Result<Option<Page>, Unanswered> {
        if self.ended {
            return Ok(None);
        }
        let page = database.archive_page(self.id, self.read, self.size).await;
        let page = page.map_err(Unanswered::to("read the entry"))?;
        let rows = page.rows.len() as u64;
        self.read += rows;
        self.ended = rows < self.size;
        Ok(Some(page))
    }

    /// How many rows were read so far.
    pub fn rows(&self) -> u64 {
        self.read
    }
}

/// The entry that is to be restored.
///
/// # Errors
/// When there is no such entry, and when all of it is back already.
pub async fn to_restore(
    database: &mut dyn Database,
    app: &str,
    id: EntryId,
) -> Result<Entry, ArchiveError> {
    let entry = entry(database, app, id).await?;
    match entry.state() {
        EntryState::Restored => Err(ArchiveError::IsBack(id)),
        EntryState::Waiting | EntryState::Partly => Ok(entry),
    }
}

/// Restores the rows of an entry, as far as they fit, under the locks of these tracking tables.
///
/// # Errors
/// When the locks are not obtained, or the database refuses.
pub async fn restore(
    database: &mut dyn Database,
    id: EntryId,
    tables: &[String],
    lock_timeout: Duration,
) -> Result<Restoration, ArchiveError> {
    let restore = async |database: &mut dyn Database| {
        let restored = database.restore(&[id]).await?.into_iter().find(|it| it.id == id);
        restored.ok_or(DatabaseError::NoEntry(id).into())
    };
    under_locks(database, tables, lock_timeout, restore).await
}

/// Those of the entries that have a place ([`placed`]) although their migration is where it was when they were
/// kept: somebody other than Sternway has applied it again, or taken it back, or another migration has made
/// their place since. They are in the order in which they are
/// to be restored, those of one half of a migration together. `rows` has the tracking rows; nothing is
/// known of a track that is dirty.
pub fn overdue<'e>(
    entries: &'e [Entry],
    placed: &[EntryId],
    rows: impl Fn(&TrackName) -> Option<TrackingRow>,
) -> Vec<Vec<&'e Entry>> {
    let is_overdue = |entry: &&Entry| {
        let at = rows(&entry.track).filter(|at| !at.dirty);
        let applied = at.is_some_and(|at| at.position >= entry.version);
        let taken_back = at.is_some_and(|at| at.position < entry.version);
        placed.contains(&entry.id)
            && match entry.direction {
                Direction::Down => applied,
                Direction::Up => taken_back,
            }
    };
    let mut halves: BTreeMap<(&TrackName, u64, Direction), Vec<&Entry>> = BTreeMap::new();
    for entry in entries.iter().filter(is_overdue) {
        let half = (&entry.track, entry.version, entry.direction);
        halves.entry(half).or_default().push(entry);
    }
    // As their migrations were applied again: upwards, or downwards.
    let (up, mut down): (Vec<_>, Vec<_>) =
        halves.into_iter().partition(|((.., direction), _)| *direction == Direction::Down);
    down.reverse();
    up.into_iter().chain(down).map(|(_, entries)| entries).collect()
}

/// Those of the entries that nobody has tried to restore, or that had no place to go to, and whose table has all
/// their columns now.
///
/// # Errors
/// When the schema cannot be read.
pub async fn placed(
    entries: &[Entry],
    database: &mut dyn Database,
    tables: &[String],
) -> Result<Vec<EntryId>, Unanswered> {
    let had_no_place = |entry: &Entry| {
        let left = entry.restored.iter().flat_map(|it| &it.conflicts).filter(|it| it.rows > 0);
        let mut reasons = left.map(|it| it.reason.as_str()).peekable();
        reasons.peek().is_some() && reasons.all(is_no_place)
    };
    let waits = |it: &&Entry| it.state() == EntryState::Waiting || had_no_place(it);
    let waiting: Vec<&Entry> = entries.iter().filter(waits).collect();
    if waiting.is_empty() {
        return Ok(Vec::new());
    }
    let schema = fingerprint(database, tables).await?;
    let plain = |it: &ObjectName| it.plain().to_lowercase();
    let columns = schema.objects.keys().filter(|it| it.kind == "column");
    let columns: BTreeSet<String> = columns.map(plain).collect();
    let has = |entry: &&&Entry| {
        let column = |name: &String| {
            let table = Some(entry.lost.of().to_owned());
            plain(&ObjectName { table, ..ObjectName::new("column", name) })
        };
        // Where counting stood is no matter of columns.
        matches!(entry.lost, Lost::Sequence { .. })
            || entry.columns.iter().all(|it| columns.contains(&column(it)))
    };
    Ok(waiting.iter().filter(has).map(|it| it.id).collect())
}

/// As [`overdue`], with the rows that the tracking tables have now.
///
/// # Errors
/// When the database does not answer.
pub async fn overdue_here(
    database: &mut dyn Database,
    app: &str,
    tracks: &[Track],
) -> Result<Vec<Vec<Entry>>, Unanswered> {
    let mut rows = BTreeMap::new();
    for track in tracks {
        let state = database.track(&track.table).await;
        let state = state.map_err(Unanswered::to("read the tracking tables"))?;
        rows.insert(track.name.clone(), state.row());
    }
    let entries = entries(database, app).await?;
    let placed = placed(&entries, database, &tables(tracks)).await?;
    let halves = overdue(&entries, &placed, |track| rows.get(track).copied());
    Ok(halves.into_iter().map(|half| half.into_iter().cloned().collect()).collect())
}

/// Restores all that is [`overdue`], as far as it fits, under the locks of the tracking tables.
///
/// # Errors
/// When the locks are not obtained, or the database refuses; what was restored before stays.
pub async fn restore_overdue(
    database: &mut dyn Database,
    app: &str,
    tracks: &[Track],
    lock_timeout: Duration,
) -> Result<Vec<Restoration>, ArchiveError> {
    let restore = async |database: &mut dyn Database| {
        let mut restored = Vec::new();
        for half in overdue_here(database, app, tracks).await? {
            let ids: Vec<EntryId> = half.iter().map(|it| it.id).collect();
            restored.extend(database.restore(&ids).await?);
        }
        Ok(restored)
    };
    under_locks(database, &tables(tracks), lock_timeout, restore).await
}

/// Which entries are to be dropped.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// These; all where none is named.
    pub ids: Vec<EntryId>,
    /// Of them only those of which every row is back.
    pub restored: bool,
    /// Of them only those that were kept for longer than this, in days.
    pub older_than: Option<u64>,
}

impl Selection {
    /// The entries that are meant.
    ///
    /// # Errors
    /// With [`DatabaseError::NoEntry`] where one is named that is not there.
    pub fn of(&self, mut entries: Vec<Entry>) -> Result<Vec<Entry>, Unanswered> {
        for id in &self.ids {
            if !entries.iter().any(|entry| entry.id == *id) {
                return Err(missing(*id));
            }
        }
        entries.retain(|entry| {
            (self.ids.is_empty() || self.ids.contains(&entry.id))
                && (!self.restored || entry.state() == EntryState::Restored)
                && self.older_than.is_none_or(|days| entry.is_older_than(days))
        });
        Ok(entries)
    }
}

/// Drops entries with the rows that are nowhere else, under the locks of these tracking tables.
///
/// # Errors
/// When the locks are not obtained, or the database refuses. That somebody else has dropped one since is
/// no error.
pub async fn drop_entries(
    database: &mut dyn Database,
    entries: &[Entry],
    tables: &[String],
    lock_timeout: Duration,
) -> Result<(), ArchiveError> {
    let drop = async |database: &mut dyn Database| {
        for entry in entries {
            match database.drop_entry(entry.id).await {
                Ok(()) | Err(DatabaseError::NoEntry(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    };
    under_locks(database, tables, lock_timeout, drop).await
}
