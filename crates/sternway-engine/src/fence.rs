//! The fence around a run: while the schema changes, the application cannot write behind its back.
//!
//! A run that has its locks and has not yet changed anything calls [`raise`]; whatever becomes of it,
//! [`lower`] follows, under the same locks: at its end, after a failure, and when a run that died is
//! resumed or taken back. `lower` goes by the records, so it needs nothing of the process that raised
//! the fence, and does nothing where none stands.

use std::time::{Duration, Instant};

use sternway_database::{Database, DatabaseError, FenceKind, Raised, RunId, Session};
use thiserror::Error;

/// How long to wait between two looks at the sessions.
const PAUSE: Duration = Duration::from_millis(200);

/// How long sessions that were told to end may take.
const GRACE: Duration = Duration::from_secs(10);

/// Which kind of fence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// New sessions only read, unless they ask for more.
    ReadOnly,
    /// There are no new sessions.
    NoConnect,
}

/// What is done about the other clients of the database.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// How new sessions are kept from writing, if they are.
    pub kind: Option<Kind>,
    /// The roles that the fence is for; those of the other sessions where none is named.
    pub roles: Vec<String>,
    /// Whether the sessions that are there are ended.
    pub end: bool,
    /// How long to wait for them to leave.
    pub wait: Duration,
}

/// Why a run does not begin.
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

/// What is told meanwhile.
#[derive(Debug)]
pub enum Event<'a> {
    /// A fence that an earlier run left behind was taken away.
    Found(&'a Raised),
    /// The fence stands.
    Raised(&'a Raised),
    /// These sessions are waited for.
    Waiting(&'a [Session]),
    /// These sessions are told to end.
    Ending(&'a [Session]),
}

/// What is told, and whether to stop waiting.
pub trait Watch: Send {
    /// Something happened.
    fn tell(&mut self, _event: &Event<'_>) {}
    /// Whether to give up.
    fn stop(&mut self) -> bool {
        false
    }
}

/// Keeps other clients out as `options` say, and sees to it that nobody is left who could write.
/// To be called under the locks of the run, before its first change.
///
/// What an earlier run of the application left standing is taken away first. Without a fence and
/// without a wait nothing is done at all.
///
/// # Errors
/// When the fence cannot be raised, or somebody is still there at the end of the wait; then no fence
/// is left standing.
pub async fn raise(
    database: &mut dyn Database,
    app: &str,
    run: Option<RunId>,
    options: &Options,
    watch: &mut dyn Watch,
) -> Result<Option<Raised>, FenceError> {
    for left in lower(database, app).await? {
        watch.tell(&Event::Found(&left));
    }
    let raised = match options.kind {
        Some(kind) => stand(database, app, run, kind, options).await?,
        None => None,
    };
    if let Some(raised) = &raised {
        watch.tell(&Event::Raised(raised));
    }
    let cleared = clear(database, raised.as_ref(), options, watch).await;
    if let (Err(_), Some(raised)) = (&cleared, &raised) {
        database.lower_fence(raised).await?;
    }
    cleared.map(|()| raised)
}

/// Takes away every fence that stands for the application `app`, whoever raised it, and tells which
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

async fn stand(
    database: &mut dyn Database,
    app: &str,
    run: Option<RunId>,
    kind: Kind,
    options: &Options,
) -> Result<Option<Raised>, DatabaseError> {
    let mut roles = options.roles.clone();
    if roles.is_empty() {
        roles = database.sessions().await?.into_iter().map(|it| it.user).collect();
        roles.retain(|role| !role.is_empty());
        roles.sort();
        roles.dedup();
    }
    if roles.is_empty() {
        return Ok(None); // Nobody is there whom it could be for.
    }
    let kind = match kind {
        Kind::ReadOnly => FenceKind::ReadOnly { roles },
        Kind::NoConnect => FenceKind::NoConnect { roles },
    };
    let fence = database.prepare_fence(&kind).await?;
    database.raise_fence(app, run, &fence).await.map(Some)
}

/// Waits until those have left who were there before the fence, or ends them.
async fn clear(
    database: &mut dyn Database,
    raised: Option<&Raised>,
    options: &Options,
    watch: &mut dyn Watch,
) -> Result<(), FenceError> {
    if raised.is_none() && !options.end && options.wait.is_zero() {
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
    let mut time_left = options.wait;
    if options.end {
        watch.tell(&Event::Ending(&there));
        database.end_sessions(&there).await?;
        time_left = time_left.max(GRACE);
    } else {
        watch.tell(&Event::Waiting(&there));
    }
    let waits_for_all = keeps_out || (kind.is_none() && !options.end);
    let start = Instant::now();
    loop {
        there = database.sessions().await?;
        there.retain(|it| is_meant(it) && (waits_for_all || at_first.contains(&it.pid)));
        if there.is_empty() {
            return Ok(());
        }
        if start.elapsed() >= time_left || watch.stop() {
            return Err(FenceError::StillThere(there));
        }
        tokio::time::sleep(PAUSE).await;
    }
}
