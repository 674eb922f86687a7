//! An application and its database on the way between releases, through the program and nothing else.

#![cfg(feature = "embedded")]

#[path = "../both/mod.rs"]
mod both;
#[path = "../support/mod.rs"]
mod support;

mod among_rows;
mod archive;
mod bodies;
mod by_hand;
mod checks;
mod demo;
mod deploy;
mod deployed;
mod dialects;
mod dialects_kept;
mod doctor;
mod elsewhere;
mod fence;
mod fenced;
mod fitted;
mod half_bodies;
mod harbour;
mod identity;
mod kagent;
mod leftovers;
mod mistakes;
mod otherwise;
mod own_transactions;
mod rehearsal;
mod resume;
mod snapshots;
mod way_back;
mod whole;
