//! Programs that end when this one does, however that ends: killed, it has no time to tell them.
//!
//! Linux tells a process of its parent's death, where the process has asked for that. So this program starts itself
//! once more, which asks, and then becomes the other one. Elsewhere programs run as they are.

use std::ffi::OsStr;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::process::Command;

/// The first argument of this program where it is to become another one.
const WORD: &str = "--sternway-leash";

/// Whether this program looks for that argument.
static OBEYS: AtomicBool = AtomicBool::new(false);

/// Becomes another program, where this one was started for that. The first thing that a `main` does;
/// where it does not, programs run as they are.
pub fn obey() {
    OBEYS.store(true, Ordering::Relaxed);
    #[cfg(target_os = "linux")]
    {
        let mut words = std::env::args_os().skip(1);
        if words.next().is_some_and(|it| it == WORD) {
            linux::become_another(words);
        }
    }
}

/// Runs `program` so that it is told to end when this process dies.
pub fn command(program: impl AsRef<OsStr>) -> Command {
    if cfg!(target_os = "linux") && OBEYS.load(Ordering::Relaxed) {
        let mut command = Command::new("/proc/self/exe");
        command.arg(WORD).arg(std::process::id().to_string()).arg(program);
        return command;
    }
    Command::new(program)
}

#[cfg(target_os = "linux")]
mod linux {
    use std::ffi::OsString;
    use std::io::Write as _;
    use std::os::unix::process::CommandExt as _;
    use std::process::{Command, exit};

    use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};

    /// How a shell ends where a program cannot be run.
    const CANNOT: i32 = 127;

    /// Becomes the program of `words`, which are its parent's number, its name and its arguments.
    pub fn become_another(mut words: impl Iterator<Item = OsString>) -> ! {
        let parent = words.next().and_then(|it| it.to_str()?.parse().ok()).and_then(Pid::from_raw);
        // The parent may have died before.
        let asked = set_parent_process_death_signal(Some(Signal::TERM));
        if asked.is_err() || parent.is_none() || getppid() != parent {
            exit(CANNOT);
        }
        if let Some(program) = words.next() {
            let error = Command::new(program).args(words).exec();
            let _ = write!(std::io::stderr(), "it cannot be run: {error}");
        }
        exit(CANNOT);
    }
}
