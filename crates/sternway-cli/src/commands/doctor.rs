//! `sternway doctor`

use std::time::{Duration, Instant};

use sternway_database::{Database, Dialect, Orphan};
use sternway_engine::doctor::{
    Diagnosis, Doubt, Examined, Exit as WayOut, Rows, Stays, Told, Way, examine, go,
};
use sternway_model::catalog::Enabled;
use sternway_model::state::{Position, TrackState};

use super::fence;
use super::status::{Stuff, chain, fingerprint, force};
use super::unfinished;
use crate::args::{DoctorArgs, Shared};
use crate::failure::{Exit, Failure};
use crate::output::{Doctor, DoubtRow, ExitRow, PatientRow};
use crate::ui::Ui;
use crate::wiring::{Known, Setup};

/// How long to wait before looking for orphans again.
const PAUSE: Duration = Duration::from_millis(200);

pub async fn doctor(ui: &Ui, shared: &Shared, args: &DoctorArgs) -> Result<Exit, Failure> {
    let way = chosen(args)?;
    let setup = Setup::new(ui, shared)?;
    let mut database = setup.connect().await?;
    // Its journal tells more than the schema does.
    match way.is_some() || args.lower_fence {
        true if !args.abandon => unfinished::none(&setup, &mut *database, false).await?,
        _ => unfinished::told(&setup, &mut *database).await?,
    }
    let mut known = setup.know(&mut *database).await?;
    let stuff = Stuff::newest(&known, &rows(&known));
    let (met, orphans) = orphans(&setup, args, &stuff, &mut *database).await?;
    let mut result = Doctor {
        format: "sternway.doctor/1",
        app: known.catalog.app.clone(),
        database: known.state.identity.clone(),
        orphans: orphans.iter().map(|it| it.session.to_string()).collect(),
        tracks: Vec::new(),
        fences: Vec::new(),
        did: None,
    };
    if !orphans.is_empty() {
        ui.say(of_orphans(&orphans).trim_end());
        ui.json(&result);
        return Ok(Exit::Locked);
    }
    result.fences = fence::forgotten(&setup, &mut *database).await?;
    if args.lower_fence {
        return lower_fence(&setup, args, &stuff, &mut *database, result).await;
    }
    for fence in &result.fences {
        ui.say(format!("{} {fence}", ui.strong("a fence stands:")));
        ui.say("  --lower-fence: take it away; the application may write again");
    }
    if met {
        // What they did is part of what there is now.
        known = setup.know(&mut *database).await?;
    }
    let rows = rows(&known);
    let stuff = Stuff::newest(&known, &rows);
    let found = fingerprint(&mut *database, &stuff.tables).await?;
    let told = Told { file: args.file.clone(), took: args.took };
    let (dialect, schema) = (setup.dialect(), known.state.identity.schema.clone());
    let examined = examine(&known.shadow, &stuff.material(&schema), &rows, &found, &told).await;
    let diagnoses = examined.map_err(|error| {
        let failure = Failure::new(format!("cannot examine the database: {}", chain(error)), Exit::Refused);
        failure.hint("nothing was touched. Where an extension is lacking, --rehearsal names a server that has it")
    })?;
    for diagnosis in &diagnoses {
        ui.say(text(ui, (dialect, &schema), diagnosis).trim_end());
    }
    result.tracks = diagnoses.iter().map(|it| patient((dialect, &schema), it)).collect();
    let Some((way, to)) = way else {
        ui.json(&result);
        return Ok(match standing(&diagnoses) {
            Exit::Done if !result.fences.is_empty() => Exit::Drift,
            exit => exit,
        });
    };
    let (diagnosis, exit) = pick(&diagnoses, args, way, to)?;
    if !exit.unkept.is_empty() && !args.discard {
        let text =
            format!("{} would destroy {}, and cannot keep it", option(way), exit.unkept.join(", "));
        let failure = Failure::new(text, Exit::Refused);
        return Err(failure.hint("nothing was touched. Some of these statements cannot run in a transaction: run them by hand as listed above, with a copy of what they take, or let it go with --discard"));
    }
    ui.confirm(&question(diagnosis, exit), args.yes)?;
    unfinished::none(&setup, &mut *database, args.abandon).await?;
    let app = &known.catalog.app;
    let discard = args.discard;
    let examined = Examined { app, tables: &stuff.tables, found: &found, discard };
    let went = go(exit, diagnosis, examined, &mut *database, setup.lock_timeout()).await;
    let done = went.map_err(Failure::to_mend)?;
    // What a killed run left standing has nothing to keep others from any more.
    fence::take_away(ui, &mut *database, app, &stuff.tables).await;
    for kept in &done.kept {
        ui.say(format!("kept in the archive: {} rows of {}", kept.rows, kept.lost));
    }
    for back in &done.put_back {
        ui.say(format!("put back from the archive: {} rows of {}", back.restored.back, back.lost));
    }
    let says = format!("track `{}`: the row says {}", diagnosis.track, place(exit.to));
    ui.say(format!("{}; `sternway status` compares the schema", ui.good(&says)));
    result.did = Some(word(exit.way));
    ui.json(&result);
    Ok(Exit::Done)
}

