//! The migrator: all tracks of an application together.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use sternway_engine::startup::{self, Startup, look};
use sternway_engine::suspects::suspects;
use sternway_engine::walk::{Standing, standings};
use sternway_model::catalog::TrackName;
use sternway_model::position::Position;
use sternway_model::rules::{Rules, Violation, violations};
use sternway_model::state::{TrackState, TrackingRow};

use crate::event::{Event, Observer, Watcher, tell};
use crate::open::{Open, bodies, folders};
use crate::{Error, NotReady, OnTrack, SetupError, StopHandle, Track};

/// How long golang-migrate waits for a lock.
const LOCK_TIMEOUT: Duration = Duration::from_secs(15);

/// Moves the tracks of an application. Every operation opens its own sessions and closes them.
#[derive(Clone)]
pub struct Migrator {
    pub(crate) url: String,
    pub(crate) password: Option<String>,
    pub(crate) tracks: Vec<Track>,
    pub(crate) lock_timeout: Duration,
    pub(crate) app: Option<String>,
    pub(crate) observer: Option<Observer>,
    pub(crate) stop: StopHandle,
    rules: Rules,
}

/// Where a track stands, with each of its migrations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrackStatus {
    /// The track.
    pub track: TrackName,
    /// What its tracking table says.
    pub state: TrackState,
    /// Its migrations, and whether the tracking row says that they are applied.
    pub migrations: Vec<Standing>,
}

impl TrackStatus {
    /// Whether the database is ahead of the program.
    pub fn is_ahead(&self) -> bool {
        let last = self.migrations.last().map(|it| it.version);
        self.state.row().position > Position::from(last)
    }

    /// How many of its migrations are not applied.
    pub fn pending(&self) -> usize {
        self.migrations.iter().filter(|it| !it.applied).count()
    }
}

impl Migrator {
    /// A migrator for the database that `url` names.
    pub fn new(url: impl Into<String>) -> Migrator {
        Migrator {
            url: url.into(),
            password: None,
            tracks: Vec::new(),
            lock_timeout: LOCK_TIMEOUT,
            app: None,
            observer: None,
            stop: StopHandle::default(),
            rules: Rules::default(),
        }
    }

    /// Adds a track. Tracks go up in this order, and are taken back in the opposite one.
    #[must_use]
    pub fn track(mut self, track: Track) -> Migrator {
        self.tracks.push(track);
        self
    }

    /// A password that stands in for the URL's.
    #[must_use]
    pub fn password(mut self, password: impl Into<String>) -> Migrator {
        self.password = Some(password.into());
        self
    }

    /// How long to wait for others that hold a lock: 15 seconds, unless this says otherwise. Give it
    /// the time that the longest migration takes, or the other replicas will not wait for it.
    #[must_use]
    pub fn lock_timeout(mut self, timeout: Duration) -> Migrator {
        self.lock_timeout = timeout;
        self
    }

    /// Keeps the migrations that are applied in Sternway's records under the application's name, so
    /// that a later `sternway rollback` needs no source. The records are tables of their own, in the
    /// schema `sternway`; where they cannot be made, the migrations are applied all the same.
    #[must_use]
    pub fn keep_records(mut self, app: impl Into<String>) -> Migrator {
        self.app = Some(app.into());
        self
    }

    /// Which rules [`check`](Self::check) applies. At the start only the one across tracks counts.
    #[must_use]
    pub fn rules(mut self, rules: Rules) -> Migrator {
        self.rules = rules;
        self
    }

    /// Whom to tell what happens, such as a progress bar. It is called between statements and should
    /// not take long.
    #[must_use]
    pub fn on_event(mut self, observer: impl Fn(&Event<'_>) + Send + Sync + 'static) -> Migrator {
        self.observer = Some(Arc::new(observer));
        self
    }

    /// What stops an operation of this migrator, or of a clone of it, from another task.
    pub fn stop_handle(&self) -> StopHandle {
        self.stop.clone()
    }

    /// One track, for golang-migrate's operations.
    ///
    /// # Errors
    /// When no track has this name.
    pub fn on(&self, track: &str) -> Result<OnTrack<'_>, SetupError> {
        let found = self.tracks.iter().find(|it| it.name.0 == track);
        let known = || self.tracks.iter().map(|it| it.name.0.clone()).collect();
        let unknown = || SetupError::Unknown { track: track.to_owned(), known: known() };
        found.map(|track| OnTrack { migrator: self, track }).ok_or_else(unknown)
    }

