//! A plan as text for people, without colour: an edge may add that.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::app::{ChartMove, Deployment, ImageMove, KeptKind};
use crate::body::Mode;
use crate::catalog::Direction;
use crate::check::{Severity, When};
use crate::effect::{Effects, Loss, Lost, Unkept, counted};
use crate::plan::{BodyOrigin, Course, Deviation, Hop, Migrate, Note, Plan, Step, Taken};
use crate::position::Position;
use crate::proof::ObjectName;
use crate::state::TrackState;

/// More new and altered objects than this are counted, and not named.
const NAMED: usize = 8;

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let from = self.running.as_ref().map_or(String::new(), |from| format!(" from {from}"));
        writeln!(f, "{} of {}{from} to {}", self.course, self.app, self.target)?;
        let identity = &self.basis.identity;
        if !identity.database.is_empty() {
            let (database, schema) = (&identity.database, &identity.schema);
            writeln!(f, "database `{database}`, schema `{schema}`, {}", identity.server)?;
        }
        if let Some(place) = &self.deployment.place {
            writeln!(f, "application: {place}")?;
        }
        let schema = match &self.schema_of {
            Some(release) => format!("the schema of {release}"),
            None => "a schema that no release has exactly".to_owned(),
        };
        let tracks = self.tracks.iter().map(|(track, _)| {
            let state = self.basis.tracks.get(track).copied().unwrap_or(TrackState::NoTable);
            format!("{track} at {}", state.row().position)
        });
        let tracks: Vec<String> = tracks.collect();
        if self.basis.tracks.values().all(|it| it.row().position == Position::Nothing) {
            writeln!(f, "now: nothing installed")?;
        } else {
            writeln!(f, "now: {} ({schema})", tracks.join(", "))?;
        }
        self.write_deviation(f)?;
        for (index, hop) in self.hops.iter().enumerate() {
            writeln!(f)?;
            writeln!(f, "hop {} of {}: to {}", index + 1, self.hops.len(), hop.to)?;
            self.hop(f, hop)?;
        }
        if !self.notes.is_empty() || !self.deployment.remarks.is_empty() {
            writeln!(f)?;
        }
        for note in &self.notes {
            writeln!(f, "note: {note}")?;
        }
        for remark in &self.deployment.remarks {
            writeln!(f, "note: {remark}")?;
        }
        Ok(())
    }
}

/// What of a file is passed over, and what is added to it.
fn write_fitted(f: &mut fmt::Formatter<'_>, migrate: &Migrate) -> fmt::Result {
    let (passed, added) = match migrate.direction {
        Direction::Up => ("it is there", "what is there lacks it"),
        Direction::Down => ("it leads away from the target", "the file leaves it out"),
    };
    let first = |statement: &str| statement.trim().lines().next().unwrap_or_default().to_owned();
    for statement in migrate.leaves_out.iter().filter(|_| !migrate.is_there) {
        writeln!(f, "      passed over, for {passed}: {}", first(statement))?;
    }
    for statement in &migrate.opened {
        writeln!(f, "      without its NOT NULL, for there are rows: {}", first(statement))?;
    }
    for statement in &migrate.completed_by {
        writeln!(f, "      generated, for {added}: {}", first(statement))?;
    }
    for statement in &migrate.unfit {
        writeln!(
            f,
            "      passed over, for rows do not fit it, as accepted: {}",
            first(statement)
        )?;
    }
    for statement in &migrate.closed_by {
        let when = match migrate.deferred.contains(statement) {
            true => "once the archive has restored what it keeps",
            false => "generated, once each row has its value",
        };
        writeln!(f, "      {when}: {}", first(statement))?;
    }
    Ok(())
}

impl Plan {
    /// Names what a clean install of a hop's end consists of, such as `core 7, vector 3`.
    pub fn clean_install(&self, hop: &Hop) -> String {
        let tracks = self.tracks.iter().filter_map(|(track, _)| {
            let version = hop.ends_at.get(track)?.number()?;
            Some(format!("{track} {version}"))
        });
        let tracks: Vec<String> = tracks.collect();
        if tracks.is_empty() { "nothing".to_owned() } else { tracks.join(", ") }
    }

