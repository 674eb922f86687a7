//! What is done about the other clients of the database.

use clap::{Args, ValueEnum};
use sternway_model::fence::{FenceMode, FenceRequest};

/// What is done about the other clients of the database while a plan is executed.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Other clients of the database")]
pub struct FenceArgs {
    /// How to keep the application from writing meanwhile: from the first migration until the schema is
    /// proved, and until a run that failed or was cut short is finished or taken back
    #[arg(long, value_enum, default_value_t)]
    pub fence: Fence,
    /// A role or user that the fence is for; may be given several times [default: those of the
    /// sessions that are there when the plan is made, and when the fence goes up]
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
    /// New sessions are read-only, unless they say otherwise, and are ended when it comes down (PostgreSQL)
    ReadOnly,
    /// There are no new sessions (on MySQL and MariaDB the users' accounts are locked)
    NoConnect,
}

impl FenceArgs {
    /// What is asked for, if anything is.
    pub fn request(&self) -> Option<FenceRequest> {
        let mode = match self.fence {
            Fence::None => None,
            Fence::ReadOnly => Some(FenceMode::ReadOnly),
            Fence::NoConnect => Some(FenceMode::NoConnect),
        };
        let wait = self.wait_for_sessions.unwrap_or(if mode.is_some() { 30 } else { 0 });
        let (roles, end) = (self.fence_role.clone(), self.end_sessions);
        let request = FenceRequest { mode, roles, others: false, end, wait };
        (!request.is_nothing()).then_some(request)
    }
}
