//! The journal: what a run did, in the order it happened.
//!
//! A step is recorded before it starts and again when it ends, so a crash leaves at most one step
//! in doubt. Records are never changed or removed. This module decides what may follow what;
//! `sternway_engine::run` does the writing.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// One entry of a journal. Steps are counted over all hops of the plan, from 0.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "event")]
pub enum Record {
    /// A step is about to start.
    Started {
        /// Which.
        step: usize,
    },
    /// A statement of a step that runs outside a transaction is about to start.
    Statement {
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
    /// The run was interrupted between steps, cleanly.
    Interrupted,
    /// Every step ended well.
    Finished,
    /// Somebody goes on with the run: after this, the step in doubt or that failed may start again.
    Resumed,
    /// Somebody takes the run back: from now on steps are only undone.
    Aborting,
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
        /// The statement under way, if it runs outside a transaction.
        statement: Option<usize>,
    },
    /// A step failed.
    Failed {
        /// Which.
        step: usize,
        /// Why.
        reason: String,
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
        match (self, record) {
            (Self::Before { step }, Record::Started { step: it }) if it == step => {
                Ok(Self::InDoubt { step, statement: None })
            }
            (Self::InDoubt { step, .. }, Record::Statement { step: it, statement })
                if it == step =>
            {
                Ok(Self::InDoubt { step, statement: Some(statement) })
            }
            (Self::InDoubt { step, .. }, Record::Ended { step: it }) if it == step => {
                Ok(Self::Before { step: step + 1 })
            }
            (Self::InDoubt { step, .. }, Record::Failed { step: it, reason }) if it == step => {
                Ok(Self::Failed { step, reason })
            }
            (Self::Before { step }, Record::Interrupted) => Ok(Self::Interrupted { step }),
            (Self::Before { .. }, Record::Finished) => Ok(Self::Finished),
            // A step in doubt that turned out to have ended gets its `Ended` and never a `Resumed`.
            (
                Self::InDoubt { step, .. }
                | Self::Failed { step, .. }
                | Self::Interrupted { step }
                | Self::Before { step },
                Record::Resumed,
            ) => Ok(Self::Before { step }),
            // The step in doubt has been settled as not done before this is written.
            (
                Self::InDoubt { step, .. }
                | Self::Failed { step, .. }
                | Self::Interrupted { step }
                | Self::Before { step },
                Record::Aborting,
            ) => Ok(Self::Aborting { left: step, in_doubt: false }),
            (Self::Aborting { left, .. }, Record::Undoing { step }) if step + 1 == left => {
                Ok(Self::Aborting { left, in_doubt: true })
            }
            (Self::Aborting { left, in_doubt: true }, Record::Undone { step })
                if step + 1 == left =>
            {
                Ok(Self::Aborting { left: step, in_doubt: false })
            }
            (
                progress @ Self::Aborting { in_doubt: true, .. },
                Record::Failed { .. } | Record::Statement { .. },
            ) => Ok(progress),
            (Self::Aborting { left: 0, in_doubt: false }, Record::Aborted) => Ok(Self::Aborted),
            (progress, Record::Abandoned) if !progress.is_over() => Ok(Self::Abandoned),
            (progress, record) => Err(OutOfOrder { record, progress }),
        }
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
            Self::InDoubt { step, statement: None } => write!(f, "step {} in doubt", step + 1),
            Self::InDoubt { step, statement: Some(statement) } => {
                write!(f, "step {} in doubt, in statement {statement}", step + 1)
            }
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
mod tests {
    use super::*;

    #[test]
    fn a_run_goes_from_step_to_step() {
        let records = [
            Record::Started { step: 0 },
            Record::Ended { step: 0 },
            Record::Started { step: 1 },
            Record::Statement { step: 1, statement: 2 },
        ];
        let doubt = Progress::InDoubt { step: 1, statement: Some(2) };
        assert_eq!(Progress::of(records.clone()), Ok(doubt.clone()));
        assert_eq!(doubt.after(Record::Ended { step: 1 }), Ok(Progress::Before { step: 2 }));
    }

    #[test]
    fn a_step_neither_ends_before_it_starts_nor_starts_twice() {
        assert!(Progress::of([Record::Ended { step: 0 }]).is_err());
        assert!(Progress::of([Record::Started { step: 1 }]).is_err());
        assert!(Progress::of([Record::Started { step: 0 }, Record::Started { step: 0 }]).is_err());
        assert!(Progress::of([Record::Started { step: 0 }, Record::Finished]).is_err());
        assert!(Progress::of([Record::Finished, Record::Finished]).is_err());
    }
}
