//! The statements that take something away, named from their words.

use std::collections::BTreeSet;
use std::fmt;

use sternway_model::body::{Destroyed, Destruction};

use super::words::{Plain, Word, after_guard, name};
use crate::tokens::{Lines, fills, names, set_columns};

pub(in crate::mysql) use crate::tokens::{added_columns, alteration, split_at_commas};

/// Something that a statement takes away. Names are in their parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::mysql) enum What {
    Table(Vec<String>),
    /// A database, with its kind.
    Other(String, Vec<String>),
    Sequence(Vec<String>),
    Column(Vec<String>, String),
    /// The former type of a column, with the words that say what it is instead.
    Type(Vec<String>, String, String),
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
        Destroyed::from(self.clone()).fmt(f)
    }
}

impl From<What> for Destroyed {
    fn from(what: What) -> Destroyed {
        let table = |parts: Vec<String>| parts.join(".");
        match what {
            What::Table(it) => Destroyed::Table { table: table(it) },
            What::Sequence(it) => {
                Destroyed::Object { kind: "sequence".to_owned(), name: table(it) }
            }
            What::Other(kind, name) => Destroyed::Object { kind, name: name.join(".") },
            What::Column(it, column) => Destroyed::Column { table: table(it), column },
            What::Type(it, column, _) => Destroyed::Type { table: table(it), column },
            What::Partition(it, partition) => Destroyed::Partition { table: table(it), partition },
            What::History(it) => Destroyed::History { table: table(it) },
            What::AllRows(it) => Destroyed::AllRows { table: table(it) },
            What::Rows(it) => Destroyed::Rows { table: table(it) },
            What::Values(it, _) => Destroyed::Values { table: table(it) },
            What::Code(code) => Destroyed::Unclear { code: code.to_owned() },
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
    found.map(|(at, what)| Destruction { line: lines.at(at), what: what.into() }).collect()
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
        ("DROP", "SEQUENCE") => {
            let sequences = names(after_guard(&words[2..]));
            sequences.map(|it| (line, What::Sequence(it))).collect()
        }
        ("DROP", "DATABASE" | "SCHEMA") => {
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
            ("MODIFY" | "CHANGE", _) => {
                let new = named.get(1 + usize::from(first.is("CHANGE"))..).unwrap_or_default();
                let new: Vec<String> = new.iter().map(|it| it.text.to_lowercase()).collect();
                What::Type(table.clone(), column(), new.join(" "))
            }
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
        let (parts, set) = (name(rest), set_columns(rest));
        if fills::<Plain>(&parts, &set, added) {
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

#[cfg(test)]
mod tests {
    use super::super::facts;

    fn check(body: &str, expected: &[(usize, &str)]) {
        let found = facts(body).destroys;
        let found: Vec<(usize, String)> =
            found.iter().map(|it| (it.line, it.what.to_string())).collect();
        let found: Vec<(usize, &str)> = found.iter().map(|(at, it)| (*at, it.as_str())).collect();
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
