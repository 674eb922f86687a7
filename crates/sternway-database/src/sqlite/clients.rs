//! The other clients of a file, which nobody tells of: whoever uses it is a process of its own.

use async_trait::async_trait;

use super::Sqlite;
use crate::port::{Clients, DatabaseError, Orphan, Session};

#[async_trait]
impl Clients for Sqlite {
    async fn sessions(&mut self) -> Result<Vec<Session>, DatabaseError> {
        Ok(Vec::new())
    }

    async fn end_sessions(&mut self, _sessions: &[Session]) -> Result<(), DatabaseError> {
        Ok(())
    }

    async fn orphans(
        &mut self,
        _tables: &[String],
        _bodies: &[&str],
    ) -> Result<Vec<Orphan>, DatabaseError> {
        Ok(Vec::new())
    }

    async fn end_found_orphans(&mut self, _orphans: &[Orphan]) -> Result<(), DatabaseError> {
        Ok(())
    }

    async fn is_pooled(&mut self) -> Result<bool, DatabaseError> {
        Ok(false)
    }
}
