//! One port to a database, and the dialects behind it.
//!
//! [`port`] is what the engine knows of a database. Each dialect is a folder with the same file
//! names: `connect.rs` opens a session, `lock.rs` keeps other migrators out, `track.rs` reads and
//! writes the tracking table, `schema.rs` lists and drops tables, `statements.rs` turns SQL into facts,
//! `query.rs` asks what the user wants to know, `execute.rs` runs a step, `reconcile.rs` finds out what
//! became of one, `archive.rs` has what was kept, `clients.rs` sees the sessions of others, `fence.rs`
//! keeps them out, `introspect.rs` describes the schema, `definitions.rs` says what its
//! words mean, `records.rs` keeps Sternway's own records,
//! `interrupt.rs` ends a statement, `shadow.rs` makes a database to rehearse in, `whole.rs` counts all rows and swaps
//! databases. Dialect-specific SQL
//! lives there and nowhere else; `tokens.rs` has what the lexers share, and `normal.rs` what is left of a body
//! when all that does not count is taken away. [`embedded`] is a PostgreSQL
//! inside the process.

pub mod port;
pub mod failpoint;
mod go;
mod tokens;
mod normal;
mod origin;
mod query;
mod records;
mod effects;
mod archive;
mod external;
mod pieces;
mod rows;
mod definitions;
mod late;
mod carry;
pub mod asked;
pub mod dialect;
pub mod postgres;
pub mod mysql;
pub mod sqlite;
#[cfg(feature = "embedded")]
pub mod embedded;

pub use archive::reason::is_no_place;
pub use dialect::Dialect;
pub use late::Late;
pub use pieces::Piece;
pub use port::{
    Carried, Connect, Contents, Database, DatabaseError, Done, Fence, FenceKind, Holder, Interrupt,
    Limits, LockError, NOTHING_DISCARDED, Orphan, Preservation, Raised, Reconciled, Rows, RunId,
    RunSummary, Session, Settings, SqlError, StepError, SwapError, Told, Underway, Unfinished,
    Whole, Work, in_plain_words, recorded,
};
pub use rows::{OfRows, PutFrom, RowDeed};