    /// How the schema differs from a clean install of what the rows say, and what of that the rehearsal
    /// was without.
    fn write_deviation(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Deviation { differences, known, not_rehearsed, .. } = &self.basis.deviation;
        if !differences.is_empty() {
            writeln!(f, "the schema differs from a clean install of that:")?;
        }
        for difference in differences {
            let known = match known.contains(difference) {
                true => " (known from the last journey)",
                false => "",
            };
            let object = difference.object();
            let absent = match not_rehearsed.iter().any(|(name, _)| name == object) {
                true => " (the rehearsal was without it)",
                false => "",
            };
            writeln!(f, "  {difference}{known}{absent}")?;
        }
        Ok(())
    }

    /// What a migration takes along that others had made.
    fn write_taken(&self, f: &mut fmt::Formatter<'_>, migrate: &Migrate) -> fmt::Result {
        for object in self.takes_foreign(migrate) {
            let again = match self.taken.iter().any(|it| it.object == *object) {
                true => "made again on the way back, where it fits",
                false => "NOT made again",
            };
            writeln!(f, "      takes along what others made: {object}; {again}")?;
        }
        Ok(())
    }

    /// What of the application is stopped, and started again.
    fn write_workloads(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for workload in &self.deployment.workloads {
            writeln!(f, "      {workload}")?;
        }
        Ok(())
    }

    /// What is put in place of what, in the order in which it is done.
    fn write_moves(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Deployment { charts, images, kept_kinds, .. } = &self.deployment;
        let ordered: Vec<&ChartMove> = match self.course {
            Course::Upgrade => charts.iter().collect(),
            Course::Rollback => charts.iter().rev().collect(),
        };
        for ChartMove { release, chart, from, to, .. } in ordered {
            match from {
                Some(from) => writeln!(
                    f,
                    "      helm release {release}: {chart} {} (revision {}) -> {to}",
                    from.version, from.revision
                )?,
                None => {
                    writeln!(f, "      helm release {release}: {chart} {to}, not installed yet")?
                }
            }
        }
        for ImageMove { workload, container, from, to } in images {
            writeln!(f, "      {workload}, container {container}: {from} -> {to}")?;
        }
        if let Some(awaits) = &self.deployment.awaits {
            writeln!(f, "      {awaits}")?;
        }
        for KeptKind { definition, kind, objects, export } in kept_kinds {
            let objects = match objects {
                Some(objects) => counted(*objects, kind),
                None => format!("{kind} objects, which could not be counted"),
            };
            writeln!(
                f,
                "      keeps the definition {definition} and {objects}: the target's chart does not have it"
            )?;
            if let Some(file) = export {
                writeln!(f, "      and writes them to {} before", file.display())?;
            }
        }
        Ok(())
    }

    /// What the proof of a hop will find.
    fn write_proof(&self, f: &mut fmt::Formatter<'_>, hop: &Hop) -> fmt::Result {
        let install = self.clean_install(hop);
        if hop.leaves.is_empty() {
            return writeln!(f, "  proof: the schema equals a clean install of {install}");
        }
        writeln!(f, "  proof: the schema equals a clean install of {install} but for")?;
        for difference in &hop.leaves {
            let why = if self.accepts(difference.object()) {
                "accepted"
            } else if self.was_there(difference) {
                "known from before"
            } else {
                "the application's own migrations"
            };
            writeln!(f, "      {difference} ({why})")?;
        }
        Ok(())
    }

