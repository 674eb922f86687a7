//! Why there is no journey, or it did not arrive.

use sternway_database::LockError;
use sternway_model::app::AppError;
use sternway_model::catalog::Release;
use sternway_model::effect::Unkept;
use sternway_model::plan::{Deviation, PlanError};
use sternway_model::proof::{Difference, ObjectName};
use thiserror::Error;

use crate::check::{CheckError, MendError};
use crate::gather::{GatherError, Gathered};
use crate::preflight::PreflightError;
use crate::run::RunError;
use crate::shadow::RehearsalError;
use crate::status::DirtyTracks;
use crate::unanswered::Unanswered;

/// Why there is no journey, or it did not arrive.
#[derive(Debug, Error)]
pub enum JourneyError {
    /// There are no facts to plan from.
    #[error(transparent)]
    Gather(#[from] GatherError),
    /// Something forbids it.
    #[error(transparent)]
    Preflight(#[from] PreflightError),
    /// There is no plan.
    #[error("there is no plan")]
    Plan {
        /// Why.
        #[source]
        cause: PlanError,
        /// What it was to be computed from.
        gathered: Box<Gathered>,
        /// What dirty tracks really have, where that is the reason.
        dirty: Option<Box<DirtyTracks>>,
    },
    /// What it should lead to cannot be found out.
    #[error("it cannot be told what the plan should lead to")]
    Rehearse {
        /// Why.
        #[source]
        cause: RehearsalError,
        /// How the schema differs from a clean install, which may be the reason.
        deviation: Box<Deviation>,
    },
    /// Its end would be without something that the target needs.
    #[error("{}", lacking(.target, .lacks))]
    Lacks {
        /// The release to arrive at.
        target: Release,
        /// What differs from a clean install of it.
        lacks: Vec<Difference>,
    },
    /// It would take along what others have made.
    #[error("{step} takes along what others have made: {}", named(.objects))]
    TakesForeign {
        /// The file.
        step: String,
        /// What goes.
        objects: Vec<ObjectName>,
    },
    /// Rows that are there are not what it would have to ask of them.
    #[error("{}", .messages.join("; "))]
    RowsForbid {
        /// What would be added among them and may be missing, where that is accepted.
        adds: Vec<ObjectName>,
        /// What they are not.
        messages: Vec<String>,
    },
    /// It would take large objects away, which the archive does not keep.
    #[error("{step} calls lo_unlink: the large objects that it takes are not kept")]
    LargeObjects {
        /// The file.
        step: String,
    },
    /// What the plan takes away could not be counted.
    #[error(transparent)]
    Unanswered(#[from] Unanswered),
    /// A check was not answered.
    #[error(transparent)]
    Unchecked(#[from] CheckError),
    /// What has to be so before it is not; nothing was touched.
    #[error("{}", .0.join("; "))]
    Refused(Vec<String>),
    /// What a step takes away cannot be kept; nothing was touched.
    #[error("`{file}` destroys what cannot be kept: {}", .unkept.iter().map(|it| it.reason.as_str()).collect::<Vec<_>>().join(", "))]
    Unkept {
        /// The step's file.
        file: String,
        /// What it is.
        unkept: Vec<Unkept>,
    },
    /// The application cannot be moved; nothing was touched.
    #[error(transparent)]
    App(AppError),
    /// The application is not as it was when the plan was made; nothing was touched.
    #[error("the application is not as it was when the plan was made: {}", .0.join("; "))]
    DeploymentMoved(Vec<String>),
    /// Rows have come since the plan was made, among which its bodies would run otherwise; nothing was touched.
    #[error("rows have come since the plan was made, among which another body would run than that of {}", .0.join(", "))]
    RowsMoved(Vec<String>),
    /// Nothing is taken of what was to be let go; nothing was touched.
    #[error("no step takes anything of {}", .0.join(", "))]
    NothingToDiscard(Vec<String>),
    /// Whoever was asked did not approve; nothing was touched.
    #[error("it was not approved")]
    NotApproved,
    /// The run ended before its plan did.
    #[error(transparent)]
    Run(#[from] RunError),
    /// It has arrived, and what a check found could not be mended.
    #[error(transparent)]
    Mend(#[from] MendError),
    /// No run is unfinished.
    #[error("no run is unfinished")]
    NothingUnfinished,
    /// The unfinished run is of another version.
    #[error("run {run} was begun by another version")]
    Unreadable {
        /// Its number.
        run: i64,
        /// Why its plan cannot be read.
        #[source]
        cause: sternway_database::DatabaseError,
    },
}

fn named(objects: &[ObjectName]) -> String {
    let objects: Vec<String> = objects.iter().map(ToString::to_string).collect();
    objects.join(", ")
}

fn lacking(target: &Release, lacks: &[Difference]) -> String {
    let lacks: Vec<String> = lacks.iter().map(ToString::to_string).collect();
    let head = "the application's own migrations do not lead to the schema of";
    format!("{head} {target}: {}", lacks.join("; "))
}

impl JourneyError {
    /// Whether a migrator that was at work may be the reason.
    pub(super) fn may_be_passing(&self) -> bool {
        matches!(
            self,
            Self::Plan { cause: PlanError::Dirty { .. }, .. }
                | Self::Preflight(PreflightError::OutOfStep(_))
        )
    }
}

impl From<LockError> for JourneyError {
    fn from(cause: LockError) -> Self {
        Self::Preflight(PreflightError::Lock(cause))
    }
}

impl From<sternway_database::DatabaseError> for JourneyError {
    fn from(cause: sternway_database::DatabaseError) -> Self {
        Self::Unanswered(Unanswered { what: "give the locks back", cause })
    }
}
