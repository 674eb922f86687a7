//! What acts. The modules stand in the order of the flow: [`observe`] a database, find out by [`identity`]
//! which migrations it has, [`rehearse`] a
//! plan to learn what it should lead to, [`run`] it behind a [`fence`], and [`verify`] the result.
//! [`diagnose`] finds out what a dirty database really has, [`status`] where any database stands, and
//! [`doctor`] how to repair it safely. [`archive`] looks after what migrations took away.
//!
//! [`folder`], [`walk`], [`startup`] and [`suspects`] serve those who know no releases: golang-migrate's command
//! line, and an application that applies its own migrations when it starts.
//!
//! Nothing here decides where to go: that is `sternway_model::plan`. Nothing here prints.

mod unanswered;
pub mod event;
pub mod observe;
pub mod material;
pub mod locks;
pub mod gather;
pub mod preflight;
pub mod shadow;
pub mod identity;
pub mod deviation;
pub mod leftover;
pub mod completion;
mod needed;
mod misfits;
pub mod taken;
pub mod rehearse;
pub mod check;
pub mod fence;
pub mod snapshot;
pub mod run;
mod consent;
pub mod journey;
pub mod verify;
pub mod diagnose;
pub mod status;
pub mod doctor;
pub mod archive;
pub mod folder;
pub mod walk;
pub mod startup;
pub mod suspects;

pub use unanswered::Unanswered;
