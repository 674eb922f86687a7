//! The ways to stop, swap and start an application: each implements `sternway_model::app::App`.
//!
//! Every act may be repeated, because a run that was killed does not know how far it came. Nothing
//! here decides when an act is due, and nothing here prints.

mod group;
pub mod leash;
pub mod commands;
pub mod kubernetes;
