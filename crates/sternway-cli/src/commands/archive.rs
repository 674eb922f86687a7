//! `sternway archive`: what was kept of what migrations took away, and what becomes of it.

mod show;
mod export;
mod sql;

use sternway_database::{Database, DatabaseError, LockError};
use sternway_engine::observe::tables;
use sternway_model::archive::{Entry, EntryId, PutBack};
use sternway_model::effect::{counted, size};

use crate::args::{ArchiveArgs, ArchiveCommand, DropArgs, RestoreArgs, Shared};
use crate::failure::{Exit, Failure};
use crate::output::{Archive, ArchiveRow, Dropped, RestoredEntry, State};
use crate::ui::{Ui, table};
use crate::wiring::Setup;

/// The seconds of a day.
const DAY: f64 = 86_400.0;

pub async fn archive(ui: &Ui, shared: &Shared, args: &ArchiveArgs) -> Result<Exit, Failure> {
    let setup = Setup::new(ui, shared)?;
    match &args.command {
        ArchiveCommand::List => list(&setup).await,
        ArchiveCommand::Show(args) => show::show(&setup, args).await,
        ArchiveCommand::Export(args) => export::export(&setup, args).await,
        ArchiveCommand::Restore(args) => restore(&setup, args).await,
        ArchiveCommand::Drop(args) => drop_entries(&setup, args).await,
    }
}

async fn list(setup: &Setup<'_>) -> Result<Exit, Failure> {
    let ui = setup.ui;
    let mut database = setup.connect().await?;
    let entries = entries(setup, &mut *database).await?;
    if entries.is_empty() {
        ui.say("the archive is empty");
    } else {
        let heads = ["ID", "SINCE (UTC)", "RUN", "MIGRATION", "WHAT", "ROWS", "SIZE", "STATE"];
        let mut rows = vec![heads.map(str::to_owned).to_vec()];
        rows.extend(entries.iter().map(row));
        ui.say(table(&rows).trim_end());
    }
    let after = setup.config.warn_after_days;
    warn_of(setup, &entries);
    let rows = entries.into_iter().map(|entry| ArchiveRow::of(entry, after)).collect();
    let (format, app) = ("sternway.archive.list/1", setup.config.layout.app.clone());
    ui.json(&Archive { format, app, warn_after_days: after, entries: rows });
    Ok(Exit::Done)
}

fn row(entry: &Entry) -> Vec<String> {
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
}

/// The half of a migration that would have taken an entry away.
fn migration(entry: &Entry) -> String {
    format!("{} {} {}", entry.track, entry.version, entry.direction)
}

/// What became of an entry, in a few words.
fn state(entry: &Entry) -> String {
    match (&entry.restored, State::of(entry)) {
        (_, State::Waiting) | (None, _) => "waiting".to_owned(),
        (_, State::Back) => "put back".to_owned(),
        (Some(restored), State::Left) => {
            let reasons = restored.misfits.iter();
            let reasons: Vec<String> =
                reasons.map(|it| format!("{} ({})", it.reason, it.rows)).collect();
            format!("put back but {}: {}", restored.left(), reasons.join(", "))
        }
    }
}

async fn restore(setup: &Setup<'_>, args: &RestoreArgs) -> Result<Exit, Failure> {
    let ui = setup.ui;
    let mut database = setup.connect().await?;
    let entry = entry(setup, &mut *database, args.id).await?;
    if State::of(&entry) == State::Back {
        let text = format!("entry {} of the archive is back already", entry.id);
        return Err(
            Failure::new(text, Exit::Refused).hint("`sternway archive list` shows them all")
        );
    }
    let what = format!("{} of {}", counted(entry.waiting(), "row"), entry.lost);
    ui.confirm(&format!("Put {what} back?"), args.yes)?;
    lock(setup, &mut *database).await?;
    let restored = database.put_back(entry.id).await;
    let unlocked = database.unlock().await;
    let attempt = "cannot put the entry back";
    let PutBack { id, lost, restored } =
        restored.map_err(|cause| Failure::to_ask(attempt, cause))?;
    unlocked.map_err(|cause| Failure::to_ask(attempt, cause))?;
    ui.say(format!("{lost}: {}", ui.good(&format!("{} are back", counted(restored.back, "row")))));
    for misfit in &restored.misfits {
        let text =
            format!("{} left in the archive: {}", counted(misfit.rows, "row"), misfit.reason);
        ui.say(ui.alarm(&text));
    }
    let format = "sternway.archive.restore/1";
    ui.json(&RestoredEntry { format, id, lost, restored });
    Ok(Exit::Done)
}

