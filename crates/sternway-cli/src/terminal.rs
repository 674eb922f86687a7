//! A journey at a terminal: what happens is printed line by line, and a signal asks it to stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sternway_engine::event::{Event, Observer};
use sternway_view::event::{Line, Reporter};

use crate::failure::Exit;
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

    /// What a signal sets, once it is watched for.
    pub fn stop(&self) -> Stop {
        self.stop.clone()
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

/// Becomes true at the first SIGINT or SIGTERM that comes after [`Stop::watch`]; the second one ends the
/// process. What is under way then is taken back by the server, or finished by it.
#[derive(Clone, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Takes signals from here on.
    pub fn watch(&self) {
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
