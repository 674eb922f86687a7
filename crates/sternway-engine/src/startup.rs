//! Bringing every track of an application up, as it does itself when it starts.
//!
//! The rules are those of kagent's runner, which is the model case: every extension is checked before
//! anything is touched; tracks go up in the order of their registration; a database ahead of the
//! files is accepted; when a track fails, it and those before it go back to where they stood, unless
//! that was "nothing": what was there before the first migration is not known. In addition, the locks
//! of all tracks are held from before the first look until after the last write, a dirty track stops
//! everything before anything is touched, and every body is read before the first one runs.

mod error;

use std::time::Duration;

use sternway_database::{Database, DatabaseError, Settings};
use sternway_model::catalog::TrackName;
use sternway_model::position::Position;
use sternway_model::state::TrackState;
use sternway_model::walk::{Goal, Leg, WalkError};

use crate::event::{Event, Observer};
use crate::folder::Folder;
use crate::suspects::suspects;
use crate::walk::{MigrateError, Steps, go, lock, record};

pub use error::StartupError;

/// A track to bring up.
pub struct Member {
    /// Its name.
    pub name: TrackName,
    /// Its tracking table.
    pub table: String,
    /// Its files.
    pub folder: Folder,
    /// An extension that the server has to offer.
    pub requires_extension: Option<String>,
    /// Which of the sessions leads to its schema.
    pub session: usize,
}

/// What became of a track.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Raised {
    /// Its name.
    pub track: TrackName,
    /// Where it stood.
    pub from: Position,
    /// Where it stands.
    pub to: Position,
    /// What ran.
    pub legs: Vec<Leg>,
    /// Where its files end, where the database is ahead of that.
    pub ahead_of: Option<Position>,
}

/// What became of all tracks.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Startup {
    /// What became of each, in order; one whose turn did not come is not in it.
    pub raised: Vec<Raised>,
    /// Whether it was asked to stop before its end.
    pub interrupted: bool,
}

impl Startup {
    /// How many migrations were applied.
    pub fn applied(&self) -> usize {
        self.raised.iter().map(|track| track.legs.len()).sum()
    }
}

/// Brings every track up. With `app`, the migrations are kept in Sternway's records.
///
/// # Errors
/// When the locks are not obtained, a check fails, or a migration does. [`StartupError`] says what
/// was touched.
pub async fn up(
    sessions: &mut [Box<dyn Database>],
    members: &[Member],
    app: Option<&str>,
    lock_timeout: Duration,
    observer: &mut dyn Observer,
) -> Result<Startup, StartupError> {
    distinct(sessions, members)?;
    let mut locked = Ok(());
    for (index, session) in sessions.iter_mut().enumerate() {
        let tables = tables(members, index);
        locked = lock(&mut **session, &tables, lock_timeout, observer).await;
        if locked.is_err() {
            break;
        }
    }
    let ended = match locked {
        Ok(()) => under_locks(sessions, members, app, observer).await,
        Err(error) => Err(StartupError::Lock(error)),
    };
    for session in sessions {
        // The end of the walk is what matters; a lost connection has no lock to give back.
        let _ = session.unlock().await;
    }
    ended
}

fn tables(members: &[Member], session: usize) -> Vec<String> {
    let of_session = members.iter().filter(|member| member.session == session);
    of_session.map(|member| member.table.clone()).collect()
}

/// Checks that no two tracks have the same tracking table.
fn distinct(sessions: &[Box<dyn Database>], members: &[Member]) -> Result<(), StartupError> {
    let schema = |member: &Member| sessions[member.session].identity().schema.clone();
    for (index, member) in members.iter().enumerate() {
        let same = |it: &&Member| it.table == member.table && schema(it) == schema(member);
        if let Some(first) = members[..index].iter().find(same) {
            return Err(StartupError::Shared {
                first: first.name.clone(),
                second: member.name.clone(),
                table: member.table.clone(),
                schema: schema(member),
            });
        }
    }
    Ok(())
}

/// What a track is about to do.
struct Raise {
    state: TrackState,
    steps: Option<Steps>,
    ahead_of: Option<Position>,
}

async fn under_locks(
    sessions: &mut [Box<dyn Database>],
    members: &[Member],
    app: Option<&str>,
    observer: &mut dyn Observer,
) -> Result<Startup, StartupError> {
    for member in members {
        let Some(extension) = &member.requires_extension else { continue };
        if !sessions[member.session].extensions().await?.contains(extension) {
            let (track, extension) = (member.name.clone(), extension.clone());
            return Err(StartupError::Extension { track, extension });
        }
    }
    let mut raises = Vec::new();
    for member in members {
        raises.push(raise(&mut *sessions[member.session], member, observer).await?);
    }
    for (member, raise) in members.iter().zip(&raises) {
        if let (Some(app), Some(steps)) = (app, &raise.steps) {
            let database = &mut *sessions[member.session];
            record(database, (app, &member.name), &member.folder, steps).await.map_err(
                |source| match source {
                    MigrateError::Database(source) => StartupError::Database(source),
                    source => StartupError::Plan { track: member.name.clone(), source },
                },
            )?;
        }
    }
    let mut raised = Vec::new();
    for (index, (member, raise)) in members.iter().zip(&raises).enumerate() {
        let database = &mut *sessions[member.session];
        observer.tell(&Event::TurnOf { track: &member.name, back: false });
        let from = raise.state.row().position;
        let ended = one(database, member, raise, observer).await;
        match ended {
            Ok((legs, stopped)) => {
                let to = legs.last().map_or(from, |leg| leg.to);
                let (track, ahead_of) = (member.name.clone(), raise.ahead_of);
                raised.push(Raised { track, from, to, legs, ahead_of });
                if stopped {
                    return Ok(Startup { raised, interrupted: true });
                }
            }
            Err(source) => {
                let track = member.name.clone();
                let before = &members[..=index];
                let taken_back = take_back(sessions, before, &raises, observer).await;
                return Err(StartupError::Failed { track, source, taken_back });
            }
        }
    }
    Ok(Startup { raised, interrupted: false })
}

