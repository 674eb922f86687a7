//! Applications whose releases are tags or folders.

#[path = "../common/mod.rs"]
mod common;

mod cache;
mod directory;
mod git;
mod kagent;
