//! The statements that take something away, named from their words.

use std::collections::BTreeSet;

use sternway_model::body::Destruction;

use super::words::{Word, after_guard, line_of, name};

/// What one statement takes away. Code that is called may take away more than its words say, and
/// is named as such.
pub(super) fn destroys(
    body: &str,
    words: &[Word<'_>],
    added: &BTreeSet<(String, String)>,
) -> Vec<Destruction> {
    let Some(first) = words.first() else { return Vec::new() };
    let at = |word: &Word<'_>, what: String| Destruction { line: line_of(body, word.offset), what };
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
            let owner = name(after_guard(&words[2..])).join(".");
            let part = name(after_guard(&words[drop + 2..])).join(".");
            vec![at(&words[drop], format!("attribute {owner}.{part} of a {}", kind.text))]
        }
        ("DROP", "OWNED") => vec![at(first, "everything the role owns".to_owned())],
        ("DROP", kind) => dropped(body, words, kind),
        ("TRUNCATE", _) => {
            let rest = after_guard(&words[usize::from(second == "TABLE") + 1..]);
            names(rest).map(|table| at(first, format!("all rows of {table}"))).collect()
        }
        ("DELETE" | "UPDATE" | "MERGE" | "WITH", _) => changed(body, words, added),
        ("CALL" | "DO", _) => vec![at(first, "whatever the code it runs takes away".to_owned())],
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
    names.map(|it| Destruction { line, what: format!("{kind} {it}") }).collect()
}

fn alter_table(body: &str, words: &[Word<'_>]) -> Vec<Destruction> {
    let start = words.iter().position(|word| word.is("TABLE")).map_or(2, |at| at + 1);
    let rest = after_guard(&words[start.min(words.len())..]);
    let parts = name(rest);
    let table = parts.join(".");
    let actions = &rest[(parts.len() * 2).saturating_sub(1).min(rest.len())..];
    let mut destroyed = Vec::new();
    for action in split_at_commas(actions) {
        let Some(first) = action.first() else { continue };
        let second = action.get(1).map_or("", |word| word.key.as_str());
        let column_word = usize::from(second == "COLUMN");
        let named = &action[(1 + column_word).min(action.len())..];
        let what = match first.key.as_str() {
            "DROP" if second != "CONSTRAINT" => {
                format!("column {table}.{}", name(after_guard(named)).join("."))
            }
            "ALTER" if second != "CONSTRAINT" => {
                let Some(column) = named.first().and_then(Word::name) else { continue };
                let verb = &named[1..];
                let set = usize::from(verb.first().is_some_and(|word| word.is("SET")));
                let data = usize::from(verb.get(set).is_some_and(|word| word.is("DATA")));
                if !verb.get(set + data).is_some_and(|word| word.is("TYPE")) {
                    continue;
                }
                format!("the former type of column {table}.{column}")
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
    let change = |Written { word, verb, table, .. }: Written<'_, '_>| Destruction {
        line: line_of(body, word.offset),
        what: format!("{verb} {table}"),
    };
    written.map(change).collect()
}

/// A change of rows.
struct Written<'a, 'b> {
    word: &'b Word<'a>,
    /// What it takes away.
    verb: &'static str,
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
        let (verb, rest) = match word.key.as_str() {
            "DELETE" if begins && next(1).is_some_and(|it| it.is("FROM")) => ("rows of", 2),
            "UPDATE" if begins && next(1).is_some_and(|it| !it.is("SET")) => {
                ("former values in", 1)
            }
            "MERGE" if begins && next(1).is_some_and(|it| it.is("INTO")) => {
                ("rows or former values of", 2)
            }
            _ => continue,
        };
        let rest = after_guard(&words[(index + rest).min(words.len())..]);
        let parts = name(rest);
        let fresh = |column| added.contains(&(parts.last().cloned().unwrap_or_default(), column));
        let set = set_columns(rest);
        let fresh = word.is("UPDATE") && !set.is_empty() && set.into_iter().all(fresh);
        written.push(Written { word, verb, table: parts.join("."), fresh });
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

/// The columns, with their unqualified tables, that a body adds: filling them destroys nothing.
pub(super) fn added_columns(statements: &[Vec<Word<'_>>]) -> BTreeSet<(String, String)> {
    let mut added = BTreeSet::new();
    for words in statements {
        let [alter, table, rest @ ..] = words.as_slice() else { continue };
        if !alter.is("ALTER") || !table.is("TABLE") {
            continue;
        }
        let rest = after_guard(rest);
        let parts = name(rest);
        let actions = &rest[(parts.len() * 2).saturating_sub(1).min(rest.len())..];
        let Some(table) = parts.last() else { continue };
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
    let Some(set) = position(words, "SET") else { return Vec::new() };
    let mut columns = Vec::new();
    for part in split_at_commas(&words[set + 1..]) {
        match part {
            [column, equals, ..] if equals.is("=") => columns.extend(column.name()),
            _ => return Vec::new(),
        }
        if part.iter().any(|word| word.is("FROM") || word.is("WHERE")) {
            break;
        }
    }
    columns
}

fn position(words: &[Word<'_>], text: &str) -> Option<usize> {
    words.iter().position(|word| word.is(text))
}

/// The names in a list such as `a, b.c, d CASCADE`.
fn names<'a>(words: &'a [Word<'_>]) -> impl Iterator<Item = String> + 'a {
    split_at_commas(words).map(|words| name(words).join(".")).filter(|name| !name.is_empty())
}

/// Cuts at the commas that stand in no parenthesis.
pub(super) fn split_at_commas<'a, 'b>(
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
