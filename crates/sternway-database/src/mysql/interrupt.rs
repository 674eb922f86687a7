//! Ending the statement that a session is at.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use sqlx::{AssertSqlSafe, Connection};

use super::connect::{Target, open};
use crate::port::{Connect, DatabaseError, Interrupt};

/// The server's number for a session, and the way to its server.
pub(super) struct Session {
    pub target: Target,
    pub id: u64,
    /// Set when it is asked.
    pub asked: Arc<AtomicBool>,
}

#[async_trait]
impl Interrupt for Session {
    async fn interrupt(&self) -> Result<(), Connect> {
        self.asked.store(true, Ordering::SeqCst);
        let mut connection = open(&self.target).await?;
        let sql = format!("KILL QUERY {}", self.id);
        let killed = sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await;
        // A goodbye; that it was heard does not matter.
        let _ = connection.close().await;
        killed.map(drop).map_err(|source| {
            let doing = "end the statement".to_owned();
            let source = DatabaseError::Query { doing, source };
            Connect::Session { place: "the server".to_owned(), source }
        })
    }
}
