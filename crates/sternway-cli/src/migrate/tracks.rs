//! The commands on the tracks of an application that `sternway.toml` or a profile describes.

mod commands;
mod files;

use sternway_database::Database;
use sternway_engine::startup::Member;
use sternway_engine::suspects::suspects;
use sternway_model::catalog::{Enabled, Track};
use sternway_model::state::{TrackState, TrackingRow};
use sternway_view::migrate::{Listed, Status};

use super::End;
use super::flags::Given;
use super::log::Log;
use super::show::{self, Trouble};
use crate::args::Shared;
use crate::config::find;
use crate::failure::Failure;
use crate::ui::Ui;
use crate::wiring::Setup;

/// Lists tracks with every migration, on standard output.
pub fn list(log: &Log, tracks: &[Listed]) {
    log.json(&Status::of(tracks));
    log.result(sternway_view::migrate::text(tracks).trim_end());
}

/// Whether the tracks of an application are meant: nothing names a folder of migrations, and
/// something names, or is, an application's settings.
pub fn asked_for(given: &Given<'_>) -> bool {
    let folder = ["source", "path"].iter().any(|name| !given.text(name).is_empty());
    let named =
        ["config", "profile", "track", "release"].iter().any(|name| !given.text(name).is_empty());
    let variable = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let around = || variable("STERNWAY_CONFIG") || variable("STERNWAY_PROFILE") || find().is_some();
    !folder && (named || (!super::is_called_migrate() && around()))
}

/// What the commands have at hand.
struct Tracks<'a> {
    log: &'a Log,
    /// The application's name.
    app: String,
    /// One session: the tracks of an application live in one schema.
    sessions: Vec<Box<dyn Database>>,
    /// The tracks that take part, in the order in which they go up.
    members: Vec<Member>,
}

/// Runs a command.
pub async fn run(
    log: &Log,
    command: &str,
    given: &Given<'_>,
    local: &Given<'_>,
) -> Result<End, Trouble> {
    commands::check(command, local)?;
    let mut options = Vec::new();
    for (ours, theirs) in
        [("config", "--config"), ("profile", "--profile"), ("database", "--database")]
    {
        if !given.text(ours).is_empty() {
            options.extend([theirs.to_owned(), given.text(ours).to_owned()]);
        }
    }
    let shared = Shared::of(&options).map_err(|error| {
        Trouble::new(error.to_string().trim_start_matches("error: ").trim_end().to_owned())
    })?;
    let ui = Ui::new(&shared);
    let setup = Setup::new(&ui, &shared).map_err(told)?;
    let wanted = pick(&setup.config.layout.tracks, given.text("track"))?;
    let mut database = setup.connect().await.map_err(told)?;
    let chosen = files::choose(&setup, given.text("release"), log)?;
    let mut members = Vec::new();
    for track in wanted {
        let state = database.track(&track.table).await.map_err(show::track)?;
        let named = given.text("track") == track.name.0;
        if !named && !takes_part(track, state) {
            log.more(format!("track {} takes no part: it has no tracking table with a version; -track {} brings it in", track.name, track.name));
            continue;
        }
        let folder = chosen.folder(&setup, track).await?;
        for miss in folder.near_misses() {
            log.tell(format!("warning: {miss}"));
        }
        members.push(Member {
            name: track.name.clone(),
            table: track.table.clone(),
            folder,
            requires_extension: track.requires_extension.clone(),
            session: 0,
        });
    }
    let app = setup.config.layout.app.clone();
    let mut tracks = Tracks { log, app, sessions: vec![database], members };
    tracks.run(command, given, local).await
}

/// As the planner has it: a track that is on `auto` takes part where its tracking table says
/// something.
fn takes_part(track: &Track, state: TrackState) -> bool {
    match track.enabled {
        Enabled::Always => true,
        Enabled::Never => false,
        Enabled::Auto => state.row() != TrackingRow::default(),
    }
}

/// Every track is on `auto`, and none has a version yet.
fn nobody() -> Trouble {
    Trouble::new("no track takes part").hint("-track NAME brings one in")
}

/// The tracks that are meant.
fn pick<'a>(tracks: &'a [Track], name: &str) -> Result<Vec<&'a Track>, Trouble> {
    if name.is_empty() {
        return Ok(tracks.iter().collect());
    }
    match tracks.iter().find(|track| track.name.0 == name) {
        Some(track) => Ok(vec![track]),
        None => Err(Trouble::new(format!(
            "track {name:?} is not registered; registered tracks: {}",
            names(tracks.iter().map(|track| track.name.0.as_str()))
        ))),
    }
}

fn names<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.collect::<Vec<_>>().join(", ")
}

/// A failure of the release commands, in this command line's form.
fn told(failure: Failure) -> Trouble {
    let (attempt, causes, hint) = failure.parts();
    let words: Vec<String> = std::iter::once(attempt).chain(causes).collect();
    let trouble = Trouble::new(words.join(": "));
    match hint {
        Some(hint) => trouble.hint(hint),
        None => trouble,
    }
}

impl Tracks<'_> {
    fn database(&mut self) -> &mut dyn Database {
        &mut *self.sessions[0]
    }

    /// The one track that a command is for.
    fn only(&self) -> Result<usize, Trouble> {
        match self.members.as_slice() {
            [_] => Ok(0),
            [] => Err(nobody()),
            several => Err(Trouble::new(format!(
                "registered tracks: {}; pass -track",
                names(several.iter().map(|member| member.name.0.as_str()))
            ))),
        }
    }

    async fn row(&mut self, index: usize) -> Result<TrackingRow, Trouble> {
        let table = self.members[index].table.clone();
        let state = self.database().track(&table).await.map_err(show::track)?;
        Ok(state.row())
    }

    /// Refuses a track that is dirty, and says what may be the matter.
    async fn clean(&mut self, index: usize) -> Result<TrackingRow, Trouble> {
        let row = self.row(index).await?;
        if !row.dirty {
            return Ok(row);
        }
        let (member, session) = (&self.members[index], &mut self.sessions[0]);
        let found = suspects(&mut **session, &member.folder, row.position).await;
        let words = format!(
            "track {:?} is dirty at {}: a migration did not end; `migrate -track {} force V` once V is what the schema has",
            member.name.0, row.position, member.name,
        );
        Err(show::dirty(&words, &found.unwrap_or_default()))
    }
}
