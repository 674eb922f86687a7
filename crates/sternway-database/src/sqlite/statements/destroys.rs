//! The statements that take something away, named from their words.

use std::collections::BTreeSet;

use sternway_model::body::Destruction;

use super::words::{Word, after_guard, name};

/// What one statement takes away.
pub(super) fn destroys(words: &[Word<'_>], added: &BTreeSet<(String, String)>) -> Vec<Destruction> {
    let Some(first) = words.first() else { return Vec::new() };
    let at = |what: String| vec![Destruction { line: first.line, what }];
    let second = words.get(1).map_or("", |word| word.key.as_str());
    let rest = words.get(2..).unwrap_or_default();
    match (first.key.as_str(), second) {
        ("DROP", "TABLE") => at(format!("table {}", name(after_guard(rest)).join("."))),
        ("ALTER", "TABLE") => {
            let (table, action) = name_and_rest(rest);
            match action {
                [drop, column, named @ ..] if drop.is("DROP") => {
                    let column = if column.is("COLUMN") { named.first() } else { Some(column) };
                    let column = column.and_then(Word::name).unwrap_or_default();
                    at(format!("column {}.{column}", table.join(".")))
                }
                _ => Vec::new(),
            }
        }
        ("DELETE" | "UPDATE" | "WITH" | "REPLACE" | "INSERT", _) => changes(words, added),
        ("PRAGMA", "WRITABLE_SCHEMA") if words.len() > 2 => {
            at("whatever is written to the schema table".to_owned())
        }
        _ => Vec::new(),
    }
}

/// Row changes, also those after a `WITH`: the verb, then the table. What a trigger will do when it
/// fires is not looked at.
fn changes(words: &[Word<'_>], added: &BTreeSet<(String, String)>) -> Vec<Destruction> {
    let mut depth = 0_usize;
    let mut verb = None;
    for (index, word) in words.iter().enumerate() {
        if word.is("(") {
            depth += 1;
        } else if word.is(")") {
            depth = depth.saturating_sub(1);
        }
        let is_verb = matches!(word.key.as_str(), "DELETE" | "UPDATE" | "REPLACE" | "INSERT");
        if depth == 0 && is_verb {
            verb = Some(index);
            break;
        }
    }
    let Some(index) = verb else { return Vec::new() };
    let first = &words[index];
    let rest = &words[index + 1..];
    // UPDATE OR IGNORE t, INSERT OR REPLACE INTO t, REPLACE INTO t, DELETE FROM t.
    let (or, rest) = match rest {
        [or, how, rest @ ..] if or.is("OR") => (how.key.as_str(), rest),
        rest => ("", rest),
    };
    let rest = match rest {
        [into, rest @ ..] if into.is("INTO") || into.is("FROM") => rest,
        rest => rest,
    };
    let (table, after) = name_and_rest(rest);
    let what = match (first.key.as_str(), or) {
        ("DELETE", _) => "rows of",
        ("UPDATE", _) => {
            let owner = table.last().map(|it| it.to_ascii_lowercase()).unwrap_or_default();
            let fresh = |column: String| added.contains(&(owner.clone(), column));
            let set = set_columns(after);
            if !set.is_empty() && set.into_iter().all(fresh) {
                return Vec::new();
            }
            "former values in"
        }
        ("REPLACE", _) | ("INSERT", "REPLACE") => "rows or former values of",
        _ => return Vec::new(),
    };
    vec![Destruction { line: first.line, what: format!("{what} {}", table.join(".")) }]
}

/// The columns, with their unqualified tables and in lower case, that a body adds: filling them
/// destroys nothing.
pub(super) fn added_columns(statements: &[Vec<Word<'_>>]) -> BTreeSet<(String, String)> {
    let mut added = BTreeSet::new();
    for words in statements {
        let [alter, kind, rest @ ..] = words.as_slice() else { continue };
        if !alter.is("ALTER") || !kind.is("TABLE") {
            continue;
        }
        let (parts, action) = name_and_rest(rest);
        let column = match action {
            [add, column, named, ..] if add.is("ADD") && column.is("COLUMN") => named.name(),
            [add, column, ..] if add.is("ADD") => column.name(),
            _ => None,
        };
        if let (Some(table), Some(column)) = (parts.last(), column) {
            added.insert((table.to_ascii_lowercase(), column.to_ascii_lowercase()));
        }
    }
    added
}

/// The columns that an `UPDATE` sets, in lower case; empty where that is not plain to see.
fn set_columns(words: &[Word<'_>]) -> Vec<String> {
    let Some(set) = words.iter().position(|word| word.is("SET")) else { return Vec::new() };
    let mut columns = Vec::new();
    let mut depth = 0_usize;
    let parts = words[set + 1..].split(|word| {
        if word.is("(") {
            depth += 1;
        } else if word.is(")") {
            depth = depth.saturating_sub(1);
        }
        depth == 0 && word.is(",")
    });
    for part in parts {
        match part {
            [column, equals, ..] if equals.is("=") => {
                columns.extend(column.name().map(|name| name.to_ascii_lowercase()));
            }
            _ => return Vec::new(),
        }
        if part.iter().any(|word| word.is("FROM") || word.is("WHERE")) {
            break;
        }
    }
    columns
}

/// The possibly qualified name that `words` begin with, and what follows it.
fn name_and_rest<'a, 'b>(words: &'b [Word<'a>]) -> (Vec<String>, &'b [Word<'a>]) {
    let words = after_guard(words);
    let parts = name(words);
    let length = (parts.len() * 2).saturating_sub(1).min(words.len());
    (parts, &words[length..])
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
            "drop table if exists \"B b\";\n drop table main.[a]",
            &[(1, "table B b"), (2, "table main.a")],
        );
        check("alter table t drop column `a`", &[(1, "column t.a")]);
        check("alter table t drop a", &[(1, "column t.a")]);
        check("alter table t rename column a to b; alter table t add drop_me", &[]);
        check("drop view v; drop index i; drop trigger g", &[]);
    }

    #[test]
    fn changed_rows_are_named() {
        check(
            "delete from t where a = 1;\nupdate or ignore t set a = 1; replace into t values (1);
             insert or replace into t values (1)",
            &[
                (1, "rows of t"),
                (2, "former values in t"),
                (2, "rows or former values of t"),
                (3, "rows or former values of t"),
            ],
        );
        check("with x as (select 1) delete from t where a in x", &[(1, "rows of t")]);
        check("insert into t values (1) on conflict (a) do update set a = 2", &[]);
        check("with x as (select 1) select * from x", &[]);
        check("create trigger g after insert on t begin delete from u; end", &[]);
        check("alter table T add column c; update t set C = (select max(x) from u, v)", &[]);
        check("alter table t add c int; update t set c = 1, e = 2", &[(1, "former values in t")]);
    }
}