    fn hop(&self, f: &mut fmt::Formatter<'_>, hop: &Hop) -> fmt::Result {
        let migrates = hop.migrations().next().is_some();
        for step in &hop.steps {
            match step {
                Step::Check { at } => self.checks(f, *at)?,
                Step::Migrate(migrate) => {
                    write_step(f, migrate)?;
                    write_fitted(f, migrate)?;
                    match &migrate.effects {
                        Some(effects) => write_effects(f, effects, self)?,
                        None => write_destruction(f, migrate, self.keeps)?,
                    }
                    self.write_taken(f, migrate)?;
                }
                Step::Prove => {
                    self.write_stays(f, hop, migrates)?;
                    self.write_proof(f, hop)?;
                }
                Step::Rebuild { taken } => write_rebuild(f, taken)?,
                Step::Start { release } => {
                    writeln!(f, "  app: start {release}, wait until ready")?;
                    self.write_workloads(f)?;
                }
                Step::Stop => {
                    writeln!(f, "  {}", step.in_words(false))?;
                    self.write_workloads(f)?;
                }
                Step::Swap { .. } => {
                    writeln!(f, "  {}", step.in_words(false))?;
                    self.write_moves(f)?;
                }
                Step::Fence(_) | Step::Snapshot(_) | Step::Unfence => {
                    writeln!(f, "  {}", step.in_words(false))?;
                }
            }
        }
        // A deployed application is down until the last hop starts it.
        match self.deploys() {
            true => Ok(()),
            false => writeln!(f, "  app: runs {} from here on", hop.to),
        }
    }

    fn checks(&self, f: &mut fmt::Formatter<'_>, at: When) -> fmt::Result {
        for check in self.checks_at(at) {
            let fate = match (at, check.severity) {
                (When::Before, Severity::Refuse) => "before: it is refused",
                (When::Before, Severity::Warn) => "before: it is warned of",
                (When::After, Severity::Refuse) => "afterwards: it has failed",
                (When::After, Severity::Warn) => "afterwards: it is warned of",
            };
            writeln!(f, "  asked {fate} where {}", check.message)?;
        }
        Ok(())
    }

    /// The tracks that a hop leaves where they are.
    fn write_stays(&self, f: &mut fmt::Formatter<'_>, hop: &Hop, migrates: bool) -> fmt::Result {
        if !migrates {
            return writeln!(f, "  schema: no change");
        }
        let moved: Vec<_> = hop.migrations().map(|step| &step.track).collect();
        let stays = self.tracks.iter().map(|(track, _)| track);
        let ends: Vec<String> = stays
            .filter(|track| !moved.contains(track))
            .filter_map(|track| {
                let version = hop.ends_at.get(track)?.number()?;
                Some(format!("{track} stays at {version}"))
            })
            .collect();
        if ends.is_empty() { Ok(()) } else { writeln!(f, "  {}", ends.join(", ")) }
    }
}

impl Step {
    /// What it does, in a few words, or what undoing it does.
    pub fn in_words(&self, undone: bool) -> String {
        match (self, undone) {
            (Self::Check { at: When::Before }, _) => "check what has to be so before".to_owned(),
            (Self::Check { at: When::After }, _) => "check what has to be so after".to_owned(),
            (Self::Stop, false) => "app: stop".to_owned(),
            (Self::Stop, true) => "app: start again".to_owned(),
            (Self::Fence(request), false) => format!("fence: {request}"),
            (Self::Fence(_), true) | (Self::Unfence, false) => {
                "fence: other clients may write again".to_owned()
            }
            (Self::Unfence, true) => "fence: up again".to_owned(),
            (Self::Snapshot(request), false) => {
                let proven = if request.proven { ", restored on trial and compared" } else { "" };
                let seconds = match request.seconds {
                    Some(seconds) => format!("about {seconds} s"),
                    None => "how long it takes is not known".to_owned(),
                };
                format!("snapshot: a copy of the whole database{proven} ({seconds})")
            }
            (Self::Snapshot(_), true) => "snapshot: it stays".to_owned(),
            (Self::Migrate(migrate), false) => format!("{}: {}", migrate.track, migrate.file),
            (Self::Migrate(migrate), true) => {
                format!("{}: the other half of {}", migrate.track, migrate.file)
            }
            (Self::Rebuild { taken }, false) => {
                format!("make again what others had made: {}", rebuilt(taken))
            }
            (Self::Rebuild { .. }, true) => "leave what others had made".to_owned(),
            (Self::Prove, _) => "prove the schema".to_owned(),
            (Self::Swap { from: Some(from), to }, false) => format!("app: swap {from} for {to}"),
            (Self::Swap { from: Some(from), to }, true) => format!("app: swap {to} for {from}"),
            (Self::Swap { from: None, to }, false) => format!("app: put {to} in place"),
            (Self::Swap { from: None, to }, true) => {
                format!("app: leave {to} where it is, stopped")
            }
            (Self::Start { release }, false) => format!("app: start {release}"),
            (Self::Start { release }, true) => format!("app: stop {release}"),
        }
    }
}

