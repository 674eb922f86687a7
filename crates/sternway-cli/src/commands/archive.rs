//! `sternway archive`: what was kept of what migrations took away, and what becomes of it.

mod export;

use sternway_database::Database;
use sternway_engine::archive::{self as engine, Selection};
use sternway_engine::observe::tables;
use sternway_model::archive::Entry;
use sternway_view::archive as view;

use crate::args::{ArchiveArgs, ArchiveCommand, DropArgs, RestoreArgs, Shared, ShowArgs};
use crate::failure::{Exit, Failure};
use crate::ui::Ui;
use crate::wiring::Setup;

pub async fn archive(ui: &Ui, shared: &Shared, args: &ArchiveArgs) -> Result<Exit, Failure> {
    let setup = Setup::new(ui, shared)?.found().await?;
    match &args.command {
        ArchiveCommand::List => list(&setup).await,
        ArchiveCommand::Show(args) => show(&setup, args).await,
        ArchiveCommand::Export(args) => export::export(&setup, args).await,
        ArchiveCommand::Restore(args) => restore(&setup, args).await,
        ArchiveCommand::Drop(args) => drop_entries(&setup, args).await,
    }
}

async fn list(setup: &Setup<'_>) -> Result<Exit, Failure> {
    let (app, after) = (&setup.config.layout.app, setup.config.warn_after_days);
    let entries = engine::entries(&mut *setup.connect().await?, app).await?;
    let archive = view::Archive::of(app.clone(), entries, after);
    setup.ui.show(|_| archive.text(), &archive);
    warn_of(setup, archive.entries.iter().map(|row| &row.entry));
    Ok(Exit::Done)
}

async fn show(setup: &Setup<'_>, args: &ShowArgs) -> Result<Exit, Failure> {
    let mut database = setup.connect().await?;
    let entry = engine::entry(&mut *database, &setup.config.layout.app, args.id).await?;
    let page = engine::first_rows(&mut *database, entry.id, args.limit).await?;
    let text = view::show(setup.ui.paint(), &entry, &page);
    setup.ui.show(|_| text, &view::Shown::of(entry, page, setup.config.warn_after_days));
    Ok(Exit::Done)
}

async fn restore(setup: &Setup<'_>, args: &RestoreArgs) -> Result<Exit, Failure> {
    let Some(id) = args.id else { return restore_waiting(setup, args.yes).await };
    let ui = setup.ui;
    let mut database = setup.connect().await?;
    let attempt = "cannot put the entry back";
    let failed = |cause| Failure::to_change_archive(attempt, cause);
    let entry = engine::to_restore(&mut *database, &setup.config.layout.app, id).await;
    let entry = entry.map_err(failed)?;
    ui.confirm(&view::restore_question(&entry), args.yes)?;
    let (tables, timeout) = (tables(&setup.config.layout.tracks), setup.lock_timeout());
    let restored = engine::restore(&mut *database, entry.id, &tables, timeout).await;
    let restored = restored.map_err(failed)?;
    let text = view::restored(ui.paint(), &restored);
    ui.show(|_| text, &view::RestoredEntry::of(restored));
    Ok(Exit::Done)
}

async fn restore_waiting(setup: &Setup<'_>, yes: bool) -> Result<Exit, Failure> {
    let (ui, layout) = (setup.ui, &setup.config.layout);
    let mut database = setup.connect().await?;
    let waiting = engine::overdue_here(&mut *database, &layout.app, &layout.tracks).await?;
    let waiting: Vec<Entry> = waiting.into_iter().flatten().collect();
    let mut restored = Vec::new();
    if !waiting.is_empty() {
        ui.confirm(&view::restore_all_question(&waiting), yes)?;
        let timeout = setup.lock_timeout();
        let all = engine::restore_overdue(&mut *database, &layout.app, &layout.tracks, timeout);
        let failed = |cause| Failure::to_change_archive("cannot put what waits back", cause);
        restored = all.await.map_err(failed)?;
    }
    let text = view::all_restored(ui.paint(), &restored);
    ui.show(|_| text, &view::RestoredEntries::of(restored));
    Ok(Exit::Done)
}

async fn drop_entries(setup: &Setup<'_>, args: &DropArgs) -> Result<Exit, Failure> {
    let ui = setup.ui;
    let mut database = setup.connect().await?;
    let selection =
        Selection { ids: args.ids.clone(), restored: args.restored, older_than: args.older_than };
    let entries = engine::entries(&mut *database, &setup.config.layout.app).await?;
    let entries = selection.of(entries)?;
    if !entries.is_empty() {
        ui.confirm(&view::drop_question(&entries), args.yes)?;
        let (tables, timeout) = (tables(&setup.config.layout.tracks), setup.lock_timeout());
        let dropped = engine::drop_entries(&mut *database, &entries, &tables, timeout).await;
        dropped.map_err(|cause| Failure::to_change_archive("cannot drop the entries", cause))?;
    }
    let text = view::dropped(&entries);
    ui.show(|_| text, &view::Dropped::of(entries, setup.config.warn_after_days));
    Ok(Exit::Done)
}

/// Tells of entries that are older than the settings like.
pub async fn warn(setup: &Setup<'_>, database: &mut dyn Database) -> Result<(), Failure> {
    let entries = engine::entries(database, &setup.config.layout.app).await?;
    warn_of(setup, &entries);
    Ok(())
}

/// The same of entries that were read already.
pub fn warn_of<'a>(setup: &Setup<'_>, entries: impl IntoIterator<Item = &'a Entry>) {
    if let Some(warning) = view::warning(entries, setup.config.warn_after_days) {
        setup.ui.note(warning);
    }
}
