//! What is written is held against what is so.

#![cfg(feature = "embedded")]

#[path = "../support/mod.rs"]
mod support;

mod architecture;
mod outputs;
