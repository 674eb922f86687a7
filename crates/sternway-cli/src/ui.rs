//! Printing: results on standard output, everything else on standard error.

use std::io::{BufRead, IsTerminal, Write};
use std::process::ExitCode;

use serde::Serialize;
use sternway_view::error::Failed;
use sternway_view::{Paint, plan};
use textwrap::WordSplitter;
use tracing_subscriber::EnvFilter;

use crate::args::{OutputFormat, Shared};
use crate::failure::{Exit, Failure};

/// What a command prints with.
pub struct Ui {
    json: bool,
    paint: Paint,
}

impl Ui {
    /// Sets up printing and logging.
    pub fn new(shared: &Shared) -> Ui {
        let default = if shared.verbose { "info,sternway=debug" } else { "error,kube_client=off" };
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
            // A flag in a hint is copied: it stays in one piece.
            let look = look.color(!plain && for_people).word_splitter(WordSplitter::NoHyphenation);
            // A terminal says how wide it is; a file does not.
            Box::new(if for_people { look } else { look.width(100) }.build())
        }));
        let json = shared.output == OutputFormat::Json;
        let colour = !json && !plain && std::io::stdout().is_terminal();
        Ui { json, paint: if colour { Paint::Coloured } else { Paint::Plain } }
    }

    /// Prints a result for people; nothing where results are for machines.
    pub fn say(&self, text: impl AsRef<str>) {
        if !self.json {
            self.out(text.as_ref());
        }
    }

    /// Prints a result in the form that is wanted.
    pub fn show(&self, text: impl FnOnce(Paint) -> String, shape: &impl Serialize) {
        match self.json {
            true => self.json(shape),
            false => self.say(text(self.paint).trim_end()),
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

    /// Tells how far something is, over what was told before; nothing where nobody sits and watches.
    pub fn progress(&self, text: impl AsRef<str>) {
        if !self.json && std::io::stderr().is_terminal() {
            eprint_now(&format!("\r\x1b[K{}", text.as_ref()));
        }
    }

    pub fn out(&self, text: &str) {
        // A closed pipe, as with `| head`, is no reason to fail.
        let _ = writeln!(std::io::stdout(), "{text}");
        let _ = std::io::stdout().flush();
    }

    /// How results for people are coloured.
    pub fn paint(&self) -> Paint {
        self.paint
    }

    /// Makes text stand out, where that is possible.
    pub fn strong(&self, text: &str) -> String {
        self.paint.strong(text)
    }

    /// Marks text as good.
    pub fn good(&self, text: &str) -> String {
        self.paint.good(text)
    }

    /// Colours the lines of a plan.
    pub fn plan(&self, text: &str) -> String {
        plan::painted(self.paint, text)
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
            let failed = Failed::of(&error, &causes, hint, exit as u8);
            self.note(serde_json::to_string_pretty(&failed).unwrap_or_default());
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
