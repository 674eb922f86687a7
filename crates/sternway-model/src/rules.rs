//! The rules that keep the tracks of one application apart and its migrations repeatable.
//!
//! What the bodies do is found by the `statements/rules.rs` of a dialect; what breaks a rule is
//! decided here.

use std::fmt;

use thiserror::Error;

use crate::catalog::TrackName;

/// What a statement does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// It creates a table.
    CreatesTable,
    /// It creates an index; the table is another deed.
    CreatesIndex,
    /// It creates an extension.
    CreatesExtension,
    /// It adds a column.
    AddsColumn,
    /// It drops a table.
    DropsTable,
    /// It drops an index.
    DropsIndex,
    /// It drops an extension.
    DropsExtension,
    /// It drops a column.
    DropsColumn,
    /// It alters a table.
    AltersTable,
    /// It creates an index on a table.
    IndexesTable,
    /// It names a schema, makes or drops one, or sets the search path.
    NamesSchema,
}

impl What {
    /// The words by which the statement could be repeated, where there are any.
    fn guard(self) -> Option<&'static str> {
        match self {
            What::CreatesTable | What::CreatesIndex | What::CreatesExtension | What::AddsColumn => {
                Some("IF NOT EXISTS")
            }
            What::DropsTable | What::DropsIndex | What::DropsExtension | What::DropsColumn => {
                Some("IF EXISTS")
            }
            What::AltersTable | What::IndexesTable | What::NamesSchema => None,
        }
    }

    /// Whether only the track that creates a table may do this to it.
    fn is_the_owners(self) -> bool {
        matches!(self, What::AltersTable | What::IndexesTable | What::DropsTable)
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            What::CreatesTable => "creates the table",
            What::CreatesIndex => "creates the index",
            What::CreatesExtension => "creates the extension",
            What::AddsColumn => "adds the column",
            What::DropsTable => "drops the table",
            What::DropsIndex => "drops the index",
            What::DropsExtension => "drops the extension",
            What::DropsColumn => "drops the column",
            What::AltersTable => "alters the table",
            What::IndexesTable => "creates an index on the table",
            What::NamesSchema => "names a schema:",
        })
    }
}

/// One thing that a body does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deed {
    /// The line of the body, from 1.
    pub line: usize,
    /// What it does.
    pub what: What,
    /// The schema that the statement names.
    pub schema: Option<String>,
    /// To what, as the server folds the name; empty for an index that the server is to name.
    pub name: String,
    /// Whether it says `IF EXISTS` or `IF NOT EXISTS`.
    pub guarded: bool,
}

/// Which rules hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// No track alters, drops or indexes a table that only another track creates.
    pub cross_track: bool,
    /// What is created says `IF NOT EXISTS`, what is dropped `IF EXISTS`.
    pub guards: bool,
    /// No body names a schema, makes or drops one, or sets the search path.
    pub no_schemas: bool,
}

impl Default for Rules {
    /// Only the rule whose breach damages a database.
    fn default() -> Self {
        Self { cross_track: true, guards: false, no_schemas: false }
    }
}

/// One body of a track.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Body {
    /// The track.
    pub track: TrackName,
    /// The schema that its unqualified names lead to.
    pub schema: String,
    /// The file.
    pub file: String,
    /// What it does.
    pub deeds: Vec<Deed>,
}

/// A rule that a body breaks.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("track `{track}`, `{file}`, line {line}: {breach}")]
pub struct Violation {
    /// The track.
    pub track: TrackName,
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// Which rule.
    pub breach: Breach,
}

/// How a rule is broken.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Breach {
    /// The table is another track's.
    #[error("it {what} `{table}`, which track `{owner}` creates")]
    OtherTrack {
        /// What it does.
        what: What,
        /// The table.
        table: String,
        /// The track that creates it.
        owner: TrackName,
    },
    /// A second run would fail.
    #[error("it {what} `{name}` without {guard}")]
    Unguarded {
        /// What it does.
        what: What,
        /// To what.
        name: String,
        /// What is missing.
        guard: &'static str,
    },
    /// It is tied to a schema.
    #[error("it names a schema: {words}")]
    Schema {
        /// What it says.
        words: String,
    },
}

/// What the bodies of an application's tracks break, in the order of the bodies.
pub fn violations(bodies: &[Body], rules: Rules) -> Vec<Violation> {
    let mut violations = Vec::new();
    for body in bodies {
        for deed in &body.deeds {
            violations.extend(breach(bodies, body, deed, rules).map(|breach| Violation {
                track: body.track.clone(),
                file: body.file.clone(),
                line: deed.line,
                breach,
            }));
        }
    }
    violations
}

fn breach(bodies: &[Body], body: &Body, deed: &Deed, rules: Rules) -> Option<Breach> {
    let Deed { what, name, .. } = deed;
    let what = *what;
    if rules.cross_track && what.is_the_owners() {
        let creators = || bodies.iter().filter(|it| creates(it, place(body, deed)));
        let own = creators().any(|it| it.track == body.track);
        if let (false, Some(other)) = (own, creators().next()) {
            let (table, owner) = (name.clone(), other.track.clone());
            return Some(Breach::OtherTrack { what, table, owner });
        }
    }
    if rules.no_schemas && what == What::NamesSchema {
        return Some(Breach::Schema { words: name.clone() });
    }
    let guard = what.guard().filter(|_| rules.guards && !deed.guarded)?;
    Some(Breach::Unguarded { what, name: name.clone(), guard })
}

/// The schema and the name of what a deed is done to.
fn place<'a>(body: &'a Body, deed: &'a Deed) -> (&'a str, &'a str) {
    (deed.schema.as_deref().unwrap_or(&body.schema), &deed.name)
}

fn creates(body: &Body, table: (&str, &str)) -> bool {
    body.deeds.iter().any(|it| it.what == What::CreatesTable && place(body, it) == table)
}
