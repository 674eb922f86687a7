//! How a session reads quotes, which its `sql_mode` says, and what the statements of a body make of that.

use std::collections::BTreeMap;

use super::words::Word;
use crate::tokens::split_at_commas;

/// How quotes are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quotes {
    /// Whether a backslash in a string escapes what follows it: not with `NO_BACKSLASH_ESCAPES`.
    pub escapes: bool,
    /// Whether what stands in double quotes is a name: with `ANSI_QUOTES`.
    pub names: bool,
}

impl Quotes {
    /// Those of a `sql_mode` that says nothing of them.
    pub const PLAIN: Quotes = Quotes { escapes: true, names: false };

    /// Those of a `sql_mode`.
    pub fn of(mode: &str) -> Quotes {
        let mode = mode.to_ascii_uppercase();
        let mut modes = mode.split(',').map(str::trim);
        // Some stand for several.
        let ansi =
            ["ANSI_QUOTES", "ANSI", "ORACLE", "MSSQL", "DB2", "MAXDB", "POSTGRESQL", "SYBASE"];
        let escapes = !modes.clone().any(|it| it == "NO_BACKSLASH_ESCAPES");
        Quotes { escapes, names: modes.any(|it| ansi.contains(&it)) }
    }

    /// Those of a `sql_mode` as a number.
    fn of_number(mode: u64) -> Quotes {
        Quotes { escapes: mode & 0x10_0000 == 0, names: mode & 4 != 0 }
    }

    /// With the modes of another one, too.
    fn and(self, other: Quotes) -> Quotes {
        Quotes { escapes: self.escapes && other.escapes, names: self.names || other.names }
    }

    /// Without the modes of another one.
    fn but(self, other: Quotes) -> Quotes {
        Quotes { escapes: self.escapes || !other.escapes, names: self.names && !other.names }
    }
}

/// How the session reads quotes while a body goes on.
pub(super) struct Session {
    start: Quotes,
    pub now: Quotes,
    /// What variables have kept of it.
    kept: BTreeMap<String, Quotes>,
    /// Whether something was set that only the server can tell.
    pub unsure: bool,
}

impl Session {
    pub fn new(start: Quotes) -> Session {
        Session { start, now: start, kept: BTreeMap::new(), unsure: false }
    }

    /// Follows a statement.
    pub fn after(&mut self, words: &[Word<'_>]) {
        let words: Vec<Word<'_>> =
            words.iter().filter(|it| !it.opens() && !it.closes()).cloned().collect();
        let [set, rest @ ..] = words.as_slice() else { return };
        if !set.is("SET") {
            return;
        }
        let mut global = false;
        for assignment in split_at_commas(rest) {
            let Some(at) = assignment.iter().position(|it| it.is("=")) else { continue };
            let (to, value) = (&assignment[..at], &assignment[at + 1..]);
            let mut to = to.iter().filter(|it| !it.is(":"));
            let mut name = to.next().map_or(String::new(), |it| it.text.to_ascii_lowercase());
            if let Some(next) = to.next() {
                global = matches!(name.as_str(), "global" | "persist" | "persist_only");
                name = next.text.to_ascii_lowercase();
            }
            match name.trim_matches('`') {
                "sql_mode" if !global => self.set(value),
                "@@sql_mode" | "@@session.sql_mode" | "@@local.sql_mode" => self.set(value),
                variable if variable.starts_with('@') && !variable.starts_with("@@") => {
                    if let Some(quotes) = self.value(value) {
                        self.kept.insert(variable.to_owned(), quotes);
                    }
                }
                _ => {}
            }
        }
    }

    fn set(&mut self, value: &[Word<'_>]) {
        // There statements end elsewhere.
        self.unsure |= value.iter().any(|it| it.text.to_ascii_uppercase().contains("ORACLE"));
        match self.value(value) {
            Some(quotes) => self.now = quotes,
            None => self.unsure = true,
        }
    }

    /// What an expression says, as far as that can be told from it.
    fn value(&self, words: &[Word<'_>]) -> Option<Quotes> {
        match words {
            [word] => {
                let text = word.text.to_ascii_lowercase();
                match text.as_bytes().first()? {
                    b'\'' | b'"' => Some(Quotes::of(text.trim_matches(['\'', '"']))),
                    b'0'..=b'9' => text.parse().ok().map(Quotes::of_number),
                    b'@' => match text.as_str() {
                        "@@sql_mode" | "@@session.sql_mode" | "@@local.sql_mode" => Some(self.now),
                        "@@global.sql_mode" => Some(self.start),
                        variable => self.kept.get(variable).copied(),
                    },
                    _ if word.is("DEFAULT") => Some(self.start),
                    _ => Some(Quotes::of(&text)),
                }
            }
            [open, inside @ .., close] if open.is("(") && close.is(")") => self.value(inside),
            [.., close] if close.is(")") => {
                let open = words.iter().position(|it| it.is("("))?;
                let function = words.get(open.checked_sub(1)?)?.text.to_ascii_lowercase();
                let inside = words.get(open + 1..words.len() - 1)?;
                let values: Option<Vec<Quotes>> =
                    split_at_commas(inside).map(|it| self.value(it)).collect();
                match (function.as_str(), values?.as_slice()) {
                    ("concat" | "concat_ws", values) => {
                        Some(values.iter().fold(Quotes::PLAIN, |all, it| all.and(*it)))
                    }
                    ("list_add", [mode, more]) => Some(mode.and(*more)),
                    ("list_drop", [mode, less]) => Some(mode.but(*less)),
                    ("replace", [mode, less, more]) => Some(mode.but(*less).and(*more)),
                    ("trim" | "upper" | "lower", [mode]) => Some(*mode),
                    _ => None,
                }
            }
            _ => None,
        }
    }
}
