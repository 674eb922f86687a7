//! What follows `CREATE TABLE name`, taken apart: columns, constraints, options.
//!
//! SQLite has accepted the text, so that what is not understood here is kept as it is written.

use sternway_model::proof::{Action, Definition, Facts, ForeignKey};

use crate::sqlite::statements::plain;
use crate::sqlite::statements::words::{Kind, Word};

/// A table.
#[derive(Debug, Default)]
pub(super) struct Table {
    /// Each column and what it is, in order.
    pub columns: Vec<(String, String)>,
    /// The constraints, each by what it is about, and the rest of it.
    pub constraints: Vec<(String, Definition)>,
    /// What stands after the parenthesis; for a virtual table, its module.
    pub options: String,
}

/// The words that begin a constraint.
const BEGINNINGS: [&str; 11] = [
    "CONSTRAINT",
    "PRIMARY",
    "NOT",
    "NULL",
    "UNIQUE",
    "CHECK",
    "DEFAULT",
    "COLLATE",
    "REFERENCES",
    "GENERATED",
    "AS",
];

/// Reads what follows the table's name.
pub(super) fn read(words: &[Word<'_>]) -> Table {
    let mut table = Table::default();
    let (inner, after) = match words {
        [open, ..] if open.is("(") => group(words),
        // USING module (…)
        _ => {
            table.options = plain(words);
            return table;
        }
    };
    let mut options: Vec<String> = parts(after).map(plain).collect();
    options.sort_unstable();
    table.options = options.join(", ");
    for part in parts(inner) {
        let begins = ["CONSTRAINT", "PRIMARY", "UNIQUE", "CHECK", "FOREIGN"];
        let Some(first) = part.first() else { continue };
        if begins.contains(&first.key.as_str()) {
            below(&mut table, part);
        } else {
            column(&mut table, part);
        }
    }
    table
}

/// A column with what stands beside it.
fn column(table: &mut Table, words: &[Word<'_>]) {
    let Some(name) = words[0].name() else { return };
    let begins = |word: &Word<'_>| BEGINNINGS.contains(&word.key.as_str());
    let length = words[1..].iter().position(begins).unwrap_or(words.len() - 1);
    let (kind, mut rest) = words[1..].split_at(length);
    let mut is = vec![plain(kind)];
    let key = name.to_ascii_lowercase();
    let mut named = String::new();
    while let Some(first) = rest.first() {
        let second = rest.get(1);
        let clause = &rest[..clause(rest)];
        rest = &rest[clause.len()..];
        let tail = |from: usize| plain(clause.get(from..).unwrap_or_default());
        match first.key.as_str() {
            "CONSTRAINT" => {
                named = format!("named {}", plain(&clause[1..]));
                continue;
            }
            "NULL" => {}
            "NOT" => is.push(format!("not null{}", conflict(&clause[2.min(clause.len())..]))),
            "DEFAULT" => is.push(default(clause)),
            "PRIMARY" => {
                let mut rest = clause.get(2..).unwrap_or_default();
                let mut of = key.clone();
                if let [order, after @ ..] = rest
                    && (order.is("ASC") || order.is("DESC"))
                {
                    of.push_str(if order.is("DESC") { " desc" } else { "" });
                    rest = after;
                }
                let definition = joined(&[format!("({of})"), conflict(rest), named.clone()]);
                table.constraints.push(("primary key".to_owned(), definition.into()));
            }
            "UNIQUE" => {
                let definition = joined(&[conflict(&clause[1..]), named.clone()]);
                table.constraints.push((format!("unique ({key})"), definition.into()));
            }
            "CHECK" => check(table, clause, &named),
            "REFERENCES" => {
                foreign_key(table, (&format!("({key})"), vec![key.clone()]), clause, &named);
            }
            "GENERATED" if second.is_some_and(|it| it.is("ALWAYS")) => {
                is.push(format!("generated {}", stored(clause, tail(2))));
            }
            "AS" => is.push(format!("generated {}", stored(clause, tail(0)))),
            _ => is.push(plain(clause)),
        }
        named.clear();
    }
    // The order in which they stand means nothing.
    is[1..].sort_unstable();
    table.columns.push((name, joined(&is)));
}

/// Constraints below the columns; the commas between them may be missing.
fn below(table: &mut Table, words: &[Word<'_>]) {
    let mut rest = words;
    let mut named = String::new();
    while let Some(first) = rest.first() {
        let clause = &rest[..clause(rest)];
        rest = &rest[clause.len()..];
        let skip = if first.is("UNIQUE") { 1 } else { 2.min(clause.len()) };
        let (inner, after) = group(&clause[skip..]);
        let columns = format!("({})", plain(inner).replace(" asc", ""));
        match first.key.as_str() {
            "CONSTRAINT" => {
                named = format!("named {}", plain(&clause[1..]));
                continue;
            }
            "PRIMARY" => {
                let definition = joined(&[columns, conflict(after), named.clone()]);
                table.constraints.push(("primary key".to_owned(), definition.into()));
            }
            "UNIQUE" => {
                let definition = joined(&[conflict(after), named.clone()]);
                table.constraints.push((format!("unique {columns}"), definition.into()));
            }
            "CHECK" => check(table, clause, &named),
            "FOREIGN" => foreign_key(table, (&columns, names(inner)), after, &named),
            _ => table.constraints.push((plain(clause), Definition::default())),
        }
        named.clear();
    }
}

fn check(table: &mut Table, clause: &[Word<'_>], named: &str) {
    let (expression, after) = group(&clause[1..]);
    let definition = joined(&[conflict(after), named.to_owned()]);
    table.constraints.push((format!("check ({})", plain(expression)), definition.into()));
}

/// `REFERENCES t (a) ON DELETE …`, with its parts in one order.
fn foreign_key(
    table: &mut Table,
    (columns, own): (&str, Vec<String>),
    clause: &[Word<'_>],
    named: &str,
) {
    let Some(other) = clause.get(1).and_then(Word::name) else { return };
    let other = other.to_ascii_lowercase();
    let rest = clause.get(2..).unwrap_or_default();
    let (referred, rest) = match rest {
        [open, ..] if open.is("(") => group(rest),
        rest => (&rest[..0], rest),
    };
    let (mut on_update, mut on_delete) = (Action::NoAction, Action::NoAction);
    let mut parts = Vec::new();
    let begins = |index: usize, word: &Word<'_>| match word.key.as_str() {
        "ON" | "MATCH" | "NOT" => true,
        "DEFERRABLE" => index == 0 || !rest[index - 1].is("NOT"),
        _ => false,
    };
    let mut starts: Vec<usize> =
        (0..rest.len()).filter(|index| begins(*index, &rest[*index])).collect();
    starts.push(rest.len());
    for pair in starts.windows(2) {
        let words = &rest[pair[0]..pair[1]];
        match words {
            [on, when, what @ ..] if on.is("ON") && when.is("UPDATE") => on_update = action(what),
            [on, when, what @ ..] if on.is("ON") && when.is("DELETE") => on_delete = action(what),
            _ => {}
        }
        let part = plain(words);
        // What is so anyway.
        let silent = part.ends_with(" no action")
            || part.starts_with("not deferrable")
            || part == "deferrable"
            || part == "deferrable initially immediate";
        if !silent {
            parts.push(part);
        }
    }
    parts.sort_unstable();
    parts.push(named.to_owned());
    let theirs = names(referred);
    let referred = plain(referred);
    if !referred.is_empty() {
        parts.insert(0, format!("({referred})"));
    }
    let about = format!("foreign key {columns} references {other}");
    let key =
        ForeignKey { columns: own, parent: other, parent_columns: theirs, on_update, on_delete };
    table
        .constraints
        .push((about, Definition { text: joined(&parts), facts: Facts::ForeignKey(key) }));
}

/// The names in a list such as `a, b`, in lower case.
fn names(words: &[Word<'_>]) -> Vec<String> {
    parts(words).filter_map(|it| Some(it.first()?.name()?.to_ascii_lowercase())).collect()
}

/// What a foreign key does.
fn action(words: &[Word<'_>]) -> Action {
    let word = |at: usize, text: &str| words.get(at).is_some_and(|word| word.is(text));
    match () {
        () if word(0, "CASCADE") => Action::Cascade,
        () if word(0, "RESTRICT") => Action::Restrict,
        () if word(0, "SET") && word(1, "NULL") => Action::SetNull,
        () if word(0, "SET") => Action::SetDefault,
        () => Action::NoAction,
    }
}

/// How many words the clause has that `words` begin with.
fn clause(words: &[Word<'_>]) -> usize {
    if words[0].is("CONSTRAINT") {
        return 2.min(words.len());
    }
    let mut depth = 0_usize;
    for (index, word) in words.iter().enumerate() {
        let before = |text: &str| index > 0 && words[index - 1].is(text);
        let begins = BEGINNINGS.contains(&word.key.as_str()) || word.is("FOREIGN");
        let continues = match word.key.as_str() {
            // NOT NULL, DEFAULT NULL, SET NULL, SET DEFAULT
            "NULL" => before("NOT") || before("DEFAULT") || before("SET"),
            "DEFAULT" => before("SET"),
            // REFERENCES t NOT DEFERRABLE, FOREIGN KEY (a) REFERENCES t
            "NOT" => words.get(index + 1).is_some_and(|word| word.is("DEFERRABLE")),
            "REFERENCES" => words[0].is("FOREIGN"),
            // GENERATED ALWAYS AS (…)
            "AS" => before("ALWAYS"),
            _ => false,
        };
        if index > 0 && depth == 0 && begins && !continues {
            return index;
        }
        if word.is("(") {
            depth += 1;
        } else if word.is(")") {
            depth = depth.saturating_sub(1);
        }
    }
    words.len()
}

/// `DEFAULT (1)` is `DEFAULT 1`, and `DEFAULT TRUE` is not `DEFAULT 'true'`.
fn default(clause: &[Word<'_>]) -> String {
    match clause {
        [first, open, value, close]
            if open.is("(") && close.is(")") && value.kind != Kind::Plain =>
        {
            plain(&[first.clone(), value.clone()])
        }
        clause => plain(clause),
    }
}

/// A generated column is virtual unless it says that it is stored.
fn stored(clause: &[Word<'_>], text: String) -> String {
    let last = clause.last();
    match last {
        Some(word) if word.is("VIRTUAL") => text.trim_end_matches(" virtual").to_owned(),
        _ => text,
    }
}

/// `ON CONFLICT …` and `AUTOINCREMENT`; to abort is what happens anyway.
fn conflict(words: &[Word<'_>]) -> String {
    let text = plain(words);
    let text = text.replace("on conflict abort", "");
    if text.trim().is_empty() { String::new() } else { format!(" {}", text.trim()) }
}

fn joined(parts: &[String]) -> String {
    let parts = parts.iter().map(|part| part.trim()).filter(|part| !part.is_empty());
    parts.collect::<Vec<_>>().join(" ")
}

/// What stands in the parenthesis that `words` begin with, and what follows it.
fn group<'a, 'b>(words: &'b [Word<'a>]) -> (&'b [Word<'a>], &'b [Word<'a>]) {
    let mut depth = 0_usize;
    for (index, word) in words.iter().enumerate() {
        if word.is("(") {
            depth += 1;
        } else if word.is(")") {
            depth = depth.saturating_sub(1);
        }
        if depth == 0 {
            return match index {
                0 => (&words[..0], words),
                _ => (&words[1..index], &words[index + 1..]),
            };
        }
    }
    (words.get(1..).unwrap_or_default(), &words[words.len()..])
}

/// Cuts at the commas that stand in no parenthesis.
fn parts<'a, 'b>(words: &'b [Word<'a>]) -> impl Iterator<Item = &'b [Word<'a>]> {
    let mut depth = 0_usize;
    words.split(move |word| {
        if word.is("(") {
            depth += 1;
        } else if word.is(")") {
            depth = depth.saturating_sub(1);
        }
        depth == 0 && word.is(",")
    })
}
