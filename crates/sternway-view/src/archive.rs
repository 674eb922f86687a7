//! What the archive keeps, and what becomes of it.

mod export;
mod sql;

use serde::Serialize;
use sternway_model::archive::{Entry, EntryId, EntryState, Page, Restoration, Restored};
use sternway_model::effect::{Lost, counted, size};

pub use self::export::{Format, Writer};
use crate::Paint;
use crate::words::{plural, table};

/// How much of a value is shown, in characters.
const WIDTH: usize = 40;

/// `sternway.archive.list/1`
#[derive(Debug, Serialize)]
pub struct Archive {
    format: &'static str,
    /// The application.
    pub app: String,
    /// After how many days an entry is old.
    pub warn_after_days: u64,
    /// The entries, the oldest first.
    pub entries: Vec<EntryRow>,
}

/// One entry.
#[derive(Debug, Serialize)]
pub struct EntryRow {
    /// As the archive has it.
    #[serde(flatten)]
    pub entry: Entry,
    /// How many rows are in the archive alone.
    pub waiting: u64,
    /// What became of it.
    pub state: EntryState,
    /// Whether it has been kept for longer than the settings like.
    pub old: bool,
}

/// `sternway.archive.show/1`
#[derive(Debug, Serialize)]
pub struct Shown {
    format: &'static str,
    /// The entry.
    pub entry: EntryRow,
    /// Its first rows.
    pub page: Page,
}

/// `sternway.archive.export/1`
#[derive(Debug, Serialize)]
pub struct Exported {
    format: &'static str,
    /// The entry.
    pub id: EntryId,
    /// What it is.
    #[serde(flatten)]
    pub lost: Lost,
    /// Where it was written to.
    pub file: String,
    /// How many rows.
    pub rows: u64,
    /// How many bytes.
    pub bytes: u64,
}

/// `sternway.archive.restore/1`
#[derive(Debug, Serialize)]
pub struct RestoredEntry {
    format: &'static str,
    /// The entry.
    pub id: EntryId,
    /// What it is.
    #[serde(flatten)]
    pub lost: Lost,
    /// What became of it.
    pub restored: Restored,
}

/// `sternway.archive.restore.waiting/1`
#[derive(Debug, Serialize)]
pub struct RestoredEntries {
    format: &'static str,
    /// What became of each entry.
    pub restored: Vec<Restoration>,
}

/// `sternway.archive.drop/1`
#[derive(Debug, Serialize)]
pub struct Dropped {
    format: &'static str,
    /// What is gone.
    pub dropped: Vec<EntryRow>,
}

impl EntryRow {
    /// The shape of an entry.
    pub fn of(entry: Entry, warn_after_days: u64) -> EntryRow {
        let (waiting, state) = (entry.waiting(), entry.state());
        let old = entry.is_older_than(warn_after_days);
        EntryRow { entry, waiting, state, old }
    }

    fn all(entries: Vec<Entry>, warn_after_days: u64) -> Vec<EntryRow> {
        entries.into_iter().map(|entry| EntryRow::of(entry, warn_after_days)).collect()
    }
}

impl Archive {
    /// The shape of an archive.
    pub fn of(app: String, entries: Vec<Entry>, warn_after_days: u64) -> Archive {
        let entries = EntryRow::all(entries, warn_after_days);
        Archive { format: "sternway.archive.list/1", app, warn_after_days, entries }
    }

    /// The entries, a line each.
    pub fn text(&self) -> String {
        if self.entries.is_empty() {
            return "the archive is empty".to_owned();
        }
        let heads = ["ID", "SINCE (UTC)", "RUN", "MIGRATION", "WHAT", "ROWS", "SIZE", "STATE"];
        let mut rows = vec![heads.map(str::to_owned).to_vec()];
        rows.extend(self.entries.iter().map(|EntryRow { entry, .. }| {
            vec![
                entry.id.to_string(),
                entry.since.clone(),
                entry.run.map_or("-".to_owned(), |run| run.to_string()),
                migration(entry),
                entry.lost.to_string(),
                entry.rows.to_string(),
                size(entry.bytes),
                state(entry),
            ]
        }));
        table(&rows)
    }
}

