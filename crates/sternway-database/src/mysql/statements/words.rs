//! A body as words, as MySQL's own lexer sees them.

use super::quotes::Quotes;
use crate::tokens::{self, Spelling};

pub(in crate::mysql) use crate::tokens::{after_guard, name};

/// A word tells by its text what it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plain;

pub(in crate::mysql) type Word<'a> = tokens::Word<'a, Plain>;

impl Spelling for Plain {
    const GUARDS: &'static [&'static str] =
        &["LOW_PRIORITY", "QUICK", "IGNORE", "IF", "NOT", "EXISTS"];

    /// A word after a full stop has no key and is a name all the same.
    fn name(self, text: &str) -> Option<String> {
        let first = text.chars().next()?;
        if matches!(first, '`' | '"') {
            let inner = text.strip_prefix(first)?.strip_suffix(first)?;
            return Some(inner.replace(&format!("{first}{first}"), &first.to_string()));
        }
        is_word(u8::try_from(first).unwrap_or(b'a')).then(|| text.to_owned())
    }
}

impl Word<'_> {
    /// Whether it begins a comment that servers run.
    pub fn opens(&self) -> bool {
        self.text.starts_with("/*")
    }

    /// Whether it ends such a comment.
    pub fn closes(&self) -> bool {
        self.text == "*/"
    }
}

/// A body on its way to be cut into words. The begin and the end of a comment that servers run,
/// `/*!40101` and `*/`, are two.
pub(super) struct Lexer<'a> {
    body: &'a str,
    index: usize,
    /// Where the comment that servers run begins that is open.
    conditional: Option<usize>,
    /// How quotes are read from here on.
    pub quotes: Quotes,
    /// What has no end, and where it begins.
    pub unterminated: Option<(&'static str, usize)>,
}

/// Whether the byte can stand in a word.
fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$') || byte >= 0x80
}

impl<'a> Lexer<'a> {
    /// At the beginning of a body.
    pub fn of(body: &'a str, quotes: Quotes) -> Lexer<'a> {
        Lexer { body, index: 0, conditional: None, quotes, unterminated: None }
    }
}

impl<'a> Iterator for Lexer<'a> {
    type Item = Word<'a>;

    fn next(&mut self) -> Option<Word<'a>> {
        let bytes = self.body.as_bytes();
        let at = |index: usize| bytes.get(index).copied().unwrap_or(0);
        let mut index = self.index;
        while index < bytes.len() {
            let start = index;
            let mut key = false;
            match bytes[index] {
                byte if byte.is_ascii_whitespace() || byte.is_ascii_control() => {
                    index += 1;
                    continue;
                }
                b'#' => {
                    index = end_of_line(bytes, index);
                    continue;
                }
                b'-' if at(index + 1) == b'-' && at(index + 2) <= b' ' => {
                    index = end_of_line(bytes, index);
                    continue;
                }
                b'/' if at(index + 1) == b'*' => {
                    let mark = index + 2 + usize::from(at(index + 2) == b'M');
                    // What is for a version that no server has is a comment: dumps begin with one.
                    let none_runs_it = bytes[mark..].starts_with(b"!999999");
                    if at(mark) == b'!' && self.conditional.is_none() && !none_runs_it {
                        self.conditional = Some(start);
                        index = mark + 1;
                        while index < mark + 7 && at(index).is_ascii_digit() {
                            index += 1;
                        }
                    } else {
                        match find(&bytes[index + 2..], b"*/") {
                            Some(length) => index += length + 4,
                            None => {
                                self.unterminated = Some(("comment", start));
                                index = bytes.len();
                            }
                        }
                        continue;
                    }
                }
                b'*' if at(index + 1) == b'/' && self.conditional.is_some() => {
                    index += 2;
                    self.conditional = None;
                }
                quote @ (b'\'' | b'"' | b'`') => {
                    let names = quote == b'`' || (quote == b'"' && self.quotes.names);
                    match end_of_quoted(bytes, index, self.quotes.escapes && !names) {
                        Some(end) => index = end,
                        None => {
                            let what = if names { "quoted name" } else { "string" };
                            self.unterminated = Some((what, start));
                            index = bytes.len();
                        }
                    }
                }
                b'@' => {
                    // A variable, so that `@end` is no END.
                    index += 1;
                    while at(index) == b'@' || at(index) == b'.' || is_word(at(index)) {
                        index += 1;
                    }
                }
                byte if is_word(byte) => {
                    while index < bytes.len() && is_word(bytes[index]) {
                        index += 1;
                    }
                    key = !(start > 0 && bytes[start - 1] == b'.');
                }
                _ => index += 1,
            }
            self.index = index;
            let text = self.body.get(start..index).unwrap_or_default();
            let key = if key { text.to_ascii_uppercase() } else { String::new() };
            return Some(Word { text, offset: start, key, kind: Plain });
        }
        self.index = index;
        if let Some(start) = self.conditional.take() {
            self.unterminated = Some(("comment", start));
        }
        None
    }
}

fn end_of_line(bytes: &[u8], from: usize) -> usize {
    find(&bytes[from..], b"\n").map_or(bytes.len(), |length| from + length)
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

/// Where what is quoted from `start` ends; a quote that is doubled stands for itself.
fn end_of_quoted(bytes: &[u8], start: usize, escapes: bool) -> Option<usize> {
    let quote = bytes[start];
    let mut index = start + 1;
    while index < bytes.len() {
        match bytes[index] {
            b'\\' if escapes => index += 2,
            byte if byte == quote && bytes.get(index + 1) == Some(&quote) => index += 2,
            byte if byte == quote => return Some(index + 1),
            _ => index += 1,
        }
    }
    None
}