/// The way that was typed.
fn chosen(args: &DoctorArgs) -> Result<Option<(Way, Option<u64>)>, Failure> {
    Ok(match &args.set_row {
        _ if args.finish => Some((Way::Finish, None)),
        _ if args.undo => Some((Way::Undo, None)),
        None => None,
        Some(text) if text == "nil" => Some((Way::SetRow, None)),
        Some(text) => {
            let number = text.parse();
            let number = number.map_err(|error: std::num::ParseIntError| {
                Failure::usage(format!("--set-row {text} is no number, and not nil"), error)
            })?;
            Some((Way::SetRow, Some(number)))
        }
    })
}

/// Takes away what a run left standing.
async fn lower_fence(
    setup: &Setup<'_>,
    args: &DoctorArgs,
    stuff: &Stuff,
    database: &mut dyn Database,
    mut result: Doctor,
) -> Result<Exit, Failure> {
    let ui = setup.ui;
    if result.fences.is_empty() {
        let failure = Failure::new("no fence stands", Exit::Refused);
        return Err(failure.hint("`sternway status` tells of one that a run has left"));
    }
    ui.confirm(&format!("Take away the fence ({})?", result.fences.join("; ")), args.yes)?;
    unfinished::none(setup, database, args.abandon).await?;
    fence::take_away(ui, database, &result.app, &stuff.tables).await;
    result.fences = fence::forgotten(setup, database).await?;
    result.did = Some("lower_fence");
    ui.json(&result);
    Ok(match result.fences.as_slice() {
        [] => Exit::Done,
        _ => Exit::Failed,
    })
}

/// The rows of the tracks that take part.
fn rows(known: &Known) -> Rows {
    let tracks = known.catalog.tracks.iter().filter(|it| it.enabled != Enabled::Never);
    let rows = tracks.map(|track| {
        let state = known.state.tracks.get(&track.name).copied().unwrap_or(TrackState::NoTable);
        (track, state.position())
    });
    let on =
        rows.filter(|(track, row)| track.enabled == Enabled::Always || *row != Position::default());
    on.map(|(track, row)| (track.name.clone(), row)).collect()
}

