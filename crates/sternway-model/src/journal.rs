//! The journal: what a run did, in the order it happened.
//!
//! A step is recorded before it starts and again when it ends, so a crash leaves at most one step
//! in doubt; a body that runs statement by statement leaves at most one statement in doubt. Records
//! are never changed or removed: undoing a step adds records. This module decides what may follow
//! what; `sternway_engine::run` does the writing.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::catalog::Digest;
use crate::proof::Difference;

/// One entry of a journal. Steps are counted over all hops of the plan, from 0.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "event")]
pub enum Record {
    /// A step is about to start.
    Started {
        /// Which.
        step: usize,
    },
    /// A statement of a step is about to start, outside a transaction; all before it took effect.
    Statement {
        /// Which step.
        step: usize,
        /// Which statement of its body, from 1.
        statement: usize,
        /// What the schema is before it, where that is what tells later whether it took effect.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        schema: Option<Digest>,
    },
    /// A statement of a step that runs outside a transaction took effect: this commits with it,
    /// wherever the statement by itself can run in a transaction.
    StatementDone {
        /// Which step.
        step: usize,
        /// Which statement of its body, from 1.
        statement: usize,
    },
    /// A step ended well.
    Ended {
        /// Which.
        step: usize,
    },
    /// A step failed, and the run with it.
    Failed {
        /// Which.
        step: usize,
        /// Why.
        reason: String,
    },
    /// The schema differs so where a step looked, and whoever resumed the run has said that it may.
    Accepted {
        /// Which step.
        step: usize,
        /// How it differs.
        differences: Vec<Difference>,
    },
    /// The run was interrupted between steps, cleanly.
    Interrupted,
    /// Every step ended well.
    Finished,
    /// Somebody goes on with the run: after this, the step in doubt or that failed may start again,
    /// or go on in its middle.
    Resumed,
    /// Somebody takes the run back: from now on steps are only undone.
    Aborting {
        /// How many steps are to be undone: those that are done, and the one in doubt where it may
        /// have left something.
        left: usize,
        /// Where the last of them came only half way: the statements of its other half that undo
        /// this much, in place of all of them.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        way: Option<String>,
    },
    /// A step is about to be undone.
    Undoing {
        /// Which.
        step: usize,
    },
    /// A step is undone.
    Undone {
        /// Which.
        step: usize,
    },
    /// Everything is as it was before the run.
    Aborted,
    /// Nobody will go on with the run: another one was started instead.
    Abandoned,
}

