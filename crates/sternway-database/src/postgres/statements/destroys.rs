//! The statements that take something away, named from their words.

use std::collections::BTreeSet;

use sternway_model::body::{Destroyed, Destruction};

use squawk_lexer::TokenKind;

use super::words::Word;
use crate::tokens::{
    after_guard, alteration, fills as sets_new, line_of, name, set_columns, split_at_commas,
};

/// What one statement takes away. Code that is called may take away more than its words say, and
/// is named as such.
pub(super) fn destroys(
    body: &str,
    words: &[Word<'_>],
    added: &BTreeSet<(String, String)>,
) -> Vec<Destruction> {
    let Some(first) = words.first() else { return Vec::new() };
    let at =
        |word: &Word<'_>, what: Destroyed| Destruction { line: line_of(body, word.offset), what };
    let second = words.get(1).map_or("", |word| word.key.as_str());
    match (first.key.as_str(), second) {
        ("ALTER", "TABLE" | "FOREIGN") => alter_table(body, words),
        ("ALTER", "TYPE" | "DOMAIN") => {
            let (Some(drop), Some(kind)) = (position(words, "DROP"), words.get(1)) else {
                return Vec::new();
            };
            if !words.get(drop + 1).is_some_and(|word| word.is("ATTRIBUTE")) {
                return Vec::new();
            }
            let what = Destroyed::Attribute {
                name: name(after_guard(&words[2..])).join("."),
                attribute: name(after_guard(&words[drop + 2..])).join("."),
                kind: kind.text.to_owned(),
            };
            vec![at(&words[drop], what)]
        }
        ("DROP", "OWNED") => vec![at(first, Destroyed::Owned)],
        ("DROP", kind) => dropped(body, words, kind),
        ("TRUNCATE", _) => {
            let rest = after_guard(&words[usize::from(second == "TABLE") + 1..]);
            names(rest).map(|table| at(first, Destroyed::AllRows { table })).collect()
        }
        ("DELETE" | "UPDATE" | "MERGE" | "WITH", _) => changed(body, words, added),
        ("CALL" | "DO", _) => {
            vec![at(first, Destroyed::Unclear { code: "whatever the code it runs".to_owned() })]
        }
        _ => Vec::new(),
    }
}

/// Objects that hold no rows and no settings that a later up could not make again are left out.
fn dropped(body: &str, words: &[Word<'_>], kind: &str) -> Vec<Destruction> {
    let line = line_of(body, words[0].offset);
    let (kind, rest) = match (kind, words.get(2)) {
        ("TABLE" | "SCHEMA" | "EXTENSION" | "TYPE" | "DOMAIN" | "SEQUENCE" | "DATABASE", _) => {
            (kind.to_lowercase(), &words[2..])
        }
        ("MATERIALIZED", Some(_)) => ("materialized view".to_owned(), &words[3..]),
        ("FOREIGN", Some(third)) if third.is("TABLE") => ("foreign table".to_owned(), &words[3..]),
        _ => return Vec::new(),
    };
    let names = names(after_guard(rest));
    let what = |name| match kind.as_str() {
        "table" => Destroyed::Table { table: name },
        _ => Destroyed::Object { kind: kind.clone(), name },
    };
    names.map(|name| Destruction { line, what: what(name) }).collect()
}

fn alter_table(body: &str, words: &[Word<'_>]) -> Vec<Destruction> {
    let start = words.iter().position(|word| word.is("TABLE")).map_or(2, |at| at + 1);
    let (parts, actions) = alteration(&words[start.min(words.len())..]);
    let table = parts.join(".");
    let mut destroyed = Vec::new();
    for action in split_at_commas(actions) {
        let Some(first) = action.first() else { continue };
        let second = action.get(1).map_or("", |word| word.key.as_str());
        let column_word = usize::from(second == "COLUMN");
        let named = &action[(1 + column_word).min(action.len())..];
        let what = match first.key.as_str() {
            "DROP" if second != "CONSTRAINT" => {
                let column = name(after_guard(named)).join(".");
                Destroyed::Column { table: table.clone(), column }
            }
            "ALTER" if second != "CONSTRAINT" => {
                let Some(column) = named.first().and_then(Word::name) else { continue };
                let verb = &named[1..];
                let set = usize::from(verb.first().is_some_and(|word| word.is("SET")));
                let data = usize::from(verb.get(set).is_some_and(|word| word.is("DATA")));
                if !verb.get(set + data).is_some_and(|word| word.is("TYPE")) {
                    continue;
                }
                Destroyed::Type { table: table.clone(), column }
            }
            _ => continue,
        };
        destroyed.push(Destruction { line: line_of(body, first.offset), what });
    }
    destroyed
}

/// Row changes, also those in a `WITH`: the verb, then the table.
fn changed(body: &str, words: &[Word<'_>], added: &BTreeSet<(String, String)>) -> Vec<Destruction> {
    let written = written(words, added).into_iter().filter(|it| !it.fresh);
    let change = |Written { word, takes, table, .. }: Written<'_, '_>| Destruction {
        line: line_of(body, word.offset),
        what: takes(table),
    };
    written.map(change).collect()
}

/// A change of rows.
struct Written<'a, 'b> {
    word: &'b Word<'a>,
    /// What it takes away.
    takes: fn(String) -> Destroyed,
    table: String,
    /// Whether it sets nothing but columns that the body has added: then it takes nothing away.
    fresh: bool,
}

/// The changes of rows in one statement, also those in a `WITH`.
fn written<'a, 'b>(
    words: &'b [Word<'a>],
    added: &BTreeSet<(String, String)>,
) -> Vec<Written<'a, 'b>> {
    let mut written = Vec::new();
    for (index, word) in words.iter().enumerate() {
        let next = |ahead: usize| words.get(index + ahead);
        let begins = index == 0 || words[index - 1].is("(") || words[index - 1].is(")");
        let (takes, rest): (fn(String) -> Destroyed, _) = match word.key.as_str() {
            "DELETE" if begins && next(1).is_some_and(|it| it.is("FROM")) => {
                (|table| Destroyed::Rows { table }, 2)
            }
            "UPDATE" if begins && next(1).is_some_and(|it| !it.is("SET")) => {
                (|table| Destroyed::Values { table }, 1)
            }
            "MERGE" if begins && next(1).is_some_and(|it| it.is("INTO")) => {
                (|table| Destroyed::RowsOrValues { table }, 2)
            }
            _ => continue,
        };
        let rest = after_guard(&words[(index + rest).min(words.len())..]);
        let parts = name(rest);
        let fresh = word.is("UPDATE") && sets_new::<TokenKind>(&parts, &set_columns(rest), added);
        written.push(Written { word, takes, table: parts.join("."), fresh });
    }
    written
}

/// The tables whose rows one statement may change or take away.
pub(super) fn changes(words: &[Word<'_>], added: &BTreeSet<(String, String)>) -> Vec<String> {
    let Some(first) = words.first() else { return Vec::new() };
    let second = words.get(1).map_or("", |word| word.key.as_str());
    match (first.key.as_str(), second) {
        ("TRUNCATE", _) => {
            names(after_guard(&words[usize::from(second == "TABLE") + 1..])).collect()
        }
        ("ALTER", "TABLE") if words.windows(2).any(|it| retypes(&it[0], &it[1])) => {
            names(after_guard(&words[2..])).take(1).collect()
        }
        ("INSERT" | "WITH", _) => {
            let mut tables = lossy(words, added);
            // Where a row is there already, it is changed.
            let changes = words.windows(2).any(|it| it[0].is("DO") && it[1].is("UPDATE"));
            let into = words.windows(2).filter(|it| it[0].is("INSERT") && it[1].is("INTO"));
            if changes {
                let starts = into.map(|it| it[1].offset);
                let after = |start| words.iter().position(|word| word.offset > start);
                let named = starts.filter_map(after).map(|at| name(&words[at..]).join("."));
                tables.extend(named);
            }
            tables
        }
        ("DELETE" | "UPDATE" | "MERGE", _) => lossy(words, added),
        _ => Vec::new(),
    }
}

fn lossy(words: &[Word<'_>], added: &BTreeSet<(String, String)>) -> Vec<String> {
    let written = written(words, added).into_iter().filter(|it| !it.fresh);
    written.map(|it| it.table).collect()
}

/// The tables whose new columns one statement fills.
pub(super) fn fills(words: &[Word<'_>], added: &BTreeSet<(String, String)>) -> Vec<String> {
    let first = words.first().map_or("", |word| word.key.as_str());
    if !["WITH", "UPDATE"].contains(&first) {
        return Vec::new();
    }
    let written = written(words, added).into_iter().filter(|it| it.fresh);
    written.map(|it| it.table).collect()
}

/// Whether these words stand in `ALTER COLUMN … [SET DATA] TYPE`.
fn retypes(word: &Word<'_>, next: &Word<'_>) -> bool {
    let ends = |word: &Word<'_>| word.is("DATA") || word.name().is_some();
    ends(word) && next.is("TYPE")
}

/// The names in a list such as `a, b.c, d CASCADE`, with their schemas.
fn names<'a>(words: &'a [Word<'_>]) -> impl Iterator<Item = String> + 'a {
    crate::tokens::names(words).map(|it| it.join("."))
}

fn position(words: &[Word<'_>], text: &str) -> Option<usize> {
    words.iter().position(|word| word.is(text))
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
        check(
            "drop table if exists a, public.\"B b\" cascade",
            &[(1, "table a"), (1, "table public.B b")],
        );
        check(
            "alter table if exists only public.t\n  drop column if exists a,\n  drop b,\n  drop constraint c, alter column d drop not null",
            &[(2, "column public.t.a"), (3, "column public.t.b")],
        );
        check(
            "alter table t alter column c type numeric(10, 2) using c::numeric, add e int",
            &[(1, "the former type of column t.c")],
        );
        check(
            "alter table t alter c set data type int, alter d set default 1",
            &[(1, "the former type of column t.c")],
        );
        check(
            "drop extension vector; drop type mood; drop schema s cascade",
            &[(1, "extension vector"), (1, "type mood"), (1, "schema s")],
        );
        check(
            "drop materialized view m; drop view v; drop index i; drop function f(int, int)",
            &[(1, "materialized view m")],
        );
    }

    #[test]
    fn changed_rows_are_named() {
        check(
            "delete from only t where a = 1; update t set a = 1; truncate table a, b",
            &[
                (1, "rows of t"),
                (1, "former values in t"),
                (1, "all rows of a"),
                (1, "all rows of b"),
            ],
        );
        check(
            "with gone as (delete from t returning *) insert into u select * from gone",
            &[(1, "rows of t")],
        );
        check("insert into t values (1) on conflict (a) do update set a = 2", &[]);
        check("create table t (a int references u on delete cascade on update set null)", &[]);
        check(
            "alter table a.t add column if not exists c int, add d int; update t set c = 1, d = (select max(x) from u, v) where c is null",
            &[],
        );
        check(
            "alter table t add column c int; update t set c = 1, e = 2",
            &[(1, "former values in t")],
        );
        check("do $$ begin end $$", &[(1, "whatever the code it runs takes away")]);
    }
}
