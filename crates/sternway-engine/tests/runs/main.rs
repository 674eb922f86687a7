//! Runs that go as planned, and those that do not.

#![cfg(feature = "embedded")]

#[path = "../support/mod.rs"]
mod support;

mod fence;
mod journey;
mod random_downs;
mod resume;
mod run;
