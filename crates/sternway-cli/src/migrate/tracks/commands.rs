//! What each command does with the tracks. It offers what kagent's own `db migrate` does.

use std::collections::BTreeMap;

use sternway_database::Settings;
use sternway_engine::event::Quiet;
use sternway_engine::startup::{self, Raised, Startup, StartupError};
use sternway_engine::walk::{MigrateError, Steps, Track, force, migrate, standings};
use sternway_model::position::Position;
use sternway_model::state::TrackingRow;
use sternway_model::walk::{Goal, Leg, WalkError};
use sternway_view::migrate::{Listed, Outcome, Ran, TrackRan, Versions};

use super::{Tracks, list, names, nobody};
use crate::migrate::End;
use crate::migrate::command::{lock_timeout, reads_ahead};
use crate::migrate::flags::Given;
use crate::migrate::progress::{Progress, name};
use crate::migrate::show::{self, Trouble};
use crate::migrate::signals::Signals;
use crate::migrate::text;

/// Refuses what was typed wrongly, before any database is asked.
pub fn check(command: &str, local: &Given<'_>) -> Result<(), Trouble> {
    let word = local.rest.first().map(String::as_str);
    match command {
        "up" if word.is_some() => limit(local).map(drop),
        "down" if !local.on("all") => limit(local).map(drop),
        "goto" | "force" => number(local).map(drop),
        "drop" => Err(Trouble::new("drop is for one database: give -path and -database")),
        _ => Ok(()),
    }
}

/// What a goal was typed as.
fn command(goal: Goal) -> &'static str {
    match goal {
        Goal::Up(_) => "up",
        Goal::Down(_) => "down",
        Goal::To(_) => "goto",
    }
}

fn limit(local: &Given<'_>) -> Result<u64, Trouble> {
    let word = local.rest.first().map_or("", String::as_str);
    let wrong = || Trouble::new(format!("expected a positive integer for N, got {word:?}"));
    text::version(word).filter(|it| *it > 0).ok_or_else(wrong)
}

/// A position; `nil` is nothing.
fn number(local: &Given<'_>) -> Result<Position, Trouble> {
    let word = local.rest.first().map_or("", String::as_str);
    if word == "nil" {
        return Ok(Position::Nothing);
    }
    let wrong = || Trouble::new(format!("expected a non-negative integer for V, got {word:?}"));
    text::version(word).map(Position::At).ok_or_else(wrong)
}

