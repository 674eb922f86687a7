//! The fence around a run: while the schema changes, the application cannot write behind its back.
//!
//! It goes up and comes down as steps of the plan, under the same locks as the migrations. Taking it
//! away goes by the records, so that it needs nothing of the process that raised it.

use std::time::{Duration, Instant};

use sternway_database::{Database, DatabaseError, FenceKind, LockError, Raised, RunId, Session};
use sternway_model::fence::{FenceMode, FenceRequest};
use thiserror::Error;

use crate::event::{Event, Observer};

/// How long to wait between two looks at the sessions.
const PAUSE: Duration = Duration::from_millis(200);

/// How long sessions that were told to end may take.
const GRACE: Duration = Duration::from_secs(10);

/// Why other clients are not kept out.
#[derive(Debug, Error)]
pub enum FenceError {
    /// Other clients are still there.
    #[error("other clients did not leave: {}", joined(.0))]
    StillThere(Vec<Session>),
    /// A question or a change failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

fn joined(sessions: &[Session]) -> String {
    sessions.iter().map(Session::to_string).collect::<Vec<_>>().join("; ")
}

/// Keeps other clients out as `request` says, and sees to it that nobody is left who could write.
/// To be called under the locks of the run, before its first change.
///
/// What an earlier run of the application left standing is taken away first.
///
/// # Errors
/// When the fence cannot be raised, or somebody is still there at the end of the wait; then no fence
/// is left standing.
pub async fn raise(
    database: &mut dyn Database,
    app: &str,
    run: Option<RunId>,
    request: &FenceRequest,
    observer: &mut dyn Observer,
) -> Result<Option<Raised>, FenceError> {
    take_away_left(database, app, observer).await?;
    let raised = match request.mode {
        Some(mode) => stand(database, app, run, mode, request).await?,
        None => None,
    };
    match &raised {
        Some(raised) => observer.tell(&Event::FenceRaised(raised)),
        None if request.mode.is_some() => observer.tell(&Event::NobodyToFence),
        None => {}
    }
    let cleared = clear(database, raised.as_ref(), request, observer).await;
    if let (Err(_), Some(raised)) = (&cleared, &raised) {
        database.lower_fence(raised).await?;
    }
    cleared.map(|()| raised)
}

/// Takes away every fence that stands for the application `app`, whoever raised it, and returns which
/// there were. To be called under the locks of a run: another one's fence is not to be touched.
///
/// # Errors
/// When one cannot be taken away.
pub async fn lower(database: &mut dyn Database, app: &str) -> Result<Vec<Raised>, DatabaseError> {
    let fences = database.fences(app).await?;
    for fence in &fences {
        database.lower_fence(fence).await?;
    }
    Ok(fences)
}

/// As [`lower`], of fences that a process left which was cut short.
///
/// # Errors
/// When one cannot be taken away.
pub async fn take_away_left(
    database: &mut dyn Database,
    app: &str,
    observer: &mut dyn Observer,
) -> Result<(), DatabaseError> {
    for left in lower(database, app).await? {
        observer.tell(&Event::FenceFound(&left));
    }
    Ok(())
}

/// As [`take_away_left`], for whoever holds no locks: where somebody is at work, a fence may be his, and
/// stays.
///
/// # Errors
/// When one cannot be taken away.
pub async fn take_away_forgotten(
    database: &mut dyn Database,
    app: &str,
    tables: &[String],
    observer: &mut dyn Observer,
) -> Result<(), DatabaseError> {
    if database.fences(app).await?.is_empty() {
        return Ok(());
    }
    match database.lock(tables, Duration::ZERO).await {
        Ok(()) => {}
        Err(LockError::Held(_)) => return Ok(()),
        Err(LockError::Database(cause)) => return Err(cause),
    }
    let taken = take_away_left(database, app, observer).await;
    database.unlock().await?;
    taken
}

async fn stand(
    database: &mut dyn Database,
    app: &str,
    run: Option<RunId>,
    mode: FenceMode,
    request: &FenceRequest,
) -> Result<Option<Raised>, DatabaseError> {
    let mut roles = request.roles.clone();
    if request.others {
        roles.extend(database.sessions().await?.into_iter().map(|it| it.user));
        roles.retain(|role| !role.is_empty());
        roles.sort();
        roles.dedup();
    }
    if roles.is_empty() {
        return Ok(None); // Nobody is there whom it could be for.
    }
    let kind = match mode {
        FenceMode::ReadOnly => FenceKind::ReadOnly { roles },
        FenceMode::NoConnect => FenceKind::NoConnect { roles },
    };
    let fence = database.prepare_fence(&kind).await?;
    database.raise_fence(app, run, &fence).await.map(Some)
}

/// Waits until those have left who were there before the fence, or ends them.
async fn clear(
    database: &mut dyn Database,
    raised: Option<&Raised>,
    request: &FenceRequest,
    observer: &mut dyn Observer,
) -> Result<(), FenceError> {
    if raised.is_none() && !request.end && request.wait == 0 {
        return Ok(());
    }
    let kind = raised.map(|raised| &raised.fence.kind);
    let is_meant = |it: &Session| kind.is_none_or(|kind| kind.roles().contains(&it.user));
    let mut there = database.sessions().await?;
    there.retain(is_meant);
    if there.is_empty() {
        return Ok(());
    }
    // Only where the fence lets nobody in are those of interest who come later. Behind a read-only
    // one they do not write; those who come back after an end without a fence are let be.
    let keeps_out = matches!(kind, Some(FenceKind::NoConnect { .. }));
    let at_first: Vec<i64> = there.iter().map(|it| it.pid).collect();
    let mut time_left = Duration::from_secs(request.wait);
    if request.end {
        observer.tell(&Event::Ending(&there));
        database.end_sessions(&there).await?;
        time_left = time_left.max(GRACE);
    } else {
        observer.tell(&Event::Waiting(&there));
    }
    let waits_for_all = keeps_out || (kind.is_none() && !request.end);
    let start = Instant::now();
    loop {
        there = database.sessions().await?;
        there.retain(|it| is_meant(it) && (waits_for_all || at_first.contains(&it.pid)));
        if there.is_empty() {
            return Ok(());
        }
        if start.elapsed() >= time_left || observer.stop() {
            return Err(FenceError::StillThere(there));
        }
        tokio::time::sleep(PAUSE).await;
    }
}
