//! For how long an application was away on a journey, and what took the time.

use std::fmt;
use std::time::{Duration, Instant};

use serde::Serialize;
use sternway_model::plan::Step;

/// For how long an application was away, in seconds: from when it was told to stop until all of it was ready again.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Away {
    /// All of it.
    pub seconds: f64,
    /// Until it had stopped.
    pub stop: f64,
    /// While the schema moved, and was proved.
    pub database: f64,
    /// While another release was put in place.
    pub swap: f64,
    /// Until it was ready again.
    pub start: f64,
}

impl fmt::Display for Away {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Away { seconds, stop, database, swap, start } = self;
        write!(
            f,
            "the application was away for {seconds:.1} s: stop {stop:.1} s, database {database:.1} s, swap {swap:.1} s, start {start:.1} s"
        )
    }
}

/// Takes the time while an application is away.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    since: Option<Instant>,
    stop: Duration,
    swap: Duration,
}

impl Watch {
    /// Takes note of a step that has ended just now; returns the whole where the application is back.
    pub fn note(&mut self, step: &Step, undone: bool, took: Duration) -> Option<Away> {
        match (step, undone) {
            (Step::Stop, false) => {
                *self = Watch { since: Instant::now().checked_sub(took), stop: took, ..*self };
                None
            }
            (Step::Start { .. }, true) => {
                self.stop += took;
                None
            }
            (Step::Swap { .. }, _) => {
                self.swap += took;
                None
            }
            (Step::Start { .. }, false) | (Step::Stop, true) => {
                let all = self.since.take()?.elapsed();
                let database = all.saturating_sub(self.stop + self.swap + took);
                Some(Away {
                    seconds: all.as_secs_f64(),
                    stop: self.stop.as_secs_f64(),
                    database: database.as_secs_f64(),
                    swap: self.swap.as_secs_f64(),
                    start: took.as_secs_f64(),
                })
            }
            _ => None,
        }
    }
}
