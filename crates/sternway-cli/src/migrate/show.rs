//! Errors: golang-migrate's words first, because scripts and people know them, then what it leaves
//! out: where in the file, what the server says besides, and the way out.

use std::fmt::Write as _;

use sternway_database::{Connect, DatabaseError, LockError, SqlError, StepError, Underway};
use sternway_engine::folder::FolderError;
use sternway_engine::suspects::Suspect;
use sternway_engine::walk::{Failed, MigrateError};
use sternway_model::body::Mode;
use sternway_model::position::Position;
use sternway_model::walk::WalkError;
use sternway_source::files::FilesError;
use sternway_view::error;

use super::End;
use super::log::Log;
use crate::failure::{BoxError, Failure};

/// An error as this command line shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// What golang-migrate says, or would.
    words: String,
    /// What stands below that, a line each.
    below: Vec<String>,
    /// What to do next.
    hint: Option<String>,
    /// The line of the file, with a caret.
    excerpt: Option<String>,
    /// Whether `error: ` stands before the words.
    bare: bool,
}

impl Trouble {
    /// An error of these words.
    pub fn new(words: impl Into<String>) -> Trouble {
        let words = words.into();
        Trouble { words, below: Vec::new(), hint: None, excerpt: None, bare: false }
    }

    /// As `new`, without `error: ` before it.
    pub fn bare(words: impl Into<String>) -> Trouble {
        Trouble { bare: true, ..Trouble::new(words) }
    }

    /// Adds what to do next.
    pub fn hint(self, hint: impl Into<String>) -> Trouble {
        Trouble { hint: Some(hint.into()), ..self }
    }

    /// Adds a line below the words.
    pub fn below(mut self, line: impl Into<String>) -> Trouble {
        self.below.push(line.into());
        self
    }

    /// Shows it.
    pub fn say(&self, log: &Log) -> End {
        if log.json {
            let failed = error::Failed::of(&self.words, &self.below, self.hint.as_deref(), 1);
            log.line(serde_json::to_string_pretty(&failed).unwrap_or_default());
            return End::Failed;
        }
        let prefix = if self.bare { "" } else { "error: " };
        log.line(format!("{prefix}{}", self.words));
        for text in self.excerpt.iter().chain(&self.below) {
            log.line(text);
        }
        if let Some(hint) = &self.hint {
            log.line(format!("hint: {hint}"));
        }
        End::Failed
    }
}

/// An error with its causes, in one line.
pub fn in_full(cause: impl Into<BoxError>) -> String {
    let (_, causes, _) = Failure::of("", cause).parts();
    causes.join(": ")
}

/// A source that cannot be opened. `url` is the one that was given, without secrets.
pub fn source(url: &str, cause: FolderError) -> Trouble {
    let hint = match &cause {
        FolderError::Files(FilesError::NoUrl | FilesError::NoScheme) => {
            return Trouble::new(cause.to_string())
                .hint("-path names a folder of migrations, -source a URL of one");
        }
        FolderError::Files(FilesError::UnknownScheme { .. }) => {
            "`-help` lists the source drivers".to_owned()
        }
        FolderError::Files(FilesError::NoSuchFolder { path }) => {
            format!("there is no folder {}", path.display())
        }
        FolderError::Set(_) => "rename one of the files, or remove it".to_owned(),
        _ => String::new(),
    };
    let trouble = Trouble::new(format!("failed to open source, {url:?}: {}", in_full(cause)));
    if hint.is_empty() { trouble } else { trouble.hint(hint) }
}

/// A database that cannot be opened.
pub fn database(cause: Connect) -> Trouble {
    if let Connect::Scheme(scheme) = &cause {
        let words = format!(
            "failed to open database: database driver: unknown driver {scheme} (forgotten import?)"
        );
        return Trouble::new(words).hint("`-help` lists the database drivers");
    }
    if let Connect::Url(words) = &cause {
        // golang-migrate has words for some of these, and no more than those.
        let words = format!("failed to open database: {words}");
        let failure = Failure::to_connect(cause);
        let hint = failure.parts().2.map(str::to_owned);
        return Trouble { hint, ..Trouble::new(words) };
    }
    let schemaless = matches!(&cause, Connect::Session { source: DatabaseError::NoSchema, .. });
    let known = if schemaless { "no schema: " } else { "" };
    let failure = Failure::to_connect(cause);
    let (_, causes, hint) = failure.parts();
    let trouble = Trouble::new(format!("failed to open database: {known}{}", causes.join(": ")));
    match hint {
        Some(hint) => trouble.hint(hint),
        None => trouble,
    }
}