/// How far a body came that runs outside a transaction, statement by statement.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Reached {
    /// The statement under way, from 1, where nothing says how it went.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub statement: Option<usize>,
    /// How many statements are known to have taken effect.
    #[serde(skip_serializing_if = "is_zero")]
    pub done: usize,
    /// Whether the statement under way is known to have failed: it took no effect.
    #[serde(skip_serializing_if = "is_false")]
    pub failed: bool,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_false(flag: &bool) -> bool {
    !*flag
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

impl Reached {
    /// Whether no statement is known to have begun.
    pub fn is_nothing(self) -> bool {
        self.statement.is_none() && self.done == 0
    }

    /// How far it is after the step has failed.
    fn after_failure(self) -> Reached {
        Reached { failed: self.statement.is_some(), ..self }
    }

    /// How far it is after a statement began or took effect.
    fn after(self, statement: usize, ended: bool) -> Option<Reached> {
        match (statement > self.done, ended) {
            (false, _) => None,
            (true, true) => Some(Reached { statement: None, done: statement, failed: false }),
            (true, false) => {
                Some(Reached { statement: Some(statement), done: statement - 1, failed: false })
            }
        }
    }
}

/// Where a run stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "progress")]
pub enum Progress {
    /// The next step is this one.
    Before {
        /// Which.
        step: usize,
    },
    /// A step started and nothing says how it went.
    InDoubt {
        /// Which.
        step: usize,
        /// How far it came, if it runs outside a transaction.
        #[serde(flatten)]
        reached: Reached,
    },
    /// A step failed.
    Failed {
        /// Which.
        step: usize,
        /// Why.
        reason: String,
        /// How far it came, if it runs outside a transaction.
        #[serde(flatten)]
        reached: Reached,
    },
    /// Interrupted before this step.
    Interrupted {
        /// Which.
        step: usize,
    },
    /// Done.
    Finished,
    /// Being taken back; the steps before this one are still to be undone.
    Aborting {
        /// How many are still to be undone.
        left: usize,
        /// Whether the last of them is being undone, or failed to be.
        in_doubt: bool,
        /// How far undoing it came, if that runs outside a transaction.
        #[serde(flatten)]
        reached: Reached,
        /// The statements that undo the last of them, where these are not its whole other half.
        #[serde(skip)]
        way: Option<String>,
    },
    /// Taken back.
    Aborted,
    /// Left as it was.
    Abandoned,
}

/// A record that cannot follow what came before it.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("the journal is out of order: {record:?} after {progress:?}")]
pub struct OutOfOrder {
    /// The record.
    pub record: Record,
    /// Where the run stood.
    pub progress: Progress,
}

impl Record {
    /// How the schema differs with the consent of whoever resumed the run with these records.
    pub fn accepted(records: &[Record]) -> Vec<Difference> {
        let accepted = records.iter().map(|record| match record {
            Self::Accepted { differences, .. } => differences.as_slice(),
            _ => &[],
        });
        accepted.flatten().cloned().collect()
    }

    /// Whether it says that a statement took effect.
    fn is_end_of_statement(&self) -> bool {
        matches!(self, Self::StatementDone { .. })
    }
}

impl Progress {
    /// Where every run begins.
    pub const START: Progress = Progress::Before { step: 0 };

    /// Whether nothing is left to be done or to be taken back.
    pub fn is_over(&self) -> bool {
        matches!(self, Self::Finished | Self::Aborted | Self::Abandoned)
    }

    /// Returns where a run stands after `record`.
    ///
    /// # Errors
    /// When the record cannot follow.
    pub fn after(self, record: Record) -> Result<Self, OutOfOrder> {
        let next = match (&self, &record) {
            (Self::Before { step }, Record::Started { step: it }) if it == step => {
                Some(Self::InDoubt { step: *step, reached: Reached::default() })
            }
            (
                Self::InDoubt { step, reached },
                Record::Statement { step: it, statement, .. }
                | Record::StatementDone { step: it, statement },
            ) if it == step => reached
                .after(*statement, record.is_end_of_statement())
                .map(|reached| Self::InDoubt { step: *step, reached }),
            (Self::InDoubt { step, .. }, Record::Ended { step: it }) if it == step => {
                Some(Self::Before { step: step + 1 })
            }
            (Self::InDoubt { step, reached }, Record::Failed { step: it, reason })
                if it == step =>
            {
                let (step, reason, reached) = (*step, reason.clone(), reached.after_failure());
                Some(Self::Failed { step, reason, reached })
            }
            (Self::InDoubt { step, .. }, Record::Accepted { step: it, .. }) if it == step => {
                Some(self.clone())
            }
            (Self::Before { step }, Record::Interrupted) => Some(Self::Interrupted { step: *step }),
            (Self::Before { .. }, Record::Finished) => Some(Self::Finished),
            (_, Record::Resumed) => self.resumed(),
            (_, Record::Aborting { left, way }) => self.aborting(*left, way.clone()),
            // What is in doubt may be undone again, or on from where it is.
            (Self::Aborting { left, reached, way, .. }, Record::Undoing { step })
                if step + 1 == *left =>
            {
                Some(Self::undoing(*left, *reached, way))
            }
            (
                Self::Aborting { left, in_doubt: true, reached, way },
                Record::Statement { step, statement, .. }
                | Record::StatementDone { step, statement },
            ) if step + 1 == *left => reached
                .after(*statement, record.is_end_of_statement())
                .map(|reached| Self::undoing(*left, reached, way)),
            (
                Self::Aborting { left, in_doubt: true, reached, way },
                Record::Failed { step, .. },
            ) if step + 1 == *left => Some(Self::undoing(*left, reached.after_failure(), way)),
            (Self::Aborting { left, in_doubt: true, .. }, Record::Undone { step })
                if step + 1 == *left =>
            {
                Some(Self::taken_back_to(*step, None))
            }
            (Self::Aborting { left: 0, in_doubt: false, .. }, Record::Aborted) => {
                Some(Self::Aborted)
            }
            (_, Record::Abandoned) if !self.is_over() => Some(Self::Abandoned),
            _ => None,
        };
        next.ok_or(OutOfOrder { record, progress: self })
    }

    /// Where a run stands once somebody goes on with it. A step in doubt that turned out to have ended
    /// gets its `Ended` after this; one that came half way goes on from there.
    fn resumed(&self) -> Option<Self> {
        match self {
            Self::InDoubt { step, reached } | Self::Failed { step, reached, .. }
                if !reached.is_nothing() =>
            {
                Some(Self::InDoubt { step: *step, reached: *reached })
            }
            Self::InDoubt { step, .. }
            | Self::Failed { step, .. }
            | Self::Interrupted { step }
            | Self::Before { step } => Some(Self::Before { step: *step }),
            Self::Finished | Self::Aborting { .. } | Self::Aborted | Self::Abandoned => None,
        }
    }

    /// Where a run stands once `left` steps of it are to be undone.
    fn aborting(&self, left: usize, way: Option<String>) -> Option<Self> {
        let fits = match self {
            Self::Before { step } | Self::Interrupted { step } => left == *step,
            Self::InDoubt { step, .. } | Self::Failed { step, .. } => {
                left == *step || left == step + 1
            }
            Self::Finished | Self::Aborting { .. } | Self::Aborted | Self::Abandoned => false,
        };
        fits.then(|| Self::taken_back_to(left, way))
    }

    fn taken_back_to(left: usize, way: Option<String>) -> Self {
        Self::Aborting { left, in_doubt: false, reached: Reached::default(), way }
    }

    fn undoing(left: usize, reached: Reached, way: &Option<String>) -> Self {
        Self::Aborting { left, in_doubt: true, reached, way: way.clone() }
    }

    /// Returns where a run with these records stands.
    ///
    /// # Errors
    /// When one cannot follow those before it.
    pub fn of(records: impl IntoIterator<Item = Record>) -> Result<Self, OutOfOrder> {
        records.into_iter().try_fold(Self::START, Self::after)
    }
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Before { step } => write!(f, "stopped before step {}", step + 1),
            Self::InDoubt { step, reached: Reached { statement: Some(statement), .. } } => {
                write!(f, "step {} in doubt, in statement {statement}", step + 1)
            }
            Self::InDoubt { step, .. } => write!(f, "step {} in doubt", step + 1),
            Self::Failed { step, .. } => write!(f, "failed in step {}", step + 1),
            Self::Interrupted { step } => write!(f, "interrupted before step {}", step + 1),
            Self::Finished => f.write_str("finished"),
            Self::Aborting { left: 0, .. } => f.write_str("being taken back, nothing is left"),
            Self::Aborting { left, .. } => write!(f, "being taken back, {left} steps are left"),
            Self::Aborted => f.write_str("taken back"),
            Self::Abandoned => f.write_str("abandoned"),
        }
    }
}

#[cfg(test)]
mod tests;
