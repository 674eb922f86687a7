//! `sternway migrate`, beside golang-migrate and beyond it.

#![cfg(feature = "embedded")]

#[path = "../both/mod.rs"]
mod both;
#[path = "../support/mod.rs"]
mod support;

mod beyond;
mod interoperability;
mod interplay;
mod signals;
mod tracks;
