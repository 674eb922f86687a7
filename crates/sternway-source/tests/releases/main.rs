//! Applications whose releases are tags or folders.

#[path = "../common/mod.rs"]
mod common;

mod cache;
mod directory;
mod bundle;
mod git;
mod kagent;
mod remote;