/// Waits for the sessions that a migrator left behind, or ends them. Returns whether there were any,
/// and those that are still there.
async fn orphans(
    setup: &Setup<'_>,
    args: &DoctorArgs,
    stuff: &Stuff,
    database: &mut dyn Database,
) -> Result<(bool, Vec<Orphan>), Failure> {
    let bodies: Vec<&str> = stuff.bodies.values().map(String::as_str).collect();
    let ask = "cannot look for sessions that a migrator left behind";
    let start = Instant::now();
    let mut met = false;
    loop {
        let found = database.orphans(&stuff.tables, &bodies).await;
        let found = found.map_err(|cause| Failure::to_ask(ask, cause))?;
        if found.is_empty() || start.elapsed() >= setup.lock_timeout() {
            return Ok((met, found));
        }
        if !met {
            for orphan in &found {
                let doing = if args.end_orphans { "ending" } else { "waiting for" };
                setup.ui.note(format!("{doing} {}", orphan.session));
            }
        }
        met = true;
        if args.end_orphans {
            let ended = database.end_found_orphans(&found).await;
            ended.map_err(|cause| Failure::to_ask("cannot end such a session", cause))?;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn of_orphans(orphans: &[Orphan]) -> String {
    let mut text = "A migrator is at work, or has left these sessions behind:\n".to_owned();
    for Orphan { session, locks, migrates, .. } in orphans {
        let does = match (locks, migrates) {
            (true, true) => "it holds the migrators' locks and is at a migration",
            (true, false) => "it holds the migrators' locks",
            (false, _) => "it is at a migration",
        };
        text.push_str(&format!("  {session}\n    {does}\n"));
    }
    text.push_str("What it has not committed may yet be done or taken back, so nothing was examined. Wait for it\n\
        with --lock-timeout SECONDS; if its client is gone, --end-orphans ends it.\n");
    text
}

/// What the process ends with where nothing was done.
fn standing(diagnoses: &[Diagnosis]) -> Exit {
    if diagnoses.iter().any(|it| it.row.dirty) {
        Exit::Dirty
    } else if diagnoses.iter().all(Diagnosis::is_well) {
        Exit::Done
    } else {
        Exit::Drift
    }
}

/// The one way out that was meant.
fn pick<'a>(
    diagnoses: &'a [Diagnosis],
    args: &DoctorArgs,
    way: Way,
    to: Option<u64>,
) -> Result<(&'a Diagnosis, &'a WayOut), Failure> {
    let meant = diagnoses.iter().filter(|it| args.of.as_ref().is_none_or(|of| *of == it.track));
    let exits =
        meant.flat_map(|diagnosis| diagnosis.exits.iter().map(move |exit| (diagnosis, exit)));
    let is = |exit: &WayOut| exit.way == way && (way != Way::SetRow || exit.to == to);
    let exits: Vec<_> = exits.filter(|(_, exit)| is(exit)).collect();
    match exits.as_slice() {
        [one] => Ok(*one),
        [] => {
            let text = format!("there is nothing here that could be done by {}", option(way));
            let failure = Failure::new(text, Exit::Refused);
            Err(failure.hint("nothing was touched; what can be done is listed above. Where the schema does not tell, --file and --took say what you know"))
        }
        _ => {
            let text = format!("{} may mean several things", option(way));
            let failure = Failure::new(text, Exit::Refused);
            Err(failure.hint(
                "nothing was touched; --of names the track, --file the file that was under way",
            ))
        }
    }
}

fn option(way: Way) -> &'static str {
    match way {
        Way::Finish => "--finish",
        Way::Undo => "--undo",
        Way::SetRow => "--set-row with this number",
    }
}

fn word(way: Way) -> &'static str {
    match way {
        Way::Finish => "finish",
        Way::Undo => "undo",
        Way::SetRow => "set_row",
    }
}

fn question(diagnosis: &Diagnosis, exit: &WayOut) -> String {
    let (track, to) = (&diagnosis.track, place(exit.to));
    match exit.sql.is_empty() {
        true => format!("Make the row of track `{track}` say {to}?"),
        false => format!("Run these statements, and make the row of track `{track}` say {to}?"),
    }
}

/// A position, in words.
pub fn place(at: Option<u64>) -> String {
    at.map_or("nothing".to_owned(), |at| at.to_string())
}

