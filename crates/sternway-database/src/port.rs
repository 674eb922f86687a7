//! What the engine knows of a database: [`Database`], the sum of what a session can do, one trait for
//! each thing that it is for.
//!
//! No method has a default. A dialect that cannot do something says so: with an error where data or
//! safety is at stake ([`DatabaseError::NoFence`]), with the plain truth elsewhere (a server that
//! tells nothing of other sessions has an empty list of them).

mod connection;
mod tracking;
mod schema;
mod records;
mod execution;
mod archive;
mod clients;
mod fence;
mod whole;
mod abridge;
mod plain;
mod error;

pub use abridge::recorded;
pub(crate) use abridge::words;
pub use archive::Archive;
pub use clients::{Clients, Orphan, Session};
pub use connection::{Connection, Interrupt};
pub use error::{Connect, DatabaseError, Holder, LockError, SqlError, StepError};
pub(crate) use error::{failed, foreign, no_mark, position};
pub use execution::{
    Done, Execution, Limits, NOTHING_DISCARDED, Preservation, Reconciled, Settings, Work,
};
pub use fence::{Fence, FenceKind, Fences, Raised};
pub use plain::in_plain_words;
pub use records::{RecordStore, RunId, RunSummary, Unfinished};
pub use schema::Schema;
pub use tracking::{Locks, Tracking, Underway};
pub(crate) use whole::occupants;
pub use whole::{Carried, Contents, Rows, SwapError, Told, Unfit, Whole};

/// A session with one database.
///
/// Another dialect is a folder with the files of the other three, these traits implemented in it, and
/// a variant in [`crate::Dialect`]. What a method promises is what the suite of `tests/contract.rs`
/// asks of every dialect.
pub trait Database:
    Connection + Locks + Tracking + Schema + RecordStore + Execution + Archive + Clients + Fences
{
}

impl<T> Database for T where
    T: Connection
        + Locks
        + Tracking
        + Schema
        + RecordStore
        + Execution
        + Archive
        + Clients
        + Fences
{
}

/// The traits of the port, for whoever has a session of a dialect in hand and not a [`Database`].
pub mod prelude {
    pub use super::Archive as _;
    pub use super::Clients as _;
    pub use super::Connection as _;
    pub use super::Database;
    pub use super::Execution as _;
    pub use super::Fences as _;
    pub use super::Locks as _;
    pub use super::RecordStore as _;
    pub use super::Schema as _;
    pub use super::Tracking as _;
}