/// A walk that did not arrive. `suspects` are what a dirty mark may mean.
pub fn migrate(cause: MigrateError, suspects: &[Suspect]) -> Trouble {
    match cause {
        MigrateError::Walk(WalkError::Unknown(version)) => Trouble::new(format!(
            "no migration found for version {version}: read down for version {version} .: file does not exist"
        ))
        .hint("`status` lists the versions of the folder; where the database stands at one that is not there, the folder is older than the database, or another application's: use the release that made this schema, or a later one"),
        MigrateError::Walk(error @ WalkError::Dirty(_)) => dirty(&error.to_string(), suspects),
        MigrateError::Walk(WalkError::End) => {
            Trouble::new(WalkError::End.to_string()).hint("there is no migration left in that direction")
        }
        MigrateError::Walk(WalkError::Empty) => {
            Trouble::new(WalkError::Empty.to_string()).hint("the folder holds no migrations")
        }
        MigrateError::Walk(WalkError::NoChange) => Trouble::new(WalkError::NoChange.to_string()),
        MigrateError::Lock(error) => lock(error),
        MigrateError::Track(error) => track(error),
        MigrateError::Step(failed) => step(*failed),
        MigrateError::Short(short) => Trouble::new(format!("limit {short} short"))
            .hint("what there was has run"),
        MigrateError::Folder(error) => {
            Trouble::new(in_full(error)).hint("nothing was run")
        }
        error @ MigrateError::Obstacle { .. } => {
            Trouble::new(error.to_string()).hint("nothing was run; mend the file")
        }
        MigrateError::Database(error) => question(error),
    }
}

/// Locks that were not obtained.
pub fn lock(cause: LockError) -> Trouble {
    match cause {
        held @ LockError::Held(_) => Trouble::new("timeout: can't acquire database lock")
            .below(held.to_string())
            .hint("nothing was touched; wait for it to end, or give -lock-timeout more seconds"),
        LockError::Database(error) => question(error),
    }
}

/// A question that failed.
pub fn question(cause: DatabaseError) -> Trouble {
    let failure = Failure::to_ask("", cause);
    let (_, causes, hint) = failure.parts();
    let trouble = Trouble::new(causes.join(": "));
    match hint {
        Some(hint) => trouble.hint(hint),
        None => trouble,
    }
}

/// A tracking table that cannot be read or made: golang-migrate does so when it opens the database.
pub fn track(cause: DatabaseError) -> Trouble {
    match &cause {
        DatabaseError::Query { .. }
        | DatabaseError::ForeignTrack { .. }
        | DatabaseError::ReadOnly(_) => {
            let trouble = question(cause);
            Trouble { words: format!("failed to open database: {}", trouble.words), ..trouble }
        }
        DatabaseError::SeveralRows { .. } => question(cause)
            .hint("golang-migrate takes any of several; find out which is true, and `force` it"),
        _ => question(cause),
    }
}

/// A track that is dirty, and what may be the matter.
pub fn dirty(words: &str, suspects: &[Suspect]) -> Trouble {
    let mut trouble = Trouble::new(words);
    for suspect in suspects {
        trouble = trouble.below(suspicion(suspect));
    }
    trouble.hint(match suspects {
        [] => "find out what the schema really has; `force V` then says so".to_owned(),
        _ => "look which of them took effect, take back or finish the rest by hand, then `force` the number that fits".to_owned(),
    })
}

/// The statement at which the work on a dirty track ended.
pub fn underway(underway: &Underway) -> String {
    let Underway { file, statement, text, .. } = underway;
    format!("the statement under way was number {statement} of {file}: {text}")
}

fn suspicion(suspect: &Suspect) -> String {
    let Suspect { file, undone, done, .. } = suspect;
    let mut text = format!(
        "{file} may not have ended: `{}` if nothing of it is in the schema, `{}` if all of it is",
        forced(*undone),
        forced(*done),
    );
    for (table, there) in &suspect.signs {
        let _ = write!(text, "; table {table} is {}", if *there { "there" } else { "not there" });
    }
    text
}

