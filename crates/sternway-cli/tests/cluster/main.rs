//! The demo's application on a real control plane, with Helm 3 and 4 and a real PostgreSQL behind the
//! forward: through the program and nothing else. `dev/cluster/start` tells what the cluster is made of.

#![cfg(all(feature = "embedded", unix))]

#[path = "../support/mod.rs"]
mod support;

mod control;
mod harbour;

mod broken;
mod charts;
mod environment;
mod faults;
mod gitops;
mod journey;
mod plain;
mod rights;