fn rebuilt(taken: &[Taken]) -> String {
    let names: Vec<String> = taken.iter().map(|it| it.object.to_string()).collect();
    names.join(", ")
}

fn write_rebuild(f: &mut fmt::Formatter<'_>, taken: &[Taken]) -> fmt::Result {
    writeln!(f, "  what others had made, again: {}", rebuilt(taken))
}

fn write_step(f: &mut fmt::Formatter<'_>, step: &Migrate) -> fmt::Result {
    let (from, to) = (step.from, step.to);
    let origin = match &step.origin {
        BodyOrigin::Records => "from the database's records".to_owned(),
        BodyOrigin::Release(release) => format!("from {release}"),
    };
    let mode = match &step.mode {
        _ if step.is_there => "is there already: only its row is written".to_owned(),
        Mode::Transaction => "one transaction".to_owned(),
        Mode::Dirty { reason } => format!("no transaction: {reason}"),
    };
    writeln!(f, "  {} {from} -> {to}: {} ({origin}; {mode})", step.track, step.file)
}

/// What the words of a body say that it takes away, where nobody has seen it run.
fn write_destruction(f: &mut fmt::Formatter<'_>, step: &Migrate, keeps: bool) -> fmt::Result {
    let lost = if keeps { "" } else { ", LOST" };
    for destruction in &step.destroys {
        writeln!(f, "      destroys {} (line {}){lost}", destruction.what, destruction.line)?;
    }
    Ok(())
}

/// What a body did when it was rehearsed, and what that costs here.
fn write_effects(f: &mut fmt::Formatter<'_>, effects: &Effects, plan: &Plan) -> fmt::Result {
    let done = [("creates", &effects.created), ("alters", &effects.altered)];
    let done = done.into_iter().filter(|(_, objects)| !objects.is_empty());
    let done = done.map(|(verb, objects)| {
        let names = names(objects, verb == "creates");
        match names.len() <= NAMED {
            true => format!("{verb} {}", names.join(", ")),
            false => format!("{verb} {}", kinds(objects.iter())),
        }
    });
    let done: Vec<String> = done.collect();
    if !done.is_empty() {
        writeln!(f, "      {}", done.join("; "))?;
    }
    if !effects.destroyed.is_empty() {
        writeln!(f, "      destroys {}", names(&effects.destroyed, true).join(", "))?;
    }
    let fate = |lost: &Lost| match plan.keeps && !plan.discards.contains(lost.of()) {
        true => "kept in the archive",
        false => "LOST",
    };
    let is_number = |loss: &&Loss| matches!(loss.lost, Lost::Sequence { .. });
    let (numbers, rows): (Vec<&Loss>, Vec<&Loss>) = effects.losses.iter().partition(is_number);
    for loss in rows {
        writeln!(f, "      {loss}; {}", fate(&loss.lost))?;
    }
    let (kept, lost): (Vec<&Loss>, Vec<&Loss>) =
        numbers.into_iter().partition(|loss| fate(&loss.lost) != "LOST");
    for (numbers, fate) in [(kept, "kept in the archive"), (lost, "LOST")] {
        if !numbers.is_empty() {
            let names: Vec<String> = numbers.iter().map(|loss| loss.lost.to_string()).collect();
            writeln!(f, "      where counting stood: {}; {fate}", names.join(", "))?;
        }
    }
    for Unkept { table, reason } in &effects.unkept {
        match plan.keeps && !plan.discards.contains(table) {
            true => writeln!(f, "      cannot be kept: {reason}")?,
            false => writeln!(f, "      {reason}; LOST")?,
        }
    }
    if !effects.filled.is_empty() {
        let tables: Vec<&str> = effects.filled.iter().map(String::as_str).collect();
        writeln!(f, "      fills new columns of {}", tables.join(", "))?;
    }
    for (mode, tables) in strongest(effects) {
        writeln!(f, "      locks {}: {mode}", tables.join(", "))?;
    }
    for code in &effects.unforeseen {
        writeln!(f, "      nobody can foresee {code}")?;
    }
    Ok(())
}