async fn drop_entries(setup: &Setup<'_>, args: &DropArgs) -> Result<Exit, Failure> {
    let ui = setup.ui;
    let mut database = setup.connect().await?;
    let mut chosen = entries(setup, &mut *database).await?;
    for id in &args.ids {
        if !chosen.iter().any(|entry| entry.id == *id) {
            return Err(missing(*id));
        }
    }
    chosen.retain(|entry| {
        (args.ids.is_empty() || args.ids.contains(&entry.id))
            && (!args.restored || State::of(entry) == State::Back)
            && args.older_than.is_none_or(|days| is_older(entry, days))
    });
    if chosen.is_empty() {
        ui.say("no entry of the archive is meant; nothing is dropped");
    } else {
        ui.confirm(&farewell(&chosen), args.yes)?;
        lock(setup, &mut *database).await?;
        let forgotten = forget(&mut *database, &chosen).await;
        let unlocked = database.unlock().await;
        let attempt = "cannot drop the entries";
        forgotten.and(unlocked).map_err(|cause| Failure::to_ask(attempt, cause))?;
        for entry in &chosen {
            ui.say(format!("dropped: {}", account(entry)));
        }
    }
    let after = setup.config.warn_after_days;
    let dropped = chosen.into_iter().map(|entry| ArchiveRow::of(entry, after)).collect();
    ui.json(&Dropped { format: "sternway.archive.drop/1", dropped });
    Ok(Exit::Done)
}

async fn forget(database: &mut dyn Database, entries: &[Entry]) -> Result<(), DatabaseError> {
    for entry in entries {
        match database.forget(entry.id).await {
            // Somebody else has dropped it since.
            Ok(()) | Err(DatabaseError::NoEntry(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// What is asked before entries go: what is lost with them, in numbers.
fn farewell(entries: &[Entry]) -> String {
    let waiting: Vec<&Entry> = entries.iter().filter(|entry| entry.waiting() > 0).collect();
    let go = format!("Drop {}?", crate::ui::plural(entries.len(), "entry", "entries"));
    if waiting.is_empty() {
        return format!("Every row is back where it was. {go}");
    }
    let lost: Vec<String> = waiting.iter().map(|entry| account(entry)).collect();
    format!("LOST for good, and nowhere else: {}. {go}", lost.join("; "))
}

/// An entry in numbers.
fn account(entry: &Entry) -> String {
    let waiting = counted(entry.waiting(), "row");
    format!("{} ({waiting} in the archive alone, {})", entry.lost, size(entry.bytes))
}

/// Keeps runs away while an entry changes.
async fn lock(setup: &Setup<'_>, database: &mut dyn Database) -> Result<(), Failure> {
    let tables = tables(&setup.config.layout.tracks);
    database.lock(&tables, setup.lock_timeout()).await.map_err(|cause| match cause {
        LockError::Held(_) => Failure::locked("cannot change the archive", cause),
        LockError::Database(cause) => Failure::to_ask("cannot change the archive", cause),
    })
}

async fn entries(setup: &Setup<'_>, database: &mut dyn Database) -> Result<Vec<Entry>, Failure> {
    let entries = database.archive(&setup.config.layout.app).await;
    entries.map_err(|cause| Failure::to_ask("cannot read the archive", cause))
}

async fn entry(
    setup: &Setup<'_>,
    database: &mut dyn Database,
    id: EntryId,
) -> Result<Entry, Failure> {
    let found = entries(setup, database).await?.into_iter().find(|entry| entry.id == id);
    found.ok_or_else(|| missing(id))
}

fn missing(id: EntryId) -> Failure {
    Failure::to_ask("cannot look into the archive", DatabaseError::NoEntry(id))
}

/// Whether an entry has been kept for longer than this.
pub fn is_older(entry: &Entry, days: u64) -> bool {
    // A clock may stand still, or be set back: none is younger than nothing.
    days == 0 || entry.age > days as f64 * DAY
}

/// Tells of entries that are older than the settings like. Age never drops anything.
pub async fn warn(setup: &Setup<'_>, database: &mut dyn Database) -> Result<Vec<Entry>, Failure> {
    let entries = entries(setup, database).await?;
    warn_of(setup, &entries);
    Ok(entries)
}

fn warn_of(setup: &Setup<'_>, entries: &[Entry]) {
    let days = setup.config.warn_after_days;
    let old: Vec<&Entry> = entries.iter().filter(|entry| is_older(entry, days)).collect();
    let Some(oldest) = old.first() else { return };
    let rows = old.iter().map(|entry| entry.waiting()).sum();
    let bytes = old.iter().map(|entry| entry.bytes).sum();
    setup.ui.note(format!(
        "warning: the archive has kept {} for more than {}, the oldest since {}: {} that are nowhere else, {}. `sternway archive list` shows them, `sternway archive drop --older-than {days}` lets them go",
        crate::ui::plural(old.len(), "entry", "entries"),
        counted(days, "day"),
        oldest.since,
        counted(rows, "row"),
        size(bytes),
    ));
}
