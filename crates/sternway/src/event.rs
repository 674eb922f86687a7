//! What is told while a migrator works.

use std::sync::Arc;
use std::time::Duration;

use sternway_engine::event;
use sternway_model::catalog::{NearMiss, TrackName};
use sternway_model::position::Position;
use sternway_model::walk::Leg;

use crate::StopHandle;

/// What happens. It is told to the application's log as well, through `tracing`.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A migration starts.
    Starts {
        /// The track.
        track: &'a TrackName,
        /// The migration.
        leg: &'a Leg,
        /// Whether a track is taken back because another one failed.
        back: bool,
    },
    /// A migration ended well.
    Ends {
        /// The track.
        track: &'a TrackName,
        /// The migration.
        leg: &'a Leg,
        /// Whether a track is taken back because another one failed.
        back: bool,
        /// How long its body took.
        took: Duration,
    },
    /// A warning: the database is ahead of the program; the track is left as it is.
    Ahead {
        /// The track.
        track: &'a TrackName,
        /// Where the database stands.
        at: Position,
        /// Where the program's files end.
        last: Position,
    },
    /// A warning: a file is read, or passed over, where its author may have meant the opposite.
    NearMiss {
        /// The track.
        track: &'a TrackName,
        /// The file.
        miss: &'a NearMiss,
    },
}

/// Who is told.
pub(crate) type Observer = Arc<dyn Fn(&Event<'_>) + Send + Sync>;

/// Tells an event to the log and to whoever asked for it.
pub(crate) fn tell(observer: Option<&Observer>, event: &Event<'_>) {
    match event {
        Event::Starts { track, leg, .. } => {
            tracing::debug!(%track, version = leg.version, direction = %leg.direction, "a migration starts");
        }
        Event::Ends { track, leg, back, took } => {
            tracing::info!(%track, version = leg.version, direction = %leg.direction, back, ?took, "a migration ended well");
        }
        Event::Ahead { track, at, last } => {
            tracing::warn!(%track, %at, %last, "the database is ahead of this program; it is left as it is");
        }
        Event::NearMiss { track, miss } => tracing::warn!(%track, "{miss}"),
    }
    if let Some(observer) = observer {
        observer(event);
    }
}

/// Turns what the engine tells into events, and passes a wish to stop on.
pub(crate) struct Watcher {
    pub track: TrackName,
    pub back: bool,
    pub observer: Option<Observer>,
    pub stop: StopHandle,
}

impl event::Observer for Watcher {
    fn tell(&mut self, event: &event::Event<'_>) {
        let back = self.back;
        match event {
            event::Event::TurnOf { track, back } => {
                self.track = (*track).clone();
                self.back = *back;
            }
            event::Event::LegStarts(leg) => {
                let event = Event::Starts { track: &self.track, leg, back };
                tell(self.observer.as_ref(), &event);
            }
            event::Event::LegEnded { leg, ran, .. } => {
                let event = Event::Ends { track: &self.track, leg, back, took: *ran };
                tell(self.observer.as_ref(), &event);
            }
            _ => {}
        }
    }

    fn stop(&mut self) -> bool {
        self.stop.is_asked()
    }
}
