//! Every way between the releases of real applications.

#![cfg(feature = "embedded")]

#[path = "../support/mod.rs"]
mod support;

mod kagent;
mod lossless;
mod sqlxmq;
