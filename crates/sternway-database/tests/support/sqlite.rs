//! A SQLite file of its own for each test.

use std::path::PathBuf;

use sqlx::{AssertSqlSafe, Connection, SqliteConnection};
use sternway_database::dialect::connect;
use sternway_database::port::prelude::*;
use sternway_database::{Settings, StepError, Work};
use sternway_model::position::Position;
use sternway_model::state::TrackState;
use tempfile::TempDir;

use super::{TABLE, whole};

/// A folder for a database.
pub struct Place {
    pub folder: TempDir,
}

impl Place {
    pub fn new() -> Place {
        Place { folder: tempfile::tempdir().expect("a folder") }
    }

    pub fn file(&self) -> PathBuf {
        self.folder.path().join("app.db")
    }

    pub fn url(&self, query: &str) -> String {
        format!("sqlite3://{}?{query}", self.file().display())
    }

    pub async fn session(&self) -> Box<dyn Database> {
        open(&self.url("")).await
    }

    /// A session that is not Sternway's.
    pub async fn watch(&self) -> SqliteConnection {
        let url = format!("sqlite://{}?mode=rwc", self.file().display());
        SqliteConnection::connect(&url).await.expect("a connection")
    }

    pub async fn ask(&self, sql: &str) -> String {
        let value = sqlx::query_scalar::<_, Option<String>>(AssertSqlSafe(format!(
            "SELECT CAST(({sql}) AS TEXT)"
        )));
        let value = value.fetch_one(&mut self.watch().await).await;
        value.unwrap_or_else(|error| panic!("{sql}: {error}")).unwrap_or_default()
    }

    pub async fn execute(&self, sql: &str) {
        let done =
            sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut self.watch().await).await;
        done.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
}

pub async fn open(url: &str) -> Box<dyn Database> {
    connect(url, None).await.unwrap_or_else(|error| panic!("{url}: {}", whole(&error)))
}

/// Runs a body that goes from one number to another, as the session's facts say.
pub async fn go(
    session: &mut Box<dyn Database>,
    from: impl Into<Position>,
    to: impl Into<Position>,
    body: &str,
) -> Result<(), StepError> {
    let mode = session.facts(body).mode;
    let (table, file, settings) = (TABLE, "1_a.up.sql", Settings::Reset);
    session
        .migrate(&Work {
            table,
            from: from.into(),
            to: to.into(),
            file,
            body,
            mode: &mode,
            journal: None,
            settings,
            durable: true,
            first: 1,
            closed_by: &[],
            undoing: false,
            dirty: false,
        })
        .await
}

pub async fn up(session: &mut Box<dyn Database>, version: u64, body: &str) {
    let from = version.checked_sub(1).filter(|from| *from > 0);
    let went = go(session, from, Some(version), body).await;
    went.unwrap_or_else(|error| panic!("{body}: {}", whole(&error)));
}

pub async fn track(session: &mut Box<dyn Database>) -> TrackState {
    session.track(TABLE).await.expect("a track")
}
