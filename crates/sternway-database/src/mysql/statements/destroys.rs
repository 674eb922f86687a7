//! The statements that take something away, named from their words.

use std::collections::BTreeSet;
use std::fmt;

use sternway_model::body::Destruction;

use super::Lines;
use super::words::{Word, after_guard, name};

/// Something that a statement takes away. Names are in their parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::mysql) enum What {
    Table(Vec<String>),
    /// A database or a sequence, with its kind.
    Other(String, Vec<String>),
    Column(Vec<String>, String),
    Type(Vec<String>, String),
    Partition(Vec<String>, String),
    History(Vec<String>),
    AllRows(Vec<String>),
    Rows(Vec<String>),
    /// Former values, with the columns that are set; none where that is not plain to see.
    Values(Vec<String>, Vec<String>),
    /// What nobody can tell from the words.
    Code(&'static str),
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            What::Table(table) => write!(f, "table {}", table.join(".")),
            What::Other(kind, name) => write!(f, "{kind} {}", name.join(".")),
            What::Column(table, column) => write!(f, "column {}.{column}", table.join(".")),
            What::Type(table, column) => {
                write!(f, "the former type of column {}.{column}", table.join("."))
            }
            What::Partition(table, partition) => {
                write!(f, "rows of partition {partition} of {}", table.join("."))
            }
            What::History(table) => write!(f, "former rows of {}", table.join(".")),
            What::AllRows(table) => write!(f, "all rows of {}", table.join(".")),
            What::Rows(table) => write!(f, "rows of {}", table.join(".")),
            What::Values(table, _) => write!(f, "former values in {}", table.join(".")),
            What::Code(code) => write!(f, "{code} takes away"),
        }
    }
}