/// What comes or goes, by name. Where that takes its parts along, what comes or goes with its table or
/// type is not named by itself; neither are indexes and sequences then, which mostly do.
fn names(objects: &BTreeSet<ObjectName>, with_parts: bool) -> Vec<String> {
    let whole =
        |it: &ObjectName, name: &str| it.name == name && it.table.is_none() && it.kind != "comment";
    let along = |it: &ObjectName| {
        let of = it.table.as_ref();
        with_parts && of.is_some_and(|of| objects.iter().any(|it| whole(it, of)))
    };
    let tables = with_parts && objects.iter().any(|it| it.kind == "table");
    let minor = |it: &&ObjectName| tables && (it.kind == "index" || it.kind == "sequence");
    let alone: Vec<&ObjectName> = objects.iter().filter(|it| !along(it)).collect();
    let (minor, mut major): (Vec<&ObjectName>, Vec<&ObjectName>) =
        alone.into_iter().partition(minor);
    // What holds rows comes first.
    major.sort_by_key(|it| match it.kind.as_str() {
        "table" => 0,
        "column" => 1,
        _ => 2,
    });
    let mut names: Vec<String> = major.iter().map(ToString::to_string).collect();
    if !minor.is_empty() {
        names.push(kinds(minor.into_iter()));
    }
    names
}

/// How many of each kind, such as `1 table, 2 indexes`.
fn kinds<'a>(objects: impl Iterator<Item = &'a ObjectName>) -> String {
    let mut numbers: BTreeMap<&str, u64> = BTreeMap::new();
    for object in objects {
        *numbers.entry(object.kind.as_str()).or_default() += 1;
    }
    let each = numbers.into_iter().map(|(kind, number)| match (kind, number) {
        ("index", 2..) => format!("{number} indexes"),
        ("policy", 2..) => format!("{number} policies"),
        ("statistics", 2..) => format!("{number} statistics"),
        _ => counted(number, kind),
    });
    each.collect::<Vec<_>>().join(", ")
}

/// PostgreSQL's locks of tables, the weakest first.
const MODES: [&str; 8] = [
    "ACCESS SHARE",
    "ROW SHARE",
    "ROW EXCLUSIVE",
    "SHARE UPDATE EXCLUSIVE",
    "SHARE",
    "SHARE ROW EXCLUSIVE",
    "EXCLUSIVE",
    "ACCESS EXCLUSIVE",
];

