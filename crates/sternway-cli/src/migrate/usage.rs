//! What can be typed.

use std::fmt::Write as _;
use std::io::Write as _;

use sternway_database::dialect;
use sternway_source::files;

use super::create;
use super::flags::{Flag, Takes};

const fn text(name: &'static str) -> Flag {
    Flag { name, takes: Takes::Text }
}

const fn switch(name: &'static str) -> Flag {
    Flag { name, takes: Takes::Switch }
}

const fn number(name: &'static str) -> Flag {
    Flag { name, takes: Takes::Number }
}

/// The options before the command.
pub const GLOBAL: [Flag; 14] = [
    switch("help"),
    switch("version"),
    switch("verbose"),
    number("prefetch"),
    number("lock-timeout"),
    text("path"),
    text("database"),
    text("source"),
    switch("dry-run"),
    text("output"),
    text("config"),
    text("profile"),
    text("track"),
    text("release"),
];

const HELP: Flag = switch("help");
const DRY: Flag = switch("dry-run");

/// One command.
pub struct Command {
    pub name: &'static str,
    pub flags: &'static [Flag],
    form: &'static str,
    does: &'static str,
    options: &'static [(&'static str, &'static str)],
}

const DRY_RUN: (&str, &str) = ("-dry-run", "Show what would run, with its SQL, and run nothing");

const COMMANDS: [Command; 8] = [
    Command {
        name: "create",
        flags: &create::FLAGS,
        form: "create [-ext E] [-dir D] [-seq] [-digits N] [-format F] [-tz Z] NAME",
        does: "Make two empty files for a migration called NAME, numbered by the time or in sequence",
        options: &[
            ("-ext E", "The extension of the files, such as sql (required)"),
            ("-dir D", "The folder to put them in (default: this one)"),
            ("-seq", "Number them in sequence"),
            ("-digits N", "With -seq: how many digits the number has (default 6)"),
            (
                "-format F",
                "The number's form, as a Go time layout; also unix and unixNano (default 20060102150405)",
            ),
            ("-tz Z", "The time's zone (default UTC)"),
        ],
    },
    Command {
        name: "goto",
        flags: &[HELP, DRY],
        form: "goto V|nil",
        does: "Migrate to version V, up or down; nil is below the first migration",
        options: &[DRY_RUN],
    },
    Command {
        name: "up",
        flags: &[HELP, DRY],
        form: "up [N]",
        does: "Apply all migrations, or the next N",
        options: &[DRY_RUN],
    },
    Command {
        name: "down",
        flags: &[HELP, DRY, switch("all")],
        form: "down [N] [-all]",
        does: "Take back N migrations, or all; asks before all, unless -all is given",
        options: &[("-all", "Take back all migrations, and do not ask"), DRY_RUN],
    },
    Command {
        name: "drop",
        flags: &[HELP, DRY, switch("f")],
        form: "drop [-f]",
        does: "Drop every table; asks, unless -f is given",
        options: &[("-f", "Do not ask"), ("-dry-run", "Show what would be dropped")],
    },
    Command {
        name: "force",
        flags: &[HELP],
        form: "force V",
        does: "Set version V, and clean, but run no migration; -1 is nothing applied (force -- -1)",
        options: &[],
    },
    Command {
        name: "version",
        flags: &[],
        form: "version",
        does: "Print the current version; nothing is changed",
        options: &[],
    },
    Command {
        name: "status",
        flags: &[HELP],
        form: "status",
        does: "List every migration, applied and pending (not in golang-migrate)",
        options: &[],
    },
];

/// The command of that name.
pub fn command(name: &str) -> Option<&'static Command> {
    COMMANDS.iter().find(|command| command.name == name)
}

/// How one command is typed.
pub fn of(command: &Command) -> String {
    let mut usage = format!("{}\n    {}\n", command.form, command.does);
    if !command.options.is_empty() {
        let _ = writeln!(usage, "\nOptions:");
        for (option, means) in command.options {
            let _ = writeln!(usage, "  {option:<12}{means}");
        }
    }
    usage
}

/// How everything is typed.
pub fn global() -> String {
    let mut usage = String::from(
        "Usage: migrate OPTIONS COMMAND [arg...]
       migrate [ -version | -help ]

Options (one dash or two):
  -source         Location of the migrations (driver://url)
  -path           Shorthand for a folder of this machine
  -database       The database to migrate (driver://url); a password is safer in its own variable
                  or file (PGPASSWORD, PGPASSFILE) than on a command line, which others can see
  -lock-timeout N Wait at most N seconds for another migrator (default 15)
  -prefetch N     Accepted and not needed: every body is read before the first one runs
  -verbose        Tell more, and when
  -version        Print the version
  -help           Print this

Not in golang-migrate:
  -dry-run        Show what would run, with its SQL, and run nothing
  -output FORMAT  text or json
  -config FILE    With neither -source nor -path, the tracks of an application: those of its
                  sternway.toml, found upwards from here, or of FILE
  -profile NAME   Or of a built-in profile, such as kagent
  -track NAME     One of its tracks
  -release R      Its migrations as release R has them (default: the folders of the tracks where
                  sternway.toml lies, if they are there, or else the newest stable release)

Commands:
",
    );
    for command in &COMMANDS {
        let _ = writeln!(usage, "  {}\n      {}", command.form, command.does);
    }
    let sorted = |names: &[&str]| {
        let mut names = names.to_vec();
        names.sort_unstable();
        names.join(", ")
    };
    let _ = writeln!(usage, "\nSource drivers: {}", sorted(&files::SCHEMES));
    let _ = writeln!(usage, "Database drivers: {}", sorted(&dialect::SCHEMES));
    usage
}

/// Prints it, where golang-migrate does.
pub fn print(usage: &str) {
    let _ = write!(std::io::stderr(), "{}", usage.trim_end());
    let _ = writeln!(std::io::stderr());
}