/// What one statement takes away, as it is shown.
pub(super) fn destroys(
    lines: &mut Lines<'_>,
    words: &[Word<'_>],
    added: &BTreeSet<(String, String)>,
) -> Vec<Destruction> {
    let found = takes(words, added).into_iter();
    found.map(|(at, what)| Destruction { line: lines.at(at), what: what.to_string() }).collect()
}

/// What one statement takes away, with where it says so. Code that is called may take away more than
/// its words say, and is named as such. To fill the columns `added` takes nothing away.
pub(in crate::mysql) fn takes(
    words: &[Word<'_>],
    added: &BTreeSet<(String, String)>,
) -> Vec<(usize, What)> {
    let Some(first) = words.first() else { return Vec::new() };
    let line = first.offset;
    let one = |what: What| vec![(line, what)];
    let second = words.get(1).map_or("", |word| word.key.as_str());
    match (first.key.as_str(), second) {
        ("ALTER", _) => {
            let modes = ["ONLINE", "OFFLINE", "IGNORE"];
            let is_mode = |word: &&Word<'_>| modes.iter().any(|mode| word.is(mode));
            let at = 1 + words[1..].iter().take_while(is_mode).count();
            if !words.get(at).is_some_and(|word| word.is("TABLE")) {
                return Vec::new();
            }
            let mut found = alter_table(&words[at + 1..]);
            if words[1..at].iter().any(|word| word.is("IGNORE")) {
                found.push((line, What::Rows(alteration(&words[at + 1..]).0)));
            }
            found
        }
        ("DROP", "TABLE" | "TABLES") => {
            let tables = names(after_guard(&words[2..]));
            tables.map(|it| (line, What::Table(it))).collect()
        }
        ("DROP", "DATABASE" | "SCHEMA" | "SEQUENCE") => {
            let kind = second.to_lowercase();
            let names = names(after_guard(&words[2..]));
            names.map(|it| (line, What::Other(kind.clone(), it))).collect()
        }
        ("TRUNCATE", _) => {
            let table = after_guard(&words[1 + usize::from(second == "TABLE")..]);
            one(What::AllRows(name(table)))
        }
        ("REPLACE", _) => one(What::Rows(insert_target(words))),
        ("LOAD", _) => {
            let replaces = words.iter().take_while(|word| !word.is("INTO"));
            match replaces.into_iter().any(|word| word.is("REPLACE")) {
                true => one(What::Rows(insert_target(words))),
                false => Vec::new(),
            }
        }
        ("DELETE" | "UPDATE" | "WITH", _) => changes(words, added),
        ("SET", "STATEMENT") => one(What::Code("what `SET STATEMENT … FOR` runs")),
        ("ANALYZE", "DELETE" | "UPDATE" | "INSERT" | "REPLACE" | "FORMAT") => {
            one(What::Code("what `ANALYZE` runs"))
        }
        ("CALL" | "EXECUTE" | "IF" | "CASE" | "WHILE" | "LOOP" | "FOR" | "REPEAT", _)
        | ("BEGIN", "NOT") => one(What::Code("whatever the code it runs")),
        _ => Vec::new(),
    }
}

/// The table that an `INSERT`, a `REPLACE` or a `LOAD` adds rows to.
pub(in crate::mysql) fn insert_target(words: &[Word<'_>]) -> Vec<String> {
    let into = words.iter().take_while(|word| !word.is("(") && !word.is("SELECT"));
    let modes = ["LOW_PRIORITY", "DELAYED", "HIGH_PRIORITY", "IGNORE"];
    let at = match into.clone().position(|word| word.is("INTO")) {
        Some(into) => into + 1,
        None => {
            let is_mode = |word: &&Word<'_>| modes.iter().any(|mode| word.is(mode));
            1 + words.iter().skip(1).take_while(is_mode).count()
        }
    };
    let at = at + usize::from(words.get(at).is_some_and(|word| word.is("TABLE")));
    name(&words[at.min(words.len())..])
}

/// The table, and the actions on it.
pub(in crate::mysql) fn alteration<'a, 'b>(words: &'b [Word<'a>]) -> (Vec<String>, &'b [Word<'a>]) {
    let rest = after_guard(words);
    let parts = name(rest);
    let mut actions = &rest[(parts.len() * 2).saturating_sub(1).min(rest.len())..];
    match actions {
        [wait, _, more @ ..] if wait.is("WAIT") => actions = more,
        [wait, more @ ..] if wait.is("NOWAIT") => actions = more,
        _ => {}
    }
    (parts, actions)
}

/// What actions on a table begin with that take nothing away.
const HARMLESS: [&str; 23] = [
    "ADD",
    "ALTER",
    "RENAME",
    "COMMENT",
    "DEFAULT",
    "CHARACTER",
    "CHARSET",
    "COLLATE",
    "AUTO_INCREMENT",
    "ENABLE",
    "DISABLE",
    "ORDER",
    "FORCE",
    "ALGORITHM",
    "LOCK",
    "ROW_FORMAT",
    "KEY_BLOCK_SIZE",
    "STATS_PERSISTENT",
    "STATS_AUTO_RECALC",
    "STATS_SAMPLE_PAGES",
    "PARTITION",
    "REMOVE",
    "ENGINE",
];

fn alter_table(words: &[Word<'_>]) -> Vec<(usize, What)> {
    let (table, actions) = alteration(words);
    let mut destroyed = Vec::new();
    for action in split_at_commas(actions) {
        let Some(first) = action.first() else { continue };
        let second = action.get(1).map_or("", |word| word.key.as_str());
        let column_word = usize::from(second == "COLUMN");
        let named = after_guard(&action[(1 + column_word).min(action.len())..]);
        let column = || named.first().and_then(Word::name).unwrap_or_default();
        let what = match (first.key.as_str(), second) {
            (
                "DROP",
                "PRIMARY" | "INDEX" | "KEY" | "FOREIGN" | "CONSTRAINT" | "CHECK" | "PERIOD",
            ) => continue,
            ("DROP" | "TRUNCATE", "PARTITION") => {
                let partitions = after_guard(&action[2..]);
                What::Partition(table.clone(), name(partitions).join("."))
            }
            ("DROP", "SYSTEM") => What::History(table.clone()),
            ("DROP", _) => What::Column(table.clone(), column()),
            ("MODIFY" | "CHANGE", _) => What::Type(table.clone(), column()),
            ("CONVERT", "TO") => What::Values(table.clone(), Vec::new()),
            ("ADD" | "ALTER" | "RENAME", _) => continue,
            // Another engine may keep less, or nothing.
            (known, _) if HARMLESS.contains(&known) && plain_engine(action) => continue,
            _ => What::Code("whatever an action on a table that is not understood"),
        };
        destroyed.push((first.offset, what));
    }
    destroyed
}

/// Whether a table stays with the engine that has transactions, as far as its options say.
fn plain_engine(action: &[Word<'_>]) -> bool {
    let at = action.iter().position(|word| word.is("ENGINE") || word.is("TYPE"));
    let named = at.and_then(|at| action[at + 1..].iter().find(|word| !word.is("=")));
    at.is_none() || named.is_some_and(|word| word.text.eq_ignore_ascii_case("InnoDB"))
}

/// Row changes, also those after a `WITH`: the verb, then the table.
fn changes(words: &[Word<'_>], added: &BTreeSet<(String, String)>) -> Vec<(usize, What)> {
    let begins = |index: usize| index == 0 || words[index - 1].is(")");
    let verb = |word: &Word<'_>| word.is("DELETE") || word.is("UPDATE");
    let Some(index) = (0..words.len()).find(|index| verb(&words[*index]) && begins(*index)) else {
        return Vec::new();
    };
    let line = words[index].offset;
    let rest = after_guard(&words[index + 1..]);
    if words[index].is("UPDATE") {
        let parts = name(rest);
        let fresh = |column: &String| {
            added.contains(&(parts.last().cloned().unwrap_or_default(), column.clone()))
        };
        let set = set_columns(rest);
        if !set.is_empty() && set.iter().all(fresh) {
            return Vec::new();
        }
        return vec![(line, What::Values(parts, set))];
    }
    // DELETE FROM a …, DELETE a, b FROM …, DELETE FROM a, b USING …
    let rest = match rest {
        [from, rest @ ..] if from.is("FROM") => rest,
        rest => rest,
    };
    let ends = ["FROM", "USING", "WHERE", "ORDER", "LIMIT", "RETURNING"];
    let end = rest.iter().position(|word| ends.iter().any(|end| word.is(end)));
    let tables = names(&rest[..end.unwrap_or(rest.len())]);
    tables.map(|table| (line, What::Rows(table))).collect()
}

/// The columns, with their unqualified tables, that a body adds: filling them destroys nothing.
pub(in crate::mysql) fn added_columns(statements: &[&[Word<'_>]]) -> BTreeSet<(String, String)> {
    let mut added = BTreeSet::new();
    for words in statements {
        let [alter, table, rest @ ..] = *words else { continue };
        if !alter.is("ALTER") || !table.is("TABLE") {
            continue;
        }
        let (mut table, actions) = alteration(rest);
        let Some(table) = table.pop() else { continue };
        for action in split_at_commas(actions) {
            let [add, rest @ ..] = action else { continue };
            let rest = match rest {
                [column, rest @ ..] if column.is("COLUMN") => rest,
                rest => rest,
            };
            if let (true, Some(column)) = (add.is("ADD"), name(after_guard(rest)).pop()) {
                added.insert((table.clone(), column));
            }
        }
    }
    added
}

/// The columns that an `UPDATE` sets; empty where that is not plain to see.
fn set_columns(words: &[Word<'_>]) -> Vec<String> {
    let Some(set) = words.iter().position(|word| word.is("SET")) else { return Vec::new() };
    let mut columns = Vec::new();
    for part in split_at_commas(&words[set + 1..]) {
        match part {
            [column, equals, ..] if equals.is("=") => columns.extend(column.name()),
            _ => return Vec::new(),
        }
        if part.iter().any(|word| word.is("WHERE")) {
            break;
        }
    }
    columns
}

/// The names in a list such as `a, b.c, d CASCADE`.
fn names<'a>(words: &'a [Word<'_>]) -> impl Iterator<Item = Vec<String>> + 'a {
    split_at_commas(words).map(name).filter(|name| !name.is_empty())
}

/// Cuts at the commas that stand in no parenthesis.
pub(in crate::mysql) fn split_at_commas<'a, 'b>(
    words: &'b [Word<'a>],
) -> impl Iterator<Item = &'b [Word<'a>]> {
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

#[cfg(test)]
mod tests {
    use super::super::facts;

    fn check(body: &str, expected: &[(usize, &str)]) {
        let found = facts(body).destroys;
        let found: Vec<(usize, &str)> =
            found.iter().map(|it| (it.line, it.what.as_str())).collect();
        assert_eq!(found, expected, "{body}");
    }

    #[test]
    fn dropped_tables_and_columns_are_named() {
        check("drop table if exists a, `B b` cascade", &[(1, "table a"), (1, "table B b")]);
        check(
            "alter table app.t\n  drop column if exists a,\n  drop b, drop primary key, drop index i, \
             drop foreign key f,\n modify c bigint, change column d e int, add f int, drop partition p",
            &[
                (2, "column app.t.a"),
                (3, "column app.t.b"),
                (4, "the former type of column app.t.c"),
                (4, "the former type of column app.t.d"),
                (4, "rows of partition p of app.t"),
            ],
        );
        check("drop view v; drop index i on t; drop procedure p; drop trigger g", &[]);
        check("drop database x; drop schema y", &[(1, "database x"), (1, "schema y")]);
        check("create procedure p() begin drop table t; end", &[]);
    }

    #[test]
    fn changed_rows_are_named() {
        check(
            "delete low_priority from t where a = 1;\nupdate ignore t set a = 1; truncate u",
            &[(1, "rows of t"), (2, "former values in t"), (2, "all rows of u")],
        );
        check("delete a, b from a join b", &[(1, "rows of a"), (1, "rows of b")]);
        check("with x as (select 1) delete from t", &[(1, "rows of t")]);
        check("insert into t values (1) on duplicate key update a = 2", &[]);
        check("create table t (a int references u on delete cascade on update set null)", &[]);
        check("replace into t values (1)", &[(1, "rows of t")]);
        check("alter table t add column c int; update t set c = 1 where c is null", &[]);
        check(
            "alter table t add column c int; update t set c = 1, e = 2",
            &[(1, "former values in t")],
        );
        check("alter online ignore table t nowait drop b", &[(1, "column t.b"), (1, "rows of t")]);
        check("alter table t convert to character set latin1", &[(1, "former values in t")]);
        check(
            "alter table t wait 5 drop column c, comment 'x' engine = blackhole",
            &[
                (1, "column t.c"),
                (1, "whatever an action on a table that is not understood takes away"),
            ],
        );
        check("drop tables t; replace t select 1", &[(1, "table t"), (1, "rows of t")]);
        check(
            "set statement a = 1 for delete from t",
            &[(1, "what `SET STATEMENT … FOR` runs takes away")],
        );
        check("call p()", &[(1, "whatever the code it runs takes away")]);
    }
}
