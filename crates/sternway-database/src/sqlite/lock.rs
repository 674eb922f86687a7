//! The lock that keeps other Sternways out of a database file for a whole run.
//!
//! golang-migrate's lock for SQLite is a variable in its own process. What keeps it out is SQLite's
//! own lock, for as long as one migration takes, and a look at the tracking row under that lock: see
//! `execute.rs`.
//!
//! The lock is on a file beside the database, which goes away with it. It must not be on the database
//! file: closing any handle of that gives back the locks that SQLite has on it.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;

use super::{Sqlite, failed};
use crate::port::{DatabaseError, Holder, LockError, Locks};

/// How long to wait between two tries.
const PAUSE: Duration = Duration::from_millis(20);

/// The lock, which is given back when this is dropped.
#[derive(Debug)]
pub(super) struct Held {
    path: PathBuf,
    /// Open for as long as the lock is held.
    _file: File,
}

impl Drop for Held {
    fn drop(&mut self) {
        // While it is still locked: nobody else can have made it theirs.
        let _ = fs::remove_file(&self.path);
    }
}

#[async_trait]
impl Locks for Sqlite {
    async fn lock(&mut self, _tables: &[String], lock_timeout: Duration) -> Result<(), LockError> {
        let Some(database) = self.options.path() else { return Ok(()) };
        if self.lock.is_some() {
            return Ok(());
        }
        let path = beside(&database);
        let start = Instant::now();
        loop {
            let taken =
                try_once(&path).map_err(sqlx::Error::Io).map_err(failed("make a lock file"))?;
            if let Some(held) = taken {
                self.lock = Some(held);
                return Ok(());
            }
            if start.elapsed() >= lock_timeout {
                return Err(LockError::Held(holder(&path).into_iter().collect()));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// The system gives back the lock of a process that is gone: nothing is ever left behind.
    async fn end_orphans(&mut self, _tables: &[String]) -> Result<Vec<Holder>, DatabaseError> {
        Ok(Vec::new())
    }

    async fn unlock(&mut self) -> Result<(), DatabaseError> {
        self.lock = None;
        Ok(())
    }
}

/// The lock file of a database.
fn beside(database: &Path) -> PathBuf {
    let mut path = database.as_os_str().to_owned();
    path.push("-sternway-lock");
    path.into()
}

fn try_once(path: &Path) -> io::Result<Option<Held>> {
    let mut file =
        File::options().read(true).write(true).create(true).truncate(false).open(path)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(None),
        Err(TryLockError::Error(error)) => return Err(error),
    }
    // Its holder may have removed the file since it was opened: then this lock keeps nobody out.
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mine =
        format!("{} {:?} {}\n", std::process::id(), std::thread::current().id(), now.as_nanos());
    file.set_len(0)?;
    file.write_all(mine.as_bytes())?;
    let is_there = match fs::read_to_string(path) {
        Ok(text) => text == mine,
        Err(error) => error.kind() != io::ErrorKind::NotFound,
    };
    Ok(is_there.then(|| Held { path: path.to_owned(), _file: file }))
}

fn holder(path: &Path) -> Option<Holder> {
    let text = fs::read_to_string(path).ok()?;
    let pid = text.split(' ').next()?.parse().ok()?;
    Some(Holder {
        pid,
        application: "sternway".to_owned(),
        from: "a process of this machine".to_owned(),
        state: format!("it holds {}", path.display()),
    })
}
