//! The lines that golang-migrate prints while it works.

use std::time::Duration;

use sternway_engine::walk::Watch;
use sternway_model::catalog::{Direction, FileName, TrackName};
use sternway_model::walk::Leg;

use super::log::Log;
use super::signals::Signals;
use super::text::duration;

/// What golang-migrate calls a leg: `1/u create_users`, `5/d <empty>`.
pub fn name(leg: &Leg) -> String {
    let direction = match leg.direction {
        Direction::Up => 'u',
        Direction::Down => 'd',
    };
    let title = match &leg.file {
        Some(file) => FileName::parse(file).map(|it| it.title).unwrap_or_default(),
        None => "<empty>".to_owned(),
    };
    format!("{}/{direction} {title}", leg.version)
}

/// Tells how a walk goes.
pub struct Progress {
    pub log: Log,
    pub signals: Signals,
    /// Whether golang-migrate would read ahead.
    pub ahead: bool,
    /// What stands before each line, such as the name of a track.
    pub prefix: String,
}

impl Watch for Progress {
    fn turns_to(&mut self, track: &TrackName, back: bool) {
        self.prefix = if back { format!("{track}, taken back: ") } else { format!("{track}: ") };
    }

    fn reads(&mut self, leg: &Leg) {
        let doing = if leg.file.is_some() && self.ahead { "Start buffering" } else { "Scheduled" };
        self.log.more(format!("{doing} {}{}", self.prefix, name(leg)));
    }

    fn starts(&mut self, leg: &Leg) {
        if leg.file.is_some() {
            self.log.more(format!("Read and execute {}{}", self.prefix, name(leg)));
        }
    }

    fn ends(&mut self, leg: &Leg, read: Duration, ran: Duration) {
        let name = name(leg);
        let prefix = &self.prefix;
        self.log.tell(match self.log.verbose {
            true => {
                let (read, ran) = (duration(read), duration(ran));
                format!("Finished {prefix}{name} (read {read}, ran {ran})")
            }
            false => format!("{prefix}{name} ({})", duration(read + ran)),
        });
    }

    fn stop(&mut self) -> bool {
        self.signals.asked()
    }
}
