//! One file a command: its arguments' doc comments are the help text, its body the data flow.

pub mod demo;
pub mod releases;
pub mod status;
pub mod doctor;
pub mod plan;
pub mod apply;
pub mod journey;
pub mod job;
pub mod resume;
pub mod abort;
pub mod history;
pub mod archive;
