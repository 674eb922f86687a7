//! Stored programs: which statements are one, and how deep in it a word stands.

use super::words::Word;

/// Whether a statement is the definition of a stored program, or a block that is run at once.
pub(super) fn is_program(words: &[Word<'_>]) -> bool {
    (0..words.len().min(20)).any(|at| begins_program(&words[..at], &words[at]))
}

/// Whether `word`, after `before` in its statement, makes it one.
pub(super) fn begins_program(before: &[Word<'_>], word: &Word<'_>) -> bool {
    let mut before = before.iter().filter(|it| !it.opens() && !it.closes());
    let kinds = ["PROCEDURE", "FUNCTION", "TRIGGER", "EVENT", "PACKAGE"];
    match before.next() {
        None => ["IF", "CASE", "LOOP", "WHILE", "REPEAT", "FOR"].iter().any(|it| word.is(it)),
        Some(first) if first.is("BEGIN") => word.is("NOT"),
        Some(first) if first.is("CREATE") || first.is("ALTER") => {
            let ways = [
                "OR",
                "REPLACE",
                "DEFINER",
                "AGGREGATE",
                "CURRENT_USER",
                "CURRENT_ROLE",
                "=",
                "@",
                "(",
                ")",
            ];
            let mut previous = first;
            let ours = |it: &Word<'_>, previous: &Word<'_>| {
                ways.iter().any(|way| it.is(way)) || it.key.is_empty() || previous.is("=")
            };
            for it in before {
                if !ours(it, previous) {
                    return false;
                }
                previous = it;
            }
            !previous.is("=") && kinds.iter().any(|kind| word.is(kind))
        }
        Some(_) => false,
    }
}

/// What is open in a stored program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Open {
    /// `BEGIN`, and whatever turned out to have an END.
    Block,
    /// A `CASE`, whose THEN is its own.
    Case,
    /// An `IF`: a statement if a THEN follows, and a function or a guard otherwise.
    If,
    /// A `WHILE` or `FOR`: a loop if a DO follows.
    Loop,
    /// The parenthesis of an `IF (`: of the function, if it has a comma.
    Condition,
    Parenthesis,
}

/// How deep in a stored program a word stands.
#[derive(Debug, Default)]
pub(super) struct Program {
    open: Vec<Open>,
    /// The last word.
    last: Last,
}

/// A word that the next one says more about.
#[derive(Debug, Default, PartialEq, Eq)]
enum Last {
    #[default]
    Other,
    /// `END`, which may have a second word.
    End,
    If,
    /// `REPEAT`: the function of that name has a parenthesis.
    Repeat,
}

impl Program {
    /// Forgets what a semicolon shows to have been no statement, and tells whether nothing is open.
    pub(super) fn may_end_at_semicolon(&mut self) -> bool {
        self.last = Last::Other;
        while matches!(self.open.last(), Some(Open::If | Open::Loop)) {
            self.open.pop();
        }
        self.open.is_empty()
    }

    pub(super) fn word(&mut self, word: &Word<'_>) {
        let kind = word.key.as_str();
        let last = std::mem::take(&mut self.last);
        match (kind, word.text) {
            ("IF" | "CASE" | "LOOP" | "WHILE" | "REPEAT" | "FOR", _) if last == Last::End => {}
            (_, text) if last == Last::Repeat && text != "(" => {
                self.open.push(Open::Block);
                self.word(word);
            }
            ("BEGIN" | "LOOP", _) => self.open.push(Open::Block),
            ("CASE", _) => self.open.push(Open::Case),
            ("WHILE" | "FOR", _) => self.open.push(Open::Loop),
            ("REPEAT", _) => self.last = Last::Repeat,
            ("IF", _) => {
                self.open.push(Open::If);
                self.last = Last::If;
            }
            ("THEN", _) if self.open.last() == Some(&Open::If) => self.confirm(),
            ("DO", _) if self.open.last() == Some(&Open::Loop) => self.confirm(),
            ("END", _) => {
                self.open.pop();
                self.last = Last::End;
            }
            ("", "(") if last == Last::If => self.open.push(Open::Condition),
            ("", "(") => self.open.push(Open::Parenthesis),
            ("", ",") if self.open.last() == Some(&Open::Condition) => {
                // The IF below it goes: what is left is an ordinary parenthesis.
                self.open.pop();
                self.confirm_as(Open::Parenthesis);
            }
            ("", ")") => {
                let parenthesis = |it: &Open| matches!(it, Open::Parenthesis | Open::Condition);
                // A search that goes far ends far: what it passes is forgotten.
                if let Some(at) = self.open.iter().rposition(parenthesis) {
                    self.open.truncate(at);
                }
            }
            _ => {}
        }
    }

    /// What is innermost turns out to be a statement with an END.
    fn confirm(&mut self) {
        self.confirm_as(Open::Block);
    }

    fn confirm_as(&mut self, open: Open) {
        self.open.pop();
        self.open.push(open);
    }
}
