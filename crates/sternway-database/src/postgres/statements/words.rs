//! A body as words, cut into statements.

use squawk_lexer::{LiteralKind, TokenKind, tokenize};

use crate::tokens::{self, Spelling, Split, client_command, line_of};

pub(super) type Word<'a> = tokens::Word<'a, TokenKind>;

impl Spelling for TokenKind {
    const GUARDS: &'static [&'static str] = &["CONCURRENTLY", "IF", "NOT", "EXISTS", "ONLY"];

    /// As the server folds it.
    fn name(self, text: &str) -> Option<String> {
        match self {
            TokenKind::Ident => Some(text.to_lowercase()),
            TokenKind::QuotedIdent { .. } => {
                let inner = text.trim_start_matches(['U', 'u', '&']);
                let inner = inner.strip_prefix('"')?.strip_suffix('"')?;
                Some(inner.replace("\"\"", "\""))
            }
            _ => None,
        }
    }
}

impl<'a> Word<'a> {
    /// The code in a dollar-quoted or single-quoted string.
    pub fn code(&self) -> Option<&'a str> {
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

/// Cuts a body at the semicolons that end a statement: those in no parenthesis and in no
/// `BEGIN ATOMIC` body.
pub(super) fn split(body: &str) -> Split<'_, TokenKind> {
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
        if text.starts_with('\\') {
            let command = body[start..].split_whitespace().next().unwrap_or_default();
            split
                .obstacle
                .get_or_insert_with(|| client_command(command, line_of(body, start), "psql"));
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
