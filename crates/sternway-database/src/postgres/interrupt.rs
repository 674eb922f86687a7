//! Ending the statement that a session is at.

use std::time::Duration;

use async_trait::async_trait;
use sqlx::postgres::PgConnectOptions;

use super::connect::open;
use super::failed;
use crate::port::{Connect, Interrupt};

/// The server process of a session, and how to reach the server: the request comes from a session
/// of its own, in the same way and as the same user, who may end what is his.
#[derive(Debug, Clone)]
pub(super) struct Backend {
    pub options: PgConnectOptions,
    pub connect_timeout: Duration,
    /// The server's number for the process.
    pub process: i32,
}

#[async_trait]
impl Interrupt for Backend {
    async fn interrupt(&self) -> Result<(), Connect> {
        let mut connection = open(&self.options, self.connect_timeout).await?;
        let sql = format!("SELECT pg_catalog.pg_cancel_backend({})", self.process);
        let asked = sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut connection).await;
        asked.map(drop).map_err(|source| Connect::Session {
            place: self.options.get_host().to_owned(),
            source: failed("end the statement under way")(source),
        })
    }
}

/// For a server that has room for one session.
#[cfg(feature = "embedded")]
pub(super) struct Nobody;

#[cfg(feature = "embedded")]
#[async_trait]
impl Interrupt for Nobody {
    async fn interrupt(&self) -> Result<(), Connect> {
        Err(Connect::Embedded("it has room for one session, and cannot be interrupted".to_owned()))
    }
}