fn text(ui: &Ui, schema: (Dialect, &str), diagnosis: &Diagnosis) -> String {
    let Diagnosis { track, row, fits, .. } = diagnosis;
    let all: Vec<String> = fits.iter().map(|at| place(*at)).collect();
    let schema_of = match all.as_slice() {
        [] => "the schema is that of no migration".to_owned(),
        all => format!("the schema is that of {}", all.join(" or ")),
    };
    let mut text = ui.strong(&format!("track {track}: the row says {row}; {schema_of}"));
    text.push('\n');
    if diagnosis.is_well() {
        let why = match diagnosis.by_downs {
            true => "  all is well: the application's own down migrations leave that schema\n",
            false => "  all is well\n",
        };
        text.push_str(why);
    } else if !row.dirty && fits.is_empty() {
        text.push_str("  this is no matter of the row: `sternway status` lists what differs\n");
    }
    for doubt in &diagnosis.doubts {
        text.push_str(&format!("  `{}` may have been under way: {}\n", doubt.file, came_to(doubt)));
        for index in &doubt.invalid {
            text.push_str(&format!(
                "    index {index} was not finished and is invalid: nothing uses it\n"
            ));
        }
        match doubt.stays {
            Some(Stays::IsWhole) => {
                text.push_str("    it is not undone here: `sternway rollback` does that, and keeps the data\n");
            }
            Some(Stays::NoWayBack) => {
                text.push_str(
                    "    it cannot be undone: the other file does not lead back from there\n",
                );
            }
            None => {}
        }
    }
    for exit in &diagnosis.exits {
        let to = place(exit.to);
        let head = match exit.way {
            Way::Finish if exit.sql.is_empty() => {
                format!("--finish: `{}` is done; say so", exit.file)
            }
            Way::Finish => {
                format!("--finish: run what is left of `{}`, which leads to {to}", exit.file)
            }
            Way::Undo if exit.sql.is_empty() => {
                format!("--undo: nothing of `{}` is there; say so, with {to}", exit.file)
            }
            Way::Undo => {
                format!("--undo: take back what is there of `{}`, which leads to {to}", exit.file)
            }
            Way::SetRow => {
                let nil = exit.to.map_or("nil".to_owned(), |to| to.to_string());
                format!("--set-row {nil}: write what the schema is")
            }
        };
        text.push_str(&format!("  {head}\n"));
        for line in sql(schema, diagnosis, exit).lines() {
            text.push_str(&format!("      {line}\n"));
        }
        if !exit.unkept.is_empty() {
            let lost = exit.unkept.join(", ");
            text.push_str(&format!("    {} {lost}, which cannot be kept\n", ui.alarm("destroys")));
        }
    }
    text
}

/// How far a body came, as far as the schema tells.
fn came_to(doubt: &Doubt) -> String {
    let all = doubt.parts.len();
    let count = |took: usize| match took {
        0 => "nothing of it".to_owned(),
        took if took == all => "all of it".to_owned(),
        took => format!("{took} of its {all} parts"),
    };
    match doubt.took.as_slice() {
        [] => "the schema is none that it leads through".to_owned(),
        [one] => format!("{} took effect", count(*one)),
        several => {
            let several: Vec<String> = several.iter().map(|took| count(*took)).collect();
            let silent: Vec<String> = doubt.silent.iter().map(usize::to_string).collect();
            format!(
                "{} took effect; the schema does not tell which, because part {} changes data alone. Look at the data, and say it with --file {} --took COUNT",
                several.join(" or "),
                silent.join(", "),
                doubt.file
            )
        }
    }
}

/// All that a way out does, as SQL.
fn sql((dialect, schema): (Dialect, &str), diagnosis: &Diagnosis, exit: &WayOut) -> String {
    let mut sql = exit.sql.trim_end().to_owned();
    if !sql.is_empty() {
        sql.push('\n');
    }
    let is_there = diagnosis.row != Position::default();
    let force = |to| {
        let sql = force(schema, &diagnosis.table, to);
        // Other names than those of the row are not in it.
        if dialect == Dialect::MySql { sql.replace('"', "`") } else { sql }
    };
    match (exit.to, is_there) {
        (Some(to), false) => {
            let table = force(None);
            let table = table.trim_start_matches("DELETE FROM ").trim_end_matches(';');
            sql + &format!("INSERT INTO {table} (version, dirty) VALUES ({to}, false);")
        }
        (to, _) => sql + &force(to),
    }
}

fn patient(schema: (Dialect, &str), diagnosis: &Diagnosis) -> PatientRow {
    let doubt = |it: &Doubt| DoubtRow {
        file: it.file.clone(),
        version: it.version,
        direction: it.direction,
        parts: it.parts.len(),
        at_once: it.at_once,
        took: it.took.clone(),
        silent: it.silent.clone(),
        invalid_indexes: it.invalid.clone(),
        undone: it.undone,
        done: it.done,
    };
    let exit = |it: &WayOut| ExitRow {
        exit: word(it.way),
        file: it.file.clone(),
        to: it.to,
        unkept: it.unkept.clone(),
        sql: sql(schema, diagnosis, it),
    };
    PatientRow {
        track: diagnosis.track.clone(),
        table: diagnosis.table.clone(),
        version: diagnosis.row.version,
        dirty: diagnosis.row.dirty,
        well: diagnosis.is_well(),
        fits: diagnosis.fits.clone(),
        doubts: diagnosis.doubts.iter().map(doubt).collect(),
        exits: diagnosis.exits.iter().map(exit).collect(),
    }
}