impl Shown {
    /// The shape of an entry with its first rows.
    pub fn of(entry: Entry, page: Page, warn_after_days: u64) -> Shown {
        let entry = EntryRow::of(entry, warn_after_days);
        Shown { format: "sternway.archive.show/1", entry, page }
    }
}

impl Exported {
    /// The shape of an entry of which so much was written to `file`.
    pub fn of(entry: Entry, file: String, rows: u64, bytes: u64) -> Exported {
        let Entry { id, lost, .. } = entry;
        Exported { format: "sternway.archive.export/1", id, lost, file, rows, bytes }
    }
}

impl RestoredEntry {
    /// The shape of a restored entry.
    pub fn of(restored: Restoration) -> RestoredEntry {
        let Restoration { id, lost, restored } = restored;
        RestoredEntry { format: "sternway.archive.restore/1", id, lost, restored }
    }
}

impl RestoredEntries {
    /// The shape of restored entries.
    pub fn of(restored: Vec<Restoration>) -> RestoredEntries {
        RestoredEntries { format: "sternway.archive.restore.waiting/1", restored }
    }
}

impl Dropped {
    /// The shape of entries that were dropped.
    pub fn of(entries: Vec<Entry>, warn_after_days: u64) -> Dropped {
        let dropped = EntryRow::all(entries, warn_after_days);
        Dropped { format: "sternway.archive.drop/1", dropped }
    }
}

/// The half of a migration that would have taken an entry away.
fn migration(entry: &Entry) -> String {
    format!("{} {} {}", entry.track, entry.version, entry.direction)
}

/// What became of an entry, in a few words.
fn state(entry: &Entry) -> String {
    match (&entry.restored, entry.state()) {
        (_, EntryState::Waiting) | (None, _) => "waiting".to_owned(),
        (_, EntryState::Restored) => "put back".to_owned(),
        (Some(restored), EntryState::Partly) => {
            let reasons = restored.conflicts.iter();
            let reasons: Vec<String> =
                reasons.map(|it| format!("{} ({})", it.reason, it.rows)).collect();
            let but = if restored.back > 0 { "put back but" } else { "left" };
            format!("{but} {}: {}", restored.left(), reasons.join(", "))
        }
    }
}

/// One entry with its first rows.
pub fn show(paint: Paint, entry: &Entry, page: &Page) -> String {
    let mut text = paint.strong(&format!("entry {}: {}", entry.id, entry.lost));
    let run = entry.run.map_or(String::new(), |run| format!(" in run {run}"));
    let (rows, bytes) = (counted(entry.rows, "row"), size(entry.bytes));
    let since = &entry.since;
    text.push_str(&format!("\nkept since {since} (UTC){run}, before {}\n", migration(entry)));
    text.push_str(&format!("{rows}, {bytes} now: {}\n", state(entry)));
    for conflict in entry.restored.iter().flat_map(|it| &it.conflicts) {
        text.push_str(&format!("{}\n", paint.alarm(&conflict.to_string())));
    }
    let columns = page.columns.iter().zip(&page.types);
    let columns: Vec<String> = columns.map(|(name, kind)| format!("{name} {kind}")).collect();
    text.push_str(&format!("columns: {}\n", columns.join(", ")));
    if !page.rows.is_empty() {
        let mut rows = vec![page.columns.clone()];
        rows.extend(page.rows.iter().map(|row| row.iter().map(cell).collect()));
        text.push_str(&format!("\n{}", table(&rows)));
        let (shown, there) = (page.rows.len() as u64, entry.waiting());
        if shown < there {
            text.push_str(&format!("… and {} more; --limit shows more\n", there - shown));
        }
    }
    text
}

