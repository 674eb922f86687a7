//! What golang-migrate writes with: standard error, with the time before each line when verbose.

use std::io::Write;

use jiff::Zoned;
use serde::Serialize;

/// Where lines go.
#[derive(Debug, Clone, Copy)]
pub struct Log {
    /// Whether more is told, and when.
    pub verbose: bool,
    /// Whether results are for machines.
    pub json: bool,
}

impl Log {
    /// A log.
    pub fn new(verbose: bool, json: bool) -> Log {
        Log { verbose, json }
    }

    /// Tells something, with the time when verbose.
    pub fn line(&self, text: impl AsRef<str>) {
        let text = text.as_ref();
        // A closed standard error is no reason to stop.
        let _ = match self.verbose {
            true => {
                let now = Zoned::now().strftime("%Y/%m/%d %H:%M:%S");
                writeln!(std::io::stderr(), "{now} {text}")
            }
            false => writeln!(std::io::stderr(), "{text}"),
        };
    }

    /// Tells something to people only.
    pub fn tell(&self, text: impl AsRef<str>) {
        if !self.json {
            self.line(text);
        }
    }

    /// Tells something when verbose.
    pub fn more(&self, text: impl AsRef<str>) {
        if self.verbose {
            self.tell(text);
        }
    }

    /// Prints a result that golang-migrate does not have: to standard output.
    pub fn result(&self, text: impl AsRef<str>) {
        if !self.json {
            let _ = writeln!(std::io::stdout(), "{}", text.as_ref());
        }
    }

    /// Prints a result for machines.
    pub fn json(&self, value: &impl Serialize) {
        if self.json {
            let text = serde_json::to_string_pretty(value).unwrap_or_default();
            let _ = writeln!(std::io::stdout(), "{text}");
        }
    }
}
