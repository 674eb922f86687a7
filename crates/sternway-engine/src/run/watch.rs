//! What is told while a run goes on, and how it ends.

use std::time::Duration;

use sternway_database::{Done, Session};
use sternway_model::catalog::Release;
use sternway_model::plan::{Migrate, Plan, Step};
use sternway_model::proof::Comparison;
use sternway_model::state::RecordsAccess;

/// How a run ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// It arrived. The comparison of each hop's proof, where one was made.
    Arrived(Vec<Option<Comparison>>),
    /// It was asked to stop, and did between two steps.
    Interrupted {
        /// How many steps were done, or are still to be undone.
        done: usize,
        /// How many there are.
        of: usize,
    },
    /// Everything is as it was before the run.
    TakenBack {
        /// The schema, compared with the one from before; nothing where neither is known.
        comparison: Option<Comparison>,
    },
}

/// What is told while a run goes on.
pub trait Watch: Send {
    /// The locks are held and the steps begin; `access` says whether records are kept.
    fn begins(&mut self, _plan: &Plan, _access: &RecordsAccess) {}
    /// A migration starts, or its other half when it is undone.
    fn starts(&mut self, _step: &Migrate) {}
    /// A migration ended well.
    fn ends(&mut self, _step: &Migrate, _took: Duration, _done: &Done) {}
    /// Others hold a lock that a migration needs: nothing of it is done, and it is tried again after
    /// a pause.
    fn blocked(&mut self, _step: &Migrate, _by: &[Session], _pause: Duration) {}
    /// The application was stopped, swapped or started, or that was undone.
    fn acted(&mut self, _step: &Step, _undone: bool, _took: Duration) {}
    /// The proof of a hop was made.
    fn proved(&mut self, _release: &Release, _comparison: &Comparison) {}
    /// The application could not be put in place: from here on everything is taken back.
    fn goes_back(&mut self, _reason: &str) {}
    /// Whether to stop before the next step.
    fn stop(&mut self) -> bool {
        false
    }
}

/// Nobody watches.
#[derive(Debug, Clone, Copy, Default)]
pub struct Quiet;

impl Watch for Quiet {}
