//! What the three lexers have in common: a body as words, and the questions that are asked of a slice of
//! them.
//!
//! How a text is cut into words is each dialect's own; so is how a word spells a name ([`Spelling`]).

use std::collections::BTreeSet;

/// What a dialect knows of a word beyond its text.
pub trait Spelling: Copy {
    /// The words that may stand before a name and say only how to go about it, in their order.
    const GUARDS: &'static [&'static str];

    /// The name that a word spells, if it can be one.
    fn name(self, text: &str) -> Option<String>;

    /// A name in the form in which two that mean the same are equal, for comparing names of a body.
    fn fold(name: String) -> String {
        name
    }
}

/// A token that means something: a word, a name, a literal or a sign.
#[derive(Debug, Clone)]
pub struct Word<'a, K> {
    /// As it is written.
    pub text: &'a str,
    /// Where it begins in the body, in bytes.
    pub offset: usize,
    /// In upper case, where it is an unquoted word; empty otherwise.
    pub key: String,
    /// What else the dialect knows of it.
    pub kind: K,
}

impl<K: Spelling> Word<'_, K> {
    /// Whether it is this unquoted word, given in upper case, or this sign.
    pub fn is(&self, text: &str) -> bool {
        self.key == text || (self.key.is_empty() && self.text == text)
    }

    /// Where it ends in the body, in bytes.
    pub fn end(&self) -> usize {
        self.offset + self.text.len()
    }

    /// The name it spells.
    pub fn name(&self) -> Option<String> {
        self.kind.name(self.text)
    }
}

/// A body cut into statements.
#[derive(Debug)]
pub struct Split<'a, K> {
    /// The words of each statement that has any.
    pub statements: Vec<Vec<Word<'a, K>>>,
    /// Why the text cannot be cut with certainty, if so.
    pub obstacle: Option<String>,
}

impl<K> Default for Split<'_, K> {
    fn default() -> Self {
        Split { statements: Vec::new(), obstacle: None }
    }
}

/// What a statement does to the transaction it stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control {
    /// It begins one.
    Begin,
    /// It ends one.
    End,
}

/// What a statement is to a body that may be one transaction of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It begins a transaction like ours.
    Begins,
    /// It commits one.
    Commits,
    /// It may stand in one.
    Inside,
    /// It may stand in one, and before and after it just as well.
    Anywhere,
    /// It cannot stand in a transaction, or there may be several with it.
    Apart,
}

/// Which statements begin and commit a body that is one transaction of its own.
pub fn one_transaction(roles: &[Role]) -> Option<(usize, usize)> {
    let begins = roles.iter().position(|role| *role != Role::Anywhere)?;
    let commits = roles.iter().rposition(|role| *role != Role::Anywhere)?;
    let inside = roles.get(begins + 1..commits)?;
    let is_one = roles[begins] == Role::Begins
        && roles[commits] == Role::Commits
        && inside.iter().all(|role| matches!(role, Role::Inside | Role::Anywhere));
    is_one.then_some((begins, commits))
}

/// In which statement, from 1, the transaction of the body's own began in which `statement` stands, if it
/// stands in one.
pub fn began(controls: impl Iterator<Item = Option<Control>>, statement: usize) -> Option<usize> {
    let mut began = None;
    for (number, control) in (1..=statement).zip(controls) {
        match (control, began) {
            (Some(Control::Begin), None) => began = Some(number),
            // A chain ends one transaction and begins the next. The statement itself may end its own.
            (Some(Control::Begin), Some(_)) if number < statement => began = Some(number + 1),
            (Some(Control::End), _) if number < statement => began = None,
            _ => {}
        }
    }
    began
}

/// A body with blanks in the place of these statements, so that all others stand where they stood.
pub fn without<K: Spelling>(body: &str, statements: [&[Word<'_, K>]; 2]) -> String {
    let mut rest = String::with_capacity(body.len());
    let mut at = 0;
    for words in statements {
        let (Some(first), Some(last)) = (words.first(), words.last()) else { continue };
        let blank = |it: char| if it == '\n' { it } else { ' ' };
        rest.push_str(body.get(at..first.offset).unwrap_or_default());
        rest.extend(body.get(first.offset..last.end()).unwrap_or_default().chars().map(blank));
        at = last.end();
    }
    rest.push_str(body.get(at..).unwrap_or_default());
    rest
}

/// What follows `IF EXISTS` or `IF NOT EXISTS` and whatever else of the kind the dialect has.
pub fn after_guard<'a, 'b, K: Spelling>(words: &'b [Word<'a, K>]) -> &'b [Word<'a, K>] {
    let skip = |rest: &'b [Word<'a, K>], guard: &&str| match rest {
        [first, more @ ..] if first.is(guard) => more,
        _ => rest,
    };
    K::GUARDS.iter().fold(words, skip)
}

/// The parts of the possibly qualified name that `words` begin with.
pub fn name<K: Spelling>(words: &[Word<'_, K>]) -> Vec<String> {
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

/// The possibly qualified name that `words` begin with, guard and all, and what follows it.
pub fn name_and_rest<'a, 'b, K: Spelling>(
    words: &'b [Word<'a, K>],
) -> (Vec<String>, &'b [Word<'a, K>]) {
    let words = after_guard(words);
    let parts = name(words);
    let length = (parts.len() * 2).saturating_sub(1).min(words.len());
    (parts, &words[length..])
}

