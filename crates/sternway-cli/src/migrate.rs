//! `sternway migrate`: golang-migrate's command line, option for option.
//!
//! The words that scripts and people know are golang-migrate's 4.19; `docs/golang-migrate.md` lists
//! where Sternway differs on purpose, and why. All of it goes to standard error, as there; only
//! `-output json` and the commands that golang-migrate lacks write to standard output.

mod flags;
mod usage;
mod text;
mod layout;
mod create;
mod log;
mod open;
mod progress;
mod show;
mod signals;
mod tracks;
mod command;

use std::ffi::OsString;
use std::process::ExitCode;

use self::flags::{Given, Stop};
use self::log::Log;
use crate::args::Shared;
use crate::failure::Exit;

/// What the process ends with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Done, or nothing to do.
    Done,
    /// It failed, and was told.
    Failed,
    /// It was typed wrongly.
    Usage,
    /// A statement was ended by a second signal.
    Interrupted,
}

impl From<End> for Exit {
    fn from(end: End) -> Exit {
        match end {
            End::Done => Exit::Done,
            End::Failed => Exit::Failed,
            End::Usage => Exit::Usage,
            End::Interrupted => Exit::Interrupted,
        }
    }
}

impl From<End> for ExitCode {
    fn from(end: End) -> ExitCode {
        Exit::from(end).into()
    }
}

/// The words after `migrate`, if that is what the process was started for: as its first word, or by
/// the name of the executable.
pub fn words() -> Option<Vec<String>> {
    let mut words = std::env::args_os();
    let program = words.next().unwrap_or_default();
    let rest: Vec<OsString> = words.collect();
    let lossy =
        |words: &[OsString]| words.iter().map(|it| it.to_string_lossy().into_owned()).collect();
    if is_migrate(&program) {
        return Some(lossy(&rest));
    }
    match rest.split_first() {
        Some((first, rest)) if first == "migrate" => Some(lossy(rest)),
        _ => None,
    }
}

/// The words after `migrate`, where settings stood before it: `sternway --config FILE migrate up`.
pub fn with_settings(shared: &Shared, words: &[String]) -> Vec<String> {
    let config = shared.config.as_ref().map(|path| path.to_string_lossy().into_owned());
    let database = shared.database.clone().filter(|_| shared.database_typed);
    let settings =
        [("-config", config), ("-profile", shared.profile.clone()), ("-database", database)];
    let settings = settings.into_iter().filter_map(|(name, value)| Some([name.to_owned(), value?]));
    settings.flatten().chain(words.iter().cloned()).collect()
}

/// Whether this process was started by golang-migrate's name.
fn is_called_migrate() -> bool {
    std::env::args_os().next().is_some_and(|program| is_migrate(&program))
}

/// Whether the executable is called as golang-migrate's is.
fn is_migrate(program: &OsString) -> bool {
    std::path::Path::new(program).file_stem().is_some_and(|stem| stem == "migrate")
}

/// Does what `words` say.
pub async fn run(words: &[String]) -> End {
    let given = match flags::read(&usage::GLOBAL, words) {
        Ok(given) => given,
        Err(stop) => return stopped(stop, usage::global),
    };
    let log = Log::new(given.on("verbose"), given.text("output") == "json");
    if given.on("version") {
        log.line(env!("CARGO_PKG_VERSION"));
        return End::Done;
    }
    if given.on("help") {
        usage::print(&usage::global());
        return End::Done;
    }
    if !matches!(given.text("output"), "" | "text" | "json") {
        let words =
            format!("invalid value {:?} for flag -output: text or json", given.text("output"));
        return stopped(Stop::Wrong(words), usage::global);
    }
    let Some((word, rest)) = given.rest.split_first() else {
        usage::print(&usage::global());
        return End::Usage;
    };
    let Some(command) = usage::command(word) else {
        usage::print(&usage::global());
        return End::Usage;
    };
    // golang-migrate's `version` has no options: what looks like one is an argument, and ignored.
    let local = match word.as_str() {
        "version" => Ok(Given::of(rest)),
        _ => flags::read(command.flags, rest),
    };
    let local = match local {
        Ok(local) => local,
        Err(stop) => return stopped(stop, || usage::of(command)),
    };
    if local.on("help") {
        usage::print(&usage::of(command));
        return End::Done;
    }
    command::run(&log, command.name, &given, &local).await
}

/// Tells how it should have been typed.
fn stopped(stop: Stop, usage: impl Fn() -> String) -> End {
    match stop {
        Stop::Help => {
            usage::print(&usage());
            End::Done
        }
        Stop::Wrong(words) => {
            usage::print(&format!("{words}\n{}", usage()));
            End::Usage
        }
    }
}
