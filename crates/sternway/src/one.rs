//! One track: golang-migrate's operations.

use sternway_database::Settings;
use sternway_engine::startup::look;
use sternway_engine::suspects::suspects;
use sternway_engine::walk::{self, MigrateError, Walked, drop_tables, force, standings};
use sternway_model::position::Position;
use sternway_model::state::{TrackState, TrackingRow};
use sternway_model::walk::{Goal, WalkError};

use crate::open::{Open, folders};
use crate::{Error, Migrator, Track, TrackStatus};

/// One track of a migrator. That there is nothing to do is no error: then no migration has run.
#[derive(Debug, Clone, Copy)]
pub struct OnTrack<'a> {
    pub(crate) migrator: &'a Migrator,
    pub(crate) track: &'a Track,
}

impl OnTrack<'_> {
    /// Applies every migration that is not applied.
    ///
    /// # Errors
    /// As for all that move a track: when the lock is not obtained, the track is dirty or stands at a
    /// number that its files do not have, or a migration fails. What was done before stays done.
    pub async fn up(&self) -> Result<Walked, Error> {
        self.walk(Goal::Up(None)).await
    }

    /// Takes back the last `count` migrations.
    ///
    /// # Errors
    /// [`WalkError::End`] where none is applied, and [`MigrateError::Short`] where fewer were applied,
    /// after they were taken back.
    pub async fn down(&self, count: u64) -> Result<Walked, Error> {
        self.walk(Goal::Down(Some(count))).await
    }

    /// Takes back every migration.
    ///
    /// # Errors
    /// Those of [`up`](Self::up).
    pub async fn down_all(&self) -> Result<Walked, Error> {
        self.walk(Goal::Down(None)).await
    }

    /// Applies `count` migrations, or takes so many back where it is negative.
    ///
    /// # Errors
    /// [`WalkError::End`] where there is none to go on with, and [`MigrateError::Short`] where there
    /// were fewer, after they ran.
    pub async fn steps(&self, count: i64) -> Result<Walked, Error> {
        let size = Some(count.unsigned_abs());
        self.walk(if count < 0 { Goal::Down(size) } else { Goal::Up(size) }).await
    }

    /// Goes to a position, whichever way it lies: a number, or [`Position::Nothing`].
    ///
    /// # Errors
    /// [`WalkError::Unknown`] where the files do not have the number.
    pub async fn goto(&self, position: impl Into<Position>) -> Result<Walked, Error> {
        self.walk(Goal::To(position.into())).await
    }

    /// Writes a position into the tracking table, takes the dirty mark away, and runs nothing.
    ///
    /// # Errors
    /// When the lock is not obtained or the row cannot be written.
    pub async fn force(&self, position: impl Into<Position>) -> Result<(), Error> {
        let mut open = self.open().await?;
        let Open { sessions, members } = &mut open;
        let lock_timeout = self.migrator.lock_timeout;
        let forced =
            force(&mut *sessions[0], &members[0].table, position.into(), lock_timeout).await;
        forced.map_err(|source| self.failed(source))
    }

    /// What the track's tracking table says. Nothing is created, and no lock is taken.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn version(&self) -> Result<TrackingRow, Error> {
        Ok(self.state(&mut self.open().await?).await?.row())
    }

    /// Where the track stands, with each of its migrations.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn status(&self) -> Result<TrackStatus, Error> {
        let mut open = self.open().await?;
        let state = self.state(&mut open).await?;
        let migrations = standings(&open.members[0].folder, state.row());
        Ok(TrackStatus { track: self.track.name.clone(), state, migrations })
    }

    /// Drops **every table of the track's schema**, whoever made it, the tracking tables among them.
    /// Returns their names.
    ///
    /// # Errors
    /// When the lock is not obtained or a table cannot be dropped.
    pub async fn drop_tables(&self) -> Result<Vec<String>, Error> {
        let mut open = self.open().await?;
        let Open { sessions, members } = &mut open;
        let lock_timeout = self.migrator.lock_timeout;
        let dropped = drop_tables(&mut *sessions[0], &members[0].table, lock_timeout).await;
        dropped.map_err(|source| self.failed(source))
    }

    async fn walk(&self, goal: Goal) -> Result<Walked, Error> {
        let mut open = self.open().await?;
        let _under_way = self.migrator.stop.enter(open.interrupters());
        let Open { sessions, members } = &mut open;
        let (session, member) = (&mut *sessions[0], &members[0]);
        let app = self.migrator.app.as_deref();
        let track = walk::Track {
            table: &member.table,
            folder: &member.folder,
            recorded_as: app.map(|app| (app, &member.name)),
            settings: Settings::Reset,
        };
        let mut watch = self.migrator.watch();
        watch.track = member.name.clone();
        let lock_timeout = self.migrator.lock_timeout;
        match walk::migrate(session, &track, goal, lock_timeout, &mut watch).await {
            Ok(walked) => Ok(walked),
            Err(MigrateError::Walk(WalkError::NoChange)) => {
                Ok(Walked { legs: Vec::new(), interrupted: false })
            }
            Err(source) => {
                let mut found = Vec::new();
                if let MigrateError::Walk(WalkError::Dirty(at)) = source {
                    // The diagnosis is more than was asked for.
                    found = suspects(session, &member.folder, at).await.unwrap_or_default();
                }
                let track = member.name.clone();
                Err(Error::Track { track, source, suspects: found })
            }
        }
    }

    async fn open(&self) -> Result<Open, Error> {
        let Migrator { url, password, tracks, observer, .. } = self.migrator;
        crate::track::validate(tracks)?;
        let tracks = std::slice::from_ref(self.track);
        let folders = folders(tracks, observer.as_ref()).await?;
        Open::new(url, password.as_deref(), tracks, folders).await
    }

    async fn state(&self, open: &mut Open) -> Result<TrackState, Error> {
        let states = look(&mut open.sessions, &open.members).await?;
        Ok(states.first().copied().unwrap_or(TrackState::NoTable))
    }

    fn failed(&self, source: MigrateError) -> Error {
        Error::Track { track: self.track.name.clone(), source, suspects: Vec::new() }
    }
}