/// A body that failed.
fn step(failed: Failed) -> Trouble {
    let Failed { leg, body, mode, source } = failed;
    let file = leg.file.clone().unwrap_or_default();
    let (error, statement, since) = match source {
        StepError::TakenBack { source, .. } => (source, None, 0),
        StepError::Dirty { source, statement, since, .. } => (source, Some(statement), since),
        // Of bodies that are run with care; the drop-in runs them as golang-migrate does.
        StepError::Beyond { .. }
        | StepError::CannotKeep { .. }
        | StepError::ExternalEffects { .. }
        | StepError::Blocked { .. } => {
            return Trouble::new(source.to_string());
        }
        StepError::Database { source: source @ DatabaseError::AnotherDatabase { .. }, .. } => {
            let trouble = question(source);
            let words = format!("{file}: {}", trouble.words);
            let marked = format!(
                "nothing more is run, and the database is dirty; `{}` says that it is done",
                forced(leg.to)
            );
            return Trouble { words, ..trouble }.below(marked);
        }
        StepError::Database { source, .. } => {
            let below = format!("{file} was not run to its end");
            let trouble = question(source);
            let hint = trouble.hint.clone();
            return Trouble { below: vec![below], ..trouble }
                .hint(hint.as_deref().unwrap_or("`version` tells where the database stands"));
        }
    };
    let stands = leg
        .from
        .number()
        .map_or("nothing is applied".to_owned(), |it| format!("the database is at version {it}"));
    let hint = match (statement, &mode) {
        (None, _) => format!(
            "nothing of {file} is left and {stands}; mend the file, then run the same command again"
        ),
        (Some(_), Mode::Dirty { reason }) => format!(
            "{file} ran outside a transaction ({reason}): what came before {} stays, and the database is dirty. Finish or undo it by hand, then `{}` or `{}`",
            if Some(since) == statement {
                "that statement".to_owned()
            } else {
                format!("statement {since}, with which its transaction began,")
            },
            forced(leg.to),
            forced(leg.from),
        ),
        (Some(_), Mode::Transaction) => {
            format!("the database is dirty; `{}` once nothing of {file} is left", forced(leg.from))
        }
    };
    let error = error.in_full();
    let place = error.at.map(|(line, _)| format!(" in line {line} of {file}"));
    let place = place.unwrap_or_else(|| format!(" in {file}"));
    let column = error.at.map(|(_, column)| format!(" (column {column})")).unwrap_or_default();
    let detail = error.detail.as_ref().map(|detail| format!(", {detail}")).unwrap_or_default();
    let words = format!("migration failed: {}{detail}{column}{place}", error.message);
    let mut trouble = Trouble { excerpt: excerpt(&body, error), ..Trouble::new(words) };
    if let Some(statement) = statement {
        trouble = trouble.below(format!("statement {statement} failed ({})", error.code));
    }
    if let Some(advice) = &error.hint {
        trouble = trouble.below(format!("the server's hint: {advice}"));
    }
    trouble.hint(hint)
}

/// The command that makes the tracking row say that.
fn forced(position: Position) -> String {
    match position {
        Position::At(version) => format!("force {version}"),
        Position::Nothing => "force -- -1".to_owned(),
    }
}

/// The line that an error is in, with a caret under its column. A long line is cut around it.
fn excerpt(body: &str, error: &SqlError) -> Option<String> {
    const WIDTH: usize = 100;
    let (line, column) = error.at?;
    let text: Vec<char> = body.lines().nth(line.checked_sub(1)?)?.chars().collect();
    let start = column.saturating_sub(WIDTH / 2);
    let shown: String = text
        .iter()
        .skip(start)
        .take(WIDTH)
        .map(|it| if it.is_control() { ' ' } else { *it })
        .collect();
    let before = if start > 0 { "…" } else { "" };
    let after = if start + WIDTH < text.len() { "…" } else { "" };
    let caret = column.saturating_sub(1).saturating_sub(start) + before.chars().count();
    let gutter = line.to_string();
    let margin = " ".repeat(gutter.len());
    Some(format!("  {gutter} | {before}{shown}{after}\n  {margin} | {}^", " ".repeat(caret)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(line: usize, column: usize) -> SqlError {
        SqlError::new("m", "c", Some((line, column)))
    }

    #[test]
    fn the_caret_stands_under_the_column() {
        let shown = excerpt("select 1;\ncreate tablee x;", &at(2, 8)).expect("an excerpt");
        assert_eq!(shown, "  2 | create tablee x;\n    |        ^");
        let shown = excerpt("é\tü x", &at(1, 3)).expect("an excerpt");
        assert_eq!(shown, "  1 | é ü x\n    |   ^");
    }

    #[test]
    fn a_long_line_is_cut_around_the_column() {
        let body = format!("{}X{}", "a".repeat(1000), "b".repeat(1000));
        let shown = excerpt(&body, &at(1, 1001)).expect("an excerpt");
        let (line, caret) = shown.split_once('\n').expect("two lines");
        let column = caret.chars().position(|it| it == '^').expect("a caret");
        assert_eq!(line.chars().nth(column), Some('X'));
        assert!(line.chars().count() < 120);
    }

    #[test]
    fn a_place_that_is_not_there_is_not_shown() {
        assert_eq!(excerpt("", &at(1, 1)), None);
        assert_eq!(excerpt("a", &at(0, 1)), None);
        assert_eq!(excerpt("a", &at(7, 1)), None);
    }
}
