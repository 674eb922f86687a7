//! `sternway doctor`

use sternway_database::{Database, Orphan};
use sternway_engine::doctor::{
    Choice, Diagnosis, RepairKind, Reported, carry_out, examine_all, wait_for_orphans,
};
use sternway_engine::fence::take_away_forgotten;
use sternway_engine::identity::resolve;
use sternway_engine::observe::tables;
use sternway_engine::preflight;
use sternway_engine::status::forgotten_fences;
use sternway_model::plan;
use sternway_model::position::Position;
use sternway_view::doctor::{self as view, Doctor};
use sternway_view::status::Lacking;

use crate::args::{DoctorArgs, Shared};
use crate::failure::{Exit, Failure};
use crate::terminal::Terminal;
use crate::ui::Ui;
use crate::wiring::Setup;

pub async fn doctor(ui: &Ui, shared: &Shared, args: &DoctorArgs) -> Result<Exit, Failure> {
    let choice = chosen(args)?;
    let setup = Setup::new(ui, shared)?.found().await?;
    let mut database = setup.connect().await?;
    // Its journal tells more than the schema does.
    match choice.is_some() || args.lower_fence {
        true if !args.abandon => none_unfinished(&setup, &mut *database, false).await?,
        _ => note_unfinished(&setup, &mut *database).await?,
    }
    let shadow = setup.shadow();
    let mut known = setup.know(&mut *database).await?;
    let mut shape = Doctor::of(known.catalog.app.clone(), known.state.identity.clone());
    let mut report = |orphans: &[Orphan]| {
        for orphan in orphans {
            let doing = if args.end_orphans { "ending" } else { "waiting for" };
            ui.note(format!("{doing} {}", orphan.session));
        }
    };
    let (facts, timeout, end) = (known.facts(), setup.lock_timeout(), args.end_orphans);
    let waited = wait_for_orphans(&facts, &mut *database, timeout, end, &mut report).await?;
    if !waited.left.is_empty() {
        shape.orphans = waited.left.iter().map(|it| it.session.to_string()).collect();
        ui.show(|_| view::orphans(&waited.left), &shape);
        return Ok(Exit::Locked);
    }
    shape.fences = forgotten(&setup, &mut *database).await?;
    if args.lower_fence {
        return lower_fence(&setup, args, &mut *database, shape).await;
    }
    for fence in &shape.fences {
        ui.say(format!("{} {fence}", ui.strong("a fence stands:")));
        ui.say("  --lower-fence: take it away; the application may write again");
    }
    if waited.met {
        // What they did is part of what there is now.
        known = setup.know(&mut *database).await?;
    }
    resolve(&mut known, &shadow, &mut *database).await?;
    let reported = Reported { file: args.file.clone(), took: args.took };
    let examined = examine_all(&known.facts(), &shadow, &mut *database, &reported).await;
    let examined = examined.map_err(Failure::to_examine)?;
    shape.lacking = plan::standing(&known.facts()).map_or(Vec::new(), |it| Lacking::of(&it));
    for diagnosis in &examined.diagnoses {
        ui.say(view::text(ui.paint(), &examined, diagnosis, &shape.lacking).trim_end());
    }
    shape.tracks = view::tracks(&examined);
    let Some(choice) = choice else {
        ui.json(&shape);
        return Ok(match standing(&examined.diagnoses) {
            Exit::Done if !shape.fences.is_empty() || !shape.lacking.is_empty() => Exit::Drift,
            exit => exit,
        });
    };
    let meant = choice.among(&examined.diagnoses);
    let (diagnosis, repair) = meant.map_err(|cause| Failure::to_choose(choice.kind, cause))?;
    ui.confirm(&view::question(diagnosis, repair), args.yes)?;
    none_unfinished(&setup, &mut *database, args.abandon).await?;
    let of = examined.examined(args.discard);
    let done = carry_out(repair, diagnosis, of, &mut *database, setup.lock_timeout()).await;
    let done = done.map_err(Failure::to_mend)?;
    // What a killed run left standing has nothing to keep others from any more.
    take_away(&setup, &mut *database).await;
    shape.did = Some(view::word(repair.kind));
    ui.show(|paint| view::repaired(paint, diagnosis, repair, &done), &shape);
    Ok(Exit::Done)
}

