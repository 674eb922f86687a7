//! A body as words, as MySQL's own lexer sees them.

use crate::tokens::{self, Spelling};

pub(in crate::mysql) use crate::tokens::{after_guard, name};

/// A word tells by its text what it is.
#[derive(Debug, Clone, Copy)]
pub(in crate::mysql) struct Plain;

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

/// A body cut into words.
#[derive(Debug, Default)]
pub(super) struct Words<'a> {
    /// The words. The begin and the end of a comment that servers run, `/*!40101` and `*/`, are two.
    pub words: Vec<Word<'a>>,
    /// What has no end, and where it begins.
    pub unterminated: Option<(&'static str, usize)>,
}

/// Whether the byte can stand in a word.
fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$') || byte >= 0x80
}

/// Cuts a body into words. `escapes`: a backslash in a string escapes what follows it, as it does
/// unless the session has `NO_BACKSLASH_ESCAPES`.
pub(super) fn words(body: &str, escapes: bool) -> Words<'_> {
    let bytes = body.as_bytes();
    let at = |index: usize| bytes.get(index).copied().unwrap_or(0);
    let mut found = Words::default();
    let mut conditional = None;
    let mut index = 0;
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
                if at(mark) == b'!' && conditional.is_none() {
                    conditional = Some(start);
                    index = mark + 1;
                    while index < mark + 7 && at(index).is_ascii_digit() {
                        index += 1;
                    }
                } else {
                    match find(&bytes[index + 2..], b"*/") {
                        Some(length) => index += length + 4,
                        None => {
                            found.unterminated = Some(("comment", start));
                            index = bytes.len();
                        }
                    }
                    continue;
                }
            }
            b'*' if at(index + 1) == b'/' && conditional.is_some() => {
                index += 2;
                conditional = None;
            }
            quote @ (b'\'' | b'"' | b'`') => {
                let escapes = escapes && quote != b'`';
                match end_of_quoted(bytes, index, escapes) {
                    Some(end) => index = end,
                    None => {
                        let what = if quote == b'`' { "quoted name" } else { "string" };
                        found.unterminated = Some((what, start));
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
        let text = body.get(start..index).unwrap_or_default();
        let key = if key { text.to_ascii_uppercase() } else { String::new() };
        found.words.push(Word { text, offset: start, key, kind: Plain });
    }
    if let Some(start) = conditional {
        found.unterminated = Some(("comment", start));
    }
    found
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
