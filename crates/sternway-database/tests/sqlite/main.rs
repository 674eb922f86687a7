//! SQLite, in files of the tests' own.

#[path = "../support/mod.rs"]
mod support;

mod journey;
mod archive;
mod archive_plan;
mod fingerprint;
mod others;
mod session;
mod statements;