impl Tracks<'_> {
    /// Runs a command.
    pub async fn run(
        &mut self,
        command: &str,
        given: &Given<'_>,
        local: &Given<'_>,
    ) -> Result<End, Trouble> {
        match command {
            "status" => self.status().await,
            "version" => self.version().await,
            "up" if local.rest.is_empty() => self.up(given, local).await,
            "up" => {
                let index = self.only()?;
                self.walk(index, Goal::Up(Some(limit(local)?)), given, local).await
            }
            "down" => self.down(given, local).await,
            "goto" => self.goto(given, local).await,
            _ => self.force(given, local).await,
        }
    }

    async fn status(&mut self) -> Result<End, Trouble> {
        let mut listed = Vec::new();
        for index in 0..self.members.len() {
            let row = self.row(index).await?;
            let member = &self.members[index];
            listed.push(Listed {
                name: Some(member.name.0.clone()),
                table: member.table.clone(),
                row,
                standings: standings(&member.folder, row),
            });
        }
        list(self.log, &listed);
        Ok(End::Done)
    }

    async fn version(&mut self) -> Result<End, Trouble> {
        let mut rows = Vec::new();
        for index in 0..self.members.len() {
            let row = self.row(index).await?;
            rows.push((self.members[index].name.0.clone(), row));
        }
        let tables = self.members.iter().map(|member| member.table.as_str());
        let tracks = rows.iter().zip(tables);
        let tracks = tracks.map(|((name, row), table)| (Some(name.as_str()), table, *row));
        self.log.json(&Versions::of(tracks));
        for (name, row) in &rows {
            let shown = match row {
                row if *row == TrackingRow::default() => "0 (no migrations applied)".to_owned(),
                row => row.to_string(),
            };
            self.log.result(match rows.len() {
                1 => shown,
                _ => format!("{name}: {shown}"),
            });
        }
        Ok(End::Done)
    }

    /// Brings every track up, together.
    async fn up(&mut self, given: &Given<'_>, local: &Given<'_>) -> Result<End, Trouble> {
        if self.members.is_empty() {
            return Err(nobody());
        }
        for index in 0..self.members.len() {
            self.clean(index).await?;
        }
        if given.on("dry-run") || local.on("dry-run") {
            let mut shown = Vec::new();
            for index in 0..self.members.len() {
                shown.push(self.show(index, Goal::Up(None)).await?);
            }
            let database = self.sessions[0].identity();
            self.log.json(&Ran::new("up", database, Outcome::DryRun, shown));
            return Ok(End::Done);
        }
        let signals = Signals::default();
        signals.listen(*self.log, self.database().interrupter());
        let (log, ahead) = (*self.log, reads_ahead(given));
        let mut progress = Progress { log, signals: signals.clone(), ahead, prefix: String::new() };
        let app = self.app.clone();
        let raised = startup::up(
            &mut self.sessions,
            &self.members,
            Some(&app),
            lock_timeout(given),
            &mut progress,
        );
        let Startup { raised, interrupted } = match raised.await {
            Ok(startup) => startup,
            Err(error) if signals.insisted() => {
                self.startup(error).say(self.log);
                return Ok(End::Interrupted);
            }
            Err(error) => return Err(self.startup(error)),
        };
        for Raised { track, ahead_of, .. } in &raised {
            if let Some(last) = ahead_of {
                let ahead = format!("{track} is ahead of these files, whose last is {last}");
                self.log.tell(format!("warning: {ahead}"));
            }
        }
        let count: usize = raised.iter().map(|track| track.legs.len()).sum();
        let outcome = match count {
            _ if interrupted => Outcome::Stopped,
            0 => Outcome::NoChange,
            _ => Outcome::Done,
        };
        let tables = self.members.iter().map(|member| (&member.name, member.table.as_str()));
        let tables: BTreeMap<_, _> = tables.collect();
        let tracks = raised.iter().map(|Raised { track, from, legs, ahead_of, .. }| {
            let table = tables.get(track).copied().unwrap_or_default();
            let ran = TrackRan::of(Some(&track.0), table, *from, legs);
            TrackRan { ahead: ahead_of.is_some(), ..ran }
        });
        let tracks = tracks.collect();
        self.log.json(&Ran::new("up", self.sessions[0].identity(), outcome, tracks));
        self.log.result(match count {
            count if interrupted => format!("applied {count} migration(s), then stopped"),
            0 => "no pending migrations; schema is up to date".to_owned(),
            count => format!("applied {count} migration(s); schema is up to date"),
        });
        Ok(End::Done)
    }

    fn startup(&self, error: StartupError) -> Trouble {
        let words = error.to_string();
        match error {
            StartupError::Failed { track, source, taken_back } => {
                let mut trouble = show::migrate(source, &[]).below(format!("in track {track}"));
                for (track, ended) in taken_back {
                    trouble = trouble.below(match ended {
                        Ok(at) => format!("{track} was taken back to {at}"),
                        Err(error) => {
                            format!("{track} was not taken back: {}", show::in_full(error))
                        }
                    });
                    // Where the failed migration left its track is no longer so.
                    trouble = trouble.hint("mend the cause, then run the same command again");
                }
                trouble
            }
            StartupError::Plan { track, source } => {
                show::migrate(source, &[]).below(format!("in track {track}"))
            }
            StartupError::Lock(error) => show::lock(error),
            StartupError::Database(error) => show::question(error),
            StartupError::Extension { extension, .. } => Trouble::new(words).hint(format!(
                "nothing was touched; install {extension} on the server, or leave the track out"
            )),
            StartupError::Dirty { suspects, .. } => show::dirty(&words, &suspects),
            StartupError::Shared { .. } | StartupError::DirtyAhead { .. } => {
                Trouble::new(words).hint("nothing was touched")
            }
        }
    }

    async fn down(&mut self, given: &Given<'_>, local: &Given<'_>) -> Result<End, Trouble> {
        let index = self.only()?;
        let row = self.clean(index).await?;
        if row.position == Position::Nothing {
            self.log.result("no migrations to roll back");
            return Ok(End::Done);
        }
        let goal = if local.on("all") { None } else { Some(limit(local)?) };
        self.walk(index, Goal::Down(goal), given, local).await
    }

    async fn goto(&mut self, given: &Given<'_>, local: &Given<'_>) -> Result<End, Trouble> {
        let index = self.only()?;
        self.clean(index).await?;
        let there = self.meant(index, local)?;
        self.walk(index, Goal::To(there), given, local).await
    }

    async fn force(&mut self, given: &Given<'_>, local: &Given<'_>) -> Result<End, Trouble> {
        let index = self.only()?;
        let position = self.meant(index, local)?;
        let member = &self.members[index];
        let set = member.folder.set();
        if let Some(version) = position.number().filter(|it| set.get(*it).is_none()) {
            let valid: Vec<String> = set.iter().map(|(number, _)| number.to_string()).collect();
            return Err(Trouble::new(format!(
                "version {version} is not a migration of track {:?}; valid versions are {}",
                member.name.0,
                names(valid.iter().map(String::as_str)),
            )));
        }
        let table = member.table.clone();
        if given.on("dry-run") || local.on("dry-run") {
            self.log.result(format!("would set {table} to {position}"));
            self.report("force", index, position, Outcome::DryRun, &[]);
            return Ok(End::Done);
        }
        let forced = force(self.database(), &table, position, lock_timeout(given)).await;
        forced.map_err(|error| show::migrate(error, &[]))?;
        self.report("force", index, position, Outcome::Done, &[]);
        self.log.result(match position {
            Position::At(version) => format!("version {version} marked as applied"),
            Position::Nothing => "version record cleared (no migrations applied)".to_owned(),
        });
        Ok(End::Done)
    }

    /// The position that was typed. 0 is nothing, unless a migration has that number.
    fn meant(&self, index: usize, local: &Given<'_>) -> Result<Position, Trouble> {
        let is_a_migration = self.members[index].folder.set().get(0).is_some();
        Ok(match number(local)? {
            Position::At(0) if !is_a_migration => Position::Nothing,
            position => position,
        })
    }

    /// Tells machines what came of one track.
    fn report(
        &self,
        command: &str,
        index: usize,
        stands: Position,
        outcome: Outcome,
        legs: &[Leg],
    ) {
        let member = &self.members[index];
        let track = TrackRan::of(Some(&member.name.0), &member.table, stands, legs);
        self.log.json(&Ran::new(command, self.sessions[0].identity(), outcome, vec![track]));
    }

    /// Takes one track somewhere.
    async fn walk(
        &mut self,
        index: usize,
        goal: Goal,
        given: &Given<'_>,
        local: &Given<'_>,
    ) -> Result<End, Trouble> {
        self.clean(index).await?;
        if given.on("dry-run") || local.on("dry-run") {
            let shown = vec![self.show(index, goal).await?];
            let database = self.sessions[0].identity();
            self.log.json(&Ran::new(command(goal), database, Outcome::DryRun, shown));
            return Ok(End::Done);
        }
        let signals = Signals::default();
        signals.listen(*self.log, self.database().interrupter());
        let mut progress = Progress {
            log: *self.log,
            signals: signals.clone(),
            ahead: reads_ahead(given),
            prefix: String::new(),
        };
        let (member, session) = (&self.members[index], &mut self.sessions[0]);
        let track = Track {
            table: &member.table,
            folder: &member.folder,
            recorded_as: Some((&self.app, &member.name)),
            settings: Settings::Reset,
        };
        let ended = migrate(&mut **session, &track, goal, lock_timeout(given), &mut progress).await;
        let (legs, stopped) = match ended {
            Ok(walked) => (walked.legs, walked.interrupted),
            Err(MigrateError::Walk(WalkError::NoChange)) => (Vec::new(), false),
            Err(error) => {
                let trouble = show::migrate(error, &[]);
                if signals.insisted() {
                    trouble.say(self.log);
                    return Ok(End::Interrupted);
                }
                return Err(trouble);
            }
        };
        let row = self.row(index).await?;
        let outcome = match legs.len() {
            _ if stopped => Outcome::Stopped,
            0 => Outcome::NoChange,
            _ => Outcome::Done,
        };
        self.report(command(goal), index, row.position, outcome, &legs);
        let legs = legs.len();
        self.log.result(match (goal, row.position) {
            _ if stopped => format!("stopped at {row} after {legs} migration(s)"),
            (Goal::Down(_), _) => format!("rolled back {legs} migration(s)"),
            (Goal::Up(_), _) => format!("applied {legs} migration(s)"),
            (Goal::To(_), Position::At(version)) => format!("schema is at version {version}"),
            (Goal::To(_), Position::Nothing) => "schema is at version 0 (empty)".to_owned(),
        });
        Ok(End::Done)
    }

    /// Shows what would run on one track.
    async fn show(&mut self, index: usize, goal: Goal) -> Result<TrackRan, Trouble> {
        let stands = self.row(index).await?;
        let (member, session) = (&self.members[index], &mut self.sessions[0]);
        let steps = Steps::plan(&mut **session, &member.folder, stands, goal, &mut Quiet).await;
        let ran =
            |legs: &[Leg]| TrackRan::of(Some(&member.name.0), &member.table, stands.position, legs);
        let steps = match steps {
            Ok(steps) => steps,
            Err(MigrateError::Walk(WalkError::NoChange)) => return Ok(ran(&[])),
            Err(error) => return Err(show::migrate(error, &[])),
        };
        for leg in &steps.legs {
            let body = steps.body(leg).map_or("", |(body, _)| body);
            self.log.result(format!("-- {}: {}\n{}", member.name, name(leg), body.trim_end()));
        }
        match steps.short {
            0 => Ok(ran(&steps.legs)),
            short => Err(show::migrate(MigrateError::Short(short), &[])),
        }
    }
}