/// Looks where a track stands, and plans its way up.
async fn raise(
    database: &mut dyn Database,
    member: &Member,
    observer: &mut dyn Observer,
) -> Result<Raise, StartupError> {
    let state = database.track(&member.table).await?;
    let row = state.row();
    let (at, last) = (row.position, member.folder.set().last());
    let ahead = at > last;
    if row.dirty {
        let track = member.name.clone();
        return Err(match ahead {
            true => StartupError::DirtyAhead { track, at, last },
            false => {
                // That it is dirty matters more than what cannot be found out about it.
                let found = suspects(database, &member.folder, at).await;
                let suspects = found.unwrap_or_default();
                StartupError::Dirty { track, at, suspects }
            }
        });
    }
    if ahead {
        return Ok(Raise { state, steps: None, ahead_of: Some(last) });
    }
    let steps = Steps::plan(database, &member.folder, row, Goal::Up(None), observer).await;
    match steps {
        Ok(steps) => Ok(Raise { state, steps: Some(steps), ahead_of: None }),
        // Nothing to do is no error for an application that starts.
        Err(MigrateError::Walk(WalkError::NoChange)) => {
            Ok(Raise { state, steps: None, ahead_of: None })
        }
        Err(source) => Err(StartupError::Plan { track: member.name.clone(), source }),
    }
}

async fn one(
    database: &mut dyn Database,
    member: &Member,
    raise: &Raise,
    observer: &mut dyn Observer,
) -> Result<(Vec<Leg>, bool), MigrateError> {
    let Some(steps) = &raise.steps else { return Ok((Vec::new(), false)) };
    if raise.state == TrackState::NoTable {
        database.prepare_track(&member.table).await?;
    }
    let walked = go(database, &member.table, steps, Settings::Reset, observer).await?;
    Ok((walked.legs, walked.interrupted))
}

/// Takes the tracks back to where they stood, the last one first. A track that had nothing applied
/// stays where it is, and so does one that is dirty now, or that had nothing to do.
async fn take_back(
    sessions: &mut [Box<dyn Database>],
    members: &[Member],
    raises: &[Raise],
    observer: &mut dyn Observer,
) -> Vec<(TrackName, Result<Position, MigrateError>)> {
    let mut taken_back = Vec::new();
    for (member, raise) in members.iter().zip(raises).rev() {
        let stood = raise.state.row().position;
        if stood == Position::Nothing || raise.steps.is_none() {
            continue;
        }
        let database = &mut *sessions[member.session];
        let ended = back(database, member, stood, observer).await;
        match ended {
            Ok(false) => {}
            Ok(true) => taken_back.push((member.name.clone(), Ok(stood))),
            Err(error) => taken_back.push((member.name.clone(), Err(error))),
        }
    }
    taken_back
}

/// Tells all that another observer is told, but does not stop: what is taken back is taken back whole.
struct Unstopped<'a>(&'a mut dyn Observer);

impl Observer for Unstopped<'_> {
    fn tell(&mut self, event: &Event<'_>) {
        self.0.tell(event);
    }
}

/// Whether there was anything to take back.
async fn back(
    database: &mut dyn Database,
    member: &Member,
    stood: Position,
    observer: &mut dyn Observer,
) -> Result<bool, MigrateError> {
    let row = database.track(&member.table).await?.row();
    let goal = Goal::To(stood);
    match Steps::plan(database, &member.folder, row, goal, observer).await {
        Err(MigrateError::Walk(WalkError::NoChange)) => Ok(false),
        Err(error) => Err(error),
        Ok(steps) => {
            observer.tell(&Event::TurnOf { track: &member.name, back: true });
            go(database, &member.table, &steps, Settings::Reset, &mut Unstopped(observer)).await?;
            Ok(true)
        }
    }
}

/// Where the tracks stand, for those who only look.
///
/// # Errors
/// When a question fails.
pub async fn look(
    sessions: &mut [Box<dyn Database>],
    members: &[Member],
) -> Result<Vec<TrackState>, DatabaseError> {
    let mut states = Vec::new();
    for member in members {
        states.push(sessions[member.session].track(&member.table).await?);
    }
    Ok(states)
}
