//! Tracks with their files read and their sessions open.

use sternway_database::{Database, Interrupt, dialect};
use sternway_engine::folder::Folder;
use sternway_engine::startup::{Member, look};
use sternway_model::catalog::Direction;
use sternway_model::rules::{Body, Rules, Violation, violations};

use crate::event::{Event, Observer, tell};
use crate::track::validate;
use crate::{Error, SetupError, Track};

/// Lists the files of every track, after checking how the tracks are registered. Asks no database.
pub(crate) async fn folders(
    tracks: &[Track],
    observer: Option<&Observer>,
) -> Result<Vec<Folder>, Error> {
    validate(tracks)?;
    let mut folders = Vec::new();
    for track in tracks {
        let name = &track.name;
        let folder = Folder::open(Box::new(track.migrations.clone())).await;
        let folder = folder.map_err(|source| Error::Migrations { track: name.clone(), source })?;
        if folder.set().is_empty() {
            let place = folder.place();
            return Err(SetupError::Empty { track: name.clone(), place }.into());
        }
        for miss in folder.near_misses() {
            tell(observer, &Event::NearMiss { track: name, miss });
        }
        folders.push(folder);
    }
    Ok(folders)
}

/// Tracks that can be worked on.
pub(crate) struct Open {
    /// One session for each schema.
    pub sessions: Vec<Box<dyn Database>>,
    pub members: Vec<Member>,
}

impl Open {
    /// Opens a session for each schema, and changes nothing there.
    pub async fn new(
        url: &str,
        password: Option<&str>,
        tracks: &[Track],
        folders: Vec<Folder>,
    ) -> Result<Open, Error> {
        let mut open = Open { sessions: Vec::new(), members: Vec::new() };
        let mut schemas: Vec<Option<&str>> = Vec::new();
        for (track, folder) in tracks.iter().zip(folders) {
            let schema = track.schema.as_deref();
            let known = schemas.iter().position(|it| *it == schema);
            let session = match known {
                Some(session) => session,
                None => {
                    let mut session = dialect::connect(url, password).await?;
                    if let Some(schema) = schema {
                        session.enter_schema(schema).await?;
                    }
                    open.sessions.push(session);
                    schemas.push(schema);
                    schemas.len() - 1
                }
            };
            let default = || open.sessions[session].tracking_table().to_owned();
            open.members.push(Member {
                name: track.name.clone(),
                table: track.table.clone().unwrap_or_else(default),
                folder,
                requires_extension: track.requires_extension.clone(),
                session,
            });
        }
        Ok(open)
    }

    /// What ends the statements of these sessions.
    pub fn interrupters(&self) -> Vec<Box<dyn Interrupt>> {
        self.sessions.iter().map(|session| session.interrupter()).collect()
    }

    /// What the migrations that are still to be applied do to tables of other tracks.
    pub async fn violations(&mut self, url: &str) -> Result<Vec<Violation>, Error> {
        let states = look(&mut self.sessions, &self.members).await?;
        let mut bodies = Vec::new();
        for member in &self.members {
            let schema = self.sessions[member.session].identity().schema.clone();
            bodies.extend(read(url, member, &schema).await?);
        }
        let mut found = violations(&bodies, Rules::default());
        // What is applied is past praying for, and its files must not change any more.
        found.retain(|it| {
            let mut tracks = self.members.iter().zip(&states);
            tracks.any(|(member, state)| {
                let mut ahead =
                    member.folder.set().iter().filter(|(number, _)| state.row().position < *number);
                member.name == it.track
                    && ahead.any(|(_, pair)| pair.file(Direction::Up) == Some(it.file.as_str()))
            })
        });
        Ok(found)
    }
}

async fn read(url: &str, member: &Member, schema: &str) -> Result<Vec<Body>, Error> {
    let (name, folder) = (&member.name, &member.folder);
    bodies(url, name, folder, schema).await
}

/// What the bodies of a track do.
pub(crate) async fn bodies(
    url: &str,
    track: &sternway_model::catalog::TrackName,
    folder: &Folder,
    schema: &str,
) -> Result<Vec<Body>, Error> {
    let dialect = dialect::Dialect::of(url)?;
    let mut bodies = Vec::new();
    for (_, pair) in folder.set().iter() {
        for file in [&pair.up, &pair.down].into_iter().flatten() {
            let text = folder.body(file).await;
            let text = text.map_err(|source| Error::Migrations { track: track.clone(), source })?;
            bodies.push(Body {
                track: track.clone(),
                schema: schema.to_owned(),
                file: file.clone(),
                deeds: dialect.deeds(&text),
            });
        }
    }
    Ok(bodies)
}