/// A value as a line has room for it. A null has no quotes, a text that reads `NULL` does.
fn cell(value: &Option<String>) -> String {
    let Some(value) = value else { return "NULL".to_owned() };
    let mut text: String = value.chars().take(WIDTH).flat_map(char::escape_debug).collect();
    // Only what would break the table is escaped.
    text = text.replace("\\'", "'").replace("\\\"", "\"");
    if value.chars().count() > WIDTH {
        text.push('…');
    }
    if text.is_empty() || text == "NULL" { format!("\"{text}\"") } else { text }
}

/// What is asked before an entry is restored.
pub fn restore_question(entry: &Entry) -> String {
    format!("Put {} of {} back?", counted(entry.waiting(), "row"), entry.lost)
}

/// What is asked before entries are restored.
pub fn restore_all_question(entries: &[Entry]) -> String {
    let each = |entry: &Entry| format!("{} of {}", counted(entry.waiting(), "row"), entry.lost);
    let each: Vec<String> = entries.iter().map(each).collect();
    format!("Put back {}, as far as they fit?", each.join("; "))
}

/// What became of entries that were restored.
pub fn all_restored(paint: Paint, all: &[Restoration]) -> String {
    if all.is_empty() {
        return "nothing waits in the archive whose migration is applied again".to_owned();
    }
    all.iter().map(|it| restored(paint, it)).collect()
}

/// What became of an entry that was restored.
pub fn restored(paint: Paint, restored: &Restoration) -> String {
    let Restoration { lost, restored, .. } = restored;
    let are = if restored.back == 1 { "is" } else { "are" };
    let back = paint.good(&format!("{} {are} back", counted(restored.back, "row")));
    let mut text = format!("{lost}: {back}\n");
    for conflict in &restored.conflicts {
        let (rows, reason) = (counted(conflict.rows, "row"), &conflict.reason);
        let left = paint.alarm(&format!("{rows} left in the archive: {reason}"));
        text.push_str(&format!("{left}\n"));
    }
    text
}

/// What is asked before entries go: what is lost with them, in numbers.
pub fn drop_question(entries: &[Entry]) -> String {
    let waiting: Vec<&Entry> = entries.iter().filter(|entry| entry.waiting() > 0).collect();
    let go = format!("Drop {}?", plural(entries.len(), "entry", "entries"));
    if waiting.is_empty() {
        return format!("Every row is back where it was. {go}");
    }
    let lost: Vec<String> = waiting.iter().map(|entry| account(entry)).collect();
    format!("LOST for good, and nowhere else: {}. {go}", lost.join("; "))
}

/// Entries that were dropped, a line each.
pub fn dropped(entries: &[Entry]) -> String {
    if entries.is_empty() {
        return "no entry of the archive is meant; nothing is dropped".to_owned();
    }
    entries.iter().map(|entry| format!("dropped: {}\n", account(entry))).collect()
}

/// An entry in numbers.
fn account(entry: &Entry) -> String {
    let waiting = counted(entry.waiting(), "row");
    format!("{} ({waiting} in the archive alone, {})", entry.lost, size(entry.bytes))
}

/// Tells of entries that are older than the settings like, where there are any. Age never drops
/// anything.
pub fn warning<'a>(
    entries: impl IntoIterator<Item = &'a Entry>,
    warn_after_days: u64,
) -> Option<String> {
    let old = entries.into_iter().filter(|entry| entry.is_older_than(warn_after_days));
    let old: Vec<&Entry> = old.collect();
    let oldest = old.first()?;
    let rows = old.iter().map(|entry| entry.waiting()).sum();
    let bytes = old.iter().map(|entry| entry.bytes).sum();
    Some(format!(
        "warning: the archive has kept {} for more than {}, the oldest since {}: {} nowhere else, {}. `sternway archive list` shows them, `sternway archive drop --older-than {warn_after_days}` lets them go",
        plural(old.len(), "entry", "entries"),
        counted(warn_after_days, "day"),
        oldest.since,
        counted(rows, "row"),
        size(bytes),
    ))
}

#[cfg(test)]
mod tests;
