//! Printing: results on standard output, everything else on standard error.

use std::fmt::Write as _;
use std::io::{BufRead, IsTerminal, Write};
use std::process::ExitCode;

use serde::Serialize;
use tracing_subscriber::EnvFilter;

use crate::args::{OutputFormat, Shared};
use crate::failure::{Exit, Failure};

/// What a command prints with.
pub struct Ui {
    json: bool,
    colour: bool,
}

impl Ui {
    /// Sets up printing and logging.
    pub fn new(shared: &Shared) -> Ui {
        let default = if shared.verbose { "info,sternway=debug" } else { "error" };
        let filter = EnvFilter::try_from_env("STERNWAY_LOG").unwrap_or(EnvFilter::new(default));
        let is = |name: &str, value: &str| std::env::var_os(name).is_some_and(|it| it == value);
        let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let plain = no_colour || is("TERM", "dumb");
        let for_people = std::io::stderr().is_terminal();
        let _ = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(std::io::stderr)
            .with_ansi(!plain && for_people)
            .try_init();
        let _ = miette::set_hook(Box::new(move |_| {
            let look = miette::MietteHandlerOpts::new().context_lines(1);
            let look = look.color(!plain && for_people);
            // A terminal says how wide it is; a file does not.
            Box::new(if for_people { look } else { look.width(100) }.build())
        }));
        let json = shared.output == OutputFormat::Json;
        Ui { json, colour: !json && !plain && std::io::stdout().is_terminal() }
    }

    /// Prints a result for people; nothing where results are for machines.
    pub fn say(&self, text: impl AsRef<str>) {
        if !self.json {
            self.out(text.as_ref());
        }
    }

    /// Prints a result for machines.
    pub fn json(&self, value: &impl Serialize) {
        if self.json {
            self.out(&serde_json::to_string_pretty(value).unwrap_or_default());
        }
    }

    /// Whether results are for machines.
    pub fn is_json(&self) -> bool {
        self.json
    }

    /// Tells something beside the result.
    pub fn note(&self, text: impl AsRef<str>) {
        // A closed standard error is no reason to stop.
        let _ = writeln!(std::io::stderr(), "{}", text.as_ref());
    }

    fn out(&self, text: &str) {
        // A closed pipe, as with `| head`, is no reason to fail.
        let _ = writeln!(std::io::stdout(), "{text}");
        let _ = std::io::stdout().flush();
    }

    /// Makes text stand out, where that is possible.
    pub fn strong(&self, text: &str) -> String {
        self.paint("1", text)
    }

    /// Marks text as good.
    pub fn good(&self, text: &str) -> String {
        self.paint("32", text)
    }

    /// Marks text as something to look at.
    pub fn alarm(&self, text: &str) -> String {
        self.paint("33", text)
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// Colours the lines of a plan: what destroys, and what to note.
    pub fn plan(&self, text: &str) -> String {
        let mut painted = String::new();
        for (index, line) in text.trim_end().lines().enumerate() {
            let trimmed = line.trim_start();
            let line = match trimmed {
                _ if index == 0 || trimmed.starts_with("hop ") => self.strong(line),
                _ if trimmed.starts_with("destroys ")
                    || trimmed.starts_with("nobody can foresee ")
                    || trimmed.starts_with("note: ")
                    || trimmed.ends_with("LOST") =>
                {
                    self.alarm(line)
                }
                _ => line.to_owned(),
            };
            let _ = writeln!(painted, "{line}");
        }
        painted
    }

    /// Asks before something is changed.
    ///
    /// # Errors
    /// Where nobody can answer, and where the answer is no.
    pub fn confirm(&self, question: &str, yes: bool) -> Result<(), Failure> {
        if yes {
            return Ok(());
        }
        if self.json || !std::io::stdin().is_terminal() {
            let failure = Failure::new("nobody can be asked here whether to go ahead", Exit::Usage);
            return Err(failure.hint("nothing was touched; --yes goes ahead without asking"));
        }
        eprint_now(&format!("{question} [y/N] "));
        let mut answer = String::new();
        let read = std::io::stdin().lock().read_line(&mut answer);
        match (read, answer.trim().to_lowercase().as_str()) {
            (Ok(_), "y" | "yes") => Ok(()),
            _ => Err(Failure::new("not confirmed; nothing was touched", Exit::Refused)),
        }
    }

    /// Shows a failure and gives the process its end.
    pub fn fail(&self, failure: Failure) -> ExitCode {
        let exit = failure.exit;
        if self.json {
            let (error, causes, hint) = failure.parts();
            let exit = exit as u8;
            let format = "sternway.error/1";
            let value = serde_json::json!({ "format": format, "error": error, "causes": causes, "hint": hint, "exit": exit });
            self.note(serde_json::to_string_pretty(&value).unwrap_or_default());
        } else {
            self.note(format!("{:?}", miette::Report::new(failure)).trim_end());
        }
        exit.into()
    }
}

fn eprint_now(text: &str) {
    let _ = write!(std::io::stderr(), "{text}");
    let _ = std::io::stderr().flush();
}

/// A number of things whose name has a plural of its own.
pub fn plural(number: usize, one: &str, more: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { more })
}

/// Lines up rows in columns, the first row being the heads.
pub fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max()
    };
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            let _ = write!(line, "{cell:width$}  ");
        }
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}
