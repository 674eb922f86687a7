//! The checks of the settings, asked before and after a journey, and what mends what they find.

use sternway_database::Database;
use sternway_engine::doctor::{self, Diagnosis, Examined, Exit as WayOut, Way};
use sternway_model::catalog::{Direction, Half};
use sternway_model::plan::Plan;

use super::status::fingerprint;
use crate::config::{Check, Severity, When};
use crate::failure::{Exit, Failure};
use crate::output::CheckRow;
use crate::ui::Ui;
use crate::wiring::Setup;

/// How many of the rows that are to blame are listed.
const MOST: usize = 20;

/// Asks what has to be so before a journey, and refuses it where it is not.
pub async fn before(
    setup: &Setup<'_>,
    plan: &Plan,
    database: &mut dyn Database,
) -> Result<(), Failure> {
    let mut refused = Vec::new();
    for check in setup.config.checks.iter().filter(|it| it.at == When::Before) {
        let Some(row) = ask(check, plan, database).await? else { continue };
        if row.holds {
            continue;
        }
        setup.ui.note(text(setup.ui, &row).trim_end());
        if check.severity == Severity::Refuse {
            refused.push(row.message);
        }
    }
    if refused.is_empty() {
        return Ok(());
    }
    let failure = Failure::new(refused.join("; "), Exit::Refused);
    Err(failure
        .hint("nothing was touched; a [[check]] of the settings asks for it before a journey"))
}

/// Asks what has to be so after a journey, and runs again what mends it, where that is wanted.
pub async fn after(
    setup: &Setup<'_>,
    plan: &Plan,
    database: &mut dyn Database,
    again: bool,
) -> Result<Vec<CheckRow>, Failure> {
    let mut rows = Vec::new();
    for check in setup.config.checks.iter().filter(|it| it.at == When::After) {
        let Some(mut row) = ask(check, plan, database).await? else { continue };
        if let (false, true, Some(half)) = (row.holds, again, offered(check, plan)) {
            run_again(setup, plan, check, half, database).await?;
            setup.ui.say(format!("{} ran again", half.file));
            let ran_again = true;
            row = CheckRow { ran_again, ..ask(check, plan, database).await?.unwrap_or(row) };
        }
        rows.push(row);
    }
    Ok(rows)
}

/// Tells what the checks found, and what mends it; what the process ends with is the worst of it.
pub fn told(ui: &Ui, rows: &[CheckRow], exit: Exit) -> Exit {
    for row in rows.iter().filter(|row| !row.holds) {
        ui.say(text(ui, row).trim_end());
    }
    if rows.iter().any(|row| !row.holds && row.severity == "refuse") { Exit::Failed } else { exit }
}

/// Asks one check; `None` where its migration is not applied, and the question has no meaning.
async fn ask(
    check: &Check,
    plan: &Plan,
    database: &mut dyn Database,
) -> Result<Option<CheckRow>, Failure> {
    let failed = |cause| Failure::to_ask(&format!("cannot check whether {}", check.message), cause);
    if let Some((track, version)) = &check.migration {
        let Some((_, table)) = plan.tracks.iter().find(|(name, _)| name == track) else {
            return Ok(None);
        };
        let at = database.track(table).await.map_err(failed)?.position().version;
        if at.is_none_or(|at| at < *version) {
            return Ok(None);
        }
    }
    let answers = database.answers(&check.sql, 1).await.map_err(failed)?;
    let answer = answers.into_iter().next().flatten().unwrap_or_default();
    let holds = ["true", "1"].contains(&answer.as_str());
    let mut rows = Vec::new();
    if let (false, Some(query)) = (holds, &check.rows) {
        let found = database.answers(query, MOST + 1).await.map_err(failed)?;
        rows = found.into_iter().map(|it| it.unwrap_or_else(|| "null".to_owned())).collect();
    }
    let severity = match check.severity {
        Severity::Refuse => "refuse",
        Severity::Warn => "warn",
    };
    let more = rows.len() > MOST;
    rows.truncate(MOST);
    let again = offered(check, plan).filter(|_| !holds).map(|half| half.file.clone());
    let message = check.message.clone();
    Ok(Some(CheckRow { message, severity, holds, rows, more, again, ran_again: false }))
}

/// The half that may be run again.
fn offered<'a>(check: &Check, plan: &'a Plan) -> Option<&'a Half> {
    let (track, version) = check.migration.as_ref().filter(|_| check.again)?;
    let migration = plan.migrations.get(track)?.iter().find(|it| it.version == *version)?;
    migration.up.as_ref().filter(|half| plan.bodies.contains_key(&half.hash))
}

/// Runs an up half again, as the doctor runs what is left of one: under the locks, in front of a
/// database that is as it was, and with what it overwrites kept in the archive.
async fn run_again(
    setup: &Setup<'_>,
    plan: &Plan,
    check: &Check,
    half: &Half,
    database: &mut dyn Database,
) -> Result<(), Failure> {
    let Some((track, version)) = &check.migration else { return Ok(()) };
    let (Some((_, table)), Some(body)) =
        (plan.tracks.iter().find(|(name, _)| name == track), plan.bodies.get(&half.hash))
    else {
        return Ok(());
    };
    let attempt = format!("cannot run {} again", half.file);
    let row = database.track(table).await.map_err(|cause| Failure::to_ask(&attempt, cause))?;
    let found = fingerprint(database, &plan.tables).await?;
    let diagnosis = Diagnosis {
        track: track.clone(),
        table: table.clone(),
        row: row.position(),
        fits: Vec::new(),
        by_downs: false,
        doubts: Vec::new(),
        exits: Vec::new(),
    };
    let exit = WayOut {
        way: Way::Finish,
        file: half.file.clone(),
        version: *version,
        direction: Direction::Up,
        sql: body.clone(),
        to: row.position().version,
        unkept: Vec::new(),
    };
    let discard = false;
    let examined = Examined { app: &plan.app, tables: &plan.tables, found: &found, discard };
    let went = doctor::go(&exit, &diagnosis, examined, database, setup.lock_timeout()).await;
    let arrived = "the journey has arrived, and stands";
    let done = went.map_err(|cause| Failure::of(attempt.clone(), cause).hint(arrived))?;
    for kept in &done.kept {
        setup.ui.say(format!("kept in the archive: {} rows of {}", kept.rows, kept.lost));
    }
    if fingerprint(database, &plan.tables).await?.objects == found.objects {
        return Ok(());
    }
    let failure =
        Failure::new(format!("{} has changed the schema, run again", half.file), Exit::Drift);
    Err(failure.hint("`sternway status` shows how; take `again` out of that [[check]]"))
}

/// What a check found, for people.
fn text(ui: &Ui, row: &CheckRow) -> String {
    let mut text = format!("{} {}\n", ui.alarm("check:"), row.message);
    for row in &row.rows {
        text.push_str(&format!("  {row}\n"));
    }
    if row.more {
        text.push_str("  and more\n");
    }
    match &row.again {
        Some(file) if row.ran_again => {
            text.push_str(&format!("  {file} ran again, and leaves these as they are\n"));
        }
        Some(file) => text.push_str(&format!("  {file} can run again for these: --again\n")),
        None => {}
    }
    text
}
