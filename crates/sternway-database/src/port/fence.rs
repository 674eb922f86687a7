//! What keeps other clients from writing.

use std::fmt;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{DatabaseError, RunId};

/// How other clients are kept from writing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum FenceKind {
    /// The right to connect is taken from these roles.
    NoConnect {
        /// The roles.
        roles: Vec<String>,
    },
    /// New transactions of these roles are read-only unless they say otherwise.
    ReadOnly {
        /// The roles.
        roles: Vec<String>,
    },
}

impl FenceKind {
    /// The roles that it is for.
    pub fn roles(&self) -> &[String] {
        let (Self::NoConnect { roles } | Self::ReadOnly { roles }) = self;
        roles
    }
}

impl fmt::Display for FenceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoConnect { roles } => write!(f, "no connections for {}", roles.join(", ")),
            Self::ReadOnly { roles } => write!(f, "read-only for {}", roles.join(", ")),
        }
    }
}

/// A fence, with all that taking it away needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fence {
    /// What it does.
    pub kind: FenceKind,
    /// The database.
    pub database: String,
    /// What there was before, in the dialect's own terms.
    pub before: Vec<String>,
}

/// A fence that stands, as the records have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Raised {
    /// Its number in the records.
    pub id: i64,
    /// The run that it was raised for, if that was recorded.
    pub run: Option<RunId>,
    /// What it is.
    pub fence: Fence,
    /// When, in UTC, as `YYYY-MM-DD HH:MM:SS`.
    pub since: String,
}

/// The fences of a database.
#[async_trait]
pub trait Fences: Send {
    /// Finds out what a fence of this kind would change, and changes nothing.
    ///
    /// # Errors
    /// When the dialect has no such fence, or this one would not hold or could not be raised.
    async fn prepare_fence(&mut self, kind: &FenceKind) -> Result<Fence, DatabaseError>;

    /// Raises a fence for the application `app`: other clients are kept from writing until
    /// [`Fences::lower_fence`]. The records say so before anybody is kept out, so that no crash
    /// leaves it behind unknown. At most one stands in a database.
    async fn raise_fence(
        &mut self,
        app: &str,
        run: Option<RunId>,
        fence: &Fence,
    ) -> Result<Raised, DatabaseError>;

    /// The fences that stand for the application `app`: also those that a crash has left.
    async fn fences(&mut self, app: &str) -> Result<Vec<Raised>, DatabaseError>;

    /// Takes a fence away: what it changed is again as it was. One that is gone already is no error.
    async fn lower_fence(&mut self, fence: &Raised) -> Result<(), DatabaseError>;
}
