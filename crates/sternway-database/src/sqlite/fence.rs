//! There is no fence: a file has no users, and nobody can be kept from it.

use async_trait::async_trait;

use super::Sqlite;
use crate::port::{DatabaseError, Fence, FenceKind, Fences, Raised, RunId};

fn none(kind: &FenceKind) -> DatabaseError {
    DatabaseError::NoFence { kind: kind.to_string() }
}

#[async_trait]
impl Fences for Sqlite {
    async fn prepare_fence(&mut self, kind: &FenceKind) -> Result<Fence, DatabaseError> {
        Err(none(kind))
    }

    async fn raise_fence(
        &mut self,
        _app: &str,
        _run: Option<RunId>,
        fence: &Fence,
    ) -> Result<Raised, DatabaseError> {
        Err(none(&fence.kind))
    }

    async fn fences(&mut self, _app: &str) -> Result<Vec<Raised>, DatabaseError> {
        Ok(Vec::new())
    }

    async fn lower_fence(&mut self, fence: &Raised) -> Result<(), DatabaseError> {
        Err(none(&fence.fence.kind))
    }
}
