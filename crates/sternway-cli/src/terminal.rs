//! A journey at a terminal: what happens is printed line by line, and a signal asks it to stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sternway_engine::event::{Event, Observer};
use sternway_engine::journey::Approval;
use sternway_view::event::{Line, Reporter};

use crate::failure::{Exit, Failure};
use crate::ui::Ui;

/// Prints what happens.
pub struct Terminal<'a> {
    ui: &'a Ui,
    stop: Stop,
    /// What was reported so far.
    pub reporter: Reporter,
}

impl<'a> Terminal<'a> {
    pub fn new(ui: &'a Ui) -> Terminal<'a> {
        Terminal { ui, stop: Stop::default(), reporter: Reporter::new(ui.paint()) }
    }
}

impl Observer for Terminal<'_> {
    fn tell(&mut self, event: &Event<'_>) {
        for line in self.reporter.lines(event) {
            match line {
                Line::Result(text) => self.ui.say(text),
                Line::Note(text) => self.ui.note(text),
            }
        }
    }

    fn stop(&mut self) -> bool {
        self.stop.0.load(Ordering::SeqCst)
    }
}

/// Asks somebody to approve, and remembers why that was denied.
pub struct Asker<'a> {
    ui: &'a Ui,
    stop: Stop,
    yes: bool,
    denied: Option<Failure>,
}

impl<'a> Asker<'a> {
    /// `yes`: whether it was approved on the command line. Once it is, a signal asks `terminal` to stop.
    pub fn new(terminal: &Terminal<'a>, yes: bool) -> Asker<'a> {
        Asker { ui: terminal.ui, stop: terminal.stop.clone(), yes, denied: None }
    }

    /// Asks.
    pub fn approve(&mut self, question: &str) -> Approval {
        match self.ui.confirm(question, self.yes) {
            Ok(()) => {
                self.stop.watch();
                Approval::Given
            }
            Err(failure) => {
                self.denied = Some(failure);
                Approval::Denied
            }
        }
    }

    /// Why it was not approved.
    pub fn denied(self) -> Failure {
        self.denied.unwrap_or_else(|| Failure::new("not confirmed", Exit::Refused))
    }
}

/// Becomes true at the first SIGINT or SIGTERM that comes after [`Stop::watch`]; the second one ends the
/// process. What is under way then is taken back by the server, or finished by it.
#[derive(Clone, Default)]
struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Takes signals from here on.
    fn watch(&self) {
        #[cfg(unix)]
        for kind in [
            tokio::signal::unix::SignalKind::interrupt(),
            tokio::signal::unix::SignalKind::terminate(),
        ] {
            let stop = Arc::clone(&self.0);
            let Ok(mut signal) = tokio::signal::unix::signal(kind) else { continue };
            tokio::spawn(async move {
                while signal.recv().await.is_some() {
                    if stop.swap(true, Ordering::SeqCst) {
                        std::process::exit(Exit::Interrupted as i32);
                    }
                }
            });
        }
    }
}