/// The repair that was typed.
fn chosen(args: &DoctorArgs) -> Result<Option<Choice>, Failure> {
    let (kind, to) = match &args.set_row {
        _ if args.finish => (RepairKind::Finish, Position::Nothing),
        _ if args.undo => (RepairKind::Undo, Position::Nothing),
        None => return Ok(None),
        Some(text) if text == "nil" => (RepairKind::SetRow, Position::Nothing),
        Some(text) => {
            let number = text.parse();
            let number = number.map_err(|error: std::num::ParseIntError| {
                Failure::usage(format!("--set-row {text} is no number, and not nil"), error)
            })?;
            (RepairKind::SetRow, Position::At(number))
        }
    };
    Ok(Some(Choice { kind, to, track: args.of.clone(), discard: args.discard }))
}

/// Takes away what a run left standing.
async fn lower_fence(
    setup: &Setup<'_>,
    args: &DoctorArgs,
    database: &mut dyn Database,
    mut shape: Doctor,
) -> Result<Exit, Failure> {
    let ui = setup.ui;
    if shape.fences.is_empty() {
        let failure = Failure::new("no fence stands", Exit::Refused);
        return Err(failure.hint("`sternway status` tells of one that a run has left"));
    }
    ui.confirm(&format!("Take away the fence ({})?", shape.fences.join("; ")), args.yes)?;
    none_unfinished(setup, database, args.abandon).await?;
    take_away(setup, database).await;
    shape.fences = forgotten(setup, database).await?;
    shape.did = Some("lower_fence");
    ui.json(&shape);
    Ok(match shape.fences.as_slice() {
        [] => Exit::Done,
        _ => Exit::Failed,
    })
}

/// Refuses while a run is unfinished, or leaves that one as it is.
async fn none_unfinished(
    setup: &Setup<'_>,
    database: &mut dyn Database,
    abandon: bool,
) -> Result<(), Failure> {
    let (app, tables) = (&setup.config.layout.app, tables(&setup.config.layout.tracks));
    let (time, mut terminal) = (setup.lock_timeout(), Terminal::new(setup.ui));
    let none =
        preflight::none_unfinished(database, app, &tables, time, abandon, &mut terminal).await;
    none.map_err(Failure::to_preflight)
}

/// Tells of an unfinished run where nothing is about to be done.
async fn note_unfinished(setup: &Setup<'_>, database: &mut dyn Database) -> Result<(), Failure> {
    if let Some(found) = preflight::unfinished(database, &setup.config.layout.app).await? {
        let failure = Failure::unfinished(found);
        let (text, _, hint) = failure.parts();
        setup.ui.note(format!("note: {text}; {}", hint.unwrap_or_default()));
    }
    Ok(())
}

/// The fences that stand though nobody is at work, in words.
async fn forgotten(setup: &Setup<'_>, database: &mut dyn Database) -> Result<Vec<String>, Failure> {
    let (app, tables) = (&setup.config.layout.app, tables(&setup.config.layout.tracks));
    let fences = forgotten_fences(database, app, &tables).await?;
    Ok(sternway_view::status::fences(&fences))
}

/// Takes away what a run left standing; where somebody is at work, it may be his, and stays. A fence that
/// stays is only warned of: what was done is told before anything else.
async fn take_away(setup: &Setup<'_>, database: &mut dyn Database) {
    let (app, tables) = (&setup.config.layout.app, tables(&setup.config.layout.tracks));
    let mut terminal = Terminal::new(setup.ui);
    let taken = take_away_forgotten(database, app, &tables, &mut terminal).await;
    if let Err(cause) = taken {
        setup.ui.note(format!("warning: cannot take away the fence that a run left: {cause}"));
    }
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
