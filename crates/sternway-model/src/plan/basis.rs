//! What a plan relies on: what the database said when it was made.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::catalog::{Digest, TrackName};
use crate::proof::{Definition, Difference, ObjectName};
use crate::state::{Identity, State, TrackState};

/// What the database said when the plan was made; it must still say so when the plan is executed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Basis {
    /// Which database; its user may differ between planning and executing.
    pub identity: Identity,
    /// Each track's tracking row.
    pub tracks: BTreeMap<TrackName, TrackState>,
    /// The hash of the schema's fingerprint, where it was taken.
    pub fingerprint: Option<Digest>,
    /// How the schema differs from a clean install of where the tracks stand.
    pub deviation: Deviation,
}

/// How a schema differs from a clean install of where its tracks stand.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Deviation {
    /// Each difference that is no foreign object.
    pub differences: Vec<Difference>,
    /// What the last journey is known to have left so.
    pub known: Vec<Difference>,
    /// Statements that make a clean install into this schema: a rehearsal begins there.
    pub statements: Vec<String>,
    /// What others have made beside the application, as far as no migration makes it.
    pub foreign: BTreeSet<ObjectName>,
    /// What no statement was found for, and how the database has it: the rehearsal is without.
    pub not_rehearsed: Vec<(ObjectName, Option<Definition>)>,
}

impl Deviation {
    /// Whether an object of the application's was lacking, or another one, in the way in which it is `found`: it
    /// stays so. What was there beside them was none of them, though a migration may make one of that name.
    pub fn has(&self, object: &ObjectName, found: Option<&str>) -> bool {
        self.differences.iter().filter(|it| it.object() == object).any(|it| match it {
            Difference::Missing { .. } => found.is_none(),
            Difference::Changed { found: was, .. } => found == Some(was),
            Difference::Unexpected { .. } => false,
        })
    }

    /// Whether the schema is that of a clean install, and nothing is there beside it.
    pub fn is_none(&self) -> bool {
        let Deviation { differences, known, statements, foreign, not_rehearsed } = self;
        differences.is_empty()
            && known.is_empty()
            && statements.is_empty()
            && foreign.is_empty()
            && not_rehearsed.is_empty()
    }
}

impl Basis {
    /// What `state` says that a plan relies on.
    pub fn of(state: &State) -> Basis {
        Basis {
            identity: state.identity.clone(),
            tracks: state.tracks.clone(),
            fingerprint: state.fingerprint,
            deviation: Deviation { known: state.records.leaves.clone(), ..Deviation::default() },
        }
    }

    /// What has changed in the database since; empty when nothing has.
    pub fn moved(&self, now: &State) -> Vec<String> {
        let mut moved = Vec::new();
        let place = |it: &Identity| format!("database `{}`, schema `{}`", it.database, it.schema);
        if !self.identity.database.is_empty() && place(&self.identity) != place(&now.identity) {
            moved.push(format!(
                "the plan is for {}; this is {}",
                place(&self.identity),
                place(&now.identity)
            ));
        }
        for (name, before) in &self.tracks {
            let now = now.tracks.get(name).copied().unwrap_or(TrackState::NoTable);
            let (was, is) = (before.row(), now.row());
            if was != is {
                moved.push(format!("track `{name}` was at {was} and is at {is}"));
            } else if *before != now {
                moved.push(match now {
                    TrackState::NoTable => format!("track `{name}` has lost its tracking table"),
                    TrackState::At(_) => format!("track `{name}` has a tracking table now"),
                });
            }
        }
        if let (Some(before), Some(now)) = (self.fingerprint, now.fingerprint)
            && before != now
        {
            moved.push("the schema has changed".to_owned());
        }
        moved
    }
}
