//! What is done about the other clients of the database.

use std::time::Duration;

use clap::{Args, ValueEnum};
use sternway_engine::fence::{Kind, Options};

/// What is done about the other clients of the database while a plan is executed.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Other clients of the database")]
pub struct FenceArgs {
    /// How to keep the application from writing meanwhile. It is taken back at the end, also when
    /// the run fails; after a crash the next command that changes the database takes it back
    #[arg(long, value_enum, default_value_t)]
    pub fence: Fence,
    /// A role or user that the fence is for; may be given several times [default: those of the
    /// sessions that are there]
    #[arg(long, value_name = "ROLE")]
    pub fence_role: Vec<String>,
    /// End the sessions of other clients (with a fence, those of its roles)
    #[arg(long)]
    pub end_sessions: bool,
    /// How long to wait for those sessions to leave [default: 30 with a fence, else 0]
    #[arg(long, value_name = "SECONDS")]
    pub wait_for_sessions: Option<u64>,
    /// Go on through a proxy that gives each transaction another connection, where nothing keeps
    /// other migrators out
    #[arg(long)]
    pub through_pooler: bool,
}

/// The kinds of fence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Fence {
    /// None
    #[default]
    None,
    /// New sessions are read-only, unless they say otherwise (PostgreSQL)
    ReadOnly,
    /// There are no new sessions (on MySQL and MariaDB the users' accounts are locked)
    NoConnect,
}

impl FenceArgs {
    pub fn options(&self) -> Options {
        let kind = match self.fence {
            Fence::None => None,
            Fence::ReadOnly => Some(Kind::ReadOnly),
            Fence::NoConnect => Some(Kind::NoConnect),
        };
        let wait = self.wait_for_sessions.unwrap_or(if kind.is_some() { 30 } else { 0 });
        Options {
            kind,
            roles: self.fence_role.clone(),
            end: self.end_sessions,
            wait: Duration::from_secs(wait),
        }
    }
}
