//! A body as words, cut into statements as SQLite cuts it.

use crate::tokens::{self, Spelling, Split, line_of};

pub(in crate::sqlite) use crate::tokens::{after_guard, name};

/// What a word is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An unquoted word: a keyword or a name.
    Plain,
    /// A name in `"…"`, `` `…` `` or `[…]`.
    Quoted,
    /// A string in `'…'`.
    Text,
    /// A number, a sign or anything else.
    Other,
}

pub(in crate::sqlite) type Word<'a> = tokens::Word<'a, Kind>;

impl Spelling for Kind {
    const GUARDS: &'static [&'static str] = &["IF", "NOT", "EXISTS"];

    /// SQLite takes a string for a name too, where only a name can stand.
    fn name(self, text: &str) -> Option<String> {
        match self {
            Kind::Plain => Some(text.to_owned()),
            Kind::Quoted | Kind::Text => {
                let quote = text.chars().next()?;
                let inner = text.get(1..text.len().checked_sub(1)?)?;
                Some(inner.replace(&format!("{quote}{quote}"), &quote.to_string()))
            }
            Kind::Other => None,
        }
    }

    fn fold(name: String) -> String {
        name.to_ascii_lowercase()
    }
}

/// Cuts a body at the semicolons that end a statement: those that are in no trigger.
pub(in crate::sqlite) fn split(body: &str) -> Split<'_, Kind> {
    let mut split = Split::default();
    let mut words: Vec<Word<'_>> = Vec::new();
    let mut trigger = Trigger::default();
    let (mut at, mut next_line) = (0, 1);
    while let Some(rest) = body.get(at..).filter(|rest| !rest.is_empty()) {
        let offset = at;
        let (length, kind) = token(rest);
        at += length;
        let text = &rest[..length];
        let line = next_line;
        next_line += text.bytes().filter(|byte| *byte == b'\n').count();
        if let Some(what) = broken(text, kind) {
            split.obstacle = Some(match what {
                "NUL" => format!("line {line} has a NUL byte, at which SQLite stops reading"),
                what => format!("the {what} that begins in line {line} has no end"),
            });
        }
        let Some(kind) = kind else { continue };
        let key = if kind == Kind::Plain { text.to_ascii_uppercase() } else { String::new() };
        if text == ";" && !trigger.is_open() {
            if !words.is_empty() {
                split.statements.push(std::mem::take(&mut words));
            }
            trigger = Trigger::default();
            continue;
        }
        trigger.meet(if key.is_empty() { text } else { &key }, words.len());
        words.push(Word { text, offset, key, kind });
    }
    if trigger.is_open() && split.obstacle.is_none() {
        let line = words.first().map_or(1, |word| line_of(body, word.offset));
        split.obstacle = Some(format!("the trigger that begins in line {line} has no end"));
    }
    if !words.is_empty() {
        split.statements.push(words);
    }
    split
}

/// Where in a `CREATE TRIGGER … BEGIN …; END` the text is, found as `sqlite3_complete` finds it.
#[derive(Debug, Default)]
struct Trigger {
    /// The statement may still be `CREATE [TEMP] TRIGGER`.
    create: bool,
    /// It is.
    named: bool,
    /// Its `BEGIN` has been met.
    begun: bool,
    /// How many `CASE` are open before that.
    cases: usize,
    after_semicolon: bool,
    ended: bool,
}

impl Trigger {
    fn is_open(&self) -> bool {
        self.begun && !self.ended
    }

    /// Meets the word that `before` others of its statement precede.
    fn meet(&mut self, key: &str, before: usize) {
        if before == 0 {
            self.create = key == "CREATE";
        } else if self.create && !self.named {
            self.named = key == "TRIGGER";
            self.create = self.named || (before == 1 && matches!(key, "TEMP" | "TEMPORARY"));
        } else if self.named && !self.begun {
            match key {
                "CASE" => self.cases += 1,
                "END" => self.cases = self.cases.saturating_sub(1),
                // In a WHEN clause, no name can be BEGIN without quotes.
                "BEGIN" if self.cases == 0 && before > 3 => self.begun = true,
                _ => {}
            }
        } else if self.begun {
            self.ended = self.ended || (self.after_semicolon && key == "END");
            self.after_semicolon = key == ";";
        }
    }
}

/// The length of the token that `rest`, which is not empty, begins with; no kind for what means
/// nothing.
fn token(rest: &str) -> (usize, Option<Kind>) {
    let bytes = rest.as_bytes();
    let run = |from: usize, goes_on: fn(u8) -> bool| {
        from + bytes[from..].iter().take_while(|byte| goes_on(**byte)).count()
    };
    let two = |second: u8| bytes.get(1) == Some(&second);
    match bytes[0] {
        b' ' | b'\t' | b'\n' | b'\x0c' | b'\r' => (run(1, |it| b" \t\n\x0c\r".contains(&it)), None),
        _ if rest.starts_with('\u{feff}') => ('\u{feff}'.len_utf8(), None),
        b'-' if two(b'-') => (rest.find('\n').unwrap_or(rest.len()), None),
        b'/' if two(b'*') && bytes.len() > 2 => {
            (rest[2..].find("*/").map_or(rest.len(), |end| end + 4), None)
        }
        quote @ (b'"' | b'`') => (quoted(bytes, 0, quote), Some(Kind::Quoted)),
        b'[' => (rest.find(']').map_or(rest.len(), |end| end + 1), Some(Kind::Quoted)),
        b'\'' => (quoted(bytes, 0, b'\''), Some(Kind::Text)),
        b'x' | b'X' if two(b'\'') => (quoted(bytes, 1, b'\''), Some(Kind::Other)),
        first if is_name(first) && !first.is_ascii_digit() => (run(1, is_name), Some(Kind::Plain)),
        first if first.is_ascii_digit() => {
            (run(1, |it| is_name(it) || it == b'.'), Some(Kind::Other))
        }
        _ => {
            let twice = ["||", "==", "!=", "<>", "<=", ">=", "<<", ">>", "->"];
            let length = if rest.starts_with("->>") { 3 } else { 2 };
            let twice = twice.iter().any(|sign| rest.starts_with(sign));
            (if twice { length } else { 1 }, Some(Kind::Other))
        }
    }
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$' | 0x80..)
}

/// Where the quoted text that opens at `open` ends; a doubled quote does not end it.
fn quoted(bytes: &[u8], open: usize, quote: u8) -> usize {
    let mut at = open + 1;
    while at < bytes.len() {
        if bytes[at] == quote {
            if bytes.get(at + 1) != Some(&quote) {
                return at + 1;
            }
            at += 1;
        }
        at += 1;
    }
    bytes.len()
}

/// What is wrong with a token. A comment may run to the end of the text.
fn broken(text: &str, kind: Option<Kind>) -> Option<&'static str> {
    let open = |quote: u8| {
        let quotes = text.bytes().filter(|byte| *byte == quote).count();
        !text.ends_with(char::from(quote)) || quotes % 2 == 1
    };
    match (kind, text.as_bytes()) {
        (_, bytes) if bytes.contains(&0) => Some("NUL"),
        (Some(Kind::Quoted), [b'[', ..]) => (!text.ends_with(']')).then_some("quoted name"),
        (Some(Kind::Quoted), [quote, ..]) => open(*quote).then_some("quoted name"),
        (Some(Kind::Text), _) | (Some(Kind::Other), [b'x' | b'X', ..]) => {
            open(b'\'').then_some("string")
        }
        _ => None,
    }
}
