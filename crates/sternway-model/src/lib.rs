//! What Sternway decides, as plain values: nothing here reads a clock, a file or a database.
//!
//! The modules stand in the order in which data flows through them. A [`position`] is a place in a track's migrations. The [`catalog`]
//! says what could be, the [`state`] what is, the [`policy`] what is allowed, a [`check`] what the data has
//! to be, and the [`fence`] how other clients are kept out meanwhile. The [`plan`] is computed from the three
//! and says what to do; the [`walk`] is what golang-migrate would do, which knows no releases. The
//! [`rules`] keep the tracks of an application apart. An [`effect`] is what a body really changes. The
//! [`app`] is the port to what is deployed. The [`journal`] records what was done, the [`archive`] what
//! was kept, and the [`proof`] whether it worked.

pub mod position;
pub mod catalog;
pub mod body;
pub mod effect;
pub mod state;
pub mod policy;
pub mod check;
pub mod fence;
pub mod plan;
pub mod walk;
pub mod rules;
pub mod app;
pub mod journal;
pub mod archive;
pub mod proof;
