//! One port to a database, and the dialects behind it.
//!
//! [`port`] is what the engine knows of a database. Each dialect is a folder with the same file
//! names: `connect.rs` opens a session, `lock.rs` keeps other migrators out, `track.rs` reads and
//! writes the tracking table, `statements.rs` turns SQL into facts, `execute.rs` runs a step,
//! `introspect.rs` describes the schema, `records.rs` keeps Sternway's own records. Dialect-specific
//! SQL lives there and nowhere else. [`embedded`] is a PostgreSQL inside the process.

pub mod port;
pub mod failpoint;
mod go;
mod answer;
mod kept;
mod reach;
pub mod dialect;
pub mod postgres;
pub mod mysql;
pub mod sqlite;
#[cfg(feature = "embedded")]
pub mod embedded;

pub use dialect::Dialect;
pub use port::{
    Care, Connect, Database, DatabaseError, Done, Fence, FenceKind, Holder, Interrupt, Limits,
    LockError, Orphan, Raised, RunId, RunSummary, Session, Settings, Settled, SqlError, StepError,
    Underway, Unfinished, Work,
};
