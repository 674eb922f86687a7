//! A command together with all that it started.

use tokio::process::{Child, Command};

/// The processes of a command. Those that are left when this is dropped are killed, unless the
/// command was let go.
pub(crate) struct Group {
    #[cfg(unix)]
    leader: Option<rustix::process::Pid>,
}

impl Group {
    /// Makes the command the leader of a group of its own: a Ctrl-C at the terminal is for Sternway,
    /// which does not stop between a stop and a start because of it.
    pub fn prepare(command: &mut Command) {
        command.kill_on_drop(true);
        #[cfg(unix)]
        command.process_group(0);
    }

    /// The group of a command that was just started.
    #[cfg(unix)]
    pub fn of(child: &Child) -> Group {
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        Group { leader: id.and_then(rustix::process::Pid::from_raw) }
    }

    /// The group of a command that was just started.
    #[cfg(not(unix))]
    pub fn of(_: &Child) -> Group {
        Group {}
    }

    /// Asks all of it to end.
    pub fn terminate(&self) {
        #[cfg(unix)]
        self.send(rustix::process::Signal::TERM);
    }

    /// Lets go of what the command left running: an application in the background, perhaps.
    pub fn release(mut self) {
        #[cfg(unix)]
        self.leader.take();
    }

    #[cfg(unix)]
    fn send(&self, signal: rustix::process::Signal) {
        if let Some(leader) = self.leader {
            // There may be nobody left to get it.
            let _ = rustix::process::kill_process_group(leader, signal);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        #[cfg(unix)]
        self.send(rustix::process::Signal::KILL);
    }
}
