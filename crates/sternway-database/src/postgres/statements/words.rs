//! A body as words, cut into statements.

use squawk_lexer::{LiteralKind, TokenKind, tokenize};

/// A token that means something: a word, a name, a literal or a sign.
#[derive(Debug, Clone)]
pub(super) struct Word<'a> {
    /// As it is written.
    pub text: &'a str,
    /// Where it begins in the body, in bytes.
    pub offset: usize,
    /// In upper case, where it is an unquoted word; empty otherwise.
    pub key: String,
    kind: TokenKind,
}

impl Word<'_> {
    /// Whether it is this unquoted word, given in upper case, or this sign.
    pub fn is(&self, text: &str) -> bool {
        self.key == text || (self.key.is_empty() && self.text == text)
    }

    /// Where it ends in the body, in bytes.
    pub fn end(&self) -> usize {
        self.offset + self.text.len()
    }

    /// The name it spells, as the server folds it.
    pub fn name(&self) -> Option<String> {
        match self.kind {
            TokenKind::Ident => Some(self.text.to_lowercase()),
            TokenKind::QuotedIdent { .. } => {
                let inner = self.text.trim_start_matches(['U', 'u', '&']);
                let inner = inner.strip_prefix('"')?.strip_suffix('"')?;
                Some(inner.replace("\"\"", "\""))
            }
            _ => None,
        }
    }

    /// The code in a dollar-quoted or single-quoted string.
    pub fn code(&self) -> Option<&str> {
        match self.kind {
            TokenKind::Literal { kind: LiteralKind::DollarQuotedString { terminated: true } } => {
                let tag = self.text[1..].find('$')? + 2;
                self.text.get(tag..self.text.len().checked_sub(tag)?)
            }
            TokenKind::Literal { kind: LiteralKind::Str { terminated: true } } => {
                self.text.get(1..self.text.len().checked_sub(1)?)
            }
            _ => None,
        }
    }
}

/// A body cut into statements.
#[derive(Debug, Default)]
pub(super) struct Split<'a> {
    /// The words of each statement that has any.
    pub statements: Vec<Vec<Word<'a>>>,
    /// Why the text cannot be cut with certainty, if so.
    pub obstacle: Option<String>,
}

/// Cuts a body at the semicolons that end a statement: those in no parenthesis and in no
/// `BEGIN ATOMIC` body.
pub(super) fn split(body: &str) -> Split<'_> {
    let mut split = Split::default();
    let mut words: Vec<Word<'_>> = Vec::new();
    let (mut offset, mut parentheses, mut blocks) = (0, 0_usize, 0_usize);
    for token in tokenize(body) {
        let start = offset;
        offset += token.len as usize;
        let Some(text) = body.get(start..offset) else { break };
        if let Some(what) = unterminated(token.kind) {
            let line = line_of(body, start);
            split.obstacle = Some(format!("the {what} that begins in line {line} has no end"));
        }
        match token.kind {
            TokenKind::Whitespace | TokenKind::LineComment | TokenKind::BlockComment { .. } => {
                continue;
            }
            TokenKind::Semi if parentheses == 0 && blocks == 0 => {
                if !words.is_empty() {
                    split.statements.push(std::mem::take(&mut words));
                }
                continue;
            }
            TokenKind::OpenParen => parentheses += 1,
            TokenKind::CloseParen => parentheses = parentheses.saturating_sub(1),
            _ => {}
        }
        let is_word = token.kind == TokenKind::Ident;
        let key = if is_word { text.to_ascii_uppercase() } else { String::new() };
        match key.as_str() {
            "ATOMIC" if words.last().is_some_and(|word| word.is("BEGIN")) => blocks = 1,
            "CASE" if blocks > 0 => blocks += 1,
            "END" if blocks > 0 => blocks -= 1,
            _ => {}
        }
        words.push(Word { text, offset: start, key, kind: token.kind });
    }
    if offset < body.len() {
        let line = line_of(body, offset);
        split.obstacle = Some(format!("line {line} has a NUL byte, which PostgreSQL refuses"));
    }
    if !words.is_empty() {
        split.statements.push(words);
    }
    split
}

fn unterminated(kind: TokenKind) -> Option<&'static str> {
    use LiteralKind::{
        BitStr, ByteStr, DollarQuotedString, EscStr, NationalStr, Str, UnicodeEscStr,
    };
    match kind {
        TokenKind::BlockComment { terminated: false } => Some("comment"),
        TokenKind::QuotedIdent { terminated: false, .. } => Some("quoted name"),
        TokenKind::Literal {
            kind:
                Str { terminated: false }
                | NationalStr { terminated: false }
                | ByteStr { terminated: false }
                | BitStr { terminated: false }
                | DollarQuotedString { terminated: false }
                | UnicodeEscStr { terminated: false }
                | EscStr { terminated: false },
        } => Some("string"),
        _ => None,
    }
}

/// The line of a byte offset, from 1.
pub(super) fn line_of(body: &str, offset: usize) -> usize {
    body.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}

/// What follows `IF EXISTS` or `IF NOT EXISTS`, `ONLY`, or none of them.
pub(super) fn after_guard<'a, 'b>(words: &'b [Word<'a>]) -> &'b [Word<'a>] {
    let mut rest = words;
    for guard in ["CONCURRENTLY", "IF", "NOT", "EXISTS", "ONLY"] {
        if rest.first().is_some_and(|word| word.is(guard)) {
            rest = &rest[1..];
        }
    }
    rest
}

/// The parts of the possibly qualified name that `words` begin with.
pub(super) fn name(words: &[Word<'_>]) -> Vec<String> {
    let mut parts = Vec::new();
    for pair in words.chunks(2) {
        let Some(part) = pair[0].name() else { break };
        parts.push(part);
        if !pair.get(1).is_some_and(|word| word.is(".")) {
            break;
        }
    }
    parts
}
