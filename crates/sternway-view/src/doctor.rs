//! What is wrong with a database, and how to repair it.

use serde::Serialize;
use sternway_database::{Dialect, Done, Orphan};
use sternway_engine::doctor::{
    Diagnosis, Examination, InDoubt, Repair, RepairKind, Stays, statements,
};
use sternway_model::catalog::{Direction, TrackName};
use sternway_model::effect::counted;
use sternway_model::position::Position;
use sternway_model::state::Identity;

use crate::Paint;
use crate::status::Lacking;
use crate::words::positions;

/// `sternway.doctor/1`
#[derive(Debug, Serialize)]
pub struct Doctor {
    format: &'static str,
    /// The application.
    pub app: String,
    /// The database.
    pub database: Identity,
    /// Sessions that a migrator may have left behind. Nothing is examined while there are any.
    pub orphans: Vec<String>,
    /// The tracks that take part.
    pub tracks: Vec<TrackRow>,
    /// What a release has below the number of a tracking row and the database has not.
    pub lacking: Vec<Lacking>,
    /// The fences that a run left standing, in words.
    pub fences: Vec<String>,
    /// What was done: `finish`, `undo`, `set_row` or `lower_fence`.
    pub did: Option<&'static str>,
}

/// What was found out about one track.
#[derive(Debug, Serialize)]
pub struct TrackRow {
    /// Its name.
    pub track: TrackName,
    /// Its tracking table.
    pub table: String,
    /// What that says.
    pub version: Position,
    /// Whether it is marked dirty.
    pub dirty: bool,
    /// Whether the row says what the schema is.
    pub well: bool,
    /// The numbers whose clean install has the schema that was found.
    pub fits: Vec<Position>,
    /// The bodies that a dirty mark may mean.
    #[serde(rename = "doubts")]
    pub in_doubt: Vec<InDoubtRow>,
    /// What may be done.
    #[serde(rename = "exits")]
    pub repairs: Vec<RepairRow>,
}

/// A body that may have been under way.
#[derive(Debug, Serialize)]
pub struct InDoubtRow {
    /// Its file.
    pub file: String,
    /// Its migration.
    pub version: u64,
    /// Whether it is the up or the down half.
    pub direction: Direction,
    /// How many parts of it take effect by themselves.
    pub parts: usize,
    /// Whether it runs in one transaction.
    pub at_once: bool,
    /// After how many of its parts the schema is the one that was found.
    pub took: Vec<usize>,
    /// The parts, from 1, that leave the schema as it is.
    pub silent: Vec<usize>,
    /// Indexes that it left invalid.
    pub invalid_indexes: Vec<String>,
    /// What the row has to say if nothing of it took effect.
    pub undone: Position,
    /// What the row has to say if all of it did.
    pub done: Position,
}

/// What may be done.
#[derive(Debug, Serialize)]
pub struct RepairRow {
    /// `finish`, `undo` or `set_row`.
    #[serde(rename = "exit")]
    pub repair: &'static str,
    /// The file that it is about.
    pub file: String,
    /// What the row says afterwards.
    pub to: Position,
    /// What it destroys and cannot keep.
    pub unkept: Vec<String>,
    /// All that it does.
    pub sql: String,
}

impl Doctor {
    /// The shape of a database that nothing was found out about yet.
    pub fn of(app: String, database: Identity) -> Doctor {
        Doctor {
            format: "sternway.doctor/1",
            app,
            database,
            orphans: Vec::new(),
            tracks: Vec::new(),
            lacking: Vec::new(),
            fences: Vec::new(),
            did: None,
        }
    }
}

/// The shapes of the tracks that were examined.
pub fn tracks(examined: &Examination) -> Vec<TrackRow> {
    let Examination { dialect, schema, diagnoses, .. } = examined;
    diagnoses.iter().map(|diagnosis| TrackRow::of(*dialect, schema, diagnosis)).collect()
}

impl TrackRow {
    fn of(dialect: Dialect, schema: &str, diagnosis: &Diagnosis) -> TrackRow {
        let in_doubt = |it: &InDoubt| InDoubtRow {
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
        let repair = |it: &Repair| RepairRow {
            repair: word(it.kind),
            file: it.file.clone(),
            to: it.to,
            unkept: it.unkept.clone(),
            sql: statements(dialect, schema, diagnosis, it),
        };
        TrackRow {
            track: diagnosis.track.clone(),
            table: diagnosis.table.clone(),
            version: diagnosis.row.position,
            dirty: diagnosis.row.dirty,
            well: diagnosis.is_well(),
            fits: diagnosis.fits.clone(),
            in_doubt: diagnosis.in_doubt.iter().map(in_doubt).collect(),
            repairs: diagnosis.repairs.iter().map(repair).collect(),
        }
    }
}

/// A kind of repair, for machines.
pub fn word(kind: RepairKind) -> &'static str {
    match kind {
        RepairKind::Finish => "finish",
        RepairKind::Undo => "undo",
        RepairKind::SetRow => "set_row",
    }
}

