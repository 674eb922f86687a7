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
    let (mut tokens, mut escapes) = (tokenize(body), false);
    while let Some(mut token) = tokens.next() {
        let start = offset;
        offset += token.len as usize;
        let is_plain = matches!(token.kind, TokenKind::Literal { kind: LiteralKind::Str { .. } });
        if escapes && is_plain {
            let end = body.get(start..).and_then(end_of_escaped);
            offset = end.map_or(body.len(), |length| start + length);
            token.kind =
                TokenKind::Literal { kind: LiteralKind::Str { terminated: end.is_some() } };
            tokens = tokenize(body.get(offset..).unwrap_or_default());
        }
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
                    escapes = sets_escapes(&words).unwrap_or(escapes);
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

/// Whether a statement has backslashes escape in plain strings from there on, or no longer.
fn sets_escapes(words: &[Word<'_>]) -> Option<bool> {
    let [set, rest @ ..] = words else { return None };
    let rest = match rest {
        [scope, rest @ ..] if scope.is("SESSION") || scope.is("LOCAL") => rest,
        rest => rest,
    };
    let [name, is, value] = rest else { return None };
    let sets = set.is("SET") && (is.is("=") || is.is("TO"));
    (sets && name.is("STANDARD_CONFORMING_STRINGS")).then_some(())?;
    let value = value.text.trim_matches('\'').to_ascii_lowercase();
    Some(["off", "false", "no", "0"].contains(&value.as_str()))
}

/// How long the string is that a text begins with, where a backslash escapes.
fn end_of_escaped(text: &str) -> Option<usize> {
    let mut signs = text.char_indices().skip(1).peekable();
    while let Some((at, sign)) = signs.next() {
        match sign {
            '\\' => drop(signs.next()),
            '\'' if signs.peek().is_some_and(|(_, next)| *next == '\'') => drop(signs.next()),
            '\'' => return Some(at + 1),
            _ => {}
        }
    }
    None
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_body_sets_says_whether_backslashes_escape() {
        let count = |body: &str| {
            let split = split(body);
            (split.statements.len(), split.obstacle.is_some())
        };
        for off in ["= off", "TO 'off'", "= false"] {
            let body = format!(
                "SET standard_conforming_strings {off};\nSELECT 'it\\'s; x', E'\\'';\n\
                 SET SESSION standard_conforming_strings = on; SELECT 'a\\'; SELECT 1"
            );
            assert_eq!(count(&body), (5, false), "{body}");
        }
        assert_eq!(count("SELECT 'a\\'; SELECT 'it''s; x'"), (2, false));
        assert_eq!(count("SET standard_conforming_strings = off; SELECT 'a\\'"), (2, true));
    }
}