/// The names in a list such as `a, b.c, d CASCADE`, each in its parts.
pub fn names<'b, K: Spelling>(words: &'b [Word<'_, K>]) -> impl Iterator<Item = Vec<String>> + 'b {
    split_at_commas(words).map(name).filter(|name| !name.is_empty())
}

/// The depth in parentheses at which each word stands; a parenthesis stands outside of itself.
fn depths<'b, K: Spelling>(words: &'b [Word<'_, K>]) -> impl Iterator<Item = usize> + 'b {
    words.iter().scan(0_usize, |depth, word| {
        *depth = depth.saturating_sub(usize::from(word.is(")")));
        let here = *depth;
        *depth += usize::from(word.is("("));
        Some(here)
    })
}

/// Cuts at the commas that stand in no parenthesis.
pub fn split_at_commas<'a, 'b, K: Spelling>(
    words: &'b [Word<'a, K>],
) -> impl Iterator<Item = &'b [Word<'a, K>]> {
    let mut depths = depths(words);
    words.split(move |word| depths.next() == Some(0) && word.is(","))
}

/// Whether every parenthesis is closed, and none that these words do not open.
pub fn is_even<K: Spelling>(words: &[Word<'_, K>]) -> bool {
    let mut open = 0_usize;
    for word in words {
        match word.is(")") {
            true if open == 0 => return false,
            true => open -= 1,
            false => open += usize::from(word.is("(")),
        }
    }
    open == 0
}

/// The table that is altered, and the actions on it.
pub fn alteration<'a, 'b, K: Spelling>(
    words: &'b [Word<'a, K>],
) -> (Vec<String>, &'b [Word<'a, K>]) {
    let (table, actions) = name_and_rest(words);
    match actions {
        [wait, _, actions @ ..] if wait.is("WAIT") => (table, actions),
        [wait, actions @ ..] if wait.is("NOWAIT") => (table, actions),
        actions => (table, actions),
    }
}

/// The columns, with their unqualified tables, that a body adds: filling them destroys nothing.
pub fn added_columns<'a, K: Spelling + 'a>(
    statements: &[impl AsRef<[Word<'a, K>]>],
) -> BTreeSet<(String, String)> {
    let mut added = BTreeSet::new();
    for words in statements {
        let [alter, kind, rest @ ..] = words.as_ref() else { continue };
        if !alter.is("ALTER") || !kind.is("TABLE") {
            continue;
        }
        let (mut table, actions) = alteration(rest);
        let Some(table) = table.pop().map(K::fold) else { continue };
        for action in split_at_commas(actions) {
            let [add, rest @ ..] = action else { continue };
            let rest = match rest {
                [column, rest @ ..] if column.is("COLUMN") => rest,
                rest => rest,
            };
            if let (true, Some(column)) = (add.is("ADD"), name(after_guard(rest)).pop()) {
                added.insert((table.clone(), K::fold(column)));
            }
        }
    }
    added
}

/// The columns that an `UPDATE` sets; empty where that is not plain to see.
pub fn set_columns<K: Spelling>(words: &[Word<'_, K>]) -> Vec<String> {
    let Some(set) = words.iter().position(|word| word.is("SET")) else { return Vec::new() };
    let words = &words[set + 1..];
    let ends = |at: usize| {
        let distinct = at > 0 && words[at - 1].is("DISTINCT");
        words[at].is("WHERE") || (words[at].is("FROM") && !distinct)
    };
    let mut outside = depths(words).enumerate().filter(|(_, depth)| *depth == 0);
    let end = outside.find_map(|(at, _)| ends(at).then_some(at));
    let mut columns = Vec::new();
    for part in split_at_commas(&words[..end.unwrap_or(words.len())]) {
        match part {
            [column, equals, ..] if equals.is("=") => columns.extend(column.name()),
            _ => return Vec::new(),
        }
    }
    columns
}

/// Whether an `UPDATE` of this table sets nothing but columns that the body has added.
pub fn fills<K: Spelling>(
    table: &[String],
    set: &[String],
    added: &BTreeSet<(String, String)>,
) -> bool {
    let table = K::fold(table.last().cloned().unwrap_or_default());
    let is_new = |column: &String| added.contains(&(table.clone(), K::fold(column.clone())));
    !set.is_empty() && set.iter().all(is_new)
}

/// Why a body cannot be run that gives a command to a client.
pub fn client_command(command: &str, line: usize, client: &str) -> String {
    format!("{command} in line {line} is a command of {client}, and no server knows it")
}

/// The line of a byte offset, from 1.
pub fn line_of(body: &str, offset: usize) -> usize {
    body.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}

/// The line and the column of a byte offset, each from 1.
pub fn place_of(body: &str, offset: usize) -> (usize, usize) {
    let before = body.get(..offset).unwrap_or_default();
    let column = before.rsplit('\n').next().map_or(0, |last| last.chars().count()) + 1;
    (line_of(before, before.len()), column)
}

/// The lines of offsets that do not go back, found in one pass over the body.
pub struct Lines<'a> {
    body: &'a [u8],
    offset: usize,
    line: usize,
}

impl<'a> Lines<'a> {
    /// Those of a body.
    pub fn of(body: &'a str) -> Lines<'a> {
        Lines { body: body.as_bytes(), offset: 0, line: 1 }
    }

    /// The line of a byte offset, from 1.
    pub fn at(&mut self, offset: usize) -> usize {
        if offset < self.offset {
            *self = Lines { body: self.body, offset: 0, line: 1 };
        }
        let offset = offset.min(self.body.len());
        self.line += self.body[self.offset..offset].iter().filter(|it| **it == b'\n').count();
        self.offset = offset;
        self.line
    }
}