/// The strongest lock of each table that was there before, and the tables by their lock, the
/// strongest first. Reading locks nobody out and is not told.
fn strongest(effects: &Effects) -> Vec<(&str, Vec<&str>)> {
    // A lock that this version does not know is taken for the worst.
    let strength = |mode: &str| MODES.iter().position(|it| *it == mode).unwrap_or(MODES.len());
    let mut locks: BTreeMap<&str, &str> = BTreeMap::new();
    for lock in &effects.locks {
        let made = |it: &ObjectName| it.name == lock.table && it.kind.ends_with("table");
        if strength(&lock.mode) == 0 || effects.created.iter().any(made) {
            continue;
        }
        let held = locks.entry(&lock.table).or_insert(&lock.mode);
        if strength(&lock.mode) > strength(held) {
            *held = &lock.mode;
        }
    }
    let mut modes: Vec<(&str, Vec<&str>)> = Vec::new();
    for (table, mode) in locks {
        match modes.iter_mut().find(|(it, _)| *it == mode) {
            Some((_, tables)) => tables.push(table),
            None => modes.push((mode, vec![table])),
        }
    }
    modes.sort_by_key(|(mode, _)| std::cmp::Reverse(strength(mode)));
    modes
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SchemaStaysAhead { track, at, target } => write!(
                f,
                "track `{track}` stays at {at}, ahead of the target's {target}, which starts on it all the same; --reset-schema takes it back too"
            ),
            Self::TrackBelow { track, at, target } => write!(
                f,
                "track `{track}` is at {at}, below the target's {target}, and stays there: a rollback runs no up step"
            ),
            Self::TrackAhead { track, at, target } => write!(
                f,
                "track `{track}` is at {at}, ahead of the target's {target}, and stays there: an upgrade runs no down step"
            ),
            Self::MinorSkipped { minor } => {
                write!(f, "{minor} has no stable release, so the journey does not stop there")
            }
            Self::TrackRetired { track, at } => write!(
                f,
                "the target has no migrations of track `{track}`, which older releases have: it is left at {at}, and so are its tables. Where its folder has only moved, `path` of the track takes a list"
            ),
            Self::StopSkipped { release } => write!(
                f,
                "{release} has other migrations than those on the way, so the journey does not stop there"
            ),
            Self::SameByEffect { track, at } => write!(
                f,
                "what is applied in track `{track}` and what the target has up to {at} differ in words; clean installs of both have the same schema, and what they do to rows was not compared"
            ),
            Self::SchemaDecided { track, version } => write!(
                f,
                "several ways lead to {version} in track `{track}`; the schema of this database told which one it went"
            ),
            Self::Redone { track, shared } => write!(
                f,
                "track `{track}` goes back to {shared} and up again with the target's migrations; what no step puts back stays in the archive"
            ),
            Self::Hazard { name, message, accepted } => {
                let accepted = if *accepted { ", accepted" } else { "" };
                write!(f, "hazard `{name}`{accepted}: {message}")
            }
            Self::WayBack { to, migrations, takes, redo } => {
                let s = if *migrations == 1 { "" } else { "s" };
                let with = if *redo { ", with --redo," } else { "" };
                write!(f, "the way back to {to}{with} takes {migrations} migration{s}")?;
                match &**takes {
                    [] => f.write_str(", which drop nothing by their words"),
                    takes => write!(f, ", which take away {}", takes.join(", ")),
                }
            }
            Self::NoWayBack { to, reason } => {
                write!(
                    f,
                    "point of no return: there is no way back to {to} afterwards, because {reason}"
                )
            }
            Self::PrereleaseTarget => f.write_str("the target is a prerelease"),
            Self::RunningReleaseDecided { track, version } => write!(
                f,
                "releases differ in migration {version} of track `{track}`; what the running release has was taken"
            ),
            Self::TrackOff { track } => write!(
                f,
                "track `{track}` has no version in this database and takes no part; --enable {track} installs it"
            ),
            Self::NoRecords { reason } => write!(
                f,
                "Sternway's records cannot be kept ({reason}): no journal, no history, and a later rollback needs the source"
            ),
            Self::AssumedState => f.write_str(
                "nobody looked at a database: the plan assumes the schema of the running release",
            ),
            Self::Adopted { tables: 1 } => {
                f.write_str("the database has one table that no track accounts for")
            }
            Self::Adopted { tables } => {
                write!(f, "the database has {tables} tables that no track accounts for")
            }
        }
    }
}

impl Course {
    /// The word for what is done, as in "rolled back to 1.2.3".
    pub fn done(self) -> &'static str {
        match self {
            Self::Rollback => "rolled back",
            Self::Upgrade => "upgraded",
        }
    }
}
