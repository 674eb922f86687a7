//! What a journey asks of the fence: how the other clients of the database are kept from writing
//! while its schema changes.
//!
//! The fence that stands, with what it changed, is a matter of the dialect's.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How other clients are kept from writing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FenceMode {
    /// New sessions only read, unless they ask for more.
    ReadOnly,
    /// There are no new sessions.
    NoConnect,
}

/// What is done about the other clients of the database.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FenceRequest {
    /// How new sessions are kept from writing; without it, only those that are there are dealt with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<FenceMode>,
    /// The roles that the fence is for.
    #[serde(default)]
    pub roles: Vec<String>,
    /// Whether it is also for the roles of every other session that is there when it goes up.
    #[serde(default)]
    pub others: bool,
    /// Whether the sessions that are there are ended.
    #[serde(default)]
    pub end: bool,
    /// How many seconds to wait for them to leave.
    #[serde(default)]
    pub wait: u64,
}

impl FenceRequest {
    /// Whether nothing is asked for.
    pub fn is_nothing(&self) -> bool {
        self.mode.is_none() && !self.end && self.wait == 0
    }

    /// For whom it is, in words.
    fn whom(&self) -> String {
        match (self.roles.as_slice(), self.others) {
            ([], true) => "whoever else is connected then".to_owned(),
            (roles, true) => format!("{} and whoever else is connected then", roles.join(", ")),
            (roles, false) => roles.join(", "),
        }
    }
}

impl fmt::Display for FenceRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        match self.mode {
            Some(FenceMode::NoConnect) => parts.push(format!("no connections for {}", self.whom())),
            Some(FenceMode::ReadOnly) => {
                parts.push(format!("new sessions of {} only read", self.whom()));
            }
            None => {}
        }
        if self.end {
            parts.push("the sessions that are there are ended".to_owned());
        } else if self.wait > 0 {
            let seconds = self.wait;
            parts.push(format!("waits {seconds} s for the sessions that are there to leave"));
        }
        f.write_str(&parts.join("; "))
    }
}
