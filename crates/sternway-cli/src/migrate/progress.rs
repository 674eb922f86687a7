//! The lines that golang-migrate prints while it works.

use sternway_engine::event::{Event, Observer};
use sternway_model::catalog::{Direction, FileName};
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

impl Observer for Progress {
    fn tell(&mut self, event: &Event<'_>) {
        let prefix = &self.prefix;
        match event {
            Event::TurnOf { track, back: false } => self.prefix = format!("{track}: "),
            Event::TurnOf { track, back: true } => self.prefix = format!("{track}, taken back: "),
            Event::LegPlanned(leg) => {
                let buffers = leg.file.is_some() && self.ahead;
                let doing = if buffers { "Start buffering" } else { "Scheduled" };
                self.log.more(format!("{doing} {prefix}{}", name(leg)));
            }
            Event::LegStarts(leg) if leg.file.is_some() => {
                self.log.more(format!("Read and execute {prefix}{}", name(leg)));
            }
            Event::LegEnded { leg, read, ran } => self.log.tell(match self.log.verbose {
                true => {
                    let (name, read, ran) = (name(leg), duration(*read), duration(*ran));
                    format!("Finished {prefix}{name} (read {read}, ran {ran})")
                }
                false => format!("{prefix}{} ({})", name(leg), duration(*read + *ran)),
            }),
            _ => {}
        }
    }

    fn stop(&mut self) -> bool {
        self.signals.asked()
    }
}