    /// Brings every track up. The [crate documentation](crate#what-happens-at-the-start) says how.
    ///
    /// # Errors
    /// When a check fails, the locks are not obtained, or a migration fails; the error says what was
    /// touched.
    pub async fn up(&self) -> Result<Startup, Error> {
        let mut open = self.open().await?;
        if self.rules.cross_track {
            let violations = open.violations(&self.url).await?;
            if !violations.is_empty() {
                return Err(Error::Rules(violations));
            }
        }
        let _under_way = self.stop.enter(open.interrupters());
        let mut watch = self.watch();
        let app = self.app.as_deref();
        let Open { sessions, members } = &mut open;
        let done = startup::up(sessions, members, app, self.lock_timeout, &mut watch).await?;
        for raised in &done.raised {
            if let (track, at, Some(last)) = (&raised.track, raised.to, raised.ahead_of) {
                tell(self.observer.as_ref(), &Event::Ahead { track, at, last });
            }
        }
        Ok(done)
    }

    /// Checks that the database is as this program needs it, and only reads: a role that may do no
    /// more will do. A database that is ahead is accepted.
    ///
    /// # Errors
    /// When a track has no tracking table, is dirty, or lacks migrations.
    pub async fn verify(&self) -> Result<(), Error> {
        let mut open = self.open().await?;
        let states = look(&mut open.sessions, &open.members).await?;
        for (member, state) in open.members.iter().zip(states) {
            let track = member.name.clone();
            let session = &mut open.sessions[member.session];
            if state == TrackState::NoTable {
                let schema = session.identity().schema.clone();
                return Err(NotReady::NoTable { track, table: member.table.clone(), schema }.into());
            }
            let TrackingRow { position: at, dirty } = state.row();
            let last = member.folder.set().last();
            if dirty {
                let suspects = suspects(&mut **session, &member.folder, at).await?;
                return Err(NotReady::Dirty { track, at, suspects }.into());
            }
            if at < last {
                return Err(NotReady::Behind { track, at, needed: last }.into());
            }
            if at > last {
                tell(self.observer.as_ref(), &Event::Ahead { track: &track, at, last });
            }
        }
        Ok(())
    }

    /// Where every track stands. Nothing is created, and no lock is taken.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn status(&self) -> Result<Vec<TrackStatus>, Error> {
        let mut open = self.open().await?;
        let states = look(&mut open.sessions, &open.members).await?;
        let status = |(member, state): (&startup::Member, TrackState)| TrackStatus {
            track: member.name.clone(),
            state,
            migrations: standings(&member.folder, state.row()),
        };
        Ok(open.members.iter().zip(states).map(status).collect())
    }

    /// What the migrations break of the [`rules`](Self::rules), also those that are long applied. No
    /// database is asked; the connection's schema is taken to be `public`.
    ///
    /// # Errors
    /// When the tracks are registered wrongly, or a file cannot be read.
    pub async fn check(&self) -> Result<Vec<Violation>, Error> {
        let folders = folders(&self.tracks, self.observer.as_ref()).await?;
        let mut all = Vec::new();
        for (track, folder) in self.tracks.iter().zip(&folders) {
            let schema = track.schema.as_deref().unwrap_or("public");
            all.extend(bodies(&self.url, &track.name, folder, schema).await?);
        }
        Ok(violations(&all, self.rules))
    }

    /// Opens every track.
    async fn open(&self) -> Result<Open, Error> {
        let folders = folders(&self.tracks, self.observer.as_ref()).await?;
        Open::new(&self.url, self.password.as_deref(), &self.tracks, folders).await
    }

    pub(crate) fn watch(&self) -> Watcher {
        let (observer, stop) = (self.observer.clone(), self.stop.clone());
        Watcher { track: TrackName::from(""), back: false, observer, stop }
    }
}

/// The URL may hold a password.
impl fmt::Debug for Migrator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Migrator").field("tracks", &self.tracks).finish_non_exhaustive()
    }
}
