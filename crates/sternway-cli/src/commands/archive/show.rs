//! `sternway archive show`

use sternway_model::effect::{counted, size};

use super::{entry, migration, state};
use crate::args::ShowArgs;
use crate::failure::{Exit, Failure};
use crate::output::{ArchiveRow, Shown};
use crate::ui::table;
use crate::wiring::Setup;

/// How much of a value is shown.
const WIDTH: usize = 40;

pub async fn show(setup: &Setup<'_>, args: &ShowArgs) -> Result<Exit, Failure> {
    let ui = setup.ui;
    let mut database = setup.connect().await?;
    let entry = entry(setup, &mut *database, args.id).await?;
    let page = database.archived(entry.id, 0, args.limit).await;
    let page = page.map_err(|cause| Failure::to_ask("cannot read the entry", cause))?;

    ui.say(ui.strong(&format!("entry {}: {}", entry.id, entry.lost)));
    let run = entry.run.map_or(String::new(), |run| format!(" in run {run}"));
    let (rows, bytes) = (counted(entry.rows, "row"), size(entry.bytes));
    ui.say(format!("kept since {} (UTC){run}, before {}", entry.since, migration(&entry)));
    ui.say(format!("{rows}, {bytes} now: {}", state(&entry)));
    for misfit in entry.restored.iter().flat_map(|it| &it.misfits) {
        ui.say(ui.alarm(&misfit.to_string()));
    }
    let columns = page.columns.iter().zip(&page.types);
    let columns: Vec<String> = columns.map(|(name, kind)| format!("{name} {kind}")).collect();
    ui.say(format!("columns: {}", columns.join(", ")));
    if !page.rows.is_empty() {
        let mut rows = vec![page.columns.clone()];
        rows.extend(page.rows.iter().map(|row| row.iter().map(cell).collect()));
        ui.say(format!("\n{}", table(&rows).trim_end()));
        let (shown, there) = (page.rows.len() as u64, entry.waiting());
        if shown < there {
            ui.say(format!("… and {} more; --limit shows more", there - shown));
        }
    }
    let entry = ArchiveRow::of(entry, setup.config.warn_after_days);
    ui.json(&Shown { format: "sternway.archive.show/1", entry, page });
    Ok(Exit::Done)
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
