//! What is shown, for every edge: the shapes of results for machines, which `docs/output.md` describes, and
//! texts for people.
//!
//! A shape is made from what the engine returns, and serialised by whoever sends it somewhere. A text is
//! a `String`; a [`Paint`] says whether it may be coloured. Nothing here prints, asks, or touches a
//! database, and a change to a shape that breaks a reader gets the next number in its `format`.
//!
//! Each module has one subject: its shapes, then its texts.

mod paint;
pub mod words;
pub mod error;
pub mod releases;
pub mod bundle;
pub mod status;
pub mod can_run;
pub mod plan;
pub mod runbook;
pub mod away;
pub mod run;
pub mod event;
pub mod unfinished;
pub mod comparison;
pub mod history;
pub mod doctor;
pub mod archive;
pub mod snapshot;
pub mod migrate;

pub use paint::Paint;
