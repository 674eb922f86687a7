//! The demo's application on a real control plane, with Helm 3 and 4 and a real PostgreSQL behind the
//! forward: through the program and nothing else. `dev/cluster/start` tells what the cluster is made of.
//!
//! Where a test says "scenario" or "trap" with a number, that is one of those that were found when kagent's upgrade
//! page was held against its code.

#![cfg(all(feature = "embedded", unix))]
#![allow(clippy::print_stdout, reason = "the time without an application is to be read")]

#[path = "../support/mod.rs"]
mod support;

mod control;
mod harbour;
mod line;
#[path = "../faults/proxy.rs"]
#[allow(dead_code, reason = "here a strike is always somebody else's doing")]
mod proxy;

mod broken;
mod by_hand;
mod charts;
mod environment;
mod faults;
mod gitops;
mod job;
mod kagent;
mod journey;
mod plain;
mod rights;
