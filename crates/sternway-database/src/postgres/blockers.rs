//! Who is in a body's way.
//!
//! Once a body's wait for a lock has ended, nobody can tell any more whom it waited for. So a second
//! connection looks while it waits. It is opened only for a body that takes its time.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Connection as _, Row};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::Postgres;
use super::connect::open;
use super::interrupt::Backend;
use super::limits::{LOCKED, is_locked};
use crate::port::{DatabaseError, Limits, Session, StepError};

/// A body that ends sooner is not watched.
const DELAY: Duration = Duration::from_millis(200);

/// How long to wait between two looks.
const PAUSE: Duration = Duration::from_millis(100);

/// How long a watch that is over may take to take its leave, before it does so unattended.
const LEAVE: Duration = Duration::from_secs(1);

/// The columns of a session, from `pg_stat_activity AS a`. Of other users' sessions the server tells
/// only some to those who may not see all.
pub(super) const COLUMNS: &str = "
    a.pid::bigint,
    coalesce(nullif(a.application_name, ''), nullif(a.backend_type, 'client backend'), ''),
    coalesce(a.usename::text, ''),
    coalesce(host(a.client_addr), CASE WHEN a.client_port = -1 THEN 'a local socket' END, ''),
    coalesce(a.state, 'state unknown')
        || CASE WHEN a.wait_event_type = 'Lock' THEN ', waiting for a lock' ELSE '' END,
    CASE WHEN a.query = '<insufficient privilege>' THEN ''
         ELSE left(split_part(btrim(a.query, E' \\t\\r\\n'), E'\\n', 1), 120) END,
    extract(epoch FROM clock_timestamp() - a.xact_start)::float8";

/// Reads [`COLUMNS`].
pub(super) fn session(row: &PgRow) -> sqlx::Result<Session> {
    Ok(Session {
        pid: row.try_get(0)?,
        application: row.try_get(1)?,
        user: row.try_get(2)?,
        from: row.try_get(3)?,
        state: row.try_get(4)?,
        query: row.try_get::<Option<String>, _>(5)?.unwrap_or_default(),
        seconds: row.try_get(6)?,
    })
}

/// Those whom a session waits for, and those whom they wait for. The process 0 stands for prepared
/// transactions, which no session has.
fn blockers_of(process: i32) -> String {
    format!(
        "WITH RECURSIVE blocker(pid) AS (
             SELECT unnest(pg_catalog.pg_blocking_pids({process}))
             UNION SELECT unnest(pg_catalog.pg_blocking_pids(blocker.pid)) FROM blocker WHERE blocker.pid > 0
         )
         SELECT {COLUMNS} FROM pg_catalog.pg_stat_activity a JOIN blocker USING (pid) WHERE a.pid <> {process}
         UNION ALL
         SELECT 0, gid, owner::text, '', 'a prepared transaction', '', extract(epoch FROM clock_timestamp() - prepared)::float8
         FROM pg_catalog.pg_prepared_xacts
         WHERE database = current_database() AND 0 IN (SELECT pid FROM blocker)
         ORDER BY 1"
    )
}

/// Looks who is in the way of a session, for as long as it lives.
///
/// A watch is told that it is over, and ends its session as the server expects. One that is cut off may be in the
/// middle of its password, and whoever is between here and the server may not tell it so: while the server waits for
/// the rest, nobody there can create or drop a database.
pub(super) struct Watcher {
    limits: Limits,
    /// Those whom the last look that found any has found.
    seen: Arc<Mutex<Vec<Session>>>,
    /// The watch is over when the sender is dropped.
    watch: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
}

impl Watcher {
    /// Begins before a body does. Without a limit on waiting there is nothing to watch for.
    pub fn start(postgres: &Postgres, limits: Limits) -> Watcher {
        let seen = Arc::default();
        let watch = limits.lock.filter(|_| postgres.has_sessions()).map(|limit| {
            // Of a short limit most is left after the delay: a connection takes its time as well.
            let (delay, pause) = (DELAY.min(limit / 4), PAUSE.min(limit / 4));
            let (ours, over) = oneshot::channel();
            let watch = watch(postgres.backend.clone(), delay, pause, Arc::clone(&seen), over);
            (ours, tokio::spawn(watch))
        });
        Watcher { limits, seen, watch }
    }

    /// Ends the watch. Those whom the body waited for last, if it did.
    pub async fn stop(mut self) -> Vec<Session> {
        if let Some((ours, task)) = self.watch.take() {
            drop(ours);
            // Until the connection is closed: the next one finds room.
            let _ = timeout(LEAVE, task).await;
        }
        std::mem::take(&mut *self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Ends the watch, and says of a body that did not get its lock who had it. `goes_on`: whether the
    /// body can go on with the statement that waited.
    pub async fn explain<T>(
        self,
        ended: Result<T, StepError>,
        goes_on: bool,
    ) -> Result<T, StepError> {
        let waited = self.limits.lock;
        let blockers = self.stop().await;
        match (ended, waited) {
            (Err(StepError::TakenBack { file, source }), Some(waited)) if source.code == LOCKED => {
                Err(StepError::Blocked { file, waited, blockers })
            }
            (Err(StepError::Dirty { file, statement, since, mut source, .. }), Some(_))
                if source.code == LOCKED =>
            {
                if source.detail.is_none() && !blockers.is_empty() {
                    let names: Vec<String> = blockers.iter().map(Session::to_string).collect();
                    source.detail = Some(format!("it was held by {}", names.join(", ")));
                }
                let blockers = goes_on.then_some(blockers);
                Err(StepError::Dirty { file, statement, since, source, blockers })
            }
            (ended, _) => ended,
        }
    }

    /// Ends the watch, and says of a look that did not get its lock who had it.
    pub async fn explain_look<T>(
        self,
        ended: Result<T, DatabaseError>,
    ) -> Result<T, DatabaseError> {
        let waited = self.limits.lock;
        let blockers = self.stop().await;
        match (ended, waited) {
            (Err(DatabaseError::Query { doing, source }), Some(waited)) if is_locked(&source) => {
                Err(DatabaseError::Locked { doing, waited, blockers })
            }
            (ended, _) => ended,
        }
    }
}

async fn watch(
    backend: Backend,
    delay: Duration,
    pause: Duration,
    seen: Arc<Mutex<Vec<Session>>>,
    mut over: oneshot::Receiver<()>,
) {
    if timeout(delay, &mut over).await.is_ok() {
        return;
    }
    // By this name other Sternways know that it is not a client of the application's.
    let options = backend.options.application_name(super::NAME);
    let mut connection = match open(&options, backend.connect_timeout).await {
        Ok(connection) => connection,
        Err(error) => return tracing::debug!("nobody looks who is in the way: {error}"),
    };
    let sql = blockers_of(backend.process);
    let mut wait = Duration::ZERO;
    while timeout(wait, &mut over).await.is_err() {
        let query = sqlx::raw_sql(AssertSqlSafe(sql.clone()));
        let found = query.fetch_all(&mut connection).await;
        let found = found.and_then(|rows| rows.iter().map(session).collect::<sqlx::Result<_>>());
        match found {
            Ok(found) => {
                let found: Vec<Session> = found;
                if !found.is_empty() {
                    *seen.lock().unwrap_or_else(PoisonError::into_inner) = found;
                }
            }
            Err(error) => return tracing::debug!("nobody knows who is in the way: {error}"),
        }
        wait = pause;
    }
    let _ = connection.close().await;
}