/// Sessions that a migrator left behind, in words.
pub fn orphans(orphans: &[Orphan]) -> String {
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

/// All that was found out about one track. `lacking`: what was passed over there.
pub fn text(
    paint: Paint,
    examined: &Examination,
    diagnosis: &Diagnosis,
    lacking: &[Lacking],
) -> String {
    let Examination { dialect, schema, .. } = examined;
    let Diagnosis { track, row, fits, .. } = diagnosis;
    let schema_of = match fits.as_slice() {
        [] => "the schema is that of no migration".to_owned(),
        fits => format!("the schema is that of {}", positions(fits)),
    };
    let mut text = paint.strong(&format!("track {track}: the row says {row}; {schema_of}"));
    text.push('\n');
    if let Some(lacking) = lacking.iter().find(|it| it.track == *track) {
        text.push_str(&format!("  {}\n", lacking.text()));
    } else if diagnosis.is_well() {
        text.push_str(match diagnosis.by_downs {
            true => "  all is well: the application's own down migrations leave that schema\n",
            false => "  all is well\n",
        });
    } else if !row.dirty && fits.is_empty() {
        text.push_str("  this is no matter of the row: `sternway status` lists what differs\n");
    }
    for body in &diagnosis.in_doubt {
        text.push_str(&in_doubt_text(body));
    }
    for repair in &diagnosis.repairs {
        text.push_str(&format!("  {}\n", head(repair)));
        for line in statements(*dialect, schema, diagnosis, repair).lines() {
            text.push_str(&format!("      {line}\n"));
        }
        if !repair.unkept.is_empty() {
            let lost = repair.unkept.join(", ");
            let destroys = paint.alarm("destroys");
            text.push_str(&format!("    {destroys} {lost}, which cannot be kept\n"));
        }
    }
    text
}

fn in_doubt_text(body: &InDoubt) -> String {
    let mut text = format!("  `{}` may have been under way: {}\n", body.file, came_to(body));
    for index in &body.invalid {
        text.push_str(&format!(
            "    index {index} was not finished and is invalid: nothing uses it\n"
        ));
    }
    text.push_str(match body.stays {
        Some(Stays::IsWhole) => {
            "    it is not undone here: `sternway rollback` does that, and keeps the data\n"
        }
        Some(Stays::NoWayBack) => {
            "    it cannot be undone: the other file does not lead back from there\n"
        }
        None => "",
    });
    text
}

/// How far a body came, as far as the schema tells.
fn came_to(body: &InDoubt) -> String {
    let all = body.parts.len();
    let count = |took: &usize| match *took {
        0 => "nothing of it".to_owned(),
        took if took == all => "all of it".to_owned(),
        took => format!("{took} of its {all} parts"),
    };
    match body.took.as_slice() {
        [] => "the schema is none that it leads through".to_owned(),
        [one] => format!("{} took effect", count(one)),
        several => {
            let several: Vec<String> = several.iter().map(count).collect();
            let silent: Vec<String> = body.silent.iter().map(usize::to_string).collect();
            format!(
                "{} took effect; the schema does not tell which, because part {} changes data alone. Look at the data, and say it with --file {} --took COUNT",
                several.join(" or "),
                silent.join(", "),
                body.file
            )
        }
    }
}

/// How to choose a repair, and what it does.
fn head(repair: &Repair) -> String {
    let Repair { kind, file, to, .. } = repair;
    let nothing_runs = repair.sql.is_empty();
    let leads_to = to;
    match kind {
        RepairKind::Finish if nothing_runs => format!("--finish: `{file}` is done; say so"),
        RepairKind::Finish => {
            format!("--finish: run what is left of `{file}`, which leads to {leads_to}")
        }
        RepairKind::Undo if nothing_runs => {
            format!("--undo: nothing of `{file}` is there; say so, with {leads_to}")
        }
        RepairKind::Undo => {
            format!("--undo: take back what is there of `{file}`, which leads to {leads_to}")
        }
        RepairKind::SetRow => {
            let nil = to.number().map_or("nil".to_owned(), |to| to.to_string());
            format!("--set-row {nil}: write what the schema is")
        }
    }
}

/// What is asked before a repair is carried out.
pub fn question(diagnosis: &Diagnosis, repair: &Repair) -> String {
    let (track, to) = (&diagnosis.track, repair.to);
    match repair.sql.is_empty() {
        true => format!("Make the row of track `{track}` say {to}?"),
        false => format!("Run these statements, and make the row of track `{track}` say {to}?"),
    }
}

/// What a repair came to.
pub fn repaired(paint: Paint, diagnosis: &Diagnosis, repair: &Repair, done: &Done) -> String {
    let mut text = String::new();
    for kept in &done.kept {
        let rows = counted(kept.rows, "row");
        text.push_str(&format!("kept in the archive: {rows} of {}\n", kept.lost));
    }
    for back in &done.restored {
        let (rows, lost) = (counted(back.restored.back, "row"), &back.lost);
        text.push_str(&format!("put back from the archive: {rows} of {lost}\n"));
    }
    let says = format!("track `{}`: the row says {}", diagnosis.track, repair.to);
    text.push_str(&format!("{}; `sternway status` compares the schema\n", paint.good(&says)));
    text
}

/// Rows that are behind or ahead of their schema.
pub fn out_of_step(diagnoses: &[Diagnosis]) -> String {
    let each = diagnoses.iter().map(|it| {
        let (track, says, fits) = (&it.track, it.row.position, positions(&it.fits));
        format!("the row of track `{track}` says {says}, and the schema is that of {fits}")
    });
    each.collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests;
